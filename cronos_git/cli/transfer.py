"""`push`, `fetch`, `sync` and `clone`: copies of backups in other repositories. Floor F11."""

from __future__ import annotations

from typing import Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.listing import backup_table, show_new
from cronos_git.cli.remote import Name, absolute
from cronos_git.cli.render.text import duration, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.model import FetchPlan, FetchReport, FetchRequest, PushPlan, PushReport, PushRequest

_DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be done; the remote is asked.")]
_Amended = Annotated[bool, typer.Option("--amended", help="Also send labels, pins and descriptions that were changed since.")]
_Prune = Annotated[bool, typer.Option("--prune", help="Also remove there what was pruned or deleted here.")]
_Backups = Annotated[
    list[str] | None, typer.Option("--backup", metavar="ID", show_default=False, help="Only this one; may be repeated [all].")
]


@command(
    "push",
    statuses=(6, 10, 11, 12, 14, 16),
    examples=("cronos push", "cronos push usb -n", "cronos push origin --backup latest", "cronos push --amended --prune"),
)
def push(
    context: typer.Context,
    remote: Name = None,
    backups: _Backups = None,
    amended: _Amended = False,
    prune: _Prune = False,
    dry_run: _DryRun = False,
) -> int:
    """Send to a remote the backups that it lacks.

    Nothing is changed or removed there unless asked for, so a remote that forbids both will do. Only what it lacks is sent;
    interrupted, the next push goes on. At the end the remote is asked whether it has all of them.
    """
    session = session_of(context)
    request = PushRequest(remote=remote, backups=tuple(backups or ()), amended=amended, prune=prune)
    with session.running() as run:
        if dry_run:
            _show_push_plan(session, session.engine().plan_push(request, run))
            return 0
        report = session.engine().push(request, run)
    show_push(session, report)
    return 0


def _show_push_plan(session: Session, plan: PushPlan) -> None:
    output = session.output
    if session.options.json:
        output.json(plan)
        return
    if plan.missing and not session.options.quiet:
        output.table(backup_table(plan.missing, session.engine().zone))
    _tell_differences(session, plan)
    output.note(f"Would send {plural(len(plan.missing), 'backup')} to {_place(plan)}; {_is_or_are(plan.there)} there.")


def show_push(session: Session, report: PushReport) -> None:
    """Tell what a push did."""
    output, plan = session.output, report.plan
    if session.options.json:
        output.json(report)
    elif session.options.quiet:
        output.lines(report.pushed)
    else:
        done = [f"Sent {plural(len(report.pushed), 'backup')}"] if report.pushed else []
        done += [f"amended {len(report.amended)}"] if report.amended else []
        done += [f"removed {len(report.removed)}"] if report.removed else []
        done += [f"moved {', '.join(report.branches)}"] if report.branches else []
        amount = f"{size(report.sent_bytes)} in " if report.sent_bytes else "It took "
        sent = f" {amount}{duration(report.duration_s)}." if done else ""
        what = ", ".join(done) if done else "nothing to send"
        there = plural(plan.there + len(report.pushed), "backup")
        output.line(f"{what[0].upper()}{what[1:]}; {_place(plan)} has {there} of here.{sent}")
    for name, there in plan.names.items():
        output.note(f"{name} is called {there} there, as its id was taken.")
    for note in report.notes:
        output.warning(note)
    _tell_differences(session, plan)


def _tell_differences(session: Session, plan: PushPlan) -> None:
    if plan.amended and not plan.request.amended:
        count = plural(len(plan.amended), "backup")
        have = "has" if len(plan.amended) == 1 else "have"
        session.output.note(f"{count} there {have} other labels, pins or descriptions; --amended sends those of here.")
    if plan.dropped and not plan.request.prune:
        session.output.note(f"{_dropped(plan)} dropped here; --prune removes {_them(plan)} there too.")


def _is_or_are(count: int) -> str:
    return "1 is" if count == 1 else f"{count:,} are"


def _place(plan: PushPlan | FetchPlan) -> str:
    return f"{plan.remote.name} ({visible(plan.remote.url)})"


@command(
    "fetch",
    statuses=(10, 11, 12, 14, 15, 16),
    examples=("cronos fetch", "cronos fetch usb -n", "cronos fetch origin --backup nightly_20260401_000000"),
)
def fetch(
    context: typer.Context,
    remote: Name = None,
    backups: _Backups = None,
    dropped: Annotated[bool, typer.Option("--dropped", help="Also what was here and has been pruned or deleted.")] = False,
    dry_run: _DryRun = False,
) -> int:
    """Get from a remote the backups that this store never had.

    What was made here and lost comes back as it was. What another machine made comes as an import, in a scope of its own:
    `latest`, `status` and the timeline stay as they are. Nothing here is changed or removed.
    """
    session = session_of(context)
    request = FetchRequest(remote=remote, backups=tuple(backups or ()), dropped=dropped)
    with session.running() as run:
        if dry_run:
            plan = session.engine().plan_fetch(request, run)
            _show_fetch_plan(session, plan)
            return 0
        report = session.engine().fetch(request, run)
    _show_fetch(session, report)
    return 0


def _show_fetch_plan(session: Session, plan: FetchPlan) -> None:
    if session.options.json:
        session.output.json(plan)
        return
    session.output.lines(visible(copy.id) for copy in plan.missing)
    _tell_dropped(session, plan)
    session.output.note(f"Would get {plural(len(plan.missing), 'backup')} from {_place(plan)}; {_is_or_are(plan.there)} here.")


def _show_fetch(session: Session, report: FetchReport) -> None:
    output = session.output
    show_new(session, report)
    for note in report.notes:
        output.note(note)
    _tell_dropped(session, report.plan)
    stored = f"; stored {size(report.bytes_stored)} in {duration(report.duration_s)}" if report.backups else ""
    output.note(f"Got {plural(len(report.backups), 'backup')} from {_place(report.plan)}{stored}.")


def _tell_dropped(session: Session, plan: FetchPlan) -> None:
    if plan.dropped:
        session.output.note(f"{_dropped(plan)} dropped here; --dropped gets {_them(plan)} too.")


def _dropped(plan: PushPlan | FetchPlan) -> str:
    return "1 backup there was" if len(plan.dropped) == 1 else f"{len(plan.dropped):,} backups there were"


def _them(plan: PushPlan | FetchPlan) -> str:
    return "it" if len(plan.dropped) == 1 else "them"


@command(
    "sync",
    statuses=(6, 10, 11, 14, 15, 16),
    examples=("cronos sync", "cronos sync usb"),
)
def sync(context: typer.Context, remote: Name = None, amended: _Amended = False, prune: _Prune = False) -> int:
    """Fetch, then push: afterwards both sides have all backups, but for what was dropped on purpose."""
    session = session_of(context)
    with session.running() as run:
        got = session.engine().fetch(FetchRequest(remote=remote), run)
        sent = session.engine().push(PushRequest(remote=remote, amended=amended, prune=prune), run)
    if session.options.json:
        session.output.json({"fetch": got, "push": sent})
        return 0
    _show_fetch(session, got)
    show_push(session, sent)
    return 0


@command(
    "clone",
    statuses=(11, 13, 14, 15, 16),
    examples=(
        "cronos clone backup@nas:shop.git && cronos restore latest --to ~/src/shop",
        "cronos -C ~/src/shop clone /media/usb/shop.git && cronos -C ~/src/shop restore latest --strategy replace",
    ),
)
def clone(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The remote: a path, file://, ssh://, user@host:path or https://.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What it is to be called here.")] = "origin",
) -> int:
    """Make the store of a project from a remote, with all its backups as they were: on a new machine, say.

    The project is the directory given with -C, else the one you are in. Its files are not touched: `cronos restore` writes
    them. Interrupted, the same command goes on.
    """
    session = session_of(context)
    with session.running() as run:
        report = session.engine().clone(absolute(url), name, run)
    _show_fetch(session, report)
    if not report.backups and not report.plan.there:
        session.output.warning(f"There are no backups at {_place(report.plan)}.")
    return 0
