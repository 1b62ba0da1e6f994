"""What comes from elsewhere, apart from the store until it is let in; and the repositories that are made for the time being.

Who puts objects into such a repository, and checks them, is `git.bundles` and `git.receiving`. Floor F6.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import ObjectMissingError
from cronos_git.git import layout
from cronos_git.git.listing import ObjectReader
from cronos_git.git.pack import keep_pack
from cronos_git.git.packindex import ObjectIndex
from cronos_git.git.store import Store


def build(place: Path, content: Mapping[str, bytes | None]) -> None:
    """Make a repository that nobody will need after this; None stands for a directory.

    Raises:
        DiskFullError, AccessError, HostError: It cannot be made.
    """
    for name, text in content.items():
        make_directory(place / name if text is None else (place / name).parent)
        if text is not None:
            files.write_disposable(place / name, text)


def borrowing(store: Store, *others: Path) -> dict[str, bytes | None]:
    """What lets such a repository use the store's objects, and those of *others*, whatever is in their paths."""
    places = [store.path, *others]
    return {"objects/info/alternates": b"".join(_quoted(place / "objects") + b"\n" for place in places)}


def configured(store: Store) -> dict[str, bytes | None]:
    """An empty repository in which the store's own configuration holds: it has the remotes, and what is said of them."""
    content = layout.skeleton(b"{}\n")
    include = b"[include]\n\tpath = " + _quoted(store.path / "config") + b"\n"
    return {**content, "config": (content["config"] or b"") + include}


def _quoted(path: Path) -> bytes:
    text = os.fsencode(path)
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


class Quarantine:
    """The objects of a repository that are to be let into the store.

    Args:
        path: The repository.
        beside: Has the objects that it borrows; None when it borrows none.
    """

    def __init__(self, path: Path, beside: ObjectReader | None = None) -> None:
        self._pack_dir = path / "objects" / "pack"
        self._index = ObjectIndex(self._pack_dir)
        self._beside = beside

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object, as `listing.ObjectReader`."""
        found = self._index.read(bytes.fromhex(oid))
        if found is not None:
            return found
        if self._beside is not None:
            return self._beside.read(oid)
        raise ObjectMissingError(f"Object {oid} did not come with the others.", oid=oid)

    def contains(self, name: bytes) -> bool:
        """Whether an object came; those that are borrowed do not count."""
        return self._index.contains(name)

    def admit(self, store: Store) -> list[Path]:
        """Move the packs into the store; their `.keep` files, to be removed once refs lead to the objects.

        Durability: when this returns, the packs survive a power cut; if killed earlier, at most objects that nothing names are
        in the store.
        """
        keeps = []
        try:
            for pack in sorted(self._pack_dir.glob("*.pack")):
                for part in (pack, pack.with_suffix(".idx")):
                    _flush(part)
                target = store.pack_dir / pack.name
                keeps.append(keep_pack(target))
                files.rename(pack, target)
                files.rename(pack.with_suffix(".idx"), target.with_suffix(".idx"))
            files.fsync_directory(store.pack_dir)
        except OSError as error:
            raise files.host_error(error, "move a pack into the store") from error
        store.refresh()
        return keeps


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        files.fsync_file(fd, path)
    finally:
        os.close(fd)
