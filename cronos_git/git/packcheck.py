"""Reads packs as a checker must: every byte once, nothing taken on trust, every refusal of the disk a finding.

Files are read with plain reads and not through a mapping, because a disk error under a mapping kills the process. An index
counts only when its own checksum holds; what a pack with a damaged index holds is looked for elsewhere. Deltas (after a
repacking) are given to the caller, who asks the store. Which backups are hit is told by `git.needs` and `ops.verify`. Floor F6.

Source: gitformat-pack(5), pack and index version 2.
"""

from __future__ import annotations

import bisect
import hashlib
import os
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cronos_git.disk import files
from cronos_git.disk.workers import run_batches
from cronos_git.errors import DamageError, HashMismatchError
from cronos_git.events import Advanced, Run
from cronos_git.git.pack import object_id
from cronos_git.rules import deflate

_KINDS = ("", "commit", "tree", "blob", "tag")
_DELTAS = (6, 7)
_NAMES_START = 8 + 1024
_HEADER_BYTES = 12
_DIGEST_BYTES = 20
_BATCH_BYTES = 4 << 20
_BATCH_OBJECTS = 256


class Packed(NamedTuple):
    """An object that was read and found whole."""

    kind: str
    size_bytes: int


class PackTable:
    """What one pack holds, by an index whose checksum holds.

    Memory: about 90 bytes an object.

    Attributes:
        path: The pack.
        names: Ids of its objects, sorted.
        digest: The pack's checksum, as the index tells it.
        size_bytes: Size of the pack.
        is_whole: The pack ends with its checksum; else it was cut short.
    """

    def __init__(self, path: Path, index: bytes, pack_bytes: int, trailer: bytes) -> None:
        self.path = path
        self.size_bytes = pack_bytes
        self.names, self._crcs, self._offsets, self.digest = _parse_index(index)
        self.is_whole = trailer == self.digest
        self._ends = array("Q", bytes(8 * len(self.names)))
        self._kinds = bytearray(len(self.names))
        self._sizes = array("Q", bytes(8 * len(self.names)))
        end = max(pack_bytes - _DIGEST_BYTES, 0)
        for position in reversed(self.by_offset()):
            self._ends[position] = end
            end = self._offsets[position]

    def by_offset(self) -> list[int]:
        """The positions of all objects in the order in which they lie in the pack."""
        return sorted(range(len(self.names)), key=self._offsets.__getitem__)

    def position(self, name: bytes) -> int | None:
        """Where *name* stands among the names, None when it does not."""
        position = bisect.bisect_left(self.names, name)
        return position if position < len(self.names) and self.names[position] == name else None

    def known(self, position: int) -> Packed | None:
        """Kind and size of an object that was found whole, None of one that was not read yet or is damaged."""
        kind = self._kinds[position]
        return Packed(_KINDS[kind], self._sizes[position]) if kind else None

    def learn(self, position: int, found: Packed) -> None:
        """Remember that an object is whole."""
        self._kinds[position] = _KINDS.index(found.kind)
        self._sizes[position] = found.size_bytes

    def read(self, position: int) -> tuple[str, bytes] | None:
        """Kind and body of an object; None for a delta.

        Raises:
            HashMismatchError: Its bytes cannot be read, are not those that were written, or do not hash to its name.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                raw = self.take(fd, position)
            finally:
                os.close(fd)
        except OSError as error:
            raise _unreadable(self, position, error) from error
        return self.decode(position, raw)

    def take(self, fd: int, position: int) -> bytes:
        """The packed bytes of an object, less than all when the pack ends too early."""
        return os.pread(fd, max(self._ends[position] - self._offsets[position], 0), self._offsets[position])

    def decode(self, position: int, raw: bytes) -> tuple[str, bytes] | None:
        """Like `read`, from the object's packed bytes; safe to call from several threads."""
        name = self.names[position]
        if deflate.crc32(raw) != self._crcs[position]:
            raise damaged(name, f"its bytes in {self.path.name} are not those that were written")
        try:
            number, size, start = _parse_header(raw)
            if number in _DELTAS:
                return None
            stream = deflate.decompressobj()
            body: bytes = stream.decompress(raw[start:], size + 1)
        except (deflate.error, IndexError, OverflowError, ValueError) as error:
            raise damaged(name, f"its bytes in {self.path.name} cannot be decoded") from error
        if number not in range(1, len(_KINDS)) or not stream.eof or object_id(_KINDS[number], body) != name:
            raise damaged(name, f"its bytes in {self.path.name} do not match its name")
        return _KINDS[number], body


def damaged(name: bytes, what: str) -> HashMismatchError:
    """The error for an object of which *what* is said."""
    return HashMismatchError(f"Object {name.hex()} is damaged: {what}.", hint="See `cronos verify`.", oid=name.hex())


def _unreadable(table: PackTable, position: int, error: OSError) -> HashMismatchError:
    return damaged(table.names[position], f"{table.path.name} cannot be read: {error.strerror}")


def _parse_header(raw: bytes) -> tuple[int, int, int]:
    """Number of the kind, size of the body in bytes, where the deflated bytes begin."""
    number, size, shift, start = (raw[0] >> 4) & 7, raw[0] & 15, 4, 1
    while raw[start - 1] & 0x80:
        size |= (raw[start] & 0x7F) << shift
        shift += 7
        start += 1
    return number, size, start


# --- indexes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PackProblem:
    """Something wrong with a pack that is not the fault of one object.

    Attributes:
        table: What the pack holds; None when that cannot be told.
    """

    text: str
    table: PackTable | None = None


def read_tables(pack_dir: Path) -> tuple[list[PackTable], list[PackProblem]]:
    """The packs of a store, those first that are whole, then the largest; and what is wrong with packs that cannot be used.

    Raises:
        AccessError, HostError: The directory of packs cannot be read.

    Cost: every index is read whole.
    """
    try:
        names = {name for name in os.listdir(pack_dir) if name.startswith("pack-")}
    except OSError as error:
        raise files.host_error(error, "read the store's packs") from error
    tables, problems = [], _multi_pack_problems(pack_dir / "multi-pack-index")
    for stem in sorted({Path(name).stem for name in names if name.endswith((".idx", ".pack"))}):
        try:
            tables.append(_read_table(pack_dir / stem, names))
        except HashMismatchError as error:
            problems.append(PackProblem(text=error.message))
    return sorted(tables, key=lambda table: (not table.is_whole, -len(table.names))), problems


def cut_short(tables: Iterable[PackTable]) -> list[PackProblem]:
    """The problem of each pack that was cut short; costs nothing, as `read_tables` has looked."""
    return [_outside_objects(table) for table in tables if not table.is_whole]


def _outside_objects(table: PackTable) -> PackProblem:
    text = f"The pack {table.path.name} is damaged where no object lies, or cut short; git refuses to read from it."
    return PackProblem(text=text, table=table)


def _multi_pack_problems(path: Path) -> list[PackProblem]:
    """What is wrong with the index over several packs that git may have made; CRONOS has no use for it."""
    try:
        is_sound = not path.exists() or _checksum_holds(path.read_bytes())
    except OSError:
        is_sound = False
    text = "The multi-pack-index is damaged. Git reads by it; `git multi-pack-index write` makes it anew."
    return [] if is_sound else [PackProblem(text=text)]


def _checksum_holds(index: bytes) -> bool:
    return hashlib.sha1(index[:-_DIGEST_BYTES], usedforsecurity=False).digest() == index[-_DIGEST_BYTES:]


def _read_table(stem: Path, names: set[str]) -> PackTable:
    pack, index = stem.with_suffix(".pack"), stem.with_suffix(".idx")
    if pack.name not in names:
        raise HashMismatchError(f"The pack {pack.name} is gone; its index is there.")
    if index.name not in names:
        raise HashMismatchError(f"The pack {pack.name} has no index. `git index-pack` makes one.")
    try:
        return PackTable(pack, index.read_bytes(), *_measure(pack))
    except OSError as error:
        raise HashMismatchError(f"The pack {pack.name} or its index cannot be read: {error.strerror}.") from error
    except (IndexError, ValueError) as error:
        raise HashMismatchError(f"The index {index.name} is damaged: {error}. `git index-pack` makes it anew.") from error


def _measure(pack: Path) -> tuple[int, bytes]:
    """Size of a pack and its last bytes, which are its checksum."""
    fd = os.open(pack, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        return size, os.pread(fd, _DIGEST_BYTES, max(size - _DIGEST_BYTES, 0))
    finally:
        os.close(fd)


def _parse_index(index: bytes) -> tuple[list[bytes], Sequence[int], Sequence[int], bytes]:
    """Names, checksums and offsets of the objects, and the pack's digest; ValueError when the index is damaged."""
    if not _checksum_holds(index):
        raise ValueError("its checksum does not hold")
    body = index[:-_DIGEST_BYTES]
    count = int.from_bytes(body[_NAMES_START - 4 : _NAMES_START], "big")
    crcs, offsets = _NAMES_START + 20 * count, _NAMES_START + 24 * count
    large = offsets + 4 * count
    if body[:8] != b"\377tOc\0\0\0\2" or len(body) < large + _DIGEST_BYTES:
        raise ValueError("it is not of version 2")
    names = [body[start : start + 20] for start in range(_NAMES_START, crcs, 20)]
    wide = _numbers("Q", body[large:-_DIGEST_BYTES])
    short = _numbers("I", body[offsets:large])
    return names, _numbers("I", body[crcs:offsets]), _join_offsets(short, wide), body[-_DIGEST_BYTES:]


def _join_offsets(short: Sequence[int], wide: Sequence[int]) -> Sequence[int]:
    """Offsets past 2 GiB stand in a table of their own."""
    return array("Q", (offset if offset < 1 << 31 else wide[offset & 0x7FFFFFFF] for offset in short))


def _numbers(code: str, raw: bytes) -> Sequence[int]:
    numbers = array(code, raw)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


# --- every byte of a pack -------------------------------------------------------------------------------------------

Checked = tuple[int, Packed | HashMismatchError | None]
"""Position of an object, and what was found: it is whole, it is damaged, or (None) it is a delta."""


class PackCheck:
    """Reads packs whole, one after the other, in the order of their bytes.

    Args:
        read_delta: Kind and body of an object that is stored as a delta; raises DamageError. Called on the calling thread.

    Attributes:
        faults: What is wrong, by object.
        problems: What is wrong with packs apart from their objects.
        bytes_read: Bytes of packs read so far.

    Memory: a few batches of 4 MiB packed, and their contents.
    """

    def __init__(self, read_delta: Callable[[bytes], tuple[str, bytes]], run: Run) -> None:
        self._read_delta = read_delta
        self._run = run
        self._objects = 0
        self.faults: dict[bytes, DamageError] = {}
        self.problems: list[PackProblem] = []
        self.bytes_read = 0

    def check(self, table: PackTable) -> None:
        """Read one pack; the table learns which objects are whole.

        Raises:
            InterruptedRunError: The run was cancelled.
        """
        known = len(self.faults)
        try:
            fd = os.open(table.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.faults |= {name: _unreadable(table, position, error) for position, name in enumerate(table.names)}
            return
        digest = hashlib.sha1(usedforsecurity=False)
        try:
            header = _read(fd, _HEADER_BYTES, 0)
            digest.update(header)
            batches = self._batches(fd, table, digest.update)
            run_batches(batches, lambda batch: _check_batch(table, batch), lambda found: self._take(table, found), self._run)
            trailer = _read(fd, _DIGEST_BYTES, max(os.fstat(fd).st_size - _DIGEST_BYTES, 0))
        finally:
            os.close(fd)
        is_as_written = digest.digest() == table.digest or len(self.faults) > known
        if header != struct.pack(">4sII", b"PACK", 2, len(table.names)) or trailer != table.digest or not is_as_written:
            self.problems.append(_outside_objects(table))

    def _batches(self, fd: int, table: PackTable, hash_bytes: Callable[[bytes], None]) -> Iterator[list[tuple[int, bytes]]]:
        """Objects with their packed bytes, some at a time."""
        batch: list[tuple[int, bytes]] = []
        size = 0
        for position in table.by_offset():
            try:
                raw = table.take(fd, position)
            except OSError as error:
                self.faults[table.names[position]] = _unreadable(table, position, error)
                continue
            hash_bytes(raw)
            self.bytes_read += len(raw)
            batch.append((position, raw))
            size += len(raw)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_OBJECTS:
                yield batch
                batch, size = [], 0
        yield batch

    def _take(self, table: PackTable, batch: list[Checked]) -> None:
        for position, found in batch:
            self._objects += 1
            try:
                table.learn(position, self._settle(table.names[position], found))
            except DamageError as error:
                self.faults[table.names[position]] = error
        self._run.emit(Advanced(self._objects, self.bytes_read))

    def _settle(self, name: bytes, found: Packed | HashMismatchError | None) -> Packed:
        if isinstance(found, HashMismatchError):
            raise found
        if found is not None:
            return found
        kind, body = self._read_delta(name)
        return Packed(kind, len(body))


def _read(fd: int, size: int, offset: int) -> bytes:
    """Bytes of a pack that belong to no object; nothing where the disk refuses."""
    try:
        return os.pread(fd, size, offset)
    except OSError:
        return b""


def _check_batch(table: PackTable, batch: list[tuple[int, bytes]]) -> list[Checked]:
    return [(position, _check(table, position, raw)) for position, raw in batch]


def _check(table: PackTable, position: int, raw: bytes) -> Packed | HashMismatchError | None:
    try:
        found = table.decode(position, raw)
    except HashMismatchError as error:
        return error
    return Packed(found[0], len(found[1])) if found else None
