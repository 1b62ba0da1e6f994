"""Messages of the Mycelium: how they are made, copied, measured, and whose project they mean.

Every bus carries the same envelope, `{"header": {…}, "payload": {…}}`, and answers a message that makes no sense in the same
words. What payloads mean is `service.messages`'. Floor F10: pure but for the ids and the clock.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from cronos_git.clock import SystemClock
from cronos_git.errors import BusError, MessageError

TO_TOPIC = "TOPIC_TARGET"
HEALTH_TOPIC = "event.mycelium.health_report"

Message = dict[str, Any]

_CLOCK = SystemClock()


def now() -> datetime:
    """The present, in UTC."""
    return _CLOCK.now()


def local_time() -> str:
    """The present as the Mycelium of EGOS writes it: local time without a zone."""
    return now().astimezone().replace(tzinfo=None).isoformat()


def new_id() -> str:
    """An id for a message."""
    return str(uuid.uuid4())


def message(kind: str, topic: str, payload: Mapping[str, Any], *, sender: str, target: str = TO_TOPIC, **header: Any) -> Message:
    """A new message; *header* adds to its header or replaces there.

    Args:
        kind: `REQUEST`, `RESPONSE` or `EVENT`.
        target: Id of a node; an event goes to whom its topic interests.
    """
    fields = {
        "message_id": new_id(),
        "correlation_id": None,
        "timestamp": local_time(),
        "sender_node": sender,
        "target_node": target,
        "topic": topic,
        "message_type": kind,
        "priority": "MEDIUM",
        "version": "1.0",
    }
    return {"header": fields | header, "payload": payload}


def encoded(value: object) -> bytes:
    """*value* as JSON; paths, times and the like become texts.

    Raises:
        BusError: JSON cannot say it.
    """
    try:
        return json.dumps(value, default=_text, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BusError(
            f"A message cannot be sent as JSON: {error}.", hint="Send texts, numbers, lists and mappings with texts as keys."
        ) from error


def copied(value: Any) -> Any:
    """*value* as it would arrive over a network: nobody shares it, and it is all JSON.

    Raises:
        BusError: JSON cannot say it.
    """
    return json.loads(encoded(value))


def _text(value: object) -> str:
    written = getattr(value, "isoformat", None)
    return str(written() if callable(written) else value)


def fitting(value: object, limit_bytes: int) -> bytes:
    """*value* as JSON, when a bus that carries *limit_bytes* can carry it.

    Raises:
        BusError: It cannot, or JSON cannot say it.
    """
    data = encoded(value)
    if len(data) > limit_bytes:
        raise too_large(len(data), limit_bytes)
    return data


def too_large(size_bytes: int, limit_bytes: int) -> BusError:
    """The error for a message of more than *limit_bytes*."""
    return BusError(
        f"A message of {size_bytes} bytes is too large for the bus, which carries {limit_bytes}.",
        hint="Ask for less at once, or raise `message_limit` and the server's `max_payload`.",
    )


# --- what arrives -----------------------------------------------------------------------------------------------------


def checked(value: object) -> Message:
    """*value*, when it is a message: a mapping of a header and a payload, which are mappings.

    Raises:
        MessageError: It is none.
    """
    if isinstance(value, dict) and isinstance(value.get("header"), dict) and isinstance(value.get("payload"), dict):
        return value
    raise MessageError(
        "This is no message of the Mycelium.", hint='Send {"header": {…}, "payload": {…}} as JSON; each is a mapping.'
    )


def arrived(value: object, limit_bytes: int) -> Message:
    """A copy of the message that *value* is.

    Raises:
        BusError: It is larger than *limit_bytes*, or JSON cannot say it.
        MessageError: It is none.
    """
    return checked(json.loads(fitting(value, limit_bytes)))


def decoded(data: bytes, limit_bytes: int | None = None) -> Message:
    """The message that *data* says in JSON.

    Raises:
        BusError: It is larger than *limit_bytes*.
        MessageError: It says none.
    """
    if limit_bytes is not None and len(data) > limit_bytes:
        raise too_large(len(data), limit_bytes)
    try:
        return checked(json.loads(data))
    except (ValueError, RecursionError):
        return checked(None)


# --- whose project ----------------------------------------------------------------------------------------------------


def split_node(node: str) -> tuple[str, str]:
    """The id of a node and its project, which is empty when none is named: `CRONOS.website` is CRONOS and website."""
    name, _, project = node.partition(".")
    return name, project


def for_project(node: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """*payload*, naming the project that stands behind a node's id when it names none itself."""
    project = split_node(node)[1]
    return {"project": project, **payload} if project else payload


def project_of(envelope: Mapping[str, Any], *, subject: str = "") -> str:
    """The project that a message names in `payload.project` or behind its `target_node`; empty when it names none.

    Args:
        subject: A project that is named from outside, by where the message came in.

    Raises:
        MessageError: It names two.
    """
    target = envelope["header"].get("target_node")
    told = envelope["payload"].get("project")
    if told is not None and not isinstance(told, str):
        raise MessageError("`project` is no text.", hint="Give the name of the project as its service has it.")
    named = {subject, told or "", split_node(target)[1] if isinstance(target, str) else ""} - {""}
    if len(named) > 1:
        raise MessageError(
            f"The message names different projects: {', '.join(sorted(named))}.", hint="Name one.", projects=sorted(named)
        )
    return next(iter(named), "")


def unknown_project(project: str, known: Collection[str]) -> MessageError:
    """The error for a message to a *project* that nobody serves."""
    names = sorted(known)
    return MessageError(
        f"There is no CRONOS for the project {project!r} on this bus.",
        hint=f"There is one for: {', '.join(names)}." if names else "",
        projects=names,
    )
