from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from cronos_git.errors import UsageError
from cronos_git.rules.when import parse_when

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)  # 14:00 in Berlin, a Wednesday


def _in_berlin(text: str, *, end: bool = False) -> str:
    return parse_when(text, NOW, BERLIN, end=end).isoformat()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-04-01T12:00:00+00:00"),
        ("2026-04-01", "2026-03-31T22:00:00+00:00"),
        ("20260401", "2026-03-31T22:00:00+00:00"),
        ("2026-04-01T10:00", "2026-04-01T08:00:00+00:00"),
        ("2026-04-01 10:00:30", "2026-04-01T08:00:30+00:00"),
        ("2026-04-01t10:00z", "2026-04-01T10:00:00+00:00"),
        ("2026-04-01T10:00:00.5+05:30", "2026-04-01T04:30:00.500000+00:00"),
        ("20260401_100000", "2026-04-01T10:00:00+00:00"),
        ("2026-01-01T10:00", "2026-01-01T09:00:00+00:00"),
        ("today", "2026-03-31T22:00:00+00:00"),
        ("yesterday", "2026-03-30T22:00:00+00:00"),
        ("10:30", "2026-04-01T08:30:00+00:00"),
        ("14:00", "2026-04-01T12:00:00+00:00"),
        ("14:00:01", "2026-03-31T12:00:01+00:00"),
        ("2 days ago", "2026-03-30T12:00:00+00:00"),
        ("  2   Days  ", "2026-03-30T12:00:00+00:00"),
        ("2w", "2026-03-18T12:00:00+00:00"),
        ("90min", "2026-04-01T10:30:00+00:00"),
        ("1d12h", "2026-03-31T00:00:00+00:00"),
        ("1 day, 6 hours ago", "2026-03-31T06:00:00+00:00"),
        ("30 seconds ago", "2026-04-01T11:59:30+00:00"),
        ("1 month ago", "2026-03-01T13:00:00+00:00"),
        ("2mo", "2026-02-01T13:00:00+00:00"),
        ("4 months ago", "2025-12-01T13:00:00+00:00"),
        ("1y", "2025-04-01T12:00:00+00:00"),
    ],
)
def test_time_is_read_in_the_zone_given(text: str, expected: str) -> None:
    assert _in_berlin(text) == expected


def test_day_that_ends_means_its_last_instant() -> None:
    assert _in_berlin("2026-03-31", end=True) == "2026-03-31T21:59:59.999999+00:00"
    assert _in_berlin("yesterday", end=True) == "2026-03-31T21:59:59.999999+00:00"


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("2026-03-31T00:00", "2026-03-30T22:00:59.999999"),
        ("2026-03-31 00:00:05", "2026-03-30T22:00:05.999999"),
        ("20260331t000005z", "2026-03-31T00:00:05.999999"),
        ("2026-03-31T00:00+05:30", "2026-03-30T18:30:59.999999"),
        ("2026-03-31T10", "2026-03-31T08:59:59.999999"),
        ("20260331_100000", "2026-03-31T10:00:00.999999"),
        ("10:30", "2026-04-01T08:30:59.999999"),
        ("10:30:07", "2026-04-01T08:30:07.999999"),
    ],
)
def test_time_that_ends_means_the_last_instant_of_the_minute_or_second_that_is_written(text: str, last: str) -> None:
    assert _in_berlin(text, end=True) == f"{last}+00:00"


@pytest.mark.parametrize("text", ["now", "2 days ago", "2026-03-31T10:00:00.5", "2026-03-31T10:00:00.250000Z"])
def test_exact_moment_ends_where_it_begins(text: str) -> None:
    assert _in_berlin(text, end=True) == _in_berlin(text)


def test_month_that_is_shorter_ends_earlier() -> None:
    for now, text, expected in (
        (datetime(2026, 3, 31, tzinfo=UTC), "1 month ago", (2026, 2, 28)),
        (datetime(2024, 2, 29, tzinfo=UTC), "1 year ago", (2023, 2, 28)),
        (datetime(2024, 3, 31, tzinfo=UTC), "1 month ago", (2024, 2, 29)),
        (datetime(2026, 1, 31, tzinfo=UTC), "1 month ago", (2025, 12, 31)),
        (datetime(2026, 12, 31, tzinfo=UTC), "1 month ago", (2026, 11, 30)),
    ):
        assert parse_when(text, now, UTC) == datetime(*expected, tzinfo=UTC)


def test_hours_are_counted_across_a_change_of_clocks() -> None:
    after = datetime(2026, 3, 29, 4, 0, tzinfo=BERLIN)  # clocks went from 2:00 to 3:00
    assert parse_when("2h", after, BERLIN) == datetime(2026, 3, 29, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "ago", "days ago", "5m", "2 fortnights", "-2 days", "2 days hence", "25:00", "10:61"),
        *("2026-13-01", "2026-02-30", "20261301_000000", "1234567890", "0001-01-01", "9999-12-31T23:59-05:00"),
        *("3000 years ago", "999999 weeks 999999 weeks"),
    ],
)
def test_what_is_no_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="not a date or time") as caught:
        _in_berlin(text)
    assert "2026-04-01" in caught.value.hint
