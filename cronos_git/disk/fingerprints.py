"""The stat cache: what the last run saw in each directory, and which objects it made of it.

An unchanged directory costs one dictionary look-up; a changed one has its files compared one by one, and only those that differ
are read. The cache is disposable: when it is missing, damaged, of another version, or built on backups or packs that are no
longer there, everything is read again, as it must not vouch for objects that were lost. It never holds an entry that was changed
within the last moments before the run began, since a later change within the same clock tick would go unseen. Floor F5.

Format: magic line; 32 hex digits of the BLAKE2b digest of all that follows, line feed; names of packs parted by spaces, line
feed; then marshal version 2 of `(bases, directories)`.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cronos_git.disk import files
from cronos_git.disk.walk import Found
from cronos_git.rules import deflate

_MAGIC = b"cronos-statcache 2\n"
_BODY_START = len(_MAGIC) + 33

RACY_NS = 2_000_000_000
"""Margin for coarse file-system clocks (2 s on FAT) and a little skew of a file server's clock."""


class KnownFile(NamedTuple):
    """A file as it was when its content was stored.

    Attributes:
        tree_mode: Mode of its entry in the Git tree; 0 when it has none (FIFO, socket, device).
        stored: Its stored name, empty when that is the plain name.
        oid: 20-byte id of its blob, or of its tree of chunks.
        xattrs: Its extended attributes as the attribute record writes them.
    """

    mode: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    tree_mode: int
    stored: bytes
    oid: bytes
    xattrs: str

    def matches(self, entry: Found) -> bool:
        """Whether nothing about the file's content or extended attributes can have changed."""
        return (self.mode, self.inode, self.size, self.mtime_ns, self.ctime_ns, self.device) == (
            entry.mode,
            entry.inode,
            entry.size,
            entry.mtime_ns,
            entry.ctime_ns,
            entry.device,
        )


class KnownDirectory(NamedTuple):
    """A directory as it was stored.

    Attributes:
        fingerprint: From the walk; empty when it may not be trusted.
        below: Digest over the ids of its subdirectories' trees.
        data: 20-byte id of its tree in `data/`.
        attributes: The same in `meta/attributes/`.
        entry_count: Number of its entries that are held, directories apart.
        size_bytes: Bytes of the regular files among them.
        files: Deflated marshal of `{name: KnownFile as tuple}`; decoded only when the directory changed.
    """

    fingerprint: bytes
    below: bytes
    data: bytes
    attributes: bytes
    entry_count: int
    size_bytes: int
    files: bytes

    def known_files(self) -> dict[str, KnownFile]:
        """The files, by name."""
        fields_by_name = marshal.loads(deflate.decompress(self.files))  # noqa: S302 - its digest was checked at load
        return {name: KnownFile(*fields) for name, fields in fields_by_name.items()}


def pack_files(known: dict[str, KnownFile]) -> bytes:
    """The `files` of a KnownDirectory."""
    plain = marshal.dumps({name: tuple(fields) for name, fields in known.items()}, 2)
    packed: bytes = deflate.compress(plain, deflate.LEVEL)
    return packed


@dataclass(slots=True)
class StatCache:
    """The directories by path, and what holds every object named here.

    Attributes:
        bases: Snapshot commits (hex ids) that lead to them.
        packs: Names of the packs that were there when the cache was saved: they lie in some of these.
    """

    bases: list[str] = field(default_factory=list)
    packs: list[str] = field(default_factory=list)
    directories: dict[str, KnownDirectory] = field(default_factory=dict)


def load_statcache(path: Path, commits: Collection[str], packs: Collection[str]) -> StatCache:
    """Read the cache; an empty one when it is absent, unreadable, damaged, or not to be believed.

    Args:
        commits: Of the backups that exist; each that the cache rests on must be among them.
        packs: Those that are whole; the same holds.
    """
    raw = _read(path)
    if raw is None:
        return StatCache()
    stamp, _, body = raw[_BODY_START:].partition(b"\n")
    recorded = stamp.decode().split()
    bases, directories = marshal.loads(body)  # noqa: S302 - our own file, and its digest is right
    if not (set(bases) <= set(commits) and set(recorded) <= set(packs)):
        return StatCache()
    return StatCache(bases, recorded, {path: KnownDirectory(*fields) for path, fields in directories.items()})


def recorded_packs(path: Path) -> list[str]:
    """The packs that were there when the cache was saved; none when it is absent, unreadable or damaged."""
    raw = _read(path)
    return raw[_BODY_START:].partition(b"\n")[0].decode().split() if raw is not None else []


def save_statcache(path: Path, cache: StatCache) -> None:
    """Write the cache; atomic, not durable: losing it only costs time.

    Raises:
        DiskFullError, AccessError, HostError: It could not be written; the old one stands.
    """
    body = marshal.dumps((cache.bases, {name: tuple(known) for name, known in cache.directories.items()}), 2)
    _write(path, cache.packs, body)


@contextlib.contextmanager
def restamping(path: Path, packs: Callable[[], list[str]]) -> Iterator[None]:
    """Let the block move objects from pack to pack; the cache then rests on the *packs* that are there after it.

    Killed meanwhile, there is no cache: none is better than one that tells of packs that are gone.

    Raises:
        DiskFullError, AccessError, HostError: The cache could not be removed or written.
    """
    raw = _read(path)
    try:
        files.unlink(path)
    except OSError as error:
        raise files.host_error(error, "remove the stat cache") from error
    try:
        yield
    finally:
        if raw is not None:
            _write(path, packs(), raw[_BODY_START:].partition(b"\n")[2])


def _read(path: Path) -> bytes | None:
    """The file, None unless it is as it was written."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    return raw if raw[:_BODY_START] == _MAGIC + _digest(memoryview(raw)[_BODY_START:]) + b"\n" else None


def _write(path: Path, packs: Collection[str], body: bytes) -> None:
    content = " ".join(packs).encode() + b"\n" + body
    files.write_disposable(path, _MAGIC + _digest(content) + b"\n" + content)


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()
