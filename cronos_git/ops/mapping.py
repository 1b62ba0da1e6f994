"""Where backups stand on the map of their project: which modules they cover, and which paths changed in each.

All of it is read from the store when it is asked for: so the map is never stale, and there is no cache to keep true. A backup
that cannot be read stands on it all the same. What the map looks like is `rules.atlas_map`'s. Floor F7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from cronos_git.errors import DamageError
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView, diff_views
from cronos_git.model import SCOPE_PROJECT, Backup, MapBackup, MapChange, Module
from cronos_git.rules.atlas_map import module_at, modules_of


class Cartographer:
    """Puts backups on the map.

    Args:
        backups: All backups of the store, newest first.
        configured: Paths by module name, from the configuration.

    Attributes:
        modules: The modules that are configured, and those that a scope has.
        damaged: Ids of backups that were needed so far and cannot be read, or not be compared with the one before.
    """

    def __init__(self, store: Store, backups: Sequence[Backup], configured: Mapping[str, Sequence[str]]) -> None:
        self._store = store
        self._backups = backups
        self._configured = configured
        self.damaged: set[str] = set()

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """The modules that are configured, and what the newest backup of each scope covers.

        Cost: a few small objects for each scope.
        """
        newest = {backup.scope: backup for backup in reversed(self._backups)}
        return modules_of(self._configured, [self._covered(backup) for backup in newest.values()])

    def placed(self, among: Sequence[Backup]) -> Iterator[MapBackup]:
        """Backups with what changed in them, in the order given.

        Cost: for each that is taken from the iterator, the directories that differ from the backup before it in its scope.
        """
        for backup in among:
            yield self._place(backup)

    def _place(self, backup: Backup) -> MapBackup:
        earlier = (one for one in self._backups if one.scope == backup.scope and one.sequence < backup.sequence)
        previous = max(earlier, key=lambda one: one.sequence, default=None)
        changes = self._changes(previous, backup) if previous else []
        covered = self._covered(backup)
        whole = "" in covered
        touched = [change.module for change in changes] if whole else [module_at(path, self.modules) for path in covered]
        return MapBackup(
            backup=backup,
            previous=previous.id if previous else None,
            whole=whole,
            modules=tuple(sorted({name for name in touched if name is not None})),
            changes=tuple(changes),
            damaged=backup.id in self.damaged,
        )

    def _changes(self, previous: Backup, backup: Backup) -> list[MapChange]:
        old, new = SnapshotView(self._store, previous.commit), SnapshotView(self._store, backup.commit)
        try:
            return [
                MapChange(kind=change.kind, path=change.path, module=module_at(change.path, self.modules))
                for change in diff_views(old, new, attributes=False)
            ]
        except DamageError:
            self.damaged.add(backup.id)
            return []

    def _covered(self, backup: Backup) -> tuple[str, ...]:
        """The paths that a backup covers, as its record tells it; else that of another backup of its scope; else none."""
        if backup.scope == SCOPE_PROJECT:
            return ("",)
        for one in (backup, *(other for other in self._backups if other.scope == backup.scope)):
            try:
                told = SnapshotView(self._store, one.commit).record().get("scope")
            except DamageError:
                self.damaged.add(one.id)
                continue
            paths = told.get("paths") if isinstance(told, dict) else None
            return tuple(map(str, paths)) if isinstance(paths, list) else ("",)
        return ()


def narrowed(one: MapBackup, module: Module) -> MapBackup | None:
    """As much of *one* as concerns *module*, and all that lies below it; None when nothing does."""
    found = [change for change in one.changes if module_at(change.path, (module,))]
    if not found and (one.whole or module.name not in one.modules):
        return None
    return replace(one, modules=(module.name,), changes=tuple(replace(change, module=module.name) for change in found))
