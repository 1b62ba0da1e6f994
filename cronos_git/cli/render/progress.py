"""Progress bars on stderr, drawn from a run's events.

Only on a terminal, only when the work takes longer than a moment, and never more often than eyes follow: emitters do not
throttle, this does. Floor F11.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cronos_git.cli.render.output import Output
from cronos_git.cli.render.text import plural, size
from cronos_git.events import Advanced, Event, Finished, Noticed, Started

if TYPE_CHECKING:
    from rich.progress import Progress, Task

FIRST_PAINT_S = 0.25
_FRAME_S = 0.05
_PHASES = {
    "scan": "Scanning",
    "store": "Saving",
    "restore": "Restoring",
    "verify": "Verifying",
    "move": "Moving into place",
    "measure": "Measuring",
    "compare": "Looking for similar contents",
    "pack": "Packing",
    "push": "Sending",
    "fetch": "Receiving",
}
_OF_OBJECTS = ("verify", "measure", "compare", "pack", "push", "fetch")


class Watcher:
    """Receives a run's events; a context manager that takes the bar away at the end."""

    def __init__(self, output: Output) -> None:
        options = output.options
        self._output = output
        self._draws = sys.stderr.isatty() and not (options.quiet or options.no_progress)
        self._begun_s = time.monotonic()
        self._painted_s = 0.0
        self._phase = Started("")
        self._progress: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def receive(self, event: Event) -> None:
        """Take one event; called on the thread that does the work."""
        if isinstance(event, Noticed):
            self._notice(event)
        elif self._draws:
            self._draw(event)

    def _notice(self, event: Noticed) -> None:
        if event.path:
            return  # what happened to single paths is in the report, which lists it
        if event.level == "warning":
            self._output.warning(event.text)
        elif self._output.options.verbose:
            self._output.note(event.text)

    def _draw(self, event: Event) -> None:
        if isinstance(event, Started):
            self._phase = event
            if self._progress is not None:
                self._begin_phase(self._progress)
        elif isinstance(event, Advanced):
            self._advance(event)
        elif isinstance(event, Finished) and self._progress is not None:
            self._progress.refresh()

    def _advance(self, event: Advanced) -> None:
        now_s = time.monotonic()
        if now_s - self._painted_s < _FRAME_S or now_s - self._begun_s < FIRST_PAINT_S:
            return
        self._painted_s = now_s
        if self._progress is None:
            self._progress = _new_progress(self._output)
            self._begin_phase(self._progress)
            self._progress.start()
        amount = event.done_bytes if self._phase.total_bytes else event.done_files
        self._progress.update(self._task, completed=amount, files=event.done_files, bytes=event.done_bytes)

    def _begin_phase(self, progress: Progress) -> None:
        if self._task is not None:
            progress.remove_task(self._task)
        phase = self._phase
        title = _PHASES.get(phase.phase, phase.phase.capitalize())
        total = phase.total_bytes or phase.total_files
        self._task = progress.add_task(
            title,
            total=total,
            files=0,
            bytes=0,
            of_files=phase.total_files,
            of_bytes=phase.total_bytes,
            thing="object" if phase.phase in _OF_OBJECTS else "file",
        )


def _new_progress(output: Output) -> Progress:
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class Figures(ProgressColumn):
        """Files, bytes and rate."""

        def render(self, task: Task) -> Text:
            return Text(figures(task.fields, task.elapsed or 0.0))

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        Figures(Column(no_wrap=True)),
        TimeRemainingColumn(compact=True),
    )
    return Progress(*columns, console=output.error_console, transient=True, refresh_per_second=10)


def figures(fields: dict[str, Any], elapsed_s: float) -> str:
    """Files and bytes done, with totals where they are known, and bytes a second: `12/40 files  1.0 MiB/2.0 MiB  512.0 KiB/s`."""
    thing = fields["thing"]
    files = plural(fields["files"], thing)
    if fields["of_files"]:
        files = f"{fields['files']:,}/{plural(fields['of_files'], thing)}"
    parts = [files]
    if fields["bytes"]:
        done = size(fields["bytes"])
        parts.append(f"{done}/{size(fields['of_bytes'])}" if fields["of_bytes"] else done)
        if elapsed_s > 0:
            parts.append(f"{size(int(fields['bytes'] / elapsed_s))}/s")
    return "  ".join(parts)
