"""What a store and each of its backups take on the disk.

The figures come from walking the trees of all backups (`git.holdings`), so they stay right when packs are folded, repacked as
deltas, or overlap. Which paths take the most is `ops.growth`'s. Floor F7.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from cronos_git.disk.usage import tree_size
from cronos_git.events import Finished, Run, Started
from cronos_git.git.holdings import Holdings
from cronos_git.git.packsizes import body_sizes, packed_sizes
from cronos_git.git.store import Store
from cronos_git.model import Backup, BackupsStats, BackupStats, GrowthPoint, StoreStats


def collect(store: Store, backups: Sequence[Backup], trash: Sequence[Backup], run: Run) -> StoreStats:
    """The figures of *store*.

    Args:
        backups: All its backups, by sequence.
        trash: All that were deleted.

    Raises:
        AccessError, HostError: The store's directory cannot be read.
        InterruptedRunError: The run was cancelled.

    Cost: a read of each distinct tree, a few bytes of each distinct content, and one stat for each file of the store. Memory:
    some 300 bytes an object.
    """
    run.emit(Started("measure"))
    sizes = packed_sizes(store)
    holdings = Holdings(store, sizes, run)
    tally = _Tally()
    growth = tuple(tally.grow(holdings, backup) for backup in backups)
    trash_bytes = sum(found.size_bytes for backup in trash for found in holdings.visit(backup))
    bodies = list(body_sizes(store, tally.contents))
    run.emit(Finished("measure"))
    content, distinct, total = sum(backup.size_bytes for backup in backups), sum(bodies), tree_size(store.path)
    latest = backups[-1] if backups else None
    return StoreStats(
        path=str(store.path),
        backups=len(backups),
        by_type=dict(sorted(Counter(backup.type for backup in backups).items())),
        files_latest=latest.files if latest else 0,
        bytes_latest=latest.size_bytes if latest else 0,
        content_bytes=content,
        distinct_bytes=distinct,
        store_bytes=total,
        packed_bytes=tally.packed_bytes,
        record_bytes=tally.record_bytes,
        trash_bytes=trash_bytes,
        other_bytes=max(0, total - tally.packed_bytes - tally.record_bytes - trash_bytes),
        dedup_ratio=_ratio(content, distinct),
        compression_ratio=_ratio(distinct, tally.packed_bytes),
        total_ratio=_ratio(content, total),
        packs=len(store.index.packs),
        objects=len(sizes),
        trash=len(trash),
        oldest=backups[0].created if backups else None,
        newest=latest.created if latest else None,
        growth=growth,
        unreadable=len(holdings.unreadable) + len(tally.contents) - len(bodies),
    )


@dataclass(slots=True)
class _Tally:
    """The distinct contents met, and bytes on disk of them and of all else."""

    contents: set[bytes] = field(default_factory=set)
    packed_bytes: int = 0
    record_bytes: int = 0

    def grow(self, holdings: Holdings, backup: Backup) -> GrowthPoint:
        before_bytes = self.packed_bytes + self.record_bytes
        for found in holdings.visit(backup):
            if found.is_content:
                self.packed_bytes += found.size_bytes
                if found.size_bytes:  # else it is missing, and told as such
                    self.contents.add(found.oid)
            else:
                self.record_bytes += found.size_bytes
        added_bytes = self.packed_bytes + self.record_bytes - before_bytes
        return GrowthPoint(backup=backup.id, created=backup.created, added_bytes=added_bytes)


def _ratio(larger: int, smaller: int) -> float | None:
    return round(larger / smaller, 3) if larger and smaller else None


def measure(store: Store, backups: Sequence[Backup], chosen: Collection[str], run: Run) -> BackupsStats:
    """What each of the chosen backups takes beside the others.

    Args:
        backups: All backups of the store, by sequence.
        chosen: Ids.

    Raises:
        AccessError, HostError: The store's directory cannot be read.
        InterruptedRunError: The run was cancelled.

    Cost: at most two reads of each distinct tree; when only some are chosen, one more. Memory: some 300 bytes an object.
    """
    run.emit(Started("measure"))
    sizes = packed_sizes(store)
    holdings = Holdings(store, sizes, run, alone=True)
    added = [_new_bytes(holdings, [backup]) for backup in backups]
    figures = [
        BackupStats(backup=backup, unique_bytes=unique_bytes, added_bytes=added_bytes)
        for backup, unique_bytes, added_bytes in zip(backups, holdings.alone_bytes(), added, strict=True)
    ]
    shown = tuple(one for one in reversed(figures) if one.backup.id in chosen)
    together_bytes = sum(added) if len(shown) == len(figures) else _together(Holdings(store, sizes, run), backups, chosen)
    run.emit(Finished("measure"))
    return BackupsStats(backups=shown, together_bytes=together_bytes, unreadable=len(holdings.unreadable))


def _together(holdings: Holdings, backups: Sequence[Backup], chosen: Collection[str]) -> int:
    """Bytes on disk of what none but the chosen hold: they are visited last."""
    _new_bytes(holdings, (backup for backup in backups if backup.id not in chosen))
    return _new_bytes(holdings, (backup for backup in backups if backup.id in chosen))


def _new_bytes(holdings: Holdings, backups: Iterable[Backup]) -> int:
    return sum(found.size_bytes for backup in backups for found in holdings.visit(backup))
