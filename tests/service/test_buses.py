"""One contract, whatever carries the messages: these stories run on each kind of bus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cronos_git.errors import BackupNotFoundError, BusError
from cronos_git.ports import Envelope
from tests.support.buses import LIMIT_BYTES, Heard, Open, World, a_node, joined

LIST = "request.cronos.list_backups"
STATUS = "request.cronos.get_status"


def told(world: World, story: Callable[[Open], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with world() as open_bus:
            buses: list[Any] = []

            def kept(node_id: str) -> Any:
                buses.append(open_bus(node_id))
                return buses[-1]

            try:
                await asyncio.wait_for(story(kept), 20)
            finally:
                for bus in buses:
                    await bus.disconnect()

    asyncio.run(tell())


async def echo(envelope: Envelope) -> dict[str, Any]:
    return {"status": "SUCCESS", "topic": envelope["header"]["topic"], "asked": envelope["payload"]}


def test_a_request_is_answered_with_the_payload_of_the_answerer(world: World) -> None:
    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), echo)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        answer = await client.ask("CRONOS", LIST, {"limit": 3}, 5)
        assert answer == {"status": "SUCCESS", "topic": LIST, "asked": {"limit": 3}}

    told(world, story)


def test_the_answerer_sees_who_asks_and_for_what(world: World) -> None:
    seen: list[Envelope] = []

    async def answer(envelope: Envelope) -> dict[str, Any]:
        seen.append(envelope)
        return {"status": "SUCCESS"}

    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), answer)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        await client.ask("CRONOS.site", LIST, {}, 5)
        header = seen[0]["header"]
        assert header["sender_node"] == "CLIENT"
        assert header["topic"] == LIST
        assert header["message_type"] == "REQUEST"
        assert header["correlation_id"]

    told(world, story)


def test_an_error_answer_comes_back_whole(world: World) -> None:
    async def refuse(_envelope: Envelope) -> dict[str, Any]:
        raise BackupNotFoundError("There is no backup x.", hint="List them.")

    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), refuse)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        answer = await client.ask("CRONOS", LIST, {}, 5)
        assert answer["status"] == "ERROR"
        assert answer["error_message"] == answer["error"] == "There is no backup x."
        assert answer["code"] == "backup.not_found"
        assert answer["hint"] == "List them."

    told(world, story)


def test_an_answerer_that_breaks_is_told_as_an_error(world: World) -> None:
    async def broken(_envelope: Envelope) -> dict[str, Any]:
        raise ZeroDivisionError("by nought")

    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), broken)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        answer = await client.ask("CRONOS", LIST, {}, 5)
        assert answer["status"] == "ERROR"
        assert "by nought" in answer["error_message"]

    told(world, story)


def test_a_node_that_is_not_there_cannot_be_asked(world: World) -> None:
    async def story(open_bus: Open) -> None:
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        with pytest.raises(BusError):
            await client.ask("NOBODY", "request.nobody.anything", {}, 1)

    told(world, story)


def test_a_node_that_does_not_answer_in_time_is_an_error(world: World) -> None:
    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"))
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        with pytest.raises(BusError, match="not answered"):
            await client.ask("CRONOS.site", LIST, {}, 0.05)

    told(world, story)


def test_a_slow_answer_holds_up_no_other_of_the_same_topic(world: World) -> None:
    go_on = asyncio.Event()

    async def answer(envelope: Envelope) -> dict[str, Any]:
        if envelope["payload"].get("slow"):
            await go_on.wait()
        return {"status": "SUCCESS"}

    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), answer)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        slow = asyncio.create_task(client.ask("CRONOS.site", LIST, {"slow": True}, 10))
        for _ in range(3):
            await client.ask("CRONOS.site", LIST, {}, 5)
        assert not slow.done()
        go_on.set()
        assert (await slow)["status"] == "SUCCESS"

    told(world, story)


def test_answers_go_to_their_askers(world: World) -> None:
    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), echo)
        clients = [await joined(open_bus(f"CLIENT_{n}"), a_node(f"CLIENT_{n}")) for n in range(3)]
        asked = [client.ask("CRONOS.site", LIST, {"n": n}, 5) for n, client in enumerate(clients * 4)]
        answers = await asyncio.gather(*asked)
        assert [answer["asked"]["n"] for answer in answers] == list(range(12))

    told(world, story)


def test_an_answerer_may_ask_itself(world: World) -> None:
    async def story(open_bus: Open) -> None:
        atlas = open_bus("ATLAS")
        cronos = open_bus("CRONOS")

        async def answer(_envelope: Envelope) -> dict[str, Any]:
            return {"status": "SUCCESS", "said": (await cronos.ask("ATLAS", "request.atlas.size", {}, 5))["topic"]}

        await joined(atlas, a_node("ATLAS", topics=("request.atlas.size",)), echo)
        await joined(cronos, a_node(project="site"), answer)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        assert (await client.ask("CRONOS.site", LIST, {}, 5))["said"] == "request.atlas.size"

    told(world, story)


def test_an_ask_that_is_cancelled_is_cancelled(world: World) -> None:
    async def story(open_bus: Open) -> None:
        asked = asyncio.Event()

        async def answer(_envelope: Envelope) -> None:
            asked.set()

        await joined(open_bus("CRONOS"), a_node(project="site"), answer)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        ask = asyncio.create_task(client.ask("CRONOS.site", LIST, {}, 60))
        await asked.wait()
        ask.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ask

    told(world, story)


# --- events -----------------------------------------------------------------------------------------------------------


def test_an_event_reaches_all_others_that_listen_to_its_topic_and_not_its_publisher(world: World) -> None:
    async def story(open_bus: Open) -> None:
        buses = [await joined(open_bus(name), a_node(name)) for name in ("ONE", "TWO", "THREE")]
        heard = [Heard() for _ in buses]
        elsewhere = Heard()
        for bus, listener in zip(buses, heard, strict=True):
            await bus.subscribe("cronos.alert", listener)
        await buses[1].subscribe("cronos.alert.more", elsewhere)
        await buses[0].publish("cronos.alert", {"level": "info"})
        for listener in heard[1:]:
            event = await listener.next()
            assert event["payload"] == {"level": "info"}
            assert event["header"]["topic"] == "cronos.alert"
            assert event["header"]["message_type"] == "EVENT"
            assert event["header"]["sender_node"] == "ONE"
        await buses[1].publish("cronos.alert", {"level": "last"})
        assert (await heard[0].next())["payload"] == {"level": "last"}
        assert heard[1].queue.empty()
        assert elsewhere.queue.empty()

    told(world, story)


def test_nobody_shares_an_object_with_anybody(world: World) -> None:
    taken: list[Any] = []

    async def answer(envelope: Envelope) -> dict[str, Any]:
        envelope["payload"]["list"].append("changed by the answerer")
        taken.append({"status": "SUCCESS", "list": []})
        return taken[-1]

    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), answer)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        payload = {"list": ["mine"]}
        reply = await client.ask("CRONOS.site", LIST, payload, 5)
        reply["list"].append("changed by the asker")  # type: ignore[index]
        assert payload == {"list": ["mine"]}
        assert taken[0]["list"] == []
        first, second = Heard(), Heard()
        for name, listener in (("FIRST", first), ("SECOND", second)):
            await (await joined(open_bus(name), a_node(name))).subscribe("an.event", listener)
        await client.publish("an.event", payload)
        (await first.next())["payload"]["list"].append("changed by a listener")
        assert (await second.next())["payload"] == payload == {"list": ["mine"]}

    told(world, story)


def test_paths_and_times_arrive_as_texts_and_what_json_cannot_say_is_an_error(world: World) -> None:
    async def story(open_bus: Open) -> None:
        heard = Heard()
        await (await joined(open_bus("ONE"), a_node("ONE"))).subscribe("an.event", heard)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        await client.publish("an.event", {"at": Path("/store")})
        assert (await heard.next())["payload"] == {"at": "/store"}
        with pytest.raises(BusError):
            await client.publish("an.event", {"nan": float("nan")})
        with pytest.raises(BusError):
            await client.publish("an.event", {("no", "text"): 1})  # type: ignore[dict-item]

    told(world, story)


def test_a_listener_that_fails_hears_the_next_event(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def story(open_bus: Open) -> None:
        heard = Heard()

        async def listener(envelope: Envelope) -> None:
            await heard(envelope)
            raise ZeroDivisionError("by nought")

        await (await joined(open_bus("ONE"), a_node("ONE"))).subscribe("an.event", listener)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        for number in range(2):
            await client.publish("an.event", {"n": number})
            assert (await heard.next())["payload"]["n"] == number

    told(world, story)
    assert "by nought" in caplog.text


def test_the_last_listener_of_a_topic_is_the_one(world: World) -> None:
    async def story(open_bus: Open) -> None:
        first, second = Heard(), Heard()
        bus = await joined(open_bus("ONE"), a_node("ONE"))
        await bus.subscribe("an.event", first)
        await bus.subscribe("an.event", second)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        for number in range(2):
            await client.publish("an.event", {"n": number})
            assert (await second.next())["payload"]["n"] == number
        assert first.queue.empty()
        assert second.queue.empty()

    told(world, story)


def test_after_unsubscribing_nothing_is_heard(world: World) -> None:
    async def story(open_bus: Open) -> None:
        gone, kept = Heard(), Heard()
        bus = await joined(open_bus("ONE"), a_node("ONE"))
        await bus.subscribe("an.event", gone)
        await bus.subscribe("another.event", kept)
        await bus.unsubscribe("an.event")
        await bus.unsubscribe("never.subscribed")
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        await client.publish("an.event", {})
        await client.publish("another.event", {})
        await kept.next()
        assert gone.queue.empty()

    told(world, story)


def test_health_is_an_event(world: World) -> None:
    async def story(open_bus: Open) -> None:
        heard = Heard()
        await (await joined(open_bus("ONE"), a_node("ONE"))).subscribe("event.mycelium.health_report", heard)
        bus = await joined(open_bus("CRONOS"), a_node(project="site"))
        await bus.report_health("degraded", {"disk": "full"})
        payload = (await heard.next())["payload"]
        assert payload.items() >= {"node_id": "CRONOS", "status": "degraded", "details": {"disk": "full"}}.items()

    told(world, story)


# --- projects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("node", "payload"), [("CRONOS", {}), ("CRONOS.site", {}), ("CRONOS", {"project": "site"})])
def test_a_request_to_the_only_project_is_served_however_it_is_named(world: World, node: str, payload: dict[str, str]) -> None:
    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), echo)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        assert (await client.ask(node, LIST, payload, 5))["status"] == "SUCCESS"

    told(world, story)


def test_a_request_that_names_another_project_is_answered_with_the_ones_that_are_there(world: World) -> None:
    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), echo)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        for node, payload in (("CRONOS", {"project": "shop"}), ("CRONOS.shop", {})):
            answer = await client.ask(node, LIST, payload, 5)
            assert answer["status"] == "ERROR"
            assert answer["code"] == "message.invalid"
            assert "shop" in answer["error_message"]
            assert "site" in answer["hint"]
            assert answer["projects"] == ["site"]

    told(world, story)


def test_a_project_that_is_no_text_is_refused(world: World) -> None:
    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), echo)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        answer = await client.ask("CRONOS.site", LIST, {"project": 7}, 5)
        assert answer["code"] == "message.invalid"

    told(world, story)


def test_a_legacy_event_for_another_project_is_not_heard(world: World) -> None:
    async def story(open_bus: Open) -> None:
        heard = Heard()
        bus = await joined(open_bus("CRONOS"), a_node(project="site"), echo)
        await bus.subscribe("cronos.backup.request", heard)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        await client.publish("cronos.backup.request", {"name": "theirs", "project": "shop"})
        await client.publish("cronos.backup.request", {"name": "mine", "project": "site"})
        await client.publish("cronos.backup.request", {"name": "whose"})
        names = {(await heard.next())["payload"]["name"] for _ in range(2)}
        assert names == {"mine", "whose"}
        assert heard.queue.empty()

    told(world, story)


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_what_is_too_large_for_the_bus_is_refused_and_the_bus_goes_on(world: World) -> None:
    large = "x" * LIMIT_BYTES

    async def answer(envelope: Envelope) -> dict[str, Any]:
        return {"status": "SUCCESS", "data": large} if envelope["payload"].get("large") else {"status": "SUCCESS"}

    async def story(open_bus: Open) -> None:
        await joined(open_bus("CRONOS"), a_node(project="site"), answer)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        with pytest.raises(BusError, match="too large"):
            await client.publish("an.event", {"data": large})
        with pytest.raises(BusError, match="too large"):
            await client.ask("CRONOS.site", LIST, {"data": large}, 5)
        reply = await client.ask("CRONOS.site", LIST, {"large": True}, 5)
        assert reply["status"] == "ERROR"
        assert "too large" in reply["error_message"]
        assert (await client.ask("CRONOS.site", LIST, {}, 5))["status"] == "SUCCESS"

    told(world, story)


# --- coming and going -------------------------------------------------------------------------------------------------


def test_leaving_lets_the_running_answer_out_first(world: World) -> None:
    async def story(open_bus: Open) -> None:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def answer(_envelope: Envelope) -> dict[str, Any]:
            asked.set()
            await go_on.wait()
            return {"status": "SUCCESS"}

        bus = await joined(open_bus("CRONOS"), a_node(project="site"), answer)
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        ask = asyncio.create_task(client.ask("CRONOS.site", LIST, {}, 10))
        await asked.wait()
        leave = asyncio.create_task(bus.disconnect())
        go_on.set()
        assert (await ask)["status"] == "SUCCESS"
        await leave
        with pytest.raises(BusError):
            await client.ask("CRONOS.site", LIST, {}, 1)

    told(world, story)


def test_a_bus_that_has_left_can_come_back(world: World) -> None:
    async def story(open_bus: Open) -> None:
        bus = open_bus("CRONOS")
        client = await joined(open_bus("CLIENT"), a_node("CLIENT"))
        for number in range(2):
            heard = Heard()
            await joined(bus, a_node(project="site"), echo)
            await bus.subscribe("an.event", heard)
            assert (await client.ask("CRONOS", LIST, {"n": number}, 5))["asked"] == {"n": number}
            await client.publish("an.event", {"n": number})
            assert (await heard.next())["payload"] == {"n": number}
            await bus.disconnect()
            await bus.disconnect()

    told(world, story)


def test_a_bus_that_is_not_connected_says_so(world: World) -> None:
    async def story(open_bus: Open) -> None:
        bus = open_bus("CLIENT")
        with pytest.raises(BusError):
            await bus.publish("an.event", {})
        with pytest.raises(BusError):
            await bus.ask("CRONOS", LIST, {}, 1)
        await bus.disconnect()

    told(world, story)
