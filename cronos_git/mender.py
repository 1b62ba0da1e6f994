"""One project and its store: everything that mends a damaged store.

Owns the order of things: lock, do, log. Each step is `ops/`'s. Floor F8, between `inspector.Inspector` and `engine.Cronos`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cronos_git import __version__
from cronos_git.errors import CronosError, RecordFormatError, StoreFormatError
from cronos_git.events import Run, tolerating
from cronos_git.git.store import Store
from cronos_git.inspector import Inspector
from cronos_git.model import Damage, Remote, RepairPlan, RepairReport, Scope, VerifyRequest
from cronos_git.ops import catalog

if TYPE_CHECKING:  # imported where used
    from cronos_git.git.furniture import Flaw
    from cronos_git.git.quarantine import Quarantine
    from cronos_git.ops.repair import Findings, Reports
    from cronos_git.ops.subject import Subject


class Mender(Inspector):
    """Repairs; the arguments are `Reader`'s."""

    def plan_repair(self, run: Run | None = None, *, offline: bool = False) -> RepairPlan:
        """What `repair` would do, and what cannot be healed; writes nothing that stays.

        Args:
            offline: Ask no remote.

        Raises:
            StoreMissingError: The project has no store.
            StoreFormatError, RefusedError: It is of a newer CRONOS, or another user's or project's.
            StoreLockedError, AccessError, HostError, InterruptedRunError: It could not be looked at.
            RemoteError: Something is lost for good unless a remote has it that could not be asked, or gave nothing.

        Cost: every byte of the store is read and hashed; where something is lost, every file of the project
            too, and then all that the remotes have is got.
        """
        from cronos_git.git.quarantine import Quarantine
        from cronos_git.ops import refetching, repair

        run = run or Run()
        flaws = self._flaws()
        store = Store(self.store_path, str(self.project)) if flaws else self.store
        with self._reading(store):
            earlier = repair.unfinished_reports(Quarantine(self.store_path, self.clock.now()))
            remotes = () if offline else self._remotes_of(store, run)
            with refetching.opened(store, remotes, run) as sources:
                found = repair.examine(store, self._subject_of, sources, run)
            found.remains.close()
        plan = self._repair_plan(flaws, found, earlier)
        if plan.lost and not remotes and not offline and any(flaw.name == "config" for flaw in flaws):
            text = "No remote was asked for this plan, as the configuration has to be mended first; the repair asks them."
            plan = replace(plan, notes=(*plan.notes, text))
        return plan

    def repair(self, run: Run | None = None, *, offline: bool = False) -> RepairReport:
        """Make the store whole again, as far as what it needs is to be had anywhere.

        What is damaged is moved to `cronos/quarantine/`, never deleted. Backups of which something is lost for good keep their id
        and everything else; the report tells what is missing in them.

        Args:
            offline: Ask no remote.

        Raises:
            All errors of `plan_repair`, and DiskFullError: The store is no worse than it was; run it again.

        Durability: when this returns, the store is repaired also after a power cut. If killed earlier, it is no worse than it
        was, and the next run finishes.
        Cost: as `plan_repair`; what is whole in damaged packs is written again.
        """
        from cronos_git.git.quarantine import Quarantine
        from cronos_git.ops import repair

        run = run or Run()
        started = time.monotonic()
        flaws = self._flaws()
        quarantine = Quarantine(self.store_path, self.clock.now())
        with repair.telling_space(lambda: None):
            repair.restore_files(self.store_path, flaws, quarantine, self.clock.now(), wait_s=self.settings.lock_wait)
        with self._operation("repair", run) as told, self._writing(run):
            remotes = () if offline else self._remotes_of(self.store, run)
            plan = self._mend(flaws, remotes, quarantine, told, run)
            remaining = self._remaining(run) if plan.steps else ()
        place = str(quarantine.path) if plan.steps else ""
        return RepairReport(plan=plan, quarantine=place, remaining=remaining, duration_s=time.monotonic() - started)

    def _mend(
        self, flaws: list[Flaw], remotes: Sequence[Remote], quarantine: Quarantine, told: dict[str, object], run: Run
    ) -> RepairPlan:
        """Examine, report what will be, do it, report that it is done; says it for the operation log."""
        from cronos_git.ops import refetching, repair

        earlier = repair.unfinished_reports(quarantine)
        with refetching.opened(self.store, remotes, run) as sources, contextlib.ExitStack() as stack:
            found = repair.examine(self.store, self._subject_of, sources, run)
            stack.callback(found.remains.close)
            plan = self._repair_plan(flaws, found, earlier)
            told["unlogged"] = not plan.steps
            if plan.steps:
                with repair.telling_space(lambda: found):
                    repair.write_report(quarantine, plan, found.tags, self.clock.now(), finished=False)
                    repair.apply(self.store, found, quarantine, run)
                    repair.write_report(quarantine, plan, found.tags, self.clock.now(), finished=True)
                    repair.complete(earlier)
        told["steps"] = len(plan.steps)
        told["backups"] = sorted({loss.backup for loss in plan.lost})
        told["tags"] = {name.rpartition("/")[2]: oid for name, oid in found.values.items()}
        told["given_up"] = sorted({loss.backup for loss in plan.lost if loss.kind == "backup"})
        if found.papers.lines:
            told |= self._standing()
        return plan

    def _remotes_of(self, store: Store, run: Run) -> Sequence[Remote]:
        """The remotes, as far as the store's configuration can be read."""
        from cronos_git.git import remotes

        with tolerating(run, "repair.alone", "No remote is asked"):
            return remotes.remotes(store)
        return ()

    def _standing(self) -> dict[str, object]:
        """Where all refs of backups are, for a log of which lines are lost that may have told it."""
        kept, trash = self.store.tags().oids, self.store.trash_tags().oids
        return {"kept": sorted(kept), "trash": sorted(trash.keys() - kept.keys()), "tags": trash | kept}

    def _repair_plan(self, flaws: list[Flaw], found: Findings, earlier: Reports) -> RepairPlan:
        from cronos_git.ops import repair

        plan = repair.retold(found.plan, earlier, found.backups)
        return replace(plan, steps=(*repair.steps_of(flaws), *plan.steps))

    def _flaws(self) -> list[Flaw]:
        """What is missing or damaged of the files without which it is no store."""
        from cronos_git.ops import repair

        refusal: CronosError | None = None
        try:
            Store.open(self.store_path)
        except (StoreFormatError, RecordFormatError) as error:
            refusal = error
        flaws = repair.find_flaws(self.store_path, self.project, self.clock.now(), __version__)
        if not {"config", "cronos/format.json"} & {flaw.name for flaw in flaws}:
            if refusal is not None:
                raise refusal
            self.store  # noqa: B018 - refuses the store of another project
        return flaws

    @contextlib.contextmanager
    def _reading(self, store: Store) -> Iterator[None]:
        """The shared lock, where there is a place for one."""
        with store.lock(shared=True, wait_s=self.settings.lock_wait) if store.cronos_dir.is_dir() else contextlib.nullcontext():
            store.reopen()
            yield

    def _subject_of(self, scope: Scope) -> Subject:
        return replace(self._subject(), scope=scope)

    def _remaining(self, run: Run) -> tuple[Damage, ...]:
        """What a check after the repair finds: nothing, unless the store contradicts itself."""
        from cronos_git.ops import verify

        found = catalog.read(self.store)
        return verify.verify(self.store, found.backups, found.damaged, VerifyRequest(quick=True), run).damage
