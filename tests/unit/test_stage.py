"""Writing entries with their attributes: exact extended attributes, ACLs, the gate before changes, removal of what we staged."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronos_git.disk import files, stage
from cronos_git.model import Attributes
from tests.support.faults import run_and_kill
from tests.support.trees import Link, make_tree

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
OWNER, USER, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20


def acl(*entries: tuple[int, int, int]) -> bytes:
    """An ACL as the kernel takes it: version 2, then tag, permissions and id of each entry."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
SHARED = acl((OWNER, 7, NOBODY), (USER, 6, 12345), (GROUP, 5, NOBODY), (MASK, 7, NOBODY), (OTHER, 0, NOBODY))


def attributes(name: str, *, kind: str = "file", mode: int = 0o644, xattrs: dict[str, bytes] | None = None) -> Attributes:
    return Attributes(
        kind=kind,  # type: ignore[arg-type]
        name=name,
        mode=mode,
        size_bytes=0,
        mtime_ns=1_000_000_007,
        uid=os.getuid(),
        gid=os.getgid(),
        xattrs=tuple(sorted((xattrs or {}).items())),
    )


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory from whose ACL new entries inherit."""
    place = tmp_path / "shared"
    place.mkdir()
    try:
        os.setxattr(place, DEFAULT, SHARED)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no ACLs")
    return place


def apply(path: Path, wanted: Attributes, *, exact: bool) -> list[str]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return stage.apply_attributes(fd, wanted, exact=exact)
    finally:
        os.close(fd)


def xattrs(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path) if not name.startswith("security.")}


@pytest.mark.parametrize("exact", [False, True])
def test_exact_removes_the_extended_attributes_that_are_not_wanted(tmp_path: Path, exact: bool) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"")
    os.setxattr(path, "user.old", b"1")
    os.setxattr(path, "user.kept", b"1")
    assert apply(path, attributes("f", xattrs={"user.kept": b"2", "user.new": b"3"}), exact=exact) == []
    wanted = {"user.kept": b"2", "user.new": b"3"}
    assert xattrs(path) == (wanted if exact else {**wanted, "user.old": b"1"})
    assert path.stat().st_mtime_ns == 1_000_000_007


def test_exact_removes_inherited_acls_and_leaves_the_mode_as_wanted(shared: Path) -> None:
    (shared / "d").mkdir()
    assert set(xattrs(shared / "d")) == {ACCESS, DEFAULT}
    assert apply(shared / "d", attributes(".", kind="directory", mode=0o751), exact=True) == []
    assert xattrs(shared / "d") == {}
    assert stat.S_IMODE((shared / "d").stat().st_mode) == 0o751


def test_exact_keeps_the_acl_that_is_wanted(shared: Path) -> None:
    (shared / "d").mkdir()
    wanted = attributes(".", kind="directory", mode=0o770, xattrs={ACCESS: SHARED})
    assert apply(shared / "d", wanted, exact=True) == []
    assert xattrs(shared / "d") == {ACCESS: SHARED}


def test_removal_that_is_refused_is_told_of_ones_own_and_passed_over_of_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"")

    def refuse(_fd: int, name: str) -> None:
        raise OSError(errno.ENODATA if name == "user.gone" else errno.EPERM, "refused")

    monkeypatch.setattr(os, "listxattr", lambda _fd: ["security.label", ACCESS, "trusted.x", "user.gone", "user.own"])
    monkeypatch.setattr(os, "removexattr", refuse)
    failed = apply(path, attributes("f"), exact=True)
    assert failed == [f"removal of attribute {ACCESS} not applied: refused", "removal of attribute user.own not applied: refused"]


def test_staging_directory_is_ours_alone_and_its_entries_inherit_nothing(shared: Path) -> None:
    fd = os.open(shared.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        stage.make_staging(fd, "shared/s")
        with pytest.raises(FileExistsError):
            stage.make_staging(fd, "shared/s")
        with stage.opened(fd, "shared/s") as inner:
            assert stage.write_file(inner, attributes("f"), [b"x"]) == []
    finally:
        os.close(fd)
    assert stat.S_IMODE((shared / "s").stat().st_mode) == 0o700
    assert xattrs(shared / "s") == {} == xattrs(shared / "s/f")


def test_staging_directory_is_made_where_there_are_no_acls(tmp_path: Path, dir_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_fd: int, _name: str) -> None:
        raise OSError(errno.ENOTSUP, "unsupported")

    monkeypatch.setattr(os, "removexattr", unsupported)
    stage.make_staging(dir_fd, "s")
    assert (tmp_path / "s").is_dir()


def test_every_change_passes_the_gate_before_it_is_made(tmp_path: Path, dir_fd: int) -> None:
    steps: list[tuple[str, str, bool]] = []
    files.step = lambda name, path: steps.append((name, path, (tmp_path / path).exists()))
    stage.make_directory(dir_fd, "d")
    stage.write_file(dir_fd, attributes("f"), [b"one", b"two"])
    stage.make_link(dir_fd, attributes("l", kind="symlink"), b"f")
    stage.make_fifo(dir_fd, attributes("p", kind="fifo"))
    stage.make_hard_link(dir_fd, "f", dir_fd, "h")
    stage.make_staging(dir_fd, "s")
    stage.remove_beneath(dir_fd, "d")
    stage.remove_tree(tmp_path / "s")
    assert steps == [
        ("create", "d", False),
        ("create", "f", False),
        ("write", "f", True),
        ("write", "f", True),
        ("attributes", "f", True),
        ("create", "l", False),
        ("create", "p", False),
        ("attributes", "p", True),
        ("create", "h", False),
        ("create", "s", False),
        ("unlink", "d", True),
        ("unlink", "s", True),
    ]


@pytest.mark.parametrize("at", ["s", "a/b/s"])
def test_tree_is_removed_whole_without_following_links(tmp_path: Path, dir_fd: int, at: str) -> None:
    make_tree(tmp_path, {"precious/x": b"1", f"{at}/d/e/f": b"2", f"{at}/out": Link(str(tmp_path / "precious"))})
    (tmp_path / at / "d/e").chmod(0o555)
    stage.remove_beneath(dir_fd, at)
    assert not (tmp_path / at).exists()
    assert (tmp_path / "precious/x").read_bytes() == b"1"


@pytest.mark.parametrize("path", ["s", "gone/s"])
def test_removal_of_what_is_gone_is_no_error(dir_fd: int, path: str) -> None:
    stage.remove_beneath(dir_fd, path)


@pytest.mark.parametrize("path", ["link", "link/x"])
def test_removal_through_a_link_is_refused(tmp_path: Path, dir_fd: int, path: str) -> None:
    make_tree(tmp_path, {"precious/x/y": b"1", "link": Link("precious")})
    with pytest.raises(NotADirectoryError):
        stage.remove_beneath(dir_fd, path)
    assert (tmp_path / "precious/x/y").read_bytes() == b"1"


@pytest.fixture
def nobodys_fd(tmp_path: Path) -> Iterator[int]:
    """A directory that belongs to an ordinary user."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 65534, 65534)
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def as_nobody(work: Callable[[], object]) -> None:
    """Do it as an ordinary user, since root may do everything."""

    def turned() -> None:
        os.setgid(65534)
        os.setuid(65534)
        work()

    assert run_and_kill(turned, at=0)


def test_ordinary_user_removes_a_tree_with_directories_closed_to_himself(nobodys_fd: int) -> None:
    def work() -> None:
        for name in ("s", "s/shut"):
            stage.make_directory(nobodys_fd, name)
        os.chmod("s/shut", 0, dir_fd=nobodys_fd)
        stage.remove_beneath(nobodys_fd, "s")

    as_nobody(work)
    assert os.listdir(nobodys_fd) == []


def test_ordinary_user_writes_a_read_only_file_with_extended_attributes(tmp_path: Path, nobodys_fd: int) -> None:
    def work() -> None:
        assert stage.write_file(nobodys_fd, attributes("f", mode=0o444, xattrs={"user.a": b"1"}), [b"x"]) == []

    as_nobody(work)
    assert xattrs(tmp_path / "place/f") == {"user.a": b"1"}
    assert stat.S_IMODE((tmp_path / "place/f").stat().st_mode) == 0o444
