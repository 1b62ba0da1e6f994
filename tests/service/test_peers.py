from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cronos_git.errors import BusError
from cronos_git.ports import Envelope
from cronos_git.service.buses.in_process import MyceliumInterface, MyceliumNetwork
from cronos_git.service.buses.mycelium import MyceliumBus
from cronos_git.service.buses.nats import NatsBus
from cronos_git.service.peers import LoopPeers, OwnPeers
from tests.support.buses import Heard, a_node, joined
from tests.support.nats_server import running


def told(story: Callable[[LoopPeers, Any], Any]) -> None:
    """Run *story* in a thread, with peers over our Mycelium and a bus of somebody who answers."""

    async def answer(envelope: Envelope) -> dict[str, Any] | None:
        return {"quiet": None, "broken": {"status": "ERROR", "error_message": "x"}}.get(envelope["payload"]["want"], {"n": 1})

    async def tell() -> None:
        network = MyceliumNetwork()
        ours = await joined(MyceliumBus(MyceliumInterface(network, "CRONOS")), a_node(project="site"))
        theirs = await joined(MyceliumBus(MyceliumInterface(network, "ETHIK")), a_node("ETHIK"), answer)
        await asyncio.wait_for(asyncio.to_thread(story, LoopPeers(ours, asyncio.get_running_loop()), theirs), 10)
        assert set(network.subscriptions) <= {"ethik.ask", "an.event"}
        await ours.disconnect()
        await theirs.disconnect()

    asyncio.run(tell())


def on_loop(peers: LoopPeers, work: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(work, peers._loop).result(5)


def test_a_thread_gets_the_answer_and_none_when_there_is_no_good_one() -> None:
    def story(peers: LoopPeers, _theirs: Any) -> None:
        assert peers.ask("ETHIK", "request.ethik.validate", {"want": "answer"}, 5) == {"n": 1}
        assert peers.ask("ETHIK", "request.ethik.validate", {"want": "quiet"}, 0.01) is None
        assert peers.ask("ETHIK", "request.ethik.validate", {"want": "broken"}, 5) is None
        assert peers.ask("NOBODY", "request.ethik.validate", {"want": "answer"}, 5) is None

    told(story)


@pytest.mark.parametrize(
    ("answers", "topic", "payload"),
    [
        (("ethik.validate.result",), "ethik.validate.result", {"request_id": "{}"}),
        (("response.validation.{request_id}",), "response.validation.{}", {"verdict": True}),
        (("one.topic", "another.topic"), "another.topic", {"reference_id": "{}"}),
    ],
)
def test_an_event_that_names_the_question_is_its_answer(answers: tuple[str, ...], topic: str, payload: dict[str, Any]) -> None:
    def story(peers: LoopPeers, theirs: Any) -> None:
        async def reply(event: Envelope) -> None:
            request_id = event["payload"]["request_id"]
            assert event["payload"]["action"] == "restore"
            await theirs.publish(topic.replace("{}", request_id), {"request_id": "of somebody else"})
            named = {key: value.replace("{}", request_id) if isinstance(value, str) else value for key, value in payload.items()}
            await theirs.publish(topic.replace("{}", request_id), named)

        on_loop(peers, theirs.subscribe("ethik.ask", reply))
        if "{request_id}" not in answers[0]:
            answer = peers.ask_by_event("ethik.ask", {"action": "restore"}, answers, 5)
            assert answer is not None
            assert set(answer) == set(payload)
            assert "of somebody else" not in answer.values()
        else:
            assert peers.ask_by_event("ethik.ask", {"action": "restore"}, answers, 5) is not None

    told(story)


def test_an_event_that_nobody_answers_is_none_and_a_given_id_is_kept() -> None:
    def story(peers: LoopPeers, theirs: Any) -> None:
        heard = Heard()
        on_loop(peers, theirs.subscribe("ethik.ask", heard))
        assert peers.ask_by_event("ethik.ask", {"request_id": "mine"}, ("ethik.result",), 0.01) is None
        assert on_loop(peers, heard.next())["payload"] == {"request_id": "mine"}

    told(story)


def test_questions_of_several_threads_get_their_own_answers() -> None:
    def story(peers: LoopPeers, theirs: Any) -> None:
        async def reply(event: Envelope) -> None:
            await theirs.publish("ethik.result", {**event["payload"], "n": event["payload"]["n"] * 10})

        on_loop(peers, theirs.subscribe("ethik.ask", reply))
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda n: peers.ask_by_event("ethik.ask", {"n": n}, ("ethik.result",), 5), range(20))
            assert [answer and answer["n"] for answer in answers] == [n * 10 for n in range(20)]

    told(story)


def test_an_event_is_published_and_one_that_cannot_be_is_an_error() -> None:
    def story(peers: LoopPeers, theirs: Any) -> None:
        heard = Heard()
        on_loop(peers, theirs.subscribe("an.event", heard))
        peers.publish("an.event", {"n": 1})
        assert on_loop(peers, heard.next())["payload"] == {"n": 1}
        with pytest.raises(BusError):
            peers.publish("an.event", {"x": float("nan")})

    told(story)


def test_asking_on_the_loop_itself_is_a_mistake_that_is_told() -> None:
    async def tell() -> None:
        bus = await joined(MyceliumBus(MyceliumInterface(MyceliumNetwork(), "CRONOS")), a_node(project="site"))
        peers = LoopPeers(bus, asyncio.get_running_loop())
        with pytest.raises(RuntimeError, match="another thread"):
            peers.ask("ETHIK", "x", {}, 1)

    asyncio.run(tell())


def test_after_the_loop_has_gone_there_is_no_answer() -> None:
    loop = asyncio.new_event_loop()
    bus = MyceliumBus(MyceliumInterface(MyceliumNetwork(), "CRONOS"))
    loop.close()
    peers = LoopPeers(bus, loop)
    assert peers.ask("ETHIK", "x", {}, 1) is None
    with pytest.raises(BusError):
        peers.publish("x", {})


# --- peers of the command line ----------------------------------------------------------------------------------------


@pytest.fixture
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("nats")) as server:
        yield server.url


def test_own_peers_connect_with_the_first_question_and_leave_no_thread(server_url: str) -> None:
    async def answer(_envelope: Envelope) -> dict[str, Any]:
        return {"n": 1}

    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        ethik = await joined(NatsBus(server_url), a_node("ETHIK", topics=("request.ethik.validate",)), answer)
        ready.set()
        await asyncio.to_thread(done.wait, 10)
        await ethik.disconnect()

    made: list[NatsBus] = []

    def open_bus() -> NatsBus:
        made.append(NatsBus(server_url))
        return made[-1]

    service = threading.Thread(target=lambda: asyncio.run(serve()))
    service.start()
    try:
        assert ready.wait(10)
        with OwnPeers(open_bus) as peers:
            assert made == []
            for _ in range(2):
                assert peers.ask("ETHIK", "request.ethik.validate", {}, 5) == {"n": 1}
            peers.publish("an.event", {})
            assert peers.ask_by_event("an.event", {}, ("an.answer",), 0.01) is None
            assert len(made) == 1
            assert any(thread.name == "cronos-bus" for thread in threading.enumerate())
        assert not any(thread.name == "cronos-bus" for thread in threading.enumerate())
        peers.close()
    finally:
        done.set()
        service.join(10)


def test_a_bus_that_cannot_be_reached_is_tried_once_and_gives_no_answers() -> None:
    tried: list[int] = []

    def open_bus() -> NatsBus:
        tried.append(1)
        return NatsBus("nats://127.0.0.1:1")

    with OwnPeers(open_bus) as peers:
        for _ in range(3):
            assert peers.ask("ETHIK", "x", {}, 1) is None
            assert peers.ask_by_event("x", {}, ("y",), 1) is None
            with pytest.raises(BusError, match="cannot be reached"):
                peers.publish("x", {})
    assert tried == [1]


def test_peers_that_were_never_asked_need_nothing() -> None:
    with OwnPeers(lambda: pytest.fail("nobody asked")):
        pass
