"""The undo of a merge, and the recovery and the rollback of a merge, disturbed: the whole target is as before or as after.

The sweeps are those of `test_in_place_faults`; here is what they do not take. The normal run takes some steps of each, `--long`
every one.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import DiskFullError, HostError
from cronos_git.model import RestoreReport
from tests.faults.test_in_place_faults import rename_without, sweep, until_it_ends
from tests.support.engine import make_engine
from tests.support.faults import fail_at, run_and_kill, steps_of
from tests.support.git import assert_store_sound
from tests.support.in_place import Scene, grow_merged, make_scene, merge

LONG = pytest.mark.long


def take_back(engine: Cronos) -> RestoreReport:
    """Undo the merge that `grow_and_merge` has done."""
    return engine.undo()


def grow_and_merge(project: Path, when: str) -> None:
    grow_merged(project, when)
    if when == "now":
        merge(make_engine(project.parent, exclude=("*.cache",)))


@pytest.fixture
def merged(tmp_path: Path) -> Scene:
    """A project into which a backup was merged, with conflicts and renames; the undo of that is to be disturbed."""
    return make_scene(tmp_path, take_back, grow_and_merge)


def some_steps(scene: Scene, number: int, request: pytest.FixtureRequest) -> list[int]:
    """So many of the steps of what is disturbed, the last among them and one beyond it; all when the run is a long one."""
    scene.reset()
    last = len(steps_of(scene.work))
    stride = 1 if request.config.getoption("--long") else max(1, last // number)
    return [*range(3 if stride > 1 else 1, last, stride), last, last + 1]


def step_in(scene: Scene, phase: str) -> int:
    """A step at which some of everything is in place."""
    scene.reset()
    names = steps_of(scene.work)
    swaps = [number for number, name in enumerate(names, 1) if name == "swap"]
    return {"moving": swaps[0], "swapping": swaps[-1], "settling": swaps[-1] + 5, "concluding": len(names) - 12}[phase]


def test_the_undo_that_is_disturbed_takes_back_edits_renames_and_versions_beside(merged: Scene) -> None:
    then, now = ({path for path in tree if path.startswith("merge/")} for tree in (merged.old, merged.new))
    (beside,) = (path for path in then if path.startswith("merge/binary."))
    assert then - now == {beside, "merge/then", "merge/then/renamed"}
    assert now - then == {"merge/old 1"}
    changed = {path for path in then & now if merged.old[path][6] != merged.new[path][6]}
    assert changed == {"merge/lines", "merge/contradiction", "merge/taken"}


def test_kill_at_every_step_of_an_undo_leaves_old_or_new(merged: Scene, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    assert min(sweep(merged, some_steps(merged, 5, request)).values()) >= 1
    assert_store_sound(merged.engine().store_path, tmp_path)


def test_kill_at_every_step_of_an_undo_where_nothing_can_be_swapped(
    merged: Scene, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename_without(monkeypatch, "swap")
    assert min(sweep(merged, some_steps(merged, 2, request)).values()) >= 1


@pytest.mark.parametrize("once", [True, False], ids=["one write", "every later write"])
def test_a_full_disk_during_an_undo_changes_nothing(merged: Scene, request: pytest.FixtureRequest, *, once: bool) -> None:
    is_long = request.config.getoption("--long")
    for at in some_steps(merged, 1, request) if is_long else [step_in(merged, "swapping" if once else "moving")]:
        merged.reset()
        status = fail_at(merged.work, at, errno.ENOSPC, once=once)
        assert status == DiskFullError.exit_status or (is_long and status == 0)
        assert merged.check() == "new" or status != 0


@pytest.mark.parametrize("phase", ["swapping", *(pytest.param(p, marks=LONG) for p in ("moving", "settling", "concluding"))])
def test_kill_at_every_step_of_the_recovery_of_a_merge(tmp_path: Path, phase: str, request: pytest.FixtureRequest) -> None:
    scene = make_scene(tmp_path, merge)
    killed_at = step_in(scene, phase)

    def recovery_killed(at: int) -> bool:
        scene.reset()
        assert not run_and_kill(scene.work, killed_at)
        ended = run_and_kill(lambda: scene.engine().recover(), at)
        assert scene.check(again=ended) == "old"
        return ended

    assert until_it_ends(request, 31, recovery_killed) > 1


@pytest.mark.parametrize("verb", ["merge", pytest.param("undo", marks=LONG)])
@pytest.mark.parametrize("phase", ["settling", *(pytest.param(p, marks=LONG) for p in ("moving", "swapping", "concluding"))])
def test_kill_at_every_step_of_the_rollback_of_a_merge_or_its_undo(
    tmp_path: Path, phase: str, verb: str, request: pytest.FixtureRequest
) -> None:
    scene = make_scene(tmp_path, merge) if verb == "merge" else make_scene(tmp_path, take_back, grow_and_merge)
    failing = step_in(scene, phase)

    def rollback_killed(after: int) -> bool:
        scene.reset()
        status = fail_at(scene.work, failing, errno.EIO, once=True, then_kill=after)
        is_rolled_back = status == HostError.exit_status
        assert scene.check(again=is_rolled_back) == "old"
        return is_rolled_back

    assert until_it_ends(request, 31, rollback_killed) > 1
