"""`bisect` with real tests, run by a real shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_transcripts import World

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], scratch: Path) -> World:
    """Nine backups b1 to b9; the number in `src/n` is that of the backup, `other` changes without it."""
    made = World(tmp_path, capsys)
    for number in range(1, 10):
        made.clock.advance(hours=1)
        made.write({"src/n": f"{number - number % 2}\n", "other": f"{number}\n"})
        made("create", f"b{number}", "-q")
    return made


def test_the_first_bad_backup_is_found_and_nothing_is_left(world: World, scratch: Path) -> None:
    told = world("bisect", "src", "--cmd", 'test -d src && test ! -e other && test "$(cat src/n)" -lt 6')
    assert told == (
        0,
        "First bad: b6_20260401_180000  2026-04-01 18:00:00\nLast good: b5_20260401_170000  2026-04-01 17:00:00\n"
        "Tests:     4\n~ src/n\n",
        "note: b8_20260401_200000: bad\nnote: b1_20260401_130000: good\nnote: b4_20260401_160000: good\n"
        "note: b6_20260401_180000: bad\nnote: See it: cronos diff -p b5_20260401_170000 b6_20260401_180000 src\n",
    )
    assert list(scratch.iterdir()) == []


def test_given_ends_json_and_quiet(world: World) -> None:
    test = ["--cmd", 'test "$(cat src/n)" -lt 6']
    assert world("bisect", "src", *test, "--good", "b4", "--bad", "b7", "-q") == (0, "b6_20260401_180000\n", "")
    (report,) = world.json("bisect", ".", *test)
    assert (report["first_bad"]["id"], report["last_good"]["id"]) == ("b6_20260401_180000", "b5_20260401_170000")
    assert {change["path"] for change in report["changes"]} == {"other", "src/n"}
    assert [step["verdict"] for step in report["steps"]][:2] == ["bad", "good"]
    assert world("bisect", "src", *test, "--good", "b7", "--bad", "b4").status == 2
    assert world("bisect", "src", *test, "--good", "b6", "--bad", "b9").err.splitlines()[-2:] == [
        "error: The test fails in b6_20260401_180000, so there is nothing to search for.",
        "hint: Name another one in which it passes with --good.",
    ]


def test_ends_that_are_not_what_they_should_be(world: World) -> None:
    passes = world("bisect", "src", "--cmd", "true")
    assert (passes.status, passes.err.splitlines()[1]) == (
        2,
        "error: The test passes in b9_20260401_210000, so there is nothing to search for.",
    )
    fails = world("bisect", "src", "--cmd", "false")
    assert fails.status == 0 and fails.out.startswith("First bad: b1_20260401_130000") and "Last good" not in fails.out
    assert world("bisect", "nowhere", "--cmd", "false").status == 12
    assert world("bisect", "src", "--cmd", " ").status == 2


def test_what_cannot_be_tested_is_told(world: World) -> None:
    told = world("bisect", "src", "--cmd", 'n=$(cat src/n); case $n in 4|6) exit 125;; esac; test "$n" -lt 4')
    assert told.out.splitlines() == [
        "First bad:  b8_20260401_200000  2026-04-01 20:00:00",
        "Last good:  b3_20260401_150000  2026-04-01 15:00:00",
        "Not tested: b4_20260401_160000",
        "            b5_20260401_170000",
        "            b6_20260401_180000",
        "            b7_20260401_190000",
        "Tests:      5",
        "~ src/n",
    ]


@pytest.mark.parametrize("end", ["exit 128", "kill -9 $$"])
def test_a_status_that_means_stop_stops(world: World, scratch: Path, end: str) -> None:
    told = world("bisect", "src", "--cmd", end)
    assert (told.status, told.out) == (1, "")
    assert "the search was stopped" in told.err
    assert list(scratch.iterdir()) == []


def test_backups_without_the_paths_are_left_out(world: World) -> None:
    world.clock.advance(hours=1)
    world.write({"new": "ok\n"})
    world("create", "c1", "-q")
    world.clock.advance(hours=1)
    world.write({"new": "wrong\n"})
    world("create", "c2", "-q")
    told = world("bisect", "new", "--cmd", "grep -q ok new")
    assert told.out.startswith("First bad: c2_20260401_230000")
    assert world("bisect", "new", "--cmd", "grep -q ok new", "--good", "b9").status == 12


def test_the_project_and_the_store_are_no_places_for_it(world: World) -> None:
    assert world("bisect", "src", "--cmd", "false", "--scratch", str(world.project)).status == 13


def test_ctrl_c_ends_the_test_and_leaves_nothing(tmp_path: Path) -> None:
    project, scratch = tmp_path / "p", tmp_path / "scratch"
    project.mkdir()
    scratch.mkdir()
    (project / "f").write_text("x")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(scratch)}
    command = [sys.executable, "-m", "cronos_git", "-C", str(project)]
    subprocess.run([*command, "create", "-q"], env=environment, check=True, capture_output=True)
    test = f"trap '' TERM; sleep 600 & echo $! > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; touch busy; wait"
    with subprocess.Popen([*command, "bisect", "f", "--cmd", test], env=environment, stderr=subprocess.PIPE) as bisect:
        wait_for(lambda: (tmp_path / "pid").exists())
        bisect.send_signal(signal.SIGINT)
        said = bisect.communicate(timeout=30)[1]
    assert bisect.returncode == 130, said
    assert list(scratch.iterdir()) == []
    sleeper = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    wait_for(lambda: not sleeper.exists() or sleeper.read_text().split()[2] == "Z")


def wait_for(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)
