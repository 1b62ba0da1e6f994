"""A small plot of growth for a terminal: bars of block characters, or of plain ones where the encoding has no others.

Time runs from left to right in equal steps, so that a pause shows as a level stretch. Floor F11.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from itertools import accumulate
from typing import NamedTuple

from cronos_git.cli.render.text import local, size

_BLOCKS = " ▁▂▃▄▅▆▇█"
_PLAIN = " .:#"
_HEIGHT = 6
_WIDEST = 100
_NARROWEST = 10


class Step(NamedTuple):
    """The state at the end of one step of time.

    Attributes:
        total_bytes: Everything up to then.
    """

    when: datetime
    total_bytes: int


def steps(points: Sequence[tuple[datetime, int]], count: int) -> list[Step]:
    """*points* (a moment, and the bytes that came then) summed up, at *count* moments equally far from each other.

    The first moment is that of the first point, the last that of the last; there is only one when all points are at one.
    """
    if not points:
        return []
    ordered = sorted(points)
    totals = list(accumulate(added for _, added in ordered))
    begin, end = ordered[0][0], ordered[-1][0]
    if begin == end or count < 2:
        return [Step(end, totals[-1])]
    found, reached = [], 0
    for number in range(count):
        when = end if number == count - 1 else begin + (end - begin) * number / (count - 1)
        while reached < len(ordered) and ordered[reached][0] <= when:
            reached += 1
        found.append(Step(when, totals[reached - 1]))
    return found


def rows(points: Sequence[tuple[datetime, int]], most: int) -> list[Step]:
    """*points* summed up, one after the other; of more than *most* only so many, the last among them."""
    ordered = sorted(points)
    totals = list(accumulate(added for _, added in ordered))
    found = [Step(when, total) for (when, _), total in zip(ordered, totals, strict=True)]
    if len(found) <= most:
        return found
    return [found[(number + 1) * len(found) // most - 1] for number in range(most)]


def draw(points: Sequence[tuple[datetime, int]], width: int, zone: tzinfo, encoding: str) -> list[str]:
    """The plot as lines of at most *width* cells, if that leaves room for ten bars.

    The bytes stand at the left of the bars, the times of both ends below them.

    Args:
        points: Moments, and the bytes that came then; when they are not two moments at least, nothing is drawn.
        encoding: Of the terminal.
    """
    if len({when for when, _ in points}) < 2:
        return []
    top = sum(added for _, added in points)
    margin = max(len(size(top)), len(size(top // 2)), len("0 B"))
    bars = steps(points, min(_WIDEST, max(_NARROWEST, width - margin - 2)))
    levels = _PLAIN if not _can_show(_BLOCKS, encoding) else _BLOCKS
    labels = {_HEIGHT - 1: size(top), _HEIGHT // 2 - 1: size(top // 2)}
    axis, corner = ("┤", "└") if levels is _BLOCKS else ("|", "+")
    lines = [
        f"{labels.get(row, ''):>{margin}} {axis}{''.join(_cell(bar, top, row, levels) for bar in bars)}".rstrip()
        for row in reversed(range(_HEIGHT))
    ]
    return [*lines, f"{'0 B':>{margin}} {corner}{_ends(bars, zone)}"]


def _can_show(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _cell(bar: Step, top: int, row: int, levels: str) -> str:
    """The part of a bar that stands in one row; what is there at all shows."""
    full = len(levels) - 1
    height = bar.total_bytes * _HEIGHT * full // top if top else 0
    return levels[max(0, min(full, max(height, bar.total_bytes > 0) - row * full))]


def _ends(bars: Sequence[Step], zone: tzinfo) -> str:
    """The times of both ends, as far as there is room: with the hour, by the day, or only the left one."""
    for length in (16, 10):
        left, right = (local(bar.when, zone)[:length] for bar in (bars[0], bars[-1]))
        gap = len(bars) - len(left) - len(right)
        if gap >= 1:
            return left + " " * gap + right
    return left
