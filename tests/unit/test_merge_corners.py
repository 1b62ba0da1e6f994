"""Corners of merges: trees that have nothing in common, and whole directories that moved or became links."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import MergeConflictError
from cronos_git.model import Deletions, OnConflict
from tests.support.engine import make_engine
from tests.support.merging import THEIRS, Tree, become, merging, shown, three_states
from tests.support.restoring import both_ways, leftovers, save, stamp, state
from tests.support.trees import File, Link, make_tree, read_tree

AGO = 1_700_000_000_000_000_000


def text(letter: str) -> bytes:
    return "".join(f"{letter}: line {number} of a text that is known again\n" for number in range(20)).encode()


def edited(content: bytes, line: int, word: bytes) -> bytes:
    lines = content.split(b"\n")
    lines[line] = word
    return b"\n".join(lines)


A, B, C = map(text, "abc")
A_HERE, A_THERE = edited(A, 17, b"here"), edited(A, 2, b"there")
A_BOTH = edited(A_HERE, 2, b"there")


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    return make_engine(tmp_path)


def assert_undone(engine: Cronos, project: Path, before: Mapping[str, Any]) -> None:
    engine.undo()
    assert read_tree(project) == before
    assert leftovers(engine, project) == []


# --- nothing in common ------------------------------------------------------------------------------------------------

SAME = File(b"same", mode=0o640, mtime_ns=AGO, xattrs=(("user.who", b"both"),))
FOREIGN: Tree = {
    "same": SAME,
    "deep/same": SAME,
    "link same": Link("same"),
    "lines": b"1\n2\n3\n",
    "bytes": b"\0theirs",
    "mode": File(b"m", mode=0o600),
    "link": Link("theirs"),
    "type": b"file",
    "dir here": b"file",
    "file here/x": b"x",
    "new/deep": b"new",
    "new empty": {},
}
PRESENT: Tree = {
    "same": SAME,
    "deep/same": SAME,
    "deep/mine": b"mine",
    "link same": Link("same"),
    "lines": b"1\n2\nthree\n",
    "bytes": b"\0ours",
    "mode": File(b"m", mode=0o755),
    "link": Link("ours"),
    "type": Link("nowhere"),
    "dir here/x": b"x",
    "file here": b"file",
    "mine/deep": b"mine",
    "mine empty": {},
}
DIFFERENT = {
    "bytes": "binary",
    "dir here": "directory/file",
    "file here": "directory/file",
    "lines": "add/add",
    "link": "symlink",
    "mode": "mode",
    "type": "type",
}
UNTOUCHED = ("same", "deep/same", "link same", "deep/mine", "mine/deep", "mine empty")
BROUGHT = {"new/deep": b"new", "new empty": None}
TAKEN = {
    "lines": b"1\n2\n3\n",
    "bytes": b"\0theirs",
    "mode": (b"m", 0o600),
    "link": "-> theirs",
    "type": b"file",
    "dir here": b"file",
    "file here/x": b"x",
}


@pytest.fixture
def elsewhere(engine: Cronos, tmp_path: Path) -> Path:
    """A directory that the backup `theirs` was never taken from."""
    become(engine.project, FOREIGN)
    save(engine, "theirs")
    return make_tree(tmp_path / "elsewhere", PRESENT)


@pytest.mark.parametrize("deletions", ["keep", "apply"])
def test_what_differs_from_an_unrelated_target_is_a_conflict_each(engine: Cronos, elsewhere: Path, deletions: Deletions) -> None:
    before = state(elsewhere, engine.project)
    plan = engine.plan_restore(merging(base=None, target=str(elsewhere), deletions=deletions))
    assert (plan.base, {conflict.path: conflict.kind for conflict in plan.conflicts}) == (None, DIFFERENT)
    assert {conflict.base for conflict in plan.conflicts} == {None}
    with pytest.raises(MergeConflictError):
        engine.apply_restore(plan)
    assert state(elsewhere, engine.project) == before


@pytest.mark.parametrize("deletions", ["keep", "apply"])
@pytest.mark.parametrize("how", ["ours", "theirs", "both"])
def test_an_unrelated_backup_brings_what_is_new_and_touches_nothing_else(
    engine: Cronos, elsewhere: Path, how: OnConflict, deletions: Deletions
) -> None:
    before, mine, project = read_tree(elsewhere), shown(elsewhere), state(engine.project)
    still = state(*(elsewhere / name for name in UNTOUCHED))
    engine.restore(merging(base=None, target=str(elsewhere), on_conflict=how, deletions=deletions))
    tops = {path: path.split("/")[0] for path in TAKEN}
    beside = {path.replace(top, f"{top}.{THEIRS}"): TAKEN[path] for path, top in tops.items()}
    solved = {"ours": {}, "both": beside, "theirs": TAKEN}[how]
    gone = {"dir here/x", "file here"} if how == "theirs" else set()
    assert shown(elsewhere) == {path: node for path, node in mine.items() if path not in gone} | BROUGHT | solved
    assert state(*(elsewhere / name for name in UNTOUCHED)) == still
    assert state(engine.project) == project
    assert engine.plan_restore(merging(base=None, target=str(elsewhere))).changes == ()
    assert_undone(engine, elsewhere, before)


def test_a_project_that_became_another_one_gets_its_old_self_back_beside_the_new(engine: Cronos) -> None:
    become(engine.project, {"README": b"old\n", "shared": SAME, "old/only": b"o"})
    save(engine, "theirs")
    become(engine.project, {"README": b"new\n", "shared": SAME, "new/only": b"n", "edited": b"1"})
    last = save(engine, "another")
    make_tree(engine.project, {"README": b"newer\n", "edited": b"2"})
    before = read_tree(engine.project)
    plan = engine.plan_restore(merging(base=None))
    assert (plan.base, [(conflict.path, conflict.kind) for conflict in plan.conflicts]) == (last.id, [("README", "content")])
    engine.restore(merging(base=None, on_conflict="ours"))
    assert shown(engine.project) == {
        "README": b"newer\n",
        "shared": ((b"same", 0o640), {"user.who": b"both"}),
        "old/only": b"o",
        "new/only": b"n",
        "edited": b"2",
    }
    assert_undone(engine, engine.project, before)


def test_a_conflict_about_the_target_itself_is_told_as_a_dot(engine: Cronos, tmp_path: Path) -> None:
    make_tree(engine.project, {"f": SAME})
    save(engine, "theirs")
    other = make_tree(tmp_path / "other", {"f": SAME})
    other.chmod(0o700)
    with pytest.raises(MergeConflictError, match=r"1 path in conflict \(\.\)"):
        engine.restore(merging(base=None, target=str(other)))
    both_ways(engine, merging(base=None, target=str(other), on_conflict="theirs"))
    assert other.stat().st_mode & 0o777 == 0o755


# --- whole directories ------------------------------------------------------------------------------------------------

OLD: Tree = {"old/a": A, "old/deep/b": B}
MOVED: Tree = {"new/a": A, "new/deep/b": B}
REPLACED: Tree = {"old": Link("new"), **MOVED}
GROWN: Tree = {"old/a": A_HERE, "old/deep/b": B, "old/deep/c": C}
FOLLOWED = {"new/a": A_HERE, "new/deep/b": B, "old/deep/c": C}


@pytest.mark.parametrize("is_here", [True, False])
@pytest.mark.parametrize("deletions", ["keep", "apply"])
def test_files_follow_a_directory_that_was_renamed_and_new_ones_stay_where_they_were_made(
    engine: Cronos, deletions: Deletions, is_here: bool
) -> None:
    three_states(engine, OLD, *((GROWN, MOVED) if is_here else (MOVED, GROWN)))
    before = read_tree(engine.project)
    both_ways(engine, merging(deletions=deletions))
    assert shown(engine.project) == FOLLOWED
    assert_undone(engine, engine.project, before)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("ours", {"n2/a": A, "n2/deep/b": B}),
        ("theirs", {"n1/a": A, "n1/deep/b": B}),
        ("both", {"n1/a": A, "n1/deep/b": B, "n2/a": A, "n2/deep/b": B}),
    ],
)
def test_a_directory_renamed_twice_is_a_conflict_for_each_of_its_files(
    engine: Cronos, how: OnConflict, expected: Mapping[str, bytes]
) -> None:
    three_states(engine, OLD, {"n1/a": A, "n1/deep/b": B}, {"n2/a": A, "n2/deep/b": B})
    before = read_tree(engine.project)
    plan = engine.plan_restore(merging(on_conflict=how))
    assert [(conflict.path, conflict.kind) for conflict in plan.conflicts] == [
        ("old/a", "rename/rename"),
        ("old/deep/b", "rename/rename"),
    ]
    engine.apply_restore(plan)
    assert shown(engine.project) == expected
    if plan.changes:
        assert_undone(engine, engine.project, before)


LINKED: Tree = {"d": Link("e"), "e/x": C}
STOOD: Tree = {"d/a": A, "d/deep/b": B, "e/x": C}
BELOW: Tree = {"d/a": A_HERE, "d/deep/b": B, "d/deep/c": C, "e/x": C}


def beside(tree: Tree) -> dict[str, Any]:
    """What is in `d`, or is `d`, as the version beside it."""
    return {f"d.{THEIRS}{path[1:]}": node for path, node in tree.items() if path.startswith("d")}


def as_shown(tree: Tree) -> dict[str, Any]:
    return {path: f"-> {node.target}" if isinstance(node, Link) else node for path, node in tree.items()}


@pytest.mark.parametrize("how", ["ours", "theirs", "both", "markers"])
@pytest.mark.parametrize("deletions", ["keep", "apply"])
@pytest.mark.parametrize("is_link_here", [True, False])
def test_a_directory_that_became_a_link_and_was_edited_below_is_one_conflict(
    engine: Cronos, is_link_here: bool, deletions: Deletions, how: OnConflict
) -> None:
    theirs, ours = (BELOW, LINKED) if is_link_here else (LINKED, BELOW)
    three_states(engine, STOOD, theirs, ours)
    before, through = read_tree(engine.project), stamp(engine.project / "e/x")
    plan = engine.plan_restore(merging(deletions=deletions, on_conflict=how))
    assert [(conflict.path, conflict.kind) for conflict in plan.conflicts] == [("d", "directory/file")]
    engine.apply_restore(plan)
    both = as_shown({**ours, **beside(theirs)})
    assert shown(engine.project) == {"ours": as_shown(ours), "theirs": as_shown(theirs)}.get(how, both)
    assert stamp(engine.project / "e/x") == through  # nothing went through the link
    if plan.changes:
        assert_undone(engine, engine.project, before)


@pytest.mark.parametrize("is_link_here", [True, False])
def test_edits_follow_files_that_moved_when_a_link_took_the_place_of_their_directory(engine: Cronos, is_link_here: bool) -> None:
    edits: Tree = {"old/a": A_HERE, "old/deep/b": B}
    three_states(engine, OLD, *((edits, REPLACED) if is_link_here else (REPLACED, edits)))
    before = read_tree(engine.project)
    both_ways(engine, merging())
    assert shown(engine.project) == {"old": "-> new", "new/a": A_HERE, "new/deep/b": B}
    assert_undone(engine, engine.project, before)


@pytest.mark.parametrize("is_link_here", [True, False])
def test_a_link_takes_the_place_of_a_directory_in_which_nothing_changed(engine: Cronos, is_link_here: bool) -> None:
    three_states(engine, STOOD, *((STOOD, LINKED) if is_link_here else (LINKED, STOOD)))
    assert engine.plan_restore(merging()).conflicts == ()
    both_ways(engine, merging())
    assert shown(engine.project) == as_shown(LINKED)
