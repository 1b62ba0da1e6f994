"""The operation log: one line for everything that CRONOS did to a store.

It tells people what happened, `undo` what to take back, and `repair` which refs ought to be there. A line that cannot
be read, as a crash tore it or the disk garbled it, is passed over and costs no other; `bad_lines` tells of it. What a record says
beside the fields of `Operation` is the engine's to decide. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cronos_git.disk import files, overwriting
from cronos_git.git.store import Store
from cronos_git.model import Operation
from cronos_git.rules.record import format_json

SCHEMA_VERSION = 1
_TOLD_LINES = 5


def append(store: Store, record: Mapping[str, object]) -> None:
    """Add a record to the end of the log, with its `schema_version`.

    Raises:
        UsageError: The record cannot be said in JSON.
        DiskFullError, AccessError, HostError: It could not be written.

    Durability: when this returns, the line survives a power cut; if killed earlier, it may be torn.
    """
    files.append_line(log_path(store), format_json({**record, "schema_version": SCHEMA_VERSION}).rstrip(b"\n"))


class BadLine(NamedTuple):
    """A line that is no record.

    Attributes:
        number: Counted from 1.
        offset: Where it begins, in bytes.
        raw: What stands there, without the line end.
    """

    number: int
    offset: int
    raw: bytes


def read(store: Store) -> list[dict[str, object]]:
    """All records, oldest first; lines that cannot be read are left out.

    Raises:
        AccessError, HostError: The log cannot be read.

    Cost: the whole log in memory; some 4 microseconds a record.
    """
    return records_in(content(store))


def content(store: Store, offset: int = 0) -> bytes:
    """The log as it stands, from *offset* on; errors as for `read`."""
    try:
        with log_path(store).open("rb") as log:
            log.seek(offset)
            return log.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise files.host_error(error, "read the operation log") from error


def records_in(lines: bytes) -> list[dict[str, object]]:
    """The records in a part of the log that begins with a line."""
    return [record for line in lines.split(b"\n") if (record := _record(line)) is not None]


def _record(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("verb"), str) else None


def bad_lines(store: Store, *, torn: bool = False) -> list[BadLine]:
    """The lines that cannot be read; not a last one without its end, which somebody may be writing at this moment.

    Args:
        torn: That one, too.

    Errors and cost as for `read`.
    """
    found, offset = [], 0
    lines = content(store).split(b"\n")
    for number, line in enumerate(lines if torn else lines[:-1], start=1):
        if line.strip() and _record(line) is None:
            found.append(BadLine(number, offset, line))
        offset += len(line) + 1
    return found


def told_lines(lines: Sequence[BadLine]) -> str:
    """Which lines cannot be read, in words."""
    numbers = [str(line.number) for line in lines]
    shown = ", ".join(numbers[:_TOLD_LINES]) + (f" and {len(lines) - _TOLD_LINES} more" if len(lines) > _TOLD_LINES else "")
    return f"line {shown} cannot be read" if len(lines) == 1 else f"lines {shown} cannot be read"


def blank(store: Store, lines: Iterable[BadLine]) -> None:
    """Let lines hold nothing but spaces, so that all others keep their place and number.

    Raises:
        DiskFullError, AccessError, HostError: Some may stand as they were.

    Durability: when this returns, they are blank also after a power cut; no other line is ever touched.
    """
    overwriting.blank(log_path(store), {line.offset: line.raw for line in lines})


def operations(store: Store) -> list[Operation]:
    """All records that can be told, oldest first; errors and cost as for `read`."""
    found = []
    for record in read(store):
        record.pop("schema_version", None)
        with contextlib.suppress(KeyError, ValueError):
            when = datetime.fromisoformat(str(record.pop("time")))
            words = {name: str(record.pop(name, "")) for name in ("verb", "face", "user", "host", "result")}
            found.append(Operation(time=when, **words, facts=record))
    return found


def log_path(store: Store) -> Path:
    """Where the log lies."""
    return store.cronos_dir / "operations.jsonl"
