"""The files of hooks: the texts that are shipped, and reading, writing and putting back those in a hooks directory.

The shipped texts are `hooks/` of the source, which the package holds too. What a text means is `rules/hooks.py`'s. Floor F5.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.files import host_error

_SHIPPED = Path(__file__).parent.parent / "hooks"
_MODE = 0o755


def shipped(name: str) -> str:
    """The text of hook *name* as shipped.

    Raises:
        HostError: The installation is not whole.
    """
    try:
        return (_SHIPPED / name).read_text("utf-8")
    except OSError as error:
        raise host_error(error, f"read the hook {name}") from error


def read(path: Path) -> str | None:
    """The text of a hook; None when there is none, empty for what is no regular file: a link leads to somebody else's.

    Raises:
        AccessError, HostError: It cannot be read.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise host_error(error, f"read the hook {path}") from error


def is_same(first: Path, second: Path) -> bool:
    """Whether two hooks are the same file, or have the same content and kind."""
    if os.path.samestat(first.lstat(), second.lstat()):
        return True
    if first.is_symlink() or second.is_symlink():
        return first.is_symlink() and second.is_symlink() and first.readlink() == second.readlink()
    return first.is_file() and second.is_file() and first.read_bytes() == second.read_bytes()


def write(path: Path, text: str, *, keep: Path | None) -> None:
    """Put a hook in place, with the right to be run; makes the directory when it is missing.

    Args:
        keep: Where the file that is there now shall be kept; None to replace it.

    Raises:
        DiskFullError, AccessError, HostError: The hook that was there is still there.

    Durability: when this returns, both survive a power cut; at no time before is there no hook where there was one, unless the
    file system knows no hard links.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if keep is not None:
            _keep(path, keep)
    except OSError as error:
        raise host_error(error, f"keep the hook {path}") from error
    files.write_durable(path, text.encode("utf-8", "surrogateescape"), mode=_MODE)


def _keep(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept, follow_symlinks=False)
    except FileExistsError:
        return  # of a run that was killed after this step; `ops.hooks` has compared the two
    except OSError:
        files.rename(path, kept)


def remove(path: Path, kept: Path | None) -> None:
    """Remove a hook, or have *kept* take its place again.

    Raises:
        AccessError, HostError: It is as it was.

    Durability: when this returns, it survives a power cut.
    """
    try:
        if kept is not None:
            files.rename(kept, path)
        else:
            files.unlink(path)
        files.fsync_directory(path.parent)
    except OSError as error:
        raise host_error(error, f"remove the hook {path}") from error
