"""Requests, plans and reports of compaction. Floor F1."""

from __future__ import annotations

from dataclasses import dataclass

from cronos_git.model.records import Backup


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactRequest:
    """How to compact.

    Attributes:
        trash_days: Backups that were deleted longer ago than this go for good; None for what the configuration says, 0 for all.
        full: Look for similar objects anew everywhere, which takes long; else only among what came since the last compaction. The
            first compaction of a store is always full.
    """

    trash_days: int | None = None
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactPlan:
    """What a compaction would do.

    Attributes:
        expired: Backups in the trash that go for good, newest first.
        waiting: Backups that stay in the trash, newest first.
        packed_bytes: Bytes of all packs and loose objects.
        needed_bytes: Bytes among them of what the backups that stay lead to, and of indexes.
        full: As the request says, and for the first compaction.
        idle: There is nothing to do: all lies in the one pack of the last compaction.
    """

    expired: tuple[Backup, ...]
    waiting: tuple[Backup, ...]
    packed_bytes: int
    needed_bytes: int
    full: bool
    idle: bool = False

    @property
    def unneeded_bytes(self) -> int:
        """What goes at least; packing the rest more tightly frees more."""
        return max(self.packed_bytes - self.needed_bytes, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What a compaction did.

    Attributes:
        packed_bytes: Bytes of all packs and loose objects now.
        freed_bytes: By how much that is less than before; negative should it be more.
        objects: Objects that are left.
        duration_s: Wall time in seconds.
    """

    plan: CompactPlan
    packed_bytes: int
    freed_bytes: int
    objects: int
    duration_s: float
