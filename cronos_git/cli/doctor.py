"""`doctor` checks what CRONOS needs of the machine and of the store. Floor F11."""

from __future__ import annotations

import typer

from cronos_git.cli.command import command
from cronos_git.cli.render.text import visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import CronosError, ProjectError
from cronos_git.model import Check


@command("doctor", examples=("cronos doctor", "cronos doctor --json"))
def doctor(context: typer.Context) -> int:
    """Check git, the libraries, the configuration, the places on the disk and the store; say what to do about what is wrong.

    Ends with exit status 1 when something is wrong.
    """
    session = session_of(context)
    output = session.output
    checks = _checks(session)
    if session.options.json:
        output.json_lines(checks)
    else:
        for check in checks:
            mark = output.paint("ok  ", "green") if check.ok else output.paint("FAIL", "red")
            output.line(f"{mark}  {visible(check.name)}: {visible(check.text)}")
            if check.hint and not check.ok:
                output.line(f"      {visible(check.hint)}")
    return 0 if all(check.ok for check in checks) else 1


def _checks(session: Session) -> list[Check]:
    """All findings; when it cannot be told which project and store are meant, that one and those of the machine."""
    try:
        engine = session.engine()
    except CronosError as error:
        from cronos_git.ops.checkup import check_machine

        name = "project" if isinstance(error, ProjectError) else "configuration"
        return [*check_machine(), Check(name=name, ok=False, text=error.message, hint=error.hint)]
    return engine.checks()
