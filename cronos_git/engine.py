"""One project and its store: the operations that every face of CRONOS calls.

The engine owns the order of things (lock, recover, do, log), and nothing else: each verb does its own work in `ops/`. It never
prints, never reads the environment, and takes the time from its clock. Floor F8.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git import __version__
from cronos_git.errors import BackupNotFoundError, RefusedError, StoreLockedError, UsageError
from cronos_git.events import Noticed, Run, tolerating
from cronos_git.git.store import Store
from cronos_git.model import (
    Backup,
    Check,
    Damage,
    Entry,
    FileDiff,
    FoundEntry,
    PrunePlan,
    PruneReport,
    PruneRequest,
    Query,
    RestorePlan,
    RestoreReport,
    RestoreRequest,
    Scope,
    SnapshotPlan,
    SnapshotReport,
    SnapshotRequest,
    StoreStats,
    VerifyReport,
    VerifyRequest,
)
from cronos_git.ops import catalog, oplog
from cronos_git.ports import Clock
from cronos_git.rules.identify import Resolution
from cronos_git.rules.record import Identity

if TYPE_CHECKING:  # imported where used: a listing needs neither the walk's nor the comparison's modules
    from cronos_git.git.view import SnapshotView
    from cronos_git.ops.snapshot import Circumstances
    from cronos_git.ops.subject import Subject
    from cronos_git.rules.schema import Settings


class Cronos:
    """The operations on one project.

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
    """

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

    # --- create and status ---

    def snapshot(self, request: SnapshotRequest, run: Run | None = None) -> SnapshotReport:
        """Take a backup; makes the store when the project has none.

        Raises:
            ProjectError, ModuleScopeError, PatternError: The request cannot be met; nothing was written.
            StoreLockedError: Somebody else is writing.
            DiskFullError, AccessError, HostError, InterruptedRunError: No backup was made; earlier ones are untouched.

        Durability: when this returns, the backup survives a power cut.
        """
        from cronos_git.git import maintenance
        from cronos_git.ops import prune, snapshot

        run = run or Run()
        subject = self._subject(request)
        if self._store_if_any() is None:
            Store.create(self.store_path, project_root=str(self.project), created=self.clock.now(), tool_version=__version__)
        with self.store.lock(wait_s=self.settings.lock_wait):
            self.store.reopen()
            maintenance.clean(self.store)
            self._recover(run)
            lost = prune.lost_packs(self.store)  # now, as the new stat cache will tell of these packs no more
            backups = self._catalog().backups
            report = snapshot.take(self.store, backups, subject, request, self._circumstances(), run)
            if request.modules and not report.backup.files:
                text = f"The backup holds no file: nothing in {', '.join(subject.scope.paths)} is taken by the rules."
                run.emit(Noticed("warning", "scope.empty", text))
            if not report.unchanged:
                counts = {"problems": len(report.problems), "bytes_stored": report.bytes_stored}
                self._log("create", {"backup": report.backup.id, **counts}, run)
                if self.settings.auto_prune:
                    report = replace(report, pruned=self._auto_prune(lost, run))
                safe = "The backup is safe; listing and restoring get slower."
                with tolerating(run, "store.unfolded", "Packs were not folded", safe):
                    maintenance.fold(self.store)
        return report

    def plan_snapshot(self, request: SnapshotRequest | None = None, run: Run | None = None) -> SnapshotPlan:
        """What a backup would hold and how that differs from the last one; writes nothing.

        Raises:
            ProjectError, ModuleScopeError, PatternError: As for `snapshot`.
        """
        from cronos_git.ops import snapshot

        store = self._store_if_any()
        backups = self._catalog().backups if store else []
        return snapshot.plan(store, backups, self._subject(request), self._circumstances(), run or Run())

    def _subject(self, request: SnapshotRequest | None = None) -> Subject:
        from cronos_git.ops.subject import describe

        return describe(str(self.project), self.settings, request or SnapshotRequest())

    def _circumstances(self) -> Circumstances:
        from cronos_git.ops import snapshot

        return snapshot.Circumstances(
            now=self.clock.now(), identity=self.identity, tool_version=__version__, default_name=self.settings.name
        )

    # --- prune, delete, undelete ---

    def plan_prune(self, request: PruneRequest | None = None) -> PrunePlan:
        """What retention keeps and drops, with the reasons; writes nothing.

        Raises:
            StoreMissingError: The project has no store yet.
            UsageError: The request names a rule that does not exist, or a value that it cannot have.
        """
        from cronos_git.ops import prune
        from cronos_git.rules.retention import policy_of

        policy = policy_of(self.settings, (request or PruneRequest()).limits)
        return prune.plan(self._catalog().backups, policy, self.clock.now(), self.zone)

    def apply_prune(self, plan: PrunePlan, run: Run | None = None) -> PruneReport:
        """Move what a plan drops to the trash; `undelete` brings it back. Frees no space.

        Raises:
            RefusedError: A backup that the plan rests on has been changed or deleted since; nothing was changed.
            DamageError: The store is damaged, so nothing is deleted from it.
            StoreLockedError, DiskFullError, AccessError, HostError: Each backup exists or is in the trash.

        Durability: when this returns, the backups are in the trash also after a power cut.
        """
        from cronos_git.ops import prune

        run = run or Run()
        with self._writing(run):
            self._require_whole(plan.dropped, run)
            prune.apply(self.store, plan)
            self._log_each("prune", plan.dropped, run)
        return PruneReport(plan=plan, pruned=tuple(backup.id for backup in plan.dropped))

    def _auto_prune(self, lost: Sequence[str], run: Run) -> tuple[str, ...]:
        """Prune after a backup, which is made already, so that a failure is a notice; the ids of what was dropped.

        Args:
            lost: Packs that were gone before the backup was made.
        """
        from cronos_git.ops import prune

        with tolerating(run, "prune.failed", "Old backups were not pruned", "The new backup is safe."):
            plan = self.plan_prune()
            if plan.dropped:
                prune.refuse_lost(lost)
            prune.apply(self.store, plan)
            self._log_each("prune", plan.dropped, run)
            return tuple(backup.id for backup in plan.dropped)
        return ()

    def delete(self, identifiers: Sequence[str], run: Run | None = None) -> list[Backup]:
        """Move backups to the trash, in any case: no retention rule is asked. Frees no space.

        Returns:
            The backups that are in the trash now.

        Raises:
            BackupNotFoundError, AmbiguousBackupError: An identifier means no one backup; nothing was changed.
            RefusedError: One is pinned; nothing was changed.
            DamageError, StoreLockedError, DiskFullError, AccessError, HostError: As for `apply_prune`.

        Durability: when this returns, the backups are in the trash also after a power cut.
        """
        from cronos_git.ops import prune

        run = run or Run()
        with self._writing(run):
            chosen = self._choose(identifiers, self._catalog())
            self._require_whole(chosen, run)
            prune.delete(self.store, chosen)
            self._log_each("delete", chosen, run)
        return chosen

    def trash(self) -> list[Backup]:
        """The backups that `undelete` can bring back, newest first.

        Raises:
            StoreMissingError: The project has no store yet.
        """
        return catalog.read_trash(self.store).backups[::-1]

    def undelete(self, identifiers: Sequence[str], run: Run | None = None) -> list[Backup]:
        """Bring backups back from the trash.

        Returns:
            The backups that exist again.

        Raises:
            BackupNotFoundError, AmbiguousBackupError: An identifier means no one backup in the trash; nothing was changed.
            DamageError, StoreLockedError, DiskFullError, AccessError, HostError: Each is still in the trash, or all are back.

        Durability: when this returns, they exist also after a power cut.
        """
        from cronos_git.ops import prune

        run = run or Run()
        with self._writing(run):
            chosen = self._choose(identifiers, catalog.read_trash(self.store))
            prune.undelete(self.store, chosen)
            self._log_each("undelete", chosen, run)
        return chosen

    def _choose(self, identifiers: Sequence[str], among: catalog.Catalog) -> list[Backup]:
        """The backups that are meant, each once, in the order given."""
        found = [catalog.resolve(among, text, self.clock.now(), self.zone).backup for text in identifiers]
        return list({backup.id: backup for backup in found}.values())

    def _require_whole(self, dropped: Sequence[Backup], run: Run) -> None:
        """Raise DamageError when what is left after a deletion is damaged, as far as a quick check tells."""
        from cronos_git.ops import prune, verify

        if dropped:
            gone = {backup.id for backup in dropped}
            kept = [backup for backup in self._catalog().backups if backup.id not in gone]
            prune.refuse_damage(verify.verify(self.store, kept, (), VerifyRequest(quick=True), run).damage)

    @contextlib.contextmanager
    def _writing(self, run: Run) -> Iterator[None]:
        """Hold the store's exclusive lock, with what killed runs left cleaned up."""
        from cronos_git.git import maintenance

        with self.store.lock(wait_s=self.settings.lock_wait):
            self.store.reopen()
            maintenance.clean(self.store)
            self._recover(run)
            yield

    # --- finding ---

    def _catalog(self) -> catalog.Catalog:
        """All backups; when some cannot be read, that is told once."""
        found = catalog.read(self.store)
        if found.damaged and not self._has_told_damage:
            self._has_told_damage = True
            count = len(found.damaged)
            text = f"{count} backup{'' if count == 1 else 's'} cannot be read; run `cronos verify`."
            self.notice(Noticed("warning", "store.damaged", text))
        return found

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
        return snapshot.look(self.store, backups, subject, self._circumstances(), Run())[1]

    def stats(self) -> StoreStats:
        """Figures of the whole store."""
        from cronos_git.ops import stats

        return stats.collect(self.store, self._catalog().backups)

    # --- verify and restore ---

    def verify(self, request: VerifyRequest | None = None, run: Run | None = None) -> VerifyReport:
        """Check stored data; damage is in the report, not an error.

        Raises:
            BackupNotFoundError, AmbiguousBackupError: A backup that was asked for does not exist.
            DamageError: A backup that was asked for cannot be told for sure, as others cannot be read.
        """
        from cronos_git.ops import verify

        request = request or VerifyRequest()
        with self.store.lock(shared=True, wait_s=self.settings.lock_wait):
            found = catalog.read(self.store)
            wanted = self._choose(request.backups, found) if request.backups else found.backups
            return verify.verify(self.store, wanted, found.damaged, request, run or Run())

    def plan_restore(self, request: RestoreRequest) -> RestorePlan:
        """What a restore would write; writes nothing.

        Raises:
            BackupNotFoundError, AmbiguousBackupError: No such backup or path.
            RefusedError: The target is not an absent or empty directory, or lies in the store.
            UsageError: The strategy is unknown.
        """
        from cronos_git.ops import restore

        if request.strategy != "new_location":
            raise UsageError(f"Unknown restore strategy {request.strategy!r}.", hint="This version has: new_location.")
        self._recover_if_free(Run())  # what a killed restore left in the target would stand in the way
        backup = self.resolve(request.backup).backup
        target = Path(request.target) if request.target else self.project.parent / f"{self.project.name}-{backup.id}"
        target = Path(target.parent.resolve(), target.name) if target.name not in ("", "..") else target.resolve()
        if target.is_relative_to(self.store_path):
            raise RefusedError(f"The target {target} lies in the store.", hint="Choose another directory with --to.")
        return restore.plan(self.view(backup), backup, request.paths, str(target))

    def apply_restore(self, plan: RestorePlan, run: Run | None = None, *, verify: bool = False) -> RestoreReport:
        """Carry out a plan.

        Args:
            verify: Read every restored file back and compare it.

        Raises:
            RefusedError, DiskFullError, AccessError, HostError, DamageError, InterruptedRunError: The target is as it was.
        """
        from cronos_git.ops import restore

        run = run or Run()
        self._recover_if_free(run)
        with self.store.lock(shared=True, wait_s=self.settings.lock_wait):
            report = restore.apply(self.store, self.view(plan.backup), plan, verify=verify, run=run)
        facts = {"backup": plan.backup.id, "problems": len(report.problems), "target": plan.target}
        self._log("restore", facts, run)
        return report

    def _recover_if_free(self, run: Run) -> None:
        """Clean up after dead restores, unless somebody is at work in the store; then that one does it, or the next command."""
        if self._abandoned(run):
            with contextlib.suppress(StoreLockedError), self.store.lock():
                self._recover(run)

    def _recover(self, run: Run) -> None:
        if self._abandoned(run):
            from cronos_git.ops import restore

            restore.recover(self.store, run)

    def _abandoned(self, run: Run) -> bool:
        """Whether there are dead restores. A journal that cannot be read is told, and must not stand in the way of a backup."""
        from cronos_git.ops import journal

        with tolerating(run, "restore.unrecovered", "Interrupted restores were not cleaned up"):
            return bool(journal.abandoned(self.store))
        return False

    def _log_each(self, verb: str, backups: Sequence[Backup], run: Run) -> None:
        if backups:
            self._log(verb, {"backups": [backup.id for backup in backups]}, run)

    def _log(self, verb: str, facts: Mapping[str, object], run: Run) -> None:
        """Note what was done. It is done already, so a log that cannot be written is a notice, not a failure."""
        who = {"user": self.identity.user, "host": self.identity.host}
        entry = {
            "verb": verb,
            "time": self.clock.now().astimezone(UTC).isoformat().removesuffix("+00:00") + "Z",
            "result": "done",
            **who,
            **facts,
        }
        with tolerating(run, "oplog.unwritten", "The operation log was not written"):
            oplog.append(self.store, entry)

    # --- doctor ---

    def checks(self) -> list[Check]:
        """What `cronos doctor` looks at, each with its finding."""
        from cronos_git.ops import checkup

        return checkup.check(self.project, self.store_path)
