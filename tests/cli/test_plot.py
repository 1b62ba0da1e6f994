from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.cli.render.plot import Step, draw, rows, steps

NOON = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
POINTS = st.lists(
    st.tuples(st.integers(0, 10**7).map(lambda seconds: NOON + timedelta(seconds=seconds)), st.integers(0, 10**12)), max_size=30
)


def day(number: float, size: int) -> tuple[datetime, int]:
    return NOON + timedelta(days=number), size


def test_growth_is_drawn_with_its_axes() -> None:
    points = [day(0, 2048), day(1, 1024), day(3, 3072)]
    assert draw(points, 48, UTC, "utf-8") == [
        "6.0 KiB ┤" + " " * 38 + "█",
        "        ┤" + " " * 38 + "█",
        "        ┤" + " " * 38 + "█",
        "3.0 KiB ┤" + " " * 13 + "█" * 26,
        "        ┤" + "█" * 39,
        "        ┤" + "█" * 39,
        "    0 B └2026-04-01 12:00       2026-04-04 12:00",
    ]


def test_parts_of_a_row_show_as_eighths() -> None:
    assert draw([day(0, 1), day(1, 47)], 17, UTC, "utf-8")[-2] == "     ┤" + "▁" * 10 + "█"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "no-such-encoding"])
def test_where_blocks_cannot_be_shown_plain_characters_stand(encoding: str) -> None:
    lines = draw([day(0, 33), day(1, 34), day(2, 77)], 60, UTC, encoding)
    assert all(line.isascii() for line in lines)
    assert {"|", "+", "#", ".", ":"} <= set("".join(lines))


def test_a_narrow_terminal_gets_days_and_then_only_the_first() -> None:
    assert draw([day(0, 1), day(9, 1)], 30, UTC, "utf-8")[-1] == "0 B └2026-04-01     2026-04-10"
    assert draw([day(0, 1), day(9, 1)], 20, UTC, "utf-8")[-1] == "0 B └2026-04-01"


@pytest.mark.parametrize("points", [[], [day(0, 5)], [day(0, 5), day(0, 7)]])
def test_one_moment_is_no_growth_to_draw(points: list[tuple[datetime, int]]) -> None:
    assert draw(points, 80, UTC, "utf-8") == []


def test_a_pause_is_a_level_stretch() -> None:
    assert steps([day(0, 1), day(4, 2)], 5) == [Step(*day(number, 3 if number == 4 else 1)) for number in range(5)]


def test_rows_sum_up_and_are_thinned_with_the_last_among_them() -> None:
    points = [day(number, 1) for number in (2, 0, 1)]
    assert rows(points, 3) == [Step(*day(0, 1)), Step(*day(1, 2)), Step(*day(2, 3))]
    many = rows([day(number, 1) for number in range(1000)], 20)
    assert (len(many), many[-1]) == (20, Step(*day(999, 1000)))
    assert rows([], 20) == []


@given(POINTS, st.integers(1, 50))
def test_steps_and_rows_never_fall_and_end_with_everything(points: list[tuple[datetime, int]], count: int) -> None:
    for found in (steps(points, count), rows(points, count)):
        assert found == sorted(found)
        assert [step.total_bytes for step in found] == sorted(step.total_bytes for step in found)
        assert len(found) <= count
        assert (found[-1].total_bytes if found else 0) == sum(size for _, size in points)


@given(POINTS, st.integers(1, 300), st.sampled_from(["utf-8", "ascii"]))
def test_every_line_fits_and_the_last_bar_is_full(points: list[tuple[datetime, int]], width: int, encoding: str) -> None:
    lines = draw(points, width, UTC, encoding)
    if lines:
        assert max(map(len, lines)) <= max(width, 24)
        assert len(lines) == 7
        full = "█" if encoding == "utf-8" else "#"
        assert all(line.endswith(full) for line in lines[:-1]) or not sum(size for _, size in points)
