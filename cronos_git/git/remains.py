"""What is left of a store that may be damaged: every object that is whole, wherever it lies, and what is wrong with each pack.

Packs with a sound index are checked byte by byte by `git.packcheck`, the others are read by `git.salvage`; loose objects by
`git.loose`. Nothing is written here. What a repair makes of it is `ops.repair`'s. Floor F6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cronos_git.disk.files import host_error
from cronos_git.errors import DamageError, ObjectMissingError
from cronos_git.events import Run
from cronos_git.git.loose import read_loose
from cronos_git.git.packcheck import PackCheck, PackTable, damaged, read_tables
from cronos_git.git.salvage import ScannedPack, is_consistent
from cronos_git.git.store import Store

_SIDE_FILES = (".idx", ".rev", ".bitmap", ".mtimes", ".keep", ".promisor", ".pack")
"""What belongs to one pack; the index first, as without it no Git takes a pack for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenPack:
    """A pack that is not as it was written, or whose index is not.

    Attributes:
        stem: Its path without a suffix.
        what: What is wrong, in words.
        table: By a sound index; None without one.
        scanned: From its own bytes, where that was needed.
    """

    stem: Path
    what: str
    table: PackTable | None = None
    scanned: ScannedPack | None = None

    @property
    def lacks_only_index(self) -> bool:
        """Whether the pack itself is as it was written."""
        return self.scanned is not None and self.scanned.is_complete

    @property
    def files(self) -> list[Path]:
        """Its files that are there, in the order in which they may be moved away."""
        paths = [self.stem.with_suffix(suffix) for suffix in _SIDE_FILES]
        return [path for path in paths if path.exists()]

    def names(self) -> Iterator[bytes]:
        """The objects that are whole in it."""
        if self.scanned is not None:
            yield from self.scanned.places
        if self.table is not None:
            yield from (name for at, name in enumerate(self.table.names) if self.table.known(at))

    def contains(self, name: bytes) -> bool:
        """Whether it has the object whole."""
        if self.scanned is not None and name in self.scanned.places:
            return True
        at = self.table.position(name) if self.table is not None else None
        return self.table is not None and at is not None and self.table.known(at) is not None


@dataclass(slots=True)
class Remains:
    """The objects of a store that are whole; made by `look`.

    Attributes:
        sound: Packs without fault.
        broken: The others.
        loose: Loose objects that are whole, and where they lie.
        bad_loose: Loose objects that are not.
        derived: Files of Git that tell of packs and commits, and no longer tell the truth, or may not.
    """

    store: Store
    sound: list[PackTable] = field(default_factory=list)
    broken: list[BrokenPack] = field(default_factory=list)
    loose: dict[bytes, Path] = field(default_factory=dict)
    bad_loose: list[Path] = field(default_factory=list)
    derived: list[Path] = field(default_factory=list)

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object, as `ObjectReader`.

        Raises:
            ObjectMissingError: It is nowhere whole.
        """
        name = bytes.fromhex(oid)
        for pack in self.broken:  # first, as the store does not know what only a scan has found
            if pack.scanned is not None and name in pack.scanned.places:
                return pack.scanned.read(name)
        found = read_loose(self.store.path / "objects", name) if name in self.loose else None
        if found is None and not self.contains(name):
            raise ObjectMissingError(f"Object {oid} is nowhere whole in the store.", oid=oid)
        return found or _read_stored(self.store, name)

    def contains(self, name: bytes) -> bool:
        """Whether the object is whole somewhere."""
        return self.is_safe(name) or any(pack.contains(name) for pack in self.broken)

    def is_safe(self, name: bytes) -> bool:
        """Whether it will be there when the damaged packs are gone."""
        if name in self.loose:
            return True
        if any(table.position(name) is not None for table in self.sound):
            return True
        return any(pack.lacks_only_index and pack.contains(name) for pack in self.broken)

    def of_kind(self, kind: str) -> list[bytes]:
        """The objects of a kind, the packs that were written first first, so that of two versions the newer comes later."""
        by_age: list[tuple[int, Iterator[bytes]]] = [(_written_ns(table.path), _of_kind(table, kind)) for table in self.sound]
        for pack in self.broken:
            age = _written_ns(pack.stem.with_suffix(".pack"))
            by_age += [(age, _of_kind(pack.table, kind))] if pack.table else []
            by_age += [(age, pack.scanned.of_kind(kind))] if pack.scanned else []
        by_age += [(_written_ns(path), iter((name,))) for name, path in self.loose.items() if self.read(name.hex())[0] == kind]
        ordered = sorted(by_age, key=lambda item: item[0])
        return list(dict.fromkeys(name for _, names in ordered for name in names))

    def salvageable(self) -> Iterator[bytes]:
        """The objects that only damaged packs have, each once."""
        seen: set[bytes] = set()
        for pack in self.broken:
            if not pack.lacks_only_index:
                for name in pack.names():
                    if name not in seen and not self.is_safe(name):
                        seen.add(name)
                        yield name

    def close(self) -> None:
        """Let go of the packs that were read without an index."""
        for pack in self.broken:
            if pack.scanned is not None:
                pack.scanned.close()


def look(store: Store, run: Run) -> Remains:
    """See what is left of a store.

    Raises:
        AccessError, HostError: The directories of objects cannot be read.
        InterruptedRunError: The run was cancelled.

    Cost: every byte of every pack is read and hashed. Memory: about 100 bytes an object.
    """
    remains = Remains(store)
    try:
        tables, _problems = read_tables(store.pack_dir)
        for table in tables:
            what = _fault(store, table, run)
            if what:
                remains.broken.append(_broken(store.pack_dir / table.path.stem, what, table))
            else:
                remains.sound.append(table)
        read = {table.path.stem for table in tables}
        for stem in sorted({path.stem for path in _pack_files(store)} - read):
            remains.broken.append(_broken(store.pack_dir / stem, "", None))
        _look_at_loose(remains)
        remains.derived = _derived(remains)
    except OSError as error:
        raise host_error(error, "read the store's objects") from error
    return remains


def _of_kind(table: PackTable, kind: str) -> Iterator[bytes]:
    for at, name in enumerate(table.names):
        known = table.known(at)
        if known is not None and known.kind == kind:
            yield name


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _pack_files(store: Store) -> list[Path]:
    found = store.pack_dir.glob("pack-*")
    return [path for path in found if path.suffix in (".pack", ".idx")]


def _fault(store: Store, table: PackTable, run: Run) -> str:
    """What is wrong with a pack, empty when nothing is; the table learns which of its objects are whole."""
    check = PackCheck(lambda name: _read_stored(store, name), run)
    check.check(table)
    if check.faults:
        count = len(check.faults)
        return f"{count} of its {len(table.names)} objects {'is' if count == 1 else 'are'} damaged"
    return "it is damaged where no object lies, or cut short" if check.problems or not table.is_whole else ""


def _broken(stem: Path, what: str, table: PackTable | None) -> BrokenPack:
    """Read a pack without its index where that cannot be used, or is not of this pack."""
    pack = stem.with_suffix(".pack")
    if not pack.exists():
        return BrokenPack(stem=stem, what="the pack is gone; only its index is there")
    if table is None:
        what = "its index is damaged" if stem.with_suffix(".idx").exists() else "its index is gone"
    elif is_consistent(pack):
        what = "its index does not fit to it"
    else:
        return BrokenPack(stem=stem, what=what, table=table)
    try:
        scanned = ScannedPack(pack)
    except OSError as error:
        return BrokenPack(stem=stem, what=f"it cannot be read: {error.strerror}", table=table)
    return BrokenPack(stem=stem, what=what + ("" if scanned.is_complete else ", and it is damaged itself"), scanned=scanned)


def _read_stored(store: Store, name: bytes) -> tuple[str, bytes]:
    try:
        return store.read(name.hex())
    except (OSError, IndexError, ValueError, struct.error) as error:  # a damaged index may lead anywhere
        raise damaged(name, f"the store cannot read it ({error})") from error


def _look_at_loose(remains: Remains) -> None:
    objects = remains.store.path / "objects"
    for path in sorted(objects.glob("[0-9a-f][0-9a-f]/*")):
        text = path.parent.name + path.name
        if len(text) == 40 and set(text) <= set("0123456789abcdef"):
            try:
                if read_loose(objects, bytes.fromhex(text)) is not None:
                    remains.loose[bytes.fromhex(text)] = path
            except DamageError:
                remains.bad_loose.append(path)


def _derived(remains: Remains) -> list[Path]:
    """The multi-pack-index and the commit graph, when a pack is broken or the index names one that is not there.

    Git makes them anew; wrong ones lead it astray.
    """
    store = remains.store
    found = [*store.pack_dir.glob("multi-pack-index*"), *(store.path / "objects/info").glob("commit-graph*")]
    index = store.pack_dir / "multi-pack-index"
    if found and (remains.broken or remains.bad_loose or not _is_true(index, {table.path.stem for table in remains.sound})):
        return sorted(found)
    return []


def _is_true(index: Path, packs: set[str]) -> bool:
    """Whether a multi-pack-index, if there is one, is whole and names only *packs*.

    Source: gitformat-pack(5), "multi-pack-index (MIDX) files": a table of chunks, of which PNAM holds the names.
    """
    if not index.exists():
        return True
    raw = index.read_bytes()
    rows = [struct.unpack_from(">4sQ", raw, 12 + 12 * row) for row in range(raw[6])] if len(raw) > 12 + 12 * raw[6] + 12 else []
    start = next((offset for name, offset in rows if name == b"PNAM"), None)
    end = min((offset for _, offset in rows if start is not None and offset > start), default=len(raw))
    names = raw[start:end].split(b"\0") if start is not None else [b"?"]
    return is_consistent(index) and all(Path(name.decode(errors="replace")).stem in packs for name in names if name)
