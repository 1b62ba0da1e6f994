"""Lets backups that come from another store into this one.

    tags read -> snapshots walked -> packs moved in -> tags -> all tag refs in one step -> timelines

Commits stay what they were. What this store made itself comes back as it was. Any other backup gets a new tag object with the
next sequence of this store, and says where it came from; its id stays unless it is taken. A restore point comes as an import
then: it was of another directory, and no undo may find it. Where the objects come from is the verbs' matter; they hold the
store's exclusive lock. Floor F7, below the verbs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cronos_git.disk import files
from cronos_git.errors import CronosError, DamageError
from cronos_git.events import Run, tolerating
from cronos_git.git import timeline
from cronos_git.git.incoming import Quarantine
from cronos_git.git.listing import Directory
from cronos_git.git.pack import PackWriter
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup
from cronos_git.ops import catalog
from cronos_git.rules.identify import IMPORT, RESTORE_POINT
from cronos_git.rules.imports import scope_for
from cronos_git.rules.names import make_id
from cronos_git.rules.record import Identity, format_tag, parse_tag, tagger_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """A backup that is to be let in.

    Attributes:
        backup: As its tag tells.
        maker: Who made the tag.
        is_own: It comes back as it was.
    """

    backup: Backup
    maker: Identity
    is_own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the new backups are told to come from.

    Attributes:
        facts: What their metadata say of it.
        labels: Added to theirs.
        pinned: Pin them.
    """

    facts: Mapping[str, object]
    labels: tuple[str, ...] = ()
    pinned: bool = False


def examine(
    isolated: Quarantine, tags: Mapping[str, str], run: Run, refuse: Callable[[str, DamageError], CronosError]
) -> list[Newcomer]:
    """The backups that tags tell of, by sequence; every directory of every snapshot has been read.

    Args:
        tags: Tag object ids by backup id.
        refuse: Makes the error for a backup that is not whole.

    Cost: three objects for each distinct directory.
    """
    found, seen = [], set[tuple[str, str]]()
    for backup_id, oid in tags.items():
        try:
            backup, body = _read_tag(isolated, backup_id, oid)
            view = SnapshotView(isolated, backup.commit)
            view.record()
            _walk(view, seen, run)
            found.append(Newcomer(backup=backup, maker=maker(body)))
        except DamageError as error:
            raise refuse(backup_id, error) from error
    return sorted(found, key=lambda one: one.backup.sequence)


def _walk(view: SnapshotView, seen: set[tuple[str, str]], run: Run) -> None:
    """Read every directory, but for those that equal one of *seen*, which takes them in."""
    pending = [view.root]
    while pending:
        run.checkpoint()
        directory = pending.pop()
        content = (directory.data, directory.attributes)
        if content not in seen:
            members = view.listing(directory).members.values()
            pending += [member for member in members if isinstance(member, Directory)]
            seen.add(content)


def strange(isolated: Quarantine, tags: Mapping[str, str]) -> dict[str, str]:
    """Which tags tell of no backup, or of another one than their name says; and why, by that name."""
    found = {}
    for backup_id, oid in tags.items():
        try:
            _read_tag(isolated, backup_id, oid)
        except DamageError as error:
            found[backup_id] = error.message
    return found


def _read_tag(isolated: Quarantine, backup_id: str, oid: str) -> tuple[Backup, bytes]:
    kind, body = isolated.read(oid)
    if kind != "tag":
        raise DamageError(f"refs/tags/backup/{backup_id} leads to a {kind}.")
    backup = parse_tag(body, oid)
    if backup.id != backup_id:
        raise DamageError(f"refs/tags/backup/{backup_id} leads to the tag of {backup.id}.")
    return backup, body


def maker(tag: bytes) -> Identity:
    """Who made a tag, so that the new one says the same."""
    match = re.fullmatch(r"(.*) <(?:.*)@(.*)> \d+ \+0000", tagger_line(tag).decode("utf-8", "replace"))
    return Identity(user=match[1], host=match[2]) if match else Identity(user="", host="")


def adopt(store: Store, isolated: Quarantine, newcomers: Sequence[Newcomer], origin: Origin, run: Run) -> list[Backup]:
    """Let backups exist in this store, all in one step; as they are then, by sequence.

    Raises:
        DiskFullError, AccessError, HostError: None of them exists.

    Durability: when this returns, they survive a power cut; if killed earlier, all or none exist.
    """
    existing = catalog.read(store).backups
    writer = PackWriter(store.pack_dir, store.index.contains)
    try:
        keeps = isolated.admit(store)
        backups = []
        for draft, newcomer in _drafts(store, existing, newcomers, origin):
            body = None if newcomer.is_own else format_tag(draft, newcomer.maker)
            backups.append(draft if body is None else replace(draft, tag=writer.add("tag", body).hex()))
        writer.finish()
        store.refresh()
        store.add_tag_refs(BACKUP_TAGS, backups)
        writer.release()
        for keep in keeps:
            files.unlink(keep)
    except BaseException:
        writer.abort()
        raise
    _extend_timelines(store, {backup.scope for backup in backups}, run)
    return sorted(backups, key=lambda backup: backup.sequence)


def _drafts(
    store: Store, existing: Sequence[Backup], newcomers: Sequence[Newcomer], origin: Origin
) -> list[tuple[Backup, Newcomer]]:
    """The backups as they will stand in this store."""
    kept, trash = store.tags(), store.trash_tags()
    own = [one.backup for one in newcomers if one.is_own]
    taken = {*kept.oids, *kept.damaged, *trash.oids, *trash.damaged, *(backup.id for backup in own)}
    numbers = [backup.sequence for backup in (*existing, *catalog.read_trash(store).backups, *own)]
    number = max(len(taken), *numbers, 0)
    ids: dict[str, str] = {}
    drafts = []
    for one in newcomers:
        backup = one.backup
        if one.is_own:
            drafts.append((backup, one))
            continue
        number += 1
        ids[backup.id] = make_id(backup.name, backup.created, taken) if backup.id in taken else backup.id
        taken.add(ids[backup.id])
        draft = replace(
            backup,
            id=ids[backup.id],
            type=IMPORT if backup.type == RESTORE_POINT else backup.type,
            scope=scope_for(backup.scope, (*existing, *own)),
            sequence=number,
            parent=ids.get(backup.parent, backup.parent) if backup.parent else None,
            labels=tuple(dict.fromkeys((*backup.labels, *origin.labels))),
            pinned=backup.pinned or origin.pinned,
            metadata={**backup.metadata, IMPORT: {**origin.facts, "id": backup.id, "type": backup.type}},
            tag="",
        )
        drafts.append((draft, one))
    return drafts


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


def stored_bytes(store: Store) -> int:
    """The size of everything in packs."""
    return sum(path.stat().st_size for path in store.pack_dir.iterdir())
