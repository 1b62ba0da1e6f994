"""How the service is: what it is at, and what is wrong with its store; and what says so of itself. Floor F10."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cronos_git.clock import SystemClock
from cronos_git.engine import Cronos
from cronos_git.errors import BusError, CronosError
from cronos_git.events import Advanced, Event, Run, Started
from cronos_git.integrations.koios import KoiosLogger
from cronos_git.model import Backup
from cronos_git.rules.announcements import ALERT, alert, rfc3339
from cronos_git.service.answers import record_of

_EVERY_S = 60.0
_BEAT_S = 1.0

logger = KoiosLogger.get_logger("CRONOS.CronosService")


@dataclass(slots=True, kw_only=True)
class Work:
    """Something that is being done, or waits for its turn.

    Attributes:
        subject: Name of the backup that is made, or what the backup was asked for by.
        request_id: Of who asked for it over the bus; empty for the program's own calls.
        is_begun: Whether it has its turn.
    """

    verb: str
    subject: str
    request_id: str
    since: datetime
    is_begun: bool = False
    started: Started = field(default_factory=lambda: Started(""))
    advanced: Advanced = field(default_factory=lambda: Advanced(0, 0))

    def hear(self, event: Event) -> None:
        """Take note of how far it has got."""
        self.is_begun = True
        if isinstance(event, Started):
            self.started, self.advanced = event, Advanced(0, 0)
        elif isinstance(event, Advanced):
            self.advanced = event

    def described(self) -> dict[str, Any]:
        """What `get_status` tells of it."""
        return {
            "verb": self.verb,
            "subject": self.subject,
            "request_id": self.request_id,
            "since": rfc3339(self.since),
            "phase": self.started.phase,
            "files_processed": self.advanced.done_files,
            "total_files": self.started.total_files,
            "bytes_processed": self.advanced.done_bytes,
            "total_bytes": self.started.total_bytes,
        }


class Works:
    """All that is being done or waits, in the order in which it came."""

    def __init__(self) -> None:
        self._works: list[Work] = []

    def __len__(self) -> int:
        return len(self._works)

    @contextlib.contextmanager
    def doing(self, work: Work) -> Iterator[Work]:
        """Have *work* among them as long as the block runs."""
        self._works.append(work)
        try:
            yield work
        finally:
            self._works.remove(work)

    @property
    def requests(self) -> list[str]:
        """The ids of those that were asked for over the bus."""
        return [work.request_id for work in self._works if work.request_id]

    def described(self) -> dict[str, Any]:
        """What `get_status` tells of them."""
        begun = [work for work in self._works if work.is_begun]
        return {
            "working": [work.described() for work in begun],
            "queue_length": len(self._works) - len(begun),
            "requests": self.requests,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a look at the store gave.

    Attributes:
        faults: What is wrong, as sentences; nothing when all is well.
    """

    backups: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    last: Backup | None = None
    faults: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """`active`, or `degraded` when something is wrong."""
        return "degraded" if self.faults else "active"

    def described(self, most_bytes: int) -> dict[str, Any]:
        """What `get_status` tells of it."""
        return {
            "backups": self.backups,
            "backups_by_type": dict(sorted(self.by_type.items())),
            "last_backup": record_of(self.last, most_bytes // 2) if self.last else None,
        }


def look(engine: Cronos, _run: Run) -> Findings:
    """How the store is, as far as that can be told at once; `verify` looks closer.

    Raises:
        CronosError: The store cannot be read.

    Cost: as for `Reader.backups`.
    """
    from cronos_git.ops.checkup import check_space

    space = check_space(engine.store_path)
    faults = [] if space.ok else [f"The disk is nearly full: {space.text}."]
    backups: Sequence[Backup] = ()
    if engine.store_path.exists():
        backups = engine.backups()
        if damaged := len(engine.damaged()):
            faults.append(f"{damaged} backup{' is' if damaged == 1 else 's are'} damaged; run `cronos verify`.")
    return Findings(
        backups=len(backups),
        by_type=Counter(backup.type for backup in backups),
        last=backups[0] if backups else None,
        faults=tuple(faults),
    )


class Health:
    """Tells the Mycelium every minute how the service is, and the log when that has changed.

    Args:
        look: Looks at the store.
        report: Is told the status and what is wrong.

    Attributes:
        bus_fault: Why the Mycelium could not be told last time; empty when it was.
    """

    def __init__(
        self, look: Callable[[], Awaitable[Findings]], report: Callable[[str, tuple[str, ...]], Awaitable[None]]
    ) -> None:
        self._look = look
        self._report = report
        self.bus_fault = ""
        self._faults: tuple[str, ...] = ()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Tell it now, and from now on."""
        await self._tell()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Tell it no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            await self._tell()

    async def _tell(self) -> None:
        try:
            findings = await self._look()
        except CronosError as error:
            findings = Findings(faults=(error.message,))
        if findings.faults != self._faults:
            logger.warning("CRONOS is %s. %s", findings.status, " ".join(findings.faults))
            self._faults = findings.faults
        try:
            await self._report(findings.status, findings.faults)
            self.bus_fault = ""
        except BusError as error:
            self.bus_fault = error.message
            logger.warning("The health of CRONOS was not told: %s", error.message)


class Pulse:
    """Tells every second of the requests that are being done or wait, but of which nothing else was told in that second.

    So that who asked knows that all is well. Where several services share the requests of a project, one that is asked how it
    is cannot know what another is at.

    Args:
        service: Which service this is.
        works: All that is being done or waits.
        publish: Publishes an event.
    """

    def __init__(self, service: str, works: Works, publish: Callable[[str, Mapping[str, Any]], Awaitable[object]]) -> None:
        self._service = service
        self._works = works
        self._publish = publish
        self._heard: set[str] = set()
        self._beating: asyncio.Task[None] | None = None

    def told(self, request_id: str) -> None:
        """Take note that something was told of a request."""
        self._heard.add(request_id)

    def start(self) -> None:
        """Begin."""
        self._beating = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Tell nothing any more."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            silent = [request_id for request_id in self._works.requests if request_id not in self._heard]
            self._heard.clear()
            if silent:
                details = {"requests": silent, "service": self._service}
                with contextlib.suppress(BusError):  # Health tells of it
                    await self._publish(ALERT, alert("info", f"{len(silent)} at work or waiting.", details, SystemClock().now()))
