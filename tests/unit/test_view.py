from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cronos_git.errors import BackupNotFoundError, DamageError, ObjectMissingError, UsageError
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, parse_tree
from cronos_git.git.view import SnapshotView, diff_views
from cronos_git.model import Change
from cronos_git.rules.attributes import AttributeTable, format_attributes
from tests.support.git import git
from tests.support.snapshots import Chunked, SnapshotStore, Unreadable
from tests.support.trees import File, Link, Special

PROJECT: dict[str, Any] = {
    "README": b"hello\n",
    "a.b": b"",
    "a": {"z": b"1", "deep": {"run.sh": File(b"#!/bin/sh\n", mode=0o755)}},
    "empty": {},
    ".git": {"HEAD": b"ref: refs/heads/main\n"},
    "caf\udce9": b"latin-1 name\n",
    "link": Link("a/z"),
    "pipe": Special("fifo"),
    "secret": Unreadable(),
    "big": Chunked((b"one", b"two", b"three"), mode=0o755),
    ".cronos%c%x": b"looks like an escape",
}


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "store.git")


def view_of(store: SnapshotStore, tree: Mapping[str, Any]) -> SnapshotView:
    return SnapshotView(store, store.commit(tree))


def changes(store: SnapshotStore, old: Mapping[str, Any], new: Mapping[str, Any], **options: bool) -> list[tuple[str, str]]:
    return [(c.kind, c.path) for c in diff_views(view_of(store, old), view_of(store, new), **options)]


# --- looking round ------------------------------------------------------------------------------------------------


def test_walk_gives_parents_first_and_names_in_byte_order(store: SnapshotStore) -> None:
    assert [entry.path for entry in view_of(store, PROJECT).walk()] == [
        "",
        ".cronos%c%x",
        ".git",
        ".git/HEAD",
        "README",
        "a",
        "a/deep",
        "a/deep/run.sh",
        "a/z",
        "a.b",
        "big",
        "caf\udce9",
        "empty",
        "link",
        "pipe",
        "secret",
    ]


def test_walk_of_a_path_includes_it_and_stays_below(store: SnapshotStore) -> None:
    view = view_of(store, PROJECT)
    assert [entry.path for entry in view.walk("a")] == ["a", "a/deep", "a/deep/run.sh", "a/z"]
    assert [entry.path for entry in view.walk("a/z")] == ["a/z"]


def test_walk_and_content_agree_with_stock_git(store: SnapshotStore) -> None:
    plain = {name: node for name, node in PROJECT.items() if not name.startswith(".") and name != "big"}
    commit = store.commit(plain)
    listed = git("--git-dir", store.path, "ls-tree", "-r", "-z", f"{commit}:data").split("\0")[:-1]
    view = SnapshotView(store, commit)
    with_content = [entry for entry in view.walk() if entry.oid and entry.attributes.kind != "directory"]
    assert sorted(f"{e.oid}\t{e.path}" for e in with_content) == sorted(line.split(" ", 2)[2] for line in listed)
    for entry in with_content:
        content = b"".join(view.read(entry)).decode("utf-8", "surrogateescape")
        assert content == git("--git-dir", store.path, "cat-file", "blob", entry.oid)


def test_children_know_kind_size_owner_and_link_target(store: SnapshotStore) -> None:
    view = view_of(store, PROJECT)
    found = {entry.path: entry for entry in view.children("")}
    assert {path: entry.attributes.kind for path, entry in found.items() if entry.attributes.kind != "file"} == {
        ".git": "directory",
        "a": "directory",
        "empty": "directory",
        "link": "symlink",
        "pipe": "fifo",
    }
    assert found["link"].link_target == "a/z"
    assert found["README"].attributes.size_bytes == 6
    assert found["a"].attributes.mtime_ns == 7
    assert (found["big"].chunked, found["big"].attributes.size_bytes, found["big"].attributes.mode) == (True, 11, 0o755)
    assert (found["pipe"].oid, found["secret"].oid) == ("", "")
    assert (view.users, view.groups) == ({1000: "alice"}, {100: "users"})


def test_children_of_an_empty_directory_are_none(store: SnapshotStore) -> None:
    assert view_of(store, PROJECT).children("empty") == []


def test_walk_fills_in_link_targets_only_when_asked(store: SnapshotStore) -> None:
    view = view_of(store, {"link": Link("caf\udce9"), "secret": Unreadable()})
    assert [entry.link_target for entry in view.walk()] == [None, None, None]
    assert [entry.link_target for entry in view.walk(links=True)] == [None, "caf\udce9", None]


def test_entry_reads_only_the_directories_on_its_way(store: SnapshotStore) -> None:
    view = view_of(store, PROJECT)
    entry = view.entry("a/deep/run.sh")
    assert (entry.path, entry.attributes.mode) == ("a/deep/run.sh", 0o755)
    assert view.entry("").attributes.kind == "directory"
    store.reads.clear()
    view_of(store, PROJECT).entry("a/z")
    assert len(store.reads) == 3 + 2 * 3  # the snapshot's own trees, then three objects for each directory


@pytest.mark.parametrize("path", ["nothing", "a/nothing", "README/below", "a/", "a//z", "./a", "link/z", "big/00000000"])
def test_path_that_is_not_there_is_not_found(store: SnapshotStore, path: str) -> None:
    view = view_of(store, PROJECT)
    with pytest.raises(BackupNotFoundError):
        view.entry(path)


def test_children_of_a_file_is_a_usage_error(store: SnapshotStore) -> None:
    with pytest.raises(UsageError):
        view_of(store, PROJECT).children("README")


def test_very_deep_tree_is_walked_and_compared(store: SnapshotStore) -> None:
    tree: dict[str, Any] = {"leaf": b"x"}
    body = store.write("blob", b"x")
    deep, depth = store.commit(tree), 1500
    data, attributes = (SnapshotView(store, deep).root.data, SnapshotView(store, deep).root.attributes)
    (record, *_) = parse_tree(store.read(SnapshotView(store, store.commit({})).root.attributes)[1])
    for _ in range(depth):
        data = store.tree((MODE_DIRECTORY, b"d", bytes.fromhex(data))).hex()
        attributes = store.tree(tuple(record), (MODE_DIRECTORY, b"d", bytes.fromhex(attributes))).hex()
    meta = store.tree((MODE_FILE, b"snapshot.json", body), (MODE_DIRECTORY, b"attributes", bytes.fromhex(attributes)))
    view = SnapshotView(
        store, store.raw_commit(store.tree((MODE_DIRECTORY, b"data", bytes.fromhex(data)), (MODE_DIRECTORY, b"meta", meta)))
    )
    assert sum(1 for _ in view.walk()) == depth + 2
    assert [c.path.count("/") for c in diff_views(None, view)] == [depth]


def test_record_is_the_snapshot_json(store: SnapshotStore) -> None:
    view = SnapshotView(store, store.commit({}, {"format": 1, "nested_git": {"caf\udce9": None}}))
    assert view.record() == {"format": 1, "nested_git": {"caf\udce9": None}}


# --- content ------------------------------------------------------------------------------------------------------


def test_chunked_file_comes_piece_by_piece(store: SnapshotStore) -> None:
    view = view_of(store, PROJECT)
    pieces = view.read(view.entry("big"))
    store.reads.clear()
    assert next(pieces) == b"one"
    assert len(store.reads) == 2  # the list of chunks and the first of them
    assert list(pieces) == [b"two", b"three"]


def test_content_of_a_link_is_its_target(store: SnapshotStore) -> None:
    view = view_of(store, PROJECT)
    assert b"".join(view.read(view.entry("link"))) == b"a/z"


@pytest.mark.parametrize(("path", "error"), [("a", UsageError), ("pipe", UsageError), ("secret", BackupNotFoundError)])
def test_what_has_no_content_says_so_at_once(store: SnapshotStore, path: str, error: type[Exception]) -> None:
    view = view_of(store, PROJECT)
    with pytest.raises(error, match=path):
        view.read(view.entry(path))


@pytest.mark.parametrize("names", [(b"00000000", b"00000002"), (b"00000001",), (b"0", b"1"), (b"00000000", b"x")])
def test_missing_or_misnamed_chunk_is_damage(store: SnapshotStore, names: tuple[bytes, ...]) -> None:
    view = view_of(store, PROJECT)
    chunks = store.tree(*((MODE_FILE, name, store.write("blob", name)) for name in names))
    with pytest.raises(DamageError, match="big"):
        list(view.read(replace(view.entry("big"), oid=chunks.hex())))


def test_missing_object_is_reported_with_its_path(store: SnapshotStore) -> None:
    view = view_of(store, PROJECT)
    with pytest.raises(ObjectMissingError, match="README") as caught:
        list(view.read(replace(view.entry("README"), oid="1" * 40)))
    assert caught.value.context["path"] == "README"


# --- damage -------------------------------------------------------------------------------------------------------


def without_record(name: str) -> Any:
    return lambda table: format_attributes(replace(table, entries={n: a for n, a in table.entries.items() if n != name}))


def with_kind(name: str, kind: Any) -> Any:
    def change(table: AttributeTable) -> bytes:
        entries = {n: replace(a, kind=kind) if n == name else a for n, a in table.entries.items()}
        return format_attributes(replace(table, entries=entries))

    return change


def with_extra(name: str, **fields: Any) -> Any:
    def change(table: AttributeTable) -> bytes:
        extra = replace(table.own, name=name, **fields)
        return format_attributes(replace(table, entries={**table.entries, name: extra}))

    return change


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda table: b"rubbish", id="unreadable record"),
        pytest.param(without_record("f"), id="content without attributes"),
        pytest.param(with_kind("f", "symlink"), id="file that should be a link"),
        pytest.param(with_kind("f", "fifo"), id="file that should be a pipe"),
        pytest.param(with_extra("g", kind="file"), id="attributes without content"),
        pytest.param(with_extra("g", kind="directory", unreadable=True), id="directory in the attributes only"),
        pytest.param(with_extra("..", kind="fifo"), id="pipe named dot dot"),
        pytest.param(with_extra("../../etc/x", kind="fifo"), id="pipe with a path for a name"),
        pytest.param(with_extra("", kind="fifo"), id="pipe without a name"),
        pytest.param(with_extra("a\0b", kind="fifo"), id="pipe with a NUL in its name"),
    ],
)
def test_attributes_that_do_not_fit_are_damage_named_by_path(store: SnapshotStore, damaged: Any) -> None:
    store.format_attributes = damaged
    view = view_of(store, {"top": {"f": b"x"}, "f": b"x"})
    with pytest.raises(DamageError) as caught:
        list(view.walk("top"))
    assert "path" in caught.value.context


def test_damage_below_names_the_directory(store: SnapshotStore) -> None:
    store.format_attributes = lambda table: format_attributes(table) if "g" not in table.entries else b"rubbish"
    view = view_of(store, {"top": {"g": b"x"}, "f": b"x"})
    with pytest.raises(DamageError, match="top"):
        list(view.walk())
    with pytest.raises(DamageError, match="top"):
        view.children("")


def test_directory_without_attributes_is_damage(store: SnapshotStore) -> None:
    whole = view_of(store, {"d": {"f": b"x"}})
    bare = view_of(store, {})
    meta = store.tree((MODE_DIRECTORY, b"attributes", bytes.fromhex(bare.root.attributes)))
    top = store.tree((MODE_DIRECTORY, b"data", bytes.fromhex(whole.data_tree)), (MODE_DIRECTORY, b"meta", meta))
    with pytest.raises(DamageError, match="'d'"):
        list(SnapshotView(store, store.raw_commit(top)).walk())


@pytest.mark.parametrize("stored", [b".git", b".cronos%e%..", b".cronos%e%plain%2F", b".cronos%c%f"])
def test_stored_name_that_leads_elsewhere_is_damage(store: SnapshotStore, stored: bytes) -> None:
    good = view_of(store, {"f": b"x"})
    blob = bytes.fromhex(good.entry("f").oid)
    data = store.tree((MODE_FILE, stored, blob))
    meta = store.tree((MODE_DIRECTORY, b"attributes", bytes.fromhex(good.root.attributes)))
    top = store.tree((MODE_DIRECTORY, b"data", data), (MODE_DIRECTORY, b"meta", meta))
    with pytest.raises(DamageError):
        list(SnapshotView(store, store.raw_commit(top)).walk())


def test_two_stored_names_for_one_name_on_disk_are_damage(store: SnapshotStore) -> None:
    good = view_of(store, {"f": b"x"})
    blob = bytes.fromhex(good.entry("f").oid)
    data = store.tree((MODE_FILE, b"f", blob), (MODE_FILE, b".cronos%e%f", blob))
    meta = store.tree((MODE_DIRECTORY, b"attributes", bytes.fromhex(good.root.attributes)))
    top = store.tree((MODE_DIRECTORY, b"data", data), (MODE_DIRECTORY, b"meta", meta))
    with pytest.raises(DamageError, match="two entries"):
        list(SnapshotView(store, store.raw_commit(top)).walk())


def test_commit_that_is_no_snapshot_is_damage(store: SnapshotStore) -> None:
    with pytest.raises(DamageError):
        SnapshotView(store, store.raw_commit(store.tree()))
    with pytest.raises(DamageError):
        SnapshotView(store, store.write("blob", b"x").hex())


# --- what differs -------------------------------------------------------------------------------------------------


def test_equal_views_read_nothing(store: SnapshotStore) -> None:
    old, new = view_of(store, PROJECT), view_of(store, PROJECT)
    store.reads.clear()
    assert list(diff_views(old, new)) == []
    assert store.reads == []


def test_only_directories_that_differ_are_read(store: SnapshotStore) -> None:
    same = {"x": {"y": b"1"}}
    old = view_of(store, {"one": same, "two": {"f": b"1"}})
    new = view_of(store, {"one": same, "two": {"f": b"22"}})
    store.reads.clear()
    assert list(diff_views(old, new)) == [Change(kind="changed", path="two/f", old_size=1, new_size=2)]
    assert len(store.reads) == 2 * 2 * 3


def test_against_nothing_all_but_filled_directories_is_added(store: SnapshotStore) -> None:
    found = list(diff_views(None, view_of(store, PROJECT)))
    assert {change.kind for change in found} == {"added"}
    assert [c.path for c in found] == [
        ".cronos%c%x",
        ".git/HEAD",
        "README",
        "a/deep/run.sh",
        "a/z",
        "a.b",
        "big",
        "caf\udce9",
        "empty",
        "link",
        "pipe",
        "secret",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({"f": b"1"}, {"f": File(b"1", mode=0o755)}, [("changed", "f")], id="executable bit"),
        pytest.param({"f": b"1"}, {"f": File(b"1", mode=0o600)}, [("attributes", "f")], id="other mode bits"),
        pytest.param({"f": b"1"}, {"f": File(b"1", mtime_ns=6)}, [("attributes", "f")], id="time"),
        pytest.param({"f": b"1"}, {"f": File(b"1", xattrs=(("user.a", b"b"),))}, [("attributes", "f")], id="xattr"),
        pytest.param({"f": b"x"}, {"f": Link("x")}, [("changed", "f")], id="file to link of the same bytes"),
        pytest.param({"f": b"x"}, {"f": Special("fifo")}, [("changed", "f")], id="file to pipe"),
        pytest.param({"f": b"x"}, {"f": Unreadable()}, [("changed", "f")], id="file became unreadable"),
        pytest.param({}, {"p": Special("fifo")}, [("added", "p")], id="pipe added"),
        pytest.param({"p": Special("fifo")}, {}, [("removed", "p")], id="pipe removed"),
        pytest.param({}, {"d": {}}, [("added", "d")], id="empty directory added"),
        pytest.param({"d": {"e": {}}}, {}, [("removed", "d/e")], id="empty directory removed"),
        pytest.param({"d": {}}, {"d": {"f": b""}}, [("added", "d/f")], id="empty directory filled"),
        pytest.param({"d": {"f": b""}}, {"d": {}}, [("removed", "d/f")], id="directory emptied"),
        pytest.param({"d": b""}, {"d": {}}, [("changed", "d")], id="file to empty directory"),
        pytest.param({"d": b""}, {"d": {"f": b""}}, [("removed", "d"), ("added", "d/f")], id="file to directory"),
        pytest.param({"d": {"f": b""}}, {"d": Link("x")}, [("added", "d"), ("removed", "d/f")], id="directory to link"),
        pytest.param({"d": {"f": b""}}, {}, [("removed", "d/f")], id="directory removed"),
        pytest.param({"b": Chunked((b"1", b"2"))}, {"b": Chunked((b"1", b"3"))}, [("changed", "b")], id="one chunk"),
        pytest.param({"b": Chunked((b"1",))}, {"b": Chunked((b"1",), mode=0o755)}, [("changed", "b")], id="executable chunked"),
    ],
)
def test_each_kind_of_difference_has_its_name(
    store: SnapshotStore, old: dict[str, Any], new: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert changes(store, old, new) == expected
    assert changes(store, old, new, attributes=False) == [pair for pair in expected if pair[0] != "attributes"]


def test_difference_in_a_directory_itself_is_an_attribute_change(store: SnapshotStore) -> None:
    old = view_of(store, {"d": {"f": b"1"}})
    store.format_attributes = lambda table: format_attributes(replace(table, own=replace(table.own, mode=0o700)))
    same, changed = view_of(store, {"d": {"f": b"1"}}), view_of(store, {"d": {"f": b"2"}})
    directories = [("attributes", ""), ("attributes", "d")]
    assert [(c.kind, c.path) for c in diff_views(old, same)] == directories
    assert [(c.kind, c.path) for c in diff_views(old, changed)] == [*directories, ("changed", "d/f")]
    assert list(diff_views(old, same, attributes=False)) == []


def test_another_device_number_is_a_change(store: SnapshotStore) -> None:
    views = []
    for minor in (3, 5):
        store.format_attributes = with_extra("null", kind="char", device=(1, minor))
        views.append(view_of(store, {}))
    assert [(c.kind, c.path) for c in diff_views(*views)] == [("changed", "null")]


def test_sizes_before_and_after_are_told(store: SnapshotStore) -> None:
    old, new = view_of(store, {"a": b"1", "b": b"22"}), view_of(store, {"b": b"333", "c": b""})
    assert list(diff_views(old, new)) == [
        Change(kind="removed", path="a", old_size=1),
        Change(kind="changed", path="b", old_size=2, new_size=3),
        Change(kind="added", path="c", new_size=0),
    ]


def test_scoped_snapshots_compare_by_what_they_hold(store: SnapshotStore) -> None:
    assert changes(store, {"a": {"f": b"1"}, "b": {"f": b"1"}}, {"a": {"f": b"2"}}) == [("changed", "a/f"), ("removed", "b/f")]


def test_names_are_bytes_whatever_the_locale(store: SnapshotStore) -> None:
    raw = bytes(byte for byte in range(1, 256) if byte != 0x2F)
    name = os.fsdecode(raw)
    view = view_of(store, {name: b"x"})
    assert os.fsencode(view.entry(name).path) == raw
