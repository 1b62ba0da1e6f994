"""CronosService: the backups of one project as a node of the Mycelium.

Requests and the older events end where a program's own calls do: with `BackupManager`, in threads, one writer at a time. Who asks
over the bus may restore only to the project and `restore_roots`. What messages say is `messages`' and `answers`', which of them
are taken `reception`'s, how they travel the buses'. Floor F10.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from cronos_git import __version__, bootstrap, clock
from cronos_git.errors import BusError, CronosError
from cronos_git.integrations.koios import KoiosLogger
from cronos_git.manager import BackupManager, Filters
from cronos_git.model import BusNode, Deletions, OnConflict, RestoreRequest, SnapshotRequest, Strategy, VerifyRequest
from cronos_git.ports import Bus
from cronos_git.rules.announcements import ALERT, rfc3339
from cronos_git.service import answers, messages
from cronos_git.service.answers import Answer
from cronos_git.service.buses import open_bus
from cronos_git.service.buses.in_process import MyceliumNetwork
from cronos_git.service.condition import Health, Pulse, Work, Works, look
from cronos_git.service.messages import Asked, ListRequest, Request
from cronos_git.service.peers import LoopPeers
from cronos_git.service.reception import Reception

if TYPE_CHECKING:
    from cronos_git.service.scheduler import Scheduler

GRACE_S = 30.0
"""How long work may go on when the service is stopped."""

LOCK_WAIT_S = 600.0
"""How long work waits, at least, for another process that uses the store: another service of the project, say."""

MOST_WAITING = 100
"""When so much is being done or waits, no more requests are taken."""

logger = KoiosLogger.get_logger("CRONOS.CronosService")

_ASKED: ContextVar[str] = ContextVar("request_id", default="")
"""The request that is being answered. Threads and tasks that a request starts inherit it, and so do its alerts."""


class CronosService:
    """Serves one project. All methods belong to one event loop; those that do work may be used without `start`, too.

    What is done is told as events and alerts on the Mycelium, whoever asked for it.

    Args:
        mycelium: How the Mycelium is reached: an address (`nats://host:4222`), an interface in the shape of EGOS's
            `MyceliumInterface`, or a network. None for the `bus` of the configuration; without that, one inside this process.
        project_root: The project; None finds it from the working directory.
        config_path: A configuration file that stands in for the user's and the project's files.
        backup_dir: Where stores lie, in place of the configured directory.
        lock_wait_s: How long to wait while another process uses the store, in seconds; None for what the configuration says, but
            at least `LOCK_WAIT_S`.
        overrides: More configuration keys, of the highest rank.

    Attributes:
        mycelium: As given, or what stands for it.
        settings: The configuration in force when this was made.
        project_root: Real path of the project.
        project: What it is called on the bus.

    Raises:
        ProjectError, ConfigError: The project or the configuration cannot be used.
    """

    def __init__(
        self,
        mycelium: object = None,
        *,
        project_root: str | Path | None = None,
        config_path: str | Path | None = None,
        backup_dir: str | Path | None = None,
        lock_wait_s: float | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> None:
        configuration = bootstrap.resolve(
            project=_text(project_root), config=_text(config_path), backup_dir=_text(backup_dir), overrides=overrides
        )
        self.settings = configuration.resolved.settings
        self._options: dict[str, Any] = {
            "config_path": config_path,
            "backup_dir": backup_dir,
            "lock_wait_s": max(self.settings.lock_wait, LOCK_WAIT_S) if lock_wait_s is None else lock_wait_s,
            "overrides": overrides,
        }
        self._store_path = configuration.store_path
        self.project_root = configuration.project
        self.project = self.settings.service_name or messages.word_of(self.project_root.name)
        self.mycelium = mycelium if mycelium is not None else self.settings.bus or MyceliumNetwork()
        self._clock = clock.SystemClock()
        self._bus: Bus | None = None
        self._started: datetime | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._id = uuid.uuid4().hex
        self._works = Works()
        self._have_managers()

    def _have_managers(self) -> None:
        """One each for a program's calls, what is asked for over the bus, the clock, and what must go on until the very end."""
        common = {**self._options, "project_root": self.project_root, "mycelium_client": self}
        self._own = BackupManager(**common, face="service")
        self._asked = BackupManager(**common, face="service", confined=True)
        self._timed = BackupManager(**common, face="schedule")
        self._clerk = BackupManager(**common, face="service")
        self._reception = Reception(self._do, self._note, self.publish_event, self._limit_bytes)
        self._health = Health(lambda: self._clerk.work(look), self._report_health)
        self._pulse = Pulse(self._id, self._works, self.publish_event)
        self._scheduler: Scheduler | None = None

    def _limit_bytes(self) -> int:
        limit_bytes = self.settings.message_limit
        return min(limit_bytes, self._bus.limit_bytes) if self._bus else limit_bytes

    # --- start and stop -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the Mycelium and serve; nothing when it serves already.

        Raises:
            BusError: The Mycelium cannot be reached, or does not let this node in; nothing is served.
            UsageError: *mycelium* is no way to the Mycelium.
            RefusedError, StoreFormatError, ProjectError: The project or its store cannot be served.
        """
        if self._bus is not None:
            logger.warning("CRONOS serves %s already.", self.project)
            return
        await self._clerk.work(look)
        bus = open_bus(self.mycelium, self.settings)
        self._own.peers = self._asked.peers = self._timed.peers = LoopPeers(bus, asyncio.get_running_loop())
        await bus.connect(self._node(), self._reception.answer, self._reception.refused)
        self._bus, self._started = bus, self._clock.now()
        try:
            for topic in messages.LEGACY_TOPICS:
                await bus.subscribe(topic, self._reception.hear)
            await self._health.start()
            self._pulse.start()
            if self.settings.auto_backup_hours or self.settings.auto_backup_cron:
                await self._start_clock()
        except BaseException:
            await self.stop(grace_s=0)
            raise
        logger.info("CRONOS serves %s (%s) from %s.", self.project, self.project_root, self._store_path)

    async def _start_clock(self) -> None:
        from cronos_git.service.scheduler import Scheduler  # APScheduler

        self._scheduler = Scheduler(self._timed, self.settings, clock.LocalZone())
        await self._scheduler.start()

    def _node(self) -> BusNode:
        return BusNode(
            id=messages.NODE_ID,
            type=messages.NODE_TYPE,
            version=__version__,
            capabilities=messages.CAPABILITIES,
            project=self.project,
            store=str(self._store_path),
            host=bootstrap.host_name(),
            topics=tuple(messages.REQUEST_TOPICS),
        )

    async def stop(self, *, grace_s: float = GRACE_S) -> None:
        """Take no more requests, finish what is being done, leave the Mycelium. Called again meanwhile, it hurries.

        Args:
            grace_s: What has not ended after so long is stopped at its next safe point, so that nothing of it is left.
        """
        if (stopping := self._stopping) is not None:
            await self._end_work(grace_s)
            await asyncio.shield(stopping)
            return
        self._stopping = asyncio.create_task(self._stop(grace_s))
        try:
            await asyncio.shield(self._stopping)
        finally:
            self._stopping = None

    async def _stop(self, grace_s: float) -> None:
        self._reception.is_closed = True
        if self._scheduler is not None:
            self._scheduler.stop()
        await self._health.stop()
        await self._end_work(grace_s)
        await self._reception.end()
        await self._pulse.stop()
        if self._bus is not None:
            with contextlib.suppress(BusError):
                await self._report_health("inactive", ())
            await self._bus.disconnect()
            self._bus = None
            logger.info("CRONOS serves %s no more.", self.project)
        await self._clerk.aclose()
        self._started = None
        self._have_managers()

    async def _end_work(self, grace_s: float) -> None:
        await asyncio.gather(*(manager.aclose(grace_s=grace_s) for manager in (self._own, self._asked, self._timed)))

    # --- what a program calls -----------------------------------------------------------------------------------------

    async def create_backup(
        self,
        name: str | None = None,
        backup_type: str = "manual",
        target_modules: str | Iterable[str] | None = None,
        with_dependencies: bool = False,
        include_patterns: str | Iterable[str] | None = None,
        exclude_patterns: str | Iterable[str] | None = None,
        metadata: Mapping[str, object] | None = None,
        *,
        message: str = "",
        description: str = "",
        labels: str | Iterable[str] = (),
        pinned: bool = False,
        skip_if_unchanged: bool = False,
    ) -> Answer:
        """Take a backup; what the answer to such a request holds, with `backup_id` and the record `backup`.

        The arguments, errors and durability are those of `BackupManager.create_backup`.
        """
        with self._work("create_backup", name or self.settings.name) as work:
            report = await self._own.create_backup(
                name,
                backup_type,
                include_patterns,
                exclude_patterns,
                metadata,
                target_modules,
                with_dependencies=with_dependencies,
                message=message,
                description=description,
                labels=labels,
                pinned=pinned,
                skip_if_unchanged=skip_if_unchanged,
                on_event=work.hear,
            )
        return answers.created(report, self._limit_bytes())

    async def list_backups(self, **filters: Unpack[Filters]) -> list[Answer]:
        """Records of the backups that meet all *filters* (as `BackupManager.list_backups` has them), newest first."""
        backups = await asyncio.to_thread(lambda: self._clerk.list_backups(**filters))
        return [answers.record_of(backup) for backup in backups]

    async def restore_backup(
        self,
        backup_identifier: str,
        restore_target_path: str | Path | None = None,
        strategy: Strategy | None = None,
        *,
        paths: str | Iterable[str] = (),
        target_modules: str | Iterable[str] | None = None,
        with_dependencies: bool = False,
        base: str | None = None,
        on_conflict: OnConflict = "abort",
        deletions: Deletions = "keep",
        verify: bool | None = None,
    ) -> Answer:
        """Bring a backup back; what the answer to such a request holds, with `restore_target_path` and `restore_point`.

        The arguments, errors and durability are those of `BackupManager.restore_backup`.
        """
        with self._work("restore_backup", backup_identifier) as work:
            report = await self._own.restore_backup(
                backup_identifier,
                restore_target_path,
                strategy,
                paths=paths,
                target_modules=target_modules,
                with_dependencies=with_dependencies,
                base=base,
                on_conflict=on_conflict,
                deletions=deletions,
                verify=verify,
                on_event=work.hear,
            )
        return answers.restored(report, self._limit_bytes())

    async def verify_backup(self, backup_identifier: str | None = None, *, quick: bool = False) -> Answer:
        """Check a backup, or all; what the answer to such a request holds, with `valid` and `damage`.

        The arguments and errors are those of `BackupManager.verify_backup`.
        """
        with self._work("verify_backup", backup_identifier or "") as work:
            report = await self._own.verify_backup(backup_identifier, quick=quick, on_event=work.hear)
        return answers.verified(report)

    async def get_status(self) -> Answer:
        """How the service is, what it is at, and what the store holds; as the answer to such a request.

        Raises:
            CronosError: The store cannot be read.
        """
        findings = await self._clerk.work(look)
        faults = [*findings.faults, *filter(None, [self._health.bus_fault])]
        started = self._started or self._clock.now()
        return {
            "status": answers.SUCCESS,
            "exit_status": 0,
            "project": self.project,
            "project_root": str(self.project_root),
            "host": bootstrap.host_name(),
            "store": str(self._store_path),
            "version": __version__,
            "service": self._id,
            "state": self._state(),
            **self._works.described(),
            **findings.described(self._limit_bytes()),
            "next_backup": rfc3339(next_run) if (next_run := self._scheduler and self._scheduler.next_run) else None,
            "health": {"status": "degraded" if faults else "active", "faults": faults},
            "uptime_s": (self._clock.now() - started).total_seconds(),
        }

    @contextlib.contextmanager
    def _work(self, verb: str, subject: str) -> Iterator[Work]:
        work = Work(verb=verb, subject=subject, request_id=_ASKED.get(), since=self._clock.now())
        with self._works.doing(work):
            yield work

    def _state(self) -> str:
        if self._stopping is not None:
            return "stopping"
        return "working" if self._works or self._own.is_writing else "idle"

    # --- requests -------------------------------------------------------------------------------------------------------

    async def _do(self, asked: Asked, request: Request) -> Answer:
        """Does what is asked for, and gives the answer."""
        if len(self._works) >= MOST_WAITING and asked.verb not in messages.QUESTIONS:
            raise BusError(f"{MOST_WAITING} requests wait for their turn already.", hint="Ask again later.")
        _ASKED.set(asked.request_id)
        manager, most_bytes = self._asked, self._limit_bytes()
        match request:
            case SnapshotRequest():
                with self._work("create_backup", request.name or self.settings.name) as work:
                    return answers.created(await manager.snapshot(request, on_event=work.hear), most_bytes)
            case RestoreRequest():
                with self._work("restore_backup", request.backup) as work:
                    async with self._reception.turn(asked):
                        return answers.restored(await manager.restore(request, on_event=work.hear), most_bytes)
            case VerifyRequest():
                with self._work("verify_backup", ", ".join(request.backups)) as work:
                    async with self._reception.turn(asked):
                        return answers.verified(await manager.verify(request, on_event=work.hear))
            case ListRequest():
                async with self._reception.turn(asked):
                    return answers.listed(await self._clerk.backups(request.query), request, most_bytes)
        async with self._reception.turn(asked):
            return await self.get_status()

    async def _note(self, facts: Mapping[str, Any], result: str) -> None:
        try:
            await self._clerk.work(lambda engine, run: engine.note_request(facts, result, run))
        except CronosError as error:
            logger.warning("A request does not stand in the operation log: %s", error.message, **facts)

    # --- what is told ---------------------------------------------------------------------------------------------------

    async def publish_event(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish an event as this node; nothing while the service does not serve.

        Raises:
            BusError: The Mycelium cannot be reached.
        """
        told = dict(payload)
        if topic == ALERT and (request_id := _ASKED.get()):
            told["details"] = {**told["details"], "request_id": request_id, "service": self._id}
            self._pulse.told(request_id)
        if self._bus is not None:
            await self._bus.publish(topic, answers.fitted(told, self._limit_bytes()))

    async def _report_health(self, status: str, faults: tuple[str, ...]) -> None:
        if self._bus is not None:
            await self._bus.report_health(status, {"faults": list(faults), "project": self.project})


def initialize_cronos(network: object, **options: Any) -> CronosService:
    """A service on a network or interface of EGOS's shape, for EGOS's way to start its parts; `start` starts it."""
    return CronosService(network, **options)


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
