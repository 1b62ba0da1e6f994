"""Backups that have no ref although the operation log tells of them, and of no deletion.

So a ref that was lost is damage, and not just one backup less. Bringing it back is `repair`'s. Floor F7, below the verbs.
"""

from __future__ import annotations

from cronos_git.git.store import Store
from cronos_git.model import Damage
from cronos_git.ops import oplog
from cronos_git.ops.returning import replay


def missing_refs(store: Store) -> list[Damage]:
    """The backups whose refs are gone, in the order in which they were made.

    Raises:
        AccessError, HostError: The log or the refs cannot be read.

    Cost: the whole log is read.
    """
    history = replay(oplog.read(store))
    kept, trash = store.tags(), store.trash_tags()
    known = kept.oids.keys() | kept.damaged.keys() | trash.oids.keys() | trash.damaged.keys()
    return [
        Damage(
            backups=(name,),
            path="",
            oid=history.tags.get(name, ""),
            code="missing",
            text=f"The ref of {name} is gone, and the operation log tells of no deletion.",
        )
        for name, place in history.places.items()
        if place and name not in known
    ]
