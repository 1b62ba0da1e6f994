"""What looks like a secret in the content of a file: a set of well-known forms, and expressions of the user's.

An expression is held against windows of 2 KiB, cut at line ends where there are any, so that its cost grows with the content
and not with its square; one that could match in too many ways at one place (a repeat inside a repeat, several repeats without
a bound) is refused. What is read of a file, and what follows from a find, is `conditions.py`'s. Floor F4: pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

COMMON = "common"
"""The word for the well-known forms."""

_KNOWN = {
    "a private key": ((b"private key",), r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
    "an AWS access key": ((b"akia", b"asia"), r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "an AWS secret key": ((b"aws",), r"(?i)aws.{0,20}(?:secret|key).{0,20}[\"'=: ][0-9a-zA-Z/+]{40}(?![0-9a-zA-Z/+])"),
    "a GitHub token": (
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})",
    ),
    "a GitLab token": ((b"glpat-",), r"\bglpat-[A-Za-z0-9_-]{20,255}"),
    "a Slack token": ((b"xox",), r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    "a Google API key": ((b"aiza",), r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a Stripe key": ((b"k_live_",), r"\b[rs]k_live_[0-9A-Za-z]{24,255}"),
    "an npm token": ((b"npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    "a PyPI token": ((b"pypi-ageichlwas5vcmc",), r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,1000}"),
    "an API key of an AI service": ((b"sk-",), r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{40,255}"),
}
"""Of each form: what it cannot do without, in small letters, and the expression."""

_WINDOW_BYTES = 2048
_OVERLAP_BYTES = 512
_MOST_WAYS = 4096
"""In so many ways an expression may match at one place."""

_MOST_STEPS = 1 << 16
"""So many steps it may take to try them all."""

_NESTED_SET = re.compile(r"(?<!\\)\[\^?\[")
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a secret.

    Attributes:
        name: What it is, for people.
        expression: Matches it, in bytes.
        marks: One of these is in all that holds it, in small letters or capitals; empty when none is known. To look for them
            costs a hundredth of what the expression does.
    """

    name: str
    expression: re.Pattern[bytes]
    marks: tuple[bytes, ...] = ()


def parse_forms(words: Iterable[str]) -> tuple[Form, ...]:
    """The forms that *words* mean: `common`, or regular expressions.

    Raises:
        ValueError: One is no regular expression, or could take forever.
    """
    found: list[Form] = []
    for word in words:
        if word == COMMON:
            found += [Form(name, _compiled(text), marks) for name, (marks, text) in _KNOWN.items()]
        else:
            _refuse_slow(word)
            found.append(Form(f"something like {word!r}", _compiled(word)))
    return tuple(found)


def find(forms: Sequence[Form], content: bytes) -> str:
    """The name of a form that *content* holds; empty when it holds none."""
    small = content.lower()
    likely = [form for form in forms if not form.marks or any(mark in small for mark in form.marks)]
    for window in _windows(content) if likely else ():
        for form in likely:
            if form.expression.search(window):
                return form.name
    return ""


def _compiled(text: str) -> re.Pattern[bytes]:
    return re.compile(text.encode(), re.MULTILINE)


def _windows(content: bytes) -> Iterator[bytes]:
    """Pieces of whole lines; a line that is too long for one is cut, with some of it in both pieces."""
    start = 0
    while start < len(content):
        end = start + _WINDOW_BYTES
        if end >= len(content):
            yield content[start:]
            return
        line_end = content.rfind(b"\n", start, end) + 1
        yield content[start : line_end or end]
        start = line_end or end - _OVERLAP_BYTES


# --- expressions that could take forever --------------------------------------------------------------------------


def _refuse_slow(text: str) -> None:
    """Raise ValueError unless *text* is a regular expression whose search is quick in a window, whatever stands there."""
    if text.lower() == COMMON:
        raise ValueError(f"{text!r} is written {COMMON!r}")
    if _NESTED_SET.search(text):
        raise ValueError(f"{text!r} has a set in a set, which means something else here; write [0-9] for [[:digit:]]")
    try:
        parsed: Any = parser.parse(text.encode(), re.MULTILINE)
        _compiled(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    cost = _cost(parsed)
    if cost.ways > _MOST_WAYS or cost.steps > _MOST_STEPS:
        raise ValueError(f"{text!r} could take forever on some contents; bound its repeats, as in {{0,9}}, and nest none")
    if re.search(text.encode(), b"") is not None:
        raise ValueError(f"{text!r} matches everything")


class _Cost(NamedTuple):
    """What a search that fails in the end costs at one place, at most: the ways to match that it tries, and the steps of all."""

    ways: int
    steps: int


def _cost(parsed: Any) -> _Cost:
    """The cost of one expression after the other; each is tried in every way in which those before it match."""
    ways, steps = 1, 0
    for code, argument in parsed:
        one = _cost_of(code, argument)
        ways, steps = min(ways * one.ways, _MOST_WAYS + 1), min(steps + ways * one.steps, _MOST_STEPS + 1)
    return _Cost(ways, steps)


def _cost_of(code: Any, argument: Any) -> _Cost:
    if code in _REPEATS:
        return _cost_of_repeat(int(argument[0]), int(argument[1]), argument[2])
    if code is codes.BRANCH:
        costs = [_cost(branch) for branch in argument[1]]
        return _Cost(sum(cost.ways for cost in costs), sum(cost.steps for cost in costs))
    if code is codes.GROUPREF:
        return _Cost(1, _WINDOW_BYTES)
    costs = [_cost(part) for part in _parts(argument)]
    return _Cost(math.prod(cost.ways for cost in costs), 1 + sum(cost.steps for cost in costs))


def _cost_of_repeat(least: int, most: int, repeated: Any) -> _Cost:
    inner = _cost(repeated)
    # What can be empty is repeated as often as the expression says, however little there is.
    times = max(min(most, _WINDOW_BYTES), least if repeated.getwidth()[0] == 0 else 0)
    ways = min(most, _WINDOW_BYTES) - min(least, _WINDOW_BYTES) + 1
    if inner.ways > 1:
        ways *= inner.ways ** min(most, _MOST_WAYS.bit_length())
        return _Cost(ways, ways * times * inner.steps)
    return _Cost(ways, times * inner.steps)


def _parts(argument: Any) -> Iterator[Any]:
    """The expressions inside the argument of one step."""
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, tuple):
        for item in argument:
            yield from _parts(item)
