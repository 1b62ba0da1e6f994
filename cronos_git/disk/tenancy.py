"""Private directories for work that leaves nothing behind, even when it is killed: the next one removes what dead ones left.

A living owner holds an flock on a file in its directory. That file appears under its name only once it is locked, so a directory
without it, or with one that is not ours, is left alone. What the directories are for is the caller's. Floor F5.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cronos_git.disk import stage

_OWNER = "owner"
_MARK = b"CRONOS scratch directory\n"


@contextlib.contextmanager
def private_directory(place: Path, prefix: str) -> Iterator[Path]:
    """A new directory in *place*, mode 0700, locked for the length of the block; the caller removes it, by `remove`.

    Raises:
        OSError: It cannot be made; nothing is left.
    """
    root = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        fd = os.open(root / f".{_OWNER}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        root.rmdir()
        raise
    try:
        with contextlib.suppress(OSError):  # where nothing can be locked or written, nothing is marked, and nobody removes it
            os.write(fd, _MARK)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(root / f".{_OWNER}", root / _OWNER)
        yield root
    finally:
        os.close(fd)


def remove(root: Path) -> None:
    """Remove such a directory with all that is in it; the mark goes last, so that what is left by a killed removal is known.

    Raises:
        OSError: Something in it cannot be removed.
    """
    for path in root.iterdir():
        if path.name != _OWNER:
            if path.is_dir() and not path.is_symlink():
                stage.remove_tree(path)
            else:
                path.unlink()
    stage.remove_tree(root)


def remove_abandoned(place: Path, prefix: str) -> None:
    """Remove the directories of `private_directory` in *place* that are ours and whose owner is dead.

    What cannot be looked at or removed is left, as it may be anybody's. No symlink is followed.
    """
    with contextlib.suppress(OSError):
        for root in sorted(place.glob(f"{prefix}*")):
            with contextlib.suppress(OSError), _abandoned(root) as is_abandoned:
                if is_abandoned:
                    remove(root)


@contextlib.contextmanager
def _abandoned(root: Path) -> Iterator[bool]:
    """Whether it is a directory of ours without a living owner; while the block lasts, it is locked then."""
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        yield False
        return
    fd = os.open(root / _OWNER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises BlockingIOError while the owner lives
        yield os.fstat(fd).st_uid == os.geteuid() and os.read(fd, len(_MARK) + 1) == _MARK
    finally:
        os.close(fd)
