"""ATLAS: tells the cartographer of each backup, as `atlas.metadata.update` and `atlas.relationship.update`.

What is told keeps to ATLAS's limits, holds no password of a URL, and is JSON whatever a path or a label is made of. All messages
of a backup have one time box together; once an answer has not come in time, the rest is published without waiting. The map that
can be looked at here, `cronos map`, is made from the store and needs no ATLAS. Floor F8.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from cronos_git.errors import BusError
from cronos_git.model import Backup, Scope
from cronos_git.ports import Peers
from cronos_git.rules.log_lines import plain
from cronos_git.rules.visible import visible

NODE = "CRONOS"
METADATA = "atlas.metadata.update"
RELATIONSHIP = "atlas.relationship.update"
_ANSWERS = {METADATA: "atlas.metadata.status", RELATIONSHIP: "atlas.relationship.status"}
_COMPONENT_MAX = 255
_METADATA_MAX_BYTES = 102_400
_DISPENSABLE = ("metadata", "description", "paths", "labels", "message")
"""What is left out, in this order, of metadata that would be too large."""


class AtlasEnricher:
    """Tells ATLAS of backups; implements `ports.Enricher`.

    Args:
        project: Name of the project, its component on ATLAS's map.
        timeout_s: How long all of it may take for one backup.
    """

    name = "ATLAS"

    def __init__(self, peers: Peers, *, project: str, timeout_s: float) -> None:
        self._peers = peers
        self._project = project
        self._timeout_s = timeout_s

    def backup_made(self, backup: Backup, scope: Scope) -> None:
        """Tell of *backup*, and how it relates to the project and its modules.

        Raises:
            BusError: The bus cannot be reached, ATLAS refused something, or did not answer in time; the rest was told.
        """
        deadline = time.monotonic() + self._timeout_s
        refusals: list[str] = []
        is_heard = True
        for topic, payload in messages(backup, scope, self._project):
            left_s = deadline - time.monotonic()
            if not is_heard or left_s <= 0:
                self._peers.publish(topic, payload)
                is_heard = False
                continue
            answer = self._peers.ask_by_event(topic, payload, (_ANSWERS[topic],), left_s)
            is_heard = answer is not None
            if answer is not None and str(answer.get("status", "")).casefold() == "error":
                refusals.append(visible(str(answer.get("error") or answer.get("error_message") or "it does not say why")))
        if refusals:
            raise BusError(f"ATLAS refused what it was told: {'; '.join(dict.fromkeys(refusals))}.")
        if not is_heard:
            raise BusError(f"ATLAS gave no answer within {self._timeout_s:g} seconds; it may have heard all the same.")


def messages(backup: Backup, scope: Scope, project: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What ATLAS is told of *backup*: topics and payloads, in the order in which it should hear them."""
    made, whole = _component(backup.id), _component(project)
    when = backup.created.isoformat()
    yield METADATA, {"component": made, "metadata": _metadata(backup, scope), "source": NODE, "timestamp": when}

    def related(source: str, target: str, kind: str, **metadata: str) -> tuple[str, Mapping[str, Any]]:
        told = {"source": source, "target": target, "type": kind, "metadata": {**metadata, "project": whole}, "timestamp": when}
        return RELATIONSHIP, told

    yield related(NODE, made, "contains", type="physical")
    if scope.is_project:
        yield related(made, whole, "uses")
    for path in () if scope.is_project else scope.paths:
        yield related(whole, _component(path), "contains", type="logical")
        yield related(made, _component(path), "uses")


def _metadata(backup: Backup, scope: Scope) -> dict[str, Any]:
    """What there is to tell of *backup*, as much of it as ATLAS takes."""
    told: dict[str, Any] = {
        "id": backup.id,
        "name": backup.name,
        "type": backup.type,
        "scope": backup.scope,
        "paths": list(scope.paths),
        "created_at": backup.created.isoformat(),
        "parent": backup.parent,
        "message": backup.message,
        "description": backup.description,
        "labels": list(backup.labels),
        "pinned": backup.pinned,
        "file_count": backup.files,
        "size_bytes": backup.size_bytes,
        "added": backup.added,
        "changed": backup.changed,
        "removed": backup.removed,
        "commit": backup.commit,
        "metadata": backup.metadata,
    }
    told = {key: _sendable(plain(value)) for key, value in told.items()}
    for key in _DISPENSABLE:
        if len(json.dumps(told).encode()) <= _METADATA_MAX_BYTES:
            break
        del told[key]
        told.setdefault("left_out", []).append(key)
    return told


def _sendable(value: Any) -> Any:
    """*value* with what is no text in any encoding written as `\\udcff`."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(item) for key, item in value.items()}
    return [_sendable(item) for item in value] if isinstance(value, list) else value


def _component(text: str) -> str:
    """A name that ATLAS takes; a long one is cut and ends in a digest, so that different ones stay different."""
    name = visible(text) or "."
    if len(name) <= _COMPONENT_MAX:
        return name
    return f"{name[: _COMPONENT_MAX - 9]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
