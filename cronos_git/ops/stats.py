"""Figures of a whole store, from its tags, its pack indexes and the sizes of its files; no tree is read. Floor F7."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cronos_git.disk.usage import tree_size
from cronos_git.git.packindex import ObjectIndex
from cronos_git.model import Backup, StoreStats


class StorePlace(Protocol):
    """Where a store lies."""

    @property
    def path(self) -> Path:
        """The bare repository."""
        ...

    @property
    def pack_dir(self) -> Path:
        """Its `objects/pack`."""
        ...


def collect(store: StorePlace, backups: Sequence[Backup]) -> StoreStats:
    """The figures of *store*.

    Args:
        backups: All its backups, by sequence.

    Raises:
        AccessError, HostError: The store's directory cannot be read.

    Cost: one stat for each file of the store, one open for each pack. An object that lies in two packs counts twice.
    """
    packs = ObjectIndex(store.pack_dir).packs
    latest = backups[-1] if backups else None
    return StoreStats(
        path=str(store.path),
        backups=len(backups),
        by_type=dict(sorted(Counter(backup.type for backup in backups).items())),
        files_latest=latest.files if latest else 0,
        bytes_latest=latest.size_bytes if latest else 0,
        content_bytes=sum(backup.size_bytes for backup in backups),
        store_bytes=tree_size(store.path),
        packs=len(packs),
        objects=sum(pack.count for pack in packs),
        oldest=backups[0].created if backups else None,
        newest=latest.created if latest else None,
    )
