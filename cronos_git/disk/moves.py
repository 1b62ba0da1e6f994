"""Moves entries between directories of one file system so that nothing is ever lost on the way: swaps, and renames over nothing.

Also what a restore in place must know and do beside that: whether an entry is still the one that was seen, which names a file
system takes for one, a lock on a directory, a flush of everything written. Floor F5.

Source of the flags: renameat2(2), Linux 3.15. Where the kernel or the file system has no such call, a rename over nothing is a
look and a rename, and a swap is refused, for the caller to do in two steps.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cronos_git.disk import files, stage, walk
from cronos_git.errors import StoreLockedError

_NO_REPLACE, _EXCHANGE = 1, 2
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


class Place(NamedTuple):
    """A name in an open directory."""

    dir_fd: int
    name: str


class Stamp(NamedTuple):
    """What tells whether an entry is still the one that was seen; a rename leaves it as it is."""

    inode: int
    mtime_ns: int
    size: int


def stamp_of(info: os.stat_result) -> Stamp:
    """The stamp of an entry, from its `lstat`; the size of a directory says nothing."""
    return Stamp(info.st_ino, info.st_mtime_ns, 0 if stat.S_ISDIR(info.st_mode) else info.st_size)


def look(place: Place) -> os.stat_result | None:
    """The `lstat` of what stands there, or None."""
    try:
        return os.stat(place.name, dir_fd=place.dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def move(source: Place, target: Place) -> None:
    """Rename, but never over something. Durable only after the directories, or the file system, are flushed.

    Raises:
        FileExistsError: Something stands at the target.
        OSError: It cannot be moved; nothing changed.
    """
    files.step("rename", target.name)
    try:
        _rename(source, target, _NO_REPLACE)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        if look(target) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.name) from error
        os.rename(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd)


def remove_directory(place: Place) -> None:
    """Remove an empty directory; raises OSError when it is not, and nothing changed."""
    files.step("rmdir", place.name)
    os.rmdir(place.name, dir_fd=place.dir_fd)


def swap(first: Place, second: Place) -> bool:
    """Let two entries change places at one instant; False, with nothing changed, where the file system cannot.

    Raises:
        OSError: They cannot be moved; nothing changed.
    """
    files.step("swap", second.name)
    try:
        _rename(first, second, _EXCHANGE)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def _rename(source: Place, target: Place, flags: int) -> None:
    names = os.fsencode(source.name), os.fsencode(target.name)
    library = _library()
    if not hasattr(library, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if library.renameat2(source.dir_fd, names[0], target.dir_fd, names[1], flags):
        number = _last_error()
        raise OSError(number, os.strerror(number), target.name)


def sync_filesystem(fd: int) -> None:
    """Make everything that was written to the file system behind *fd* durable.

    Cost: one flush, however many files; also waits for what other programs wrote there.
    """
    files.step("sync", "")
    library = _library()
    if not hasattr(library, "syncfs"):
        os.sync()
    elif library.syncfs(fd):
        number = _last_error()
        raise OSError(number, os.strerror(number))


@functools.cache
def _library() -> Any:
    import ctypes  # here, since it takes 5 ms that only a restore in place needs

    return ctypes.CDLL(None, use_errno=True)


def _last_error() -> int:
    import ctypes

    return ctypes.get_errno()


@contextlib.contextmanager
def locked_directory(path: str) -> Iterator[int]:
    """An open directory, locked against every other restore into it, whatever store that comes from.

    Raises:
        StoreLockedError: Somebody else restores into it.
        OSError: It cannot be opened as a directory.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreLockedError(
                f"Another restore into {path} is running. Nothing was changed.", hint="Wait for it to finish."
            ) from None
        yield fd
    finally:
        os.close(fd)


def open_to_change(root_fd: int, path: str) -> int:
    """Open the directory *path* below *root_fd*, no symlink followed, so that entries can be added and removed.

    A directory that forbids it is made to allow it; the caller sets its attributes again, and closes it.

    Raises:
        OSError: It is gone, no longer a directory, or somebody else's.
    """
    try:
        fd = walk.open_beneath(root_fd, path)
    except PermissionError:
        fd = _unlock(root_fd, path)
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & 0o300 != 0o300:
        os.fchmod(fd, mode | 0o300)
    return fd


def _unlock(root_fd: int, path: str) -> int:
    """Open a directory that shuts us out, or lies in one that does."""
    fd = os.dup(root_fd)
    for name in path.split("/") if path else ():
        try:
            deeper = stage.open_own(fd, name)
        finally:
            os.close(fd)
        fd = deeper
    return fd


# --- names that are one to a file system --------------------------------------------------------------------------


def folded(name: str) -> str:
    """A text that is equal for names that some file system takes for one: case and Unicode composition do not count.

    Source: Unicode Standard, definition D145, canonical caseless matching.
    """
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def spelled_otherwise(dir_fd: int, names: Iterable[str]) -> dict[str, str]:
    """Those of the *names* that lead to an entry of another spelling, with that spelling.

    Cost: an `lstat` a name; when one is found, a listing.
    """
    there = [name for name in names if look(Place(dir_fd, name)) is not None]
    if not there:
        return {}
    listed = os.listdir(dir_fd)
    by_fold = {folded(name): name for name in listed}
    known = frozenset(listed)
    return {name: by_fold.get(folded(name), name) for name in there if name not in known}


def folds_names(dir_fd: int) -> bool:
    """Whether a directory takes upper and lower case for one, as far as the names in it tell without writing."""
    listed = frozenset(os.listdir(dir_fd))
    for name in sorted(listed):
        other = name.swapcase()
        if other != name and other not in listed:
            return look(Place(dir_fd, other)) is not None
    return False
