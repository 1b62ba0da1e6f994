"""The last step of a restore to a new place, and its recovery, from the journal's record alone. Floor F7, below the verbs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cronos_git.disk import files, stage
from cronos_git.disk.walk import STAGING_PREFIX
from cronos_git.rules.attributes import parse_line


def move_into_place(moving: Mapping[str, Any]) -> None:
    """Turn the staging directory into the target; may be repeated after a crash.

    Raises:
        OSError: It can be tried again.
    """
    staging, target = Path(moving["staging"]), Path(moving["target"])
    if staging.parent != target:
        files.rename(staging, target)
        files.fsync_directory(target.parent)
        return
    if os.path.lexists(staging):
        stage.move_contents(staging, target, moving["modes"])
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        stage.apply_attributes(fd, parse_line(moving["own"]))
    finally:
        os.close(fd)
    files.fsync_directory(target)


def recover(record: Mapping[str, Any]) -> bool:
    """Undo or finish a restore whose process died; whether the target is complete now.

    Raises:
        OSError: It can be tried again.
    """
    staging = Path(record["staging"])
    is_complete: bool = record["phase"] == "moving"
    if staging.name.startswith(STAGING_PREFIX):
        if is_complete:
            move_into_place(record)
        elif os.path.lexists(staging):
            stage.remove_tree(staging)
    return is_complete
