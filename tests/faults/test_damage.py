"""Damage of every kind: objects dropped, bits flipped, packs cut, gone or refused by the disk. `verify` names all that is hit."""

from __future__ import annotations

import errno
import os
import random
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cronos_git.engine import Cronos
from cronos_git.events import Event, Noticed, Run
from cronos_git.git.pack import PackWriter
from cronos_git.git.packindex import ObjectIndex, Pack
from cronos_git.git.store import Store
from cronos_git.git.trees import EMPTY_TREE
from cronos_git.model import Backup, SnapshotRequest, VerifyReport, VerifyRequest
from cronos_git.ops import verify
from tests.support import repairing
from tests.support.engine import make_engine
from tests.support.git import git
from tests.support.repairing import by_age
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
    return repairing.objects_of(engine.store_path)


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


class Need(NamedTuple):
    """An object at one place of one backup, and the objects above it, without which nobody gets there."""

    hit: Hit
    oid: str
    above: frozenset[str]


def needs_by_git(engine: Cronos) -> list[Need]:
    """All that the backups need, as stock git tells."""
    refs = git("--git-dir", engine.store_path, "for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/tags")
    return [need for line in refs.splitlines() for need in _needs_of(engine, *line.split())]


def _needs_of(engine: Cronos, backup: str, tag: str) -> Iterator[Need]:
    commit, root = git("--git-dir", engine.store_path, "rev-parse", f"{tag}^{{commit}}", f"{tag}^{{tree}}").split()
    yield Need((backup, ""), tag, frozenset())
    yield Need((backup, ""), commit, frozenset())
    yield Need((backup, ""), root, frozenset({commit}))
    above = {"": frozenset({commit, root})}
    for entry in git("--git-dir", engine.store_path, "ls-tree", "-r", "-t", "-z", tag).split("\0")[:-1]:
        fields, _, path = entry.partition("\t")
        oid, parent = fields.split()[2], path.rpartition("/")[0]
        above[path] = above[parent] | {oid}
        if oid != EMPTY_TREE.hex():
            yield Need((backup, as_told(path)), oid, above[parent])


def hits_of(needs: list[Need], broken: Collection[str]) -> set[Hit]:
    """The backups and paths to be named when these objects are broken."""
    return {need.hit for need in needs if need.oid in broken and need.above.isdisjoint(broken)}


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
    needs, objects = needs_by_git(engine), objects_of(engine)
    assert len({need.oid for need in needs}) > 30
    for name in objects:
        rewrite(engine, {other: found for other, found in objects.items() if other != name})
        report = engine_again(engine).verify(VerifyRequest(quick=quick))
        assert hits(report) == hits_of(needs, {name.hex()}), (name.hex(), objects[name])
        assert {(damage.oid, damage.code) for damage in report.damage} <= {(name.hex(), "missing")}


def engine_again(engine: Cronos) -> Cronos:
    """As a new process would see it."""
    return Cronos(**{name: getattr(engine, name) for name in ("project", "store_path", "settings", "clock", "zone", "identity")})


def test_dropped_tree_says_that_what_lies_below_is_hidden(engine: Cronos) -> None:
    objects = objects_of(engine)
    tree = next(need.oid for need in needs_by_git(engine) if need.hit[1] == "data:dir/deep")
    del objects[bytes.fromhex(tree)]
    rewrite(engine, objects)
    (damage,) = check(engine, backups_of(engine)).damage
    assert (damage.path, damage.code) == ("data:dir/deep", "missing")
    assert damage.text.endswith("What lies below it cannot be checked.")


@pytest.mark.parametrize("seed", range(8))
def test_several_dropped_objects_are_named_as_far_as_one_gets(engine: Cronos, seed: int) -> None:
    needs, objects, backups = needs_by_git(engine), objects_of(engine), backups_of(engine)
    lost = random.Random(seed).sample(list(objects), k=12)
    rewrite(engine, {name: found for name, found in objects.items() if name not in lost})
    assert hits(check(engine, backups)) == hits_of(needs, {name.hex() for name in lost})


# --- bits flipped ---


def flip(path: Path, position: int, bit: int) -> None:
    """In place and without cutting the file even for a moment, as it may be mapped into memory."""
    path.chmod(0o600)
    with path.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 1 << bit]))


def owners_of_bytes(pack: Path) -> list[bytes | None]:
    """For each byte of a pack the object it belongs to; None for header and checksum."""
    index = Pack(pack.with_suffix(".idx"))
    owners: list[bytes | None] = [None] * pack.stat().st_size
    starts = sorted((index.offset(position), index.name(position)) for position in range(index.count))
    for (start, name), end in zip(starts, [*(start for start, _ in starts[1:]), len(owners) - 20], strict=True):
        owners[start:end] = [name] * (end - start)
    return owners


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.long)])
def test_each_flipped_byte_of_a_pack_is_told_with_all_that_it_hits(tmp_path: Path, stride: int) -> None:
    engine = tiny(tmp_path)
    backups, needs = backups_of(engine), needs_by_git(engine)
    needed = {need.oid for need in needs}
    (pack,) = pack_dir(engine).glob("*.pack")
    owners = owners_of_bytes(pack)
    assert {name.hex() for name in owners if name} > needed
    for position in [*range(12), *range(12, len(owners) - 20, stride), *range(len(owners) - 20, len(owners))]:
        owner = owners[position]
        flip(pack, position, position % 8)
        notices: list[Event] = []
        report = check(engine, backups, run=Run(notices.append))
        if owner is None:
            assert [(d.backups, d.path, d.code) for d in report.damage] == [(tuple(b.id for b in backups), "", "corrupt")]
        elif owner.hex() in needed:
            assert hits(report) == hits_of(needs, {owner.hex()}), position
            assert {(d.oid, d.code) for d in report.damage} == {(owner.hex(), "corrupt")}
        else:
            assert report.damage == ()
            assert [event.code for event in notices if isinstance(event, Noticed)] == ["verify.unneeded"]
        flip(pack, position, position % 8)
    assert check(engine, backups).damage == ()


@pytest.mark.parametrize("stride", [31, pytest.param(1, marks=pytest.mark.long)])
def test_each_flipped_byte_of_an_index_is_told(tmp_path: Path, stride: int) -> None:
    engine = tiny(tmp_path)
    backups = backups_of(engine)
    (index,) = pack_dir(engine).glob("*.idx")
    for position in range(0, index.stat().st_size, stride):
        flip(index, position, position % 8)
        for quick in (True, False):
            damage = check(engine, backups, quick=quick).damage
            assert any(index.name in d.text and d.backups == tuple(b.id for b in backups) for d in damage), position
        flip(index, position, position % 8)


def test_bits_flipped_anywhere_never_end_in_an_error(engine: Cronos) -> None:
    backups, chance = backups_of(engine), random.Random(7)
    paths = by_age(path for path in pack_dir(engine).iterdir() if path.suffix in (".pack", ".idx"))
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
    blob = next(need.oid for need in needs_by_git(engine) if need.hit[1] == "data:dir/deep/f")
    pack, position = next(
        (pack, owners.index(bytes.fromhex(blob)))
        for pack in pack_dir(engine).glob("*.pack")
        if bytes.fromhex(blob) in (owners := owners_of_bytes(pack))
    )
    flip(pack, position + 4, 0)
    assert check(engine, backups_of(engine), quick=True).damage == ()
    (damage,) = check(engine, backups_of(engine)).damage
    assert (damage.path, damage.oid, damage.code) == ("data:dir/deep/f", blob, "corrupt")


# --- packs and indexes cut, gone, or refused by the disk ---


def test_truncated_pack_is_told_with_all_that_it_hits(tmp_path: Path) -> None:
    engine = tiny(tmp_path)
    backups, needs = backups_of(engine), needs_by_git(engine)
    (pack,) = pack_dir(engine).glob("*.pack")
    pack.chmod(0o600)
    content, owners = pack.read_bytes(), owners_of_bytes(pack)
    for length in (len(content) - 1, len(content) - 20, len(content) // 2, 13, 12, 5, 0):
        pack.write_bytes(content[:length])
        report = check(engine, backups)
        told = {damage.oid for damage in report.damage if damage.oid}
        assert hits_of(needs, {owner.hex() for owner in owners[length:] if owner}) <= hits(report)
        assert hits(report) - {(backup.id, "") for backup in backups} <= hits_of(needs, told)
        assert [damage.backups for damage in report.damage if not damage.oid] == [tuple(backup.id for backup in backups)]


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("suffix", [".pack", ".idx"])
def test_missing_pack_or_index_is_told_and_what_needs_it_is_named(engine: Cronos, suffix: str, quick: bool) -> None:
    backups, needs = backups_of(engine), needs_by_git(engine)
    pack = next(pack for pack in ObjectIndex(pack_dir(engine)).packs if pack.find(bytes.fromhex(backups[1].commit)))
    lost = {name.hex() for name in map(pack.name, range(pack.count))}
    pack.path.with_suffix(suffix).unlink()
    report = check(engine, backups, quick=quick)
    (about_pack,) = [damage for damage in report.damage if not damage.oid]
    assert pack.path.stem in about_pack.text
    assert about_pack.backups == (backups[1].id, backups[2].id)  # the third shares what the second brought
    objects = [damage for damage in report.damage if damage.oid]
    assert {(backup, damage.path) for damage in objects for backup in damage.backups} == hits_of(needs, lost)
    assert {damage.code for damage in objects} == {"missing"}


def test_pack_without_index_that_nothing_needs_is_only_noticed(engine: Cronos) -> None:
    (pack_dir(engine) / f"pack-{'0' * 40}.pack").write_bytes(b"left by a killed writer")
    events: list[Event] = []
    assert check(engine, backups_of(engine), run=Run(events.append)).damage == ()
    assert ["has no index" in event.text for event in events if isinstance(event, Noticed)] == [True]


def test_empty_index_is_told_by_the_engine_too(engine: Cronos) -> None:
    names = {backup.id for backup in engine.backups()}
    for index in pack_dir(engine).glob("*.idx"):
        index.chmod(0o600)
        index.write_bytes(b"")
    for quick in (True, False):
        report = engine_again(engine).verify(VerifyRequest(quick=quick))
        assert {backup for damage in report.damage for backup in damage.backups} == names
        assert [set(damage.backups) for damage in report.damage if "`cronos repair`" in damage.text] == [names] * 3


def test_damaged_index_over_several_packs_is_only_noticed(engine: Cronos) -> None:
    git("--git-dir", engine.store_path, "multi-pack-index", "write")
    assert check(engine, backups_of(engine)).damage == ()
    flip(pack_dir(engine) / "multi-pack-index", 100, 3)
    events: list[Event] = []
    assert check(engine, backups_of(engine), run=Run(events.append)).damage == ()
    assert ["multi-pack-index" in event.text for event in events if isinstance(event, Noticed)] == [True]


def test_object_that_the_disk_refuses_is_damage_of_its_paths_alone(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    backups, needs = backups_of(engine), needs_by_git(engine)
    bad = next(need.oid for need in needs if need.hit[1] == "data:dir/deep/f")
    pack = next(pack for pack in ObjectIndex(pack_dir(engine)).packs if pack.find(bytes.fromhex(bad)))
    offset, real = pack.find(bytes.fromhex(bad)), os.pread

    def refuse(fd: int, size: int, start: int) -> bytes:
        if start == offset and os.path.samestat(os.fstat(fd), pack.path.stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, size, start)

    monkeypatch.setattr(os, "pread", refuse)
    report = check(engine, backups)
    assert hits(report) == hits_of(needs, {bad})
    assert all("Input/output error" in damage.text for damage in report.damage)


# --- stores that stock git has packed anew ---


def test_deltas_are_read_whole_and_their_flips_told(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    lines = [f"line {number} {random.Random(number).random()}\n" for number in range(400)]
    for version in range(3):
        make_tree(engine.project, {"f": "".join(lines[version:])})
        engine.snapshot(SnapshotRequest(name=f"v{version}"))
    git("--git-dir", engine.store_path, "repack", "-adfq")
    (pack,) = pack_dir(engine).glob("*.pack")
    assert "chain length = 1" in git("--git-dir", engine.store_path, "verify-pack", "-v", pack.with_suffix(".idx"))
    backups, needs, owners = backups_of(engine), needs_by_git(engine), owners_of_bytes(pack)
    assert check(engine, backups).damage == ()
    for position in range(12, len(owners) - 20, 61):
        flip(pack, position, 2)
        report = check(engine, backups)
        broken = {damage.oid for damage in report.damage} | {(owners[position] or b"").hex()}
        assert hits(report) == hits_of(needs, broken)
        flip(pack, position, 2)


def test_damaged_loose_object_is_told(engine: Cronos) -> None:
    backups, needs, objects = backups_of(engine), needs_by_git(engine), objects_of(engine)
    for path in pack_dir(engine).iterdir():
        path.unlink()
    loose = {name.hex(): engine.store_path / "objects" / name.hex()[:2] / name.hex()[2:] for name in objects}
    for name, (kind, body) in objects.items():
        loose[name.hex()].parent.mkdir(exist_ok=True)
        loose[name.hex()].write_bytes(zlib.compress(b"%b %d\0%b" % (kind.encode(), len(body), body)))
    assert check(engine, backups).damage == ()
    for oid in sorted({need.oid for need in needs})[::4]:
        content = loose[oid].read_bytes()
        for damaged in (b"", content[:-3], content[::-1]):
            loose[oid].write_bytes(damaged)
            assert hits(check(engine, backups)) == hits_of(needs, {oid})
        loose[oid].write_bytes(content)


# --- tags ---


def ref_of(engine: Cronos, backup: Backup) -> Path:
    return engine.store_path / "refs/tags/backup" / backup.id


@pytest.mark.parametrize("content", ["", "0123456789\n", "no object id at all\n", "ref: refs/heads/main\n"])
def test_damaged_tag_ref_is_told_with_its_backup(engine: Cronos, content: str) -> None:
    backups = backups_of(engine)
    ref_of(engine, backups[1]).write_text(content)
    report = engine_again(engine).verify(VerifyRequest())
    assert [(damage.backups, damage.path, damage.code) for damage in report.damage] == [((backups[1].id,), "", "record")]
    assert backups[1].id in report.damage[0].text
    assert report.backups == 2


def test_tag_ref_to_nowhere_is_told_with_its_backup(engine: Cronos) -> None:
    backups = backups_of(engine)
    ref_of(engine, backups[0]).write_text("1" * 40 + "\n")
    (damage,) = engine_again(engine).verify(VerifyRequest(quick=True)).damage
    assert (damage.backups, damage.path, damage.oid, damage.code) == ((backups[0].id,), "", "1" * 40, "missing")


def test_tag_ref_to_what_is_no_tag_is_told_with_its_backup(engine: Cronos) -> None:
    backups = backups_of(engine)
    ref_of(engine, backups[0]).write_text(backups[0].commit + "\n")
    (damage,) = engine_again(engine).verify(VerifyRequest()).damage
    assert (damage.backups, damage.path, damage.code) == ((backups[0].id,), "", "record")
