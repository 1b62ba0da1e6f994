"""Restores that may go only to some places, also when links are swapped between the plan and the deed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import RefusedError
from cronos_git.model import RestoreRequest, SnapshotRequest
from tests.support.engine import make_engine
from tests.support.restoring import state


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    engine = make_engine(tmp_path)
    (engine.project / "a.txt").write_text("one\n")
    engine.snapshot(SnapshotRequest(name="made"))
    for name in ("allowed", "outside"):
        (tmp_path / name).mkdir()
    engine.restore_roots = (str(tmp_path / "allowed"),)
    return engine


def test_a_directory_swapped_for_a_link_after_the_plan_is_refused(engine: Cronos, tmp_path: Path) -> None:
    target = tmp_path / "allowed" / "x"
    target.mkdir()
    (tmp_path / "outside" / "precious").write_text("mine")
    plan = engine.plan_restore(RestoreRequest(backup="made", target=str(target), strategy="replace"))
    target.rmdir()
    target.symlink_to(tmp_path / "outside")
    before = state(tmp_path / "outside")
    with pytest.raises(RefusedError):
        engine.apply_restore(plan)
    assert state(tmp_path / "outside") == before


def test_a_parent_swapped_for_a_link_after_the_plan_is_refused(engine: Cronos, tmp_path: Path) -> None:
    parent = tmp_path / "allowed" / "parent"
    parent.mkdir()
    plan = engine.plan_restore(RestoreRequest(backup="made", target=str(parent / "new")))
    parent.rmdir()
    parent.symlink_to(tmp_path / "outside")
    with pytest.raises(RefusedError):
        engine.apply_restore(plan)
    assert not list((tmp_path / "outside").iterdir())


def test_a_root_that_is_itself_a_link_counts_where_it_leads(engine: Cronos, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "allowed")
    engine.restore_roots = (str(tmp_path / "link"),)
    report = engine.restore(RestoreRequest(backup="made"))
    assert Path(report.plan.target).parent == tmp_path / "allowed"


def test_the_project_is_allowed_without_any_root(engine: Cronos) -> None:
    engine.restore_roots = ()
    (engine.project / "a.txt").write_text("two\n")
    engine.restore(RestoreRequest(backup="made", strategy="replace"))
    assert (engine.project / "a.txt").read_text() == "one\n"


def test_a_directory_whose_name_only_begins_like_a_root_is_refused(engine: Cronos, tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        engine.plan_restore(RestoreRequest(backup="made", target=str(tmp_path / "allowed-not")))
