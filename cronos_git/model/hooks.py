"""Hooks as they stand in a hooks directory, what installing and removing does with them, and what runs report. Floor F1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HookState = Literal["cronos", "changed", "other", "absent"]
HookAction = Literal["install", "update", "remove", "put back", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One hook of a repository.

    Attributes:
        path: Where git looks for it.
        state: `cronos` is ours, `changed` is ours but edited (or of another version), `other` somebody else's, `absent` none.
        kept: Whether a hook that was there before is kept beside it; ours calls that first.
        options: What ours was installed with, as on a command line.
    """

    name: str
    path: str
    state: HookState
    kept: bool
    options: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookChange:
    """What is done with one hook.

    Attributes:
        hook: The hook before.
        action: `install` writes ours, `update` writes it anew, `remove` deletes it, `put back` has the hook that was there before
            take its place again, `none` changes nothing.
        keeps: Whether a hook of somebody else is kept beside ours by this.
    """

    hook: Hook
    action: HookAction
    keeps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOptions:
    """What installed hooks call `cronos` with.

    Attributes:
        general: Options before the command, such as `--backup-dir DIR`.
        tree: The directory to back up; None for the work tree.
        fail_closed: Whether a failed backup stops git; None for the configuration to say.
        budget_s: Time limit in seconds; None for the configuration to say.
    """

    general: tuple[str, ...] = ()
    tree: str | None = None
    fail_closed: bool | None = None
    budget_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookReport:
    """What the run of a hook did.

    Attributes:
        backup: Id of the backup that holds the state now; None when there is none.
        made: Whether it was made by this run.
        text: Why there is no backup; empty when there is one.
        rollback: Command line that brings back the state before a deploy; empty where there is nothing to go back to.
        problems: How many paths could not be saved fully.
    """

    hook: str
    backup: str | None
    made: bool
    text: str = ""
    rollback: str = ""
    problems: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployReport:
    """What a deploy did.

    Attributes:
        backup: Id of the backup before it; None when there is none, which only `--fail-open` allows.
        command: The words of its command line, without credentials.
        exit_code: Its exit status; 128 and the number of the signal that ended it.
        duration_s: Wall time in seconds.
        restore_point: Id of the restore point of a rollback; None without a rollback.
        rollback: Command line that brings back the state before.
    """

    backup: str | None
    command: tuple[str, ...]
    exit_code: int
    duration_s: float
    rolled_back: bool = False
    restore_point: str | None = None
    rollback: str = ""
