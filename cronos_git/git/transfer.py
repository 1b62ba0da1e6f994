"""Talks to other repositories: lists their refs, sends to them, gets from them. With GitPython, over any transport of Git.

Unlike every other git process these run with the user's own configuration, SSH agent and credential helpers: without them most
remotes could not be reached. Left out are hooks, helpers that run commands, and whatever a calling git says about another
repository. Backups have no parents, so git alone would send and get whole trees again each time: it takes only the trees of
parents for known. `known` tells it otherwise, in both directions. URLs are `rules.remotes`' to check. Floor F6.
"""

from __future__ import annotations

import os
import re
import selectors
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cronos_git.disk import files
from cronos_git.errors import InterruptedRunError, RemoteError
from cronos_git.events import Advanced, Finished, Run, Started
from cronos_git.git import session
from cronos_git.git.session import require_git
from cronos_git.model import Remote
from cronos_git.rules.remote_faults import advice, telling
from cronos_git.rules.remotes import shown

if TYPE_CHECKING:
    from git import Git

_SETTINGS = (
    f"core.hooksPath={os.devnull}",
    "core.fsync=all",
    "core.bigFileThreshold=32m",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "push.followTags=false",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "fetch.unpackLimit=1",
    "fetch.fsckObjects=true",
    "fetch.prune=false",
    "fetch.writeCommitGraph=false",
    "pack.useSparse=false",  # its guess is made for histories of commits with parents
    "advice.graftFileDeprecated=false",
    "http.lowSpeedLimit=100",  # bytes a second, for so many seconds: then the connection is dead
    "http.lowSpeedTime=60",
)
_KEPT = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSH_VARIANT|ASKPASS|SSL_\w+|HTTP_\w+|PROXY_\w+|CONFIG_GLOBAL|CONFIG_NOSYSTEM|ALLOW_PROTOCOL)"
)
_SSH = "ssh -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_SSH_CHOSEN = {"GIT_SSH_COMMAND", "GIT_SSH", "RSYNC_RSH"}
_AMOUNT = re.compile(r"([\d.]+) (bytes|KiB|MiB|GiB)")
_UNIT_BYTES = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_ANSWER = re.compile(r"([ +\-*!=])\t[^\t]*:(\S+)\t(.*)")
_NOISE = re.compile(
    r"^(remote: )?(hint: |Warning: Permanently added)|^(POST|Delta|Total|Everything up-to-date)|: +\d+% "
    r"|^gcrypt: (Due to|Consider|gcrypt's|Setting up|Remote ID|Encrypting|Requesting|Decrypting|.* matches multiple)"
)
_SAID_LINES = 6
_GRACE_S = 5.0
_POLL_S = 0.002
_PATIENCE_S = 0.2
"""How soon a cancelled run is noticed while git says nothing."""


class RefAnswer(NamedTuple):
    """What a remote says about one ref of a push."""

    ref: str
    is_taken: bool
    said: str


@dataclass(slots=True)
class Traffic:
    """What git says it moved: objects, and bytes as git rounds them."""

    objects: int = 0
    size_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Transfer:
    """The way from one repository to one remote, which the repository's configuration names.

    Attributes:
        traffic: The sum of what was moved.
    """

    git_dir: Path
    remote: Remote
    run: Run
    traffic: Traffic = field(default_factory=Traffic)

    def refs(self) -> dict[str, str]:
        """What the remote's backups and branches lead to: object ids by ref, and by `<ref>^{}` the commits behind tags.

        Raises:
            RemoteError: It cannot be reached, or is no repository.
        """
        lines, _ = self._git("list", "ls-remote", "--", self.remote.name, "refs/tags/backup/*", "refs/heads/*")
        return {name: oid for oid, _, name in (line.partition("\t") for line in lines) if name}

    def push(self, refspecs: Sequence[str], *, known: Path, leases: Mapping[str, str] | None = None) -> list[RefAnswer]:
        """Send what *refspecs* name.

        Args:
            known: A file of `known_parents`.
            leases: What refs must hold there, by name, for a forced update or a deletion; empty for nothing at all.

        Raises:
            RemoteError: It failed before the remote said anything about single refs.
        """
        options = [f"--force-with-lease={ref}:{oid}" for ref, oid in (leases or {}).items()]
        command = ("push", "--porcelain", "--progress", "--thin", *options, "--", self.remote.name, *refspecs)
        lines, said = self._git("push", *command, check=False, GIT_GRAFT_FILE=os.fspath(known))
        matches = [match for match in map(_ANSWER.fullmatch, lines) if match]
        if not matches:
            if any(line == "Done" for line in lines):
                return []
            raise self._failed("push", said)
        return [RefAnswer(match[2], match[1] != "!", _why(match[3], said)) for match in matches]

    def fetch(self, refspecs: Sequence[str]) -> None:
        """Get what *refspecs* name, checked object by object.

        Raises:
            RemoteError: It failed; what came is not referred to.
        """
        command = ("fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--progress")
        self._git("fetch", *command, "--", self.remote.name, *refspecs)

    def _git(self, phase: str, *command: str, check: bool = True, **environment: str) -> tuple[list[str], list[str]]:
        """Run git; the lines of its output, and what it said besides progress.

        Raises:
            RemoteError: It failed, and *check* is set.
            InterruptedRunError: The run was cancelled; git is gone.
        """
        require_git()
        progress = _progress_of(self.run)
        if phase != "list":
            self.run.emit(Started(phase))
        git = _program(self.git_dir, environment)
        argv = [*_command(git), *command]
        session.on_start(argv)
        guard = git.execute(argv, as_process=True)  # ends git when it goes out of use
        process: Any = guard.proc
        try:
            output = _listen(process, progress, self.run, _MEANING[phase])
        except BaseException:
            _end(process, is_cut_off=True)
            raise
        status = _end(process, is_cut_off=False)
        self.traffic.objects += progress.objects
        self.traffic.size_bytes += progress.size_bytes
        said = [line for line in (*progress.other_lines, *progress.error_lines) if not _NOISE.search(line)]
        if status and check:
            raise self._failed(phase, said)
        if phase != "list":
            self.run.emit(Finished(phase))
        return output.decode("utf-8", "surrogateescape").splitlines(), said

    def _failed(self, phase: str, said: Sequence[str]) -> RemoteError:
        words = shown(" ".join(_plain(line) for line in telling(said)[-_SAID_LINES:])) or "git gave no reason"
        what = {"list": "could not be asked", "push": "did not take anything", "fetch": "gave nothing"}[phase]
        meaning = _MEANING[phase].capitalize()
        return RemoteError(
            f"The remote {self.remote.name} ({self.remote.url}) {what}: {words.rstrip('.')}. {meaning}",
            hint=advice(said, self.remote.name),
            remote=self.remote.name,
        )


_MEANING = {
    "list": "the backups here are safe.",
    "push": "the backups here are safe, and what was sent completely is there.",
    "fetch": "nothing here was changed.",
}


def known_parents(path: Path, child: str, parents: Sequence[str]) -> Path:
    """Write the file that tells a push which backups the remote has: as if they were the parents of *child*.

    Source: info/grafts of gitrepository-layout(5). It changes what git walks, never what it sends.
    """
    files.write_disposable(path, (" ".join((child, *parents)) + "\n").encode() if parents else b"")
    return path


def _why(summary: str, said: Sequence[str]) -> str:
    """Git's summary for a ref, and what the remote gave as a reason."""
    reasons = [_plain(line) for line in said if line.startswith(("remote: ", "fatal: ", "error: "))]
    reasons = [reason for reason in reasons if not reason.startswith("failed to push")]
    return shown("; ".join([summary, *dict.fromkeys(reasons)][: _SAID_LINES + 1]))


def _plain(line: str) -> str:
    return re.sub(r"^(remote: |error: |fatal: )+", "", line).strip()


def _listen(process: Any, progress: Any, run: Run, meaning: str) -> bytes:
    """The output of git, which is heard to its end; its progress goes to *progress*.

    Raises:
        InterruptedRunError: The run was cancelled.
    """
    output, rest = b"", b""
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            if run.cancelled:
                raise InterruptedRunError(f"Interrupted; {meaning}")
            ready = selector.select(_PATIENCE_S)
            if not ready and process.poll() is not None:
                break  # what git has left running, such as the master of shared SSH connections, may hold its end open for hours
            for key, _ in ready:
                piece = os.read(key.fd, 1 << 16)
                if not piece:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    output += piece
                else:
                    *lines, rest = re.split(rb"[\r\n]", rest + piece)
                    _hear(lines, progress)
    _hear([rest], progress)
    return output


def _end(process: Any, *, is_cut_off: bool) -> int:
    """The exit status of git; one that is cut off gets time to end its own children, and to remove what it wrote."""
    if is_cut_off:
        process.terminate()
    deadline = time.monotonic() + _GRACE_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    process.kill()  # nothing, when it has ended
    status = int(process.wait())
    process.stdout.close()
    process.stderr.close()
    return status


def _hear(lines: Iterable[bytes], progress: Any) -> None:
    for line in filter(None, lines):
        progress._parse_progress_line(line.decode("utf-8", "replace").rstrip())


def _progress_of(run: Run) -> Any:
    """GitPython's reader of progress, made to emit events and to keep count."""
    from git import RemoteProgress

    class Watcher(RemoteProgress):
        __slots__ = ("objects", "size_bytes")

        def __init__(self) -> None:
            super().__init__()
            self.objects = self.size_bytes = 0

        def update(self, op_code: int, cur_count: Any, max_count: Any = None, message: str = "") -> None:
            if op_code & (self.WRITING | self.RECEIVING):
                amount = _AMOUNT.search(message)
                self.objects = int(cur_count)
                self.size_bytes = int(float(amount[1]) * _UNIT_BYTES[amount[2]]) if amount else self.size_bytes
                run.emit(Advanced(self.objects, self.size_bytes))

    return Watcher()


def _program(git_dir: Path, environment: Mapping[str, str]) -> Git:
    """GitPython's git, not its `Repo`: that takes GIT_OBJECT_DIRECTORY from a hook, and cannot read every configuration."""
    from git import Git

    git = Git(os.fspath(git_dir))
    has_terminal = sys.stdin is not None and sys.stdin.isatty()
    git.update_environment(
        GIT_DIR=os.fspath(git_dir),
        GIT_NO_REPLACE_OBJECTS="1",
        LC_ALL="C.UTF-8",
        **({} if has_terminal else {"GIT_TERMINAL_PROMPT": "0"}),
        **environment,
    )
    git.update_environment(**_ssh(git, has_terminal))
    return git


def _ssh(git: Git, has_terminal: bool) -> dict[str, str]:
    """What keeps ssh from waiting for ever, for a dead host or for an answer; nothing where the user has chosen an ssh."""
    chosen = git.execute([session.program(), "config", "--get", "core.sshCommand"], with_exceptions=False)
    if chosen or not _SSH_CHOSEN.isdisjoint(os.environ):  # noqa: TID251 - only names
        return {}
    command = _SSH if has_terminal else f"{_SSH} -o BatchMode=yes"
    return {"GIT_SSH_COMMAND": command, "RSYNC_RSH": command}


def _command(git: Git) -> list[str]:
    """How git is called: GitPython hands on this process's whole environment, so `env` drops what speaks of other repositories.

    On the command line stand only names of variables: others may read it.
    """
    names = [name for name in os.environ if name.startswith("GIT_") and not _KEPT.fullmatch(name)]  # noqa: TID251 - only names
    names = [name for name in names if name not in git.environment()]
    dropped = [part for name in sorted(names) for part in ("-u", name)]
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    return [*(("env", *dropped) if dropped else ()), session.program(), *settings]
