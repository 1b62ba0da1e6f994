"""`verify` of a share of the store, for a time, resumed; on stores that cannot be written; of backups in the trash."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import BackupNotFoundError, InterruptedRunError, StoreLockedError, UsageError
from cronos_git.events import Advanced, Event, Noticed, Run
from cronos_git.git import packcheck, packtable
from cronos_git.git.pack import PackWriter
from cronos_git.model import SnapshotRequest, VerifyReport, VerifyRequest
from cronos_git.ops import rotation
from cronos_git.ops.rotation import NAME
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.git import git
from tests.support.restoring import NOBODY, as_nobody, meanwhile, open_to_all
from tests.support.trees import make_tree
from tests.unit.test_verify import flip_a_bit

TENTH = VerifyRequest(read_percent=10)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cronos:
    """Two backups of some kilobytes, in packs of many small parts."""
    monkeypatch.setattr(packtable, "PART_BYTES", 600)
    engine = make_engine(tmp_path, clock=FakeClock(LATER))
    make_tree(engine.project, {f"d{number % 4}/f{number}": os.urandom(200) for number in range(40)})
    engine.snapshot(SnapshotRequest(name="first"))
    make_tree(engine.project, {f"more/g{number}": os.urandom(200) for number in range(10)})
    engine.snapshot(SnapshotRequest(name="second"))
    return engine


def blob(engine: Cronos, path: str) -> str:
    return git("--git-dir", engine.store_path, "rev-parse", f"refs/heads/main:{path}").strip()


def read_share(report: VerifyReport) -> float:
    assert report.progress is not None
    return report.progress.sound_bytes / report.progress.total_bytes


def test_ten_runs_of_a_tenth_read_everything_and_each_about_a_tenth(engine: Cronos) -> None:
    shares = []
    for _day in range(10):
        engine.clock.advance(days=1)  # type: ignore[attr-defined]
        report = engine.verify(TENTH)
        assert report.damage == ()
        assert report.progress is not None
        assert report.progress.total_bytes <= 10 * report.bytes_read <= 2 * report.progress.total_bytes
        shares.append(read_share(report))
        if report.progress.is_complete and shares.count(1) == 1:
            assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] == 1


def test_amount_in_bytes_and_the_smaller_of_both_count(engine: Cronos) -> None:
    assert 600 <= engine.verify(VerifyRequest(read_bytes=600)).bytes_read < 1200
    assert engine.verify(VerifyRequest(read_bytes=600, read_percent=100.0)).bytes_read < 1200
    whole = engine.verify(VerifyRequest(read_percent=100.0))
    assert whole.progress is not None
    assert whole.bytes_read == whole.progress.total_bytes


def test_time_that_is_up_leaves_the_rest_to_the_next_runs_and_is_no_damage(engine: Cronos) -> None:
    request = VerifyRequest(max_time_s=1e-9)
    first = engine.verify(request)
    assert (first.damage, 0 < first.bytes_read < 1300) == ((), True)  # one part in any case, so that there is an end to it
    reports = [engine.verify(request) for _ in range(60)]
    assert read_share(reports[-1]) == 1
    assert read_share(engine.verify(VerifyRequest(max_time_s=3600))) == 1


def test_damage_is_found_within_the_cycle_and_told_again_until_it_is_mended(engine: Cronos) -> None:
    bad = blob(engine, "d1/f5")
    flip_a_bit(engine, bad)
    reports = [engine.verify(TENTH) for _ in range(12)]
    told = [[(damage.oid, damage.path) for damage in report.damage] for report in reports]
    first = told.index([(bad, "data:d1/f5")])
    assert first < 10
    assert all(found == [] for found in told[:first])
    assert all(found == [(bad, "data:d1/f5")] for found in told[first:])
    assert 0.8 < read_share(reports[-1]) < 1  # all but the part that it lies in
    flip_a_bit(engine, bad)
    mended = engine.verify(TENTH)
    assert (mended.damage, read_share(mended)) == ((), 1)


def test_damage_outside_objects_is_found_with_the_first_part_and_told_once(engine: Cronos) -> None:
    for pack in engine.store_path.glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        with pack.open("r+b") as stream:
            stream.seek(7)
            stream.write(b"\x09")
    reports = [engine.verify(TENTH) for _ in range(10)]
    assert len(reports[-1].damage) == 2
    assert {damage.oid for damage in reports[-1].damage} == {""}
    assert len(engine.verify().damage) == 2


def test_quick_check_is_part_of_every_share(engine: Cronos) -> None:
    pack = min(engine.store_path.glob("objects/pack/*.pack"), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    os.truncate(pack, pack.stat().st_size - 3)
    damage = engine.verify(VerifyRequest(read_bytes=1)).damage
    assert ["cut short" in found.text for found in damage if not found.oid] == [True]


def test_damaged_copy_is_forgiven_when_a_copy_that_was_not_read_is_whole(engine: Cronos) -> None:
    bad = blob(engine, "d1/f5")
    body = (engine.project / "d1/f5").read_bytes()
    writer = writer_of(engine)
    writer.add("blob", body)
    writer.finish()
    flip_a_bit(engine, bad)  # in the first pack that has it
    events: list[Event] = []
    reports = [engine.verify(TENTH, Run(events.append)) for _ in range(10)]
    assert [damage for report in reports for damage in report.damage] == []
    assert any(isinstance(event, Noticed) and "other packs have whole: 1" in event.text for event in events)


def writer_of(engine: Cronos) -> PackWriter:

    return PackWriter(engine.store_path / "objects/pack", lambda _oid: False)


# --- full, interrupted, resumed ---


def test_full_check_counts_as_read_and_one_without_a_time_notes_nothing(engine: Cronos) -> None:
    report = engine.verify()
    assert read_share(report) == 1
    assert json.loads((engine.store_path / "cronos" / NAME).read_bytes())["format"] == 1


def test_cancelled_full_check_is_resumed_and_then_nothing_is_left(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packcheck, "_BATCH_BYTES", 600)
    monkeypatch.setattr("cronos_git.disk.workers.WORKERS", 1)
    run = Run()
    run.emit = lambda event: setattr(run, "cancelled", isinstance(event, Advanced) and event.done_bytes > 3000)
    with pytest.raises(InterruptedRunError):
        engine.verify(run=run)
    resumed = engine.verify(VerifyRequest(resume=True))
    assert resumed.progress is not None
    assert 0 < resumed.bytes_read <= resumed.progress.total_bytes - 1800
    assert read_share(resumed) == 1
    again = engine.verify(VerifyRequest(resume=True))
    assert (again.bytes_read, read_share(again), again.damage) == (0, 1, ())


def test_resuming_what_never_began_reads_everything(engine: Cronos) -> None:
    assert read_share(engine.verify(VerifyRequest(resume=True))) == 1


def test_resumed_check_sees_whether_what_is_stored_fits_together(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation.Rotation, "unfinished", lambda _self: [])
    from cronos_git.ops import verify

    seen: list[object] = []
    monkeypatch.setattr(verify._Fit, "check", lambda _self, backup: seen.append(backup.id))
    engine.verify(VerifyRequest(resume=True))
    assert len(seen) == 2


@pytest.mark.parametrize(
    "request_",
    [
        VerifyRequest(quick=True, resume=True),
        VerifyRequest(quick=True, read_bytes=5),
        VerifyRequest(backups=("first",), read_percent=5),
        VerifyRequest(trash=True, max_time_s=5),
        VerifyRequest(resume=True, read_percent=5),
        VerifyRequest(read_percent=0),
        VerifyRequest(read_bytes=-1),
        VerifyRequest(max_time_s=float("nan")),
    ],
)
def test_contradictions_are_refused(engine: Cronos, request_: VerifyRequest) -> None:
    with pytest.raises(UsageError):
        engine.verify(request_)


# --- stores that cannot be written, and others at work ---


def test_store_that_cannot_be_written_is_checked_and_that_is_told(engine: Cronos, tmp_path: Path) -> None:
    def look() -> None:
        for path in (engine.store_path / "cronos", engine.store_path / "objects/pack"):
            path.chmod(0o500)
        events: list[Event] = []
        for request in (VerifyRequest(), TENTH):
            report = engine.verify(request, Run(events.append))
            assert report.damage == ()
            assert report.bytes_read > 0
            assert report.progress is not None
            assert not report.progress.noted
        assert [event.code for event in events if isinstance(event, Noticed)] == ["verify.unnoted"] * 2

    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(path, NOBODY, -1)
    open_to_all(tmp_path)
    as_nobody(look)


def test_others_may_read_meanwhile_and_nobody_may_write(engine: Cronos) -> None:
    told: list[str] = []

    def visit() -> None:
        with engine.store.lock(shared=True):
            told.append("read")
        with pytest.raises(StoreLockedError), engine.store.lock():
            pass

    engine.verify(run=meanwhile(Advanced, visit))
    assert told == ["read"]


# --- the trash ---


@pytest.fixture
def deleted(engine: Cronos) -> Cronos:
    """The first backup had something of its own that is damaged, and is in the trash."""
    (engine.project / "own").write_bytes(b"own")
    engine.snapshot(SnapshotRequest(name="third"))
    flip_a_bit(engine, blob(engine, "own"))
    (engine.project / "own").unlink()
    engine.snapshot(SnapshotRequest(name="fourth"))
    engine.delete(["third"])
    return engine


@pytest.mark.parametrize("request_", [VerifyRequest(), VerifyRequest(trash=True), VerifyRequest(read_percent=100)])
def test_damage_of_backups_in_the_trash_is_told_as_such(deleted: Cronos, request_: VerifyRequest) -> None:
    (third,) = deleted.trash()
    report = deleted.verify(request_)
    assert [(damage.backups, damage.path) for damage in report.damage] == [((third.id,), "data:own")]
    assert report.trash == (third.id,)
    assert report.backups == (1 if request_.trash else 4)


def test_trash_is_left_out_when_asked_or_when_backups_are_named(deleted: Cronos) -> None:
    for request in (VerifyRequest(trash=False), VerifyRequest(backups=("first", "fourth"))):
        report = deleted.verify(request)
        assert (report.damage, report.trash) == ((), ())
    with pytest.raises(BackupNotFoundError):
        deleted.verify(VerifyRequest(backups=("first",), trash=True))
    assert deleted.verify(VerifyRequest(backups=("third",), trash=True)).damage


def test_backup_in_the_trash_that_lost_an_object_is_told_by_a_quick_check(engine: Cronos) -> None:
    engine.delete(["second"])
    (second,) = engine.trash()
    ref = engine.store_path / "refs/cronos/trash" / second.id
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text("1" * 40 + "\n")
    report = replace(engine.verify(VerifyRequest(quick=True)), duration_s=0)
    assert [(damage.backups, damage.code) for damage in report.damage] == [((second.id,), "missing")]
    assert report.trash == (second.id,)
