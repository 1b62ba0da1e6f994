"""Finds and reads objects in the store's packs, fast, checking every hash.

Our own packs hold whole objects, so reading one is: look up the offset, inflate, hash. That is several times faster than
libgit2, whose hash looks for SHA-1 collisions and which holds Python's lock meanwhile, and it works from several threads. Files
are read with plain reads and not through a mapping: a disk error or a truncated file under a mapping kills the process. What is
stored as a delta (after a compaction) is left to the caller, who asks pygit2. Floor F6.

Source: gitformat-pack(5), index version 2.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import struct
import weakref
from dataclasses import dataclass
from pathlib import Path

from cronos_git.errors import HashMismatchError
from cronos_git.git.pack import object_id
from cronos_git.rules import deflate

_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_DELTAS = (6, 7)
_HEADER_BYTES = 8 + 1024
_GUESS_BYTES = 4096
_MOST_EXPECTED_BYTES = 64 << 20  # a damaged header may tell any size; the result grows past this when it is true


@dataclass(frozen=True, slots=True)
class Location:
    """Where an object's packed bytes begin."""

    pack: Pack
    offset: int


class Pack:
    """One pack: its index in memory, its data read where asked.

    Memory: 28 bytes an object.

    Raises:
        HashMismatchError: The index is damaged.
        FileNotFoundError: The pack is gone: it was folded into another.
    """

    def __init__(self, index_path: Path) -> None:
        self.path = index_path.with_suffix(".pack")
        self._index = index_path.read_bytes()
        self._fanout = (0, *struct.unpack_from(">256I", self._index, 8)) if len(self._index) >= _HEADER_BYTES else (0,)
        self.count = self._fanout[-1]
        is_long_enough = len(self._index) >= _HEADER_BYTES + 28 * self.count + 40
        if self._index[:8] != b"\377tOc\0\0\0\2" or not is_long_enough or list(self._fanout) != sorted(self._fanout):
            raise _damaged_index(index_path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)
        self._size = os.fstat(self._fd).st_size

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


class ObjectIndex:
    """All packs of one directory.

    Args:
        pack_dir: `objects/pack` of the store.
    """

    def __init__(self, pack_dir: Path) -> None:
        self._pack_dir = pack_dir
        self.packs: list[Pack] = []
        self.refresh()

    def refresh(self) -> None:
        """Look for packs again. The largest come first, as most objects are there.

        A pack whose index cannot be read is passed over, so that the others stay readable; `verify` tells of it.

        Cost: every index is read.
        """
        packs = []
        for path in self._pack_dir.glob("pack-*.idx"):
            with contextlib.suppress(OSError, HashMismatchError):
                packs.append(Pack(path))
        self.packs = sorted(packs, key=lambda pack: -pack.count)

    def find(self, oid: bytes) -> Location | None:
        """Where *oid* is, or None; costs one bisection a pack."""
        for pack in self.packs:
            offset = pack.find(oid)
            if offset is not None:
                return Location(pack, offset)
        return None

    def contains(self, oid: bytes) -> bool:
        """Whether some pack has *oid*."""
        return self.find(oid) is not None

    def read(self, oid: bytes) -> tuple[str, bytes] | None:
        """Kind and body of an object; None when no pack has it or it is stored as a delta.

        Raises:
            HashMismatchError: Its bytes cannot be read, cannot be inflated or do not hash to *oid*.
        """
        location = self.find(oid)
        return None if location is None else read_at(location.pack, location.offset, oid)


def read_at(pack: Pack, offset: int, oid: bytes) -> tuple[str, bytes] | None:
    """Kind and body of the object at *offset*, checked against *oid*; None for a delta.

    Raises:
        HashMismatchError: Its bytes cannot be read, cannot be inflated or do not hash to *oid*.
    """
    try:
        start = pack.read(offset, _GUESS_BYTES)
        number, size, header = _parse_header(start)
        if number in _DELTAS:
            return None
        body = _inflate(pack, offset, start, header, size)
    except (deflate.error, IndexError, ValueError, OSError) as error:
        raise _damaged(oid, pack.path) from error
    kind = _KINDS.get(number)
    if kind is None or len(body) != size or object_id(kind, body) != oid:
        raise _damaged(oid, pack.path)
    return kind, body


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
    packed = start + pack.read(offset + len(start), header + size + (size >> 10) + 128 - len(start))
    expected = min(size + 1, _MOST_EXPECTED_BYTES)
    try:
        body: bytes = deflate.decompress(packed[header:], 15, expected)
    except deflate.error:
        body = deflate.decompress(pack.read(offset, header + 2 * size + 1024)[header:], 15, expected)
    return body


def _damaged(oid: bytes, path: Path) -> HashMismatchError:
    return HashMismatchError(
        f"Object {oid.hex()} in {path.name} is damaged: its bytes do not match its name.",
        hint="Run `cronos verify` to see which backups and paths are hit.",
        oid=oid.hex(),
    )


def _damaged_index(path: Path) -> HashMismatchError:
    return HashMismatchError(f"The pack index {path} is damaged.", hint="Run `cronos verify`.")
