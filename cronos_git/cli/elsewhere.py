"""`restore` and `status` of a service elsewhere: what is asked before, and what is shown after. Floor F11."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from cronos_git.cli.dependencies import reasons
from cronos_git.cli.render.text import age, duration, local, plural, size, visible
from cronos_git.cli.session import Session
from cronos_git.errors import RefusedError, ServiceError
from cronos_git.model import IN_PLACE, RestoreRequest

if TYPE_CHECKING:
    from cronos_git.cli.via import RemoteEngine
    from cronos_git.service.reports import RemoteRestore, RemoteWork

_INCOMPLETE_STATUS = 3

# --- restore ----------------------------------------------------------------------------------------------------------


def restore(session: Session, request: RestoreRequest, *, yes: bool) -> int:
    """Have a backup brought back by the service, after a yes when it changes what is there; the exit status."""
    engine = cast("RemoteEngine", session.engine())
    if request.strategy in IN_PLACE and not yes and not _agreed(session, engine, request):
        session.output.note("Nothing was changed.")
        return 1
    try:
        with session.running() as run:
            report = engine.restore(request, run)
    except ServiceError as error:
        _tell_conflicts(session, cast(Sequence[Mapping[str, str]], error.context.get("conflicts", ())))
        raise
    _show_restored(session, report)
    return _INCOMPLETE_STATUS if report.problems else 0


def _agreed(session: Session, engine: RemoteEngine, request: RestoreRequest) -> bool:
    name = visible(f"{engine.status.project} on {engine.status.host}")
    target = visible(request.target or str(engine.project))
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or session.options.json:
        raise RefusedError(
            f"{target} of {name} would be changed, and there is nobody to ask.", hint="Give --yes to restore into it."
        )
    what = ", ".join(map(visible, (*request.paths, *request.modules))) or "all"
    session.output.raw_error(
        f"{name} would restore {what} of {request.backup} into {target} ({request.strategy}).\n"
        "What that changes there cannot be shown from here.\n"
    )
    return session.agrees("Go on?")


def _tell_conflicts(session: Session, conflicts: Sequence[Mapping[str, str]]) -> None:
    if not session.options.json and not session.options.quiet:
        session.output.raw_error(
            "".join(f"{visible(str(one.get('kind')))}: {visible(str(one.get('path')))}\n" for one in conflicts)
        )


def _show_restored(session: Session, report: RemoteRestore) -> None:
    output = session.output
    if session.options.json:
        output.json(report)
    elif session.options.quiet:
        output.line(report.restore_point or visible(report.plan.target))
    else:
        output.line(_sentence(report))
        for line in reasons(report.plan.dependencies):
            output.note(line)
        if report.restore_point:
            output.note(f"Restore point {report.restore_point}: `cronos undo` there takes this back.")
    output.problems(report.problems)


def _sentence(report: RemoteRestore) -> str:
    plan = report.plan
    into = f"{plan.backup.id} into {visible(plan.target)}"
    if plan.strategy not in IN_PLACE:
        return f"Restored {into}: {_written(report)}."
    counts = dict(plan.counts)
    kept = counts.pop("kept", 0)
    told = f" {plural(kept, 'path')} kept." if kept else ""
    if not any(counts.values()):
        return f"Nothing to change: {visible(plan.target)} is already as {plan.backup.id} wants it ({plan.strategy}).{told}"
    solved = f" Solved: {plural(len(plan.conflicts), 'conflict')}." if plan.conflicts else ""
    return f"Restored {into} ({plan.strategy}): {_written(report)}.{solved}{told}"


def _written(report: RemoteRestore) -> str:
    counts = (("deleted", "delete"), ("with other attributes", "attributes"))
    told = [f"{number:,} {what}" for what, name in counts if (number := report.plan.counts.get(name, 0))]
    parts = ", ".join([f"{plural(report.files, 'file')} written", *told, size(report.size_bytes)])
    checked = f"; read back and compared: {plural(report.verified, 'file')}" if report.verified else ""
    return f"{parts} in {duration(report.duration_s)}{checked}"


# --- status -----------------------------------------------------------------------------------------------------------


def show_status(session: Session) -> int:
    """Tell how the service and its store are; 0."""
    engine = cast("RemoteEngine", session.engine())
    if session.options.json:
        session.output.json(engine.status)
    else:
        session.output.pairs([(name, value) for name, value in _about(engine) if value])
    return 0


def _about(engine: RemoteEngine) -> list[tuple[str, str]]:
    status, zone, now = engine.status, engine.zone, engine.clock.now()
    types = ", ".join(f"{visible(kind)} {number:,}" for kind, number in status.backups_by_type.items())
    last = status.last_backup
    at_work = [_working(work) for work in status.working]
    if status.queue_length:
        at_work.append(f"{plural(status.queue_length, 'request')} waiting")
    return [
        ("Project", visible(f"{status.project} ({status.project_root} on {status.host})")),
        ("Store", visible(status.store)),
        ("Backups", f"{status.backups:,}" + (f" ({types})" if types else "")),
        ("Last", f"{last.id} ({local(last.created, zone)}, {age(last.created, now)})" if last else ""),
        ("Next", f"{local(status.next_backup, zone)}, by itself" if status.next_backup else ""),
        ("Health", "\n".join(map(visible, (status.health, *status.faults)))),
        ("At work", "\n".join(at_work)),
        ("Service", f"cronos {visible(status.version)}, {visible(status.state)}, up {duration(status.uptime_s)}"),
    ]


def _working(work: RemoteWork) -> str:
    total = f" of {work.total_files:,}" if work.total_files is not None else ""
    return visible(f"{work.verb} {work.subject}: {work.phase or 'begun'}, {work.files_processed:,}{total} files")
