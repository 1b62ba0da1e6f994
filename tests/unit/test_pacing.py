from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cronos_git.rules.pacing import Pace

times = st.lists(st.floats(0, 200), max_size=60).map(sorted)
lengths = st.floats(0, 30)


def pace() -> Pace:
    return Pace(settle_s=2, gap_s=10, look_s=100)


def test_the_first_try_is_due_at_once() -> None:
    assert pace().is_due(0)


def test_a_change_is_due_when_it_has_settled_and_the_gap_is_over() -> None:
    own = pace()
    own.tried(0)
    own.changed(4)
    assert not own.is_due(9.9)  # settled at 6, but the gap lasts until 10
    assert own.is_due(10)
    own.tried(20)
    own.changed(40)
    assert not own.is_due(41.9)
    own.changed(41.9)
    assert not own.is_due(43)
    assert own.is_due(43.9)


def test_what_never_settles_is_due_all_the_same() -> None:
    own = pace()
    own.tried(0)
    for second in range(100, 120):
        own.changed(second)
        assert not own.is_due(second)
    own.changed(120)
    assert own.is_due(120)


def test_without_a_change_a_look_is_due_now_and_then() -> None:
    own = pace()
    own.tried(0)
    assert not own.is_due(99)
    assert own.is_due(100)


def test_a_try_that_failed_is_due_again_after_the_wait_or_the_gap() -> None:
    own = pace()
    own.tried(0)
    own.failed(1, 60)
    assert not own.is_due(60)
    assert own.is_due(61)
    own.tried(70)
    own.failed(70, 1)
    assert not own.is_due(79)
    assert own.is_due(80)


@given(changes=times, settle_s=lengths, gap_s=lengths)
def test_no_two_tries_are_nearer_than_the_gap_and_no_change_is_left_out(
    changes: list[float], settle_s: float, gap_s: float
) -> None:
    own = Pace(settle_s=settle_s, gap_s=gap_s, look_s=1e9)
    tries, waiting = [], list(changes)
    for tick in range(700):
        now = tick / 2
        while waiting and waiting[0] <= now:
            waiting.pop(0)
            own.changed(now)
        if own.is_due(now):
            tries.append(now)
            own.tried(now)
    assert all(later - earlier >= gap_s for earlier, later in pairwise(tries))
    assert not changes or tries[-1] >= changes[-1]
    assert len(tries) <= len(changes) + 1
