"""`watch` takes a backup whenever changes have settled. Floor F11."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.render.text import changes, duration, plural, size
from cronos_git.cli.session import Session, session_of
from cronos_git.cli.unattended import Exclude, Include, Labels, MinChanges, Modules, Stem, Type, request_for
from cronos_git.disk import watching
from cronos_git.errors import (
    CronosError,
    DiskFullError,
    HostError,
    InterruptedRunError,
    ProjectError,
    StoreLockedError,
    UsageError,
)
from cronos_git.events import Run
from cronos_git.model import SnapshotReport, SnapshotRequest
from cronos_git.rules.pacing import Pace

_LOOK_S = 900.0
"""How often to look at everything although no change was heard of: the system may lose some."""

_DEAF_LOOK_S = 60.0
"""The same when the system tells nothing."""

_RETRY_S = 60.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@command(
    "watch",
    statuses=(13, 16, 20),
    examples=("cronos watch", "cronos watch --settle 10s --min-gap 5m --module ETHIK", "cronos watch --label session --json"),
)
def watch(
    context: typer.Context,
    settle: Annotated[str, typer.Option("--settle", metavar="TIME", help="How long nothing must change first.")] = "2s",
    min_gap: Annotated[str, typer.Option("--min-gap", metavar="TIME", help="How long after one backup the next may be.")] = "60s",
    stem: Stem = None,
    backup_type: Type = "auto",
    labels: Labels = None,
    modules: Modules = None,
    include: Include = None,
    exclude: Exclude = None,
    min_changes: MinChanges = None,
) -> int:
    """Take a backup now and whenever changes have settled, until Ctrl-C or SIGTERM.

    Nothing is read while nothing changes, but for a look at the whole project every 15 minutes, as the system may lose word of a
    change. What the rules leave out wakes nobody. When a backup fails it is told, and tried again a minute later. The end is
    clean at any time: a backup that is under way is given up, and nothing of it is left.
    """
    request = request_for(name=stem, backup_type=backup_type, labels=labels, modules=modules, include=include, exclude=exclude)
    pace = Pace(settle_s=_seconds("--settle", settle), gap_s=_seconds("--min-gap", min_gap), look_s=_LOOK_S)
    watcher = _Watcher(session_of(context), request, min_changes, pace)
    with _signals_call(watcher.stop):
        watcher.work()
    return 0


def _seconds(option: str, text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m|h)?", text)
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else -1.0
    if not 0 <= seconds <= 86_400:
        raise UsageError(f"{option} {text!r} is no length of time up to a day.", hint="Write it like 500ms, 2s, 5m or 1h.")
    return seconds


@contextlib.contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP call *stop*, but those that were ignored from the start (`nohup`)."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, handle)
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


class _Watcher:
    """Listens, and takes backups."""

    def __init__(self, session: Session, request: SnapshotRequest, min_changes: int | None, pace: Pace) -> None:
        self._session = session
        self._request = request
        self._min_changes = min_changes
        self._pace = pace
        self._stopped = threading.Event()
        self._run = Run()
        self._has_saved = False
        self._root = str(session.engine().project)
        self._ground = watching.Ground(self._root)
        self._sieve = self._new_sieve()

    def stop(self) -> None:
        """End at the next safe point."""
        self._stopped.set()
        self._run.cancelled = True

    def work(self) -> None:
        """Watch until `stop`.

        Raises:
            ProjectError: The project is gone.
            CronosError: The first backup could not be made for a reason that waiting does not mend.
        """
        with contextlib.suppress(InterruptedRunError):
            for heard in self._listen():
                self._ground.check()
                if heard is None or any(map(self._sieve.concerns, heard)):
                    self._pace.changed(time.monotonic())
                if self._pace.is_due(time.monotonic()):
                    self._try()

    def _listen(self) -> Iterator[set[str] | None]:
        """What is heard; where the system tells nothing, only ticks, and looks take its place."""
        try:
            yield from watching.listen(self._root, self._stopped)
        except HostError as error:
            self._pace.look_s = max(_DEAF_LOOK_S, self._pace.gap_s)
            instead = f"So the whole project is looked at every {duration(self._pace.look_s)} instead."
            self._session.output.warning(" ".join(filter(None, (error.message, instead, error.hint))))
            yield set()
            while not self._stopped.wait(watching.TICK_S):
                yield set()

    def _new_sieve(self) -> watching.Sieve:
        from cronos_git.ops.subject import describe

        engine = self._session.engine()
        subject = describe(self._root, engine.settings, self._request)
        return watching.Sieve(self._root, subject.rules, subject.scope.paths)

    # --- one backup ---

    def _try(self) -> None:
        self._pace.tried(time.monotonic())
        try:
            report = self._back_up()
        except InterruptedRunError:
            raise
        except CronosError as error:
            self._ground.check()
            if not self._has_saved and not isinstance(error, StoreLockedError | DiskFullError):
                raise
            self._pace.failed(time.monotonic(), _RETRY_S)
            again = f"The next try is in {duration(max(_RETRY_S, self._pace.gap_s))}."
            self._session.output.warning(" ".join(filter(None, (f"No backup: {error.message}", error.hint, again))))
            return
        self._has_saved = True
        if report is not None:
            self._show(report)

    def _back_up(self) -> SnapshotReport | None:
        session = self._session
        session.forget_engine()  # what it knows grows old, and the configuration may have changed
        engine = session.engine()
        if str(engine.project) != self._root:
            raise ProjectError(f"The project is {engine.project} now, not {self._root}.", hint="Watch it anew, with -C.")
        self._sieve = self._new_sieve()
        with session.running() as run:
            self._run = run
            run.cancelled = self._stopped.is_set()
            return engine.auto_snapshot(self._request, run, min_changes=self._min_changes)

    def _show(self, report: SnapshotReport) -> None:
        output, backup = self._session.output, report.backup
        if self._session.options.json:
            output.json(report)
        elif self._session.options.quiet:
            output.line(backup.id)
        else:
            stored = f"Stored {size(report.bytes_stored)} in {duration(report.duration_s)}."
            output.line(f"Saved {backup.id}: {plural(backup.files, 'file')}, {changes(backup)}. {stored}")
        output.problems(report.problems)
        output.flush()
