"""Requests and reports of pruning, verifying and checking up. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cronos_git.model.records import Backup, Problem


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """How deep to look, and at which backups.

    Attributes:
        backups: Identifiers; empty for all.
        quick: Only check that every object exists; else every byte is hashed again.
        read_percent: Read this share of the packed bytes, those that were not read for the longest time.
        read_bytes: Read about so many packed bytes; the smaller one counts when a share is given too.
        max_time_s: Begin no further part of a pack when the check has taken so long, in seconds.
        resume: Read only what was not read since the last full check began.
        trash: True for the backups in the trash alone, False for none of them; None for them too, unless backups are named.
    """

    backups: tuple[str, ...] = ()
    quick: bool = False
    read_percent: float | None = None
    read_bytes: int | None = None
    max_time_s: float | None = None
    resume: bool = False
    trash: bool | None = None

    @property
    def is_partial(self) -> bool:
        """Whether packs are to be read in parts, as far as this run's share goes."""
        return self.resume or (self.read_percent, self.read_bytes, self.max_time_s) != (None, None, None)

    @property
    def is_of_all(self) -> bool:
        """Whether it is about the whole store, and not about some of its backups."""
        return not self.backups and self.trash is not True


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
class VerifyProgress:
    """How much of the packs was read soundly, in this run and those before.

    Attributes:
        total_bytes: Packed bytes that there are to read.
        sound_bytes: Those of them that were read and found whole.
        since: When the oldest reading of these took place.
        noted: Whether the next run will know of it.
    """

    total_bytes: int
    sound_bytes: int
    since: datetime | None
    noted: bool

    @property
    def is_complete(self) -> bool:
        """Whether all there is was read since then."""
        return self.sound_bytes >= self.total_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What `verify` found. `damage` is empty when all is well.

    Attributes:
        backups: How many backups were checked, with those in the trash.
        objects: How many objects they need.
        bytes_read: Packed bytes read; of a quick check, and one of some backups, the bytes of objects.
        trash: Ids of the backups among them that are in the trash, oldest first.
        progress: How much of the packs has been read; None when this was not about packs.
    """

    backups: int
    objects: int
    bytes_read: int
    damage: tuple[Damage, ...]
    duration_s: float
    trash: tuple[str, ...] = ()
    progress: VerifyProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A path that did not come back as it is in the backup.

    Attributes:
        what: What differs: `missing` or `extra`; else any of `kind`, `content`, `mode`, `owner`, `mtime`, `xattrs`, `links`
            (which names are one file).
        text: The same in words, with both sides.
    """

    path: str
    what: tuple[str, ...]
    text: str

    @property
    def is_damage(self) -> bool:
        """Whether the content is not what was backed up, and not only something about it."""
        return not {"missing", "extra", "kind", "content"}.isdisjoint(self.what)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """What a trial restore gave.

    Attributes:
        files, size_bytes: What was restored.
        differences: What did not come back as it is in the backup.
        problems: What this machine cannot restore: owners without the privilege, sockets, what the backup lacks.
        restore_s: How long the restore took, in seconds.
        compare_s: How long it took to read it all back.
    """

    backup: Backup
    files: int
    size_bytes: int
    differences: tuple[Difference, ...]
    problems: tuple[Problem, ...]
    restore_s: float
    compare_s: float


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
