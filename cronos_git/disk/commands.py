"""Runs programs that are not git: a command of the user's, such as a deploy, and the machine's own, such as `crontab`.

Not in `git/session.py`, which starts git and nothing else, hermetically: this is neither. The user's command runs on the terminal
as if CRONOS were not there: stdin, stdout, stderr, environment, working directory and signals are the caller's own. The
machine's programs are given an input, and what they say is collected. Floor F5.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cronos_git.disk.files import host_error
from cronos_git.errors import HostError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a program said.

    Attributes:
        status: Exit status; negative for the number of the signal that ended it.
        error: What it wrote to standard error, on one line.
    """

    status: int
    output: bytes
    error: str


def ask_program(words: Sequence[str], environment: Mapping[str, str], *, stdin: bytes = b"", timeout_s: float = 60.0) -> Answer:
    """Run one of the machine's programs to its end and collect what it says.

    Raises:
        AccessError, HostError: It could not be started, or took too long and was ended.
    """
    import subprocess

    try:
        done = subprocess.run(words, input=stdin, capture_output=True, env=environment, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{words[0]} did not finish within {timeout_s:g} s and was ended.", hint="Try it again.") from error
    except OSError as error:
        raise host_error(error, f"run {words[0]}") from error
    told = " ".join(done.stderr.decode("utf-8", "replace").split())
    return Answer(status=done.returncode, output=done.stdout, error=told)
