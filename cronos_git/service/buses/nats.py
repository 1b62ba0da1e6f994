"""The bus of processes and machines that share a NATS server. Needs `nats-py`.

A topic is a subject, a message is the same envelope as everywhere as JSON, and answers are NATS replies. Here are the connection,
events and what goes out; requests are `nats_service`'s. Orders among the events (`cronos.backup.request`) find their project as
requests do. Floor F10.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from cronos_git.errors import BusError, CronosError, MessageError
from cronos_git.integrations.koios import python_logger
from cronos_git.model import BusNode
from cronos_git.ports import Answerer, Listener, Refusal
from cronos_git.rules.remotes import shown
from cronos_git.service.answers import legacy_status
from cronos_git.service.buses.desk import Desk
from cronos_git.service.buses.envelopes import (
    HEALTH_TOPIC,
    decoded,
    fitting,
    for_project,
    message,
    new_id,
    now,
    split_node,
)
from cronos_git.service.buses.nats_projects import Neighbours, subjects
from cronos_git.service.buses.nats_service import NatsService
from cronos_git.service.buses.nats_wire import Access, Wire, dial, failing, hang_up, unanswered
from cronos_git.service.messages import LEGACY_TOPICS, read_envelope

_LEAVE_S = 2

_log = python_logger("CRONOS.Bus")


class NatsBus:
    """Implements `ports.Bus` over a NATS server.

    While the server is away, up to 2 MiB of what is published or answered waits for it; answers to our own questions may be lost
    then, which ends those questions at their timeouts.

    Args:
        url: `nats://` or `tls://`, with user and password or a token where URLs have them.
        credentials_file: Path of a NATS credentials file; empty for none.
        ca: Path of the certificates that the server's must be signed by; empty for those that the machine trusts.
        certificate: Path of our certificate; empty for none.
        key: Path of its private key; empty when that is in the same file.
        limit_bytes: Largest message to take or send; the server's own limit holds as well, once connected.
        discovery_s: How long to wait for other services to say that they are there.
        retry_s: How long to wait between attempts to reconnect.

    Attributes:
        limit_bytes: Largest message that can be carried, in bytes of JSON.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials_file: str = "",
        ca: str = "",
        certificate: str = "",
        key: str = "",
        limit_bytes: int = 1 << 20,
        discovery_s: float = 1.0,
        retry_s: float = 2.0,
    ) -> None:
        self.limit_bytes = limit_bytes
        self._configured_bytes = limit_bytes
        self._access = Access(url=url, credentials_file=credentials_file, ca=ca, certificate=certificate, key=key)
        self._discovery_s = discovery_s
        self._retry_s = retry_s
        self._instance = new_id()
        self._listeners: dict[str, Listener] = {}
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._desk: Desk | None = None
        self._wire: Wire | None = None
        self._is_opening = False

    # --- being a node -----------------------------------------------------------------------------------------------

    async def connect(self, node: BusNode, answer: Answerer, refused: Refusal | None = None) -> None:
        """Become *node*; see `ports.Bus.connect`.

        Raises:
            ConfigError: The address, a certificate or the credentials file cannot be used.
            BusError: The server cannot be reached, or does not let us in or subscribe to what we must.
        """
        await self.disconnect()
        desk = Desk(node, answer, refused, self._configured_bytes)
        self._neighbours = Neighbours(node, self._discovery_s)
        self._service = NatsService(desk, self._neighbours, wire=lambda: self._connected()[0], send=self._send)
        self._desk = desk
        try:
            await self._open(desk)
        except BaseException:
            self._desk = None
            raise
        if node.project:
            self._in_background(self._neighbours.watch(lambda: self._wire))

    async def _open(self, desk: Desk) -> None:
        """Connect, and subscribe to all that this node wants to know."""
        node = desk.node
        name = ".".join(part for part in (node.id, node.project) if part)
        wire = await dial(self._access, name=name, retry_s=self._retry_s, on_closed=self._lost, on_back=self._returned)
        self._wire, self._is_opening = wire, True
        try:
            self._fit(desk, wire)
            with failing(self._access.url, "be used"):
                await self._service.open(wire)
                for topic in self._listeners:
                    await self._listen(desk, wire, topic)
                await self._neighbours.announce(wire)
                await wire.flush()
                if wire.is_closed:
                    raise nats.errors.ConnectionClosedError
            if wire.refusals:
                raise BusError(
                    f"The bus at {self._server} does not let {name} have what it needs: {wire.refusals[0]}.",
                    hint="See the permissions in docs/reference/service.md.",
                )
        except BaseException:
            self._wire = None
            await hang_up(wire)
            raise
        finally:
            self._is_opening = False

    async def disconnect(self) -> None:
        """Leave, once the requests that are being answered have their answers."""
        desk = self._desk
        if desk is None or desk.is_closed:
            return
        for task in self._background:
            task.cancel()
        try:
            await self._drain()
            await desk.close()
            if self._wire is not None and self._wire.is_connected:
                await self._wire.flush(_LEAVE_S)
        except (nats.errors.Error, TimeoutError) as error:
            _log.warning("NATS: %s", str(error) or "the server does not answer")
        finally:
            wire, self._wire, self._desk = self._wire, None, None
            self._listeners.clear()
            self._subscriptions.clear()
            if wire is not None:
                await hang_up(wire)

    async def _drain(self) -> None:
        """Take no more messages, but those that are on their way."""
        all_of_them = itertools.chain(self._service.subscriptions, *self._subscriptions.values())
        if self._wire is not None and self._wire.is_connected:
            with contextlib.suppress(TimeoutError, nats.errors.Error):  # the server has just gone
                async with asyncio.timeout(_LEAVE_S):
                    await asyncio.gather(*(one.drain() for one in all_of_them))  # type: ignore[no-untyped-call]

    async def report_health(self, status: str, details: Mapping[str, Any]) -> None:
        """Publish how this node is, with its project and host."""
        node = self._connected()[1].node
        whose = {name: value for name, value in (("project", node.project), ("host", node.host)) if value}
        await self.publish(HEALTH_TOPIC, {"node_id": node.id, "status": status, "details": details, **whose})

    # --- the connection ---------------------------------------------------------------------------------------------

    @property
    def _server(self) -> str:
        return shown(self._access.url)

    def _connected(self) -> tuple[Wire, Desk]:
        if self._desk is None or self._wire is None:
            raise BusError(
                f"There is no connection to the bus at {self._server}.", hint="Connect it first, or wait till it is back."
            )
        return self._wire, self._desk

    def _fit(self, desk: Desk, wire: Wire) -> None:
        self.limit_bytes = desk.limit_bytes = min(self._configured_bytes, wire.max_payload)

    async def _returned(self) -> None:
        """What nats-py calls when it has reconnected; it has subscribed again already."""
        _log.info("The connection to the bus at %s is back.", self._server)
        if self._desk is not None and self._wire is not None:
            self._fit(self._desk, self._wire)
            self._neighbours.lost()
            try:
                await self._neighbours.announce(self._wire)
            except nats.errors.Error as error:
                _log.warning("NATS: %s", error)  # the others look for us themselves, after a while

    async def _lost(self) -> None:
        """What nats-py calls when it has given up, as it does when the server tells an error; or when it was told to."""
        desk, wire = self._desk, self._wire
        if desk and wire and wire.is_closed and not desk.is_closed and not self._is_opening:
            self._wire = None
            self._in_background(self._revive(desk, wire.last_error))

    async def _revive(self, desk: Desk, error: Exception | None) -> None:
        _log.warning("The bus at %s ended the connection: %s", self._server, error)
        while self._wire is None:
            await asyncio.sleep(self._retry_s)
            try:
                await self._open(desk)
            except CronosError as again:
                _log.warning("%s", again.message)
            else:
                await self._returned()

    def _in_background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # --- events that arrive -----------------------------------------------------------------------------------------

    async def subscribe(self, topic: str, listener: Listener) -> None:
        """Have *listener* told of events; see `ports.Bus.subscribe`.

        An event that asks for work (`cronos.backup.request`) reaches one service of the project that it means.

        Raises:
            BusError: The bus cannot be reached.
        """
        wire, desk = self._connected()
        is_new = topic not in self._listeners
        self._listeners[topic] = listener
        if is_new:
            try:
                with failing(self._access.url, f"tell of {topic}"):
                    await self._listen(desk, wire, topic)
                    await wire.flush()
            except BusError:
                del self._listeners[topic]
                raise

    async def unsubscribe(self, topic: str) -> None:
        """Tell nobody of events on *topic* any more."""
        self._listeners.pop(topic, None)
        for subscription in self._subscriptions.pop(topic, []):
            with contextlib.suppress(nats.errors.Error):  # gone with its connection
                await subscription.unsubscribe()

    async def _listen(self, desk: Desk, wire: Wire, topic: str) -> None:
        is_order = topic in LEGACY_TOPICS and bool(desk.node.project)

        async def hear(msg: Msg) -> None:
            desk.start(self._event(desk, msg, topic, is_order))

        queue = desk.node.id if is_order else ""
        places = subjects(topic, desk.node.project) if is_order else (topic,)
        self._subscriptions[topic] = [await wire.subscribe(place, queue=queue, cb=hear) for place in places]

    async def _event(self, desk: Desk, msg: Msg, topic: str, is_order: bool) -> None:
        try:
            envelope = decoded(msg.data, desk.limit_bytes)
        except (BusError, MessageError) as error:
            _log.warning("An event on %s makes no sense: %s", topic, error.message)
            return
        if envelope["header"].get("sender_instance") == self._instance:
            return
        envelope["header"]["topic"] = topic
        try:
            is_ours = not is_order or await self._service.is_ours(msg, envelope)
        except CronosError as error:
            request_id = read_envelope(envelope).request_id
            await self.publish(*legacy_status(topic, await desk.refused(envelope, error), request_id))
            return
        listener = self._listeners.get(topic)
        if is_ours and listener is not None:
            await desk.heard(listener, envelope)

    # --- what goes out ----------------------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish an event; see `ports.Bus.publish`."""
        sender = self._connected()[1].node.id
        fields = {"sender_instance": self._instance, "timestamp": now().isoformat()}
        await self._send(topic, fitting(message("EVENT", topic, payload, sender=sender, **fields), self.limit_bytes))

    async def ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """The payload of *node*'s answer; see `ports.Bus.ask`.

        Args:
            node: `CRONOS.website` is that project's CRONOS, `CRONOS` the only one that there is.
        """
        wire, desk = self._connected()
        fields = {"correlation_id": new_id(), "timestamp": now().isoformat()}
        request = message("REQUEST", topic, for_project(node, payload), sender=desk.node.id, target=node, **fields)
        data = fitting(request, self.limit_bytes)
        project = split_node(node)[1]
        try:
            with failing(self._access.url, f"carry {topic}"):
                msg = await wire.request(f"{topic}.{project}" if project else topic, data, timeout=timeout_s)
            answer: Mapping[str, Any] = decoded(msg.data)["payload"]
            return answer
        except BusError as error:
            raise unanswered(error, node, topic, timeout_s) from error
        except MessageError as error:
            raise BusError(f"The answer of {node} to {topic} makes no sense.", hint="Who answers there?") from error

    async def _send(self, subject: str, data: bytes, *, reply: str = "", headers: dict[str, str] | None = None) -> None:
        with failing(self._access.url, f"carry {subject}"):
            await self._connected()[0].publish(subject, data, reply=reply, headers=headers)
