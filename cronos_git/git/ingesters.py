"""Child processes that ingest batches, for backups with much to read.

Threads of one Python share its lock, which costs about a third of the time of a first backup on two cores; processes do not.
The child is this file's `main`, started with the parent's interpreter; it gets batches and gives results over its pipes, ends
when its input ends (also when the parent is killed), and writes no file. When children cannot be started or die, the batch is
done here instead: they are a matter of speed only. Floor F6.
"""

from __future__ import annotations

import marshal
import os
import queue
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from cronos_git.disk.walk import Found
from cronos_git.disk.workers import WORKERS
from cronos_git.git.ingest import Batch, Ingested, ingest

if TYPE_CHECKING:
    import subprocess

_START = "import sys; sys.path.insert(0, sys.argv[1]); from cronos_git.git.ingesters import main; main(sys.argv[2])"
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])

WORTHWHILE_FILES = 4000
"""From here on, starting children (about 0.1 s of processor time each) pays."""

WORTHWHILE_BYTES = 64 << 20


class Ingesters:
    """As many children as there are worker threads, each serving one thread at a time. A context manager.

    Args:
        root: The project's real path.
        root_fd: The same, opened.
    """

    def __init__(self, root: str, root_fd: int) -> None:
        self._root_fd = root_fd
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes] | None] = queue.SimpleQueue()
        self._children = [child for _ in range(WORKERS) if (child := _start(root))]
        for child in self._children:
            self._idle.put(child)
        for _ in range(WORKERS - len(self._children)):
            self._idle.put(None)

    def ingest(self, batch: Batch) -> list[Ingested]:
        """Have *batch* ingested and packed by a child; called from worker threads."""
        child = self._idle.get()
        try:
            if child is not None:
                return _ask(child, batch)
        except (OSError, EOFError):
            child = None  # it died; from now on this place works by itself
        finally:
            self._idle.put(child)
        return ingest(self._root_fd, batch, pack=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for child in self._children:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    _close(pipe)
            child.wait()


def is_worthwhile(batches: Iterable[Batch]) -> bool:
    """Whether there is enough to read, and more than one processor to read it with."""
    entries = [entry for batch in batches for _, group in batch for entry in group]
    return WORKERS > 1 and (len(entries) >= WORTHWHILE_FILES or sum(entry.size for entry in entries) >= WORTHWHILE_BYTES)


def _start(root: str) -> subprocess.Popen[bytes] | None:
    import subprocess

    if not sys.executable:
        return None
    command = [sys.executable, "-c", _START, _PACKAGE_PARENT, root]
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None


def _ask(child: subprocess.Popen[bytes], batch: Batch) -> list[Ingested]:
    """Have a child do *batch*. Only plain tuples travel: they cost a tenth of what objects cost to take apart and rebuild."""
    assert child.stdin is not None and child.stdout is not None
    _send(child.stdin, [(directory, list(map(tuple, entries))) for directory, entries in batch])
    places = ((directory, entry) for directory, entries in batch for entry in entries)
    answers = _receive(child.stdout)
    return [
        Ingested(directory, Found(*new) if new else entry, *rest)
        for (directory, entry), (new, *rest) in zip(places, answers, strict=True)
    ]


def _answer(batch: Batch, root_fd: int) -> list[tuple[Any, ...]]:
    """What the parent does not know: an entry only where it is no longer what the parent saw."""
    sent = (entry for _, entries in batch for entry in entries)
    done = ingest(root_fd, batch, pack=True)
    return [(None if item.entry == entry else tuple(item.entry), *item[2:]) for entry, item in zip(sent, done, strict=True)]


def _send(pipe: IO[bytes], message: Any) -> None:
    frame = marshal.dumps(message, 2)
    pipe.write(len(frame).to_bytes(8, "big"))
    pipe.write(frame)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    """The next message.

    Raises:
        EOFError: The other side has ended.
    """
    size = pipe.read(8)
    if len(size) < 8:
        raise EOFError
    frame = pipe.read(int.from_bytes(size, "big"))
    return marshal.loads(frame)  # noqa: S302 - from our own child or parent; a short frame raises EOFError


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:
        return  # the child is gone, and with it what was not yet flushed


def main(root: str) -> None:
    """The child: answers batches until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; a Ctrl-C reaches the whole group
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    while True:
        try:
            message = _receive(sys.stdin.buffer)
        except EOFError:
            return
        batch = [(directory, [Found(*fields) for fields in entries]) for directory, entries in message]
        _send(sys.stdout.buffer, _answer(batch, root_fd))
