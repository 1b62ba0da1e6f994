"""Cron's times against a count of minutes, APScheduler's and systemd's calendars."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from cronos_git.errors import UsageError
from cronos_git.rules.cron import Cron, next_after, parse_cron
from cronos_git.rules.schedules import calendar_lines, launchd_times

START = datetime(2026, 11, 24, 3, 17, tzinfo=UTC)
END = START + timedelta(days=400)
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
EXPRESSIONS = (
    "30 3 * * *",
    "0 */6 * * 1-5",
    "15,45 8-18/5 1,15 * *",
    "0 12 13 * fri",
    "0 4 */2 * mon",
    "59 23 31 * *",
    "0 0 29 2 *",
    "7 1 1-7 jan-mar,dec 7",
    "0 5 * * sun,tue,thu-sat",
)
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def ours(cron: Cron, start: datetime = START) -> Iterator[datetime]:
    while True:
        start = next_after(cron, start, UTC)
        yield start


def until_end(times: Iterator[datetime]) -> list[datetime]:
    return list(takewhile(lambda time: time <= END, times))


def by_counting(text: str) -> Iterator[datetime]:
    """Each minute asked whether it fits, by a reading of the fields of its own."""
    minute, hour, day, month, weekday = text.lower().split()
    for number in range(401):
        date = START.replace(hour=0, minute=0) + timedelta(days=number)
        days = fits(day, date.day, first=1), fits(weekday, date.isoweekday() % 7, DAYS)
        if fits(month, date.month, MONTHS) and (any(days) if "*" not in (day[0], weekday[0]) else all(days)):
            hours = [number for number in range(24) if fits(hour, number)]
            minutes = [number for number in range(60) if fits(minute, number)]
            times = (date.replace(hour=h, minute=m) for h in hours for m in minutes)
            yield from (time for time in times if START < time <= END)


MONTHS = ("", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def fits(field: str, number: int, names: tuple[str, ...] = (), first: int = 0) -> bool:
    for place, name in enumerate(names):
        field = field.replace(name, str(place)) if name else field
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        bounds = (first, 99) if span == "*" else (int(low), int(high or low))
        candidates = (number, 7) if names is DAYS and number == 0 else (number,)
        if any(bounds[0] <= one <= bounds[1] and (one - bounds[0]) % int(step or 1) == 0 for one in candidates):
            return True
    return False


def apscheduler_times(cron: Cron) -> Iterator[datetime]:
    def trigger(**days: str) -> BaseTrigger:
        return CronTrigger(
            minute=listed(cron.minutes), hour=listed(cron.hours), month=listed(cron.months), second=0, timezone=UTC, **days
        )

    of_month, of_week = {"day": listed(cron.days)}, {"day_of_week": ",".join(DAYS[day] for day in cron.weekdays)}
    both = trigger(**of_month, **of_week)
    combined = OrTrigger([trigger(**of_month), trigger(**of_week)]) if cron.either_day else both
    time = START
    while True:
        time = combined.get_next_fire_time(None, time + timedelta(seconds=1))
        yield time


def listed(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def systemd_times(cron: Cron, how_many: int) -> set[datetime]:
    """The first times of each calendar line, together."""
    found = set()
    for line in calendar_lines(cron):
        words = ["systemd-analyze", "calendar", f"--iterations={how_many}", f"--base-time={START:%Y-%m-%d %H:%M:%S} UTC", line]
        said = subprocess.run(
            words, capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"}
        ).stdout
        times = re.findall(r"(?:Next elapse|Iteration #\d+|Iter\. #\d+): \w+ (\S+ \S+) UTC", said)
        found |= {datetime.fromisoformat(time).replace(tzinfo=UTC) for time in times}
    return found


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_every_minute_of_400_days_is_told_as_by_counting(text: str) -> None:
    assert until_end(ours(parse_cron(text))) == list(by_counting(text))


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_400_days_are_those_of_apscheduler(text: str) -> None:
    cron = parse_cron(text)
    assert until_end(ours(cron)) == until_end(apscheduler_times(cron))


@needs_systemd
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_400_days_are_those_of_systemds_calendar(text: str) -> None:
    expected = until_end(ours(parse_cron(text)))
    found = systemd_times(parse_cron(text), len(expected) + 1)
    assert sorted(time for time in found if time <= END) == expected


def part_of(lowest: int, highest: int) -> st.SearchStrategy[str]:
    number = st.integers(lowest, highest)
    spans = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(st.one_of(spans, st.just("*")), st.integers(1, 12)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.one_of(st.just("*"), number.map(str), spans, stepped)


def field_of(lowest: int, highest: int) -> st.SearchStrategy[str]:
    return st.lists(part_of(lowest, highest), min_size=1, max_size=2).map(",".join)


@st.composite
def crons(draw: st.DrawFn) -> Cron:
    bounds = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 7))
    return parse_cron(" ".join(draw(field_of(*bound)) for bound in bounds))


@given(cron=crons())
@settings(max_examples=40)
def test_any_expression_is_read_as_apscheduler_reads_its_numbers(cron: Cron) -> None:
    for own, other, _ in zip(ours(cron), apscheduler_times(cron), range(8), strict=False):
        assert own == other


@needs_systemd
@given(cron=crons())
@settings(max_examples=25)
def test_any_expression_is_translated_exactly_for_systemd(cron: Cron) -> None:
    expected = [time for time, _ in zip(ours(cron), range(20), strict=False)]
    assert sorted(systemd_times(cron, 20))[:20] == expected


@given(cron=crons())
@settings(max_examples=15)
def test_any_expression_is_translated_exactly_for_launchd_or_refused(cron: Cron) -> None:
    try:
        tables = launchd_times(cron)
    except UsageError:
        return
    for time, _ in zip(ours(cron), range(30), strict=False):
        assert any(launchd_fits(table, time) for table in tables)
    end = START + timedelta(minutes=150)
    minutes = (START + timedelta(minutes=number) for number in range(1, 151))
    told = [time for time in minutes if any(launchd_fits(table, time) for table in tables)]
    assert told == list(takewhile(lambda time: time <= end, ours(cron)))  # and no others


def launchd_fits(table: dict[str, int], time: datetime) -> bool:
    """As launchd.plist(5) tells it: what is missing does not matter."""
    is_now = {"Month": time.month, "Day": time.day, "Hour": time.hour, "Minute": time.minute, "Weekday": time.isoweekday() % 7}
    return all(is_now[name] == number for name, number in table.items())
