"""Reads a pack without any index: object after object from its own bytes, past damage as far as objects can be told again.

Every object is named by the hash of what was read, so nothing here is taken on trust. After bytes that are no object the next
one is looked for by the start of a deflate stream, whose own checksum and length must hold. What becomes of the objects is
`ops.repair`'s; packs with a sound index are read by `git.packcheck`. Floor F6.

Source: gitformat-pack(5); RFC 1950.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cronos_git.disk import files
from cronos_git.errors import HashMismatchError, RecordFormatError
from cronos_git.git.delta import apply_delta
from cronos_git.git.pack import format_index, object_id
from cronos_git.git.packcheck import damaged
from cronos_git.git.trees import parse_tree
from cronos_git.rules.record import parse_commit

_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFFSET_DELTA, _NAME_DELTA = 6, 7
_HEADER_BYTES, _DIGEST_BYTES = 12, 20
_LONGEST_HEADER = 32
_PIECE_BYTES = 1 << 20
_STREAM_START = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_LONGEST_CHAIN = 5000
_INDEX_MODE = 0o400


class Slot(NamedTuple):
    """One object as it lies in a pack.

    Attributes:
        end: Offset of the byte behind it.
        number: Its kind; 6 and 7 for deltas.
        size_bytes: Size of what its stream inflates to.
        data: Offset of that stream.
        base: Offset or name of a delta's base; None for a whole object.
        name: Id of a whole object.
    """

    offset: int
    end: int
    number: int
    size_bytes: int
    data: int
    base: int | bytes | None
    name: bytes


class ScannedPack:
    """A pack read from its own bytes.

    Attributes:
        path: The pack.
        places: Offset of each whole object by name; deltas count when their bases are here.
        is_complete: Nothing is missing: as many objects as the header tells, without gaps, and the checksum holds.

    Raises:
        OSError: The pack cannot be opened.

    Cost: every byte is inflated and hashed once, a delta's chain once for each delta. Memory: some 300 bytes an object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size
        self._slots: dict[int, Slot] = {}
        self.places: dict[bytes, int] = {}
        has_gaps = self._scan()
        self._name_deltas()
        is_counted = self._read(0, _HEADER_BYTES) == b"PACK\0\0\0\2" + len(self._slots).to_bytes(4, "big")
        self.is_complete = not has_gaps and is_counted and len(self.places) == len(self._slots) and is_consistent(path)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def read(self, name: bytes) -> tuple[str, bytes]:
        """Kind and body of an object that `places` has.

        Raises:
            HashMismatchError: The disk no longer gives what it gave.
        """
        try:
            number, body = self._resolve(self.places[name])
        except (OSError, ValueError, IndexError, KeyError, zlib.error) as error:
            raise damaged(name, f"{self.path.name} cannot be read again") from error
        if object_id(_KINDS[number], body) != name:
            raise damaged(name, f"{self.path.name} changed while it was read")
        return _KINDS[number], body

    def of_kind(self, kind: str) -> Iterator[bytes]:
        """The whole objects of a kind."""
        for name, offset in self.places.items():
            slot = self._slots[offset]
            if (_KINDS[slot.number] if slot.base is None else self.read(name)[0]) == kind:
                yield name

    def write_index(self) -> None:
        """Write the index of a complete pack beside it.

        Raises:
            DiskFullError, AccessError, HostError: There is none.

        Durability: when this returns, it survives a power cut; if killed earlier, there is none, or what was there.
        """
        digest = self._read(self._size - _DIGEST_BYTES, _DIGEST_BYTES)
        entries = {name: (offset, self._checksum(self._slots[offset])) for name, offset in self.places.items()}
        index = format_index(sorted(entries), entries, digest)
        files.write_durable(self.path.with_suffix(".idx"), index, mode=_INDEX_MODE)

    # --- finding objects ---

    def _scan(self) -> bool:
        """Find every object; whether there were bytes between them that are none."""
        offset, end, has_gaps = _HEADER_BYTES, max(self._size - _DIGEST_BYTES, 0), False
        while offset < end:
            slot = self._slot(offset)
            if slot is None:
                has_gaps = True
                slot = self._next_after(offset, end)
            if slot is None:
                break
            self._slots[slot.offset] = slot
            if slot.base is None:
                self.places.setdefault(slot.name, slot.offset)
            offset = slot.end
        return has_gaps or offset != end

    def _slot(self, offset: int, *, guessed: bool = False) -> Slot | None:
        """The object at *offset*, None when its bytes are none; with *guessed*, also when its content is not of its kind."""
        try:
            number, size, base, data = _parse_header(self._read(offset, _LONGEST_HEADER), offset)
            body, end = self._inflate(data, size)
        except (IndexError, ValueError, zlib.error, OSError):
            return None
        if guessed and not (number in _KINDS and _is_of_kind(number, body)):
            return None
        name = object_id(_KINDS[number], body) if number in _KINDS else b""
        return Slot(offset, end, number, size, data, base, name)

    def _next_after(self, offset: int, end: int) -> Slot | None:
        """The first whole object behind bytes that are none; deltas are found again after it."""
        while offset < end:
            window = self._read(offset, _PIECE_BYTES + _LONGEST_HEADER)
            for match in _STREAM_START.finditer(window):
                slot = self._before_stream(window, match.start(), offset)
                if slot is not None:
                    return slot
            offset += _PIECE_BYTES
        return None

    def _before_stream(self, window: bytes, stream: int, offset: int) -> Slot | None:
        """The whole object whose deflate stream begins at *stream*: its header is a byte, with bytes of a high bit before it."""
        for start in range(stream - 1, max(stream - 10, -1), -1):
            if (window[start] >= 0x80) != (start < stream - 1):
                break
            slot = self._slot(offset + start, guessed=True) if (window[start] >> 4) & 7 in _KINDS else None
            if slot is not None and slot.data == offset + stream:
                return slot
        return None

    # --- names of deltas ---

    def _name_deltas(self) -> None:
        """Name the deltas whose bases are here, until none is added any more."""
        pending = [slot for slot in self._slots.values() if slot.base is not None]
        while pending:
            left = [slot for slot in pending if not self._name_delta(slot)]
            if len(left) == len(pending):
                return
            pending = left

    def _name_delta(self, slot: Slot) -> bool:
        try:
            number, body = self._resolve(slot.offset)
        except (OSError, ValueError, IndexError, KeyError, zlib.error):
            return False
        self.places.setdefault(object_id(_KINDS[number], body), slot.offset)
        return True

    def _resolve(self, offset: int) -> tuple[int, bytes]:
        """Kind and body of the object at *offset*, every delta of its chain applied; KeyError when a base is not here."""
        changes = []
        slot = self._slots[offset]
        while slot.base is not None:
            changes.append(self._inflate(slot.data, slot.size_bytes)[0])
            slot = self._slots[slot.base if isinstance(slot.base, int) else self.places[slot.base]]
            if len(changes) > _LONGEST_CHAIN:
                raise ValueError("a chain of deltas without end")
        body = self._inflate(slot.data, slot.size_bytes)[0]
        for change in reversed(changes):
            body = apply_delta(body, change)
        return slot.number, body

    # --- bytes ---

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, max(size, 0), max(offset, 0))

    def _inflate(self, offset: int, size: int) -> tuple[bytes, int]:
        """What the stream at *offset* holds, and the offset behind it; ValueError unless that is *size* bytes."""
        stream = zlib.decompressobj()
        pieces: list[bytes] = []
        got = 0
        position = offset
        # A damaged header may tell any size, so the stream is fed in small pieces and given up as soon as it grows past it.
        while not stream.eof:
            raw = stream.unconsumed_tail
            if not raw:
                raw = self._read(position, min(_PIECE_BYTES, self._size - position, max(size, 512)))
                position += len(raw)
            if not raw or got > size:
                raise ValueError("a stream that is cut short or too long")
            pieces.append(stream.decompress(raw, _PIECE_BYTES))
            got += len(pieces[-1])
        if got != size:
            raise ValueError("an object of another size than its header tells")
        return b"".join(pieces), position - len(stream.unused_data)

    def _checksum(self, slot: Slot) -> int:
        checksum, position = 0, slot.offset
        while position < slot.end:
            raw = self._read(position, min(_PIECE_BYTES, slot.end - position))
            if not raw:
                raise HashMismatchError(f"The pack {self.path.name} changed while it was read.")
            checksum = zlib.crc32(raw, checksum)
            position += len(raw)
        return checksum


def _parse_header(raw: bytes, offset: int) -> tuple[int, int, int | bytes | None, int]:
    """Kind, size, base, and the offset of the stream, of the object at *offset*; ValueError when there is none such."""
    number, size, shift, position = (raw[0] >> 4) & 7, raw[0] & 15, 4, 1
    while raw[position - 1] & 0x80:
        size |= (raw[position] & 0x7F) << shift
        shift += 7
        position += 1
    base: int | bytes | None = None
    if number == _NAME_DELTA:
        base = raw[position : position + 20]
        position += 20
    elif number == _OFFSET_DELTA:
        back = raw[position] & 0x7F
        while raw[position] & 0x80:
            position += 1
            back = ((back + 1) << 7) | (raw[position] & 0x7F)
        base = offset - back
        position += 1
        if not 0 < back < offset:
            raise ValueError("the base of a delta lies outside the pack")
    elif number not in _KINDS:
        raise ValueError("no kind of object")
    return number, size, base, offset + position


def _is_of_kind(number: int, body: bytes) -> bool:
    """Whether a body can be read as an object of its kind; any body can be a blob."""
    try:
        if _KINDS[number] == "tree":
            parse_tree(body)
        elif _KINDS[number] == "commit":
            parse_commit(body)
    except RecordFormatError:
        return False
    return _KINDS[number] != "tag" or body.startswith(b"object ")


def is_consistent(path: Path) -> bool:
    """Whether a pack ends with the checksum of all its bytes, so that it is as it was written. Cost: one read of it."""
    digest = hashlib.sha1(usedforsecurity=False)
    kept = b""
    try:
        for piece in _pieces(path):
            kept += piece
            digest.update(kept[:-_DIGEST_BYTES])
            kept = kept[-_DIGEST_BYTES:]
    except OSError:
        return False
    return digest.digest() == kept


def _pieces(path: Path) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while piece := os.read(fd, _PIECE_BYTES):
            yield piece
    finally:
        os.close(fd)
