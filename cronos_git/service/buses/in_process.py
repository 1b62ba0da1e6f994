"""A Mycelium inside one process, in the shape of EGOS's: network, nodes and interfaces that other code can use in its place.

Messages, methods and outcomes are those of EGOS, but for what nobody can rely on there: payloads are copied, through JSON, on
their way (paths and times arrive as texts), the network need not be started, listeners may be any callables, each of several
listeners of a node is called once, subscriptions made before connecting hold, what a listener raises is logged, and a cancelled
request is cancelled. Knows nothing of CRONOS's messages. Floor F10.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from cronos_git.integrations.koios import python_logger
from cronos_git.service.buses.envelopes import HEALTH_TOPIC, TO_TOPIC, Message, copied, local_time, message, new_id

TO_ALL = "BROADCAST"

Callback = Callable[[Message], Any]

_log = python_logger("CRONOS.Mycelium")


class MyceliumNode:
    """A node; replace its `process_message` to answer requests, which otherwise are echoed."""

    def __init__(self, node_id: str, node_type: str, version: str = "N/A", capabilities: list[str] | None = None) -> None:
        self.node_id = node_id
        self.node_type = node_type
        self.version = version
        self.capabilities = list(capabilities or [])
        self.status = "initializing"
        self.health_details: Mapping[str, Any] | None = None
        self.last_update = local_time()

    async def process_message(self, message: Message) -> Mapping[str, Any] | None:
        """The payload of the answer to a request; None for none."""
        if message["header"]["message_type"] == "REQUEST":
            return {"status": "SUCCESS", "echo": message["payload"]}
        return None

    def update_status(self, status: str, details: Mapping[str, Any] | None = None) -> None:
        """Note how the node is: `initializing`, `active`, `degraded` or `inactive`."""
        self.status, self.health_details, self.last_update = status, details, local_time()

    def get_status(self) -> dict[str, Any]:
        """All that is known of the node."""
        return {
            "node_id": self.node_id,
            "node_type": self.node_type,
            "version": self.version,
            "status": self.status,
            "capabilities": self.capabilities,
            "last_update": self.last_update,
            "health_details": self.health_details,
        }


class MyceliumNetwork:
    """Carries messages between nodes of one event loop, each in a task of its own, begun in the order of sending.

    Attributes:
        nodes: The nodes by their ids.
        subscriptions: By topic, who is told of its events: ids of nodes and their callbacks.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, MyceliumNode] = {}
        self.connections: dict[str, set[str]] = defaultdict(set)
        self.subscriptions: dict[str, list[tuple[str, Callback]]] = defaultdict(list)
        self.message_queue: asyncio.Queue[Message] = asyncio.Queue()
        self._response_handlers: dict[str, Callback] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def generate_uuid(self) -> str:
        """A new id."""
        return new_id()

    async def start(self) -> None:
        """Carry messages, first those that were sent while the network was stopped."""
        self._stopped = False
        while not self.message_queue.empty():
            self._begin(self._carry(self.message_queue.get_nowait()))

    async def stop(self) -> None:
        """Keep messages back until `start`."""
        self._stopped = True

    # --- nodes ------------------------------------------------------------------------------------------------------

    async def register_node(self, node_id: str, node_type: str, version: str, capabilities: list[str]) -> bool:
        """Have a node, or note anew what it is; True."""
        node = self.nodes.setdefault(node_id, MyceliumNode(node_id, node_type))
        node.node_type, node.version, node.capabilities = node_type, version, list(capabilities)
        node.update_status("active")
        return True

    async def remove_node(self, node_id: str) -> bool:
        """Forget a node, its subscriptions and connections; False when there is none."""
        if self.nodes.pop(node_id, None) is None:
            return False
        for other in self.connections.pop(node_id, set()):
            self.connections[other].discard(node_id)
        for topic, entries in list(self.subscriptions.items()):
            self.subscriptions[topic] = [entry for entry in entries if entry[0] != node_id]
            if not self.subscriptions[topic]:
                del self.subscriptions[topic]
        self._response_handlers.pop(node_id, None)
        return True

    async def register_response_handler(self, node_id: str, handler: Callback) -> None:
        """Give *handler* the answers that a node gets."""
        if node_id in self.nodes:
            self._response_handlers[node_id] = handler
        else:
            _log.error("There is no node %s to get answers.", node_id)

    async def remove_response_handler(self, node_id: str) -> None:
        """Give a node's answers to nobody."""
        self._response_handlers.pop(node_id, None)

    async def add_subscription(self, topic: str, node_id: str, callback: Callback) -> None:
        """Have *callback* told of the events of others on exactly *topic*; the same one twice counts once."""
        if (node_id, callback) not in self.subscriptions[topic]:
            self.subscriptions[topic].append((node_id, callback))

    def add_connection(self, node1_id: str, node2_id: str) -> None:
        """Note that two nodes belong together; messages do not need it."""
        if node1_id in self.nodes and node2_id in self.nodes:
            self.connections[node1_id].add(node2_id)
            self.connections[node2_id].add(node1_id)

    def remove_connection(self, node1_id: str, node2_id: str) -> None:
        """Forget that two nodes belong together."""
        self.connections[node1_id].discard(node2_id)
        self.connections[node2_id].discard(node1_id)

    def get_network_status(self) -> dict[str, Any]:
        """Nodes, connections, subscriptions and what waits."""
        return {
            "total_nodes": len(self.nodes),
            "total_connections": sum(len(others) for others in self.connections.values()) // 2,
            "connections_per_node": {node_id: len(others) for node_id, others in self.connections.items()},
            "nodes": {node_id: node.get_status() for node_id, node in self.nodes.items()},
            "subscriptions": {topic: [node_id for node_id, _ in entries] for topic, entries in self.subscriptions.items()},
            "queue_size": self.message_queue.qsize(),
            "processor_running": not self._stopped,
        }

    # --- messages ---------------------------------------------------------------------------------------------------

    async def route_message(self, message: Message) -> None:
        """Send a message.

        Raises:
            BusError: JSON cannot say it.
        """
        copy = copied(message)
        if self._stopped:
            self.message_queue.put_nowait(copy)
        else:
            self._begin(self._carry(copy))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, message: Message) -> None:
        header = message.get("header") or {}
        missing = [name for name in ("message_type", "target_node", "topic", "sender_node") if not header.get(name)]
        carriers = {"REQUEST": self._request, "RESPONSE": self._response, "EVENT": self._event}
        carrier = carriers.get(header.get("message_type", ""))
        if missing or carrier is None:
            _log.error("A message cannot be carried: %s.", f"no {', '.join(missing)}" if missing else header["message_type"])
            return
        try:
            await carrier(message, header)
        except Exception:
            _log.exception("A message on %s could not be carried.", header["topic"])

    async def _request(self, request: Message, header: Message) -> None:
        target = header["target_node"]
        try:
            payload = await self._answer(target, request)
        except Exception as error:
            _log.exception("%s failed at a request on %s.", target, header["topic"])
            payload = {"status": "ERROR", "error_message": f"Error processing request in {target}: {error}"}
        if payload is not None:
            fields = {"correlation_id": header.get("correlation_id"), "priority": header.get("priority", "MEDIUM")}
            response = message("RESPONSE", header["topic"], payload, sender=target, target=header["sender_node"], **fields)
            await self.route_message(response)

    async def _answer(self, target: str, request: Message) -> Mapping[str, Any] | None:
        if target not in self.nodes:
            return {"status": "ERROR", "error_message": f"Target node '{target}' not found"}
        payload = await self.nodes[target].process_message(request)
        return None if payload is None else dict(copied(payload))

    async def _response(self, response: Message, header: Message) -> None:
        handler = self._response_handlers.get(header["target_node"])
        if handler is None or not header.get("correlation_id"):
            _log.warning("Nobody waits for the answer on %s to %s.", header["topic"], header["target_node"])
        else:
            await _called(handler, response)

    async def _event(self, event: Message, header: Message) -> None:
        target, topic, sender = header["target_node"], header["topic"], header["sender_node"]
        listening: dict[str, list[Callback]] = {}
        for node_id, callback in self.subscriptions.get(topic, ()):
            listening.setdefault(node_id, []).append(callback)
        wanted = {TO_TOPIC: list(listening), TO_ALL: list(self.nodes)}.get(target, [target])
        for node_id in wanted:
            if node_id != sender and node_id in self.nodes:
                for callback in listening.get(node_id, [self.nodes[node_id].process_message]):
                    self._begin(self._told(callback, copied(event), topic))

    async def _told(self, callback: Callback, event: Message, topic: str) -> None:
        try:
            await _called(callback, event)
        except Exception:
            _log.exception("A listener failed at an event on %s.", topic)


class MyceliumInterface:
    """A node's own view of a network.

    Attributes:
        network: The network.
        node_id: The node's id; None once it has disconnected.

    Raises:
        ValueError: There is no network.
    """

    def __init__(self, network_instance: MyceliumNetwork, node_id: str) -> None:
        if network_instance is None:
            raise ValueError("Network instance cannot be None")
        self.network = network_instance
        self.node_id: str | None = node_id
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    async def connect(self, node_type: str, version: str, capabilities: list[str]) -> bool:
        """Become a node of the network; True."""
        node_id = self._connected("connect")
        joined = await self.network.register_node(node_id, node_type, version, capabilities)
        await self.network.register_response_handler(node_id, self._handle_response)
        return joined

    async def disconnect(self) -> bool:
        """Leave; requests that wait for an answer raise ConnectionAbortedError. Whether there was something to leave."""
        node_id, self.node_id = self.node_id, None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionAbortedError("The node was disconnected while it waited for an answer."))
        return node_id is not None and await self.network.remove_node(node_id)

    async def send_request(self, target_node: str, topic: str, payload: Mapping[str, Any], timeout: float = 10) -> dict[str, Any]:
        """The payload of *target_node*'s answer, waiting *timeout* seconds at most.

        Raises:
            TimeoutError: Nobody answered in time.
            ConnectionAbortedError: This node is not connected, or left while it waited.
            Exception: The answer has `status: "ERROR"`.
        """
        sender = self._connected("send a request")
        correlation_id = self.network.generate_uuid()
        answer = self._waiting[correlation_id] = asyncio.get_running_loop().create_future()
        fields = {"correlation_id": correlation_id}
        try:
            await self.network.route_message(message("REQUEST", topic, payload, sender=sender, target=target_node, **fields))
            response: dict[str, Any] = await asyncio.wait_for(answer, timeout)
        finally:
            del self._waiting[correlation_id]
        if isinstance(response, dict) and response.get("status") == "ERROR":
            raise Exception(f"Error response from {target_node}: {response.get('error_message', 'Unknown error')}")
        return response

    async def publish_event(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish an event.

        Raises:
            ConnectionAbortedError: This node is not connected.
        """
        await self.network.route_message(message("EVENT", topic, payload, sender=self._connected("publish an event")))

    async def subscribe(self, topic: str, callback_function: Callback) -> None:
        """Have *callback_function* told of every event of others on *topic*, with the whole message.

        Raises:
            ConnectionAbortedError: This node has left.
        """
        await self.network.add_subscription(topic, self._connected("subscribe"), callback_function)

    async def report_health(self, status: str, details: Mapping[str, Any] | None = None) -> None:
        """Publish how this node is, and have the network note it."""
        if not self.node_id:
            _log.warning("Cannot report health, node is disconnected.")
            return
        if self.node_id in self.network.nodes:
            self.network.nodes[self.node_id].update_status(status, details)
        await self.publish_event(HEALTH_TOPIC, {"node_id": self.node_id, "status": status, "details": details or {}})

    async def register_file(self, file_path: str, file_type: str, connections: Mapping[str, Any], version: str) -> dict[str, Any]:
        """The arguments as a mapping; EGOS does nothing else with them either."""
        return {"file_path": file_path, "file_type": file_type, "connections": connections, "version": version}

    async def _handle_response(self, message: Message) -> None:
        future = self._waiting.get(message["header"]["correlation_id"])
        if future is None or future.done():
            _log.warning("An answer on %s came too late or twice.", message["header"]["topic"])
        else:
            future.set_result(message["payload"])

    def _connected(self, what: str) -> str:
        if not self.node_id:
            raise ConnectionAbortedError(f"Cannot {what}, node is disconnected.")
        return self.node_id


async def _called(callback: Callback, message: Message) -> None:
    result = callback(message)
    if inspect.isawaitable(result):
        await result
