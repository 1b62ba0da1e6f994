"""Asks a CRONOS elsewhere, over a bus: model requests go out as messages, answers come back as model records.

A request is waited for as long as the service that has it is there and at work on it, however long that takes; what it tells of
its progress goes to the run. How a bus carries messages is `buses`', what answers look like `reports`'. Floor F10.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from cronos_git import __version__
from cronos_git.errors import BusError, MessageError, ServiceError
from cronos_git.events import Advanced, Noticed, Run, Started
from cronos_git.model import Backup, BusNode, Query, RestoreRequest, SnapshotReport, SnapshotRequest, VerifyReport, VerifyRequest
from cronos_git.ports import Bus, Envelope
from cronos_git.rules.announcements import ALERT
from cronos_git.service import reports
from cronos_git.service.answers import failure
from cronos_git.service.messages import MOST_IN_PAGE, NODE_ID, Verb

_SHORT_S = 10.0
_LONG_S = 30 * 86_400.0
_SILENCE_S = 2.0
_TIMES = {"away": 10, "elsewhere": 10, "restarted": 2, "unknown": 2}
"""So often in a row must that be so before it is believed."""

_ATTEMPTS = 3


class RemoteCronos:
    """A CRONOS that is reached over *bus*; all methods belong to one event loop.

    Every method raises BusError when nobody answers or the bus cannot be reached, and ServiceError for what went wrong at the
    service, with the exit status that it has there.

    Args:
        project: Name of the project on the bus; empty when the bus has only one.
        silence_s: When so long nothing was heard of a request, the service is asked whether it is still at it.
    """

    def __init__(self, bus: Bus, project: str = "", *, silence_s: float = _SILENCE_S) -> None:
        self._bus = bus
        self._node = f"{NODE_ID}.{project}" if project else NODE_ID
        self._silence_s = silence_s
        self._watches: dict[str, _Watch] = {}

    async def connect(self) -> None:
        """Join the bus, as a node that serves nothing."""
        node = BusNode(id=f"CRONOS_CLIENT_{uuid.uuid4().hex[:8]}", type="CLIENT", version=__version__, capabilities=())
        await self._bus.connect(node, _serve_nothing)
        await self._bus.subscribe(ALERT, self._hear)

    async def disconnect(self) -> None:
        """Leave the bus; what the service is at goes on."""
        await self._bus.disconnect()

    # --- the verbs ----------------------------------------------------------------------------------------------------

    async def create(self, request: SnapshotRequest, run: Run | None = None) -> SnapshotReport:
        """Have a backup made."""
        payload = {
            "name": request.name,
            "type": request.type,
            "message": request.message,
            "description": request.description,
            "labels": list(request.labels),
            "pinned": request.pinned,
            "metadata": dict(request.metadata),
            "target_modules": list(request.modules),
            "with_dependencies": request.with_dependencies,
            "include_patterns": list(request.only),
            "include": list(request.include),
            "exclude_patterns": list(request.exclude),
            "skip_if_unchanged": request.skip_if_unchanged,
        }
        return reports.created(await self._ask("create_backup", payload, run))

    async def backups(self, query: Query | None = None) -> list[Backup]:
        """The backups that meet *query*, the newest first whatever order it wants; they come page by page."""
        query = query or Query()
        found: list[Backup] = []
        cursor: str | None = None
        while query.limit is None or len(found) < query.limit:
            most = MOST_IN_PAGE if query.limit is None else min(query.limit - len(found), MOST_IN_PAGE)
            answer = await self._ask("list_backups", {**_wanted(query), "limit": most, "cursor": cursor})
            page, cursor = reports.page(answer)
            found += page
            if cursor is None or not page:
                break
        return found

    async def status(self) -> reports.RemoteStatus:
        """How the service is, and what it is at."""
        return reports.status(reports.checked(await self._bus.ask(self._node, _topic("get_status"), {}, _SHORT_S)))

    async def restore(self, request: RestoreRequest, run: Run | None = None) -> reports.RemoteRestore:
        """Have a backup brought back, on the service's machine."""
        payload = {
            "backup_identifier": request.backup,
            "restore_target_path": request.target,
            "strategy": request.strategy,
            "paths": list(request.paths),
            "target_modules": list(request.modules),
            "with_dependencies": request.with_dependencies,
            "base": request.base,
            "on_conflict": request.on_conflict,
            "deletions": request.deletions,
            "verify": request.verify,
        }
        return reports.restored(await self._ask("restore_backup", payload, run))

    async def verify(self, request: VerifyRequest, run: Run | None = None) -> VerifyReport:
        """Have the backups checked there, or the one that is named."""
        payload: dict[str, Any] = {"quick": request.quick}
        if request.backups:
            (payload["backup_identifier"],) = request.backups
        return reports.verified(await self._ask("verify_backup", payload, run))

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, verb: Verb, payload: Mapping[str, Any], run: Run | None = None) -> reports.Answer:
        """The answer to a request, however long the service is at it.

        An answer that got lost is asked for again, under the same id: the service does nothing twice that it has done.

        Raises:
            BusError: Nobody is there, or the service went away while it was at it.
        """
        request_id = uuid.uuid4().hex
        payload = {**payload, "request_id": request_id}
        watch = self._watches[request_id] = _Watch(run or Run())
        try:
            for _ in range(_ATTEMPTS):
                asking = asyncio.ensure_future(self._bus.ask(self._node, _topic(verb), payload, _LONG_S))
                try:
                    if await self._is_answered(asking, request_id, watch):
                        return reports.checked(asking.result())
                finally:
                    asking.cancel()
            raise _lost()
        finally:
            del self._watches[request_id]

    async def _is_answered(self, asking: asyncio.Future[Mapping[str, Any]], request_id: str, watch: _Watch) -> bool:
        """Wait until there is an answer: True; or until the service, never away, no longer knows of the request: False.

        Raises:
            BusError: The service is away for long, or was restarted meanwhile.
        """
        begun_s, state, times = asyncio.get_running_loop().time(), "", 0
        while not (await asyncio.wait([asking], timeout=self._silence_s))[0]:
            before, state = state, await self._state(request_id, watch, begun_s)
            times = times + 1 if state == before else 1
            if asking.done():
                break
            if times == _TIMES.get(state):
                if state == "unknown":
                    return False
                raise _lost()
        return True

    async def _state(self, request_id: str, watch: _Watch, begun_s: float) -> str:
        """What becomes of a request: the service is `at work` on it, is `away`, was `restarted`, or has it `unknown`.

        It is `elsewhere` when the one that was asked is not the one that has it.
        """
        if watch.was_heard():
            return "at work"
        try:
            status = await self.status()
        except (BusError, ServiceError):
            return "away"
        for work in status.working:
            if work.request_id == request_id:
                watch.progress(work.phase, work.files_processed, work.bytes_processed, (work.total_files, work.total_bytes))
        if request_id in status.requests:
            watch.service = status.service
            return "at work"
        if status.uptime_s < asyncio.get_running_loop().time() - begun_s:
            return "restarted"
        return "elsewhere" if watch.service not in ("", status.service) else "unknown"

    async def _hear(self, envelope: Envelope) -> None:
        alert = envelope["payload"]
        details = alert.get("details")
        if not isinstance(details, Mapping):
            return
        silent = details.get("requests")
        for request_id in silent if isinstance(silent, list) else [details.get("request_id")]:
            if (watch := self._watches.get(str(request_id))) is not None:
                watch.hear(str(alert.get("level")), str(alert.get("message")), details)


class _Watch:
    """Turns what is heard of one request back into events of its run.

    Attributes:
        service: Which service has the request; empty as long as nobody has told.
    """

    def __init__(self, run: Run) -> None:
        self.service = ""
        self._emit = run.emit
        self._phase = Started("")
        self._heard = False

    def was_heard(self) -> bool:
        """Whether an alert was heard since this was last asked."""
        heard, self._heard = self._heard, False
        return heard

    def hear(self, level: str, text: str, details: Mapping[str, Any]) -> None:
        """Take an alert; what it lacks is not told on."""
        self._heard = True
        self.service = str(details.get("service") or self.service)
        if level == "warning":
            self._emit(Noticed(level, str(details.get("code")), text, str(details.get("path") or "")))
        match details:
            case {"phase": str(phase), "files_processed": int(files), "bytes_processed": int(size_bytes)}:
                self.progress(
                    phase, files, size_bytes, (_number(details.get("total_files")), _number(details.get("total_bytes")))
                )

    def progress(self, phase: str, files: int, size_bytes: int, totals: tuple[int | None, int | None]) -> None:
        """Take a number of files and bytes that are done."""
        started = Started(phase, *totals)
        if started != self._phase:
            self._phase = started
            self._emit(started)
        self._emit(Advanced(files, size_bytes))


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _topic(verb: Verb) -> str:
    return f"request.cronos.{verb}"


def _wanted(query: Query) -> dict[str, Any]:
    """The conditions of *query* as a payload."""
    return {
        "type": list(query.types),
        "name": query.name,
        "labels": list(query.labels),
        "module": query.module,
        "metadata": dict(query.metadata),
        "since": query.since and query.since.isoformat(),
        "until": query.until and query.until.isoformat(),
        "contains": query.contains,
    }


def _lost() -> BusError:
    return BusError(
        "The service went away while it was asked, or was restarted; how far it had got cannot be told.",
        hint="`cronos --via … list` shows whether a backup or restore point was made. Then ask again.",
    )


async def _serve_nothing(_envelope: Envelope) -> Mapping[str, Any]:
    return failure(MessageError("This node only asks.", hint="Send requests to a CRONOS that serves a project."))
