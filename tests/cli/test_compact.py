"""`compact` on a real store: what it says before and after, as text and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cronos_git.cli.app import run
from tests.cli.test_transcripts import World

FIRST, SECOND = "first_20260401_120000", "second_20260401_130000"


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """Three backups, of which the first two have been deleted, one of them more than a week ago."""
    made = World(tmp_path, capsys)
    for name in ("first", "second", "third"):
        made.write({"f": name * 1000, f"only in {name}": bytes(range(256)) * 4 + name.encode()})
        made("create", name)
        made.clock.advance(hours=1)
    made("delete", "--yes", "first")
    made.clock.advance(days=8)
    made("delete", "--yes", "second")
    return made


def stable(text: str) -> str:
    return re.sub(r"\b[\d.]+ (B|KiB)", "<size>", text)


def test_a_dry_run_lists_what_would_go_and_what_stays(world: World) -> None:
    told = world("compact", "-n")
    rows = stable(told.out).splitlines()
    assert told.status == 0
    assert rows[0].split()[:2] == ["ID", "TYPE"]
    assert rows[1].split()[0] == FIRST
    assert rows[2:] == ["Would drop 1 deleted backup for good and free at least <size> of <size>."]
    assert told.err == "note: 1 deleted backup can still be brought back; --trash-days 0 drops all.\n"
    assert world("compact", "-n", "-q", "--trash-days", "0").out.splitlines() == [SECOND, FIRST]
    assert world("undelete", "first").status == 0


def test_it_says_what_it_did_and_the_second_time_that_there_is_nothing(world: World) -> None:
    told = world("compact")
    assert (told.status, told.err) == (0, "")
    assert re.fullmatch(
        r"Compacted in <time>: dropped 1 deleted backup, freed <size>; \d+ objects in <size> are left\.\n", stable(told.out)
    )
    assert stable(world("compact").out) == "Nothing to compact: <size> in one pack, and all of it is needed.\n"
    assert world("undelete", "first").status == 12
    assert world("undelete", "second").status == 0
    assert world("verify").status == 0


def test_json_has_the_plan_and_the_bytes(world: World) -> None:
    assert run(["compact", "-n", "--json", "--trash-days", "0"], open_engine=world.open_engine) == 0
    plan = json.loads(world.capture.readouterr().out)
    assert [backup["id"] for backup in plan["expired"]] == [SECOND, FIRST]
    assert (plan["waiting"], plan["full"], plan["idle"]) == ([], True, False)
    assert run(["compact", "--json", "--trash-days", "0"], open_engine=world.open_engine) == 0
    report = json.loads(world.capture.readouterr().out)
    assert report["plan"]["packed_bytes"] == plan["packed_bytes"] == report["packed_bytes"] + report["freed_bytes"]
    assert report["freed_bytes"] >= plan["packed_bytes"] - plan["needed_bytes"] > 0
    assert report["objects"] > 5


def test_what_exists_is_kept_and_the_log_tells(world: World) -> None:
    world("compact", "--trash-days", "0", "--full")
    assert world("list", "-q").out.split() == ["third_20260401_140000"]
    assert world("operations").out.splitlines()[1].split()[2:4] == ["compact", "done"]


@pytest.mark.parametrize("days", ["-1", "x"])
def test_days_that_are_none_are_wrong_usage(world: World, days: str) -> None:
    assert world("compact", "--trash-days", days).status == 2
