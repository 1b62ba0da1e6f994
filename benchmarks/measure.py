"""Run a step of one tool in child processes and measure it.

Seconds are wall time from before the start to after the exit of each command, added up. Peak memory is `ru_maxrss` of `wait4`:
the largest resident size of any one process among the child and the descendants that it waited for, not their sum. Linux
carries the resident size of the starting process over `exec`, so no figure can be below this harness's own (`floor_bytes`),
which is why the harness streams everything. Nothing of the user's environment reaches a tool but PATH.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One child process: its arguments, directory, whole environment and, if it reads any, its input.

    Attributes:
        statuses: Exit statuses with which it has done what is measured.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    stdin: Path | None = None
    statuses: tuple[int, ...] = (0,)


Step = Sequence[Command]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run of one step.

    Attributes:
        seconds: Wall time.
        peak_bytes: Largest resident size of one process.
        stored_bytes: Disk space of the store, or its growth, as the row says; None where nothing is stored.
        note: What a reader of the figure must know about the work that was done for it.
    """

    seconds: float
    peak_bytes: int
    stored_bytes: int | None = None
    note: str = ""

    def storing(self, stored_bytes: int) -> Measurement:
        """This measurement with the space that the step took."""
        return replace(self, stored_bytes=stored_bytes)

    def noting(self, note: str) -> Measurement:
        """This measurement with *note*."""
        return replace(self, note=note)


class ToolFailedError(Exception):
    """A tool did not do what it was asked; no figure of it can be trusted."""


def hermetic_environment(home: Path) -> dict[str, str]:
    """PATH, and a HOME and TMPDIR of the tool's own."""
    scratch = home / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(scratch), "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def floor_bytes() -> int:
    """The peak size of this process, which no measured peak can be below."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def run_step(step: Step) -> bytes:
    """Run *step* without measuring; give back what its last command wrote to standard output.

    Raises:
        ToolFailedError: A command could not be started or ended with a status other than it should.
    """
    output = b""
    for command in step:
        output, _, _ = _run(command)
    return output


def time_step(step: Step, *, least_lines: int = 0) -> Measurement:
    """Flush what others have written to the disk, then run and measure *step*.

    Args:
        least_lines: The step must write at least so many lines: a list that is cut short is no list.

    Raises:
        ToolFailedError: As `run_step`, or too few lines came.
    """
    os.sync()
    seconds, peak_bytes, lines = 0.0, 0, 0
    for command in step:
        output, elapsed_s, usage = _run(command)
        seconds += elapsed_s
        peak_bytes = max(peak_bytes, usage.ru_maxrss * KIB)
        lines += output.count(b"\n")
    if lines < least_lines:
        raise ToolFailedError(f"{_shown(step[-1])}: wrote {lines} lines, at least {least_lines} were expected")
    return Measurement(seconds=seconds, peak_bytes=peak_bytes)


def _run(command: Command) -> tuple[bytes, float, resource.struct_rusage]:
    with tempfile.TemporaryFile() as errors, Path(command.stdin or os.devnull).open("rb") as source:
        started = time.perf_counter()
        try:
            child = subprocess.Popen(
                command.argv, cwd=command.cwd, env=command.env, stdin=source, stdout=subprocess.PIPE, stderr=errors
            )
        except OSError as error:
            raise ToolFailedError(f"{_shown(command)}: cannot be started: {error}") from error
        with child:
            assert child.stdout is not None
            output = child.stdout.read()
            _, status, usage = os.wait4(child.pid, 0)
            elapsed_s = time.perf_counter() - started
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in command.statuses:
            raise ToolFailedError(f"{_shown(command)}: status {child.returncode}\n{_tail(errors)}")
    return output, elapsed_s, usage


def _shown(command: Command) -> str:
    return f"({command.cwd}) {' '.join(command.argv)}"


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read()[-4000:].decode("utf-8", "replace")
