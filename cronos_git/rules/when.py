"""Points in time as people write them.

Understood: `2026-04-01`, `2026-04-01T10:00` (any ISO 8601 form; local time when it has no offset), `20260401_100000` (the stamp
of an id, so UTC), `10:30` (the last time it was that late), `now`, `today`, `yesterday`, `2 days ago`, `2w`, `1 day 6 hours ago`.
`m` alone is refused: it could be minutes or months. The present and the zone are given, never asked for. Floor F4.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from cronos_git.errors import UsageError

_AMOUNT = r"(\d{1,6})\s*([a-z]+)"
_AGO = rf"{_AMOUNT}(?:[\s,]*{_AMOUNT})*(?:\s+ago)?"
_CLOCK = r"(\d{1,2}):(\d\d)(?::(\d\d))?"
_STAMP = r"[0-9]{8}_[0-9]{6}"
_ISO_CLOCK = r"[T _]\d\d(?::?(\d\d)(?::?(\d\d)([.,]\d+)?)?)?"
_SECONDS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
    "w": 604800,
    "week": 604800,
}
_MONTHS = {"mo": 1, "month": 1, "y": 12, "year": 12}


def parse_when(text: str, now: datetime, zone: tzinfo, *, end: bool = False) -> datetime:
    """Give the moment that *text* means, in UTC.

    Args:
        end: The last instant of the unit that *text* ends with (the day, minute or second) instead of its first: "until" it. A
            time as `cronos` shows it, to the minute or second, thus takes in what was made then.

    Raises:
        UsageError: *text* is none of the forms, or out of the calendar.
    """
    try:
        return _read(" ".join(text.lower().split()), now.astimezone(zone), end).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is not a date or time.",
            hint="Write 2026-04-01, 2026-04-01T10:00, 10:30, yesterday, '2 days ago', 6h or 2w ('min' are minutes, 'mo' months).",
        ) from error


def _read(text: str, now: datetime, end: bool) -> datetime:
    days = {"today": 0, "yesterday": 1}
    if text == "now":
        return now
    if text in days:
        return _day(now.date() - timedelta(days=days[text]), now.tzinfo, end)
    if match := re.fullmatch(_CLOCK, text):
        hour, minute, second = (int(part or 0) for part in match.groups())
        moment = datetime.combine(now.date(), time(hour, minute, second, tzinfo=now.tzinfo))
        moment = moment if moment <= now else moment - timedelta(days=1)
        return _last_of(moment, timedelta(seconds=1) if match[3] else timedelta(minutes=1)) if end else moment
    if re.fullmatch(_AGO, text):
        return _before(now, re.findall(_AMOUNT, text))
    return _iso(text.upper(), now.tzinfo, end)


def _iso(text: str, zone: tzinfo | None, end: bool) -> datetime:
    if re.fullmatch(_STAMP, text):
        moment = datetime.strptime(text, "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    else:
        try:
            return _day(date.fromisoformat(text), zone, end)
        except ValueError:
            moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return _last_of(moment, _unit(text)) if end else moment


def _unit(text: str) -> timedelta:
    """How long the last unit is that an ISO date with a time of day tells; nothing for a fraction of a second."""
    match = re.search(_ISO_CLOCK, text)
    minute, second, fraction = match.groups() if match else (None, None, "")
    if fraction is not None:
        return timedelta()
    return timedelta(seconds=1) if second else timedelta(minutes=1) if minute else timedelta(hours=1)


def _last_of(moment: datetime, unit: timedelta) -> datetime:
    return moment + max(unit - timedelta(microseconds=1), timedelta())


def _day(day: date, zone: tzinfo | None, end: bool) -> datetime:
    return datetime.combine(day, time.max if end else time.min, tzinfo=zone)


def _before(now: datetime, amounts: list[tuple[str, str]]) -> datetime:
    """Months first, by the calendar (31 March less a month is the last of February), then what has a fixed length."""
    months = seconds = 0
    for number, unit in amounts:
        unit = unit if unit in _SECONDS or unit in _MONTHS else unit.removesuffix("s")
        if unit in _MONTHS:
            months += int(number) * _MONTHS[unit]
        elif unit in _SECONDS:
            seconds += int(number) * _SECONDS[unit]
        else:
            raise ValueError(f"unknown unit {unit!r}")
    years, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    last = (date(years + month // 11, (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    # Fixed lengths are counted in UTC: an hour ago is an hour ago, also across a change of clocks.
    return now.replace(year=years, month=month + 1, day=min(now.day, last)).astimezone(UTC) - timedelta(seconds=seconds)
