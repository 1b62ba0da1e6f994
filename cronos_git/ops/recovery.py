"""Cleans up after restores whose process died: back to the state before, or to the end when only that was left. Floor F7."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cronos_git.disk.moves import locked_directory
from cronos_git.errors import CronosError
from cronos_git.git.store import Store
from cronos_git.model import Recovery
from cronos_git.ops import journal, unfolding, unwinding

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of one restore.

    Attributes:
        record: The last record of its journal.
    """

    recovery: Recovery
    record: Mapping[str, Any]


def _nothing(_recovered: Recovered) -> None:
    """Nothing hangs on it."""


def recover(store: Store, *, insist: bool, conclude: Callable[[Recovered], None] = _nothing) -> list[Recovered]:
    """Clean up after every restore whose process died; those of living processes are left alone.

    Args:
        store: Locked exclusively by the caller.
        conclude: Called for each that is cleaned up, before its journal goes: if killed there, it is called again.
        insist: Also roll back where somebody has changed files since; their versions then stand beside, under another name.

    Raises:
        RecordFormatError, AccessError, HostError: A journal cannot be read.
    """
    found = []
    for path, record in journal.abandoned(store):
        if record.get("verb") != "restore":
            continue
        recovered = Recovered(_recover_one(record, insist), record)
        if recovered.recovery.result != "left":
            conclude(recovered)
            journal.discard(path)
        found.append(recovered)
    return found


def _recover_one(record: Mapping[str, Any], insist: bool) -> Recovery:
    target = str(record["target"])
    try:
        if "stagings" in record:
            return _recover_in_place(target, record, insist)
        is_complete = unfolding.recover(record)
    except (OSError, CronosError) as error:
        return Recovery(target=target, result="left", text=f"It could not be cleaned up: {error}")
    if is_complete:
        return Recovery(target=target, result="finished", text="The interrupted restore is complete now.")
    return Recovery(target=target, result="rolled back", text="The interrupted restore is undone: nothing was restored.")


def _recover_in_place(target: str, record: Mapping[str, Any], insist: bool) -> Recovery:
    if not os.path.isdir(target):
        return Recovery(target=target, result="left", text="The directory is not there. Bring it back, or delete the journal.")
    with locked_directory(target) as root_fd:
        if os.fstat(root_fd).st_ino != record["inode"]:
            text = "Another directory is there now than was being restored. Bring that one back, or delete the journal."
            return Recovery(target=target, result="left", text=text)
        if record["phase"] == "moved":
            unwinding.finish(root_fd, record)
            return Recovery(target=target, result="finished", text="The interrupted restore is complete now.")
        changed = [] if insist else unwinding.disturbed(root_fd, record)
        if changed:
            names = ", ".join(changed[:_SHOWN]) + (f" and {len(changed) - _SHOWN:,} more" if len(changed) > _SHOWN else "")
            text = (
                f"Half of a restore is in place, and {names} changed since. `cronos recover` rolls back and keeps both versions."
            )
            return Recovery(target=target, result="left", text=text)
        told = unwinding.roll_back(root_fd, record)
    return Recovery(target=target, result="rolled back", text=" ".join(["The state before the restore is back.", *told]))
