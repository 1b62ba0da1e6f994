from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.rules.bisecting import Verdict, first_bad, verdict_of


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(0, "good"), (1, "bad"), (124, "bad"), (125, "skip"), (127, "bad"), (128, None), (255, None), (-2, None)],
)
def test_exit_statuses_mean_what_they_mean_to_git_bisect_run(status: int, verdict: Verdict | None) -> None:
    assert verdict_of(status) == verdict


@given(st.integers(1, 200), st.data())
def test_the_border_is_found_with_no_more_tests_than_halvings(count: int, data: st.DataObject) -> None:
    border = data.draw(st.integers(1, count))
    tested: list[int] = []

    def test(number: int, left: int) -> Verdict:
        tested.append(number)
        assert 0 <= left < count
        return "bad" if number >= border else "good"

    found = first_bad(0, count, test)
    assert (found.good, found.bad) == (border - 1, border)
    assert len(tested) == len(set(tested)) <= count.bit_length()


@given(st.lists(st.sampled_from(["good", "bad", "skip"]), max_size=30))
def test_whatever_the_verdicts_the_answer_lies_between_good_and_bad_and_only_skipped_ones_are_between(
    verdicts: list[Verdict],
) -> None:
    row: list[Verdict] = ["good", *verdicts, "bad"]
    asked: list[int] = []

    def test(number: int, _left: int) -> Verdict:
        asked.append(number)
        return row[number]

    found = first_bad(0, len(row) - 1, test)
    assert row[found.good] == "good" and row[found.bad] == "bad"
    assert set(row[found.good + 1 : found.bad]) <= {"skip"}
    assert len(asked) == len(set(asked))
