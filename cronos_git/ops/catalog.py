"""Which backups there are: read from the tags, filtered, sorted.

Everything that `list` shows stands in the tags, so no tree and no commit is read. A damaged tag hides no other backup. Finding
one backup by what a user typed is `rules.identify`'s. Floor F7, below the verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice

from cronos_git.errors import DamageError, ObjectMissingError, RecordFormatError, UsageError
from cronos_git.git.store import Store
from cronos_git.model import Backup, Damage, Query
from cronos_git.rules.record import format_json, parse_tag

_SORT_KEYS: dict[str, Callable[[Backup], object]] = {
    "sequence": lambda backup: backup.sequence,
    "created": lambda backup: backup.created,
    "name": lambda backup: backup.name,
    "size": lambda backup: backup.size_bytes,
    "files": lambda backup: backup.files,
    "type": lambda backup: backup.type,
}
_WORDS = ("name", "type")


def load(store: Store) -> list[Backup]:
    """All backups that can be read, by sequence; the others are told by `damaged_tags`.

    Cost: some 30 microseconds a backup.
    """
    return sorted((found for found in _read_all(store) if isinstance(found, Backup)), key=lambda backup: backup.sequence)


def load_trash(store: Store) -> list[Backup]:
    """The deleted backups that can be read, by sequence; one that also has its tag is not deleted.

    Cost: as for `load`.
    """
    gone = store.trash_refs()
    for kept in gone.keys() & store.tag_refs().keys():
        del gone[kept]
    return sorted((found for found in _read_all(store, gone) if isinstance(found, Backup)), key=lambda backup: backup.sequence)


def damaged_tags(store: Store) -> list[Damage]:
    """Every backup whose ref or tag is damaged, by id; empty when all is well."""
    refs = [
        Damage(backups=(name,), path="", oid="", code="record", text=f"The ref of {name} {what}.")
        for name, what in store.damaged_refs().items()
    ]
    return sorted([*refs, *(found for found in _read_all(store) if isinstance(found, Damage))], key=lambda damage: damage.backups)


def select(backups: Sequence[Backup], query: Query, holds: Callable[[Backup, str], bool]) -> list[Backup]:
    """The backups that meet every condition of *query*, in its order.

    Numbers and dates go from large to small and words from A to Z, unless `query.reverse`; equal ones the newest first.

    Args:
        holds: Whether a backup holds a path; asked last, newest first, and no further than `query.limit` needs.

    Raises:
        UsageError: There is no such order, or a negative limit.
    """
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


def _read_all(store: Store, refs: Mapping[str, str] | None = None) -> Iterator[Backup | Damage]:
    for backup_id, oid in (store.tag_refs() if refs is None else refs).items():
        try:
            yield _read(store, backup_id, oid)
        except DamageError as error:
            code = (
                "missing"
                if isinstance(error, ObjectMissingError)
                else "record"
                if isinstance(error, RecordFormatError)
                else "corrupt"
            )
            yield Damage(backups=(backup_id,), path="", oid=oid, code=code, text=error.message)


def _read(store: Store, backup_id: str, oid: str) -> Backup:
    kind, body = store.read(oid)
    if kind != "tag":
        raise RecordFormatError(f"refs/tags/backup/{backup_id} leads to a {kind}, not to the tag of a backup.", oid=oid)
    backup = parse_tag(body, oid)
    if backup.id != backup_id:
        raise RecordFormatError(f"refs/tags/backup/{backup_id} leads to the tag of {backup.id}.", oid=oid)
    return backup
