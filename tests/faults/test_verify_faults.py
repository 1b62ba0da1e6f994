"""`verify` killed or out of space at every step, and packs that others fold or remove while it runs."""

from __future__ import annotations

import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.events import Advanced, Event, Noticed, Run
from cronos_git.git import packtable
from cronos_git.git.store import Store
from cronos_git.model import SnapshotRequest, VerifyRequest
from cronos_git.ops import rotation, verify
from cronos_git.ops.rotation import NAME
from tests.support.engine import make_engine
from tests.support.faults import run_and_fail, run_and_kill
from tests.support.git import git
from tests.support.restoring import meanwhile
from tests.support.trees import make_tree

TENTH = VerifyRequest(read_percent=10)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cronos:
    """Three backups in packs of small parts; what was read is noted after each of them."""
    monkeypatch.setattr(packtable, "PART_BYTES", 400)
    monkeypatch.setattr(rotation, "_SAVED_EVERY_S", 0.0)
    engine = make_engine(tmp_path)
    for number in range(3):
        make_tree(engine.project, {f"d{number}/f{file}": os.urandom(100) for file in range(8)})
        engine.snapshot(SnapshotRequest(name=f"b{number}"))
    return engine


def again(engine: Cronos) -> Cronos:
    """As a new process would see it."""
    return Cronos(**{name: getattr(engine, name) for name in ("project", "store_path", "settings", "clock", "zone", "identity")})


def test_full_check_killed_at_any_step_is_resumed_from_there(engine: Cronos) -> None:
    at, left = 1, []
    while not run_and_kill(lambda: again(engine).verify(), at):
        report = again(engine).verify(VerifyRequest(resume=True))
        assert report.damage == ()
        assert report.progress is not None
        assert report.progress.is_complete
        idle = again(engine).verify(VerifyRequest(resume=True)).bytes_read  # of bodies, as no part is left
        left.append(0 if report.bytes_read == idle else report.bytes_read)
        assert os.listdir(engine.store_path / "cronos").count(NAME) == 1
        assert not list((engine.store_path / "cronos").glob(".*.tmp"))
        (engine.store_path / "cronos" / NAME).unlink()
        at += 3
    # Threads end in any order, so one part more or less may have been noted at the same step.
    assert all(after < before + 2 * packtable.PART_BYTES for before, after in pairwise(left))
    assert left[-1] < left[0] / 2


@pytest.mark.parametrize("at", [1, 2, 3, 4, 9])
def test_check_on_a_full_disk_is_done_all_the_same(engine: Cronos, at: int) -> None:
    def check() -> None:
        report = again(engine).verify()
        assert report.damage == ()
        assert report.progress is not None
        assert not report.progress.noted

    assert run_and_fail(check, at)
    assert again(engine).verify(VerifyRequest(resume=True)).damage == ()


@pytest.mark.parametrize("request_", [VerifyRequest(), VerifyRequest(quick=True), VerifyRequest(read_percent=100)])
@pytest.mark.parametrize("moment", [1, 2])
def test_packs_that_git_folds_meanwhile_are_no_damage(engine: Cronos, request_: VerifyRequest, moment: int) -> None:
    def fold(event: Event) -> None:
        if isinstance(event, Advanced):
            git("--git-dir", engine.store_path, "repack", "-adfq")

    events: list[Event] = []
    run = Run(lambda event: (events.append(event), fold(event) if len(events) == moment + 1 else None)[0])
    report = again(engine).verify(request_, run)
    assert report.damage == ()
    assert [event for event in events if isinstance(event, Noticed)] == []
    after = again(engine).verify()
    assert after.damage == ()
    assert after.progress is not None
    assert after.progress.is_complete


def test_packs_that_go_between_the_listing_and_the_reading_are_no_damage(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    real, folded = packtable._read_table, []

    def read(stem: Path, names: set[str]) -> packtable.PackTable:
        if not folded:
            folded.append(stem)
            git("--git-dir", engine.store_path, "repack", "-adfq")
        return real(stem, names)

    monkeypatch.setattr(packtable, "_read_table", read)
    assert again(engine).verify().damage == ()


@pytest.mark.parametrize("request_", [VerifyRequest(), VerifyRequest(backups=("b1",))])
def test_packs_that_are_gone_before_they_are_read_are_looked_for_elsewhere(engine: Cronos, request_: VerifyRequest) -> None:
    store, backups = Store.open(engine.store_path), sorted(engine.backups(), key=lambda backup: backup.sequence)
    real = verify.CheckedObjects

    def made(*arguments: object) -> verify.CheckedObjects:
        git("--git-dir", engine.store_path, "repack", "-adfq")
        return real(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "CheckedObjects", made)
        assert verify.verify(store, backups, (), request_, Run()).damage == ()


def test_pack_whose_index_is_left_behind_is_damage(engine: Cronos) -> None:
    def lose() -> None:
        for pack in engine.store_path.glob("objects/pack/*.pack"):
            pack.unlink()

    lost = again(engine).verify(run=meanwhile(Advanced, lose))
    assert lost.damage


def test_copy_of_the_notes_in_another_store_means_nothing(engine: Cronos, tmp_path: Path) -> None:
    engine.verify()
    (tmp_path / "other").mkdir()
    other = make_engine(tmp_path / "other")
    make_tree(other.project, {"x": os.urandom(3000)})
    other.snapshot(SnapshotRequest(name="x"))
    shutil.copy(engine.store_path / "cronos" / NAME, other.store_path / "cronos" / NAME)
    report = other.verify(TENTH)
    assert report.progress is not None
    assert report.progress.sound_bytes == report.bytes_read
