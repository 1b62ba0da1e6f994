"""The two ends of the command line: results on stdout, everything else on stderr.

Decides between terminal and pipe, colour and none. A reader that went away (`cronos list | head`) ends the command quietly.
Floor F11.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING

from cronos_git.cli.options import Options
from cronos_git.cli.render import tables
from cronos_git.cli.render.text import visible
from cronos_git.errors import CronosError, HostError

if TYPE_CHECKING:
    from rich.console import Console

    from cronos_git.model import Problem

_PROBLEMS_SHOWN = 20
_BATCH_LINES = 1000
_STYLES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "error": "1;31"}


class OutputClosedError(BaseException):
    """Whoever read our output has gone; not an Exception, so that nothing on the way reports it."""


class Output:
    """Writes what a command has to say. The options may still change while the command line is parsed."""

    def __init__(self, options: Options) -> None:
        self.options = options

    # --- what the ends are --------------------------------------------------------------------------------------

    @property
    def terminal(self) -> bool:
        """Whether results are drawn for a terminal."""
        return self.options.color == "always" or sys.stdout.isatty()

    @cached_property
    def console(self) -> Console:
        """rich on stdout."""
        return self._console(on_error=False)

    @cached_property
    def error_console(self) -> Console:
        """rich on stderr."""
        return self._console(on_error=True)

    def _console(self, *, on_error: bool) -> Console:
        from rich.console import Console

        return Console(
            stderr=on_error,
            force_terminal=True if self.options.color == "always" else None,
            color_system=None if self.options.color == "never" else "auto",
            markup=False,
            emoji=False,
            highlight=False,
        )

    @cached_property
    def colourful(self) -> bool:
        """Whether results may have colours."""
        return self.terminal and _colourful(self.console)

    def paint(self, text: str, style: str) -> str:
        """*text* for stdout in one of the few styles, unchanged where colour is not wanted."""
        return _painted(text, style) if self.colourful else text

    # --- results ------------------------------------------------------------------------------------------------

    def line(self, text: str = "") -> None:
        """One line of result."""
        self.lines((text,))

    def lines(self, lines: Iterable[str]) -> None:
        """Lines of result; each is safe to print."""
        remaining = iter(lines)
        while batch := [f"{line}\n" for line in islice(remaining, _BATCH_LINES)]:
            _guarded(partial(sys.stdout.write, "".join(batch)))

    def content(self, pieces: Iterable[bytes]) -> None:
        """Raw content."""
        for piece in pieces:
            _guarded(partial(sys.stdout.buffer.write, piece))

    def json(self, record: object) -> None:
        """One JSON object."""
        self.json_lines((record,))

    def json_lines(self, records: Iterable[object]) -> None:
        """One JSON object a line."""
        from cronos_git.cli.render.jsonout import document

        self.lines(map(document, records))

    def table(self, table: tables.Table) -> None:
        """A table, as the reader of stdout can use it."""
        if self.terminal and 0 < len(table.rows) <= tables.RICH_ROWS:
            _guarded(lambda: tables.draw(table, self.console))
        elif self.terminal and table.rows:
            self.lines(tables.cut_lines(table, self.console.width))
        else:
            self.lines(tables.plain_lines(table))

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values, one a line; further lines of a value are indented below its first."""
        width = max(len(name) for name, _ in pairs) + 2
        for name, value in pairs:
            first, *more = value.split("\n")
            self.line(f"{self.paint(f'{name}:', 'bold')}{' ' * (width - len(name) - 1)}{first}".rstrip())
            self.lines((" " * width + text).rstrip() for text in more)

    def preview(self, table: tables.Table) -> None:
        """A table on stderr, a terminal: what a question is about."""
        with self.error_console.capture() as drawn:
            tables.draw(table, self.error_console)
        self.raw_error(drawn.get())

    # --- the rest, on stderr ------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Something worth knowing; silent with --quiet."""
        if not self.options.quiet:
            self._say("note", text, "cyan")

    def warning(self, text: str) -> None:
        """Something that went wrong without stopping the command."""
        self._say("warning", text, "yellow")

    def problems(self, problems: Sequence[Problem]) -> None:
        """The paths that could not be treated fully: the first of many, unless --verbose."""
        shown = problems if self.options.verbose else problems[:_PROBLEMS_SHOWN]
        for problem in shown:
            self.warning(f"{problem.path or '.'}: {problem.text}")
        if len(shown) < len(problems):
            self.warning(f"… and {len(problems) - len(shown):,} more; -v lists them all.")

    def error(self, error: CronosError, *, code: str, status: int) -> None:
        """An error: its message and hint on stderr and, with --json, as an object on stdout."""
        self._say("error", error.message, "error")
        if error.hint:
            self._say("hint", error.hint, "cyan")
        if self.options.json:
            details = {
                "code": code,
                "message": error.message,
                "hint": error.hint,
                "context": error.context,
                "exit_status": status,
            }
            self.json({"error": details})

    def raw_error(self, text: str) -> None:
        """Text on stderr as it is: traces and help."""
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            return  # nobody is left to tell

    def _say(self, label: str, text: str, style: str) -> None:
        if sys.stderr.isatty() and self.options.color != "never" and _colourful(self.error_console):
            label = _painted(label, style)
        lines = "\n  ".join(map(visible, text.split("\n")))
        self.raw_error(f"{label}: {lines}\n")

    # --- the end ------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Hand over what is still buffered, so that a failure is noticed while it can be reported."""
        _guarded(sys.stdout.flush)

    def abandon(self) -> None:
        """Send what is still buffered nowhere, so that the interpreter does not complain at its end."""
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (OSError, ValueError):
            return  # stdout is no file of the system: nothing is buffered for one


def _guarded(write: Callable[[], object]) -> None:
    try:
        write()
    except BrokenPipeError as error:
        raise OutputClosedError from error
    except OSError as error:
        raise HostError(f"Cannot write the output: {error.strerror or error}.") from error


def _painted(text: str, style: str) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def _colourful(console: Console) -> bool:
    return console.color_system is not None and not console.no_color
