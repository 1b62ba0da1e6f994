"""The vocabulary: frozen records, and the Request and Report of every verb.

The same objects are the library's arguments and results, the command line's parsed flags and its `--json` output.
Paths inside a project are `str` with `/` separators, relative, `""` for the root; undecodable bytes are carried as surrogate
escapes. Times are timezone-aware UTC datetimes, sizes are bytes, object ids are 40 lower-case hex digits. Floor F1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

SCOPE_PROJECT = "project"
"""Name of the scope that is the whole project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a backup covers.

    Attributes:
        name: `project`, or the module names sorted and joined with `+` (`atlas+ethik`).
        paths: The covered paths, sorted; `("",)` for the whole project.
    """

    name: str = SCOPE_PROJECT
    paths: tuple[str, ...] = ("",)

    @property
    def is_project(self) -> bool:
        """Whether this is the whole project."""
        return self.paths == ("",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup, as its tag tells it.

    Attributes:
        id: `<name>_<YYYYMMDD>_<HHMMSS>` in UTC, perhaps with `_2`, `_3` …
        type: `manual`, `auto`, `pre-deploy`, `restore-point`, `import`, or a word of the user's.
        scope: Name of its scope.
        sequence: Order of creation in the store, 1 for the first; the order that counts, whatever the clock said.
        parent: Id of the backup before it in the same scope when it was made, or None.
        message: First line of the tag; the name when none was given.
        description: Text below the message; may be empty.
        files: Files, symlinks and special files it holds.
        size_bytes: Sum of the contents' sizes.
        added: Paths that its parent did not have; everything when there is no parent.
        changed: Paths whose content, kind or executable bit differs from the parent's.
        removed: Paths that only the parent had.
        commit: Id of the snapshot commit.
        tag: Id of the annotated tag object; changes when labels or the pin change.
    """

    id: str
    name: str
    type: str
    scope: str
    created: datetime
    sequence: int
    parent: str | None
    message: str
    description: str
    labels: tuple[str, ...]
    pinned: bool
    files: int
    size_bytes: int
    added: int
    changed: int
    removed: int
    metadata: Mapping[str, object]
    commit: str
    tag: str


EntryKind = Literal["file", "symlink", "directory", "fifo", "socket", "block", "char"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a Git tree cannot say about one path.

    Attributes:
        name: Name within its directory; `.` for the directory itself.
        mode: Permission bits, `st_mode & 0o7777`.
        size_bytes: Content size of a file, length of a symlink's target, else 0.
        mtime_ns: Modification time in nanoseconds since the epoch.
        link_group: Same text for all names of one hard-linked file; empty when it has one name.
        device: Major and minor number of a block or character device.
        xattrs: Extended attributes, ACLs included, sorted by name.
        changed: The file changed while it was read; the stored content is the last reading.
        unreadable: The content could not be read; there is no content in the backup.
    """

    kind: EntryKind
    name: str
    mode: int
    size_bytes: int
    mtime_ns: int
    uid: int
    gid: int
    link_group: str = ""
    device: tuple[int, int] | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()
    changed: bool = False
    unreadable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One path that a backup or a restore could not treat fully.

    Attributes:
        code: `unreadable`, `vanished`, `changed`, `too_deep`, `not_restored`, `attribute`, `special`.
        text: What happened, for people.
    """

    path: str
    code: str
    text: str


# --- create -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """What to back up and how to call it.

    Attributes:
        name: Stem of the id; `backup` when None.
        message: One line for people; the name when empty.
        modules: Module names or relative paths; empty for the whole project.
        include: Extra patterns (gitignore language) that are taken although a rule excludes them.
        exclude: Extra patterns that are left out.
        skip_if_unchanged: Make no backup when content and attributes equal the last one of the scope.
    """

    name: str | None = None
    type: str = "manual"
    message: str = ""
    description: str = ""
    labels: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip_if_unchanged: bool = False


ChangeKind = Literal["added", "changed", "removed", "attributes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One path that differs between two trees.

    Attributes:
        kind: `attributes` means that content is equal but mode, time, owner or xattrs differ.
        old_size: Size before in bytes, None when absent.
        new_size: Size after in bytes, None when absent.
    """

    kind: ChangeKind
    path: str
    old_size: int | None = None
    new_size: int | None = None


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
    """

    scope: Scope
    against: Backup | None
    changes: tuple[Change, ...]
    files: int
    size_bytes: int
    excluded: Excluded
    problems: tuple[Problem, ...]


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


# --- list, show, browse -------------------------------------------------------------------------------------------


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
class Entry:
    """One path in a backup.

    Attributes:
        path: Path in the project, `""` for its root.
        oid: Blob or tree id; empty for special files, which have no content.
        chunked: The file is stored as a directory of chunks (oid is that tree).
        link_target: Where a symlink points, else None.
    """

    path: str
    oid: str
    attributes: Attributes
    chunked: bool = False
    link_target: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """Figures of a whole store.

    Attributes:
        content_bytes: Sum of the backups' content sizes, as if each were kept in full.
        store_bytes: Bytes on disk.
        oldest: When the first kept backup was made, None in an empty store.
        newest: When the last one was made.
    """

    path: str
    backups: int
    by_type: Mapping[str, int]
    files_latest: int
    bytes_latest: int
    content_bytes: int
    store_bytes: int
    packs: int
    objects: int
    oldest: datetime | None
    newest: datetime | None


# --- prune --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequest:
    """By which rules to prune.

    Attributes:
        limits: Retention keys (`retention_days`, `max_backups`, `keep_last` …) with values that count in place of the
            configured ones.
    """

    limits: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether one backup stays.

    Attributes:
        reasons: Why, in words; when several things hold a backup, each of them.
    """

    backup: Backup
    keep: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What a prune would do: a decision for every backup, newest first."""

    decisions: tuple[Decision, ...]

    @property
    def dropped(self) -> tuple[Backup, ...]:
        """The backups that would go to the trash, newest first."""
        return tuple(decision.backup for decision in self.decisions if not decision.keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What a prune did.

    Attributes:
        pruned: Ids of the backups that are in the trash now, newest first.
    """

    plan: PrunePlan
    pruned: tuple[str, ...]


# --- verify -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """How deep to look, and at which backups.

    Attributes:
        backups: Identifiers; empty for all.
        quick: Only check that every object exists; else every byte is hashed again.
    """

    backups: tuple[str, ...] = ()
    quick: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One damaged or missing object, and one path that it hits.

    Attributes:
        backups: Ids of the backups hit, oldest first.
        path: The path hit, with a leading `data:` or `meta:` part of the snapshot; empty for a commit or tag.
        code: `missing`, `corrupt`, `record`.
    """

    backups: tuple[str, ...]
    path: str
    oid: str
    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What `verify` found. `damage` is empty when all is well."""

    backups: int
    objects: int
    bytes_read: int
    damage: tuple[Damage, ...]
    duration_s: float


# --- restore ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """What to bring back and where to.

    Attributes:
        backup: Any identifier of a backup.
        paths: Only these paths (files or directories); empty for everything.
        target: Directory to write, absent or empty; None for `<project>-<id>` beside the project.
        strategy: `new_location`.
        verify: Read every restored file back and compare its hash.
    """

    backup: str
    paths: tuple[str, ...] = ()
    target: str | None = None
    strategy: str = "new_location"
    verify: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """What a restore would write."""

    backup: Backup
    strategy: str
    target: str
    paths: tuple[str, ...]
    files: int
    directories: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What a restore did.

    Attributes:
        problems: What could not be restored or applied (ownership without privilege, sockets, devices).
        verified: Files read back and compared, 0 when not asked for.
    """

    plan: RestorePlan
    files: int
    size_bytes: int
    problems: tuple[Problem, ...]
    verified: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding of `cronos doctor`.

    Attributes:
        text: What was found.
        hint: What to do about it; empty when all is well.
    """

    name: str
    ok: bool
    text: str
    hint: str = ""
