"""What became of paths from backup to backup: versions, blamed lines, matches, and the search for the backup that broke a test.

Floor F1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cronos_git.model.records import Backup, Change, Entry

VersionKind = Literal["added", "changed", "mode", "renamed", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathVersion:
    """One state of a path, and the backups one after the other in which it is the current one.

    Attributes:
        kind: What led to it from the version before. `renamed`: it stood elsewhere then, and may have changed too; `mode`: only
            its permissions changed; `removed`: the path is not there.
        path: Where it stands; a path that is removed: where it stood.
        previous_path: Where it stood before, when it was renamed.
        renamed_to: Where a file that is removed seems to have gone.
        entry: What stands there; None when it is removed. Symlinks without their target.
        backups: Ids, oldest first.
        first: The oldest of these backups.
        last: The newest of them.
        patch: The difference from the version before as a patch, when that was asked for.
    """

    kind: VersionKind
    path: str
    previous_path: str | None = None
    renamed_to: str | None = None
    entry: Entry | None
    backups: tuple[str, ...]
    first: Backup
    last: Backup
    patch: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One backup, and what changed in it.

    Attributes:
        previous: The backup before it in its scope that is still there; None when there is none.
        changes: Against that backup; empty when there is none, and in a list without changes.
    """

    backup: Backup
    previous: Backup | None
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlamedLine:
    """One line of a file.

    Attributes:
        number: From 1.
        text: Its bytes, without the line end.
        backup: The first backup in which the line stands there.
        path: Where the file stood in that backup.
    """

    number: int
    text: bytes
    backup: Backup
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedLine:
    """A line that matches; the number counts from 1, the text has no line end."""

    number: int
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GrepMatch:
    """One version of a file in which a pattern was found.

    Attributes:
        backups: Ids of the searched backups that hold this version, oldest first.
        binary: It matches, and is not told line by line.
        lines: The lines that match; empty for a binary file.
    """

    path: str
    backups: tuple[str, ...]
    binary: bool
    lines: tuple[MatchedLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrepRequest:
    """What to search, and where.

    Attributes:
        pattern: A POSIX extended regular expression, or several, one a line.
        paths: Only these files, and what lies below these directories; empty for everything.
        backup: The only one to search; None for all.
        ignore_case: Upper and lower case are the same.
        fixed: The pattern is no regular expression but text.
    """

    pattern: str
    paths: tuple[str, ...] = ()
    backup: Backup | None = None
    ignore_case: bool = False
    fixed: bool = False


BisectVerdict = Literal["good", "bad", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectRequest:
    """Where to search for the first backup in which a test fails.

    Attributes:
        paths: What the test needs; only this is written for it.
        good: A backup in which it passes; None for the oldest that holds one of the paths.
        bad: A later one in which it fails; None for the newest.
    """

    paths: tuple[str, ...]
    good: Backup | None = None
    bad: Backup | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectStep:
    """One run of the test.

    Attributes:
        left: Other versions that were still in question then.
    """

    backup: Backup
    verdict: BisectVerdict
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectReport:
    """Where a test began to fail.

    Attributes:
        first_bad: The first backup in which it is known to fail.
        last_good: The last one before it in which it is known to pass; None when it fails in the oldest one already.
        suspects: Ids of the backups between them that could not be tested; empty when *first_bad* is certain.
        changes: What changed in the paths from the backup before the first suspect to *first_bad*.
        steps: Every run of the test, in order.
    """

    first_bad: Backup
    last_good: Backup | None
    suspects: tuple[str, ...]
    changes: tuple[Change, ...]
    steps: tuple[BisectStep, ...]
