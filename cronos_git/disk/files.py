"""Durable writes, no-follow opens, locks: every change that CRONOS makes to its own files goes through here.

One gate makes durability testable: each durable step calls `step(...)`, which does nothing in production and which the fault
sweep replaces to kill the process or to fail the write. Floor F5.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cronos_git.errors import AccessError, CronosError, DiskFullError, HostError, StoreLockedError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)


def _no_step(_name: str, _path: str) -> None:
    return None


step: Callable[[str, str], None] = _no_step
"""Called before each durable step with its name (`write`, `fsync`, `rename`, `fsync_dir`, `unlink`) and path.

Tests assign to it (`disk.files.step = ...`) to record the order of steps, to kill the process, or to raise OSError.
"""


def host_error(error: OSError, doing: str) -> CronosError:
    """Translate an OSError into CRONOS's family; raise the result `from` the original.

    Args:
        doing: What was being done, as in "write the pack".
    """
    where = os.fsdecode(error.filename) if error.filename else ""
    text = f"Cannot {doing}: {error.strerror or error}" + (f" ({where})" if where else "")
    if error.errno in _NO_SPACE:
        return DiskFullError(
            text + ". Earlier backups and the project are untouched.",
            hint="Free space where the store lies, or choose another place with --backup-dir, and run it again.",
            path=where,
        )
    if error.errno in _NO_ACCESS:
        return AccessError(text + ".", hint="Check owner and permissions of that path.", path=where)
    return HostError(text + ".", path=where)


def fsync_file(fd: int, path: str | Path) -> None:
    """Make the content behind *fd* durable."""
    step("fsync", str(path))
    os.fsync(fd)


def fsync_directory(path: str | Path) -> None:
    """Make the names in directory *path* durable."""
    step("fsync_dir", str(path))
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(source: str | Path, target: str | Path) -> None:
    """Rename over *target*; atomic, durable only after `fsync_directory`."""
    step("rename", str(target))
    os.rename(source, target)


def unlink(path: str | Path) -> None:
    """Remove a file of CRONOS's own; no error when it is already gone."""
    step("unlink", str(path))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def write_all(fd: int, data: bytes | bytearray | memoryview, path: str | Path) -> None:
    """Write all of *data* to *fd*, however many calls it takes."""
    step("write", str(path))
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_durable(path: Path, data: bytes, *, mode: int = 0o600, lock_suffix: str = "") -> None:
    """Replace *path* with *data*, all or nothing.

    Args:
        mode: Permission bits, set before the file becomes visible.
        lock_suffix: With `.lock` the temporary file is `<path>.lock`, which is Git's protocol for refs: another
            writer's lock makes this fail with StoreLockedError.

    Raises:
        DiskFullError, AccessError, HostError: Nothing changed; the temporary file is gone.
        StoreLockedError: The lock file exists.

    Durability: when this returns, name and content survive a power cut; if killed earlier, the old content stands.
    Source: https://lwn.net/Articles/457667/
    """
    temporary = path.with_name(path.name + lock_suffix) if lock_suffix else path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _replace(path, temporary, lambda: data, mode)


def rewrite_durable(path: Path, rewrite: Callable[[], bytes], *, mode: int = 0o600) -> None:
    """Replace *path* with what *rewrite* makes of it, which is called while `<path>.lock` keeps every other writer out.

    Raises:
        All errors of `write_durable` and of *rewrite*: Nothing changed; the lock file is gone.

    Durability: as for `write_durable`.
    """
    _replace(path, path.with_name(path.name + ".lock"), rewrite, mode)


def _replace(path: Path, temporary: Path, content: Callable[[], bytes], mode: int) -> None:
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except FileExistsError as error:
        raise StoreLockedError(f"Another writer holds {temporary}.", hint="Wait for it, or run `cronos doctor`.") from error
    except OSError as error:
        raise host_error(error, f"write {path}") from error
    try:
        try:
            write_all(fd, content(), temporary)
            fsync_file(fd, temporary)
        finally:
            os.close(fd)
        rename(temporary, path)
        fsync_directory(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise host_error(error, f"write {path}") from error
        raise


def write_disposable(path: Path, data: bytes) -> None:
    """Replace *path* with *data* atomically but not durably; for files that can be made again.

    Raises:
        DiskFullError, AccessError, HostError: The old content stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            write_all(fd, data, temporary)
        finally:
            os.close(fd)
        rename(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise host_error(error, f"write {path}") from error


def append_line(path: Path, line: bytes) -> None:
    """Append one line durably with a single write; a torn last line of a crash is completed first."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            end = os.lseek(fd, 0, os.SEEK_END)
            torn = end > 0 and os.pread(fd, 1, end - 1) != b"\n"
            write_all(fd, (b"\n" if torn else b"") + line + b"\n", path)
            fsync_file(fd, path)
        finally:
            os.close(fd)
    except OSError as error:
        raise host_error(error, f"write {path}") from error


@contextlib.contextmanager
def locked(
    path: Path, *, shared: bool = False, wait_s: float = 0.0, checkpoint: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Hold an flock on *path* (created when absent) for the length of the block.

    The lock goes with the process, however it ends, so there are no stale locks. A shared lock needs no write permission, so
    that a store on a read-only or failing disk can still be read.

    Args:
        wait_s: How long to try, in seconds; 0 tries once.
        checkpoint: Called between two tries; what it raises ends the waiting.

    Raises:
        StoreLockedError: Somebody else still holds it.
    """
    try:
        fd = _open_lock(path, shared)
    except OSError as error:
        raise host_error(error, f"open the lock {path}") from error
    try:
        _acquire(fd, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, wait_s, checkpoint)
        if not shared:
            with contextlib.suppress(OSError):  # only tells the next one who holds it
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _open_lock(path: Path, shared: bool) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if shared and error.errno in _NO_ACCESS:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        raise


def _acquire(fd: int, path: Path, kind: int, wait_s: float, checkpoint: Callable[[], object]) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise host_error(error, f"lock {path}") from error
        if time.monotonic() >= deadline:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise StoreLockedError(
                f"The store is in use by process {holder} ({path}).",
                hint="Wait for it to finish, or give --lock-wait SECONDS.",
                holder=holder,
            )
        checkpoint()
        time.sleep(min(0.05, max(0.0, deadline - time.monotonic())))
