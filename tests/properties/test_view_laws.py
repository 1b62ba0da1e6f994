from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.git.view import SnapshotView, diff_all, diff_views
from cronos_git.model import Change
from tests.support.git import git
from tests.support.snapshot_strategies import ALL_TREES, GIT_TREES, flatten
from tests.support.snapshots import SnapshotStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SnapshotStore:
    return SnapshotStore(tmp_path_factory.mktemp("views") / "store.git")


def by_parts(path: str) -> list[bytes]:
    return path.encode("utf-8", "surrogateescape").split(b"/") if path else []


@given(ALL_TREES)
def test_walk_is_sorted_and_holds_every_path_once(store: SnapshotStore, tree: dict[str, Any]) -> None:
    walked = [entry.path for entry in SnapshotView(store, store.commit(tree)).walk()]
    assert walked == sorted(set(walked), key=by_parts)
    assert {path for path, _ in flatten(tree)} <= set(walked)


@given(ALL_TREES)
def test_children_of_every_directory_make_the_walk(store: SnapshotStore, tree: dict[str, Any]) -> None:
    view = SnapshotView(store, store.commit(tree))
    walked = list(view.walk(links=True))
    gathered = [view.entry("")]
    for entry in walked:
        if entry.attributes.kind == "directory":
            gathered += view.children(entry.path)
    assert sorted(gathered, key=lambda entry: by_parts(entry.path)) == walked
    assert all(view.entry(entry.path) == entry for entry in walked)


@given(GIT_TREES, GIT_TREES)
def test_differences_are_those_of_stock_git(store: SnapshotStore, old: dict[str, Any], new: dict[str, Any]) -> None:
    commits = store.commit(old), store.commit(new)
    trees = [f"{commit}:data" for commit in commits]
    words = git("--git-dir", store.path, "diff", "--name-status", "--no-renames", "-z", *trees).split("\0")[:-1]
    kinds = {"A": "added", "D": "removed", "M": "changed", "T": "changed"}
    expected = [(kinds[letter], path) for letter, path in zip(words[::2], words[1::2], strict=True)]
    found = diff_views(*(SnapshotView(store, commit) for commit in commits), attributes=False)
    assert sorted((change.kind, change.path) for change in found) == sorted(expected)


def directories(view: SnapshotView) -> set[str]:
    return {entry.path for entry in view.walk() if entry.attributes.kind == "directory"}


def expected_kind(before: Any, after: Any) -> str:
    if before is None or after is None:
        return "added" if before is None else "removed"
    return "changed" if before[0] != after[0] else "attributes"


@given(ALL_TREES, ALL_TREES)
def test_differences_are_those_of_the_two_lists_of_paths(store: SnapshotStore, old: dict[str, Any], new: dict[str, Any]) -> None:
    views = [SnapshotView(store, store.commit(tree)) for tree in (old, new)]
    left, right = dict(flatten(old)), dict(flatten(new))
    filled = [directories(view) - paths.keys() for view, paths in zip(views, (left, right), strict=True)]
    # A directory that is empty on one side only and is still there on the other is no change of its own.
    for paths, others in ((left, filled[1]), (right, filled[0])):
        for path in [p for p in paths if paths[p] == ("directory", None) and p in others]:
            del paths[path]
    expected = {
        (expected_kind(left.get(path), right.get(path)), path)
        for path in left.keys() | right.keys()
        if left.get(path) != right.get(path)
    }
    found = list(diff_views(*views))
    assert {(change.kind, change.path) for change in found} == expected
    assert len(found) == len(expected)
    assert [change.path for change in found] == sorted((change.path for change in found), key=by_parts)


@given(ALL_TREES, ALL_TREES)
def test_difference_turned_round_is_its_mirror_image(store: SnapshotStore, old: dict[str, Any], new: dict[str, Any]) -> None:
    views = [SnapshotView(store, store.commit(tree)) for tree in (old, new)]
    turned = {"added": "removed", "removed": "added"}
    mirrored = [
        Change(kind=turned.get(c.kind, c.kind), path=c.path, old_size=c.new_size, new_size=c.old_size)  # type: ignore[arg-type]
        for c in diff_views(*reversed(views))
    ]
    assert list(diff_views(*views)) == mirrored


def topmost(paths: set[str]) -> list[str]:
    top = {path for path in paths if not any(path.startswith(other + "/") or (path and not other) for other in paths)}
    return sorted(top, key=by_parts)


@given(ALL_TREES, ALL_TREES, st.data())
def test_all_that_differs_within_paths_is_what_two_walks_differ_in(
    store: SnapshotStore, old: dict[str, Any], new: dict[str, Any], data: st.DataObject
) -> None:
    views = [SnapshotView(store, store.commit(tree)) for tree in (old, new)]
    left, right = ({entry.path: entry for entry in view.walk()} for view in views)
    tops = topmost(data.draw(st.sets(st.sampled_from(sorted(left.keys() | right.keys() | {"nowhere"})), min_size=1, max_size=3)))
    within = {path for path in left.keys() | right.keys() if any(f"{path}/".startswith(f"{top}/" if top else "") for top in tops)}
    found = list(diff_all(*views, tops))
    paths = [(after or before).path for before, after in found if before or after]
    assert dict(zip(paths, found, strict=True)) == {
        path: (left.get(path), right.get(path)) for path in within if left.get(path) != right.get(path)
    }
    assert paths == sorted(paths, key=by_parts)
