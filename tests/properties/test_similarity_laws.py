from __future__ import annotations

import subprocess
from collections.abc import Mapping
from hashlib import sha1

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE
from cronos_git.rules.similarity import Candidate, pair_renames, similarity
from tests.support.snapshots import SnapshotStore

_LONG = b"0123456789 the quick brown fox jumps over the lazy dog; SPHINX OF BLACK QUARTZ, JUDGE MY VOW" * 2
ODD_LINES = [b"\n", b"}\n", b"return\r\n", b"NUL \0\n", _LONG[:150] + b"\n", _LONG[7:70] + b"\n", _LONG[9:73] + b"\n"]
"""Varied, since the hash by which git knows a chunk is the same for 64 times "y" and 64 times "z"."""

LINES = st.sampled_from([b"line %d\n" % number for number in range(30)] + ODD_LINES)
CONTENTS = st.lists(LINES, max_size=12).map(b"".join)
"""All end with a newline: git before 2.44 does not count the rest."""


@st.composite
def moves(draw: st.DrawFn) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What is gone, and what is new: some of it made of what is gone, all of it in other directories."""
    names = st.sampled_from("abcde")
    full = st.lists(LINES, min_size=4, max_size=12, unique=True).map(b"".join)
    gone = draw(st.dictionaries(names.map("old/{}".format), full | CONTENTS, min_size=1, max_size=5))
    sources = st.sampled_from(sorted(gone.values()))
    parts = st.builds(lambda source, cut: b"".join(source.splitlines(keepends=True)[cut:]), sources, st.integers(0, 3))
    edited = st.builds(bytes.__add__, parts, st.lists(LINES, max_size=3).map(b"".join))
    return gone, draw(st.dictionaries(names.map("new/{}".format), edited | sources | CONTENTS, min_size=1, max_size=5))


def _candidates(files: Mapping[str, bytes]) -> list[Candidate]:
    return [Candidate(path=path, oid=sha1(body).hexdigest(), size_bytes=len(body)) for path, body in files.items()]


def pairs(gone: dict[str, bytes], new: dict[str, bytes]) -> dict[str, str]:
    contents = gone | new
    return pair_renames(_candidates(gone), _candidates(new), lambda candidate: contents[candidate.path])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SnapshotStore:
    return SnapshotStore(tmp_path_factory.mktemp("renames") / "store.git")


def renames_of_git(store: SnapshotStore, gone: dict[str, bytes], new: dict[str, bytes], least: str) -> dict[str, tuple[str, int]]:
    """Each path that stock git finds renamed, with the new path and the similarity in per cent."""
    command = ["git", "--git-dir", str(store.path), "diff-tree", "-r", "--no-rename-empty", "--name-status", "-z", f"-M{least}"]
    done = subprocess.run([*command, _tree(store, gone), _tree(store, new)], capture_output=True, check=True)
    words, found = iter(done.stdout.decode().split("\0")[:-1]), {}
    for status in words:
        path = next(words)
        if status[0] == "R":
            found[path] = next(words), int(status[1:])
    return found


def _tree(store: SnapshotStore, files: Mapping[str, bytes]) -> str:
    """The tree of files that lie in one directory each."""
    directories: dict[str, list[tuple[int, bytes, bytes]]] = {}
    for path, content in files.items():
        directory, name = path.split("/")
        directories.setdefault(directory, []).append((MODE_FILE, name.encode(), store.write("blob", content)))
    return store.tree(*((MODE_DIRECTORY, name.encode(), store.tree(*inner)) for name, inner in directories.items())).hex()


@given(CONTENTS, CONTENTS)
def test_similarity_is_what_git_reckons(store: SnapshotStore, one: bytes, other: bytes) -> None:
    larger = max(len(one), len(other), 1)
    common_bytes = round(similarity(one, other) * larger)
    per_cent = common_bytes * 60_000 // larger * 100 // 60_000
    expected = {"old/a": ("new/b", per_cent)} if one and other and per_cent else {}
    assert renames_of_git(store, {"old/a": one}, {"new/b": other}, "1%") == expected


@given(moves())
def test_renames_are_those_of_git_where_there_is_one_choice(
    store: SnapshotStore, files: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    gone, new = files
    choices = [(old, path) for old in gone for path in new if gone[old] and similarity(gone[old], new[path]) >= 0.5]
    clear = {old for old, path in choices if sum(old == other or path == another for other, another in choices) == 1}
    clear |= set(gone) - {old for old, _ in choices}
    ours = {old: path for old, path in pairs(gone, new).items() if old in clear}
    theirs = {old: path for old, (path, _) in renames_of_git(store, gone, new, "50%").items() if old in clear}
    assert ours == theirs


@given(CONTENTS | st.binary(max_size=200), CONTENTS | st.binary(max_size=200))
def test_similarity_is_symmetric_and_whole_for_equal_contents_alone(one: bytes, other: bytes) -> None:
    assert 0 <= similarity(one, other) == similarity(other, one) <= 1
    assert similarity(one, one) == 1
    assert similarity(one, other) <= min(len(one), len(other)) / max(len(one), len(other), 1) or one == other


@given(moves())
def test_each_file_is_in_one_pair_at_most_and_no_pair_is_left_out(files: tuple[dict[str, bytes], dict[str, bytes]]) -> None:
    gone, new = files
    found = pairs(gone, new)
    assert len(set(found.values())) == len(found)
    assert found.keys() <= gone.keys() and set(found.values()) <= new.keys()
    assert all(gone[old] and similarity(gone[old], new[path]) >= 0.5 for old, path in found.items())
    left = [(old, path) for old in gone.keys() - found.keys() for path in new.keys() - set(found.values())]
    assert all(not gone[old] or similarity(gone[old], new[path]) < 0.5 for old, path in left)


@given(moves())
def test_no_two_files_would_both_be_better_off_with_each_other(files: tuple[dict[str, bytes], dict[str, bytes]]) -> None:
    gone, new = files
    found = pairs(gone, new)
    score = {old: similarity(gone[old], new[path]) for old, path in found.items()}
    score |= {path: score[old] for old, path in found.items()}
    for old, path in ((old, path) for old in gone for path in new if gone[old] and new[path]):
        best = similarity(gone[old], new[path])
        assert best < 0.5 or best <= max(score.get(old, 0), score.get(path, 0))


@given(moves())
def test_the_order_of_the_candidates_does_not_count(files: tuple[dict[str, bytes], dict[str, bytes]]) -> None:
    gone, new = files
    assert pairs(dict(reversed(gone.items())), dict(reversed(new.items()))) == pairs(gone, new)
