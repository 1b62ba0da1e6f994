"""Faults at every durable step: run something in a forked child that dies, or whose writes fail, at step number k."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable

from cronos_git.disk import files
from cronos_git.errors import CronosError

DONE = 0
FAILED_CLEANLY = 3


def run_and_kill(work: Callable[[], object], at: int) -> bool:
    """Do *work* in a child that is killed with SIGKILL just before durable step *at*; whether the work ended before that."""

    def step(count: int, _name: str, _path: str) -> None:
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    status = _fork(work, step)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == DONE
    return True


def run_and_fail(work: Callable[[], object], at: int, error: int = errno.ENOSPC, spare: str = "\0") -> bool:
    """Do *work* in a child in which every durable step from number *at* on fails with *error*; whether it ended well.

    Args:
        spare: Steps on paths with this in them do not fail.

    Fails the test when anything but a CronosError comes out.
    """

    def step(count: int, name: str, path: str) -> None:
        needs_space = name != "unlink" or error != errno.ENOSPC
        if count >= at and needs_space and spare not in path:
            raise OSError(error, os.strerror(error))

    status = _fork(work, step)
    assert os.WIFEXITED(status)
    assert os.WEXITSTATUS(status) in (DONE, FAILED_CLEANLY), "the child ended with a traceback"
    return os.WEXITSTATUS(status) == DONE


def _fork(work: Callable[[], object], at_step: Callable[[int, str, str], None]) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _child(work, at_step)
    return os.waitpid(pid, 0)[1]


def _child(work: Callable[[], object], at_step: Callable[[int, str, str], None]) -> None:
    count = 0

    def step(name: str, path: str) -> None:
        nonlocal count
        count += 1
        at_step(count, name, path)

    files.step = step
    try:
        work()
    except CronosError:
        os._exit(FAILED_CLEANLY)
    except BaseException:
        traceback.print_exc()
        os._exit(70)
    os._exit(DONE)


def fail_at(work: Callable[[], object], at: int, error: int, *, once: bool, then_kill: int = 0) -> int:
    """Do *work* in a child in which durable step number *at* fails; the exit status of the error that comes out, 0 for none.

    Args:
        once: Only that step fails; else every later one does too.
        then_kill: Kill the child before this step, counted from the failing one; 0 never does. Gives -SIGKILL then.
    """

    def told() -> None:
        try:
            work()
        except CronosError as failure:
            os._exit(100 + failure.exit_status)

    def step(count: int, _name: str, _path: str) -> None:
        if then_kill and count == at + then_kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if count == at or (count > at and not once):
            raise OSError(error, os.strerror(error))

    status = _fork(told, step)
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == DONE or os.WEXITSTATUS(status) > 100, "the child ended with a traceback"
    return max(os.WEXITSTATUS(status) - 100, DONE)


def steps_of(work: Callable[[], object]) -> list[str]:
    """The names of the durable steps of *work*, which is done here."""
    names: list[str] = []
    files.step = lambda name, _path: names.append(name)
    try:
        work()
    finally:
        files.step = files._no_step
    return names
