import io
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cronos_git.cli.listing import backup_table
from cronos_git.cli.render.tables import Column, Table, align, cut_lines, draw, fit, plain_lines, width_of
from tests.cli.records import backup


def test_a_pipe_gets_every_column_uncut_with_a_dash_for_nothing() -> None:
    rows = [backup(1, labels=("x" * 60,), pinned=True), backup(12, message="why\x1b")]
    assert list(plain_lines(backup_table(rows, UTC))) == [
        "ID                      TYPE    SCOPE    CREATED           FILES      SIZE    CHANGES  PIN     LABELS"
        + " " * 56
        + "MESSAGE",
        "backup_20260401_130000  manual  project  2026-04-01 13:00     10    1000 B   +1 ~0 -0  pinned  " + "x" * 60 + "  -",
        "backup_20260402_000000  manual  project  2026-04-02 00:00    120  11.7 KiB  +12 ~0 -0  -       -"
        + " " * 61
        + "why\\x1b",
    ]


def test_wide_and_combining_characters_are_aligned_by_what_they_take_on_a_terminal() -> None:
    assert width_of("日本e\u0301") == 5
    assert list(align([("日本", "x"), ("abcde", "y")], [False, False])) == ["日本   x", "abcde  y"]
    assert list(align([("日本", "x"), ("abcde", "y")], [True, False])) == [" 日本  x", "abcde  y"]


def test_on_a_terminal_silent_columns_are_left_out() -> None:
    fitted, _ = fit(backup_table([backup(1), backup(2)], UTC), 200)
    assert [column.title for column in fitted.columns] == ["ID", "CREATED", "FILES", "SIZE", "CHANGES"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_what_is_drawn_fits_the_terminal_or_nothing_more_can_go(width: int) -> None:
    rows = [
        backup(i, message="m" * 70, labels=("l" * 30,), scope="atlas+ethik", type="pre-deploy", pinned=True) for i in range(1, 4)
    ]
    fitted, widths = fit(backup_table(rows, UTC), width)
    taken = sum(widths) + 2 * (len(widths) - 1)
    assert taken <= width or not any(column.drop for column in fitted.columns)
    assert fitted.columns[0].title == "ID"


def test_a_flexible_column_grows_into_the_spare_width() -> None:
    table = Table(columns=(Column(title="A"), Column(title="B", flexible=True)), rows=[("x" * 10, "y" * 100)])
    assert fit(table, 62)[1] == [10, 50]


LONG = "newest of its scope; newest of its day (keep_daily); newest of its week (keep_weekly)"
FOLDING = Table(
    columns=(Column(title="ID"), Column(title="AGE", drop=1), Column(title="WHY", folds=True)),
    rows=[("a" * 30, "16 days", LONG), ("b", "-", ""), ("c", "2 days", "pinned")],
)


@pytest.mark.parametrize("width", [60, 80, 90, 200])
def test_a_folding_column_is_told_in_full_below_itself(width: int) -> None:
    stream = io.StringIO()
    draw(FOLDING, Console(file=stream, width=width, color_system=None))
    for lines in (list(cut_lines(FOLDING, width)), stream.getvalue().splitlines()):
        assert max(map(len, lines)) <= width
        at = lines[0].index("WHY")
        assert " ".join(line[at:].strip() for line in lines[1:-2]) == LONG
        assert [line[at:].rstrip() for line in lines[-2:]] in (["-", "pinned"], ["", "pinned"])
        assert ("AGE" in lines[0]) == (width >= 80)


@given(st.lists(st.tuples(st.text("ab日\u0301", max_size=9), st.text("ab日", max_size=9)), min_size=1, max_size=9))
def test_every_line_of_an_aligned_table_puts_its_second_column_at_the_same_place(rows: list[tuple[str, str]]) -> None:
    marked = [(first, f"|{second}") for first, second in rows]
    places = {width_of(line[: line.index("|")]) for line in align(marked, [False, False])}
    assert len(places) == 1
