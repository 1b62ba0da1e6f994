"""What asks a service: against a real one, and against stand-ins that answer as a service may only seldom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cronos_git.bootstrap import open_engine
from cronos_git.errors import BackupNotFoundError, BusError, MergeConflictError, PolicyDeniedError, ServiceError, StoreLockedError
from cronos_git.events import Advanced, Event, Noticed, Run, Started
from cronos_git.model import (
    Conflict,
    Damage,
    Dependency,
    Module,
    Problem,
    Query,
    RestoreRequest,
    SnapshotRequest,
    VerifyReport,
    VerifyRequest,
)
from cronos_git.ports import Bus, Envelope
from cronos_git.rules.announcements import ALERT, alert
from cronos_git.service import answers, reports
from cronos_git.service.buses.in_process import MyceliumInterface, MyceliumNetwork
from cronos_git.service.buses.mycelium import MyceliumBus
from cronos_git.service.buses.nats import NatsBus
from cronos_git.service.client import RemoteCronos
from cronos_git.service.worker import CronosService
from tests.cli.records import backup, report
from tests.support.buses import a_node
from tests.support.nats_server import NatsServer, running
from tests.support.services import Held, make_project, make_service

Payload = Mapping[str, Any]
Answer = Callable[[str, Payload], Awaitable[Payload]]

SILENCE_S = 0.02


def bus_of(network: MyceliumNetwork, node_id: str) -> Bus:
    return MyceliumBus(MyceliumInterface(network, node_id), limit_bytes=1 << 20)


def asked(answer: Answer, story: Callable[[RemoteCronos, Bus], Awaitable[None]]) -> None:
    """Tell *story* with a service whose answers to a verb and a payload are *answer*'s."""

    async def tell() -> None:
        network = MyceliumNetwork()
        service, remote = bus_of(network, "CRONOS"), RemoteCronos(bus_of(network, "ASKER"), silence_s=SILENCE_S)

        async def take(envelope: Envelope) -> Payload:
            return await answer(envelope["header"]["topic"].rpartition(".")[2], envelope["payload"])

        await service.connect(a_node(project="site"), take)
        await remote.connect()
        try:
            await asyncio.wait_for(story(remote, service), 20)
        finally:
            await remote.disconnect()
            await asyncio.wait_for(service.disconnect(), 5)

    asyncio.run(tell())


def served(place: Path, story: Callable[[RemoteCronos, Path], Awaitable[None]]) -> None:
    """Tell *story* with a real service of a project with one file."""
    project = place / "site"
    project.mkdir()
    (project / "a.txt").write_text("one")

    async def tell() -> None:
        network = MyceliumNetwork()
        service = CronosService(network, project_root=project, backup_dir=place / "stores")
        remote = RemoteCronos(bus_of(network, "ASKER"), "site")
        await service.start()
        await remote.connect()
        try:
            await asyncio.wait_for(story(remote, project), 30)
        finally:
            await remote.disconnect()
            await service.stop()

    asyncio.run(tell())


# --- a real service -------------------------------------------------------------------------------------------------


def test_a_backup_and_the_list_come_back_as_the_engine_has_them(tmp_path: Path) -> None:
    async def story(remote: RemoteCronos, project: Path) -> None:
        request = SnapshotRequest(
            name="nightly", message="why", description="a\nb", labels=("x", "y"), pinned=True, metadata={"n": [1, {"m": None}]}
        )
        first = (await remote.create(request)).backup
        (project / "a.txt").write_text("two")
        second = await remote.create(SnapshotRequest(type="auto"))
        unchanged = await remote.create(SnapshotRequest(skip_if_unchanged=True))
        engine = open_engine(project=str(project), backup_dir=str(tmp_path / "stores"))
        assert await remote.backups() == engine.backups() == [second.backup, first]
        assert await remote.backups(Query(types=("auto",))) == [second.backup]
        assert (second.unchanged, unchanged.unchanged, unchanged.backup) == (False, True, second.backup)
        assert first.metadata == {"n": [1, {"m": None}]}

    served(tmp_path, story)


def test_a_restore_tells_what_it_did(tmp_path: Path) -> None:
    async def story(remote: RemoteCronos, project: Path) -> None:
        first = (await remote.create(SnapshotRequest())).backup
        (project / "a.txt").write_text("two")
        (project / "new.txt").write_text("new")
        done = await remote.restore(RestoreRequest(backup=first.id, strategy="replace"))
        assert (project / "a.txt").read_text() == "one"
        assert not (project / "new.txt").exists()
        assert (done.plan.backup, done.plan.target, done.files) == (first, str(project), 1)
        assert done.plan.counts == {"create": 0, "update": 1, "delete": 1, "attributes": 1, "kept": 0}
        assert done.restore_point in [backup.id for backup in await remote.backups()]

    served(tmp_path, story)


def test_what_goes_wrong_there_has_its_exit_status_here(tmp_path: Path) -> None:
    async def story(remote: RemoteCronos, project: Path) -> None:
        with pytest.raises(ServiceError) as missing:
            await remote.restore(RestoreRequest(backup="latest"))
        assert (missing.value.exit_status, missing.value.remote_code) == (10, "store.missing")
        await remote.create(SnapshotRequest())
        with pytest.raises(ServiceError) as unknown:
            await remote.restore(RestoreRequest(backup="nothing"))
        assert (unknown.value.exit_status, unknown.value.remote_code) == (12, "backup.not_found")
        with pytest.raises(ServiceError) as outside:
            await remote.restore(RestoreRequest(backup="latest", target=str(tmp_path / "elsewhere")))
        assert outside.value.exit_status == 13

    served(tmp_path, story)


def test_a_check_finds_damage_there(tmp_path: Path) -> None:
    async def story(remote: RemoteCronos, project: Path) -> None:
        made = (await remote.create(SnapshotRequest())).backup
        assert (await remote.verify(VerifyRequest(backups=(made.id,)))).damage == ()
        pack = next((tmp_path / "stores").glob("*/objects/pack/*.pack"))
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        content[40] ^= 0xFF
        pack.write_bytes(content)
        found = (await remote.verify(VerifyRequest())).damage
        assert {made.id} == {name for damage in found for name in damage.backups}

    served(tmp_path, story)


# --- lists ----------------------------------------------------------------------------------------------------------


def listing(pages: list[Payload], most: int) -> Answer:
    known = [backup(number) for number in range(9, 0, -1)]

    async def answer(_verb: str, payload: Payload) -> Payload:
        pages.append(payload)
        start = 0 if payload["cursor"] is None else int(payload["cursor"])
        end = start + min(payload["limit"], most)
        records = [answers.record_of(one) for one in known[start:end]]
        return {"status": "SUCCESS", "backups": records, "next": f"{end}" if end < len(known) else None}

    return answer


@pytest.mark.parametrize(
    ("limit", "numbers", "asks"), [(None, range(9, 0, -1), 3), (5, range(9, 4, -1), 2), (4, range(9, 5, -1), 1)]
)
def test_a_list_follows_its_pages_as_far_as_it_must(limit: int | None, numbers: Sequence[int], asks: int) -> None:
    pages: list[Payload] = []

    async def story(remote: RemoteCronos, _service: Bus) -> None:
        assert await remote.backups(Query(limit=limit)) == [backup(number) for number in numbers]
        assert len(pages) == asks

    asked(listing(pages, 4), story)


# --- errors ---------------------------------------------------------------------------------------------------------

CONFLICT = Conflict(path="a.txt", kind="content", base=None, ours=None, theirs=None)
NO_STATUS = {"status": "ERROR", "error_message": "Too late.", "code": "store.locked"}


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (answers.failure(BackupNotFoundError("None.", candidates=["a"])), 12),
        (answers.failure(StoreLockedError("Wait.")), 11),
        (answers.failure(PolicyDeniedError("No.")), 20),
        (answers.failure(MergeConflictError("Both.", conflicts=[CONFLICT])), 4),
        (NO_STATUS, 11),
        ({"status": "ERROR"}, 1),
        ({"status": "ERROR", "error": "x", "exit_status": 0}, 1),
    ],
)
def test_an_error_answer_ends_with_the_status_of_its_error(told: Payload, status: int) -> None:
    async def answer(_verb: str, _payload: Payload) -> Payload:
        return told

    async def story(remote: RemoteCronos, _service: Bus) -> None:
        with pytest.raises(ServiceError) as caught:
            await remote.create(SnapshotRequest())
        assert caught.value.exit_status == status
        assert caught.value.hint == told.get("hint", "")
        if status == 4:
            assert caught.value.context["conflicts"] == [{"path": "a.txt", "kind": "content"}]

    asked(answer, story)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"status": "success"},
        {"status": "SUCCESS", "backups": "none", "next": None},
        {"status": "SUCCESS", "backups": [{}], "next": None},
        {"status": "SUCCESS", "backups": [answers.record_of(backup(id="\x1b[2J"))], "next": None},
        {"status": "SUCCESS", "backups": [answers.record_of(backup()) | {"sequence": "first"}], "next": None},
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(broken: Payload) -> None:
    async def answer(_verb: str, _payload: Payload) -> Payload:
        return broken

    async def story(remote: RemoteCronos, _service: Bus) -> None:
        with pytest.raises(ServiceError, match="not understood"):
            await remote.backups()

    asked(answer, story)


def test_what_did_not_fit_into_an_answer_is_not_forgotten() -> None:
    damage = Damage(backups=("a",), path="data:x", oid="1" * 40, code="corrupt", text="Broken.")
    told = VerifyReport(backups=1, objects=2, bytes_read=3, damage=(damage,) * 3, duration_s=0.5)
    whole = answers.verified(told)
    assert reports.verified(whole) == told
    for shown in (0, 1):
        cut = reports.verified(whole | {"damage": whole["damage"][:shown], "shortened": ["damage"]}).damage
        assert cut[:shown] == (damage,) * shown
        assert f"{3 - shown} findings more" in cut[-1].text
    problem = Problem(path="x", code="unreadable", text="No.")
    made = report(backup(), problems=(problem,))
    answer = answers.created(made, 1 << 20)
    assert reports.created(answer) == made
    assert [found.code for found in reports.created(answer | {"problems": [], "shortened": ["problems"]}).problems] == [
        "unlisted"
    ]


def test_what_was_taken_along_comes_back_with_its_reason() -> None:
    need = Dependency(module=Module(name="B", paths=("b",)), needed_by=("a",), file="a/x.py", line=3, imports="b")
    made = report(backup(), dependencies=(need,))
    assert reports.created(json.loads(json.dumps(answers.created(made, 1 << 20)))) == made


# --- waiting --------------------------------------------------------------------------------------------------------

REPORT: Payload = {
    "status": "SUCCESS",
    "backup": answers.record_of(backup()),
    "unchanged": False,
    "files_read": 1,
    "bytes_read": 2,
    "bytes_stored": 3,
    "objects_stored": 4,
    "excluded": {"files": 0, "directories": 0},
    "pruned": [],
    "dropped": [],
    "pushed": [],
    "problems": [],
    "duration_s": 0.5,
    "freed_bytes": 0,
    "push_failed": "",
    "dependencies": [],
}


STATUS: Payload = {
    "status": "SUCCESS",
    **dict.fromkeys(("project", "project_root", "host", "store", "version", "service", "state"), "x"),
    "backups": 0,
    "backups_by_type": {},
    "last_backup": None,
    "working": [],
    "queue_length": 0,
    "next_backup": None,
    "health": {"status": "active", "faults": []},
}


class Service:
    """A stand-in that is asked for one backup, and answers it when `done` is set.

    Attributes:
        requests: The ids of the requests that it is at, as its status tells.
        uptime_s: How long it has been there.
        asked: The ids of the requests for a backup.
        looks: How often its status was asked for.
    """

    def __init__(self, *, uptime_s: float = 1e6) -> None:
        self.done = asyncio.Event()
        self.requests: list[str] = []
        self.uptime_s = uptime_s
        self.asked: list[str] = []
        self.looks = 0

    async def answer(self, verb: str, payload: Payload) -> Payload:
        if verb == "get_status":
            self.looks += 1
            if self.looks == 20:
                self.done.set()
            return {**STATUS, "requests": self.requests, "uptime_s": self.uptime_s}
        self.asked.append(payload["request_id"])
        if len(self.asked) == 1:
            self.requests.append(payload["request_id"])
            await self.done.wait()
        return REPORT


def test_a_request_is_waited_for_as_long_as_it_is_worked_on() -> None:
    service = Service()

    async def story(remote: RemoteCronos, _bus: Bus) -> None:
        await remote.create(SnapshotRequest())
        assert service.looks == 20
        assert len(service.asked) == 1

    asked(service.answer, story)


def forgetting(service: Service) -> Answer:
    """The answers of *service*, whose status never tells of any request."""

    async def answer(verb: str, payload: Payload) -> Payload:
        answered = asyncio.ensure_future(service.answer(verb, payload))
        await asyncio.sleep(0)
        service.requests.clear()
        return await answered

    return answer


def test_an_answer_that_got_lost_is_asked_for_again_under_the_same_id() -> None:
    service = Service()

    async def story(remote: RemoteCronos, _bus: Bus) -> None:
        assert (await remote.create(SnapshotRequest())).backup == backup()
        service.done.set()
        assert len(service.asked) == 2
        assert len(set(service.asked)) == 1

    asked(forgetting(service), story)


def test_a_service_that_was_restarted_meanwhile_is_not_asked_to_do_it_again() -> None:
    service = Service(uptime_s=0.0)

    async def story(remote: RemoteCronos, _bus: Bus) -> None:
        with pytest.raises(BusError, match="went away"):
            await remote.create(SnapshotRequest())
        service.done.set()
        assert len(service.asked) == 1

    asked(forgetting(service), story)


def at_work(requests: list[str]) -> Payload:
    return alert("info", "1 at work or waiting.", {"requests": requests, "service": "another"}, datetime.now(UTC))


def test_another_service_of_the_project_is_not_asked_to_do_it_too() -> None:
    service = Service()

    async def story(remote: RemoteCronos, bus: Bus) -> None:
        making = asyncio.ensure_future(remote.create(SnapshotRequest()))
        while not service.asked:
            await asyncio.sleep(0)
        await bus.publish(ALERT, at_work(service.asked))
        with pytest.raises(BusError, match="went away"):
            await making
        assert (len(service.asked), service.looks) == (1, 10)
        service.done.set()

    asked(forgetting(service), story)


@pytest.mark.parametrize(("looks_away", "is_lost"), [(5, False), (100, True)])
def test_a_service_that_is_away_is_waited_for_but_not_for_ever(looks_away: int, is_lost: bool) -> None:
    service = Service()

    async def answer(verb: str, payload: Payload) -> Payload:
        told = await service.answer(verb, payload)
        return NO_STATUS if verb == "get_status" and service.looks <= looks_away else told

    async def story(remote: RemoteCronos, _bus: Bus) -> None:
        try:
            await remote.create(SnapshotRequest())
            assert not is_lost
        except BusError:
            assert is_lost
        service.done.set()
        assert len(service.asked) == 1

    asked(answer, story)


def test_progress_is_that_of_the_own_request() -> None:
    events: list[Event] = []
    begun, told = asyncio.Event(), asyncio.Event()
    ids: list[str] = []

    async def answer(_verb: str, payload: Payload) -> Payload:
        ids.append(payload["request_id"])
        begun.set()
        await told.wait()
        return REPORT

    def progress(request_id: str, files: int, **more: Any) -> Payload:
        details = {"request_id": request_id, "phase": "scan", "files_processed": files, "bytes_processed": 0, **more}
        return alert("info", "", details, datetime.now(UTC))

    async def story(remote: RemoteCronos, service: Bus) -> None:
        making = asyncio.ensure_future(remote.create(SnapshotRequest(), Run(emit=events.append)))
        await begun.wait()
        await service.publish(ALERT, progress("another", 7))
        await service.publish(ALERT, progress(ids[0], 1))
        await service.publish(ALERT, progress(ids[0], 2))
        warning = {"request_id": ids[0], "code": "prune.failed", "path": ""}
        await service.publish(ALERT, alert("warning", "Not pruned.", warning, datetime.now(UTC)))
        while len(events) < 4:
            await asyncio.sleep(0)
        told.set()
        await making

    asked(answer, story)
    assert events == [Started("scan"), Advanced(1, 0), Advanced(2, 0), Noticed("warning", "prune.failed", "Not pruned.")]


def test_the_server_may_die_and_come_back_while_a_request_is_worked_on(tmp_path: Path) -> None:
    make_project(tmp_path)

    async def story(server: NatsServer, held: Held) -> None:
        service = make_service(tmp_path, NatsBus(server.url, discovery_s=0.2, retry_s=0.05))
        remote = RemoteCronos(NatsBus(server.url, retry_s=0.05), "site", silence_s=0.2)
        await service.start()
        await remote.connect()
        making = asyncio.ensure_future(remote.create(SnapshotRequest(name="long")))
        await held.reached()
        server.kill()
        held.let_go()
        while (await service.get_status())["requests"]:
            await asyncio.sleep(0)
        server.start()
        made = (await asyncio.wait_for(making, 20)).backup
        assert await remote.backups() == [made]
        await remote.disconnect()
        await service.stop()

    with running(tmp_path) as server, Held() as held:
        asyncio.run(story(server, held))
