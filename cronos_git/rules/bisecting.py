"""Binary search for the first of a row of versions in which a test fails, some of which may not be testable.

Only the numbers of the versions are known here; what they are, and how they are tested, is the caller's. Floor F4: pure.

Source: git-bisect(1), "git bisect run" and "git bisect skip".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "bad", "skip"]
_SKIP_STATUS = 125
_LAST_BAD_STATUS = 127


@dataclass(frozen=True, slots=True)
class Found:
    """Where the search ended.

    Attributes:
        good: The last version that is known to be good before *bad*.
        bad: The first version that is known to be bad; every one between the two could not be tested.
    """

    good: int
    bad: int


def verdict_of(status: int) -> Verdict | None:
    """What the exit status of a test means; None, 128 and more or a signal (negative): that the search must end."""
    if status == 0:
        return "good"
    if status == _SKIP_STATUS:
        return "skip"
    return "bad" if 0 < status <= _LAST_BAD_STATUS else None


def first_bad(good: int, bad: int, test: Callable[[int, int], Verdict]) -> Found:
    """Find where good turns into bad.

    The nearest to the middle of what is left is tested next. If good and bad alternate, one of the places where good turns into
    bad is found.

    Args:
        good: Number of a version that is known to be good.
        bad: Number of a later one that is known to be bad.
        test: Tells about a version between them, given its number and how many others may still have to be tested; called once
            at most for each.

    Raises:
        Whatever *test* raises.

    Cost: as many tests as the number of versions has binary digits, and one for each that is skipped.
    """
    skipped: set[int] = set()
    while left := [number for number in range(good + 1, bad) if number not in skipped]:
        middle = (good + bad) // 2
        number = min(left, key=lambda candidate: abs(candidate - middle))
        verdict = test(number, len(left) - 1)
        if verdict == "good":
            good = number
        elif verdict == "bad":
            bad = number
        else:
            skipped.add(number)
    return Found(good, bad)
