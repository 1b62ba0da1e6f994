"""Which backups there are: read from the tags, filtered, sorted.

Everything that `list` shows stands in the tags, so no tree and no commit is read. A damaged tag hides no other backup. Finding
one backup by what a user typed is `rules.identify`'s; here it is only seen to that damage does not change the answer unseen.
Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from fnmatch import fnmatchcase
from itertools import islice

from cronos_git.errors import BackupNotFoundError, DamageError, ObjectMissingError, RecordFormatError, UsageError
from cronos_git.git.refs import BackupTags
from cronos_git.git.store import Store
from cronos_git.model import Backup, Damage, Query
from cronos_git.ops import tagcache
from cronos_git.rules import identify
from cronos_git.rules.identify import Resolution
from cronos_git.rules.record import format_json, parse_tag
from cronos_git.rules.requests import check_query

_SORT_KEYS: dict[str, Callable[[Backup], object]] = {
    "sequence": lambda backup: backup.sequence,
    "created": lambda backup: backup.created,
    "name": lambda backup: backup.name,
    "size": lambda backup: backup.size_bytes,
    "files": lambda backup: backup.files,
    "type": lambda backup: backup.type,
}
_WORDS = ("name", "type")
_MANY = 100
"""So many tags that were not known are worth remembering."""
_ID = r"(.+)_(\d{8}_\d{6})(?:_\d+)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The backups of a store.

    Attributes:
        backups: Those that can be read, by sequence.
        damaged: What is wrong with the others, by id; empty when all is well.
    """

    backups: list[Backup]
    damaged: list[Damage]


def read(store: Store, *, sure: bool = True) -> Catalog:
    """All backups, and which cannot be read.

    Args:
        sure: Read every tag and check its hash. Else it is enough that a tag is there and was read before.

    Cost: some 30 microseconds a backup, or 8.
    """
    return _read_all(store, store.tags(), sure)


def read_trash(store: Store, *, sure: bool = True) -> Catalog:
    """The deleted backups; one that also has its tag is not deleted.

    Args, cost: as for `read`.
    """
    gone = store.trash_tags()
    for kept in gone.oids.keys() & store.tags().oids.keys():
        del gone.oids[kept]
    return _read_all(store, gone, sure)


def load(store: Store) -> list[Backup]:
    """The backups that can be read, by sequence: for what needs no others."""
    return read(store).backups


def resolve(found: Catalog, identifier: str, now: datetime, zone: tzinfo) -> Resolution:
    """The backup that *identifier* means, as `rules.identify` tells, unless one that cannot be read may be meant.

    Raises:
        DamageError: As its id tells, a backup that cannot be read would change the answer. A whole id is never in doubt.
        All errors of `rules.identify.resolve`.
    """
    if not found.damaged:
        return identify.resolve(identifier, found.backups, now, zone)
    try:
        sure: Resolution | None = identify.resolve(identifier, found.backups, now, zone)
    except BackupNotFoundError:
        sure = None
    supposed = identify.resolve(identifier, _suppose_whole(found, identifier, now), now, zone).backup
    if sure is None or sure.backup.id != supposed.id:
        raise _in_doubt(identifier, found)
    return sure


def _suppose_whole(found: Catalog, identifier: str, now: datetime) -> list[Backup]:
    """The backups as they might be if all could be read: what cannot be is taken for newer than all of its time or before.

    A backup of which not even the time is known is taken for the newest. The type is unknown, and so is the one asked for.
    """
    kind = re.sub("^latest:|~.*", "", identifier.strip())
    backups = [replace(backup, sequence=2 * backup.sequence) for backup in found.backups]
    lost = [_suppose(backup_id, damage.oid, kind, now) for damage in found.damaged for backup_id in damage.backups]
    known = {backup.id for backup in backups}
    for backup in lost:
        before = (other.sequence for other in found.backups if other.created.replace(microsecond=0) <= backup.created)
        if backup.id not in known:  # else its ref is damaged, and an older value of it was read
            backups.append(replace(backup, sequence=2 * max(before, default=0) + 1))
    return backups


def _suppose(backup_id: str, oid: str, kind: str, now: datetime) -> Backup:
    match = re.fullmatch(_ID, backup_id)
    name, created = backup_id, now
    if match:
        with contextlib.suppress(ValueError):
            name, created = match[1], datetime.strptime(match[2], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    return Backup(
        id=backup_id,
        name=name,
        type=kind,
        scope="",
        created=created,
        sequence=0,
        parent=None,
        message="",
        description="",
        labels=(),
        pinned=False,
        files=0,
        size_bytes=0,
        added=0,
        changed=0,
        removed=0,
        metadata={},
        commit="",
        tag=oid,
    )


def _in_doubt(identifier: str, found: Catalog) -> DamageError:
    ids = [backup_id for damage in found.damaged for backup_id in damage.backups]
    damage = next((damage for damage in found.damaged if identifier in damage.backups), None)
    if damage is not None:
        return DamageError(damage.text, hint="Run `cronos verify` to see all that is damaged.", backups=ids)
    shown = ", ".join(ids[-3:]) + (" …" if len(ids) > 3 else "")
    return DamageError(
        f"What {identifier!r} means cannot be told for sure: backups that cannot be read may be meant, such as {shown}.",
        hint="Name the backup by its whole id, as `cronos list` shows it; `cronos verify` tells what is damaged.",
        backups=ids,
    )


def select(backups: Sequence[Backup], query: Query, holds: Callable[[Backup, str], bool]) -> list[Backup]:
    """The backups that meet every condition of *query*, in its order.

    Numbers and dates go from large to small and words from A to Z, unless `query.reverse`; equal ones the newest first.

    Args:
        holds: Whether a backup holds a path; asked last, newest first, and no further than `query.limit` needs.

    Raises:
        UsageError: There is no such order, a negative limit, or an empty condition.
    """
    check_query(query)
    key = _SORT_KEYS.get(query.sort)
    if key is None:
        raise UsageError(f"Backups cannot be sorted by {query.sort!r}.", hint=f"Sort by one of: {', '.join(_SORT_KEYS)}.")
    if query.limit is not None and query.limit < 0:
        raise UsageError(f"A limit of {query.limit} backups makes no sense.", hint="Give 1 or more.")
    newest_first = sorted(backups, key=lambda backup: -backup.sequence)
    matching = (backup for backup in newest_first if _meets(backup, query) and _holds(backup, query, holds))
    found = list(islice(matching, query.limit))
    found.sort(key=key, reverse=(query.sort not in _WORDS) != query.reverse)  # type: ignore[arg-type]
    return found


def _meets(backup: Backup, query: Query) -> bool:
    return (
        (not query.types or backup.type in query.types)
        and (query.name is None or fnmatchcase(backup.name, query.name) or fnmatchcase(backup.id, query.name))
        and set(query.labels) <= set(backup.labels)
        and (query.module is None or query.module in backup.scope.split("+"))
        and (query.since is None or backup.created >= query.since)
        and (query.until is None or backup.created <= query.until)
        and all(_has_value(backup, name, value) for name, value in query.metadata.items())
    )


def _has_value(backup: Backup, name: str, wanted: str) -> bool:
    if name not in backup.metadata:
        return False
    value = backup.metadata[name]
    return wanted in ("", value if isinstance(value, str) else _as_text(value))


def _as_text(value: object) -> str:
    return format_json({"": value}).decode()[len('{"":') : -len("}\n")]


def _holds(backup: Backup, query: Query, holds: Callable[[Backup, str], bool]) -> bool:
    return query.contains is None or holds(backup, query.contains)


def _read_all(store: Store, tags: BackupTags, sure: bool) -> Catalog:
    backups: list[Backup] = []
    damaged = [
        Damage(backups=(name,), path="", oid="", code="record", text=f"The ref of {name} {what}.")
        for name, what in tags.damaged.items()
    ]
    known = {} if sure else _known(store)
    for found in _each(store, tags, known):
        if isinstance(found, Backup):
            backups.append(found)
        else:
            damaged.append(found)
    if not sure and sum(backup.tag not in known for backup in backups) >= _MANY:
        _remember(store, backups, known)
    backups.sort(key=lambda backup: backup.sequence)
    return Catalog(backups=backups, damaged=sorted(damaged, key=lambda damage: damage.backups))


def _known(store: Store) -> Mapping[str, Backup]:
    """The backups whose tags were read before and are still there."""
    remembered = tagcache.load(store.tag_cache)
    if remembered.packs <= set(store.whole_packs):
        return remembered.backups
    there = {tag: remembered.backups[tag] for tag in remembered.backups if store.index.contains(bytes.fromhex(tag))}
    _remember(store, there.values(), {})
    return there


def _remember(store: Store, backups: Iterable[Backup], known: Mapping[str, Backup]) -> None:
    """Keep what these tags say, and what was known of others that are in use."""
    used = {*store.tags().oids.values(), *store.trash_tags().oids.values()}
    others = {tag: known[tag] for tag in known.keys() & used}
    kept = others | {backup.tag: backup for backup in backups if store.index.contains(bytes.fromhex(backup.tag))}
    tagcache.save(store.tag_cache, kept.values(), store.whole_packs)


def _each(store: Store, tags: BackupTags, known: Mapping[str, Backup]) -> Iterator[Backup | Damage]:
    for backup_id, oid in tags.oids.items():
        try:
            if oid in known and (backup := known[oid]).id == backup_id:
                yield backup
            else:
                yield _read(store, backup_id, oid)
        except DamageError as error:
            yield Damage(backups=(backup_id,), path="", oid=oid, code=_code(error), text=error.message)


def _code(error: DamageError) -> str:
    if isinstance(error, ObjectMissingError):
        return "missing"
    return "record" if isinstance(error, RecordFormatError) else "corrupt"


def _read(store: Store, backup_id: str, oid: str) -> Backup:
    kind, body = store.read(oid)
    if kind != "tag":
        raise RecordFormatError(f"refs/tags/backup/{backup_id} leads to a {kind}, not to the tag of a backup.", oid=oid)
    backup = parse_tag(body, oid)
    if backup.id != backup_id:
        raise RecordFormatError(f"refs/tags/backup/{backup_id} leads to the tag of {backup.id}.", oid=oid)
    return backup
