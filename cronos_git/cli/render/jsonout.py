r"""Records as JSON: one line each, ASCII, with `schema_version`.

Times are RFC 3339 in UTC, sizes exact bytes. A text with undecodable bytes is escaped (`\xff`), and `<key>_b64` beside it holds
the raw bytes in base64; a sequence with such texts gets `<key>_b64` as a whole. Floor F11.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cronos_git.cli.render.text import visible
from cronos_git.model import Attributes

SCHEMA_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = json.JSONEncoder(separators=(",", ":")).encode


def document(record: object) -> str:
    """One JSON object, without a newline, of a dataclass or a mapping."""
    return _encode({"schema_version": SCHEMA_VERSION} | _object(record))


def rfc3339(when: datetime) -> str:
    """A moment in UTC to the microsecond."""
    return when.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _rfc3339_ns(mtime_ns: int) -> str | None:
    seconds, rest = divmod(mtime_ns, 1_000_000_000)
    try:
        return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]}.{rest:09d}Z"
    except OverflowError:
        return None


def _object(record: Any) -> dict[str, Any]:
    if isinstance(record, Mapping):
        items = [(_text(str(key)), value) for key, value in record.items()]
    else:
        items = [(name, getattr(record, name)) for name in record.__dataclass_fields__]
    found: dict[str, Any] = {}
    for key, value in items:
        kind = type(value)
        if kind in _SCALARS or (kind is str and value.isascii()):
            found[key] = value
        else:
            _put(found, key, value)
    if type(record) is Attributes:
        found["mtime"] = _rfc3339_ns(record.mtime_ns)
        found["xattrs"] = [{"name": visible(name), "value_b64": _base64(value)} for name, value in record.xattrs]
    return found


def _put(found: dict[str, Any], key: str, value: Any) -> None:
    found[key] = _plain(value)
    raw = _raw(value)
    if raw is not None:
        found[f"{key}_b64"] = raw


def _plain(value: Any) -> Any:
    convert = _CONVERT.get(type(value))
    return convert(value) if convert else _other(value)


def _raw(value: Any) -> Any:
    """The base64 that must stand beside a value, None when the value says it all."""
    if isinstance(value, str):
        return None if value.isascii() or _decodable(value) else _base64(value)
    if isinstance(value, bytes):
        return None if _decodable(value.decode("utf-8", "surrogateescape")) else _base64(value)
    if isinstance(value, (tuple, list)) and any(isinstance(item, str) and _raw(item) for item in value):
        return [_base64(item) for item in value]
    return None


def _decodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _base64(value: str | bytes) -> str:
    return b64encode(value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")).decode("ascii")


def _text(value: str) -> str:
    return value if value.isascii() or _decodable(value) else visible(value)


def _sequence(value: Sequence[Any]) -> list[Any]:
    return [_plain(item) for item in value]


def _other(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if is_dataclass(value) or isinstance(value, Mapping):
        return _object(value)
    return _text(str(value))


_SCALARS = frozenset({int, bool, float, type(None)})
_CONVERT: dict[type, Callable[[Any], Any]] = {
    str: _text,
    datetime: rfc3339,
    tuple: _sequence,
    list: _sequence,
    dict: _object,
    bytes: lambda value: value.decode("utf-8", "backslashreplace"),
}
