"""The bus of a client that subscribes with decorators, as EGOS's older subsystems use it.

Such a client has `@client.subscribe(topic)`, `await client.publish(topic, data)`, and messages with `.id` and `.data` (or
mappings of `id` and `payload`); it knows events only, and no senders. So a request is an event on its topic, its answer an event
on `response.<node>.<request id>`, and what the client sends back to its own publisher is heard. Floor F10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cronos_git.errors import BusError, CronosError, MessageError
from cronos_git.integrations.koios import python_logger
from cronos_git.model import BusNode
from cronos_git.ports import Answerer, Listener, Refusal
from cronos_git.service.buses.desk import Desk
from cronos_git.service.buses.envelopes import (
    HEALTH_TOPIC,
    Message,
    arrived,
    copied,
    fitting,
    for_project,
    message,
    new_id,
    split_node,
)
from cronos_git.service.messages import LEGACY_TOPICS, read_envelope

_log = python_logger("CRONOS.Bus")


class DecoratorBus:
    """Implements `ports.Bus` over a client that subscribes with decorators.

    Attributes:
        limit_bytes: Largest message that is taken or sent, in bytes of JSON.
    """

    def __init__(self, client: Any, *, limit_bytes: int = 1 << 20) -> None:
        self.limit_bytes = limit_bytes
        self._client = client
        self._desk: Desk | None = None
        self._takers: dict[str, Callable[[Desk, Message], Awaitable[None]]] = {}
        self._subscribed: set[str] = set()

    async def connect(self, node: BusNode, answer: Answerer, refused: Refusal | None = None) -> None:
        """Become *node*; see `ports.Bus.connect`."""
        self._desk = Desk(node, answer, refused, self.limit_bytes)
        for topic in node.topics:
            self._take(topic, self._request)

    async def disconnect(self) -> None:
        """Leave, once the requests that are being answered have their answers; the client then tells us in vain."""
        desk = self._desk
        if desk is None or desk.is_closed:
            return
        try:
            await desk.close()
        finally:
            self._desk = None
            self._takers.clear()

    async def subscribe(self, topic: str, listener: Listener) -> None:
        """Have *listener* told of events; see `ports.Bus.subscribe`."""

        async def hear(desk: Desk, event: Message) -> None:
            if topic in LEGACY_TOPICS:
                desk.check_project(event)
            await desk.heard(listener, event)

        self._joined()
        self._take(topic, hear)

    async def unsubscribe(self, topic: str) -> None:
        """Tell nobody of events on *topic* any more."""
        self._takers.pop(topic, None)

    async def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish an event; see `ports.Bus.publish`."""
        self._joined()
        fitting(payload, self.limit_bytes)
        try:
            await self._client.publish(topic, copied(payload))
        except CronosError:
            raise
        except Exception as error:
            raise BusError(f"The Mycelium does not carry {topic}: {error}.", hint="See the log of the client.") from error

    async def ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """The payload of *node*'s answer; see `ports.Bus.ask`. Whether there is such a node is not known."""
        request_id = str(payload.get("request_id") or new_id())
        answered: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()

        async def hear(_desk: Desk, event: Message) -> None:
            if not answered.done():
                answered.set_result(event["payload"])

        self._joined()
        answer_topic = _answer_topic(split_node(node)[0], request_id)
        self._take(answer_topic, hear)
        try:
            await self.publish(topic, {**for_project(node, payload), "request_id": request_id})
            await asyncio.wait([answered], timeout=timeout_s)
        finally:
            await self.unsubscribe(answer_topic)
        if not answered.done():
            raise BusError(f"{node} has not answered {topic} in {timeout_s:g} s.", hint="Does it run?")
        return answered.result()

    async def report_health(self, status: str, details: Mapping[str, Any]) -> None:
        """Publish how this node is."""
        await self.publish(HEALTH_TOPIC, {"node_id": self._joined().node.id, "status": status, "details": details})

    def _joined(self) -> Desk:
        if self._desk is None:
            raise BusError("There is no connection to the Mycelium.", hint="Connect it first.")
        return self._desk

    def _take(self, topic: str, taker: Callable[[Desk, Message], Awaitable[None]]) -> None:
        self._takers[topic] = taker
        if topic in self._subscribed:
            return

        async def arrived(message: Any) -> None:
            await self._arrived(topic, message)

        self._client.subscribe(topic)(arrived)
        self._subscribed.add(topic)

    async def _arrived(self, topic: str, told: Any) -> None:
        desk, taker = self._desk, self._takers.get(topic)
        if desk is None or taker is None:
            return
        try:
            await taker(desk, _envelope(topic, told, self.limit_bytes))
        except (BusError, MessageError) as error:
            _log.warning("A message on %s is not for us: %s", topic, error.message)

    async def _request(self, desk: Desk, request: Message) -> None:
        answer = await desk.answered(request)
        if answer is not None:
            await self.publish(_answer_topic(desk.node.id, read_envelope(request).request_id), answer)


def _answer_topic(node_id: str, request_id: str) -> str:
    return f"response.{node_id}.{request_id}"


def _envelope(topic: str, told: Any, limit_bytes: int) -> Message:
    """The message of a decorator client as an envelope.

    Raises:
        MessageError: It has no payload.
        BusError: It is too large.
    """
    if isinstance(told, Mapping) and "header" in told:
        envelope = {"header": {**told["header"], "topic": topic}, "payload": told.get("payload")}
    else:
        fields = told if isinstance(told, Mapping) else {"id": getattr(told, "id", None), "payload": getattr(told, "data", None)}
        payload = fields.get("payload", fields.get("data"))
        envelope = message("EVENT", topic, payload, sender="", message_id=fields.get("id"))  # type: ignore[arg-type]
    return arrived(envelope, limit_bytes)
