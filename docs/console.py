"""The commands that stand in the pages: found, run, and recorded anew.

A command stands in a block fenced as `console`: lines that begin with `$ `, going on in lines that begin with `> `. The lines
below it are what it says. `# ends with 4` at its end tells that it ends with another status than 0. All commands of a page are
run by one bash, from top to bottom, in an empty directory that the pages call `/srv`. `python -m docs.console PAGE...` runs
pages and writes what their commands really say below them; `tests/docs` runs them all and compares.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STATUS = re.compile(r"# ends with (\d+)$")
_NEEDED = {"gcrypt::": "git-remote-gcrypt", "gpg ": "gpg", "tig ": "tig", "nats-server ": "nats-server"}
_WRONG_STATUS = 99
_CRONOS = f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(SOURCE))} exec {shlex.quote(sys.executable)} -m cronos_git "$@"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a page.

    Attributes:
        text: What bash is given, perhaps of several lines.
        shown: The lines of output that the page shows.
        status: The exit status that the page tells.
    """

    text: str
    shown: tuple[str, ...]
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command said, on both channels, in the words of the pages, and how it ended."""

    lines: tuple[str, ...]
    status: int | None


def blocks(page: str) -> list[list[Command]]:
    """The commands of every block of *page*, which is Markdown."""
    return [list(_commands(block.group(1).splitlines())) for block in _BLOCK.finditer(page)]


def _commands(lines: Sequence[str]) -> Iterator[Command]:
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    if lines and starts[:1] != [0]:
        raise ValueError(f"a block does not begin with a command: {lines[0]}")
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        body = start + 1
        while body < end and lines[body].startswith("> "):
            body += 1
        text = "\n".join(line[2:] for line in lines[start:body])
        told = _STATUS.search(text)
        yield Command(text=text, shown=tuple(lines[body:end]), status=int(told[1]) if told else 0)


def missing_programs(commands: Sequence[Command]) -> list[str]:
    """What *commands* need and this machine lacks."""
    text = "\n".join(command.text for command in commands)
    return [program for word, program in _NEEDED.items() if word in text and shutil.which(program, path=_path()) is None]


def run(commands: Sequence[Command], base: Path, cronos: str = _CRONOS) -> list[Said]:
    """Run *commands* in a directory below *base*, with a HOME of their own; stops where a status is another than is told.

    Args:
        base: A directory of which nothing is used yet.
        cronos: The script that is the command `cronos`; by default one that starts this code.

    Returns:
        What each said that was begun.
    """
    for name in ("srv", "home", "bin", "said"):
        (base / name).mkdir()
    wrapper = base / "bin" / "cronos"
    wrapper.write_text(cronos)
    wrapper.chmod(0o755)
    script = "\n".join(_scripted(number, command, base) for number, command in enumerate(commands))
    bash = subprocess.Popen(
        ["bash", "-c", script], cwd=base / "srv", env=environment(base), stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        bash.wait(timeout=300)
    finally:
        with contextlib.suppress(ProcessLookupError):  # what a page has left running
            os.killpg(bash.pid, signal.SIGKILL)
        bash.wait()
    return list(_said(base, len(commands)))


def _scripted(number: int, command: Command, base: Path) -> str:
    said = shlex.quote(str(base / "said" / str(number)))
    return (
        f"{{\n{command.text}\n}} >{said} 2>&1\nended_with=$?\necho $ended_with >{said}.status\n"
        f"[ $ended_with = {command.status} ] || exit {_WRONG_STATUS}"
    )


def environment(base: Path) -> dict[str, str]:
    """All that the commands of a page know of the world outside."""
    return {
        "HOME": str(base / "home"),
        "PATH": f"{base / 'bin'}:{_path()}",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PAGER": "cat",
        "TMPDIR": str(base),
    }


def _path() -> str:
    """Where programs are looked for: those of this Python's environment too, such as `nats-server`."""
    return f"{os.environ['PATH']}:{Path(sys.executable).parent}"


def _said(base: Path, count: int) -> Iterator[Said]:
    for number in range(count):
        said = base / "said" / str(number)
        if not said.exists():
            return
        status = said.with_name(f"{number}.status")
        text = _in_words_of_pages(said.read_text(errors="backslashreplace"), base)
        yield Said(lines=tuple(text.splitlines()), status=int(status.read_text()) if status.exists() else None)


def _in_words_of_pages(text: str, base: Path) -> str:
    """The directories, the user and the machine as the pages call them."""
    user, host = pwd.getpwuid(os.geteuid()).pw_name, os.uname().nodename
    text = text.replace(str(base / "srv"), "/srv").replace(str(base / "home"), "/home/me")
    for installed in (base / "bin", Path(sys.executable).parent):
        text = text.replace(str(installed / "cronos"), "/usr/local/bin/cronos")
    text = re.sub(rf"\b{re.escape(user)}@{re.escape(host)}\b", "me@box", text)
    text = re.sub(r"\bCRONOS_CLIENT_[0-9a-f]+", "CRONOS_CLIENT_5a1256b3", text)
    in_columns = re.sub(rf"\b((?:cli|hook|service) ){re.escape(user)}(?=  )", r"\1" + "me".ljust(len(user)), text)
    in_git = re.sub(rf"\b{re.escape(user)}(?= <me@box>)|(?<=\(){re.escape(user)}(?= \d)", "me", in_columns)
    return re.sub(rf"\b((?:cli|hook|service) ){re.escape(user)}\b", r"\1me", in_git)


def recorded(page: str, said: Sequence[Said]) -> str:
    """*page* with what its commands said below them."""
    left = iter(said)

    def block(found: re.Match[str]) -> str:
        lines = []
        for command in _commands(found.group(1).splitlines()):
            lines.append("$ " + command.text.replace("\n", "\n> "))
            lines += (line.rstrip() for line in next(left).lines)
        return "\n".join(["```console", *lines, "```"])

    return _BLOCK.sub(block, page)


def main(paths: Sequence[str]) -> int:
    """Run the pages at *paths*, and record them; the exit status."""
    for path in map(Path, paths):
        page = path.read_text()
        commands = [command for block in blocks(page) for command in block]
        with tempfile.TemporaryDirectory() as base:
            said = run(commands, Path(base))
        last = commands[len(said) - 1]
        if len(said) < len(commands) or said[-1].status != last.status:
            sys.stderr.write(f"{path}: $ {last.text}\nended with {said[-1].status}:\n" + "\n".join(said[-1].lines) + "\n")
            return 1
        path.write_text(recorded(page, said))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
