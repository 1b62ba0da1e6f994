"""Restores in place: `replace`, `overwrite` and `undo`, which only differ in the tree that is desired.

    look at the target -> what differs from the desired tree -> (look again, with what stands in the way) -> plan -> apply

The look is the restore point in the making, or a mere look when none is taken, so that plan and restore point cost one walk
together. Deciding is `planning`'s, changing the target `moving`'s; a restore to a new place is `extract`'s. Floor F7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from cronos_git.disk import stage
from cronos_git.disk.scanned import Scan
from cronos_git.errors import BackupNotFoundError, DiskFullError, RefusedError
from cronos_git.events import Run
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView, diff_all
from cronos_git.model import Backup, Entry, Operation, RestorePlan, RestoreReport, RestoreRequest
from cronos_git.ops import journal, moving, planning
from cronos_git.ops.knowledge import Knowledge
from cronos_git.ops.planning import Steps, Wish, is_at_or_below, ways_to
from cronos_git.ops.writing import Destination, content_bytes
from cronos_git.rules.identify import RESTORE_POINT

METADATA_KEY = "restore"
"""Key of a restore point's metadata under which stands what it was taken for; see `purpose`."""


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
    paths = _without_nested((*request.paths, *named))
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


def draft_undo(point: Backup, view: SnapshotView) -> RestorePlan:
    """The plan to take back the restore that *point* was taken for, before the target is looked at.

    Raises:
        RefusedError: The backup does not say what it was taken for.
    """
    about = _about(point)
    if not about:
        raise RefusedError(
            f"{point.id} does not say which restore it was taken for.",
            hint=f"`cronos restore {point.id} --strategy replace` brings that state back.",
        )
    paths = _without_nested(_widened(view, path) for path in about["paths"])
    return RestorePlan(
        backup=point,
        strategy="replace",
        target=about["target"],
        paths=() if "" in paths else paths,
        files=0,
        directories=0,
        size_bytes=0,
        verb="undo",
        restore_point=True,
    )


def _about(point: Backup) -> Mapping[str, Any]:
    about = point.metadata.get(METADATA_KEY)
    return about if isinstance(about, Mapping) else {}


def purpose(plan: RestorePlan, steps: Steps) -> dict[str, Any]:
    """What a restore point must say so that the restore can be undone."""
    return {
        "verb": plan.verb,
        "backup": plan.backup.id,
        "strategy": plan.strategy,
        "target": plan.target,
        "paths": list(plan.paths),
        **({"found": steps.found} if steps.found else {}),
    }


def taken_of(backup: Backup) -> str | None:
    """The directory that a restore point is of; None for any other backup, which is of the project."""
    about = backup.metadata.get(METADATA_KEY)
    return str(about["target"]) if backup.type == RESTORE_POINT and isinstance(about, Mapping) else None


def point_to_undo(backups: Iterable[Backup], last: Operation | None) -> Backup:
    """The restore point of the last restore.

    Args:
        last: What the log tells of the last restore; None when it tells of none.

    Raises:
        BackupNotFoundError: There was no restore, as far as is known.
        RefusedError: The restore took none, or it is no longer kept; the one before tells of an older state.
    """
    points = [backup for backup in backups if backup.type == RESTORE_POINT and METADATA_KEY in backup.metadata]
    newest = max(points, key=lambda backup: backup.sequence, default=None)
    if last is not None:
        own = last.facts.get("restore_point")
        is_later = newest is not None and newest.created > last.time  # of a restore that was killed before it was logged
        if not is_later and own not in {point.id for point in points}:
            raise _not_undoable(last, newest)
    if newest is None:
        raise BackupNotFoundError(
            "There is no restore to undo: no restore point is kept.", hint="`cronos operations` tells what was done."
        )
    return newest


def _not_undoable(last: Operation, older: Backup | None) -> RefusedError:
    own, target = last.facts.get("restore_point"), last.facts.get("target")
    hints = [f"If it is in the trash, `cronos undelete {own}` brings it back."] if own else []
    if older is not None:
        brings = f"cronos restore {older.id} --strategy replace"
        hints.append(f"The state before the restore before that is {older.id}: {brings}.")
    why = f"cannot be undone: its restore point {own} is not kept" if own else "took no restore point, so it cannot be undone"
    return RefusedError(
        f"The last restore, into {target}, {why}.", hint=" ".join(hints) or "`cronos list` tells which backups there are."
    )


@dataclass(frozen=True, slots=True)
class Made:
    """What an undone restore made: it goes even where the rules exclude it.

    Attributes:
        files: Paths of what is no directory.
        directories: Paths of directories.
        bare: Those of them that it made empty.
    """

    files: frozenset[str] = frozenset()
    directories: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()

    @property
    def forced(self) -> frozenset[str]:
        """What a look at the target must take in to see all of it."""
        return self.files | self.bare

    def holds(self, path: str) -> bool:
        """Whether the undone restore made *path*, or a file that this is now a directory in whose place."""
        return path in self.directories or not self.files.isdisjoint((path, *ways_to(path)))


def made_by(plan: RestorePlan, point: SnapshotView, restored: SnapshotView | None) -> Made:
    """What an undone restore made.

    Args:
        restored: What was restored; None when it is gone, and then nothing excluded goes.
    """
    if restored is None:
        return Made()
    pairs = diff_all(point, restored, plan.paths or ("",))
    found = frozenset(_about(plan.backup).get("found", ()))
    new = [after for before, after in pairs if after is not None and before is None and after.path not in found]
    directories = frozenset(entry.path for entry in new if entry.attributes.kind == "directory")
    return Made(
        files=frozenset(entry.path for entry in new) - directories,
        directories=directories,
        bare=directories - {planning.parent_of(entry.path) for entry in new},
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
    return _without_nested((*inner, *outer))


def _without_nested(paths: Iterable[str]) -> tuple[str, ...]:
    """The paths that lie in none of the others, sorted."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda path: path.split("/") if path else []):
        if not any(is_at_or_below(path, other) for other in kept):
            kept.append(path)
    return tuple(kept)


def _widened(view: SnapshotView, path: str) -> str:
    """*path*, or the first thing on the way to it that was no directory before the restore."""
    for way in ways_to(path):
        found = view.find_if_any(way)
        if found is None or isinstance(found, Entry):
            return way
    return path
