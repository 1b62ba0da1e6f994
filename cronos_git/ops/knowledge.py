"""What a backup can know of: whether the absence of a path in it means that the path was not there.

A file that the rules left out when the backup was made is absent from the backup, but was not absent from the project, so a
restore must not remove it. Where the recorded rules leave room, a path counts as left out. Floor F7, below the verbs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from cronos_git.git.view import SnapshotView
from cronos_git.model import Entry
from cronos_git.rules.patterns import DEFAULT_EXCLUDES, SEARCH, SKIP, TAKE, Matcher, build_matcher


class Knowledge:
    """Tells of paths whether a backup would have taken them.

    Args:
        view: The backup.
        is_tagged: Whether a directory of the target holds a `CACHEDIR.TAG` now.
    """

    def __init__(self, view: SnapshotView, is_tagged: Callable[[str], bool]) -> None:
        self._view = view
        self._is_tagged = is_tagged
        self._rules: Mapping[str, Any] = view.record()["rules"]
        self._forced = frozenset(self._rules.get("forced", ()))
        self._caches = frozenset(self._rules.get("caches", ()))
        self._below = functools.cache(self._matcher_in)

    def covers(self, path: str, is_directory: bool) -> bool:
        """Whether the backup would hold *path*, had it been there."""
        parts = path.split("/")
        ways = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        if not self._forced.isdisjoint(ways):
            return True
        return all(self._verdict(way, True) != SKIP for way in ways[:-1]) and self._verdict(path, is_directory) == TAKE

    def _verdict(self, path: str, is_directory: bool) -> int:
        parent, _, name = path.rpartition("/")
        if name == ".git" and self._rules["git_dirs"] == "skip":
            return SKIP
        if is_directory and self._rules["cachedir_tags"] and (path in self._caches or self._is_tagged(path)):
            return SKIP
        return self._below(parent).judge(path, name, is_directory)

    def _matcher_in(self, directory: str) -> Matcher:
        """The rules for what lies in *directory*, with the ignore files that were there on the way."""
        matcher = self._matcher_below(directory) if directory else self._top_matcher()
        names = (".gitignore", ".cronosignore") if self._rules["respect_gitignore"] else (".cronosignore",)
        return matcher.below(directory, [self._content(directory, name) for name in names])

    def _matcher_below(self, directory: str) -> Matcher:
        parent, _, name = directory.rpartition("/")
        matcher = self._below(parent)
        return matcher.inside_skipped() if matcher.judge(directory, name, True) == SEARCH else matcher

    def _top_matcher(self) -> Matcher:
        rules = self._rules
        exclude = rules["exclude"]
        requested = rules.get("request_exclude", exclude)  # older backups do not tell: what outranks more leaves out more
        return build_matcher(
            defaults=DEFAULT_EXCLUDES if rules["defaults"] else (),
            exclude=exclude[: len(exclude) - len(requested)],
            include=rules["include"],
            request_exclude=requested,
        )

    def _content(self, directory: str, name: str) -> bytes:
        """What an ignore file held when the backup was made."""
        path = f"{directory}/{name}" if directory else name
        outer = self._rules.get("outer", {}).get(path)
        if outer is not None:
            return str(outer).encode("utf-8", "surrogateescape")
        found = self._view.find_if_any(path)
        if not isinstance(found, Entry) or found.attributes.kind != "file" or not found.oid:
            return b""
        return b"".join(self._view.read(found))
