"""Packs cut short or gone: no backup disappears unseen, the next one is whole, and nothing is deleted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import BackupNotFoundError, DamageError
from cronos_git.events import Event, Noticed, Run
from cronos_git.git import maintenance
from cronos_git.model import PruneRequest, RestoreRequest, SnapshotRequest, VerifyRequest
from cronos_git.ops import oplog
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.git import git
from tests.support.trees import assert_same_tree, make_tree

Damager = Callable[[Path], None]


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """Backups a, b, c, a minute apart: a has brought the pack with nearly everything."""
    engine = make_engine(tmp_path, clock=FakeClock(LATER))
    make_tree(engine.project, {"same": "same", "d/big": "x" * 5000, "d/e/f": "deep"})
    for name in "abc":
        create(engine, name)
    return engine


def create(engine: Cronos, name: str) -> str:
    (engine.project / "which").write_text(name)
    engine.clock.advance(minutes=1)  # type: ignore[attr-defined]
    return engine.snapshot(SnapshotRequest(name=name)).backup.id


def again(engine: Cronos) -> Cronos:
    """As a new process would see it."""
    return Cronos(**{name: getattr(engine, name) for name in ("project", "store_path", "settings", "clock", "zone", "identity")})


def listening(engine: Cronos) -> tuple[Cronos, list[Noticed]]:
    told: list[Noticed] = []
    fresh = again(engine)
    fresh.notice = told.append
    return fresh, told


def names(engine: Cronos) -> str:
    return "".join(backup.name for backup in engine.backups())


def pack_of(engine: Cronos, name: str) -> Path:
    """The pack that holds the tag of a backup."""
    backup = next(backup for backup in engine.backups() if backup.name == name)
    location = again(engine).store.index.find(bytes.fromhex(backup.tag))
    assert location is not None
    return location.pack.path


def cut(pack: Path) -> None:
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[: pack.stat().st_size // 2])


def cut_the_end(pack: Path) -> None:
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:-1])


def lose(pack: Path) -> None:
    pack.unlink()
    pack.with_suffix(".idx").unlink()


def lose_the_index(pack: Path) -> None:
    pack.with_suffix(".idx").unlink()


EVERY_DAMAGE = [cut, cut_the_end, Path.unlink, lose, lose_the_index]


# --- what cannot be read is told ---


def test_unreadable_newest_backup_is_told_once_and_latest_refuses_to_guess(engine: Cronos) -> None:
    lost = engine.resolve("c").backup.id
    lose(pack_of(engine, "c"))
    fresh, told = listening(engine)
    assert names(fresh) == "ba"
    assert [damage.backups for damage in fresh.damaged()] == [(lost,)]
    fresh.stats()
    assert [(notice.level, notice.code) for notice in told] == [("warning", "store.damaged")]
    assert told[0].text.startswith("1 backup cannot be read")
    for identifier in ("latest", "latest~1", "latest:manual", "c", lost, lost.removeprefix("c_"), "@2041-01-01"):
        with pytest.raises(DamageError):
            fresh.resolve(identifier)
    assert fresh.resolve(fresh.backups()[0].id).backup.name == "b"
    assert fresh.resolve("a").backup.name == "a"
    with pytest.raises(BackupNotFoundError):
        fresh.resolve("never-made")


def test_unreadable_old_backup_leaves_latest_in_no_doubt(engine: Cronos) -> None:
    lose(pack_of(engine, "a"))
    fresh = again(engine)
    assert fresh.resolve("latest").backup.name == "c"
    assert fresh.resolve("latest~1").backup.name == "b"
    with pytest.raises(DamageError, match="cannot be told for sure"):
        fresh.resolve("latest~2")


def test_whole_store_tells_nothing(engine: Cronos) -> None:
    fresh, told = listening(engine)
    assert (fresh.damaged(), names(fresh), told) == ([], "cba", [])


def test_numbers_and_ids_of_unreadable_backups_are_not_given_again(engine: Cronos) -> None:
    engine.delete(["b"])
    taken = set(engine.store.tags().oids)
    for pack in engine.store.pack_dir.iterdir():
        pack.unlink()
    fresh, told = listening(engine)
    backup = fresh.snapshot(SnapshotRequest(name="c")).backup
    assert backup.sequence == 4
    assert backup.id not in taken
    assert [notice.text for notice in told] == ["2 backups cannot be read; run `cronos verify`."]


# --- the next backup is whole ---


@pytest.mark.parametrize("damage", EVERY_DAMAGE)
@pytest.mark.parametrize("skip_if_unchanged", [True, False])
def test_backup_after_damage_is_whole(engine: Cronos, tmp_path: Path, damage: Damager, skip_if_unchanged: bool) -> None:
    damage(pack_of(engine, "a"))
    earlier = set(engine.store.tags().oids)
    report = again(engine).snapshot(SnapshotRequest(name="next", skip_if_unchanged=skip_if_unchanged))
    assert not report.unchanged
    fresh = again(engine)
    fresh.apply_restore(fresh.plan_restore(RestoreRequest(backup=report.backup.id, target=str(tmp_path / "out"))), verify=True)
    assert_same_tree(engine.project, tmp_path / "out")
    for quick in (True, False):
        hit = {backup for found in fresh.verify(VerifyRequest(quick=quick)).damage for backup in found.backups}
        assert hit
        assert hit <= earlier
    assert fresh.snapshot(SnapshotRequest(name="after")).files_read == 0


def test_backup_after_every_pack_is_gone_is_sound_to_stock_git(engine: Cronos, tmp_path: Path) -> None:
    for pack in engine.store.pack_dir.iterdir():
        pack.unlink()
    again(engine).snapshot(SnapshotRequest(name="next"))
    git(
        "--git-dir", engine.store_path, "clone", "--quiet", "--no-local", "--single-branch", engine.store_path, tmp_path / "clone"
    )


def test_damaged_last_backup_is_noticed_and_counts_as_absent(engine: Cronos) -> None:
    tree = bytes.fromhex(git("--git-dir", engine.store_path, "rev-parse", "refs/heads/main:d").strip())
    location = engine.store.index.find(tree)
    assert location is not None
    pack = location.pack.path
    content = bytearray(pack.read_bytes())
    content[location.offset + 4] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(content)
    (engine.project / "d/new").write_text("new")
    events: list[Event] = []
    report = again(engine).snapshot(SnapshotRequest(name="next"), Run(events.append))
    assert (report.backup.added, report.backup.changed, report.backup.removed) == (report.backup.files, 0, 0)
    assert [event.code for event in events if isinstance(event, Noticed)] == ["store.damaged"]


def test_stat_cache_still_serves_after_packs_were_folded(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "MOST_PACKS", 2)
    before = set(again(engine).store.whole_packs)
    create(engine, "d")
    assert before - set(again(engine).store.whole_packs)
    report = again(engine).snapshot(SnapshotRequest(name="e"))
    assert report.files_read == 0
    engine.delete(["a"])


def test_damaged_packs_are_not_folded(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "MOST_PACKS", 2)
    cut(pack_of(engine, "a"))
    before = {path.name for path in engine.store.pack_dir.glob("*.pack")}
    events: list[Event] = []
    again(engine).snapshot(SnapshotRequest(name="next"), Run(events.append))
    assert before < {path.name for path in engine.store.pack_dir.glob("*.pack")}
    assert "store.unfolded" in [event.code for event in events if isinstance(event, Noticed)]


# --- nothing is deleted ---


def refs_of(engine: Cronos) -> dict[str, bytes]:
    loose = {str(path): path.read_bytes() for path in (engine.store_path / "refs").rglob("*") if path.is_file()}
    packed = engine.store_path / "packed-refs"
    return loose | ({"packed": packed.read_bytes()} if packed.exists() else {})


@pytest.mark.parametrize("damage", EVERY_DAMAGE)
@pytest.mark.parametrize("name", "abc")
def test_damage_stops_every_deletion(engine: Cronos, damage: Damager, name: str) -> None:
    damage(pack_of(engine, name))
    before = refs_of(engine)
    fresh = again(engine)
    plan = fresh.plan_prune(PruneRequest(limits={"retention_days": 0, "max_backups": 0, "keep_last": 1}))
    assert plan.dropped
    with pytest.raises(DamageError):
        fresh.apply_prune(plan)
    with pytest.raises(DamageError):
        again(engine).delete([plan.dropped[0].id])
    assert refs_of(engine) == before


def test_damaged_directory_in_a_pack_that_seems_whole_stops_a_deletion(engine: Cronos) -> None:
    engine.delete(["a"])
    tree = git("--git-dir", engine.store_path, "rev-parse", "refs/heads/main:d").strip()
    location = engine.store.index.find(bytes.fromhex(tree))
    assert location is not None
    content = bytearray(location.pack.path.read_bytes())
    content[location.offset + 4] ^= 1
    location.pack.path.chmod(0o600)
    location.pack.path.write_bytes(content)
    before = refs_of(engine)
    with pytest.raises(DamageError, match="Nothing is deleted from a damaged store"):
        again(engine).delete(["b"])
    assert refs_of(engine) == before


@pytest.mark.parametrize("damage", EVERY_DAMAGE)
def test_damage_stops_the_prune_after_a_backup_but_not_the_backup(engine: Cronos, damage: Damager) -> None:
    damage(pack_of(engine, "a"))
    before = engine.store.tags().oids
    pruning = make_engine(engine.project.parent, clock=FakeClock(engine.clock.now()), auto_prune=True, max_backups=1)
    events: list[Event] = []
    report = pruning.snapshot(SnapshotRequest(name="next"), Run(events.append))
    assert report.pruned == ()
    assert "prune.failed" in [event.code for event in events if isinstance(event, Noticed)]
    assert pruning.store.tags().oids == before | {report.backup.id: report.backup.tag}


def test_lost_tag_in_the_trash_stops_a_deletion(engine: Cronos) -> None:
    pack = pack_of(engine, "c")
    engine.delete(["c"])
    lose(pack)
    with pytest.raises(DamageError):
        again(engine).delete(["b"])


def test_store_that_git_has_repacked_can_be_pruned_after_the_next_backup(engine: Cronos) -> None:
    git("--git-dir", engine.store_path, "repack", "-adfq")
    with pytest.raises(DamageError, match="was there after the last backup") as caught:
        again(engine).delete(["a"])
    assert "the next backup makes this good" in caught.value.hint
    create(engine, "d")
    assert [backup.name for backup in again(engine).delete(["a"])] == ["a"]


def test_pack_that_lost_its_index_is_not_taken_for_a_leftover(engine: Cronos) -> None:
    pack = pack_of(engine, "a")
    pack.with_suffix(".idx").unlink()
    again(engine).snapshot(SnapshotRequest(name="next"))
    git("--git-dir", engine.store_path, "index-pack", pack)
    assert again(engine).verify().damage == ()


# --- the operation log ---


def test_times_in_the_operation_log_are_utc_with_z(engine: Cronos) -> None:
    assert all(re.fullmatch(r"[-\d]{10}T[:\d]{8}(\.\d+)?Z", str(record["time"])) for record in oplog.read(engine.store))
