"""Versions of a path and matches against a look at every backup, and blame against stock git."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, Entry, GrepRequest
from cronos_git.ops.blame import blame
from cronos_git.ops.grep import grep
from cronos_git.ops.history import versions
from cronos_git.ops.lineage import PathReader, witnesses
from tests.support.git import git
from tests.support.snapshots import SnapshotStore, content_of
from tests.support.stores import make_backup
from tests.support.trees import File

NAMES = ("a", "b", ".git", "d/a", "d/.git")
NODES = st.sampled_from([None, "one\n", "two\n", File(b"one\n", mode=0o755), File(b"one\n", mode=0o600), ""])
TREES = st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, NODES)), min_size=1, max_size=6)
TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=7), min_size=1, max_size=6)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, node in flat.items():
        if node is not None:
            *parents, name = path.split("/")
            inner = tree
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[name] = node
    return tree


def stored(store: SnapshotStore, trees: Sequence[Mapping[str, Any]]) -> list[Backup]:
    return [make_backup(number, commit=store.commit(nested(tree))) for number, tree in enumerate(trees, 1)]


def look(store: SnapshotStore, backup: Backup, path: str) -> tuple[object, ...] | None:
    view = SnapshotView(store, backup.commit)
    if view.find_if_any(path) is None:
        return None
    entry = view.entry(path)
    return entry.attributes.kind, entry.oid, entry.attributes.mode


def told(entry: Entry | None) -> tuple[object, ...] | None:
    return (entry.attributes.kind, entry.oid, entry.attributes.mode) if entry else None


@given(TREES, st.sampled_from([*NAMES, "d"]))
def test_versions_are_what_a_look_at_every_backup_finds(trees: list[dict[str, Any]], path: str) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
        store = SnapshotStore(Path(place) / "s")
        backups = stored(store, trees)
        found = list(versions(PathReader(store), witnesses(store, backups, [path]), path))
        left = list(backups)
        for number, version in enumerate(found):
            assert version.path == (found[number - 1].previous_path or found[number - 1].path if number else path)
            run = [left.pop() for _ in version.backups][::-1]
            assert [backup.id for backup in run] == list(version.backups)
            assert (version.first.id, version.last.id) == (version.backups[0], version.backups[-1])
            assert {look(store, backup, version.path) for backup in run} == {told(version.entry)}
            check_origin(store, version, left)
        assert all(look(store, backup, found[-1].path if found else path) is None for backup in left)
        if found:
            assert found[-1].entry is not None


def check_origin(store: SnapshotStore, version: Any, left: list[Backup]) -> None:
    now = told(version.entry)
    before = look(store, left[-1], version.path) if left else None
    assert now != before
    if version.kind == "renamed":
        assert before is None and look(store, left[-1], version.previous_path) is not None
        assert look(store, version.first, version.previous_path) is None
    elif version.kind == "removed":
        assert now is None and before is not None
    elif version.kind == "added":
        assert before is None
        if left and version.entry.attributes.kind == "file" and version.entry.attributes.size_bytes:
            gone = [name for name in NAMES if look(store, left[-1], name) and look(store, version.first, name) is None]
            assert version.entry.oid not in {look(store, left[-1], name)[1] for name in gone}  # type: ignore[index]
    else:
        assert now and before and (now[:2] == before[:2]) == (version.kind == "mode")


@given(TREES, st.sampled_from(["one", "o", "^two$", "x"]))
def test_grep_finds_what_reading_every_file_of_every_backup_finds(trees: list[dict[str, Any]], pattern: str) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
        store = SnapshotStore(Path(place) / "s")
        backups = stored(store, trees)
        expected: dict[tuple[str, bytes], tuple[str, ...]] = {}
        for backup, tree in zip(backups, trees, strict=True):
            for path, node in tree.items():
                content = b"" if node is None else content_of(node)
                if re.search(pattern.encode(), content, re.MULTILINE):
                    expected[path, content] = (*expected.get((path, content), ()), backup.id)
        found = list(grep(store, backups, GrepRequest(pattern=pattern)))  # type: ignore[arg-type]
        assert {(one.path, one.lines[0].text + b"\n"): one.backups for one in found} == expected
        assert len(found) == len(expected) and all(one.lines[0].number == len(one.lines) == 1 for one in found)


@given(TEXTS, st.integers(0, 5))
def test_blame_agrees_with_git_on_the_timeline(texts: list[list[str]], renamed_at: int) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
        store = SnapshotStore(Path(place) / "s")
        contents = ["".join(f"{line}\n" for line in lines) for lines in texts]
        trees = [{"old" if at < renamed_at else "new": content} for at, content in enumerate(contents)]
        path = "old" if len(trees) <= renamed_at else "new"
        backups = stored(store, trees)
        commits = timeline(store, backups)
        found = blame(PathReader(store), versions(PathReader(store), witnesses(store, backups, [path]), path))
        assert [line.text.decode() for line in found] == texts[-1]
        expected = git("--git-dir", store.path, "blame", "-s", "-l", "--root", commits[-1], "--", path)
        assert [commits.index(line[:40]) + 1 for line in expected.splitlines()] == [line.backup.sequence for line in found]


def timeline(store: SnapshotStore, backups: Sequence[Backup]) -> list[str]:
    commits: list[str] = []
    for backup in backups:
        parent = b"parent %b\n" % commits[-1].encode() if commits else b""
        tree = SnapshotView(store, backup.commit).data_tree.encode()
        who = b"t <t@t> %d +0000" % (1764000000 + backup.sequence)
        body = b"tree %b\n%bauthor %b\ncommitter %b\n\n%b\n" % (tree, parent, who, who, backup.id.encode())
        commits.append(store.write("commit", body).hex())
    return commits
