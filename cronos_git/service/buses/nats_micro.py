"""A service as the NATS micro services API (ADR-32) knows it, so that stock tools find, ping and measure it. Needs `nats-py`.

The records are nats-py's own. Its `Service` is not used: it takes up one request of an endpoint at a time, and drops those that
are on their way when it stops; here each request is a task of its own, and stopping drains. Floor F10.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER
from nats.micro.service import (
    EndpointInfo,
    EndpointStats,
    ServiceInfo,
    ServicePing,
    ServiceStats,
    ServiceVerb,
    control_subject,
)

from cronos_git.model import BusNode
from cronos_git.service.buses.envelopes import new_id, now

_Answer = Callable[[bytes], ServicePing | ServiceInfo | ServiceStats]

_MOST_TOLD = 200
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class MicroService:
    """One running service and its endpoints.

    Args:
        node: Who it is; `id` is the name that all services of the kind have in common.
        description: What it does, in a line.
        on_ping: Told the body of each ping.

    Attributes:
        subscriptions: What it gets its messages by.
    """

    def __init__(self, node: BusNode, description: str, on_ping: Callable[[bytes], None]) -> None:
        self._node = node
        self._description = description
        self._on_ping = on_ping
        self._id = new_id().replace("-", "")
        self._started = now().replace(tzinfo=None)
        self._endpoints: list[EndpointStats] = []
        self.subscriptions: list[Subscription] = []

    async def start(self, wire: Client) -> None:
        """Answer `PING`, `INFO` and `STATS`, asked of all services, of all of our name, and of this one."""
        self._endpoints, self.subscriptions = [], []
        answers: dict[ServiceVerb, _Answer] = {
            ServiceVerb.PING: self._ping,
            ServiceVerb.INFO: self._info,
            ServiceVerb.STATS: self._stats,
        }
        for verb, answer in answers.items():
            for name, service_id in ((None, None), (self._node.id, None), (self._node.id, self._id)):
                subject = control_subject(verb, name, service_id)
                self.subscriptions.append(await wire.subscribe(subject, cb=_responder(answer)))

    async def serve(self, wire: Client, subject: str, work: Callable[[Msg, EndpointStats], Awaitable[None]]) -> None:
        """Have *work* done for each message on *subject*; of the services that serve it, one gets it."""
        stats = EndpointStats(
            name=subject.replace(".", "_"),
            subject=subject,
            queue_group=self._node.id,
            num_requests=0,
            num_errors=0,
            processing_time=0,
            average_processing_time=0,
        )

        async def taken(msg: Msg) -> None:
            await work(msg, stats)

        self._endpoints.append(stats)
        self.subscriptions.append(await wire.subscribe(subject, queue=self._node.id, cb=taken))

    def _identity(self) -> dict[str, Any]:
        version = _VERSION.match(self._node.version)
        metadata = {name: value for name in ("project", "store", "host") if (value := getattr(self._node, name))}
        return {"name": self._node.id, "id": self._id, "version": version[0] if version else "0.0.0", "metadata": metadata}

    def _ping(self, body: bytes) -> ServicePing:
        self._on_ping(body)
        return ServicePing(**self._identity())

    def _info(self, _body: bytes) -> ServiceInfo:
        endpoints = [EndpointInfo(name=one.name, subject=one.subject, queue_group=one.queue_group) for one in self._endpoints]
        return ServiceInfo(**self._identity(), description=self._description, endpoints=endpoints)

    def _stats(self, _body: bytes) -> ServiceStats:
        return ServiceStats(**self._identity(), started=self._started, endpoints=self._endpoints)


def _responder(answer: _Answer) -> Callable[[Msg], Awaitable[None]]:
    async def respond(msg: Msg) -> None:
        record = answer(msg.data)
        if msg.reply:
            await msg.respond(json.dumps(record.to_dict()).encode())

    return respond


class Stopwatch:
    """Counts a request, and then how long it took and whether it failed."""

    def __init__(self, stats: EndpointStats) -> None:
        self._stats = stats
        self._begun_ns = time.perf_counter_ns()
        stats.num_requests += 1

    def stop(self, error: str = "") -> None:
        """The request is done; *error* says why it failed."""
        stats = self._stats
        stats.processing_time += time.perf_counter_ns() - self._begun_ns
        stats.average_processing_time = stats.processing_time // stats.num_requests
        if error:
            stats.num_errors += 1
            stats.last_error = error[:_MOST_TOLD]


def error_headers(payload: Mapping[str, Any]) -> dict[str, str] | None:
    """By what stock clients know an error answer; None for any other."""
    if payload.get("status") != "ERROR":
        return None
    told = str(payload.get("error_message", ""))[:_MOST_TOLD].encode("ascii", "replace").decode()
    return {ERROR_HEADER: told or "error", ERROR_CODE_HEADER: "400" if payload.get("code") == "message.invalid" else "500"}
