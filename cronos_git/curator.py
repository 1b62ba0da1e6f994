"""One project and its store: everything that decides which backups are kept, and what is said of them.

Owns the order of things: lock, check, do, log. Each step is `ops/`'s. Floor F8, between `restorer.Restorer` and `engine.Cronos`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cronos_git.events import Run, tolerating
from cronos_git.model import Backup, PrunePlan, PruneReport, PruneRequest, VerifyRequest
from cronos_git.ops import catalog
from cronos_git.restorer import Restorer


class Curator(Restorer):
    """Prunes, deletes and brings back; the arguments are `Reader`'s."""

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
