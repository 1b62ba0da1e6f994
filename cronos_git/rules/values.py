"""What a configuration value of each kind may be: raw values of TOML, YAML, JSON or the environment become checked ones.

Written by hand because pydantic costs every command more time than all the rest of its configuration (docs/adr/0002). Each
function raises ValueError with the reason in words; `config.py` adds key, origin and what is allowed. Floor F4: pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from cronos_git.errors import PatternError
from cronos_git.rules.patterns import parse_includes, parse_patterns
from cronos_git.rules.schema import MINIMUM_CHUNK_THRESHOLD_BYTES, Key, Kind, parse_size

_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def check_value(key: Key, value: object) -> Any:
    """*value* as `Settings` holds it.

    Raises:
        ValueError: It is not allowed; the text says why.
    """
    checked: Any = _CHECKS[key.kind](value)
    try:
        if key.name == "exclude":
            parse_patterns(checked)
        elif key.name == "include":
            parse_includes(checked)
    except PatternError as error:
        raise ValueError(error.message.removesuffix(".")) from error
    return checked


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("it is not a text, or empty")
    return value


def _flag(value: object) -> bool:
    if isinstance(value, str):
        value = _FLAGS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise ValueError("it is neither true nor false")
    return value


def _count(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("it is not a whole number")
    if value < 0:
        raise ValueError("it is less than 0")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("it is not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError("it is not a number") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError("it is not a number of 0 or more")
    return number


def _size(value: object) -> int:
    size_bytes = parse_size(value) if isinstance(value, str) else _count(value)
    if size_bytes < MINIMUM_CHUNK_THRESHOLD_BYTES:
        raise ValueError("it is less than 1 MiB")
    return size_bytes


def _word_of(*words: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in words:
            raise ValueError("it is none of these words")
        return str(value)

    return check


def _file(value: object) -> str:
    return "" if value == "" else _text(value)


def _bus(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"((nats|tls)://[^\s/?#]+)?", value):
        raise ValueError("it is no address of a NATS server")
    return value


def _service_name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]*", value):
        raise ValueError("no service can be called so")
    return value


def _cron(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it is not a text")
    if not value.strip():
        return ""
    from cronos_git.rules.cron import parse_cron  # few commands need to know how times are read

    return parse_cron(value).text


def _policy(value: object) -> tuple[Mapping[str, object], ...]:
    from cronos_git.rules.policy import parse_rules  # no command without rules needs to know how they are read

    parse_rules(value)
    return tuple(value) if isinstance(value, Sequence) else ()


def _remote(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"([a-zA-Z0-9][a-zA-Z0-9._-]*)?", value):
        raise ValueError("no remote can be called so")
    return value


def _duration(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"([0-9]+[ymdh])*", value, re.ASCII):
        raise ValueError("it is not a length of time")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise ValueError("it is not a list of texts")
    return tuple(value)


def _modules(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise ValueError("it is not a table")
    return {_text(name): _module_paths(name, paths) for name, paths in value.items()}


def _module_paths(name: str, paths: object) -> tuple[str, ...]:
    listed = _texts([paths] if isinstance(paths, str) else paths)
    if not listed:
        raise ValueError(f"module {name!r} has no path")
    return tuple(sorted({_inner_path(name, path) for path in listed}))


def _inner_path(name: str, path: str) -> str:
    """*path* in the project's spelling: no `./`, no slash at its end."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path:
        raise ValueError(f"module {name!r} has the path {path!r}, which does not lie inside the project")
    return str(pure)


_CHECKS: Mapping[Kind, Callable[[object], object]] = {
    "directory": _text,
    "name": _text,
    "patterns": _texts,
    "flag": _flag,
    "count": _count,
    "number": _number,
    "size": _size,
    "git_dirs": _word_of("skip", "include"),
    "modules": _modules,
    "duration": _duration,
    "remote": _remote,
    "hook_failure": _word_of("by_hook", "fail_open", "fail_closed"),
    "file": _file,
    "directories": _texts,
    "bus": _bus,
    "service_name": _service_name,
    "cron": _cron,
    "policy": _policy,
    "ethik": _word_of("off", "topic", "event", "request"),
    "log_level": _word_of("debug", "info", "warning", "error"),
}
