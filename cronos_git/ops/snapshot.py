"""Takes one backup, or tells what it would hold.

    capture -> commit -> changes since the last one -> tag -> pack made durable -> tag ref -> timeline -> stat cache

Until `finish` a backup in the making can be read like any other, and be given up: so a restore plans from its restore point
before anybody else can see that.

The tag ref is the one commit point: killed before it, the store holds at most a pack that nothing names; killed after it, the
backup is there and only the timeline and the stat cache are behind, which the next run mends. The caller holds the store's
exclusive lock for all but `plan` and `look`. Floor F7.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cronos_git.disk import fingerprints
from cronos_git.disk.fingerprints import StatCache
from cronos_git.disk.scanned import Scan
from cronos_git.errors import UsageError
from cronos_git.events import Run, tolerating
from cronos_git.git import timeline
from cronos_git.git.pack import HashSink, ObjectSink, PackResult, PackWriter
from cronos_git.git.project import read_repository
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView, diff_views
from cronos_git.model import Backup, Excluded, Scope, SnapshotPlan, SnapshotReport, SnapshotRequest
from cronos_git.ops import catalog, dependencies, reuse
from cronos_git.ops.capture import Captured, CaptureOptions, capture
from cronos_git.ops.captured import CapturedView, KeepingSink, add_commit
from cronos_git.ops.subject import Subject
from cronos_git.rules import record
from cronos_git.rules.identify import RESTORE_POINT
from cronos_git.rules.names import make_id, slug
from cronos_git.rules.record import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Who makes the backup, when, and with what."""

    now: datetime
    identity: Identity
    tool_version: str
    default_name: str

    @property
    def line(self) -> bytes:
        """Who and when, as a commit says it."""
        return record.identity_line(self.identity, self.now)


def begin(
    store: Store, backups: Sequence[Backup], subject: Subject, request: SnapshotRequest, about: Circumstances, run: Run
) -> Taking:
    """Capture for a backup that `Taking.finish` will make.

    Args:
        store: Locked exclusively by the caller.
        backups: All backups, by sequence.

    Raises:
        DiskFullError, AccessError, HostError, InterruptedRunError: Nothing of the backup is visible; earlier ones are untouched.
    """
    taking = Taking(store, backups, subject, request, about, run)
    try:
        taking.capture()
    except BaseException:
        taking.abort()
        raise
    return taking


def plan(store: Store | None, backups: Sequence[Backup], subject: Subject, about: Circumstances, run: Run) -> SnapshotPlan:
    """What a backup would hold, without writing anything.

    Cost: one walk, and the contents of files that changed since the last run.
    """
    previous = last_of(_ordinary(backups), subject.scope)
    looked = look(store, backups, subject, about, run)
    captured = looked.captured
    old = SnapshotView(store, previous.commit) if previous is not None and store is not None else None
    return SnapshotPlan(
        scope=subject.scope,
        against=previous,
        changes=tuple(diff_views(old, looked.view)),
        files=captured.files,
        size_bytes=captured.size_bytes,
        excluded=_excluded(captured),
        problems=tuple(captured.problems),
        dependencies=subject.dependencies,
    )


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look gave, stored nowhere."""

    captured: Captured
    view: SnapshotView

    @property
    def scan(self) -> Scan:
        """What the walk saw."""
        return self.captured.scan

    def abort(self) -> None:
        """Nothing: there is nothing to give up."""


def look(store: Store | None, backups: Sequence[Backup], subject: Subject, about: Circumstances, run: Run) -> Looked:
    """Capture the project as it is now, storing nothing, and show it as a snapshot."""
    cache = reuse.load_cache(store, backups, subject) if store is not None else StatCache()
    return _look(store, cache, subject, about, run)


def _look(store: Store | None, cache: StatCache, subject: Subject, about: Circumstances, run: Run) -> Looked:
    sink = KeepingSink(HashSink())
    captured = capture(subject.root, _options(subject, about, remember_sources=True), cache, sink, run)
    commit = add_commit(sink, captured, b"{}\n", about.line, "now")
    return Looked(captured, SnapshotView(CapturedView(store, subject.root, sink.kept, captured.sources), commit.hex()))


def last_of(backups: Iterable[Backup], scope: Scope) -> Backup | None:
    """The newest backup of *scope*."""
    return max((b for b in backups if b.scope == scope.name), key=lambda b: b.sequence, default=None)


def _ordinary(backups: Iterable[Backup]) -> Iterator[Backup]:
    """Those that somebody asked for: restore points go by themselves after some days."""
    return (backup for backup in backups if backup.type != RESTORE_POINT)


def _options(subject: Subject, about: Circumstances, *, remember_sources: bool = False) -> CaptureOptions:
    return CaptureOptions(
        rules=subject.rules,
        scope=subject.scope.paths,
        chunk_threshold=subject.chunk_threshold,
        trusted_before_ns=int(about.now.timestamp()) * 1_000_000_000 - fingerprints.RACY_NS,
        remember_sources=remember_sources,
    )


def _excluded(captured: Captured) -> Excluded:
    return Excluded(files=captured.scan.excluded_files, directories=captured.scan.excluded_directories)


def _found_rules(scan: Scan) -> dict[str, object]:
    """What was left out for reasons that the snapshot itself does not hold."""
    outer = {path: text.decode("utf-8", "surrogateescape") for path, text in scan.outer_rules.items()}
    return {**({"caches": scan.caches} if scan.caches else {}), **({"outer": outer} if outer else {})}


class Taking:
    """One backup in the making; see `begin`. Exactly one of `finish`, `keep` and `abort` ends it.

    Attributes:
        previous: The backup before it in its scope.
        captured: What the capture gave.
        policy: What the record shall tell of the policy's verdict.
    """

    captured: Captured
    policy: Mapping[str, object] | None = None

    def __init__(
        self,
        store: Store,
        backups: Sequence[Backup],
        subject: Subject,
        request: SnapshotRequest,
        about: Circumstances,
        run: Run,
    ) -> None:
        self.started = time.monotonic()
        self.store = store
        self.backups = backups
        self.subject = subject
        self.request = request
        self.about = about
        self.run = run
        self.previous = last_of(backups, subject.scope)
        self.writer = PackWriter(store.pack_dir, reuse.reusable(store))
        # What trees and records are is only asked for comparing; a first backup is compared with nothing, and may be large.
        is_compared = self.previous is not None or request.type == RESTORE_POINT
        self.kept = KeepingSink(self.writer) if is_compared else None
        self.sink: ObjectSink = self.kept or self.writer
        self.cache = reuse.load_cache(store, backups, subject)

    def capture(self) -> None:
        """Look at the project and add what is new to the pack."""
        self.captured = capture(self.subject.root, _options(self.subject, self.about), self.cache, self.sink, self.run)

    @property
    def scan(self) -> Scan:
        """What the walk saw."""
        return self.captured.scan

    @cached_property
    def view(self) -> SnapshotView:
        """What was captured, as a snapshot; the contents of files that are new cannot be read from it."""
        if self.kept is None:
            raise UsageError("The trees of this backup were not kept.")
        return self._view_of(add_commit(KeepingSink(HashSink(), self.kept.kept), self.captured, b"{}\n", self.about.line, "now"))

    @cached_property
    def last_wanted(self) -> Backup | None:
        """The backup before it in its scope that somebody asked for: no restore point, which nobody has judged."""
        return last_of(_ordinary(self.backups), self.subject.scope)

    def is_unchanged(self) -> bool:
        """Whether no backup is wanted, as the last one holds just what was captured, and nothing of that was lost."""
        last = self.last_wanted
        if self.request.skip_if_unchanged and last is not None:
            with tolerating(self.run, "store.damaged", f"{last.id} is damaged", "So a new backup is made."):
                root = SnapshotView(self.store, last.commit).root
                trees = self.captured.data.hex(), self.captured.attributes.hex()
                return self.writer.is_empty and (root.data, root.attributes) == trees
        return False

    def finish(self) -> SnapshotReport:
        """Make the backup; errors as for `begin`.

        Durability: when this returns, the backup survives a power cut.
        """
        try:
            stored = self._store_snapshot()
            self.run.checkpoint()  # the last one: from here on it is made
            backup, pack = self._publish(stored)
        except BaseException:
            self.abort()
            raise
        self._save_cache(self.cache, backup)
        return self._report(backup, pack)

    def keep(self) -> SnapshotReport:
        """Make none, as the last one holds it all."""
        self.abort()
        assert self.last_wanted is not None
        return self._report(self.last_wanted, None)

    @property
    def id(self) -> str:
        """The id that the backup will have, if it is finished while the store stays locked."""
        return self._draft().id

    def abort(self) -> None:
        """Give up; nothing is left of it."""
        self.writer.abort()

    def _report(self, backup: Backup, pack: PackResult | None) -> SnapshotReport:
        captured = self.captured
        return SnapshotReport(
            backup=backup,
            unchanged=pack is None,
            files_read=captured.files_read,
            bytes_read=captured.bytes_read,
            bytes_stored=pack.size_bytes if pack else 0,
            objects_stored=pack.objects if pack else 0,
            excluded=_excluded(captured),
            problems=tuple(captured.problems),
            duration_s=time.monotonic() - self.started,
            dependencies=self.subject.dependencies,
        )

    def _view_of(self, commit: bytes) -> SnapshotView:
        assert self.kept is not None
        return SnapshotView(CapturedView(self.store, "", self.kept.kept, {}), commit.hex())

    # --- the snapshot's objects ---

    def _store_snapshot(self) -> Backup:
        """Add record, trees and commit; the backup, with everything known but the tag."""
        draft = self._draft()
        snapshot = record.format_json(self._describe(draft))
        commit = add_commit(self.sink, self.captured, snapshot, self.about.line, record.snapshot_message(draft))
        counts = self._count_changes(commit)
        return replace(draft, commit=commit.hex(), added=counts["added"], changed=counts["changed"], removed=counts["removed"])

    def _draft(self) -> Backup:
        request, about = self.request, self.about
        name = slug(request.name or about.default_name)
        # What is in the trash may come back, so neither its ids nor its sequence numbers are given again.
        # Those that cannot be read count as well: their numbers are unknown, but there are no more numbers than tags.
        kept, trash = self.store.tags(), self.store.trash_tags()
        taken = kept.oids.keys() | kept.damaged.keys() | trash.oids.keys() | trash.damaged.keys()
        numbers = [backup.sequence for backup in (*self.backups, *catalog.read_trash(self.store, sure=False).backups)]
        return Backup(
            id=make_id(name, about.now, taken),
            name=name,
            type=request.type,
            scope=self.subject.scope.name,
            created=about.now,
            sequence=1 + max(len(taken), *numbers, 0),
            parent=self.previous.id if self.previous else None,
            message=record.clean_line(request.message) or name,
            description=record.clean_text(request.description),
            labels=request.labels,
            pinned=request.pinned,
            files=self.captured.files,
            size_bytes=self.captured.size_bytes,
            added=0,
            changed=0,
            removed=0,
            metadata=request.metadata,
            commit="",
            tag="",
        )

    def _describe(self, backup: Backup) -> dict[str, Any]:
        """The content of `meta/snapshot.json`."""
        subject, about, captured = self.subject, self.about, self.captured
        root = Path(subject.root)
        states = {path: read_repository(root, path) for path in captured.scan.repositories}
        return {
            "format": 1,
            "id": backup.id,
            "scope": {"name": subject.scope.name, "paths": list(subject.scope.paths)},
            "rules": {**subject.described_rules, **_found_rules(captured.scan)},
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
            **self._describe_needs(),
            **({"policy": self.policy} if self.policy else {}),
        }

    def _describe_needs(self) -> Mapping[str, object]:
        """What the modules need beyond themselves; nothing for a backup that is not of modules."""
        if self.subject.scope.is_project or not self.request.modules or self.request.only:
            return {}
        look = lambda subject: _look(self.store, self.cache, subject, self.about, self.run).view  # noqa: E731
        return dependencies.note_needs(self.subject, look, self.run)

    def _count_changes(self, commit: bytes) -> dict[str, int]:
        """How many paths differ from the last backup of the scope; everything is new when there is none, or a damaged one."""
        if self.previous is not None and self.kept is not None:
            now = self._view_of(commit)
            counts = {"added": 0, "changed": 0, "removed": 0}
            meaning = "So every file of the new backup counts as added."
            with tolerating(self.run, "store.damaged", f"{self.previous.id} is damaged", meaning):
                for change in diff_views(SnapshotView(self.store, self.previous.commit), now, attributes=False):
                    counts[change.kind] += 1
                return counts
        return {"added": self.captured.files, "changed": 0, "removed": 0}

    # --- the commit point ---

    def _publish(self, backup: Backup) -> tuple[Backup, PackResult | None]:
        """Tag and timeline commit into the pack, pack durable, tag ref durable; then, with the backup safe, the timeline."""
        tag = self.writer.add("tag", record.format_tag(backup, self.about.identity))
        ref = timeline.ref_name(backup.scope)
        tip = self._add_to_timeline(backup, ref)
        pack = self.writer.finish()
        self.store.create_tag_ref(backup.id, tag.hex())
        safe = "The backup is safe; the next one mends the timeline."
        with tolerating(self.run, "timeline.unmoved", f"{ref} was not moved", safe):
            self.store.refresh()
            self.store.set_ref(ref, tip)
        self.writer.release()
        return replace(backup, tag=tag.hex()), pack

    def _add_to_timeline(self, backup: Backup, ref: str) -> str:
        """The new tip. When the timeline does not end with the last backup (a run was killed after its tag), it is made anew."""
        if self.previous is None or timeline.tip_backup(self.store, ref) != self.previous.id:
            earlier = [b for b in self.backups if b.scope == backup.scope]
            tip = timeline.rebuild(self.writer.add, self.store, earlier)
        else:
            tip = self.store.ref(ref)
        who = self.about.line
        return timeline.append(self.writer.add, tip, backup, self.captured.data.hex(), who)

    def _save_cache(self, old: StatCache, backup: Backup) -> None:
        """Remember what was seen."""
        if self.subject.root != self.store.project_root:
            return
        seen = StatCache([backup.commit], self.store.whole_packs, self.captured.cache)
        cache = reuse.next_cache(old, seen, self.subject.scope)
        safe = "The backup is safe; the next one reads every file again."
        with tolerating(self.run, "statcache.unwritten", "The stat cache was not written", safe):
            fingerprints.save_statcache(self.store.statcache, cache)
