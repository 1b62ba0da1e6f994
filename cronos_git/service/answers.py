"""What CRONOS answers over the Mycelium: results, errors and backups as records, ready for JSON.

Whatever is said fits into a message: lists come in pages, and what is only told along (problems, damage) is cut, which
`shortened` tells. Floor F10: pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from cronos_git.errors import CronosError, MergeConflictError, MessageError
from cronos_git.model import Backup, Conflict, RestoreReport, SnapshotReport, VerifyReport
from cronos_git.rules import announcements
from cronos_git.service.messages import LEGACY_STATUS, ListRequest

SUCCESS = "SUCCESS"
ERROR = "ERROR"

_SAME = tuple(name for name in Backup.__dataclass_fields__ if name not in ("created", "files", "labels", "metadata"))
_ENVELOPE_BYTES = 4096
_SHORT = 200
_MOST_TOLD = 1000
_FIGURES = (
    "unchanged",
    "files_read",
    "bytes_read",
    "bytes_stored",
    "objects_stored",
    "duration_s",
    "freed_bytes",
    "push_failed",
)
_NEVER_CUT = ("status", "shortened", "request_id", "code", "backup_id", "backup", "next", "id", "level")
_INCOMPLETE_STATUS = 3
_UNSENT_STATUS = 14
_DAMAGED_STATUS = 6

Answer = dict[str, Any]


# --- backups as records -----------------------------------------------------------------------------------------------


def record_of(backup: Backup, most_bytes: int | None = None) -> Answer:
    """A backup as JSON; of one that is larger than *most_bytes* the long texts are left out, and `shortened` says so."""
    record = announcements.record_of(backup)
    if most_bytes is not None and size_of(record) > most_bytes:
        record |= {"message": backup.message[:_SHORT], "description": "", "labels": [], "metadata": {}}
        record["shortened"] = ["message", "description", "labels", "metadata"]
    return record


def backup_of(record: Mapping[str, Any]) -> Backup:
    """The backup that a record tells of.

    Raises:
        MessageError: It tells of none.
    """
    try:
        return Backup(
            **{name: record[name] for name in _SAME},
            created=datetime.fromisoformat(record["created_at"]),
            files=record["file_count"],
            labels=tuple(record["labels"]),
            metadata=dict(record["metadata"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"This is no record of a backup: {error}.", hint="Is the service of another version?") from error


# --- answers ----------------------------------------------------------------------------------------------------------


def failure(error: CronosError) -> Answer:
    """The answer that something could not be done."""
    answer: Answer = {
        "status": ERROR,
        "error_message": error.message,
        "error": error.message,
        "code": error.code,
        "hint": error.hint,
        "exit_status": error.exit_status,
        "retryable": error.retryable,
    }
    if isinstance(error, MergeConflictError):
        answer = _with_first(answer, conflicts=error.conflicts)
    for name in ("candidates", "projects", "violations"):
        if name in error.context:
            answer[name] = json.loads(json.dumps(error.context[name], default=str))
    return answer


def created(report: SnapshotReport, most_bytes: int) -> Answer:
    """The answer of a backup that was made, or need not be made."""
    incomplete = _INCOMPLETE_STATUS if report.problems else 0
    answer = {
        "status": SUCCESS,
        "exit_status": _UNSENT_STATUS if report.push_failed else incomplete,
        "backup_id": report.backup.id,
        "backup": record_of(report.backup, most_bytes // 2),
        "excluded": asdict(report.excluded),
        "pruned": list(report.pruned),
        "dropped": list(report.dropped),
        "pushed": list(report.pushed),
    }
    answer |= {name: getattr(report, name) for name in _FIGURES}
    return _with_first(answer, dependencies=report.dependencies, problems=report.problems)


def restored(report: RestoreReport, most_bytes: int) -> Answer:
    """The answer of a restore that was done."""
    plan = report.plan
    answer = {
        "status": SUCCESS,
        "exit_status": _INCOMPLETE_STATUS if report.problems else 0,
        "message": f"Successfully restored {plan.backup.id} to {plan.target}: {report.files} files.",
        "backup_id": plan.backup.id,
        "backup": record_of(plan.backup, most_bytes // 2),
        "restore_target_path": plan.target,
        "strategy": plan.strategy,
        "file_count": report.files,
        "size_bytes": report.size_bytes,
        "restore_point": report.restore_point,
        "verified": report.verified,
        "duration_s": report.duration_s,
        "changes": {name: plan.count(name) for name in ("create", "update", "delete", "attributes", "kept")},
        "base": plan.base,
    }
    return _with_first(answer, dependencies=plan.dependencies, conflicts=plan.conflicts, problems=report.problems)


def verified(report: VerifyReport) -> Answer:
    """The answer of a check; damage is a finding of a check that succeeded."""
    answer = {
        "status": SUCCESS,
        "exit_status": _DAMAGED_STATUS if report.damage else 0,
        "valid": not report.damage,
        "backups_checked": report.backups,
        "objects": report.objects,
        "bytes_read": report.bytes_read,
        "duration_s": report.duration_s,
        "damage_count": len(report.damage),
    }
    return _with_first(answer, trash=report.trash, damage=report.damage)


def _with_first(answer: Answer, **lists: Sequence[Any]) -> Answer:
    """*answer* with the first of each list; what has more is in `shortened`."""
    told = {name: [_told(item) for item in items[:_MOST_TOLD]] for name, items in lists.items()}
    shortened = sorted(name for name, items in lists.items() if len(items) > _MOST_TOLD)
    return answer | told | ({"shortened": shortened} if shortened else {})


def _told(item: Any) -> object:
    if isinstance(item, Conflict):
        return {"path": item.path, "kind": item.kind}
    return json.loads(json.dumps(asdict(item))) if is_dataclass(item) and not isinstance(item, type) else item


def listed(backups: Sequence[Backup], request: ListRequest, most_bytes: int) -> Answer:
    """A page of a list.

    Args:
        backups: All that meet the query, in its order.

    Raises:
        MessageError: The backup after which the page begins is gone.
    """
    start = _after(backups, request.cursor)
    room_bytes = most_bytes - _ENVELOPE_BYTES
    page: list[Answer] = []
    for backup in backups[start : start + request.limit]:
        record = record_of(backup, room_bytes if not page else None)
        room_bytes -= size_of(record) + 2
        if room_bytes < 0 and page:
            break
        page.append(record)
    is_last = start + len(page) >= len(backups)
    return {
        "status": SUCCESS,
        "exit_status": 0,
        "backups": page,
        "total": len(backups),
        "next": None if is_last else page[-1]["id"],
    }


def _after(backups: Sequence[Backup], cursor: str | None) -> int:
    if cursor is None:
        return 0
    for position, backup in enumerate(backups):
        if backup.id == cursor:
            return position + 1
    raise MessageError(f"There is no backup {cursor[:100]!r} to go on after.", hint="Ask for the list from its beginning.")


# --- answers by event -------------------------------------------------------------------------------------------------


def legacy_status(topic: str, answer: Mapping[str, Any], request_id: str) -> tuple[str, Answer]:
    """Topic and payload of the event that answers a request of the old kind."""
    text = str(answer.get("error_message") or answer.get("message") or f"Saved {answer.get('backup_id')}.")
    if answer["status"] == ERROR:
        kept = {name: answer[name] for name in ("code", "hint", "exit_status") if name in answer}
        return LEGACY_STATUS[topic], {"status": "error", "error": text, "message": text, "request_id": request_id, **kept}
    told = {"status": "success", "message": text, "request_id": request_id, "backup_id": answer["backup_id"]}
    if topic == "cronos.backup.request":
        count = answer["backup"]["file_count"]
        return LEGACY_STATUS[topic], told | {"backup_path": answer["backup_id"], "files_processed": count}
    return LEGACY_STATUS[topic], told | {"restore_target_path": answer["restore_target_path"]}


# --- what fits --------------------------------------------------------------------------------------------------------


def size_of(value: object) -> int:
    """Bytes of *value* as JSON."""
    return len(json.dumps(value))


def fitted(answer: Answer, most_bytes: int) -> Answer:
    """*answer* with what is longest in it cut until it fits into a message of *most_bytes*; `shortened` names that.

    Lists and texts lose their second half, mappings all.
    """
    fitting, room_bytes = dict(answer), max(most_bytes - _ENVELOPE_BYTES, 256)
    shortened = set(answer.get("shortened", ()))
    while size_of(fitting) > room_bytes:
        cuttable = [
            key for key, value in fitting.items() if isinstance(value, list | str | dict) and value and key not in _NEVER_CUT
        ]
        if not cuttable:
            break
        longest = max(cuttable, key=lambda key: size_of(fitting[key]))
        value = fitting[longest]
        fitting[longest] = {} if isinstance(value, dict) else value[: len(value) // 2]
        fitting["shortened"] = sorted(shortened := shortened | {longest})
    return fitting
