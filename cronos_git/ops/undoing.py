"""What an undo needs to know: what a restore point was taken for, which one is to be taken back, and what that restore made.

An undo is a restore of the restore point; carrying it out is `restore`'s. Floor F7, below the verbs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cronos_git.errors import BackupNotFoundError, RefusedError
from cronos_git.git.view import SnapshotView, diff_all
from cronos_git.model import SCOPE_PROJECT, Backup, Entry, Operation, RestorePlan
from cronos_git.ops.sides import Merged
from cronos_git.ops.steps import Steps, is_at_or_below, parent_of, ways_to, without_nested
from cronos_git.rules.identify import RESTORE_POINT, is_imported
from cronos_git.rules.imports import IMPORTED_SCOPE

METADATA_KEY = "restore"
"""Key of a restore point's metadata under which stands what it was taken for; see `purpose`."""


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
    paths = without_nested(_widened(view, path) for path in about.get("reach", about["paths"]))
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


def purpose(plan: RestorePlan, tops: Iterable[str], steps: Steps, merged: Merged | None) -> dict[str, Any]:
    """What a restore point must say so that the restore can be undone.

    Args:
        tops: What is restored; `("",)` for everything.
    """
    new = {*(entry.path for entry in steps.made), *(write.after.path for write in steps.written if write.before is None)}
    added = [path for path in merged.added if path in new] if merged else []
    reach = without_nested((*tops, *added))
    told: dict[str, Any] = {
        "verb": plan.verb,
        "backup": plan.backup.id,
        "strategy": plan.strategy,
        "target": plan.target,
        "paths": list(plan.paths),
    }
    if reach not in (plan.paths, ("",)):
        told["reach"] = list(reach)
    exceptions = {"found": steps.found, "added": added, "declined": merged.declined if merged else ()}
    return told | {key: list(paths) for key, paths in exceptions.items() if paths}


def taken_of(backup: Backup) -> str | None:
    """The directory that a restore point is of; None for any other backup, which is of the project."""
    about = backup.metadata.get(METADATA_KEY)
    return str(about["target"]) if backup.type == RESTORE_POINT and isinstance(about, Mapping) else None


def last_state(
    known: Mapping[str, Backup], backups: Iterable[Backup], made: Operation | None, target: str, *, is_project: bool, like: Backup
) -> Backup | None:
    """The backup that was last taken from, or restored to, the whole of a target; None when there is none, or it is gone.

    Args:
        known: Backups by id, deleted ones too.
        made: The last restore of a whole backup that made the target anew; None when no such is known.
        like: Only backups that cover what this one does: the whole, or the same modules.
    """
    undone: int | None = None
    for backup in sorted(backups, key=lambda backup: -backup.sequence):
        if made is not None and backup.created < made.time.replace(microsecond=0):
            break
        if undone is not None and backup.sequence >= undone:
            continue  # it was taken back
        if backup.type == RESTORE_POINT and taken_of(backup) == target:
            about = _about(backup)
            restored = known.get(about["backup"])
            if about["verb"] == "undo" and restored is not None:
                undone = restored.sequence
            elif not about["paths"] and (restored is None or _coverage(restored) == _coverage(like)):
                return restored
        elif is_project and _coverage(backup) == _coverage(like) and backup.type != RESTORE_POINT and not is_imported(backup):
            return backup
    restored = known.get(str(made.facts["backup"])) if made is not None else None
    return restored if restored is not None and _coverage(restored) == _coverage(like) else None


def _coverage(backup: Backup) -> str:
    """The scope of a backup; a restore point is of the whole of its target, and what was imported of the whole of a project."""
    return SCOPE_PROJECT if backup.type == RESTORE_POINT or backup.scope == IMPORTED_SCOPE else backup.scope


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
        files: Paths of what is no directory, and of directories that go with all that is in them.
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
    about = _about(plan.backup)
    new = [after for before, after in pairs if after is not None and before is None and _was_made(after.path, about)]
    directories = frozenset(entry.path for entry in new if entry.attributes.kind == "directory")
    return Made(
        files=(frozenset(entry.path for entry in new) - directories).union(about.get("added", ())),
        directories=directories,
        bare=directories - {parent_of(entry.path) for entry in new},
    )


def _was_made(path: str, about: Mapping[str, Any]) -> bool:
    """Whether a restore made *path*, which the restored backup has: an undo may look at more than was restored."""
    if path in about.get("found", ()) or any(is_at_or_below(path, top) for top in about.get("declined", ())):
        return False
    return any(is_at_or_below(path, top) or is_at_or_below(top, path) for top in about["paths"] or ("",))


def _widened(view: SnapshotView, path: str) -> str:
    """*path*, or the first thing on the way to it that was no directory before the restore."""
    for way in ways_to(path):
        found = view.find_if_any(way)
        if found is None or isinstance(found, Entry):
            return way
    return path
