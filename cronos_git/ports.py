"""What the engine asks of the world outside, as protocols. Floor F3."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; the library never asks the machine itself."""

    def now(self) -> datetime:
        """The present, timezone-aware, in UTC."""
        ...
