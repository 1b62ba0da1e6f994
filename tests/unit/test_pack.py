"""Packs and indexes judged by stock git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cronos_git.git.chunks import MAXIMUM_BYTES, MINIMUM_BYTES, add_chunks, iter_chunks
from cronos_git.git.pack import HashSink, PackWriter, format_index, keep_pack, object_id, remove_leftovers
from cronos_git.git.packindex import ObjectIndex, Pack
from tests.support.git import git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git("init", "--quiet", "--bare", tmp_path / "r.git")
    return tmp_path / "r.git"


def write(repository: Path, bodies: list[bytes]) -> Path:
    writer = PackWriter(repository / "objects/pack", lambda _oid: False)
    for body in bodies:
        writer.add("blob", body)
    result = writer.finish()
    assert result is not None
    writer.release()
    return result.path


BODIES = [b"", b"x", b"y" * 15, b"z" * 16, b"w" * 5000, bytes(range(256)) * 300, os.urandom(1 << 20), os.urandom(3 << 20)]


def test_git_finds_pack_and_index_right_and_would_write_the_same_index(repository: Path) -> None:
    pack = write(repository, BODIES)
    git("--git-dir", repository, "verify-pack", pack)
    git("--git-dir", repository, "fsck", "--full", "--strict")
    again = repository / "again.idx"
    git("--git-dir", repository, "index-pack", "-o", again, pack)
    assert again.read_bytes() == pack.with_suffix(".idx").read_bytes()


def test_objects_read_back_by_us_and_by_git_are_what_was_written(repository: Path) -> None:
    write(repository, BODIES)
    index = ObjectIndex(repository / "objects/pack")
    for body in BODIES:
        oid = object_id("blob", body)
        assert index.read(oid) == ("blob", body)
        shown = subprocess.run(["git", "--git-dir", repository, "cat-file", "blob", oid.hex()], capture_output=True, check=True)
        assert shown.stdout == body
    assert index.read(bytes(20)) is None


def test_equal_objects_and_those_the_store_has_are_written_once(repository: Path) -> None:
    write(repository, [b"known"])
    index = ObjectIndex(repository / "objects/pack")
    writer = PackWriter(repository / "objects/pack", index.contains)
    writer.add("blob", b"known")
    assert writer.finish() is None
    writer.add("blob", b"new")
    writer.add("blob", b"new")
    result = writer.finish()
    assert result is not None
    assert result.objects == 1


def test_nothing_to_store_leaves_no_file(repository: Path) -> None:
    writer = PackWriter(repository / "objects/pack", lambda _oid: False)
    assert writer.finish() is None
    assert list((repository / "objects/pack").iterdir()) == []


def test_aborted_writer_leaves_no_file(repository: Path) -> None:
    writer = PackWriter(repository / "objects/pack", lambda _oid: False)
    writer.add("blob", os.urandom(5 << 20))
    assert [path.name.startswith("tmp_cronos_") for path in (repository / "objects/pack").iterdir()] == [True]
    writer.abort()
    assert list((repository / "objects/pack").iterdir()) == []


def test_only_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    killed, theirs = tmp_path / f"pack-{1:040x}", tmp_path / f"pack-{2:040x}"
    for stem in (killed, theirs):
        stem.with_suffix(".pack").write_bytes(b"a pack that has no index")
    keep_pack(killed)
    theirs.with_suffix(".keep").touch()
    (tmp_path / f"pack-{3:040x}.keep").touch()
    (tmp_path / "tmp_cronos_1").touch()
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == [theirs.with_suffix(".keep"), theirs.with_suffix(".pack")]


def test_offsets_beyond_two_gib_are_read_by_git_and_by_us(tmp_path: Path) -> None:
    offsets = [12, (1 << 31) - 1, 1 << 31, (1 << 32) + 5, 1 << 40]
    names = sorted(object_id("blob", b"%d" % offset) for offset in offsets)
    entries = {name: (offset, number) for number, (name, offset) in enumerate(zip(names, offsets, strict=True))}
    index = tmp_path / "pack-x.idx"
    index.write_bytes(format_index(names, entries, bytes(20)))
    index.with_suffix(".pack").write_bytes(b"")
    with index.open("rb") as stream:
        shown = subprocess.run(["git", "show-index"], stdin=stream, capture_output=True, check=True).stdout.decode()
    assert [line.split()[:2] for line in shown.splitlines()] == [
        [str(offset), name.hex()] for name, offset in zip(names, offsets, strict=True)
    ]
    pack = Pack(index)
    assert [pack.find(name) for name in names] == offsets


def test_cuts_do_not_depend_on_how_the_stream_is_split() -> None:
    content = os.urandom(23 << 20) + bytes(5 << 20)
    whole = list(iter_chunks([content]))
    for size in (1 << 20, 3_000_001, 16 << 20):
        assert list(iter_chunks(content[start : start + size] for start in range(0, len(content), size))) == whole
    assert b"".join(whole) == content
    assert all(MINIMUM_BYTES <= len(chunk) <= MAXIMUM_BYTES for chunk in whole[:-1])


def test_inserted_byte_moves_only_the_cuts_near_it() -> None:
    content = os.urandom(24 << 20)
    before = set(iter_chunks([content]))
    after = list(iter_chunks([content[: 12 << 20] + b"!" + content[12 << 20 :]]))
    assert sum(chunk not in before for chunk in after) <= 3


def test_chunks_of_an_empty_stream_are_an_empty_tree() -> None:
    assert add_chunks(HashSink(), []).hex() == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_objects_of_an_unfinished_pack_can_be_read_and_no_others(repository: Path) -> None:
    writer = PackWriter(repository / "objects/pack", lambda _oid: False)
    for body in BODIES[:-1]:
        writer.add("blob", body)
    tree = writer.add("tree", b"")
    for body in BODIES[:-1]:
        assert writer.read(object_id("blob", body)) == ("blob", body)
    last = writer.add("blob", BODIES[-1])
    assert writer.read(last) == ("blob", BODIES[-1])
    assert writer.read(tree) == ("tree", b"")
    assert writer.read(object_id("blob", b"never written")) is None
    result = writer.finish()
    assert result is not None
    git("--git-dir", repository, "verify-pack", result.path)
