"""The vocabulary: frozen records, and the Request and Report of every verb.

The same objects are the library's arguments and results, the command line's parsed flags and its `--json` output.
Paths inside a project are `str` with `/` separators, relative, `""` for the root; undecodable bytes are carried as surrogate
escapes. Times are timezone-aware UTC datetimes, sizes are bytes, object ids are 40 lower-case hex digits. Floor F1.
"""

from cronos_git.model.records import SCOPE_PROJECT, Attributes, Backup, Change, ChangeKind, Entry, EntryKind, Problem, Scope
from cronos_git.model.restores import (
    IN_PLACE,
    Conflict,
    ConflictKind,
    Deletions,
    OnConflict,
    Operation,
    Recovery,
    RestoreAction,
    RestoreChange,
    RestorePlan,
    RestoreReport,
    RestoreRequest,
    Strategy,
    Version,
)
from cronos_git.model.snapshots import (
    Excluded,
    FileDiff,
    FoundEntry,
    Query,
    SnapshotPlan,
    SnapshotReport,
    SnapshotRequest,
    StoreStats,
)
from cronos_git.model.upkeep import Check, Damage, Decision, PrunePlan, PruneReport, PruneRequest, VerifyReport, VerifyRequest

__all__ = [
    "IN_PLACE",
    "SCOPE_PROJECT",
    "Attributes",
    "Backup",
    "Change",
    "ChangeKind",
    "Check",
    "Conflict",
    "ConflictKind",
    "Damage",
    "Decision",
    "Deletions",
    "Entry",
    "EntryKind",
    "Excluded",
    "FileDiff",
    "FoundEntry",
    "OnConflict",
    "Operation",
    "Problem",
    "PrunePlan",
    "PruneReport",
    "PruneRequest",
    "Query",
    "Recovery",
    "RestoreAction",
    "RestoreChange",
    "RestorePlan",
    "RestoreReport",
    "RestoreRequest",
    "Scope",
    "SnapshotPlan",
    "SnapshotReport",
    "SnapshotRequest",
    "StoreStats",
    "Strategy",
    "VerifyReport",
    "VerifyRequest",
    "Version",
]
