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
from cronos_git.errors import BackupNotFoundError, DamageError, DiskFullError, RefusedError, UsageError
from cronos_git.model import ExportRequest, SnapshotRequest
from tests.support.archives import bring_in
from tests.support.engine import make_engine
from tests.support.faults import run_and_fail, run_and_kill, steps_of
from tests.support.git import assert_store_sound, git
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
        "Times before 1980 or after 2037, which unzip does not restore, of paths: 1.",
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
    assert steps[-4:] == ["fsync", "rename", "fsync_dir", "unlink"]
    for at in range(1, len(steps) + 1):
        for fault in (run_and_kill, run_and_fail):
            target.write_bytes(b"old")
            fault(work, at)
            assert target.read_bytes() == (b"old" if at <= len(steps) - 2 else whole)


def test_git_checks_out_a_clone_of_a_bundle_and_an_import_takes_the_backup_alone(engine: Cronos, tmp_path: Path) -> None:
    bundle = export(engine, tmp_path / "x.bundle")
    git("clone", "--quiet", bundle, tmp_path / "clone")
    assert (tmp_path / "clone/data/file").read_text() == "text\n"
    assert git("-C", tmp_path / "clone", "rev-parse", "--abbrev-ref", "HEAD").strip() == "main"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clone", "project", "stores", "x.bundle"]
    other = make_engine(tmp_path, project="other")
    assert [backup.id for backup in bring_in(other, bundle).backups] == [engine.backups()[0].id]
    refs = git("--git-dir", other.store_path, "for-each-ref", "--format=%(refname)").split()
    assert refs == ["refs/heads/main", f"refs/tags/backup/{engine.backups()[0].id}"]
    assert_store_sound(other.store_path, tmp_path)


def test_a_bundle_of_a_store_with_an_odd_path_is_whole(tmp_path: Path) -> None:
    engine = make_engine(make_tree(tmp_path / 'odd "\\\n:#', {}))
    make_tree(engine.project, {"file": b"text\n"})
    engine.snapshot(SnapshotRequest())
    git("clone", "--quiet", export(engine, tmp_path / "x.bundle"), tmp_path / "clone")
    assert (tmp_path / "clone/data/file").read_text() == "text\n"


def test_a_bundle_on_a_full_disk_is_told_like_any_other_file(
    engine: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text("#!/bin/sh\necho 'fatal: write error: No space left on device' >&2; exit 128\n")
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DiskFullError) as caught:
        export(engine, tmp_path / "x.bundle")
    assert caught.value.hint.startswith(f"Free space in {tmp_path}")
    assert not list(tmp_path.glob("*x.bundle*"))


@pytest.mark.parametrize("ending", ["bundle", "tar", "zip"])
def test_a_damaged_backup_is_told_as_damage_with_the_path_that_is_hit(tmp_path: Path, ending: str) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"random": os.urandom(100_000)})
    engine.snapshot(SnapshotRequest())
    (pack,) = engine.store.pack_dir.glob("*.pack")
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    with pytest.raises(DamageError, match="random") as caught:
        export(make_engine(tmp_path), tmp_path / f"x.{ending}")
    assert "`cronos verify`" in caught.value.hint
    assert "git" not in caught.value.message
    assert not list(tmp_path.glob("*x.bundle*"))


def test_a_zip_of_a_project_with_a_backup_metadata_comes_back_whole_and_with_its_date(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    foreign = json.dumps({"created_at": "2020-01-01T00:00:00", "backup_type": "manual", "name": "other"}).encode()
    make_tree(engine.project, {"backup_metadata.json": foreign, "a": b"a"})
    made = engine.snapshot(SnapshotRequest(name="site", message="why", metadata={"long": "x" * 70_000})).backup
    (backup,) = bring_in(make_engine(tmp_path, project="other"), export(engine, tmp_path / "x.zip")).backups
    assert (backup.created, backup.name, backup.files) == (made.created, "site", 2)
    make_tree(engine.project, {"a": b"b"})
    engine.snapshot(SnapshotRequest(name="next", message="why", labels=("rel",)))
    (backup,) = bring_in(make_engine(tmp_path, project="third"), export(engine, tmp_path / "y.zip")).backups
    assert (backup.name, backup.message, backup.labels, backup.files) == ("next", "why", ("rel",), 2)


def test_the_plan_tells_of_times_and_modes_that_unzip_does_not_restore(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    second = 1_000_000_000
    make_tree(
        engine.project,
        {
            "1979": File(b"", mtime_ns=315_532_799 * second),
            "1980": File(b"", mtime_ns=315_532_800 * second),
            "2038": File(b"", mtime_ns=(1 << 31) * second),
            "suid": File(b"", mode=0o4755),
        },
    )
    (engine.project / "sticky").mkdir()
    (engine.project / "sticky").chmod(0o1777)
    engine.snapshot(SnapshotRequest())
    assert engine.plan_export(ExportRequest(backup="latest", file="x.zip")).notes == (
        "Set-id and sticky bits, which unzip restores with -K only, of paths: 2.",
        "Times before 1980 or after 2037, which unzip does not restore, of paths: 2.",
    )
    assert engine.plan_export(ExportRequest(backup="latest", file="x.tar")).notes == ()
