from __future__ import annotations

import os
import random
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import (
    BackupNotFoundError,
    DamageError,
    DiskFullError,
    InterruptedRunError,
    RefusedError,
    StoreLockedError,
)
from cronos_git.events import Advanced, Event, Noticed, Run, Started
from cronos_git.git import repacking
from cronos_git.model import Backup, CompactRequest, RestoreRequest, SnapshotRequest, VerifyRequest
from cronos_git.ops import compact, oplog
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.git import assert_store_sound, git
from tests.support.restoring import state
from tests.support.trees import make_tree, read_tree

ALL = CompactRequest(trash_days=0)
NOISE = random.Random(5)


def create(engine: Cronos, name: str) -> Backup:
    """A backup of a text that grows, and of bytes that no other backup has."""
    text = "".join(f"line {number} of a text that all share\n" for number in range(400))
    make_tree(
        engine.project, {"text": text.encode() + name.encode(), "own": name.encode() + NOISE.randbytes(20_000), "d/same": b"x"}
    )
    return engine.snapshot(SnapshotRequest(name=name)).backup


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """Backups a to f, of which b and e are in the trash."""
    engine = make_engine(tmp_path)
    for name in "abcdef":
        create(engine, name)
    engine.delete(["b", "e"])
    return engine


def content(engine: Cronos) -> dict[str, tuple[object, ...]]:
    """Every file of objects and refs; temporary ones may come and go in the directories."""
    found = state(engine.store_path / "objects", engine.store_path / "refs")
    return {path: node for path, node in found.items() if node[-1] is not None}


def names(backups: list[Backup]) -> str:
    return "".join(sorted(backup.name for backup in backups))


def packs(engine: Cronos) -> list[str]:
    return sorted(path.name for path in engine.store.pack_dir.iterdir())


def later(tmp_path: Path, **amount: float) -> Cronos:
    return make_engine(tmp_path, clock=FakeClock(LATER + timedelta(**amount)))


def test_what_the_trash_protects_no_more_goes_and_all_else_comes_back(engine: Cronos, tmp_path: Path) -> None:
    kept = engine.backups()[::-1]
    report = engine.compact(ALL)
    assert names(list(report.plan.expired)) == "be"
    assert report.freed_bytes > 2 * 20_000
    assert (names(engine.backups()), engine.trash()) == ("acdf", [])
    assert packs(engine) == [f"{Path(packs(engine)[0]).stem}.idx", f"{Path(packs(engine)[0]).stem}.pack"]
    assert list((engine.store.cronos_dir / "compact").iterdir()) == []
    for backup in kept:
        out = tmp_path / backup.name
        engine.restore(RestoreRequest(backup=backup.id, target=str(out)))
        assert (out / "own").read_bytes().startswith(backup.name.encode())
    assert engine.verify().damage == ()
    assert_store_sound(engine.store_path, tmp_path / "scratch")
    assert [backup.tag for backup in engine.backups()] == [backup.tag for backup in kept[::-1]]


def test_the_plan_tells_what_will_go_and_writes_nothing(engine: Cronos) -> None:
    before = state(engine.store_path)
    plan = engine.plan_compact(ALL)
    assert (names(list(plan.expired)), plan.waiting) == ("be", ())
    assert 2 * 20_000 < plan.unneeded_bytes < plan.packed_bytes
    assert state(engine.store_path) == before
    assert engine.compact(ALL).freed_bytes >= plan.unneeded_bytes


def test_what_was_deleted_lately_can_still_be_brought_back(engine: Cronos, tmp_path: Path) -> None:
    plan = later(tmp_path, days=6.9).plan_compact()
    assert (plan.expired, names(list(plan.waiting))) == ((), "be")
    engine.compact()
    engine.undelete(["b"])
    engine.restore(RestoreRequest(backup="b", target=str(tmp_path / "out")))
    assert (tmp_path / "out/own").read_bytes()[:1] == b"b"
    late = later(tmp_path, days=7.1)
    assert names(list(late.compact().plan.expired)) == "e"
    with pytest.raises(BackupNotFoundError):
        late.undelete(["e"])


def test_the_days_count_from_the_last_deletion(engine: Cronos, tmp_path: Path) -> None:
    engine.undelete(["b"])
    later(tmp_path, days=5).delete(["b"])
    assert names(list(later(tmp_path, days=8).plan_compact().expired)) == "e"
    assert names(list(later(tmp_path, days=13).plan_compact().expired)) == "be"


def test_without_a_log_nobody_knows_how_long_it_has_been_there(engine: Cronos, tmp_path: Path) -> None:
    (engine.store.cronos_dir / "operations.jsonl").unlink()
    assert later(tmp_path, days=99).plan_compact().expired == ()
    assert names(list(engine.plan_compact(ALL).expired)) == "be"


def test_a_second_time_there_is_nothing_to_do(engine: Cronos) -> None:
    engine.compact(ALL)
    before = content(engine)
    logged = len(engine.operations())
    report = engine.compact(ALL)
    assert (report.plan.idle, report.freed_bytes) == (True, 0)
    assert content(engine) == before
    assert len(engine.operations()) == logged
    assert engine.compact(CompactRequest(full=True)).plan.idle is False


def test_later_backups_join_the_pack_and_deltas_save_room(engine: Cronos, tmp_path: Path) -> None:
    assert engine.compact(ALL).plan.full
    for number in range(10):
        create(engine, f"x{number}")
    report = engine.compact()
    assert not report.plan.full
    assert len(packs(engine)) == 2
    chains = git("--git-dir", engine.store_path, "verify-pack", "-v", *engine.store.pack_dir.glob("*.idx"))
    assert "chain length" in chains
    assert engine.verify().damage == ()


def test_refs_and_loose_objects_of_others_are_kept(engine: Cronos, tmp_path: Path) -> None:
    run = lambda *args, **more: subprocess.run(  # noqa: E731
        ["git", "--git-dir", engine.store_path, *args], check=True, capture_output=True, text=True, **more
    ).stdout.strip()
    blob = run("hash-object", "-w", "--stdin", input="somebody's note")
    run("update-ref", "refs/notes/mine", blob)
    lone = run("hash-object", "-w", "--stdin", input="no ref leads here")
    engine.compact(ALL)
    assert run("cat-file", "blob", "refs/notes/mine") == "somebody's note"
    assert not (engine.store_path / "objects" / blob[:2] / blob[2:]).exists()
    assert run("cat-file", "blob", lone) == "no ref leads here"


def test_a_store_from_which_all_was_deleted_becomes_empty_and_goes_on(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    create(engine, "a")
    engine.delete(["a"])
    report = engine.compact(ALL)
    assert (report.objects, packs(engine)) == (0, [])
    create(engine, "b")
    assert engine.verify().damage == ()
    assert engine.verify(VerifyRequest(backups=(engine.backups()[0].id,))).damage == ()


def test_an_unchanged_backup_after_it_reads_no_file(engine: Cronos, tmp_path: Path) -> None:
    engine.compact(ALL)
    report = make_engine(tmp_path).snapshot(SnapshotRequest(name="again"))
    assert report.files_read == 0
    assert engine.verify().damage == ()


def test_what_only_a_dropped_backup_had_is_stored_again(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    create(engine, "a")
    last = create(engine, "b")
    tree = read_tree(engine.project)
    engine.delete([last.id])
    engine.compact(ALL)
    report = make_engine(tmp_path).snapshot(SnapshotRequest(name="c"))
    assert report.bytes_stored > 20_000
    engine.restore(RestoreRequest(backup="c", target=str(tmp_path / "out")))
    assert {path: node[6] for path, node in read_tree(tmp_path / "out").items()} == {path: node[6] for path, node in tree.items()}


def test_a_deleted_backup_is_still_good_for_knowing_what_changed(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    create(engine, "a")
    engine.delete([create(engine, "b").id])
    assert make_engine(tmp_path).snapshot(SnapshotRequest(name="c")).files_read == 0
    engine.delete(["c"])
    engine.compact(ALL)
    assert make_engine(tmp_path).snapshot(SnapshotRequest(name="d")).files_read == 3
    assert engine.verify().damage == ()


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["blob", "tree", "commit", "tag"])
def test_a_missing_object_stops_it(engine: Cronos, where: str) -> None:
    backup = engine.backups()[-1]
    entry = next(entry for entry in engine.view(backup).walk() if entry.path == "own")
    oid = {"blob": entry.oid, "tree": engine.view(backup).data_tree, "commit": backup.commit, "tag": backup.tag}[where]
    drop(engine, oid)
    before = content(engine)
    with pytest.raises(DamageError):
        make_engine(engine.project.parent).compact(ALL)
    assert content(engine) == before


def drop(engine: Cronos, oid: str) -> None:
    """Make every object of the store loose but one, which is gone."""
    for pack in list(engine.store.pack_dir.glob("*.pack")):
        content = pack.read_bytes()
        pack.unlink()
        pack.with_suffix(".idx").unlink()
        subprocess.run(["git", "--git-dir", engine.store_path, "unpack-objects", "-q"], input=content, check=True)
    (engine.store_path / "objects" / oid[:2] / oid[2:]).unlink()
    engine.store.statcache.unlink()
    engine.store.reopen()


@pytest.mark.parametrize("is_needed", [True, False])
def test_a_damaged_object_stops_it_where_it_is_needed(engine: Cronos, is_needed: bool) -> None:
    victim = engine.resolve("c").backup if is_needed else next(backup for backup in engine.trash() if backup.name == "e")
    entry = next(entry for entry in engine.view(victim).walk() if entry.path == "own")
    location = engine.store.index.find(bytes.fromhex(entry.oid))
    assert location is not None
    path = location.pack.path
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(location.offset + 5000)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    before = content(engine)
    if is_needed:
        with pytest.raises(DamageError):
            make_engine(engine.project.parent).compact(ALL)
        assert content(engine) == before
    else:
        make_engine(engine.project.parent).compact(ALL)
        assert engine.verify().damage == ()


@pytest.mark.parametrize("ref", ["refs/tags/backup/c_20400101_120000", "refs/heads/other"])
def test_a_ref_that_cannot_be_read_stops_it(engine: Cronos, ref: str) -> None:
    (engine.store_path / ref).write_bytes(b"")
    before = content(engine)
    with pytest.raises(DamageError):
        engine.compact(ALL)
    assert content(engine) == before


def test_a_new_pack_that_is_not_whole_is_not_used(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    make = repacking.make_pack

    def torn(*args: object, **options: object) -> None:
        make(*args, **options)  # type: ignore[arg-type]
        (pack,) = (engine.store.cronos_dir / "compact").glob("*.pack")
        pack.chmod(0o600)
        with pack.open("r+b") as file:
            file.seek(3000)
            file.write(b"\xff\x00\xff")

    monkeypatch.setattr(repacking, "make_pack", torn)
    before = content(engine)
    with pytest.raises(DamageError, match="Nothing was removed"):
        engine.compact(ALL)
    assert content(engine) == before
    assert list((engine.store.cronos_dir / "compact").iterdir()) == []


def test_a_new_pack_that_lacks_something_is_not_used(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    tips = repacking.all_refs(engine.store)
    lacking = [oid for name, oid in tips.items() if "backup/d_" not in name and "heads" not in name]
    make = repacking.make_pack
    monkeypatch.setattr(repacking, "make_pack", lambda store, _tips, run, *, full: make(store, lacking, run, full=full))
    with pytest.raises(DamageError, match=r"left .* out of the new pack"):
        engine.compact(ALL)
    assert names(engine.trash()) == "be"
    assert engine.verify().damage == ()


# --- while it runs ---------------------------------------------------------------------------------------------------


def test_it_tells_what_it_is_doing_and_how_far_it_is(engine: Cronos) -> None:
    events: list[Event] = []
    engine.compact(ALL, Run(emit=events.append))
    started = [event for event in events if isinstance(event, Started)]
    assert [event.phase for event in started] == ["compare", "pack", "verify"]
    done = [event.done_files for event in events if isinstance(event, Advanced)]
    assert started[1].total_files in done


@pytest.mark.parametrize("phase", ["compare", "pack", "verify"])
def test_stopped_in_any_phase_nothing_has_changed(engine: Cronos, phase: str) -> None:
    run = Run()

    def stop(event: Event) -> None:
        run.cancelled |= isinstance(event, Started) and event.phase == phase

    run.emit = stop
    before = content(engine)
    with pytest.raises(InterruptedRunError):
        engine.compact(ALL, run)
    assert content(engine) == before
    assert list((engine.store.cronos_dir / "compact").iterdir()) == []
    engine.compact(ALL)


# --- others at work --------------------------------------------------------------------------------------------------


def test_it_waits_for_readers_and_writers(engine: Cronos, tmp_path: Path) -> None:
    for shared in (True, False):
        with make_engine(tmp_path).store.lock(shared=shared), pytest.raises(StoreLockedError):
            engine.compact(ALL)


def test_who_had_the_store_open_before_reads_on(engine: Cronos, tmp_path: Path) -> None:
    other = make_engine(tmp_path)
    assert names(other.backups()) == "acdf"
    view = other.view(other.resolve("d").backup)
    engine.compact(ALL)
    assert b"".join(view.read(next(entry for entry in view.walk() if entry.path == "own")))[:1] == b"d"
    assert names(other.backups()) == "acdf"


def test_a_trash_that_changed_since_the_plan_is_refused(engine: Cronos) -> None:
    plan = engine.plan_compact(ALL)
    engine.undelete(["b"])
    with pytest.raises(RefusedError, match="is no longer in the trash"):
        engine.apply_compact(plan)
    assert engine.verify().damage == ()


def test_without_room_nothing_happens(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronos_git.disk.stage.free_bytes", lambda _path: 1000)
    before = content(engine)
    with pytest.raises(DiskFullError):
        engine.compact(ALL)
    assert content(engine) == before


def test_a_disk_that_fills_up_meanwhile_is_told(tmp_path: Path, small_disk: Path) -> None:
    engine = make_engine(small_disk)
    create(engine, "a")
    (small_disk / "ballast").write_bytes(
        NOISE.randbytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - 12_288)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cronos_git.disk.stage.free_bytes", lambda _path: 1 << 30)
        with pytest.raises(DiskFullError):
            engine.compact(CompactRequest(full=True))
    (small_disk / "ballast").unlink()
    assert engine.verify().damage == ()


# --- by itself -------------------------------------------------------------------------------------------------------


def test_a_backup_compacts_when_enough_has_left_the_trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "_WORTHWHILE_BYTES", 15_000)
    clock = FakeClock(LATER)
    engine = make_engine(tmp_path, clock=clock, auto_prune=True, max_backups=2)
    for name in "abc":
        create(engine, name)
    assert names(engine.trash()) == "a"
    clock.advance(days=6)
    create(engine, "d")
    assert names(engine.trash()) == "ab"
    clock.advance(days=2)
    notices: list[Event] = []
    make_tree(engine.project, {"own": b"e"})
    report = engine.snapshot(SnapshotRequest(name="e"), Run(emit=notices.append))
    assert [one[:2] for one in report.dropped] == ["a_"]
    assert report.freed_bytes > 15_000
    assert names(engine.trash()) == "bc"
    assert not [event for event in notices if isinstance(event, Noticed)]
    assert engine.operations()[0].verb == "create"
    assert engine.operations()[1].facts["backups"] == [oplog.read(engine.store)[0]["backup"]]
    assert engine.verify().damage == ()


def test_a_backup_leaves_it_when_little_would_be_freed(tmp_path: Path) -> None:
    clock = FakeClock(LATER)
    engine = make_engine(tmp_path, clock=clock, auto_prune=True, max_backups=1)
    create(engine, "a")
    create(engine, "b")
    clock.advance(days=9)
    create(engine, "c")
    assert names(engine.trash()) == "ab"
