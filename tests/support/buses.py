"""Worlds with a Mycelium in them, one for each way to it, so that a story can be told in all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from cronos_git.model import BusNode
from cronos_git.ports import Bus, Envelope
from cronos_git.service.buses import in_process
from cronos_git.service.buses.mycelium import MyceliumBus
from cronos_git.service.buses.nats import NatsBus
from cronos_git.service.messages import REQUEST_TOPICS
from tests.support import egos_mycelium

LIMIT_BYTES = 1 << 20

Open = Callable[[str], Bus]
"""Makes a bus for a node of that id, not yet connected."""

World = Callable[[], Any]
"""Opens a world: an async context manager that gives an `Open`."""


@asynccontextmanager
async def our_mycelium() -> AsyncIterator[Open]:
    network = in_process.MyceliumNetwork()
    yield lambda node_id: MyceliumBus(in_process.MyceliumInterface(network, node_id), limit_bytes=LIMIT_BYTES)


@asynccontextmanager
async def egos_mycelium_network() -> AsyncIterator[Open]:
    network = egos_mycelium.MyceliumNetwork()
    await network.start()
    yield lambda node_id: MyceliumBus(egos_mycelium.MyceliumInterface(network, node_id), limit_bytes=LIMIT_BYTES)
    await network.stop()


def a_node(node_id: str = "CRONOS", project: str = "", topics: tuple[str, ...] = ()) -> BusNode:
    return BusNode(
        id=node_id,
        type="TEST",
        version="1.2.3",
        capabilities=("testing",),
        project=project,
        store=f"/stores/{project}",
        host="here",
        topics=topics or (tuple(REQUEST_TOPICS) if project else ()),
    )


async def no_answer(_envelope: Envelope) -> None:
    return None


async def joined(bus: Bus, node: BusNode, answer: Callable[[Envelope], Awaitable[Any]] = no_answer) -> Bus:
    await bus.connect(node, answer)
    return bus


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Envelope] = asyncio.Queue()

    async def __call__(self, envelope: Envelope) -> None:
        self.queue.put_nowait(envelope)

    async def next(self, timeout_s: float = 5) -> Any:
        return await asyncio.wait_for(self.queue.get(), timeout_s)


def on_nats(url: str) -> World:
    """A world with NATS at *url*."""

    @asynccontextmanager
    async def world() -> AsyncIterator[Open]:
        yield lambda _node_id: NatsBus(url, limit_bytes=LIMIT_BYTES, discovery_s=0.2, retry_s=0.05)

    return world
