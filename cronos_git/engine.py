"""One project and its store: the operations that every face of CRONOS calls.

The engine owns the order of things (lock, recover, do, log), and nothing else: each verb does its own work in `ops/`. It never
prints, never reads the environment, and takes the time from its clock. Floor F8.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cronos_git.courier import Courier
from cronos_git.events import Noticed, Run, tolerating
from cronos_git.model import Backup, Scope, SnapshotReport, SnapshotRequest

if TYPE_CHECKING:  # imported where used
    from cronos_git.ops.snapshot import Taking


class Cronos(Courier):
    """The operations on one project. All that is no backup is inherited; the arguments are `Reader`'s."""

    # --- create and status ---

    def snapshot(self, request: SnapshotRequest, run: Run | None = None) -> SnapshotReport:
        """Take a backup; makes the store when the project has none.

        Raises:
            ProjectError, ModuleScopeError, PatternError, UsageError: The request cannot be met; nothing was written.
            StoreLockedError: Somebody else is writing.
            PolicyDeniedError: The policy speaks against it; no backup was made.
            DiskFullError, AccessError, HostError, InterruptedRunError: No backup was made; earlier ones are untouched.

        Durability: when this returns, the backup survives a power cut.
        """
        from cronos_git.git import maintenance
        from cronos_git.ops import prune, snapshot

        run = run or Run()
        subject = self._subject(request, run)
        self._make_store()
        with self._operation("create", run) as told, self._writing(run):
            lost = prune.lost_packs(self.store)  # now, as the new stat cache will tell of these packs no more
            backups = self._catalog().backups
            taking = snapshot.begin(self.store, backups, subject, request, self._circumstances(), run)
            report = taking.keep() if taking.is_unchanged() else self._permitted(taking, told, run).finish()
            if request.modules and not report.backup.files:
                text = f"The backup holds no file: nothing in {', '.join(subject.scope.paths)} is taken by the rules."
                run.emit(Noticed("warning", "scope.empty", text))
            told |= {"backup": report.backup.id, "tag": report.backup.tag}
            told |= {"problems": len(report.problems), "bytes_stored": report.bytes_stored}
            told["unlogged"] = report.unchanged
            if not report.unchanged:
                if self.settings.auto_prune:
                    report = replace(report, pruned=self._auto_prune(lost, run))
                    if compacted := self._auto_compact(run):
                        gone = tuple(backup.id for backup in compacted.plan.expired)
                        report = replace(report, dropped=gone, freed_bytes=compacted.freed_bytes)
                safe = "The backup is safe; listing and restoring get slower."
                with tolerating(run, "store.unfolded", "Packs were not folded", safe):
                    maintenance.fold(self.store)
        if not report.unchanged:
            self._enrich(report.backup, subject.scope, run)
        if self.settings.auto_push and not report.unchanged:  # without the lock: another backup need not wait for a network
            pushed, failure = self._auto_push(run)
            report = replace(report, pushed=pushed, push_failed=failure)
        return report

    def _permitted(self, taking: Taking, told: dict[str, object], run: Run) -> Taking:
        """*taking*, if the policy has nothing against just what it will store; else it is given up.

        Raises:
            PolicyDeniedError: It has.
        """
        if self.gate is None:
            return taking
        from cronos_git.ops import proposals
        from cronos_git.rules import policy

        captured = taking.captured
        changes = partial(proposals.changed_in, self.store, taking.writer, captured, taking.last_wanted)
        try:
            action = proposals.creating(self._asker(), taking.request, taking.subject.scope.name, captured, changes)
            verdict = self._judge(action, told, run)
        except BaseException:
            taking.abort()
            raise
        if verdict is not None and verdict.decision == "unchecked":
            taking.policy = policy.facts(verdict)
        return taking

    def _enrich(self, backup: Backup, scope: Scope, run: Run) -> None:
        """Tell those who want to know of a backup; without the lock, as they may take their time."""
        for enricher in self.enrichers:
            with tolerating(run, "backup.untold", f"{enricher.name} was not told of {backup.id}"):
                enricher.backup_made(backup, scope)

    def auto_snapshot(
        self, request: SnapshotRequest, run: Run | None = None, *, min_changes: int | None = None
    ) -> SnapshotReport | None:
        """Take a backup that nobody asked for now, unless too little has changed: for clocks and watchers.

        Args:
            min_changes: How many paths must differ from the last backup of the scope; 0 takes one always, None is the
                configured `auto_backup_min_changes`.

        Returns:
            None when there was none to take.

        Raises, durability: As for `snapshot`.
        """
        least = self.settings.auto_backup_min_changes if min_changes is None else min_changes
        if least > 1:
            plan = self.plan_snapshot(request, run)
            if plan.against is not None and len(plan.changes) < least:
                return None
        report = self.snapshot(replace(request, skip_if_unchanged=least > 0), run)
        return None if report.unchanged else report
