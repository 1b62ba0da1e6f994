from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cronos_git.git.view import SnapshotView
from cronos_git.model import Attributes, Entry, OnConflict
from cronos_git.ops.merging import Merged, Sides, Ways, merge
from cronos_git.rules.merge import Verdict, decide
from tests.support.snapshots import SnapshotStore
from tests.support.trees import File, Link

LINES = [b"line %d\n" % number for number in range(10)]


def text(*changes: tuple[int, bytes]) -> bytes:
    lines = list(LINES)
    for number, line in changes:
        lines[number] = line
    return b"".join(lines)


OLD, OURS, THEIRS, BOTH = text(), text((1, b"ours\n")), text((8, b"theirs\n")), text((1, b"ours\n"), (8, b"theirs\n"))
AGAINST = text((1, b"theirs\n"))


def entry(oid: str = "1", **attributes: Any) -> Entry:
    default: dict[str, Any] = {"kind": "file", "name": "f", "mode": 0o644, "size_bytes": 1, "mtime_ns": 1, "uid": 1, "gid": 1}
    return Entry(path="f", oid=oid, attributes=Attributes(**default | attributes))


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        ({}, {"mode": 0o755}, {"xattrs": (("user.a", b"1"),)}, {"mode": 0o755, "xattrs": (("user.a", b"1"),)}),
        ({"mtime_ns": 1}, {"mtime_ns": 3}, {"mtime_ns": 2}, {"mtime_ns": 3}),
        ({"mtime_ns": 5}, {"mtime_ns": 5}, {"mtime_ns": 2}, {"mtime_ns": 2}),
        ({}, {"uid": 2}, {"mode": 0o600}, {"uid": 2, "mode": 0o600}),
        (
            {"xattrs": (("user.a", b"1"), ("user.b", b"1"))},
            {"xattrs": (("user.a", b"1"), ("user.c", b"1"))},
            {"xattrs": (("user.a", b"2"), ("user.b", b"1"))},
            {"xattrs": (("user.a", b"2"), ("user.c", b"1"))},
        ),
        ({"link_group": "g"}, {"link_group": "g"}, {}, {}),
        ({}, {"mode": 0o755}, {"link_group": "g"}, {"mode": 0o755, "link_group": "g"}),
    ],
)
def test_attributes_merge_field_by_field(base: Any, ours: Any, theirs: Any, merged: Any) -> None:
    verdict = decide(entry(**base), entry(**ours), entry(**theirs), applies_deletions=True)
    assert verdict == Verdict(entry(**merged))


@pytest.mark.parametrize(
    ("ours", "theirs", "conflict"),
    [
        ({"mode": 0o755}, {"mode": 0o600}, "mode"),
        ({"uid": 2}, {"gid": 2}, "attribute"),
        ({"xattrs": (("user.a", b"1"),)}, {"xattrs": (("user.a", b"2"),)}, "attribute"),
    ],
)
def test_contradicting_attributes_are_those_of_the_preferred_side(ours: Any, theirs: Any, conflict: Any) -> None:
    sides = entry(), entry("2", **ours), entry(**theirs)
    assert decide(*sides, applies_deletions=True) == Verdict(entry("2", **ours), conflict)
    assert decide(*sides, applies_deletions=True, prefers_theirs=True) == Verdict(entry("2", **theirs), conflict)


def test_a_file_that_one_side_could_not_read_stays() -> None:
    ours = entry("2")
    for base in (entry(), ours, None):
        unread = entry("", unreadable=True)
        assert decide(base, ours, unread, applies_deletions=True) == Verdict(ours)
        assert decide(base, unread, ours, applies_deletions=True) == Verdict(unread)


def test_large_files_are_never_merged_by_line() -> None:
    sides = (replace(entry(oid), chunked=True) for oid in "123")
    assert decide(*sides, applies_deletions=True).conflict == "binary"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SnapshotStore:
    return SnapshotStore(tmp_path_factory.mktemp("merges") / "store.git")


Seen = dict[str, Any]


def merged(
    store: SnapshotStore, trees: tuple[Any, Any, Any], choice: OnConflict = "abort", *, applies: bool = True, tops: Any = ("",)
) -> tuple[Seen, list[tuple[str, str]]]:
    """Content of every file after a merge (the target of a link, None for an empty directory), and the conflicts."""
    base, ours, theirs = (SnapshotView(store, store.commit(tree)) for tree in trees)
    sides = Sides(base=base, ours=ours, theirs=theirs, read_ours=lambda entry: b"".join(ours.read(entry)))
    result = merge(sides, Ways(tops=tops, applies_deletions=applies, on_conflict=choice, base_name="base", name="id"))
    return seen(store, ours, result), [(conflict.path, conflict.kind) for conflict in result.conflicts]


def seen(store: SnapshotStore, ours: SnapshotView, result: Merged) -> Seen:
    tree = {entry.path: entry for entry in ours.walk() if entry.path} | result.results
    found: Seen = {}
    for path, there in tree.items():
        if there is None:
            continue
        if there.attributes.kind != "directory":
            found[path] = result.contents.get(there.oid) or store.read(there.oid)[1]
        elif not any(other.startswith(path + "/") and left for other, left in tree.items()):
            found[path] = None
    found.pop("", None)
    return found


CLEAN: dict[str, tuple[tuple[Any, Any, Any], Seen]] = {
    "ours renamed, theirs edited": (({"a": OLD}, {"b": OURS}, {"a": THEIRS}), {"b": BOTH}),
    "theirs renamed, ours edited": (({"a": OLD}, {"a": OURS}, {"b": THEIRS}), {"b": BOTH}),
    "both renamed to one name": (({"a": OLD}, {"b": OURS}, {"b": THEIRS}), {"b": BOTH}),
    "into a new directory": (({"a": OLD}, {"a": OURS}, {"d": {"e": {"a": THEIRS}}}), {"d/e/a": BOTH}),
    "into its own place as a directory": (({"a": OLD}, {"a": OURS}, {"a": {"a": THEIRS}}), {"a/a": BOTH}),
    "out of a directory into its place": (({"d": {"a": OLD}}, {"d": {"a": OURS}}, {"d": THEIRS}), {"d": BOTH}),
    "a directory renamed": (({"d": {"a": OLD}}, {"e": {"a": OURS}}, {"d": {"a": THEIRS}}), {"e/a": BOTH}),
    "renamed here, unchanged there": (({"a": OLD}, {"b": OURS}, {"a": OLD}), {"b": OURS}),
}


@pytest.mark.parametrize("applies", [False, True])
@pytest.mark.parametrize("case", CLEAN)
def test_a_renamed_file_is_followed(store: SnapshotStore, case: str, applies: bool) -> None:
    trees, expected = CLEAN[case]
    assert merged(store, trees, applies=applies) == (expected, [])


def test_swapped_names_with_an_edit_contradict_each_other(store: SnapshotStore) -> None:
    one, other = OLD, b"".join(b"other %d\n" % number for number in range(10))
    trees = ({"a": one, "b": other}, {"a": other, "b": one}, {"a": THEIRS, "b": other})
    assert merged(store, trees)[1] == [("a", "content")]
    assert merged(store, (trees[0], trees[1], trees[0])) == ({"a": other, "b": one}, [])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("ours", {"b": BOTH}),
        ("theirs", {"c": BOTH}),
        ("both", {"b": BOTH, "c": THEIRS}),
    ],
)
def test_a_file_renamed_to_two_names_is_under_the_chosen_one(store: SnapshotStore, choice: OnConflict, expected: Seen) -> None:
    found, conflicts = merged(store, ({"a": OLD}, {"b": OURS}, {"c": THEIRS}), choice)
    assert found == expected
    assert conflicts == [("a", "rename/rename")]


def test_a_name_that_the_other_side_took_stays_its_own(store: SnapshotStore) -> None:
    trees = ({"a": OLD}, {"b": OLD}, {"a": OLD, "b": b"new\n"})
    assert merged(store, trees, "ours") == ({"b": OLD}, [("b", "add/add")])
    assert merged(store, trees, "both", applies=False) == ({"a": OLD, "b": OLD, "b.id": b"new\n"}, [("b", "add/add")])


@pytest.mark.parametrize("edited", [OLD, OURS])
def test_a_file_renamed_here_and_deleted_there_is_never_just_lost(store: SnapshotStore, edited: bytes) -> None:
    trees: tuple[Any, Any, Any] = ({"a": OLD}, {"b": edited}, {})
    assert merged(store, trees, applies=False) == ({"b": edited}, [])
    assert merged(store, trees, "ours") == ({"b": edited}, [("b", "delete/modify")])
    assert merged(store, trees, "theirs") == ({}, [("b", "delete/modify")])


def test_a_file_that_only_the_backup_has_comes_back(store: SnapshotStore) -> None:
    trees = ({"a": OLD, "d": {"x": b"1"}, "e": {}}, {"mine": b"2"}, {"a": OLD, "d": {"x": b"1"}, "e": {}})
    assert merged(store, trees, applies=False) == ({"a": OLD, "d/x": b"1", "e": None, "mine": b"2"}, [])
    assert merged(store, trees) == ({"mine": b"2"}, [])


KINDS: dict[str, tuple[tuple[Any, Any, Any], str]] = {
    "content": (({"f": OLD}, {"f": OURS}, {"f": AGAINST}), "content"),
    "added": (({}, {"f": OURS}, {"f": THEIRS}), "add/add"),
    "deleted": (({"f": OLD}, {}, {"f": THEIRS}), "delete/modify"),
    "binary": (({"f": b"\0"}, {"f": b"\0ours"}, {"f": b"\0theirs"}), "binary"),
    "mode": (({"f": File(OLD)}, {"f": File(OLD, 0o755)}, {"f": File(OLD, 0o600)}), "mode"),
    "link": (({"f": Link("x")}, {"f": Link("ours")}, {"f": Link("theirs")}), "symlink"),
    "type": (({"f": OLD}, {"f": Link("ours")}, {"f": THEIRS}), "type"),
    "directory": (({"f": {"x": OLD}}, {"f": b"file"}, {"f": {"x": THEIRS}}), "directory/file"),
    "directory here": (({}, {"f": {"x": OLD}}, {"f": OURS}), "directory/file"),
}


@pytest.mark.parametrize("case", KINDS)
def test_every_kind_of_conflict_can_be_resolved_both_ways(store: SnapshotStore, case: str) -> None:
    trees, kind = KINDS[case]
    ours, theirs = (merged(store, (tree, tree, tree))[0] for tree in trees[1:])
    beside = {path.replace("f", "f.id", 1): content for path, content in theirs.items()}
    for choice, expected in (("ours", ours), ("theirs", theirs), ("both", ours | beside)):
        assert merged(store, trees, choice) == (expected, [("f", kind)])  # type: ignore[arg-type]
    if kind in ("content", "add/add"):
        found, _ = merged(store, trees, "markers")
        assert found.keys() == {"f"}
        assert all(label in found["f"] for label in (b"<<<<<<< current\n", b"||||||| base\n", b">>>>>>> backup id\n"))
    else:
        assert merged(store, trees, "markers") == (ours | beside, [("f", kind)])


def test_a_version_beside_never_takes_a_name(store: SnapshotStore) -> None:
    trees = ({"f": OLD}, {"f": OURS, "f.id": b"mine"}, {"f": AGAINST, "f.id.2": b"theirs"})
    expected = {"f": OURS, "f.id": b"mine", "f.id.2": b"theirs", "f.id.3": AGAINST}
    assert merged(store, trees, "both", applies=False)[0] == expected
    name = "n" * 255
    assert merged(store, ({}, {name: b"1\n"}, {name: b"2\n"}), "both")[0] == {name: b"1\n", "n" * 252 + ".id": b"2\n"}


def test_a_file_in_the_place_of_a_directory_stays_when_nothing_changed_there(store: SnapshotStore) -> None:
    trees = ({"d": {"x": OLD}}, {"d": b"file"}, {"d": {"x": OLD}})
    assert merged(store, trees, applies=False) == ({"d": b"file"}, [])


def test_a_path_below_what_is_a_file_now_is_a_conflict(store: SnapshotStore) -> None:
    trees: tuple[Any, Any, Any] = ({}, {"d": b"file"}, {"d": {"x": OLD, "y": OLD}})
    assert merged(store, trees, "ours", tops=("d/x",)) == ({"d": b"file"}, [("d", "directory/file")])
    assert merged(store, trees, "theirs", tops=("d/x",)) == ({"d/x": OLD}, [("d", "directory/file")])


def grouped(group: str, **fields: Any) -> Entry:
    return entry(**{"link_group": group, **fields})


def test_names_that_share_a_file_on_both_sides_share_the_merged_one() -> None:
    verdict = decide(grouped("g"), grouped("g", mode=0o755), grouped("g", mtime_ns=9), applies_deletions=True)
    assert verdict == Verdict(grouped("g", mode=0o755, mtime_ns=9))
    merged = decide(grouped("g"), replace(grouped("g"), oid="2"), replace(grouped("g"), oid="3"), applies_deletions=True)
    assert merged.merges_text
    assert merged.entry is not None
    assert merged.entry.attributes.link_group == "g"
