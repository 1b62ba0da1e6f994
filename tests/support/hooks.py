"""Real git and a `cronos` command in PATH, for hooks that git runs and commands that run on their own."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import cronos_git
from cronos_git.cli.app import run

SOURCE = Path(cronos_git.__file__).parent.parent


class Told(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


class Desk:
    """A directory to work in, with HOME, a configured git, and `cronos` in PATH.

    Attributes:
        env: The environment of everything that is run here; tests add to it.
    """

    def __init__(self, base: Path, home: Path) -> None:
        self.base = base
        self.home = home
        self.bin = base / "bin"
        write_script(
            self.bin / "cronos", f'PYTHONPATH={shlex.quote(str(SOURCE))} exec {shlex.quote(sys.executable)} -m cronos_git "$@"'
        )
        self.env = {**os.environ, "HOME": str(home), "PATH": f"{self.bin}:{os.environ['PATH']}"}
        (home / ".gitconfig").write_text("[user]\nname = t\nemail = t@t\n[init]\ndefaultBranch = main\n[gc]\nauto = 0\n")

    def run(self, *words: str | Path, cwd: Path, stdin: str = "", status: int | None = 0, **env: str) -> Told:
        """Run a command and check its exit status, unless that is None."""
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd,
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert status is None or done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return Told(done.returncode, done.stdout, done.stderr)

    def git(self, *words: str | Path, cwd: Path, status: int | None = 0, **env: str) -> Told:
        """Run git as the user does."""
        return self.run("git", *words, cwd=cwd, status=status, **env)

    def cronos(self, *words: str | Path, cwd: Path, status: int | None = 0, stdin: str = "", **env: str) -> Told:
        """Run cronos as the user does, but in this process, which is faster."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        given = io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogateescape")), "utf-8")
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(cwd)
            patch.setattr(os, "environ", os.environ.copy())
            os.environ |= {**self.env, **env}
            patch.setattr(sys, "argv", [str(self.bin / "cronos")])
            patch.setattr(sys, "stdin", given)
            ended = run([str(word) for word in words])
        told = Told(ended, *(stream.buffer.getvalue().decode() for stream in (out, err)))
        assert status is None or ended == status, told
        return told

    def repository(self, name: str = "shop") -> Path:
        """A repository with one commit."""
        made = self.base / name
        made.mkdir()
        self.git("init", "-q", cwd=made)
        (made / "f").write_text("1\n")
        self.commit(made, "one")
        return made

    def commit(self, repository: Path, message: str, status: int | None = 0, **env: str) -> Told:
        """Commit all of a work tree."""
        self.git("add", "-A", cwd=repository, **env)
        return self.git("commit", "-q", "--allow-empty", "-m", message, cwd=repository, status=status, **env)

    def head(self, repository: Path, name: str = "HEAD") -> str:
        """The commit id of a revision."""
        return self.git("rev-parse", name, cwd=repository).out.strip()

    def backups(self, project: Path) -> list[dict[str, Any]]:
        """The backups of a project, newest first; none without a store."""
        told = self.cronos("-C", project, "list", "--json", cwd=self.base, status=None)
        assert told.status in (0, 10), told
        return [json.loads(line) for line in told.out.splitlines()] if told.status == 0 else []


def write_script(path: Path, body: str, mode: int = 0o755) -> None:
    """A shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
