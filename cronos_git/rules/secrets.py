"""What looks like a secret in the content of a file: a set of well-known forms, and expressions of the user's.

An expression is held against windows of 2 KiB, cut at line ends where there are any, so that its cost grows with the content
and not with its square; one that could match in too many ways at one place (a repeat inside a repeat, several repeats without
a bound) is refused. What is read of a file, and what follows from a find, is `conditions.py`'s. Floor F4: pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

COMMON = "common"
"""The word for the well-known forms."""

_KNOWN = {
    "a private key": r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "an AWS secret key": r"(?i)aws.{0,20}(?:secret|key).{0,20}[\"'=: ][0-9a-zA-Z/+]{40}(?![0-9a-zA-Z/+])",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,255}",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a Stripe key": r"\b[rs]k_live_[0-9A-Za-z]{24,255}",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a PyPI token": r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,1000}",
    "an API key of an AI service": r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{40,255}",
}

_WINDOW_BYTES = 2048
_OVERLAP_BYTES = 512
_MOST_WAYS = 4096
"""In so many ways an expression may match at one place."""

_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a secret.

    Attributes:
        name: What it is, for people.
        expression: Matches it, in bytes.
    """

    name: str
    expression: re.Pattern[bytes]


def parse_forms(words: Iterable[str]) -> tuple[Form, ...]:
    """The forms that *words* mean: `common`, or regular expressions.

    Raises:
        ValueError: One is no regular expression, or could take forever.
    """
    found: list[Form] = []
    for word in words:
        if word == COMMON:
            found += [Form(name, _compiled(text)) for name, text in _KNOWN.items()]
        else:
            _refuse_slow(word)
            found.append(Form(f"something like {word!r}", _compiled(word)))
    return tuple(found)


def find(forms: Sequence[Form], content: bytes) -> str:
    """The name of a form that *content* holds; empty when it holds none."""
    for window in _windows(content):
        for form in forms:
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
    try:
        parsed: Any = parser.parse(text.encode(), re.MULTILINE)
        _compiled(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    if re.search(text.encode(), b"") is not None:
        raise ValueError(f"{text!r} matches everything")
    if _ways(parsed) > _MOST_WAYS:
        raise ValueError(f"{text!r} could take forever on some contents; bound its repeats, as in {{0,9}}, and nest none")


def _ways(parsed: Any) -> int:
    """In how many ways, at most, an expression can match at one place: what a search that fails in the end has to try."""
    ways = 1
    for code, argument in parsed:
        if code in _REPEATS:
            ways *= _ways_of_repeat(int(argument[0]), int(argument[1]), _ways(argument[2]))
        elif code is codes.BRANCH:
            ways *= sum(map(_ways, argument[1]))
        else:
            for part in _parts(argument):
                ways *= _ways(part)
    return min(ways, _MOST_WAYS + 1)


def _ways_of_repeat(least: int, most: int, inner: int) -> int:
    spans = min(most, _WINDOW_BYTES) - min(least, _WINDOW_BYTES) + 1
    return spans * inner ** min(most, _MOST_WAYS.bit_length()) if inner > 1 else spans


def _parts(argument: Any) -> Iterator[Any]:
    """The expressions inside the argument of one step."""
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, tuple):
        for item in argument:
            yield from _parts(item)
