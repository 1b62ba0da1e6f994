"""Deletions and backups with an ETHIK on the bus that approves, blocks, stays silent, echoes, talks nonsense, or is not there."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from cronos_git import bootstrap
from cronos_git.engine import Cronos
from cronos_git.errors import PolicyDeniedError
from cronos_git.events import Noticed, Run
from cronos_git.integrations.ethik import EVENT_PROPOSED, NODE, REQUEST, TOPIC_REQUEST, TOPIC_RESULT, Way
from cronos_git.model import SnapshotRequest
from cronos_git.ports import Bus, Envelope
from cronos_git.service.peers import LoopPeers
from tests.support.buses import World, a_node, joined, on_nats

WAYS = get_args(Way)
Say = Callable[[dict[str, Any]], dict[str, Any] | None]


def approve(_asked: dict[str, Any]) -> dict[str, Any]:
    return {"valid": True, "is_valid": True, "details": []}


def block(_asked: dict[str, Any]) -> dict[str, Any]:
    return {"valid": False, "is_valid": False, "details": ["not on a Friday"]}


def nothing(_asked: dict[str, Any]) -> None:
    return None


def echo(asked: dict[str, Any]) -> dict[str, Any]:
    return {"status": "SUCCESS", "echo": asked}


def nonsense(_asked: dict[str, Any]) -> dict[str, Any]:
    return {"valid": "perhaps", "validation": 7}


class StandIn:
    """An ETHIK that listens in one of the documented ways and says what it is told to."""

    def __init__(self, bus: Bus, way: Way, say: Say) -> None:
        self.bus = bus
        self.way = way
        self.say = say
        self.asked: list[dict[str, Any]] = []

    async def listen(self) -> None:
        topics = (REQUEST,) if self.way == "request" else ()
        await joined(self.bus, a_node(NODE, topics=topics), self.answer)
        if self.way != "request":
            await self.bus.subscribe({"topic": TOPIC_REQUEST, "event": EVENT_PROPOSED}[self.way], self.hear)

    async def answer(self, envelope: Envelope) -> dict[str, Any] | None:
        self.asked.append(dict(envelope["payload"]))
        return self.say(self.asked[-1])

    async def hear(self, envelope: Envelope) -> None:
        said = await self.answer(envelope)
        if said is not None:
            request_id = envelope["payload"]["request_id"]
            if self.way == "topic":
                await self.bus.publish(TOPIC_RESULT, {"request_id": request_id, **said})
            else:
                told = {"type": "validation_response", "reference_id": request_id, "validation": said}
                await self.bus.publish(f"response.validation.{request_id}", told)


def asked(
    world: World,
    way: Way,
    say: Say | None,
    root: Path,
    do: Callable[[Cronos], Any],
    *,
    timeout_s: float = 10,
    kind: Any = StandIn,
) -> tuple[Any, list[dict[str, Any]]]:
    """What came of *do* with an ETHIK on the bus (None: without), perhaps a denial; and what ETHIK was asked."""
    (root / "site").mkdir()
    (root / "site" / "a").write_text("1")

    def work(peers: LoopPeers) -> Any:
        settings = {"ethik": way, "ethik_timeout_s": timeout_s}
        places = {"project": str(root / "site"), "backup_dir": str(root / "stores")}
        bootstrap.open_engine(**places).snapshot(SnapshotRequest(name="first"))  # type: ignore[arg-type]
        try:
            return do(bootstrap.open_engine(**places, overrides=settings, peers=peers))  # type: ignore[arg-type]
        except PolicyDeniedError as denied:
            return denied

    async def story() -> tuple[Any, list[dict[str, Any]]]:
        async with world() as open_bus:
            ethik = kind(open_bus(NODE), way, say) if say else None
            if ethik:
                await ethik.listen()
            bus = await joined(open_bus("CRONOS"), a_node())
            result = await asyncio.to_thread(work, LoopPeers(bus, asyncio.get_running_loop()))
            await bus.disconnect()
            if ethik:
                await ethik.bus.disconnect()
            return result, ethik.asked if ethik else []

    return asyncio.run(asyncio.wait_for(story(), 30))


def delete(engine: Cronos) -> int:
    return len(engine.delete(["first"]))


@pytest.mark.parametrize("way", WAYS)
def test_ethik_approves_and_the_deletion_is_done(world: World, way: Way, tmp_path: Path) -> None:
    result, questions = asked(world, way, approve, tmp_path, delete)
    assert result == 1
    [question] = questions
    context = question.get("context", question)
    assert (context["action_type"], context["target_path"]) == ("backup_delete", str(tmp_path / "site"))
    assert context["backups"].startswith("first_")


@pytest.mark.parametrize("way", WAYS)
def test_ethik_blocks_and_says_why(world: World, way: Way, tmp_path: Path) -> None:
    denied, _ = asked(world, way, block, tmp_path, delete)
    assert isinstance(denied, PolicyDeniedError)
    assert denied.message == "The policy does not allow this deletion: ETHIK: not on a Friday. Nothing was changed."


@pytest.mark.parametrize(
    ("way", "say"),
    [("topic", nothing), ("event", nonsense), ("request", echo), ("request", None), ("event", None)],
    ids=["silent", "nonsense", "echo", "absent request", "absent event"],
)
def test_without_a_verdict_nothing_is_deleted(world: World, way: Way, say: Say | None, tmp_path: Path) -> None:
    denied, _ = asked(world, way, say, tmp_path, delete, timeout_s=0.1)
    assert isinstance(denied, PolicyDeniedError)
    assert "Without a verdict there is no deletion. Nothing was changed." in denied.message
    assert "ETHIK" in denied.hint or "its log" in denied.hint


def test_without_a_verdict_a_backup_is_made_with_a_notice(world: World, tmp_path: Path) -> None:
    def create(engine: Cronos) -> tuple[list[str], Any]:
        codes: list[str] = []
        run = Run(emit=lambda event: codes.append(event.code) if isinstance(event, Noticed) else None)
        return codes, engine.record(engine.snapshot(SnapshotRequest(), run).backup)["policy"]

    (codes, note), _ = asked(world, "topic", nothing, tmp_path, create, timeout_s=0.1)
    assert codes == ["policy.unchecked"]
    assert note == {"decision": "unchecked", "gate": "ETHIK", "text": "ETHIK gave no answer within 0.1 s."}


def test_a_block_event_without_an_answer_blocks(world: World, tmp_path: Path) -> None:
    class Blocker(StandIn):
        async def hear(self, envelope: Envelope) -> None:
            told = {"reference_id": envelope["payload"]["request_id"], "reason": "a critical file"}
            await self.bus.publish("event.ethik.block", told)

    denied, _ = asked(world, "event", approve, tmp_path, delete, kind=Blocker)
    assert "ETHIK: a critical file" in denied.message


def test_a_command_asks_over_the_configured_bus_and_leaves_it(nats_url: str, tmp_path: Path, hermetic: Path) -> None:
    (tmp_path / "site").mkdir()
    environment = {"HOME": str(hermetic), "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}

    async def cronos(*words: str, **settings: str) -> tuple[int | None, str]:
        command = [sys.executable, "-m", "cronos_git", "-C", str(tmp_path / "site"), *words]
        pipe = asyncio.subprocess.PIPE
        env = environment | {f"CRONOS_{name.upper()}": value for name, value in settings.items()}
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    async def story() -> list[tuple[int | None, str]]:
        async with on_nats(nats_url)() as open_bus:
            ethik = StandIn(open_bus(NODE), "request", approve)
            await ethik.listen()
            bus = {"bus": nats_url, "ethik": "request", "ethik_timeout_s": "10"}
            told = [await cronos("create", "first", "-q", **bus)]
            ethik.say = block
            told.append(await cronos("delete", "first", "--yes", **bus))
            await ethik.bus.disconnect()
            told.append(await cronos("delete", "first", "--yes", **bus | {"ethik_timeout_s": "0.2"}))
            return told

    created, blocked, unchecked = asyncio.run(asyncio.wait_for(story(), 60))
    assert created[0] == 0
    assert blocked[0] == unchecked[0] == 20
    assert "ETHIK: not on a Friday" in blocked[1]
    assert "Without a verdict there is no deletion" in unchecked[1]
    logged: Any = [
        (done.verb, done.facts["policy"]) for done in bootstrap.open_engine(project=str(tmp_path / "site")).operations()
    ]
    told = [(verb, policy["decision"]) for verb, policy in logged]
    assert told == [("delete", "unchecked"), ("delete", "blocked"), ("create", "allowed")]
