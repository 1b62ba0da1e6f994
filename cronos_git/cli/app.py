"""From the words of a command line to an exit status: the parser, the signals, and the one place where errors end.

A command's module is imported only when its name stands in the command line (all of them for help and completion). Nobody ever
sees a trace who did not ask for it with -vv. Floor F11.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand

from cronos_git.cli import command, options
from cronos_git.cli.render.output import OutputClosedError
from cronos_git.cli.session import OpenEngine, Session
from cronos_git.errors import CronosError

_MODULES = {
    "init": "init",
    "create": "create",
    "list": "listing",
    "show": "showing",
    "status": "create",
    "diff": "compare",
    "ls": "browse",
    "cat": "browse",
    "find": "browse",
    "log": "history",
    "blame": "history",
    "grep": "history",
    "bisect": "bisect",
    "restore": "restore",
    "undo": "restore",
    "operations": "operations",
    "recover": "operations",
    "verify": "verify",
    "repair": "repair",
    "prune": "prune",
    "delete": "prune",
    "undelete": "prune",
    "compact": "compact",
    "pin": "amend",
    "unpin": "amend",
    "label": "amend",
    "describe": "amend",
    "export": "archives",
    "import": "archives",
    "remote": "remote",
    "push": "transfer",
    "fetch": "transfer",
    "sync": "transfer",
    "clone": "transfer",
    "stats": "stats",
    "map": "map",
    "config": "settings",
    "hooks": "hooks",
    "deploy": "deploy",
    "schedule": "schedule",
    "watch": "watch",
    "serve": "serve",
    "doctor": "doctor",
    "completion": "completion",
    "git": "passthrough",
}
"""The module of each command or group, in the order of the help."""

_GROUPS = {
    "config": "Show, find or start the configuration.",
    "hooks": "Git hooks that take backups.",
    "label": "Put labels on backups, or take them off.",
    "schedule": "Timers of the machine that take backups.",
    "remote": "Name other repositories that hold copies of the backups.",
}
_HELP_OPTIONS = ["-h", "--help"]
_BROKEN_PIPE_STATUS = 128 + signal.SIGPIPE
_PARSER_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
"""The parser's own base class of errors, which typer does not export."""


class _SignalledError(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived; rolls everything back on its way up, and no `except Exception` stops it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(arguments: Sequence[str], *, open_engine: OpenEngine | None = None) -> int:
    """Run one command line and give its exit status; never raises.

    Args:
        open_engine: Takes the place of `bootstrap.open_engine`.
    """
    session = Session(open_engine)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(session, arguments)
        session.output.flush()
    except OutputClosedError:
        status = _BROKEN_PIPE_STATUS
        session.output.abandon()
    except CronosError:  # the output itself failed, and has been told
        status = 1
        session.output.abandon()
    finally:
        session.close()
    return status


def _run(session: Session, arguments: Sequence[str]) -> int:
    try:
        with _signals_raise():
            status = _dispatch(session, arguments)
            session.output.flush()
            return status
    except CronosError as error:
        return _fail(session, error, code=error.code, status=error.exit_status)
    except _SignalledError as signalled:
        name = signal.Signals(signalled.number).name
        stopped = CronosError(f"Interrupted by {name}; nothing is half-done.")
        return _fail(session, stopped, code="interrupted", status=128 + signalled.number)
    except _PARSER_ERROR as usage:
        return _wrong_usage(session, usage, arguments)
    except Exception as bug:
        failure = CronosError(f"Internal error: {type(bug).__name__}: {bug}", hint=_bug_hint(), versions=_versions())
        return _fail(session, failure, code="internal", status=1)


def _dispatch(session: Session, arguments: Sequence[str]) -> int:
    group: Any = parser(arguments)
    status = group.main(args=list(arguments), prog_name="cronos", standalone_mode=False, obj=session)
    return status if isinstance(status, int) else 0


def _fail(session: Session, error: CronosError, *, code: str, status: int) -> int:
    if session.options.verbose > 1:
        import traceback

        session.output.raw_error(traceback.format_exc())
    session.output.error(error, code=code, status=status)
    return status


def _wrong_usage(session: Session, usage: Any, arguments: Sequence[str]) -> int:
    message = usage.format_message()
    if message.startswith("Usage:"):  # a group without a command: the parser's error is the whole help
        session.output.raw_error(message + "\n")
        return 2
    session.options.json = session.options.json or "--json" in arguments
    path = usage.ctx.command_path if getattr(usage, "ctx", None) else "cronos"
    return _fail(session, CronosError(message, hint=f"`{path} --help` tells how it is used."), code="usage", status=2)


def _versions() -> dict[str, str]:
    from cronos_git import __version__

    found = {"cronos": __version__, "python": sys.version.split()[0], "platform": sys.platform}
    pygit2 = sys.modules.get("pygit2")
    if pygit2 is not None:
        found |= {"pygit2": pygit2.__version__, "libgit2": pygit2.LIBGIT2_VERSION}
    return found


def _bug_hint() -> str:
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    return f"This is a bug in CRONOS ({versions}). Run it again with -vv and report what it prints."


# --- signals ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn the first signal into an exception, but leave those alone that were ignored from the start (`nohup`).

    What the exception rolls back is not broken off by further signals: half a rollback is what nobody wants.
    """

    def raise_it(number: int, _frame: FrameType | None) -> None:
        for other in taken:
            signal.signal(other, _ask_for_patience)
        raise _SignalledError(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, raise_it)
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def _ask_for_patience(_number: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):  # unbuffered, as the signal may have come in the middle of a write to stderr
        os.write(2, b"\nStopping; putting things back. One moment.\n")


# --- the parser ---------------------------------------------------------------------------------------------------


class _Command(TyperCommand):
    """A command that a service elsewhere is asked to do when `--via` names one."""

    def invoke(self, ctx: Any) -> Any:
        if ctx.obj.options.via is None:
            return super().invoke(ctx)
        from cronos_git.cli import via

        with via.asking(ctx):
            return super().invoke(ctx)


def parser(arguments: Sequence[str]) -> Any:
    """The parser for *arguments*, with only the commands that are named there when any is."""
    named = [name for name in _MODULES if name in arguments]
    first = next((word for word in arguments if word in _MODULES or word in _HELP_OPTIONS), None)
    wanted = named if first in _MODULES else list(_MODULES)
    for name in wanted:
        importlib.import_module(f"cronos_git.cli.{_MODULES[name]}")
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.callback(no_args_is_help=True, context_settings={"help_option_names": _HELP_OPTIONS})(options.declare)
    groups = {name: typer.Typer(help=text, no_args_is_help=True) for name, text in _GROUPS.items() if name in wanted}
    for name in wanted:
        if name in groups:
            app.add_typer(groups[name], name=name)
    for name in sorted(command.COMMANDS, key=position):
        parent, _, own = name.rpartition(" ")
        if name.partition(" ")[0] in wanted:
            _declare(groups.get(parent, app), own, command.COMMANDS[name])
    return _with_global_options(typer.main.get_command(app))


def position(name: str) -> int:
    """Where the command *name* stands in the help."""
    return list(_MODULES).index(name.partition(" ")[0])


def _declare(app: typer.Typer, name: str, declared: command.Command) -> None:
    settings: dict[str, Any] | None = None
    if declared.passthrough:
        settings = {
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "allow_interspersed_args": False,
            "help_option_names": [],
        }
    app.command(name, cls=_Command, epilog=declared.epilog, context_settings=settings)(declared.function)


def _with_global_options(group: Any) -> Any:
    """Let the global options stand after the command too, without naming them in each command's help."""
    inherited = [copy.copy(param) for param in group.params if param.name != "version"]
    for param in inherited:
        param.hidden = True
        param.expose_value = False
    _inherit(group, inherited)
    from typer._completion_classes import completion_init

    completion_init()
    return group


def _inherit(group: Any, inherited: list[Any]) -> None:
    for member in group.commands.values():
        if not member.context_settings.get("ignore_unknown_options"):
            member.params.extend(inherited)
        if hasattr(member, "commands"):
            _inherit(member, inherited)
