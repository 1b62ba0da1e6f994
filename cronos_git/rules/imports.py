"""Where imported backups stand among those that were made here. Floor F4: pure."""

from __future__ import annotations

from collections.abc import Iterable

from cronos_git.model import SCOPE_PROJECT, Backup
from cronos_git.rules.identify import is_imported

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
