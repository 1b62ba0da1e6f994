"""Requests and reports of taking backups, and of looking at them. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cronos_git.model.dependencies import Dependency
from cronos_git.model.records import Backup, Change, Entry, Problem, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """What to back up and how to call it.

    Attributes:
        name: Stem of the id; `backup` when None.
        message: One line for people; the name when empty.
        modules: Module names or relative paths; empty for the whole project.
        with_dependencies: Take along what the modules need.
        only: Of these only what these patterns (gitignore language) match, with everything below; empty for all. They make a
            scope of their own.
        include: Extra patterns (gitignore language) that are taken although a rule excludes them.
        exclude: Extra patterns that are left out.
        pinned: Pin it: retention never drops it.
        skip_if_unchanged: Make no backup when content and attributes equal the last one of the scope.
    """

    name: str | None = None
    type: str = "manual"
    message: str = ""
    description: str = ""
    labels: tuple[str, ...] = ()
    pinned: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    with_dependencies: bool = False
    only: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip_if_unchanged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """How much the rules left out (directories count as one, with nothing looked at below them)."""

    files: int = 0
    directories: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPlan:
    """What `create` would do, from a dry run, and what `status` shows.

    Attributes:
        against: The last backup of the scope, or None when this would be the first.
        files: Files, symlinks and special files that the backup would hold.
        dependencies: What is taken along as the modules need it.
    """

    scope: Scope
    against: Backup | None
    changes: tuple[Change, ...]
    files: int
    size_bytes: int
    excluded: Excluded
    problems: tuple[Problem, ...]
    dependencies: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReport:
    """What `create` did.

    Attributes:
        backup: The new backup; with `unchanged` the one that already holds this state.
        unchanged: True when `skip_if_unchanged` found nothing to save and no backup was made.
        files_read: Files whose content was opened.
        bytes_read: Bytes of content read.
        bytes_stored: Growth of the store: pack and index bytes written.
        objects_stored: Git objects written.
        duration_s: Wall time in seconds.
        pruned: Ids of the backups that retention moved to the trash afterwards.
        dropped: Ids of the backups that a compaction afterwards dropped from the trash for good.
        freed_bytes: What that compaction freed.
        pushed: Ids of the backups that were sent to a remote afterwards.
        push_failed: Why that failed; empty when it did not, or was not to be.
        dependencies: What was taken along as the modules need it.
    """

    backup: Backup
    unchanged: bool
    files_read: int
    bytes_read: int
    bytes_stored: int
    objects_stored: int
    excluded: Excluded
    problems: tuple[Problem, ...]
    duration_s: float
    pruned: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    freed_bytes: int = 0
    pushed: tuple[str, ...] = ()
    push_failed: str = ""
    dependencies: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which backups to list; every condition given must hold.

    Attributes:
        types: Any of these types.
        name: Shell pattern on the name or id.
        labels: All of these labels.
        module: Scopes that include this module name.
        metadata: Each key has this value (compared as text); an empty value asks only for the key.
        since: Created at or after.
        until: Created at or before.
        contains: A path that the backup holds.
        sort: `sequence`, `created`, `name`, `size`, `files`, `type`.
        reverse: Largest, newest first when False as `list` shows it; True turns the order round.
        limit: At most this many of the newest; None for all.
    """

    types: tuple[str, ...] = ()
    name: str | None = None
    labels: tuple[str, ...] = ()
    module: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    contains: str | None = None
    sort: str = "sequence"
    reverse: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEntry:
    """A path found in one or more backups.

    Attributes:
        backups: Ids of the backups that hold this version, oldest first.
    """

    entry: Entry
    backups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """How one path differs, with its text when asked for.

    Attributes:
        insertions: Lines added; None for binary content.
        deletions: Lines removed; None for binary content.
        patch: Patch text as Git writes it, `Binary files … differ` for binary content; None when not asked for.
    """

    change: Change
    insertions: int | None = None
    deletions: int | None = None
    patch: bytes | None = None
