"""BackupManager: the engine for programs that run on an event loop.

One thin method for each thing to do, all on the engine's requests and reports. Blocking work runs in threads, one writer at a
time for each store in this process, and reading goes on beside it: that is `runner.py`'s. Floor F9.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from cronos_git.errors import StoreMissingError, UsageError
from cronos_git.model import (
    IN_PLACE,
    Backup,
    Deletions,
    OnConflict,
    Operation,
    PruneReport,
    Query,
    RestoreReport,
    RestoreRequest,
    SnapshotPlan,
    SnapshotReport,
    SnapshotRequest,
    Strategy,
    VerifyReport,
    VerifyRequest,
)
from cronos_git.rules.announcements import Story, backup_made, restored
from cronos_git.rules.requests import check_type
from cronos_git.runner import OnEvent as OnEvent
from cronos_git.runner import Runner, refuse_no_place

if TYPE_CHECKING:
    from cronos_git.engine import Cronos


class Filters(TypedDict, total=False):
    """What `list_backups` takes: the attributes of `model.Query`."""

    types: str | Iterable[str]
    name: str | None
    labels: str | Iterable[str]
    module: str | None
    metadata: Mapping[str, str]
    since: datetime | None
    until: datetime | None
    contains: str | None
    sort: str
    reverse: bool
    limit: int | None


class BackupManager(Runner):
    """Backups of one project.

    Usable from several event loops, one after another or at the same time. Cancelling the task that awaits a method stops the
    work at its next safe point and waits until it has stopped: nothing is half-done. What waits for its turn is dropped. Every
    coroutine raises UsageError once the manager is closed, and InterruptedRunError when closing it stopped the work.

    Args:
        project_root: The project.
        config_path: A configuration file that stands in for the user's and the project's files.
        mycelium_client: Publishes events and alerts of backups and restores: anything with an async `publish_event(topic,
            payload)` or `publish(topic, payload)`. That it cannot be reached fails nothing.
        backup_dir: Where stores lie, in place of the configured directory.
        lock_wait_s: How long to wait while another process uses the store, in seconds; None for what the configuration says.
        overrides: More configuration keys, of the highest rank.
        face: How the operation log calls what is done here: `library`, `service` or `schedule`.
        peers: The other nodes of the Mycelium, for what the configuration wants of them.
        confined: Let restores go nowhere but to the project and below `restore_roots` of the configuration.

    Attributes:
        project_root: Real path of the project.
        logger: Python's logger for what goes wrong beside a job; `KoiosLogger.get_logger("CRONOS.BackupManager")` is the same.

    Raises:
        UsageError: A path is empty, there is no such face, or the client is none.
        ProjectError, ConfigError: The project or the configuration cannot be used.
    """

    # --- reading ---

    def list_backups(self, **filters: Unpack[Filters]) -> list[Backup]:
        """The backups that meet all *filters*, newest first unless they say otherwise; none when there is no store yet.

        Blocks, for some 10 microseconds a backup; `query` does not.

        Raises:
            UsageError: A filter makes no sense.
            StoreFormatError, RefusedError, AccessError, HostError: The store cannot be read.
        """
        return _backups(self._engine(), _query(filters))

    async def backups(self, query: Query | None = None) -> list[Backup]:
        """The backups that meet *query*; none when there is no store yet.

        Raises:
            As for `list_backups`.
        """
        return await self.work(lambda engine, _run: _backups(engine, query or Query()))

    async def query(self, **filters: Unpack[Filters]) -> list[Backup]:
        """As `list_backups`, without blocking."""
        return await self.backups(_query(filters))

    async def find_backup(self, backup_identifier: str) -> Backup:
        """The backup that an identifier means, in any form.

        Raises:
            BackupNotFoundError, AmbiguousBackupError, StoreMissingError, DamageError: There is no one such backup.
        """
        return await self.work(lambda engine, _run: engine.resolve(backup_identifier).backup)

    async def status(self, request: SnapshotRequest | None = None, *, on_event: OnEvent | None = None) -> SnapshotPlan:
        """What changed since the last backup, and what a new one as *request* asks for would hold.

        Raises:
            ModuleScopeError, PatternError, ProjectError: It cannot be told.

        Cost: one walk of the project, and a read of what has changed.
        """
        return await self.work(lambda engine, run: engine.plan_snapshot(request, run), on_event=on_event)

    async def operations(self, limit: int | None = None) -> list[Operation]:
        """What was done to the store and to targets of restores, newest first.

        Raises:
            StoreMissingError, AccessError, HostError: The log cannot be read.
        """
        return await self.work(lambda engine, _run: engine.operations(limit))

    async def verify_backup(
        self, backup_identifier: str | None = None, *, quick: bool = False, on_event: OnEvent | None = None
    ) -> VerifyReport:
        """Check stored data; damage is in the report, not an error.

        Args:
            backup_identifier: None for all backups.
            quick: Only check that every object exists; else every byte is hashed again.

        Raises:
            As for `verify`.
        """
        return await self.verify(VerifyRequest(backups=_texts(backup_identifier or ()), quick=quick), on_event=on_event)

    async def verify(self, request: VerifyRequest | None = None, *, on_event: OnEvent | None = None) -> VerifyReport:
        """Check stored data as *request* asks for; all of it without one.

        Raises:
            UsageError, BackupNotFoundError, AmbiguousBackupError, StoreMissingError, StoreLockedError: It was not checked.
        """
        return await self.work(lambda engine, run: engine.verify(request, run), access="shared", on_event=on_event)

    # --- writing ---

    async def create_backup(
        self,
        name: str | None = None,
        backup_type: str = "manual",
        include_patterns: str | Iterable[str] | None = None,
        exclude_patterns: str | Iterable[str] | None = None,
        metadata: Mapping[str, object] | None = None,
        target_modules: str | Iterable[str] | None = None,
        *,
        message: str = "",
        description: str = "",
        labels: str | Iterable[str] = (),
        pinned: bool = False,
        skip_if_unchanged: bool = False,
        with_dependencies: bool = False,
        on_event: OnEvent | None = None,
    ) -> SnapshotReport:
        """Take a backup; the first one makes the store.

        Args:
            name: Stem of the id; None for the configured one.
            backup_type: `manual`, `auto`, `pre-deploy` or a word of yours.
            include_patterns: Take nothing but what these gitignore patterns match; what the rules exclude stays out. None takes
                everything. Such a backup has a scope of its own, so a restore of it concerns nothing else.
            exclude_patterns: Leave this out too.
            metadata: Stored with the backup, must be sayable in JSON; copied at once and never changed.
            target_modules: Only these modules, by name or path.
            with_dependencies: Take along what these modules need.

        Raises:
            UsageError, PatternError, ModuleScopeError, ProjectError, PolicyDeniedError: The request cannot be met.
            All errors of `snapshot`.

        Durability: when this returns, the backup survives a power cut.
        """
        request = SnapshotRequest(
            name=name,
            type=check_type(backup_type),
            message=message,
            description=description,
            labels=_texts(labels),
            pinned=pinned,
            metadata=copy.deepcopy(dict(metadata or {})),
            modules=_texts(target_modules or ()),
            only=_texts(include_patterns or ()),
            exclude=_texts(exclude_patterns or ()),
            skip_if_unchanged=skip_if_unchanged,
            with_dependencies=with_dependencies,
        )
        return await self.snapshot(request, on_event=on_event)

    async def snapshot(self, request: SnapshotRequest, *, on_event: OnEvent | None = None) -> SnapshotReport:
        """Take the backup that *request* asks for.

        Raises:
            StoreLockedError, DiskFullError, AccessError, HostError: No backup was made; earlier ones are untouched.

        Durability: as for `create_backup`.
        """
        story = Story("backup", {"name": request.name or ""}, backup_made)
        return await self._told(story, lambda engine, run: engine.snapshot(request, run), access="alone", on_event=on_event)

    async def restore_backup(
        self,
        backup_identifier: str,
        restore_target_path: str | Path | None = None,
        strategy: Strategy | None = None,
        *,
        paths: str | Iterable[str] = (),
        target_modules: str | Iterable[str] | None = None,
        base: str | None = None,
        on_conflict: OnConflict = "abort",
        deletions: Deletions = "keep",
        restore_point: bool | None = None,
        verify: bool | None = None,
        with_dependencies: bool = False,
        on_event: OnEvent | None = None,
    ) -> RestoreReport:
        """Bring a backup back.

        Args:
            backup_identifier: In any form: an id, a time, a name, `latest` …
            restore_target_path: None for `<project>-<id>` beside the project with `new_location`, else for the project.
            strategy: `new_location` when None, `overwrite`, `replace` or `merge`; this and all else as `model.RestoreRequest`.

        Raises:
            All errors of `restore`.

        Durability: in place, when this returns, the new state survives a power cut, and the old one is in the restore point.
        """
        refuse_no_place(restore_target_path=restore_target_path)
        request = RestoreRequest(
            backup=backup_identifier,
            paths=_texts(paths),
            modules=_texts(target_modules or ()),
            target=None if restore_target_path is None else str(Path(restore_target_path).absolute()),
            strategy=strategy or "new_location",
            restore_point=restore_point,
            verify=verify,
            base=base,
            on_conflict=on_conflict,
            deletions=deletions,
            with_dependencies=with_dependencies,
        )
        return await self.restore(request, on_event=on_event)

    async def restore(self, request: RestoreRequest, *, on_event: OnEvent | None = None) -> RestoreReport:
        """Restore what *request* asks for.

        Raises:
            BackupNotFoundError, AmbiguousBackupError, StoreMissingError: There is no one such backup.
            UsageError, ModuleScopeError, RefusedError, PolicyDeniedError: It cannot or must not be; nothing was changed.
            MergeConflictError: A merge that aborts on conflicts has some; nothing was changed.
            StoreLockedError, DiskFullError, AccessError, HostError, DamageError: The target is as it was.

        Durability: as for `restore_backup`.
        """
        return await self._told(
            Story("restore", {"backup_identifier": request.backup}, restored),
            lambda engine, run: engine.restore(request, run),
            access="alone" if request.strategy in IN_PLACE else "shared",
            on_event=on_event,
        )

    async def undo(self, *, on_event: OnEvent | None = None) -> RestoreReport:
        """Take back the last restore in place; the same again takes that back.

        Raises:
            BackupNotFoundError, RefusedError: There is nothing to take back.
            All errors of `restore`.

        Durability: as for `restore_backup`.
        """
        story = Story("restore", {"backup_identifier": "undo"}, restored)
        return await self._told(story, lambda engine, run: engine.undo(run), access="alone", on_event=on_event)

    async def clean_old_backups(self, *, on_event: OnEvent | None = None) -> PruneReport:
        """Move to the trash what the retention rules do not keep.

        Raises:
            StoreMissingError, PolicyDeniedError, DamageError: Nothing was changed.
            StoreLockedError, DiskFullError, AccessError, HostError: Each backup exists or is in the trash.
        """
        return await self.work(
            lambda engine, run: engine.apply_prune(engine.plan_prune(), run), access="alone", on_event=on_event
        )

    async def delete_backup(self, *backup_identifiers: str, on_event: OnEvent | None = None) -> list[Backup]:
        """Move backups to the trash, whatever the retention rules say; gives those that are there now.

        Raises:
            BackupNotFoundError, AmbiguousBackupError, RefusedError, PolicyDeniedError, DamageError: Nothing was changed.
            StoreMissingError, StoreLockedError, DiskFullError, AccessError, HostError: Each backup exists or is in the trash.
        """
        return await self.work(lambda engine, run: engine.delete(backup_identifiers, run), access="alone", on_event=on_event)


def _backups(engine: Cronos, query: Query) -> list[Backup]:
    try:
        return engine.backups(query)
    except StoreMissingError:
        return []


def _query(filters: Filters) -> Query:
    """The query that *filters* are.

    Raises:
        UsageError: There is no such filter, or a time is given without its zone.
    """
    given: dict[str, Any] = dict(filters)
    known = Filters.__annotations__
    if unknown := sorted(given.keys() - known.keys()):
        raise UsageError(f"Backups cannot be filtered by {unknown[0]!r}.", hint=f"There are: {', '.join(known)}.")
    for key in ("since", "until"):
        if given.get(key) is not None and given[key].tzinfo is None:
            raise UsageError(f"The time given for {key!r} has no zone.", hint="Give one, as in datetime.now(UTC).")
    return Query(**given | {key: _texts(given[key]) for key in ("types", "labels") if key in given})


def _texts(given: str | Iterable[str]) -> tuple[str, ...]:
    """Several texts; a text alone is one."""
    return (given,) if isinstance(given, str) else tuple(given)
