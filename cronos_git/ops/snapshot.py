"""Takes one backup, or tells what it would hold.

    capture -> commit -> changes since the last one -> tag -> pack made durable -> tag ref -> timeline -> stat cache

The tag ref is the one commit point: killed before it, the store holds at most a pack that nothing names; killed after it, the
backup is there and only the timeline and the stat cache are behind, which the next run mends. The caller holds the store's
exclusive lock for `take`. Floor F7.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cronos_git.disk import contents, fingerprints
from cronos_git.disk.fingerprints import StatCache
from cronos_git.errors import ObjectMissingError
from cronos_git.events import Run, tolerating
from cronos_git.git import timeline
from cronos_git.git.pack import HashSink, ObjectSink, PackResult, PackWriter, object_id
from cronos_git.git.project import read_repository
from cronos_git.git.store import Store
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, TreeEntry, format_tree
from cronos_git.git.view import SnapshotView, diff_views
from cronos_git.model import Backup, Excluded, Scope, SnapshotPlan, SnapshotReport, SnapshotRequest
from cronos_git.ops import catalog
from cronos_git.ops.capture import Captured, CaptureOptions, capture
from cronos_git.ops.subject import Subject
from cronos_git.rules import record
from cronos_git.rules.names import make_id, slug
from cronos_git.rules.record import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Who makes the backup, when, and with what."""

    now: datetime
    identity: Identity
    tool_version: str
    default_name: str


class CapturedView:
    """The state of a project now, readable like the objects of a store.

    Trees and attribute records come from the capture, everything else from the store, and the contents of files that were
    only hashed from the project itself.
    """

    def __init__(self, store: Store | None, root: str, kept: Mapping[str, tuple[str, bytes]], sources: Mapping[str, str]) -> None:
        self._store = store
        self._root = root
        self._kept = kept
        self._sources = sources

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object.

        Raises:
            ObjectMissingError: The file that had this content has changed since it was looked at.
        """
        if oid in self._kept:
            return self._kept[oid]
        if oid in self._sources:
            return "blob", self._read_source(oid)
        if self._store is None:
            raise ObjectMissingError(f"Object {oid} is not stored.", oid=oid)
        return self._store.read(oid)

    def _read_source(self, oid: str) -> bytes:
        path = self._sources[oid]
        try:
            body = contents.read_now(self._root, path)
        except OSError as error:
            raise ObjectMissingError(f"{path} can no longer be read: {error}.", path=path) from error
        if object_id("blob", body).hex() != oid:
            raise ObjectMissingError(f"{path} changed while it was compared.", hint="Run it again.", path=path)
        return body


class _KeepingSink:
    """Passes objects on and keeps trees, commits and records, which are small, to be read back before they are in the store."""

    def __init__(self, sink: ObjectSink) -> None:
        self._sink = sink
        self.stores = sink.stores
        self.kept: dict[str, tuple[str, bytes]] = {}

    def add(self, kind: str, body: bytes) -> bytes:
        oid = self._sink.add(kind, body)
        self.kept[oid.hex()] = (kind, body)
        return oid

    def add_content(self, body: bytes) -> bytes:
        return self._sink.add_content(body)

    def add_packed(self, objects: Iterable[tuple[bytes, bytes]]) -> None:
        self._sink.add_packed(objects)


def take(
    store: Store, backups: Sequence[Backup], subject: Subject, request: SnapshotRequest, about: Circumstances, run: Run
) -> SnapshotReport:
    """Take a backup.

    Args:
        store: Locked exclusively by the caller.
        backups: All backups, by sequence.

    Raises:
        DiskFullError, AccessError, HostError: Nothing of the backup is visible; earlier ones are untouched.
        InterruptedRunError: The same.

    Durability: when this returns, the backup survives a power cut.
    """
    started = time.monotonic()
    previous = last_of(backups, subject.scope)
    cache = _load_cache(store, backups)
    index = store.index
    writer = PackWriter(store.pack_dir, index.contains)
    try:
        sink = _KeepingSink(writer) if previous is not None else writer
        captured = capture(subject.root, _options(subject, about), cache, sink, run)
        if request.skip_if_unchanged and previous is not None and _is_unchanged(store, previous, captured, writer, run):
            writer.abort()
            return _report(previous, captured, None, started, unchanged=True)
        backup = _store_snapshot(store, backups, subject, request, about, captured, sink, run)
        backup, pack = _publish(store, backups, backup, captured, about, writer, run)
    except BaseException:
        writer.abort()
        raise
    _save_cache(store, cache, captured, backup, subject.scope, run)
    return _report(backup, captured, pack, started)


def plan(store: Store | None, backups: Sequence[Backup], subject: Subject, about: Circumstances, run: Run) -> SnapshotPlan:
    """What `take` would find, without writing anything.

    Cost: one walk, and the contents of files that changed since the last run.
    """
    previous = last_of(backups, subject.scope)
    captured, now = look(store, backups, subject, about, run)
    old = SnapshotView(store, previous.commit) if previous is not None and store is not None else None
    return SnapshotPlan(
        scope=subject.scope,
        against=previous,
        changes=tuple(diff_views(old, now)),
        files=captured.files,
        size_bytes=captured.size_bytes,
        excluded=_excluded(captured),
        problems=tuple(captured.problems),
    )


def look(
    store: Store | None, backups: Sequence[Backup], subject: Subject, about: Circumstances, run: Run
) -> tuple[Captured, SnapshotView]:
    """Capture the project as it is now, storing nothing, and show it as a snapshot."""
    sink = _KeepingSink(HashSink())
    cache = _load_cache(store, backups) if store is not None else StatCache()
    captured = capture(subject.root, _options(subject, about, remember_sources=True), cache, sink, run)
    commit = _add_commit(sink, captured, b"{}\n", about, "now")
    return captured, SnapshotView(CapturedView(store, subject.root, sink.kept, captured.sources), commit.hex())


def last_of(backups: Iterable[Backup], scope: Scope) -> Backup | None:
    """The newest backup of *scope*."""
    return max((b for b in backups if b.scope == scope.name), key=lambda b: b.sequence, default=None)


def _options(subject: Subject, about: Circumstances, *, remember_sources: bool = False) -> CaptureOptions:
    return CaptureOptions(
        rules=subject.rules,
        scope=subject.scope.paths,
        chunk_threshold=subject.chunk_threshold,
        trusted_before_ns=int(about.now.timestamp()) * 1_000_000_000 - fingerprints.RACY_NS,
        remember_sources=remember_sources,
    )


def _load_cache(store: Store, backups: Sequence[Backup]) -> StatCache:
    return fingerprints.load_statcache(store.statcache, {backup.commit for backup in backups}, store.whole_packs)


def _is_unchanged(store: Store, previous: Backup, captured: Captured, writer: PackWriter, run: Run) -> bool:
    """Whether the last backup holds just what was captured, and nothing of it has to be stored again because it was lost."""
    with tolerating(run, "store.damaged", f"{previous.id} is damaged", "So a new backup is made."):
        root = SnapshotView(store, previous.commit).root
        return writer.is_empty and (root.data, root.attributes) == (captured.data.hex(), captured.attributes.hex())
    return False


# --- the snapshot's objects ---


def _store_snapshot(
    store: Store,
    backups: Sequence[Backup],
    subject: Subject,
    request: SnapshotRequest,
    about: Circumstances,
    captured: Captured,
    sink: ObjectSink,
    run: Run,
) -> Backup:
    """Add record, trees and commit; the backup, with everything known but the tag."""
    previous = last_of(backups, subject.scope)
    draft = _draft(store, backups, subject.scope, request, about, previous)
    draft = replace(draft, files=captured.files, size_bytes=captured.size_bytes)
    snapshot = record.format_json(_describe(draft, subject, about, captured))
    commit = _add_commit(sink, captured, snapshot, about, record.snapshot_message(draft))
    counts = _count_changes(store, previous, commit, captured, sink, run)
    return replace(draft, commit=commit.hex(), added=counts["added"], changed=counts["changed"], removed=counts["removed"])


def _draft(
    store: Store,
    backups: Sequence[Backup],
    scope: Scope,
    request: SnapshotRequest,
    about: Circumstances,
    previous: Backup | None,
) -> Backup:
    name = slug(request.name or about.default_name)
    # What is in the trash may come back, so neither its ids nor its sequence numbers are given again.
    # Those that cannot be read count as well: their numbers are unknown, but there are no more numbers than tags.
    kept, trash = store.tags(), store.trash_tags()
    taken = kept.oids.keys() | kept.damaged.keys() | trash.oids.keys() | trash.damaged.keys()
    identifier = make_id(name, about.now, taken)
    numbers = [backup.sequence for backup in (*backups, *catalog.read_trash(store).backups)]
    return Backup(
        id=identifier,
        name=name,
        type=request.type,
        scope=scope.name,
        created=about.now,
        sequence=1 + max(len(taken), *numbers, 0),
        parent=previous.id if previous else None,
        message=record.clean_line(request.message) or name,
        description=record.clean_text(request.description),
        labels=request.labels,
        pinned=False,
        files=0,
        size_bytes=0,
        added=0,
        changed=0,
        removed=0,
        metadata=request.metadata,
        commit="",
        tag="",
    )


def _add_commit(sink: ObjectSink, captured: Captured, snapshot: bytes, about: Circumstances, message: str) -> bytes:
    def tree(**entries: bytes) -> bytes:
        return sink.add("tree", format_tree(TreeEntry(MODE_DIRECTORY, name.encode(), oid) for name, oid in entries.items()))

    described = TreeEntry(MODE_FILE, b"snapshot.json", sink.add("blob", snapshot))
    meta = sink.add("tree", format_tree([described, TreeEntry(MODE_DIRECTORY, b"attributes", captured.attributes)]))
    root = tree(data=captured.data, meta=meta)
    who = record.identity_line(about.identity, about.now)
    return sink.add("commit", record.format_commit(tree=root.hex(), parents=(), identity_line=who, message=message))


def _describe(backup: Backup, subject: Subject, about: Circumstances, captured: Captured) -> dict[str, Any]:
    """The content of `meta/snapshot.json`."""
    root = Path(subject.root)
    states = {path: read_repository(root, path) for path in captured.scan.repositories}
    return {
        "format": 1,
        "id": backup.id,
        "scope": {"name": subject.scope.name, "paths": list(subject.scope.paths)},
        "rules": dict(subject.described_rules),
        "counts": {
            "files": captured.files,
            "directories": captured.directories,
            "bytes": captured.size_bytes,
            "excluded_files": captured.scan.excluded_files,
            "excluded_directories": captured.scan.excluded_directories,
            "problems": len(captured.problems),
        },
        "problems": [{"path": p.path, "code": p.code, "text": p.text} for p in captured.problems],
        "host": about.identity.host,
        "user": about.identity.user,
        "tool_version": about.tool_version,
        "project_root": subject.root,
        "git": states.pop("", None),
        "nested_git": states,
    }


def _count_changes(
    store: Store, previous: Backup | None, commit: bytes, captured: Captured, sink: ObjectSink, run: Run
) -> dict[str, int]:
    """How many paths differ from the last backup of the scope; everything is new when there is none, or a damaged one."""
    if previous is not None and isinstance(sink, _KeepingSink):
        now = SnapshotView(CapturedView(store, "", sink.kept, {}), commit.hex())
        counts = {"added": 0, "changed": 0, "removed": 0}
        with tolerating(run, "store.damaged", f"{previous.id} is damaged", "So every file of the new backup counts as added."):
            for change in diff_views(SnapshotView(store, previous.commit), now, attributes=False):
                counts[change.kind] += 1
            return counts
    return {"added": captured.files, "changed": 0, "removed": 0}


# --- the commit point ---


def _publish(
    store: Store,
    backups: Sequence[Backup],
    backup: Backup,
    captured: Captured,
    about: Circumstances,
    writer: PackWriter,
    run: Run,
) -> tuple[Backup, PackResult | None]:
    """Tag and timeline commit into the pack, pack durable, tag ref durable; then, with the backup safe, the timeline."""
    tag = writer.add("tag", record.format_tag(backup, about.identity))
    ref = timeline.ref_name(backup.scope)
    tip = _add_to_timeline(store, backups, backup, captured, about, writer, ref)
    pack = writer.finish()
    store.create_tag_ref(backup.id, tag.hex())
    with tolerating(run, "timeline.unmoved", f"{ref} was not moved", "The backup is safe; the next one mends the timeline."):
        store.refresh()
        store.set_ref(ref, tip)
    writer.release()
    return replace(backup, tag=tag.hex()), pack


def _add_to_timeline(
    store: Store,
    backups: Sequence[Backup],
    backup: Backup,
    captured: Captured,
    about: Circumstances,
    writer: PackWriter,
    ref: str,
) -> str:
    """The new tip. When the timeline does not end with the last backup (a run was killed after its tag), it is made anew."""
    previous = last_of(backups, Scope(name=backup.scope))
    if previous is None or timeline.tip_backup(store, ref) != previous.id:
        earlier = [b for b in backups if b.scope == backup.scope]
        store_tip = timeline.rebuild(writer.add, store, earlier)
    else:
        store_tip = store.ref(ref)
    who = record.identity_line(about.identity, about.now)
    return timeline.append(writer.add, store_tip, backup, captured.data.hex(), who)


def _save_cache(store: Store, old: StatCache, captured: Captured, backup: Backup, scope: Scope, run: Run) -> None:
    """Remember what was seen. A scoped run keeps what it did not look at, so the cache then rests on both backups."""
    cache = StatCache([backup.commit], store.whole_packs, captured.cache)
    if not scope.is_project:
        kept = {path: known for path, known in old.directories.items() if not _is_covered(path, scope)}
        cache = StatCache([*old.bases, backup.commit], store.whole_packs, {**kept, **captured.cache})
    safe = "The backup is safe; the next one reads every file again."
    with tolerating(run, "statcache.unwritten", "The stat cache was not written", safe):
        fingerprints.save_statcache(store.statcache, cache)


def _is_covered(path: str, scope: Scope) -> bool:
    return any(path == covered or path.startswith(covered + "/") for covered in scope.paths)


def _excluded(captured: Captured) -> Excluded:
    return Excluded(files=captured.scan.excluded_files, directories=captured.scan.excluded_directories)


def _report(
    backup: Backup, captured: Captured, pack: PackResult | None, started: float, *, unchanged: bool = False
) -> SnapshotReport:
    return SnapshotReport(
        backup=backup,
        unchanged=unchanged,
        files_read=captured.files_read,
        bytes_read=captured.bytes_read,
        bytes_stored=pack.size_bytes if pack else 0,
        objects_stored=pack.objects if pack else 0,
        excluded=_excluded(captured),
        problems=tuple(captured.problems),
        duration_s=time.monotonic() - started,
    )
