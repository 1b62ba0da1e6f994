"""Stock git as the judge of what CRONOS writes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(*args: str | Path, cwd: Path | None = None, check: bool = True) -> str:
    """Run stock git with no user configuration; give back its output."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    env |= {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "t"), ("EMAIL", "t@t"))}
    done = subprocess.run(["git", *map(str, args)], cwd=cwd, env=env, capture_output=True, check=False)
    if check:
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "surrogateescape")


def assert_store_sound(store: Path, scratch: Path) -> None:
    """`git fsck --full --strict`, `git clone` and a push to a repository that checks every object must all pass."""
    git("--git-dir", store, "fsck", "--full", "--strict", "--no-dangling")
    git("clone", "--quiet", "--mirror", "--no-local", store, scratch / "clone.git")
    git("init", "--quiet", "--bare", scratch / "strict.git")
    git("--git-dir", scratch / "strict.git", "config", "receive.fsckObjects", "true")
    git("--git-dir", store, "push", "--quiet", scratch / "strict.git", "refs/tags/*:refs/tags/*", "refs/heads/*:refs/heads/*")
