"""BackupManager on real projects and stores, on plain event loops."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import cronos_git
from cronos_git import BackupManager
from cronos_git.disk import files
from cronos_git.errors import (
    BackupNotFoundError,
    ConfigError,
    InterruptedRunError,
    ModuleScopeError,
    ProjectError,
    StoreLockedError,
    UsageError,
)
from cronos_git.events import Advanced, Event, Finished, Noticed, Run, Started
from cronos_git.git.store import Store
from cronos_git.jobs import Job, line_of
from cronos_git.model import Query

TIMEOUT_S = 20.0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    (place / "src").mkdir(parents=True)
    (place / "docs").mkdir()
    (place / "a.txt").write_text("one\n")
    (place / "src" / "main.py").write_text("print(1)\n")
    (place / "src" / "main.pyc").write_text("junk")
    (place / "docs" / "guide.md").write_text("# Guide\n")
    return place


@pytest.fixture
def manager(project: Path, tmp_path: Path) -> BackupManager:
    return BackupManager(project, backup_dir=tmp_path / "stores")


class Held:
    """Stops a job at a durable step of this name, the first or a later one, until it is let go."""

    def __init__(self, step: str, number: int) -> None:
        self.step = step
        self.number = number
        self.reached = threading.Event()
        self.released = threading.Event()
        self.count = 0

    def __call__(self, name: str, path: str) -> None:
        if name == self.step and threading.current_thread() is not threading.main_thread():
            self.count += 1
            if self.count < self.number:
                return
            self.reached.set()
            assert self.released.wait(TIMEOUT_S), "the step was never let go"

    async def wait_reached(self) -> None:
        """Wait until some job stands at the step."""
        assert await asyncio.to_thread(self.reached.wait, TIMEOUT_S), "no job came to the step"


@contextmanager
def held_at(step: str, number: int = 1) -> Iterator[Held]:
    held = Held(step, number)
    files.step = held
    try:
        yield held
    finally:
        held.released.set()
        files.step = files._no_step


@asynccontextmanager
async def working(coroutine: Any) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def run(story: Any) -> Any:
    return asyncio.run(asyncio.wait_for(story, TIMEOUT_S), debug=True)


def names(manager: BackupManager) -> list[str]:
    return [backup.name for backup in manager.list_backups()]


# --- three lines, and old habits ---


def test_a_backup_made_on_a_loop_is_listed_and_comes_back(manager: BackupManager, project: Path, tmp_path: Path) -> None:
    async def story() -> None:
        made = await manager.create_backup("First One", metadata={"ticket": "OPS-1"})
        assert [made.backup] == manager.list_backups() == await manager.query() == await manager.backups()
        assert made.backup.metadata == {"ticket": "OPS-1"}
        report = await manager.restore_backup("latest", tmp_path / "out")
        assert report.plan.target == str(tmp_path / "out")

    run(story())
    assert (tmp_path / "out" / "src" / "main.py").read_text() == "print(1)\n"
    assert not (tmp_path / "out" / "src" / "main.pyc").exists()


def test_a_project_without_a_store_has_no_backups_and_gets_no_store_by_looking(manager: BackupManager) -> None:
    assert manager.list_backups() == []
    assert run(manager.query(types=["manual"])) == []
    assert not manager.backup_dir.exists()


def test_relative_paths_count_from_where_the_manager_was_made(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manager = BackupManager("project", backup_dir="stores")
    monkeypatch.chdir("/")
    run(manager.create_backup())
    assert manager.backup_dir == tmp_path / "stores"
    assert manager.store_path.parent == tmp_path / "stores"
    assert manager.project_root == project


def test_the_configuration_is_a_plain_dict_read_anew(manager: BackupManager, project: Path) -> None:
    assert manager.config["max_backups"] == 100
    (project / "cronos.toml").write_text('max_backups = 7\nexclude = ["*.log"]\n[modules]\nx = "src"\n')
    config = manager.config
    assert (config["max_backups"], config["exclude"], config["modules"]) == (7, ["*.log"], {"x": ["src"]})


def test_a_configuration_file_stands_in_for_the_projects(project: Path, tmp_path: Path) -> None:
    (project / "cronos.toml").write_text("max_backups = 7\n")
    (tmp_path / "own.toml").write_text("keep_last = 3\n")
    manager = BackupManager(project, tmp_path / "own.toml", backup_dir=tmp_path / "stores")
    assert (manager.config["max_backups"], manager.config["keep_last"]) == (100, 3)
    with pytest.raises(ConfigError):
        BackupManager(project, tmp_path / "none.toml")


def test_a_missing_project_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProjectError):
        BackupManager(tmp_path / "nowhere", backup_dir=tmp_path / "stores")


def test_the_callers_metadata_is_neither_changed_nor_shared(manager: BackupManager) -> None:
    metadata: dict[str, Any] = {"tags": ["a"]}

    async def story() -> Mapping[str, object]:
        with held_at("fsync") as held:
            async with working(manager.create_backup(metadata=metadata)) as task:
                await held.wait_reached()
                metadata["tags"].append("later")
                held.released.set()
                return (await task).backup.metadata

    assert run(story()) == {"tags": ["a"]}
    assert metadata == {"tags": ["a", "later"]}


def test_exclude_patterns_leave_out_more(manager: BackupManager) -> None:
    report = run(manager.create_backup(exclude_patterns=["*.txt"]))
    assert report.backup.files == 2
    assert report.backup.scope == "project"


@pytest.mark.parametrize(
    ("patterns", "held"),
    [
        (["*.py"], {"src/main.py"}),
        ("docs", {"docs/guide.md"}),
        (["docs/*.md", "./a.txt"], {"docs/guide.md", "a.txt"}),
        (["src/", "*.pyc"], {"src/main.py"}),
        (["**/*"], {"a.txt", "src/main.py", "docs/guide.md"}),
        (None, {"a.txt", "src/main.py", "docs/guide.md"}),
    ],
)
def test_include_patterns_take_nothing_else_and_no_excluded_file(
    manager: BackupManager, tmp_path: Path, patterns: Any, held: set[str]
) -> None:
    run(manager.create_backup(include_patterns=patterns))
    run(manager.restore_backup("latest", tmp_path / "out"))
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == held


def test_include_patterns_narrow_modules(manager: BackupManager, project: Path) -> None:
    (project / "docs" / "conf.py").write_text("x = 1\n")
    report = run(manager.create_backup(include_patterns=["*.py"], target_modules="src"))
    assert report.backup.files == 1
    assert run(manager.query(module="src")) == [report.backup]


def test_replacing_from_a_backup_of_some_patterns_leaves_other_files_alone(manager: BackupManager, project: Path) -> None:
    async def story() -> None:
        await manager.create_backup(include_patterns=["*.py"])
        (project / "src" / "main.py").write_text("print(2)\n")
        await manager.restore_backup("latest", strategy="replace")

    run(story())
    assert (project / "src" / "main.py").read_text() == "print(1)\n"
    assert (project / "a.txt").exists()
    assert (project / "docs" / "guide.md").exists()


def test_a_backup_of_some_patterns_is_not_what_the_next_whole_one_follows(manager: BackupManager) -> None:
    async def story() -> None:
        whole = await manager.create_backup("whole")
        await manager.create_backup("part", include_patterns=["*.py"])
        again = await manager.create_backup("again")
        assert again.backup.parent == whole.backup.id
        assert (again.backup.added, again.backup.changed, again.backup.removed) == (0, 0, 0)

    run(story())


def test_include_patterns_that_match_nothing_are_an_error(manager: BackupManager) -> None:
    with pytest.raises(ModuleScopeError, match=r"\*\.rs"):
        run(manager.create_backup(include_patterns=["*.rs"]))
    assert manager.list_backups() == []


@pytest.mark.parametrize("word", ["restore-point", "", "With Blank"])
def test_a_type_that_is_no_word_or_not_the_users_is_refused(manager: BackupManager, word: str) -> None:
    with pytest.raises(UsageError):
        run(manager.create_backup(backup_type=word))


@pytest.mark.parametrize("form", ["latest", "work", "{id}", "{id}.zip", "egos_backup_manual_{id}.zip", "{stamp}", "work_{stamp}"])
def test_every_form_of_an_identifier_is_taken(manager: BackupManager, form: str) -> None:
    async def story() -> None:
        made = (await manager.create_backup("work")).backup
        stamp = f"{made.created:%Y%m%d_%H%M%S}"
        assert await manager.find_backup(form.format(id=made.id, stamp=stamp)) == made

    run(story())


@pytest.mark.parametrize(
    ("strategy", "text", "extra"),
    [("overwrite", "one\n", True), ("replace", "one\n", False), ("merge", "two\n", True)],
)
def test_a_strategy_in_place_does_what_its_name_says_and_is_undone(
    manager: BackupManager, project: Path, strategy: Any, text: str, extra: bool
) -> None:
    async def story() -> None:
        await manager.create_backup()
        (project / "a.txt").write_text("two\n")
        (project / "new.txt").write_text("new\n")
        await manager.restore_backup("latest", strategy=strategy)
        assert (project / "a.txt").read_text() == text
        assert (project / "new.txt").exists() == extra
        if strategy != "merge":  # which had nothing to do
            await manager.undo()
        assert (project / "a.txt").read_text() == "two\n"
        assert (project / "new.txt").read_text() == "new\n"

    run(story())


def test_failures_are_exceptions_with_a_hint(manager: BackupManager) -> None:
    run(manager.create_backup())
    with pytest.raises(BackupNotFoundError) as caught:
        run(manager.restore_backup("nothing"))
    assert caught.value.hint
    with pytest.raises(UsageError):
        run(manager.restore_backup("latest", strategy="sideways"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'Theirs'"):
        run(manager.restore_backup("latest", strategy="merge", on_conflict="Theirs"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'all'"):
        run(manager.restore_backup("latest", strategy="merge", deletions="all"))  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["", "/x\0"])
def test_an_empty_path_is_not_the_working_directory(manager: BackupManager, project: Path, path: str) -> None:
    run(manager.create_backup())
    with pytest.raises(UsageError, match="restore_target_path"):
        run(manager.restore_backup("latest", path, "overwrite"))
    for arguments in ({"project_root": path}, {"project_root": project, "backup_dir": path}):
        with pytest.raises(UsageError, match="cannot be"):
            BackupManager(**arguments)


def test_an_unknown_face_is_refused_as_no_rule_would_be_for_it(project: Path) -> None:
    with pytest.raises(UsageError, match="'Service'"):
        BackupManager(project, face="Service")


def test_filters_choose_among_backups(manager: BackupManager) -> None:
    async def story() -> None:
        await manager.create_backup("one", labels="good")
        await manager.create_backup("two", "auto")
        assert [b.name for b in manager.list_backups(labels="good")] == ["one"]
        assert [b.name for b in manager.list_backups(types="auto")] == ["two"]
        assert [b.name for b in manager.list_backups(sort="name", limit=2)] == ["one", "two"]
        assert await manager.backups(Query(name="t*")) == await manager.query(name="t*") == manager.list_backups(name="t*")
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert manager.list_backups(since=tomorrow) == []

    run(story())
    with pytest.raises(UsageError, match="colour"):
        manager.list_backups(colour="red")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="zone"):
        manager.list_backups(since=datetime(2026, 1, 1))  # noqa: DTZ001


def test_status_verify_clean_delete_and_operations_do_as_the_engine(manager: BackupManager, project: Path) -> None:
    async def story() -> None:
        kept, gone = (await manager.create_backup("kept")).backup, (await manager.create_backup("gone")).backup
        (project / "a.txt").write_text("changed\n")
        assert [change.path for change in (await manager.status()).changes if change.kind == "changed"] == ["a.txt"]
        assert (await manager.verify_backup()).backups == 2
        assert (await manager.verify_backup("kept", quick=True)).backups == 1
        assert (await manager.clean_old_backups()).pruned == ()
        assert await manager.delete_backup(gone.id) == [gone]
        assert manager.list_backups() == [kept]
        assert [(done.verb, done.face) for done in await manager.operations(1)] == [("delete", "library")]
        assert [b.id for b in await manager.work(lambda engine, _run: engine.trash())] == [gone.id]

    run(story())


def test_the_face_stands_in_the_operation_log(project: Path, tmp_path: Path) -> None:
    manager = BackupManager(project, backup_dir=tmp_path / "stores", face="schedule")
    run(manager.create_backup())
    assert [done.face for done in run(manager.operations())] == ["schedule"]


def test_old_backups_are_cleaned_by_the_rules_of_the_manager(project: Path, tmp_path: Path) -> None:
    manager = BackupManager(project, backup_dir=tmp_path / "stores", overrides={"max_backups": 1, "auto_prune": False})

    async def story() -> None:
        first, second = await manager.create_backup("one"), await manager.create_backup("two")
        assert (await manager.clean_old_backups()).pruned == (first.backup.id,)
        assert manager.list_backups() == [second.backup]

    run(story())


# --- the loop goes on; turns ---


def test_the_loop_serves_others_and_readers_read_while_a_backup_is_held(manager: BackupManager) -> None:
    async def story() -> None:
        first = (await manager.create_backup("first")).backup
        with held_at("fsync") as held:
            async with working(manager.create_backup("second")) as task:
                await held.wait_reached()
                for _ in range(50):
                    await asyncio.sleep(0)
                assert await manager.query() == [first]
                assert await manager.find_backup("first") == first
                assert (await manager.status()).against == first
                assert manager.is_writing
                assert not task.done()
                held.released.set()
                await task
        assert not manager.is_writing

    run(story())


@pytest.mark.parametrize("number", range(1, 12, 2))
def test_readers_beside_a_restore_in_place_do_not_take_it_for_a_dead_one(
    manager: BackupManager, project: Path, number: int
) -> None:
    async def story() -> None:
        first = (await manager.create_backup("first")).backup
        (project / "a.txt").write_text("two\n")
        (project / "src" / "main.py").write_text("print(2)\n")
        with held_at("fsync", number) as held:
            async with working(manager.restore_backup("first", strategy="replace")) as task:
                await held.wait_reached()
                assert first in await manager.query()
                assert (await manager.status()).against == first
                held.released.set()
                await task
        assert {done.verb for done in await manager.operations()} == {"create", "restore"}

    run(story())
    assert (project / "a.txt").read_text() == "one\n"
    assert (project / "src" / "main.py").read_text() == "print(1)\n"


def test_writers_take_their_turns_in_the_order_of_asking(manager: BackupManager, project: Path, tmp_path: Path) -> None:
    other = BackupManager(project, backup_dir=tmp_path / "stores")

    async def story() -> None:
        with held_at("fsync") as held:
            tasks = [asyncio.create_task(manager.create_backup("n0"))]
            await held.wait_reached()
            for number in range(1, 8):
                tasks.append(asyncio.create_task((other if number % 2 else manager).create_backup(f"n{number}")))
                await asyncio.sleep(0)
            assert manager.jobs_in_line == other.jobs_in_line == 8
            held.released.set()
            made = [(await task).backup for task in tasks]
        assert [backup.sequence for backup in made] == list(range(1, 9))
        assert manager.jobs_in_line == 0

    run(story())


def test_a_queued_job_that_is_cancelled_is_dropped_and_the_next_goes_on(manager: BackupManager) -> None:
    async def story() -> None:
        with held_at("fsync") as held:
            first = asyncio.create_task(manager.create_backup("first"))
            await held.wait_reached()
            dropped = asyncio.create_task(manager.create_backup("dropped"))
            last = asyncio.create_task(manager.create_backup("last"))
            await asyncio.sleep(0)
            dropped.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dropped
            assert not first.done()
            held.released.set()
            await asyncio.gather(first, last)
        assert names(manager) == ["last", "first"]

    run(story())


def test_two_checks_go_together_and_a_backup_waits_for_both(manager: BackupManager) -> None:
    async def story() -> list[str]:
        order: list[str] = []
        both, leave = threading.Barrier(3), threading.Event()

        def check(_engine: Any, _run: Run) -> None:
            both.wait(TIMEOUT_S)
            leave.wait(TIMEOUT_S)
            order.append("checked")

        checks = [asyncio.create_task(manager.work(check, access="shared")) for _ in range(2)]
        await asyncio.to_thread(both.wait, TIMEOUT_S)
        writer = asyncio.create_task(manager.work(lambda _engine, _run: order.append("wrote"), access="alone"))
        late = asyncio.create_task(manager.work(lambda _engine, _run: order.append("late"), access="shared"))
        await manager.query()
        assert order == []
        leave.set()
        await asyncio.gather(*checks, writer, late)
        return order

    assert run(story()) == ["checked", "checked", "wrote", "late"]


def test_a_manager_serves_one_loop_after_another_and_two_at_once(manager: BackupManager) -> None:
    run(manager.create_backup("first"))
    failures: list[BaseException] = []

    def other_loop(name: str) -> None:
        try:
            run(manager.create_backup(name))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=other_loop, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(names(manager)) == ["first", "t0", "t1", "t2", "t3"]


def test_a_loop_that_is_closed_under_its_jobs_holds_nobody_up(manager: BackupManager) -> None:
    run(manager.create_backup("first"))
    with held_at("fsync") as held:
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(manager.create_backup(name)) for name in ("left", "never")]
        loop.run_until_complete(held.wait_reached())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        held.released.set()
        run(manager.create_backup("third"))
    assert names(manager) == ["third", "left", "first"]
    assert manager.jobs_in_line == 0
    for task in tasks:
        task.get_coro().close()
        task._log_destroy_pending = False


# --- stopping ---


def test_cancelling_a_backup_stops_it_and_leaves_the_store_as_it_was(manager: BackupManager) -> None:
    async def story() -> None:
        before = (await manager.create_backup("first")).backup
        packs = sorted(os.listdir(manager.store_path / "objects" / "pack"))
        stopped = threading.Event()

        def slow(engine: Any, run: Run) -> None:
            with engine._writing(run):
                try:
                    while True:
                        run.checkpoint()
                finally:
                    stopped.set()

        task = asyncio.create_task(manager.work(slow, access="alone"))
        while not manager.is_writing:
            await asyncio.sleep(0)
        await manager.query()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stopped.is_set()
        assert manager.list_backups() == [before]
        assert sorted(os.listdir(manager.store_path / "objects" / "pack")) == packs
        await manager.create_backup("second")

    run(story())


def test_a_cancellation_waits_until_the_work_has_stopped_and_too_late_a_one_stops_nothing(manager: BackupManager) -> None:
    async def story() -> None:
        with held_at("rename") as held:
            task = asyncio.create_task(manager.create_backup("late"))
            await held.wait_reached()
            for _ in range(3):  # impatience changes nothing
                task.cancel()
                await asyncio.sleep(0)
            assert not task.done()
            held.released.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not manager.is_writing
        await manager.create_backup("next")
        assert names(manager)[0] == "next"
        assert (await manager.verify_backup()).damage == ()

    run(story())


def test_waiting_for_another_process_ends_with_a_cancellation_and_keeps_no_reader(project: Path, tmp_path: Path) -> None:
    manager = BackupManager(project, backup_dir=tmp_path / "stores", lock_wait_s=600)

    async def story() -> None:
        first = (await manager.create_backup("first")).backup
        with Store.open(manager.store_path).lock():
            task = asyncio.create_task(manager.create_backup("second"))
            while not manager.is_writing:
                await asyncio.sleep(0)
            assert await manager.query() == [first]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await manager.create_backup("third")

    run(story())
    assert names(manager) == ["third", "first"]


def test_a_store_that_stays_locked_is_an_error_when_the_wait_is_over(manager: BackupManager) -> None:
    run(manager.create_backup())
    with Store.open(manager.store_path).lock(), pytest.raises(StoreLockedError):
        run(manager.create_backup())


def test_closing_waits_for_what_there_is_and_takes_no_more(manager: BackupManager) -> None:
    async def story() -> None:
        with held_at("fsync") as held:
            async with manager:
                tasks = [asyncio.create_task(manager.create_backup(name)) for name in ("one", "two")]
                await held.wait_reached()
                closing = asyncio.create_task(manager.aclose())
                await asyncio.sleep(0)
                with pytest.raises(UsageError, match="closed"):
                    await manager.create_backup("three")
                assert not closing.done()
                held.released.set()
                await closing
            await asyncio.gather(*tasks)
        with pytest.raises(UsageError, match="closed"):
            await manager.query()

    run(story())
    assert names(manager) == ["two", "one"]


def test_closing_stops_what_does_not_end_within_the_grace(manager: BackupManager) -> None:
    async def story() -> None:
        started = threading.Event()

        def endless(_engine: Any, run: Run) -> None:
            started.set()
            while True:
                run.checkpoint()

        tasks = [asyncio.create_task(manager.work(endless, access="alone")) for _ in range(3)]
        await asyncio.to_thread(started.wait, TIMEOUT_S)
        await manager.aclose(grace_s=0)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in ended] == [InterruptedRunError] * 3

    run(story())


# --- events ---


def test_events_come_on_the_loops_thread_in_order_and_the_last_values_always(manager: BackupManager, project: Path) -> None:
    for number in range(30):
        (project / f"d{number}").mkdir()
        (project / f"d{number}" / "f.txt").write_text(str(number))
    heard: list[tuple[Event, threading.Thread]] = []

    async def story() -> None:
        report = await manager.create_backup(on_event=lambda event: heard.append((event, threading.current_thread())))
        assert isinstance(heard[-1][0], Finished)
        stored = [event for event, _ in heard if isinstance(event, Advanced)][-1]
        assert stored.done_files == report.backup.files

    run(story())
    assert {thread for _, thread in heard} == {threading.main_thread()}
    kinds = [(type(event), getattr(event, "phase", "")) for event, _ in heard if isinstance(event, Started | Finished)]
    assert kinds == [(Started, "scan"), (Finished, "scan"), (Started, "store"), (Finished, "store")]
    assert sum(isinstance(event, Advanced) for event, _ in heard) <= 4  # of the more than thirty that the walk tells


def test_a_burst_of_progress_becomes_its_first_and_its_last_and_loses_no_notice() -> None:
    heard: list[Event] = []

    def work(run: Run) -> None:
        for number in range(1000):
            run.emit(Advanced(number, 0))
            if number in (10, 20):
                run.emit(Noticed("info", "store.damaged", str(number)))

    async def story() -> None:
        await Job(heard.append).do(work, line_of("burst"), "alone")

    run(story())
    told = [event.done_files if isinstance(event, Advanced) else event.text for event in heard]  # type: ignore[union-attr]
    assert (told[0], told[-1]) == (0, 999)
    assert [text for text in told if isinstance(text, str)] == ["10", "20"]
    assert told.index("10") == told.index(10) + 1
    assert len(told) < 10


# --- the Mycelium ---


class Client:
    """A client of the Mycelium that keeps what it was given."""

    def __init__(self, fails: BaseException | None = None) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.fails = fails

    async def publish(self, topic: str, payload: dict[str, Any]) -> None:
        if self.fails:
            raise self.fails
        self.told.append((topic, payload))

    @property
    def topics(self) -> list[str]:
        return [topic for topic, payload in self.told if payload.get("level") != "info"]


def test_a_client_hears_of_backups_and_restores_and_their_failures(project: Path, tmp_path: Path) -> None:
    client = Client()
    manager = BackupManager(project, None, client, backup_dir=tmp_path / "stores")

    async def story() -> None:
        made = await manager.create_backup("work")
        assert client.topics == ["event.cronos.backup_completed", "cronos.alert"]
        assert client.told[-2][1]["id"] == made.backup.id
        assert client.told[-1][1]["level"] == "success"
        client.told.clear()
        await manager.restore_backup("work", tmp_path / "out")
        assert client.topics == ["event.cronos.restore_completed", "cronos.alert"]
        client.told.clear()
        with pytest.raises(BackupNotFoundError):
            await manager.restore_backup("nothing")
        assert client.topics == ["event.cronos.restore_failed", "cronos.alert"]
        assert client.told[0][1]["code"] == "backup.not_found"
        client.told.clear()
        with pytest.raises(ModuleScopeError):
            await manager.create_backup("bad", target_modules=["no-such"])
        assert client.topics == ["event.cronos.backup_failed", "cronos.alert"]
        assert client.told[0][1]["name"] == "bad"

    run(story())


def test_a_cancelled_backup_is_told_as_a_failure(project: Path, tmp_path: Path) -> None:
    client = Client()
    manager = BackupManager(project, None, client, backup_dir=tmp_path / "stores")

    async def story() -> None:
        with held_at("fsync") as held:
            first = asyncio.create_task(manager.create_backup("first"))
            await held.wait_reached()
            queued = asyncio.create_task(manager.create_backup("queued"))
            await asyncio.sleep(0)
            queued.cancel()
            await asyncio.gather(queued, return_exceptions=True)
            assert client.topics == ["event.cronos.backup_failed", "cronos.alert"]
            assert client.told[-1][1]["details"]["code"] == "interrupted"
            held.released.set()
            await first

    run(story())


def test_an_interface_with_publish_event_is_taken_and_anything_else_refused(project: Path, tmp_path: Path) -> None:
    class Interface:
        def __init__(self) -> None:
            self.topics: list[str] = []

        async def publish_event(self, topic: str, payload: dict[str, Any]) -> None:
            self.topics.append(topic)
            payload.get("metadata", {}).get("inner", {}).clear()

    interface = Interface()
    backups = BackupManager(project, None, interface, backup_dir=tmp_path / "stores")
    made = run(backups.create_backup(metadata={"inner": {"a": 1}}))
    assert made.backup.metadata == {"inner": {"a": 1}}
    assert "event.cronos.backup_completed" in interface.topics
    with pytest.raises(UsageError, match="object"):
        BackupManager(project, None, object(), backup_dir=tmp_path / "stores")


def test_a_client_that_fails_fails_no_backup_and_is_told_once(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(fails=ConnectionResetError("gone"))
    manager = BackupManager(project, None, client, backup_dir=tmp_path / "stores")
    heard: list[Event] = []
    run(manager.create_backup(on_event=heard.append))
    assert [event.code for event in heard if isinstance(event, Noticed)] == ["bus.untold"]
    assert "gone" in caplog.text
    assert len(manager.list_backups()) == 1


def test_a_client_that_never_answers_is_given_up(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        async def publish(self, topic: str, payload: dict[str, Any]) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("cronos_git.announcing.PATIENCE_S", 0.01)
    heard: list[Event] = []
    run(BackupManager(project, None, Silent(), backup_dir=tmp_path / "stores").create_backup(on_event=heard.append))
    assert [event.code for event in heard if isinstance(event, Noticed)] == ["bus.untold"]


# --- resources and imports ---


def test_many_jobs_leave_no_thread_and_no_descriptor_behind(manager: BackupManager) -> None:
    async def story() -> None:
        await manager.create_backup()
        await manager.query()
        descriptors = len(os.listdir("/proc/self/fd"))
        await asyncio.gather(*(manager.verify_backup() for _ in range(20)))
        await asyncio.gather(*(manager.find_backup("latest") for _ in range(20)))
        for thread in threading.enumerate():
            if thread.name.startswith("cronos"):
                thread.join(TIMEOUT_S)
                assert not thread.is_alive()
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2

    run(story())


def test_importing_the_package_loads_neither_the_manager_nor_an_event_loop() -> None:
    code = "import sys, cronos_git; assert not {'asyncio', 'cronos_git.manager', 'pygit2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(cronos_git.__file__).parents[1])
    with pytest.raises(AttributeError, match="nonsense"):
        cronos_git.nonsense  # type: ignore[attr-defined]  # noqa: B018
