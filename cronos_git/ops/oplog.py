"""The operation log: one line for everything that CRONOS did to a store.

It tells people and programs what happened. A line that a crash tore is passed over: nothing rests on the log but that `undo` does
not pass by a restore without a restore point. What a record says beside the fields of `Operation` is the engine's to decide.
Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from cronos_git.disk import files
from cronos_git.git.store import Store
from cronos_git.model import Operation
from cronos_git.rules.record import format_json

SCHEMA_VERSION = 1


def append(store: Store, record: Mapping[str, object]) -> None:
    """Add a record to the end of the log, with its `schema_version`.

    Raises:
        UsageError: The record cannot be said in JSON.
        DiskFullError, AccessError, HostError: It could not be written.

    Durability: when this returns, the line survives a power cut; if killed earlier, it may be torn.
    """
    files.append_line(_path(store), format_json({**record, "schema_version": SCHEMA_VERSION}).rstrip(b"\n"))


def read(store: Store) -> list[dict[str, object]]:
    """All records, oldest first; torn lines are left out.

    Raises:
        AccessError, HostError: The log cannot be read.

    Cost: the whole log in memory.
    """
    try:
        lines = _path(store).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.host_error(error, "read the operation log") from error
    records = []
    for line in lines:
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
    return records


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


def _path(store: Store) -> Path:
    return store.cronos_dir / "operations.jsonl"
