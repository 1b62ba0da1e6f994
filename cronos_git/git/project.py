"""What the project's own Git repositories say of themselves, only read: commit, branch, dirty flag, remotes.

A backup leaves `.git` out by default, so this note is what ties it to the project's history. Never writes: libgit2's status
without the option to update the index. Floor F6.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


def read_repository(root: Path, path: str) -> dict[str, Any] | None:
    """State of the repository at *path* below *root*; None when it cannot be opened (no repository, another user's).

    Returns:
        `head` (commit id or None before the first commit), `branch` (None when detached), `dirty` (tracked files differ; None
        when that cannot be told), `remotes` (name to URL, without credentials).

    Cost: one `lstat` for each tracked file.
    """
    import pygit2

    try:
        repository = pygit2.Repository(str(root / path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
        unborn = repository.head_is_unborn
        return {
            "head": None if unborn else str(repository.head.target),
            "branch": None if unborn or repository.head_is_detached else repository.head.shorthand,
            "dirty": _is_dirty(repository),
            "remotes": {r.name: _CREDENTIALS.sub("", r.url) for r in repository.remotes if r.name and r.url},
        }
    except (pygit2.GitError, KeyError, ValueError, OSError):
        return None


def _is_dirty(repository: Any) -> bool | None:
    import pygit2

    if repository.is_bare:
        return None
    try:
        return bool(repository.status(untracked_files="no"))
    except (pygit2.GitError, KeyError, ValueError, OSError):
        return None
