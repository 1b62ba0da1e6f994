"""What a walk takes: rules, paths that are forced past them, CRONOS's own staging directories, and look-ups in what it saw."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronos_git.disk import walk
from cronos_git.disk.fingerprints import StatCache
from cronos_git.disk.walk import CACHEDIR_SIGNATURE, STAGING_PREFIX, Directory, Scan, WalkRules
from cronos_git.events import Run
from cronos_git.git.pack import HashSink
from cronos_git.ops.capture import Captured, CaptureOptions, capture
from cronos_git.rules.patterns import DEFAULT_EXCLUDES, build_matcher
from tests.support.trees import make_tree


def rules(forced: Sequence[str] = (), *, include: Sequence[str] = (), **more: Any) -> WalkRules:
    matcher = build_matcher(defaults=DEFAULT_EXCLUDES, exclude=(), include=include)
    return WalkRules(matcher=matcher, forced=frozenset(forced), **more)


def walked(root: Path, forced: Sequence[str] = (), *, scope: tuple[str, ...] = ("",), include: Sequence[str] = ()) -> Scan:
    fd = walk.open_project(str(root))
    try:
        return walk.scan(fd, rules(forced, include=include), walk.branches(scope), Run())
    finally:
        os.close(fd)


def directories(scan: Scan) -> Iterator[Directory]:
    pending = [scan.top]
    while pending:
        directory = pending.pop()
        yield directory
        pending += directory.children


def taken(scan: Scan) -> set[str]:
    inside = {os.path.join(directory.path, entry.name) for directory in directories(scan) for entry in directory.entries}
    return inside | {directory.path for directory in directories(scan)} - {""}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_tree(
        tmp_path / "project",
        {
            "a": b"1",
            "node_modules/m/keep": b"1",
            "node_modules/m/other": b"2",
            "node_modules/n/x": b"3",
            "x.pyc": b"4",
            "y.pyc": b"5",
            ".git/HEAD": b"ref",
            ".git/hooks/h": b"6",
            "cache/CACHEDIR.TAG": CACHEDIR_SIGNATURE,
            "cache/c": b"7",
            "cache/deep/d": b"8",
            "z/z": b"9",
        },
    )


PLAIN = {"a", "z", "z/z"}


@pytest.mark.parametrize(
    ("forced", "besides"),
    [
        (["x.pyc"], {"x.pyc"}),
        (["node_modules/m/keep"], {"node_modules", "node_modules/m", "node_modules/m/keep"}),
        (["node_modules/n"], {"node_modules", "node_modules/n", "node_modules/n/x"}),
        ([".git/hooks/h"], {".git", ".git/hooks", ".git/hooks/h"}),
        ([".git"], {".git", ".git/HEAD", ".git/hooks", ".git/hooks/h"}),
        (["cache/deep"], {"cache", "cache/deep", "cache/deep/d"}),
        (["cache"], {"cache", "cache/CACHEDIR.TAG", "cache/c", "cache/deep", "cache/deep/d"}),
        (["cache/c", "x.pyc"], {"cache", "cache/c", "x.pyc"}),
        (["z/z", "a"], set()),
    ],
)
def test_forced_path_is_taken_with_the_way_to_it_and_nothing_else(project: Path, forced: list[str], besides: set[str]) -> None:
    assert taken(walked(project, forced)) == PLAIN | besides


@pytest.mark.parametrize(
    "forced", [["node_modules/m/nope"], ["node_modules/m/keep/nope"], ["cache/no/pe"], [".git/no/pe"], ["no"]]
)
def test_forced_path_that_is_not_there_leaves_no_trace(project: Path, forced: list[str]) -> None:
    assert walked(project, forced) == walked(project)


def test_name_too_long_for_the_file_system_is_not_there(project: Path) -> None:
    scan = walked(project, ["node_modules/" + "long" * 100, "node_modules/m/keep"])
    assert scan.problems == []
    assert "node_modules/m/keep" in taken(scan)


def test_everything_below_a_forced_directory_is_taken_whatever_rules_lie_in_it(project: Path) -> None:
    inner: dict[str, Any] = {
        ".cronosignore": "*\n",
        "__pycache__/p.pyc": b"1",
        "sub/.git/HEAD": b"ref",
        "sub/cache/CACHEDIR.TAG": CACHEDIR_SIGNATURE,
        "sub/cache/x": b"2",
    }
    make_tree(project / "node_modules/n", inner)
    everything = {str(path.relative_to(project)) for path in (project / "node_modules/n").rglob("*")}
    assert len(everything) == 10
    assert taken(walked(project, ["node_modules/n"])) == PLAIN | everything | {"node_modules", "node_modules/n"}


def test_forced_root_takes_all(project: Path) -> None:
    assert taken(walked(project, [""])) == {str(path.relative_to(project)) for path in project.rglob("*")}


def test_neighbours_of_forced_paths_are_counted_as_excluded_as_ever(project: Path) -> None:
    plain, forced = walked(project), walked(project, ["node_modules/m/keep", "cache/c", ".git/HEAD"])
    assert (plain.excluded_files, plain.excluded_directories) == (2, 2)
    assert (forced.excluded_files, forced.excluded_directories) == (2, 2)
    assert walked(project, ["x.pyc"]).excluded_files == 1
    assert (forced.files, forced.directories) == (len(PLAIN) - 1 + 3, 1 + 1 + 4)


def test_forced_and_included_paths_of_one_excluded_directory_are_both_taken(project: Path) -> None:
    scan = walked(project, ["node_modules/n/x"], include=["node_modules/m/keep"])
    below = {"node_modules", "node_modules/m", "node_modules/m/keep", "node_modules/n", "node_modules/n/x"}
    assert taken(scan) == PLAIN | below


def test_forced_path_outside_the_scope_is_taken_alone(project: Path) -> None:
    scan = walked(project, ["node_modules/m/keep", "z/z/not a directory"], scope=("a",))
    assert taken(scan) == {"a", "node_modules", "node_modules/m", "node_modules/m/keep"}
    assert scan.excluded_files == 0


def test_names_stay_in_order_with_forced_ones_among_them(project: Path) -> None:
    make_tree(project, {"aa.pyc": b"", "b/venv/x": b"", "b/a/x": b"", "b/z/x": b""})
    scan = walked(project, ["aa.pyc", "b/venv", "x.pyc"])
    for directory in directories(scan):
        assert directory.entries == sorted(directory.entries)
        assert [child.path for child in directory.children] == sorted(child.path for child in directory.children)


def test_empty_directory_before_a_dropped_one_is_kept(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a": {}, "venv/CACHEDIR.TAG": CACHEDIR_SIGNATURE})
    assert taken(walked(tmp_path, include=["venv/x"])) == {"a"}


def test_directories_nested_too_deep_are_reported_not_entered(tmp_path: Path) -> None:
    deep = "/".join("d" * (walk.MAX_DEPTH + 50))
    (tmp_path / deep).mkdir(parents=True)
    scan = walked(tmp_path)
    assert [(problem.path.count("/"), problem.code) for problem in scan.problems] == [(walk.MAX_DEPTH, "too_deep")]
    assert len(taken(scan)) == walk.MAX_DEPTH + 1


# --- the law: rules, and what is forced; and fingerprints that tell them apart ---

NAMES = st.sampled_from(["a", "b", ".git", "venv", "x.pyc", "CACHEDIR.TAG"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def build(root: Path, paths: list[str]) -> None:
    for path in paths:
        full = root / path
        try:
            full.parent.mkdir(parents=True, exist_ok=True)
            full.write_bytes(CACHEDIR_SIGNATURE)
        except OSError:
            continue  # a part of it is a file, or it is a directory already


def is_forced(path: str, forced: Sequence[str]) -> bool:
    return any(path == one or path.startswith(one + "/") for one in forced)


@settings(max_examples=150, deadline=None)
@given(paths=st.lists(PATHS, min_size=1, max_size=12), forced=st.lists(PATHS, max_size=3))
def test_a_walk_takes_what_it_took_anyway_and_what_is_forced_and_its_fingerprints_tell(
    paths: list[str], forced: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        build(root, paths)
        plain, scan = walked(root), walked(root, forced)
        there = {str(path.relative_to(root)) for path in root.rglob("*") if is_forced(str(path.relative_to(root)), forced)}
        ways = {str(above) for path in there for above in Path(path).parents} - {"."}
        assert taken(scan) == taken(plain) | there | ways
        assert {entry: scan.find(entry) is not None for entry in taken(scan)} == dict.fromkeys(taken(scan), True)
        for directory in directories(scan):
            before = plain.directory(directory.path)
            if before is not None and before.fingerprint == directory.fingerprint:
                assert plain.names(directory.path) == scan.names(directory.path)


def captured(root: Path, cache: StatCache, forced: Sequence[str] = ()) -> Captured:
    options = CaptureOptions(rules=rules(forced), scope=("",), chunk_threshold=1 << 30, trusted_before_ns=1 << 62)
    return capture(str(root), options, cache, HashSink(), Run())


@pytest.mark.parametrize(
    "forced", ["x.pyc", "z/s.pyc", "node_modules", "node_modules/m/keep", "cache/deep", ".git", "z/.git/HEAD"]
)
def test_stat_cache_of_a_run_with_forced_paths_does_not_mislead_one_without_nor_the_reverse(project: Path, forced: str) -> None:
    make_tree(project, {"z/s.pyc": b"", "z/.git/HEAD": b""})
    plain, more = captured(project, StatCache()), captured(project, StatCache(), [forced])
    assert plain.data != more.data
    after_more = captured(project, StatCache(directories=more.cache))
    after_plain = captured(project, StatCache(directories=plain.cache), [forced])
    assert (after_more.data, after_more.attributes, after_more.files_read) == (plain.data, plain.attributes, 0)
    assert (after_plain.data, after_plain.attributes) == (more.data, more.attributes)


# --- staging directories ---


def test_staging_directories_are_never_taken_nor_counted(project: Path) -> None:
    before = walked(project)
    name = f"{STAGING_PREFIX}1-ab"
    make_tree(project, {f"{name}/x": b"", f"z/{name}/x": b"", f"node_modules/{name}": b""})
    after = walked(project)
    assert taken(after) == taken(before)
    assert (after.excluded_files, after.excluded_directories) == (before.excluded_files, before.excluded_directories)
    forced = walked(project, [name, f"z/{name}/x", f"node_modules/{name}", f"node_modules/{name}/x"])
    assert taken(forced) == taken(before)
    assert taken(walked(project, scope=(f"{name}/x", "a"))) == {"a"}
    assert not any(STAGING_PREFIX in path for path in taken(walked(project, ["", "z", "node_modules"])))


# --- look-ups ---


def test_look_ups_find_what_was_taken_and_nothing_else(project: Path) -> None:
    scan = walked(project)
    assert scan.find("") == scan.top.info
    assert scan.find("z") == scan.top.children[0].info
    found = scan.find("z/z")
    assert found is not None
    assert found.inode == (project / "z/z").stat().st_ino
    assert scan.directory("z") is scan.top.children[0]
    assert scan.names("") == {"a", "z"}
    assert scan.names("z") == {"z"}
    for path in ("z/nope", "a/x", "node_modules", "x.pyc", "nope/x", "zz", "z/z/z"):
        assert scan.find(path) is None
        assert scan.directory(path) is None
        assert scan.names(path) is None
    assert scan.directory("z/z") is None
    assert scan.names("a") is None
