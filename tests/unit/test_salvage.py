"""Packs read without their index: all of a whole one, what is left of a damaged one, never anything that was not in it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import HashMismatchError
from cronos_git.git.pack import PackWriter, object_id
from cronos_git.git.salvage import ScannedPack, is_consistent
from tests.support.git import git
from tests.support.repairing import replace

Bodies = list[tuple[str, bytes]]


def write(room: Path, bodies: Bodies) -> Path:
    """A pack of these objects, its index put aside."""
    writer = PackWriter(room, lambda _oid: False)
    for kind, body in bodies:
        writer.add(kind, body)
    result = writer.finish()
    assert result is not None
    result.path.with_suffix(".idx").rename(room / "index")
    return result.path


def scanned(path: Path) -> dict[bytes, tuple[str, bytes]]:
    pack = ScannedPack(path)
    try:
        return {name: pack.read(name) for name in pack.places}
    finally:
        pack.close()


def some(seed: int, count: int = 40) -> Bodies:
    chance = random.Random(seed)
    return [("blob", chance.randbytes(chance.choice([0, 1, 15, 16, 17, 200, 70_000])) + b"%d" % n) for n in range(count)]


def test_a_whole_pack_gives_everything_and_the_same_index(tmp_path: Path) -> None:
    bodies = some(1)
    path = write(tmp_path, bodies)
    pack = ScannedPack(path)
    assert pack.is_complete
    assert {name: pack.read(name) for name in pack.places} == {object_id(*one): one for one in bodies}
    pack.write_index()
    pack.close()
    assert path.with_suffix(".idx").read_bytes() == (tmp_path / "index").read_bytes()
    git("verify-pack", path)


@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(1, 255))
def test_a_changed_byte_costs_no_more_than_one_object(
    tmp_path_factory: pytest.TempPathFactory, seed: int, at: float, flip: int
) -> None:
    room = tmp_path_factory.mktemp("pack")
    bodies = some(seed, 8)
    path = write(room, bodies)
    body = bytearray(path.read_bytes())
    body[min(int(at * len(body)), len(body) - 1)] ^= flip
    replace(path, bytes(body))
    found = scanned(path)
    whole = {object_id(*one): one for one in bodies}
    # A damaged header may hide where its object ends, and the next begins; nothing else is lost.
    assert len(found.keys() & whole.keys()) >= len(whole) - 1
    assert not is_consistent(path)
    assert all(object_id(*one) == name for name, one in found.items())


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_cut_pack_gives_all_before_the_cut(tmp_path_factory: pytest.TempPathFactory, seed: int, at: float) -> None:
    room = tmp_path_factory.mktemp("pack")
    bodies = some(seed, 8)
    path = write(room, bodies)
    whole = ScannedPack(path)
    places = dict(sorted(whole.places.items(), key=lambda item: item[1]))
    whole.close()
    length = int(at * path.stat().st_size)
    replace(path, path.read_bytes()[:length])
    starts = [*list(places.values())[1:], length + 1]
    before = {name for name, end in zip(places, starts, strict=True) if end + 20 <= length}
    assert scanned(path).keys() >= before


def test_an_incomplete_pack_is_not_indexed(tmp_path: Path) -> None:
    path = write(tmp_path, some(2))
    replace(path, path.read_bytes()[:-30])
    pack = ScannedPack(path)
    assert not pack.is_complete
    pack.close()


@pytest.mark.parametrize("arguments", [(), ("--delta-base-offset",)])
def test_deltas_of_both_kinds_are_resolved(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    git("init", "--quiet", "--bare", tmp_path / "r.git")
    text = [f"line {number}\n" for number in range(300)]
    names = []
    for number in range(12):
        text[number * 7] = f"changed {number}\n"
        (tmp_path / "file").write_text("".join(text))
        names.append(git("--git-dir", tmp_path / "r.git", "hash-object", "-w", tmp_path / "file").strip())
    (tmp_path / "list").write_text("\n".join(names) + "\n")
    with (tmp_path / "list").open() as stream:
        import subprocess

        command = ["git", "--git-dir", tmp_path / "r.git", "pack-objects", "-q", *arguments, tmp_path / "p"]
        subprocess.run(command, stdin=stream, check=True, capture_output=True)
    [path] = tmp_path.glob("p-*.pack")
    pack = ScannedPack(path)
    assert pack.is_complete
    assert {name.hex() for name in pack.places} == set(names)
    assert sum(slot.base is not None for slot in pack._slots.values()) >= 10
    assert len(list(pack.of_kind("blob"))) == 12
    pack.write_index()
    pack.close()
    git("verify-pack", path)


def test_a_pack_that_changes_after_the_scan_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, some(4))
    pack = ScannedPack(path)
    replace(path, bytes(path.stat().st_size))
    with pytest.raises(HashMismatchError):
        pack.read(next(iter(pack.places)))
    pack.close()
