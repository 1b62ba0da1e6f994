"""The conditions that a rule of the policy can be made of: each is parsed from one key of the rule, and says what violates it.

A condition is either on the action as such, or on each path that it touches; those of the second kind are given every path once,
with its content read at most once for all of them. Which verbs a condition goes with, and what comes of a violation, is
`policy.py`'s. Floor F4: pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from cronos_git.errors import ConfigError, PatternError
from cronos_git.model import Action, Touched
from cronos_git.rules import secrets
from cronos_git.rules.binary import is_binary
from cronos_git.rules.patterns import TAKE, build_matcher
from cronos_git.rules.schema import format_size, parse_size
from cronos_git.rules.visible import visible

PROJECT = "project"
"""Stands for the project's directory among the targets."""

READ_BYTES = 1 << 20
"""So much of each file is looked at for secrets."""

_NO_PLACE = frozenset("*?\0")

Resolve = Callable[[str], str]
"""Makes a real path of one as it was written."""


class Seen:
    """A path that an action touches; its content is read when first asked for."""

    def __init__(self, touched: Touched) -> None:
        self.touched = touched

    @cached_property
    def text(self) -> bytes:
        """The first MiB of the new content; nothing when there is none, or it is binary.

        Raises:
            CronosError: It cannot be read.
        """
        if self.touched.read is None:
            return b""
        content = b""
        for piece in self.touched.read():
            content += piece[: READ_BYTES - len(content)]
            if len(content) >= READ_BYTES or is_binary(content):
                break
        return b"" if is_binary(content) else content


@dataclass(frozen=True, slots=True)
class Whole:
    """A condition on the action as such.

    Attributes:
        faults: What violates it, as clauses; nothing when it holds.
    """

    faults: Callable[[Action], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Each:
    """A condition on every path that is touched.

    Attributes:
        fault: What violates it; empty when it holds.
    """

    fault: Callable[[Action, Seen], str]


Condition = Whole | Each


# --- paths and targets --------------------------------------------------------------------------------------------


def paths(value: object, _resolve: Resolve) -> Condition:
    """`paths`: gitignore patterns of what may not be touched, with all that lies below."""
    patterns = texts(value)
    if all(pattern.startswith("!") for pattern in patterns):
        raise ValueError(f"{patterns[0]!r} is an exception from nothing")
    if at_home := [pattern for pattern in patterns if pattern.startswith("~/")]:
        raise ValueError(f"{at_home[0]!r} would lie in the project; patterns are relative to its top")
    try:
        matcher = build_matcher(defaults=(), exclude=patterns, include=())
    except PatternError as error:
        raise ValueError(error.message.removesuffix(".")) from error
    known: dict[str, bool] = {"": False}

    def matches(path: str, is_directory: bool) -> bool:
        above, _, name = path.rpartition("/")
        return lies_in_match(above) or matcher.judge(path, name, is_directory) != TAKE

    def lies_in_match(directory: str) -> bool:
        if directory not in known:
            known[directory] = matches(directory, True)
        return known[directory]

    def fault(action: Action, seen: Seen) -> str:
        _refuse_whole_paths(patterns, action.project)
        touched = seen.touched
        is_gone = touched.size_bytes is None
        if not touched.path or (action.verb == "create" and is_gone) or not matches(touched.path, touched.is_directory):
            return ""
        what = "in a backup" if action.verb == "create" else "changed" if action.is_in_place else "restored"
        return f"{visible(touched.path)} must not be {'deleted' if is_gone else what}"

    return Each(fault)


def _refuse_whole_paths(patterns: Sequence[str], project: str) -> None:
    """Raise ConfigError when a pattern is a path on the machine: it would match nothing, and protect nothing."""
    for pattern in patterns:
        if f"{pattern.removeprefix('!')}/".startswith(f"{project}/"):
            raise ConfigError(
                f"The rule about {pattern!r} holds for nothing: patterns are relative to the project's top.",
                hint=f"Leave {project} away from it.",
            )


def targets(value: object, resolve: Resolve) -> Condition:
    """`targets`: the directories that may be restored to, with all that lies below."""
    words = texts(value)
    for word in words:
        if word not in (PROJECT, "~") and not word.startswith(("/", "~/")):
            raise ValueError(f"`targets` holds {word!r}, which is neither an absolute path nor `{PROJECT}`")
        if not _NO_PLACE.isdisjoint(word):
            raise ValueError(f"`targets` holds {word!r}; a target is a directory, with all below, and no pattern")
    places = [word if word == PROJECT else resolve(word) for word in words]

    def faults(action: Action) -> Iterator[str]:
        allowed = (action.project if place == PROJECT else place for place in places)
        if not any(action.target == place or action.target.startswith(place.rstrip("/") + "/") for place in allowed):
            yield f"{visible(action.target)} is no place to restore to; allowed is {', '.join(places)}"

    return Whole(faults)


# --- what a backup says of itself ---------------------------------------------------------------------------------


def require_metadata(value: object, _resolve: Resolve) -> Condition:
    """`require_metadata`: keys that must be there, perhaps as `KEY=PATTERN`, a shell pattern of the value."""
    wanted = [word.partition("=") for word in texts(value)]
    if not all(key.strip() == key != "" for key, _, _ in wanted):
        raise ValueError("a key has no name, or blanks around it")

    def faults(action: Action) -> Iterator[str]:
        for key, equals, pattern in wanted:
            if key not in action.metadata:
                yield f"the metadata lack {key}"
            elif equals and not fnmatchcase(said := _said(action.metadata[key]), pattern):
                yield f"the metadata say {key}={said}, which is not like {pattern}"

    return Whole(faults)


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def require_labels(value: object, _resolve: Resolve) -> Condition:
    """`require_labels`: shell patterns, for each of which a label must be there."""
    wanted = texts(value)

    def faults(action: Action) -> Iterator[str]:
        for pattern in wanted:
            if not any(fnmatchcase(label, pattern) for label in action.labels):
                yield f"there is no label {pattern}"

    return Whole(faults)


# --- sizes and numbers --------------------------------------------------------------------------------------------


def max_size(value: object, _resolve: Resolve) -> Condition:
    """`max_size`: bytes of all contents together."""
    limit = _size(value)

    def faults(action: Action) -> Iterator[str]:
        if (action.size_bytes or 0) > limit:
            yield f"it has {action.size_bytes:,} bytes, more than {format_size(limit)}"

    return Whole(faults)


def max_files(value: object, _resolve: Resolve) -> Condition:
    """`max_files`: how many files there may be."""
    limit = _count(value)

    def faults(action: Action) -> Iterator[str]:
        if (action.files or 0) > limit:
            yield f"it has {action.files:,} files, more than {limit:,}"

    return Whole(faults)


def max_file_size(value: object, _resolve: Resolve) -> Condition:
    """`max_file_size`: bytes of each content that is new."""
    limit = _size(value)

    def fault(_action: Action, seen: Seen) -> str:
        size_bytes = seen.touched.size_bytes or 0
        is_over = size_bytes > limit
        return f"{visible(seen.touched.path)} has {size_bytes:,} bytes, more than {format_size(limit)}" if is_over else ""

    return Each(fault)


def min_keep(value: object, _resolve: Resolve) -> Condition:
    """`min_keep`: how many backups must be left, restore points not counted."""
    least = _count(value)

    def faults(action: Action) -> Iterator[str]:
        if action.left is not None and action.left < least:
            yield f"{action.left:,} {'backup' if action.left == 1 else 'backups'} would be left, fewer than {least:,}"

    return Whole(faults)


# --- the rest -----------------------------------------------------------------------------------------------------


def secret_contents(value: object, _resolve: Resolve) -> Condition:
    """`secrets`: `common`, or regular expressions, that no new content may match."""
    forms = secrets.parse_forms(texts(value))

    def fault(_action: Action, seen: Seen) -> str:
        name = secrets.find(forms, seen.text)
        return f"{visible(seen.touched.path)} seems to hold {name}" if name else ""

    return Each(fault)


def forbid(value: object, _resolve: Resolve) -> Condition:
    """`forbid`: true; what the rule is on is never allowed."""
    if value is not True:
        raise ValueError("`forbid` can only be true")
    return Whole(lambda action: [f"`{action.verb}` is forbidden"])


# --- values -------------------------------------------------------------------------------------------------------


def texts(value: object) -> Sequence[str]:
    """A list of texts, or one text."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, Sequence) or not listed or not all(isinstance(item, str) and item for item in listed):
        raise ValueError(f"{value!r} is no text, and no list of texts")
    return tuple(listed)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no whole number of 0 or more")
    return value


def _size(value: object) -> int:
    return parse_size(value) if isinstance(value, str) else _count(value)
