from __future__ import annotations

from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ObjectType

from cronos_git.errors import RecordFormatError
from cronos_git.git.trees import (
    EMPTY_TREE,
    MODE_DIRECTORY,
    MODE_EXECUTABLE,
    MODE_FILE,
    MODE_SYMLINK,
    TreeEntry,
    format_tree,
    parse_tree,
)
from tests.support.git import git

OID = bytes(range(20))


def entry(mode: bytes, name: bytes, oid: bytes = OID) -> bytes:
    return mode + b" " + name + b"\0" + oid


def test_every_mode_and_any_byte_in_names_come_back() -> None:
    entries = [
        TreeEntry(MODE_FILE, b" leading space", OID),
        TreeEntry(MODE_EXECUTABLE, b"caf\xe9\n", OID),
        TreeEntry(MODE_SYMLINK, b"link", b"\0" * 20),
        TreeEntry(MODE_DIRECTORY, b"sub", EMPTY_TREE),
    ]
    assert parse_tree(format_tree(reversed(entries))) == entries


def test_no_entries_is_the_empty_tree(tmp_path: Path) -> None:
    repository = pygit2.init_repository(str(tmp_path), bare=True)
    assert parse_tree(b"") == []
    assert repository.odb.write(ObjectType.TREE, format_tree([])).raw == EMPTY_TREE


def test_directory_sorts_as_if_a_slash_followed(tmp_path: Path) -> None:
    repository = pygit2.init_repository(str(tmp_path), bare=True)
    blob = repository.create_blob(b"x").raw
    repository.odb.write(ObjectType.TREE, b"")  # fsck misses the empty tree where only its name is used
    names = [(MODE_DIRECTORY, b"a"), (MODE_FILE, b"a.c"), (MODE_FILE, b"a0"), (MODE_FILE, b"a-b"), (MODE_DIRECTORY, b"a.d")]
    body = format_tree(TreeEntry(mode, name, EMPTY_TREE if mode == MODE_DIRECTORY else blob) for mode, name in names)
    tree = repository.odb.write(ObjectType.TREE, body)
    assert [e.stored for e in parse_tree(body)] == [b"a-b", b"a.c", b"a.d", b"a", b"a0"]
    repository.create_commit("refs/heads/main", *[pygit2.Signature("t", "t@t")] * 2, "m", tree, [])
    git("--git-dir", tmp_path, "fsck", "--full", "--strict")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(entry(b"100644", b"a")[:-1], id="cut off in the id"),
        pytest.param(entry(b"100644", b"a") + b"1", id="bytes after the end"),
        pytest.param(b"x" + entry(b"100644", b"a"), id="bytes before the start"),
        pytest.param(entry(b"100644", b"a") + b"??" + entry(b"100644", b"b"), id="bytes between entries"),
        pytest.param(entry(b"100644", b""), id="empty name"),
        pytest.param(entry(b"100644", b"."), id="dot"),
        pytest.param(entry(b"40000", b".."), id="dot dot"),
        pytest.param(entry(b"100644", b"a/b"), id="path for a name"),
        pytest.param(entry(b"040000", b"a"), id="zero before the mode"),
        pytest.param(entry(b"100664", b"a"), id="unknown mode"),
        pytest.param(entry(b"160000", b"a"), id="submodule"),
        pytest.param(entry(b"100644", b"b") + entry(b"100644", b"a"), id="out of order"),
        pytest.param(entry(b"100644", b"a") * 2, id="name twice"),
        pytest.param(
            entry(b"100644", b"a") + entry(b"100644", b"a.c") + entry(b"40000", b"a"), id="file and directory of one name"
        ),
    ],
)
def test_malformed_tree_is_refused(body: bytes) -> None:
    with pytest.raises(RecordFormatError):
        parse_tree(body)
