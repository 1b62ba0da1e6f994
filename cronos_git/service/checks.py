"""What the values of a payload must be: checks that give a value as a request has it, or say what is wrong with it.

Which key has which check is `messages`'. Floor F10: pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from cronos_git.errors import MessageError
from cronos_git.rules.identify import IMPORT, RESTORE_POINT
from cronos_git.rules.names import slug

_RESERVED_METADATA = frozenset({IMPORT, "restore", "repair"})  # what CRONOS itself notes of a backup, and believes
_MOST_ITEMS = 1000
_MOST_CHARACTERS = 1000
_MOST_DEPTH = 32
_MOST_BITS = 256

Check = Callable[[str, Any], Any]
"""Gives the value of a key as the request has it.

Raises:
    MessageError: It cannot be that.
"""


def bad(key: str, what: str) -> MessageError:
    """The error for a value that cannot be; *what* goes on after the key."""
    return MessageError(f"{shown(key)} {what}.", hint="Correct it and send the request again.", key=shown(key))


def shown(text: str) -> str:
    """A foreign key, short and printable."""
    return "".join(char if char.isprintable() else "?" for char in text[:60])


def text(most: int, *, lines: bool = False) -> Check:
    """A text of at most so many characters, without control characters but for the ends of *lines*."""

    def check(key: str, value: object) -> str:
        if not isinstance(value, str):
            raise bad(key, "must be a text")
        if len(value) > most:
            raise bad(key, f"is longer than {most} characters")
        allowed = "\n\t" if lines else ""
        if any((ord(char) < 32 and char not in allowed) or 0xD800 <= ord(char) < 0xE000 for char in value):
            raise bad(key, "holds a character that cannot be stored")
        return value

    return check


def filled(key: str, value: object) -> str:
    """A line with something in it."""
    line: str = text(_MOST_CHARACTERS)(key, value)
    if not line.strip():
        raise bad(key, "is empty")
    return line


def flag(key: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise bad(key, "must be true or false")
    return value


def count(least: int, most: int) -> Check:
    """A whole number."""

    def check(key: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise bad(key, f"must be a whole number from {least} to {most}")
        return value

    return check


def word(*allowed: str) -> Check:
    """One of some words."""

    def check(key: str, value: object) -> str:
        if value not in allowed or not isinstance(value, str):
            raise bad(key, f"must be one of {', '.join(allowed)}")
        return value

    return check


def list_of(item: Check) -> Check:
    """A list, or one alone."""

    def check(key: str, value: object) -> tuple[Any, ...]:
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list | tuple):
            raise bad(key, "must be a list of texts")
        if len(values) > _MOST_ITEMS:
            raise bad(key, f"has more than {_MOST_ITEMS} items")
        return tuple(item(key, one) for one in values)

    return check


def _path(key: str, value: object) -> str:
    """A path; undecodable bytes of a name come as surrogate escapes, as everywhere."""
    if not isinstance(value, str) or not value or len(value) > 4096:
        raise bad(key, "must be a path")
    if "\0" in value or any(0xD800 <= ord(char) < 0xDC80 or 0xDCFF < ord(char) < 0xE000 for char in value):
        raise bad(key, "holds a character that no path has")
    return value


def inner_path(key: str, value: object) -> str:
    """A path in a backup: relative, without `..`; `""` is all of it."""
    path = "" if value == "" else _path(key, value)
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise bad(key, f"must be relative to the project's root, which {path!r} is not")
    plain = str(PurePosixPath(path))
    return "" if plain == "." else plain


def target(key: str, value: object) -> str:
    """An absolute path."""
    path = _path(key, value)
    if not path.startswith("/"):
        raise MessageError(f"{key} {path!r} is no absolute path.", hint="Give one as the service's machine has it.", key=key)
    return path


def type_word(key: str, value: object) -> str:
    """The type of a backup that may be made."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9._-]{1,60}", value):
        raise bad(key, "must be a word of lower-case letters, digits, '.', '_' and '-'")
    if value == RESTORE_POINT:
        raise bad(key, f"cannot be {RESTORE_POINT}: CRONOS makes these itself")
    return value


def metadata(key: str, value: object) -> dict[str, Any]:
    """What may be stored with a backup: a copy of a mapping of what JSON can say."""
    found = _mapping(key, value)
    if taken := sorted(_RESERVED_METADATA.intersection(found)):
        raise bad(key, f"cannot have the key {taken[0]}, which is for what CRONOS notes itself")
    return found


def wanted_metadata(key: str, value: object) -> dict[str, str]:
    """Keys of metadata with the texts that are looked for; an empty text asks only for the key."""
    found = _mapping(key, value)
    if not all(isinstance(one, str) for one in found.values()):
        raise bad(key, "must be a mapping of texts")
    return found


def _mapping(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise bad(key, "must be a mapping")
    if not is_json(value):
        raise bad(key, "holds something that JSON cannot say, or is nested too deeply")
    copy: dict[str, Any] = json.loads(json.dumps(value))
    return copy


def is_json(value: object, depth: int = 0) -> bool:
    """Whether JSON can say *value*, not too deeply nested and with no number that others cannot read."""
    if depth > _MOST_DEPTH:
        return False
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and key.strip() and is_json(one, depth + 1) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(is_json(one, depth + 1) for one in value)
    if isinstance(value, float):
        return value - value == 0  # neither infinite nor no number at all
    if isinstance(value, int):
        return value.bit_length() <= _MOST_BITS
    return value is None or isinstance(value, str)


def module(key: str, value: object) -> str:
    """A module, as the names of scopes spell it."""
    return slug(filled(key, value))


def moment(key: str, value: object) -> datetime:
    """A time; one without a zone is UTC."""
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) else "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad(key, "must be a time such as 2026-04-01T10:00:00Z") from None


def ignored_strategy(key: str, value: object) -> None:
    """The first EGOS guide let backups be `full` or `incremental`; every one of ours is both."""
    word("full", "incremental")(key, value)
