"""Directories that appear whole: made durably with everything in them, or not at all.

Content of single files is `disk.files`'s; what a store consists of is told by `git.store`. Floor F5.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from cronos_git.disk import files

_CREATORS_WAIT_S = 30.0


def make_directory(path: Path) -> None:
    """Make *path* and its missing parents, mode 0700; no error when it is there.

    Raises:
        DiskFullError, AccessError, HostError: A component cannot be made or is not a directory.

    Durability: when this returns, every name that was added survives a power cut.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    try:
        files.step("mkdir", str(path))
        path.mkdir(mode=0o700, exist_ok=True)
        files.fsync_directory(path.parent)
    except OSError as error:
        raise files.host_error(error, f"make the directory {path}") from error


def build_directory(path: Path, content: Mapping[str, bytes | None]) -> bool:
    """Make the directory *path* (mode 0700) with *content* in it, all or nothing.

    It is built as `.<name>.tmp` beside its place and renamed into it. Creators in one parent directory take turns by a lock
    file there, so whatever bears the temporary name when it is one's turn was left by a killed creator, and is removed.

    Args:
        content: By relative path: a file's bytes (mode 0600), or None for a directory; parents come by themselves.

    Returns:
        Whether it was made; False when a non-empty directory stands there already, perhaps made by another process meanwhile.

    Raises:
        DiskFullError, AccessError, HostError: Nothing is left behind.
        StoreLockedError: Another creator has been at work for half a minute.

    Durability: when this returns, all of it survives a power cut; if killed earlier, *path* does not exist.
    """
    make_directory(path.parent)
    staging = path.with_name(f".{path.name}.tmp")
    with files.locked(path.parent / ".cronos-create.lock", wait_s=_CREATORS_WAIT_S):
        try:
            if path.is_dir() and any(path.iterdir()):
                return False
            if os.path.lexists(staging):
                shutil.rmtree(staging)
            _fill(staging, content)
            files.rename(staging, path)
            files.fsync_directory(path.parent)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            raise files.host_error(error, f"create {path}") from error
    return True


def _fill(root: Path, content: Mapping[str, bytes | None]) -> None:
    directories = {root}
    for name, data in content.items():
        path = root / name
        parent = path if data is None else path.parent
        directories.update([parent, *(above for above in parent.parents if root in above.parents)])
    for directory in sorted(directories):
        files.step("mkdir", str(directory))
        directory.mkdir(mode=0o700)
    for name, data in content.items():
        if data is not None:
            _write_new(root / name, data)
    for directory in sorted(directories, reverse=True):
        files.fsync_directory(directory)


def _write_new(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        files.write_all(fd, data, path)
        files.fsync_file(fd, path)
    finally:
        os.close(fd)
