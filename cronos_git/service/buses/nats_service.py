"""How a node on NATS serves requests, each topic as it is and with its project behind it. Needs `nats-py`.

A message on a plain topic may be meant for any project, and just one service gets it: it serves what names its project, hands on
what names another, and serves what names none if its project is the only one; else it answers with the projects that there are.
Floor F10.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.micro.service import EndpointStats

from cronos_git.errors import BusError, CronosError, MessageError
from cronos_git.integrations.koios import python_logger
from cronos_git.service.buses.desk import Desk
from cronos_git.service.buses.envelopes import Message, decoded, fitting, message, now, project_of, unknown_project
from cronos_git.service.buses.nats_micro import MicroService, Stopwatch, error_headers
from cronos_git.service.buses.nats_projects import Neighbours, split_subject, subjects
from cronos_git.service.buses.nats_wire import Wire, failing

DESCRIPTION = "Backups of a project, and every way back from them"

_MOST_NAME = 200

_log = python_logger("CRONOS.Bus")


class NatsService:
    """Serves the topics of a node.

    Args:
        desk: Answers.
        neighbours: Know the projects on the bus.
        wire: Gives the present connection.
        send: Sends data to a subject.
    """

    def __init__(
        self, desk: Desk, neighbours: Neighbours, *, wire: Callable[[], Wire], send: Callable[..., Awaitable[None]]
    ) -> None:
        self._desk = desk
        self._neighbours = neighbours
        self._wire = wire
        self._send = send
        self._micro = MicroService(desk.node, DESCRIPTION, neighbours.pinged)
        self._strays: list[Subscription] = []

    @property
    def subscriptions(self) -> list[Subscription]:
        """All by which it gets messages."""
        return [*self._micro.subscriptions, *self._strays]

    async def open(self, wire: Wire) -> None:
        """Serve over *wire*: our topics, and error answers to what comes under them but that nobody serves."""
        node = self._desk.node
        if not node.topics:
            return

        async def take(msg: Msg, stats: EndpointStats) -> None:
            self._desk.start(self._request(msg, stats))

        async def stray(msg: Msg) -> None:
            self._desk.start(self._stray(msg))

        await self._micro.start(wire)
        for topic in node.topics:
            for subject in subjects(topic, node.project):
                await self._micro.serve(wire, subject, take)
        if node.project:
            families = sorted({topic.rpartition(".")[0] for topic in node.topics})
            queue = f"{node.id}_strays"
            self._strays = [await wire.subscribe(f"{name}.>", queue=queue, cb=stray) for name in families]

    async def _request(self, msg: Msg, stats: EndpointStats) -> None:
        watch, envelope = Stopwatch(stats), self._empty(msg)
        try:
            envelope = self._read(msg)
            payload = await self._desk.answered(envelope) if await self.is_ours(msg, envelope) else None
        except CronosError as error:
            payload = await self._desk.refused(envelope, error)
        await self._reply(msg, envelope["header"], payload)
        watch.stop(str(payload.get("error_message", "?")) if payload and payload.get("status") == "ERROR" else "")

    async def _stray(self, msg: Msg) -> None:
        """Answer what comes under our topics, but that nobody serves."""
        node = self._desk.node
        topic, _, project = msg.subject.rpartition(".")
        if not msg.reply or msg.subject in node.topics:
            return
        try:
            with failing(self._wire().address, "be asked for other projects"):
                if topic in node.topics and await self._neighbours.has(self._wire(), project):
                    return
            if topic in node.topics:
                raise unknown_project(project, self._neighbours.known)
            family = ".".join(msg.subject.split(".")[:2]) + "."
            known = ", ".join(name for name in node.topics if name.startswith(family))
            raise MessageError(f"{node.id} does not know the topic {msg.subject!r}.", hint=f"It answers {known}.")
        except CronosError as error:
            await self._reply(msg, {}, await self._desk.refused(self._empty(msg), error))

    def _empty(self, msg: Msg) -> Message:
        """What is known of a message that cannot be read."""
        return {"header": {"topic": split_subject(msg.subject, self._desk.node)[0]}}

    def _read(self, msg: Msg) -> Message:
        """The message, with its topic as the subject has it, which is what permissions go by.

        Raises:
            BusError: It is too large.
            MessageError: It is none.
        """
        envelope = decoded(msg.data, self._desk.limit_bytes)
        envelope["header"] |= self._empty(msg)["header"]
        envelope["header"].setdefault("message_type", "REQUEST")
        return envelope

    async def is_ours(self, msg: Msg, envelope: Message) -> bool:
        """Whether a message is for us; one for another project is handed on.

        Raises:
            MessageError: It is not clear for whom it is, or that one is not there.
            BusError: The bus cannot be reached.
        """
        if not self._desk.node.project:
            return True
        topic, in_subject = split_subject(msg.subject, self._desk.node)
        named = project_of(envelope, subject=in_subject)
        with failing(self._wire().address, "be asked for other projects"):
            project = await self._neighbours.meant(self._wire(), named)
        if project != self._desk.node.project:
            await self._send(f"{topic}.{project}", msg.data, reply=msg.reply)
        return project == self._desk.node.project

    async def _reply(self, msg: Msg, header: Mapping[str, Any], payload: Mapping[str, Any] | None) -> None:
        if payload is None or not msg.reply:
            return
        topic = header.get("topic", msg.subject)
        fields = {"correlation_id": _name(header.get("correlation_id")), "timestamp": now().isoformat()}
        asker = _name(header.get("sender_node")) or ""
        response = message("RESPONSE", topic, payload, sender=self._desk.node.id, target=asker, **fields)
        try:
            await self._send(msg.reply, fitting(response, self._desk.limit_bytes), headers=error_headers(payload))
        except BusError as error:
            _log.warning("An answer on %s was lost: %s", topic, error.message)


def _name(told: object) -> str | None:
    """What a header tells, if it is of a length that an answer has room for."""
    return told if isinstance(told, str) and len(told) <= _MOST_NAME else None
