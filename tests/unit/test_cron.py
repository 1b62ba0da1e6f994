from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from cronos_git.rules.cron import next_after, next_due, parse_cron, parse_every, shortest_gap

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)


def moments(expression: str, start: datetime, how_many: int, zone: ZoneInfo = BERLIN) -> list[datetime]:
    found = []
    for _ in range(how_many):
        start = next_after(parse_cron(expression), start, zone)
        found.append(start)
    return found


def walls(expression: str, day: str, how_many: int) -> list[str]:
    """What a clock in Berlin shows at the first moments of that day."""
    start = datetime.fromisoformat(day).replace(tzinfo=BERLIN) - timedelta(minutes=1)
    return [moment.astimezone(BERLIN).isoformat()[8:22] for moment in moments(expression, start, how_many)]


@pytest.mark.parametrize(
    ("text", "minutes", "hours", "weekdays"),
    [
        ("*/20 1-3 * * MON-fri", {0, 20, 40}, {1, 2, 3}, {1, 2, 3, 4, 5}),
        ("5-59/30,7 0 1 Jan,dec 7", {5, 7, 35}, {0}, {0}),
        ("0 22 * * 5-7", {0}, {22}, {5, 6, 0}),
        (" @Weekly ", {0}, {0}, {0}),
        ("@hourly", {0}, set(range(24)), set(range(7))),
    ],
)
def test_an_expression_gives_the_numbers_that_it_names(text: str, minutes: set[int], hours: set[int], weekdays: set[int]) -> None:
    cron = parse_cron(text)
    assert (cron.minutes, cron.hours, cron.weekdays) == (minutes, hours, weekdays)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("@reboot", "five fields"),
        ("60 * * * *", "'60' is no minute from 0 to 59"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of the month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "weekday"),
        ("* * * * mo", "weekday"),
        ("-1 * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("٣ * * * *", "minute"),
        ("5/10 * * * *", "neither a range nor"),
        ("*/0 * * * *", "above 0"),
        ("*/ * * * *", "above 0"),
        ("* * * * fri-mon", "ends before it begins"),
        ("0 0 30 2 *", "does not exist"),
        ("0 0 31 4,6,9,11 *", "does not exist"),
    ],
)
def test_what_cron_would_not_take_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_cron(text)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("1m", "* * * * *"),
        ("15 minutes", "*/15 * * * *"),
        ("60m", "0 * * * *"),
        ("6h", "0 */6 * * *"),
        ("1d", "0 0 * * *"),
        ("24h", "0 0 * * *"),
        ("7d", "0 0 * * 0"),
        ("1w", "0 0 * * 0"),
        ("hourly", "0 * * * *"),
        ("Monthly", "0 0 1 * *"),
    ],
)
def test_a_length_of_time_is_said_in_a_calendars_words(text: str, fields: str) -> None:
    assert parse_every(text).text == fields


@pytest.mark.parametrize("text", ["7h", "7m", "90m", "0h", "0m", "2d", "36h", "5s", "", "now", "1.5h", "-1h"])
def test_a_length_of_time_that_no_calendar_repeats_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no calendar|no length"):
        parse_every(text)


def test_one_day_field_is_enough_unless_one_begins_with_a_star() -> None:
    either = moments("0 0 13 * fri", NOON, 4, ZoneInfo("UTC"))
    assert [moment.strftime("%a %d") for moment in either] == ["Fri 03", "Fri 10", "Mon 13", "Fri 17"]
    both = moments("0 0 */2 * fri", NOON, 3, ZoneInfo("UTC"))
    assert [moment.strftime("%a %d") for moment in both] == ["Fri 03", "Fri 17", "Fri 01"]


def test_the_rarest_day_is_found() -> None:
    (found,) = moments("0 0 */28 2 tue", datetime(2028, 3, 1, tzinfo=UTC), 1, ZoneInfo("UTC"))
    assert found.isoformat()[:10] == "2033-02-01"
    (found,) = moments("0 0 29 2 *", datetime(2097, 1, 1, tzinfo=UTC), 1, ZoneInfo("UTC"))
    assert found.isoformat()[:10] == "2104-02-29"


def test_a_time_that_the_clock_skips_comes_an_hour_later_and_one_shown_twice_comes_once() -> None:
    assert walls("30 2 * * *", "2026-03-28", 3) == ["28T02:30:00+01", "29T03:30:00+02", "30T02:30:00+02"]
    assert walls("30 2 * * *", "2026-10-24", 3) == ["24T02:30:00+02", "25T02:30:00+02", "26T02:30:00+01"]


def test_what_is_due_every_hour_goes_on_while_the_clock_is_changed() -> None:
    assert walls("30 * * * *", "2026-03-29", 4) == ["29T00:30:00+01", "29T01:30:00+01", "29T03:30:00+02", "29T04:30:00+02"]
    autumn = moments("*/20 * * * *", datetime(2026, 10, 24, 23, tzinfo=UTC), 12)
    assert {later - earlier for earlier, later in pairwise(autumn)} == {timedelta(minutes=20)}


def test_a_skipped_time_is_still_due_when_asked_within_that_hour() -> None:
    just_after = datetime(2026, 3, 29, 1, 10, tzinfo=UTC)  # 03:10, ten minutes after the clock went from 02:00 to 03:00
    assert next_after(parse_cron("15 2 * * *"), just_after, BERLIN) == datetime(2026, 3, 29, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "minutes"), [("*/15 * * * *", 15), ("0 3 * * *", 1440), ("0,5 1,2 * * *", 5), ("0 */6 * * *", 360)]
)
def test_the_shortest_gap_is_that_between_two_times_of_a_day(text: str, minutes: int) -> None:
    assert shortest_gap(parse_cron(text)) == timedelta(minutes=minutes)


# --- due ------------------------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)


def test_an_interval_counts_from_the_last_time() -> None:
    assert next_due(6, None, NOON - HOUR, NOON, UTC) == NOON + 5 * HOUR


def test_what_fell_due_while_nobody_looked_is_due_still() -> None:
    assert next_due(6, None, NOON - 100 * HOUR, NOON, UTC) == NOON - 94 * HOUR
    nightly = parse_cron("0 3 * * *")
    assert next_due(0, nightly, NOON - 100 * HOUR, NOON, UTC) == datetime(2026, 3, 29, 3, tzinfo=UTC)
    assert next_due(0, nightly, NOON - 2 * HOUR, NOON, UTC) == datetime(2026, 4, 2, 3, tzinfo=UTC)


def test_the_first_time_is_now_by_interval_and_the_next_time_by_cron() -> None:
    assert next_due(6, None, None, NOON, UTC) == NOON
    assert next_due(0, parse_cron("0 3 * * *"), None, NOON, UTC) == datetime(2026, 4, 2, 3, tzinfo=UTC)


def test_the_earlier_of_two_rules_counts_and_none_is_never() -> None:
    nightly = parse_cron("0 3 * * *")
    assert next_due(24, nightly, NOON, NOON, UTC) == datetime(2026, 4, 2, 3, tzinfo=UTC)
    assert next_due(2, nightly, NOON, NOON, UTC) == NOON + 2 * HOUR
    assert next_due(0, None, NOON, NOON, UTC) is None


def test_a_backup_dated_in_the_future_does_not_put_the_next_one_off() -> None:
    assert next_due(6, None, NOON + 10_000 * HOUR, NOON, UTC) == NOON + 6 * HOUR


def test_an_interval_of_ages_is_no_error() -> None:
    due = next_due(1e300, None, NOON, NOON, UTC)
    assert due is not None
    assert due.year > 2100
