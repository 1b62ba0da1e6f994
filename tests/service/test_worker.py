"""CronosService: what it does for those who ask, on every kind of bus."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronos_git import CronosService
from cronos_git.cli.app import run
from cronos_git.errors import BackupNotFoundError, BusError, InterruptedRunError
from cronos_git.service import condition, messages
from cronos_git.service.answers import backup_of
from cronos_git.service.buses import in_process
from cronos_git.service.buses.in_process import MyceliumInterface
from cronos_git.service.reception import Reception
from cronos_git.service.worker import initialize_cronos
from tests.service.test_messages import anything, known_keys
from tests.support import egos_mycelium
from tests.support.buses import World, a_node, joined, on_nats
from tests.support.nats_server import NatsServer, running
from tests.support.restoring import state
from tests.support.services import Held, Scene, make_large, make_project, make_service, told


def no_backup_was_made(scene: Scene) -> bool:
    return not scene.engine().store_path.exists()


# --- the verbs --------------------------------------------------------------------------------------------------------


def test_a_backup_is_made_listed_checked_and_brought_back(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        made = await scene.ask("create_backup", {"name": "nightly", "metadata": {"ticket": 7}, "labels": ["x"]})
        assert (made["status"], made["exit_status"], made["unchanged"]) == ("SUCCESS", 0, False)
        (backup,) = scene.engine().backups()
        assert backup_of(made["backup"]) == backup
        assert made["backup_id"] == backup.id and backup.metadata == {"ticket": 7}

        listed = await scene.ask("list_backups", {"labels": ["x"]})
        assert [backup_of(record) for record in listed["backups"]] == [backup]
        assert (listed["total"], listed["next"]) == (1, None)

        checked = await scene.ask("verify_backup", {"backup_identifier": backup.id})
        assert checked["valid"] and checked["backups_checked"] == 1

        (scene.project / "a.txt").write_text("two\n")
        restored = await scene.ask("restore_backup", {"backup_identifier": "latest", "strategy": "replace"})
        assert (scene.project / "a.txt").read_text() == "one\n"
        assert restored["restore_target_path"] == str(scene.project) and restored["restore_point"]

    told(tmp_path, story, world)


def test_requests_are_noted_with_who_asked_and_what_came_of_it(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        made = await scene.ask("create_backup", {"request_id": "mine"})
        await scene.ask("restore_backup", {"backup_identifier": "nowhere"})
        await scene.ask("list_backups")
        noted = [done for done in reversed(scene.engine().operations()) if done.verb == "request"]
        facts = [(done.result, done.facts["topic"].rpartition(".")[2]) for done in noted]
        assert facts == [  # no store when the first one began
            ("done", "create_backup"),
            ("begun", "restore_backup"),
            ("failed", "restore_backup"),
            ("done", "list_backups"),
        ]
        assert {done.face for done in noted} == {"service"}
        assert noted[0].facts["backup"] == made["backup_id"]
        assert noted[0].facts["request_id"] == "mine" and str(noted[0].facts["sender"]).startswith("ASKER")
        assert noted[2].facts["code"] == "backup.not_found"

    told(tmp_path, story)


def test_a_module_is_backed_up_alone(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        for name in ("ETHIK", "ATLAS", "OTHER"):
            (scene.project / "subsystems" / name).mkdir(parents=True)
            (scene.project / "subsystems" / name / "core.py").write_text(name)
        made = await scene.ask("request.CRONOS_SERVICE.create_backup", {"target_modules": ["ETHIK", "ATLAS"]})
        assert (made["backup"]["scope"], made["backup"]["file_count"]) == ("atlas+ethik", 2)

    told(tmp_path, story)


def test_nothing_listed_before_the_first_backup_and_no_store_made(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        assert (await scene.ask("list_backups"))["backups"] == []
        status = await scene.ask("get_status")
        assert (status["backups"], status["last_backup"], status["state"]) == (0, None, "idle")
        assert no_backup_was_made(scene)

    told(tmp_path, story)


def test_a_long_list_comes_in_pages_that_fit_the_bus(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        for number in range(5):
            await scene.service.create_backup(metadata={"text": "x" * 400_000, "number": number})
        found: list[Any] = []
        cursor = None
        pages = 0
        while cursor or not pages:
            page = await scene.ask("list_backups", {"cursor": cursor})
            found += [record["metadata"]["number"] for record in page["backups"]]
            cursor, pages = page["next"], pages + 1
        assert found == [4, 3, 2, 1, 0]
        assert pages == 3

    told(tmp_path, story, world)


# --- what makes no sense ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "payload", "code", "status"),
    [
        ("frobnicate", {}, "message.invalid", 2),
        ("create_backup", {"nmae": "x"}, "message.invalid", 2),
        ("create_backup", {"target_modules": ["NOWHERE"]}, "module.unresolved", 2),
        ("restore_backup", {"backup_identifier": "nowhere"}, "store.missing", 10),
        ("verify_backup", {"backup_identifier": "nowhere"}, "store.missing", 10),
    ],
)
def test_what_cannot_be_done_is_answered_with_code_and_hint(
    tmp_path: Path, verb: str, payload: dict[str, Any], code: str, status: int
) -> None:
    async def story(scene: Scene) -> None:
        answer = await scene.ask(verb, payload)
        assert (answer["status"], answer["code"], answer["exit_status"]) == ("ERROR", code, status)
        assert answer["error_message"] == answer["error"] and answer["hint"]
        assert no_backup_was_made(scene)

    told(tmp_path, story)


def test_an_unknown_topic_is_refused_on_every_bus_that_carries_it(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        answer = await scene.ask("request.cronos.sync_state")
        assert answer["status"] == "ERROR" and "request.cronos.get_status" in answer["hint"]

    told(tmp_path, story)


def test_a_message_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        answer = await scene.ask("create_backup", {"metadata": {"text": "x" * (1 << 20)}})
        assert answer["status"] == "ERROR" and "bytes" in answer["error"]
        assert no_backup_was_made(scene)

    async def tell() -> None:  # past the bus, which would not carry it either
        service = make_service(tmp_path, None)
        header = {"topic": "request.cronos.create_backup", "sender_node": "X"}
        answer = await service._reception.answer({"header": header, "payload": {"metadata": {"text": "x" * (1 << 20)}}})
        assert answer["code"] == "message.invalid" and "bytes" in answer["error"]

    make_project(tmp_path)
    asyncio.run(tell())


@settings(max_examples=40)
@given(
    topic=st.sampled_from([*messages.REQUEST_TOPICS, *messages.LEGACY_TOPICS, "request.cronos.other"]) | anything,
    payload=st.dictionaries(known_keys, anything, max_size=3) | anything,
)
def test_any_message_gets_an_answer_and_writes_nothing_to_the_project(
    tmp_path_factory: pytest.TempPathFactory, topic: Any, payload: Any
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    before = state(make_project(root))

    async def tell() -> None:
        service = make_service(root, None)
        answer = await service._reception.answer({"header": {"topic": topic, "sender_node": "X"}, "payload": payload})
        assert answer["status"] in ("SUCCESS", "ERROR")
        assert json.loads(json.dumps(answer)) == answer
        if answer["status"] == "ERROR":
            assert answer["code"] not in ("error", "host") and answer["hint"]
        await service.stop()

    asyncio.run(tell())
    assert state(root / "site") == before


# --- the older events -------------------------------------------------------------------------------------------------


def test_older_events_are_answered_on_their_status_topics(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.asker.publish("cronos.backup.request", {"name": "old", "type": "manual", "request_id": "r1"})
        done = await scene.heard("cronos.backup.status", request_id="r1")
        (backup,) = scene.engine().backups()
        assert (done["status"], done["backup_id"], backup.name) == ("success", backup.id, "old")

        await scene.asker.publish("cronos.restore.request", {"backup_identifier": "old", "target_path": str(tmp_path / "out")})
        failed = await scene.heard("cronos.restore.status")
        assert (failed["status"], failed["code"]) == ("error", "refused") and failed["request_id"]

        await scene.asker.publish("cronos.restore.request", {"request_id": "r3"})
        assert "backup_identifier" in (await scene.heard("cronos.restore.status", request_id="r3"))["error"]

    told(tmp_path, story, world)


def test_what_is_done_is_told_by_events_and_alerts(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        made = await scene.ask("create_backup", {"name": "x", "request_id": "r1"})
        completed = await scene.heard("event.cronos.backup_completed")
        assert completed["id"] == made["backup_id"] and completed["backup_type"] == "manual"
        success = await scene.heard("cronos.alert", level="success")
        assert success["details"]["backup_id"] == made["backup_id"] and success["details"]["request_id"] == "r1"

        await scene.ask("restore_backup", {"backup_identifier": "nowhere"})
        assert (await scene.heard("event.cronos.restore_failed"))["code"] == "backup.not_found"
        assert (await scene.heard("cronos.alert", level="error"))["message"].startswith("No backup")

        await scene.service.restore_backup("x", tmp_path / "out")  # by the program itself
        assert (await scene.heard("event.cronos.restore_completed"))["backup_id"] == made["backup_id"]

        await scene.ask("create_backup", {"target_modules": ["NOWHERE"], "name": "y"})
        assert (await scene.heard("event.cronos.backup_failed"))["name"] == "y"

    told(tmp_path, story, world)


def test_a_backup_with_very_much_metadata_is_told_of_without_it(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        made = await scene.service.create_backup(metadata={"text": "x" * (2 << 20)})
        completed = await scene.heard("event.cronos.backup_completed")
        assert (completed["id"], completed["metadata"], completed["shortened"]) == (made["backup_id"], {}, ["metadata"])
        assert (await scene.heard("cronos.alert", level="success"))["details"]["backup_id"] == made["backup_id"]

    told(tmp_path, story, world)


def test_work_goes_on_when_who_asked_for_it_goes(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        envelope = {"header": {"topic": "request.cronos.create_backup", "sender_node": "X"}, "payload": {"name": "x"}}
        with Held() as held:
            asking = asyncio.create_task(scene.service._reception.answer(envelope))
            await held.reached()
            asking.cancel()
            held.let_go()
            assert (await scene.heard("event.cronos.backup_completed"))["name"] == "x"

    told(tmp_path, story)


# --- at the same time -------------------------------------------------------------------------------------------------


def test_questions_are_answered_while_a_backup_is_made(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.service.create_backup("before")
        with Held() as held:
            making = asyncio.create_task(scene.ask("create_backup", {"name": "long", "request_id": "r1"}))
            await held.reached()
            status = await scene.ask("get_status")
            assert status["state"] == "working" and status["requests"] == ["r1"]
            assert [(work["verb"], work["subject"]) for work in status["working"]] == [("create_backup", "long")]
            listed = await scene.ask("list_backups")
            assert [record["name"] for record in listed["backups"]] == ["before"]
            assert not making.done()
            held.let_go()
            assert (await making)["backup"]["name"] == "long"
        assert (await scene.ask("get_status"))["state"] == "idle"

    told(tmp_path, story, world)


def test_writers_queue_in_the_order_of_asking_and_each_gets_its_own_answer(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        with Held() as held:
            first = asyncio.create_task(scene.ask("create_backup", {"name": "first"}))
            await held.reached()
            others = []
            for number in range(3):
                others.append(asyncio.create_task(scene.ask("create_backup", {"name": f"other{number}"})))
                while (await scene.ask("get_status"))["queue_length"] <= number:
                    await asyncio.sleep(0)
            held.let_go()
            names = [(await asking)["backup"]["name"] for asking in (first, *others)]
        assert names == ["first", "other0", "other1", "other2"]
        assert [backup.name for backup in scene.engine().backups()][::-1] == names

    told(tmp_path, story, world)


def test_work_waits_for_another_process_that_uses_the_store_and_tells_that_it_does(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition, "_BEAT_S", 0.02)

    async def story(scene: Scene) -> None:
        await scene.service.create_backup("before")
        with scene.engine().store.lock():
            making = asyncio.create_task(scene.ask("create_backup", {"name": "after", "request_id": "r1"}))
            alert = await scene.heard("cronos.alert", message="1 at work or waiting.")
            assert alert["details"]["requests"] == ["r1"]
            assert alert["details"]["service"] == (await scene.ask("get_status"))["service"]
            assert not making.done()
        assert (await making)["backup"]["name"] == "after"

    told(tmp_path, story, world)


def test_few_checks_are_made_at_once_and_none_is_begun_when_the_service_stops() -> None:
    async def story() -> None:
        async def nothing(*_: Any) -> Any: ...

        reception = Reception(nothing, nothing, nothing, lambda: 1000)
        asked = messages.read_envelope({"header": {"topic": "request.cronos.verify_backup"}, "payload": {}})
        go, inside = asyncio.Event(), 0

        async def check() -> None:
            nonlocal inside
            async with reception.turn(asked):
                inside += 1
                await go.wait()

        checks = [asyncio.create_task(check()) for _ in range(20)]
        await asyncio.sleep(0)
        assert inside == 2
        reception.is_closed = True
        go.set()
        ended = await asyncio.gather(*checks, return_exceptions=True)
        assert [type(one) for one in ended] == [type(None)] * 2 + [BusError] * 18

    asyncio.run(story())


def test_a_request_that_comes_again_is_not_done_again(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        with Held() as held:
            asking = [asyncio.create_task(scene.ask("create_backup", {"name": "once", "request_id": "r1"})) for _ in range(2)]
            await held.reached()
            held.let_go()
            first, second = [await one for one in asking]
        third = await scene.ask("create_backup", {"name": "once", "request_id": "r1"})
        assert first["backup_id"] == second["backup_id"] == third["backup_id"]
        assert len(scene.engine().backups()) == 1

        other = await scene.ask("create_backup", {"name": "once", "request_id": "r2"})
        assert other["backup_id"] != first["backup_id"]

    told(tmp_path, story)


def test_a_request_that_failed_may_be_tried_again_under_its_id(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        asking = {"target_modules": ["LATE"], "request_id": "r1"}
        assert (await scene.ask("create_backup", asking))["status"] == "ERROR"
        (scene.project / "LATE").mkdir()
        (scene.project / "LATE" / "a").write_text("x")
        assert (await scene.ask("create_backup", asking))["status"] == "SUCCESS"

    told(tmp_path, story)


def test_questions_of_one_asker_are_noted_once_a_minute_with_their_number(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.service.create_backup()
        for _ in range(5):
            await scene.ask("get_status")
        await scene.service.stop()
        counts = [done.facts.get("count", 1) for done in reversed(scene.engine().operations()) if done.verb == "request"]
        assert counts == [1, 4]

    told(tmp_path, story)


# --- where restores may go --------------------------------------------------------------------------------------------


@pytest.fixture
def backed_up(tmp_path: Path) -> Path:
    """A root with a project that has a backup called `made`."""
    make_project(tmp_path)
    asyncio.run(make_service(tmp_path, None).create_backup("made"))
    return tmp_path


def refused_to(root: Path, target: Path | None, **asked: Any) -> str:
    """The error of a restore to *target* with the root `allowed`; nothing was written."""
    hints = []

    async def story(scene: Scene) -> None:
        before = state(root / "site", *(path for path in (root / "outside",) if path.exists()))
        answer = await scene.ask(
            "restore_backup", {"backup_identifier": "made", "restore_target_path": str(target) if target else None, **asked}
        )
        assert (answer["status"], answer["exit_status"]) == ("ERROR", 13), answer
        assert state(root / "site", *(path for path in (root / "outside",) if path.exists())) == before
        hints.append(answer["hint"])

    told(root, story, restore_roots=[str(root / "allowed")])
    return hints[0]


def test_a_place_elsewhere_is_refused(backed_up: Path) -> None:
    (backed_up / "outside").mkdir()
    for target in (backed_up / "outside", backed_up / "outside" / "new", backed_up / "allowed" / ".." / "outside", Path("/")):
        assert "restore_roots" in refused_to(backed_up, target)


@pytest.mark.parametrize("strategy", ["overwrite", "replace", "merge"])
def test_a_place_elsewhere_is_refused_in_place_too(backed_up: Path, strategy: str) -> None:
    (backed_up / "outside").mkdir()
    (backed_up / "outside" / "precious").write_text("x")
    refused_to(backed_up, backed_up / "outside", strategy=strategy)


@pytest.mark.parametrize("strategy", ["new_location", "replace"])
def test_a_link_out_of_the_allowed_place_is_refused(backed_up: Path, strategy: str) -> None:
    (backed_up / "outside").mkdir()
    (backed_up / "allowed").mkdir()
    (backed_up / "allowed" / "link").symlink_to(backed_up / "outside")
    refused_to(backed_up, backed_up / "allowed" / "link", strategy=strategy)
    refused_to(backed_up, backed_up / "allowed" / "link" / "below", strategy=strategy)


@pytest.mark.parametrize("strategy", ["new_location", "merge"])
def test_a_place_that_others_can_lead_elsewhere_is_refused(backed_up: Path, strategy: str) -> None:
    open_to_all = backed_up / "allowed" / "open"
    (open_to_all / "own").mkdir(parents=True)
    open_to_all.chmod(0o777)
    for target in (open_to_all / "new", open_to_all / "own", open_to_all / "own" / "new"):
        assert "restore_roots" in refused_to(backed_up, target, strategy=strategy)


@pytest.mark.parametrize("strategy", ["new_location", "merge"])
def test_a_place_with_a_name_that_is_too_long_is_an_error_of_the_host(backed_up: Path, strategy: str) -> None:
    async def story(scene: Scene) -> None:
        target = str(backed_up / "allowed" / ("x" * 300))
        answer = await scene.ask("restore_backup", {"backup_identifier": "made", "target_path": target, "strategy": strategy})
        assert answer["code"] == "host"

    told(backed_up, story, restore_roots=[str(backed_up / "allowed")])


def test_a_place_below_the_project_is_refused(backed_up: Path) -> None:
    refused_to(backed_up, backed_up / "site" / "below")


def test_the_restore_point_of_another_directory_does_not_go_back_there(backed_up: Path) -> None:
    outside = backed_up / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("precious")
    point = asyncio.run(make_service(backed_up, None).restore_backup("made", outside, "overwrite"))["restore_point"]
    refused_to(backed_up, None, backup_identifier=point, strategy="replace")


def test_an_allowed_place_is_written(backed_up: Path) -> None:
    async def story(scene: Scene) -> None:
        answer = await scene.ask("restore_backup", {"backup_identifier": "made", "target_path": str(backed_up / "allowed" / "x")})
        assert answer["restore_target_path"] == str(backed_up / "allowed" / "x")
        assert (backed_up / "allowed" / "x" / "a.txt").read_text() == "one\n"

    told(backed_up, story, restore_roots=[str(backed_up / "allowed")])


def test_a_new_location_without_a_place_goes_below_the_first_allowed_one(backed_up: Path) -> None:
    async def story(scene: Scene) -> None:
        targets = [(await scene.ask("restore_backup", {"backup_identifier": "made"}))["restore_target_path"] for _ in range(2)]
        backup = scene.engine().resolve("made").backup.id
        assert targets == [str(backed_up / "allowed" / f"site-{backup}"), str(backed_up / "allowed" / f"site-{backup}-2")]
        assert (Path(targets[1]) / "a.txt").exists()

    told(backed_up, story, restore_roots=[str(backed_up / "allowed"), str(backed_up / "second")])


def test_a_new_location_without_any_place_tells_what_to_configure(backed_up: Path) -> None:
    async def story(scene: Scene) -> None:
        answer = await scene.ask("restore_backup", {"backup_identifier": "made"})
        assert answer["exit_status"] == 13 and "restore_roots" in answer["hint"]

    told(backed_up, story)


def test_a_program_itself_may_restore_anywhere(backed_up: Path) -> None:
    restored = asyncio.run(make_service(backed_up, None).restore_backup("made", backed_up / "outside"))
    assert (Path(restored["restore_target_path"]) / "a.txt").read_text() == "one\n"


# --- start and stop ---------------------------------------------------------------------------------------------------


def test_a_service_without_arguments_serves_the_project_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path)
    (project / "cronos.toml").write_text("")
    (project / "deep").mkdir()
    monkeypatch.chdir(project / "deep")

    async def tell() -> None:
        service = CronosService()
        await service.start()
        asker = MyceliumInterface(service.mycelium, "ASKER")  # type: ignore[arg-type]
        await asker.connect("TEST", "1", [])
        await service.create_backup(metadata={"description": "Pre-deployment backup"})
        answer = await asker.send_request("CRONOS", "request.cronos.list_backups", {})
        assert answer["backups"] == await service.list_backups()
        assert answer["backups"][0]["metadata"] == {"description": "Pre-deployment backup"}
        assert service.project_root == project
        await service.stop()

    asyncio.run(tell())


def test_direct_calls_need_no_start_and_raise_errors(tmp_path: Path) -> None:
    make_project(tmp_path)

    async def tell() -> None:
        service = make_service(tmp_path, None)
        made = await service.create_backup("x", message="first")
        assert [record["id"] for record in await service.list_backups(name="x")] == [made["backup_id"]]
        assert (await service.verify_backup("x"))["valid"]
        assert (await service.get_status())["last_backup"]["message"] == "first"
        with pytest.raises(BackupNotFoundError):
            await service.restore_backup("nowhere")

    asyncio.run(tell())


@pytest.mark.parametrize("mycelium", [in_process, egos_mycelium], ids=["ours", "egos"])
def test_egos_way_to_make_a_service_does_not_start_it(tmp_path: Path, mycelium: Any) -> None:
    make_project(tmp_path)

    async def tell() -> None:
        network = mycelium.MyceliumNetwork()
        await network.start()
        options = {"project_root": tmp_path / "site", "backup_dir": tmp_path / "stores"}
        service = initialize_cronos(network, **options)
        assert "CRONOS" not in network.nodes
        await service.start()
        await service.start()  # does nothing
        assert network.nodes["CRONOS"].node_type == "PRESERVATION"
        assert network.nodes["CRONOS"].capabilities == ["backup", "restore", "state_mgmt", "history"]
        await service.stop()
        assert "CRONOS" not in network.nodes

        service = CronosService(mycelium.MyceliumInterface(network, "CRONOS"), **options)
        await service.start()
        asker = mycelium.MyceliumInterface(network, "ASKER")
        await asker.connect("TEST", "1", [])
        assert (await asker.send_request("CRONOS", "request.cronos.get_status", {}))["project"] == "site"
        await service.stop()
        await network.stop()

    asyncio.run(tell())


def test_a_stopped_service_can_start_again(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.service.stop()
        await scene.service.start()
        assert (await scene.ask("create_backup"))["status"] == "SUCCESS"

    told(tmp_path, story, world)


def test_stopping_lets_a_backup_finish_and_takes_no_new_one(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        with Held() as held:
            making = asyncio.create_task(scene.ask("create_backup", {"name": "last"}))
            await held.reached()
            stopping = asyncio.create_task(scene.service.stop(grace_s=20))
            while (await scene.ask("get_status"))["state"] != "stopping":
                await asyncio.sleep(0)
            late = await scene.ask("create_backup", {"name": "late"})
            assert (late["status"], late["retryable"]) == ("ERROR", True)
            assert not stopping.done()
            held.let_go()
            assert (await making)["status"] == "SUCCESS"
            await stopping
        assert [backup.name for backup in scene.engine().backups()] == ["last"]
        assert ("request", "done") in scene.noted()

    told(tmp_path, story, world)


def test_a_second_stop_hurries_and_nothing_of_the_backup_is_left(tmp_path: Path) -> None:
    make_large(make_project(tmp_path))

    async def story(scene: Scene) -> None:
        with Held() as held:
            making = asyncio.create_task(scene.ask("create_backup", {"name": "lost"}))
            await held.reached()
            patient = asyncio.create_task(scene.service.stop(grace_s=60))
            await asyncio.sleep(0)
            hurried = asyncio.create_task(scene.service.stop(grace_s=0))
            while not any(job.run.cancelled for job in scene.service._asked._jobs):
                await asyncio.sleep(0)
            held.let_go()
            answer = await making
            assert (answer["status"], answer["code"]) == ("ERROR", "interrupted")
            await asyncio.gather(patient, hurried)
        assert scene.engine().backups() == []
        assert ("request", "interrupted") in scene.noted()
        assert not list((scene.engine().store_path / "objects" / "pack").glob("*"))

    told(tmp_path, story)


def test_a_program_that_waits_for_a_backup_learns_that_it_was_stopped(tmp_path: Path) -> None:
    make_large(make_project(tmp_path))

    async def story(scene: Scene) -> None:
        with Held() as held:
            making = asyncio.create_task(scene.service.create_backup())
            await held.reached()
            stopping = asyncio.create_task(scene.service.stop(grace_s=0))
            while not any(job.run.cancelled for job in scene.service._own._jobs):
                await asyncio.sleep(0)
            held.let_go()
            with pytest.raises(InterruptedRunError):
                await making
            await stopping

    told(tmp_path, story)


# --- health -----------------------------------------------------------------------------------------------------------


def test_a_damaged_store_makes_the_service_degraded(tmp_path: Path) -> None:
    make_project(tmp_path)
    asyncio.run(make_service(tmp_path, None).create_backup("x"))
    ((tag),) = (tmp_path / "stores").glob("*.git/refs/tags/backup/*")
    tag.write_text("0" * 40 + "\n")

    async def story(scene: Scene) -> None:
        assert (await scene.heard("event.mycelium.health_report"))["status"] == "degraded"
        health = (await scene.ask("get_status"))["health"]
        assert health["status"] == "degraded" and "damaged" in health["faults"][-1]

    told(tmp_path, story)


def test_a_service_tells_when_it_comes_and_goes(world: World, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        assert (await scene.heard("event.mycelium.health_report"))["status"] in ("active", "degraded")
        await scene.service.stop()
        assert (await scene.heard("event.mycelium.health_report"))["status"] == "inactive"

    told(tmp_path, story, world)


# --- the clock --------------------------------------------------------------------------------------------------------


def test_a_service_takes_backups_by_itself_when_it_is_told_to(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        completed = await scene.heard("event.cronos.backup_completed")
        assert completed["backup_type"] == "auto"
        status = await scene.ask("get_status")
        assert status["backups_by_type"] == {"auto": 1} and status["next_backup"] > completed["created_at"]
        (created,) = (done for done in scene.engine().operations() if done.verb == "create")
        assert created.face == "schedule"

    told(tmp_path, story, auto_backup_hours=1)


# --- a server that goes and comes -------------------------------------------------------------------------------------


def test_a_backup_outlives_the_server_and_who_asks_again_gets_its_answer(tmp_path: Path) -> None:
    with running(tmp_path) as server:

        async def story(scene: Scene) -> None:
            with Held() as held:
                making = asyncio.create_task(scene.ask("create_backup", {"name": "long", "request_id": "r1"}))
                await held.reached()
                server.kill()
                server.start()
                await back(scene, server)
                held.let_go()
                again = await scene.ask("create_backup", {"name": "long", "request_id": "r1"})
                making.cancel()
            (backup,) = scene.engine().backups()
            assert again["backup_id"] == backup.id

        told(tmp_path, story, on_nats(server.url))


async def back(scene: Scene, server: NatsServer) -> None:
    """Wait until the service answers again, through a connection that was made after the server came back."""
    fresh: Any = on_nats(server.url)()
    async with fresh as open_bus:
        asker = await joined(open_bus("FRESH"), a_node("FRESH"))
        async with asyncio.timeout(20):
            while True:
                try:
                    assert (await asker.ask("CRONOS", "request.cronos.get_status", {}, 1))["state"] == "working"
                    break
                except Exception:
                    await asyncio.sleep(0.02)
        await asker.disconnect()


# --- what `cronos operations` makes of it -----------------------------------------------------------------------------


def test_operations_show_failed_requests_and_all_of_them_on_demand(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def story(scene: Scene) -> None:
        await scene.ask("create_backup", {"name": "x"})
        await scene.ask("restore_backup", {"backup_identifier": "nowhere"})

    told(tmp_path, story)
    words = ["-C", str(tmp_path / "site"), "--backup-dir", str(tmp_path / "stores"), "operations"]
    assert run(words) == 0
    short = capfd.readouterr().out
    assert "request.cronos.restore_backup by ASKER" in short and "request.cronos.create_backup" not in short
    assert run([*words, "-v"]) == 0
    assert "request.cronos.create_backup by ASKER" in capfd.readouterr().out
