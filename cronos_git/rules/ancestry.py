"""What a merge starts from: the backup that the target and the backup to be merged both come from.

What the target was last taken from, or restored to, is `ops.undoing`'s to find. Floor F4: pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cronos_git.model import Backup


def find_base(backup: Backup, last: Backup | None, known: Mapping[str, Backup]) -> Backup | None:
    """The base of a merge of *backup* into a target.

    It is the backup itself when that was the last one taken from or restored to the target: what was deleted since comes back.
    Else the last one, when the backup is an ancestor of it: what was backed up since is taken back, what was edited since
    stays. Else their nearest common ancestor, if any is known: of a backup whose parent is gone no ancestors are.

    Args:
        last: The backup that was last taken from, or restored to, the target; None when there is none.
        known: All backups by id, deleted ones too.
    """
    if last is None:
        return None
    of_last = set(_line(last, known))
    if backup.id in of_last:
        return last
    return next((known[name] for name in _line(backup, known) if name in of_last), None)


def _line(backup: Backup, known: Mapping[str, Backup]) -> Iterator[str]:
    """The backup and its ancestors, the nearest first, as far as they are known."""
    seen = set[str]()
    found: Backup | None = backup
    while found is not None and found.id not in seen:
        seen.add(found.id)
        yield found.id
        found = known.get(found.parent) if found.parent else None
