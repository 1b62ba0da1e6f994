"""Changes lines of a file in place, for the one file that others append to meanwhile and that cannot be replaced under them.

Everything else that CRONOS writes is replaced whole, by `files`. Floor F5.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cronos_git.disk import files


def blank(path: Path, lines: Mapping[int, bytes]) -> None:
    """Overwrite lines of a file with spaces.

    Args:
        lines: What stands there now without the line end, by offset in bytes; one that is another by now is left alone.

    Raises:
        DiskFullError, AccessError, HostError: Some may stand as they were.

    Durability: when this returns, the spaces survive a power cut; if killed earlier, each line is as it was, blank, or partly so.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            for offset, raw in lines.items():
                if os.pread(fd, len(raw) + 1, offset).removesuffix(b"\n") == raw:
                    files.step("write", str(path))
                    os.pwrite(fd, b" " * len(raw), offset)
            files.fsync_file(fd, path)
        finally:
            os.close(fd)
    except OSError as error:
        raise files.host_error(error, f"write {path}") from error
