"""What a node does with messages, whatever bus brought them: requests get an answer in any case, listeners get events.

Nothing that a handler raises gets out: an asker is told as an ERROR answer, and what no handler should raise is logged as well.
Floor F10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from cronos_git.errors import BusError, CronosError
from cronos_git.integrations.koios import python_logger
from cronos_git.model import BusNode
from cronos_git.ports import Answerer, Listener, Refusal
from cronos_git.service.answers import failure, fitted
from cronos_git.service.buses.envelopes import Message, copied, encoded, project_of, too_large, unknown_project

HEADER_BYTES = 1024
"""Room that a message needs besides its payload."""

_log = python_logger("CRONOS.Bus")


class Desk:
    """Answers the requests to one node and hands on its events; belongs to one event loop.

    Attributes:
        limit_bytes: Largest message that may go out or come in.
        is_closed: Whether the node is leaving.
    """

    def __init__(self, node: BusNode, answer: Answerer, refused: Refusal | None, limit_bytes: int) -> None:
        self.node = node
        self.limit_bytes = limit_bytes
        self._answer = answer
        self._refused = refused
        self._running: set[asyncio.Task[Any]] = set()
        self.is_closed = False

    async def answered(self, envelope: Message) -> dict[str, Any] | None:
        """The payload of the answer to a request; None when there shall be none."""
        self._track(asyncio.current_task())
        try:
            return await self._payload(envelope)
        except CronosError as error:
            return await self.refused(envelope, error)
        except Exception as error:
            _log.exception("A request on %s failed.", envelope["header"].get("topic"))
            return self.failed(CronosError(f"CRONOS failed: {error!r}.", hint="This should not happen; see the service's log."))

    async def _payload(self, envelope: Message) -> dict[str, Any] | None:
        if self.is_closed:
            raise BusError(f"{self.node.id} is being stopped.", hint="Ask again later.")
        self.check_project(envelope)
        payload = await self._answer(envelope)
        if payload is None:
            return None
        size_bytes = len(encoded(payload)) + HEADER_BYTES
        if size_bytes > self.limit_bytes:
            raise too_large(size_bytes, self.limit_bytes)
        answer: dict[str, Any] = copied(payload)
        return answer

    async def refused(self, envelope: Mapping[str, Any], error: CronosError) -> dict[str, Any]:
        """The payload that says *error* about a request, once the node has taken note of it."""
        if self._refused is not None:
            await self._refused(envelope, error)
        return self.failed(error)

    def failed(self, error: CronosError) -> dict[str, Any]:
        """The payload that says *error*, in a size that the bus can carry."""
        return fitted(failure(error), self.limit_bytes)

    def check_project(self, envelope: Mapping[str, Any]) -> None:
        """See that a message does not mean another project.

        Raises:
            MessageError: It does.
        """
        ours = self.node.project
        if ours and (project := project_of(envelope)) not in ("", ours):
            raise unknown_project(project, [ours])

    async def heard(self, listener: Listener, envelope: Message) -> None:
        """Tell *listener* of an event; what it raises is logged."""
        self._track(asyncio.current_task())
        try:
            await listener(envelope)
        except Exception:
            _log.exception("An event on %s could not be handled.", envelope["header"].get("topic"))

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do *work* in a task of its own."""
        self._track(asyncio.get_running_loop().create_task(work))

    def _track(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None and task not in self._running:
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Take no more requests, and wait for what is being done."""
        self.is_closed = True
        others = self._running - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
