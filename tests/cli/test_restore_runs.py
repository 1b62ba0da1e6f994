"""Whole runs of `restore` and `undo` on a real project and store."""

from __future__ import annotations

import os
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.test_transcripts import World
from tests.support.trees import File, Link, make_tree, read_tree

FIRST, SECOND = "first_20260401_120000", "backup_20260401_130000"


# --- elsewhere --------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """The backups `first`, and `backup` an hour later of a project that has changed meanwhile."""
    world = World(tmp_path, capsys)
    world.write(
        {"README.md": "hello\n", "src/app.py": File(b"print(1)\n", mode=0o755), "src/empty": {}, "link": Link("README.md")}
    )
    world("create", "first")
    world.clock.advance(hours=1)
    (world.project / "README.md").unlink()
    world.write({"src/app.py": File(b"print(1)\nprint(2)\n", mode=0o755), "new\x1b[31m.txt": "n\n"})
    world("create")
    return world


def test_restore_writes_what_its_dry_run_told(two: World) -> None:
    target = str(two.base / "back")
    assert two("restore", "first", "--to", target, "-n") == (
        0,
        "Would restore first_20260401_120000 into <base>/back: 3 files and 3 directories, 15 B.\n",
        "",
    )
    assert not Path(target).exists()
    told = two("restore", "first", "--to", target, "--verify")
    assert told.status == 0
    assert told.out.startswith("Restored first_20260401_120000 into <base>/back: 3 files, ")
    assert " in <time>. Read back and compared: " in told.out
    assert (two.base / "back/README.md").read_text() == "hello\n"


def test_restore_of_one_path_named_in_the_backup(two: World) -> None:
    assert two("restore", "first:src", "--to", str(two.base / "back")).status == 0
    assert (two.base / "back/src/app.py").read_bytes() == b"print(1)\n"
    assert not (two.base / "back/README.md").exists()


@pytest.mark.parametrize("words", [["first", "."], ["first:."], ["first:", "src"], ["first", "README.md", "./"]])
def test_restore_of_the_root_is_the_whole_backup(two: World, words: list[str]) -> None:
    assert two("restore", *words, "-n").out.endswith(": 3 files and 3 directories, 15 B.\n")


def test_a_variable_that_was_never_set_does_not_mean_everything(two: World) -> None:
    for words in (
        ["restore", "first", "", "-n"],
        ["export", "first", str(two.base / "a.zip"), ""],
        ["restore", "first", "--to", ""],
    ):
        told = two(*words)
        assert told.status == 2
        assert "empty" in told.err or "names no directory" in told.err


def test_paths_of_a_restore_are_read_from_the_root(two: World) -> None:
    words = ["./src/", str(two.project / "README.md")]
    assert two.json("restore", "first", *words, "-n")[0]["paths"] == ["README.md", "src"]


def test_restore_into_an_existing_directory_needs_a_yes(two: World) -> None:
    target = two.base / "back"
    target.mkdir()
    refused = two("restore", "first", "--to", str(target))
    assert (refused.status, refused.out) == (13, "")
    assert refused.err == "error: <base>/back exists, and there is nobody to ask.\nhint: Give --yes to restore into it.\n"
    assert list(target.iterdir()) == []
    assert two("restore", "first", "--to", str(target), "--yes").status == 0


# --- in place ---------------------------------------------------------------------------------------------------------


def state_of(backup_id: str, world: World) -> dict[str, tuple[Any, ...]]:
    """The tree that a backup holds, restored elsewhere."""
    place = world.base / f"state-{backup_id}"
    assert world("restore", backup_id, "--to", str(place)).status == 0
    return read_tree(place)


def restore_points(world: World) -> list[str]:
    return world("list", "-q", "--type", "restore-point").out.split()


def test_a_dry_run_in_place_shows_what_differs_and_changes_nothing(two: World) -> None:
    before = read_tree(two.project)
    assert two("restore", "first", "--strategy", "replace", "-n") == (
        0,
        "ACTION  PATH             SIZE  NOTE\n"
        "create  README.md         6 B  -\n"
        "delete  new\\x1b[31m.txt     -  -\n"
        "update  src/app.py        9 B  -\n"
        f"Would restore {FIRST} into <base>/site (replace): create 1, update 1, delete 1; 15 B to write.\n",
        "",
    )
    assert read_tree(two.project) == before
    assert restore_points(two) == []


def test_replace_and_undo_and_undo_of_the_undo(two: World) -> None:
    before, first = read_tree(two.project), state_of(FIRST, two)
    told = two("restore", "first", "--strategy", "replace", "--yes")
    (point,) = restore_points(two)
    assert told == (
        0,
        f"Restored {FIRST} into <base>/site (replace): 2 files written, 1 deleted, 15 B in <time>."
        " Read back and compared: 2 files.\n",
        f"note: Restore point {point}: `cronos undo` takes this back.\n",
    )
    assert read_tree(two.project) == first
    two.clock.advance(minutes=1)
    undone = two("undo", "--yes")
    assert undone.status == 0
    assert undone.out.startswith(f"Undid the restore of <base>/site, back to {point}: 2 files written, 1 deleted, 20 B in ")
    assert read_tree(two.project) == before
    two.clock.advance(minutes=1)
    assert two("undo", "--yes").status == 0
    assert read_tree(two.project) == first


def test_overwrite_keeps_what_the_backup_lacks(two: World) -> None:
    assert two("restore", "first", "--strategy", "overwrite", "--yes").status == 0
    assert {path.name for path in two.project.iterdir()} == {"README.md", "link", "new\x1b[31m.txt", "src"}
    assert (two.project / "src/app.py").read_bytes() == b"print(1)\n"


@pytest.mark.parametrize("words", [["first:src"], ["first", "src"], ["first", "--module", "src"]])
def test_only_what_was_asked_for_is_restored(two: World, words: list[str]) -> None:
    assert two("restore", *words, "--strategy", "replace", "--yes").status == 0
    assert (two.project / "src/app.py").read_bytes() == b"print(1)\n"
    assert not (two.project / "README.md").exists()
    assert (two.project / "new\x1b[31m.txt").exists()


def test_in_place_may_be_another_directory(two: World) -> None:
    before, first = read_tree(two.project), state_of(FIRST, two)
    other = make_tree(two.base / "other", {"README.md": "else\n", "extra": "x"})
    assert two("restore", "first", "--strategy", "replace", "--to", str(other), "--yes").status == 0
    assert read_tree(other) == first
    assert two("undo", "--yes").status == 0
    assert (other / "extra").read_text() == "x"
    assert read_tree(two.project) == before


@pytest.mark.parametrize("yes", [[], ["--yes"]])
def test_a_project_that_is_as_in_the_backup_is_left_alone(two: World, yes: list[str]) -> None:
    assert two("restore", "latest", "--strategy", "replace", *yes) == (
        0,
        f"Nothing differs: <base>/site is already as in {SECOND}.\n",
        "",
    )
    assert restore_points(two) == []


def test_a_restore_in_place_needs_a_yes(two: World) -> None:
    before = read_tree(two.project)
    assert two("restore", "first", "--strategy", "overwrite").status == 13
    assert read_tree(two.project) == before


def test_a_target_that_changes_while_the_question_stands_is_refused(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def confirm(_question: str, err: bool) -> bool:
        (two.project / "README.md").write_text("written meanwhile\n")
        return True

    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", confirm)
    told = two("restore", "first", "--strategy", "replace", "--no-progress")
    monkeypatch.undo()
    assert (told.status, told.out) == (13, "")
    assert (two.project / "README.md").read_text() == "written meanwhile\n"
    assert (two.project / "src/app.py").read_bytes() == b"print(1)\nprint(2)\n"


def test_without_a_restore_point_nothing_can_be_undone(two: World) -> None:
    told = two("restore", "first", "--strategy", "replace", "--yes", "--no-restore-point", "--no-verify")
    assert (told.status, told.err) == (0, "")
    assert told.out.endswith(" in <time>.\n")
    assert restore_points(two) == []
    after = read_tree(two.project)
    refused = two("undo", "--yes")
    assert (refused.status != 0, refused.out) == (True, "")
    assert read_tree(two.project) == after


def test_quiet_tells_the_restore_point_alone(two: World) -> None:
    told = two("-q", "restore", "first", "--strategy", "replace", "--yes")
    assert told == (0, f"{restore_points(two)[0]}\n", "")


def test_json_of_a_restore_in_place_and_of_its_undo(two: World) -> None:
    (two.project / os.fsdecode(b"\xff")).write_bytes(b"x")
    (report,) = two.json("restore", "first", "--strategy", "replace", "--yes")
    assert [report["restore_point"]] == restore_points(two)
    actions = {b64decode(row.get("path_b64", "")) or row["path"]: row["action"] for row in report["plan"]["changes"]}
    assert actions == {
        "README.md": "create",
        "new\x1b[31m.txt": "delete",
        "src/app.py": "update",
        b"\xff": "delete",
        "": "attributes",
    }
    (undo,) = two.json("undo", "-n")
    assert (undo["verb"], undo["backup"]["id"], undo["target"]) == ("undo", report["restore_point"], str(two.project))


def test_what_the_rules_exclude_is_told_when_it_stands_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, capsys)
    world.write({"__pycache__": "a file of that name\n"})
    world("create")
    (world.project / "__pycache__").unlink()
    world.write({"__pycache__": {"app.pyc": "compiled\n"}})
    before = read_tree(world.project)
    told = world("restore", "latest", "--strategy", "replace", "--yes")
    assert told.status == 0
    assert "note: Excluded, but in the way: __pycache__. The restore point has what was there.\n" in told.err
    assert (world.project / "__pycache__").read_text() == "a file of that name\n"
    assert world("undo", "--yes").status == 0
    assert read_tree(world.project) == before
