"""One project and its store: everything that carries backups out of it and into it.

Owns the order of things: lock, do, log. Each step is `ops/`'s. Floor F8, between `mender.Mender` and `courier.Courier`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from cronos_git.errors import CronosError
from cronos_git.events import Finished, Noticed, Run, Started, tolerating
from cronos_git.mender import Mender
from cronos_git.model import (
    Backup,
    ExportPlan,
    ExportReport,
    ExportRequest,
    ImportItem,
    ImportPlan,
    ImportReport,
    ImportRequest,
    Problem,
)

if TYPE_CHECKING:
    from cronos_git.ops.importing import Place


class _Imported(NamedTuple):
    """What came of one source."""

    backup: Backup
    was_there: bool = False
    notes: Sequence[str] = ()
    lone_top: str = ""
    bytes_stored: int = 0
    problems: Sequence[Problem] = ()


class Carrier(Mender):
    """Exports and imports; the arguments are `Reader`'s."""

    # --- export ---

    def plan_export(self, request: ExportRequest) -> ExportPlan:
        """What an export would write, and what its format cannot carry; writes nothing.

        Raises:
            BackupNotFoundError, AmbiguousBackupError: There is no such backup or path.
            UsageError: The format is not known, or cannot do what is asked.
            RefusedError: The file exists, and is not to be replaced.
            DamageError: The backup cannot be read.

        Cost: one walk of what is exported.
        """
        from cronos_git.ops import export

        backup = self.resolve(request.backup).backup
        return export.plan(backup, self.view(backup), request)

    def export(self, request: ExportRequest, run: Run | None = None, *, out: IO[bytes] | None = None) -> ExportReport:
        """Write a backup, or some paths of it, into an archive or a bundle.

        Args:
            out: Where to write when the request's file is `-`.

        Raises:
            All errors of `plan_export`.
            DiskFullError, AccessError, HostError, DamageError, GitVersionError, GitCommandError, InterruptedRunError: What stood
                under the file's name, stands there.

        Durability: when this returns, a named file survives a power cut; if killed earlier, it is as it was.
        """
        from cronos_git.ops import export

        plan = self.plan_export(request)
        with self.store.lock(shared=True, wait_s=self.settings.lock_wait):
            return export.apply(self.store, self.view(plan.backup), plan, run or Run(), out)

    # --- import ---

    def plan_import(self, request: ImportRequest) -> ImportPlan:
        """What an import would take, oldest first; writes nothing. Needs no store.

        Raises:
            UsageError: Nothing there can be imported, for want of a date, say.
            RefusedError, ArchiveError, AccessError, HostError: The source cannot be taken or read.
        """
        from cronos_git.ops import importing

        return importing.plan(request, self._place())

    def import_(self, request: ImportRequest, run: Run | None = None) -> ImportReport:
        """Make backups of archives, bundles or dated directories; makes the store when the project has none.

        Nothing is pruned; the report tells what the next prune would drop. Of several sources one that cannot be taken is told
        as a problem, and the others are imported.

        Raises:
            All errors of `plan_import`.
            StoreLockedError: Somebody else is writing.
            DiskFullError, AccessError, HostError, InterruptedRunError: The backups made so far are whole and safe.

        Durability: each backup exists whole or not at all; when this returns, all survive a power cut.
        """
        from cronos_git.git import bundles, maintenance

        started = time.monotonic()
        run = run or Run()
        plan = self.plan_import(request)
        self._make_store()
        with self._operation("import", run, source=str(request.path)) as told, self._writing(run):
            bundles.remove_leftover(self.store)
            run.emit(Started("import", len(plan.items)))
            report = self._import_bundle(plan, run) if plan.items[0].kind == "bundle" else self._import_each(plan, run)
            run.emit(Finished("import"))
            told |= {"backups": [backup.id for backup in report.backups], "problems": len(report.problems)}
            told |= {"bytes_stored": report.bytes_stored, "unlogged": not report.backups}
            safe = "The backups are safe; listing and restoring get slower."
            with tolerating(run, "store.unfolded", "Packs were not folded", safe):
                maintenance.fold(self.store)
        return replace(report, prunable=self._prunable(report.backups), duration_s=time.monotonic() - started)

    def _place(self) -> Place:
        from cronos_git.ops.importing import Place

        return Place(
            project=self.project,
            store=self.store_path,
            default_name=self.settings.name,
            zone=self.zone,
            chunk_threshold=self.settings.chunk_threshold,
        )

    def _import_bundle(self, plan: ImportPlan, run: Run) -> ImportReport:
        from cronos_git.ops import unbundling

        done = unbundling.unbundle(self.store, Path(plan.items[0].path), plan.request, run)
        return _report(plan, done.backups, done.known, bytes_stored=done.bytes_stored)

    def _import_each(self, plan: ImportPlan, run: Run) -> ImportReport:
        from cronos_git.ops import importing
        from cronos_git.rules.imports import hint_of_root

        backups: list[Backup] = []
        known: list[Backup] = []
        problems, notes, stored = list(plan.skipped), list(plan.notes), 0
        lone_tops: dict[str, str] = {}
        for item in plan.items:
            try:
                one = self._import_one(item, plan.request, run)
            except CronosError as error:
                if len(plan.items) == 1 or not importing.is_of_item(error):
                    raise
                problems.append(importing.skipped(item, error))
                continue
            (known if one.was_there else backups).append(one.backup)
            stored += one.bytes_stored
            problems += one.problems
            notes += one.notes
            lone_tops |= {Path(item.path).name: one.lone_top} if one.lone_top else {}
        notes += hint_of_root(lone_tops)
        return _report(plan, backups, known, problems=problems, notes=notes, bytes_stored=stored)

    def _import_one(self, item: ImportItem, request: ImportRequest, run: Run) -> _Imported:
        from cronos_git.ops import importing, snapshot

        place, backups = self._place(), self._catalog().backups
        about = replace(self._circumstances(), now=item.created)
        subject = importing.subject_of(item, backups, place)
        asked = importing.request_of(item, pinned=request.pinned)
        taking = snapshot.Taking(self.store, backups, subject, asked, about, run)
        gathered = None
        try:
            if item.kind == "directory":
                taking.capture()
            else:
                gathered = importing.gather(item, request, place, self.store, taking.sink, run)
                taking.captured = gathered.captured
            same = importing.same_as(taking.captured, item, self.store, backups)
        except BaseException:
            taking.abort()
            raise
        notes, lone_top = (gathered.notes, gathered.lone_top) if gathered else ((), "")
        if same is not None:
            taking.abort()
            return _Imported(same, was_there=True, notes=notes, lone_top=lone_top)
        report = taking.finish()
        run.emit(Noticed("info", "import.saved", f"{Path(item.path).name}: {report.backup.id}"))
        return _Imported(
            report.backup, notes=notes, lone_top=lone_top, bytes_stored=report.bytes_stored, problems=report.problems
        )

    def _prunable(self, backups: Sequence[Backup]) -> tuple[str, ...]:
        """Those of *backups* that the next prune would drop."""
        new = {backup.id for backup in backups}
        return tuple(backup.id for backup in self.plan_prune().dropped if backup.id in new)


def _report(
    plan: ImportPlan,
    backups: Sequence[Backup],
    known: Sequence[Backup],
    *,
    problems: Sequence[Problem] = (),
    notes: Sequence[str] = (),
    bytes_stored: int,
) -> ImportReport:
    return ImportReport(
        plan=plan,
        backups=tuple(backups),
        known=tuple(known),
        problems=tuple(problems),
        prunable=(),
        notes=tuple(notes),
        bytes_stored=bytes_stored,
        duration_s=0.0,
    )
