"""Reports of what the backups take: the store as a whole, each backup, single paths.

"On disk" is an object's packed size: a version that is packed as a delta counts with the delta. An object that lies in several
packs counts once, with its smallest copy. Floor F1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cronos_git.model.records import Backup


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPoint:
    """What one backup brought into the store.

    Attributes:
        added_bytes: On disk, of all that no earlier kept backup holds.
    """

    backup: str
    created: datetime
    added_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """Figures of a whole store; the last four of bytes add up to `store_bytes`.

    Attributes:
        content_bytes: Sum of the backups' content sizes, as if each were kept in full.
        distinct_bytes: The same with every distinct content counted once, uncompressed.
        store_bytes: Bytes on disk of the whole store.
        packed_bytes: On disk, of the distinct contents.
        record_bytes: On disk, of what describes them: directories, attributes, commits, tags.
        trash_bytes: On disk, of what only deleted backups hold.
        other_bytes: Indexes, timelines, caches, and what nothing needs.
        dedup_ratio: `content_bytes` by `distinct_bytes`; None when there is no content, as with the other ratios.
        compression_ratio: `distinct_bytes` by `packed_bytes`.
        total_ratio: `content_bytes` by `store_bytes`.
        trash: Number of deleted backups.
        oldest: When the first kept backup was made, None in an empty store.
        newest: When the last one was made.
        growth: One point for each backup, by sequence; their sum is `packed_bytes` and `record_bytes`.
        unreadable: Objects that are missing or damaged, so that the figures leave them out, and perhaps what lies below them.
    """

    path: str
    backups: int
    by_type: Mapping[str, int]
    files_latest: int
    bytes_latest: int
    content_bytes: int
    distinct_bytes: int
    store_bytes: int
    packed_bytes: int
    record_bytes: int
    trash_bytes: int
    other_bytes: int
    dedup_ratio: float | None
    compression_ratio: float | None
    total_ratio: float | None
    packs: int
    objects: int
    trash: int
    oldest: datetime | None
    newest: datetime | None
    growth: tuple[GrowthPoint, ...]
    unreadable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupStats:
    """What one backup takes.

    Attributes:
        unique_bytes: On disk, of what no other kept backup holds: what the store loses with it.
        added_bytes: On disk, of what no earlier kept backup holds.
    """

    backup: Backup
    unique_bytes: int
    added_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupsStats:
    """What several backups take.

    Attributes:
        backups: Newest first.
        together_bytes: On disk, of what none but these backups hold: what the store loses with all of them.
        unreadable: As in `StoreStats`.
    """

    backups: tuple[BackupStats, ...]
    together_bytes: int
    unreadable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BigFile:
    """A large file of one backup.

    Attributes:
        size_bytes: Its content.
        stored_bytes: On disk, of this version; other backups may share it.
    """

    path: str
    size_bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GrownPath:
    """A path that new versions are stored of; of a directory, everything below it and its own listings.

    A version counts where it was met first: a file that was only moved costs its new path nothing.

    Attributes:
        path: Ends with `/` for a directory. Of another directory than the project, the path in full.
        grown_bytes: On disk, of what the backups in question brought.
        stored_bytes: On disk, of all that the kept backups hold.
        versions: Number of contents among `grown_bytes`.
    """

    path: str
    grown_bytes: int
    stored_bytes: int
    versions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsStats:
    """Which paths take the most.

    Attributes:
        backup: Of which the biggest files are told.
        biggest: Largest first.
        since: The growth counts what backups brought that were made then or later; None for all. The first backup of each
            scope brings no growth, as it is what all else is compared to.
        grown: Fastest growing first.
        unreadable: As in `StoreStats`.
    """

    backup: Backup
    biggest: tuple[BigFile, ...]
    since: datetime | None
    grown: tuple[GrownPath, ...]
    unreadable: int
