from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.git.pack import object_id
from cronos_git.git.view import SnapshotView
from cronos_git.model import Entry, OnConflict
from cronos_git.ops.merging import Merged, Sides, Ways, merge
from tests.support.git import git
from tests.support.snapshots import SnapshotStore
from tests.support.trees import File, Link

Flat = dict[str, Any]
Tree = dict[str, Entry]

NAMES = ("a", "b", "c", "d/a", "d/b", "e/a", "e/d/a", "d")
TEXTS = tuple(b"".join(b"%c line %d\n" % (letter, number) for number in range(8)) for letter in b"xy")
CONTENTS = st.sampled_from((*TEXTS, b"", b"short\n", b"\0one", b"\0two", b"no end"))
FILES = st.builds(File, CONTENTS, st.sampled_from((0o644, 0o644, 0o755)), st.sampled_from((5, 6)))
LEAVES = FILES | st.builds(Link, st.sampled_from("pq"))
ALL_LEAVES: st.SearchStrategy[Any] = LEAVES | st.just({})
CHOICES: tuple[OnConflict, ...] = ("ours", "theirs", "both", "markers")


def put(tree: Flat, path: str, leaf: Any) -> Flat:
    """*tree* with *leaf* at *path*: what stood there, or where its directories must be, is gone."""
    kept = {other: node for other, node in tree.items() if not is_below(other, path) and not is_below(path, other)}
    return {**kept, path: leaf}


def is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")


@st.composite
def changed(draw: st.DrawFn, tree: Flat, leaves: st.SearchStrategy[Any]) -> Flat:
    """*tree* after a few changes of all kinds."""
    for _ in range(draw(st.integers(0, 4))):
        paths = sorted(tree)
        what = draw(st.sampled_from(("put", "edit", "edit", "delete", "rename", "mode")))
        if what == "put" or not paths:
            tree = put(tree, draw(st.sampled_from(NAMES)), draw(leaves))
            continue
        path = draw(st.sampled_from(paths))
        node = tree[path]
        if what == "delete":
            tree = {other: kept for other, kept in tree.items() if other != path}
        elif what == "rename":
            tree = put({other: kept for other, kept in tree.items() if other != path}, draw(st.sampled_from(NAMES)), node)
        elif isinstance(node, File) and what == "mode":
            tree = {**tree, path: replace(node, mode=node.mode ^ 0o111)}
        elif isinstance(node, File):
            lines = node.content.splitlines(keepends=True) or [b"\n"]
            lines[draw(st.integers(0, len(lines) - 1))] = draw(st.sampled_from((b"", b"one\n", b"two\n")))
            tree = {**tree, path: replace(node, content=b"".join(lines), mtime_ns=draw(st.integers(7, 9)))}
    return tree


@st.composite
def histories(draw: st.DrawFn, leaves: st.SearchStrategy[Any] = ALL_LEAVES) -> tuple[Flat, Flat, Flat]:
    """Base, ours and theirs."""
    base: Flat = {}
    for _ in range(draw(st.integers(0, 5))):
        base = put(base, draw(st.sampled_from(NAMES)), draw(leaves))
    return base, draw(changed(base, leaves)), draw(changed(base, leaves))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SnapshotStore:
    return SnapshotStore(tmp_path_factory.mktemp("merges") / "store.git")


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, node in flat.items():
        *ways, name = path.split("/")
        at = tree
        for way in ways:
            at = at.setdefault(way, {})
        at[name] = dict(node) if isinstance(node, Mapping) else node
    return tree


def view_of(store: SnapshotStore, flat: Flat) -> SnapshotView:
    return SnapshotView(store, store.commit(nested(flat)))


def merged(
    base: SnapshotView | None, ours: SnapshotView, theirs: SnapshotView, choice: OnConflict = "abort", *, applies: bool = True
) -> Merged:
    sides = Sides(base=base, ours=ours, theirs=theirs, read_ours=lambda entry: b"".join(ours.read(entry)))
    return merge(sides, Ways(tops=("",), applies_deletions=applies, on_conflict=choice, base_name="base", name="id"))


def entries(view: SnapshotView) -> Tree:
    return {entry.path: view.local(entry) for entry in view.walk()}


def plain(tree: Tree) -> Tree:
    """Without what a merge need not know: ids of directories, targets of links that the id tells."""
    return {path: replace(e, link_target=None, oid=e.oid if e.attributes.kind != "directory" else "") for path, e in tree.items()}


def applied(ours: SnapshotView, result: Merged) -> Tree:
    tree: dict[str, Entry | None] = {**entries(ours), **result.results}
    return plain({path: entry for path, entry in tree.items() if entry is not None})


def assert_is_tree(tree: Tree) -> None:
    for path, entry in tree.items():
        assert entry.path == path
        ways = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)]
        assert all(way in tree and tree[way].attributes.kind == "directory" for way in ways), path


@given(histories())
def test_a_side_equal_to_the_base_yields_the_other(store: SnapshotStore, history: tuple[Flat, Flat, Flat]) -> None:
    base, side, _ = (view_of(store, flat) for flat in history)
    for ours, theirs in ((base, side), (side, base)):
        result = merged(base, ours, theirs)
        assert result.conflicts == []
        assert applied(ours, result) == plain(entries(side))


@given(histories())
def test_a_side_equal_to_the_base_loses_nothing_when_deletions_are_kept(
    store: SnapshotStore, history: tuple[Flat, Flat, Flat]
) -> None:
    base, side, _ = (view_of(store, flat) for flat in history)
    for ours, theirs in ((base, side), (side, base)):
        result = merged(base, ours, theirs, applies=False)
        tree = applied(ours, result)
        assert result.conflicts == []
        assert_is_tree(tree)
        expected = plain(entries(side))
        assert {path: tree.get(path) for path in expected} == expected
        contents = {entry.oid for entry in tree.values()}
        for path in plain(entries(base)).keys() - tree.keys():  # only what was renamed or replaced is gone
            entry = entries(base)[path]
            if any(is_below(other, path) and other != path for other in entries(base)):
                continue  # a directory goes when all that it held was renamed
            is_replaced = any(is_below(path, other) and e.attributes.kind != "directory" for other, e in expected.items())
            followed = any(path not in expected and other not in entries(base) for other in expected)
            assert is_replaced or entry.oid in contents or followed


@given(histories(), st.booleans())
def test_two_equal_sides_yield_what_they_are(store: SnapshotStore, history: tuple[Flat, Flat, Flat], applies: bool) -> None:
    base, side, _ = (view_of(store, flat) for flat in history)
    for common in (base, None):
        result = merged(common, side, side, applies=applies)
        assert result.conflicts == []
        assert applied(side, result) == plain(entries(side))


@given(histories(), st.booleans())
def test_a_merge_is_symmetric_when_the_choice_is(store: SnapshotStore, history: tuple[Flat, Flat, Flat], applies: bool) -> None:
    base, ours, theirs = (view_of(store, flat) for flat in history)
    for one, other in (("ours", "theirs"), ("theirs", "ours")):
        left = merged(base, ours, theirs, one, applies=applies)  # type: ignore[arg-type]
        right = merged(base, theirs, ours, other, applies=applies)  # type: ignore[arg-type]
        assert applied(ours, left) == applied(theirs, right)
        assert [(c.path, c.kind, c.ours, c.theirs) for c in left.conflicts] == [
            (c.path, c.kind, c.theirs, c.ours) for c in right.conflicts
        ]


@given(histories(), st.sampled_from(CHOICES), st.booleans(), st.booleans())
def test_every_choice_leaves_a_tree_of_what_the_sides_had(
    store: SnapshotStore, history: tuple[Flat, Flat, Flat], choice: OnConflict, applies: bool, has_base: bool
) -> None:
    base, ours, theirs = (view_of(store, flat) for flat in history)
    result = merged(base if has_base else None, ours, theirs, choice, applies=applies)
    tree = applied(ours, result)
    assert_is_tree(tree)
    contents = {entry.oid for view in (ours, theirs) for entry in entries(view).values()}
    assert {e.oid for e in tree.values() if e.attributes.kind != "directory"} <= contents | result.contents.keys()
    assert all(object_id("blob", content).hex() == oid for oid, content in result.contents.items())
    mine = plain(entries(ours))
    beside = {path for path in tree if path.endswith(".id") or ".id/" in path}
    assert beside.isdisjoint(mine)
    assert not beside or choice in ("both", "markers")


@given(histories(), st.sampled_from(CHOICES), st.booleans())
def test_merging_again_changes_nothing(
    store: SnapshotStore, history: tuple[Flat, Flat, Flat], choice: OnConflict, applies: bool
) -> None:
    base, ours, theirs = (view_of(store, flat) for flat in history)
    first = merged(base, ours, theirs, choice, applies=applies)
    tree = applied(ours, first)
    again = view_of(store, flat_of(store, tree, first.contents))
    second = merged(theirs, again, theirs, choice, applies=True)
    assert second.conflicts == []
    assert applied(again, second) == plain(entries(again))


def flat_of(store: SnapshotStore, tree: Tree, contents: Mapping[str, bytes]) -> Flat:
    flat: Flat = {}
    for path, entry in tree.items():
        if entry.attributes.kind == "directory":
            flat |= {path: {}} if path else {}
            continue
        content = contents[entry.oid] if entry.oid in contents else store.read(entry.oid)[1]
        is_link = entry.attributes.kind == "symlink"
        flat[path] = Link(content.decode()) if is_link else File(content, entry.attributes.mode, entry.attributes.mtime_ns)
    return flat


# --- stock git ---


def git_merge(store: SnapshotStore, trees: Iterable[SnapshotView]) -> dict[str, tuple[str, str]] | None:
    """Mode and blob of every path after `git merge-tree`; None when it finds conflicts."""
    place = ("--git-dir", store.path)
    base, ours, theirs = (view.data_tree for view in trees)
    parent = git(*place, "commit-tree", base, "-m", "base").strip()
    sides = [git(*place, "commit-tree", tree, "-p", parent, "-m", "side").strip() for tree in (ours, theirs)]
    options = ("-c", "merge.directoryRenames=false")
    words = git(*place, *options, "merge-tree", "--write-tree", "-z", "--name-only", "--messages", *sides, check=False)
    tree, *rest = words.split("\0")
    if any(word.startswith("CONFLICT") for word in rest):
        return None
    lines = git(*place, "ls-tree", "-r", "-z", "--full-tree", tree).split("\0")[:-1]
    return {line.partition("\t")[2]: (line.split()[0], line.split()[2]) for line in lines}


def as_git(tree: Tree) -> dict[str, tuple[str, str]]:
    modes = {"symlink": "120000", "file": "100644"}
    return {
        path: ("100755" if e.attributes.kind == "file" and e.attributes.mode & 0o100 else modes[e.attributes.kind], e.oid)
        for path, e in tree.items()
        if e.attributes.kind != "directory"
    }


@given(histories(LEAVES))
def test_a_merge_is_clean_and_the_same_where_stock_git_finds_it_clean(
    store: SnapshotStore, history: tuple[Flat, Flat, Flat]
) -> None:
    views = [view_of(store, flat) for flat in history]
    expected = git_merge(store, views)
    result = merged(views[0], views[1], views[2])
    # Links are never followed to a new name, which git does: what the other side made of one is then in conflict.
    lost_links = [c for c in result.conflicts if c.base and c.base.kind == "symlink"]
    if expected is None:
        gone = [node for path, node in history[0].items() if not history[1].keys() & history[2].keys() & {path}]
        assert result.conflicts or any(isinstance(node, Link) for node in gone)
    elif not lost_links:
        assert [(conflict.path, conflict.kind) for conflict in result.conflicts] == []
        assert as_git(applied(views[1], result)) == expected
