"""Writes restored files, links and directories with all their attributes, through directory descriptors only.

Nothing here follows a symlink or writes into a file that exists: every name is created new (O_EXCL) below a descriptor that was
opened component by component. Owners are numbers of this machine. Owner before mode, since changing the owner clears setuid;
extended attributes between them, since a read-only mode forbids them; times last. What the machine does not allow (an owner, an
extended attribute) comes back as text for the report. Each change passes the gate `files.step` first. Floor F5.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from cronos_git.disk import files, walk
from cronos_git.model import Attributes

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_NO_SUCH_ATTRIBUTE = (errno.ENODATA, errno.ENOTSUP)
_NOT_OURS_TO_REMOVE = (errno.EPERM, errno.EACCES, errno.ENOTSUP)


@contextlib.contextmanager
def opened(root_fd: int, path: str) -> Iterator[int]:
    """The directory *path* below *root_fd*, no symlink followed, for the length of the block."""
    fd = walk.open_beneath(root_fd, path)
    try:
        yield fd
    finally:
        os.close(fd)


def make_directory(dir_fd: int, name: str) -> None:
    """Make a directory that only we may enter until its attributes are applied."""
    files.step("create", name)
    os.mkdir(name, 0o700, dir_fd=dir_fd)


def make_staging(root_fd: int, path: str) -> None:
    """Make a directory below *root_fd* that only we may enter and whose entries inherit no access rules.

    Raises:
        FileExistsError: The name is taken.
        OSError: It cannot be made.
    """
    parent, _, name = path.rpartition("/")
    with opened(root_fd, parent) as parent_fd:
        make_directory(parent_fd, name)
        with opened(parent_fd, name) as fd:
            for attribute in _ACLS:
                _remove_xattr(fd, attribute, _NO_SUCH_ATTRIBUTE)


def write_file(dir_fd: int, attributes: Attributes, pieces: Iterable[bytes]) -> list[str]:
    """Create a regular file with content and attributes.

    Returns:
        What could not be applied, in words.

    Raises:
        FileExistsError: The name is taken: two names of the backup are one on this file system.
        OSError: It cannot be written.
    """
    files.step("create", attributes.name)
    fd = os.open(attributes.name, _CREATE, 0o600, dir_fd=dir_fd)
    try:
        for piece in pieces:
            files.step("write", attributes.name)
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
        return apply_attributes(fd, attributes)
    finally:
        os.close(fd)


def make_link(dir_fd: int, attributes: Attributes, target: bytes) -> list[str]:
    """Create a symlink; Linux keeps no mode for it. Returns what could not be applied."""
    name = attributes.name
    files.step("create", name)
    os.symlink(target, os.fsencode(name), dir_fd=dir_fd)
    uid, gid = attributes.uid, attributes.gid
    now = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    failed = []
    if (now.st_uid, now.st_gid) != (uid, gid):
        failed += _attempt("owner", functools.partial(os.chown, dir_fd=dir_fd, follow_symlinks=False), name, uid, gid)
    failed += _set_xattrs(f"/proc/self/fd/{dir_fd}/{name}", attributes.xattrs)
    os.utime(name, ns=(attributes.mtime_ns, attributes.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
    return failed


def make_fifo(dir_fd: int, attributes: Attributes) -> list[str]:
    """Create a FIFO. Returns what could not be applied."""
    files.step("create", attributes.name)
    os.mkfifo(attributes.name, 0o600, dir_fd=dir_fd)
    fd = os.open(attributes.name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        return apply_attributes(fd, attributes)
    finally:
        os.close(fd)


def make_hard_link(source_fd: int, source: str, dir_fd: int, name: str) -> None:
    """Give the file *source* another name."""
    files.step("create", name)
    os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=dir_fd, follow_symlinks=False)


def apply_attributes(fd: int, attributes: Attributes, *, exact: bool = False) -> list[str]:
    """Set owner, mode, extended attributes and time of an open file or directory; what could not be applied, in words.

    Args:
        exact: Also remove the extended attributes that *attributes* lack, ACLs among them; those of the system and of the
            administrator stay where we may not remove them.
    """
    files.step("attributes", attributes.name)
    uid, gid = attributes.uid, attributes.gid
    failed = []
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) != (uid, gid):
        failed += _attempt("owner", os.fchown, fd, uid, gid)
    if exact:
        failed += _remove_other_xattrs(fd, {name for name, _ in attributes.xattrs})
    failed += _set_xattrs(fd, attributes.xattrs)  # before the mode, which may forbid it
    if failed or attributes.xattrs or attributes.mode & 0o7000:  # what was done may have changed the mode
        now = os.fstat(fd)
    if stat.S_IMODE(now.st_mode) != attributes.mode:
        failed += _attempt("mode", os.fchmod, fd, attributes.mode)
    times = attributes.mtime_ns, attributes.mtime_ns
    return failed + _attempt("time", functools.partial(os.utime, ns=times), fd)


def _set_xattrs(where: int | str, xattrs: Iterable[tuple[str, bytes]]) -> list[str]:
    set_one = functools.partial(os.setxattr, follow_symlinks=isinstance(where, int))
    return [text for name, value in xattrs for text in _attempt(f"attribute {name}", set_one, where, name, value)]


def _remove_other_xattrs(fd: int, kept: Collection[str]) -> list[str]:
    try:
        names = os.listxattr(fd)
    except OSError as error:
        return [] if error.errno == errno.ENOTSUP else [f"attributes not examined: {error.strerror}"]
    failed = []
    for name in sorted(set(names).difference(kept)):
        is_ours = name.startswith("user.") or name in _ACLS
        tolerated = (errno.ENODATA,) if is_ours else (errno.ENODATA, *_NOT_OURS_TO_REMOVE)
        failed += _attempt(f"removal of attribute {name}", _remove_xattr, fd, name, tolerated)
    return failed


def _remove_xattr(fd: int, name: str, tolerated: Collection[int]) -> None:
    try:
        os.removexattr(fd, name)
    except OSError as error:
        if error.errno not in tolerated:
            raise


def _attempt(what: str, act: Callable[..., None], *arguments: object) -> list[str]:
    """Do it; a refusal becomes text, but a full or failing disk stays an error."""
    try:
        act(*arguments)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        return [f"{what} not applied: {error.strerror}"]
    return []


def read_only_directories(path: Path) -> dict[str, int]:
    """Modes of the directories right below *path* that we may not write to.

    Moving a directory to another parent changes its `..`, for which the system asks write permission on it.
    """
    with os.scandir(path) as listing:
        modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in listing if item.is_dir(follow_symlinks=False)}
    return {name: mode for name, mode in modes.items() if not mode & stat.S_IWUSR}


def move_contents(source: Path, target: Path, modes: Mapping[str, int]) -> None:
    """Move everything in *source* into *target* and remove *source*; may be repeated after a crash.

    Args:
        modes: What `read_only_directories` told of the source.
    """
    for name in sorted(os.listdir(source)):
        if name in modes:
            os.chmod(source / name, modes[name] | stat.S_IWUSR)
        files.rename(source / name, target / name)
    for name, mode in modes.items():
        os.chmod(target / name, mode)
    os.rmdir(source)


def free_bytes(path: Path) -> int:
    """Bytes that we may still write on the file system of *path*."""
    info = os.statvfs(path)
    return info.f_bavail * info.f_frsize


def remove_tree(path: Path) -> None:
    """Delete a staging directory of ours whole, as `remove_beneath`."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_beneath(fd, path.name)
    finally:
        os.close(fd)


def remove_beneath(root_fd: int, path: str) -> None:
    """Delete the directory *path* below *root_fd* whole, closed and read-only directories too; no error when it is gone.

    Only for directories that CRONOS made and journalled. No symlink is followed.
    """
    parent, _, name = path.rpartition("/")
    with contextlib.suppress(FileNotFoundError), opened(root_fd, parent) as fd:
        files.step("unlink", path)
        _remove_below(fd, name)


def _remove_below(dir_fd: int, name: str) -> None:
    fd = open_own(dir_fd, name)
    try:
        os.fchmod(fd, 0o700)
        with os.scandir(fd) as listing:
            entries = [(item.name, item.is_dir(follow_symlinks=False)) for item in listing]
        for child, is_directory in entries:
            with contextlib.suppress(FileNotFoundError):
                if is_directory:
                    _remove_below(fd, child)
                else:
                    os.unlink(child, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=dir_fd)


def open_own(dir_fd: int, name: str) -> int:
    """Open a directory of ours, even one whose mode already shuts us out."""
    try:
        return os.open(name, _OPEN_DIRECTORY, dir_fd=dir_fd)
    except PermissionError:
        shut = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.chmod(f"/proc/self/fd/{shut}", 0o700)
    finally:
        os.close(shut)
    return os.open(name, _OPEN_DIRECTORY, dir_fd=dir_fd)
