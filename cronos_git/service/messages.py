"""What may be asked of CRONOS over the Mycelium: topics, and payloads as typed requests.

Nothing of a payload is used that is not listed here: a key that no request has is refused with the nearest one that it may be,
so that no message sets a store's place, a hook or a command. Values of null count as not given. What is answered is `answers`'.
Floor F10: pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cronos_git.errors import MessageError
from cronos_git.model import IN_PLACE, Query, RestoreRequest, SnapshotRequest, VerifyRequest
from cronos_git.service import checks

NODE_ID = "CRONOS"
NODE_TYPE = "PRESERVATION"
CAPABILITIES = ("backup", "restore", "state_mgmt", "history")

Verb = Literal["create_backup", "list_backups", "restore_backup", "get_status", "verify_backup"]

VERBS: tuple[Verb, ...] = ("create_backup", "list_backups", "restore_backup", "get_status", "verify_backup")
CHANGING: frozenset[Verb] = frozenset({"create_backup", "restore_backup"})
"""The verbs that change something: they wait for each other."""

QUESTIONS: frozenset[Verb] = frozenset({"get_status", "list_backups"})
"""The verbs that are answered at once, whatever is being done."""

REQUEST_TOPICS: Mapping[str, Verb] = {
    **{f"request.{name}.{verb}": verb for name in ("cronos", "CRONOS", "CRONOS_SERVICE") for verb in VERBS},
    "request.cronos.backup": "create_backup",
    "request.cronos.restore": "restore_backup",
}
"""Every topic of a request, and what it asks for."""

LEGACY_TOPICS: Mapping[str, Verb] = {
    "cronos.backup.request": "create_backup",
    "cronos.restore.request": "restore_backup",
}
"""Events that ask for something, too; they are answered on the topics `LEGACY_STATUS`."""

LEGACY_STATUS: Mapping[str, str] = {
    "cronos.backup.request": "cronos.backup.status",
    "cronos.restore.request": "cronos.restore.status",
}

COMMON_KEYS = frozenset({"request_id", "project"})
"""Keys that every payload may have: to be known again, and to say which project is meant."""

DEFAULT_PAGE = 100
MOST_IN_PAGE = 1000

_MOST_TOLD = 200
_SORTS = ("sequence", "created", "name", "size", "files", "type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asked for what.

    Attributes:
        verb: None when the topic is not known.
        sender: The node that asks, as it calls itself; empty when it does not.
        request_id: By which the asker knows the answer again: `request_id` of the payload, else the message's correlation id,
            else its own id.
        project: The project that is meant; empty when none is named.
        payload: As it came; `parse` says whether it makes sense.
    """

    verb: Verb | None
    topic: str
    sender: str
    request_id: str
    project: str
    payload: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """Which backups to list, page by page.

    Attributes:
        query: Without a limit.
        limit: At most so many in a page.
        cursor: `next` of the page before; None for the first one.
    """

    query: Query
    limit: int = DEFAULT_PAGE
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """How is it going?"""


Request = SnapshotRequest | ListRequest | RestoreRequest | StatusRequest | VerifyRequest


def word_of(name: str) -> str:
    """What a project whose directory is called *name* is called on a bus: letters, digits, `-` and `_`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "project"


def read_envelope(envelope: object) -> Asked:
    """Who asks for what in a message; never fails, as even a message that makes no sense is answered and noted."""
    message = envelope if isinstance(envelope, Mapping) else {}
    header = message.get("header")
    header = header if isinstance(header, Mapping) else {}
    payload = message.get("payload")
    inside = payload if isinstance(payload, Mapping) else {}
    topic = _told(header.get("topic"))
    ids = (inside.get("request_id"), header.get("correlation_id"), header.get("message_id"))
    return Asked(
        verb=REQUEST_TOPICS.get(topic) or LEGACY_TOPICS.get(topic),
        topic=topic,
        sender=_told(header.get("sender_node")),
        request_id=next((word for word in map(_told, ids) if word), ""),
        project=_told(inside.get("project")),
        payload=payload,
    )


def _told(value: object) -> str:
    """A text of a header, short and printable whatever stands there."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, int) and checks.is_json(value) else ""
    return "".join(char if char.isprintable() else " " for char in text[:_MOST_TOLD]).strip()


def parse(asked: Asked) -> Request:
    """The request as what it asks for takes it.

    Raises:
        MessageError: The topic is not known, or the payload is not as it should be.
    """
    if asked.verb is None:
        raise _unknown_topic(asked.topic)
    if not isinstance(asked.payload, Mapping):
        raise MessageError("The payload is no mapping.", hint='Send an object, such as {"name": "nightly"}.')
    return _MAKERS[asked.verb](_fields(asked.verb, asked.payload))


def _unknown_topic(topic: str) -> MessageError:
    import difflib

    near = difflib.get_close_matches(topic, REQUEST_TOPICS, n=1)
    return MessageError(
        f"CRONOS does not know the topic {topic!r}.",
        hint=f"Did you mean {near[0]}?" if near else f"It answers {', '.join(f'request.cronos.{verb}' for verb in VERBS)}.",
        candidates=near,
    )


def _fields(verb: Verb, payload: Mapping[object, object]) -> dict[str, Any]:
    """The values of a payload by the fields of the request, each checked."""
    known = KEYS[verb]
    found: dict[str, Any] = {}
    by_key: dict[str, str] = {}
    for key, value in payload.items():
        if not isinstance(key, str) or (key not in known and key not in COMMON_KEYS):
            raise _unknown_key(verb, str(key))
        if key in COMMON_KEYS and not isinstance(value, str | int | None):
            raise checks.bad(key, "must be a text")
        if value is None or key in COMMON_KEYS:
            continue
        field, check = known[key]
        checked = check(key, value)
        if found.get(field, checked) != checked:
            raise MessageError(f"{key} and {by_key[field]} contradict each other.", hint=f"Give only {by_key[field]}.")
        found[field], by_key[field] = checked, key
    found.pop("", None)
    return found


def _unknown_key(verb: Verb, key: str) -> MessageError:
    import difflib

    known = sorted({*KEYS[verb], *COMMON_KEYS})
    near = difflib.get_close_matches(key.lower(), known, n=1)
    return MessageError(
        f"{verb} knows no key {checks.shown(key)}.",
        hint=f"Did you mean {near[0]}?" if near else f"It knows {', '.join(known)}.",
        key=checks.shown(key),
        candidates=near,
    )


# --- the keys of each request -----------------------------------------------------------------------------------------

_NAME = checks.text(200)
_LINE = checks.text(1000)
_LONG = checks.text(100_000, lines=True)
_WORDS = checks.list_of(checks.filled)

KEYS: Mapping[Verb, Mapping[str, tuple[str, checks.Check]]] = {
    "create_backup": {
        "name": ("name", _NAME),
        "type": ("type", checks.type_word),
        "backup_type": ("type", checks.type_word),
        "message": ("message", _LINE),
        "description": ("description", _LONG),
        "labels": ("labels", _WORDS),
        "pinned": ("pinned", checks.flag),
        "metadata": ("metadata", checks.metadata),
        "target_modules": ("modules", _WORDS),
        "target": ("modules", _WORDS),
        "with_dependencies": ("with_dependencies", checks.flag),
        "include_patterns": ("only", _WORDS),
        "exclude_patterns": ("exclude", _WORDS),
        "include": ("include", _WORDS),
        "skip_if_unchanged": ("skip_if_unchanged", checks.flag),
        "strategy": ("", checks.ignored_strategy),
    },
    "list_backups": {
        "type": ("types", _WORDS),
        "types": ("types", _WORDS),
        "name": ("name", checks.filled),
        "labels": ("labels", _WORDS),
        "module": ("module", checks.module),
        "metadata": ("metadata", checks.wanted_metadata),
        "since": ("since", checks.moment),
        "until": ("until", checks.moment),
        "contains": ("contains", checks.inner_path),
        "sort": ("sort", checks.word(*_SORTS)),
        "reverse": ("reverse", checks.flag),
        "limit": ("limit", checks.count(1, MOST_IN_PAGE)),
        "cursor": ("cursor", checks.filled),
    },
    "restore_backup": {
        "backup_identifier": ("backup", checks.filled),
        "backup_id": ("backup", checks.filled),
        "restore_target_path": ("target", checks.target),
        "target_path": ("target", checks.target),
        "strategy": ("strategy", checks.word("new_location", *IN_PLACE)),
        "paths": ("paths", checks.list_of(checks.inner_path)),
        "target_modules": ("modules", _WORDS),
        "with_dependencies": ("with_dependencies", checks.flag),
        "base": ("base", checks.filled),
        "on_conflict": ("on_conflict", checks.word("abort", "ours", "theirs", "markers", "both")),
        "deletions": ("deletions", checks.word("keep", "apply")),
        "verify": ("verify", checks.flag),
    },
    "get_status": {},
    "verify_backup": {
        "backup_identifier": ("backup", checks.filled),
        "backup_id": ("backup", checks.filled),
        "quick": ("quick", checks.flag),
    },
}
"""By the name of a key: which field of the request it gives, and how it is checked. What gives no field is dropped."""


def _list(fields: dict[str, Any]) -> ListRequest:
    paging = {name: fields.pop(name) for name in ("limit", "cursor") if name in fields}
    return ListRequest(query=Query(**fields), **paging)


def _restore(fields: dict[str, Any]) -> RestoreRequest:
    if "backup" not in fields:
        raise MessageError(
            "restore_backup needs a backup_identifier.", hint="An id, a name, a timestamp or latest.", key="backup_identifier"
        )
    return RestoreRequest(**fields)


def _verify(fields: dict[str, Any]) -> VerifyRequest:
    backup = fields.pop("backup", None)
    return VerifyRequest(backups=(backup,) if backup else (), **fields)


_MAKERS: Mapping[Verb, Callable[[dict[str, Any]], Request]] = {
    "create_backup": lambda fields: SnapshotRequest(**fields),
    "list_backups": _list,
    "restore_backup": _restore,
    "get_status": lambda _fields: StatusRequest(),
    "verify_backup": _verify,
}
