from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cronos_git.errors import BackupNotFoundError, PatternError, UsageError
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup
from cronos_git.ops import browse
from tests.support.snapshots import Chunked, SnapshotStore
from tests.support.trees import File, Link, Special

PROJECT: dict[str, Any] = {
    "README.md": b"top",
    "docs": {"README.md": b"inner", "guide": {"a.md": b"a"}, "link": Link("guide/a.md")},
    "big": Chunked((b"1", b"2")),
    "pipe": Special("fifo"),
}


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "store.git")


@pytest.fixture
def view(store: SnapshotStore) -> SnapshotView:
    return SnapshotView(store, store.commit(PROJECT))


def backup(store: SnapshotStore, sequence: int, tree: Mapping[str, Any]) -> Backup:
    return Backup(
        id=f"b_20260401_12000{sequence}",
        name="b",
        type="manual",
        scope="project",
        created=datetime(2026, 4, 1, 12, tzinfo=UTC),
        sequence=sequence,
        parent=None,
        message="b",
        description="",
        labels=(),
        pinned=False,
        files=0,
        size_bytes=0,
        added=0,
        changed=0,
        removed=0,
        metadata={},
        commit=store.commit(tree),
        tag="0" * 40,
    )


def found(store: SnapshotStore, trees: list[Mapping[str, Any]], *patterns: str) -> list[tuple[str, str]]:
    """Path and last digits of the backups of each version, `+` between."""
    backups = [backup(store, number, tree) for number, tree in enumerate(trees, start=1)]
    versions = browse.find(store, backups, patterns)
    return [(version.entry.path, "+".join(name[-1] for name in version.backups)) for version in versions]


# --- ls and cat ---------------------------------------------------------------------------------------------------


def test_directory_lists_what_it_holds(view: SnapshotView) -> None:
    assert [e.path for e in browse.entries(view)] == ["README.md", "big", "docs", "pipe"]
    assert [e.path for e in browse.entries(view, "docs/")] == ["docs/README.md", "docs/guide", "docs/link"]


def test_recursive_listing_goes_below_without_the_directory_itself(view: SnapshotView) -> None:
    listed = browse.entries(view, "docs", recursive=True)
    assert [e.path for e in listed] == ["docs/README.md", "docs/guide", "docs/guide/a.md", "docs/link"]
    assert listed[-1].link_target == "guide/a.md"


@pytest.mark.parametrize("recursive", [False, True])
def test_file_lists_itself(view: SnapshotView, recursive: bool) -> None:
    assert [e.path for e in browse.entries(view, "docs/link", recursive=recursive)] == ["docs/link"]
    assert [e.link_target for e in browse.entries(view, "docs/link", recursive=recursive)] == ["guide/a.md"]


def test_listing_of_nothing_is_not_found(view: SnapshotView) -> None:
    with pytest.raises(BackupNotFoundError):
        browse.entries(view, "docs/nothing")


@pytest.mark.parametrize(("path", "content"), [("docs/README.md", b"inner"), ("/big", b"12"), ("docs/link", b"guide/a.md")])
def test_read_gives_the_content(view: SnapshotView, path: str, content: bytes) -> None:
    assert b"".join(browse.read(view, path)) == content


def test_read_of_a_directory_is_a_usage_error(view: SnapshotView) -> None:
    with pytest.raises(UsageError):
        browse.read(view, "docs")


# --- find ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("README.md", ["README.md", "docs/README.md"]),
        ("*.md", ["README.md", "docs/README.md", "docs/guide/a.md"]),
        ("readme.md", []),
        ("[a-d]*", ["big", "docs", "docs/guide/a.md"]),
        ("guide", ["docs/guide"]),
        ("docs/*.md", ["docs/README.md"]),
        ("/README.md", ["README.md"]),
        ("**/a.md", ["docs/guide/a.md"]),
        ("**/README.md", ["README.md", "docs/README.md"]),
        ("docs/**", ["docs", "docs/README.md", "docs/guide", "docs/guide/a.md", "docs/link"]),
        ("docs/*/a.md", ["docs/guide/a.md"]),
        ("*/a.md", []),
        ("pipe", ["pipe"]),
        ("big/*", []),
    ],
)
def test_pattern_finds(store: SnapshotStore, pattern: str, expected: list[str]) -> None:
    assert [path for path, _ in found(store, [PROJECT], pattern)] == expected


def test_any_of_several_patterns_finds_once(store: SnapshotStore) -> None:
    assert found(store, [PROJECT], "big", "b*", "pipe") == [("big", "1"), ("pipe", "1")]


@pytest.mark.parametrize("pattern", ["", "/"])
def test_empty_pattern_is_refused(store: SnapshotStore, pattern: str) -> None:
    with pytest.raises(PatternError):
        browse.find(store, [], [pattern])


def test_equal_versions_are_one_with_all_their_backups(store: SnapshotStore) -> None:
    one, two, touched = b"1", b"2", File(b"1", mtime_ns=99)
    trees = [{"d": {"f": one, "other": n}} for n in (b"x", b"y")]
    trees += [{"d": {"f": two}}, {}, {"d": {"f": one}}, {"d": {"f": touched}}]
    assert found(store, trees, "f") == [("d/f", "1+2+5"), ("d/f", "3"), ("d/f", "6")]


def test_same_content_at_another_path_is_another_entry(store: SnapshotStore) -> None:
    same = {"f": b"1"}
    assert found(store, [{"a": same}, {"a": same, "b": same}, {"b": same}], "f") == [("a/f", "1+2"), ("b/f", "2+3")]


def test_directory_state_is_read_once_for_all_backups(store: SnapshotStore) -> None:
    unchanged = {"deep": {"deeper": {"f": b"1"}}}
    backups = [backup(store, number, {"same": unchanged, "new": {"f": b"%d" % number}}) for number in range(1, 6)]
    store.reads.clear()
    browse.find(store, backups[:1], ["f"])
    first = len(store.reads)
    assert len(browse.find(store, backups, ["f"])) == 6
    opened, directory = 3, 3  # commit, its tree and `meta`; two trees and the attributes
    assert len(store.reads) == first + first + 4 * (opened + 2 * directory)
    store.reads.clear()
    browse.find(store, [backups[0]] * 5, ["f"])
    assert len(store.reads) == first + 4 * opened
