"""Merges of what is not in a file: which names are one file, and who owns it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.model import OnConflict
from tests.support.engine import make_engine
from tests.support.merging import THEIRS, Tree, become, merging, shown, three_states
from tests.support.restoring import both_ways, save
from tests.support.trees import File, Link, read_tree
from tests.unit.test_merge_corners import A_BOTH, A_HERE, A_THERE, SAME, A, B, C, assert_undone

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    return make_engine(tmp_path)


# --- shared files -----------------------------------------------------------------------------------------------------


def also(path: str) -> File:
    return File(hard=path)


def groups(project: Path) -> list[str]:
    """Which names are one file, as `a b`."""
    found: dict[str, list[str]] = {}
    for path, node in read_tree(project).items():
        if node[7]:
            found.setdefault(node[7], []).append(path)
    return sorted(map(" ".join, found.values()))


@dataclass(frozen=True)
class Shared:
    """What a merge makes of files with several names.

    Attributes:
        groups: Names that are one file afterwards.
    """

    base: Tree
    theirs: Tree
    ours: Tree
    content: Mapping[str, bytes]
    groups: tuple[str, ...]


def pair(content: bytes, *others: str) -> Tree:
    return {"a": content, **dict.fromkeys(others, also("a"))}


SHARED = {
    # Paths merge one by one: a name that one side alone has stays as it is there.
    "edited there, one more name here": Shared(
        pair(A, "b"), pair(A_THERE, "b"), pair(A, "b", "c"), {"a": A_THERE, "b": A_THERE, "c": A}, ("a b",)
    ),
    "edited here, one more name there": Shared(
        pair(A, "b"), pair(A, "b", "c"), pair(A_HERE, "b"), {"a": A_HERE, "b": A_HERE, "c": A}, ("a b",)
    ),
    "one more name there": Shared(pair(A, "b"), pair(A, "b", "c"), pair(A, "b"), {"a": A, "b": A, "c": A}, ("a b c",)),
    "edited on both sides": Shared(pair(A, "b"), pair(A_THERE, "b"), pair(A_HERE, "b"), {"a": A_BOTH, "b": A_BOTH}, ("a b",)),
    "edited there, a name renamed here": Shared(
        pair(A, "b"), pair(A_THERE, "b"), pair(A, "c"), {"a": A_THERE, "c": A_THERE}, ("a c",)
    ),
    "a name renamed there": Shared(pair(A, "b"), pair(A, "c"), pair(A, "b"), {"a": A, "c": A}, ("a c",)),
    "split there": Shared(pair(A, "b"), {"a": A, "b": A}, pair(A, "b"), {"a": A, "b": A}, ()),
    "split here": Shared(pair(A, "b"), pair(A, "b"), {"a": A, "b": A}, {"a": A, "b": A}, ()),
    "split there, edited here": Shared(pair(A, "b"), {"a": A, "b": A}, pair(A_HERE, "b"), {"a": A_HERE, "b": A_HERE}, ()),
    "split here, edited there": Shared(pair(A, "b"), pair(A_THERE, "b"), {"a": A, "b": A}, {"a": A_THERE, "b": A_THERE}, ()),
    "one of three split there": Shared(
        pair(A, "b", "c"), {**pair(A, "b"), "c": B}, pair(A, "b", "c"), {"a": A, "b": A, "c": B}, ("a b",)
    ),
    "joined there": Shared({"a": A, "b": A}, pair(A, "b"), {"a": A, "b": A}, {"a": A, "b": A}, ("a b",)),
    "joined there, one edited here": Shared({"a": A, "b": A}, pair(A, "b"), {"a": A_HERE, "b": A}, {"a": A_HERE, "b": A}, ()),
    "new there": Shared({}, pair(A, "b"), {}, {"a": A, "b": A}, ("a b",)),
    "new on both sides": Shared({}, pair(A, "b"), pair(A, "b"), {"a": A, "b": A}, ("a b",)),
}


@pytest.mark.parametrize("case", SHARED)
def test_names_of_one_file_merge(engine: Cronos, case: str) -> None:
    shared, rest = SHARED[case], {"rest 1": C, "rest 2": also("rest 1")}
    three_states(engine, {**rest, **shared.base}, {**rest, "new": b"n", **shared.theirs}, {**rest, **shared.ours})
    before = read_tree(engine.project)
    both_ways(engine, merging())
    assert shown(engine.project) == {"rest 1": C, "rest 2": C, "new": b"n", **shared.content}
    assert groups(engine.project) == [*shared.groups, "rest 1 rest 2"]
    assert engine.plan_restore(merging()).changes == ()
    assert_undone(engine, engine.project, before)


@pytest.mark.parametrize(
    ("how", "content", "found"),
    [
        ("ours", {"a": b"\0ours", "b": b"\0ours"}, ["a b"]),
        ("theirs", {"a": b"\0theirs", "b": b"\0theirs"}, ["a b"]),
        ("both", {"a": b"\0ours", "b": b"\0ours", f"a.{THEIRS}": b"\0theirs", f"b.{THEIRS}": b"\0theirs"}, ["a b"]),
    ],
)
def test_a_file_with_two_names_contradicts_itself_under_both(
    engine: Cronos, how: OnConflict, content: Mapping[str, bytes], found: list[str]
) -> None:
    three_states(engine, pair(b"\0", "b"), pair(b"\0theirs", "b"), pair(b"\0ours", "b"))
    assert [conflict.path for conflict in engine.plan_restore(merging()).conflicts] == ["a", "b"]
    both_ways(engine, merging(on_conflict=how))
    assert (shown(engine.project), groups(engine.project)) == (content, found)


# --- owners -----------------------------------------------------------------------------------------------------------

OWNED = ("f", "d", "d/in", "l")
HERE, THERE = (50_001, 50_002), (50_003, 50_004)


def with_owners(engine: Cronos, owner: tuple[int, int]) -> None:
    become(engine.project, {"f": SAME, "d/in": SAME, "l": Link("f"), "rest": SAME})
    for name in OWNED if owner != (0, 0) else ():
        os.lchown(engine.project / name, *owner)


def owners(project: Path) -> set[tuple[int, int]]:
    found = read_tree(project)
    assert found["rest"][2:4] == found[""][2:4] == (0, 0)
    return {found[name][2:4] for name in OWNED}


@AS_ROOT
@pytest.mark.parametrize(("theirs", "ours", "merged"), [(THERE, (0, 0), THERE), ((0, 0), HERE, HERE), (THERE, THERE, THERE)])
def test_an_owner_that_one_side_changed_merges(
    engine: Cronos, theirs: tuple[int, int], ours: tuple[int, int], merged: tuple[int, int]
) -> None:
    for name, owner in (("base", (0, 0)), ("theirs", theirs)):
        with_owners(engine, owner)
        save(engine, name)
    with_owners(engine, ours)
    (engine.project / "f").write_bytes(b"edited here")
    both_ways(engine, merging())
    assert owners(engine.project) == {merged}
    assert (engine.project / "f").read_bytes() == b"edited here"


@AS_ROOT
@pytest.mark.parametrize("how", ["ours", "theirs", "both"])
def test_an_owner_that_both_sides_changed_is_a_conflict(engine: Cronos, how: OnConflict) -> None:
    for name, owner in (("base", (0, 0)), ("theirs", THERE)):
        with_owners(engine, owner)
        save(engine, name)
    with_owners(engine, HERE)
    before = read_tree(engine.project)
    plan = engine.plan_restore(merging(on_conflict=how))
    assert [(conflict.path, conflict.kind) for conflict in plan.conflicts] == [(name, "attribute") for name in sorted(OWNED)]
    engine.apply_restore(plan)
    assert owners(engine.project) == {THERE if how == "theirs" else HERE}
    beside = {path: node[2:4] for path, node in read_tree(engine.project).items() if path.endswith(THEIRS)}
    expected = {f"{name}.{THEIRS}": THERE for name in OWNED if name != "d"}  # a directory has no version beside
    assert beside == (expected if how == "both" else {})
    if plan.changes:
        assert_undone(engine, engine.project, before)
