"""A backup, and an ATLAS on the bus that takes note, refuses, stays silent, or is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cronos_git import bootstrap
from cronos_git.events import Noticed, Run
from cronos_git.model import SnapshotRequest
from cronos_git.ports import Bus, Envelope
from cronos_git.service.peers import LoopPeers
from tests.support.buses import World, a_node, egos_mycelium_network, joined, our_mycelium


@pytest.fixture(params=["ours", "egos"])
def world(request: pytest.FixtureRequest) -> World:
    return {"ours": our_mycelium, "egos": egos_mycelium_network}[request.param]


Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


class Cartographer:
    """ATLAS as EGOS's cartographer has it: keeps what it is told, and answers on the status topics."""

    def __init__(self, bus: Bus, answer: Answer) -> None:
        self.bus = bus
        self.answer = answer
        self.components: dict[str, Any] = {}
        self.relationships: list[tuple[str, str, str]] = []

    async def listen(self) -> None:
        await joined(self.bus, a_node("ATLAS_SERVICE"))
        await self.bus.subscribe("atlas.metadata.update", self.metadata)
        await self.bus.subscribe("atlas.relationship.update", self.relationship)

    async def metadata(self, envelope: Envelope) -> None:
        payload = dict(envelope["payload"])
        self.components[payload["component"]] = payload["metadata"]
        await self._tell("atlas.metadata.status", payload)

    async def relationship(self, envelope: Envelope) -> None:
        payload = dict(envelope["payload"])
        self.relationships.append((payload["source"], payload["type"], payload["target"]))
        await self._tell("atlas.relationship.status", payload)

    async def _tell(self, topic: str, payload: dict[str, Any]) -> None:
        answer = self.answer(payload)
        if answer is not None:
            await self.bus.publish(topic, {"request_id": payload["request_id"], **answer})


def backed_up(world: World, root: Path, answer: Answer | None, timeout_s: float) -> tuple[Cartographer | None, list[str], int]:
    """Take a backup with ATLAS on the bus (None: without); ATLAS, the notices, and how many backups there are."""
    project = root / "site"
    project.mkdir()
    (project / "a").write_text("1")
    notices: list[str] = []

    def work(peers: LoopPeers) -> int:
        settings = {"atlas": True, "peer_timeout_s": timeout_s}
        engine = bootstrap.open_engine(project=str(project), backup_dir=str(root / "stores"), overrides=settings, peers=peers)
        engine.snapshot(
            SnapshotRequest(), Run(emit=lambda event: notices.append(event.code) if isinstance(event, Noticed) else None)
        )
        return len(engine.backups())

    async def story() -> tuple[Cartographer | None, int]:
        async with world() as open_bus:
            atlas = Cartographer(open_bus("ATLAS_SERVICE"), answer) if answer else None
            if atlas:
                await atlas.listen()
            bus = await joined(open_bus("CRONOS"), a_node())
            count = await asyncio.to_thread(work, LoopPeers(bus, asyncio.get_running_loop()))
            await bus.disconnect()
            if atlas:
                await atlas.bus.disconnect()
            return atlas, count

    atlas, count = asyncio.run(asyncio.wait_for(story(), 30))
    return atlas, notices, count


def test_atlas_takes_note_of_the_backup(world: World, tmp_path: Path) -> None:
    atlas, notices, count = backed_up(world, tmp_path, lambda told: {"status": "success"}, 10)
    assert atlas is not None
    (backup,) = atlas.components
    assert atlas.components[backup]["file_count"] == 1
    assert atlas.relationships == [("CRONOS", "contains", backup), (backup, "uses", "site")]
    assert (notices, count) == ([], 1)


def test_a_refusal_is_a_notice_and_the_backup_stands(world: World, tmp_path: Path) -> None:
    _, notices, count = backed_up(world, tmp_path, lambda told: {"status": "error", "error": "no"}, 10)
    assert (notices, count) == (["backup.untold"], 1)


def test_a_silent_atlas_costs_no_backup_and_hears_all_the_same(world: World, tmp_path: Path) -> None:
    atlas, notices, count = backed_up(world, tmp_path, lambda told: None, 0.05)
    assert atlas is not None
    assert (notices, count, len(atlas.components)) == (["backup.untold"], 1, 1)


def test_an_absent_atlas_costs_no_backup(world: World, tmp_path: Path) -> None:
    _, notices, count = backed_up(world, tmp_path, None, 0.05)
    assert (notices, count) == (["backup.untold"], 1)
