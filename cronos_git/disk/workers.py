"""Runs batches of work in a few threads and hands the results to one. Floor F5."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from cronos_git.events import Run

WORKERS = min(4, os.cpu_count() or 1)
"""Threads at work; they pay because reading, hashing and deflating release Python's lock."""

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def run_batches(batches: Iterable[Batch], work: Callable[[Batch], Result], take: Callable[[Result], None], run: Run) -> None:
    """Do *work* on every batch, several at a time.

    Few batches wait at any moment, so memory stays flat and a cancel is quick. The first error stops everything and is raised.

    Args:
        batches: May be lazy; consumed on the calling thread.
        take: Receives each result, in the order of completion, on the calling thread.

    Raises:
        InterruptedRunError: The run was cancelled.
    """
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="cronos")
    waiting: set[Future[Result]] = set()
    try:
        for batch in batches:
            run.checkpoint()
            waiting.add(pool.submit(work, batch))
            if len(waiting) >= 2 * WORKERS:
                waiting = _collect(waiting, take)
        while waiting:
            run.checkpoint()
            waiting = _collect(waiting, take)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _collect(waiting: set[Future[Result]], take: Callable[[Result], None]) -> set[Future[Result]]:
    done, rest = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        take(future.result())
    return rest
