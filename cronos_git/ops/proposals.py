"""What is put before the policy gate: a backup in the making, a prepared restore, backups to be dropped, as `model.Action`.

Contents are read from where they will come from: those of a backup from its unfinished pack, those of a restore from the store
or from what a merge made. So what is judged is what is done. Judging is the gate's. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from cronos_git.disk import contents
from cronos_git.errors import DamageError, ProjectError
from cronos_git.git.listing import Member
from cronos_git.git.pack import HashSink, PackWriter
from cronos_git.git.store import Store
from cronos_git.git.view import Pair, SnapshotView, change_of, diff_entries, read_content
from cronos_git.model import Action, Backup, Entry, GatedVerb, RestorePlan, SnapshotPlan, SnapshotRequest, Touched
from cronos_git.ops.capture import Captured
from cronos_git.ops.captured import KeepingSink, UnfinishedView, add_commit
from cronos_git.rules.identify import RESTORE_POINT


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks: the project and the face; *is_rehearsal* as in `Action`."""

    project: str
    face: str
    is_rehearsal: bool = False


# --- create -------------------------------------------------------------------------------------------------------


def creating(
    asker: Asker, request: SnapshotRequest, scope: str, captured: Captured, changes: Callable[[], Iterable[Touched]]
) -> Action:
    """A backup of what was captured; *changes* are `changed_in`."""
    return Action(
        verb="create",
        project=asker.project,
        face=asker.face,
        target=asker.project,
        type=request.type,
        scope=scope,
        labels=request.labels,
        metadata=request.metadata,
        files=captured.files,
        size_bytes=captured.size_bytes,
        touched=changes,
    )


def changed_in(store: Store, writer: PackWriter, captured: Captured, previous: Backup | None) -> Iterator[Touched]:
    """What a backup in the making has that *previous* has not, or has otherwise, and what it lacks.

    Everything is new when there is none before, or a damaged one.

    Raises:
        DamageError, HostError: While reading: something that the store had already is damaged.
    """
    sink = KeepingSink(HashSink())
    commit = add_commit(sink, captured, b"{}\n", b"CRONOS <> 0 +0000", "now").hex()
    reader = UnfinishedView(store, writer, sink.kept)
    now = SnapshotView(reader, commit)
    for before, after in _pairs(store, previous, now):
        if change_of(before, after).kind != "attributes":
            yield _touched(before, after, partial(read_content, reader))


def _pairs(store: Store, previous: Backup | None, now: SnapshotView) -> list[Pair]:
    if previous is not None:
        try:
            return list(diff_entries(SnapshotView(store, previous.commit), now))
        except DamageError:
            pass  # of the old or the new; what follows tells
    return list(diff_entries(None, now))


def _touched(before: Entry | None, after: Entry | None, read: Callable[[Entry], Iterator[bytes]]) -> Touched:
    either = after or before
    assert either is not None
    has_content = after is not None and after.attributes.kind == "file" and bool(after.oid)
    return Touched(
        path=either.path,
        size_bytes=None if after is None else after.attributes.size_bytes,
        read=partial(read, after) if after is not None and has_content else None,
        is_directory=either.attributes.kind == "directory",
    )


def planning(asker: Asker, request: SnapshotRequest, plan: SnapshotPlan) -> Action:
    """A backup that is only planned; contents are read from the project."""

    def touched() -> Iterator[Touched]:
        for change in plan.changes:
            if change.kind != "attributes":
                read = partial(_read_now, asker.project, change.path) if change.new_size is not None else None
                yield Touched(path=change.path, size_bytes=change.new_size, read=read)

    return Action(
        verb="create",
        project=asker.project,
        face=asker.face,
        is_rehearsal=asker.is_rehearsal,
        target=asker.project,
        type=request.type,
        scope=plan.scope.name,
        labels=request.labels,
        metadata=request.metadata,
        files=plan.files,
        size_bytes=plan.size_bytes,
        touched=touched,
    )


def _read_now(project: str, path: str) -> Iterator[bytes]:
    with contextlib.suppress(OSError, ProjectError):  # gone since, or no file
        yield from contents.read_pieces_now(project, path)


# --- restore and undo ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whence a restore takes what it writes.

    Attributes:
        view: The backup.
        written: Entries by path that are not as in the backup, as a merge made them.
        contents: Contents by blob id that no store has.
    """

    store: Store
    view: SnapshotView
    written: Mapping[str, Entry] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)

    def read(self, entry: Entry) -> Iterator[bytes]:
        """The content that a file will have."""
        if entry.oid in self.contents:
            return iter((self.contents[entry.oid],))
        return read_content(self.store, entry)

    def find(self, path: str) -> Member | None:
        """What will stand at *path*."""
        return self.written.get(path) or self.view.find_if_any(path)


def restoring(asker: Asker, plan: RestorePlan, source: Source) -> Action:
    """A restore or an undo. Paths in a target that lies in the project are told from the project's top."""
    target = os.path.realpath(plan.target)
    inner = os.path.relpath(target, asker.project) + "/" if target.startswith(asker.project + "/") else ""
    return Action(
        verb=plan.verb,
        project=asker.project,
        face=asker.face,
        is_rehearsal=asker.is_rehearsal,
        backups=(plan.backup.id,),
        target=target,
        strategy=plan.strategy,
        type=plan.backup.type,
        scope=plan.backup.scope,
        labels=plan.backup.labels,
        metadata=plan.backup.metadata,
        files=plan.files,
        size_bytes=plan.size_bytes,
        touched=lambda: _changed_by(plan, source, inner) if plan.is_in_place else _written_by(plan, source, inner),
    )


def _changed_by(plan: RestorePlan, source: Source, inner: str) -> Iterator[Touched]:
    for change in plan.changes:
        if change.action == "kept":
            continue
        found = source.find(change.path) if change.action in ("create", "update") and change.kind == "file" else None
        yield Touched(
            path=inner + change.path,
            size_bytes=None if change.action == "delete" else change.size_bytes,
            read=partial(source.read, found) if isinstance(found, Entry) and found.oid else None,
            is_directory=change.kind == "directory",
        )


def _written_by(plan: RestorePlan, source: Source, inner: str) -> Iterator[Touched]:
    for top in plan.paths or ("",):
        for entry in source.view.walk(top):
            has_content = entry.attributes.kind == "file" and bool(entry.oid)
            yield Touched(
                path=inner + entry.path,
                size_bytes=entry.attributes.size_bytes,
                read=partial(source.read, entry) if has_content else None,
                is_directory=entry.attributes.kind == "directory",
            )


# --- dropping -----------------------------------------------------------------------------------------------------


def dropping(asker: Asker, verb: GatedVerb, dropped: Iterable[Backup], existing: Iterable[Backup]) -> Action:
    """Backups that are to go: to the trash or, by `compact`, from there for good."""
    going = list(dropped)
    ids = {backup.id: None for backup in going}
    counts = any(map(_counts, going))
    return Action(
        verb=verb,
        project=asker.project,
        face=asker.face,
        is_rehearsal=asker.is_rehearsal,
        backups=tuple(ids),
        left=sum(backup.id not in ids and _counts(backup) for backup in existing) if counts else None,
    )


def _counts(backup: Backup) -> bool:
    return backup.type != RESTORE_POINT
