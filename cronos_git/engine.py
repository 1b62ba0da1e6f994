"""One project and its store: the operations that every face of CRONOS calls.

The engine owns the order of things (lock, recover, do, log), and nothing else: each verb does its own work in `ops/`. It never
prints, never reads the environment, and takes the time from its clock. Floor F8.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git import __version__
from cronos_git.errors import RefusedError, StoreLockedError, UsageError
from cronos_git.events import Noticed, Run, tolerating
from cronos_git.git.store import Store
from cronos_git.model import (
    Backup,
    PrunePlan,
    PruneReport,
    PruneRequest,
    RestorePlan,
    RestoreReport,
    RestoreRequest,
    SnapshotReport,
    SnapshotRequest,
    VerifyRequest,
)
from cronos_git.ops import catalog, oplog
from cronos_git.reader import Reader

if TYPE_CHECKING:  # imported where used: a listing needs neither the walk's nor the comparison's modules
    pass


class Cronos(Reader):
    """The operations on one project. What only reads is inherited; the arguments are `Reader`'s."""

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

    # --- restore ---

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
