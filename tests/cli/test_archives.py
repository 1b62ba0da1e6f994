"""`export` and `import` word for word."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from cronos_git.cli.app import run
from tests.cli.test_transcripts import World
from tests.support.archives import make_zip

EGOS = "egos_backup_manual_site_20260301_120000.zip"


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    made = World(tmp_path, capsys)
    made.write({"a": "hello\n", "b/c": "x"})
    return made


def test_export_says_what_it_wrote(world: World, tmp_path: Path) -> None:
    world("create", "first")
    told = world("export", "first", str(tmp_path / "x.tar"), "b")
    assert told.status == 0
    assert told.out == "Wrote <base>/x.tar (10.0 KiB in <time>): first_20260401_120000 as tar, 1 file, 1 B.\n"
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert tar.getnames() == [".", "b", "b/c"]
    again = world("export", "first", str(tmp_path / "x.tar"))
    assert (again.status, again.err.splitlines()[0]) == (13, "error: <base>/x.tar exists. Nothing was written.")
    assert world("export", "first", str(tmp_path / "x.tar"), "--force", "-q") == (0, "", "")
    (plan,) = world.json("export", "first", str(tmp_path / "y.zip"), "-n")
    assert (plan["format"], plan["files"]) == ("zip", 2)
    assert not (tmp_path / "y.zip").exists()


def test_a_name_without_a_format_is_wrong_usage(world: World, tmp_path: Path) -> None:
    world("create", "first")
    assert world("export", "first", str(tmp_path / "x.rar")).status == 2
    assert world("export", "first", str(tmp_path / "x.rar"), "--format", "rar").status == 2
    assert world("export", "first", str(tmp_path / "x.rar"), "--format", "tar").status == 0


def test_a_tar_on_stdout_goes_through_a_pipe(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    world = World(tmp_path, capfdbinary)  # type: ignore[arg-type]
    world.write({"a": "hello\n", "b/c": "x"})
    assert run(["create", "first", "-q"], open_engine=world.open_engine) == 0
    capfdbinary.readouterr()
    assert run(["export", "first", "-", "--format", "tar.gz"], open_engine=world.open_engine) == 0
    listed = subprocess.run(["tar", "-tz"], input=capfdbinary.readouterr().out, capture_output=True, check=True)
    assert listed.stdout.split() == [b"./", b"a", b"b/", b"b/c"]


def test_import_lists_what_came_and_warns_of_the_next_prune(world: World, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for day in ("20260101", "20260301"):
        make_zip(tmp_path / "old" / EGOS.replace("20260301", day), {"a": day.encode()})
    dry = world("import", str(tmp_path / "old"), "-n")
    assert dry.out.splitlines()[1].split()[:4] == ["2026-01-01", "12:00:00", "site", "manual"]
    assert dry.err == "note: Would import 2 backups.\n"
    told = world("import", str(tmp_path / "old"))
    assert [line.split()[0] for line in told.out.splitlines()[1:]] == ["site_20260101_120000", "site_20260301_120000"]
    assert told.err.startswith(
        "warning: The next prune would drop 1 backup of these by the retention rules, such as site_20260101_120000;"
        " `cronos pin` keeps it.\nnote: Imported 2 backups, stored "
    )
    assert told.status == 0
    assert world("show", EGOS).out.splitlines()[0] == "Id:       site_20260301_120000"
    again = world("-q", "import", str(tmp_path / "old"))
    assert (again.status, again.out) == (0, "")


def test_what_is_not_understood_is_listed_and_ends_with_3(world: World, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    make_zip(tmp_path / "old" / EGOS, {"a": b""})
    (tmp_path / "old/2026-01-01.txt").write_text("x")
    told = world("import", str(tmp_path / "old"), "--pin", "-q")
    assert told == (3, "site_20260301_120000\n", "warning: 2026-01-01.txt: it is no archive\n")
    (report,) = (world("import", str(tmp_path / "old"), "--json"),)
    assert report.status == 3


def test_a_date_for_a_plain_directory(world: World, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/f").write_text("x")
    assert world("import", str(tmp_path / "copy")).status == 2
    told = world("import", str(tmp_path / "copy"), "--created", "2 days ago", "--name", "old", "-q")
    assert told == (0, "old_20260330_120000\n", "")
    assert world("import", str(tmp_path / "copy"), "--created", "soon").status == 2


def test_what_was_asked_for_and_not_done_to_a_backup_that_is_here_is_told(world: World, tmp_path: Path) -> None:
    archive = str(make_zip(tmp_path / EGOS, {"a": b""}))
    assert world("import", archive, "-q").status == 0
    told = world("-q", "import", archive, "--pin", "--label", "old", "--name", "Other", "-m", "why")
    assert told == (
        0,
        "",
        "warning: Here already, and so was not pinned: site_20260301_120000; `cronos pin site_20260301_120000` does it.\n"
        "warning: Here already, and so was not labelled old: site_20260301_120000;"
        " `cronos label add old site_20260301_120000` does it.\n"
        "warning: Here already, and so was not given the message: site_20260301_120000;"
        " `cronos describe site_20260301_120000 -m TEXT` does it.\n"
        "warning: Here already, and so was not named Other: site_20260301_120000;"
        " `cronos delete site_20260301_120000`, and then import again.\n",
    )
    assert world("pin", "site", "-q").status == 0
    assert world("label", "add", "old", "site", "-q").status == 0
    assert world("-q", "import", archive, "--pin", "--label", "old", "--name", "site") == (0, "", "")


def test_a_readme_beside_the_copies_is_a_note(world: World, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    make_zip(tmp_path / "old" / EGOS, {"a": b""})
    (tmp_path / "old/README").write_text("x")
    (tmp_path / "old/latest").symlink_to(EGOS)
    note = "note: Passed over, as they are no copies or archives with a date: README, latest.\n"
    for options in (["-n"], []):
        told = world("import", str(tmp_path / "old"), *options)
        assert told.status == 0
        assert note in told.err
