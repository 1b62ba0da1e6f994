from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_transcripts import World

A, B = "a_20260401_120000", "b_20260402_120000"


@pytest.fixture
def two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """Backups a and b, a day apart; a is pinned and labelled from the start."""
    world = World(tmp_path, capsys)
    world.write({"f": "a"})
    assert world("create", "a", "--pin", "--label", "first", "-m", "one").status == 0
    world.clock.advance(days=1)
    world.write({"f": "b"})
    assert world("create", "b").status == 0
    return world


def told(world: World, name: str) -> list[str]:
    """Pin, labels, message, as the list shows them."""
    row = next(line for line in world("list").out.splitlines() if line.startswith(name))
    return row.split()[-3:]


def test_pin_and_unpin(two: World) -> None:
    assert told(two, A) == ["pinned", "first", "one"]
    assert two("pin", "latest", "a") == (0, f"Pinned {B}.\n", f"note: Pinned already: {A}.\n")
    assert two("delete", "b", "--yes").status == 13
    assert two("unpin", "a", "b") == (0, f"Unpinned {A}, {B}.\n", "")
    assert two("unpin", "a") == (0, "", f"note: Not pinned: {A}.\n")
    assert two("delete", "b", "--yes").status == 0


def test_labels(two: World) -> None:
    assert two("label", "add", "release", "a", "b").out == f"Labelled {A}, {B}.\n"
    assert two("list", "-q", "--label", "release").out.split() == [B, A]
    assert two("label", "add", "first", "a").err == f"note: Labelled so already: {A}.\n"
    assert two("label", "remove", "first", "a", "b") == (
        0,
        f"Took the label off {A}.\n",
        f"note: Without that label: {B}.\n",
    )
    assert told(two, A) == ["pinned", "release", "one"]


def test_describe(two: World) -> None:
    done = two("describe", "b", "-m", "second", "--description", "more\nof it", "--meta", "ticket=OPS-1", "--meta", "n=[1]")
    assert done == (0, f"Changed message, description, metadata of {B}.\n", "")
    assert two("describe", "b", "--unset", "n", "--meta", "ticket=7").out == f"Changed metadata of {B}.\n"
    (found,) = two.json("list", "--name", "b")
    assert (found["message"], found["description"], found["metadata"]) == ("second", "more\nof it", {"ticket": 7})
    assert two("describe", "b", "-m", "second") == (0, "", f"note: Says so already: {B}.\n")
    assert two("describe", "b", "-m", "").status == 0
    assert two.json("list", "--name", "b")[0]["message"] == "b"


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["pin", "b"], f"Would pin {B}.\n"),
        (["unpin", "a"], f"Would unpin {A}.\n"),
        (["label", "add", "x", "b"], f"Would label {B}.\n"),
        (["label", "remove", "first", "a"], f"Would take the label off {A}.\n"),
        (["describe", "b", "-m", "x"], f"Would change message of {B}.\n"),
    ],
)
def test_dry_runs_show_and_change_nothing(two: World, words: list[str], out: str) -> None:
    before = two.json("list")
    assert two(*words, "-n") == (0, out, "")
    plan = two.json(*words, "-n")
    assert two.json("list") == before
    assert two.json(*words) == plan


def test_json_tells_before_after_and_what_changed(two: World) -> None:
    (report,) = two.json("pin", "a", "b")
    assert [(one["after"]["id"], one["before"]["pinned"], one["changed"]) for one in report["amendments"]] == [
        (A, True, []),
        (B, False, ["pinned"]),
    ]
    assert two.json("list")[0] == {"schema_version": 1, **report["amendments"][1]["after"]}


def test_quiet_prints_the_ids_that_changed(two: World) -> None:
    assert two("-q", "pin", "a", "b") == (0, f"{B}\n", "")


@pytest.mark.parametrize(
    ("words", "status", "err"),
    [
        (["describe", "a"], 2, "error: There is nothing to change.\nhint: Give -m, --description, --meta or --unset.\n"),
        (["label", "add", " ", "a"], 2, "error: A label cannot be empty.\nhint: Give it at least one visible character.\n"),
        (["describe", "a", "--meta", "x"], 2, "error: --meta 'x' is not KEY=VALUE.\nhint: Write it like --meta ticket=OPS-1.\n"),
        (["describe", "a", "--meta", "k=1", "--unset", "k"], 2, None),
        (["pin"], 2, None),
        (["label", "add", "x"], 2, None),
        (["pin", "a", "nothing"], 12, None),
    ],
)
def test_what_makes_no_sense_changes_nothing(two: World, words: list[str], status: int, err: str | None) -> None:
    before = two.json("list")
    done = two(*words)
    assert done.status == status
    assert err is None or done.err == err
    assert two.json("list") == before


def test_what_a_restore_point_says_is_refused(two: World) -> None:
    two.clock.advance(hours=1)
    two("restore", "a", "--strategy", "replace", "--yes")
    done = two("describe", "latest:restore-point", "--unset", "restore")
    assert done.status == 13
    assert "says what `cronos undo` has to bring back. Nothing was changed." in done.err


def test_operations_tell_what_was_done(two: World) -> None:
    two("pin", "b")
    two("label", "add", "x", "a", "b")
    done = [(one["verb"], one["facts"]["backup"], one["facts"]["changed"]) for one in two.json("operations", "--limit", "3")]
    assert done == [
        ("label", B, {"labels": [[], ["x"]]}),
        ("label", A, {"labels": [["first"], ["first", "x"]]}),
        ("pin", B, {"pinned": [False, True]}),
    ]
