"""Reads files, links and extended attributes of a project as they are at one moment.

A file is read through a no-follow descriptor and compared with its `fstat` before and after: when it changed meanwhile it is
read again, and when it keeps changing the last reading is kept and marked. Nothing here raises for a file that vanishes or
cannot be read: that is an expected outcome and comes back as a status. Floor F5.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from cronos_git.disk import walk
from cronos_git.disk.walk import Found, found
from cronos_git.model import Attributes

ATTEMPTS = 3
"""How often a changing file is read before its last reading is taken as it is."""

LARGE_ATTEMPTS = 2
"""The same for files that are read in pieces, where each reading costs much."""

_PIECE_BYTES = 16 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_HAS_XATTRS = hasattr(os, "listxattr")

Status = Literal["whole", "changed", "vanished", "unreadable"]
Xattrs = tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Reading:
    """What came of reading one entry.

    Attributes:
        entry: The entry as it was after the last reading.
        status: `changed` when the content may mix several moments; `vanished` and `unreadable` have no content.
        body: The content; empty when it was handed out in pieces.
        why: Reason in words when the status is not `whole`.
    """

    entry: Found
    status: Status = "whole"
    body: bytes = b""
    xattrs: Xattrs = ()
    why: str = ""


def read_file(dir_fd: int, entry: Found) -> Reading:
    """Read a regular file whole into memory; *entry* is what the walk saw of it."""

    reading = _read(dir_fd, entry, ATTEMPTS, _read_to_end)
    if reading.status in ("whole", "changed") and len(reading.body) != reading.entry.size:
        # /proc, some FUSE, a file that changed: what was read is what counts
        reading.entry = reading.entry._replace(size=len(reading.body))
    return reading


def read_large_file(dir_fd: int, entry: Found, take: Callable[[Iterator[bytes]], None]) -> Reading:
    """Read a regular file in pieces of at most 16 MiB.

    Args:
        take: Called with the pieces of one attempt; called again from the start when the file changed meanwhile.
    """

    def stream(fd: int, _size: int) -> bytes:
        take(iter(lambda: os.read(fd, _PIECE_BYTES), b""))
        return b""

    return _read(dir_fd, entry, LARGE_ATTEMPTS, stream)


def read_link(dir_fd: int, entry: Found) -> Reading:
    """Read a symlink's target."""
    try:
        target = os.fsencode(os.readlink(entry.name, dir_fd=dir_fd))
    except FileNotFoundError:
        return Reading(entry, "vanished", why="vanished while it was read")
    except OSError as error:
        return Reading(entry, "unreadable", why=f"cannot be read: {error.strerror}")
    return Reading(entry, body=target, xattrs=xattrs_beneath(dir_fd, entry.name))


@contextlib.contextmanager
def located(root: str, path: str) -> Iterator[tuple[int, Found]]:
    """The directory of *path*, reached through no link and open for the length of the block; and what is at *path* now.

    Raises:
        ProjectError: The project is gone or cannot be read.
        OSError: The way to *path*, or what was there, is gone or cannot be read.
    """
    parent, _, name = path.rpartition("/")
    root_fd = walk.open_project(root)
    try:
        dir_fd = walk.open_beneath(root_fd, parent)
    finally:
        os.close(root_fd)
    try:
        yield dir_fd, found(name, os.stat(name, dir_fd=dir_fd, follow_symlinks=False))
    finally:
        os.close(dir_fd)


def read_now(root: str, path: str) -> bytes:
    """The content of a file, or the target of a symlink, as it is at this moment; no link on the way is followed.

    Raises:
        ProjectError, OSError: As `located`, or it cannot be read.
    """
    with located(root, path) as (dir_fd, entry):
        reading = read_link(dir_fd, entry) if stat.S_ISLNK(entry.mode) else read_file(dir_fd, entry)
    if reading.status in ("vanished", "unreadable"):
        raise OSError(reading.why)
    return reading.body


def read_pieces_now(root: str, path: str) -> Iterator[bytes]:
    """The content of a file as it is at this moment, in pieces; no link is followed.

    Raises:
        ProjectError, OSError: As `located`, or it cannot be read, or is no file.
    """
    with located(root, path) as (dir_fd, entry):
        fd = os.open(entry.name, _OPEN, dir_fd=dir_fd)
        try:
            yield from iter(lambda: os.read(fd, _PIECE_BYTES), b"")
        finally:
            os.close(fd)


def equals(root: str, path: str, pieces: Iterator[bytes]) -> bool:
    """Whether the file's content is what *pieces* make up; memory holds one piece.

    Raises:
        OSError: It cannot be read.
    """
    fd = os.open(os.path.join(root, path), _OPEN)
    try:
        return all(_read_exactly(fd, len(piece)) == piece for piece in pieces) and os.read(fd, 1) == b""
    finally:
        os.close(fd)


def _read_exactly(fd: int, size: int) -> bytes:
    body = b""
    while len(body) < size and (piece := os.read(fd, size - len(body))):
        body += piece
    return body


def _read(dir_fd: int, entry: Found, attempts: int, take: Callable[[int, int], bytes]) -> Reading:
    try:
        fd = os.open(entry.name, _OPEN, dir_fd=dir_fd)
    except FileNotFoundError:
        return Reading(entry, "vanished", why="vanished before it was read")
    except OSError as error:
        return Reading(entry, "unreadable", why=f"cannot be opened: {error.strerror}")
    try:
        return _read_until_stable(fd, entry, attempts, take)
    except OSError as error:
        return Reading(entry, "unreadable", why=f"cannot be read: {error.strerror}")
    finally:
        os.close(fd)


def _read_until_stable(fd: int, entry: Found, attempts: int, take: Callable[[int, int], bytes]) -> Reading:
    before = entry
    for attempt in range(attempts):
        if attempt:
            os.lseek(fd, 0, os.SEEK_SET)
        body = take(fd, before.size)
        after = found(entry.name, os.fstat(fd))
        if not stat.S_ISREG(after.mode):
            return Reading(after, "unreadable", why="is no longer a regular file")
        if after == before:
            return Reading(after, body=body, xattrs=read_xattrs(fd))
        before = after
    return Reading(before, "changed", body, read_xattrs(fd), f"changed while it was read, {attempts} times")


def _read_to_end(fd: int, size: int) -> bytes:
    """One call for a file of the expected size: asking for a byte more shows whether it has grown."""
    body = os.read(fd, size + 1)
    if len(body) == size:
        return body
    pieces = [body]
    while piece := os.read(fd, _PIECE_BYTES):
        pieces.append(piece)
    return b"".join(pieces)


def read_xattrs(where: int | str) -> Xattrs:
    """Extended attributes, ACLs among them, of an open file or of a path (links not followed).

    Those that we may not read are left out.
    """
    if not _HAS_XATTRS:
        return ()
    follow = isinstance(where, int)
    try:
        names = os.listxattr(where, follow_symlinks=follow)
    except OSError:
        return ()
    pairs = []
    for name in sorted(names):
        with contextlib.suppress(OSError):
            pairs.append((name, os.getxattr(where, name, follow_symlinks=follow)))
    return tuple(pairs)


def directory_attributes(fd: int) -> Attributes:
    """The attributes of an open directory as they are now."""
    info = os.fstat(fd)
    return Attributes(
        kind="directory",
        name=".",
        mode=stat.S_IMODE(info.st_mode),
        size_bytes=0,
        mtime_ns=info.st_mtime_ns,
        uid=info.st_uid,
        gid=info.st_gid,
        xattrs=read_xattrs(fd),
    )


def xattrs_beneath(dir_fd: int, name: str) -> Xattrs:
    """Extended attributes of an entry that cannot be opened: a link, FIFO, socket or device."""
    return read_xattrs(f"/proc/self/fd/{dir_fd}/{name}")
