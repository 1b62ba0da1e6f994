"""Progress as events: what a running operation tells whoever watches it.

An operation calls `run.emit(event)`; the command line draws bars from it, the service publishes it, tests collect it in a
list. Emitters report in batches and never throttle by time; whoever renders does. Floor F2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cronos_git.errors import CronosError, InterruptedRunError


@dataclass(frozen=True, slots=True)
class Started:
    """A phase begins. Totals are None while they are unknown.

    Attributes:
        phase: `scan`, `store`, `restore`, `verify`, `move`, `measure`, `compare` or `pack`.
        total_files: Files that the phase will handle; of `verify`, `compare` and `pack` objects.
        total_bytes: Bytes of their contents.
    """

    phase: str
    total_files: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Advanced:
    """Work done so far in the current phase (cumulative, not a delta)."""

    done_files: int
    done_bytes: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something worth telling that does not stop the run.

    Attributes:
        level: `info` or `warning`.
        code: Stable dotted name.
    """

    level: str
    code: str
    text: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The phase is over."""

    phase: str


Event = Started | Advanced | Noticed | Finished


def _ignore(_event: Event) -> None:
    return None


@dataclass(slots=True)
class Run:
    """One run of an operation: where its events go and whether it should stop.

    Attributes:
        emit: Receives every event, on the thread that does the work.
        cancelled: Set it to stop at the next safe point.
    """

    emit: Callable[[Event], None] = _ignore
    cancelled: bool = field(default=False)

    def checkpoint(self) -> None:
        """Raise InterruptedRunError when the run was cancelled."""
        if self.cancelled:
            raise InterruptedRunError("Interrupted; nothing is half-done.")


@contextmanager
def tolerating(run: Run, code: str, what: str, meaning: str = "") -> Iterator[None]:
    """Turn an error in the block into a warning: for steps after the one that counts.

    Args:
        what: What failed, as in "Packs were not folded".
        meaning: What that means for the data, as a sentence.
    """
    try:
        yield
    except CronosError as error:
        run.emit(Noticed("warning", code, f"{what}: {error.message} {meaning}".rstrip()))
