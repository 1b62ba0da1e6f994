"""Exports as stock tools read them: tar, zip, git."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import BackupNotFoundError, RefusedError, UsageError
from cronos_git.model import ExportRequest, SnapshotRequest
from tests.support.engine import make_engine
from tests.support.faults import run_and_fail, run_and_kill, steps_of
from tests.support.git import git
from tests.support.trees import File, Link, Node, Special, assert_same_tree, make_tree, read_tree

ODD = os.fsdecode(b"caf\xe9")
AGO = 1_700_000_000_123_456_789
TREE: dict[str, Node] = {
    "file": File(b"text\n", mode=0o640, mtime_ns=AGO),
    "script": File(b"#!\n", mode=0o755),
    "before 1970": File(b"", mtime_ns=-500_000_000),
    "hard/1": b"together",
    "hard/2": File(hard="hard/1"),
    "link": Link("file"),
    "dangling": Link("no/where"),
    "fifo": Special("fifo"),
    "empty": {},
    "xattr": File(b"", xattrs=(("user.note", b"\0\xff"), ("user.a=b%", b"v\n"))),
    "large": b"0123456789" * 200_000,
    ".gitattributes": b"* text\n",
    ".gitmodules/x": b"",
}


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    made = make_engine(tmp_path, chunk_threshold=1 << 20)
    make_tree(made.project, TREE)
    made.snapshot(SnapshotRequest(name="first", message="why", labels=("rel",), metadata={"ticket": 7, "name": "mine"}))
    return made


def export(engine: Cronos, file: Path, *paths: str) -> Path:
    engine.export(ExportRequest(backup="latest", file=str(file), paths=paths))
    return file


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.zst"])
def test_gnu_tar_unpacks_an_export_exactly(engine: Cronos, tmp_path: Path, ending: str) -> None:
    archive = export(engine, tmp_path / f"x.{ending}")
    if ending == "tar.zst":
        import zstandard

        plain = tmp_path / "plain.tar"
        with archive.open("rb") as packed, plain.open("wb") as out:
            zstandard.ZstdDecompressor().copy_stream(packed, out)
        archive = plain
    out_dir = tmp_path / "out"
    out_dir.mkdir()
    options = ["--xattrs", "--xattrs-include=*", "--same-permissions", "--same-owner"]
    subprocess.run(["tar", "-xf", archive, "-C", out_dir, *options], check=True)
    assert_same_tree(engine.project, out_dir)


def test_undecodable_names_go_through_a_tar_as_bytes(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {f"{ODD}/{ODD}": b"x", "link": Link(ODD)})
    engine.snapshot(SnapshotRequest())
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["tar", "-xf", export(engine, tmp_path / "x.tar"), "-C", tmp_path / "out"], check=True, stderr=subprocess.DEVNULL
    )
    assert_same_tree(engine.project, tmp_path / "out")


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.zst", "zip"])
def test_equal_backups_give_equal_bytes(engine: Cronos, tmp_path: Path, ending: str) -> None:
    first, second = (export(engine, tmp_path / f"{name}.{ending}") for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_unzip_unpacks_an_export_with_modes_links_and_times(engine: Cronos, tmp_path: Path) -> None:
    archive = export(engine, tmp_path / "x.zip")
    assert zipfile.ZipFile(archive).testzip() is None
    subprocess.run(["unzip", "-q", archive, "-d", tmp_path / "out"], check=True)
    told = json.loads((tmp_path / "out/backup_metadata.json").read_bytes())
    assert (told["created_at"], told["backup_type"], told["name"], told["ticket"]) == (
        "2040-01-01T12:00:00+00:00",
        "manual",
        "first",
        7,
    )
    there, here = read_tree(tmp_path / "out"), read_tree(engine.project)
    assert there.keys() - {"backup_metadata.json"} == here.keys() - {"fifo"}
    for path in ("file", "script", "link", "large", "empty", "hard/2"):
        assert there[path][:2] == here[path][:2]
        assert there[path][6] == here[path][6]
    assert (tmp_path / "out/file").stat().st_mtime == AGO // 1_000_000_000


def test_the_plan_tells_what_a_zip_cannot_carry(engine: Cronos) -> None:
    plan = engine.plan_export(ExportRequest(backup="latest", file="x.zip"))
    assert plan.notes == (
        "Extended attributes that a zip does not carry, of paths: 1.",
        "Hard links that become files of their own in a zip: 2.",
        "Left out, as a zip carries no FIFOs and devices: 1.",
    )
    assert engine.plan_export(ExportRequest(backup="latest", file="x.tar")).notes == ()
    backup = engine.backups()[0]
    assert (plan.files, plan.size_bytes) == (backup.files, backup.size_bytes)


def test_a_name_that_is_no_utf8_is_written_legibly_into_a_zip(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {ODD: b"1", "back\\slash": b"2", "100%": b"3"})
    engine.snapshot(SnapshotRequest())
    archive = export(engine, tmp_path / "x.zip")
    assert zipfile.ZipFile(archive).namelist() == ["backup_metadata.json", "100%", "back%5Cslash", "caf%E9"]


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.zst", "x.bundle"])
def test_nobody_else_may_read_what_was_exported(engine: Cronos, tmp_path: Path, name: str) -> None:
    assert export(engine, tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_git_clones_a_bundle(engine: Cronos, tmp_path: Path) -> None:
    bundle = export(engine, tmp_path / "x.bundle")
    git("clone", "--quiet", "--bare", bundle, tmp_path / "clone.git")
    shown = git("--git-dir", tmp_path / "clone.git", "cat-file", "-p", f"backup/{engine.backups()[0].id}:data/file")
    assert shown == "text\n"


def test_paths_come_with_the_directories_that_lead_to_them(engine: Cronos, tmp_path: Path) -> None:
    archive = export(engine, tmp_path / "x.tar", "hard/2", "link")
    with tarfile.open(archive) as tar:
        assert tar.getnames() == [".", "hard", "hard/2", "link"]
        assert tar.getmember("hard/2").isreg()
    with pytest.raises(BackupNotFoundError):
        export(engine, tmp_path / "y.tar", "nothing")
    assert not list(tmp_path.glob("*y.tar*"))


def test_a_file_is_replaced_only_by_force(engine: Cronos, tmp_path: Path) -> None:
    target = tmp_path / "x.zip"
    target.write_text("mine")
    with pytest.raises(RefusedError):
        export(engine, target)
    assert target.read_text() == "mine"
    engine.export(ExportRequest(backup="latest", file=str(target), force=True))
    assert zipfile.is_zipfile(target)


@pytest.mark.parametrize(
    "request_",
    [
        ExportRequest(backup="latest", file="x.rar"),
        ExportRequest(backup="latest", file="x.bundle", paths=("file",)),
        ExportRequest(backup="latest", file="-", format="zip"),
    ],
)
def test_what_a_format_cannot_do_is_refused(engine: Cronos, request_: ExportRequest) -> None:
    with pytest.raises(UsageError):
        engine.plan_export(request_)


def test_a_tar_can_be_streamed(engine: Cronos) -> None:
    out = io.BytesIO()
    engine.export(ExportRequest(backup="latest", file="-"), out=out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        assert "hard/1" in tar.getnames()


def test_a_project_that_has_a_backup_metadata_keeps_its_own(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"backup_metadata.json": b"mine"})
    engine.snapshot(SnapshotRequest())
    assert zipfile.ZipFile(export(engine, tmp_path / "x.zip")).read("backup_metadata.json") == b"mine"


@pytest.mark.parametrize("ending", ["zip", "bundle"])
def test_a_killed_or_failing_export_leaves_what_was_there(engine: Cronos, tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"x.{ending}"
    target.write_bytes(b"old")

    def work() -> object:
        return engine.export(ExportRequest(backup="latest", file=str(target), force=True))

    steps = steps_of(work)
    whole = target.read_bytes()
    assert steps == ["fsync", "rename", "fsync_dir", "unlink"]
    for at in range(1, len(steps) + 1):
        for fault in (run_and_kill, run_and_fail):
            target.write_bytes(b"old")
            fault(work, at)
            assert target.read_bytes() == (b"old" if at <= steps.index("rename") + 1 else whole)
