"""Places in a target and in its staging directories, reached through open directories only. Floor F7, below the verbs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from cronos_git.disk import files, moves
from cronos_git.disk.moves import Place
from cronos_git.disk.scanned import Scan
from cronos_git.disk.walk import open_beneath
from cronos_git.ops.steps import host_of, parent_of
from cronos_git.ops.writing import BATCH_FILES

_FLUSH_ONE_BY_ONE = 64
"""Up to so many files or directories are flushed one by one; a flush of the file system waits for other programs' writing too."""

ASIDE = "-old"
"""Ends the name of a slot's neighbour, where an old file goes on file systems that cannot swap."""


class Slots:
    """Hands out places in staging directories, some hundreds to a directory.

    Attributes:
        directories: Every directory that must be made for them, in order.
    """

    def __init__(self, scan: Scan, stagings: Sequence[str]) -> None:
        self._scan = scan
        self._count = dict.fromkeys(stagings, 0)
        self._staging_of = {parent_of(staging): staging for staging in stagings}
        self.directories: list[str] = list(stagings)

    def next(self, path: str) -> str:
        """A new slot on the file system of *path*."""
        staging = self._staging_of[host_of(self._scan, parent_of(path))]
        number = self._count[staging]
        self._count[staging] += 1
        directory = f"{staging}/{number // BATCH_FILES}"
        if number % BATCH_FILES == 0:
            self.directories.append(directory)
        return f"{directory}/{number}"


class Doors:
    """Directories below the target, opened when first asked for and no symlink followed; those used last stay open.

    Args:
        opens: Let us change directories that forbid it; whoever asks for one settles its attributes in the end.
    """

    _LIMIT = 32  # at least two, as a move takes two places

    def __init__(self, root_fd: int, *, opens: bool = False) -> None:
        self._root_fd = root_fd
        self._opens = opens
        self._fds: dict[str, int] = {}

    def open(self, path: str) -> int:
        """The directory *path*."""
        fd = self._fds.pop(path, None)
        if fd is None:
            open_it = moves.open_to_change if self._opens else open_beneath
            fd = open_it(self._root_fd, path)
            if len(self._fds) >= self._LIMIT:
                self.forget(next(iter(self._fds)))
        self._fds[path] = fd  # as the last one: what was used longest ago goes first
        return fd

    def place(self, path: str) -> Place:
        """The place that *path* is."""
        parent, _, name = path.rpartition("/")
        return Place(self.open(parent), name)

    def forget(self, path: str) -> None:
        """Close the directory *path*, if it is open."""
        if path in self._fds:
            os.close(self._fds.pop(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for path in list(self._fds):
            self.forget(path)


@contextmanager
def opened_file(place: Place) -> Iterator[int]:
    """A descriptor of the file at *place* for the block; no link is followed and no FIFO waited for.

    Raises:
        OSError: It cannot be opened.
    """
    fd = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place.dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def is_there(doors: Doors, path: str) -> bool:
    """Whether the directory is; it is open then, so that what lies in it can be changed."""
    try:
        doors.open(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def look_at(doors: Doors, path: str) -> os.stat_result | None:
    """What stands at *path*, or None; also where we may not look."""
    try:
        return moves.look(doors.place(path))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


class Flush:
    """Makes changes durable: one by one when there are few, else all of a file system at once.

    Args:
        count: How many files and directories there are.
    """

    def __init__(self, count: int) -> None:
        self._is_one_by_one = count <= _FLUSH_ONE_BY_ONE

    def one(self, fd: int, path: str) -> None:
        """A file, or the names in a directory, has changed."""
        if self._is_one_by_one:
            files.fsync_file(fd, path)

    def end(self, root_fd: int, stagings: Sequence[str]) -> None:
        """Everything has changed; it is durable when this returns."""
        if not self._is_one_by_one:
            sync_all(root_fd, stagings)


def sync_all(root_fd: int, stagings: Sequence[str]) -> None:
    """Make everything on the file systems of the staging directories durable, and so what was moved there."""
    with Doors(root_fd) as doors:
        for staging in stagings:
            if is_there(doors, parent_of(staging)):
                moves.sync_filesystem(doors.open(parent_of(staging)))


def flush_files(root_fd: int, stagings: Sequence[str], written: Sequence[str], directories: Sequence[str]) -> None:
    """Make these entries, where they are regular files, and the names in these directories durable."""
    flush = Flush(len(written) + len(directories))
    with Doors(root_fd) as doors:
        for path in written:
            info = moves.look(doors.place(path))
            if info is not None and stat.S_ISREG(info.st_mode):
                with opened_file(doors.place(path)) as fd:
                    flush.one(fd, path)
        for path in directories:
            flush.one(doors.open(path), path)
    flush.end(root_fd, stagings)


def put(place: Place, slot: Place, *, replaces: bool) -> Place:
    """Bring what is in the slot to its place, and what is there into the slot, or beside it; where that is now."""
    came = slot
    if not replaces:
        moves.move(slot, place)
    elif not moves.swap(slot, place):
        came = Place(slot.dir_fd, slot.name + ASIDE)
        moves.move(place, came)
        moves.move(slot, place)
    return came


@contextmanager
def at(path: str) -> Iterator[None]:
    """Let an error of the block name the whole path; calls below an open directory only know the last part."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
