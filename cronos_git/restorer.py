"""One project and its store: everything that brings a backup back, and takes that back.

Owns the order of things: lock, look, restore point, apply, log. Each step is `ops/`'s. Floor F8, between `keeper.Keeper` and
`engine.Cronos`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git.errors import BackupNotFoundError, MergeConflictError, RefusedError
from cronos_git.events import Run, tolerating
from cronos_git.keeper import Keeper
from cronos_git.model import IN_PLACE, Backup, Operation, RestorePlan, RestoreReport, RestoreRequest, Scope, SnapshotRequest
from cronos_git.ops.targets import locked_target, open_target
from cronos_git.rules.identify import RESTORE_POINT
from cronos_git.rules.names import slug
from cronos_git.rules.requests import check_restore

if TYPE_CHECKING:  # imported where used: a listing needs none of it
    from cronos_git.git.view import SnapshotView
    from cronos_git.ops.proposals import Source
    from cronos_git.ops.restore import Look, Point, Prepared
    from cronos_git.ops.subject import Subject


class Restorer(Keeper):
    """Restores; the arguments are `Reader`'s.

    Attributes:
        restore_roots: Restores may go nowhere but to the project and below these directories; None for anywhere.
    """

    restore_roots: tuple[str, ...] | None = None

    # --- restore ---

    def plan_restore(self, request: RestoreRequest, run: Run | None = None) -> RestorePlan:
        """What a restore would do; writes nothing.

        In place, a target that does not exist is planned as a new location.

        Raises:
            BackupNotFoundError, AmbiguousBackupError: No such backup or path.
            ModuleScopeError: No such module in the backup, or several.
            RefusedError: A new location is not absent or empty; the target holds the store or the project, or lies in the
                store; something stands in the way of a restore in place.
            UsageError: There is no such strategy, or way with conflicts or deletions.
            DamageError, AccessError, HostError, InterruptedRunError: The backup or the target cannot be read.

        Cost: in place, one walk of the target, and the contents of its files that changed since the last backup.
        """
        run = run or Run()
        drafted = self._draft(request, run)
        if not drafted.is_in_place:
            return drafted
        return self._planned(drafted, run)

    def apply_restore(self, plan: RestorePlan, run: Run | None = None, *, verify: bool | None = None) -> RestoreReport:
        """Carry out a plan of `plan_restore` or `plan_undo`.

        Args:
            verify: Read every restored file back and compare it; None does so in place only.

        Raises:
            RefusedError: The target is no longer as the plan saw it. It is as it was.
            MergeConflictError: A merge that aborts on conflicts has some. Nothing was changed.
            StoreLockedError: Somebody else writes to the store, or restores into the target.
            PolicyDeniedError: The policy speaks against it, or gave no verdict. Nothing was changed.
            DiskFullError, AccessError, HostError, DamageError, InterruptedRunError: The target is as it was.

        Durability: in place, when this returns, the new state survives a power cut, and the old one is in the restore point; if
        killed earlier, the next command brings the old state back. For a new location see `ops.extract`.
        """
        run = run or Run()
        if plan.is_in_place:
            return self._apply_in_place(replace(plan, changes=(), state=""), run, verify is not False, expected=plan)
        from cronos_git.ops import extract

        with self._operation("restore", run, **_facts(plan)) as told:
            with self.store.lock(shared=True, wait_s=self.settings.lock_wait, checkpoint=run.checkpoint):
                self._allowed(Path(plan.target))
                self._judge_restore(plan, None, told, run)
                report = extract.apply(self.store, self.view(plan.backup), plan, verify=bool(verify), run=run)
            told["problems"] = len(report.problems)
        return report

    def restore(self, request: RestoreRequest, run: Run | None = None) -> RestoreReport:
        """Plan and apply in one; in place with one walk.

        Raises:
            All errors of `plan_restore` and `apply_restore`.

        Durability: as for `apply_restore`.
        """
        run = run or Run()
        drafted = self._draft(request, run)
        if drafted.is_in_place:
            return self._apply_in_place(drafted, run, request.verify is not False)
        return self.apply_restore(drafted, run, verify=request.verify)

    # --- undo ---

    def plan_undo(self, run: Run | None = None) -> RestorePlan:
        """What `undo` would do; writes nothing.

        Raises:
            BackupNotFoundError: No restore point is kept.
            RefusedError: The last restore took none, or its own is no longer kept; or as for `plan_restore`.
            DamageError, AccessError, HostError, InterruptedRunError: As for `plan_restore`.
        """
        return self._planned(self._draft_undo(), run or Run())

    def undo(self, run: Run | None = None, *, verify: bool | None = None) -> RestoreReport:
        """Bring back the state before the last restore in place, or before the last undo; takes a restore point itself.

        Raises:
            All errors of `plan_undo` and `apply_restore`.

        Durability: as for `apply_restore`.
        """
        return self._apply_in_place(self._draft_undo(), run or Run(), verify is not False)

    # --- drafts: what is wanted, before the target is looked at ---

    def _draft(self, request: RestoreRequest, run: Run) -> RestorePlan:
        from cronos_git.ops import extract, restore

        check_restore(request)
        backup = self.resolve(request.backup).backup
        view = self.view(backup)
        is_in_place = request.strategy in IN_PLACE
        target = self._target(request, backup)
        takes_point = is_in_place and (self.settings.restore_point if request.restore_point is None else request.restore_point)
        base = self._base(request, backup, target) if request.strategy == "merge" else None
        drafted = restore.draft(
            backup, view, request, str(target), takes_point=takes_point, modules=self.settings.modules, base=base
        )
        if request.with_dependencies:
            from cronos_git.ops.dependencies import widen_plan

            drafted = widen_plan(drafted, view, self.settings.modules, self.adviser, run)
        if is_in_place and os.path.lexists(target):
            return drafted
        return replace(extract.plan(view, backup, drafted.paths, str(target)), dependencies=drafted.dependencies)

    def _base(self, request: RestoreRequest, backup: Backup, target: Path) -> str | None:
        """Id of the backup that a merge of *backup* into *target* starts from."""
        from cronos_git.ops import undoing
        from cronos_git.rules.ancestry import find_base

        if request.base is not None:
            return self.resolve(request.base).backup.id
        known = self._known()
        made = next((done for done in self.operations() if _made_anew(done, str(target))), None)
        is_project = target == self.project
        last = undoing.last_state(known, self._catalog().backups, made, str(target), is_project=is_project, like=backup)
        base = find_base(backup, last, known)
        return base.id if base else None

    def _known(self) -> dict[str, Backup]:
        """All backups by id, those in the trash too."""
        from cronos_git.ops import catalog

        return {backup.id: backup for backup in (*catalog.read_trash(self.store, sure=False).backups, *self._catalog().backups)}

    def _target(self, request: RestoreRequest, backup: Backup) -> Path:
        from cronos_git.ops import confinement, undoing

        if request.target is None:
            if request.strategy in IN_PLACE:
                return self._allowed(Path(undoing.taken_of(backup) or self.project))
            name = f"{self.project.name}-{backup.id}"
            if self.restore_roots is not None:
                return self._allowed(confinement.choose_place(name, self.restore_roots))
            return self.project.parent / name
        target = Path(request.target)
        if request.strategy in IN_PLACE and os.path.isdir(target):  # Path.is_dir fails when a name is too long
            target = target.resolve()
        target = Path(target.parent.resolve(), target.name) if target.name not in ("", "..") else target.resolve()
        target = self._allowed(target)
        self._refuse_target(target)
        return target

    def _allowed(self, target: Path) -> Path:
        """*target*, where it really leads when restores may not go anywhere."""
        if self.restore_roots is None:
            return target
        from cronos_git.ops import confinement

        return confinement.require_allowed(target, self.project, self.restore_roots)

    def _refuse_target(self, target: Path) -> None:
        if target.is_relative_to(self.store_path):
            raise RefusedError(f"The target {target} lies in the store.", hint="Choose another directory with --to.")
        for what, path in (("the store", self.store_path), ("the project", self.project)):
            if target != path and path.is_relative_to(target):
                raise RefusedError(f"The target {target} holds {what} {path}.", hint="Choose another directory with --to.")

    def _draft_undo(self) -> RestorePlan:
        from cronos_git.ops import undoing

        last = next(
            (done for done in self.operations() if done.facts.get("strategy") in IN_PLACE and done.result == "done"), None
        )
        point = undoing.point_to_undo(self._catalog().backups, last)
        return undoing.draft_undo(point, self.view(point))

    # --- in place ---

    def _planned(self, drafted: RestorePlan, run: Run) -> RestorePlan:
        with open_target(drafted.target) as root_fd:
            prepared = self._prepare(drafted, root_fd, self._looking(drafted.target, run))
        self._tell_changes(drafted, prepared, run)
        prepared.look.abort()
        return prepared.plan

    def _prepare(self, drafted: RestorePlan, root_fd: int, look: Callable[[frozenset[str]], Look]) -> Prepared:
        from cronos_git.ops import restore, undoing

        view = self.view(drafted.backup)
        made = undoing.made_by(drafted, view, self._undone(drafted)) if drafted.verb == "undo" else undoing.Made()
        base = self.view(self._base_of(drafted.base)) if drafted.base else None
        now_ns = int(self.clock.now().timestamp() * 1_000_000) * 1000
        return restore.prepare(drafted, restore.Sources(view, base, made), root_fd, look, now_ns=now_ns)

    def _tell_changes(self, drafted: RestorePlan, prepared: Prepared, run: Run) -> None:
        """Warn when what restored modules need is no longer as in the backup."""
        if drafted.verb == "restore" and drafted.target == str(self.project):
            from cronos_git.ops.dependencies import tell_changes

            with tolerating(run, "dependency.unknown", "What the restored modules need was not compared"):
                tell_changes(drafted, self.view(drafted.backup), prepared.look.view, self.settings.modules, run)

    def _base_of(self, identifier: str) -> Backup:
        if (base := self._known().get(identifier)) is None:
            raise BackupNotFoundError(
                f"{identifier}, which the merge starts from, is gone since the plan was made. Nothing was changed.",
                hint="Make the plan again, or name another base with --base.",
            )
        return base

    def _undone(self, drafted: RestorePlan) -> SnapshotView | None:
        """What the restore that is to be undone had restored."""
        from cronos_git.ops import undoing

        about = drafted.backup.metadata[undoing.METADATA_KEY]
        restored = self._known().get(about["backup"]) if isinstance(about, dict) else None
        return self.view(restored) if restored else None

    def _apply_in_place(
        self, drafted: RestorePlan, run: Run, verify: bool, *, expected: RestorePlan | None = None
    ) -> RestoreReport:
        from cronos_git.ops import restore

        started = time.monotonic()
        view = self.view(drafted.backup)
        with (
            self._operation(drafted.verb, run, **_facts(drafted)) as told,
            self._writing(run),
            locked_target(drafted.target) as root_fd,
        ):
            self._allowed(Path(f"/proc/self/fd/{root_fd}"))
            look = self._taking(drafted, run) if drafted.restore_point else self._looking(drafted.target, run)
            prepared = self._prepare(drafted, root_fd, look)
            try:
                if expected is not None:
                    restore.require_planned(expected, prepared.plan)
                else:
                    self._tell_changes(drafted, prepared, run)
                if prepared.plan.is_blocked:
                    raise _conflicts(prepared.plan)
                if prepared.steps.is_empty:
                    told["unlogged"] = True
                    return _nothing_done(prepared)
                restore.require_space(prepared.plan)
                self._judge_restore(prepared.plan, prepared, told, run)
                point = self._point(prepared, told, run)
                report = restore.apply(self.store, view, prepared, root_fd, point, run, verify=verify, started=started)
            finally:
                prepared.look.abort()  # nothing, once it has been finished
            told["problems"] = len(report.problems)
        return report

    def _judge_restore(self, plan: RestorePlan, prepared: Prepared | None, told: dict[str, object], run: Run) -> None:
        """Ask the policy; the restore point of a restore is part of it, and is not judged by itself."""
        if self.gate is not None:
            from cronos_git.ops import proposals

            self._judge(proposals.restoring(self._asker(), plan, self._source(plan, prepared)), told, run)

    def _source(self, plan: RestorePlan, prepared: Prepared | None = None) -> Source:
        """Whence a restore takes what it writes, as far as that is prepared."""
        from cronos_git.ops.proposals import Source

        view = self.view(plan.backup)
        if prepared is None:
            return Source(store=self.store, view=view)
        written = {write.after.path: write.after for write in prepared.steps.written}
        return Source(store=self.store, view=view, written=written, contents=prepared.contents)

    def _point(self, prepared: Prepared, told: dict[str, object], run: Run) -> Point | None:
        """The restore point to be taken; says what becomes of it."""
        from cronos_git.ops import restore, undoing
        from cronos_git.ops.snapshot import Taking

        look = prepared.look
        told["restore_point"] = None
        if not isinstance(look, Taking):
            return None
        told["restore_point"] = identifier = look.id
        look.request = replace(look.request, metadata={undoing.METADATA_KEY: prepared.purpose})

        def drop() -> None:
            told["restore_point"] = None
            self._drop_point(identifier, run)

        return restore.Point(identifier, look.finish, drop)

    def _taking(self, drafted: RestorePlan, run: Run) -> Callable[[frozenset[str]], Look]:
        """Looks at the target by beginning its restore point."""
        from cronos_git.ops import snapshot

        backups = self._catalog().backups
        request = SnapshotRequest(
            name=f"before-{drafted.verb}",
            type=RESTORE_POINT,
            message=f"Before {drafted.verb} of {drafted.backup.id} ({drafted.strategy})",
        )
        about = self._circumstances()
        return lambda forced: snapshot.begin(
            self.store, backups, self._target_subject(drafted.target, forced), request, about, run
        )

    def _looking(self, target: str, run: Run) -> Callable[[frozenset[str]], Look]:
        """Looks at the target and stores nothing."""
        from cronos_git.ops import snapshot

        backups, about = self._catalog().backups, self._circumstances()
        return lambda forced: snapshot.look(self.store, backups, self._target_subject(target, forced), about, run)

    def _target_subject(self, target: str, forced: frozenset[str]) -> Subject:
        """The whole of a restore's target, by the project's rules; another directory than the project has a scope of its own."""
        from cronos_git.ops.subject import describe

        if target == str(self.project):
            scope = Scope()
        else:
            digest = hashlib.sha256(os.fsencode(target)).hexdigest()[:8]
            scope = Scope(name=f"{slug(Path(target).name)}-{digest}")
        return describe(target, self.settings, SnapshotRequest(), scope=scope, forced=forced)


def _facts(plan: RestorePlan) -> dict[str, object]:
    """What the operation log tells of a restore."""
    return {"backup": plan.backup.id, "target": plan.target, "strategy": plan.strategy, "paths": list(plan.paths)}


def _made_anew(done: Operation, target: str) -> bool:
    """Whether this was a restore of a whole backup to *target* as a new place."""
    facts = done.facts
    is_whole = facts.get("strategy") == "new_location" and not facts.get("paths")
    return is_whole and facts.get("target") == target and done.result == "done"


def _conflicts(plan: RestorePlan) -> MergeConflictError:
    count = len(plan.conflicts)
    return MergeConflictError(
        f"{'1 path' if count == 1 else f'{count} paths'} in conflict ({plan.conflicts[0].path or '.'}"
        f"{'' if count == 1 else ' and others'}). Nothing was changed.",
        hint="Take one side with --on-conflict ours or theirs, or both with --on-conflict markers or both.",
        conflicts=plan.conflicts,
        backup=plan.backup.id,
        base=plan.base,
    )


def _nothing_done(prepared: Prepared) -> RestoreReport:
    return RestoreReport(
        plan=prepared.plan, files=0, size_bytes=0, problems=tuple(prepared.steps.problems), verified=0, duration_s=0.0
    )
