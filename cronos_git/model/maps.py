"""The map of a project: its modules, its backups, and which paths changed in each. Floor F1."""

from __future__ import annotations

from dataclasses import dataclass

from cronos_git.model.dependencies import Module
from cronos_git.model.records import Backup, ChangeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class MapChange:
    """One path that a backup has otherwise than the one before it.

    Attributes:
        module: Name of the module that it belongs to; None when it belongs to none.
    """

    kind: ChangeKind
    path: str
    module: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBackup:
    """One backup on the map.

    Attributes:
        previous: Id of the backup before it in its scope that is still there; None when there is none.
        whole: It is of the whole project.
        modules: Names of the modules that it covers; of one of the whole project those in which something changed.
        changes: Against the previous one; empty when there is none.
        damaged: Damage in either keeps what changed, or what it covers, from being told.
    """

    backup: Backup
    previous: str | None
    whole: bool
    modules: tuple[str, ...]
    changes: tuple[MapChange, ...]
    damaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectMap:
    """The map of a project.

    Attributes:
        name: Last name of its path.
        path: Where it lies.
        modules: Those that are configured, then those that backups were made of, each by name.
        backups: Newest first.
        more: Older backups that are not on the map.
    """

    name: str
    path: str
    modules: tuple[Module, ...]
    backups: tuple[MapBackup, ...]
    more: int
