"""Moves backups to the trash and back: what retention drops, what the user deletes, what the user wants again.

    delete     trash refs -> timelines of the backups that stay -> tag refs removed
    undelete   tag refs -> timelines with the backups that are back -> trash refs removed

A backup with a tag ref exists, whether it has a trash ref beside it or not; so does one that a killed run left with both, and
the next run makes its timelines anew and removes its trash ref. Nothing here frees space: every object of a backup in the trash
stays in the store. Which backups retention drops is decided by `rules.retention`. The caller holds the store's exclusive lock,
but for `plan`. Floor F7.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, tzinfo

from cronos_git.disk import fingerprints
from cronos_git.errors import DamageError, RefusedError
from cronos_git.git import timeline
from cronos_git.git.pack import PackWriter
from cronos_git.git.refs import BACKUP_TAGS, TRASH
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, Damage, PrunePlan
from cronos_git.ops import catalog, rotation
from cronos_git.ops.absence import missing_refs
from cronos_git.rules.retention import Policy, decide


def plan(backups: Iterable[Backup], policy: Policy, now: datetime, zone: tzinfo) -> PrunePlan:
    """What *policy* makes of *backups*, all that the store has."""
    return PrunePlan(decisions=decide(policy, backups, now, zone))


def apply(store: Store, plan: PrunePlan) -> None:
    """Move what the plan drops to the trash.

    Raises:
        RefusedError: A backup that the plan rests on has been changed or deleted since; nothing was changed.
        All errors of `delete`.

    Durability, cost: as for `delete`.
    """
    tags = store.tags().oids
    changed = [decision.backup.id for decision in plan.decisions if tags.get(decision.backup.id) != decision.backup.tag]
    if changed:
        raise RefusedError(
            f"{changed[0]} has been changed or deleted since the prune was planned. Nothing was changed.",
            hint="Run it again.",
            backups=changed,
        )
    delete(store, plan.dropped)


def delete(store: Store, backups: Sequence[Backup]) -> None:
    """Move backups to the trash.

    Raises:
        RefusedError: One of them is pinned; nothing was changed.
        DamageError: The store is damaged, so nothing is deleted from it.
        DiskFullError, AccessError, HostError, StoreLockedError: Each backup is as it was or, if some tags were removed already,
            in the trash.

    Durability: when this returns, the backups are in the trash also after a power cut. If killed earlier, each backup exists
    or is in the trash.
    Cost: five small objects read for each backup of the scopes touched, and a timeline commit written for each that stays.
    """
    _refuse_pinned(backups)
    mend(store)
    if not backups:
        return
    gone, scopes = {backup.id for backup in backups}, {backup.scope for backup in backups}
    existing = _require_sound(store, scopes)
    store.add_tag_refs(TRASH, backups)
    _rebuild_timelines(store, scopes, [backup for backup in existing if backup.id not in gone])
    store.remove_refs([BACKUP_TAGS + backup.id for backup in backups])


def undelete(store: Store, backups: Sequence[Backup]) -> None:
    """Bring backups back from the trash.

    Raises:
        DamageError, DiskFullError, AccessError, HostError, StoreLockedError: Each is still in the trash, or all are back.

    Durability: when this returns, they exist also after a power cut. If killed earlier, all or none do.
    Cost: three small objects read, and a timeline commit written, for each backup of the scopes touched.
    """
    if backups:
        store.add_tag_refs(BACKUP_TAGS, backups)
    mend(store)


def mend(store: Store) -> None:
    """Finish what a killed run left: backups that have both refs exist, and lose the one in the trash.

    Raises:
        DamageError, DiskFullError, AccessError, HostError, StoreLockedError: The next run finds it again.

    Cost: the names of all refs read; when there is something to do, as for `undelete`.
    """
    both = store.trash_tags().oids.keys() & store.tags().oids.keys()
    if both:
        existing = catalog.load(store)
        _rebuild_timelines(store, {backup.scope for backup in existing if backup.id in both}, existing)
        store.remove_refs([TRASH + name for name in both])


def _refuse_pinned(backups: Iterable[Backup]) -> None:
    for backup in backups:
        if backup.pinned:
            hint = "Take the pin off, or name only the others."
            raise RefusedError(f"{backup.id} is pinned. Nothing was deleted.", hint=hint, backup=backup.id)


def _require_sound(store: Store, scopes: Collection[str]) -> list[Backup]:
    """All backups, by sequence; packs and tags are sound, and the tops of the snapshots in *scopes* can be read."""
    for pack in store.index.unsound:
        raise _damaged(f"The pack {pack} is damaged or gone.", pack=pack)
    refuse_lost(lost_packs(store))
    for pack in set(store.whole_packs).intersection(rotation.damaged_packs(store.cronos_dir)):
        raise _damaged(f"A check has found damage in the pack {pack}.", hint="`cronos repair` mends it.", pack=pack)
    found = catalog.read(store)
    for damage in (*found.damaged, *catalog.read_trash(store).damaged, *missing_refs(store)):
        raise _damaged(damage.text, oid=damage.oid)
    for backup in found.backups:
        if backup.scope in scopes:
            try:
                SnapshotView(store, backup.commit)
            except DamageError as error:
                raise _damaged(f"{backup.id} is damaged: {error.message}", oid=backup.commit) from error
    return found.backups


def lost_packs(store: Store) -> list[str]:
    """The packs that were there when the last backup was made, and are not there now.

    Cost: a read of the stat cache.
    """
    return sorted(set(fingerprints.recorded_packs(store.statcache)) - set(store.whole_packs))


def refuse_lost(packs: Sequence[str]) -> None:
    """Raise DamageError when packs have been lost."""
    for pack in packs:
        hint = "Run `cronos verify`. If all is well, because git has repacked the store, the next backup makes this good."
        raise _damaged(f"The pack {pack} was there after the last backup, and is gone.", hint=hint, pack=pack)


def refuse_damage(found: Sequence[Damage]) -> None:
    """Raise DamageError when a check of the backups to be kept has found anything."""
    for damage in found:
        raise _damaged(damage.text, backups=list(damage.backups), path=damage.path, oid=damage.oid)


def _damaged(text: str, *, hint: str = "", **context: object) -> DamageError:
    hint = hint or "Run `cronos verify` to see which backups and paths are hit."
    return DamageError(f"{text} Nothing is deleted from a damaged store.", hint=hint, **context)


def _rebuild_timelines(store: Store, scopes: Iterable[str], existing: Sequence[Backup]) -> None:
    writer = PackWriter(store.pack_dir, store.index.contains)
    try:
        tips = {
            timeline.ref_name(scope): timeline.rebuild(writer.add, store, [b for b in existing if b.scope == scope])
            for scope in scopes
        }
        writer.finish()
        store.refresh()
        for ref, tip in tips.items():
            if tip is not None:
                store.set_ref(ref, tip)
        store.remove_refs([ref for ref, tip in tips.items() if tip is None])
        writer.release()
    except BaseException:
        writer.abort()
        raise
