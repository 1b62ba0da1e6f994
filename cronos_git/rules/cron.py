"""When something is due: the five fields of a crontab line, words such as `@daily`, lengths of time, and the moments they name.

The language is Vixie cron's, as Debian, the BSDs, macOS and cronie have it: lists, ranges, steps, names of months and weekdays, 7
for Sunday. A day is meant when both day fields fit it; when neither begins with `*`, one is enough. What cron would read in
another way than it looks is refused. Source: crontab(5) and entry.c of cron 3.0pl1. Floor F4: pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise

_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_SEARCHED_DAYS = 41 * 366
"""A 29 February on a given weekday comes again after at most 40 years."""

_LONGEST_HOURS = 100 * 366 * 24

_FOLD = timedelta(hours=3)
"""More than any clock is put back or forward at once, but for changes of the zone itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """What one of the five fields may say."""

    title: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field(title="minute", lowest=0, highest=59),
    _Field(title="hour", lowest=0, highest=23),
    _Field(title="day of the month", lowest=1, highest=31),
    _Field(title="month", lowest=1, highest=12, names=_MONTHS),
    _Field(title="weekday", lowest=0, highest=7, names=_WEEKDAYS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A crontab expression; each set holds the numbers that fit.

    Attributes:
        text: Its five fields, a blank between them.
        weekdays: 0 for Sunday to 6.
        either_day: Whether it is enough that one of the day fields fits.
    """

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def fits_day(self, day: date) -> bool:
        """Whether it names a time on that day."""
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (of_month or of_week if self.either_day else of_month and of_week)


def parse_cron(text: str) -> Cron:
    """Parse five fields, or a word that stands for them.

    Raises:
        ValueError: It is no such expression, or names no day that there is; the text says why.
    """
    fields = _WORDS.get(text.strip().lower(), text).split()
    if len(fields) != len(_FIELDS):
        raise ValueError("it does not have five fields")
    minutes, hours, days, months, weekdays = (_numbers(field, words) for field, words in zip(_FIELDS, fields, strict=True))
    either_day = not fields[2].startswith("*") and not fields[4].startswith("*")
    if not either_day and all(_LONGEST_MONTHS[month - 1] < min(days) for month in months):
        raise ValueError("it names a day that does not exist")
    return Cron(
        text=" ".join(fields),
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        either_day=either_day,
    )


def _numbers(field: _Field, words: str) -> frozenset[int]:
    return frozenset(number for part in words.split(",") for number in _part(field, part))


def _part(field: _Field, part: str) -> range:
    """The numbers of `*`, `*/2`, `3`, `mon-fri` or `10-30/5`."""
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    if span == "*":
        low, high = field.lowest, min(field.highest, 6) if field.names == _WEEKDAYS else field.highest
    else:
        low = _number(field, first, part)
        high = _number(field, last, part) if dash else low
    if slash and (not re.fullmatch("[0-9]{1,3}", step) or not int(step)):
        raise ValueError(f"{part!r} has no step that is a number above 0")
    if slash and span != "*" and not dash:
        raise ValueError(f"{part!r} has a step, but neither a range nor *")
    if low > high:
        raise ValueError(f"the range {part!r} ends before it begins")
    return range(low, high + 1, int(step) if slash else 1)


def _number(field: _Field, word: str, part: str) -> int:
    if word.lower() in field.names:
        return field.names.index(word.lower()) + (1 if field.names == _MONTHS else 0)
    if not re.fullmatch("[0-9]{1,2}", word) or not field.lowest <= int(word) <= field.highest:
        raise ValueError(f"{part!r} is no {field.title} from {field.lowest} to {field.highest}")
    return int(word)


_EVERY = re.compile(r"([0-9]{1,4}) ?(m|min|minutes?|h|hours?|d|days?|w|weeks?)")
_UNIT_MINUTES = {"m": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}


def parse_every(text: str) -> Cron:
    """The expression for `15m`, `6h`, `1d`, `hourly`, `daily`, `weekly`, `monthly` or `yearly`.

    Raises:
        ValueError: No calendar says that exactly, such as every 7 hours, or it is no length of time.
    """
    word = text.strip().lower()
    if f"@{word}" in _WORDS:
        return parse_cron(f"@{word}")
    match = _EVERY.fullmatch(word)
    if match is None:
        raise ValueError("it is no length of time such as 15m, 6h, daily or weekly")
    minutes = int(match[1]) * _UNIT_MINUTES[match[2][0]]
    if 0 < minutes < 60 and 60 % minutes == 0:
        return parse_cron("* * * * *" if minutes == 1 else f"*/{minutes} * * * *")
    hours = minutes // 60
    if minutes % 60 == 0 and 0 < hours < 24 and 24 % hours == 0:
        return parse_cron("0 * * * *" if hours == 1 else f"0 */{hours} * * *")
    whole = {24: "@daily", 7 * 24: "@weekly"}
    if minutes % 60 or hours not in whole:
        raise ValueError("no calendar repeats so: an hour or a day must be a multiple of it")
    return parse_cron(whole[hours])


# --- moments ------------------------------------------------------------------------------------------------------


def next_after(cron: Cron, moment: datetime, zone: tzinfo) -> datetime:
    """The first moment after *moment* that *cron* names on the clock of *zone*, in UTC.

    A time that the clock skips counts as so much later, and one that it shows twice counts once; expressions for every hour
    count both. So no day is left out or gets two where the clock is changed.
    """
    start = moment.astimezone(zone).replace(tzinfo=None, fold=0) - _FOLD
    folds = (0, 1) if len(cron.hours) == 24 else (0,)
    return min(_first_instant(cron, start, fold, zone, moment) for fold in folds)


def _first_instant(cron: Cron, start: datetime, fold: int, zone: tzinfo, moment: datetime) -> datetime:
    instants = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for wall in _times(cron, start))
    return next(instant for instant in instants if instant > moment)


def _times(cron: Cron, start: datetime) -> Iterator[datetime]:
    """The times after *start* that *cron* names on a clock that is never changed."""
    times = [time(hour, minute) for hour in sorted(cron.hours) for minute in sorted(cron.minutes)]
    for number in range(_SEARCHED_DAYS):
        day = start.date() + timedelta(days=number)
        if cron.fits_day(day):
            yield from (wall for clock in times if (wall := datetime.combine(day, clock)) > start)


def shortest_gap(cron: Cron) -> timedelta:
    """No two moments on one day are nearer to each other than this; a day when there is one a day."""
    minutes = sorted(60 * hour + minute for hour in cron.hours for minute in cron.minutes)
    gaps = [later - earlier for earlier, later in pairwise(minutes)]
    return timedelta(minutes=min(gaps, default=24 * 60))


def next_due(hours: float, cron: Cron | None, since: datetime | None, now: datetime, zone: tzinfo) -> datetime | None:
    """When something is due that is repeated every *hours* or as *cron* says, whichever comes first; None for never.

    What fell due while nobody looked is due still, once: the answer may lie before *now*.

    Args:
        hours: 0 for not by this rule.
        since: When it was done last; None for never, which makes it due at once by *hours*, and by *cron* the next time.
    """
    last = now if since is None else min(since, now)  # a clock that was wrong once must not put it off for ever
    moments = [next_after(cron, last, zone)] if cron else []
    if hours:
        moments.append(now if since is None else last + timedelta(hours=min(hours, _LONGEST_HOURS)))
    return min(moments, default=None)
