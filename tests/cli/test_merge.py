"""`restore --strategy merge` on a real project and store: what it shows of conflicts, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cronos_git.cli.app import run
from tests.cli.test_transcripts import World
from tests.support.trees import File

FIRST, SECOND = "first_20260401_120000", "second_20260401_130000"
MERGE = ("restore", "second", "--strategy", "merge", "--base", "first")
TEXT = "".join(f"{number}\n" for number in range(20))


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """Both sides changed `lines`, which merges, and `f` and `bin`, which do not."""
    made = World(tmp_path, capsys)
    made.write({"lines": TEXT, "f": "1\n2\n3\n", "bin": b"\0"})
    made("create", "first")
    made.clock.advance(hours=1)
    made.write({"lines": TEXT.replace("3\n", "x\n", 1), "f": "1\nth\x1beirs\n3\n", "bin": b"\0a"})
    made("create", "second")
    made.write({"lines": TEXT.replace("17\n", "y\n"), "f": "1\nours\n3\n", "bin": b"\0b"})
    return made


def stable(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{8}\b", "<hash>", re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", "<time>", text))


def test_a_dry_run_with_conflicts_lists_them_and_the_ways_out(world: World) -> None:
    told = world(*MERGE, "-n")
    rows = stable(told.out).splitlines()
    assert (told.status, told.err) == (4, "")
    sides = (("base", "1"), ("current", "2"), ("backup", "2"))
    assert rows[0].split() == ["CONFLICT", "PATH", "SIDE", "SIZE", "MODIFIED", "HASH", "NOTE"]
    assert [row.split() for row in rows[1:4]] == [
        ["binary", "bin", s, length, "B", "<time>", "<hash>", "-"] for s, length in sides
    ]
    assert [row.split()[:3] for row in rows[4:7]] == [["content", "f", side] for side, _ in sides]
    assert rows[7:] == [
        f"2 conflicts: nothing would be changed. Base: {FIRST}.",
        "--on-conflict ours     keeps what is here",
        "--on-conflict theirs   takes the backup's version",
        "--on-conflict markers  writes both versions into text files; of other files, the backup's beside",
        f"--on-conflict both     writes the backup's version beside, as NAME.{SECOND}",
    ]


def test_verbose_shows_the_lines_in_conflict_with_control_characters_made_visible(world: World) -> None:
    hunk = ["@@ lines 2-8 @@", "<<<<<<< current", "ours", f"||||||| {FIRST}", "2", "=======", "th\\x1beirs"]
    told = world("-v", *MERGE, "-n").out.splitlines()
    at = told.index("f:")
    assert told[at : at + 9] == ["f:", *hunk, f">>>>>>> backup {SECOND}"]
    assert hunk[-1] in world("-v", *MERGE, "--yes").err.splitlines()


@pytest.mark.parametrize("words", [["--yes"], []])
def test_conflicts_end_with_4_and_change_nothing(world: World, words: list[str]) -> None:
    told = world(*MERGE, *words)
    rows = told.err.splitlines()
    assert (told.status, told.out) == (4, "")
    assert [row.split()[:2] for row in rows[:7]] == [["CONFLICT", "PATH"], *[["binary", "bin"]] * 3, *[["content", "f"]] * 3]
    assert [row.split()[:2] for row in rows[7:11]] == [["--on-conflict", way] for way in ("ours", "theirs", "markers", "both")]
    assert rows[11] == "error: 2 paths in conflict (bin and others). Nothing was changed."
    assert (world.project / "f").read_text() == "1\nours\n3\n"
    assert world("list", "-q", "--type", "restore-point").out == ""


def test_json_of_conflicts_has_both_versions_and_the_hunks(world: World) -> None:
    assert run([*MERGE, "-n", "--json"], open_engine=world.open_engine) == 4
    plan = json.loads(world.capture.readouterr().out)
    binary, text = plan["conflicts"]
    assert (plan["base"], plan["on_conflict"], plan["changes"]) == (FIRST, "abort", [])
    assert (binary["path"], binary["kind"], binary["ours"]["size_bytes"], binary["hunks"]) == ("bin", "binary", 2, [])
    assert (text["path"], text["base"]["kind"], len(text["hunks"])) == ("f", "file", 1)
    assert run([*MERGE, "--yes", "--json"], open_engine=world.open_engine) == 4
    out, err = world.capture.readouterr()
    context = json.loads(out or err)["error"]["context"]
    assert (context["backup"], context["base"], context["conflicts"]) == (SECOND, FIRST, plan["conflicts"])


def test_a_merge_says_from_what_and_how_it_was_solved(world: World) -> None:
    told = world(*MERGE, "--on-conflict", "markers", "--yes")
    assert told.status == 0
    assert told.out == (
        f"Restored {SECOND} into <base>/site (merge): 3 files written, {len_written(world)} B in <time>."
        " Read back and compared: 3 files.\n"
        f"Base: {FIRST}. Merged line by line: 1 file. Solved with markers: 2 conflicts.\n"
    )
    assert told.err.splitlines()[1:] == [
        f"note: bin.{SECOND}: binary conflict: the backup's version of bin",
        "note: f: content conflict: both versions between markers",
    ]
    assert (world.project / f"bin.{SECOND}").read_bytes() == b"\0a"
    world.clock.advance(minutes=1)
    assert world("undo", "--yes").status == 0
    assert (world.project / "f").read_text() == "1\nours\n3\n"


def len_written(world: World) -> int:
    return sum((world.project / name).stat().st_size for name in ("f", "lines", f"bin.{SECOND}"))


@pytest.mark.parametrize("words", [["--base", "first"], ["--on-conflict", "ours"], ["--deletions", "apply"]])
@pytest.mark.parametrize("strategy", ["new_location", "replace"])
def test_options_of_a_merge_without_a_merge_are_wrong_usage(world: World, words: list[str], strategy: str) -> None:
    told = world("restore", "second", "--strategy", strategy, *words, "-n")
    assert (told.status, told.out) == (2, "")
    assert told.err.endswith("hint: Add --strategy merge.\n")


def test_what_the_backup_deleted_and_stays_is_named(world: World) -> None:
    world("create", "third")
    world.clock.advance(hours=1)
    told = world("restore", "second", "--strategy", "merge", "--base", "third", "-n")
    assert "lacks" not in told.out
    (world.project / "added").write_text("since\n")
    world("create", "fourth")
    told = world("restore", "second", "--strategy", "merge", "-n")
    assert told.out.splitlines()[-1] == "1 path that the backup lacks stays (added); --deletions apply removes what it deleted."
    told = world("restore", "second", "--strategy", "merge", "--deletions", "apply", "-n")
    assert "lacks" not in told.out
    assert [line.split()[:2] for line in told.out.splitlines() if line.startswith("delete")] == [["delete", "added"]]


def test_a_merge_that_changes_nothing_says_so_and_from_what(world: World) -> None:
    told = world(*MERGE[:4], "--base", "second", "--on-conflict", "ours", "--yes")
    assert (told.status, told.out.splitlines()) == (0, [f"The merge of {SECOND} changes nothing here.", f"Base: {SECOND}."])


def test_attributes_in_conflict_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, capsys)
    for name, value in (("first", b"base"), ("second", b"theirs"), ("", b"ours")):
        world.write({"f": File(b"same", xattrs=(("user.who", value),))})
        if name:
            world("create", name)
            world.clock.advance(hours=1)
    told = world(*MERGE, "-n")
    notes = [line.split()[-1] for line in told.out.splitlines()[1:4]]
    assert notes == ["user.who=base", "user.who=ours", "user.who=theirs"]
