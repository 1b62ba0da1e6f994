from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given

from cronos_git.git.view import SnapshotView
from cronos_git.ops.compare import diff
from tests.support.git import git
from tests.support.snapshot_strategies import ALL_TREES, GIT_TREES
from tests.support.snapshots import SnapshotStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SnapshotStore:
    return SnapshotStore(tmp_path_factory.mktemp("patches") / "store.git")


def pieces(patch: bytes) -> list[bytes]:
    """The patches of single files, in an order that does not depend on how paths are sorted."""
    return sorted(re.split(rb"^(?=diff --git )", patch, flags=re.MULTILINE)[1:])


@given(GIT_TREES, GIT_TREES)
def test_patches_and_counts_are_those_of_stock_git(store: SnapshotStore, old: dict[str, Any], new: dict[str, Any]) -> None:
    commits = store.commit(old), store.commit(new)
    command = ["--git-dir", str(store.path), "diff", "--no-renames", "--full-index"]
    expected = git(*command, "-p", *(f"{commit}:data" for commit in commits)).encode("utf-8", "surrogateescape")
    numbers = git(*command, "--numstat", "-z", *(f"{commit}:data" for commit in commits)).split("\0")[:-1]
    found = list(diff(*(SnapshotView(store, commit) for commit in commits), patch=True))
    assert pieces(b"".join(each.patch or b"" for each in found)) == pieces(expected)
    counted = {each.change.path: (each.insertions, each.deletions) for each in found if each.change.kind != "attributes"}
    assert counted == {
        path: (None if added == "-" else int(added), None if removed == "-" else int(removed))
        for added, removed, path in (line.split("\t", 2) for line in numbers)
    }


@given(ALL_TREES, ALL_TREES)
def test_counts_are_the_lines_of_the_patch(store: SnapshotStore, old: dict[str, Any], new: dict[str, Any]) -> None:
    views = [SnapshotView(store, store.commit(tree)) for tree in (old, new)]
    for each in diff(*views, patch=True):
        assert each.patch is not None
        if each.insertions is None:
            assert b"Binary files " in each.patch
            continue
        hunks = b"".join(part.split(b"\n@@ ", 1)[-1] for part in pieces(each.patch) if b"\n@@ " in part)
        marks = [line[:1] for line in hunks.split(b"\n")[1:]]
        assert (marks.count(b"+"), marks.count(b"-")) == (each.insertions, each.deletions)
