"""Git child processes that nothing but their arguments can influence.

No shell, no user or system configuration, no `GIT_*` of the caller, no hooks, no prompt, no pager; always an explicit
`--git-dir`. The one exception is `exec_git`, which hands the user's terminal to stock git and lets their own taste (pager,
colours, aliases) through. What is read and written without a process is `git.store`'s and `git.pack`'s. Floor F6.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cronos_git.errors import GitCommandError, GitVersionError

if TYPE_CHECKING:
    import subprocess

MINIMUM_GIT = (2, 34, 0)
"""Oldest git that CRONOS works with.

2.32 brought GIT_CONFIG_GLOBAL, without which a child process is not hermetic, 2.34 `repack --geometric --write-midx`, which
keeps a store of many packs fast; it is what Ubuntu 22.04 ships. `core.fsync` (2.36) is not needed: packs are synced by every
version, and refs are written by CRONOS itself.
"""

_PROGRESS = re.compile(rb"^[\w ]+: +(\d+%|\d+)")
_VERSION = re.compile(rb"git version (\d+)\.(\d+)(?:\.(\d+))?")

# Nothing of the caller's environment: what it says about Git (a hook's GIT_DIR, GIT_INDEX_FILE, GIT_QUARANTINE_PATH …) is about
# another repository, and the rest (pagers, editors, askpass, XDG_CONFIG_HOME) are ways to run or configure something.
_ENVIRONMENT = {
    "PATH": os.defpath,
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",  # CRONOS ignores refs/replace, so git shall too
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
}

# Whatever the store's own configuration says.
_SAFETY = (
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "core.fsync=all",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
)
_HERMETIC = (*_SAFETY, f"core.attributesFile={os.devnull}")


def _ignore(_argv: Sequence[str]) -> None:
    return None


on_start: Callable[[Sequence[str]], None] = _ignore
"""Called with the arguments of every git process before it starts; tests assign to it to count processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a git process ended.

    Attributes:
        status: Exit status; negative for the number of the signal that ended it.
    """

    status: int
    stdout: bytes
    stderr: bytes


class GitSession:
    """Runs git on one repository.

    Args:
        git_dir: The repository; None for commands that need none.
    """

    def __init__(self, git_dir: Path | None = None) -> None:
        self._git_dir = git_dir

    def run(
        self,
        *args: str,
        stdin: bytes | None = None,
        timeout_s: float | None = None,
        check: bool = True,
        answers: Container[int] = (0,),
        watch: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run one git command to its end and collect what it says.

        Args:
            args: The command and its arguments, without `git`; user text belongs after `--` or behind an option's `=`.
            stdin: What it reads; nothing when None.
            timeout_s: End it after that many seconds; None waits for ever.
            check: Raise when its exit status is none of *answers*.
            answers: The exit statuses with which that command does not fail.
            watch: Receives each line of its standard error as it comes, those too that overwrite each other; what it raises ends
                git. Then *timeout_s* does not count.

        Raises:
            GitCommandError: It failed or took too long; the message carries git's own words.
            GitVersionError: There is no git.

        Cost: about 2 ms a process, and its whole output in memory.
        """
        import subprocess

        argv = _command(self._git_dir, _HERMETIC, args)
        on_start(argv)
        try:
            if watch is not None:
                done = _watched(argv, stdin or b"", watch)
            else:
                done = subprocess.run(
                    argv, input=stdin or b"", capture_output=True, env=_ENVIRONMENT, timeout=timeout_s, check=False
                )
        except subprocess.TimeoutExpired as error:
            raise _failed(args, f"did not finish within {timeout_s:g} s and was ended", error.stderr or b"") from error
        except OSError as error:
            raise _failed(args, f"could not be started: {error.strerror}", b"") from error
        if check and done.returncode not in answers:
            raise _failed(args, f"failed with status {done.returncode}", done.stderr)
        return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def _watched(argv: Sequence[str], stdin: bytes, watch: Callable[[str], None]) -> subprocess.CompletedProcess[bytes]:
    """Run a command, giving what it says on standard error to *watch* line by line."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answer:  # pipes would have to be served all at once
        given.write(stdin)
        given.seek(0)
        with subprocess.Popen(argv, stdin=given, stdout=answer, stderr=subprocess.PIPE, env=_ENVIRONMENT) as process:
            assert process.stderr is not None
            said, rest = b"", b""
            try:
                while piece := os.read(process.stderr.fileno(), 4096):
                    *lines, rest = re.split(rb"[\r\n]", rest + piece)
                    said += b"".join(line + b"\n" for line in lines if not _PROGRESS.search(line))
                    for line in lines:
                        watch(line.decode("utf-8", "replace"))
            except BaseException:
                process.kill()
                raise
            status = process.wait()
        answer.seek(0)
        return subprocess.CompletedProcess(argv, status, answer.read(), said + rest)


def exec_git(git_dir: Path, args: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Become stock git on the store: replace this process, so that terminal, signals and exit status are git's.

    The user's configuration applies, but no `GIT_*` variable and no hook, and git does not tidy the store on its own.

    Args:
        environment: The user's environment variables.

    Raises:
        GitVersionError: There is no git.
    """
    argv = _command(git_dir, _SAFETY, args)
    on_start(argv)
    clean = {name: value for name, value in environment.items() if not name.startswith("GIT_")}
    os.execve(argv[0], argv, clean)  # noqa: S606 - there is no shell, which is the point


def ask(directory: Path, *args: str, environment: Mapping[str, str]) -> Completed:
    """What stock git answers about the user's own repository at *directory*, with the configuration that holds for them there.

    Only for questions (`rev-parse`, `config --get`); whatever changes something is run by `GitSession`.

    Args:
        environment: The user's environment variables. Those that name a repository count; leave them out where *directory* shall.

    Raises:
        GitCommandError: It could not be started.
        GitVersionError: There is no git.
    """
    import subprocess

    argv = [program(), "-C", os.fspath(directory), *args]
    on_start(argv)
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=dict(environment), check=False)
    except OSError as error:
        raise _failed(args, f"could not be started: {error.strerror}", b"") from error
    return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def git_version() -> tuple[int, int, int]:
    """The version of the git that is found, as numbers.

    Raises:
        GitVersionError: There is no git, or what is called so does not tell its version.
    """
    told = GitSession().run("version").stdout
    match = _VERSION.match(told)
    if match is None:
        raise GitVersionError(
            f"`git version` says {told.decode(errors='replace').strip()!r}, which is no version.",
            hint="Install git from git-scm.com.",
        )
    major, minor, patch = (int(number or 0) for number in match.groups())
    return major, minor, patch


def require_git() -> tuple[int, int, int]:
    """The version of git, when CRONOS can work with it.

    Raises:
        GitVersionError: There is no git, or it is older than MINIMUM_GIT.
    """
    version = git_version()
    if version < MINIMUM_GIT:
        raise GitVersionError(
            f"git {_dotted(version)} is too old; CRONOS needs {_dotted(MINIMUM_GIT)} or later. Backups are not affected.",
            hint="Upgrade git (https://git-scm.com/downloads), or put a newer one first in PATH.",
            found=_dotted(version),
            minimum=_dotted(MINIMUM_GIT),
        )
    return version


def program() -> str:
    """The path of git, looked up as any program is in the PATH of this process: it may be where only the user's PATH leads.

    Raises:
        GitVersionError: There is none.
    """
    found = shutil.which("git")
    if found is None:
        raise GitVersionError(
            "git is not installed, or not in PATH; this needs it. Backups are not affected.",
            hint=f"Install git {_dotted(MINIMUM_GIT)} or later (https://git-scm.com/downloads).",
        )
    return found


def _command(git_dir: Path | None, settings: Sequence[str], args: Sequence[str]) -> list[str]:
    options = [part for setting in settings for part in ("-c", setting)]
    place = [] if git_dir is None else [f"--git-dir={os.fspath(git_dir)}"]
    return [program(), *options, *place, *args]


def _failed(args: Sequence[str], how: str, stderr: bytes) -> GitCommandError:
    said = stderr.decode("utf-8", "replace").strip()
    return GitCommandError(f"git {args[0]} {how}" + (f": {said}" if said else "."), args=list(args), stderr=said)


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))
