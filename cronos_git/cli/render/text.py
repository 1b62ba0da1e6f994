"""Sizes, times, counts and names as short text. Floor F11."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

from cronos_git.rules.visible import visible as visible

if TYPE_CHECKING:
    from cronos_git.model import Backup

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_AGES = ((31_557_600, "year"), (2_629_800, "month"), (86_400, "day"), (3600, "hour"), (60, "minute"))


def size(size_bytes: int) -> str:
    """A size for people: `512 B`, `1.2 MiB`."""
    if abs(size_bytes) < 1024:
        return f"{size_bytes} B"
    value, power = size_bytes / 1024, 0
    while abs(value) >= 1023.95 and power < len(_UNITS) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.1f} {_UNITS[power]}"


def plural(number: int, word: str, words: str = "") -> str:
    """`1 file`, `78,579 files`; *words* where the plural is not *word* with an s."""
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def duration(duration_s: float) -> str:
    """A length of time: `0.4 s`, `3 min 5 s`, `2 h 10 min`."""
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def age(when: datetime, now: datetime) -> str:
    """How long ago *when* was: `just now`, `5 minutes ago`, `in 2 hours`."""
    seconds = (now - when).total_seconds()
    for length, word in _AGES:
        if abs(seconds) >= length:
            amount = plural(int(abs(seconds) // length), word)
            return f"{amount} ago" if seconds > 0 else f"in {amount}"
    return "just now"


def local(when: datetime, zone: tzinfo) -> str:
    """A moment on the user's clock, to the second: `2026-04-01 14:00:00`."""
    return when.astimezone(zone).isoformat(" ")[:19]


def local_ns(mtime_ns: int, zone: tzinfo) -> str:
    """A file's time on the user's clock, to the second; the seconds themselves when no calendar reaches them."""
    seconds = mtime_ns // 1_000_000_000
    try:
        return local(datetime.fromtimestamp(seconds, UTC), zone)
    except (ValueError, OverflowError, OSError):
        return f"@{seconds}"


def changes(backup: Backup) -> str:
    """What a backup changed against its parent: `+12 ~3 -1`."""
    return f"+{backup.added} ~{backup.changed} -{backup.removed}"
