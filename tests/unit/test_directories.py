from __future__ import annotations

import errno
import itertools
import os
import stat
from pathlib import Path

import pytest

from cronos_git.disk import files
from cronos_git.disk.directories import build_directory, make_directory
from cronos_git.errors import AccessError, CronosError, DiskFullError, HostError
from tests.support.faults import run_and_kill

CONTENT = {"a/b/file": b"text", "top": b"", "a/empty": None}


def _everything(root: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")}


def test_build_makes_private_files_and_directories(tmp_path: Path) -> None:
    os.umask(0)
    assert build_directory(tmp_path / "new/place", CONTENT)
    assert _everything(tmp_path / "new/place") == {"a": None, "a/b": None, "a/b/file": b"text", "a/empty": None, "top": b""}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*") if path.is_dir()}
    assert modes == {0o700}
    assert stat.S_IMODE((tmp_path / "new/place/top").stat().st_mode) == 0o600


def test_build_leaves_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place/mine").write_text("mine")
    assert not build_directory(tmp_path / "place", CONTENT)
    assert _everything(tmp_path / "place") == {"mine": b"mine"}


def test_build_takes_the_place_of_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    assert build_directory(tmp_path / "place", CONTENT)
    assert (tmp_path / "place/top").exists()


def test_build_where_a_file_stands_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("mine")
    with pytest.raises(HostError):
        build_directory(tmp_path / "place", CONTENT)
    assert (tmp_path / "place").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_killed_at_any_step_the_directory_is_whole_or_absent_and_the_next_try_succeeds(tmp_path: Path) -> None:
    for number in itertools.count(1):
        place = tmp_path / str(number) / "place"
        ended = run_and_kill(lambda place=place: build_directory(place, CONTENT), number)  # type: ignore[misc]
        if place.exists():
            assert set(_everything(place)) == {"a", "a/b", "a/b/file", "a/empty", "top"}
        build_directory(place, CONTENT)
        assert _everything(place)["a/b/file"] == b"text"
        assert [path.name for path in place.parent.iterdir() if path.is_dir()] == ["place"]
        if ended:
            break
    assert number > 10


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, DiskFullError), (errno.EACCES, AccessError), (errno.EIO, HostError)]
)
def test_a_failure_at_any_step_is_reported_and_leaves_nothing(tmp_path: Path, number: int, error: type[CronosError]) -> None:
    for failing in itertools.count():
        steps = itertools.count()
        place = tmp_path / str(failing) / "place"

        def fail(_name: str, path: str, failing: int = failing, steps: itertools.count[int] = steps) -> None:
            if next(steps) == failing:
                raise OSError(number, os.strerror(number), path)

        files.step = fail
        try:
            build_directory(place, CONTENT)
        except CronosError as raised:
            assert type(raised) is error
        else:
            break
        assert not (place.parent / ".place.tmp").exists()
    assert failing > 10


def test_everything_is_synced_before_the_rename_and_the_parent_after(tmp_path: Path) -> None:
    steps: list[tuple[str, str]] = []
    files.step = lambda name, path: steps.append((name, str(Path(path).relative_to(tmp_path))))
    build_directory(tmp_path / "place", CONTENT)
    rename = steps.index(("rename", "place"))
    synced = {path for name, path in steps[:rename] if name in ("fsync", "fsync_dir")}
    assert synced == {f".place.tmp{part}" for part in ("", "/a", "/a/b", "/a/empty", "/a/b/file", "/top")}
    assert steps[rename + 1 :] == [("fsync_dir", ".")]


def test_make_directory_syncs_each_new_name(tmp_path: Path) -> None:
    steps: list[str] = []
    files.step = lambda name, path: steps.append(f"{name} {Path(path).relative_to(tmp_path)}")
    make_directory(tmp_path / "a/b")
    make_directory(tmp_path / "a/b")
    assert steps == ["mkdir a", "fsync_dir .", "mkdir a/b", "fsync_dir a"]


def test_make_directory_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="make the directory"):
        make_directory(tmp_path / "file/below")
