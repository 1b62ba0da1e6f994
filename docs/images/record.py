"""Records what commands show on a terminal as the pictures of README: real commands on a real project and store.

Only the clock, the user and the times of the files are set, so that every recording is the same.
`python -m docs.images.record DIRECTORY` writes them.
"""

from __future__ import annotations

import os
import pty
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from cronos_git.cli.app import run
from cronos_git.engine import Cronos
from cronos_git.git.store import store_path
from cronos_git.rules.record import Identity
from cronos_git.rules.schema import Settings

WIDTH = 112
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Rich loads its fonts from a web site; any monospaced font does."""

CONFIG = 'name = "shop"\nworkers = 2\ntimeout_s = 30\n\n[mail]\nfrom = "shop@example.org"\n'


class Studio:
    """A project, its store, and a clock that is set by hand."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.project = base / "shop"
        self.project.mkdir()
        self.time = datetime(2026, 10, 1, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """What the engine takes for the time."""
        return self.time

    def at(self, month: int, day: int, hour: int) -> None:
        """Set the clock."""
        self.time = datetime(2026, month, day, hour, 12, tzinfo=UTC)

    def write(self, path: str, text: str) -> None:
        """Write a file of the project, now."""
        file = self.project / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        for place in (file, file.parent, self.project):
            os.utime(place, (self.time.timestamp(), self.time.timestamp()))

    def cronos(self, *words: str) -> str:
        """What the command shows on a terminal."""
        process, terminal = pty.fork()
        if process == 0:
            self._be(words)
        shown = b"".join(_read(terminal)).decode()
        os.waitpid(process, 0)
        return shown.replace(str(self.base), "/srv").replace("\r\n", "\n")

    def _be(self, words: Sequence[str]) -> NoReturn:
        """Be the command, in a process of its own, which ends here whatever happens."""
        status = 1
        try:
            sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LC_ALL": "C.UTF-8"}
            status = run(words, open_engine=self._open)
        finally:
            os._exit(status)

    def _open(self, **_places: object) -> Cronos:
        return Cronos(
            project=self.project,
            store_path=store_path(self.base / "stores", self.project),
            settings=Settings(auto_prune=False),
            clock=self,
            zone=UTC,
            identity=Identity(user="alice", host="box"),
        )


def _read(terminal: int) -> Iterator[bytes]:
    with suppress(OSError):  # the other end is closed
        while piece := os.read(terminal, 65536):
            yield piece


@contextmanager
def studio() -> Iterator[Studio]:
    """A studio with some weeks of backups."""
    with tempfile.TemporaryDirectory() as base:
        made = Studio(Path(base))
        made.write("config.toml", CONFIG)
        made.write("src/app.py", 'print("shop 1")\n')
        made.cronos("create", "release", "-m", "Version 1.0", "--label", "stable")
        made.cronos("pin", "release")
        for month, day in ((10, 20), (11, 3), (11, 18)):
            made.at(month, day, 22)
            made.write("src/app.py", f'print("shop 1.{day}")\n')
            made.cronos("create", "nightly", "--type", "auto")
        made.at(11, 20, 14)
        made.write("uploads/letter.txt", "from a customer\n" * 400)
        made.cronos("create", "before-deploy", "--type", "pre-deploy", "-m", "Before the 2.0 deploy", "--meta", "ticket=142")
        made.at(11, 21, 9)
        made.write("config.toml", CONFIG.replace("workers = 2", "workers = 8"))
        made.write("src/app.py", 'print("shop 2")\n')
        made.cronos("create", "tuned", "-m", "More workers")
        made.at(11, 22, 17)
        yield made


def record(shown: str, words: str) -> str:
    """The picture of a terminal on which *words* were typed and *shown* came."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "bold green"), (words, "bold")))
    console.print(Text.from_ansi(shown))
    drawn = console.export_svg(title="CRONOS", unique_id=words.split()[1])
    return _FONTS.sub("", drawn).replace("Fira Code", "ui-monospace, Menlo, Consolas")


def main(directory: Path) -> None:
    """Record every picture into *directory*."""
    with studio() as made:
        commands = {
            "list": "cronos list",
            "show": "cronos show before-deploy",
            "prune": "cronos prune -n --retention-days 14 --keep-monthly 2",
        }
        pictures = {name: record(made.cronos(*words.split()[1:]), words) for name, words in commands.items()}
        made.write("config.toml", CONFIG.replace("workers = 2", "workers = 4").replace("shop@", "hello@"))
        merge = "cronos restore before-deploy --strategy merge --yes"
        pictures["conflicts"] = record(made.cronos(*merge.split()[1:]), merge)
    for name, picture in pictures.items():
        (directory / f"{name}.svg").write_text(picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
