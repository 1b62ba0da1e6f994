"""Child processes that do batches of work, for the few jobs that are large enough.

Threads of one Python share its lock; on two cores that costs a third of a first backup's time and more of a restore's. A child is
this program's own interpreter, told by name which function serves it. It gets messages and gives answers over its pipes, ends
when its input ends (so also when the parent is killed), and ignores Ctrl-C, since the parent decides. Messages are plain tuples
for marshal, which costs a tenth of taking objects apart. Floor F5.
"""

from __future__ import annotations

import importlib
import marshal
import pickle
import queue
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from cronos_git.disk.workers import WORKERS
from cronos_git.errors import ChildEndedError, CronosError

if TYPE_CHECKING:
    import subprocess

# The parent's own package, found first and alone: what lies beside it must not stand before the standard library.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); import cronos_git; del sys.path[0]; "
    "from cronos_git.disk.children import main; main(*sys.argv[2:])"
)
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])

WORTHWHILE_FILES = 4000
"""From here on, starting children (about 0.1 s of processor time each) pays."""

WORTHWHILE_BYTES = 64 << 20

Serve = Callable[..., Callable[[Any], Any]]
"""Makes, from texts, the function that answers messages."""


class Children:
    """As many children as there are worker threads, each serving one thread at a time. A context manager.

    Args:
        server: Dotted module and function, `cronos_git.git.ingest:serve`, which is called in the child with *arguments* and
            gives the function that answers.

    Raises:
        ChildEndedError: The children cannot be started.
    """

    def __init__(self, server: str, *arguments: str) -> None:
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._all = [_start(server, arguments) for _ in range(WORKERS)]
        for child in self._all:
            self._idle.put(child)

    def call(self, message: Any) -> Any:
        """The answer of some child; called from worker threads.

        Raises:
            OSError, CronosError: What the child met with.
            ChildEndedError: The child died.
        """
        child = self._idle.get()
        try:
            assert child.stdin is not None and child.stdout is not None
            send(child.stdin, message)
            is_error, answer = receive(child.stdout)
        except (BrokenPipeError, EOFError) as error:
            raise ChildEndedError(
                "A process that CRONOS started to share the work ended before it was done.", hint="Run it again."
            ) from error
        finally:
            self._idle.put(child)
        if is_error:
            raise pickle.loads(answer)  # noqa: S301 - from our own child
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for child in self._all:
            for pipe in (child.stdin, child.stdout):
                _close(pipe)
            child.wait()


def are_worthwhile(files: int, size_bytes: int) -> bool:
    """Whether so much work pays for children, and there is more than one processor to do it with."""
    return WORKERS > 1 and bool(sys.executable) and (files >= WORTHWHILE_FILES or size_bytes >= WORTHWHILE_BYTES)


def _start(server: str, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    import subprocess

    # SAFETY: without -P Python would import modules from the working directory, and so run code of the project.
    command = [sys.executable, "-P", "-c", _START, _PACKAGE_PARENT, server, *arguments]
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise ChildEndedError(f"Cannot start {sys.executable} to share the work: {error.strerror}.") from error


def send(pipe: IO[bytes], message: Any) -> None:
    """Write one message."""
    frame = marshal.dumps(message, 2)
    pipe.write(len(frame).to_bytes(8, "big"))
    pipe.write(frame)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Read one message.

    Raises:
        EOFError: The other side has ended.
    """
    size = pipe.read(8)
    if len(size) < 8:
        raise EOFError
    return marshal.loads(pipe.read(int.from_bytes(size, "big")))  # noqa: S302 - from our own process; a short one is EOFError


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        return  # the child is gone, and with it what was not yet flushed


def main(server: str, *arguments: str) -> None:
    """The child: answers messages until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    module, _, name = server.partition(":")
    serve: Serve = getattr(importlib.import_module(module), name)
    answer = serve(*arguments)
    while True:
        try:
            message = receive(sys.stdin.buffer)
        except EOFError:
            return
        send(sys.stdout.buffer, _answered(answer, message))


def _answered(answer: Callable[[Any], Any], message: Any) -> tuple[bool, Any]:
    try:
        return False, answer(message)
    except (OSError, CronosError) as error:
        return True, pickle.dumps(error)
