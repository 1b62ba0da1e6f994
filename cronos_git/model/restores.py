"""Requests, plans and reports of restores, and the log of operations. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cronos_git.model.records import Backup, EntryKind, Problem

Strategy = Literal["new_location", "overwrite", "replace"]
"""Where a restore goes, and what becomes of files that the backup lacks."""


IN_PLACE = ("overwrite", "replace")
"""The strategies that change a directory with something in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """What to bring back and where to.

    Attributes:
        backup: Any identifier of a backup.
        paths: Only these paths (files or directories); empty for everything.
        modules: Only these modules, by name or path.
        target: Directory to write. None means `<project>-<id>` beside the project for `new_location`, else the project.
        strategy: `new_location`: into an absent or empty directory. `overwrite`: laid over what is there, other files stay.
            `replace`: exactly the backup, other files go.
        restore_point: Take a restore point first; None for what the configuration says. In place only.
        verify: Read every restored file back and compare its hash; None does so in place only.
    """

    backup: str
    paths: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    target: str | None = None
    strategy: Strategy = "new_location"
    restore_point: bool | None = None
    verify: bool | None = None


RestoreAction = Literal["create", "update", "delete", "attributes", "kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreChange:
    """What a restore in place does with one path.

    Attributes:
        action: `update` writes content anew; `attributes` only sets mode, owner, time or extended attributes; `kept` leaves the
            path alone although the backup has something else, or nothing, there.
        kind: What stands there afterwards; what stood there when nothing does.
        size_bytes: Bytes of content to be written.
        obstructs: Something is replaced that the rules exclude, so that no backup would hold it; the restore point does.
        text: Why it is kept or stood in the way; else empty.
    """

    action: RestoreAction
    path: str
    kind: EntryKind
    size_bytes: int = 0
    obstructs: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """What a restore would do.

    Attributes:
        verb: `undo` when *backup* is the restore point of an earlier restore, which is to be taken back.
        paths: Restored paths; empty for all that the backup covers.
        files: Files, links and special files to be written.
        directories: Directories to be made.
        size_bytes: Bytes of content to be written.
        restore_point: Whether one is taken first. In place only.
        changes: Every path that changes, or is kept for a reason, in the order of paths. In place only.
        state: Identifies the state of the target that the plan is for. In place only.
    """

    backup: Backup
    strategy: Strategy
    target: str
    paths: tuple[str, ...]
    files: int
    directories: int
    size_bytes: int
    verb: Literal["restore", "undo"] = "restore"
    restore_point: bool = False
    changes: tuple[RestoreChange, ...] = ()
    state: str = ""

    @property
    def is_in_place(self) -> bool:
        """Whether a directory with something in it is changed."""
        return self.strategy in IN_PLACE

    def count(self, action: RestoreAction) -> int:
        """How many paths are treated so."""
        return sum(change.action == action for change in self.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What a restore did.

    Attributes:
        files: Files, links and special files written.
        size_bytes: Bytes of content written.
        problems: What could not be restored or applied (ownership without privilege, sockets, devices), or was kept.
        verified: Files read back and compared, 0 when not asked for.
        restore_point: Id of the backup of the state before, or None.
    """

    plan: RestorePlan
    files: int
    size_bytes: int
    problems: tuple[Problem, ...]
    verified: int
    duration_s: float
    restore_point: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One entry of the operation log: something that CRONOS did, or tried to do, to a store or a target.

    Attributes:
        verb: `create`, `restore`, `undo`, `recover`, `prune`, `delete`, `undelete` …
        face: `cli`, `library`, `service`, `hook` or `schedule`.
        result: `done`, `failed`, `interrupted`; for `recover` also `rolled back`, `finished` and `left`.
        facts: What the verb has to tell, JSON values by name: `backup`, `backups`, `target`, `restore_point`, `error` …
    """

    time: datetime
    verb: str
    face: str
    user: str
    host: str
    result: str
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What became of one restore whose process had died.

    Attributes:
        result: `rolled back`: the target is as before the restore. `finished`: the restore is complete, what was left over is
            gone. `left`: nothing was done.
        text: In words; why, when it was left.
    """

    target: str
    result: Literal["rolled back", "finished", "left"]
    text: str
