"""Finds what a module name means in a project as it is on disk. Floor F5."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence

from cronos_git.model import Scope
from cronos_git.rules.modules import resolve_modules
from cronos_git.rules.names import scope_name
from cronos_git.rules.patterns import TAKE, Matcher


def resolve_scope(root: str, modules: Sequence[str], configured: Mapping[str, tuple[str, ...]], matcher: Matcher) -> Scope:
    """What a backup of *modules* covers; the whole project when there are none.

    Args:
        configured: Paths by module name, from the configuration.
        matcher: Directories that it leaves out are not searched.

    Raises:
        ModuleScopeError: As `rules.modules.resolve_modules` raises it.

    Cost: a module that is neither configured nor a path costs one `scandir` for each directory of the project.
    """
    if not modules:
        return Scope()
    covered = resolve_modules(
        modules, configured, lambda path: os.path.lexists(os.path.join(root, path)), lambda: _directories(root, matcher)
    )
    return Scope() if covered == ("",) else Scope(name=scope_name(modules), paths=covered)


def _directories(root: str, matcher: Matcher) -> Iterator[str]:
    """Every directory, not looking into those that the rules leave out."""
    pending = [""]
    while pending:
        path = pending.pop()
        for child in _subdirectories(root, path):
            inner = f"{path}/{child}" if path else child
            if child != ".git" and matcher.judge(inner, child, True) == TAKE:
                yield inner
                pending.append(inner)


def _subdirectories(root: str, path: str) -> list[str]:
    try:
        with os.scandir(os.path.join(root, path)) as listing:
            return sorted(item.name for item in listing if stat.S_ISDIR(item.stat(follow_symlinks=False).st_mode))
    except OSError:
        return []  # what cannot be listed holds no module that could be backed up
