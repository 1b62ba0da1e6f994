"""Requests, plans and reports of restores, and the log of operations. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cronos_git.model.dependencies import Dependency
from cronos_git.model.records import Backup, EntryKind, Problem

Strategy = Literal["new_location", "overwrite", "replace", "merge"]
"""Where a restore goes, and what becomes of files that the backup lacks."""


IN_PLACE = ("overwrite", "replace", "merge")
"""The strategies that change a directory with something in it."""

OnConflict = Literal["abort", "ours", "theirs", "markers", "both"]
"""What a merge does with paths whose sides contradict each other.

`abort`: nothing at all is changed. `ours`: what is there stays. `theirs`: the backup's version comes. `markers`: text files get
both versions between diff3 markers, everything else as `both`. `both`: the backup's version is written beside, as `name.<id>`.
"""

Deletions = Literal["keep", "apply"]
"""Whether a merge deletes what the backup deleted since the base, and leaves away what the target did, or keeps both."""

ConflictKind = Literal[
    "content",
    "add/add",
    "delete/modify",
    "binary",
    "mode",
    "symlink",
    "type",
    "directory/file",
    "rename/rename",
    "attribute",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """What to bring back and where to.

    Attributes:
        backup: Any identifier of a backup.
        paths: Only these paths (files or directories); empty for everything.
        modules: Only these modules, by name or path.
        with_dependencies: With what these paths and modules need, as far as the backup has it.
        target: Directory to write. None means `<project>-<id>` beside the project for `new_location`, else the project.
        strategy: `new_location`: into an absent or empty directory. `overwrite`: laid over what is there, other files stay.
            `replace`: exactly the backup, other files go. `merge`: what changed in the backup and what changed here, both.
        restore_point: Take a restore point first; None for what the configuration says. In place only.
        verify: Read every restored file back and compare its hash; None does so in place only.
        base: For a merge: the backup that both sides come from; None finds it.
        on_conflict: For a merge.
        deletions: For a merge.
    """

    backup: str
    paths: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    with_dependencies: bool = False
    target: str | None = None
    strategy: Strategy = "new_location"
    restore_point: bool | None = None
    verify: bool | None = None
    base: str | None = None
    on_conflict: OnConflict = "abort"
    deletions: Deletions = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One side's version of a path in conflict.

    Attributes:
        mode: Permission bits.
        oid: Id of its content, empty for special files.
        uid: Owner's number on this machine; *gid* that of the group.
        xattrs: Extended attributes, names and values.
    """

    kind: EntryKind
    size_bytes: int
    mtime_ns: int
    mode: int
    oid: str
    uid: int
    gid: int
    xattrs: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A path on which the two sides of a merge contradict each other.

    Attributes:
        path: Where the merge would put the file; of a rename/rename, where the base has it.
        base: What both come from; None for nothing.
        ours: What is there.
        theirs: What the backup has.
        hunks: The contradicting lines of a text, as diff3 shows them.
        ours_path: Where ours is, when that is another path; else empty.
        theirs_path: Where the backup has it, when that is another path; else empty.
    """

    path: str
    kind: ConflictKind
    base: Version | None
    ours: Version | None
    theirs: Version | None
    hunks: tuple[str, ...] = ()
    ours_path: str = ""
    theirs_path: str = ""


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
        text: Why it is kept or stood in the way, or what a merge made of it; else empty.
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
        base: Id of the base of a merge; None when the two sides have none.
        on_conflict: Of a merge.
        deletions: Of a merge.
        merged: How many files are merged line by line.
        conflicts: Of a merge, in the order of paths. When it aborts on them, there are no changes.
        lacking: Paths that the backup lacks although the base had them, and that stay, as the merge applies no deletions.
        dependencies: What is brought back too as the rest needs it.
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
    base: str | None = None
    on_conflict: OnConflict = "abort"
    deletions: Deletions = "keep"
    merged: int = 0
    conflicts: tuple[Conflict, ...] = ()
    lacking: tuple[str, ...] = ()
    dependencies: tuple[Dependency, ...] = ()

    @property
    def is_blocked(self) -> bool:
        """Whether nothing is changed because of conflicts."""
        return bool(self.conflicts) and self.on_conflict == "abort"

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
        verb: One of `VERBS`; another version may have noted others.
        face: `cli`, `library`, `service`, `hook` or `schedule`.
        result: `done`, `failed`, `interrupted`, `denied` by the policy, so that nothing was done; for `compact` and `request`
            also `begun`, before anything is done; for `recover` also `rolled back`, `finished` and `left`.
        facts: What the verb has to tell, JSON values by name: `backup`, `backups`, `target`, `restore_point`, `error` …
    """

    time: datetime
    verb: str
    face: str
    user: str
    host: str
    result: str
    facts: Mapping[str, object]


VERBS = {
    "adopt": "A store was taken over by a project that has moved.",
    "compact": "What had been in the trash long enough was dropped for good (`begun`: is about to be); the rest was packed anew.",
    "create": "A backup was taken.",
    "delete": "Backups were moved to the trash by name.",
    "describe": "Message, description or metadata of a backup were changed.",
    "fetch": "Backups came from a remote.",
    "import": "Archives, bundles or copies became backups.",
    "label": "Labels were put on a backup or taken off.",
    "pin": "A backup was pinned.",
    "prune": "Backups were moved to the trash by the retention rules.",
    "push": "Backups were sent to a remote, amended or removed there.",
    "recover": "A restore that was killed was `rolled back` or `finished`; `left`: it could not be.",
    "remote add": "A remote was named.",
    "remote remove": "The name of a remote was removed.",
    "repair": "The store was mended.",
    "request": "Somebody asked for something over the bus (`begun`: it is about to be done); `count` when several times.",
    "restore": "A backup was brought back.",
    "undelete": "Backups came back from the trash.",
    "undo": "A restore in place was taken back.",
    "unpin": "The pin was taken off a backup.",
}
"""Every verb of the operation log, and what it tells."""


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
