"""Timelines: branches that chain the kept backups of a scope, so that `git log`, `blame` and `bisect` work on them.

A timeline is derived from the tags and worth nothing by itself: appended to by every backup, rebuilt when it does not end where
it should. This module makes its commits; who writes the ref, and when, is the calling operation's. Floor F6.

Format: docs/reference/store-format.md, "Timeline".
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable

from cronos_git.errors import DamageError, RecordFormatError
from cronos_git.git.listing import ObjectReader
from cronos_git.git.store import Store
from cronos_git.git.trees import MODE_DIRECTORY, parse_tree
from cronos_git.model import SCOPE_PROJECT, Backup
from cronos_git.rules.record import format_commit, parse_commit, tagger_line, timeline_message

AddObject = Callable[[str, bytes], bytes]
"""Stores an object of a kind and gives its 20-byte id: `PackWriter.add`."""

_ID_TRAILER = re.compile(r"^Cronos-Id: (\S+)\n?\Z", re.MULTILINE)


def ref_name(scope: str) -> str:
    """The branch of a scope: `refs/heads/main` for the whole project, else `refs/heads/module/<scope>`."""
    return "refs/heads/main" if scope == SCOPE_PROJECT else f"refs/heads/module/{scope}"


def tip_backup(store: Store, ref: str) -> str | None:
    """Id of the backup that a timeline ends with; None when there is no timeline, or a damaged one, which is rebuilt anyway."""
    try:
        tip = store.ref(ref)
        if tip is None:
            return None
        kind, body = store.read(tip)
        match = _ID_TRAILER.search(parse_commit(body).message) if kind == "commit" else None
    except DamageError:
        return None
    return match[1] if match else None


def append(add: AddObject, parent: str | None, backup: Backup, data_tree: str, identity_line: bytes) -> str:
    """Store the timeline commit of one backup.

    Args:
        parent: The timeline commit before it; None for the first.
        data_tree: Id of `data/` in its snapshot.
        identity_line: Tagger of its tag.

    Returns:
        Id of the commit, the timeline's new tip once a ref says so.
    """
    parents = () if parent is None else (parent,)
    message = timeline_message(backup)
    return add("commit", format_commit(tree=data_tree, parents=parents, identity_line=identity_line, message=message)).hex()


def rebuild(add: AddObject, store: ObjectReader, backups: Iterable[Backup]) -> str | None:
    """Store the whole timeline of *backups* anew; the same backups always give the same commits.

    A backup with a damaged tag, commit or root tree is left out: `verify` tells of it, and a branch that is for convenience must
    not stop the next backup.

    Args:
        backups: The kept backups of one scope, in any order.

    Returns:
        Id of the last commit, None when there are no backups.

    Cost: three small objects read and one made for each backup.
    """
    tip: str | None = None
    for backup in sorted(backups, key=lambda backup: backup.sequence):
        with contextlib.suppress(DamageError):
            identity = tagger_line(store.read(backup.tag)[1])
            tip = append(add, tip, backup, _data_tree(store, backup), identity)
    return tip


def _data_tree(store: ObjectReader, backup: Backup) -> str:
    root = parse_commit(store.read(backup.commit)[1]).tree
    for entry in parse_tree(store.read(root)[1]):
        if entry.stored == b"data" and entry.mode == MODE_DIRECTORY:
            return entry.oid.hex()
    raise RecordFormatError(
        f"The snapshot of backup {backup.id} has no data/ directory.", hint="Run `cronos verify` to see what is hit.", oid=root
    )
