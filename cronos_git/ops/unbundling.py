"""Brings the backups of a Git bundle into the store.

    quarantine -> tags read -> snapshots walked -> packs moved in -> new tags -> all tag refs in one step -> timelines

Commits stay what they were. Each backup gets a new tag object with the next sequence of this store, and says where it came from;
its id stays unless it is taken. A restore point comes as an import: it was of another directory, and no undo may find it. The
caller holds the store's exclusive lock. Floor F7.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cronos_git.disk import files
from cronos_git.errors import ArchiveError, CronosError, DamageError
from cronos_git.events import Run, tolerating
from cronos_git.git import timeline
from cronos_git.git.bundles import Quarantine, quarantine, read_bundle
from cronos_git.git.pack import PackWriter
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, ImportRequest
from cronos_git.ops import catalog
from cronos_git.rules.identify import IMPORT, RESTORE_POINT
from cronos_git.rules.imports import scope_for
from cronos_git.rules.names import make_id
from cronos_git.rules.record import Identity, format_tag, parse_tag, tagger_line


@dataclass(frozen=True, slots=True)
class Unbundled:
    """What came of it: the new backups by sequence, those that were there already, and the growth of the store."""

    backups: tuple[Backup, ...]
    known: tuple[Backup, ...]
    bytes_stored: int


def unbundle(store: Store, path: Path, request: ImportRequest, run: Run) -> Unbundled:
    """Bring in all backups of a bundle.

    Args:
        store: Locked exclusively by the caller.

    Raises:
        ArchiveError: The bundle is damaged, or what is in it are no backups.
        RefusedError, DiskFullError, AccessError, HostError, GitVersionError: Nothing was imported.

    Durability: when this returns, the backups survive a power cut; if killed earlier, all of them exist or none.
    """
    existing = catalog.read(store).backups
    by_commit = {backup.commit: backup for backup in existing}
    bundle = read_bundle(path)
    with quarantine(store, bundle) as isolated:
        found = _read(isolated, bundle.tags, path, run)
        known = tuple(by_commit[backup.commit] for backup, _ in found if backup.commit in by_commit)
        new = [(backup, who) for backup, who in found if backup.commit not in by_commit]
        if not new:
            return Unbundled((), known, 0)
        drafts = _drafts(store, existing, [backup for backup, _ in new], request, path.name)
        before = _pack_bytes(store)
        backups = _publish(store, isolated, list(zip(drafts, (who for _, who in new), strict=True)))
    _extend_timelines(store, {backup.scope for backup in backups}, run)
    return Unbundled(tuple(backups), known, _pack_bytes(store) - before)


def _read(isolated: Quarantine, tags: Mapping[str, str], path: Path, run: Run) -> list[tuple[Backup, Identity]]:
    """Each backup and who made it, by sequence; every directory of every snapshot has been read."""
    found = []
    for backup_id, oid in tags.items():
        try:
            kind, body = isolated.read(oid)
            if kind != "tag":
                raise DamageError(f"refs/tags/backup/{backup_id} leads to a {kind}.")
            backup = parse_tag(body, oid)
            if backup.id != backup_id:
                raise DamageError(f"refs/tags/backup/{backup_id} leads to the tag of {backup.id}.")
            view = SnapshotView(isolated, backup.commit)
            view.record()
            for _ in view.walk():
                run.checkpoint()
            found.append((backup, _identity(body)))
        except DamageError as error:
            raise ArchiveError(
                f"{backup_id} in the bundle {path.name} is no whole backup: {error.message} Nothing was imported.",
                hint="Get another copy of the bundle.",
            ) from error
    return sorted(found, key=lambda pair: pair[0].sequence)


def _identity(tag: bytes) -> Identity:
    """Who made a tag, so that the new one says the same."""
    match = re.fullmatch(r"(.*) <(?:.*)@(.*)> \d+ \+0000", tagger_line(tag).decode("utf-8", "replace"))
    return Identity(user=match[1], host=match[2]) if match else Identity(user="", host="")


def _drafts(
    store: Store, existing: Sequence[Backup], found: Sequence[Backup], request: ImportRequest, file_name: str
) -> list[Backup]:
    """The backups as they will stand in this store."""
    kept, trash = store.tags(), store.trash_tags()
    taken = {*kept.oids, *kept.damaged, *trash.oids, *trash.damaged}
    numbers = [backup.sequence for backup in (*existing, *catalog.read_trash(store).backups)]
    first = 1 + max(len(taken), *numbers, 0)
    ids: dict[str, str] = {}
    for backup in found:
        ids[backup.id] = make_id(backup.name, backup.created, taken) if backup.id in taken else backup.id
        taken.add(ids[backup.id])
    return [
        replace(
            backup,
            id=ids[backup.id],
            type=IMPORT if backup.type == RESTORE_POINT else backup.type,
            scope=scope_for(backup.scope, existing),
            sequence=first + place,
            parent=ids.get(backup.parent, backup.parent) if backup.parent else None,
            labels=tuple(dict.fromkeys((*backup.labels, *request.labels))),
            pinned=backup.pinned or request.pinned,
            metadata={**backup.metadata, IMPORT: {"file": file_name, "id": backup.id, "type": backup.type}},
            tag="",
        )
        for place, backup in enumerate(found)
    ]


def _publish(store: Store, isolated: Quarantine, drafts: Sequence[tuple[Backup, Identity]]) -> list[Backup]:
    """Let the backups exist, all in one step."""
    writer = PackWriter(store.pack_dir, store.index.contains)
    try:
        keeps = isolated.admit(store)
        backups = [replace(draft, tag=writer.add("tag", format_tag(draft, who)).hex()) for draft, who in drafts]
        writer.finish()
        store.refresh()
        store.add_tag_refs(BACKUP_TAGS, backups)
        writer.release()
        for keep in keeps:
            files.unlink(keep)
    except BaseException:
        writer.abort()
        raise
    return backups


def _extend_timelines(store: Store, scopes: Collection[str], run: Run) -> None:
    safe = "The backups are safe; the next one of the scope mends the timeline."
    with tolerating(run, "timeline.unmoved", "Timelines were not moved", safe):
        writer = PackWriter(store.pack_dir, store.index.contains)
        try:
            existing = catalog.load(store)
            tips = {scope: timeline.rebuild(writer.add, store, _of(existing, scope)) for scope in scopes}
            writer.finish()
            store.refresh()
            for scope, tip in tips.items():
                if tip is not None:
                    store.set_ref(timeline.ref_name(scope), tip)
            writer.release()
        except CronosError:
            writer.abort()
            raise


def _of(backups: Iterable[Backup], scope: str) -> list[Backup]:
    return [backup for backup in backups if backup.scope == scope]


def _pack_bytes(store: Store) -> int:
    return sum(path.stat().st_size for path in store.pack_dir.iterdir())
