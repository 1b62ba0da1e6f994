"""Dates in the names of copies: `2024-01-02`, `project-20240102_1530.tar.gz`, `backup.2024-01-02T15:30`. Floor F4: pure.

A name is understood only when it holds exactly one date, of the calendar, as year, month, day; digits that stand right beside it
would make it something else. A time of day is read to the minute or second, and counts as local time when it has no offset.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import NamedTuple

_DATE = r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<dash>[-_.]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
_TIME = (
    r"(?:[T_.\- @]?(?P<hour>\d\d)[-:.h]?(?P<minute>\d\d)(?:[-:.m]?(?P<second>\d\d)s?)?(?P<zone>Z|[+-]\d\d:?\d\d)?)?(?![-:.]?\d)"
)
_DATED = re.compile(_DATE + _TIME)
_SUFFIX = re.compile(r"\.(?:zip|tar|tar\.gz|tgz|tar\.zst|tzst|tar\.bz2|tbz2?|tar\.xz|txz)\Z", re.IGNORECASE)


class Dated(NamedTuple):
    """What a name tells: the date, and the rest of it (empty when the date is all)."""

    stem: str
    created: datetime


def seems_dated(name: str) -> bool:
    """Whether something in a name looks like a date, be it one or several, of the calendar or not."""
    return _DATED.search(without_suffix(name)) is not None


def without_suffix(name: str) -> str:
    """The name of a file without the ending of an archive."""
    return _SUFFIX.sub("", name)


def read_dated(name: str, zone: tzinfo) -> Dated | None:
    """The date in the *name* of a file or directory; None when there is none, or more than one.

    Args:
        zone: Of times without an offset.
    """
    bare = without_suffix(name)
    found = list(_DATED.finditer(bare))
    if len(found) != 1:
        return None
    match = found[0]
    numbers = [int(match[part] or 0) for part in ("year", "month", "day", "hour", "minute", "second")]
    try:
        created = datetime(*numbers, tzinfo=zone)  # type: ignore[misc, arg-type]
        if match["zone"]:
            offset = datetime.fromisoformat(f"2000-01-01T00:00:00{match['zone']}").tzinfo
            created = created.replace(tzinfo=offset)
    except ValueError:
        return None
    stem = (bare[: match.start()].rstrip("-_. ") + " " + bare[match.end() :].lstrip("-_. ")).strip()
    return Dated(stem.replace(" ", "-"), created)
