"""What packs hold, as a checker must look at it: nothing taken on trust, every refusal of the disk a finding.

Files are read with plain reads and not through a mapping, because a disk error under a mapping kills the process. An index
counts only when its own checksum holds; what a pack with a damaged index holds is looked for elsewhere. Deltas (after a
repacking) are given to the caller, who asks the store. Reading packs from end to end is `git.packcheck`'s, which backups are hit
is told by `git.needs` and `ops.verify`. Floor F6.

Source: gitformat-pack(5), pack and index version 2.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cronos_git.disk import files
from cronos_git.errors import HashMismatchError
from cronos_git.git.pack import object_id
from cronos_git.rules import deflate

_KINDS = ("", "commit", "tree", "blob", "tag")
_DELTAS = (6, 7)
_NAMES_START = 8 + 1024
_DIGEST_BYTES = 20
_MOST_LISTINGS = 5

PART_BYTES = 8 << 20
"""A part of a pack ends with the object that reaches this size. `ops.rotation` keeps count by parts."""


class Packed(NamedTuple):
    """An object that was read and found whole."""

    kind: str
    size_bytes: int


class PackPart(NamedTuple):
    """Objects that lie one after the other in a pack.

    Attributes:
        number: Which part it is, from 0.
        first, end: Where it begins and ends in `PackTable.by_offset`.
        size_bytes: Of the packed objects.
    """

    number: int
    first: int
    end: int
    size_bytes: int


class PackTable:
    """What one pack holds, by an index whose checksum holds.

    Memory: about 100 bytes an object.

    Attributes:
        path: The pack.
        names: Ids of its objects, sorted.
        digest: The pack's checksum, as the index tells it.
        size_bytes: Size of the pack.
        is_whole: The pack ends with its checksum; else it was cut short.
        by_offset: The positions of all objects in the order in which they lie in the pack.
    """

    def __init__(self, path: Path, index: bytes, pack_bytes: int, trailer: bytes) -> None:
        self.path = path
        self.size_bytes = pack_bytes
        self.names, self._crcs, self._offsets, self.digest = _parse_index(index)
        self.is_whole = trailer == self.digest
        self._ends = array("Q", bytes(8 * len(self.names)))
        self._kinds = bytearray(len(self.names))
        self._sizes = array("Q", bytes(8 * len(self.names)))
        self.by_offset = array("Q", sorted(range(len(self.names)), key=self._offsets.__getitem__))
        end = max(pack_bytes - _DIGEST_BYTES, 0)
        for position in reversed(self.by_offset):
            self._ends[position] = end
            end = self._offsets[position]

    @functools.cached_property
    def parts(self) -> list[PackPart]:
        """The pack in parts of about `PART_BYTES`, always cut in the same way; at least one."""
        parts: list[PackPart] = []
        first = size = 0
        for end, position in enumerate(self.by_offset, 1):
            size += self.packed_bytes(position)
            if size >= PART_BYTES:
                parts.append(PackPart(len(parts), first, end, size))
                first, size = end, 0
        if first < len(self.by_offset) or not parts:
            parts.append(PackPart(len(parts), first, len(self.by_offset), size))
        return parts

    @property
    def is_gone(self) -> bool:
        """The pack was folded into another since the table was read: not even its index is there."""
        return not self.path.with_suffix(".idx").exists()

    def packed_bytes(self, position: int) -> int:
        """How much of the pack an object takes, in bytes."""
        return max(self._ends[position] - self._offsets[position], 0)

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
        """Kind and body of an object; None for a delta, and when the pack was folded into another.

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
            if self.is_gone:
                return None
            raise self.unreadable(position, error) from error
        return self.decode(position, raw)

    def take(self, fd: int, position: int) -> bytes:
        """The packed bytes of an object, less than all when the pack ends too early."""
        return os.pread(fd, self.packed_bytes(position), self._offsets[position])

    def unreadable(self, position: int, error: OSError) -> HashMismatchError:
        """The error for an object that the disk refuses."""
        return damaged(self.names[position], f"{self.path.name} cannot be read: {error.strerror}")

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

    Cost: every index is read whole; again when git repacks the store meanwhile, as packs that it removes are no damage.
    """
    for _ in range(_MOST_LISTINGS):
        names = _listing(pack_dir)
        tables, problems = _read_listed(pack_dir, names)
        if not problems or names == _listing(pack_dir):
            break
    problems += _multi_pack_problems(pack_dir / "multi-pack-index")
    return sorted(tables, key=lambda table: (not table.is_whole, -len(table.names))), problems


def _listing(pack_dir: Path) -> set[str]:
    try:
        return {name for name in os.listdir(pack_dir) if name.startswith("pack-")}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise files.host_error(error, "read the store's packs") from error


def _read_listed(pack_dir: Path, names: set[str]) -> tuple[list[PackTable], list[PackProblem]]:
    tables: list[PackTable] = []
    problems: list[PackProblem] = []
    for stem in sorted({Path(name).stem for name in names if name.endswith((".idx", ".pack"))}):
        try:
            tables.append(_read_table(pack_dir / stem, names))
        except HashMismatchError as error:
            problems.append(PackProblem(text=error.message))
    return tables, problems


def cut_short(tables: Iterable[PackTable]) -> list[PackProblem]:
    """The problem of each pack that was cut short; costs nothing, as `read_tables` has looked."""
    return [outside_objects(table) for table in tables if not table.is_whole]


def outside_objects(table: PackTable) -> PackProblem:
    """The problem of a pack that is damaged apart from its objects."""
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
        raise HashMismatchError(
            f"The pack {pack.name} has no index. `cronos repair` makes it anew, `cronos repair -n` tells how."
        )
    try:
        return PackTable(pack, index.read_bytes(), *_measure(pack))
    except OSError as error:
        raise HashMismatchError(f"The pack {pack.name} or its index cannot be read: {error.strerror}.") from error
    except (IndexError, ValueError) as error:
        raise HashMismatchError(
            f"The index {index.name} is damaged: {error}. `cronos repair` makes it anew, `cronos repair -n` tells how."
        ) from error


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
