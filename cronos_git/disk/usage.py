"""How much room a directory takes. Floor F5."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cronos_git.disk.files import host_error


def tree_size(root: Path, suffix: str = "") -> int:
    """Sum of the lengths, in bytes, of the regular files below *root* whose names end so; symlinks are not followed.

    A file that goes away meanwhile (another process repacks) does not count.

    Raises:
        AccessError, HostError: A directory cannot be read.

    Cost: one stat a file.
    """
    total_bytes = 0
    try:
        for directory, _, names in os.walk(root, onerror=_refuse):
            total_bytes += sum(_file_size(os.path.join(directory, name)) for name in names if name.endswith(suffix))
    except OSError as error:
        raise host_error(error, f"measure {root}") from error
    return total_bytes


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _file_size(path: str) -> int:
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return 0
    return info.st_size if stat.S_ISREG(info.st_mode) else 0
