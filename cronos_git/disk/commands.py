"""Runs a command of the user's, such as a deploy, on the terminal as if CRONOS were not there.

Not in `git/session.py`, which starts git and nothing else, hermetically: this is neither. Stdin, stdout, stderr, environment and
working directory are the caller's own, and so are the signals. Floor F5.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from cronos_git.disk.files import host_error

_PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_SI_KERNEL = 0x80
"""`si_code` of a signal that the terminal sent: it went to the command too, which shares our process group."""


def run_command(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end; signals that reach this process meanwhile are the command's.

    Returns:
        Its exit status; 128 and the signal's number when a signal ended it, as a shell tells it.

    Raises:
        AccessError, HostError: It could not be started.
    """
    waited_for = {*_PASSED_ON, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)  # first, so that none is lost while it starts
    try:
        try:
            pid = os.posix_spawnp(words[0], list(words), environment, setsigmask=before, setsigdef=_IGNORED_BY_PYTHON)
        except OSError as error:
            raise host_error(error, f"run {words[0]}") from error
        return _wait(pid, waited_for)
    finally:
        while signal.sigtimedwait(waited_for, 0):  # meant for the command; here it would end us before the end is recorded
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(pid: int, waited_for: set[signal.Signals]) -> int:
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        told = signal.sigwaitinfo(waited_for)
        if told.si_signo != signal.SIGCHLD and told.si_code != _SI_KERNEL:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, told.si_signo)
