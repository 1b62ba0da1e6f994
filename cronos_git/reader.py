"""One project and its store: everything that only reads.

The other half, `engine.Cronos`, adds what writes. Nothing here prints, reads the environment, or asks the machine for the time.
Floor F8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git import __version__
from cronos_git.errors import BackupNotFoundError, RefusedError
from cronos_git.events import Noticed, Run
from cronos_git.git.store import Store
from cronos_git.model import (
    Backup,
    BackupsStats,
    Check,
    Damage,
    Entry,
    FileDiff,
    FoundEntry,
    PathsStats,
    Query,
    Scope,
    SnapshotPlan,
    SnapshotRequest,
    StoreStats,
)
from cronos_git.ops import catalog
from cronos_git.ports import Clock, DependencyAdviser
from cronos_git.rules.identify import Resolution
from cronos_git.rules.record import Identity

if TYPE_CHECKING:  # imported where used: a listing needs neither the walk's nor the comparison's modules
    from cronos_git.git.view import SnapshotView
    from cronos_git.ops.snapshot import Circumstances
    from cronos_git.ops.subject import Subject
    from cronos_git.rules.schema import Settings


class Reader:
    """What can be seen of one project and its backups.

    Safe for one thread; several processes may work on one store at once, one of them writing.

    Args:
        project: Real path of the project.
        store_path: Where its store lies, or will lie.
        settings: The configuration in force.
        clock: Tells the time.
        zone: The user's time zone, for times that are given without one.
        identity: Who makes backups.

    Attributes:
        notice: Is told, once, when there are backups that cannot be read.
        adviser: Is asked too what modules need; None for the imports alone.
    """

    adviser: DependencyAdviser | None = None

    def __init__(
        self, *, project: Path, store_path: Path, settings: Settings, clock: Clock, zone: tzinfo, identity: Identity
    ) -> None:
        self.project = project
        self.store_path = store_path
        self.settings = settings
        self.clock = clock
        self.zone = zone
        self.identity = identity
        self.notice: Callable[[Noticed], None] = lambda _noticed: None
        self._has_told_damage = False
        self._has_looked_for_refs = False

    @cached_property
    def store(self) -> Store:
        """The project's store.

        Raises:
            StoreMissingError: The project has none yet.
            StoreFormatError: A newer CRONOS made it.
            RefusedError: It belongs to another user or to another project.
        """
        store = Store.open(self.store_path)
        if store.project_root != str(self.project):
            raise RefusedError(
                f"The store {self.store_path} holds the backups of {store.project_root}, not of {self.project}.",
                hint="Give another place with --backup-dir.",
            )
        return store

    def _store_if_any(self) -> Store | None:
        return self.store if self.store_path.exists() else None

    def plan_snapshot(self, request: SnapshotRequest | None = None, run: Run | None = None) -> SnapshotPlan:
        """What a backup would hold and how that differs from the last one; writes nothing.

        Raises:
            ProjectError, ModuleScopeError, PatternError: As for `snapshot`.
        """
        from cronos_git.ops import snapshot

        store = self._store_if_any()
        backups = self._catalog().backups if store else []
        run = run or Run()
        return snapshot.plan(store, backups, self._subject(request, run), self._circumstances(), run)

    def _subject(self, request: SnapshotRequest | None = None, run: Run | None = None) -> Subject:
        from cronos_git.ops.subject import describe

        request = request or SnapshotRequest()
        subject = describe(str(self.project), self.settings, request)
        if request.with_dependencies:
            from cronos_git.ops.dependencies import widen_subject

            return widen_subject(subject, request, self.adviser, run or Run())
        return subject

    def _circumstances(self) -> Circumstances:
        from cronos_git.ops import snapshot

        return snapshot.Circumstances(
            now=self.clock.now(), identity=self.identity, tool_version=__version__, default_name=self.settings.name
        )

    # --- finding ---

    def _catalog(self) -> catalog.Catalog:
        """All backups; when some cannot be read, that is told once."""
        found = catalog.read(self.store, sure=False)
        if not self._has_looked_for_refs:
            self._has_looked_for_refs = True
            self._tell_lost_refs(found)
        if found.damaged and not self._has_told_damage:
            self._has_told_damage = True
            count = len(found.damaged)
            text = f"{count} backup{'' if count == 1 else 's'} cannot be read; run `cronos verify`."
            self.notice(Noticed("warning", "store.damaged", text))
        return found

    def _tell_lost_refs(self, found: catalog.Catalog) -> None:
        """A list must not pass for whole when refs of backups are gone, nor a store without any for a new one."""
        from cronos_git.ops.absence import count_missing

        known = {backup.id for backup in found.backups}.union(*(damage.backups for damage in found.damaged))
        if lost := count_missing(self.store, known):
            refs, them = ("The ref of 1 backup is", "it") if lost == 1 else (f"The refs of {lost:,} backups are", "them")
            text = f"{refs} gone, though nobody deleted {them}; `cronos repair` brings {them} back."
            self.notice(Noticed("warning", "store.damaged", text))

    def damaged(self) -> list[Damage]:
        """What is wrong with backups whose tags cannot be read, so that they are missing from `backups`.

        Raises:
            StoreMissingError: The project has no store yet.

        Cost: as for `backups`.
        """
        return self._catalog().damaged

    def backups(self, query: Query | None = None) -> list[Backup]:
        """The backups that meet *query*, newest first unless it says otherwise.

        Raises:
            StoreMissingError: The project has no store yet.

        Cost: one small object a backup; with `contains`, the directories on the way to that path in each.
        """
        return catalog.select(self._catalog().backups, query or Query(), self._holds)

    def _holds(self, backup: Backup, path: str) -> bool:
        try:
            self.view(backup).find(path)
        except BackupNotFoundError:
            return False
        return True

    def resolve(self, identifier: str) -> Resolution:
        """The backup that *identifier* means, in any of the forms that `cronos` accepts.

        Raises:
            BackupNotFoundError, AmbiguousBackupError, StoreMissingError: There is no such backup, or no one such.
            DamageError: A backup that cannot be read may be meant.
        """
        return catalog.resolve(self._catalog(), identifier, self.clock.now(), self.zone)

    def _choose(self, identifiers: Sequence[str], among: catalog.Catalog) -> list[Backup]:
        """The backups that are meant, each once, in the order given."""
        found = [catalog.resolve(among, text, self.clock.now(), self.zone).backup for text in identifiers]
        return list({backup.id: backup for backup in found}.values())

    def view(self, backup: Backup) -> SnapshotView:
        """The backup as a tree of files."""
        from cronos_git.git.view import SnapshotView

        return SnapshotView(self.store, backup.commit)

    def record(self, backup: Backup) -> Mapping[str, object]:
        """How the backup was made: rules, counts, host, state of the project's repositories."""
        return self.view(backup).record()

    def entries(self, backup: Backup, path: str = "", *, recursive: bool = False) -> list[Entry]:
        """What the backup holds at *path*.

        Raises:
            BackupNotFoundError: It has no such path.
        """
        from cronos_git.ops import browse

        return browse.entries(self.view(backup), path, recursive=recursive)

    def read(self, backup: Backup, path: str) -> Iterator[bytes]:
        """The content of a file, in pieces.

        Raises:
            BackupNotFoundError: The backup has no such path, or not its content.
            UsageError: It is no file.
        """
        from cronos_git.ops import browse

        return browse.read(self.view(backup), path)

    def find(self, patterns: Sequence[str], query: Query | None = None) -> list[FoundEntry]:
        """Paths that match shell patterns, in the backups that meet *query*, each version once."""
        from cronos_git.ops import browse

        chosen = sorted(self.backups(query), key=lambda backup: backup.sequence)
        return browse.find(self.store, chosen, patterns)

    def diff(
        self, old: Backup, new: Backup | None = None, paths: Sequence[str] = (), *, stat: bool = False, patch: bool = False
    ) -> Iterator[FileDiff]:
        """What differs from one backup to another, or to the project as it is now.

        Args:
            new: None for the project now, within the scope of *old*.
        """
        from cronos_git.ops import compare

        after = self._view_now(old) if new is None else self.view(new)
        return compare.diff(self.view(old), after, paths, stat=stat, patch=patch)

    def _view_now(self, like: Backup) -> SnapshotView:
        """The project now, as far as the scope of *like* reaches."""
        from cronos_git.ops import snapshot

        described = self.record(like)["scope"]
        paths = described["paths"] if isinstance(described, dict) else [""]
        subject = replace(self._subject(), scope=Scope(name=like.scope, paths=tuple(paths)))
        backups = self._catalog().backups
        return snapshot.look(self.store, backups, subject, self._circumstances(), Run()).view

    def stats(self, run: Run | None = None) -> StoreStats:
        """Figures of the whole store, and how it grew.

        Raises:
            StoreMissingError: The project has no store yet.

        Cost: a read of each distinct directory of all backups, and of a few bytes of each distinct content.
        """
        from cronos_git.ops import stats

        return stats.collect(
            self.store, self._catalog().backups, catalog.read_trash(self.store, sure=False).backups, run or Run()
        )

    def backup_stats(self, backups: Sequence[Backup] | None = None, run: Run | None = None) -> BackupsStats:
        """What backups take on the disk: all of them, or those given.

        Cost: two or three reads of each distinct directory of all backups.
        """
        from cronos_git.ops import stats

        known = self._catalog().backups
        chosen = {backup.id for backup in (known if backups is None else backups)}
        return stats.measure(self.store, known, chosen, run or Run())

    def path_stats(self, backup: Backup, *, since: datetime | None = None, limit: int = 20, run: Run | None = None) -> PathsStats:
        """The biggest files of *backup*, and the paths that let the store grow fastest.

        Args:
            since: Count only the growth of backups made then or later.
            limit: At most so many of each.

        Raises:
            DamageError: A directory of *backup* cannot be read.

        Cost: as for `stats`, and a read of each directory of *backup* with its attributes.
        """
        from cronos_git.ops import growth

        biggest = growth.biggest(self.store, self.view(backup), limit)
        grown, unreadable = growth.fastest(self.store, self._catalog().backups, since, limit, run or Run())
        return PathsStats(backup=backup, biggest=biggest, since=since, grown=grown, unreadable=unreadable)

    # --- doctor ---

    def checks(self) -> list[Check]:
        """What `cronos doctor` looks at, each with its finding."""
        from cronos_git.ops import checkup

        return [*checkup.check(self.project, self.store_path), *checkup.check_policy(self.settings)]
