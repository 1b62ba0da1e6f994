"""Paths as users write them, made paths from the project's root.

`./src/`, `src` and `/home/me/project/src` are the same; what stands after the colon of BACKUP:PATH is `rules.identify`'s. No
file is looked at. Floor F11.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from cronos_git.errors import UsageError


def inside(project: Path, word: str) -> str:
    """*word* as a path from the root of *project*, `""` for the root itself.

    Raises:
        UsageError: It lies outside.
    """
    path = posixpath.normpath(posixpath.relpath(word, project) if posixpath.isabs(word) else word)
    if path == ".." or path.startswith("../"):
        raise UsageError(f"{word!r} lies outside the project {project}.", hint="Paths are given from the project's root.")
    return "" if path == "." else path


def not_empty(words: Sequence[str]) -> Sequence[str]:
    """*words*, when each names a path: an empty one is what became of a variable that was never set, and must not mean all.

    Raises:
        UsageError: One is empty.
    """
    if "" in words:
        raise UsageError("A path is empty.", hint="Give `.` for the whole project.")
    return words


def rooted(project: Path, pattern: str) -> str:
    """A pattern of `find` that names the root as `./` or in full, as one with `/` for the root; any other as it is."""
    root = str(project).rstrip("/")
    return pattern.removeprefix(root if pattern.startswith(f"{root}/") else "." if pattern.startswith("./") else "")
