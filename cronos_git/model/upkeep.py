"""Requests and reports of pruning, verifying and checking up. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cronos_git.model.records import Backup


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
