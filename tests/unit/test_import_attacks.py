"""Archives that want to do harm, or are broken: refused, and nothing is written anywhere."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import pytest

from cronos_git.disk import stage
from cronos_git.disk.zips import ZipReader
from cronos_git.engine import Cronos
from cronos_git.errors import ArchiveError, CronosError, DiskFullError, RefusedError
from cronos_git.model import ImportRequest, RestoreRequest
from tests.support.archives import bring_in, ids, make_tar, make_zip, member
from tests.support.engine import make_engine

ZIP = "egos_backup_manual_a_20250401_093000.zip"
TAR = "a-20250401.tar"


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    return make_engine(tmp_path)


def assert_refused(engine: Cronos, path: Path, error: type[CronosError] = RefusedError, match: str = ".") -> None:
    around = sorted(path.parent.iterdir())
    with pytest.raises(error, match=match):
        bring_in(engine, path)
    if engine.store_path.exists():
        assert ids(engine) == []
        assert list(engine.store.pack_dir.iterdir()) == []
    assert set(path.parent.iterdir()) - set(around) <= {engine.store_path.parent}


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "a\\b", "..\\x", "C:/x", "c:x", "a/..", "x" * 256, "/".join("d" * 401)]
)
def test_a_zip_name_that_leads_elsewhere_is_refused(engine: Cronos, tmp_path: Path, name: str) -> None:
    assert_refused(engine, make_zip(tmp_path / ZIP, {"good": b"x", name: b"x"}))


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/.."])
def test_a_tar_name_that_leads_elsewhere_is_refused(engine: Cronos, tmp_path: Path, name: str) -> None:
    assert_refused(engine, make_tar(tmp_path / TAR, [(member("good"), b""), (member(name), b"x")]))


def test_a_nul_in_a_zip_name_is_refused(engine: Cronos, tmp_path: Path) -> None:
    path = make_zip(tmp_path / ZIP, {"nameXx": b"x"})
    path.write_bytes(path.read_bytes().replace(b"nameXx", b"name\0x"))
    assert_refused(engine, path, match="NUL")


@pytest.mark.parametrize(
    "members",
    [
        [(member("a"), b"1"), (member("a/b"), b"2")],
        [(member("a", tarfile.SYMTYPE, "/etc"), b""), (member("a"), b""), (member("a/b"), b"2")],
        [(member("a"), b""), (member("a", tarfile.SYMTYPE, "/etc"), b""), (member("a/passwd"), b"2")],
        [(member("a", tarfile.SYMTYPE, "b"), b""), (member("b/c"), b""), (member("a/c"), b"")],
        [(member("a/b"), b""), (member("a", tarfile.LNKTYPE, "a/b"), b"")],
        [(member("a/b"), b"1"), (member("a"), b"2")],
        [(member("a", tarfile.SYMTYPE, "/etc"), b""), (member("a/passwd"), b"2")],
        [(member("a/b"), b""), (member("a", tarfile.SYMTYPE, "/etc"), b"")],
        [(member("a", tarfile.SYMTYPE, ".."), b""), (member("a", tarfile.DIRTYPE), b"")],
        [(member("a", tarfile.LNKTYPE, "/etc/passwd"), b"")],
        [(member("a", tarfile.LNKTYPE, "../x"), b"")],
        [(member("a", tarfile.LNKTYPE, "later"), b""), (member("later"), b"")],
        [(member("d", tarfile.DIRTYPE), b""), (member("a", tarfile.LNKTYPE, "d"), b"")],
        [(member("l", tarfile.SYMTYPE, "/etc"), b""), (member("a", tarfile.LNKTYPE, "l/passwd"), b"")],
        [(member("."), b"the top")],
        [(member("a", tarfile.SYMTYPE, ""), b"")],
        [(member("a", b"V"), b"")],
    ],
)
def test_members_that_contradict_each_other_are_refused(
    engine: Cronos, tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    assert_refused(engine, make_tar(tmp_path / TAR, members))


def test_links_that_lead_out_are_only_kept_as_links(engine: Cronos, tmp_path: Path) -> None:
    (backup,) = bring_in(engine, make_tar(tmp_path / TAR, [(member("a", tarfile.SYMTYPE, "/etc/passwd"), b"")])).backups
    engine.restore(RestoreRequest(backup=backup.id, target=str(tmp_path / "out")))
    assert os.readlink(tmp_path / "out/a") == "/etc/passwd"


def test_git_names_in_an_archive_are_escaped(engine: Cronos, tmp_path: Path) -> None:
    names = [".git/hooks/post-checkout", "sub/.GIT/config", "git~1", ".gitmodules/x", ".cronos%e%.git", "aux", "README", "readme"]
    report = bring_in(engine, make_zip(tmp_path / ZIP, dict.fromkeys(names, b"x")))
    assert report.notes == (f"Names in {ZIP} differ only in upper and lower case, such as 'readme': 1.",)
    assert engine.verify().damage == ()
    from tests.support.git import git

    git("--git-dir", engine.store_path, "fsck", "--full", "--strict")


def test_names_twice_in_a_zip_are_refused(engine: Cronos, tmp_path: Path) -> None:
    path = make_zip(tmp_path / ZIP, {"aa": b"1", "bb": b"2"})
    path.write_bytes(path.read_bytes().replace(b"bb", b"aa"))
    assert_refused(engine, path, match="twice")


def test_an_encrypted_zip_is_refused(engine: Cronos, tmp_path: Path) -> None:
    path = make_zip(tmp_path / ZIP, {"a": b"x"})
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1
    path.write_bytes(content)
    assert_refused(engine, path, match="encrypted")


@pytest.mark.parametrize("declared", [10, 5000])
def test_a_zip_member_of_another_size_than_it_declares_is_refused(engine: Cronos, tmp_path: Path, declared: int) -> None:
    path = make_zip(tmp_path / ZIP, {"a": b"x" * 1000})
    content = path.read_bytes().replace(struct.pack("<L", 1000), struct.pack("<L", declared))
    path.write_bytes(content)
    assert_refused(engine, path, ArchiveError)


def test_a_zip_bomb_is_refused_by_what_it_declares(engine: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_zip(tmp_path / ZIP, {"a": b"x"})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = b"\xfe\xff\xff\xff"
    path.write_bytes(content)
    monkeypatch.setattr(stage, "free_bytes", lambda _path: 1 << 30)
    assert_refused(engine, path, match="holds 4,294,967,294 bytes")


def test_a_tar_that_swells_is_stopped_where_space_ends(engine: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = make_tar(tmp_path / "plain", [(member("a"), bytes(3 << 20)), (member("b"), bytes(3 << 20))])
    (tmp_path / f"{TAR}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    monkeypatch.setattr(stage, "free_bytes", lambda _path: 4 << 20)
    assert_refused(engine, tmp_path / f"{TAR}.gz", DiskFullError, match="only 4,194,304 are free")


def test_an_honest_zip_that_finds_no_room_is_no_attack(engine: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "free_bytes", lambda _path: 0)
    assert_refused(
        engine, make_zip(tmp_path / ZIP, {"a": b"x"}), DiskFullError, match="holds 1 bytes or more, and only 0 are free"
    )


def test_a_zip_member_that_unpacks_to_very_much_is_named(tmp_path: Path) -> None:
    path = make_zip(tmp_path / ZIP, {"bomb": b"x", "good": b"x"})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<L", (1 << 30) + 1)
    path.write_bytes(content)
    assert ZipReader(path, UTC).swollen() == ["bomb"]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([member("ln", tarfile.SYMTYPE, "/etc"), member("ln/EVIL2")], "'ln/EVIL2' lies below 'ln', which is a symlink"),
        ([member("d/f"), member("d/f/x/y")], "'d/f/x/y' lies below 'd/f', which is a file"),
        ([member("a"), member("a", tarfile.DIRTYPE)], "'a' stands there twice, as a file and as a directory"),
        (
            [member("l", tarfile.SYMTYPE, "/"), member("a", tarfile.LNKTYPE, "l/x")],
            "'a' is a hard link to 'l/x', which did not come",
        ),
    ],
)
def test_a_contradiction_names_the_member_that_contradicts(
    engine: Cronos, tmp_path: Path, members: list[tarfile.TarInfo], told: str
) -> None:
    assert_refused(engine, make_tar(tmp_path / TAR, [(one, b"") for one in members]), match=told)


def test_times_and_owners_that_are_none_are_told_of_each_path(engine: Cronos, tmp_path: Path) -> None:
    odd = [{"mtime": "nan"}, {"mtime": "inf"}, {"mtime": "1e30"}, {"uid": str(1 << 70)}, {"gid": "-5"}, {"uid": "root"}]
    infos = [member(f"top/{number}", **headers) for number, headers in enumerate(odd)]
    archive = make_tar(
        tmp_path / TAR, [(info, b"") for info in (*infos, member("top/good", mtime="1.5"), member("else", mtime="nan"))]
    )
    report = engine.import_(ImportRequest(path=str(archive), root="top"))
    assert [(problem.path, problem.text.split("'")[1]) for problem in report.problems] == [
        ("0", "nan"),
        ("1", "inf"),
        ("2", "1e30"),
        ("3", str(1 << 70)),
        ("4", "-5"),
        ("5", "root"),
    ]
    assert {e.attributes.uid for e in engine.entries(report.backups[0]) if e.path in "35"} == {65534}


def test_a_header_that_claims_to_be_huge_is_never_read(engine: Cronos, tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    (tmp_path / TAR).write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    assert_refused(engine, tmp_path / TAR, ArchiveError, match="16 MiB")


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.zst", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize("cut", [0.4, 0.9])
def test_an_archive_that_is_cut_short_is_refused(engine: Cronos, tmp_path: Path, ending: str, cut: float) -> None:
    path = tmp_path / f"a-20250401.{ending}"
    members = {"a": os.urandom(60_000), "b": os.urandom(60_000)}
    if ending == "zip":
        make_zip(path, members)
    else:
        raw = make_tar(tmp_path / "plain", [(member(name), body) for name, body in members.items()]).read_bytes()
        path.write_bytes(_packed(raw, ending))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    assert_refused(engine, path, ArchiveError)


@pytest.mark.parametrize(("damage", "why"), [(b"?" * 512, "a header in it is none"), (bytes(512), "more follows after its end")])
def test_a_tar_with_a_damaged_header_in_its_middle_is_refused(engine: Cronos, tmp_path: Path, damage: bytes, why: str) -> None:
    path = make_tar(tmp_path / TAR, [(member(name), b"x") for name in "abc"])
    raw = path.read_bytes()
    path.write_bytes(raw[:1024] + damage + raw[1536:])
    assert_refused(engine, path, ArchiveError, why)


def test_zeros_behind_the_end_of_a_tar_are_padding(engine: Cronos, tmp_path: Path) -> None:
    path = make_tar(tmp_path / TAR, [(member("a"), b"x")])
    path.write_bytes(path.read_bytes() + bytes(3 << 20))
    assert bring_in(engine, path).backups[0].files == 1


def _packed(raw: bytes, ending: str) -> bytes:
    import bz2
    import lzma

    import zstandard

    pack: dict[str, Callable[[bytes], bytes]] = {
        "tar": bytes,
        "tar.gz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
        "tar.zst": zstandard.ZstdCompressor().compress,
    }
    return pack[ending](raw)


@pytest.mark.parametrize("ending", ["zip", "tar.gz", "tar.zst", "tar.xz", "tar.bz2"])
def test_a_flipped_bit_is_noticed(engine: Cronos, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a-20250401.{ending}"
    body = os.urandom(60_000)
    if ending == "zip":
        make_zip(path, {"a": body})
    else:
        import zstandard

        raw = make_tar(tmp_path / "plain", [(member("a"), body)]).read_bytes()
        packed = zstandard.ZstdCompressor(write_checksum=True).compress(raw) if ending == "tar.zst" else _packed(raw, ending)
        path.write_bytes(packed)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert_refused(engine, path, ArchiveError)


@pytest.mark.parametrize(
    "headers",
    [
        {"mtime": "1e999999999"},
        {"mtime": "nan"},
        {"mtime": "-99999999999999999999"},
        {"uid": str(1 << 70), "gid": "-5"},
        {"SCHILY.xattr.user.x": "\0\n;=% "},
        {"uname": "a\nu 0 root"},
    ],
)
def test_nonsense_in_headers_comes_in_as_something_that_can_be_restored(
    engine: Cronos, tmp_path: Path, headers: dict[str, str]
) -> None:
    (backup,) = bring_in(engine, make_tar(tmp_path / TAR, [(member("a", **headers), b"x")])).backups
    assert engine.verify().damage == ()
    engine.restore(RestoreRequest(backup=backup.id, target=str(tmp_path / "out")))
    assert (tmp_path / "out/a").read_bytes() == b"x"


def test_a_nul_in_a_header_is_refused(engine: Cronos, tmp_path: Path) -> None:
    assert_refused(engine, make_tar(tmp_path / TAR, [(member("a", uname="a\0b"), b"x")]))
    assert_refused(engine, make_tar(tmp_path / TAR, [(member("a", **{"SCHILY.xattr.user.a\0b": "x"}), b"x")]))


def test_what_is_no_archive_is_told(engine: Cronos, tmp_path: Path) -> None:
    (tmp_path / ZIP).write_bytes(b"hello")
    with pytest.raises(CronosError, match="no archive that CRONOS knows"):
        bring_in(engine, tmp_path / ZIP)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RefusedError, match="is no file"):
        bring_in(engine, tmp_path / "fifo")
    with pytest.raises(CronosError, match="No such file"):
        bring_in(engine, tmp_path / "nothing.zip")


def test_empty_archives_are_empty_backups(engine: Cronos, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / ZIP, "w"):
        pass
    assert bring_in(engine, tmp_path / ZIP).backups[0].files == 0
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w"):
        pass
    (tmp_path / "b-20250402.tar.gz").write_bytes(gzip.compress(stream.getvalue()))
    assert bring_in(engine, tmp_path / "b-20250402.tar.gz").backups[0].files == 0
