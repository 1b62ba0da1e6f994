"""The sources of a project as they are on disk, to be searched for imports. Floor F5."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from cronos_git.rules.patterns import TAKE, Matcher
from cronos_git.rules.python_paths import SOURCE_LIMIT_BYTES

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class ProjectSources:
    """A project on disk; see `rules.python_paths.Sources`.

    Args:
        matcher: What it leaves out is not there.
    """

    def __init__(self, root: str, matcher: Matcher) -> None:
        self._root = root
        self._matcher = matcher

    def names(self, path: str) -> Mapping[str, bool]:
        """What lies in a directory, and which of it are directories; what cannot be listed holds nothing.

        Cost: one `scandir`.
        """
        found = {}
        try:
            with os.scandir(os.path.join(self._root, path)) as listing:
                for item in listing:
                    is_directory = stat.S_ISDIR(item.stat(follow_symlinks=False).st_mode)
                    inner = f"{path}/{item.name}" if path else item.name
                    if item.name != ".git" and self._matcher.judge(inner, item.name, is_directory) == TAKE:
                        found[item.name] = is_directory
        except OSError:
            return found
        return found

    def read(self, path: str) -> bytes | None:
        """The content of a regular file that is small enough to be a source; None for anything else."""
        try:
            fd = os.open(os.path.join(self._root, path), _OPEN)
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            try:
                info = os.fstat(fd)
                is_source = stat.S_ISREG(info.st_mode) and info.st_size <= SOURCE_LIMIT_BYTES
                return file.read(SOURCE_LIMIT_BYTES) if is_source else None
            except OSError:
                return None

    def link(self, path: str) -> str | None:
        """What a symbolic link says; None for anything else."""
        try:
            return os.readlink(os.path.join(self._root, path))
        except OSError:
            return None
