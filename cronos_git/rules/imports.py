"""Where imported backups stand among those that were made here, which dates they may have, and what is told of sources.

Floor F4: pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from cronos_git.model import SCOPE_PROJECT, Backup
from cronos_git.rules.identify import is_imported

_OTHERS_SHOWN = 5
IMPORTED_SCOPE = "imported"
"""Scope of imports where backups have been made already, so that they do not come between these."""


def scope_for(name: str, backups: Iterable[Backup]) -> str:
    """The scope of an import that would have the scope *name*.

    That scope itself, as long as no backup of it has been made here. After that an import must not come between these: the next
    backup compares itself with the last of its scope.
    """
    if all(is_imported(backup) for backup in backups if backup.scope == name):
        return name
    return IMPORTED_SCOPE if name == SCOPE_PROJECT else f"{IMPORTED_SCOPE}+{name}"


def checked_date(created: datetime | None) -> datetime | None:
    """In UTC, None for what no id can say."""
    try:
        told = created.astimezone(UTC) if created is not None else None
    except OverflowError:
        return None
    return told if told is not None and told.year >= 1970 else None


def note_of_others(names: Sequence[str]) -> tuple[str, ...]:
    """What is told of that which lies beside the copies in a directory."""
    if not names:
        return ()
    more = f" and {len(names) - _OTHERS_SHOWN:,} more" if len(names) > _OTHERS_SHOWN else ""
    return (f"Passed over, as they are no copies or archives with a date: {', '.join(names[:_OTHERS_SHOWN])}{more}.",)


def hint_of_root(lone_tops: Mapping[str, str]) -> list[str]:
    """Tell once of archives, by their names, of which all lies in one directory."""
    for name, top in lone_tops.items():
        more = f", and so it is with {len(lone_tops) - 1:,} more archives" if len(lone_tops) > 1 else ""
        return [
            f"All of {name} lies in {top}/, which the backup has too{more}; --root {shlex.quote(top)} takes it for the project."
        ]
    return []
