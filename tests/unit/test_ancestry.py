from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from cronos_git.model import Backup, RestoreRequest, SnapshotRequest
from cronos_git.rules.ancestry import find_base
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.stores import make_backup


def chain(*names: str, parents: dict[str, str] | None = None) -> dict[str, Backup]:
    """Backups, each with the one before it as its parent unless *parents* says otherwise."""
    before = dict(zip(names[1:], names, strict=False)) | (parents or {})
    return {name: make_backup(number, id=name, parent=before.get(name)) for number, name in enumerate(names, 1)}


@pytest.mark.parametrize(
    ("backup", "last", "base"),
    [
        ("c", "c", "c"),  # the last one itself
        ("a", "c", "c"),  # an ancestor of it
        ("c", "a", "a"),  # the target went back to an ancestor
        ("x", "c", "b"),  # side branches
        ("c", "x", "b"),
        ("y", "c", "b"),
        ("c", "y", "b"),
    ],
)
def test_the_base_follows_the_parents(backup: str, last: str, base: str) -> None:
    known = chain("a", "b", "c", "x", "y", parents={"x": "b", "y": "x"})
    assert find_base(known[backup], known[last], known) == known[base]


def test_a_target_of_which_nothing_is_known_has_no_base() -> None:
    known = chain("a", "b")
    assert find_base(known["a"], None, known) is None


def test_backups_of_another_line_have_no_base() -> None:
    known = chain("a", "b", "x", "y", parents={"x": "gone"})
    assert find_base(known["y"], known["b"], known) is None


def test_a_line_ends_where_a_parent_is_gone() -> None:
    known = chain("a", "b", "c", "d")
    del known["b"]
    assert find_base(known["a"], known["d"], known) is None
    assert find_base(known["c"], known["d"], known) == known["d"]


def test_parents_in_a_circle_end_the_search() -> None:
    known = chain("a", "b", "x", parents={"a": "b"})
    known["x"] = make_backup(9, id="x", parent="x")
    assert find_base(known["x"], known["b"], known) is None


def planned_base(root: Path, backup: str, **fields: str) -> str | None:
    plan = make_engine(root).plan_restore(RestoreRequest(backup=backup, strategy="merge", on_conflict="ours", **fields))  # type: ignore[arg-type]
    return plan.base


def snapshot(root: Path, name: str) -> str:
    """A backup of one file that says its name."""
    engine = make_engine(root)
    (engine.project / "file").write_text(f"{name}\n")
    return engine.snapshot(SnapshotRequest(name=name)).backup.id


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    return snapshot(tmp_path, "one"), snapshot(tmp_path, "two")


def test_after_backups_the_last_one_is_the_base(tmp_path: Path, two: tuple[str, str]) -> None:
    assert planned_base(tmp_path, "one") == two[1]
    assert planned_base(tmp_path, "two") == two[1]


def test_after_a_restore_the_restored_backup_is_the_base(tmp_path: Path, two: tuple[str, str]) -> None:
    make_engine(tmp_path).restore(RestoreRequest(backup="one", strategy="replace"))
    assert planned_base(tmp_path, "two") == two[0]
    assert planned_base(tmp_path, "one") == two[0]


def test_after_a_restore_of_some_paths_the_base_is_as_before(tmp_path: Path, two: tuple[str, str]) -> None:
    make_engine(tmp_path).restore(RestoreRequest(backup="one", strategy="replace", paths=("file",)))
    assert planned_base(tmp_path, "one") == two[1]


def test_a_base_that_is_given_counts(tmp_path: Path, two: tuple[str, str]) -> None:
    assert planned_base(tmp_path, "two", base="one") == two[0]


def test_a_deleted_base_still_counts(tmp_path: Path, two: tuple[str, str]) -> None:
    three = snapshot(tmp_path, "three")
    engine = make_engine(tmp_path)
    engine.restore(RestoreRequest(backup="two", strategy="replace"))
    engine.delete(("two",))
    assert planned_base(tmp_path, "three") == two[1] != three


def test_another_target_has_what_was_restored_there_as_its_base(tmp_path: Path, two: tuple[str, str]) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("other\n")
    assert planned_base(tmp_path, "two", target=str(elsewhere)) is None
    make_engine(tmp_path).restore(RestoreRequest(backup="one", strategy="replace", target=str(elsewhere)))
    assert planned_base(tmp_path, "two", target=str(elsewhere)) == two[0]
    assert planned_base(tmp_path, "two") == two[1]


def test_a_directory_that_a_restore_made_has_that_backup_as_its_base(tmp_path: Path, two: tuple[str, str]) -> None:
    out = str(tmp_path / "out")
    make_engine(tmp_path).restore(RestoreRequest(backup="one", target=out))
    assert planned_base(tmp_path, "two", target=out) == two[0]
    make_engine(tmp_path).restore(RestoreRequest(backup="two", strategy="replace", target=out))
    assert planned_base(tmp_path, "two", target=out) == two[1]


def test_a_part_of_a_backup_in_a_new_directory_is_no_base(tmp_path: Path, two: tuple[str, str]) -> None:
    out = str(tmp_path / "out")
    make_engine(tmp_path).restore(RestoreRequest(backup="one", target=out, paths=("file",)))
    assert planned_base(tmp_path, "two", target=out) is None


def test_a_directory_that_was_made_anew_starts_anew(tmp_path: Path, two: tuple[str, str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    make_engine(tmp_path).restore(RestoreRequest(backup="two", strategy="replace", target=str(out)))
    shutil.rmtree(out)
    make_engine(tmp_path, clock=FakeClock(LATER + timedelta(seconds=5))).restore(RestoreRequest(backup="one", target=str(out)))
    assert planned_base(tmp_path, "two", target=str(out)) == two[0]


def test_an_undone_restore_is_no_base(tmp_path: Path, two: tuple[str, str]) -> None:
    make_engine(tmp_path).restore(RestoreRequest(backup="one", strategy="replace"))
    make_engine(tmp_path).undo()
    assert planned_base(tmp_path, "one") == two[1]
    make_engine(tmp_path).undo()
    assert planned_base(tmp_path, "two") == two[0]
