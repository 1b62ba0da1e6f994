"""Our Mycelium in EGOS's shape, and the buses over it, over EGOS's with all its oddities, and over decorator clients."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cronos_git.errors import BackupNotFoundError, BusError, UsageError
from cronos_git.ports import Envelope
from cronos_git.rules.schema import Settings
from cronos_git.service.buses import in_process, open_bus
from cronos_git.service.buses.decorator import DecoratorBus
from cronos_git.service.buses.mycelium import MyceliumBus
from tests.support import egos_mycelium
from tests.support.buses import Heard, a_node, joined

LIST = "request.cronos.list_backups"

Kind = Any
"""`in_process` or `egos_mycelium`: modules with a MyceliumNetwork and a MyceliumInterface."""


@pytest.fixture(params=[in_process, egos_mycelium], ids=["ours", "egos"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


def told(kind: Kind, story: Callable[[Any, Callable[[str], Any]], Awaitable[None]]) -> None:
    """Run *story* with a network and a maker of connected interfaces."""

    async def tell() -> None:
        network = kind.MyceliumNetwork()
        await network.start()

        async def interface(node_id: str) -> Any:
            made = kind.MyceliumInterface(network, node_id)
            assert await made.connect("TEST", "1.0", ["testing"]) is True
            return made

        await asyncio.wait_for(story(network, interface), 10)
        await network.stop()

    asyncio.run(tell())


async def success(_envelope: Envelope) -> dict[str, Any]:
    return {"status": "SUCCESS", "n": 1}


# --- what both do: code for EGOS's Mycelium works with ours -----------------------------------------------------------


def test_a_request_to_a_node_without_handlers_is_echoed(kind: Kind) -> None:
    async def story(_network: Any, interface: Any) -> None:
        one, _two = await interface("ONE"), await interface("TWO")
        assert await one.send_request("TWO", "request.two.x", {"a": 1}) == {"status": "SUCCESS", "echo": {"a": 1}}

    told(kind, story)


def test_a_handler_put_on_the_node_answers_with_the_headers_of_a_response(kind: Kind) -> None:
    async def story(network: Any, interface: Any) -> None:
        one, _two = await interface("ONE"), await interface("TWO")
        seen: list[Any] = []

        async def process(message: Any) -> dict[str, Any]:
            seen.append(message["header"])
            return {"status": "SUCCESS", "got": message["payload"]["a"]}

        network.nodes["TWO"].process_message = process
        responses = Heard()
        assert (await one.send_request("TWO", "request.two.x", {"a": 1}))["got"] == 1
        await network.register_response_handler("ONE", responses.__call__)
        request = {"header": {**seen[0], "correlation_id": "mine"}, "payload": {"a": 2}}
        await network.route_message(request)
        header = (await responses.next())["header"]
        assert (header["sender_node"], header["target_node"]) == ("TWO", "ONE")
        assert (header["message_type"], header["correlation_id"], header["topic"]) == ("RESPONSE", "mine", "request.two.x")
        assert set(seen[0]) == set(header)

    told(kind, story)


@pytest.mark.parametrize(
    ("target", "words"), [("NOBODY", "Target node 'NOBODY' not found"), ("BROKEN", "Error processing request in BROKEN: x")]
)
def test_an_error_is_raised_with_its_text(kind: Kind, target: str, words: str) -> None:
    async def story(network: Any, interface: Any) -> None:
        one, _broken = await interface("ONE"), await interface("BROKEN")

        async def process(_message: Any) -> None:
            raise ValueError("x")

        network.nodes["BROKEN"].process_message = process
        with pytest.raises(Exception, match=f"Error response from {target}: {words}"):
            await one.send_request(target, "request.two.x", {})

    told(kind, story)


def test_without_an_answer_a_request_times_out_and_leaving_aborts_it(kind: Kind) -> None:
    async def story(network: Any, interface: Any) -> None:
        one, _two = await interface("ONE"), await interface("TWO")

        async def silent(_message: Any) -> None:
            return None

        network.nodes["TWO"].process_message = silent
        with pytest.raises(asyncio.TimeoutError):
            await one.send_request("TWO", "request.two.x", {}, timeout=0.01)
        waiting = asyncio.create_task(one.send_request("TWO", "request.two.x", {}))
        await asyncio.sleep(0)
        assert await one.disconnect() is True
        with pytest.raises(ConnectionAbortedError):
            await waiting
        assert one.node_id is None
        assert "ONE" not in network.nodes
        for late in (one.send_request("TWO", "x", {}), one.publish_event("x", {}), one.subscribe("x", silent)):
            with pytest.raises(ConnectionAbortedError):
                await late
        await one.report_health("active")

    told(kind, story)


def test_events_reach_subscribers_nodes_and_all_but_not_their_sender(kind: Kind) -> None:
    async def story(network: Any, interface: Any) -> None:
        names = ("ONE", "TWO", "THREE")
        nodes = {name: await interface(name) for name in names}
        heard = {name: Heard() for name in names}
        for name in names:
            await nodes[name].subscribe("an.event", heard[name].__call__)
        header = {"sender_node": "ONE", "topic": "an.event", "message_type": "EVENT"}
        await nodes["ONE"].publish_event("an.event", {"n": 1})
        await network.route_message({"header": {**header, "target_node": "BROADCAST"}, "payload": {"n": 2}})
        await network.route_message({"header": {**header, "target_node": "TWO"}, "payload": {"n": 3}})
        assert [(await heard["TWO"].next())["payload"]["n"] for _ in range(3)] == [1, 2, 3]
        assert [(await heard["THREE"].next())["payload"]["n"] for _ in range(2)] == [1, 2]
        assert heard["ONE"].queue.empty()
        assert heard["THREE"].queue.empty()

    told(kind, story)


def test_a_message_that_lacks_a_field_is_dropped_and_the_network_goes_on(kind: Kind) -> None:
    async def story(network: Any, interface: Any) -> None:
        one, _two = await interface("ONE"), await interface("TWO")
        for header in (
            {},
            {"message_type": "EVENT"},
            {"message_type": "QUERY", "target_node": "TWO", "topic": "t", "sender_node": "ONE"},
        ):
            await network.route_message({"header": header, "payload": {}})
        assert (await one.send_request("TWO", "request.two.x", {}))["status"] == "SUCCESS"

    told(kind, story)


def test_a_network_is_needed(kind: Kind) -> None:
    with pytest.raises(ValueError, match="Network instance cannot be None"):
        kind.MyceliumInterface(None, "ONE")


# --- what ours does better --------------------------------------------------------------------------------------------


def test_ours_needs_no_start_and_keeps_messages_back_while_stopped() -> None:
    async def tell() -> None:
        network = in_process.MyceliumNetwork()
        one, two = (in_process.MyceliumInterface(network, name) for name in ("ONE", "TWO"))
        heard = Heard()
        await two.subscribe("an.event", heard)
        await one.connect("TEST", "1.0", [])
        await two.connect("TEST", "1.0", [])
        await one.publish_event("an.event", {"n": 1})
        assert (await heard.next())["payload"] == {"n": 1}
        await network.stop()
        await one.publish_event("an.event", {"n": 2})
        assert network.get_network_status()["queue_size"] == 1
        assert not network.get_network_status()["processor_running"]
        await network.start()
        assert (await heard.next())["payload"] == {"n": 2}

    asyncio.run(tell())


def test_ours_calls_each_of_two_listeners_once_and_any_callable() -> None:
    async def story(_network: Any, interface: Any) -> None:
        one, two = await interface("ONE"), await interface("TWO")
        heard, sync = Heard(), []
        await two.subscribe("an.event", heard)
        await two.subscribe("an.event", lambda message: sync.append(message["payload"]))
        await one.publish_event("an.event", {"n": 1})
        await heard.next()
        assert sync == [{"n": 1}]
        assert heard.queue.empty()

    told(in_process, story)


def test_ours_cancels_a_request_that_is_cancelled() -> None:
    async def story(network: Any, interface: Any) -> None:
        one, _two = await interface("ONE"), await interface("TWO")
        asked = asyncio.Event()

        async def silent(_message: Any) -> None:
            asked.set()

        network.nodes["TWO"].process_message = silent
        waiting = asyncio.create_task(one.send_request("TWO", "request.two.x", {}))
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    told(in_process, story)


def test_ours_notes_the_health_that_is_reported() -> None:
    async def story(network: Any, interface: Any) -> None:
        await (await interface("ONE")).report_health("degraded", {"why": "disk"})
        status = network.get_network_status()["nodes"]["ONE"]
        assert (status["status"], status["health_details"]) == ("degraded", {"why": "disk"})

    told(in_process, story)


# --- the bus over either ----------------------------------------------------------------------------------------------


def test_a_bus_answers_what_the_interface_of_another_asks_and_is_not_shared_with(kind: Kind) -> None:
    async def story(network: Any, interface: Any) -> None:
        payload = {"list": [1]}

        async def answer(envelope: Envelope) -> dict[str, Any]:
            envelope["payload"]["list"].append(2)
            return {"status": "SUCCESS"}

        await joined(MyceliumBus(kind.MyceliumInterface(network, "CRONOS")), a_node(project="site"), answer)
        one = await interface("ONE")
        assert await one.send_request("CRONOS", LIST, payload) == {"status": "SUCCESS"}
        assert payload == {"list": [1]}

    told(kind, story)


def test_an_error_answer_is_an_exception_with_its_text_to_the_interface_of_another(kind: Kind) -> None:
    async def answer(_envelope: Envelope) -> dict[str, Any]:
        raise BackupNotFoundError("There is no backup x.")

    async def story(network: Any, interface: Any) -> None:
        await joined(MyceliumBus(kind.MyceliumInterface(network, "CRONOS")), a_node(project="site"), answer)
        with pytest.raises(Exception, match=r"Error response from CRONOS: There is no backup x\."):
            await (await interface("ONE")).send_request("CRONOS", LIST, {})

    told(kind, story)


@pytest.mark.parametrize("payload", [None, 7, [], "text"])
def test_a_request_without_a_payload_is_answered_with_an_error(kind: Kind, payload: Any) -> None:
    async def story(network: Any, interface: Any) -> None:
        await joined(MyceliumBus(kind.MyceliumInterface(network, "CRONOS")), a_node(project="site"), success)
        with pytest.raises(Exception, match="no message of the Mycelium"):
            await (await interface("ONE")).send_request("CRONOS", LIST, payload)

    told(kind, story)


def test_a_bus_takes_an_echo_for_no_answer(kind: Kind) -> None:
    async def story(network: Any, interface: Any) -> None:
        await interface("ETHIK_SERVICE")
        bus = await joined(MyceliumBus(kind.MyceliumInterface(network, "CLIENT")), a_node("CLIENT"))
        with pytest.raises(BusError, match="does not serve"):
            await bus.ask("ETHIK_SERVICE", "request.ethik.validate", {"action": "restore"}, 5)

    told(kind, story)


def test_events_that_nobody_subscribed_to_are_no_requests(kind: Kind) -> None:
    seen: list[Envelope] = []

    async def answer(envelope: Envelope) -> dict[str, Any]:
        seen.append(envelope)
        return {"status": "SUCCESS"}

    async def story(network: Any, interface: Any) -> None:
        await joined(MyceliumBus(kind.MyceliumInterface(network, "CRONOS")), a_node(project="site"), answer)
        one = await interface("ONE")
        header = {"sender_node": "ONE", "topic": "x", "message_type": "EVENT", "target_node": "CRONOS", "message_id": "1"}
        await network.route_message({"header": header, "payload": {}})
        await one.send_request("CRONOS", LIST, {})
        assert len(seen) == 1

    told(kind, story)


def test_a_bus_is_found_again_after_somebody_removed_its_node(kind: Kind) -> None:
    async def story(network: Any, interface: Any) -> None:
        bus = await joined(MyceliumBus(kind.MyceliumInterface(network, "CRONOS")), a_node(project="site"), success)
        one, heard = await interface("ONE"), Heard()
        await bus.subscribe("an.event", heard)
        await network.remove_node("CRONOS")
        await bus.report_health("active", {})
        assert (await one.send_request("CRONOS", LIST, {}))["n"] == 1
        await one.publish_event("an.event", {"n": 1})
        assert (await heard.next())["payload"] == {"n": 1}
        await bus.unsubscribe("an.event")
        assert "an.event" not in network.subscriptions

    told(kind, story)


def test_who_shares_the_interface_with_a_bus_still_gets_answers(kind: Kind) -> None:
    async def story(network: Any, interface: Any) -> None:
        shared = await interface("CRONOS")
        bus = await joined(MyceliumBus(shared), a_node(project="site"), success)
        other = await interface("OTHER")
        network.nodes["OTHER"].process_message = success
        assert (await shared.send_request("OTHER", "x", {}))["n"] == 1
        assert (await bus.ask("OTHER", "x", {}, 5))["n"] == 1
        assert (await other.send_request("CRONOS", LIST, {}))["n"] == 1

    told(kind, story)


def test_a_network_that_was_not_started_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def tell() -> None:
        network = egos_mycelium.MyceliumNetwork()
        await joined(MyceliumBus(egos_mycelium.MyceliumInterface(network, "CRONOS")), a_node(project="site"), success)

    asyncio.run(tell())
    assert "not been started" in caplog.text


def test_a_network_that_does_not_take_the_node_is_an_error() -> None:
    class Refusing(in_process.MyceliumInterface):
        async def connect(self, node_type: str, version: str, capabilities: list[str]) -> bool:
            return False

    bus = MyceliumBus(Refusing(in_process.MyceliumNetwork(), "CRONOS"))
    with pytest.raises(BusError, match="does not take"):
        asyncio.run(bus.connect(a_node(project="site"), success))
    with pytest.raises(BusError, match="not connected"):
        asyncio.run(bus.publish("an.event", {}))


# --- decorator clients ------------------------------------------------------------------------------------------------


class DecoratorClient:
    """As EGOS's older subsystems have it."""

    def __init__(self, as_mapping: bool = False) -> None:
        self.handlers: dict[str, list[Any]] = {}
        self.published: list[tuple[str, Any]] = []
        self._as_mapping = as_mapping

    def subscribe(self, topic: str) -> Callable[[Any], Any]:
        def keep(handler: Any) -> Any:
            self.handlers.setdefault(topic, []).append(handler)
            return handler

        return keep

    async def publish(self, topic: str, data: Any) -> None:
        self.published.append((topic, data))
        message_id = f"m{len(self.published)}"
        told = {"id": message_id, "payload": data} if self._as_mapping else SimpleNamespace(id=message_id, data=data)
        for handler in self.handlers.get(topic, []):
            await handler(told)


@pytest.mark.parametrize("as_mapping", [False, True])
def test_a_decorator_client_carries_requests_answers_and_events(as_mapping: bool) -> None:
    async def tell() -> None:
        client, heard = DecoratorClient(as_mapping), Heard()
        bus = await joined(DecoratorBus(client), a_node(project="site"), success)
        await bus.subscribe("cronos.backup.request", heard)
        asker = await joined(DecoratorBus(client), a_node("CLIENT"))
        assert await asker.ask("CRONOS", LIST, {}, 5) == {"status": "SUCCESS", "n": 1}
        await client.publish(LIST, {"limit": 1})
        assert client.published[-1] == (f"response.CRONOS.m{len(client.published) - 1}", {"status": "SUCCESS", "n": 1})
        await client.publish("cronos.backup.request", {"name": "theirs", "project": "shop"})
        await client.publish("cronos.backup.request", {"name": "mine"})
        event = await heard.next()
        assert event["payload"] == {"name": "mine"}
        assert event["header"]["message_id"] == f"m{len(client.published)}"
        await bus.report_health("active", {"a": 1})
        assert client.published[-1][1] == {"node_id": "CRONOS", "status": "active", "details": {"a": 1}}
        await bus.unsubscribe("cronos.backup.request")
        await client.publish("cronos.backup.request", {"name": "late"})
        assert heard.queue.empty()
        await bus.disconnect()
        with pytest.raises(BusError, match="not answered"):
            await asker.ask("CRONOS", LIST, {}, 0.01)
        with pytest.raises(BusError):
            await bus.publish("an.event", {})

    asyncio.run(tell())


def test_a_decorator_client_that_fails_or_tells_nonsense_is_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    async def tell() -> None:
        client = DecoratorClient()
        bus = await joined(DecoratorBus(client, limit_bytes=2000), a_node(project="site"), success)
        for nonsense in (
            7,
            None,
            {},
            {"header": {}},
            SimpleNamespace(id=1, data=[]),
            SimpleNamespace(id=1, data={"x": "y" * 3000}),
        ):
            await client.handlers[LIST][0](nonsense)
        assert client.published == []
        with pytest.raises(BusError, match="too large"):
            await bus.publish("an.event", {"x": "y" * 3000})
        client.handlers["an.event"] = [None]
        with pytest.raises(BusError, match="does not carry"):
            await bus.publish("an.event", {})

    asyncio.run(tell())
    assert caplog.text.count("is not for us") == 6


# --- which bus --------------------------------------------------------------------------------------------------------


def test_what_is_given_decides_which_bus_it_is() -> None:
    settings = Settings(message_limit=2 << 20)
    network = in_process.MyceliumNetwork()
    given: list[Any] = [
        None,
        network,
        in_process.MyceliumInterface(network, "X"),
        egos_mycelium.MyceliumNetwork(),
        DecoratorClient(),
    ]
    buses = [open_bus(one, settings) for one in (*given, "nats://host:4222")]
    names = [type(bus).__name__ for bus in buses]
    assert names == ["MyceliumBus"] * 4 + ["DecoratorBus", "NatsBus"]
    assert {bus.limit_bytes for bus in buses} == {2 << 20}
    assert open_bus(buses[0], settings) is buses[0]
    with pytest.raises(UsageError, match="int"):
        open_bus(7, settings)


def test_without_nats_py_an_address_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "nats" or name.startswith(("nats.", "cronos_git.service.buses.nats"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(BusError) as caught:
        open_bus("nats://host:4222", Settings())
    assert "cronos_git[nats]" in caught.value.hint
