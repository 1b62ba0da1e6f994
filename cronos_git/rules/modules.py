"""What a module name means: configured paths, a path as given, or the one directory of that name.

Of several directories of one name it is the one that is a module, as `python_paths.Layout` tells. Floor F4: pure.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cronos_git.errors import ModuleScopeError

if TYPE_CHECKING:  # imported where used
    from cronos_git.rules.python_paths import Sources


def resolve_modules(
    modules: Sequence[str],
    configured: Mapping[str, Sequence[str]],
    exists: Callable[[str], bool],
    sources: Sources,
) -> tuple[str, ...]:
    """The paths that *modules* mean, sorted, none below another.

    Args:
        configured: Paths by module name, from the configuration; names count in any case.
        exists: Whether there is such a path.
        sources: Where a module may be found by its name.

    Raises:
        ModuleScopeError: A name is found nowhere, or in several places (`context["candidates"]`).
    """
    paths = {path for module in modules for path in _paths_of(module, configured, exists, sources)}
    return tuple(sorted(path for path in paths if not any(_is_below(path, other) for other in paths)))


def _is_below(path: str, other: str) -> bool:
    return path != other and (other == "" or path.startswith(other + "/"))


def _paths_of(
    module: str,
    configured: Mapping[str, Sequence[str]],
    exists: Callable[[str], bool],
    sources: Sources,
) -> Sequence[str]:
    for name, paths in configured.items():
        if name.casefold() == module.casefold():
            return [_existing(path, module, exists) for path in paths]
    if "/" in module or module == "." or exists(posixpath.normpath(module)):
        return [_existing(module, module, exists)]
    found = _called(module, configured, sources)
    if len(found) != 1:
        raise _unresolved(module, found)
    return found


def _called(module: str, configured: Mapping[str, Sequence[str]], sources: Sources) -> list[str]:
    """The directory that is called so, better in the same case and better a module; several when that does not decide."""
    from cronos_git.rules.python_paths import Layout

    layout = Layout(sources, configured, ())
    same = [path for path in layout.directories() if path.rpartition("/")[2].casefold() == module.casefold()]
    exact = sorted(path for path in same if path.rpartition("/")[2] == module) or sorted(same)
    if len(exact) == 1:
        return exact
    known = {path for one in layout.modules for path in one.paths}
    best = [path for path in exact if path in known]
    return best if len(best) == 1 else exact


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
