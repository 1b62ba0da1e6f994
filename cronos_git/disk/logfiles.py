"""A log file that several processes write at once, and that begins anew when it would get too large.

Every line is added while an flock on the file itself is held, and the file is looked for again once the lock is had: whoever
waited while another one moved it away writes to the new one. So rotation loses no line, and needs no lock file. What a line says
is the caller's. Floor F5.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import HostError

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WAIT_S = 2.0


class LogFile:
    """Adds lines to a log file; may be used by any thread.

    Args:
        path: Where it lies; the older ones are `<path>.1` (the youngest), `<path>.2` …
        size_bytes: A line that would make it larger goes into a new one; a line that is larger than this stands alone.
        keep: How many older ones stay; with 0 the file is emptied.
    """

    def __init__(self, path: Path, *, size_bytes: int, keep: int) -> None:
        self.path = path
        self._size_bytes = size_bytes
        self._keep = keep

    def append(self, line: bytes) -> None:
        """Add *line*, which ends with a newline; makes the file (mode 0600) and its directory when they are absent.

        Raises:
            AccessError, DiskFullError, HostError: It was not added, or was torn by a full disk; it is no plain file; another
                process has held it for two seconds.

        Durability: none; when this returns, the line survives the end of the process, but not a power cut.
        """
        try:
            fd = self._open_locked(len(line))
            try:
                end = os.lseek(fd, 0, os.SEEK_END)
                is_torn = end > 0 and os.pread(fd, 1, end - 1) != b"\n"
                files.write_all(fd, (b"\n" if is_torn else b"") + line, self.path)
            finally:
                os.close(fd)
        except OSError as error:
            raise files.host_error(error, f"write the log file {self.path}") from error

    def _open_locked(self, more_bytes: int) -> int:
        """The file that is in its place, locked and with room for *more_bytes*."""
        deadline = time.monotonic() + _WAIT_S
        while True:
            fd = self._open()
            try:
                if self._is_ours(fd, deadline):
                    size = os.fstat(fd).st_size
                    if not size or size + more_bytes <= self._size_bytes:
                        return fd
                    self._rotate(fd)
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _open(self) -> int:
        try:
            fd = os.open(self.path, _FLAGS, 0o600)
        except FileNotFoundError:
            make_directory(self.path.parent)
            fd = os.open(self.path, _FLAGS, 0o600)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise HostError(f"The log file {self.path} is no plain file.", hint="Give another path as `log_file`.")
        return fd

    def _is_ours(self, fd: int, deadline: float) -> bool:
        """Lock *fd*; whether it still is what bears the name."""
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK:
                    raise
            if time.monotonic() >= deadline:
                raise HostError(f"Another process has held the log file {self.path} for {_WAIT_S:g} seconds.")
            time.sleep(0.005)
        try:
            return os.path.samestat(os.fstat(fd), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _rotate(self, fd: int) -> None:
        """Move the file away, to the first number, and those before it on; what has no number any more goes."""
        if not self._keep:
            os.ftruncate(fd, 0)
            return
        names = [self.path, *(self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self._keep + 1))]
        free = next((place for place, name in enumerate(names) if not os.path.lexists(name)), self._keep)
        for place in range(free, 0, -1):
            files.rename(names[place - 1], names[place])  # the last one replaces the oldest
