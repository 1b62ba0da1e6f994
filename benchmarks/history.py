"""`python -m benchmarks.history`: a year of hourly backups of one project: how fast they stay, how the store grows.

The project is synthetic; a few files change before each backup. Backups are made through the library, one hour apart by a clock
that is moved on, with retention off; what is timed at the milestones is the command line. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.report import describe_machine
from cronos_git.engine import Cronos
from cronos_git.git.store import store_path
from cronos_git.model import CompactRequest, SnapshotRequest
from cronos_git.rules.record import Identity
from cronos_git.rules.schema import Settings

_CHANGED = 3
_SAMPLE = 20


class _Clock:
    """Moves on by an hour with each backup, from tomorrow on: files changed after "now" would not be trusted to be unchanged."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC) + timedelta(days=1)

    def now(self) -> datetime:
        return self.time


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the backups and measure; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--backups", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--work", type=Path, default=Path("bench-data/history"))
    options = parser.parse_args(arguments)
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    machine = describe_machine(options.work, "", {})
    print(f"{machine.system}, {machine.cores} cores, {machine.file_system}. Load before the start: {machine.load}.\n")
    print(f"{options.files:,} files, {_CHANGED} of them changed before each backup\n")
    print("| backups | create, library | create | list | list --json | restore, new place | restore in place | packs | store |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    year = _Year(options.work.resolve(), options.files)
    for count in sorted({1, 100, 1000, options.backups}):
        if count <= options.backups:
            year.go_on_to(count)
            year.print_row(f"{count:,}")
    spent_s = year.compact()
    year.print_row("compacted")
    print(
        f"\n`compact`, the first one: {spent_s:.1f} s; verify: {year.timed('verify'):.2f} s; stats: {year.timed('stats'):.2f} s"
    )
    return 0


class _Year:
    def __init__(self, work: Path, files: int) -> None:
        self.work = work
        self.random = random.Random(1)
        self.project = work / "project"
        self.paths = [self.project / f"d{number % 50}/e{number % 7}/f{number}.txt" for number in range(files)]
        for path in self.paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._text(), encoding="ascii")
        self.clock = _Clock()
        self.spent_s: list[float] = []
        (work / "home").mkdir()

    def _text(self) -> str:
        return "".join(f"{self.random.getrandbits(64):016x} {'x' * self.random.randrange(60)}\n" for _ in range(60))

    def _engine(self) -> Cronos:
        settings = Settings(backup_dir=str(self.work / "stores"), auto_prune=False)
        place = store_path(self.work / "stores", self.project)
        identity = Identity(user="bench", host="bench")
        return Cronos(project=self.project, store_path=place, settings=settings, clock=self.clock, zone=UTC, identity=identity)

    def go_on_to(self, count: int) -> None:
        """Make backups until there are that many."""
        while len(self.spent_s) < count:
            self.clock.time += timedelta(hours=1)
            for path in self.random.sample(self.paths, _CHANGED):
                lines = path.read_text(encoding="ascii").splitlines(keepends=True)
                lines[self.random.randrange(len(lines))] = f"{self.random.getrandbits(64):016x}\n"
                path.write_text("".join(lines), encoding="ascii")
            started = time.perf_counter()
            self._engine().snapshot(SnapshotRequest(name="hourly"))
            self.spent_s.append(time.perf_counter() - started)

    def timed(self, *words: str) -> float:
        """Seconds that a command takes, the least of three."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.work / "home"),
            "CRONOS_BACKUP_DIR": str(self.work / "stores"),
            "CRONOS_AUTO_PRUNE": "false",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        least = float("inf")
        for _ in range(3):
            shutil.rmtree(self.work / "out", ignore_errors=True)
            started = time.perf_counter()
            command = [sys.executable, "-m", "cronos_git", "-C", str(self.project), *words]
            subprocess.run(
                command, check=True, env=environment, cwd=self.work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            least = min(least, time.perf_counter() - started)
        return least

    def print_row(self, what: str) -> None:
        """Measure the commands and tell."""
        before = "latest~1" if len(self.spent_s) > 1 else "latest"
        library_s = statistics.median(self.spent_s[-_SAMPLE:])
        figures = [
            self.timed("create", "--skip-if-unchanged"),
            self.timed("list"),
            self.timed("list", "--json"),
            self.timed("restore", "latest", "--to", str(self.work / "out")),
            self.timed("restore", before, "--strategy", "replace", "--no-restore-point", "--yes"),
        ]
        packs = list((self.work / "stores").glob("*.git/objects/pack/*.pack"))
        stored = sum(path.stat().st_size for path in (self.work / "stores").rglob("*") if path.is_file())
        cells = [
            what,
            f"{library_s:.3f} s",
            *(f"{seconds:.2f} s" for seconds in figures),
            str(len(packs)),
            f"{stored / 2**20:.1f} MiB",
        ]
        print("|", " | ".join(cells), "|", flush=True)

    def compact(self) -> float:
        """Seconds of a compaction."""
        started = time.perf_counter()
        self._engine().compact(CompactRequest())
        return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
