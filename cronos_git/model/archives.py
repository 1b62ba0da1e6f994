"""Requests, plans and reports of exports and imports. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cronos_git.model.records import Backup, Problem

ExportFormat = Literal["zip", "tar", "tar.gz", "tar.zst", "bundle"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = ("zip", "tar", "tar.gz", "tar.zst", "bundle")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export, and where to.

    Attributes:
        backup: Identifier.
        file: The archive to be written; `-` writes a tar to a stream that the caller gives.
        paths: Only these paths of the backup; empty for all.
        format: None for what the file's name says.
        force: Replace the file when it exists.
    """

    backup: str
    file: str
    paths: tuple[str, ...] = ()
    format: ExportFormat | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """What an export would write.

    Attributes:
        files: Files, links and special files.
        size_bytes: Bytes of their contents.
        notes: What the format cannot carry, in words.
    """

    backup: Backup
    file: str
    format: ExportFormat
    paths: tuple[str, ...]
    force: bool
    files: int
    directories: int
    size_bytes: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        archive_bytes: Size of the archive.
    """

    plan: ExportPlan
    archive_bytes: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What to import.

    Attributes:
        path: An archive, a bundle, a directory of dated copies or archives, or with *created* a plain directory.
        name: Stem of the ids; None for what the source tells.
        message: One line for people; empty for what the source tells.
        labels: Added to those that the source tells.
        created: When the state is from; None for what the source tells.
        root: The directory inside the source that is the project, `.` for its top; None for the top, or its only entry when
            that is a directory of the project's name.
        pinned: Pin what is imported, so that retention keeps it.
    """

    path: str
    name: str | None = None
    message: str = ""
    labels: tuple[str, ...] = ()
    created: datetime | None = None
    root: str | None = None
    pinned: bool = False


SourceKind = Literal["zip", "tar", "bundle", "directory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportItem:
    """One source of backups.

    Attributes:
        kind: What it is.
        name: Stem of the id that its backup would get; for a bundle, as for all that follows, of the id it has.
        type: What the source calls its type; empty when it tells none.
        created: When the state is from.
        message, description, labels, metadata: What the source tells.
    """

    path: str
    kind: SourceKind
    name: str
    created: datetime
    type: str = ""
    message: str = ""
    description: str = ""
    labels: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What an import would take, oldest first.

    Attributes:
        skipped: What is not understood, and why.
        notes: Guesses that were made, and what lies beside the copies, in words.
    """

    request: ImportRequest
    items: tuple[ImportItem, ...]
    skipped: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did.

    Attributes:
        backups: The new backups, in the order of their sequence.
        known: Backups that were there already, with the same content, attributes and date, so that nothing was made:
            neither pinned nor labelled.
        problems: What was skipped, or could not be treated fully.
        prunable: Ids of the new backups that the retention rules would drop at the next prune.
        notes: Guesses that were made, in words.
        bytes_stored: Growth of the store.
    """

    plan: ImportPlan
    backups: tuple[Backup, ...]
    known: tuple[Backup, ...]
    problems: tuple[Problem, ...]
    prunable: tuple[str, ...]
    notes: tuple[str, ...]
    bytes_stored: int
    duration_s: float
