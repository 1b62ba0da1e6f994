from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cronos_git.git.view import SnapshotView
from cronos_git.model import Change, FileDiff
from cronos_git.ops.compare import diff
from tests.support.git import git
from tests.support.snapshots import Chunked, SnapshotStore, Unreadable
from tests.support.trees import File, Link, Special, make_tree, read_tree


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "store.git")


def compare(store: SnapshotStore, old: Mapping[str, Any], new: Mapping[str, Any], *paths: str, **options: bool) -> list[FileDiff]:
    views = [SnapshotView(store, store.commit(tree)) for tree in (old, new)]
    return list(diff(*views, paths, **options))


def patch_of(store: SnapshotStore, old: Mapping[str, Any], new: Mapping[str, Any]) -> bytes:
    return b"".join(found.patch or b"" for found in compare(store, old, new, patch=True))


def test_names_alone_read_no_content(store: SnapshotStore) -> None:
    old, new = (SnapshotView(store, store.commit({"f": content, "g": b"="})) for content in (b"1\n", b"2\n"))
    contents = {view.entry("f").oid for view in (old, new)}
    store.reads.clear()
    assert list(diff(old, new)) == [FileDiff(change=Change(kind="changed", path="f", old_size=2, new_size=2))]
    assert not contents & set(store.reads)


def test_stat_counts_lines_without_a_patch(store: SnapshotStore) -> None:
    (found,) = compare(store, {"f": b"a\nb\nc\n"}, {"f": b"a\nB\nC\nc\n"}, stat=True)
    assert (found.insertions, found.deletions, found.patch) == (2, 1, None)


def test_changed_file_reads_as_git_shows_it(store: SnapshotStore) -> None:
    assert patch_of(store, {"f": b"a\nb\n"}, {"f": b"a\nc"}) == (
        b"diff --git a/f b/f\n"
        b"index 422c2b7ab3b3c668038da977e4e93a5fc623169c..817f660e4423f7df2dfc7d4bff0e01b2092a8ce9 100644\n"
        b"--- a/f\n"
        b"+++ b/f\n"
        b"@@ -1,2 +1,2 @@\n"
        b" a\n"
        b"-b\n"
        b"+c\n"
        b"\\ No newline at end of file\n"
    )


def test_latin1_text_stays_bytes(store: SnapshotStore) -> None:
    patch = patch_of(store, {"f": b"caf\xe9\n"}, {"f": b"th\xe9\n"})
    assert b"-caf\xe9\n+th\xe9\n" in patch


def test_odd_name_is_quoted_and_a_space_ends_in_a_tab(store: SnapshotStore) -> None:
    patch = patch_of(store, {}, {'q"\\\udce9\n': b"x\n", "with space": b"y\n"})
    assert b'diff --git "a/q\\"\\\\\\351\\n" "b/q\\"\\\\\\351\\n"\n' in patch
    assert b"--- /dev/null\n+++ b/with space\t\n" in patch


@pytest.mark.parametrize("binary", [b"\0", b"x" * 7999 + b"\0", Chunked((b"text\n", b"text\n"))])
def test_binary_content_is_only_said_to_differ(store: SnapshotStore, binary: Any) -> None:
    for old, new in (({"f": b"text\n"}, {"f": binary}), ({"f": binary}, {}), ({}, {"f": binary})):
        (found,) = compare(store, old, new, patch=True)
        assert (found.insertions, found.deletions) == (None, None)
        assert found.patch is not None and found.patch.splitlines()[-1].startswith(b"Binary files ")


def test_nul_after_the_first_8000_bytes_is_text(store: SnapshotStore) -> None:
    (found,) = compare(store, {"f": b"x" * 8000 + b"\0\n"}, {"f": b"y\n"}, stat=True)
    assert (found.insertions, found.deletions) == (1, 1)


def test_chunks_are_never_loaded(store: SnapshotStore) -> None:
    old, new = (SnapshotView(store, store.commit({"big": Chunked((b"same", tail))})) for tail in (b"1", b"2"))
    lists = {view.entry("big").oid for view in (old, new)}
    store.reads.clear()
    assert len(list(diff(old, new, patch=True))) == 1
    assert not lists & set(store.reads)


def test_executable_bit_alone_shows_two_modes(store: SnapshotStore) -> None:
    (found,) = compare(store, {"f": b"x\n"}, {"f": File(b"x\n", mode=0o755)}, patch=True)
    assert found.patch == b"diff --git a/f b/f\nold mode 100644\nnew mode 100755\n"
    assert (found.insertions, found.deletions) == (0, 0)


def test_file_that_becomes_a_link_goes_and_comes(store: SnapshotStore) -> None:
    (found,) = compare(store, {"f": b"x\n"}, {"f": Link("y")}, patch=True)
    assert (found.insertions, found.deletions) == (1, 1)
    assert found.patch is not None
    assert b"deleted file mode 100644" in found.patch and b"new file mode 120000" in found.patch


def test_file_that_becomes_unreadable_is_not_shown_as_deleted(store: SnapshotStore) -> None:
    (found,) = compare(store, {"f": b"x\n"}, {"f": Unreadable()}, patch=True)
    assert (found.change.kind, found.insertions, found.deletions) == ("changed", None, None)
    assert found.patch is not None and b"deleted" not in found.patch


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"p": Special("fifo")}),
        ({"d": {}}, {}),
        ({"f": b"x\n"}, {"f": File(b"x\n", mtime_ns=9)}),
        ({"f": Unreadable()}, {"f": Unreadable(), "d": {}}),
    ],
)
def test_what_has_no_lines_has_an_empty_patch(store: SnapshotStore, old: dict[str, Any], new: dict[str, Any]) -> None:
    (found,) = compare(store, old, new, patch=True)
    assert (found.insertions, found.deletions, found.patch) == (0, 0, b"")


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((), ["a/x", "a/y/z", "ab", "b"]),
        (("a",), ["a/x", "a/y/z"]),
        (("a/y/",), ["a/y/z"]),
        (("a/x", "b"), ["a/x", "b"]),
        (("",), ["a/x", "a/y/z", "ab", "b"]),
        (("c",), []),
    ],
)
def test_paths_limit_what_is_compared(store: SnapshotStore, paths: tuple[str, ...], expected: list[str]) -> None:
    old = {"a": {"x": b"1", "y": {"z": b"1"}}, "ab": b"1", "b": b"1"}
    new = {"a": {"x": b"2", "y": {"z": b"2"}}, "ab": b"2", "b": b"2"}
    assert [found.change.path for found in compare(store, old, new, *paths)] == expected


def test_git_apply_takes_the_patch(store: SnapshotStore, tmp_path: Path) -> None:
    old = {"with space": b"1\n2\n3\n", "gone": b"x\n", "bit": b"x\n", "caf\udce9": b"caf\xe9", "d": {"f": b"x\n"}, "l": Link("d")}
    new = {
        "with space": b"1\n3\n4",
        "bit": File(b"x\n", mode=0o755),
        "caf\udce9": b"\xe9\n",
        "d": {"n": b"new\n"},
        "l": b"file\n",
    }
    work = make_tree(tmp_path / "work", old)
    (tmp_path / "patch").write_bytes(patch_of(store, old, new))
    git("apply", "--no-index", tmp_path / "patch", cwd=work)
    want = make_tree(tmp_path / "want", new)
    assert {path: (node[0], node[6]) for path, node in read_tree(work).items()} == {
        path: (node[0], node[6]) for path, node in read_tree(want).items()
    }
    assert (work / "bit").stat().st_mode & 0o111
