"""Where the user's own repository is: its work tree, its hooks directory, and what it says of deploying.

Stock git is asked, with the user's configuration: `core.hooksPath` may stand in any of its files, for this repository or for
all, and only git knows the rules. Only asks. Floor F6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cronos_git.errors import ProjectError
from cronos_git.git.session import ask

DEPLOY_TREE = "cronos.deployTree"
"""The setting of a repository that names the directory to which it deploys what is pushed."""

_QUESTIONS = (
    "--path-format=absolute",
    "--absolute-git-dir",
    "--git-common-dir",
    "--git-path",
    "hooks",
    "--is-bare-repository",
    "--show-toplevel",  # last, as git ends with an error here where there is no work tree
)
_ANSWERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a repository is.

    Attributes:
        git_dir: Its own directory; of a linked work tree that one's part.
        hooks: Where git looks for hooks.
        top: Root of the work tree; None in a bare repository, and where git was asked from inside `git_dir`: with GIT_DIR set,
            as hooks of a push have it, git takes that for the root.
        shared: Whether the hooks directory lies outside this repository, so that others may use it too.
    """

    git_dir: Path
    hooks: Path
    bare: bool
    top: Path | None
    shared: bool

    @property
    def is_rebasing(self) -> bool:
        """Whether a rebase is under way."""
        return any((self.git_dir / name).exists() for name in ("rebase-merge", "rebase-apply"))


def locate(directory: Path, environment: Mapping[str, str]) -> Whereabouts | None:
    """The repository that git finds at *directory*; None when there is none.

    Args:
        environment: As for `session.ask`.

    Raises:
        ProjectError: Git does not want to look at it, mostly because it belongs to another user.
        GitCommandError, GitVersionError: Git cannot be asked.
    """
    told = ask(directory, "rev-parse", *_QUESTIONS, environment={**environment, "LC_ALL": "C"})
    answers = [Path(line.decode("utf-8", "surrogateescape")) for line in told.stdout.split(b"\n")[:-1]]
    if not _ANSWERS <= len(answers) <= _ANSWERS + 1:
        said = told.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        if "not a git repository" in said:
            return None
        raise ProjectError(
            f"Git does not tell where the repository at {directory} is: {said or 'its path has several lines'}.",
            hint="When it belongs to another user whom you trust: `git config --global --add safe.directory DIR`.",
        )
    git_dir, common, hooks, bare, *top = answers
    owned = (common, *top)
    return Whereabouts(
        git_dir=git_dir,
        hooks=hooks,
        bare=str(bare) == "true",
        top=top[0] if top and top != [git_dir] else None,
        shared=not any(hooks.is_relative_to(place) for place in owned),
    )


def deploy_tree(directory: Path, environment: Mapping[str, str]) -> str | None:
    """What the repository at *directory* names as `cronos.deployTree`; None when it names nothing.

    Raises:
        GitCommandError, GitVersionError: Git cannot be asked.
    """
    told = ask(directory, "config", "--null", "--type=path", "--get", DEPLOY_TREE, environment=environment)
    return told.stdout.rstrip(b"\0").decode("utf-8", "surrogateescape") or None
