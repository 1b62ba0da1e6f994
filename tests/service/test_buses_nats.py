"""What only a bus over NATS has: several projects and machines, discovery, permissions, and servers that go and come again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

from cronos_git.errors import BusError, ConfigError, CronosError
from cronos_git.ports import Envelope
from cronos_git.service.buses.nats import NatsBus
from tests.support.buses import Heard, a_node, joined
from tests.support.nats_server import NatsServer, certificates, operator_config, running

LIST = "request.cronos.list_backups"
LOOK_S = 0.1

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running(tmp_path_factory.mktemp("nats"), "max_payload: 65536") as server:
        yield server


def told(server: NatsServer, story: Callable[[Make, Any], Awaitable[None]]) -> None:
    """Run *story* with a maker of buses and, if the server lets anybody in, a plain NATS client."""

    async def tell() -> None:
        buses: list[NatsBus] = []

        def make(url: str = server.url, **options: Any) -> NatsBus:
            buses.append(NatsBus(url, discovery_s=LOOK_S, retry_s=0.05, **options))
            return buses[-1]

        plain = await nats.connect(server.url, reconnect_time_wait=0.05, error_cb=_unheard)  # type: ignore[arg-type]
        try:
            await asyncio.wait_for(story(make, plain), 30)
        finally:
            for bus in buses:
                await bus.disconnect()
            await plain.close()

    asyncio.run(tell())


async def _unheard(_error: Exception) -> None:
    return None


def answering(name: str, seen: list[str] | None = None) -> Callable[[Envelope], Awaitable[dict[str, Any]]]:
    async def answer(envelope: Envelope) -> dict[str, Any]:
        if seen is not None:
            seen.append(name)
        return {"status": "SUCCESS", "by": name, "asked": envelope["payload"]}

    return answer


async def every_answer(plain: Any, subject: str, body: bytes, wait_s: float = 2 * LOOK_S + 0.05) -> list[Any]:
    """All that is answered to *body* on *subject* within a time."""
    inbox = await plain.subscribe(plain.new_inbox())
    await plain.publish(subject, body, reply=inbox.subject)
    end, answers = time.monotonic() + wait_s, []
    while (left_s := end - time.monotonic()) > 0:
        try:
            msg = await inbox.next_msg(timeout=left_s)
        except nats.errors.TimeoutError:
            break
        answers.append(json.loads(msg.data) if msg.data else dict(msg.headers))
    await inbox.unsubscribe()
    return answers


async def the_answer(plain: Any, subject: str, body: bytes) -> Any:
    """The payload of the first answer."""
    return json.loads((await plain.request(subject, body, timeout=10)).data)["payload"]


async def the_only_answer(plain: Any, subject: str, body: bytes) -> Any:
    """The payload of the only answer."""
    answers = await every_answer(plain, subject, body)
    assert len(answers) == 1, answers
    return answers[0]["payload"]


def a_message(payload: dict[str, Any], **header: Any) -> bytes:
    return json.dumps({"header": header, "payload": payload}).encode()


# --- several projects -------------------------------------------------------------------------------------------------


def test_each_of_two_projects_answers_what_names_it_and_only_that(shared: NatsServer) -> None:
    async def story(make: Make, plain: Any) -> None:
        for project in ("shop", "site"):
            await joined(make(), a_node(project=project), answering(project))
        client = await joined(make(), a_node("CLIENT"))
        for project in ("shop", "site"):
            assert (await client.ask(f"CRONOS.{project}", LIST, {}, 5))["by"] == project
            by_payload = await the_only_answer(plain, LIST, a_message({"project": project}))
            by_target = await the_answer(plain, LIST, a_message({}, target_node=f"CRONOS.{project}"))
            by_subject = await the_answer(plain, f"{LIST}.{project}", a_message({}))
            assert [one["by"] for one in (by_payload, by_target, by_subject)] == [project] * 3

    told(shared, story)


def test_what_names_no_project_is_refused_once_where_there_are_two(shared: NatsServer) -> None:
    seen: list[str] = []

    async def story(make: Make, plain: Any) -> None:
        for project in ("shop", "site"):
            for _ in range(2):
                await joined(make(), a_node(project=project), answering(project, seen))
        answer = await the_only_answer(plain, LIST, a_message({}))
        assert answer["status"] == "ERROR"
        assert answer["projects"] == ["shop", "site"]
        assert answer["error_message"] == "The message names no project, and there are 2 on this bus."
        assert "shop, site" in answer["hint"]
        assert seen == []

    told(shared, story)


def test_a_project_that_joins_is_known_before_the_next_message(shared: NatsServer) -> None:
    async def story(make: Make, plain: Any) -> None:
        await joined(make(), a_node(project="site"), answering("site"))
        assert (await the_answer(plain, LIST, a_message({})))["by"] == "site"
        shop = await joined(make(), a_node(project="shop"), answering("shop"))
        assert (await the_answer(plain, LIST, a_message({})))["status"] == "ERROR"
        await shop.disconnect()
        assert (await the_answer(plain, LIST, a_message({})))["by"] == "site"

    told(shared, story)


def test_several_services_of_a_project_share_its_requests(shared: NatsServer) -> None:
    seen: list[str] = []

    async def story(make: Make, plain: Any) -> None:
        for name in ("one", "two"):
            await joined(make(), a_node(project="site"), answering(name, seen))
        client = await joined(make(), a_node("CLIENT"))
        asked = [client.ask(node, LIST, {}, 5) for node in ("CRONOS", "CRONOS.site") for _ in range(20)]
        answers = await asyncio.gather(*asked)
        assert len(seen) == len(answers) == 40
        assert set(seen) == {"one", "two"}
        assert len(await every_answer(plain, LIST, a_message({}))) == 1

    told(shared, story)


def test_a_project_of_the_same_name_elsewhere_is_warned_of_once(shared: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    async def story(make: Make, _plain: Any) -> None:
        for host in ("here", "there", "there"):
            await joined(make(), replace(a_node(project="site"), host=host), answering("site"))
        asker = await joined(make(), a_node("ASKER"), answering("nobody"))
        await asker.ask("CRONOS", LIST, {}, 5)

    told(shared, story)
    warned = [record.getMessage() for record in caplog.records]
    assert all(words.startswith("Another CRONOS calls its project site, too: on ") for words in warned)
    assert sorted(words.split(", with")[0][-5:] for words in warned) == [" here", " here", "there"]


def test_a_message_that_names_two_projects_is_refused(shared: NatsServer) -> None:
    async def story(make: Make, plain: Any) -> None:
        await joined(make(), a_node(project="site"), answering("site"))
        answer = await the_answer(plain, f"{LIST}.site", a_message({"project": "shop"}))
        assert answer["code"] == "message.invalid"
        assert "shop, site" in answer["error_message"]

    told(shared, story)


def test_a_project_may_be_called_as_a_topic_ends(shared: NatsServer) -> None:
    async def story(make: Make, plain: Any) -> None:
        await joined(make(), a_node(project="backup"), answering("backup"))
        for subject in ("request.cronos.backup", "request.cronos.backup.backup", f"{LIST}.backup"):
            assert (await the_answer(plain, subject, a_message({})))["by"] == "backup"

    told(shared, story)


def test_an_order_by_event_reaches_one_service_of_the_project_that_it_means(shared: NatsServer) -> None:
    async def story(make: Make, _plain: Any) -> None:
        heard = {name: Heard() for name in ("shop", "site", "site too")}
        for name, listener in heard.items():
            bus = await joined(make(), a_node(project=name.partition(" ")[0]))
            await bus.subscribe("cronos.backup.request", listener)
        client = await joined(make(), a_node("CLIENT"))
        answers = Heard()
        await client.subscribe("cronos.backup.status", answers)
        await client.publish("cronos.backup.request", {"name": "a", "project": "site", "request_id": "1"})
        await client.publish("cronos.backup.request", {"name": "b", "project": "shop", "request_id": "2"})
        await client.publish("cronos.backup.request", {"name": "c", "request_id": "3"})
        await client.publish("cronos.backup.request", {"name": "d", "project": "no such", "request_id": "4"})
        refused = sorted([(await answers.next())["payload"] for _ in range(2)], key=lambda one: one["request_id"])
        assert [one["status"] for one in refused] == ["error", "error"]
        assert [one["request_id"] for one in refused] == ["3", "4"]
        assert "2 on this bus" in refused[0]["error"]
        assert "no such" in refused[1]["error"]
        got = {name: [listener.queue.get_nowait()["payload"]["name"] for _ in range(listener.queue.qsize())]
               for name, listener in heard.items()}  # fmt: skip
        assert got["shop"] == ["b"]
        assert got["site"] + got["site too"] == ["a"]
        assert answers.queue.empty()

    told(shared, story)


class Refusals:
    """Takes note of what a bus refuses: topics and the words of the errors."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def __call__(self, envelope: Envelope, error: CronosError) -> None:
        self.told.append((envelope["header"]["topic"], error.message))


# --- what makes no sense ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"not JSON", b"[]", b"\xff", b"{}", b'{"header": {}}', b'{"header": {}, "payload": 7}', b"[" * 50_000],
    ids=["empty", "text", "list", "bytes", "no header", "no payload", "payload of another kind", "deep"],
)
def test_what_is_no_message_gets_an_error_answer(shared: NatsServer, body: bytes) -> None:
    async def story(make: Make, plain: Any) -> None:
        refusals = Refusals()
        await make().connect(a_node(project="site"), answering("site"), refusals)
        answer = await the_answer(plain, LIST, body)
        assert (answer["status"], answer["code"]) == ("ERROR", "message.invalid")
        assert answer["hint"]
        assert refusals.told == [(LIST, answer["error_message"])]

    told(shared, story)


@pytest.mark.parametrize(
    ("subject", "told_in"),
    [
        ("request.cronos.destroy", "request.cronos.destroy"),
        ("request.CRONOS.destroy", "request.CRONOS.destroy"),
        ("request.CRONOS_SERVICE.destroy.all.of.it", "destroy.all.of.it"),
        ("request.cronos.destroy.site", "destroy.site"),
        (f"{LIST}.shop", "'shop'"),
    ],
)
def test_what_nobody_serves_gets_one_error_answer(shared: NatsServer, subject: str, told_in: str) -> None:
    async def story(make: Make, plain: Any) -> None:
        refusals = Refusals()
        for project in ("site", "garden"):
            await make().connect(a_node(project=project), answering(project), refusals)
        answer = await the_only_answer(plain, subject, a_message({}))
        assert (answer["status"], answer["code"]) == ("ERROR", "message.invalid")
        assert told_in in answer["error_message"]
        assert [words for _, words in refusals.told] == [answer["error_message"]]

    told(shared, story)


def test_a_message_over_our_limit_gets_an_error_answer_and_over_the_servers_is_not_sent(shared: NatsServer) -> None:
    async def story(make: Make, plain: Any) -> None:
        bus = await joined(make(limit_bytes=10_000), a_node(project="site"), answering("site"))
        assert bus.limit_bytes == 10_000
        answer = await the_answer(plain, LIST, a_message({"data": "x" * 20_000}))
        assert "too large" in answer["error_message"]
        client = await joined(make(limit_bytes=1 << 20), a_node("CLIENT"))
        assert client.limit_bytes == 65536
        with pytest.raises(BusError, match="65536"):
            await client.ask("CRONOS.site", LIST, {"data": "x" * 70_000}, 5)
        assert (await client.ask("CRONOS.site", LIST, {}, 5))["by"] == "site"

    told(shared, story)


def test_an_answer_that_fits_to_the_byte_arrives_and_a_larger_one_is_an_error_answer(shared: NatsServer) -> None:
    async def answer(envelope: Envelope) -> dict[str, Any]:
        return {"status": "ERROR", "error_message": "e", "data": "x" * envelope["payload"]["n"]}

    async def story(make: Make, _plain: Any) -> None:
        await joined(make(), a_node(project="site"), answer)
        client = await joined(make(), a_node("CLIENT"))
        sizes = [len((await client.ask("CRONOS.site", LIST, {"n": 65536 - spare}, 5)).get("data", "")) for spare in (1100, 0)]
        assert sizes == [65536 - 1100, 0]

    told(shared, story)


# --- the micro services API -------------------------------------------------------------------------------------------


def test_stock_tools_find_ping_and_measure_the_service(shared: NatsServer) -> None:
    async def answer(envelope: Envelope) -> dict[str, Any]:
        return {"status": "SUCCESS"} if "n" in envelope["payload"] else {"status": "ERROR", "error_message": "empty"}

    async def story(make: Make, plain: Any) -> None:
        await joined(make(), a_node(project="site"), answer)
        client = await joined(make(), a_node("CLIENT"))
        for payload in ({"n": 1}, {}, {"n": 2}):
            await client.ask("CRONOS.site", LIST, payload, 5)
        for subject in ("$SRV.PING", "$SRV.PING.CRONOS"):
            ping = ServicePing.from_dict((await every_answer(plain, subject, b"", 0.1))[0])
            assert (ping.name, ping.version) == ("CRONOS", "1.2.3")
            assert ping.metadata == {"project": "site", "store": "/stores/site", "host": "here"}
        info = ServiceInfo.from_dict(json.loads((await plain.request(f"$SRV.INFO.CRONOS.{ping.id}")).data))
        assert info.description
        assert {LIST, f"{LIST}.site", "request.CRONOS_SERVICE.get_status"} <= {one.subject for one in info.endpoints}
        stats = ServiceStats.from_dict(json.loads((await plain.request("$SRV.STATS.CRONOS")).data))
        (measured,) = (one for one in stats.endpoints if one.subject == f"{LIST}.site")
        assert (measured.num_requests, measured.num_errors, measured.last_error) == (3, 1, "empty")
        assert measured.processing_time > measured.average_processing_time > 0

    told(shared, story)


def test_an_error_answer_is_one_for_stock_clients_too(shared: NatsServer) -> None:
    async def story(make: Make, plain: Any) -> None:
        await joined(make(), a_node(project="site"), answering("site"))
        refused = await plain.request(LIST, b"nonsense", timeout=5)
        assert refused.headers["Nats-Service-Error-Code"] == "400"
        assert refused.headers["Nats-Service-Error"]
        assert (await plain.request(LIST, a_message({}), timeout=5)).headers is None

    told(shared, story)


def test_a_service_that_has_left_is_not_found_any_more(shared: NatsServer) -> None:
    async def story(make: Make, plain: Any) -> None:
        bus = await joined(make(), a_node(project="site"), answering("site"))
        await bus.disconnect()
        with pytest.raises(nats.errors.NoRespondersError):
            await plain.request("$SRV.PING.CRONOS")
        client = await joined(make(), a_node("CLIENT"))
        with pytest.raises(BusError, match="Nobody"):
            await client.ask("CRONOS.site", LIST, {}, 5)

    told(shared, story)


def test_a_publisher_does_not_hear_itself_but_others_of_its_name(shared: NatsServer) -> None:
    async def story(make: Make, _plain: Any) -> None:
        mine, theirs = Heard(), Heard()
        bus = await joined(make(), a_node(project="site"))
        await bus.subscribe("cronos.alert", mine)
        await (await joined(make(), a_node(project="site"))).subscribe("cronos.alert", theirs)
        await bus.publish("cronos.alert", {"n": 1})
        assert (await theirs.next())["payload"] == {"n": 1}
        assert mine.queue.empty()

    told(shared, story)


# --- servers that go and come -----------------------------------------------------------------------------------------


async def answered_again(client: Any, node: str = "CRONOS.site") -> Any:
    """The first answer that comes through, as a client would get that tries again."""
    end = time.monotonic() + 15
    while True:
        try:
            return await client.ask(node, LIST, {}, 0.5)
        except BusError:
            if time.monotonic() > end:
                raise


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_of_the_server_is_survived_by_service_and_client(tmp_path: Path, how: str) -> None:
    async def story_with(server: NatsServer, make: Make, plain: Any) -> None:
        heard = Heard()
        bus = await joined(make(), a_node(project="site"), answering("site"))
        await bus.subscribe("an.event", heard)
        client = await joined(make(), a_node("CLIENT"))
        await asyncio.to_thread(getattr(server, how))
        with pytest.raises(BusError):
            await client.ask("CRONOS.site", LIST, {}, 0.1)
        await asyncio.to_thread(server.start)
        assert (await answered_again(client))["by"] == "site"
        assert (await answered_again(client, "CRONOS"))["by"] == "site"
        await client.publish("an.event", {"n": 1})
        assert (await heard.next())["payload"] == {"n": 1}
        await plain.flush()
        assert json.loads((await plain.request("$SRV.INFO.CRONOS", timeout=5)).data)["metadata"]["project"] == "site"

    with running(tmp_path) as server:
        told(server, lambda make, plain: story_with(server, make, plain))


def test_an_answer_that_is_ready_after_a_crash_of_the_server_still_arrives(tmp_path: Path) -> None:
    async def story_with(server: NatsServer, make: Make) -> None:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def answer(envelope: Envelope) -> dict[str, Any]:
            if envelope["payload"].get("slow"):
                asked.set()
                await go_on.wait()
            return {"status": "SUCCESS"}

        await joined(make(), a_node(project="site"), answer)
        client = await joined(make(), a_node("CLIENT"))
        slow = asyncio.create_task(client.ask("CRONOS.site", LIST, {"slow": True}, 20))
        await asked.wait()
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await answered_again(client)
        go_on.set()
        assert (await slow)["status"] == "SUCCESS"

    with running(tmp_path) as server:
        told(server, lambda make, _plain: story_with(server, make))


def test_a_connection_that_the_server_ends_with_an_error_is_made_anew(tmp_path: Path) -> None:
    def users(password: str) -> str:
        return f"authorization {{ users: [ {{user: plain, password: p}}, {{user: cronos, password: {password}}} ] }}"

    async def story_with(server: NatsServer, make: Make) -> None:
        heard = Heard()
        url = f"nats://cronos:secret-1@{server.host}"
        bus = await joined(make(url), a_node(project="site"), answering("site"))
        await bus.subscribe("an.event", heard)
        client = await joined(make(f"nats://plain:p@{server.host}"), a_node("CLIENT"))
        server.configure(users("secret-2"))
        await asyncio.to_thread(server.reload)
        await nobody_there(client)
        server.configure(users("secret-1"))
        await asyncio.to_thread(server.reload)
        assert (await answered_again(client))["by"] == "site"
        await client.publish("an.event", {"n": 1})
        assert (await heard.next())["payload"] == {"n": 1}

    with running(tmp_path, users("secret-1")) as server:
        server.url = f"nats://plain:p@{server.host}"
        told(server, lambda make, _plain: story_with(server, make))


async def nobody_there(client: Any) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            await client.ask("CRONOS.site", LIST, {}, 0.5)
        except BusError as error:
            if "Nobody" in error.message:
                return
    raise AssertionError("the service is still there")


def test_a_service_can_leave_while_the_server_is_away(tmp_path: Path) -> None:
    async def story_with(server: NatsServer, make: Make) -> None:
        bus = await joined(make(), a_node(project="site"), answering("site"))
        await asyncio.to_thread(server.kill)
        await asyncio.wait_for(bus.disconnect(), 10)

    with running(tmp_path) as server:
        told(server, lambda make, _plain: story_with(server, make))


# --- who is let in ----------------------------------------------------------------------------------------------------


def connecting(bus: NatsBus, *, project: str = "site") -> None:
    async def tell() -> None:
        try:
            await asyncio.wait_for(bus.connect(a_node(project=project), answering("site")), 15)
            assert (await bus.ask(f"CRONOS.{project}", LIST, {}, 5))["by"] == "site"
        finally:
            await bus.disconnect()

    asyncio.run(tell())


def refused(bus: NatsBus) -> str:
    with pytest.raises(CronosError) as caught:
        connecting(bus)
    return f"{caught.value.message} {caught.value.hint}"


def test_user_and_password_and_tokens_stand_in_the_address(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path, 'authorization { users: [ {user: "me@home", password: "s/e:cret"} ] }') as server:
        connecting(NatsBus(f"nats://me%40home:s%2Fe%3Acret@{server.host}"))
        for wrong in ("me%40home:wrong-secret@", "a-very-long-wrong-token@", ""):
            words = refused(NatsBus(f"nats://{wrong}{server.host}"))
            assert "does not let us in" in words
            assert "bus_credentials" in words
            assert not wrong or "wrong" not in words + caplog.text
    with running(tmp_path, 'authorization { token: "a-token-of-many-letters" }') as server:
        connecting(NatsBus(f"nats://a-token-of-many-letters@{server.host}"))


def test_a_server_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    words = refused(NatsBus(f"nats://user:pass-word@{server.host}"))
    assert "cannot be reached" in words
    assert "pass-word" not in words


@pytest.mark.parametrize("url", ["http://host:4222", "nats://", "nats://host:port", "host:4222", "nats://host:99999", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        connecting(NatsBus(url))


def test_a_credentials_file_opens_a_server_in_operator_mode(tmp_path: Path) -> None:
    config, credentials = operator_config(tmp_path)
    with running(tmp_path, config) as server:
        connecting(NatsBus(server.url, credentials_file=str(credentials)))
        assert "does not let us in" in refused(NatsBus(server.url))
        other = credentials.read_text().replace("-----BEGIN NATS USER JWT-----\ney", "-----BEGIN NATS USER JWT-----\neX")
        (tmp_path / "other.creds").write_text(other)
        assert "does not let us in" in refused(NatsBus(server.url, credentials_file=str(tmp_path / "other.creds")))


@pytest.mark.parametrize(
    "text", [None, "", "no credentials", "-----BEGIN NATS USER JWT-----\nabc\n", "-----BEGIN NATS USER JWT-----\nabc\n---\n"
             "-----BEGIN USER NKEY SEED-----\nSUnokey\n"]
)  # fmt: skip
def test_a_credentials_file_that_is_none_is_refused(tmp_path: Path, shared: NatsServer, text: str | None) -> None:
    path = tmp_path / "user.creds"
    if text is not None:
        path.write_text(text)
    assert str(path) in refused(NatsBus(shared.url, credentials_file=str(path)))


def test_tls_needs_the_right_authority_and_our_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {name: str(path) for name, path in certificates(tmp_path).items()}
    pair = f'cert_file: "{files["server.pem"]}", key_file: "{files["server.key"]}"'
    config = f'tls {{ {pair}, ca_file: "{files["ca.pem"]}", verify: true }}'
    ours = {"ca": files["ca.pem"], "certificate": files["client.pem"], "key": files["client.key"]}
    with running(tmp_path, config) as server:
        for scheme in ("tls", "nats"):
            connecting(NatsBus(f"{scheme}://{server.host}", **ours))  # type: ignore[arg-type]
        assert not caplog.records
        assert "TLS" in refused(NatsBus(f"tls://{server.host}", **{**ours, "ca": files["other.pem"]}))  # type: ignore[arg-type]
        assert "bus_ca" in refused(NatsBus(f"tls://{server.host}"))
        assert "bus_certificate" in refused(NatsBus(f"tls://{server.host}", ca=files["ca.pem"]))
        assert "bus_key" in refused(NatsBus(f"tls://{server.host}", **{**ours, "key": files["server.key"]}))  # type: ignore[arg-type]
        assert "bus_ca" in refused(NatsBus(f"tls://{server.host}", ca=str(tmp_path / "none.pem")))


def test_nothing_is_told_to_a_server_that_offers_no_tls_where_tls_is_wanted() -> None:
    received = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"headers":true,"auth_required":true}\r\n')
        received.extend(await reader.read())
        writer.close()

    async def tell() -> None:
        async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            bus = NatsBus(f"tls://user:secret@127.0.0.1:{port}")
            with pytest.raises(BusError, match="offers no TLS"):
                await bus.connect(a_node(project="site"), answering("site"))

    asyncio.run(tell())
    assert bytes(received) == b""


def test_a_user_who_may_not_subscribe_to_what_a_service_needs_is_told_so(tmp_path: Path) -> None:
    config = (
        'authorization { users: [ {user: u, password: p, permissions: { publish: ">", subscribe: ["_INBOX.>", "$SRV.>"] }} ] }'
    )
    with running(tmp_path, config) as server:
        words = refused(NatsBus(f"nats://u:p@{server.host}"))
    assert "request.cronos" in words.lower()
    assert "permissions" in words.lower()
