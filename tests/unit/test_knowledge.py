from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cronos_git.model import RestoreRequest, SnapshotRequest
from cronos_git.ops.knowledge import Knowledge
from tests.support.engine import make_engine
from tests.support.restore_model import CACHE_TAG
from tests.support.trees import make_tree, read_tree

TAGGED = {"d/CACHEDIR.TAG": CACHE_TAG, "d/in": b"1"}


def knowledge(
    room: Path, tree: dict[str, Any], *, request: SnapshotRequest | None = None, tagged: str = "-", **settings: Any
) -> Knowledge:
    engine = make_engine(room, **settings)
    make_tree(engine.project, tree)
    backup = engine.snapshot(request or SnapshotRequest()).backup
    return Knowledge(engine.view(backup), lambda path: path == tagged)


@pytest.mark.parametrize(
    ("path", "is_directory", "is_known"),
    [
        ("src/new.py", False, True),
        ("new/dir", True, True),
        ("src/x.pyc", False, False),
        ("src/__pycache__", True, False),
        ("src/__pycache__", False, True),
        ("src/__pycache__/deep/file", False, False),
        ("node_modules/a", False, False),
        (".git", True, False),
        ("deep/.git/config", False, False),
        (".gitignore", False, True),
    ],
)
def test_default_exclusions_say_nothing_of_what_they_match(tmp_path: Path, path: str, is_directory: bool, is_known: bool) -> None:
    assert knowledge(tmp_path, {"src/a": b"1"}).covers(path, is_directory) is is_known


def test_a_file_is_known_when_the_rules_were_switched_off(tmp_path: Path) -> None:
    known = knowledge(tmp_path, {"a": b"1"}, default_excludes=False, git_dirs="include", cachedir_tags=False, tagged="d")
    assert known.covers("x.pyc", False)
    assert known.covers(".git/config", False)
    assert known.covers("d/in", False)


def test_configured_and_requested_exclusions_count(tmp_path: Path) -> None:
    known = knowledge(tmp_path, {"a": b"1"}, exclude=("*.bak",), request=SnapshotRequest(exclude=("/logs/",)))
    assert not known.covers("x.bak", False)
    assert not known.covers("logs/today", False)
    assert known.covers("src/logs/today", False)


def test_an_ignore_file_outranks_the_configuration_and_the_request_outranks_it(tmp_path: Path) -> None:
    tree = {".cronosignore": "!*.bak\n!*.tmp\n"}
    known = knowledge(tmp_path, tree, exclude=("*.bak",), request=SnapshotRequest(exclude=("*.tmp",)))
    assert known.covers("x.bak", False)
    assert not known.covers("x.tmp", False)


def test_ignore_files_count_as_the_backup_holds_them_for_their_directory(tmp_path: Path) -> None:
    tree = {".cronosignore": "*.log\n", "a/.cronosignore": "!keep.log\n/only-here\n", "b": {}}
    known = knowledge(tmp_path, tree)
    make_tree(tmp_path / "project", {".cronosignore": "", "a/.cronosignore": "*\n"})
    assert not known.covers("b/x.log", False)
    assert known.covers("a/keep.log", False)
    assert not known.covers("b/keep.log", False)
    assert not known.covers("a/only-here", False)
    assert known.covers("b/only-here", False)


@pytest.mark.parametrize("respected", [False, True])
def test_gitignore_counts_when_it_was_respected(tmp_path: Path, respected: bool) -> None:
    known = knowledge(tmp_path, {".gitignore": "*.log\n"}, respect_gitignore=respected)
    assert known.covers("x.log", False) is not respected


def test_an_ignore_file_that_left_itself_out_counts(tmp_path: Path) -> None:
    known = knowledge(tmp_path, {"a/.cronosignore": ".cronosignore\n*.log\n", "a/b": b"1"})
    assert not known.covers("a/x.log", False)
    assert known.covers("x.log", False)


def test_an_ignore_file_above_a_module_counts(tmp_path: Path) -> None:
    tree = {".cronosignore": b"*.log\n\xff\n", "src/a": b"1"}
    known = knowledge(tmp_path, tree, request=SnapshotRequest(modules=("src",)))
    assert not known.covers("src/x.log", False)
    assert not known.covers("src/\udcff", False)
    assert known.covers("src/x", False)


def test_a_cache_directory_counts_as_it_was_then_and_as_it_is_now(tmp_path: Path) -> None:
    known = knowledge(tmp_path, TAGGED, tagged="new")
    assert not known.covers("d", True)
    assert not known.covers("d/in", False)
    assert not known.covers("new/in", False)
    assert known.covers("other/in", False)


def test_a_directory_whose_tag_was_not_valid_is_known(tmp_path: Path) -> None:
    assert knowledge(tmp_path, {"d/CACHEDIR.TAG": b"no", "d/in": b"1"}).covers("d/new", False)


def test_what_was_included_below_an_excluded_directory_is_known(tmp_path: Path) -> None:
    known = knowledge(tmp_path, {"build/x/keep": b"1"}, exclude=("build/",), include=("build/x/*.txt",))
    assert known.covers("build/x/new.txt", False)
    assert not known.covers("build/x/new.o", False)
    assert not known.covers("build/new.txt", False)


def test_what_was_forced_is_known_although_excluded(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"x.pyc": b"1", "y.pyc": b"2"})
    engine.snapshot(SnapshotRequest())
    backup = make_engine(tmp_path, default_excludes=False).snapshot(SnapshotRequest()).backup
    engine.project.joinpath("x.pyc").write_bytes(b"changed")
    engine.restore(RestoreRequest(backup=backup.id, strategy="replace", paths=("x.pyc",)))
    known = Knowledge(engine.view(engine.backups()[0]), lambda _path: False)
    assert known.covers("x.pyc", False)
    assert not known.covers("y.pyc", False)


def test_backups_that_do_not_tell_what_was_requested_leave_out_more(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, exclude=("*.bak",))
    make_tree(engine.project, {".cronosignore": "!*.bak\n"})
    view = engine.view(engine.snapshot(SnapshotRequest()).backup)
    record = view.record()
    del record["rules"]["request_exclude"]
    view.record = lambda: record  # type: ignore[method-assign]
    assert not Knowledge(view, lambda _path: False).covers("x.bak", False)


@pytest.mark.parametrize("included", [False, True])
def test_replace_removes_just_what_was_surely_not_there(tmp_path: Path, included: bool) -> None:
    """An excluded directory that is entered for something included in it stays, without what was not there."""
    settings = {"exclude": ("build/",), **({"include": ("build/*.txt",)} if included else {})}
    engine = make_engine(tmp_path, **settings)
    make_tree(engine.project, {"a": b"1", "build/old.o": b"1"})
    backup = engine.snapshot(SnapshotRequest()).backup
    make_tree(engine.project, {"build/new.txt": b"2", "new": b"3"})
    engine.restore(RestoreRequest(backup=backup.id, strategy="replace"))
    assert read_tree(engine.project).keys() == {"", "a", "build", "build/old.o"} | (set() if included else {"build/new.txt"})


def test_a_cache_directory_that_lost_its_tag_stays(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1", **TAGGED})
    backup = engine.snapshot(SnapshotRequest()).backup
    engine.project.joinpath("d/CACHEDIR.TAG").unlink()
    engine.restore(RestoreRequest(backup=backup.id, strategy="replace"))
    assert engine.project.joinpath("d/in").read_bytes() == b"1"


def test_undo_of_one_path_takes_nothing_else_from_a_directory_that_the_rules_exclude(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"d/wanted": b"1", "d/other": b"2"})
    backup = engine.snapshot(SnapshotRequest()).backup
    make_tree(engine.project, {"d/CACHEDIR.TAG": CACHE_TAG})
    engine.project.joinpath("d/wanted").unlink()
    before = read_tree(engine.project)
    engine.restore(RestoreRequest(backup=backup.id, strategy="overwrite", paths=("d/wanted",)))
    assert engine.project.joinpath("d/wanted").read_bytes() == b"1"
    engine.undo()
    assert read_tree(engine.project) == before
