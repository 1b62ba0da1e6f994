"""The clock of `auto_backup` with a real manager, a real store and APScheduler."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cronos_git.bootstrap import open_engine
from cronos_git.manager import BackupManager
from cronos_git.model import SnapshotRequest
from cronos_git.rules.cron import next_due, parse_cron
from cronos_git.rules.schema import Settings
from cronos_git.service.scheduler import Scheduler, _Due
from tests.support.clock import FakeClock

PATIENCE_S = 30
DAY = timedelta(days=1)
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    made.mkdir()
    (made / "f").write_text("1\n")
    (made / "g").write_text("1\n")
    return made


def backed_up(project: Path, when: datetime, kind: str = "auto", modules: tuple[str, ...] = ()) -> None:
    """A backup of that type and time."""
    engine = open_engine(project=str(project))
    engine.clock = FakeClock(when)
    engine.snapshot(SnapshotRequest(type=kind, modules=modules))


def scheduler_of(manager: Any, **settings: Any) -> Scheduler:
    return Scheduler(manager, replace(Settings(), **settings), UTC)


@contextmanager
def told() -> Iterator[tuple[list[logging.LogRecord], asyncio.Event]]:
    """What the scheduler logs of its backups, and an event for each."""
    records: list[logging.LogRecord] = []
    event = asyncio.Event()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "utomatic backup" in record.msg and not record.msg.startswith("Next"):
                records.append(record)
                event.set()

    handler, logger = Handler(), logging.getLogger("CRONOS.Scheduler")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield records, event
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


async def one_backup(project: Path, **settings: Any) -> tuple[list[logging.LogRecord], datetime | None]:
    """Start, wait for the first automatic backup, stop; what was logged, and when the next one would have been."""
    manager = BackupManager(project, face="schedule")
    scheduler = scheduler_of(manager, **settings)
    with told() as (records, event):
        await scheduler.start()
        try:
            await asyncio.wait_for(event.wait(), PATIENCE_S)
            return records, scheduler.next_run
        finally:
            scheduler.stop()
            await manager.aclose()


def types_of(project: Path) -> list[str]:
    return [backup.type for backup in open_engine(project=str(project)).backups()]


def test_what_fell_due_while_nobody_served_is_made_up_for_once(project: Path) -> None:
    backed_up(project, datetime.now(UTC) - 10 * DAY)
    (project / "f").write_text("2\n")
    _, following = asyncio.run(one_backup(project, auto_backup_hours=24.0))
    assert types_of(project) == ["auto", "auto"]
    assert following is not None
    assert timedelta(hours=23, minutes=50) < following - datetime.now(UTC) <= DAY
    assert open_engine(project=str(project)).operations(1)[0].face == "schedule"


def test_a_missed_time_of_a_calendar_is_made_up_for_too(project: Path) -> None:
    backed_up(project, datetime.now(UTC) - 10 * DAY)
    (project / "f").write_text("2\n")
    asyncio.run(one_backup(project, auto_backup_cron="0 3 * * *"))
    assert types_of(project) == ["auto", "auto"]


def test_the_first_backup_of_a_project_is_taken_at_once(project: Path) -> None:
    asyncio.run(one_backup(project, auto_backup_hours=6.0))
    assert types_of(project) == ["auto"]


def test_the_next_one_counts_from_the_last_automatic_backup(project: Path) -> None:
    now = datetime.now(UTC)
    backed_up(project, now - timedelta(hours=4))
    backed_up(project, now, kind="manual")
    backed_up(project, now, modules=("f",))  # which covers less

    async def story() -> datetime | None:
        manager = BackupManager(project)
        scheduler = scheduler_of(manager, auto_backup_hours=6.0)
        await scheduler.start()
        following = scheduler.next_run
        scheduler.stop()
        assert scheduler.next_run is None
        await manager.aclose()
        return following

    following = asyncio.run(story())
    assert following is not None
    assert abs(following - (now + timedelta(hours=2))) < timedelta(seconds=2)
    assert types_of(project) == ["auto", "manual", "auto"]


def test_a_clock_that_is_put_back_while_it_serves_does_not_put_a_backup_off(project: Path) -> None:
    backed_up(project, datetime.now(UTC) - timedelta(hours=4))

    async def story() -> None:
        manager = BackupManager(project)
        scheduler = scheduler_of(manager, auto_backup_hours=6.0)
        await scheduler.start()
        following = scheduler.next_run
        assert following is not None
        assert scheduler._scheduler is not None
        scheduler._scheduler.modify_job("auto_backup", next_run_time=following + 3650 * DAY)
        scheduler._look_again()
        assert scheduler.next_run == following
        scheduler.stop()
        await manager.aclose()

    asyncio.run(story())


def test_a_backup_from_a_future_that_never_came_counts_as_of_now_once_and_for_all() -> None:
    trigger = _Due(lambda since, now: next_due(6.0, None, since, now, UTC), NOON + 3650 * DAY)
    assert trigger.get_next_fire_time(None, NOON) == NOON + timedelta(hours=6)
    assert trigger.get_next_fire_time(None, NOON + timedelta(hours=5)) == NOON + timedelta(hours=6)


def test_a_first_time_that_passes_between_two_looks_is_not_missed() -> None:
    trigger = _Due(lambda since, now: next_due(0.0, parse_cron("0 13 * * *"), since, now, UTC), None)
    assert trigger.get_next_fire_time(None, NOON) == NOON + timedelta(hours=1)
    later = NOON + timedelta(hours=1, seconds=1)
    assert trigger.get_next_fire_time(None, later) == later
    assert trigger.get_next_fire_time(later, later) == NOON + timedelta(hours=25)


def test_nothing_is_started_when_nothing_is_wanted() -> None:
    async def story() -> None:
        scheduler = scheduler_of(object())
        await scheduler.start()
        assert scheduler.next_run is None
        scheduler.stop()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("least", "changed", "is_taken"), [(0, 0, True), (1, 0, False), (1, 1, True), (2, 1, False), (2, 2, True)]
)
def test_fewer_changes_than_the_minimum_make_no_backup(project: Path, least: int, changed: int, is_taken: bool) -> None:
    backed_up(project, datetime.now(UTC))
    for name in ("f", "g")[:changed]:
        (project / name).write_text("changed\n")

    async def story() -> bool:
        manager = BackupManager(project)
        report = await scheduler_of(manager, auto_backup_hours=1.0, auto_backup_min_changes=least).back_up()
        await manager.aclose()
        return report is not None

    assert asyncio.run(story()) is is_taken
    assert len(types_of(project)) == 1 + is_taken


def test_a_backup_that_fails_is_logged_and_the_next_time_comes(project: Path) -> None:
    backed_up(project, datetime.now(UTC) - 2 * DAY)
    shutil.rmtree(project)
    records, following = asyncio.run(one_backup(project, auto_backup_hours=6.0))
    assert [record.levelname for record in records] == ["ERROR"]
    assert following is not None


class SlowManager:
    """Takes backups that last until they are let go, and counts them."""

    def __init__(self) -> None:
        self.at_work = self.most = self.asked = 0
        self.go_on = asyncio.Event()
        self.busy = asyncio.Event()

    async def query(self, **_filters: object) -> list[object]:
        return []

    async def snapshot(self, _request: SnapshotRequest) -> Any:
        self.at_work, self.asked = self.at_work + 1, self.asked + 1
        self.most = max(self.most, self.at_work)
        self.busy.set()
        await self.go_on.wait()
        self.at_work -= 1
        raise RuntimeError("a bug, to see that it stops nothing")


def test_two_backups_never_overlap_and_stopping_leaves_the_one_at_work(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> SlowManager:
        manager = SlowManager()
        scheduler = scheduler_of(manager, auto_backup_hours=1e-6, auto_backup_min_changes=0)
        begun = asyncio.Event()
        begin = scheduler._begin
        calls = 0

        async def counted() -> None:
            nonlocal calls
            calls += 1
            if calls == 5:
                begun.set()
            await begin()

        scheduler._begin = counted  # type: ignore[method-assign]
        with told() as (records, event):
            await scheduler.start()
            await asyncio.wait_for(manager.busy.wait(), PATIENCE_S)
            await asyncio.wait_for(begun.wait(), PATIENCE_S)  # it was due again and again meanwhile
            assert manager.asked == 1
            scheduler.stop()
            assert manager.at_work == 1
            manager.go_on.set()
            await asyncio.wait_for(event.wait(), PATIENCE_S)
            assert records[0].exc_info
        return manager

    manager = asyncio.run(story())
    assert (manager.most, manager.at_work) == (1, 0)
