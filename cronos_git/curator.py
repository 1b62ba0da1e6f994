"""One project and its store: everything that decides which backups are kept, and what is said of them.

Owns the order of things: lock, check, do, log. Each step is `ops/`'s. Floor F8, between `restorer.Restorer` and `engine.Cronos`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from cronos_git.errors import PolicyDeniedError, StoreLockedError
from cronos_git.events import Run, tolerating
from cronos_git.model import (
    Action,
    AmendReport,
    AmendRequest,
    Backup,
    CompactPlan,
    CompactReport,
    CompactRequest,
    GatedVerb,
    PrunePlan,
    PruneReport,
    PruneRequest,
    RestorePlan,
    SnapshotPlan,
    SnapshotRequest,
    VerifyRequest,
)
from cronos_git.ops import catalog
from cronos_git.restorer import Restorer

Foreseen = SnapshotPlan | RestorePlan | PrunePlan | CompactPlan | Sequence[Backup]
"""What the policy can be asked about beforehand; backups stand for their deletion."""


class Curator(Restorer):
    """Prunes, deletes, brings back, amends and compacts; the arguments are `Reader`'s."""

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
            PolicyDeniedError: The policy speaks against it, or gave no verdict; nothing was changed.
            DamageError: The store is damaged, so nothing is deleted from it.
            StoreLockedError, DiskFullError, AccessError, HostError: Each backup exists or is in the trash.

        Durability: when this returns, the backups are in the trash also after a power cut.
        """
        from cronos_git.ops import prune

        run = run or Run()
        with self._writing(run):
            self._require_whole(plan.dropped, run)
            verdict = self._judge_drop("prune", plan.dropped, run)
            prune.apply(self.store, plan)
            self._log_each("prune", plan.dropped, run, verdict)
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
            verdict = self._judge_drop("prune", plan.dropped, run)
            prune.apply(self.store, plan)
            self._log_each("prune", plan.dropped, run, verdict)
            return tuple(backup.id for backup in plan.dropped)
        return ()

    def delete(self, identifiers: Sequence[str], run: Run | None = None) -> list[Backup]:
        """Move backups to the trash, in any case: no retention rule is asked. Frees no space.

        Returns:
            The backups that are in the trash now.

        Raises:
            BackupNotFoundError, AmbiguousBackupError: An identifier means no one backup; nothing was changed.
            RefusedError: One is pinned; nothing was changed.
            PolicyDeniedError, DamageError, StoreLockedError, DiskFullError, AccessError, HostError: As for `apply_prune`.

        Durability: when this returns, the backups are in the trash also after a power cut.
        """
        from cronos_git.ops import prune

        run = run or Run()
        with self._writing(run):
            chosen = self._choose(identifiers, self._catalog())
            self._require_whole(chosen, run)
            verdict = self._judge_drop("delete", chosen, run)
            prune.delete(self.store, chosen)
            self._log_each("delete", chosen, run, verdict)
        return chosen

    def trash(self) -> list[Backup]:
        """The backups that `undelete` can bring back, newest first.

        Raises:
            StoreMissingError: The project has no store yet.
        """
        return catalog.read_trash(self.store, sure=False).backups[::-1]

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

    # --- amend ---

    def plan_amend(self, request: AmendRequest) -> AmendReport:
        """What `amend` would change; writes nothing.

        Raises:
            StoreMissingError: The project has no store yet.
            BackupNotFoundError, AmbiguousBackupError: An identifier means no one backup.
            UsageError: The request contradicts itself, a label is empty, or metadata cannot be said in JSON.
            RefusedError: It would change what a restore point was taken for.
            DamageError: The tag of a backup is damaged.
        """
        from cronos_git.ops import amend

        return amend.plan(self.store, self._choose(request.backups, self._catalog()), request)

    def amend(self, request: AmendRequest, run: Run | None = None) -> AmendReport:
        """Change pin, labels, message, description and metadata of existing backups; what they hold stays as it is.

        Where nothing differs nothing is written or logged.

        Raises:
            StoreLockedError, DiskFullError, AccessError, HostError, DamageError: Each backup is the old or the new one.
            All errors of `plan_amend`: Nothing was changed.

        Durability: when this returns, the backups are amended also after a power cut. If killed earlier, each is the old or the
        new one.
        """
        from cronos_git.ops import amend

        run = run or Run()
        with self._writing(run):
            report = self.plan_amend(request)
            amend.apply(self.store, report, lambda one: self._log(amend.verb_of(one), amend.facts_of(one), run))
        return report

    # --- compact ---

    def plan_compact(self, request: CompactRequest | None = None) -> CompactPlan:
        """What a compaction would drop and free; writes nothing.

        Raises:
            StoreMissingError: The project has no store yet.
            DamageError: Something that is needed is missing or damaged.
            GitVersionError: There is no git.

        Cost: every distinct tree read once.
        """
        from cronos_git.ops import compact

        request, trash = request or CompactRequest(), self.trash()
        days = self.settings.trash_days if request.trash_days is None else request.trash_days
        deleted = compact.deleted_at(reversed(self.operations()))
        return compact.plan(self.store, trash, compact.expired(trash, deleted, self.clock.now(), days), request)

    def compact(self, request: CompactRequest | None = None, run: Run | None = None) -> CompactReport:
        """Drop what has been in the trash long enough for good, and pack all else anew, tightly.

        Raises:
            StoreLockedError: Somebody else writes, or reads what must stay.
            All errors of `plan_compact` and `apply_compact`.

        Durability, cost: as for `apply_compact`.
        """
        run = run or Run()
        with self._writing(run):
            return self._compact(self.plan_compact(request), run)

    def apply_compact(self, plan: CompactPlan, run: Run | None = None) -> CompactReport:
        """Carry out a plan of `plan_compact`.

        Raises:
            RefusedError: The trash is no longer as planned; nothing was changed.
            PolicyDeniedError: The policy speaks against it, or gave no verdict; nothing was changed.
            DamageError: Something that is needed is missing or damaged; nothing was changed.
            StoreLockedError: Somebody else writes, or reads what must stay.
            DiskFullError, AccessError, HostError, InterruptedRunError: Every backup that stays is whole.

        Durability: when this returns, all that stays survives a power cut. If killed earlier, every backup that stays is whole,
        and the expired ones are in the trash or gone.
        Cost: everything read twice and written once; as much free space as the result takes.
        """
        run = run or Run()
        with self._writing(run):
            return self._compact(plan, run)

    def _compact(self, plan: CompactPlan, run: Run) -> CompactReport:
        from cronos_git.ops import compact

        facts = {"backups": [backup.id for backup in plan.expired]}
        with self.store.objects_stay(shared=False), self._operation("compact", run, **facts) as told:
            if self.gate is not None and not plan.idle:
                self._judge(self._dropping("compact", plan.expired), told, run)
            begin = partial(self._log, "compact", facts, run, "begun")
            report = compact.apply(self.store, plan, self._catalog().backups, run, begin)
            told |= {"freed_bytes": report.freed_bytes, "unlogged": plan.idle}
        return report

    def _auto_compact(self, run: Run) -> CompactReport | None:
        """Compact after a backup when that is worth it; the backup is made already, so that a failure is a notice."""
        from cronos_git.ops import compact

        with tolerating(run, "compact.failed", "The store was not compacted", "The new backup is safe."):
            operations = self.operations()[::-1]
            deleted = compact.deleted_at(operations)
            going = compact.expired(self.trash(), deleted, self.clock.now(), self.settings.trash_days)
            if compact.is_worthwhile(self.store, going, operations):
                with contextlib.suppress(StoreLockedError):  # a transfer is going on; the next backup compacts
                    return self._compact(self.plan_compact(), run)
        return None

    def _judge_drop(self, verb: GatedVerb, dropped: Sequence[Backup], run: Run) -> dict[str, object]:
        """Ask the policy whether backups may go; what the log is to tell of that.

        Raises:
            PolicyDeniedError: They may not.
        """
        return self._judged(self._dropping(verb, dropped), run) if self.gate is not None and dropped else {}

    def _dropping(self, verb: GatedVerb, dropped: Sequence[Backup], *, is_rehearsal: bool = False) -> Action:
        from cronos_git.ops import proposals

        return proposals.dropping(self._asker(is_rehearsal=is_rehearsal), verb, dropped, self._catalog().backups)

    def foresee(self, plan: Foreseen, request: SnapshotRequest | None = None) -> PolicyDeniedError | None:
        """What the rules of the policy would say of a plan, or of a deletion; nobody outside is asked, and nothing is logged.

        Args:
            request: What the plan of a backup was made for.

        Returns:
            The error with which they would stop it, or None.

        Cost: as that of the verdict itself.
        """
        if self.gate is None:
            return None
        from cronos_git.rules import policy

        action = self._rehearsed(plan, request)
        return policy.denial(action, self.gate.judge(action))

    def _rehearsed(self, plan: Foreseen, request: SnapshotRequest | None) -> Action:
        from cronos_git.ops import proposals

        if isinstance(plan, SnapshotPlan):
            return proposals.planning(self._asker(is_rehearsal=True), request or SnapshotRequest(), plan)
        if isinstance(plan, RestorePlan):
            return proposals.restoring(self._asker(is_rehearsal=True), plan, self._source(plan))
        if isinstance(plan, PrunePlan):
            return self._dropping("prune", plan.dropped, is_rehearsal=True)
        if isinstance(plan, CompactPlan):
            return self._dropping("compact", plan.expired, is_rehearsal=True)
        return self._dropping("delete", plan, is_rehearsal=True)

    def _require_whole(self, dropped: Sequence[Backup], run: Run) -> None:
        """Raise DamageError when what is left after a deletion is damaged, as far as a quick check tells."""
        from cronos_git.ops import prune, verify

        if dropped:
            gone = {backup.id for backup in dropped}
            kept = [backup for backup in self._catalog().backups if backup.id not in gone]
            prune.refuse_damage(verify.verify(self.store, kept, (), VerifyRequest(quick=True), run).damage)
