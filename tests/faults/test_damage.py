"""Damage of every kind: objects dropped, bits flipped, packs cut, gone or refused by the disk. `verify` names all that is hit."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.events import Event, Noticed, Run
from cronos_git.git import packcheck
from cronos_git.git.pack import PackWriter
from cronos_git.git.packindex import ObjectIndex, Pack
from cronos_git.git.store import Store
from cronos_git.git.trees import EMPTY_TREE
from cronos_git.model import Backup, Damage, SnapshotRequest, VerifyReport, VerifyRequest
from cronos_git.ops import verify
from tests.support.engine import make_engine
from tests.support.git import git
from tests.support.trees import Link, make_tree

Hit = tuple[str, str]
"""Id of a backup and a path in it, as `model.Damage` spells it."""


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """Three backups that share most: text, an empty directory, an escaped name, a link, a file in chunks."""
    engine = make_engine(tmp_path, chunk_threshold=2000)
    noise = random.Random(1).randbytes(3000)
    make_tree(engine.project, {"a": "one", "big": noise, "dir/deep/f": "two", "dir/same": "one", "empty": {}, "l": Link("a")})
    make_tree(engine.project, {"dir/.gitmodules": "[submodule]\n\turl = -x\n"})
    engine.snapshot(SnapshotRequest(name="first"))
    (engine.project / "dir/deep/f").write_text("three")
    engine.snapshot(SnapshotRequest(name="second"))
    (engine.project / "big").write_bytes(noise[:-5] + b"12345")
    engine.snapshot(SnapshotRequest(name="third"))
    return engine


def tiny(root: Path) -> Cronos:
    """Two backups of next to nothing, in one pack."""
    engine = make_engine(root)
    make_tree(engine.project, {"a": "one", "d/b": "two"})
    engine.snapshot(SnapshotRequest(name="x"))
    (engine.project / "a").write_text("three")
    engine.snapshot(SnapshotRequest(name="y"))
    rewrite(engine, objects_of(engine))
    return engine


# --- the store, taken apart ---


def pack_dir(engine: Cronos) -> Path:
    return engine.store_path / "objects/pack"


def objects_of(engine: Cronos) -> dict[bytes, tuple[str, bytes]]:
    index = ObjectIndex(pack_dir(engine))
    names = [name for pack in index.packs for name in pack.names()]
    return {name: found for name in names if (found := index.read(name))}


def rewrite(engine: Cronos, objects: dict[bytes, tuple[str, bytes]]) -> Path:
    """Let the store hold these objects in one pack and nothing else."""
    for path in pack_dir(engine).iterdir():
        path.unlink()
    writer = PackWriter(pack_dir(engine), lambda _oid: False)
    for kind, body in objects.values():
        writer.add(kind, body)
    result = writer.finish()
    writer.release()
    assert result is not None
    return result.path


def hits_by_git(engine: Cronos) -> dict[str, set[Hit]]:
    """For each object all backups and paths that need it, as stock git tells."""
    found: dict[str, set[Hit]] = {}
    refs = git("--git-dir", engine.store_path, "for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/tags")
    for backup, tag in (line.split() for line in refs.splitlines()):
        tops = git("--git-dir", engine.store_path, "rev-parse", f"{tag}^{{commit}}", f"{tag}^{{tree}}").split()
        for oid in (tag, *tops):
            found.setdefault(oid, set()).add((backup, ""))
        for entry in git("--git-dir", engine.store_path, "ls-tree", "-r", "-t", "-z", tag).split("\0")[:-1]:
            fields, _, path = entry.partition("\t")
            found.setdefault(fields.split()[2], set()).add((backup, as_told(path)))
    found.pop(EMPTY_TREE.hex(), None)
    return found


def as_told(path: str) -> str:
    """A path of a snapshot's tree as damage names it: the part, then names as on disk; chunks stand at their file."""
    part, *names = path.split("/")
    if len(names) > 1 and names[-2].startswith(".cronos%c%"):
        names.pop()
    return part + ":" + "/".join(name.removeprefix(".cronos%c%").removeprefix(".cronos%e%") for name in names)


def hits(report: VerifyReport) -> set[Hit]:
    return {(backup, damage.path) for damage in report.damage for backup in damage.backups}


def backups_of(engine: Cronos) -> list[Backup]:
    return sorted(engine_again(engine).backups(), key=lambda backup: backup.sequence)


def check(engine: Cronos, backups: list[Backup], *, quick: bool = False, run: Run | None = None) -> VerifyReport:
    """Verify with a fresh view of the store and tags that were read before it was damaged."""
    return verify.verify(Store.open(engine.store_path), backups, (), VerifyRequest(quick=quick), run or Run())


# --- objects dropped ---


@pytest.mark.parametrize("quick", [True, False])
def test_each_object_dropped_in_turn_is_named_with_all_backups_and_paths_that_need_it(engine: Cronos, quick: bool) -> None:
    expected, objects = hits_by_git(engine), objects_of(engine)
    assert len(expected) > 30
    for name in objects:
        rewrite(engine, {other: found for other, found in objects.items() if other != name})
        report = engine_again(engine).verify(VerifyRequest(quick=quick))
        assert hits(report) == expected.get(name.hex(), set()), (name.hex(), objects[name])
        assert {(damage.oid, damage.code) for damage in report.damage} <= {(name.hex(), "missing")}


def engine_again(engine: Cronos) -> Cronos:
    """As a new process would see it."""
    return Cronos(**{name: getattr(engine, name) for name in ("project", "store_path", "settings", "clock", "zone", "identity")})


def test_dropped_tree_says_that_what_lies_below_is_hidden(engine: Cronos) -> None:
    objects, expected = objects_of(engine), hits_by_git(engine)
    tree = next(name for name in objects if ("data:dir/deep" in {path for _, path in expected.get(name.hex(), ())}))
    del objects[tree]
    rewrite(engine, objects)
    (damage,) = check(engine, backups_of(engine)).damage
    assert damage.path == "data:dir/deep"
    assert damage.text.endswith("What lies below it cannot be checked.")


def test_several_dropped_objects_are_each_named(engine: Cronos) -> None:
    objects, expected = objects_of(engine), hits_by_git(engine)
    blobs = [name for name, (kind, _) in objects.items() if kind == "blob"]
    rewrite(engine, {name: found for name, found in objects.items() if name not in blobs})
    report = check(engine, backups_of(engine))
    assert {damage.oid for damage in report.damage} == {blob.hex() for blob in blobs}
    assert hits(report) == set().union(*(expected[blob.hex()] for blob in blobs))


# --- bits flipped ---


def flip(path: Path, position: int, bit: int) -> None:
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def owners_of_bytes(pack: Path) -> list[bytes | None]:
    """For each byte of a pack the object it belongs to; None for header and checksum."""
    index = Pack(pack.with_suffix(".idx"))
    owners: list[bytes | None] = [None] * pack.stat().st_size
    starts = sorted((index.offset(position), index.name(position)) for position in range(index.count))
    for (start, name), end in zip(starts, [*(start for start, _ in starts[1:]), len(owners) - 20], strict=True):
        owners[start:end] = [name] * (end - start)
    return owners


def test_each_flipped_byte_of_a_pack_is_told_with_all_that_it_hits(tmp_path: Path) -> None:
    engine = tiny(tmp_path)
    backups, expected = backups_of(engine), hits_by_git(engine)
    (pack,) = pack_dir(engine).glob("*.pack")
    for position, owner in enumerate(owners_of_bytes(pack)):
        flip(pack, position, position % 8)
        notices: list[Event] = []
        report = check(engine, backups, run=Run(notices.append))
        if owner is None:
            assert [(d.backups, d.path, d.code) for d in report.damage] == [(tuple(b.id for b in backups), "", "corrupt")]
        elif owner.hex() in expected:
            assert hits(report) == expected[owner.hex()], position
            assert {(d.oid, d.code) for d in report.damage} == {(owner.hex(), "corrupt")}
        else:
            assert report.damage == ()
            assert [event.code for event in notices if isinstance(event, Noticed)] == ["verify.unneeded"]
        flip(pack, position, position % 8)
    assert check(engine, backups).damage == ()


def test_each_flipped_byte_of_an_index_is_told(tmp_path: Path) -> None:
    engine = tiny(tmp_path)
    backups = backups_of(engine)
    (index,) = pack_dir(engine).glob("*.idx")
    fanout_sample = set(range(8)) | set(range(8, 1032, 37)) | set(range(1032, index.stat().st_size))
    for position in sorted(fanout_sample):
        flip(index, position, position % 8)
        for quick in (True, False):
            damage = check(engine, backups, quick=quick).damage
            assert any(index.name in d.text and d.backups == tuple(b.id for b in backups) for d in damage), position
        flip(index, position, position % 8)


def test_bits_flipped_anywhere_never_end_in_an_error(engine: Cronos) -> None:
    backups, chance = backups_of(engine), random.Random(7)
    paths = sorted(path for path in pack_dir(engine).iterdir() if path.suffix in (".pack", ".idx"))
    for _ in range(60):
        flips = [(path := chance.choice(paths), chance.randrange(path.stat().st_size), chance.randrange(8)) for _ in range(3)]
        for spot in flips:
            flip(*spot)
        events: list[Event] = []
        report = check(engine, backups, run=Run(events.append))
        assert report.damage or any(isinstance(event, Noticed) for event in events)
        for spot in flips:
            flip(*spot)


def test_flipped_bit_in_a_file_is_found_by_a_full_check_and_not_by_a_quick_one(engine: Cronos) -> None:
    blob = next(oid for oid, found in hits_by_git(engine).items() if ("data:dir/deep/f" in {path for _, path in found}))
    pack, position = next(
        (pack, owners.index(bytes.fromhex(blob)))
        for pack in pack_dir(engine).glob("*.pack")
        if bytes.fromhex(blob) in (owners := owners_of_bytes(pack))
    )
    flip(pack, position + 4, 0)
    assert check(engine, backups_of(engine), quick=True).damage == ()
    (damage,) = check(engine, backups_of(engine)).damage
    assert (damage.path, damage.oid, damage.code) == ("data:dir/deep/f", blob, "corrupt")
