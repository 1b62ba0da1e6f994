"""What modules need, in a project and in its backups: adds it to what is backed up or restored, notes it in the record, and tells
what of it has changed since.

How imports are found and followed is `rules.dependencies`'. The record of a backup of modules says what they needed, with object
ids, as the backup does not hold it. Floor F7, below the verbs.

Cost: a reading of all sources of the modules and of what they need, some 0.1 s a MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cronos_git.disk.python_sources import ProjectSources
from cronos_git.errors import CronosError
from cronos_git.events import Noticed, Run, tolerating
from cronos_git.git.listing import Directory, Member, decode
from cronos_git.git.view import SnapshotView, change_of, diff_all
from cronos_git.model import Dependency, Entry, RestorePlan, Scope, SnapshotRequest
from cronos_git.ops.steps import is_at_or_below, without_nested
from cronos_git.ops.subject import Subject
from cronos_git.ports import DependencyAdviser
from cronos_git.rules.dependencies import Closure
from cronos_git.rules.names import scope_name
from cronos_git.rules.python_paths import SOURCE_LIMIT_BYTES, SOURCE_SUFFIXES
from cronos_git.rules.visible import visible

_NAMES_SHOWN = 5
_ALONE = "Only what the sources import is counted."


class BackupSources:
    """The sources in a backup, to be searched for imports; see `rules.python_paths.Sources`.

    Args:
        strict: Raise a DamageError at a directory that cannot be read; else what is damaged is not there.
    """

    def __init__(self, view: SnapshotView, *, strict: bool = False) -> None:
        self._view = view
        self._strict = strict
        self._directories = {"": view.root}
        self._files: dict[str, Entry] = {}
        self._links: dict[str, Entry] = {}

    def names(self, path: str) -> Mapping[str, bool]:
        """What lies in a directory, whose own directory was listed before, and which of it are directories."""
        try:
            members = self._view.listing(self._directories[path]).members.values()
        except CronosError:
            if self._strict:
                raise
            return {}
        self._directories.update((member.path, member) for member in members if isinstance(member, Directory))
        entries = [member for member in members if isinstance(member, Entry)]
        self._files.update((entry.path, entry) for entry in entries if _may_be_source(entry))
        self._links.update((entry.path, entry) for entry in entries if entry.attributes.kind == "symlink")
        return {member.path.rpartition("/")[2]: isinstance(member, Directory) for member in members}

    def read(self, path: str) -> bytes | None:
        """The content of a file that was listed and is small enough to be a source; None for anything else."""
        return self._content(self._files.get(path))

    def link(self, path: str) -> str | None:
        """What a symbolic link that was listed says; None for anything else."""
        told = self._content(self._links.get(path))
        return None if told is None else decode(told)

    def _content(self, entry: Entry | None) -> bytes | None:
        try:
            return b"".join(self._view.read(entry)) if entry else None
        except CronosError:
            return None


def _may_be_source(entry: Entry) -> bool:
    attributes = entry.attributes
    is_source = attributes.kind == "file" and attributes.name.endswith(SOURCE_SUFFIXES)
    return is_source and attributes.size_bytes <= SOURCE_LIMIT_BYTES


# --- what is needed ---


def _search(subject: Subject, run: Run) -> Closure:
    sources = ProjectSources(subject.root, subject.rules.matcher)
    return Closure(sources, subject.modules, subject.scope.paths, run.checkpoint)


def widen_subject(subject: Subject, request: SnapshotRequest, adviser: DependencyAdviser | None, run: Run) -> Subject:
    """*subject* with all that its modules need; the whole project needs nothing."""
    if subject.scope.is_project:
        return subject
    closure = _search(subject, run)
    _settle(closure, adviser, run)
    if not (found := closure.dependencies()):
        return subject
    paths = (path for one in found for path in one.module.paths if closure.layout.holds(path))
    named = [subject.scope.name] if request.only else request.modules
    added = [one.module.name for one in found if not closure.layout.is_single(one.module)]
    scope = Scope(name=scope_name([*named, *added]), paths=without_nested([*subject.scope.paths, *paths]))
    return replace(subject, scope=scope, dependencies=found)


def widen_plan(
    drafted: RestorePlan, view: SnapshotView, configured: Mapping[str, Sequence[str]], adviser: DependencyAdviser | None, run: Run
) -> RestorePlan:
    """*drafted* with all that its paths need by the sources in the backup; what the backup lacks is told."""
    record = view.record()
    if not drafted.paths and tuple(record["scope"]["paths"]) == ("",):
        return drafted
    closure = Closure(BackupSources(view), configured, drafted.paths or record["scope"]["paths"], run.checkpoint)
    _settle(closure, adviser, run)
    found = closure.dependencies()
    paths = [path for one in found for path in one.module.paths if view.find_if_any(path) is not None] if drafted.paths else []
    widened = replace(drafted, paths=without_nested([*drafted.paths, *paths]), dependencies=found)
    _tell_missing(widened, view, record, closure, run)
    return widened


def _settle(closure: Closure, adviser: DependencyAdviser | None, run: Run) -> None:
    """Ask who may know more, and tell what is not known for sure."""
    if adviser is not None:
        with tolerating(run, "dependency.unknown", f"{adviser.name} was not heard", _ALONE):
            unknown = sorted(set(_asked(closure, adviser)))
            if unknown:
                text = f"{adviser.name} names what is nowhere in the project: {_shown(unknown)}."
                run.emit(Noticed("warning", "dependency.unknown", text))
    if closure.doubtful:
        text = f"What {_shown(closure.doubtful)} imports cannot be told for sure, as Python could not read it."
        run.emit(Noticed("warning", "dependency.unknown", text))


def _asked(closure: Closure, adviser: DependencyAdviser) -> Iterator[str]:
    """Take in what *adviser* says of each module, also of those that it names itself; gives the names that mean nothing."""
    asked: set[tuple[str, ...]] = set()
    while fresh := [module for module in closure.modules if module.paths not in asked]:
        for module in fresh:
            asked.add(module.paths)
            if closure.layout.is_directory(module.paths[0]):
                for name in adviser.needed_by(module):
                    if not closure.add(name, module.paths[0], adviser.name):
                        yield name


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(map(visible, names[:_NAMES_SHOWN])) + more


# --- the record ---


def note_needs(subject: Subject, look: Callable[[Subject], SnapshotView], run: Run) -> dict[str, object]:
    """What the record of a backup says of that which its modules need beyond themselves; nothing when that cannot be told.

    Args:
        look: Shows a part of the project as it is now.
    """
    with tolerating(run, "dependency.unknown", "What the modules need was not noted", "The backup is not affected."):
        needs = _search(subject, run).dependencies()
        paths = without_nested(path for one in needs for path in one.module.paths)
        noted = _noted(needs, look(replace(subject, scope=Scope(name="", paths=paths)))) if paths else {}
        return {"dependencies": noted}
    run.checkpoint()  # being cancelled is no failure to be passed over
    return {}


def _noted(dependencies: Iterable[Dependency], now: SnapshotView) -> dict[str, object]:
    """Who needs each path, and the id of what lies there."""
    found: dict[str, object] = {}
    for one in dependencies:
        for path in one.module.paths:
            if (member := now.find_if_any(path)) is not None:
                found[path] = {"needed_by": list(one.needed_by), "oid": _oid(member)}
    return found


def _oid(member: Member | None) -> str:
    """Id of what lies there in `data/`; empty for nothing."""
    if member is None:
        return ""
    return member.data if isinstance(member, Directory) else member.oid


def _recorded(record: Mapping[str, Any], restored: Sequence[str]) -> dict[str, str]:
    """What the restored paths needed when the backup was made, directly or not, by the record: object ids by path."""
    noted = record.get("dependencies")
    known = {path: about for path, about in noted.items() if _is_told(about)} if isinstance(noted, dict) else {}
    reached = list(restored)
    found: dict[str, str] = {}
    while fresh := [path for path, about in known.items() if path not in found and _touch(about["needed_by"], reached)]:
        found.update((path, known[path]["oid"]) for path in fresh)
        reached += fresh
    return found


def _is_told(about: object) -> bool:
    """Whether an entry of the record is as `note_needs` makes them; other machines make records too."""
    if not isinstance(about, dict) or not isinstance(about.get("oid"), str) or not isinstance(about.get("needed_by"), list):
        return False
    return all(isinstance(path, str) for path in about["needed_by"])


def _touch(paths: Iterable[str], others: Sequence[str]) -> bool:
    return any(is_at_or_below(path, other) or is_at_or_below(other, path) for path in paths for other in others)


# --- what has become of it ---


def _tell_missing(plan: RestorePlan, view: SnapshotView, record: Mapping[str, Any], closure: Closure, run: Run) -> None:
    """Tell what the restored paths need and the backup does not hold; in a backup of modules only its record knows."""
    is_whole = record["scope"]["paths"] == [""]
    if not is_whole and closure.has_sources and not isinstance(record.get("dependencies"), dict):
        text = f"{plan.backup.id} does not say what its modules needed; {_ALONE.lower()}"
        run.emit(Noticed("warning", "dependency.unknown", text))
    restored = plan.paths or record["scope"]["paths"]
    missing = [path for path in _recorded(record, restored) if view.find_if_any(path) is None]
    if missing:
        text = f"{plan.backup.id} lacks what its modules need: {_shown(sorted(missing))}."
        run.emit(Noticed("warning", "dependency.missing", text))


def tell_changes(
    plan: RestorePlan, view: SnapshotView, now: SnapshotView, configured: Mapping[str, Sequence[str]], run: Run
) -> None:
    """Tell what restored modules need, is not restored with them, and is no longer as in the backup; of single files nothing.

    Args:
        now: The project before the restore.

    Raises:
        DamageError: The backup cannot be read.
    """
    record = view.record()
    tops = plan.paths or tuple(record["scope"]["paths"])
    modules = [path for path in tops if path and isinstance(view.find_if_any(path), Directory)]
    if not modules:
        return
    closure = Closure(BackupSources(view), configured, modules, run.checkpoint)
    needed = {path for one in closure.dependencies() for path in one.module.paths}
    noted = _recorded(record, modules)
    for path in sorted(needed | noted.keys()):
        held, found = view.find_if_any(path), now.find_if_any(path)
        oid = _oid(held) or noted.get(path, "")
        if oid and oid != _oid(found) and not any(is_at_or_below(path, top) for top in tops):
            what = f"has changed{_differing(path, view, now) if held else ''}" if found else "is gone"
            text = f"{visible(path)}, which the restored modules need, {what} since {plan.backup.id}."
            run.emit(Noticed("warning", "dependency.changed", text))


def _differing(path: str, then: SnapshotView, now: SnapshotView) -> str:
    """How many paths differ there in more than attributes; nothing when only directories do."""
    pairs = (pair for pair in diff_all(then, now, (path,)) if any(one and one.attributes.kind != "directory" for one in pair))
    count = sum(change_of(before, after).kind != "attributes" for before, after in pairs)
    return f" ({count:,} path{'' if count == 1 else 's'})" if count else ""
