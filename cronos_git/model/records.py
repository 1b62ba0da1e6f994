"""What backups and paths are, and what may happen to a path. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        changed: The file changed while it was read; the stored content is the last reading. Of a directory: its attributes and
            those of what it holds were lost to damage; others stand in.
        unreadable: The content could not be read; there is no content in the backup. With `changed`: it was lost to damage.
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
