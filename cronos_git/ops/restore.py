"""Restores in place: `replace`, `overwrite`, `merge` and `undo`, which only differ in the tree that is desired.

    look at the target -> what differs from the desired tree -> (look again, with what stands in the way) -> plan -> apply

The look is the restore point in the making, or a mere look when none is taken, so that plan and restore point cost one walk
together. Deciding is `planning`'s, changing the target `moving`'s; a restore to a new place is `extract`'s. Floor F7.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from cronos_git.disk import contents, stage
from cronos_git.disk.scanned import Scan
from cronos_git.errors import DiskFullError, RefusedError
from cronos_git.events import Run
from cronos_git.git.pack import object_id
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, Entry, RestoreChange, RestorePlan, RestoreReport, RestoreRequest
from cronos_git.ops import journal, merging, moving, obstacles, planning
from cronos_git.ops.desired import BackupTree, MergedTree
from cronos_git.ops.knowledge import Knowledge
from cronos_git.ops.moving import changed_meanwhile
from cronos_git.ops.sides import Merged, Sides, Ways
from cronos_git.ops.steps import Steps, Wish, Write, is_at_or_below, without_nested
from cronos_git.ops.undoing import Made, purpose
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
    """A plan with all that is needed to carry it out.

    Attributes:
        purpose: What the restore point must say; see `undoing.purpose`.
        contents: What a merge made and no store has, by blob id.
    """

    plan: RestorePlan
    steps: Steps
    look: Look
    purpose: Mapping[str, Any] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)


def draft(
    backup: Backup,
    view: SnapshotView,
    request: RestoreRequest,
    target: str,
    *,
    takes_point: bool,
    modules: Mapping[str, Sequence[str]],
    base: str | None = None,
) -> RestorePlan:
    """The plan as far as the request makes it, before the target is looked at.

    Args:
        modules: Configured paths by module name.
        base: Id of the base of a merge.

    Raises:
        BackupNotFoundError: The backup has no such path.
        ModuleScopeError: A module is not found in it, or in several places.
    """
    from cronos_git.ops.dependencies import BackupSources
    from cronos_git.rules.modules import resolve_modules

    exists = lambda path: view.find_if_any(path) is not None  # noqa: E731
    named = resolve_modules(request.modules, modules, exists, BackupSources(view, strict=True))
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
        base=base,
        on_conflict=request.on_conflict,
        deletions=request.deletions,
    )


@dataclass(frozen=True, slots=True)
class Sources:
    """The trees that a restore goes by.

    Attributes:
        view: The backup.
        base: Of a merge, if it has one.
        made: What `undoing.made_by` tells for an undo.
    """

    view: SnapshotView
    base: SnapshotView | None = None
    made: Made = field(default_factory=Made)


def prepare(
    drafted: RestorePlan, sources: Sources, root_fd: int, look: Callable[[frozenset[str]], Look], *, now_ns: int
) -> Prepared:
    """Look at the target and decide.

    Args:
        root_fd: The target.
        look: Looks at the target, with these paths included whatever the rules say.
        now_ns: The time of files that a merge makes of both sides, in nanoseconds since 1970.

    Raises:
        RefusedError: Something stands in the way that cannot be saved, or two names are one to the file system.
        DamageError, AccessError, HostError, InterruptedRunError: The backup or the target cannot be read.
    """
    obstructing: frozenset[str] = frozenset()
    tops = _tops(drafted, sources.view)
    while True:
        seen = look(sources.made.forced | obstructing)
        try:
            merged = _merge(drafted, sources, seen, root_fd, tops) if drafted.strategy == "merge" else None
            if merged and merged.conflicts and drafted.on_conflict == "abort":
                return Prepared(_completed(drafted, Steps(), merged), Steps(), seen)
            wish = _wish(drafted, sources, seen, merged, obstructing, tops)
            planned = planning.plan(root_fd, seen.scan, seen.view, wish)
            if not planned.obstructing:
                plan = _completed(drafted, planned.steps, merged)
                contents = _contents(drafted.target, merged, planned.steps) if merged else {}
                if merged:  # after the plan, which is the same a moment later
                    planned.steps.written = [_stamped(write, merged, now_ns) for write in planned.steps.written]
                return Prepared(plan, planned.steps, seen, purpose(plan, tops, planned.steps, merged), contents)
            if not drafted.restore_point:
                raise _unsaved(planned.obstructing)
        except BaseException:
            seen.abort()
            raise
        seen.abort()
        obstructing |= planned.obstructing


def _merge(drafted: RestorePlan, sources: Sources, seen: Look, root_fd: int, tops: tuple[str, ...]) -> Merged:
    sides = Sides(
        base=sources.base,
        ours=seen.view,
        theirs=sources.view,
        read_ours=lambda entry: _read_ours(drafted.target, entry),
        is_there=lambda path: obstacles.is_there(root_fd, path),
    )
    ways = Ways(
        tops=tops,
        applies_deletions=drafted.deletions == "apply",
        on_conflict=drafted.on_conflict,
        base_name=drafted.base or "",
        name=drafted.backup.id,
    )
    return merging.merge(sides, ways)


def _read_ours(target: str, entry: Entry) -> bytes:
    """The content of a file or link of the target as it was seen."""
    try:
        content = contents.read_now(target, entry.path)
    except OSError as error:
        raise changed_meanwhile(entry.path) from error
    if object_id("blob", content).hex() != entry.oid:
        raise changed_meanwhile(entry.path)
    return content


def _contents(target: str, merged: Merged, steps: Steps) -> Mapping[str, bytes]:
    """What is to be written and perhaps no store has: what was merged, and what only moves or gets other attributes."""
    leaving = [*steps.deleted, *(write.before for write in steps.written if write.before)]
    ours = {entry.oid: entry for entry in leaving if entry.oid and not entry.chunked}
    wanted = {write.after.oid for write in steps.written if not write.source and not write.after.chunked}
    moved = {oid: _read_ours(target, entry) for oid, entry in ours.items() if oid in wanted - merged.contents.keys()}
    return {**merged.contents, **moved}


def _wish(
    drafted: RestorePlan,
    sources: Sources,
    seen: Look,
    merged: Merged | None,
    obstructing: frozenset[str],
    tops: tuple[str, ...],
) -> Wish:
    scan, made = seen.scan, sources.made
    knowledge = Knowledge(sources.view, lambda path: "CACHEDIR.TAG" in (scan.names(path) or ()))

    def knows(path: str, is_directory: bool) -> bool:
        return made.holds(path) or knowledge.covers(path, is_directory)

    return Wish(
        desired=MergedTree(merged, seen.view) if merged else BackupTree(sources.view),
        tops=tops,
        keeps_extra=drafted.strategy == "overwrite",
        knows=knows,
        forced=made.forced | obstructing,
        obstructing=obstructing,
        settles_all=drafted.verb == "undo",
    )


def _completed(drafted: RestorePlan, steps: Steps, merged: Merged | None) -> RestorePlan:
    return replace(
        drafted,
        files=len(steps.written),
        directories=len(steps.made),
        size_bytes=sum(content_bytes(write.after) for write in steps.written if not write.source),
        changes=tuple(_explained(change, merged) for change in steps.changes) if merged else tuple(steps.changes),
        state=steps.state,
        merged=len(merged.lines) if merged else 0,
        conflicts=tuple(merged.conflicts) if merged else (),
        lacking=merged.lacking if merged else (),
    )


def _explained(change: RestoreChange, merged: Merged) -> RestoreChange:
    return change if change.text else replace(change, text=merged.notes.get(change.path, ""))


def _stamped(write: Write, merged: Merged, now_ns: int) -> Write:
    if write.after.path not in merged.fresh:
        return write
    return replace(write, after=replace(write.after, attributes=replace(write.after.attributes, mtime_ns=now_ns)))


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
    if (expected.state, expected.changes, expected.conflicts) != (found.state, found.changes, found.conflicts):
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
    started: float,
) -> RestoreReport:
    """Carry out what was prepared.

    Args:
        where: The store, locked exclusively by the caller.
        view: The backup.
        root_fd: The target, locked by the caller.
        point: The restore point, if one is to be taken.
        started: When the restore began, by the monotonic clock.

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
    destination = Destination(where, Path(plan.target), root_fd, prepared.contents)
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
        duration_s=time.monotonic() - started,
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
