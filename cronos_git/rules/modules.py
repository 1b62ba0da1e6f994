"""What a module name means: configured paths, a path as given, or the one directory of that name. Floor F4: pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence

from cronos_git.errors import ModuleScopeError


def resolve_modules(
    modules: Sequence[str],
    configured: Mapping[str, Sequence[str]],
    exists: Callable[[str], bool],
    directories: Callable[[], Iterable[str]],
) -> tuple[str, ...]:
    """The paths that *modules* mean, sorted, none below another.

    Args:
        configured: Paths by module name, from the configuration; names count in any case.
        exists: Whether there is such a path.
        directories: Every directory in which a module may be found by its name.

    Raises:
        ModuleScopeError: A name is found nowhere, or in several places (`context["candidates"]`).
    """
    paths = {path for module in modules for path in _paths_of(module, configured, exists, directories)}
    return tuple(sorted(path for path in paths if not any(_is_below(path, other) for other in paths)))


def _is_below(path: str, other: str) -> bool:
    return path != other and (other == "" or path.startswith(other + "/"))


def _paths_of(
    module: str,
    configured: Mapping[str, Sequence[str]],
    exists: Callable[[str], bool],
    directories: Callable[[], Iterable[str]],
) -> Sequence[str]:
    for name, paths in configured.items():
        if name.casefold() == module.casefold():
            return [_existing(path, module, exists) for path in paths]
    if "/" in module or module == "." or exists(posixpath.normpath(module)):
        return [_existing(module, module, exists)]
    same = [path for path in directories() if path.rpartition("/")[2].casefold() == module.casefold()]
    exact = sorted(path for path in same if path.rpartition("/")[2] == module) or sorted(same)
    if len(exact) != 1:
        raise _unresolved(module, exact)
    return exact


def _existing(path: str, module: str, exists: Callable[[str], bool]) -> str:
    path = posixpath.normpath(path)
    if path == ".":
        return ""
    if posixpath.isabs(path) or path.split("/")[0] == ".." or not exists(path):
        raise _unresolved(module, [], f"{path} is not there")
    return path


def _unresolved(module: str, candidates: Sequence[str], why: str = "") -> ModuleScopeError:
    if candidates:
        return ModuleScopeError(
            f"Module {module!r} could be any of {', '.join(candidates)}. Nothing was done.",
            hint="Give the path itself, or name it under [modules] in cronos.toml.",
            candidates=list(candidates),
        )
    return ModuleScopeError(
        f"Module {module!r} was not found{': ' + why if why else ' as a directory'}. Nothing was done.",
        hint="Give a path, or name it under [modules] in cronos.toml.",
        candidates=[],
    )
