"""Finds and reads objects in the store's packs, fast, checking every hash.

Our own packs hold whole objects, so reading one is: look up the offset, inflate, hash. That is several times faster than
libgit2, whose hash looks for SHA-1 collisions and which holds Python's lock meanwhile, and it works from several threads. What
is stored as a delta (after a compaction) is left to the caller, who asks pygit2. Floor F6.

Source: gitformat-pack(5), index version 2.
"""

from __future__ import annotations

import bisect
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from cronos_git.errors import HashMismatchError
from cronos_git.git import deflate
from cronos_git.git.pack import object_id

_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_HEADER_BYTES = 8 + 1024


@dataclass(frozen=True, slots=True)
class Location:
    """Where an object's packed bytes begin."""

    pack: Pack
    offset: int


class Pack:
    """One pack with its index, mapped into memory on first use."""

    def __init__(self, index_path: Path) -> None:
        self.path = index_path.with_suffix(".pack")
        self._index = _map(index_path)
        if self._index[:8] != b"\377tOc\0\0\0\2":
            raise HashMismatchError(f"The pack index {index_path} is damaged.", hint="Run `cronos verify`.")
        self._fanout = (0, *struct.unpack_from(">256I", self._index, 8))
        self.count = self._fanout[256]
        self._data: mmap.mmap | bytes | None = None

    @property
    def data(self) -> mmap.mmap | bytes:
        """The pack's bytes."""
        if self._data is None:
            self._data = _map(self.path)
        return self._data

    def name(self, position: int) -> bytes:
        """The id at *position* in sorted order."""
        start = _HEADER_BYTES + 20 * position
        return self._index[start : start + 20]

    def names(self) -> list[bytes]:
        """All ids, sorted."""
        return [self.name(position) for position in range(self.count)]

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
        (large,) = struct.unpack_from(">Q", self._index, table + 4 * self.count + 8 * (short & 0x7FFFFFFF))
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
        """Look for packs again. The largest come first, as most objects are there."""
        indexes = [p for p in self._pack_dir.glob("pack-*.idx") if p.with_suffix(".pack").exists()]
        self.packs = sorted((Pack(path) for path in indexes), key=lambda pack: -pack.count)

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
            HashMismatchError: Its bytes cannot be inflated or do not hash to *oid*.
        """
        location = self.find(oid)
        if location is None:
            return None
        return read_at(location.pack, location.offset, oid)


def read_at(pack: Pack, offset: int, oid: bytes) -> tuple[str, bytes] | None:
    """Kind and body of the object at *offset*, checked against *oid*; None for a delta.

    Raises:
        HashMismatchError: Its bytes cannot be inflated or do not hash to *oid*.
    """
    try:
        number, size, start = _parse_header(pack.data, offset)
        kind = _KINDS.get(number)
        if kind is None and number in (6, 7):
            return None
        body = _inflate(pack.data, start, size)
    except (deflate.error, IndexError, ValueError) as error:
        raise _damaged(oid, pack.path) from error
    if kind is None or len(body) != size or object_id(kind, body) != oid:
        raise _damaged(oid, pack.path)
    return kind, body


def _parse_header(data: mmap.mmap | bytes, offset: int) -> tuple[int, int, int]:
    byte = data[offset]
    offset += 1
    number, size, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        byte = data[offset]
        offset += 1
        size |= (byte & 0x7F) << shift
        shift += 7
    return number, size, offset


def _inflate(data: mmap.mmap | bytes, start: int, size: int) -> bytes:
    """Exactly one deflate stream. What is handed over is first a guess of its length, then twice that until it ends."""
    stream = deflate.decompressobj()
    take = size // 2 + 64
    body: bytes = stream.decompress(data[start : start + take])
    if stream.eof:
        return body
    pieces = [body]
    while not stream.eof:
        start += take
        piece = data[start : start + take]
        if not piece:
            break
        pieces.append(stream.decompress(piece))
    return b"".join(pieces)


def _damaged(oid: bytes, path: Path) -> HashMismatchError:
    return HashMismatchError(
        f"Object {oid.hex()} in {path.name} is damaged: its bytes do not match its name.",
        hint="Run `cronos verify` to see which backups and paths are hit.",
        oid=oid.hex(),
    )


def _map(path: Path) -> mmap.mmap | bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size == 0:
            return b""
        return mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
