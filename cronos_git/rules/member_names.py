"""Names inside archives: which are paths of a project, and which could lead elsewhere.

An archive comes from anywhere, so a name is taken only when it can mean one path below the top and nothing else. Whether two
members of an archive fit together is for the reader of the archive to see. Floor F4: pure.
"""

from __future__ import annotations

import re

from cronos_git.errors import RefusedError

_DEEPEST = 400
_LONGEST_NAME_BYTES = 255
_DRIVE = re.compile(r"[A-Za-z]:")


def member_path(name: str, *, windows: bool = False) -> str:
    """The path that a member's *name* means, `""` for the archive's top.

    Slashes at the end, empty parts and parts `.` mean nothing and go.

    Args:
        windows: The format is read on Windows too (zip), where a backslash separates directories and `C:` is a drive.

    Raises:
        RefusedError: It is absolute, leads upwards, is nothing that a file can be called, or is nested too deep.
    """
    if name.startswith("/"):
        raise _refused(name, "is absolute")
    if windows and "\\" in name:
        raise _refused(name, "has a backslash, which is a directory to some and a letter to others")
    if windows and _DRIVE.match(name):
        raise _refused(name, "begins with a drive letter")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(name, "leads out of the archive (..)")
    if "\0" in name:
        raise _refused(name, "holds a NUL")
    if len(parts) > _DEEPEST:
        raise _refused(name, f"is nested deeper than {_DEEPEST} directories")
    if any(len(part.encode("utf-8", "surrogateescape")) > _LONGEST_NAME_BYTES for part in parts):
        raise _refused(name, f"has a part of more than {_LONGEST_NAME_BYTES} bytes, which no file system keeps")
    return "/".join(parts)


def _refused(name: str, why: str) -> RefusedError:
    shown = name if len(name) <= 200 else name[:200] + "…"
    return RefusedError(
        f"The archive has a member {shown!r}, whose name {why}. Nothing was imported.",
        hint="If you trust the archive, unpack it yourself and import the directory with --created.",
        member=shown,
    )
