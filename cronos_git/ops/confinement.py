"""Where restores may go that somebody elsewhere asks for: the project itself, and below the directories of `restore_roots`.

What counts is where a path really leads, all links followed. Floor F7, below the verbs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cronos_git.errors import RefusedError


def require_allowed(target: Path, project: Path, roots: Sequence[str]) -> Path:
    """Where *target* really leads; an open directory may be given as `/proc/self/fd/N`.

    Raises:
        RefusedError: That is neither the project nor at or below one of *roots*.
    """
    real = Path(os.path.realpath(target))
    if real != project and not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        raise RefusedError(
            f"Nothing may be restored to {target} from elsewhere. Nothing was changed.",
            hint="Allowed are the project and what lies below `restore_roots` in the service's configuration.",
            target=str(target),
        )
    return real


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
