"""Backups that have no ref although the operation log tells of them, and of no deletion.

So a ref that was lost is damage, and not just one backup less; and lines of the log that cannot be read are damage as well, as
they may have told of one. Bringing it back is `repair`'s. Floor F7, below the verbs.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from cronos_git.git.store import Store
from cronos_git.model import Damage
from cronos_git.ops import logcache, oplog
from cronos_git.ops.chronicle import replay


def missing_refs(store: Store) -> list[Damage]:
    """The backups whose refs are gone, in the order in which they were made.

    It needs no lock: the refs are looked at before the log is read, for what is dropped since, and after it, for what is made or
    moved since.

    Raises:
        AccessError, HostError: The log or the refs cannot be read.

    Cost: the whole log is read, and all refs twice.
    """
    before = _known(store)
    history = replay(oplog.read(store))
    known = before | _known(store)
    return [
        Damage(
            backups=(name,),
            path="",
            oid=history.tags.get(name, ""),
            code="missing",
            text=f"The ref of {name} is gone, and the operation log tells of no deletion.",
        )
        for name, place in history.places.items()
        if place and name not in known and name not in history.doubtful
    ]


def _known(store: Store) -> set[str]:
    """The ids of all backups that have a ref, damaged ones too."""
    kept, trash = store.tags(), store.trash_tags()
    return {*kept.oids, *kept.damaged, *trash.oids, *trash.damaged}


def count_missing(store: Store, known: AbstractSet[str]) -> int:
    """How many refs are gone, for a list that must be quick.

    Args:
        known: The ids of all backups that were found, damaged ones too; while none is wanting, nothing more is read.

    Errors as for `missing_refs`.
    Cost: as for `logcache.kept`, while none is wanting.
    """
    return 0 if logcache.kept(store) <= known else len(missing_refs(store))


def unread_lines(store: Store) -> list[Damage]:
    """What of the operation log cannot be read, as one finding; errors and cost as for `missing_refs`."""
    if not (lines := oplog.bad_lines(store)):
        return []
    text = f"The operation log is damaged: {oplog.told_lines(lines)}. No backup is hit, but a lost ref may not be missed."
    return [Damage(backups=(), path="", oid="", code="record", text=text)]
