"""Writes one Git pack and its index, durably, without Git.

Objects are stored whole (no deltas): hash, deflate, append. That is several times faster than `git add` and keeps the number
of fsyncs constant; deltas are compaction's business. The pack becomes visible in one rename with a `.keep` beside it, which
`release` takes away once a ref protects the objects. Safe to use from several threads. Floor F6.

Sources: gitformat-pack(5) for pack and index version 2.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cronos_git.disk import files
from cronos_git.rules import deflate

_TYPES = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_TEMPORARY = "tmp_cronos_"
_KEEP = b"CRONOS: its backup is being made\n"
_FLUSH_BYTES = 4 << 20
_READ_BYTES = 64 << 10
_OFFSET_LIMIT = 1 << 31


class ObjectSink(Protocol):
    """Where new objects go: a pack, or nowhere in a dry run."""

    @property
    def stores(self) -> bool:
        """Whether objects are stored, or only named."""
        ...

    def add(self, kind: str, body: bytes) -> bytes:
        """Take an object, give back its 20-byte id."""
        ...

    def add_content(self, body: bytes) -> bytes:
        """Take a piece of a file's content as a blob, give back its 20-byte id."""
        ...

    def add_packed(self, objects: Iterable[tuple[bytes, bytes]]) -> None:
        """Take objects that `pack_object` made: pairs of id and packed bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PackResult:
    """What a finished pack holds.

    Attributes:
        objects: Number of objects in it.
        size_bytes: Bytes of pack and index together.
    """

    path: Path
    objects: int
    size_bytes: int


def object_id(kind: str, body: bytes) -> bytes:
    """The 20-byte name Git gives to an object."""
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(body)), usedforsecurity=False)
    digest.update(body)
    return digest.digest()


def pack_object(kind: str, body: bytes) -> tuple[bytes, bytes]:
    """An object's 20-byte id, and its bytes as they stand in a pack: header and deflated body."""
    return object_id(kind, body), _entry_header(_TYPES[kind], len(body)) + deflate.compress(body, deflate.LEVEL)


class HashSink:
    """An ObjectSink that only names objects; a dry run stores nothing."""

    stores = False

    def add(self, kind: str, body: bytes) -> bytes:
        """The object's 20-byte id."""
        return object_id(kind, body)

    def add_content(self, body: bytes) -> bytes:
        """The blob's id."""
        return object_id("blob", body)

    def add_packed(self, objects: Iterable[tuple[bytes, bytes]]) -> None:
        """Nothing: what is packed has its name already."""


class PackWriter:
    """Collects objects into a new pack of *pack_dir*.

    The file is made with the first new object, so a run that adds nothing leaves nothing.

    Args:
        pack_dir: `objects/pack` of the store.
        contains: Tells whether the store already has an object; such objects are not written again.
    """

    stores = True

    def __init__(self, pack_dir: Path, contains: Callable[[bytes], bool]) -> None:
        self._pack_dir = pack_dir
        self._contains = contains
        self._lock = threading.Lock()
        self._entries: dict[bytes, tuple[int, int]] = {}
        self._buffer = bytearray()
        self._offset = 12
        self._fd = -1
        # Not named *.pack and *.idx: git takes any file of these names in this directory for a pack.
        self._temporary = pack_dir / f"{_TEMPORARY}{os.getpid()}_{id(self):x}_pack"
        self._temporary_index = pack_dir / f"{_TEMPORARY}{os.getpid()}_{id(self):x}_idx"
        self._keep: Path | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing had to be stored so far."""
        return not self._entries

    def add(self, kind: str, body: bytes) -> bytes:
        """Store an object unless it is there already.

        Returns:
            Its 20-byte id.

        Raises:
            DiskFullError, AccessError, HostError: The pack cannot be written; call `abort`.
        """
        oid = object_id(kind, body)
        if oid not in self._entries and not self._contains(oid):
            self._append([(oid, pack_object(kind, body)[1])])
        return oid

    def add_content(self, body: bytes) -> bytes:
        """Store a blob unless it is there already; as `add`."""
        return self.add("blob", body)

    def add_packed(self, objects: Iterable[tuple[bytes, bytes]]) -> None:
        """Store objects that `pack_object` made, unless they are there already; errors as `add`."""
        self._append([(oid, packed) for oid, packed in objects if not self._contains(oid)])

    def _append(self, objects: Iterable[tuple[bytes, bytes]]) -> None:
        with self._lock:
            for oid, encoded in objects:
                if oid not in self._entries:
                    self._entries[oid] = (self._offset, deflate.crc32(encoded))
                    self._buffer += encoded
                    self._offset += len(encoded)
            if len(self._buffer) >= _FLUSH_BYTES:
                self._flush()

    def _flush(self) -> None:
        try:
            if self._fd < 0:
                self._fd = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400)
                files.write_all(self._fd, _pack_header(0), self._temporary)
            files.write_all(self._fd, self._buffer, self._temporary)
        except OSError as error:
            raise files.host_error(error, "write the pack") from error
        self._buffer = bytearray()

    def read(self, oid: bytes) -> tuple[str, bytes] | None:
        """Kind and body of an object that the unfinished pack holds; None for any other.

        Raises:
            DiskFullError, AccessError, HostError: The pack cannot be written or read.
        """
        with self._lock:
            if oid not in self._entries:
                return None
            if self._buffer:
                self._flush()
        try:
            return _read_entry(self._fd, self._entries[oid][0])
        except OSError as error:
            raise files.host_error(error, "read the pack") from error

    def finish(self) -> PackResult | None:
        """Complete the pack and make it durable and visible; None when there was nothing to store.

        Durability: when this returns, pack, index and their names survive a power cut, and the `.keep` file protects them
        from repacking until `release`. If killed earlier, at most temporary files are left, which nothing reads.
        """
        if not self._entries:
            return None
        self._flush()
        try:
            digest = self._seal()
            names = sorted(self._entries)
            stem = self._pack_dir / f"pack-{hashlib.sha1(b''.join(names), usedforsecurity=False).hexdigest()}"
            size = self._offset + 20 + _write_index(self._temporary_index, names, self._entries, digest)
            self._publish(stem)
        except OSError as error:
            raise files.host_error(error, "write the pack") from error
        return PackResult(path=stem.with_suffix(".pack"), objects=len(names), size_bytes=size)

    def _seal(self) -> bytes:
        """Patch the object count, append the checksum, fsync; the checksum covers the header, so the file is read again."""
        os.pwrite(self._fd, _pack_header(len(self._entries)), 0)
        digest = hashlib.sha1(usedforsecurity=False)
        position = 0
        while piece := os.pread(self._fd, 1 << 20, position):
            digest.update(piece)
            position += len(piece)
        files.write_all(self._fd, digest.digest(), self._temporary)
        files.fsync_file(self._fd, self._temporary)
        os.close(self._fd)
        self._fd = -1
        return digest.digest()

    def _publish(self, stem: Path) -> None:
        self._keep = keep_pack(stem)
        files.rename(self._temporary, stem.with_suffix(".pack"))
        files.rename(self._temporary_index, stem.with_suffix(".idx"))
        files.fsync_directory(self._pack_dir)

    def release(self) -> None:
        """Let repacking touch the pack: call it once a ref protects its objects.

        A `.keep` file that cannot be removed now is a leftover for the next writer.
        """
        if self._keep is not None:
            with contextlib.suppress(OSError):
                files.unlink(self._keep)

    def abort(self) -> None:
        """Drop everything that is not visible yet; safe to call at any time, also after `finish`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        for leftover in (self._temporary, self._temporary_index):
            with contextlib.suppress(OSError):
                files.unlink(leftover)


def keep_pack(stem: Path) -> Path:
    """Make the `.keep` file that protects a pack which is about to become visible; its path."""
    keep = stem.with_suffix(".keep")
    fd = os.open(keep, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        files.write_all(fd, _KEEP, keep)
    finally:
        os.close(fd)
    return keep


def leftovers(pack_dir: Path) -> list[Path]:
    """What killed writers left: temporary files, packs without index, and `.keep` files of ours, which go last.

    A living writer has such files too. A pack without index that no `.keep` of ours protects was finished once and has lost its
    index, which can be made anew, so it stays.
    """

    def is_ours(keep: Path) -> bool:
        try:
            content = keep.read_bytes()
        except FileNotFoundError:
            return False
        return content == _KEEP or (not content and not keep.with_suffix(".pack").exists())

    def is_left(path: Path) -> bool:
        if path.suffix == ".pack":
            return not path.with_suffix(".idx").exists() and is_ours(path.with_suffix(".keep"))
        return path.name.startswith(_TEMPORARY) or (path.suffix == ".keep" and is_ours(path))

    return [path for path in sorted(pack_dir.iterdir(), reverse=True) if is_left(path)]


def remove_leftovers(pack_dir: Path) -> list[str]:
    """Delete the leftovers; the names of what was removed.

    Call it only under the store's exclusive lock, when no other writer can be alive.
    """
    try:
        paths = leftovers(pack_dir)
        for path in paths:
            files.unlink(path)
    except OSError as error:
        raise files.host_error(error, "remove what an interrupted run left in the store") from error
    return [path.name for path in paths]


def _pack_header(count: int) -> bytes:
    return struct.pack(">4sII", b"PACK", 2, count)


def _entry_header(kind: int, size: int) -> bytes:
    byte = (kind << 4) | (size & 15)
    size >>= 4
    encoded = bytearray()
    while size:
        encoded.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    encoded.append(byte)
    return bytes(encoded)


def _read_entry(fd: int, offset: int) -> tuple[str, bytes]:
    """Kind and body of the object that begins at *offset* of a pack; written by this process, so taken for whole."""
    raw = os.pread(fd, _READ_BYTES, offset)
    kind = {number: kind for kind, number in _TYPES.items()}[(raw[0] >> 4) & 7]
    start = next(place for place, byte in enumerate(raw) if byte < 0x80) + 1
    stream = deflate.decompressobj()
    body: bytes = stream.decompress(raw[start:])
    while not stream.eof and raw:
        offset += len(raw)
        raw = os.pread(fd, _READ_BYTES, offset)
        body += stream.decompress(raw)
    return kind, body


def _write_index(path: Path, names: list[bytes], entries: dict[bytes, tuple[int, int]], pack_digest: bytes) -> int:
    """Write the version 2 index of sorted *names*; its size in bytes. Offsets past 2 GiB go to the 64-bit table."""
    body = format_index(names, entries, pack_digest)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400)
    try:
        files.write_all(fd, body, path)
        files.fsync_file(fd, path)
    finally:
        os.close(fd)
    return len(body)


def format_index(names: list[bytes], entries: dict[bytes, tuple[int, int]], pack_digest: bytes) -> bytes:
    """The bytes of a version 2 pack index.

    Args:
        names: Object ids, sorted.
        entries: Offset in the pack (bytes from its start) and CRC-32 of each object's packed bytes.
        pack_digest: The pack's trailing checksum.
    """
    fanout = [0] * 256
    for name in names:
        fanout[name[0]] += 1
    for byte in range(1, 256):
        fanout[byte] += fanout[byte - 1]
    offsets = [entries[name][0] for name in names]
    large = [offset for offset in offsets if offset >= _OFFSET_LIMIT]
    position = iter(range(len(large)))
    short = [offset if offset < _OFFSET_LIMIT else _OFFSET_LIMIT | next(position) for offset in offsets]
    count = len(names)
    body = b"".join(
        (
            b"\377tOc\0\0\0\2",
            struct.pack(">256I", *fanout),
            b"".join(names),
            struct.pack(f">{count}I", *(entries[name][1] for name in names)),
            struct.pack(f">{count}I", *short),
            struct.pack(f">{len(large)}Q", *large),
            pack_digest,
        )
    )
    return body + hashlib.sha1(body, usedforsecurity=False).digest()
