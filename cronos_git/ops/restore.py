"""Restores in place: `replace`, `overwrite` and `undo`, which only differ in the tree that is desired.

    look at the target -> what differs from the desired tree -> (look again, with what stands in the way) -> plan -> apply

The look is the restore point in the making, or a mere look when none is taken, so that plan and restore point cost one walk
together. Deciding is `planning`'s, changing the target `moving`'s; a restore to a new place is `extract`'s. Floor F7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from cronos_git.disk import stage
from cronos_git.disk.scanned import Scan
from cronos_git.errors import DiskFullError, RefusedError
from cronos_git.events import Run
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, RestorePlan, RestoreReport, RestoreRequest
from cronos_git.ops import journal, moving, planning
from cronos_git.ops.knowledge import Knowledge
from cronos_git.ops.steps import Steps, Wish, is_at_or_below, without_nested
from cronos_git.ops.undoing import Made
from cronos_git.ops.writing import Destination, content_bytes


class Look(Protocol):
    """A look at the target: what was seen, and the same as a snapshot."""

    @property
    def scan(self) -> Scan:
        """What the walk saw."""
        ...

    @property
    def view(self) -> SnapshotView:
        """What was seen, as a snapshot."""
        ...

    def abort(self) -> None:
        """Forget it."""
        ...


@dataclass(frozen=True, slots=True)
class Point:
    """A restore point to be taken. The journal names it before it exists: one whose restore never began would mislead `undo`.

    Attributes:
        finish: Takes it.
        drop: Takes it back, if it is there.
    """

    id: str
    finish: Callable[[], object]
    drop: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan with all that is needed to carry it out."""

    plan: RestorePlan
    steps: Steps
    look: Look


def draft(
    backup: Backup,
    view: SnapshotView,
    request: RestoreRequest,
    target: str,
    *,
    takes_point: bool,
    modules: Mapping[str, Sequence[str]],
) -> RestorePlan:
    """The plan as far as the request makes it, before the target is looked at.

    Args:
        modules: Configured paths by module name.

    Raises:
        BackupNotFoundError: The backup has no such path.
        ModuleScopeError: A module is not found in it, or in several places.
    """
    from cronos_git.rules.modules import resolve_modules

    directories = lambda: (entry.path for entry in view.walk() if entry.attributes.kind == "directory")  # noqa: E731
    named = resolve_modules(request.modules, modules, lambda path: view.find_if_any(path) is not None, directories)
    paths = without_nested((*request.paths, *named))
    for path in paths:
        view.find(path)
    return RestorePlan(
        backup=backup,
        strategy=request.strategy,
        target=target,
        paths=() if "" in paths else paths,
        files=0,
        directories=0,
        size_bytes=0,
        restore_point=takes_point,
    )


def prepare(
    drafted: RestorePlan, view: SnapshotView, root_fd: int, look: Callable[[frozenset[str]], Look], made: Made
) -> Prepared:
    """Look at the target and decide.

    Args:
        view: The backup.
        root_fd: The target.
        look: Looks at the target, with these paths included whatever the rules say.
        made: What `made_by` tells for an undo.

    Raises:
        RefusedError: Something stands in the way that cannot be saved, or two names are one to the file system.
        DamageError, AccessError, HostError, InterruptedRunError: The backup or the target cannot be read.
    """
    obstructing: frozenset[str] = frozenset()
    while True:
        seen = look(made.forced | obstructing)
        try:
            wish = _wish(drafted, view, seen.scan, made, obstructing)
            planned = planning.plan(root_fd, seen.scan, seen.view, wish)
            if not planned.obstructing:
                return Prepared(_completed(drafted, planned.steps), planned.steps, seen)
            if not drafted.restore_point:
                raise _unsaved(planned.obstructing)
        except BaseException:
            seen.abort()
            raise
        seen.abort()
        obstructing |= planned.obstructing


def _wish(drafted: RestorePlan, view: SnapshotView, scan: Scan, made: Made, obstructing: frozenset[str]) -> Wish:
    knowledge = Knowledge(view, lambda path: "CACHEDIR.TAG" in (scan.names(path) or ()))

    def knows(path: str, is_directory: bool) -> bool:
        return made.holds(path) or knowledge.covers(path, is_directory)

    return Wish(
        desired=view,
        tops=_tops(drafted, view),
        keeps_extra=drafted.strategy == "overwrite",
        knows=knows,
        forced=made.forced | obstructing,
        obstructing=obstructing,
        settles_all=drafted.verb == "undo",
    )


def _completed(drafted: RestorePlan, steps: Steps) -> RestorePlan:
    return replace(
        drafted,
        files=len(steps.written),
        directories=len(steps.made),
        size_bytes=sum(content_bytes(write.after) for write in steps.written if not write.source),
        changes=tuple(steps.changes),
        state=steps.state,
    )


def _unsaved(paths: Iterable[str]) -> RefusedError:
    names = sorted(paths)
    return RefusedError(
        f"{names[0]} stands in the way, the rules exclude it, and without a restore point nothing would hold it. "
        "Nothing was changed.",
        hint="Let a restore point be taken, or move it away.",
        paths=names,
    )


def require_planned(expected: RestorePlan, found: RestorePlan) -> None:
    """Raise RefusedError when the target is no longer what a plan was made for."""
    if (expected.state, expected.changes) != (found.state, found.changes):
        raise RefusedError(
            f"{found.target} has changed since the plan was made. Nothing was restored.",
            hint="Look at the new plan and run it again.",
            target=found.target,
        )


def apply(
    where: Store,
    view: SnapshotView,
    prepared: Prepared,
    root_fd: int,
    point: Point | None,
    run: Run,
    *,
    verify: bool,
) -> RestoreReport:
    """Carry out what was prepared.

    Args:
        where: The store, locked exclusively by the caller.
        view: The backup.
        root_fd: The target, locked by the caller.
        point: The restore point, if one is to be taken.

    Raises:
        RefusedError: The target has changed meanwhile.
        DiskFullError, AccessError, HostError, DamageError, InterruptedRunError: The target is as it was.

    Durability: when this returns, the new state survives a power cut; if killed earlier, the next command undoes it all.
    """
    plan, steps = prepared.plan, prepared.steps
    target = moving.Target(path=plan.target, fd=root_fd, scan=prepared.look.scan)
    start = {
        "verb": "restore",
        "backup": plan.backup.id,
        "restore_point": point.id if point else None,
        **moving.intent(target, steps),
    }
    destination = Destination(where, Path(plan.target), root_fd)
    rolled_back = point.drop if point else _nothing
    with journal.open_journal(where, start) as log:
        if point:
            _take(point, log)
        done = moving.carry_out(destination, target, steps, view, log, start, run, verify=verify, rolled_back=rolled_back)
    return RestoreReport(
        plan=plan,
        files=done.files,
        size_bytes=done.size_bytes,
        problems=(*steps.problems, *done.problems),
        verified=done.verified,
        duration_s=0.0,
        restore_point=point.id if point else None,
    )


def _take(point: Point, log: journal.Journal) -> None:
    try:
        point.finish()
    except BaseException:
        point.drop()  # it may be there: the last step of all may have failed
        log.close()
        raise


def _nothing() -> None:
    """There is no restore point to be dropped."""


def require_space(plan: RestorePlan) -> None:
    """Raise DiskFullError when what is to be written has no room beside what is there."""
    free = stage.free_bytes(Path(plan.target))
    if free < plan.size_bytes:
        raise DiskFullError(
            f"{plan.size_bytes:,} bytes are to be written, but only {free:,} are free at {plan.target}. Nothing was changed.",
            hint="Free space there, or restore only some paths.",
        )


# --- which part ---


def _tops(plan: RestorePlan, view: SnapshotView) -> tuple[str, ...]:
    """The restored paths: those that were asked for, as far as the backup covers them."""
    covered = tuple(view.record()["scope"]["paths"])
    wanted = plan.paths or ("",)
    inner = [path for path in wanted if any(is_at_or_below(path, top) for top in covered)]
    outer = [top for top in covered if any(top != path and is_at_or_below(top, path) for path in wanted)]
    return without_nested((*inner, *outer))
