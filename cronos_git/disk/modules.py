"""Finds what a module name means in a project: configured paths, a path as given, or the one directory of that name. Floor F5."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence

from cronos_git.errors import ModuleScopeError
from cronos_git.model import Scope
from cronos_git.rules.names import scope_name
from cronos_git.rules.patterns import TAKE, Matcher


def resolve_scope(root: str, modules: Sequence[str], configured: Mapping[str, tuple[str, ...]], matcher: Matcher) -> Scope:
    """What a backup of *modules* covers; the whole project when there are none.

    Args:
        configured: Paths by module name, from the configuration.
        matcher: Directories that it leaves out are not searched.

    Raises:
        ModuleScopeError: A name is found nowhere, or in several places (`context["candidates"]`).

    Cost: a module that is neither configured nor a path costs one `scandir` for each directory of the project.
    """
    if not modules:
        return Scope()
    paths = {path for module in modules for path in _paths_of(root, module, configured, matcher)}
    covered = tuple(sorted(path for path in paths if not any(_is_below(path, other) for other in paths)))
    return Scope() if covered == ("",) else Scope(name=scope_name(modules), paths=covered)


def _is_below(path: str, other: str) -> bool:
    return path != other and (other == "" or path.startswith(other + "/"))


def _paths_of(root: str, module: str, configured: Mapping[str, tuple[str, ...]], matcher: Matcher) -> Sequence[str]:
    for name, paths in configured.items():
        if name.casefold() == module.casefold():
            return [_existing(root, path, module) for path in paths]
    path = os.path.normpath(module)
    if "/" in module or os.path.lexists(os.path.join(root, path)):
        return [_existing(root, path, module)]
    candidates = sorted(_directories_named(root, module, matcher))
    exact = [path for path in candidates if path.rpartition("/")[2] == module] or candidates
    if len(exact) != 1:
        raise _unresolved(module, exact)
    return exact


def _existing(root: str, path: str, module: str) -> str:
    path = os.path.normpath(path)
    if os.path.isabs(path) or path.split("/")[0] == ".." or not os.path.lexists(os.path.join(root, path)):
        raise _unresolved(module, [], f"{path} is not in the project")
    return "" if path == "." else path


def _unresolved(module: str, candidates: Sequence[str], why: str = "") -> ModuleScopeError:
    if candidates:
        return ModuleScopeError(
            f"Module {module!r} could be any of {', '.join(candidates)}. No backup was made.",
            hint="Give the path itself, or name it under [modules] in cronos.toml.",
            candidates=list(candidates),
        )
    return ModuleScopeError(
        f"Module {module!r} was not found{': ' + why if why else ' as a directory of the project'}. No backup was made.",
        hint="Give a path in the project, or name it under [modules] in cronos.toml.",
        candidates=[],
    )


def _directories_named(root: str, name: str, matcher: Matcher) -> Iterator[str]:
    """Directories of that name in any case, not looking into those that the rules leave out."""
    pending = [""]
    while pending:
        path = pending.pop()
        for child in _subdirectories(root, path):
            inner = f"{path}/{child}" if path else child
            if child == ".git" or matcher.judge(inner, child, True) != TAKE:
                continue
            if child.casefold() == name.casefold():
                yield inner
            pending.append(inner)


def _subdirectories(root: str, path: str) -> list[str]:
    try:
        with os.scandir(os.path.join(root, path)) as listing:
            return sorted(item.name for item in listing if stat.S_ISDIR(item.stat(follow_symlinks=False).st_mode))
    except OSError:
        return []  # what cannot be listed holds no module that could be backed up
