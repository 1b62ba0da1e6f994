"""Frees what no backup needs any more: drops backups that have lain in the trash long enough, and packs the rest anew, tightly.

    refs but those of expired trash -> one new pack, read back and compared with what the backups need -> trash refs dropped ->
    old packs removed

Until the new pack has been found whole nothing is dropped; from then on a kill leaves objects twice at worst. The caller holds
the store's exclusive lock, but for `plan`. The packing itself is `git.repacking`'s. Floor F7.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from cronos_git.disk import files, fingerprints
from cronos_git.errors import DamageError, RefusedError
from cronos_git.events import Finished, Run, Started
from cronos_git.git import repacking
from cronos_git.git.needs import CheckedObjects, Needs
from cronos_git.git.packcheck import PackTable
from cronos_git.git.refs import TRASH
from cronos_git.git.store import Store
from cronos_git.model import Backup, CompactPlan, CompactReport, CompactRequest, Operation
from cronos_git.ops import catalog
from cronos_git.ops.absence import missing_refs
from cronos_git.rules.identify import RESTORE_POINT

_DELETING = ("delete", "prune")
_WORTHWHILE_BYTES = 16 << 20
_WORTHWHILE_PERCENT = 20
_PACK_FRAME_BYTES = 32
"""Header and checksum of a pack: bytes that are no object's."""


def deleted_at(operations: Iterable[Operation]) -> dict[str, datetime]:
    """When each backup was moved to the trash, as far as the log tells.

    Args:
        operations: Oldest first.
    """
    found: dict[str, datetime] = {}
    for operation in operations:
        told = operation.facts.get("backups")
        if operation.verb in _DELETING and operation.result == "done" and isinstance(told, list):
            found |= dict.fromkeys(map(str, told), operation.time)
    return found


def expired(trash: Iterable[Backup], deleted: Mapping[str, datetime], now: datetime, days: int) -> list[Backup]:
    """The backups that have been in the trash for more than *days*, 0 for all.

    A restore point of a restore that did not happen is deleted as soon as it is made. Of what else the log does not tell, nobody
    knows how long it has been there, and it stays.
    """
    if days == 0:
        return list(trash)
    oldest = now - timedelta(days=days)
    known = ((backup, deleted.get(backup.id, backup.created if backup.type == RESTORE_POINT else None)) for backup in trash)
    return [backup for backup, when in known if when is not None and when < oldest]


def is_worthwhile(store: Store, going: Iterable[Backup], operations: Iterable[Operation]) -> bool:
    """Whether what goes is likely to free much: what these backups stored when they were made, as the log tells, is compared with
    the packs. Some of it may be needed by later backups, so this is the most that can be freed.

    Cost: one stat for each file of objects, when anything goes at all.
    """
    names = {backup.id for backup in going}
    if not names:
        return False
    made = (operation.facts for operation in operations if operation.verb == "create" and operation.facts.get("backup") in names)
    stored = sum(size for facts in made if isinstance(size := facts.get("bytes_stored"), int))
    return stored >= max(_WORTHWHILE_BYTES, repacking.packed_bytes(store) * _WORTHWHILE_PERCENT // 100)


def plan(store: Store, trash: Sequence[Backup], going: Sequence[Backup], request: CompactRequest) -> CompactPlan:
    """What a compaction would do.

    Args:
        trash: All backups in it, newest first.
        going: Those of them that have expired.

    Raises:
        DamageError: Something that is needed is missing or damaged.
        GitVersionError: There is no git.

    Cost: every distinct tree read once, by git.
    """
    gone = {backup.id for backup in going}
    packed, in_packs = repacking.packed_bytes(store), repacking.packed_bytes(store, ".pack")
    frames = packed - in_packs + _PACK_FRAME_BYTES * len(store.index.packs)
    needed = repacking.needed_bytes(store, _tips(store, gone).values()) + frames
    is_tight = _was_compacted(store) and repacking.is_one_pack(store)
    return CompactPlan(
        expired=tuple(backup for backup in trash if backup.id in gone),
        waiting=tuple(backup for backup in trash if backup.id not in gone),
        packed_bytes=packed,
        needed_bytes=needed,
        full=request.full or not _was_compacted(store),
        idle=is_tight and not going and not request.full and needed >= packed,
    )


def apply(store: Store, plan: CompactPlan, backups: Sequence[Backup], run: Run, begin: Callable[[], None]) -> CompactReport:
    """Carry out a plan.

    Args:
        backups: All that exist.
        begin: Called before backups are dropped from the trash, to note that they are gone on purpose.

    Raises:
        RefusedError: The trash is no longer as planned; nothing was changed.
        DamageError: Something that is needed is missing or damaged; nothing was changed.
        DiskFullError, AccessError, HostError, InterruptedRunError: All that is needed is there, perhaps twice.

    Durability: when this returns, the new pack survives a power cut. Killed earlier, every backup that stays is whole, and the
    expired ones are in the trash, whole, or gone.
    Cost: as `repacking.make_pack`, and everything read once more.
    """
    started = time.monotonic()
    _require_as_planned(store, plan)
    if plan.idle:
        objects = store.index.packs[0].count
        return CompactReport(plan=plan, packed_bytes=plan.packed_bytes, freed_bytes=0, objects=objects, duration_s=0.0)
    _require_sound(store)
    repacking.require_space(store, plan.needed_bytes)
    gone = {backup.id for backup in plan.expired}
    tips = _tips(store, gone)
    try:
        repacking.make_pack(store, tips.values(), run, full=plan.full)
        run.emit(Started("verify"))
        tables = repacking.check_pack(store, run)
        _require_all(store, tables, tips, (*backups, *plan.waiting), run)
        if gone:
            begin()
        store.remove_refs([TRASH + name for name in gone])
        with fingerprints.restamping(store.statcache, store.look_again):
            repacking.put_in_place(store, tables)
    finally:
        repacking.clean(store)
    repacking.drop_packed(store)
    _note_compacted(store)
    run.emit(Finished("verify"))
    packed = repacking.packed_bytes(store)
    return CompactReport(
        plan=plan,
        packed_bytes=packed,
        freed_bytes=plan.packed_bytes - packed,
        objects=sum(len(table.names) for table in tables),
        duration_s=time.monotonic() - started,
    )


def _tips(store: Store, gone: set[str]) -> dict[str, str]:
    """Every ref but those of the trash that goes."""
    dropped = {TRASH + name for name in gone}
    return {name: oid for name, oid in repacking.all_refs(store).items() if name not in dropped}


def _require_as_planned(store: Store, plan: CompactPlan) -> None:
    tags = store.trash_tags().oids
    changed = [backup.id for backup in plan.expired if tags.get(backup.id) != backup.tag]
    if changed:
        raise RefusedError(
            f"{changed[0]} is no longer in the trash as it was when this was planned. Nothing was changed.",
            hint="Run it again.",
            backups=changed,
        )


def _require_sound(store: Store) -> None:
    """Raise DamageError when it cannot be told what is needed."""
    damaged = [*catalog.read(store).damaged, *catalog.read_trash(store).damaged, *missing_refs(store)]
    told = [*(f"The pack {name} is damaged." for name in store.index.unsound), *(damage.text for damage in damaged)]
    for text in told:
        raise DamageError(f"{text} Nothing is removed from a damaged store.", hint="Run `cronos repair`.")


def _require_all(store: Store, tables: Sequence[PackTable], tips: Mapping[str, str], backups: Sequence[Backup], run: Run) -> None:
    """Raise DamageError unless the new pack has all that the backups need, as we and not as git would know."""
    objects = CheckedObjects(store, tables)
    needs = Needs(objects, run, quick=True, announced=False)
    for backup in backups:
        needs.visit(backup)
    for error in objects.faults.values():
        raise error
    missing = [name for name in map(bytes.fromhex, tips.values()) if all(table.position(name) is None for table in tables)]
    for name in (*missing, *objects.outside):
        text = f"git left {name.hex()} out of the new pack. Nothing was removed."
        raise DamageError(text, hint="Run `cronos verify` to see whether it is damaged.", oid=name.hex())


# --- was it compacted before? ---


def _was_compacted(store: Store) -> bool:
    """Whether the largest pack is one that a compaction made."""
    try:
        name = (store.cronos_dir / "compacted").read_text()
    except (OSError, UnicodeDecodeError):
        return False
    return bool(store.index.packs) and store.index.packs[0].path.stem == name.strip()


def _note_compacted(store: Store) -> None:
    """For the next compaction; disposable."""
    if store.index.packs:
        files.write_disposable(store.cronos_dir / "compacted", f"{store.index.packs[0].path.stem}\n".encode())
