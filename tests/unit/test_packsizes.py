from __future__ import annotations

import os
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.git.packsizes import body_sizes, packed_sizes
from cronos_git.git.store import Store
from cronos_git.model import SnapshotRequest
from tests.support.engine import make_engine
from tests.support.git import git


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """Five backups of a text that grows at random places, so that its versions are deltas of each other after a repack."""
    made = make_engine(tmp_path)
    lines = [os.urandom(30).hex() for _ in range(400)]
    for number in range(5):
        lines[number * 50] = f"changed {number}"
        (made.project / "text").write_text("\n".join(lines))
        (made.project / f"new{number}").write_bytes(os.urandom(500))
        made.snapshot(SnapshotRequest(name=f"b{number}"))
    return made


def told_by_git(store: Path) -> dict[bytes, tuple[int, int]]:
    """Packed size and body size of every object."""
    form = "--batch-check=%(objectname) %(objectsize:disk) %(objectsize)"
    lines = git("--git-dir", store, "cat-file", "--batch-all-objects", form).splitlines()
    return {bytes.fromhex(name): (int(disk), int(body)) for name, disk, body in map(str.split, lines)}


def check(store: Store) -> dict[bytes, tuple[int, int]]:
    told = told_by_git(store.path)
    assert packed_sizes(store) == {name: disk for name, (disk, _) in told.items()}
    assert sorted(body_sizes(store, told)) == sorted(body for _, body in told.values())
    for name, (_, body) in list(told.items())[:40]:
        assert list(body_sizes(store, [name])) == [body]
    return told


def test_sizes_in_own_packs_are_those_that_git_tells(engine: Cronos) -> None:
    assert len(check(engine.store)) > 25


def test_sizes_of_deltas_are_those_that_git_tells(engine: Cronos) -> None:
    before = sum(disk for disk, _ in check(engine.store).values())
    git("--git-dir", engine.store_path, "repack", "-adfq", "--window=50", "--depth=50")
    told = check(Store.open(engine.store_path))
    assert sum(disk for disk, _ in told.values()) < 0.6 * before


def test_sizes_of_deltas_that_name_their_base_are_those_that_git_tells(engine: Cronos) -> None:
    git("--git-dir", engine.store_path, "-c", "repack.useDeltaBaseOffset=false", "repack", "-adfq", "--window=50")
    check(Store.open(engine.store_path))


def test_loose_objects_take_their_file(engine: Cronos, tmp_path: Path) -> None:
    (tmp_path / "loose").write_bytes(b"loose" * 100)
    git("--git-dir", engine.store_path, "hash-object", "-w", tmp_path / "loose")
    check(engine.store)


def test_an_object_in_two_packs_counts_once_with_its_smaller_copy(engine: Cronos) -> None:
    whole = packed_sizes(engine.store)
    git("--git-dir", engine.store_path, "repack", "-afq", "--window=50")  # without -d: the old packs stay
    both = Store.open(engine.store_path)
    [packed] = {*both.pack_dir.glob("*.pack")} - {pack.path for pack in engine.store.index.packs}
    lines = git("--git-dir", engine.store_path, "verify-pack", "-v", packed.with_suffix(".idx")).splitlines()
    deltas = {bytes.fromhex(row[0]): int(row[3]) for row in map(str.split, lines) if len(row[0]) == 40}
    assert packed_sizes(both) == {name: min(size, deltas.get(name, size)) for name, size in whole.items()}
    assert any(deltas[name] < size for name, size in whole.items() if name in deltas)
    assert sorted(body_sizes(both, whole)) == sorted(body for _, body in told_by_git(both.path).values())


def test_objects_of_a_pack_without_index_have_no_size(engine: Cronos) -> None:
    lost = engine.store.index.packs[0]
    names = {lost.name(position) for position in range(lost.count)}
    lost.path.with_suffix(".idx").unlink()
    store = Store.open(engine.store_path)
    assert not names & packed_sizes(store).keys()
    assert list(body_sizes(store, names)) == []


def test_a_body_whose_header_is_damaged_has_no_size(engine: Cronos) -> None:
    pack = engine.store.index.packs[0]
    pack.path.chmod(0o600)
    raw = bytearray(pack.path.read_bytes())
    name = pack.name(0)
    raw[pack.offset(0) : pack.offset(0) + 32] = b"\xff" * 32
    pack.path.write_bytes(raw)
    assert list(body_sizes(Store.open(engine.store_path), [name])) == []
