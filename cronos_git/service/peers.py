"""The other nodes of the Mycelium, for threads that may wait: the workers of a service, and the command line.

Implements `ports.Peers` over a bus, whose event loop runs in another thread. That nobody answers is an outcome here, not an
error: who asks goes on without. Floor F10.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from cronos_git.errors import BusError, CronosError
from cronos_git.integrations.koios import python_logger
from cronos_git.model import BusNode
from cronos_git.ports import Bus, Envelope
from cronos_git.service.buses.envelopes import new_id

_SPARE_S = 5.0
"""How much longer than a bus a thread waits for it, before it takes the loop for stuck."""

_ID_NAMES = ("request_id", "reference_id")

_log = python_logger("CRONOS.Peers")
_T = TypeVar("_T")


class LoopPeers:
    """Asks over a bus that is connected already, from any thread but the one of its loop.

    Args:
        bus: The bus; events that answer are subscribed to on it, which replaces listeners of the same topics.
        loop: The event loop that the bus belongs to.
    """

    def __init__(self, bus: Bus, loop: asyncio.AbstractEventLoop) -> None:
        self._bus = bus
        self._loop = loop
        self._questions: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._users: dict[str, int] = {}

    def ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any] | None:
        """The payload of *node*'s answer; None when there is none in time, or it is an error; see `ports.Peers.ask`."""
        return self._run(self._ask(node, topic, payload, timeout_s), timeout_s)

    def ask_by_event(
        self, topic: str, payload: Mapping[str, Any], answers: tuple[str, ...], timeout_s: float
    ) -> Mapping[str, Any] | None:
        """Publish an event and wait for the one that answers it; see `ports.Peers.ask_by_event`."""
        return self._run(self._ask_by_event(topic, payload, answers, timeout_s), timeout_s)

    def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish an event.

        Raises:
            BusError: The bus cannot be reached, or does not do it in time.
        """
        self._wait(self._bus.publish(topic, payload), _SPARE_S)

    # --- between the threads ----------------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, Mapping[str, Any] | None], timeout_s: float) -> Mapping[str, Any] | None:
        try:
            return self._wait(work, timeout_s + _SPARE_S)
        except BusError as error:
            _log.warning("%s", error.message)
            return None

    def _wait(self, work: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
        if _running_loop() is self._loop or self._loop.is_closed():
            work.close()
            if self._loop.is_closed():
                raise BusError("The bus has been closed.", hint="Open it anew.")
            raise RuntimeError("Peers were asked on the event loop that has to carry their answer; ask from another thread.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError as error:
            future.cancel()
            raise BusError("The bus did not get to it in time.", hint="Is the service busy?") from error
        except concurrent.futures.CancelledError as error:
            raise BusError("The bus was closed before there was an answer.", hint="Ask again.") from error

    # --- on the loop ------------------------------------------------------------------------------------------------

    async def _ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any] | None:
        answer = await self._bus.ask(node, topic, payload, timeout_s)
        if answer.get("status") == "ERROR":
            _log.warning("%s answered %s with an error: %s", node, topic, answer.get("error_message"))
            return None
        return answer

    async def _ask_by_event(
        self, topic: str, payload: Mapping[str, Any], answers: tuple[str, ...], timeout_s: float
    ) -> Mapping[str, Any] | None:
        request_id = str(payload.get("request_id") or new_id())
        topics = {name.replace("{request_id}", request_id) for name in answers}
        question = self._questions[request_id] = asyncio.get_running_loop().create_future()
        try:
            for name in topics:
                await self._listen(name)
            await self._bus.publish(topic, {**payload, "request_id": request_id})
            await asyncio.wait([question], timeout=timeout_s)
            return question.result() if question.done() else None
        finally:
            del self._questions[request_id]
            for name in topics:
                await self._leave(name)

    async def _listen(self, topic: str) -> None:
        self._users[topic] = self._users.get(topic, 0) + 1
        if self._users[topic] == 1:
            await self._bus.subscribe(topic, self._hear)

    async def _leave(self, topic: str) -> None:
        self._users[topic] = self._users.get(topic, 1) - 1
        if not self._users[topic]:
            del self._users[topic]
            await self._bus.unsubscribe(topic)

    async def _hear(self, event: Envelope) -> None:
        payload, topic = event["payload"], str(event["header"].get("topic"))
        named = [payload.get(name) for name in _ID_NAMES] + [event["header"].get("correlation_id"), topic.rpartition(".")[2]]
        for request_id in named:
            question = self._questions.get(request_id) if isinstance(request_id, str) else None
            if question is not None and not question.done():
                question.set_result(payload)
                return


class OwnPeers:
    """Asks over a bus of its own, in a thread of its own, both of which begin with the first question.

    Close it, or use it as a context manager; then it leaves the bus and ends the thread. A bus that could not be reached once is
    not tried again before that.

    Args:
        open_bus: Makes the bus, not yet connected.
        name: What to be called on the bus.
    """

    def __init__(self, open_bus: Callable[[], Bus], *, name: str = "CRONOS_CLIENT") -> None:
        self._open_bus = open_bus
        self._node = BusNode(id=f"{name}_{new_id()[:8]}", type="CLIENT", version="1.0", capabilities=())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._bus: Bus | None = None
        self._peers: LoopPeers | None = None
        self._failure: CronosError | None = None
        self._lock = threading.Lock()

    def ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any] | None:
        """As `LoopPeers.ask`; None too when the bus cannot be reached."""
        peers = self._reached()
        return peers.ask(node, topic, payload, timeout_s) if peers else None

    def ask_by_event(
        self, topic: str, payload: Mapping[str, Any], answers: tuple[str, ...], timeout_s: float
    ) -> Mapping[str, Any] | None:
        """As `LoopPeers.ask_by_event`; None too when the bus cannot be reached."""
        peers = self._reached()
        return peers.ask_by_event(topic, payload, answers, timeout_s) if peers else None

    def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish an event.

        Raises:
            BusError: The bus cannot be reached.
        """
        self.open().publish(topic, payload)

    def open(self) -> LoopPeers:
        """Connect, if that has not been done.

        Raises:
            ConfigError: What is configured for the bus cannot be used.
            BusError: The bus cannot be reached, or does not let us in.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._peers is None:
                try:
                    self._peers = self._connected()
                except CronosError as error:
                    self._failure = error
                    raise
            return self._peers

    def close(self) -> None:
        """Leave the bus and end the thread; the next question would begin anew."""
        with self._lock:
            loop, thread, bus = self._loop, self._thread, self._bus
            self._loop = self._thread = self._bus = self._peers = self._failure = None
        if loop is None or thread is None:
            return
        try:
            if bus is not None:
                asyncio.run_coroutine_threadsafe(bus.disconnect(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _reached(self) -> LoopPeers | None:
        try:
            return self.open()
        except CronosError as error:
            _log.warning("%s", error.message)
            return None

    def _connected(self) -> LoopPeers:
        loop, bus = self._running(), self._open_bus()
        asyncio.run_coroutine_threadsafe(bus.connect(self._node, _nothing), loop).result()
        self._bus = bus
        return LoopPeers(bus, loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="cronos-bus", daemon=True)
            self._thread.start()
        return self._loop


async def _nothing(_envelope: Envelope) -> None:
    return None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
