"""Where restores may go that somebody elsewhere asks for: the project itself, and below the directories of `restore_roots`.

What counts is where a path really leads, all links followed; and no other user may be able to change that while a restore goes
there. Floor F7, below the verbs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cronos_git.errors import RefusedError


def require_allowed(target: Path, project: Path, roots: Sequence[str]) -> Path:
    """Where *target* really leads; an open directory may be given as `/proc/self/fd/N`.

    Raises:
        RefusedError: That is neither the project nor at or below one of *roots*; or on the way from the root to it, other users
            could put a link elsewhere in a directory's place.
    """
    real = Path(os.path.realpath(target))
    if real == project:
        return real
    root = next((root for root in map(os.path.realpath, roots) if real.is_relative_to(root)), None)
    if root is None:
        raise RefusedError(
            f"Nothing may be restored to {target} from elsewhere. Nothing was changed.",
            hint="Allowed are the project and what lies below `restore_roots` in the service's configuration.",
            target=str(target),
        )
    for directory in (real, *real.parents):
        if directory.is_relative_to(root) and _is_open_to_others(directory):
            raise RefusedError(
                f"Nothing may be restored to {target} from elsewhere: other users can change {directory}. Nothing was changed.",
                hint="Have `restore_roots` name directories that belong to the service's user, and that not all can write to.",
                target=str(target),
            )
    return real


def _is_open_to_others(path: Path) -> bool:
    """Whether others can rename what lies in a directory; its group is trusted, and what is not there is nobody's."""
    try:
        info = path.lstat()
    except OSError:
        return False
    is_free = bool(info.st_mode & stat.S_IWOTH) and not info.st_mode & stat.S_ISVTX
    return stat.S_ISDIR(info.st_mode) and (is_free or info.st_uid not in (0, os.geteuid()))


def choose_place(name: str, roots: Sequence[str]) -> Path:
    """A new place called *name*, or with `-2`, `-3` … after it, in the first of *roots*.

    Raises:
        RefusedError: There is no root.
    """
    if not roots:
        raise RefusedError(
            "There is no place for a restore to a new location that is asked for from elsewhere. Nothing was changed.",
            hint="Name one as `restore_roots` in the service's configuration, or restore in place (merge, overwrite, replace).",
        )
    place, number = Path(roots[0], name), 1
    while os.path.lexists(place):
        number += 1
        place = Path(roots[0], f"{name}-{number}")
    return place
