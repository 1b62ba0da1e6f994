"""The bus of a process that has a Mycelium: ours, EGOS's, or any object in the shape of its `MyceliumInterface`.

What EGOS's does that a caller cannot live with is kept away here: it hands payloads on as the same objects, echoes requests that
nobody serves, cuts an error answer down to its text, and forgets handlers when a node is removed. So requests and answers go
through the network itself, and the handlers are seen to before each use. One restriction stays: what else uses the same node id
must not subscribe to the same topics, as EGOS's network calls only the last callback of a node. Floor F10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cronos_git.errors import BusError, MessageError
from cronos_git.integrations.koios import python_logger
from cronos_git.model import BusNode
from cronos_git.ports import Answerer, Listener, Refusal
from cronos_git.service.buses.desk import Desk
from cronos_git.service.buses.envelopes import Message, arrived, copied, fitting, for_project, message, new_id, split_node
from cronos_git.service.messages import LEGACY_TOPICS

_log = python_logger("CRONOS.Bus")


class MyceliumBus:
    """Implements `ports.Bus` over an interface in the shape of EGOS's.

    The node is called as the interface calls it. The network must have been started by whoever made it. EGOS's interface forgets
    its name when it disconnects; this one gives it back, so that the same bus can connect again.

    Attributes:
        limit_bytes: Largest message that is taken or sent, in bytes of JSON; the Mycelium itself has no limit.
    """

    def __init__(self, interface: Any, *, limit_bytes: int = 1 << 20) -> None:
        self.limit_bytes = limit_bytes
        self._interface = interface
        self._network: Any = interface.network
        self._node_id: str = interface.node_id
        self._desk: Desk | None = None
        self._listeners: dict[str, Listener] = {}
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    # --- being a node -----------------------------------------------------------------------------------------------

    async def connect(self, node: BusNode, answer: Answerer, refused: Refusal | None = None) -> None:
        """Become *node*, under the id that the interface has; see `ports.Bus.connect`.

        Raises:
            BusError: The network does not take the node.
        """
        self._node_id = self._node_id or node.id
        self._desk = Desk(node, answer, refused, self.limit_bytes)
        try:
            await self._join()
        except BaseException:
            self._desk = None
            raise
        if not _is_running(self._network):
            _log.warning("The Mycelium has not been started; nothing reaches %s before it is.", self._node_id)

    async def disconnect(self) -> None:
        """Leave, once the requests that are being answered have their answers."""
        desk = self._desk
        if desk is None or desk.is_closed:
            return
        try:
            await desk.close()
        finally:
            self._desk = None
            self._listeners.clear()
            for future in self._waiting.values():
                future.cancel()
            await self._interface.disconnect()

    async def report_health(self, status: str, details: Mapping[str, Any]) -> None:
        """Publish how this node is, and note it in the network."""
        await self._join()
        self._network.nodes[self._node_id].update_status(status, copied(details))
        await self._interface.report_health(status, copied(details))

    async def _join(self) -> Desk:
        """See to it that the network has this node and its handlers, whatever was done to them.

        Raises:
            BusError: This bus is not connected, or the network does not take the node.
        """
        desk = self._desk
        if desk is None:
            raise BusError(f"{self._node_id} is not connected to the Mycelium.", hint="Connect it first.")
        if self._node_id not in self._network.nodes:
            self._interface.node_id = self._node_id
            node = desk.node
            if await self._interface.connect(node.type, node.version, list(node.capabilities)) is False:
                raise BusError(f"The Mycelium does not take the node {self._node_id}.", hint="See the log of the network.")
            for topic in self._listeners:
                await self._interface.subscribe(topic, self._hear)
        handler = self._network.nodes[self._node_id]
        if handler.process_message != self._take:
            handler.process_message = self._take
        await self._network.register_response_handler(self._node_id, self._resolve)
        return desk

    # --- what arrives -----------------------------------------------------------------------------------------------

    async def _take(self, envelope: Message) -> dict[str, Any] | None:
        """What the network calls for a request; unsubscribed events come here too, and nobody wants them."""
        desk = self._desk
        if envelope["header"].get("message_type") != "REQUEST" or desk is None:
            return None
        try:
            return await desk.answered(arrived(envelope, self.limit_bytes))
        except (BusError, MessageError) as error:
            return await desk.refused({"header": envelope["header"]}, error)

    async def _hear(self, envelope: Message) -> None:
        """What the network calls for an event."""
        topic, desk = envelope["header"]["topic"], self._desk
        listener = self._listeners.get(topic)
        if listener is None or desk is None:
            return
        try:
            event = arrived(envelope, self.limit_bytes)
            if topic in LEGACY_TOPICS:
                desk.check_project(event)
        except (BusError, MessageError) as error:
            _log.warning("An event on %s is not for us: %s", topic, error.message)
            return
        await desk.heard(listener, event)

    async def _resolve(self, envelope: Message) -> None:
        """What the network calls for an answer."""
        future = self._waiting.get(envelope["header"].get("correlation_id"))
        if future is None:  # what others asked for through the same interface
            await self._interface._handle_response(envelope)  # its own handler, in whose place this one stands
        elif not future.done():
            future.set_result(envelope.get("payload"))

    # --- what goes out ----------------------------------------------------------------------------------------------

    async def subscribe(self, topic: str, listener: Listener) -> None:
        """Have *listener* told of events; see `ports.Bus.subscribe`."""
        await self._join()
        self._listeners[topic] = listener
        await self._interface.subscribe(topic, self._hear)

    async def unsubscribe(self, topic: str) -> None:
        """Tell nobody of events on *topic* any more."""
        self._listeners.pop(topic, None)
        entries = self._network.subscriptions.get(topic, [])
        entries[:] = [entry for entry in entries if entry != (self._node_id, self._hear)]
        if not entries:
            self._network.subscriptions.pop(topic, None)

    async def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish an event; see `ports.Bus.publish`."""
        await self._join()
        event = message("EVENT", topic, payload, sender=self._node_id)
        fitting(event, self.limit_bytes)
        await self._network.route_message(copied(event))

    async def ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """The payload of *node*'s answer; see `ports.Bus.ask`. Of `CRONOS.website`, it is the node CRONOS that is asked."""
        await self._join()
        target = node if node in self._network.nodes else split_node(node)[0]
        if target not in self._network.nodes:
            raise BusError(f"There is no node {node} on the Mycelium.", hint="Is it running?")
        correlation_id = new_id()
        header = {"correlation_id": correlation_id}
        request = message("REQUEST", topic, for_project(node, payload), sender=self._node_id, target=target, **header)
        fitting(request, self.limit_bytes)
        answer = await self._answer_to(copied(request), timeout_s)
        if not isinstance(answer, dict) or answer.keys() == {"status", "echo"}:
            raise BusError(f"{node} does not serve {topic}.", hint="It is on the Mycelium, but gives no answers of its own.")
        return dict(copied(answer))

    async def _answer_to(self, request: Message, timeout_s: float) -> object:
        header = request["header"]
        future = self._waiting[header["correlation_id"]] = asyncio.get_running_loop().create_future()
        try:
            await self._network.route_message(request)
            await asyncio.wait([future], timeout=timeout_s)
            if not future.done():
                raise _unanswered(header, f"in {timeout_s:g} s")
            if future.cancelled():
                raise _unanswered(header, "before this node left")
            return future.result()
        finally:
            del self._waiting[header["correlation_id"]]


def _unanswered(header: Mapping[str, Any], when: str) -> BusError:
    return BusError(
        f"{header['target_node']} has not answered {header['topic']} {when}.",
        hint="It may still do what it was asked to; ask for its status.",
    )


def _is_running(network: Any) -> bool:
    status = getattr(network, "get_network_status", None)
    return status is None or bool(status().get("processor_running", True))
