"""Finds and reads objects in the store's packs, fast, checking every hash.

Our own packs hold whole objects, so reading one is: look up the offset, inflate, hash. That is several times faster than
libgit2, whose hash looks for SHA-1 collisions and which holds Python's lock meanwhile, and it works from several threads. Deltas,
which stock git's repacking makes, are resolved by `git.delta`. Files are read with plain reads and not through a mapping, and not
by libgit2: a disk error or a truncated file under a mapping, and a damaged index under libgit2, kill the process. Floor F6.

Source: gitformat-pack(5), index version 2.
"""

from __future__ import annotations

import bisect
import os
import struct
import weakref
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from cronos_git.errors import HashMismatchError
from cronos_git.git.delta import apply_delta, result_size
from cronos_git.git.pack import object_id
from cronos_git.rules import deflate

_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFFSET_DELTA, _NAME_DELTA = 6, 7
_LONGEST_CHAIN = 5000
_BASES_BYTES = 32 << 20
_HEADER_BYTES = 8 + 1024
_GUESS_BYTES = 4096
_HEADER_GUESS_BYTES = 32
_DELTA_HEADER_BYTES = 20
_MOST_EXPECTED_BYTES = 64 << 20  # a damaged header may tell any size; the result grows past this when it is true


@dataclass(frozen=True, slots=True)
class Location:
    """Where an object's packed bytes begin."""

    pack: Pack
    offset: int


class Pack:
    """One pack: its index in memory, its data read where asked.

    Memory: 28 bytes an object, and up to 32 MiB of bases of deltas.

    Attributes:
        stem: Its file's name without suffix.
        count: Number of objects.
        is_whole: The pack has not been cut short.

    Raises:
        HashMismatchError: The index is damaged.
        FileNotFoundError: The pack is gone: it was folded into another.
    """

    def __init__(self, index_path: Path) -> None:
        self.path = index_path.with_suffix(".pack")
        self.stem = index_path.stem
        self._index = index_path.read_bytes()
        self._fanout = (0, *struct.unpack_from(">256I", self._index, 8)) if len(self._index) >= _HEADER_BYTES else (0,)
        self.count = self._fanout[-1]
        is_long_enough = len(self._index) >= _HEADER_BYTES + 28 * self.count + 40
        if self._index[:8] != b"\377tOc\0\0\0\2" or not is_long_enough or list(self._fanout) != sorted(self._fanout):
            raise _damaged_index(index_path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)
        self._size = os.fstat(self._fd).st_size
        # A pack ends with the checksum that its index records, so a cut pack is known by its last bytes.
        self.is_whole = self.read(max(0, self._size - 20), 20) == self._index[-40:-20]
        self._bases: dict[int, tuple[int, bytes]] = {}
        self._bases_bytes = 0

    def read(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes of the pack, as far as it has them; damage may ask for absurdly many."""
        return os.pread(self._fd, max(0, min(size, self._size - offset)), offset)

    def name(self, position: int) -> bytes:
        """The id at *position* in sorted order."""
        start = _HEADER_BYTES + 20 * position
        return self._index[start : start + 20]

    def find(self, oid: bytes) -> int | None:
        """Offset of *oid* in the pack, None when it is not here; costs a bisection of the ids with its first byte."""
        low, high = self._fanout[oid[0]], self._fanout[oid[0] + 1]
        position = bisect.bisect_left(range(self.count), oid, low, high, key=self.name)
        if position == high or self.name(position) != oid:
            return None
        return self.offset(position)

    def offset(self, position: int) -> int:
        """Offset in the pack of the object at *position*."""
        table = _HEADER_BYTES + 24 * self.count
        (short,) = struct.unpack_from(">I", self._index, table + 4 * position)
        if short < 1 << 31:
            return int(short)
        start = table + 4 * self.count + 8 * (short & 0x7FFFFFFF)
        if start + 8 > len(self._index) - 40:
            raise _damaged_index(self.path.with_suffix(".idx"))
        (large,) = struct.unpack_from(">Q", self._index, start)
        return int(large)

    def packed_sizes(self) -> list[int]:
        """Bytes that each object takes in the pack, by position: from its offset to the next one's.

        Raises:
            HashMismatchError: The index is damaged.

        Cost: a microsecond an object; the pack is not read.
        """
        offsets = [self.offset(position) for position in range(self.count)]
        sizes, end = [0] * self.count, self._size - 20
        for position in sorted(range(self.count), key=offsets.__getitem__, reverse=True):
            sizes[position] = max(0, end - offsets[position])
            end = offsets[position]
        return sizes

    def base(self, offset: int) -> tuple[int, bytes] | None:
        """Type number and body of an object that was the base of a delta lately."""
        return self._bases.get(offset)

    def remember_base(self, offset: int, kind: int, body: bytes) -> None:
        """Keep a base: the objects of one chain are mostly read one after the other."""
        if self._bases_bytes + len(body) > _BASES_BYTES:
            self._bases, self._bases_bytes = {}, 0
        self._bases[offset] = kind, body
        self._bases_bytes += len(body)


class ObjectIndex:
    """All packs of one directory.

    Args:
        pack_dir: `objects/pack` of the store.

    Attributes:
        packs: Those that can be read, the largest first.
        unsound: Names of packs that cannot be read at all, or that have been cut short.
    """

    def __init__(self, pack_dir: Path) -> None:
        self._pack_dir = pack_dir
        self.packs: list[Pack] = []
        self.unsound: list[str] = []
        self._paths: set[Path] = set()
        self.refresh()

    def refresh(self) -> bool:
        """Look for packs again; whether there are others than before. The largest come first, as most objects are there.

        A pack whose index cannot be read is passed over, so that the others stay readable; `verify` tells of it.

        Cost: a directory listing; every index is read when it has changed.
        """
        paths = set(self._pack_dir.glob("pack-*.idx"))
        if paths == self._paths:
            return False
        packs, unsound = [], []
        for path in paths:
            try:
                packs.append(Pack(path))
            except (OSError, HashMismatchError):
                if path.exists():  # else it was folded into another since the listing
                    unsound.append(path.stem)
        self._paths = paths
        self.packs = sorted(packs, key=lambda pack: -pack.count)
        self.unsound = sorted([*unsound, *(pack.path.stem for pack in packs if not pack.is_whole)])
        return True

    def find(self, oid: bytes) -> Location | None:
        """Where *oid* is, or None; costs one bisection a pack."""
        for pack in self.packs:
            offset = pack.find(oid)
            if offset is not None:
                return Location(pack, offset)
        return None

    def contains(self, oid: bytes, trusted: Container[str] | None = None) -> bool:
        """Whether some pack has *oid*; one that was cut short does not count, so that its objects are stored again.

        Args:
            trusted: Names of the packs that count; None for all.
        """
        return any(
            pack.is_whole and (trusted is None or pack.stem in trusted) and pack.find(oid) is not None for pack in self.packs
        )

    def read(self, oid: bytes) -> tuple[str, bytes] | None:
        """Kind and body of an object; None when no pack has it.

        Raises:
            HashMismatchError: In no pack that has it can its bytes be read, inflated and hashed to *oid*.
        """
        damaged: HashMismatchError | None = None
        for pack in self.packs:
            offset = pack.find(oid)
            if offset is None:
                continue
            try:
                return read_at(pack, offset, oid)
            except HashMismatchError as error:
                damaged = error
        if damaged is not None:
            raise damaged
        return None


def read_at(pack: Pack, offset: int, oid: bytes) -> tuple[str, bytes]:
    """Kind and body of the object at *offset*, checked against *oid*.

    Raises:
        HashMismatchError: Its bytes cannot be read, cannot be inflated or do not hash to *oid*.

    Cost: one or two reads; for a delta, as many again for each base that was not read lately.
    """
    try:
        number, body = _resolve(pack, offset)
    except (deflate.error, IndexError, ValueError, OSError, MemoryError) as error:
        raise _damaged(oid, pack.path) from error
    kind = _KINDS.get(number)
    if kind is None or object_id(kind, body) != oid:
        raise _damaged(oid, pack.path)
    return kind, body


def size_at(pack: Pack, offset: int) -> int:
    """Size in bytes of the body of the object at *offset*, as its header or its delta tells; no hash is checked.

    Raises:
        HashMismatchError: It cannot be read or decoded.

    Cost: one or two small reads, however large the object is.
    """
    try:
        number, size, header = _parse_header(pack.read(offset, _HEADER_GUESS_BYTES))
        if number not in (_OFFSET_DELTA, _NAME_DELTA):
            return size
        start = pack.read(offset, _GUESS_BYTES)
        header += 20 if number == _NAME_DELTA else _length_of_distance(start, header)
        return result_size(deflate.decompressobj().decompress(start[header:], _DELTA_HEADER_BYTES))
    except (deflate.error, IndexError, ValueError, OSError) as error:
        name = f"The object at byte {offset} of {pack.path.name}"
        raise HashMismatchError(f"{name} is damaged: its size cannot be told.", hint="Run `cronos verify`.") from error


def _length_of_distance(data: bytes, position: int) -> int:
    """Bytes that the distance to a delta's base takes at *position*."""
    length = 1
    while data[position + length - 1] & 0x80:
        length += 1
    return length


def _resolve(pack: Pack, offset: int) -> tuple[int, bytes]:
    """Type number and body of the object at *offset*, with every delta of its chain applied."""
    deltas: list[tuple[int, bytes]] = []
    for _ in range(_LONGEST_CHAIN):
        known = pack.base(offset) if deltas else None
        if known is not None:
            return _apply(pack, offset, known, deltas)
        start = pack.read(offset, _GUESS_BYTES)
        number, size, header = _parse_header(start)
        if number not in (_OFFSET_DELTA, _NAME_DELTA):
            return _apply(pack, offset, (number, _inflate(pack, offset, start, header, size)), deltas)
        base, header = _parse_base(pack, offset, number, start, header)
        deltas.append((offset, _inflate(pack, offset, start, header, size)))
        offset = base
    raise ValueError("a chain of deltas without end")


def _apply(pack: Pack, offset: int, found: tuple[int, bytes], deltas: list[tuple[int, bytes]]) -> tuple[int, bytes]:
    number, body = found
    for at, changes in reversed(deltas):
        pack.remember_base(offset, number, body)
        body = apply_delta(body, changes)
        offset = at
    return number, body


def _parse_base(pack: Pack, offset: int, number: int, start: bytes, position: int) -> tuple[int, int]:
    """Offset of a delta's base in the same pack, and the position behind where it is told."""
    if number == _NAME_DELTA:
        base = pack.find(start[position : position + 20])
        if base is None:
            raise ValueError("the base of a delta is not in the pack")
        return base, position + 20
    byte = start[position]
    back = byte & 0x7F
    while byte & 0x80:
        position += 1
        byte = start[position]
        back = ((back + 1) << 7) | (byte & 0x7F)
    if not 0 < back < offset:
        raise ValueError("the base of a delta lies outside the pack")
    return offset - back, position + 1


def _parse_header(data: bytes) -> tuple[int, int, int]:
    """Type number, size of the body, and length of the header itself."""
    byte = data[0]
    position = 1
    number, size, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        byte = data[position]
        position += 1
        size |= (byte & 0x7F) << shift
        shift += 7
    return number, size, position


def _inflate(pack: Pack, offset: int, start: bytes, header: int, size: int) -> bytes:
    """The body; *start* are the first bytes of the packed object.

    Nobody's deflate makes data longer by more than a thousandth, so a little more than the body's size holds the whole stream,
    and what follows it in the pack is ignored; should it not, twice as much will. Telling the size beforehand spares growing
    the result, which halves the time.
    """
    missing = header + size + (size >> 10) + 128 - len(start)
    packed = start + pack.read(offset + len(start), missing) if missing > 0 else start
    expected = min(size + 1, _MOST_EXPECTED_BYTES)
    try:
        body: bytes = deflate.decompress(packed[header:], 15, expected)
    except deflate.error:
        body = deflate.decompress(pack.read(offset, header + 2 * size + 1024)[header:], 15, expected)
    if len(body) != size:
        raise ValueError("an object of another size than its header tells")
    return body


def _damaged(oid: bytes, path: Path) -> HashMismatchError:
    return HashMismatchError(
        f"Object {oid.hex()} in {path.name} is damaged: its bytes do not match its name.",
        hint="Run `cronos verify` to see which backups and paths are hit.",
        oid=oid.hex(),
    )


def _damaged_index(path: Path) -> HashMismatchError:
    return HashMismatchError(f"The pack index {path} is damaged.", hint="Run `cronos verify`.")
