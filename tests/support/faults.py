"""Death at a chosen durable step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from cronos_git.disk import files


def killed_at(number: int, action: Callable[[], object]) -> bool:
    """Run *action* in a child that is killed (SIGKILL) at its durable step *number*, counted from 0.

    Returns:
        False when the action came to its end, having fewer steps.
    """
    child = os.fork()
    if child == 0:
        _run_to_death(number, action)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the action failed in the child"
    return False


def _run_to_death(number: int, action: Callable[[], object]) -> None:
    left = number

    def count(_name: str, _path: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    status = 1
    try:
        files.step = count
        action()
        status = 0
    finally:
        os._exit(status)
