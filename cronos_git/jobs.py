"""Runs blocking work beside an event loop: in a thread, in its turn, with progress on the way and a way to stop it.

A job waits in its store's line, gets a thread of its own, and is awaited. Cancelling the one who awaits it asks the work to stop
at its next safe point and waits until it has. Nothing here belongs to one event loop: a line may be used from several, one after
another or at the same time. What the work is, is the caller's. Floor F9, below the manager.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal, TypeVar
from weakref import WeakValueDictionary

from cronos_git.events import Advanced, Event, Run

Access = Literal["beside", "shared", "alone"]
"""How a job goes with others on the same store.

`alone`: as what writes. `shared`: together with its like, as what needs backups to stay while it reads. `beside`: at any time.
"""

PROGRESS_INTERVAL_S = 0.5
"""Progress is told at most so often."""

Result = TypeVar("Result")


class Line:
    """A waiting line: first come, first served; those who share go together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: list[_Place] = []

    def __len__(self) -> int:
        return len(self._places)

    @property
    def is_taken(self) -> bool:
        """Whether somebody's turn is now who goes alone."""
        first = next(iter(self._places), None)
        return first is not None and first.alone

    async def reach(self, place: _Place) -> None:
        """Queue up and wait until it is this one's turn; whoever calls this calls `leave` too, also when it is cancelled."""
        with self._lock:
            self._places.append(place)
            self._advance()
        await place.reached

    def leave(self, place: _Place) -> None:
        """Make room for the next; from any thread."""
        with self._lock:
            if place in self._places:
                self._places.remove(place)
            self._advance()

    def _advance(self) -> None:
        for place in list(self._places):
            is_first = place is self._places[0]
            if place.alone and not is_first:
                return
            if not place.call():
                self._places.remove(place)
            elif place.alone:
                return


class _Place:
    """One place in a line, on the event loop of the one who waits there; taken once the work begins, which needs no loop."""

    def __init__(self, *, alone: bool) -> None:
        self.alone = alone
        self.is_taken = False
        self.reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def call(self) -> bool:
        """Say that its turn has come, from any thread; saying it again does no harm. False when nobody waits there any more."""
        if not self.is_taken:
            try:
                self.reached.get_loop().call_soon_threadsafe(self._come)
            except RuntimeError:  # its event loop was closed while it waited
                return False
        return True

    def _come(self) -> None:
        if not self.reached.done():
            self.reached.set_result(None)


_LINES: WeakValueDictionary[str, Line] = WeakValueDictionary()
_LINES_LOCK = threading.Lock()


def line_of(store: str) -> Line:
    """The one line in this process for *store*."""
    with _LINES_LOCK:
        line = _LINES.get(store)
        if line is None:
            line = _LINES[store] = Line()
        return line


class Relay:
    """Carries events from a job's thread to a receiver on the event loop: all phases and notices, and progress now and then.

    What is held back of progress follows before the next event that is not, and at the end.

    Args:
        receive: Called on the running event loop; what it raises goes to the loop's exception handler.
    """

    def __init__(self, receive: Callable[[Event], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._held: Advanced | None = None
        self._sent_s = 0.0

    def emit(self, event: Event) -> None:
        """Take an event, on the job's thread."""
        if isinstance(event, Advanced):
            now_s = time.monotonic()
            if now_s - self._sent_s < PROGRESS_INTERVAL_S:
                self._held = event
                return
            self._sent_s, self._held = now_s, None
        else:
            self.flush()
        self._send(event)

    def flush(self) -> None:
        """Send what was held back."""
        if self._held is not None:
            self._send(self._held)
            self._held = None

    def _send(self, event: Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody listens any more
            self._loop.call_soon_threadsafe(self._receive, event)


class Job:
    """One piece of blocking work.

    Args:
        on_event: Is told of the work's events, on the event loop.

    Attributes:
        run: Given to the work; setting `run.cancelled` stops it, also while it still waits for its turn.
        ended: Done when the job has ended, however it did.
    """

    def __init__(self, on_event: Callable[[Event], object] | None = None) -> None:
        self._relay = Relay(on_event) if on_event else None
        self.run = Run(emit=self._relay.emit) if self._relay else Run()
        self.ended: Future[None] = Future()

    async def do(self, work: Callable[[Run], Result], line: Line, access: Access) -> Result:
        """Do *work* in a thread when it is its turn; once only.

        Cancelled while it waits, it leaves the line and nothing was done. Cancelled later, the work is asked to stop, and the
        cancellation goes on when it has stopped, or is done.

        Raises:
            InterruptedRunError: `run.cancelled` was set.
        """
        if access == "beside":
            return await self._in_thread(work, self._end)
        place = _Place(alone=access == "alone")

        def end() -> None:
            line.leave(place)
            self._end()

        try:
            await line.reach(place)
            self.run.checkpoint()
            place.is_taken = True
        except BaseException:
            end()
            raise
        return await self._in_thread(work, end)

    def _end(self) -> None:
        self.ended.set_result(None)

    async def _in_thread(self, work: Callable[[Run], Result], end: Callable[[], None]) -> Result:
        """What *work* gives; *end* is called when it has ended, whatever has become of the event loop by then."""
        outcome: Future[Result] = Future()
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._settle, work, end, outcome), name="cronos-job")
        awaited = asyncio.wrap_future(outcome)
        try:
            thread.start()
        except BaseException:
            end()
            raise
        try:
            return await asyncio.shield(awaited)
        except asyncio.CancelledError:
            self.run.cancelled = True
            while not awaited.done():
                with contextlib.suppress(asyncio.CancelledError):  # it is being ended already
                    await asyncio.wait([awaited])
            awaited.exception()  # has been seen
            raise

    def _settle(self, work: Callable[[Run], Result], end: Callable[[], None], outcome: Future[Result]) -> None:
        """Do the work, on the job's thread."""
        error: BaseException | None = None
        try:
            result = work(self.run)
        except BaseException as caught:
            error = caught
        if self._relay:
            self._relay.flush()
        end()
        if error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)
