"""What the answers of a service tell, as model records again: the other end of `answers`.

An answer that cannot be understood is an error of the service's version, never half a record. Floor F10: pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from types import NoneType
from typing import Any, TypeVar

from cronos_git.errors import CronosError, MessageError, ServiceError
from cronos_git.model import Backup, Damage, Dependency, Excluded, Module, Problem, SnapshotReport, Strategy, VerifyReport
from cronos_git.service.answers import ERROR, SUCCESS, backup_of

Answer = Mapping[str, Any]

_SIMPLE: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "str | None": (str, NoneType),
    "int | None": (int, NoneType),
}
_UNLISTED = "unlisted"
_SAME_IN_STATUS = (
    *("project", "project_root", "host", "store", "version", "service", "state", "backups", "queue_length", "uptime_s"),
)
_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldConflict:
    """A conflict of a merge; *kind* is a `ConflictKind`."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePlan:
    """What is told of the plan of a restore on another machine; named as in `RestorePlan`.

    Attributes:
        target: Directory that was written, there.
        counts: How many paths were treated in which way, by `RestoreAction`. In place only.
    """

    backup: Backup
    strategy: Strategy
    target: str
    counts: Mapping[str, int]
    base: str | None
    conflicts: tuple[ToldConflict, ...]
    dependencies: tuple[Dependency, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRestore:
    """What a restore on another machine did; named as in `RestoreReport`."""

    plan: RemotePlan
    files: int
    size_bytes: int
    problems: tuple[Problem, ...]
    verified: int
    duration_s: float
    restore_point: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWork:
    """Something that a service is at.

    Attributes:
        subject: Name of the backup that is made, or what a backup was asked for by.
        request_id: Of who asked for it; empty when the service began it by itself.
        since: When it was asked for.
        phase: As events name it.
        files_processed: Of the phase, as the other numbers are.
    """

    verb: str
    subject: str
    request_id: str
    since: datetime
    phase: str
    files_processed: int
    total_files: int | None
    bytes_processed: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStatus:
    """How a service and the store of its project are.

    Attributes:
        project: What the project is called on the bus.
        service: Which of the services of the project this is.
        state: What the service does, in a word.
        health: `active` or `degraded`; *faults* says why.
        working: What it is at.
        queue_length: How many more requests wait for their turn.
        requests: Ids of all requests that it is at, or that wait.
        next_backup: When it takes a backup by itself, or None.
        uptime_s: How long it has been serving.
    """

    project: str
    project_root: str
    host: str
    store: str
    version: str
    service: str
    state: str
    health: str
    faults: tuple[str, ...]
    backups: int
    backups_by_type: Mapping[str, int]
    last_backup: Backup | None
    working: tuple[RemoteWork, ...]
    queue_length: int
    requests: tuple[str, ...]
    next_backup: datetime | None
    uptime_s: float


def checked(answer: Answer) -> Answer:
    """*answer*, when it tells of a success.

    Raises:
        ServiceError: It tells of an error, or of neither.
    """
    if answer.get("status") == SUCCESS:
        return answer
    if answer.get("status") != ERROR:
        raise _misunderstood("it says neither SUCCESS nor ERROR")
    code = str(answer.get("code") or "")
    status = answer.get("exit_status")
    context = {name: answer[name] for name in ("candidates", "projects", "violations", "conflicts") if name in answer}
    raise ServiceError(
        str(answer.get("error_message") or answer.get("error") or "The service failed without saying why."),
        hint=str(answer.get("hint") or ""),
        remote_code=code,
        exit_status=status if isinstance(status, int) and 0 < status < 256 else _statuses().get(code, CronosError.exit_status),
        **context,
    )


def _statuses() -> dict[str, int]:
    """The exit status of every code of an error."""
    found, kinds = dict[str, int](), [CronosError]
    while kinds:
        kind = kinds.pop()
        found[kind.code] = kind.exit_status
        kinds += kind.__subclasses__()
    return found


def created(answer: Answer) -> SnapshotReport:
    """The report of a backup that was made, or need not be made."""
    with _understanding():
        report = SnapshotReport(
            backup=_backup(answer["backup"]),
            unchanged=answer["unchanged"],
            files_read=answer["files_read"],
            bytes_read=answer["bytes_read"],
            bytes_stored=answer["bytes_stored"],
            objects_stored=answer["objects_stored"],
            excluded=Excluded(**answer["excluded"]),
            problems=_problems(answer),
            duration_s=answer["duration_s"],
            pruned=tuple(answer["pruned"]),
            dropped=tuple(answer["dropped"]),
            freed_bytes=answer["freed_bytes"],
            pushed=tuple(answer["pushed"]),
            push_failed=answer["push_failed"],
            dependencies=_dependencies(answer),
        )
        return _sound(report)


def restored(answer: Answer) -> RemoteRestore:
    """The report of a restore that was done."""
    with _understanding():
        plan = RemotePlan(
            backup=_backup(answer["backup"]),
            strategy=answer["strategy"],
            target=answer["restore_target_path"],
            counts={str(name): int(number) for name, number in answer["changes"].items()},
            base=answer["base"],
            conflicts=tuple(_sound(ToldConflict(path=one["path"], kind=one["kind"])) for one in answer["conflicts"]),
            dependencies=_dependencies(answer),
        )
        report = RemoteRestore(
            plan=_sound(plan),
            files=answer["file_count"],
            size_bytes=answer["size_bytes"],
            problems=_problems(answer),
            verified=answer["verified"],
            duration_s=answer["duration_s"],
            restore_point=answer["restore_point"],
        )
        return _sound(report)


def verified(answer: Answer) -> VerifyReport:
    """The report of a check."""
    with _understanding():
        report = VerifyReport(
            backups=answer["backups_checked"],
            objects=answer["objects"],
            bytes_read=answer["bytes_read"],
            damage=_damage(answer),
            duration_s=answer["duration_s"],
            trash=tuple(answer["trash"]),
        )
        return _sound(report)


def status(answer: Answer) -> RemoteStatus:
    """How the service is."""
    with _understanding():
        last, following = answer["last_backup"], answer["next_backup"]
        report = RemoteStatus(
            **{name: answer[name] for name in _SAME_IN_STATUS},
            health=answer["health"]["status"],
            faults=tuple(map(str, answer["health"]["faults"])),
            backups_by_type={str(kind): int(number) for kind, number in answer["backups_by_type"].items()},
            last_backup=_backup(last) if last else None,
            working=tuple(_work(one) for one in answer["working"]),
            requests=tuple(map(str, answer["requests"])),
            next_backup=datetime.fromisoformat(following) if following else None,
        )
        return _sound(report)


def _work(told: Answer) -> RemoteWork:
    known = {field.name: told[field.name] for field in fields(RemoteWork)}
    return _sound(RemoteWork(**(known | {"since": datetime.fromisoformat(told["since"])})))


def page(answer: Answer) -> tuple[list[Backup], str | None]:
    """The backups of one page of a list, and the cursor of the next one; None after the last."""
    with _understanding():
        return [_backup(record) for record in answer["backups"]], answer["next"]


def _backup(record: Answer) -> Backup:
    return _sound(backup_of(record))


def _problems(answer: Answer) -> tuple[Problem, ...]:
    found = [_sound(Problem(**problem)) for problem in answer["problems"]]
    if "problems" in answer.get("shortened", ()):
        found.append(Problem(path="", code=_UNLISTED, text="there are more problems than fit into a message"))
    return tuple(found)


def _damage(answer: Answer) -> tuple[Damage, ...]:
    found = [_sound(Damage(**(one | {"backups": tuple(one["backups"])}))) for one in answer["damage"]]
    if more := answer["damage_count"] - len(found):
        text = f"{more:,} findings more do not fit into a message; `cronos verify` there lists them."
        found.append(Damage(backups=(), path="", oid="", code=_UNLISTED, text=text))
    return tuple(found)


def _dependencies(answer: Answer) -> tuple[Dependency, ...]:
    found = []
    for one in answer["dependencies"]:
        module = _sound(Module(name=one["module"]["name"], paths=tuple(one["module"]["paths"])))
        found.append(_sound(Dependency(**(one | {"module": module, "needed_by": tuple(one["needed_by"])}))))
    return tuple(found)


def _sound(record: _Record) -> _Record:
    """*record*, when its simple fields hold what they should, and ids can be printed."""
    for field in fields(record):  # type: ignore[arg-type]
        value = getattr(record, field.name)
        if not isinstance(value, _SIMPLE.get(str(field.type), (object,))):
            raise TypeError(f"{field.name} is {value!r:.40}")
        if field.name in ("id", "commit", "tag", "restore_point") and not str(value).isprintable():
            raise ValueError(f"{field.name} is {value!r:.40}")
    return record


@contextmanager
def _understanding() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, MessageError) as error:
        raise _misunderstood(f"{type(error).__name__}: {error}") from error


def _misunderstood(why: str) -> ServiceError:
    return ServiceError(
        f"The answer of the service is not understood: {why}. What was asked for may have been done.",
        hint="Is it of another version? `cronos --via … status` tells it.",
        remote_code="answer.misunderstood",
    )
