"""Journals and an operation log that the disk has garbled: told, set aside, and the way back from half a restore is named."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.disk import files
from cronos_git.engine import Cronos
from cronos_git.git.quarantine import Quarantine
from cronos_git.model import RestoreRequest, SnapshotRequest
from cronos_git.ops import oplog, paperwork
from cronos_git.ops.absence import missing_refs
from tests.support.engine import make_engine
from tests.support.faults import run_and_fail, run_and_kill
from tests.support.trees import make_tree, read_tree

Fault = Callable[[Callable[[], object], int], bool]
NOW = {f"f{number}": f"now {number}" for number in range(6)}


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """The backup a of six files that have changed since."""
    engine = make_engine(tmp_path)
    make_tree(engine.project, {f"f{number}": "then" for number in range(6)})
    engine.snapshot(SnapshotRequest(name="a"))
    make_tree(engine.project, NOW)
    return engine


def again(engine: Cronos) -> Cronos:
    """The engine of the next command."""
    return make_engine(engine.project.parent)


def half_restored(engine: Cronos, target: str | None = None) -> Path:
    """Kill a restore when it has moved some of the files; its journal."""
    there = Path(target or engine.project)

    def die_midway(_name: str, _path: str) -> None:
        if len({path.read_text() == "then" for name in NOW if (path := there / name).exists()}) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        files.step = die_midway
        again(engine).restore(RestoreRequest(backup="a", strategy="replace", target=target))
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    [journal] = (engine.store_path / "cronos/journal").glob("*.json")
    assert json.loads(journal.read_bytes())["phase"] == "moving"
    return journal


GARBLED: dict[str, Callable[[bytes], bytes]] = {
    "a byte": lambda raw: raw.replace(b'"phase"', b'"ph\xffse"'),
    "a key": lambda raw: raw.replace(b'"phase"', b'"phbse"'),
    "cut": lambda raw: raw[: len(raw) // 2],
    "zeros": lambda raw: bytes(len(raw)),
    "empty": lambda _raw: b"",
}


@pytest.mark.parametrize("kind", GARBLED)
def test_a_garbled_journal_is_set_aside_and_the_way_back_is_told(engine: Cronos, kind: str) -> None:
    before = read_tree(engine.project)
    journal = half_restored(engine)
    garbled = GARBLED[kind](journal.read_bytes())
    journal.write_bytes(garbled)
    plan = again(engine).plan_repair()
    assert journal.read_bytes() == garbled
    report = again(engine).repair()
    [step] = report.plan.steps
    assert (step.action, step.subject, plan.steps) == ("set aside", f"cronos/journal/{journal.name}", (step,))
    assert str(engine.project) in step.text
    assert (Path(report.quarantine) / step.subject).read_bytes() == garbled
    assert list((engine.store_path / "cronos/journal").glob(f"{journal.stem}.*")) == []
    assert again(engine).recover() == []
    command = re.search(r"`cronos restore (\S+) --strategy replace`", step.text)
    assert command is not None
    again(engine).restore(RestoreRequest(backup=command[1], strategy="replace"))
    after = read_tree(engine.project)
    assert {path: found for path, found in after.items() if ".cronos-restore-" not in path} == before


def test_another_target_is_told_with_the_command(engine: Cronos, tmp_path: Path) -> None:
    there = tmp_path / "over there"
    make_tree(there, NOW)
    journal = half_restored(engine, str(there))
    journal.write_bytes(b"")
    [step] = again(engine).plan_repair().steps
    assert f"--strategy replace --to '{there}'`" in step.text


def test_of_a_restore_point_that_was_used_up_nothing_is_told(engine: Cronos) -> None:
    engine.restore(RestoreRequest(backup="a", strategy="replace"))
    journal = engine.store_path / "cronos/journal/0123456789abcdef.json"
    journal.write_bytes(b"\0")
    [step] = again(engine).plan_repair().steps
    assert "No restore point of it is known" in step.text


def test_a_garbled_journal_does_not_keep_a_whole_one_from_recovery_after_a_repair(engine: Cronos) -> None:
    before = read_tree(engine.project)
    half_restored(engine)
    (engine.store_path / "cronos/journal/0000.json").write_bytes(b"garbled")
    assert again(engine).repair().plan.steps
    again(engine).store  # noqa: B018 - recovers
    assert read_tree(engine.project) == before


# --- the operation log ---


def spoil_log(engine: Cronos) -> tuple[list[bytes], Path]:
    """A log of five lines of which the second and fourth are garbled; the lines as they were."""
    for name in "bcde":
        again(engine).snapshot(SnapshotRequest(name=name))
    log = engine.store_path / "cronos/operations.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], b"\0" * 40 + b"\n", lines[2], lines[3].replace(b'"verb"', b'"v\xe2rb"'), lines[4]]))
    return lines, log


def test_garbled_lines_are_told_and_set_aside(engine: Cronos) -> None:
    _, log = spoil_log(engine)
    spoiled = log.read_bytes().splitlines(keepends=True)
    (damage,) = again(engine).verify().damage
    assert "lines 2, 4 cannot be read" in damage.text
    [check] = [check for check in again(engine).checks() if check.name == "log"]
    assert (check.ok, "lines 2, 4" in check.text) == (False, True)
    plan = again(engine).plan_repair()
    assert log.read_bytes() == b"".join(spoiled)
    report = again(engine).repair()
    [step] = report.plan.steps
    assert (plan.steps, step.action, step.subject) == ((step,), "set aside", "cronos/operations.jsonl")
    assert (Path(report.quarantine) / step.subject).read_bytes() == spoiled[1] + spoiled[3]
    left = log.read_bytes().splitlines(keepends=True)
    assert [left[0], left[2], left[4]] == [spoiled[0], spoiled[2], spoiled[4]]
    assert left[1].strip() + left[3].strip() == b""
    assert [record["verb"] for record in oplog.read(engine.store)] == ["create", "create", "create", "repair"]
    assert again(engine).verify().damage == ()
    assert again(engine).plan_repair().steps == ()


def test_a_torn_last_line_is_set_aside_before_the_repair_writes_its_own(engine: Cronos) -> None:
    log = engine.store_path / "cronos/operations.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"verb": "cre')
    report = again(engine).repair()
    [step] = report.plan.steps
    assert (Path(report.quarantine) / step.subject).read_bytes() == b'{"verb": "cre\n'
    assert log.read_bytes().startswith(whole)
    assert again(engine).verify().damage == ()
    assert again(engine).plan_repair().steps == ()


def test_a_last_line_that_is_completed_meanwhile_stays(engine: Cronos) -> None:
    log = engine.store_path / "cronos/operations.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-9])
    papers = paperwork.look(engine.store)
    log.write_bytes(whole)
    paperwork.set_aside(engine.store, papers, Quarantine(engine.store_path, engine.clock.now()))
    assert log.read_bytes() == whole


def test_a_repaired_log_tells_again_which_backups_there_are(engine: Cronos) -> None:
    spoil_log(engine)
    engine.delete(["c"])
    again(engine).repair()
    assert missing_refs(engine.store) == []
    for name in "bd":  # whose making stood in the lines that were garbled
        (path,) = (engine.store_path / "refs/tags/backup").glob(f"{name}_*")
        path.unlink()
    assert [damage.backups[0][0] for damage in missing_refs(engine.store)] == ["b", "d"]
    again(engine).repair()
    assert {backup.name for backup in again(engine).backups()} == set("abde")
    assert {backup.name for backup in again(engine).trash()} == {"c"}


@pytest.mark.parametrize("fault", [run_and_kill, run_and_fail])
def test_stopped_at_any_step_no_line_and_no_journal_is_lost(engine: Cronos, fault: Fault, request: pytest.FixtureRequest) -> None:
    lines, log = spoil_log(engine)
    spoiled = log.read_bytes()
    journal = engine.store_path / "cronos/journal/0123456789abcdef.json"
    for at in itertools.count(1, 1 if request.config.getoption("--long") else 2):
        log.write_bytes(spoiled)
        journal.write_bytes(b"garbled")
        ended = fault(lambda: again(engine).repair(), at)
        content = log.read_bytes().splitlines(keepends=True)
        assert [content[0], content[2], content[4]] == [lines[0], lines[2], lines[4]]
        kept = [path.read_bytes() for path in (engine.store_path / "cronos/quarantine").rglob(journal.name)]
        assert b"garbled" in kept or journal.exists()
        again(engine).repair()
        aside = [path.read_bytes() for path in (engine.store_path / "cronos/quarantine").rglob(log.name)]
        assert b"".join(spoiled.splitlines(keepends=True)[1::2]) in aside
        assert not journal.exists()
        assert again(engine).plan_repair().steps == ()
        if ended:
            return
