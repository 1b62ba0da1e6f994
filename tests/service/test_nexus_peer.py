"""`with_dependencies`, and a NEXUS on the bus that answers, errs, echoes, stays silent, or is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cronos_git import bootstrap
from cronos_git.events import Noticed, Run
from cronos_git.model import SnapshotPlan, SnapshotRequest
from cronos_git.ports import Bus, Envelope
from cronos_git.service.peers import LoopPeers
from tests.support.buses import World, a_node, egos_mycelium_network, joined, our_mycelium
from tests.support.sources import EGOS
from tests.support.trees import make_tree

Answer = Callable[[dict[str, Any]], dict[str, Any] | None]
BY_IMPORTS = ("settings.py", "subsystems/ATLAS", "subsystems/ETHIK", "subsystems/MYCELIUM", "subsystems/__init__.py")


@pytest.fixture(params=["ours", "egos"])
def world(request: pytest.FixtureRequest) -> World:
    return {"ours": our_mycelium, "egos": egos_mycelium_network}[request.param]


class Analyzer:
    """NEXUS as EGOS's guide has it: hears questions, and answers on the topic of results."""

    def __init__(self, bus: Bus, answer: Answer) -> None:
        self.bus = bus
        self.answer = answer
        self.questions: list[dict[str, Any]] = []

    async def listen(self) -> None:
        await joined(self.bus, a_node("NEXUS"))
        await self.bus.subscribe("nexus.analyze.request", self.analyze)

    async def analyze(self, envelope: Envelope) -> None:
        question = dict(envelope["payload"])
        self.questions.append(question)
        answer = self.answer(question)
        if answer is not None:
            await self.bus.publish("nexus.analyze.result", {"request_id": question["request_id"], **answer})


def planned(
    world: World, root: Path, answer: Answer | None, timeout_s: float = 10, wanted: bool = True
) -> tuple[SnapshotPlan, list[str], list[dict[str, Any]]]:
    """What a backup of ETHIK would take with NEXUS on the bus (None: without), the notices, and what NEXUS was asked."""
    make_tree(root / "site", EGOS)
    notices: list[str] = []

    def work(peers: LoopPeers) -> SnapshotPlan:
        settings = {"nexus": True, "peer_timeout_s": timeout_s}
        engine = bootstrap.open_engine(
            project=str(root / "site"), backup_dir=str(root / "stores"), overrides=settings, peers=peers
        )
        run = Run(emit=lambda event: notices.append(f"{event.code}: {event.text}") if isinstance(event, Noticed) else None)
        return engine.plan_snapshot(SnapshotRequest(modules=("ETHIK",), with_dependencies=wanted), run)

    async def story() -> tuple[SnapshotPlan, list[dict[str, Any]]]:
        async with world() as open_bus:
            nexus = Analyzer(open_bus("NEXUS"), answer) if answer else None
            if nexus:
                await nexus.listen()
            bus = await joined(open_bus("CRONOS"), a_node())
            plan = await asyncio.to_thread(work, LoopPeers(bus, asyncio.get_running_loop()))
            await bus.disconnect()
            if nexus:
                await nexus.bus.disconnect()
            return plan, nexus.questions if nexus else []

    plan, questions = asyncio.run(asyncio.wait_for(story(), 30))
    return plan, notices, questions


def test_nexus_is_asked_of_each_module_and_adds_to_the_imports(world: World, tmp_path: Path) -> None:
    known = {"ETHIK": ["docs"], "ATLAS": ["subsystems.NEXUS.core"]}
    plan, notices, questions = planned(
        world, tmp_path, lambda q: {"result": {"module": q["target"], "dependencies": known.get(q["target"], []), "metadata": {}}}
    )
    assert plan.scope.paths == ("docs", *BY_IMPORTS[:4], "subsystems/NEXUS", BY_IMPORTS[4])
    assert {one.module.name: one.reason for one in plan.dependencies if not one.file} == {
        "docs": "NEXUS says that subsystems/ETHIK needs it",
        "NEXUS": "NEXUS says that subsystems/ATLAS needs it",
    }
    assert notices == []
    assert sorted(question["target"] for question in questions) == ["ATLAS", "ETHIK", "MYCELIUM", "NEXUS", "docs"]
    assert questions[0] | {"request_id": ""} == {
        "target": "ETHIK",
        "path": "subsystems/ETHIK",
        "type": "dependencies",
        "include_metadata": False,
        "request_id": "",
    }


@pytest.mark.parametrize(
    "listed", [["docs", "docs"], [{"module": "docs"}], [{"name": "", "path": "docs/logo.svg", "weight": 3}]], ids=str
)
def test_the_flat_form_and_items_with_facts_are_understood_too(world: World, tmp_path: Path, listed: list[Any]) -> None:
    plan, notices, _ = planned(world, tmp_path, lambda q: {"dependencies": listed if q["target"] == "ETHIK" else []})
    assert plan.scope.paths == ("docs", *BY_IMPORTS)
    assert notices == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda q: {"status": "error", "error": "no such \x1b module"}, r"answered with an error: no such \x1b module."),
        (lambda q: q, "does not list dependencies"),
        (lambda q: {"result": {"dependencies": "docs"}}, "does not list dependencies"),
        (lambda q: {"result": {"dependencies": ["docs", 7]}}, "does not list dependencies"),
        (lambda q: {"result": {"dependencies": [{"weight": 3}]}}, "does not list dependencies"),
        (lambda q: {"result": ["docs"]}, "does not list dependencies"),
        (lambda q: {"result": {"dependencies": {"docs": True}}}, "does not list dependencies"),
    ],
    ids=["error", "echo", "text", "numbers", "nameless", "list", "mapping"],
)
def test_what_is_no_answer_is_told_and_the_imports_count(world: World, tmp_path: Path, answer: Answer, words: str) -> None:
    plan, (notice,), questions = planned(world, tmp_path, answer)
    assert plan.scope.paths == BY_IMPORTS
    assert notice.startswith("dependency.unknown: NEXUS was not heard: ")
    assert words in notice
    assert len(questions) == 1


@pytest.mark.parametrize("answer", [lambda q: None, None], ids=["silent", "absent"])
def test_a_nexus_that_says_nothing_is_waited_for_once(world: World, tmp_path: Path, answer: Answer | None) -> None:
    plan, notices, questions = planned(world, tmp_path, answer, timeout_s=0.05)
    assert plan.scope.paths == BY_IMPORTS
    assert len(notices) == 1
    assert "did not answer within 0.05 s what ETHIK needs" in notices[0]
    assert len(questions) == (1 if answer else 0)


def test_nexus_is_not_asked_when_nobody_wants_to_know(world: World, tmp_path: Path) -> None:
    plan, notices, questions = planned(world, tmp_path, lambda q: {"dependencies": ["docs"]}, wanted=False)
    assert (plan.scope.paths, notices, questions) == (("subsystems/ETHIK",), [], [])


def test_without_a_way_to_the_mycelium_that_is_told(tmp_path: Path) -> None:
    make_tree(tmp_path / "site", EGOS)
    engine = bootstrap.open_engine(project=str(tmp_path / "site"), backup_dir=str(tmp_path / "stores"), overrides={"nexus": True})
    notices: list[Noticed] = []
    run = Run(emit=lambda event: notices.append(event) if isinstance(event, Noticed) else None)
    plan = engine.plan_snapshot(SnapshotRequest(modules=("ETHIK",), with_dependencies=True), run)
    assert plan.scope.paths == BY_IMPORTS
    assert ["no way to the Mycelium" in notice.text for notice in notices] == [True]
