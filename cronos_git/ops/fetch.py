"""Gets backups from a remote: all that this store never had, unless told otherwise.

What this store made itself, and lost, comes back as it was. What another machine made comes like an import, with a scope of its
own where backups have been made here: `latest`, `status` and the timeline stay as they are. Nothing here is changed or removed.
Floor F7.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cronos_git.errors import AmbiguousBackupError, BackupNotFoundError, DamageError, RemoteError
from cronos_git.events import Run
from cronos_git.git.incoming import Quarantine
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.git.store import Store
from cronos_git.model import Backup, FetchPlan, FetchRequest, Remote, RemoteBackup
from cronos_git.ops import adopting, catalog
from cronos_git.ops.adopting import Newcomer, Origin
from cronos_git.ops.chronicle import History
from cronos_git.rules.remotes import backups_of


def plan(store: Store, remote: Remote, request: FetchRequest, refs: Mapping[str, str], history: History) -> FetchPlan:
    """What a fetch would bring.

    Args:
        refs: What the remote has.
        history: What has been here.

    Raises:
        BackupNotFoundError, AmbiguousBackupError: The remote has no such backup, or several.
    """
    listed = backups_of(refs)
    held = [*catalog.load(store), *catalog.read_trash(store).backups]
    here = {backup.commit for backup in held}
    absent = [copy for copy in listed if copy.commit not in here]
    memory = _Memory(history, frozenset(backup.id for backup in held))
    dropped = [copy for copy in absent if memory.was_dropped(copy)]
    if request.backups:
        asked = {_asked(identifier, listed, remote).commit for identifier in request.backups}
        missing = [copy for copy in absent if copy.commit in asked]
    else:
        missing = [copy for copy in absent if request.dropped or copy not in dropped]
    return FetchPlan(
        remote=remote,
        request=request,
        missing=tuple(missing),
        there=len(listed) - len(absent),
        dropped=tuple(copy for copy in dropped if copy not in missing),
    )


class _Memory:
    """What was here once.

    Args:
        held: The ids of what is here now, in the trash too.
    """

    def __init__(self, history: History, held: frozenset[str]) -> None:
        self._names = history.sent | history.fetched
        self._gone = {name for name, place in history.places.items() if place != BACKUP_TAGS}
        self._held = held
        self._known = set(self._names.values())

    def was_dropped(self, copy: RemoteBackup) -> bool:
        """Whether a backup that is not here was here: by its commit, if it was exchanged with a remote, else by its id."""
        name = self._names.get(copy.commit)
        if name is None:
            return copy.id in self._gone and copy.id not in self._known
        return name in self._gone or name in self._held  # then another one has its id now


def _asked(identifier: str, listed: Sequence[RemoteBackup], remote: Remote) -> RemoteBackup:
    """The backup of the remote that an id or the beginning of one means."""
    found = [copy for copy in listed if copy.id == identifier] or [copy for copy in listed if copy.id.startswith(identifier)]
    if not found:
        raise BackupNotFoundError(
            f"The remote {remote.name} has no backup {identifier!r}.",
            hint=f"`cronos remote show {remote.name}` lists what it has.",
        )
    if len(found) > 1:
        ids = [copy.id for copy in found]
        raise AmbiguousBackupError(
            f"{identifier!r} means {len(ids)} backups of {remote.name}.", hint=f"Such as {', '.join(ids[:3])}.", candidates=ids
        )
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom:
    """What tells this store's own backups from others.

    Attributes:
        is_new: The store never had a backup, so that all are taken for its own.
        host: This machine.
    """

    history: History
    is_new: bool
    host: str


def let_in(store: Store, isolated: Quarantine, plan: FetchPlan, custom: Custom, run: Run) -> tuple[list[Backup], tuple[str, ...]]:
    """Let what came exist here.

    Args:
        store: Locked exclusively by the caller.

    Returns:
        The new backups, and what was passed over, in words: tags among those of backups that tell of none.

    Raises:
        RemoteError: What came are no whole backups; nothing was changed.
        DiskFullError, AccessError, HostError: As before.

    Durability: when this returns, they survive a power cut; if killed earlier, all or none exist.
    """

    def refuse(backup_id: str, error: DamageError) -> RemoteError:
        return RemoteError(
            f"{backup_id} of {plan.remote.name} is no whole backup: {error.message} Nothing here was changed.",
            hint="Fetch others by their ids with --backup.",
        )

    here = {backup.commit for backup in catalog.read(store).backups}  # another fetch may have been faster
    tags = {copy.id: copy.tag for copy in plan.missing if copy.commit not in here}
    strange = {} if plan.request.backups else adopting.strange(isolated, tags)
    found = adopting.examine(isolated, {name: oid for name, oid in tags.items() if name not in strange}, run, refuse)
    notes = tuple(f"{name} of {plan.remote.name} is no backup, and was passed over: {why}" for name, why in strange.items())
    if not found:
        return [], notes
    taken = _taken(store)
    newcomers = _settle_new(found) if custom.is_new else [replace(one, is_own=_is_own(one, custom, taken)) for one in found]
    return adopting.adopt(store, isolated, newcomers, Origin(facts={"remote": plan.remote.name}), run), notes


def _settle_new(found: Sequence[Newcomer]) -> list[Newcomer]:
    """In a new store all stay what they were, unless several machines have given the same numbers; then dates tell the order."""
    numbers = {one.backup.sequence for one in found}
    if len(numbers) == len(found):
        return [replace(one, is_own=True) for one in found]
    return sorted(found, key=lambda one: (one.backup.created, one.backup.sequence, one.backup.id))


class _Places(NamedTuple):
    """What a backup that comes back as it was must find free; given to another one since, it comes like those of others."""

    ids: Collection[str]
    numbers: Collection[int]


def _is_own(one: Newcomer, custom: Custom, taken: _Places) -> bool:
    history, backup = custom.history, one.backup
    is_free = backup.id not in taken.ids and backup.sequence not in taken.numbers
    was_here = history.tags.get(backup.id) == backup.tag or (backup.id in history.places and one.maker.host == custom.host)
    return is_free and was_here


def _taken(store: Store) -> _Places:
    kept, trash = store.tags(), store.trash_tags()
    held = (*catalog.read(store).backups, *catalog.read_trash(store).backups)
    ids = {*kept.oids, *kept.damaged, *trash.oids, *trash.damaged}
    return _Places(ids, {backup.sequence for backup in held})
