"""Which backups tell of a path, in their order, and what stood there in each.

A backup of modules tells of what lies in these modules, a restore point of another directory tells nothing of the project. What
the states of a path mean one after the other is `history`'s. Floor F7, below the verbs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from cronos_git.git.listing import Directory, ListingReader, Member, ObjectReader, encode
from cronos_git.git.view import SnapshotView
from cronos_git.model import SCOPE_PROJECT, Backup, Entry
from cronos_git.rules.identify import is_imported
from cronos_git.rules.imports import IMPORTED_SCOPE

_WHOLE_SCOPES = (SCOPE_PROJECT, IMPORTED_SCOPE)


class Witness(NamedTuple):
    """A backup, and the paths that it covers: `("",)` for the whole project."""

    backup: Backup
    tops: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """Whether it would hold *path* if it was there."""
        return any(top in ("", path) or path.startswith(f"{top}/") for top in self.tops)


def witnesses(store: ObjectReader, backups: Iterable[Backup], paths: Sequence[str]) -> list[Witness]:
    """The backups that tell of every one of *paths*, oldest first.

    What was imported stands where its date puts it, everything else in the order in which it was made.

    Cost: a look at the record of each backup that is not of the whole project.
    """
    found = [Witness(backup, _covered(store, backup)) for backup in _in_order(backups)]
    return [witness for witness in found if all(map(witness.covers, paths))]


def _covered(store: ObjectReader, backup: Backup) -> tuple[str, ...]:
    if backup.scope in _WHOLE_SCOPES:
        return ("",)
    described = SnapshotView(store, backup.commit).record().get("scope")
    tops = tuple(map(str, described.get("paths", ()))) if isinstance(described, dict) else ()
    return () if "" in tops else tops  # all of something that is not the project: another directory that was restored


def _in_order(backups: Iterable[Backup]) -> list[Backup]:
    """By sequence, but imports by their date: before the first backup made here that is younger."""
    made: list[tuple[datetime, int, Backup]] = []
    latest: datetime | None = None
    for backup in sorted(backups, key=lambda backup: backup.sequence):
        if is_imported(backup):
            made.append((backup.created, backup.sequence, backup))
        else:
            latest = backup.created if latest is None else max(latest, backup.created)
            made.append((latest, backup.sequence, backup))
    return [backup for _, _, backup in sorted(made, key=lambda item: item[:2])]


class PathReader:
    """Looks paths up in many snapshots. Each state of a directory is taken apart once for each name that is wanted of it.

    Every method raises DamageError (with the path) when an object is missing or does not fit.

    Cost: three small objects a backup; for each path the directories on the way in each of their states. Memory: one small record
    for each of them.
    """

    def __init__(self, store: ObjectReader) -> None:
        self.store = store
        self._reader = ListingReader(store)
        self._roots: dict[str, Directory] = {}
        self._known: dict[tuple[Directory, str], Member | None] = {}
        self._entries: dict[Directory, Entry] = {}

    def view(self, backup: Backup) -> SnapshotView:
        """The backup as a tree of files."""
        return SnapshotView(self.store, backup.commit)

    def find(self, backup: Backup, path: str) -> Member | None:
        """What stands at *path* in a backup; None for nothing."""
        if backup.commit not in self._roots:
            self._roots[backup.commit] = self.view(backup).root
        member: Member | None = self._roots[backup.commit]
        for name in path.split("/") if path else ():
            member = self._member(member, name) if isinstance(member, Directory) else None
        return member

    def _member(self, directory: Directory, name: str) -> Member | None:
        key = directory, name
        if key not in self._known:
            raw = encode(name)
            part = self._reader.part(directory, self._reader.unread(directory), frozenset((raw,)))
            self._known[key] = part.members.get(raw)
        return self._known[key]

    def entry(self, member: Member) -> Entry:
        """The entry of a member; a directory's own attributes are read once for each of its states."""
        if isinstance(member, Entry):
            return member
        if member not in self._entries:
            self._entries[member] = member.entry(self._reader.own(member))
        return self._entries[member]
