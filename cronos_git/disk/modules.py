"""Finds what a module name means in a project as it is on disk. Floor F5."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from cronos_git.disk.python_sources import ProjectSources
from cronos_git.errors import ModuleScopeError
from cronos_git.model import Scope
from cronos_git.rules.modules import resolve_modules
from cronos_git.rules.names import scope_name
from cronos_git.rules.patterns import SEARCH, SKIP, TAKE, Matcher, build_matcher

_ALL = frozenset((".", "*", "**", "**/*"))
"""Patterns that narrow nothing."""


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
    exists = lambda path: os.path.lexists(os.path.join(root, path))  # noqa: E731
    covered = resolve_modules(modules, configured, exists, ProjectSources(root, matcher))
    return Scope() if covered == ("",) else Scope(name=scope_name(modules), paths=covered)


def narrow_scope(root: str, scope: Scope, only: Sequence[str], matcher: Matcher) -> Scope:
    """The part of *scope* that patterns match now: files, and directories with all that is in them.

    Args:
        only: Patterns in the gitignore language; `./` before one counts for nothing. Without any, all of the scope.
        matcher: What it leaves out is not looked at.

    Raises:
        ModuleScopeError: Nothing matches.
        PatternError: A pattern is broken.

    Cost: one `scandir` for each directory of the scope, and a path in the record of the backup for each match.
    """
    patterns = ["." if pattern == "./" else pattern.removeprefix("./") for pattern in only]
    if not patterns or not _ALL.isdisjoint(patterns):
        return scope
    wanted = build_matcher(defaults=(), exclude=(), include=patterns).inside_skipped()
    found = tuple(sorted(_matching(root, scope.paths, wanted, matcher)))
    if not found:
        raise ModuleScopeError(
            f"Nothing matches {' or '.join(only)}. Nothing was done.",
            hint="Patterns are as in .gitignore, such as *.py, docs/ or src/**/*.c; what the rules leave out stays out.",
            candidates=[],
        )
    modules = [] if scope.is_project else scope.name.split("+")
    return Scope(name=scope_name([*modules, *(f"only {pattern}" for pattern in patterns)]), paths=found)


def _matching(root: str, tops: Sequence[str], wanted: Matcher, matcher: Matcher) -> Iterator[str]:
    """What *wanted* takes, at *tops* and below, of what the rules do not leave out; nothing below another."""
    pending: list[tuple[str, Matcher]] = []
    for top in tops:
        whole = os.path.join(root, top)
        if top and wanted.judge(top, top.rpartition("/")[2], os.path.isdir(whole) and not os.path.islink(whole)) == TAKE:
            yield top
        else:
            pending.append((top, matcher))
    while pending:
        path, rules = pending.pop()
        for name, is_directory in _entries(root, path):
            inner = f"{path}/{name}" if path else name
            ruled, asked = rules.judge(inner, name, is_directory), wanted.judge(inner, name, is_directory)
            if name == ".git" or SKIP in (ruled, asked):
                continue
            if asked == TAKE:
                yield inner
            else:
                pending.append((inner, rules.inside_skipped() if ruled == SEARCH else rules))


def _entries(root: str, path: str) -> list[tuple[str, bool]]:
    """What lies in a directory, sorted, and whether each is a directory itself."""
    try:
        with os.scandir(os.path.join(root, path)) as listing:
            return sorted((item.name, item.is_dir(follow_symlinks=False)) for item in listing)
    except OSError:
        return []  # what cannot be listed holds nothing that could be backed up
