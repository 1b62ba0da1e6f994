"""The message flow of EGOS's Mycelium, with all its oddities, to hold CRONOS against; written anew from its behaviour.

Payloads travel as the objects they are, one queue feeds one task for each message, requests that nobody serves are echoed, sync
callbacks are refused, of two callbacks of a node on a topic the last is called twice, and what a callback raises is lost.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from datetime import datetime
from typing import Any

Message = dict[str, Any]


class MyceliumNode:
    def __init__(self, node_id: str, node_type: str, version: str = "N/A", capabilities: Any = None) -> None:
        self.node_id, self.node_type, self.version, self.capabilities = node_id, node_type, version, capabilities or []
        self.status = "initializing"
        self.health_details: Any = None

    async def process_message(self, message: Message) -> Any:
        if message.get("header", {}).get("message_type") == "REQUEST":
            return {"status": "SUCCESS", "echo": message.get("payload")}
        return None

    def update_status(self, status: str, details: Any = None) -> None:
        self.status, self.health_details = status, details

    def get_status(self) -> Message:
        return {"node_id": self.node_id, "status": self.status, "health_details": self.health_details}


class MyceliumNetwork:
    def __init__(self) -> None:
        self.nodes: dict[str, MyceliumNode] = {}
        self.subscriptions: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        self.message_queue: asyncio.Queue[Message] = asyncio.Queue()
        self._processor: asyncio.Task[None] | None = None
        self._response_handlers: dict[str, Any] = {}

    def generate_uuid(self) -> str:
        return str(uuid.uuid4())

    async def register_node(self, node_id: str, node_type: str, version: str, capabilities: Any) -> bool:
        if node_id not in self.nodes:
            self.nodes[node_id] = MyceliumNode(node_id, node_type, version, capabilities)
        self.nodes[node_id].update_status("active")
        return True

    async def remove_node(self, node_id: str) -> bool:
        if node_id not in self.nodes:
            return False
        for topic in list(self.subscriptions):
            self.subscriptions[topic] = [entry for entry in self.subscriptions[topic] if entry[0] != node_id]
            if not self.subscriptions[topic]:
                del self.subscriptions[topic]
        await self.remove_response_handler(node_id)
        del self.nodes[node_id]
        return True

    async def register_response_handler(self, node_id: str, handler: Any) -> None:
        if node_id in self.nodes:
            self._response_handlers[node_id] = handler

    async def remove_response_handler(self, node_id: str) -> None:
        self._response_handlers.pop(node_id, None)

    async def add_subscription(self, topic: str, node_id: str, callback: Any) -> None:
        if node_id in self.nodes and (node_id, callback) not in self.subscriptions[topic]:
            self.subscriptions[topic].append((node_id, callback))

    async def start(self) -> None:
        if self._processor is None or self._processor.done():
            self._processor = asyncio.create_task(self._process())

    async def stop(self) -> None:
        if self._processor:
            self._processor.cancel()
            await asyncio.wait([self._processor])
            self._processor = None

    def get_network_status(self) -> Message:
        running = self._processor is not None and not self._processor.done()
        return {"nodes": {name: node.get_status() for name, node in self.nodes.items()}, "processor_running": running}

    async def route_message(self, message: Message) -> None:
        await self.message_queue.put(message)

    async def _process(self) -> None:
        while True:
            asyncio.create_task(self._handle(await self.message_queue.get()))  # noqa: RUF006 - as there

    async def _handle(self, message: Message) -> None:
        header = message.get("header", {})
        if not all(header.get(name) for name in ("message_type", "target_node", "topic", "sender_node")):
            return
        kind = header["message_type"]
        if kind == "REQUEST":
            await self._handle_request(message, header)
        elif kind == "RESPONSE" and header["target_node"] in self._response_handlers and header.get("correlation_id"):
            await self._response_handlers[header["target_node"]](message)
        elif kind == "EVENT":
            self._handle_event(message, header)

    async def _handle_request(self, message: Message, header: Message) -> None:
        target = header["target_node"]
        try:
            if target in self.nodes:
                payload = await self.nodes[target].process_message(message)
            else:
                payload = {"status": "ERROR", "error_message": f"Target node '{target}' not found"}
        except Exception as error:
            payload = {"status": "ERROR", "error_message": f"Error processing request in {target}: {error}"}
        if payload is not None:
            swapped = {"sender_node": target, "target_node": header["sender_node"], "message_type": "RESPONSE"}
            fresh = {"message_id": self.generate_uuid(), "timestamp": _now()}
            await self.route_message({"header": header | swapped | fresh, "payload": payload})

    def _handle_event(self, message: Message, header: Message) -> None:
        target, entries = header["target_node"], self.subscriptions.get(header["topic"], [])
        by_node = dict(entries)  # the last one of a node wins, and is called as often as the node is in the list
        wanted = {"TOPIC_TARGET": [node_id for node_id, _ in entries], "BROADCAST": list(self.nodes)}.get(target, [target])
        for node_id in wanted:
            if node_id != header["sender_node"] and node_id in self.nodes:
                callback = by_node.get(node_id, self.nodes[node_id].process_message)
                if asyncio.iscoroutinefunction(callback):
                    asyncio.create_task(_lost(callback(message)))  # noqa: RUF006 - as there


def _now() -> str:
    return datetime.now().isoformat()  # noqa: DTZ005 - local and without a zone, as there


async def _lost(work: Any) -> None:
    try:
        await work
    except Exception:  # EGOS: "Task exception was never retrieved" at some time, or never
        return


class MyceliumInterface:
    def __init__(self, network_instance: MyceliumNetwork, node_id: str) -> None:
        if network_instance is None:
            raise ValueError("Network instance cannot be None")
        self.network = network_instance
        self.node_id: Any = node_id
        self._response_waiters: dict[str, asyncio.Future[Any]] = {}

    async def connect(self, node_type: str, version: str, capabilities: Any) -> bool:
        joined = await self.network.register_node(self.node_id, node_type, version, capabilities)
        await self.network.register_response_handler(self.node_id, self._handle_response)
        return joined

    async def disconnect(self) -> bool:
        for future in self._response_waiters.values():
            future.cancel()
        await self.network.remove_response_handler(self.node_id)
        removed = await self.network.remove_node(self.node_id)
        self.node_id = None
        return removed

    async def send_request(self, target_node: str, topic: str, payload: Message, timeout: int = 10) -> Any:
        if not self.node_id:
            raise ConnectionAbortedError("Cannot send request, node is disconnected.")
        correlation_id = self.network.generate_uuid()
        future = self._response_waiters[correlation_id] = asyncio.get_running_loop().create_future()
        header = self._header("REQUEST", topic, target_node) | {"correlation_id": correlation_id}
        await self.network.route_message({"header": header, "payload": payload})
        try:
            response = await asyncio.wait_for(future, timeout)
            if response.get("status") == "ERROR":
                raise Exception(f"Error response from {target_node}: {response.get('error_message', 'Unknown error')}")
            return response
        except asyncio.CancelledError:
            raise ConnectionAbortedError(f"Request {correlation_id} cancelled due to node disconnection.") from None
        finally:
            self._response_waiters.pop(correlation_id, None)

    async def publish_event(self, topic: str, payload: Message) -> None:
        if not self.node_id:
            raise ConnectionAbortedError("Cannot publish event, node is disconnected.")
        await self.network.route_message({"header": self._header("EVENT", topic, "TOPIC_TARGET"), "payload": payload})

    async def subscribe(self, topic: str, callback_function: Any) -> None:
        if not self.node_id:
            raise ConnectionAbortedError("Cannot subscribe, node is disconnected.")
        await self.network.add_subscription(topic, self.node_id, callback_function)

    async def report_health(self, status: str, details: Any = None) -> None:
        if self.node_id:
            payload = {"node_id": self.node_id, "status": status, "details": details or {}}
            await self.publish_event("event.mycelium.health_report", payload)

    async def register_file(self, file_path: str, file_type: str, connections: Message, version: str) -> Message:
        return {"file_path": file_path, "file_type": file_type, "connections": connections, "version": version}

    async def _handle_response(self, message: Message) -> None:
        future = self._response_waiters.pop(message["header"]["correlation_id"], None)
        if future is not None and not future.done():
            future.set_result(message["payload"])

    def _header(self, kind: str, topic: str, target: str) -> Message:
        return {
            "message_id": self.network.generate_uuid(),
            "correlation_id": None,
            "timestamp": _now(),
            "sender_node": self.node_id,
            "target_node": target,
            "topic": topic,
            "message_type": kind,
            "priority": "MEDIUM",
            "version": "1.0",
        }
