"""Restores in place into targets that are hostile, or that somebody changes meanwhile.

Nothing outside is ever touched, nothing of somebody else's is lost, and a refused restore has changed nothing. After the checkout
attacks in jj's tests (lib/tests/test_local_working_copy.rs).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cronos_git.disk import files, moves
from cronos_git.disk.walk import STAGING_PREFIX
from cronos_git.engine import Cronos
from cronos_git.errors import AccessError, CronosError, DamageError, RefusedError, StoreLockedError
from cronos_git.events import Finished, Run, Started
from cronos_git.git.pack import PackWriter
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, TreeEntry, format_tree
from cronos_git.model import Attributes, Backup
from cronos_git.rules.attributes import AttributeTable, format_attributes
from cronos_git.rules.names import ATTRIBUTES_NAME, encode_name
from cronos_git.rules.record import Identity, format_commit, format_json, format_tag, identity_line, snapshot_message
from tests.support.engine import LATER, make_engine
from tests.support.restoring import (
    actions,
    both_ways,
    leftovers,
    meanwhile,
    points,
    replacing,
    save,
    stamp,
    state,
)
from tests.support.trees import File, Link, make_tree, read_tree

TREE = {"d/sub/f": b"1", "d/g": b"2", "file": b"3", "other/h": b"4"}


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """A project with a backup `work` that everything differs from now, and a directory `outside` beside it."""
    engine = make_engine(tmp_path)
    make_tree(engine.project, TREE)
    save(engine)
    for name in TREE:
        (engine.project / name).write_bytes(b"changed")
    make_tree(tmp_path / "outside", {"sub/f": b"precious", "g": b"precious", "file": b"precious", "x": File(b"x", mode=0o600)})
    (tmp_path / "outside").chmod(0o750)
    return engine


@pytest.fixture
def outside(tmp_path: Path, engine: Cronos) -> Iterator[Path]:
    """The directory that nothing may happen to."""
    before = state(tmp_path / "outside")
    yield tmp_path / "outside"
    assert state(tmp_path / "outside") == before


def become_link(path: Path, to: Path) -> None:
    """Put a link in the place of what is there."""
    path.rename(path.with_name(path.name + ".moved"))
    path.symlink_to(to)


# --- links to the outside --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
@pytest.mark.parametrize(("name", "to"), [("d", ""), ("d/sub", "sub"), ("file", "file"), ("d/sub/f", "sub/f")])
@pytest.mark.parametrize("paths", [(), ("d/sub/f", "file")])
def test_a_link_in_the_way_is_replaced_and_never_followed(
    engine: Cronos, outside: Path, name: str, to: str, strategy: str, paths: tuple[str, ...]
) -> None:
    become_link(engine.project / name, outside / to)
    both_ways(engine, replacing(strategy=strategy, paths=paths))
    assert not (engine.project / name).is_symlink()
    assert (engine.project / "d/sub/f").read_bytes() == b"1"
    assert (engine.project / "file").read_bytes() == b"3"
    engine.undo()
    assert (engine.project / name).readlink() == outside / to


def test_a_backup_of_links_brings_links_and_follows_none(engine: Cronos, outside: Path) -> None:
    shutil.rmtree(engine.project / "d")
    make_tree(engine.project, {"d": Link(str(outside)), "up": Link("../outside/file")})
    save(engine, "links")
    for name in ("d", "up"):
        (engine.project / name).unlink()
    make_tree(engine.project, {"d/sub/f": b"mine", "up": b"mine"})
    both_ways(engine, replacing(backup="links"))
    assert (engine.project / "d").readlink() == outside
    assert (engine.project / "up").readlink() == Path("../outside/file")


@pytest.mark.parametrize(("name", "to"), [("d", ""), ("d/sub", "sub"), ("file", "file")])
def test_a_link_that_appears_after_the_plan_makes_it_stale(engine: Cronos, outside: Path, name: str, to: str) -> None:
    plan = engine.plan_restore(replacing())
    become_link(engine.project / name, outside / to)
    before = state(engine.project)
    with pytest.raises(RefusedError, match="changed since the plan"):
        engine.apply_restore(plan)
    assert state(engine.project) == before
    assert points(engine) == []


@pytest.mark.parametrize("at", [1, 10, *range(22, 80)])
def test_a_directory_that_becomes_a_link_at_any_step_never_leads_outside(engine: Cronos, outside: Path, at: int) -> None:
    """Whatever comes of it: nothing outside changes, and nothing of the project is lost."""
    count = 0

    def step(_name: str, _path: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            become_link(engine.project / "d", outside)

    files.step = step
    with contextlib.suppress(CronosError):
        engine.restore(replacing())
    files.step = files._no_step
    if (engine.project / "d").is_symlink():
        (engine.project / "d").unlink()
        (engine.project / "d.moved").rename(engine.project / "d")
        engine.recover()
    assert leftovers(engine) == []
    assert not (engine.project / "d").is_symlink()
    places = [engine.project / "d", engine.project / "d.moved"]  # a directory that was moved away may keep what was restored
    held = {name: {path.read_bytes() for path in _at(name, engine.project, places) if path.exists()} for name in TREE}
    assert all(b"changed" in held[name] for name in TREE) or all(TREE[name] in held[name] for name in TREE)


def _at(name: str, project: Path, places: Sequence[Path]) -> Sequence[Path]:
    return [place / name[2:] for place in places] if name.startswith("d/") else [project / name]


@pytest.mark.parametrize("phase", ["restore", "verify", "move"])
def test_a_file_that_becomes_a_link_meanwhile_is_refused_and_stays_one(engine: Cronos, outside: Path, phase: str) -> None:
    run = meanwhile(Started, lambda: become_link(engine.project / "file", outside / "file"), phase=phase)
    with pytest.raises(RefusedError):
        engine.restore(replacing(), run)
    assert (engine.project / "file").readlink() == outside / "file"
    assert (engine.project / "file.moved").read_bytes() == b"changed"
    assert (engine.project / "d/g").read_bytes() == b"changed"
    assert points(engine) == []
    assert leftovers(engine) == []


def test_a_file_that_becomes_a_link_before_it_is_read_is_kept_and_told(engine: Cronos, outside: Path) -> None:
    run = meanwhile(Finished, lambda: become_link(engine.project / "file", outside / "file"), phase="scan")
    report = engine.restore(replacing(), run)
    assert (engine.project / "file").readlink() == outside / "file"
    assert (engine.project / "file.moved").read_bytes() == b"changed"
    assert [(problem.path, problem.code) for problem in report.problems] == [("file", "not_restored")]
    assert (engine.project / "d/g").read_bytes() == b"2"


@pytest.mark.parametrize("phase", ["scan", "restore", "move"])
def test_a_target_that_is_replaced_meanwhile_is_left_to_whoever_did_it(engine: Cronos, outside: Path, phase: str) -> None:
    aside = engine.project.with_name("aside")

    def swap() -> None:
        engine.project.rename(aside)
        engine.project.symlink_to(outside)

    with contextlib.suppress(CronosError):
        engine.restore(replacing(), meanwhile(Started, swap, phase=phase))
    assert engine.project.readlink() == outside
    assert {(aside / name).read_bytes() for name in TREE} in ({b"changed"}, set(TREE.values()))
    assert not list(aside.rglob(f"{STAGING_PREFIX}*"))


def test_a_file_that_is_only_linked_to_and_changes_meanwhile_is_refused(engine: Cronos) -> None:
    make_tree(engine.project, {"group/1": b"one", "group/2": File(hard="group/1")})
    save(engine, "linked")
    (engine.project / "group/2").unlink()
    before = read_tree(engine.project / "group")
    run = meanwhile(Finished, lambda: (engine.project / "group/1").write_bytes(b"two"), phase="scan")
    with pytest.raises(RefusedError, match=r"group/1 has changed"):
        engine.restore(replacing(backup="linked", strategy="overwrite"), run)
    assert {path.name: path.read_bytes() for path in (engine.project / "group").iterdir()} == {"1": b"two"}
    assert before.keys() == read_tree(engine.project / "group").keys()


def test_a_hard_link_to_a_file_outside_is_cut_and_never_written_through(engine: Cronos, outside: Path, tmp_path: Path) -> None:
    make_tree(tmp_path, {"shared": File(b"shared", mode=0o600)})
    (engine.project / "file").unlink()
    os.link(tmp_path / "shared", engine.project / "file")
    os.chmod(tmp_path / "shared", 0o600)
    mtime_ns = (tmp_path / "shared").stat().st_mtime_ns
    both_ways(engine, replacing())
    info = (tmp_path / "shared").stat()
    assert ((tmp_path / "shared").read_bytes(), info.st_mode & 0o7777, info.st_mtime_ns) == (b"shared", 0o600, mtime_ns)
    assert info.st_nlink == 1
    assert (engine.project / "file").read_bytes() == b"3"


def test_attributes_of_a_file_shared_with_the_outside_are_not_changed_there(engine: Cronos, tmp_path: Path) -> None:
    both_ways(engine, replacing())
    os.link(engine.project / "file", tmp_path / "shared")
    (engine.project / "file").chmod(0o600)
    both_ways(engine, replacing())
    assert (tmp_path / "shared").stat().st_mode & 0o7777 == 0o600
    assert (engine.project / "file").stat().st_mode & 0o7777 == 0o644


# --- forged backups --------------------------------------------------------------------------------------------------


def forge(engine: Cronos, *entries: tuple[int, bytes, str], fifos: tuple[str, ...] = ()) -> Backup:
    """A backup of the project that nobody could have made.

    Args:
        entries: Mode, stored name, and the name that the attributes tell; files hold `forged`, directories nothing.
        fifos: Names of entries that only the attributes tell of.
    """
    store = engine.store
    real = engine.backups()[0]
    backup = replace(real, id="forged_20400101_130000", name="forged", sequence=real.sequence + 1)
    who = Identity(user="mallory", host="host")
    with store.lock():
        writer = PackWriter(store.pack_dir, store.index.contains)

        def blob(body: bytes) -> bytes:
            return writer.add("blob", body)

        def tree(*entries: tuple[int, bytes, bytes]) -> bytes:
            return writer.add("tree", format_tree(TreeEntry(*entry) for entry in entries))

        no_attributes = tree((MODE_FILE, ATTRIBUTES_NAME, blob(_records([], ()))))
        data = tree(*((mode, stored, tree() if mode == MODE_DIRECTORY else blob(b"forged")) for mode, stored, _ in entries))
        files_told = [name for mode, _, name in entries if mode == MODE_FILE]
        below = [(mode, stored, no_attributes) for mode, stored, _ in entries if mode == MODE_DIRECTORY]
        attributes = tree((MODE_FILE, ATTRIBUTES_NAME, blob(_records(files_told, fifos))), *below)
        snapshot = (MODE_FILE, b"snapshot.json", blob(format_json(dict(engine.record(real)))))
        meta = tree(snapshot, (MODE_DIRECTORY, b"attributes", attributes))
        root = tree((MODE_DIRECTORY, b"data", data), (MODE_DIRECTORY, b"meta", meta)).hex()
        line = identity_line(who, backup.created)
        body = format_commit(tree=root, parents=(), identity_line=line, message=snapshot_message(backup))
        backup = replace(backup, commit=writer.add("commit", body).hex())
        tag = writer.add("tag", format_tag(backup, who)).hex()
        writer.finish()
        store.create_tag_ref(backup.id, tag)
        writer.release()
    store.refresh()
    return backup


def _records(names: Sequence[str], fifos: Sequence[str]) -> bytes:
    owner: dict[str, Any] = {"mtime_ns": 7, "uid": os.getuid(), "gid": os.getgid()}
    own = Attributes(kind="directory", name=".", mode=0o755, size_bytes=0, **owner)
    entries = {name: Attributes(kind="file", name=name, mode=0o644, size_bytes=6, **owner) for name in names}
    entries |= {name: Attributes(kind="fifo", name=name, mode=0o644, size_bytes=0, **owner) for name in fifos}
    return format_attributes(AttributeTable(own=own, entries=entries, users={}, groups={}))


FORGED = [
    (b"..", ".."),
    (b".", "."),
    (b".git", ".git"),
    (b".GIT", ".GIT"),
    (b"git~1", "git~1"),
    (b".git ", ".git "),
    (".git\u200c".encode(), ".git\u200c"),
    (b".cronos%", ".cronos%"),
    (b".cronos%zz", ".cronos%zz"),
    (b".cronos%e%", ""),
    (b".cronos%e%.", "."),
    (b".cronos%e%..", ".."),
    (b".cronos%e%a%2fb", "a/b"),
    (b".cronos%e%a%2Fb", "a/b"),
    (b".cronos%e%%00", "\0"),
    (b".cronos%e%file", "file"),  # stands twice
]


@pytest.mark.parametrize(("stored", "name"), FORGED)
@pytest.mark.parametrize("mode", [MODE_FILE, MODE_DIRECTORY])
@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
def test_a_forged_name_is_damage_and_changes_nothing(
    engine: Cronos, outside: Path, stored: bytes, name: str, mode: int, strategy: str
) -> None:
    forge(engine, (MODE_FILE, b"file", "file"), (mode, stored, name))
    assert_damage(engine, strategy)


@pytest.mark.parametrize("name", ["", ".", "..", "../outside/x", "a/b", "/etc/x", "nul\0"])
def test_a_forged_name_among_the_attributes_is_damage_and_changes_nothing(engine: Cronos, outside: Path, name: str) -> None:
    forge(engine, (MODE_FILE, b"file", "file"), fifos=(name,))
    assert_damage(engine, "overwrite")


def assert_damage(engine: Cronos, strategy: str) -> None:
    """Restoring the forged backup must fail, and nothing happen."""
    before = state(engine.project)
    for act in (engine.plan_restore, engine.restore):
        with pytest.raises(DamageError):
            act(replacing(backup="forged", strategy=strategy))
    assert state(engine.project) == before
    assert points(engine) == []
    assert leftovers(engine) == []


def test_a_forged_backup_with_good_names_can_be_restored(engine: Cronos) -> None:
    """So that the tests above fail for the names and for nothing else."""
    entries = [(MODE_FILE, b"file", "file"), (MODE_FILE, encode_name(b".git"), ".git"), (MODE_DIRECTORY, b"d", "d")]
    forge(engine, *entries, fifos=("fifo",))
    assert both_ways(engine, replacing(backup="forged", strategy="overwrite")).problems == ()
    assert (engine.project / ".git").read_bytes() == (engine.project / "file").read_bytes() == b"forged"
    assert (engine.project / "fifo").is_fifo()


# --- names that mean something to git --------------------------------------------------------------------------------


def test_look_alikes_of_git_directories_come_back_under_their_own_names(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, git_dirs="include")
    names = [".GIT", "git~1", ".git ", ".git\u200c", ".gitmodules", ".gitattributes", ".cronos%x", ".git::$INDEX_ALLOCATION"]
    make_tree(
        engine.project, {f"{name}/hooks/post-checkout": b"#!/bin/sh\nexit 1\n" for name in names} | {".git/config": b"[core]"}
    )
    save(engine)
    before = read_tree(engine.project)
    for path in engine.project.iterdir():
        shutil.rmtree(path)
    both_ways(engine, replacing())
    assert read_tree(engine.project) == before
    assert sorted(os.listdir(engine.project)) == sorted([*names, ".git"])


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_repository_that_the_backup_left_out_is_not_touched(engine: Cronos, kind: str) -> None:
    make_tree(engine.project, {".git": b"gitdir: ../x"} if kind == "file" else {".git/HEAD": b"ref: refs/heads/main\n"})
    make_tree(engine.project, {"d/nested/.git/HEAD": b"ref: x\n"})
    names = [".git" if kind == "file" else ".git/HEAD", "d/nested/.git/HEAD"]
    before = {name: stamp(engine.project / name) for name in names}
    both_ways(engine, replacing())
    assert {name: stamp(engine.project / name) for name in names} == before


def test_staging_directories_of_a_dead_restore_are_never_taken_nor_deleted(engine: Cronos) -> None:
    """Only whoever has the journal knows whose they are."""
    names = [f"{STAGING_PREFIX}1-abc", f"d/{STAGING_PREFIX}2-abc"]
    make_tree(engine.project, {f"{name}/0/0": b"held" for name in names})
    make_tree(engine.project, {f"{STAGING_PREFIX}file": b"held"})
    backup = save(engine, "with")
    assert not [entry.path for entry in engine.entries(backup, recursive=True) if STAGING_PREFIX in entry.path]
    before = {name: stamp(engine.project / name / "0/0") for name in names}
    report = both_ways(engine, replacing())
    assert {name: stamp(engine.project / name / "0/0") for name in names} == before
    point = engine.resolve(report.restore_point or "").backup
    assert not [entry.path for entry in engine.entries(point, recursive=True) if STAGING_PREFIX in entry.path]


# --- names that are one to a file system -----------------------------------------------------------------------------


@pytest.fixture(params=["real", "pretended"])
def folding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory that takes upper and lower case for one: on a file system of its own, or as far as `moves` can tell."""
    if request.param == "pretended":
        target = tmp_path / "folding/target"
        target.mkdir(parents=True)
        pretend_folding(monkeypatch)
        yield target
        return
    image, place = tmp_path / "image", tmp_path / "folding"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    make = ["mkfs.ext4", "-q", "-F", "-O", "casefold", "-E", "encoding=utf8", str(image)]
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4") or not shutil.which("chattr"):
        pytest.skip("cannot make a file system here")
    for command in (make, ["mount", "-o", "loop", str(image), str(place)]):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this kernel has no file system that folds names")
    try:
        (place / "target").mkdir()
        subprocess.run(["chattr", "+F", str(place / "target")], check=True)
        yield place / "target"
    finally:
        subprocess.run(["umount", str(place)], check=True)


def pretend_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let looks and renames take names for one that `moves.folded` takes for one, as such a file system does."""
    look, rename = moves.look, moves._rename

    def spelled(place: moves.Place) -> moves.Place:
        listed = os.listdir(place.dir_fd)
        alike = [name for name in listed if moves.folded(name) == moves.folded(place.name)]
        return place if place.name in listed or not alike else moves.Place(place.dir_fd, alike[0])

    def renamed(source: moves.Place, target: moves.Place, flags: int) -> None:
        rename(spelled(source), spelled(target), flags)

    monkeypatch.setattr(moves, "look", lambda place: look(spelled(place)))
    monkeypatch.setattr(moves, "_rename", renamed)


CLASHES = [{"Readme": b"1", "README": b"2"}, {"d/A/x": b"1", "d/a/y": b"2"}, {"caf\u00e9": b"1", "cafe\u0301": b"2"}]


@pytest.mark.parametrize("tree", CLASHES)
@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
def test_names_that_the_file_system_takes_for_one_are_seen_before_anything_is_written(
    tmp_path: Path, folding: Path, tree: dict[str, Any], strategy: str
) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {**tree, "z": b"new"})
    save(engine)
    make_tree(folding, {"mine": b"x", "z": b"old"})
    before = state(folding)
    with pytest.raises(RefusedError, match="for one name"):
        engine.plan_restore(replacing(target=str(folding), strategy=strategy))
    with pytest.raises(RefusedError, match="for one name"):
        engine.restore(replacing(target=str(folding), strategy=strategy))
    assert state(folding) == before
    assert points(engine) == []


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_change_of_case_alone_works_where_case_does_not_count(tmp_path: Path, folding: Path, kind: str) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"Name": b"1", "d/q": b"1"} if kind == "file" else {"Name/in": b"1", "d/q": b"1"})
    save(engine)
    make_tree(folding, {"NAME": b"old", "d/Q": b"2"} if kind == "file" else {"NAME/in": b"old", "d/Q": b"2"})
    both_ways(engine, replacing(target=str(folding)))
    assert sorted(os.listdir(folding)) == ["Name", "d"]
    assert os.listdir(folding / "d") == ["q"]
    assert (folding / "Name" if kind == "file" else folding / "Name/in").read_bytes() == b"1"
    engine.undo()
    assert sorted(os.listdir(folding)) == ["NAME", "d"]
    assert os.listdir(folding / "d") == ["Q"]


def test_a_file_of_another_spelling_that_must_stay_is_a_clash(tmp_path: Path, folding: Path) -> None:
    engine = make_engine(tmp_path, exclude=["*.log"])
    make_tree(engine.project, {"a": b"1", "x.LOG": b"2"})
    save(engine)
    make_tree(folding, {"A": b"mine", "x.log": b"excluded"})
    before = state(folding)
    for strategy in ("overwrite", "replace"):
        with pytest.raises(RefusedError, match="for one name"):
            engine.restore(replacing(target=str(folding), strategy=strategy))
    assert state(folding) == before


def test_the_clash_of_two_new_names_is_told_from_one_that_is_there(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(engine.project, {"n/Makefile": b"1", "n/makefile": b"2", "n/other": b"3"})
    save(engine, "two")
    shutil.rmtree(engine.project / "n")
    monkeypatch.setattr(moves, "folds_names", lambda _fd: True)
    before = state(engine.project)
    with pytest.raises(RefusedError, match="takes n/Makefile and n/makefile for one name"):
        engine.restore(replacing(backup="two"))
    assert state(engine.project) == before
    engine.restore(replacing(backup="two", paths=("n/other",)))
    assert os.listdir(engine.project / "n") == ["other"]


# --- somebody else at work -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["restore", "verify", "move"])
@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
def test_a_file_made_where_a_new_one_must_go_is_never_overwritten(engine: Cronos, phase: str, strategy: str) -> None:
    (engine.project / "file").unlink()
    before = read_tree(engine.project)

    def make() -> None:
        (engine.project / "file").write_bytes(b"somebody's")

    with pytest.raises(RefusedError):
        engine.restore(replacing(strategy=strategy), meanwhile(Started, make, phase=phase))
    assert (engine.project / "file").read_bytes() == b"somebody's"
    (engine.project / "file").unlink()
    os.utime(engine.project, ns=(before[""][4], before[""][4]))
    assert read_tree(engine.project) == before
    assert points(engine) == []
    assert leftovers(engine) == []


@pytest.mark.parametrize("phase", ["restore", "verify", "move"])
@pytest.mark.parametrize("name", ["file", "extra", "d/g"])
def test_a_file_changed_after_the_look_is_not_lost(engine: Cronos, phase: str, name: str) -> None:
    make_tree(engine.project, {"extra": b"goes"})
    run = meanwhile(Started, lambda: (engine.project / name).write_bytes(b"saved just now"), phase=phase)
    with pytest.raises(RefusedError):
        engine.restore(replacing(), run)
    assert (engine.project / name).read_bytes() == b"saved just now"
    assert (engine.project / "other/h").read_bytes() == b"changed"
    assert points(engine) == []
    assert leftovers(engine) == []


def test_a_file_of_the_longest_name_can_be_put_beside_too(engine: Cronos) -> None:
    name = "n" * 255
    make_tree(engine.project, {name: b"old", "z": b"old"})
    save(engine)
    make_tree(engine.project, {name: b"changed", "z": b"changed"})
    swaps = 0

    def step(what: str, path: str) -> None:
        nonlocal swaps
        swaps += what == "swap"
        if what == "swap" and path == "z" and swaps > 1 and (engine.project / "z").read_bytes() == b"changed":
            make_tree(engine.project, {name: b"somebody's", "z": b"somebody's"})

    files.step = step
    with pytest.raises(RefusedError):
        engine.restore(replacing(backup="work"))
    held = {path.name[:200]: path.read_bytes() for path in engine.project.glob("n*") if path.name != name}
    assert held == {name[:200]: b"somebody's"}
    assert (engine.project / name).read_bytes() == b"changed"
    assert (engine.project / "z").read_bytes() == b"somebody's"
    assert leftovers(engine) == []


def test_an_immutable_file_stops_the_restore_and_everything_goes_back(engine: Cronos) -> None:
    if (
        os.geteuid() != 0
        or subprocess.run(["chattr", "+i", engine.project / "file"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no file can be made immutable here")
    try:
        before = read_tree(engine.project)
        with pytest.raises(AccessError):
            engine.restore(replacing())
        assert read_tree(engine.project) == before
    finally:
        subprocess.run(["chattr", "-i", engine.project / "file"], check=True)
    assert points(engine) == []
    assert leftovers(engine) == []


def test_whoever_writes_to_a_file_that_is_being_moved_away_keeps_what_he_wrote(engine: Cronos) -> None:
    with (engine.project / "file").open("ab", buffering=0) as still_open:
        run = meanwhile(Finished, lambda: still_open.write(b" and more"), phase="verify")
        with pytest.raises(RefusedError):
            engine.restore(replacing(), run)
    assert (engine.project / "file").read_bytes() == b"changed and more"


@pytest.mark.parametrize("phase", ["restore", "move"])
def test_a_file_put_into_a_directory_that_goes_stays_with_it(engine: Cronos, phase: str) -> None:
    make_tree(engine.project, {"extra/deep/f": b"goes"})
    run = meanwhile(Started, lambda: make_tree(engine.project, {"extra/deep/new": b"somebody's"}), phase=phase)
    with pytest.raises(RefusedError):
        engine.restore(replacing(), run)
    assert sorted(os.listdir(engine.project / "extra/deep")) == ["f", "new"]
    assert leftovers(engine) == []


# --- stale plans -----------------------------------------------------------------------------------------------------


def _rewrite(project: Path) -> None:
    (project / "file").write_bytes(b"changed again")


def _chmod(project: Path) -> None:
    (project / "other/h").chmod(0o640)


def _add(project: Path) -> None:
    make_tree(project, {"d/sub/new": b"n"})


def _remove(project: Path) -> None:
    (project / "d/g").unlink()


def _revert(project: Path) -> None:
    (project / "file").write_bytes(b"3")


def _retype(project: Path) -> None:
    (project / "file").unlink()
    (project / "file").mkdir()


@pytest.mark.parametrize("change", [_rewrite, _chmod, _add, _remove, _revert, _retype])
@pytest.mark.parametrize("restore_point", [True, False])
def test_a_plan_is_stale_after_any_change(engine: Cronos, change: Callable[[Path], None], restore_point: bool) -> None:
    plan = engine.plan_restore(replacing(restore_point=restore_point))
    change(engine.project)
    before = state(engine.project)
    with pytest.raises(RefusedError, match=r"has changed since the plan was made\. Nothing was restored"):
        engine.apply_restore(plan)
    assert state(engine.project) == before
    assert points(engine) == []
    assert leftovers(engine) == []
    assert engine.operations(1)[0].facts["code"] == "refused"
    engine.apply_restore(engine.plan_restore(replacing(restore_point=restore_point)))
    assert (engine.project / "file").read_bytes() == b"3"


def test_what_changes_outside_of_the_restored_paths_does_not_matter(engine: Cronos) -> None:
    plan = engine.plan_restore(replacing(paths=("d",)))
    for change in (_rewrite, _chmod):
        change(engine.project)
    make_tree(engine.project, {"elsewhere/new": b"n"})
    engine.apply_restore(plan)
    assert (engine.project / "d/g").read_bytes() == b"2"
    assert (engine.project / "file").read_bytes() == b"changed again"


def test_a_plan_made_before_a_backup_still_holds(engine: Cronos) -> None:
    plan = engine.plan_restore(replacing())
    save(engine, "between")
    engine.apply_restore(plan)
    assert (engine.project / "file").read_bytes() == b"3"


def test_a_plan_is_applied_once(engine: Cronos) -> None:
    plan = engine.plan_restore(replacing())
    engine.apply_restore(plan)
    with pytest.raises(RefusedError, match="changed since the plan"):
        engine.apply_restore(plan)


def test_a_target_that_is_gone_when_the_plan_is_applied_is_refused(engine: Cronos) -> None:
    plan = engine.plan_restore(replacing())
    shutil.rmtree(engine.project)
    with pytest.raises(RefusedError, match="not a directory"):
        engine.apply_restore(plan)
    assert not engine.project.exists()


def test_a_plan_for_another_directory_than_the_one_that_is_there_now_is_refused(engine: Cronos, tmp_path: Path) -> None:
    plan = engine.plan_restore(replacing())
    engine.project.rename(tmp_path / "aside")
    make_tree(engine.project, {"mine": b"x"})
    with pytest.raises(RefusedError):
        engine.apply_restore(plan)
    assert os.listdir(engine.project) == ["mine"]


# --- two at once -----------------------------------------------------------------------------------------------------


def test_a_second_restore_from_the_same_store_is_told_that_it_is_locked(engine: Cronos, tmp_path: Path) -> None:
    told: list[StoreLockedError] = []

    def second() -> None:
        with pytest.raises(StoreLockedError) as caught:
            make_engine(tmp_path).restore(replacing())
        told.append(caught.value)

    engine.restore(replacing(), meanwhile(Started, second, phase="move"))
    assert len(told) == 1
    assert (engine.project / "file").read_bytes() == b"3"


def test_a_second_restore_from_another_store_is_told_that_the_target_is_locked(engine: Cronos, tmp_path: Path) -> None:
    other = make_engine(tmp_path, project="second")
    make_tree(other.project, {"file": b"second's"})
    save(other)
    told: list[str] = []

    def second() -> None:
        for _ in range(2):
            with pytest.raises(StoreLockedError) as caught:
                other.restore(replacing(target=str(engine.project)))
            told.append(caught.value.message)

    engine.restore(replacing(), meanwhile(Started, second, phase="move"))
    assert told == [f"Another restore into {engine.project} is running. Nothing was changed."] * 2
    assert (engine.project / "file").read_bytes() == b"3"
    assert points(other) == []
    other.restore(replacing(target=str(engine.project), strategy="overwrite"))
    assert (engine.project / "file").read_bytes() == b"second's"


def test_planning_needs_no_lock(engine: Cronos, tmp_path: Path) -> None:
    plans: list[dict[str, str]] = []
    expected = actions(engine.plan_restore(replacing())) | {"": "attributes"}  # as a staging directory has come
    run = meanwhile(Started, lambda: plans.append(actions(make_engine(tmp_path).plan_restore(replacing()))), phase="restore")
    engine.restore(replacing(), run)
    assert plans == [expected]


def test_a_clean_run_says_nothing_to_the_notice(engine: Cronos) -> None:
    from cronos_git.events import Noticed

    noticed: list[object] = []
    engine.restore(replacing(), Run(emit=lambda event: noticed.append(event) if isinstance(event, Noticed) else None))
    assert noticed == []
    assert engine.clock.now() == LATER
