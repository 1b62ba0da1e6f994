"""A clock that stands until it is told to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Starts at noon of 2026-04-01, UTC; implements `ports.Clock`."""

    def __init__(self, start: datetime = datetime(2026, 4, 1, 12, 0, 0, tzinfo=UTC)) -> None:
        self.time = start

    def now(self) -> datetime:
        return self.time

    def advance(self, **amount: float) -> None:
        self.time += timedelta(**amount)
