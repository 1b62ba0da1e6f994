"""The machine's clock and time zone, for those who put things together; the library is told the time. Floor F9."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


class SystemClock:
    """The machine's clock; implements `ports.Clock`."""

    def now(self) -> datetime:
        """The present in UTC."""
        return datetime.now(UTC)


class LocalZone(tzinfo):
    """The machine's time zone as the C library knows it, summer time included."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        """How far local time is ahead of UTC at the local time *when*."""
        return _local(when).utcoffset() if when else None

    def dst(self, when: datetime | None) -> timedelta | None:
        """Unknown: only the sum of offset and summer time is."""
        return None

    def tzname(self, when: datetime | None) -> str | None:
        """The zone's abbreviation at the local time *when*."""
        return _local(when).tzname() if when else None

    def fromutc(self, when: datetime) -> datetime:
        """The local time of the UTC time *when*; the second of two equal local times has `fold=1`."""
        known = when.replace(tzinfo=UTC).astimezone()
        local = known.replace(tzinfo=self)
        return local if local.utcoffset() == known.utcoffset() else local.replace(fold=1)


def _local(when: datetime) -> datetime:
    return when.replace(tzinfo=None).astimezone()
