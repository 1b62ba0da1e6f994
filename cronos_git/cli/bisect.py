"""`bisect` finds the first backup in which a test fails.

This is the one place besides `git.session` that starts a program: the test is the user's own command line, given to this very
command, and how it is run (its output, its signals) is a matter of the terminal; nothing from a backup or a configuration is ever
run. The search is `ops.bisect`'s. Floor F11.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.create import change_line
from cronos_git.cli.paths import inside
from cronos_git.cli.render.text import local, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import CronosError, UsageError
from cronos_git.model import Backup, BisectReport, BisectRequest, BisectVerdict
from cronos_git.rules.bisecting import verdict_of

if TYPE_CHECKING:
    import subprocess  # noqa: TID251 - the user's own command

_GRACE_S = 2.0
_STYLES = {"good": "green", "bad": "red", "skip": "yellow"}


@command(
    "bisect",
    statuses=(6, 10, 11, 12, 13, 15, 16),
    examples=(
        "cronos bisect src tests --cmd 'python -m pytest -q tests'",
        "cronos bisect config.json --cmd 'jq -e .port config.json' --good @monday",
    ),
)
def bisect(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="What the test needs of the project; . for everything.")],
    test: Annotated[str, typer.Option("--cmd", metavar="TEST", help="A line for the shell, run where these paths are.")],
    good: Annotated[
        str | None, typer.Option("--good", metavar="BACKUP", show_default=False, help="In which it passes [oldest].")
    ] = None,
    bad: Annotated[
        str | None, typer.Option("--bad", metavar="BACKUP", show_default=False, help="A later one in which it fails [newest].")
    ] = None,
    scratch: Annotated[
        Path | None, typer.Option("--scratch", metavar="DIR", show_default=False, help="Where it is tried [temporary files].")
    ] = None,
) -> int:
    """Find the first backup in which a test fails.

    Of each backup that is tried, only the paths are written to a private directory, which is removed afterwards; TEST is run
    there by sh, its output goes to standard error. Exit status 0 means good, 1 to 127 bad, 125 cannot tell: try another; 128 and
    more, or a signal: stop. Backups in which the paths are the same are tried once, and those that hold none of them never.
    """
    session = session_of(context)
    engine = session.engine()
    tops = tuple(dict.fromkeys(inside(engine.project, path) for path in paths))
    request = BisectRequest(
        paths=("",) if "" in tops else tops,
        good=None if good is None else session.find(good),
        bad=None if bad is None else session.find(bad),
    )
    if not test.strip():
        raise UsageError("--cmd is empty.", hint="Give a command line, such as --cmd 'make test'.")
    report = engine.bisect(request, lambda place, backup: _try(session, test, place, backup), scratch=scratch)
    if session.options.json:
        session.output.json(report)
    elif session.options.quiet:
        session.output.line(report.first_bad.id)
    else:
        _show(session, report, request.paths)
    return 0


def _try(session: Session, test: str, place: Path, backup: Backup) -> BisectVerdict:
    status = _run(test, place, is_quiet=session.options.quiet)
    verdict = verdict_of(status)
    if verdict is None:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise CronosError(
            f"The test {how} in {backup.id}; the search was stopped.",
            hint="0 means good, 125 cannot tell, anything else up to 127 bad.",
            status=status,
        )
    session.output.note(f"{backup.id}: {session.output.paint(verdict, _STYLES[verdict])}")
    return verdict


def _run(test: str, place: Path, *, is_quiet: bool) -> int:
    """Exit status of the test, negative for a signal. However we are stopped, it is stopped first, with all that it started."""
    import subprocess  # noqa: TID251 - the user's own command

    output = subprocess.DEVNULL if is_quiet else 2
    command_line = ["/bin/sh", "-c", test]
    with subprocess.Popen(
        command_line, cwd=place, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
    ) as child:
        try:
            return child.wait()
        except BaseException:
            _end(child)
            raise


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let the test and what it started clean up for a moment, then end all of it."""
    import subprocess  # noqa: TID251 - the user's own command

    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
        os.killpg(child.pid, signal.SIGKILL)


def _show(session: Session, report: BisectReport, paths: tuple[str, ...]) -> None:
    output = session.output
    pairs = [("First bad", _about(session, report.first_bad))]
    if report.last_good is not None:
        pairs.append(("Last good", _about(session, report.last_good)))
    if report.suspects:
        pairs.append(("Not tested", "\n".join(report.suspects)))
    pairs.append(("Tests", f"{len(report.steps)}"))
    output.pairs(pairs)
    output.lines(change_line(session, change) for change in report.changes if change.kind != "attributes")
    if report.last_good is None:
        output.note("It fails in the oldest backup already; how it came to that is not kept.")
    else:
        words = " ".join(visible(path) or "." for path in paths)
        output.note(f"See it: cronos diff -p {report.last_good.id} {report.first_bad.id} {words}")


def _about(session: Session, backup: Backup) -> str:
    when = local(backup.created, session.engine().zone)
    return f"{backup.id}  {when}" + ("" if backup.message == backup.name else f"  {visible(backup.message)}")
