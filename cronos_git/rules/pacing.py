"""When `watch` takes a backup: after changes have settled, not too often, and now and then in any case. Floor F4: pure."""

from __future__ import annotations

import math

_PATIENCE = 10
"""What never settles is saved after so many times the time to settle, or after the gap when that is longer."""


class Pace:
    """Told of changes and of tries, says when the next try is due. All times in seconds on one clock that is never set.

    Args:
        settle_s: How long nothing must change.
        gap_s: How long after one try the next may be.
        look_s: A try is due after so long without one even if no change was heard of.
    """

    def __init__(self, *, settle_s: float, gap_s: float, look_s: float) -> None:
        self.settle_s = settle_s
        self.gap_s = gap_s
        self.look_s = look_s
        self._first_s = self._last_s = -math.inf  # there may be changes from before: the first try is due at once
        self._is_dirty = True
        self._wait_until_s = -math.inf
        self._tried_s = -math.inf

    def changed(self, now_s: float) -> None:
        """Something has changed."""
        if not self._is_dirty:
            self._is_dirty, self._first_s = True, now_s
        self._last_s = now_s

    def is_due(self, now_s: float) -> bool:
        """Whether to try now."""
        if now_s < self._wait_until_s:
            return False
        if not self._is_dirty:
            return now_s - self._tried_s >= self.look_s
        is_settled = now_s - self._last_s >= self.settle_s
        return is_settled or now_s - self._first_s >= max(self.gap_s, _PATIENCE * self.settle_s)

    def tried(self, now_s: float) -> None:
        """A try begins: what has changed until now, it sees."""
        self._tried_s, self._is_dirty = now_s, False
        self._wait_until_s = now_s + self.gap_s

    def failed(self, now_s: float, wait_s: float) -> None:
        """The try came to nothing; the next is due after *wait_s*."""
        self.changed(now_s)
        self._first_s = self._last_s = -math.inf
        self._wait_until_s = now_s + max(wait_s, self.gap_s)
