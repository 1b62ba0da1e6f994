"""Publishes what becomes of one job, on whatever client of the Mycelium there is.

Nothing that goes wrong here fails the job: the first failure is told to whoever follows it, and written to the log, and the rest
is left out. What is said is `rules/announcements.py`'s. Floor F9, below the manager.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from cronos_git.errors import CronosError, InterruptedRunError, UsageError
from cronos_git.events import Advanced, Event, Noticed
from cronos_git.integrations.koios import python_logger
from cronos_git.jobs import PROGRESS_INTERVAL_S
from cronos_git.ports import Clock
from cronos_git.rules.announcements import Announcement, Narrator, Story

Publish = Callable[[str, Mapping[str, Any]], Awaitable[object]]

PATIENCE_S = 5.0
"""How long a job waits at its end for what is still to be published."""

logger = python_logger("CRONOS.BackupManager")

Report = TypeVar("Report")


def publisher_of(client: object) -> Publish:
    """How *client* publishes: its `publish_event(topic, payload)`, else its `publish(topic, payload)`.

    Raises:
        UsageError: It has neither.
    """
    for name in ("publish_event", "publish"):
        publish: Publish | None = getattr(client, name, None)
        if callable(publish):
            return publish
    raise UsageError(
        f"A {type(client).__name__} is no client of the Mycelium.",
        hint="It needs an async `publish_event(topic, payload)` or `publish(topic, payload)`.",
    )


class Herald(Generic[Report]):
    """Tells of one job: progress at most twice a second, notices, and how it ended.

    Args:
        on_event: Hears every event first.
    """

    def __init__(
        self, publish: Publish, story: Story[Report], clock: Clock, on_event: Callable[[Event], object] | None = None
    ) -> None:
        self._publish = publish
        self._story = story
        self._narrator = Narrator(story)
        self._clock = clock
        self._on_event = on_event or (lambda _event: None)
        self._waiting: deque[Announcement] = deque()
        self._task: asyncio.Task[None] | None = None
        self._has_failed = False
        self._told_s = 0.0

    async def follow(self, begin: Callable[[Callable[[Event], object], Callable[[Report], object]], Awaitable[Report]]) -> Report:
        """Tell of what *begin* starts, and how it ends.

        Args:
            begin: Is given what hears the events on the event loop, and what hears the report, on any thread, as soon as there
                is one: a cancellation may come too late to stop anything.
        """
        done: list[Report] = []
        try:
            report = await begin(self.hear, done.append)
        except (CronosError, asyncio.CancelledError) as error:
            known = error if isinstance(error, CronosError) else InterruptedRunError("Interrupted; nothing is half-done.")
            now = self._clock.now()
            await self._end(self._story.end(done[0], now) if done else self._story.failed(known, now))
            raise
        await self._end(self._story.end(report, self._clock.now()))
        return report

    def hear(self, event: Event) -> None:
        """Take an event of the job, on the event loop."""
        with contextlib.ExitStack() as later:  # what the receiver raises must keep nothing from being published
            later.callback(self._tell, event)
            self._on_event(event)

    def _tell(self, event: Event) -> None:
        told = self._narrator.tell(event, self._clock.now())
        if isinstance(event, Advanced):
            now_s = time.monotonic()
            if self._waiting or now_s - self._told_s < PROGRESS_INTERVAL_S:
                return
            self._told_s = now_s
        if told:
            self._put([told])

    async def _end(self, told: Iterable[Announcement]) -> None:
        """Publish what is told of the end, after all else, and wait for that, though not long."""
        self._put(told)
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=PATIENCE_S)
            for task in late:
                task.cancel()
                self._fail(f"it did not take it within {PATIENCE_S:g} s")

    def _put(self, told: Iterable[Announcement]) -> None:
        if not self._has_failed:
            self._waiting.extend(told)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._publish_all())

    async def _publish_all(self) -> None:
        while self._waiting:
            try:
                await self._publish(*self._waiting[0])
            except Exception as error:  # a client of somebody else's may raise anything
                self._fail(str(error) or type(error).__name__)
                return
            self._waiting.popleft()

    def _fail(self, why: str) -> None:
        self._has_failed = True
        self._waiting.clear()
        text = f"The Mycelium is not told what CRONOS does: {why}"
        logger.warning(text)
        self._on_event(Noticed("warning", "bus.untold", text))
