"""Deltas that stock git makes are read as it reads them; broken ones are told."""

from __future__ import annotations

import contextlib
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import HashMismatchError
from cronos_git.git.delta import apply_delta
from cronos_git.git.pack import PackWriter, object_id
from cronos_git.git.packindex import ObjectIndex
from tests.support.git import git


@pytest.mark.parametrize("offsets", ["true", "false"])
def test_every_object_of_a_repacked_store_is_read(tmp_path: Path, offsets: str) -> None:
    repository = tmp_path / "r.git"
    git("init", "--quiet", "--bare", repository)
    text = [f"line {n}\n".encode() * 3 for n in range(800)]
    chance = random.Random(1)
    writer = PackWriter(repository / "objects/pack", lambda _oid: False)
    bodies = []
    for _ in range(60):
        text[chance.randrange(len(text))] = b"changed %d\n" % chance.randrange(10**9)
        bodies.append(b"".join(text))
        writer.add("blob", bodies[-1])
    assert writer.finish() is not None
    loose = [object_id("blob", body).hex() for body in bodies]
    tree = "".join(f"100644 blob {oid}\tf{number}\n" for number, oid in enumerate(loose))
    made = subprocess.run(["git", "--git-dir", repository, "mktree"], input=tree.encode(), capture_output=True, check=True)
    git(
        "--git-dir",
        repository,
        "update-ref",
        "refs/heads/x",
        git("--git-dir", repository, "commit-tree", "-m", "x", made.stdout.decode().strip()).strip(),
    )
    writer.release()
    git("--git-dir", repository, "-c", f"repack.useDeltaBaseOffset={offsets}", "repack", "-adfq", "--depth=40")
    index = ObjectIndex(repository / "objects/pack")
    (pack,) = (repository / "objects/pack").glob("*.pack")
    assert pack.stat().st_size < 60_000  # there are deltas, and long chains of them
    for body in bodies:
        assert index.read(object_id("blob", body)) == ("blob", body)


@given(st.binary(max_size=60), st.binary(max_size=30))
def test_garbage_never_ends_in_anything_but_the_two_errors(base: bytes, delta: bytes) -> None:
    with contextlib.suppress(ValueError, IndexError):
        apply_delta(base, delta)


def test_copy_of_the_longest_length_and_insertion() -> None:
    base = bytes(70_000)
    # sizes 70000 and 65539, copy 0x10000 bytes from 4 (length left out means that many), insert "abc"
    delta = b"\xf0\xa2\x04" + b"\x83\x80\x04" + b"\x81\x04" + b"\x03abc"
    assert apply_delta(base, delta) == bytes(0x10000) + b"abc"


def test_object_damaged_in_one_pack_is_read_from_another(tmp_path: Path) -> None:
    pack_dir = tmp_path / "pack"
    pack_dir.mkdir()
    for extra in (b"one", b"two"):
        writer = PackWriter(pack_dir, lambda _oid: False)
        writer.add("blob", b"wanted" * 100)
        writer.add("blob", extra)
        writer.finish()
    wanted = object_id("blob", b"wanted" * 100)
    packs = sorted(pack_dir.glob("*.pack"))
    for number, pack in enumerate(packs):
        body = bytearray(pack.read_bytes())
        body[14:30] = bytes(16)
        pack.chmod(0o600)
        pack.write_bytes(body)
        if number == 0:
            assert ObjectIndex(pack_dir).read(wanted) == ("blob", b"wanted" * 100)
    with pytest.raises(HashMismatchError):
        ObjectIndex(pack_dir).read(wanted)


def test_cut_pack_is_unsound_and_its_objects_count_as_absent(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path, lambda _oid: False)
    oid = writer.add("blob", b"x" * 1000)
    writer.finish()
    (pack,) = tmp_path.glob("*.pack")
    assert ObjectIndex(tmp_path).contains(oid)
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:-1])
    index = ObjectIndex(tmp_path)
    assert index.unsound == [pack.stem]
    assert not index.contains(oid)
