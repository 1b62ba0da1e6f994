"""Moves that lose nothing, and what file systems take for one name."""

from __future__ import annotations

import errno
import fcntl
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.disk import files, moves
from cronos_git.disk.moves import Place
from cronos_git.errors import RefusedError, StoreLockedError
from cronos_git.events import Started
from tests.support.engine import make_engine
from tests.support.restoring import leftovers, meanwhile, points, replacing, save
from tests.support.trees import Link, Node, Special, make_tree, read_tree


@pytest.fixture
def here(tmp_path: Path) -> Iterator[int]:
    """The open directory `tmp_path`."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def refuse_flags(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the kernel or the file system know nothing of renames with flags."""

    def refuse(_source: Place, _target: Place, _flags: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(moves, "_rename", refuse)


@pytest.fixture(params=[0, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP])
def any_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """0 for the kernel as it is, else the number that it refuses renames with flags with."""
    number: int = request.param
    if number:
        refuse_flags(monkeypatch, number)
    return number


# --- moving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", [b"x", Link("nowhere"), Special("fifo"), {"in": b"x"}])
def test_move_gives_a_free_name(tmp_path: Path, here: int, any_kernel: int, node: object) -> None:
    make_tree(tmp_path, {"a": node})  # type: ignore[dict-item]
    before = os.lstat(tmp_path / "a")
    moves.move(Place(here, "a"), Place(here, "b"))
    after = moves.look(Place(here, "b"))
    assert after is not None
    assert moves.stamp_of(after) == moves.stamp_of(before)
    assert os.listdir(here) == ["b"]


@pytest.mark.parametrize("there", [b"mine", Link("nowhere"), {}, Special("fifo")])
def test_move_never_replaces_anything(tmp_path: Path, here: int, any_kernel: int, there: object) -> None:
    make_tree(tmp_path, {"a": b"x", "b": there})  # type: ignore[dict-item]
    before = read_tree(tmp_path)
    with pytest.raises(FileExistsError):
        moves.move(Place(here, "a"), Place(here, "b"))
    assert read_tree(tmp_path) == before


def test_move_of_what_is_gone_is_an_error(here: int, any_kernel: int) -> None:
    with pytest.raises(FileNotFoundError):
        moves.move(Place(here, "a"), Place(here, "b"))


def test_move_takes_names_that_are_no_text(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"caf\udce9\n": b"x"})
    moves.move(Place(here, "caf\udce9\n"), Place(here, "b\udcff"))
    assert os.listdir(os.fsencode(tmp_path)) == [b"b\xff"]


def test_swap_lets_both_change_places_at_once(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"a": b"x", "d/b": {"in": b"y"}})
    with_d = os.open(tmp_path / "d", os.O_RDONLY)
    assert moves.swap(Place(here, "a"), Place(with_d, "b"))
    os.close(with_d)
    assert (tmp_path / "a/in").read_bytes() == b"y"
    assert (tmp_path / "d/b").read_bytes() == b"x"


def test_swap_moves_links_and_does_not_follow_them(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"a": Link("outside"), "b": b"x", "outside": b"precious"})
    assert moves.swap(Place(here, "a"), Place(here, "b"))
    assert (tmp_path / "b").readlink() == Path("outside")
    assert (tmp_path / "outside").read_bytes() == b"precious"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.ENOTSUP])
def test_swap_says_when_it_is_not_to_be_had(tmp_path: Path, here: int, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    refuse_flags(monkeypatch, number)
    make_tree(tmp_path, {"a": b"1", "b": b"2"})
    assert not moves.swap(Place(here, "a"), Place(here, "b"))
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_other_failures_come_through(here: int, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    refuse_flags(monkeypatch, number)
    for act in (moves.swap, moves.move):
        with pytest.raises(OSError) as caught:
            act(Place(here, "a"), Place(here, "b"))
        assert caught.value.errno == number


def test_swap_with_nothing_is_an_error(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"a": b"1"})
    with pytest.raises(FileNotFoundError):
        moves.swap(Place(here, "a"), Place(here, "b"))
    assert os.listdir(here) == ["a"]


def test_each_change_passes_the_gate_first(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"a": b"1", "b": b"2", "d": {}})
    seen: list[tuple[str, bool]] = []
    files.step = lambda name, _path: seen.append((name, os.path.lexists(tmp_path / "d")))
    moves.swap(Place(here, "a"), Place(here, "b"))
    moves.move(Place(here, "a"), Place(here, "c"))
    moves.remove_directory(Place(here, "d"))
    moves.sync_filesystem(here)
    assert seen == [("swap", True), ("rename", True), ("rmdir", True), ("sync", False)]


def test_only_an_empty_directory_is_removed(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"d/in": b"x", "f": b"y", "l": Link("d")})
    for name, kind in (("d", OSError), ("f", NotADirectoryError), ("l", NotADirectoryError)):
        with pytest.raises(kind):
            moves.remove_directory(Place(here, name))
    assert (tmp_path / "d/in").exists()


# --- looking ---------------------------------------------------------------------------------------------------------


def test_a_look_follows_no_link_and_tells_of_nothing(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"a": Link("b"), "b": b"12345"})
    found = moves.look(Place(here, "a"))
    assert found is not None
    assert found.st_size == 1
    assert moves.look(Place(here, "c")) is None


def test_a_stamp_tells_of_a_change_but_not_of_a_rename(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"a": b"1", "d": {}})

    def stamp(name: str) -> moves.Stamp:
        return moves.stamp_of(os.lstat(tmp_path / name))

    first, directory = stamp("a"), stamp("d")
    moves.move(Place(here, "a"), Place(here, "b"))
    assert stamp("b") == first
    (tmp_path / "b").write_bytes(b"22")
    assert stamp("b") != first
    os.utime(tmp_path / "b", ns=(5, 5))
    assert stamp("b").mtime_ns == 5
    make_tree(tmp_path / "d", {f"f{n}": b"" for n in range(200)})
    os.utime(tmp_path / "d", ns=(directory.mtime_ns, directory.mtime_ns))
    assert stamp("d") == directory


# --- one restore at a time -------------------------------------------------------------------------------------------


def test_a_directory_is_locked_once_for_everybody(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "way").symlink_to("d")
    with moves.locked_directory(str(tmp_path / "d")) as fd:
        assert os.fstat(fd).st_ino == (tmp_path / "d").stat().st_ino
        for name in ("d", "way"):
            with pytest.raises(StoreLockedError, match="Another restore into"), moves.locked_directory(str(tmp_path / name)):
                pass
        with moves.locked_directory(str(tmp_path)):
            pass
    with moves.locked_directory(str(tmp_path / "d")):
        pass


def test_the_lock_goes_with_an_error_and_holds_off_no_reader(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), moves.locked_directory(str(tmp_path)):
        assert os.listdir(tmp_path) == []
        raise ZeroDivisionError
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


@pytest.mark.parametrize("name", ["gone", "file"])
def test_only_a_directory_can_be_locked(tmp_path: Path, name: str) -> None:
    make_tree(tmp_path, {"file": b"x"})
    with pytest.raises(OSError), moves.locked_directory(str(tmp_path / name)):
        pass


# --- names that are one ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("README", "readme"),
        ("Straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u03a3", "\u03c2"),
        ("A\udcff", "a\udcff"),
        ("\ufb01", "FI"),
    ],
)
def test_names_that_some_file_system_takes_for_one_fold_to_one(one: str, other: str) -> None:
    assert moves.folded(one) == moves.folded(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a", "a "), ("\udcff", "\udcfe"), ("a.b", "a-b"), ("e", "\u00e9")])
def test_other_names_do_not(one: str, other: str) -> None:
    assert moves.folded(one) != moves.folded(other)


@given(st.text())
def test_folding_is_stable_and_blind_to_composition(name: str) -> None:
    folded = moves.folded(name)
    assert moves.folded(folded) == folded
    assert {moves.folded(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")} == {folded}


def test_where_case_counts_every_name_is_its_own(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"Name": b"1", "other": b"2"})
    assert moves.spelled_otherwise(here, ["name", "NAME", "Name", "new"]) == {}
    assert not moves.folds_names(here)


def test_where_case_does_not_count_the_spelling_is_told(tmp_path: Path, here: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(tmp_path, {"Name": b"1", "12": b"2"})
    look = moves.look
    monkeypatch.setattr(moves, "look", lambda place: look(Place(place.dir_fd, place.name.capitalize())))
    assert moves.spelled_otherwise(here, ["name", "NAME", "Name", "new"]) == {"name": "Name", "NAME": "Name"}
    assert moves.folds_names(here)


def test_a_directory_whose_names_have_no_case_tells_nothing(tmp_path: Path, here: int) -> None:
    make_tree(tmp_path, {"12": b"2", "\u65e5": b"3"})
    assert not moves.folds_names(here)


# --- restores where the kernel has no renames with flags --------------------------------------------------------------


TREE: dict[str, Node] = {"a": b"1", "d/b": b"2", "kind": b"3", "link": Link("a")}
CHANGED: dict[str, Node] = {"a": b"changed", "d/b": b"changed", "kind/now/a": b"directory", "link": b"file", "extra/e": b"e"}


def test_replace_and_undo_work_without_swaps(tmp_path: Path, any_kernel: int) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, TREE)
    save(engine)
    before = read_tree(engine.project)
    for name in ("kind", "link"):
        (engine.project / name).unlink()
    make_tree(engine.project, CHANGED)
    changed = read_tree(engine.project)
    engine.restore(replacing())
    assert read_tree(engine.project) == before
    engine.undo()
    assert read_tree(engine.project) == changed
    assert leftovers(engine) == []


@pytest.mark.parametrize("name", ["a", "d/b", "link", "extra/e"])
def test_rolling_back_works_without_swaps(tmp_path: Path, any_kernel: int, name: str) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, TREE)
    save(engine)
    for gone in ("kind", "link"):
        (engine.project / gone).unlink()
    make_tree(engine.project, CHANGED)
    with pytest.raises(RefusedError):
        engine.restore(replacing(), meanwhile(Started, lambda: (engine.project / name).write_bytes(b"just now"), phase="move"))
    assert (engine.project / name).read_bytes() == b"just now"
    assert [(engine.project / path).read_bytes() for path in CHANGED if path != name] == [
        body for path, body in CHANGED.items() if path != name
    ]
    assert points(engine) == []
    assert leftovers(engine) == []
