"""How every restore goes, `undo` included: plan, show, ask, apply, report.

What is restored and how the plan is made is the commands' to say; nothing here knows a command line. Floor F11.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from cronos_git.cli.conflicts import CHOICES, conflict_table, hunk_lines
from cronos_git.cli.dependencies import reasons
from cronos_git.cli.render.tables import Column, Table, plain_lines
from cronos_git.cli.render.text import duration, plural, size, visible
from cronos_git.cli.session import Session
from cronos_git.errors import MergeConflictError, RefusedError
from cronos_git.events import Run
from cronos_git.model import Conflict, RestoreChange, RestorePlan, RestoreReport

_COLUMNS = (
    Column(title="ACTION"),
    Column(title="PATH", style="bold", flexible=True),
    Column(title="SIZE", right=True, drop=1),
    Column(title="NOTE", flexible=True),
)
_CONFLICTS = 4
_ROWS_ASKED = 40
_GRAVITY = ("delete", "kept", "update", "create", "attributes")
_NAMES_SHOWN = 20
_LACKING_SHOWN = 3


def carry_out(
    session: Session,
    plan_it: Callable[[Run], RestorePlan],
    do_it: Callable[[Run], RestoreReport],
    *,
    dry_run: bool,
    yes: bool,
    verify: bool | None,
) -> int:
    """Show what a restore would do, or do it after a yes; the exit status.

    Args:
        plan_it: Makes the plan.
        do_it: Plans and applies in one walk; for those who said yes beforehand.
        verify: Whether a plan's files are read back once it is applied; None for what the strategy does by itself.
    """
    if dry_run:
        with session.running() as run:
            plan = plan_it(run)
        _show_plan(session, plan)
        if plan.is_blocked:
            return _CONFLICTS
        return 0 if _changes_nothing(plan) else session.foresee(plan)
    try:
        if yes:
            with session.running() as run:
                report: RestoreReport | None = do_it(run)
        else:
            report = _after_asking(session, plan_it, verify)
    except MergeConflictError as error:
        if not session.options.json and not session.options.quiet:
            _show_conflicts_first(session, error.conflicts, str(error.context["backup"]))
        raise
    if report is None:
        session.output.note("Nothing was changed.")
        return 1
    _show_report(session, report)
    return 3 if report.problems else 0


def _after_asking(session: Session, plan_it: Callable[[Run], RestorePlan], verify: bool | None) -> RestoreReport | None:
    """The report of the plan that was agreed to; None when it was not."""
    with session.running() as run:
        plan = plan_it(run)
    if not plan.is_blocked and not _changes_nothing(plan) and os.path.lexists(plan.target) and not _agreed(session, plan):
        return None
    with session.running() as run:
        return session.engine().apply_restore(plan, run, verify=verify)


def _changes_nothing(plan: RestorePlan) -> bool:
    return plan.is_in_place and len(plan.changes) == plan.count("kept")


def _agreed(session: Session, plan: RestorePlan) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or session.options.json:
        raise RefusedError(
            f"{plan.target} exists, and there is nobody to ask.", hint="Give --yes to restore into it.", path=plan.target
        )
    shown = sorted(plan.changes, key=_weight)[:_ROWS_ASKED]
    if shown:
        session.output.preview(_table(shown))
    if plan.conflicts:
        _show_conflicts_first(session, plan.conflicts, "")
    session.output.raw_error("".join(f"{line}\n" for line in _before_the_question(plan, len(plan.changes) - len(shown))))
    return session.agrees("Go on?")


def _weight(change: RestoreChange) -> int:
    """What should be seen before anything else: losses first, additions last."""
    return 0 if change.obstructs else _GRAVITY.index(change.action)


def _before_the_question(plan: RestorePlan, more: int) -> list[str]:
    lines = [f"… and {more:,} more; -n shows all."] if more else []
    lines += [_sentence(plan), *reasons(plan.dependencies)]
    if plan.restore_point:
        lines.append("A restore point is taken first: `cronos undo` takes this back.")
    elif plan.is_in_place:
        lines.append("No restore point is taken: this cannot be undone.")
    return lines


# --- the plan -----------------------------------------------------------------------------------------------------


def _show_plan(session: Session, plan: RestorePlan) -> None:
    output = session.output
    if session.options.json:
        output.json(plan)
    elif session.options.quiet and plan.is_in_place:
        output.lines(_path(change) for change in plan.changes if change.action != "kept")
    else:
        if plan.changes:
            output.table(_table(plan.changes))
        _show_conflicts(session, plan.conflicts)
        output.line(_sentence(plan))
        output.lines(reasons(plan.dependencies))
        if plan.is_blocked:
            output.lines(choice.format(id=plan.backup.id) for choice in CHOICES)


def _show_conflicts(session: Session, conflicts: Sequence[Conflict]) -> None:
    if conflicts:
        session.output.table(conflict_table(conflicts, session.engine().zone))
    if session.options.verbose:
        session.output.lines(hunk_lines(conflicts))


def _show_conflicts_first(session: Session, conflicts: Sequence[Conflict], backup: str) -> None:
    """What must be seen before an error or a question."""
    output, table = session.output, conflict_table(conflicts, session.engine().zone)
    if output.error_console.is_terminal:
        output.preview(table)
    else:
        output.raw_error("".join(f"{line}\n" for line in plain_lines(table)))
    lines = hunk_lines(conflicts) if session.options.verbose else iter(())
    output.raw_error("".join(f"{line}\n" for line in (*lines, *(choice.format(id=backup) for choice in CHOICES if backup))))


def _table(changes: Sequence[RestoreChange]) -> Table:
    return Table(columns=_COLUMNS, rows=[_row(change) for change in changes])


def _row(change: RestoreChange) -> tuple[str, ...]:
    written = change.kind == "file" and change.action in ("create", "update")
    return change.action, _path(change), size(change.size_bytes) if written else "", visible(change.text)


def _path(change: RestoreChange) -> str:
    return (visible(change.path) or ".") + ("/" if change.kind == "directory" else "")


def _sentence(plan: RestorePlan) -> str:
    if plan.is_blocked:
        return f"{plural(len(plan.conflicts), 'conflict')}: nothing would be changed. {_base(plan)}"
    if _changes_nothing(plan):
        return _nothing(plan)
    deed = _deed(plan, "Would undo" if plan.verb == "undo" else "Would restore")
    if not plan.is_in_place:
        what = f"{plural(plan.files, 'file')} and {plural(plan.directories, 'directory', 'directories')}"
        return f"{deed}: {what}, {size(plan.size_bytes)}."
    steps = (
        ("create", plan.count("create")),
        ("update", plan.count("update")),
        ("delete", plan.count("delete")),
        ("set attributes of", plan.count("attributes")),
    )
    told = ", ".join(f"{step} {number:,}" for step, number in steps if number)
    writes = f"; {size(plan.size_bytes)} to write" if plan.files else ""
    return f"{deed}: {told}{writes}.{_merged(plan)}{_kept(plan)}"


def _merged(plan: RestorePlan) -> str:
    """What is special about a merge."""
    if plan.strategy != "merge":
        return ""
    lines = f" Merged line by line: {plural(plan.merged, 'file')}." if plan.merged else ""
    conflicts = f" Solved with {plan.on_conflict}: {plural(len(plan.conflicts), 'conflict')}." if plan.conflicts else ""
    return f"\n{_base(plan)}{lines}{conflicts}{_lacking(plan)}"


def _base(plan: RestorePlan) -> str:
    return f"Base: {plan.base or 'none in common'}."


def _lacking(plan: RestorePlan) -> str:
    """What the merge leaves there though the backup has it no more."""
    if not plan.lacking:
        return ""
    shown = ", ".join(map(visible, plan.lacking[:_LACKING_SHOWN])) + (" …" if len(plan.lacking) > _LACKING_SHOWN else "")
    stay = "path that the backup lacks stays" if len(plan.lacking) == 1 else "paths that the backup lacks stay"
    return f"\n{len(plan.lacking):,} {stay} ({shown}); --deletions apply removes what it deleted."


def _deed(plan: RestorePlan, verb: str) -> str:
    target = visible(plan.target)
    if plan.verb == "undo":
        return f"{verb} the restore of {target}, back to {plan.backup.id}"
    return f"{verb} {plan.backup.id} into {target}" + (f" ({plan.strategy})" if plan.is_in_place else "")


def _nothing(plan: RestorePlan) -> str:
    """What to say when nothing changes; `overwrite` vouches only for what the backup holds."""
    if plan.strategy == "merge":
        return f"The merge of {plan.backup.id} changes nothing here.{_merged(plan)}{_kept(plan)}"
    whole = not plan.paths and plan.strategy == "replace"
    what = visible(plan.target) if whole else "what was asked for"
    if plan.changes:
        return f"Nothing to change: {what} is as in {plan.backup.id} where it can be.{_kept(plan)}"
    return f"Nothing differs: {what} is already as in {plan.backup.id}."


def _kept(plan: RestorePlan) -> str:
    kept = plan.count("kept")
    return f" {plural(kept, 'path')} {'is' if kept == 1 else 'are'} kept." if kept else ""


# --- the report ---------------------------------------------------------------------------------------------------


def _show_report(session: Session, report: RestoreReport) -> None:
    output, plan = session.output, report.plan
    if session.options.json:
        output.json(report)
    elif not session.options.quiet:
        output.line(_nothing(plan) if _changes_nothing(plan) else _done(report))
        for line in reasons(plan.dependencies):
            output.note(line)
        if report.restore_point:
            output.note(f"Restore point {report.restore_point}: `{_undo_command(session, plan)}` takes this back.")
    elif report.restore_point or not plan.is_in_place:
        output.line(report.restore_point or visible(plan.target))
    _tell_conflicts(session, plan)
    _tell_what_obstructed(session, report)
    output.problems(report.problems)


def _undo_command(session: Session, plan: RestorePlan) -> str:
    """How to undo from where the user most likely is next: a restore is undone by the project whose backup it was."""
    project = session.engine().project
    return "cronos undo" if plan.target == str(project) else f"cronos -C {visible(str(project))} undo"


def _done(report: RestoreReport) -> str:
    plan = report.plan
    written = plural(report.files, "file")
    if plan.is_in_place:
        counts = (("deleted", plan.count("delete")), ("with other attributes", plan.count("attributes")))
        written += " written" + "".join(f", {number:,} {what}" for what, number in counts if number)
    deed = _deed(plan, "Undid" if plan.verb == "undo" else "Restored")
    checked = f" Read back and compared: {plural(report.verified, 'file')}." if report.verified else ""
    return f"{deed}: {written}, {size(report.size_bytes)} in {duration(report.duration_s)}.{checked}{_merged(plan)}{_kept(plan)}"


def _tell_conflicts(session: Session, plan: RestorePlan) -> None:
    """Name the paths that somebody should look at now."""
    found = [f"{visible(change.path)}: {visible(change.text)}" for change in plan.changes if "conflict" in change.text]
    shown = found if session.options.verbose else found[:_NAMES_SHOWN]
    for line in shown:
        session.output.note(line)
    if len(shown) < len(found):
        session.output.note(f"… and {len(found) - len(shown):,} more; -v names all.")


def _tell_what_obstructed(session: Session, report: RestoreReport) -> None:
    """Name what was replaced although the rules exclude it: no other backup would have it."""
    names = [visible(change.path) for change in report.plan.changes if change.obstructs]
    shown = names if session.options.verbose else names[:_NAMES_SHOWN]
    more = f" and {len(names) - len(shown):,} more" if len(shown) < len(names) else ""
    if names and report.restore_point:
        session.output.note(f"Excluded, but in the way: {', '.join(shown)}{more}. The restore point has what was there.")
    elif names:
        session.output.warning(f"Excluded, but in the way: {', '.join(shown)}{more}. No backup has what was there.")
