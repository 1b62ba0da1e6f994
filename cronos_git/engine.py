"""One project and its store: the operations that every face of CRONOS calls.

The engine owns the order of things (lock, recover, do, log), and nothing else: each verb does its own work in `ops/`. It never
prints, never reads the environment, and takes the time from its clock. Floor F8.
"""

from __future__ import annotations

from dataclasses import replace

from cronos_git.courier import Courier
from cronos_git.events import Noticed, Run, tolerating
from cronos_git.model import SnapshotReport, SnapshotRequest


class Cronos(Courier):
    """The operations on one project. All that is no backup is inherited; the arguments are `Reader`'s."""

    # --- create and status ---

    def snapshot(self, request: SnapshotRequest, run: Run | None = None) -> SnapshotReport:
        """Take a backup; makes the store when the project has none.

        Raises:
            ProjectError, ModuleScopeError, PatternError, UsageError: The request cannot be met; nothing was written.
            StoreLockedError: Somebody else is writing.
            DiskFullError, AccessError, HostError, InterruptedRunError: No backup was made; earlier ones are untouched.

        Durability: when this returns, the backup survives a power cut.
        """
        from cronos_git.git import maintenance
        from cronos_git.ops import prune, snapshot

        run = run or Run()
        subject = self._subject(request)
        self._make_store()
        with self._operation("create", run) as told, self._writing(run):
            lost = prune.lost_packs(self.store)  # now, as the new stat cache will tell of these packs no more
            backups = self._catalog().backups
            report = snapshot.take(self.store, backups, subject, request, self._circumstances(), run)
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
        if self.settings.auto_push and not report.unchanged:  # without the lock: another backup need not wait for a network
            pushed, failure = self._auto_push(run)
            report = replace(report, pushed=pushed, push_failed=failure)
        return report
