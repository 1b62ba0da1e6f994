"""Git bundles that come from elsewhere: looked into, unpacked apart from the store, checked, and only then let in.

Everything goes through a quarantine, a repository of its own inside the store that no reader of the store looks into. There
stock git checks each object and that all are there. What tags say is for the importing operation to read. Floor F6.

Source of the header: gitformat-bundle(5).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cronos_git.disk import files, stage
from cronos_git.disk.archives import damaged, open_archive
from cronos_git.disk.directories import make_directory
from cronos_git.errors import GitCommandError, ObjectMissingError, RefusedError
from cronos_git.git import layout
from cronos_git.git.pack import keep_pack
from cronos_git.git.packindex import ObjectIndex
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.git.session import GitSession
from cronos_git.git.store import Store

_HEADER_MAX_LINES = 100_000
_LINE_MAX_BYTES = 4096
_REF = re.compile(rb"([0-9a-f]{40}) (\S+)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a bundle says that it holds.

    Attributes:
        tags: Tag object ids of backups, by id.
        others: Its other refs.
    """

    path: Path
    tags: dict[str, str]
    others: tuple[str, ...]


def read_bundle(path: Path) -> Bundle:
    """Read the header of a bundle.

    Raises:
        ArchiveError: It cannot be read.
        RefusedError: It is of another object format, or rests on objects that are not in it.
        AccessError, HostError: The file cannot be read.
    """
    tags: dict[str, str] = {}
    others: list[str] = []
    with open_archive(path) as file:
        file.readline(_LINE_MAX_BYTES)
        for _ in range(_HEADER_MAX_LINES):
            line = file.readline(_LINE_MAX_BYTES)
            if line == b"\n":
                return Bundle(path=path, tags=tags, others=tuple(others))
            if line[:1] in (b"-", b"@") and line != b"@object-format=sha1\n":
                why = "rests on objects that are not in it" if line[:1] == b"-" else "is of a kind that CRONOS does not read"
                raise RefusedError(f"The bundle {path} {why}. Nothing was imported.", hint="Make it with `cronos export`.")
            match = _REF.fullmatch(line)
            if line[:1] != b"@" and match is None:
                break
            if match is not None:
                name = os.fsdecode(match[2])
                if name.startswith(BACKUP_TAGS):
                    tags[name.removeprefix(BACKUP_TAGS)] = match[1].decode()
                else:
                    others.append(name)
    raise damaged(path, "its header has no end")


class Quarantine:
    """The objects of a bundle, apart from the store; made by `quarantine`."""

    def __init__(self, path: Path) -> None:
        self._pack_dir = path / "objects" / "pack"
        self._index = ObjectIndex(self._pack_dir)

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object, as `listing.ObjectReader`."""
        found = self._index.read(bytes.fromhex(oid))
        if found is None:
            raise ObjectMissingError(f"Object {oid} is not in the bundle.", oid=oid)
        return found

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
            raise files.host_error(error, "move the pack of a bundle into the store") from error
        store.refresh()
        return keeps


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        files.fsync_file(fd, path)
    finally:
        os.close(fd)


@contextlib.contextmanager
def quarantine(store: Store, bundle: Bundle) -> Iterator[Quarantine]:
    """Unpack and check a bundle apart from the store, for the length of the block.

    Args:
        store: Locked exclusively by the caller.

    Raises:
        ArchiveError: An object is damaged, missing, or not as git wants it.
        RefusedError: There is no space for it.
        DiskFullError, AccessError, HostError, GitVersionError: It cannot be done.

    Cost: every object is read twice. Killed meanwhile, the next import removes what is left.
    """
    path = store.cronos_dir / layout.IMPORTING
    _refuse_large(bundle.path, store)
    try:
        remove_leftover(store)
        for name, content in layout.skeleton(b"{}\n").items():
            make_directory(path / name if content is None else (path / name).parent)
            if content is not None:
                files.write_disposable(path / name, content)
        session = GitSession(path)
        source = str(bundle.path.resolve())
        refs = f"+{BACKUP_TAGS}*:{BACKUP_TAGS}*"
        try:
            session.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", source, refs)
            session.run("fsck", "--full", "--strict", "--no-dangling")
        except GitCommandError as error:
            raise damaged(bundle.path, error.message) from error
        yield Quarantine(path)
    finally:
        with contextlib.suppress(OSError):
            stage.remove_tree(path)


def remove_leftover(store: Store) -> None:
    """Delete the quarantine that a killed import left; for a caller who holds the store's exclusive lock.

    Raises:
        AccessError, HostError: It cannot be removed.
    """
    try:
        stage.remove_tree(store.cronos_dir / layout.IMPORTING)
    except OSError as error:
        raise files.host_error(error, "remove what an interrupted import left in the store") from error


def _refuse_large(path: Path, store: Store) -> None:
    size, free = path.stat().st_size, stage.free_bytes(store.path)
    if size > free:
        raise RefusedError(
            f"The bundle has {size:,} bytes, and only {free:,} are free. Nothing was imported.",
            hint="Free space where the store lies.",
        )
