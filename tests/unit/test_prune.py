from __future__ import annotations

import os
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import BackupNotFoundError, DamageError, RefusedError, StoreLockedError
from cronos_git.events import Event, Noticed, Run
from cronos_git.git.pack import PackWriter
from cronos_git.git.store import Store
from cronos_git.model import Backup, PruneRequest, RestoreRequest, SnapshotReport, SnapshotRequest, VerifyRequest
from cronos_git.ops import catalog, oplog, prune
from cronos_git.rules.record import format_tag
from cronos_git.rules.retention import Policy
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.git import assert_store_sound, git
from tests.support.stores import IDENTITY, make_backup, make_store, put_backups
from tests.support.trees import assert_same_tree, make_tree


def create(engine: Cronos, name: str, **fields: object) -> Backup:
    """A backup whose one changing file says its name."""
    make_tree(engine.project, {"same": b"same", "docs/guide": b"text"})
    (engine.project / "which").write_text(name)
    return engine.snapshot(SnapshotRequest(name=name, **fields)).backup  # type: ignore[arg-type]


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """An engine with the backups a, b, c, d."""
    engine = make_engine(tmp_path)
    for name in "abcd":
        create(engine, name)
    return engine


def names(backups: list[Backup]) -> str:
    return "".join(backup.name for backup in backups)


def timeline(engine: Cronos, ref: str = "main") -> str:
    """Names of the backups in a timeline, newest first."""
    return "".join(git("--git-dir", engine.store_path, "log", "--format=%s", ref).split())


def refs_of(store: Path) -> str:
    return git("--git-dir", store, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname)")


def keep_last(engine: Cronos, count: int) -> list[str]:
    limits = {"retention_days": 0, "max_backups": 0, "keep_last": count}
    report = engine.apply_prune(engine.plan_prune(PruneRequest(limits=limits)))
    return [name.partition("_")[0] for name in report.pruned]


# --- prune ----------------------------------------------------------------------------------------------------------


def test_prune_moves_what_goes_to_the_trash_and_leaves_a_sound_store(engine: Cronos, tmp_path: Path) -> None:
    assert keep_last(engine, 2) == ["b", "a"]
    assert names(engine.backups()) == "dc"
    assert names(engine.trash()) == "ba"
    assert timeline(engine) == "dc"
    assert engine.verify().damage == ()
    assert_store_sound(engine.store_path, tmp_path)


def test_a_plan_writes_nothing(engine: Cronos) -> None:
    before = refs_of(engine.store_path)
    assert names(list(engine.plan_prune(PruneRequest(limits={"max_backups": 1})).dropped)) == "cba"
    assert refs_of(engine.store_path) == before


def test_pruning_what_nothing_drops_changes_nothing(engine: Cronos) -> None:
    before = refs_of(engine.store_path)
    packs = sorted((engine.store_path / "objects/pack").iterdir())
    assert keep_last(engine, 4) == []
    assert (refs_of(engine.store_path), sorted((engine.store_path / "objects/pack").iterdir())) == (before, packs)
    assert [record["verb"] for record in oplog.read(engine.store)] == ["create"] * 4


def test_backups_made_after_the_plan_stay_in_the_timeline(engine: Cronos) -> None:
    plan = engine.plan_prune(PruneRequest(limits={"max_backups": 1}))
    create(engine, "e")
    engine.apply_prune(plan)
    assert (names(engine.backups()), timeline(engine)) == ("ed", "ed")


def test_a_plan_is_refused_when_what_it_rests_on_has_gone(engine: Cronos) -> None:
    plan = engine.plan_prune(PruneRequest(limits={"max_backups": 1}))
    engine.delete(["d"])
    with pytest.raises(RefusedError, match="since the prune was planned"):
        engine.apply_prune(plan)
    assert names(engine.backups()) == "cba"


def test_every_scope_has_its_timeline_made_anew(engine: Cronos) -> None:
    for name in "xyz":
        create(engine, name, modules=("docs",))
    engine.apply_prune(engine.plan_prune(PruneRequest(limits={"max_backups": 2})))
    assert (timeline(engine), timeline(engine, "module/docs")) == ("dc", "zy")


def test_a_thousand_backups_with_packed_refs(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.git")
    backups = put_backups(store, [make_backup(number) for number in range(1, 1001)])
    git("--git-dir", store.path, "pack-refs", "--all")
    backups += put_backups(store, [make_backup(number) for number in range(1001, 1011)])
    plan = prune.plan(catalog.load(store), Policy(max_backups=5), LATER, UTC)
    with store.lock():
        prune.apply(store, plan)
    assert [backup.id for backup in catalog.load(store)] == [backup.id for backup in backups[-5:]]
    assert catalog.read_trash(store).backups == backups[:-5]
    expected = [f"refs/cronos/trash/{b.id} {b.tag} {b.commit}" for b in backups[:-5]]
    expected += [f"refs/tags/backup/{b.id} {b.tag} {b.commit}" for b in backups[-5:]]
    assert sorted(line for line in refs_of(store.path).splitlines() if "refs/heads" not in line) == sorted(expected)
    assert git("--git-dir", store.path, "rev-list", "--count", "main").strip() == "5"
    assert_store_sound(store.path, tmp_path)


def test_a_tag_that_is_both_loose_and_packed_goes_whole(engine: Cronos) -> None:
    backup = engine.backups()[-1]
    git("--git-dir", engine.store_path, "pack-refs", "--all", "--no-prune")
    assert (engine.store_path / "refs/tags/backup" / backup.id).exists()
    engine.delete(["a"])
    assert f"refs/tags/backup/{backup.id}" not in refs_of(engine.store_path)


# --- delete and undelete --------------------------------------------------------------------------------------------


def test_undelete_is_the_inverse_of_delete(engine: Cronos, tmp_path: Path) -> None:
    before = refs_of(engine.store_path)
    assert names(engine.delete(["b", "d", "b"])) == "bd"
    assert (names(engine.backups()), timeline(engine)) == ("ca", "ca")
    assert names(engine.undelete(["d", "b"])) == "db"
    assert refs_of(engine.store_path) == before
    assert [record["verb"] for record in oplog.read(engine.store)][4:] == ["delete", "undelete"]
    assert_store_sound(engine.store_path, tmp_path)


def test_a_scope_without_backups_has_no_timeline(engine: Cronos) -> None:
    create(engine, "m", modules=("docs",))
    engine.delete(["m"])
    assert "refs/heads/module" not in refs_of(engine.store_path)
    engine.delete(list("abcd"))
    assert "refs/heads" not in refs_of(engine.store_path)
    assert names(engine.backups()) == ""
    engine.undelete(["a", "m"])
    assert (timeline(engine), timeline(engine, "module/docs")) == ("a", "m")


def test_a_name_that_means_nothing_stops_the_whole_deletion(engine: Cronos) -> None:
    with pytest.raises(BackupNotFoundError):
        engine.delete(["a", "nothing"])
    with pytest.raises(BackupNotFoundError):
        engine.undelete(["a"])
    assert names(engine.backups()) == "dcba"


def test_pinned_backups_are_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.git")
    backups = put_backups(store, [make_backup(1), make_backup(2, pinned=True)])
    with pytest.raises(RefusedError, match="is pinned"), store.lock():
        prune.delete(store, backups)
    assert catalog.load(store) == backups


def test_ids_and_sequence_numbers_in_the_trash_stay_taken(engine: Cronos) -> None:
    gone = engine.delete(["d"])[0]
    again = create(engine, "d")
    assert (again.id, again.sequence) == (gone.id + "_2", gone.sequence + 1)
    engine.undelete([gone.id])
    assert [backup.sequence for backup in engine.backups()] == [5, 4, 3, 2, 1]


# --- what was saved stays saved -------------------------------------------------------------------------------------


def check_next_backup(engine: Cronos, target: Path) -> SnapshotReport:
    (engine.project / "fresh").write_text("fresh")
    report = engine.snapshot(SnapshotRequest(name="next"))
    assert engine.verify(VerifyRequest()).damage == ()
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup=report.backup.id, target=str(target))), verify=True)
    assert_same_tree(engine.project, target)
    return report


def test_the_stat_cache_still_serves_after_a_prune(engine: Cronos, tmp_path: Path) -> None:
    keep_last(engine, 1)
    assert check_next_backup(engine, tmp_path / "out").files_read == 1


def test_a_backup_is_whole_when_those_that_the_stat_cache_rests_on_are_gone(engine: Cronos, tmp_path: Path) -> None:
    create(engine, "m", modules=("docs",))
    engine.delete(["m", "d", "c"])
    check_next_backup(engine, tmp_path / "out")


def test_everything_in_the_trash_comes_back_whole(engine: Cronos, tmp_path: Path) -> None:
    keep_last(engine, 1)
    engine.undelete(["a"])
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup="a", target=str(tmp_path / "out"))), verify=True)
    assert (tmp_path / "out/which").read_text() == "a"


# --- after each backup ----------------------------------------------------------------------------------------------


def test_a_backup_prunes_by_the_settings(tmp_path: Path) -> None:
    clock = FakeClock(LATER)
    engine = make_engine(tmp_path, clock=clock, auto_prune=True, retention_days=30, max_backups=2)
    assert create(engine, "a").name == "a"
    create(engine, "b")
    report = engine.snapshot(SnapshotRequest(name="c"))
    assert [name.partition("_")[0] for name in report.pruned] == ["a"]
    clock.advance(days=31)
    assert len(engine.snapshot(SnapshotRequest(name="d")).pruned) == 2
    assert (names(engine.backups()), names(engine.trash()), timeline(engine)) == ("d", "cba", "d")


def test_a_prune_that_fails_is_a_notice_and_the_backup_is_made(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, auto_prune=True, max_backups=1)
    create(engine, "a")
    (engine.store_path / "packed-refs.lock").touch()
    events: list[Event] = []
    report = engine.snapshot(SnapshotRequest(name="b"), Run(emit=events.append))
    assert report.pruned == ()
    assert [event.code for event in events if isinstance(event, Noticed)] == ["prune.failed"]
    assert names(engine.backups()) == "ba"


# --- what stops a deletion ------------------------------------------------------------------------------------------


def test_a_tag_that_is_missing_stops_every_deletion(engine: Cronos) -> None:
    (engine.store_path / "refs/tags/backup/lost").write_text("1" * 40 + "\n")
    before = (engine.store_path / "refs/heads/main").read_text()
    with pytest.raises(DamageError, match="Nothing is deleted from a damaged store"):
        engine.delete(["a"])
    assert names(engine.backups()) == "dcba"
    assert engine.trash() == []
    assert (engine.store_path / "refs/heads/main").read_text() == before


def test_a_torn_ref_stops_every_deletion(engine: Cronos) -> None:
    (engine.store_path / "refs/tags/backup" / engine.backups()[1].id).write_text("")
    with pytest.raises(DamageError, match="is empty"):
        engine.delete(["a"])
    assert names(engine.backups()) == "dba"


def test_a_missing_snapshot_stops_deletions_in_its_scope(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.git")
    sound = put_backups(store, [make_backup(1), make_backup(2), make_backup(3, scope="docs")])
    broken = put_tag(store, make_backup(4, commit="2" * 40))
    for chosen in (sound[0], broken):
        with pytest.raises(DamageError, match=rf"{broken.id} is damaged"), store.lock():
            prune.delete(store, [chosen])
    assert catalog.load(store) == [*sound, broken]
    with store.lock():
        prune.delete(store, [sound[2]])
    assert catalog.load(store) == [*sound[:2], broken]


def put_tag(store: Store, backup: Backup) -> Backup:
    """A backup with a tag and nothing else."""
    with store.lock():
        writer = PackWriter(store.pack_dir, lambda _oid: False)
        writer.add("tag", format_tag(backup, IDENTITY))
        writer.finish()
        store.create_tag_ref(backup.id, writer.add("tag", format_tag(backup, IDENTITY)).hex())
        writer.release()
    store.refresh()
    return catalog.load(store)[-1]


def test_packed_refs_with_a_line_that_is_none_are_not_rewritten(engine: Cronos) -> None:
    engine.delete(["a"])
    packed = engine.store_path / "packed-refs"
    packed.chmod(0o600)
    packed.write_bytes(packed.read_bytes() + b"garbage\n")
    with pytest.raises(DamageError):
        engine.undelete(["a"])
    assert packed.read_bytes().endswith(b"garbage\n")
    assert not (engine.store_path / "packed-refs.lock").exists()


# --- beside stock git and after killed runs ---------------------------------------------------------------------------


def test_the_lock_of_a_stock_git_is_respected(engine: Cronos) -> None:
    lock = engine.store_path / "packed-refs.lock"
    lock.touch()
    before = refs_of(engine.store_path)
    with pytest.raises(StoreLockedError):
        engine.delete(["a"])
    assert lock.exists()
    assert refs_of(engine.store_path) == before


def test_the_lock_of_a_killed_run_is_removed(engine: Cronos) -> None:
    lock = engine.store_path / "packed-refs.lock"
    os.close(os.open(lock, os.O_CREAT | os.O_WRONLY, 0o400))
    engine.delete(["a"])
    assert names(engine.backups()) == "dcb"
    assert not lock.exists()


def test_stock_git_can_pack_refs_before_and_after(engine: Cronos) -> None:
    engine.delete(["a"])
    git("--git-dir", engine.store_path, "pack-refs", "--all")
    engine.delete(["c"])
    git("--git-dir", engine.store_path, "pack-refs", "--all")
    engine.undelete(["a"])
    assert (names(engine.backups()), names(engine.trash()), timeline(engine)) == ("dba", "c", "dba")


def test_a_backup_with_both_refs_exists_and_the_next_run_mends_it(engine: Cronos) -> None:
    kept = engine.delete(["b"])[0]
    git("--git-dir", engine.store_path, "update-ref", f"refs/tags/backup/{kept.id}", kept.tag)
    assert (names(engine.backups()), engine.trash(), timeline(engine)) == ("dcba", [], "dca")
    keep_last(engine, 9)
    assert timeline(engine) == "dcba"
    assert "refs/cronos/trash" not in refs_of(engine.store_path)


def test_a_prune_waits_for_nobody_who_reads_and_for_who_writes(engine: Cronos) -> None:
    plan = engine.plan_prune(PruneRequest(limits={"max_backups": 1}))
    with Store.open(engine.store_path).lock(shared=True), pytest.raises(StoreLockedError):
        engine.apply_prune(plan)
    assert names(engine.backups()) == "dcba"


def test_the_age_that_counts_is_that_of_the_clock_given(engine: Cronos) -> None:
    engine.clock.advance(days=31)  # type: ignore[attr-defined]
    dropped = engine.plan_prune().dropped
    assert names(list(dropped)) == "cba"
    assert all(engine.clock.now() - backup.created == timedelta(days=31) for backup in dropped)
