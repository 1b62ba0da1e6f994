"""The reference of the command line in Markdown, made from the parser itself, and all reference pages written anew.

`python -m cronos_git.cli.reference DIRECTORY` writes the pages; tests hold `docs/reference` equal to them. What the other
pages say is `rules.config_page`'s and `rules.messages_page`'s. Floor F11.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cronos_git.cli import app
from cronos_git.cli.command import COMMANDS, STATUSES, Command
from cronos_git.rules.config_page import configuration_reference, table_row
from cronos_git.rules.messages_page import error_reference, message_reference

_INTRODUCTION = """\
# Command line

<!-- Made from cronos_git/cli by cli/reference.py: make docs. -->

Results go to standard output, everything else to standard error. On a terminal there are tables, colours and progress bars;
elsewhere plain text, whole. `--json` prints one object, or one a line for lists, with UTC times and exact bytes; `cat` and `git`
write bytes as they are.
"""


def command_reference() -> str:
    """The page of the command line."""
    parser = app.parser(["--help"])
    sections = [_INTRODUCTION, *_global_options(parser), *_statuses(), *_contents(parser)]
    for name, declared in sorted(COMMANDS.items(), key=lambda item: app.position(item[0])):
        sections += _section(name, declared, _found(parser, name))
    return "\n".join(sections)


def _global_options(parser: Any) -> list[str]:
    lines = ["## Options of every command", "", "They may stand before or after the command.", ""]
    return [*lines, *_table("option", _records(parser, parser.params)), ""]


def _statuses() -> list[str]:
    lines = ["## Exit statuses", "", "Every command can end with 0, 1, 2 or 130; what else it can end with stands with it.", ""]
    return [*lines, *_table("status", [(str(status), meaning) for status, meaning in sorted(STATUSES.items())]), ""]


def _contents(parser: Any) -> list[str]:
    rows = []
    for name in sorted(COMMANDS, key=app.position):
        link = f"[`{name}`](#cronos-{name.replace(' ', '-')})"
        rows.append((link, _found(parser, name).help.split("\n\n")[0].replace("\n", " ")))
    return ["## Commands", "", *_table("command", rows), ""]


def _found(parser: Any, name: str) -> Any:
    for word in name.split():
        parser = parser.commands[word]
    return parser


def _section(name: str, declared: Command, parser: Any) -> list[str]:
    lines = [f"## cronos {name}", "", "```", _usage(name, parser), "```", "", *_paragraphs(parser.help)]
    arguments = [param for param in parser.params if param.param_type_name == "argument"]
    options = [param for param in parser.params if param.param_type_name == "option" and not param.hidden]
    for title, params in (("argument", arguments), ("option", options)):
        if rows := _records(parser, params):
            lines += [*_table(title, rows), ""]
    lines += ["Examples:", "", "```", *declared.examples, "```", ""]
    if beyond := sorted({*declared.statuses} - {0, 1, 2, 130}):
        lines += ["Exit status: " + ", ".join(f"{status} {STATUSES[status]}" for status in beyond) + ".", ""]
    return lines


def _usage(name: str, parser: Any) -> str:
    words = ["cronos", name]
    if any(param.param_type_name == "option" and not param.hidden for param in parser.params):
        words.append("[OPTIONS]")
    words += (_usage_of(param) for param in parser.params if param.param_type_name == "argument")
    return " ".join(words)


def _usage_of(argument: Any) -> str:
    word = argument.metavar or argument.name.upper()
    if word.startswith("["):  # it tells by itself that it may be left out
        word = word[1:-1]
    word += "…" if argument.nargs != 1 else ""
    return word if argument.required else f"[{word}]"


def _paragraphs(text: str) -> Iterator[str]:
    """The help of a command; paragraphs that begin with a backspace are kept line by line, as the parser does."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            yield from ("```", *paragraph.removeprefix("\b\n").splitlines(), "```", "")
        else:
            yield from (_in_text(paragraph.replace("\n", " ")), "")


def _records(parser: Any, params: Sequence[Any]) -> list[tuple[str, str]]:
    """Name and meaning of each parameter, as the help has them."""
    context = parser.context_class(parser, info_name="cronos")
    records = [record for param in params if (record := param.get_help_record(context))]
    return [(f"`{name}`", _in_text(meaning)) for name, meaning in records]


def _in_text(text: str) -> str:
    """Placeholders such as <project> are no HTML, outside of code."""
    parts = text.split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


def _table(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"| {title} | meaning |", "|---|---|", *map(table_row, rows)]


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command_reference,
    "configuration.md": configuration_reference,
    "errors.md": error_reference,
    "messages.md": message_reference,
}
"""What makes each page of `docs/reference` that is made from the code."""


def main(directory: Path) -> None:
    """Write every page into *directory*."""
    from cronos_git.disk.files import write_durable

    for name, page in PAGES.items():
        write_durable(directory / name, page().encode(), mode=0o644)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
