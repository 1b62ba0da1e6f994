"""Trees go into a backup and come back whole: bytes, names, modes, times, links, empty directories, attributes."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.model import RestoreRequest, SnapshotRequest
from tests.support.engine import make_engine
from tests.support.git import assert_store_sound, git
from tests.support.trees import File, Link, Special, assert_same_tree, make_tree, read_tree

HOSTILE_NAMES = [
    "new\nline",
    "tab\there",
    " leading and trailing ",
    "-dash",
    "back\\slash",
    "percent%41",
    "quote'\"`$(x)",
    "caf\udce9",
    "b\udcff\udcfe",
    "ünïcödé",
    "e\u0301",
    "\u202eright to left",
    ".GIT",
    ".Git ",
    "git~1",
    ".git\u200c",
    ".git::$INDEX_ALLOCATION",
    ".gitmodules",
    ".gitattributes",
    "GITMOD~1",
    ".cronos%e%x",
    ".cronos%attributes",
    "a" * 255,
    "con",
    "x.lock",
    "HEAD",
]


def round_trip(engine: Cronos, target: Path) -> None:
    engine.snapshot(SnapshotRequest())
    report = engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", target=str(target))), verify=True)
    assert report.problems == ()
    assert_same_tree(engine.project, target)


def test_ordinary_project_comes_back_with_every_attribute(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(
        engine.project,
        {
            "plain.txt": b"hello\n",
            "empty": b"",
            "crlf.txt": b"a\r\nb\r\n",
            "latin1.txt": b"caf\xe9",
            "run.sh": File(b"#!/bin/sh\n", mode=0o755),
            "secret": File(b"x", mode=0o600),
            "setuid": File(b"x", mode=0o4755),
            "readonly": File(b"x", mode=0o444, mtime_ns=1_234_567_890_123_456_789),
            "before1970": File(b"x", mtime_ns=-1_500_000_000),
            "noted": File(b"x", xattrs=(("user.note", b"\0\xff value"), ("user.other=;", b""))),
            "hard1": File(b"same"),
            "sub/hard2": File(hard="hard1"),
            "link": Link("plain.txt"),
            "dangling": Link("no/such\nplace"),
            "empty dir": {},
            "a/b/c": {"deep": "x"},
            "fifo": Special("fifo"),
        },
    )
    (engine.project / "sealed").mkdir()
    (engine.project / "sealed/inner").write_bytes(b"x")
    (engine.project / "sealed").chmod(0o555)
    os.utime(engine.project / "a/b", ns=(5, 1_000_000_007))
    os.utime(engine.project / "dangling", ns=(5, 77), follow_symlinks=False)
    os.setxattr(engine.project / "a", "user.dir", b"1")
    round_trip(engine, tmp_path / "out")
    inodes = {(tmp_path / "out" / name).stat().st_ino for name in ("hard1", "sub/hard2")}
    assert len(inodes) == 1
    assert_store_sound(engine.store_path, tmp_path)


def test_hostile_names_come_back_as_files_directories_and_links(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    for number, name in enumerate(HOSTILE_NAMES):
        for kind in ("files", "directories", "links"):
            (engine.project / kind).mkdir(exist_ok=True)
        (engine.project / "files" / name).write_bytes(b"%d" % number)
        make_tree(engine.project / "directories" / name, {"inside": b"%d" % number, name: b"again"})
        (engine.project / "links" / name).symlink_to("anywhere")
    round_trip(engine, tmp_path / "out")
    assert_store_sound(engine.store_path, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b'[submodule "../x"]\n\tpath = x\n\turl = https://example.org\n',
        b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n',
        b'[submodule "x"]\n\tpath = x\n\tupdate = !touch /tmp/x\n',
        b"\0binary",
    ],
)
def test_gitmodules_that_git_would_reject_is_stored_all_the_same(tmp_path: Path, content: bytes) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {".gitmodules": content, "sub": {".gitmodules": content}})
    round_trip(engine, tmp_path / "out")
    assert_store_sound(engine.store_path, tmp_path)


def test_harmless_gitmodules_keeps_its_name_in_the_store(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {".gitmodules": b'[submodule "lib"]\n\tpath = lib\n\turl = https://example.org/lib.git\n'})
    engine.snapshot(SnapshotRequest())
    assert git("--git-dir", engine.store_path, "ls-tree", "--name-only", "main") == ".gitmodules\n"


def test_gitattributes_and_gitignore_of_the_project_change_nothing(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(
        engine.project,
        {
            ".gitattributes": "*.txt text eol=crlf ident working-tree-encoding=UTF-16\n* filter=evil\n",
            ".gitignore": "*\n",
            "a.txt": b"$Id$\nline\n",
            "b.txt": b"\r\n",
        },
    )
    round_trip(engine, tmp_path / "out")


def test_an_archive_by_stock_git_has_every_byte(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    tree = {
        ".gitattributes": "secret export-ignore\n*.txt export-subst text eol=crlf ident\n",
        "secret": b"kept",
        "a.txt": b"$Format:%H$ $Id$\nline\n",
    }
    make_tree(engine.project, tree)
    backup = engine.snapshot(SnapshotRequest()).backup
    git("--git-dir", engine.store_path, "archive", "-o", tmp_path / "data.tar", f"backup/{backup.id}:data")
    with tarfile.open(tmp_path / "data.tar") as archive:
        archive.extractall(tmp_path / "out", filter="data")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        path.name: path.read_bytes() for path in engine.project.iterdir()
    }


def test_large_file_is_chunked_and_comes_back(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, chunk_threshold=1 << 20)
    make_tree(engine.project, {"big.bin": File(os.urandom(5 << 20), mode=0o755), "small": b"x"})
    round_trip(engine, tmp_path / "out")
    names = git("--git-dir", engine.store_path, "ls-tree", "-r", "--name-only", "main").split()
    assert len(names) > 2
    assert all(name == "small" or name.startswith(".cronos%c%big.bin/0") for name in names)
    assert_store_sound(engine.store_path, tmp_path)


def test_one_byte_changed_in_a_large_file_stores_about_one_chunk(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, chunk_threshold=1 << 20)
    content = bytearray(os.urandom(24 << 20))
    (engine.project / "big").write_bytes(content)
    engine.snapshot(SnapshotRequest())
    content[12 << 20] ^= 1
    (engine.project / "big").write_bytes(content)
    report = engine.snapshot(SnapshotRequest())
    assert report.bytes_stored < 9 << 20
    assert (report.backup.added, report.backup.changed, report.backup.removed) == (0, 1, 0)


def test_path_sixty_levels_deep_with_long_names_comes_back(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    here = os.open(engine.project, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 200, dir_fd=here)  # far past PATH_MAX as one path
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    fd = os.open("leaf", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(fd, b"deep")
    os.close(fd)
    os.close(here)
    engine.snapshot(SnapshotRequest())
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out"))))
    here = os.open(tmp_path / "out", os.O_RDONLY)
    for _ in range(60):
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    fd = os.open("leaf", os.O_RDONLY, dir_fd=here)
    assert os.read(fd, 10) == b"deep"
    os.close(fd)
    os.close(here)


def test_sockets_are_recorded_and_reported_but_not_restored(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"s.sock": Special("socket"), "file": b"x"})
    report = engine.snapshot(SnapshotRequest())
    assert report.problems == ()
    restored = engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out"))))
    assert [(p.path, p.code) for p in restored.problems] == [("s.sock", "not_restored")]
    assert {"", "file"} == set(read_tree(tmp_path / "out"))


def test_chosen_paths_come_back_with_the_directories_above_them(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a/b/c": b"1", "a/d": b"2", "e": b"3", "f/g": b"4"})
    (engine.project / "a").chmod(0o750)
    engine.snapshot(SnapshotRequest())
    request = RestoreRequest(backup="latest", paths=("a/b", "e"), target=str(tmp_path / "out"))
    report = engine.apply_restore(engine.plan_restore(request))
    assert set(read_tree(tmp_path / "out")) == {"", "a", "a/b", "a/b/c", "e"}
    assert stat.S_IMODE((tmp_path / "out/a").stat().st_mode) == 0o750
    assert report.files == 2


def test_existing_empty_target_is_filled_and_keeps_being_the_same_directory(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a/b": b"1", "sealed/x": b"1"})
    (engine.project / "sealed").chmod(0o555)
    engine.snapshot(SnapshotRequest())
    target = tmp_path / "out"
    target.mkdir()
    inode = target.stat().st_ino
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", target=str(target))))
    assert target.stat().st_ino == inode
    assert_same_tree(engine.project, target)
