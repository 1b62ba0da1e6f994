"""What a line of the log looks like: JSON for programs, `asctime | LEVEL | name | message` for people.

Both are one line whatever was put in, and neither shows a password: what stands in the place of one in a URL is hidden, in texts
at any depth. Where lines go is told by `integrations.koios` and `disk.logfiles`. Floor F4: pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from cronos_git.rules.remotes import shown
from cronos_git.rules.visible import visible

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""The values of `log_level`, with the numbers that Python's logging has for them."""

_OWN = ("timestamp", "level", "name", "message", "exception")
_DEEPEST = 8
_BARE = re.compile(r"[^\s\"'=\\]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of the log before it is written down.

    Attributes:
        level: `INFO`, in capitals as Python's logging has it.
        name: Whose logger: `CRONOS.Service`.
        fields: What is told besides, by name; a value may be anything.
        exception: A traceback; empty when there is none.
    """

    when: datetime
    level: str
    name: str
    message: str
    fields: Mapping[str, object] = field(default_factory=dict)
    exception: str = ""


def json_line(line: LogLine) -> bytes:
    """*line* as one JSON object in ASCII, with its newline; a field that is called like one of ours gets `_` after its name."""
    told = {
        "timestamp": _moment(line.when),
        "level": line.level,
        "name": plain(line.name),
        "message": plain(line.message),
        **{f"{name}_" if name in _OWN else name: plain(value) for name, value in line.fields.items()},
    }
    if line.exception:
        told["exception"] = plain(line.exception)
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def console_line(line: LogLine, zone: tzinfo) -> str:
    """*line* for people, without a newline, times in *zone*; a traceback follows on indented lines of its own."""
    when = line.when.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    fields = [f"{visible(name)}={_word(plain(value))}" for name, value in line.fields.items()]
    message = "  ".join([visible(shown(line.message)), *([" ".join(fields)] if fields else [])])
    first = f"{when} | {line.level:<8} | {visible(line.name):<30} | {message}"
    return "\n".join([first, *(f"    {visible(text)}" for text in shown(line.exception).splitlines())])


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str) or _BARE.fullmatch(text):
        return visible(text)
    return '"' + visible(text).replace('"', r"\"") + '"'


def plain(value: object, depth: int = 0) -> object:
    """*value* as JSON can say it, without the passwords of URLs; what nests too deeply or is no such value becomes text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return _moment(value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {shown(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    return shown(str(value))


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
