"""Where Python imports lead within a project, and which modules it has. Floor F4: pure.

A tree of files is asked for names only, so that a project on disk and one in a backup are the same to it. Which directories a
program has in its search path is not known, so an import that could mean several files of the project means all of them.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol

from cronos_git.model import Module
from cronos_git.rules.python_imports import Import

_GROUPS = frozenset(("src", "lib", "libs", "packages", "subsystems", "modules", "apps"))
_INCIDENTAL = re.compile(r"\..*|__init__\.pyi?|(?i:readme|license)(\..*)?")
_DISTRIBUTION = ("pyproject.toml", "setup.py", "setup.cfg")
_WRITTEN = (".py", ".pyi", ".pyx")
_BUILT = (".so", ".pyd")
_SUFFIXES = (*_WRITTEN, *_BUILT)
SOURCE_SUFFIXES = (".py", ".pyi", ".pyw")
"""Names of files whose imports count end so."""
SOURCE_LIMIT_BYTES = 4 << 20
"""What is larger was hardly written by hand; its imports do not count."""


class Sources(Protocol):
    """The files of a project, on disk or in a backup."""

    def names(self, path: str, /) -> Mapping[str, bool]:
        """What lies in a directory, and which of it are directories (links are none); nothing when it cannot be listed."""
        ...

    def read(self, path: str, /) -> bytes | None:
        """The content of a file; None when it cannot be read or is too large to be a source."""
        ...

    def link(self, path: str, /) -> str | None:
        """What a symbolic link says; None for anything else."""
        ...


class Layout:
    """Which modules a project has, and what its imports mean.

    The modules are what is configured; besides, every directory at the top, and instead of one that only groups others the
    directories in it. A directory groups others when a configured or named module lies below it, or when it stands at the top,
    holds directories, and is called `src`, `lib`, `libs`, `packages`, `subsystems`, `modules` or `apps` or holds no file but
    `__init__.py`, a README and a LICENSE. Hidden directories are no modules. A file in none of them stands for itself.

    Args:
        configured: Paths by module name.
        named: Paths that are meant as modules.
    """

    def __init__(self, sources: Sources, configured: Mapping[str, Sequence[str]], named: Sequence[str]) -> None:
        self._sources = sources
        self._known: dict[str, Mapping[str, bool]] = {}
        self._built_known: dict[str, Mapping[str, str]] = {}
        self._roots_known: dict[str, tuple[str, ...]] = {}
        self._foreign: dict[tuple[tuple[str, ...], str], bool] = {}
        self._configured = [Module(name=name, paths=tuple(paths)) for name, paths in configured.items()]
        above = [path for module in self._configured for path in module.paths]
        self._above = {way for path in (*above, *named) for way in _ways_to(path)}

    # --- the tree ---

    def names(self, path: str) -> Mapping[str, bool]:
        """What lies in the directory *path*; nothing when there is none, or when a link is on the way.

        Cost: one listing for each directory that is asked for, however often.
        """
        unknown = [path]
        while unknown[-1] and unknown[-1] not in self._known:
            unknown.append(unknown[-1].rpartition("/")[0])
        for way in reversed(unknown):
            if way not in self._known:
                parent, _, name = way.rpartition("/")
                is_there = not way or self._known[parent].get(name, False)
                self._known[way] = self._sources.names(way) if is_there else {}
        return self._known[path]

    def is_directory(self, path: str) -> bool:
        """Whether there is such a directory."""
        parent, _, name = path.rpartition("/")
        return not path or self.names(parent).get(name, False)

    def holds(self, path: str) -> bool:
        """Whether there is anything at *path*."""
        parent, _, name = path.rpartition("/")
        return not path or name in self.names(parent)

    def link(self, path: str) -> str | None:
        """What in the project the link at *path* leads to; None for anything else, also for one that leads nowhere or out."""
        parent, _, name = path.rpartition("/")
        told = self._sources.link(path) if self.names(parent).get(name) is False else None
        if told is None or posixpath.isabs(told):
            return None
        target = posixpath.normpath(posixpath.join(parent, told))
        return target if target != "." and self.holds(target) else None

    def directories(self) -> Iterator[str]:
        """Every directory below the top.

        Cost: one listing for each.
        """
        pending = [""]
        while pending:
            path = pending.pop()
            inner = [join(path, name) for name, is_dir in self.names(path).items() if is_dir]
            yield from inner
            pending += inner

    # --- modules ---

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """All modules, the configured ones first."""
        found = list(self._directories())
        folded = [path.rpartition("/")[2].casefold() for path in found]
        folded += [module.name.casefold() for module in self._configured]
        of_path = [
            Module(name=name if folded.count(name.casefold()) == 1 else path, paths=(path,))
            for path, name in ((path, path.rpartition("/")[2]) for path in found)
        ]
        return (*self._configured, *of_path)

    def _directories(self) -> Iterator[str]:
        """Directories that are modules without being configured."""
        pending = self._below("")
        while pending:
            path = pending.pop(0)
            if self._is_group(path):
                pending[:0] = self._below(path)
            elif not self._is_configured(path):
                yield path

    def _below(self, path: str) -> list[str]:
        return [join(path, name) for name, is_dir in sorted(self.names(path).items()) if is_dir and not name.startswith(".")]

    def _is_configured(self, path: str) -> bool:
        return any(is_at_or_below(path, top) for module in self._configured for top in module.paths)

    def _is_group(self, path: str) -> bool:
        if path in self._above:
            return True
        if "/" in path or not self._below(path) or self._is_configured(path):
            return False
        files = [name for name, is_dir in self.names(path).items() if not is_dir]
        return path in _GROUPS or all(map(_INCIDENTAL.fullmatch, files))

    def module_of(self, path: str) -> Module | None:
        """The module that a path belongs to, of several the one whose path is the longest.

        A file in none stands for itself, a directory that groups others for nothing.
        """
        for top in (path, *reversed(_ways_to(path)), ""):
            if top in self._tops:
                return self._tops[top]
        return None if self.is_directory(path) else Module(name=path, paths=(path,))

    @cached_property
    def _tops(self) -> Mapping[str, Module]:
        """The module of each path that is one; the first when several have it."""
        return {path: module for module in reversed(self.modules) for path in module.paths}

    def is_single(self, module: Module) -> bool:
        """Whether it is a file that stands for itself."""
        return module.paths == (module.name,) and not self.is_directory(module.name)

    def module_named(self, name: str) -> Module | None:
        """The module that somebody else may mean by *name*: its name in any case, a path in it, or a dotted name."""
        for module in self.modules:
            if module.name.casefold() == name.casefold():
                return module
        path = posixpath.normpath(name.strip("/"))
        if self.holds(path):
            return self.module_of(path)
        for root in self._roots if "/" not in path else ():
            parent, _, last = join(root, name.replace(".", "/")).rpartition("/")
            found = join(parent, last) if self.is_directory(join(parent, last)) else self._file(parent, last)
            if found:
                return self.module_of(found)
        return None

    # --- what imports mean ---

    def targets(self, file: str, one: Import) -> set[str]:
        """The files and directories of the project that an import in *file* leads to, `__init__.py` on the way included."""
        above = file.rpartition("/")[0]
        if one.level:
            return self._relative(file, one)
        return {path for root in self._roots_of(above) if not self._is_shadowed(root, one) for path in self._from(root, one)}

    def _is_shadowed(self, root: str, one: Import) -> bool:
        """Whether Python takes its own module rather than a directory that only has the name of one."""
        first = one.module.partition(".")[0]
        return first in sys.stdlib_module_names and not (self._init(join(root, first)) or self._file(root, first))

    def base_of(self, file: str, level: int) -> str | None:
        """The directory that so many leading dots mean in *file*; None when that is not in the project."""
        parts = file.split("/")
        return "/".join(parts[:-level]) if level <= len(parts) else None

    def is_foreign(self, file: str, module: str) -> bool:
        """Whether an absolute import is of nothing in the project, by the first name in it."""
        first = module.partition(".")[0]
        roots = self._roots_of(file.rpartition("/")[0])
        if (roots, first) not in self._foreign:
            self._foreign[roots, first] = not any(first in self.names(root) or self._file(root, first) for root in roots)
        return self._foreign[roots, first]

    def opens_group(self, file: str, level: int, module: str) -> bool:
        """Whether what is taken from it may be any module: it is, or could be, a directory that groups others."""
        roots = [self.base_of(file, level)] if level else self._roots_of(file.rpartition("/")[0])
        inner = module.replace(".", "/")
        return any(root is not None and self._is_group(join(root, inner) if inner else root) for root in roots)

    def _relative(self, file: str, one: Import) -> set[str]:
        base = self.base_of(file, one.level)
        if base is None:
            return set()
        found = self._from(base, one)
        if found and (init := self._init(base)):
            found.add(init)
        return found

    def _from(self, base: str, one: Import) -> set[str]:
        """What an import leads to below *base*."""
        module = one.module.split(".") if one.module else []
        found = self._lead(base, module)
        for name in one.names:
            found |= self._lead(base, [*module, name])
        return found

    def _lead(self, base: str, parts: Sequence[str]) -> set[str]:
        """The files on the way from *base*; a directory without `__init__.py` counts where the way ends, if it holds Python."""
        found: set[str] = set()
        here = base
        for part in parts:
            inner = join(here, part)
            if target := self.link(inner):
                found.add(inner)
                inner = target
            is_directory = self.is_directory(inner)
            init = self._init(inner) if is_directory else None
            file = None if init else self._file(here, part)
            if init or file:
                found.add(init or file or "")
            if file or not is_directory:
                return found  # the rest are names in that file, or come from nowhere
            here = inner
        if here != base and self._holds_python(here) and not self._init(here):
            found.add(here)
        return found

    def _init(self, path: str) -> str | None:
        return self._file(path, "__init__")

    def _file(self, directory: str, stem: str) -> str | None:
        names = self.names(directory)
        for name in (stem + suffix for suffix in _WRITTEN):
            if names.get(name) is False:
                return join(directory, name)
        built = self._built(directory).get(stem)
        return join(directory, built) if built else None

    def _built(self, directory: str) -> Mapping[str, str]:
        """Built modules by what they are imported as; their file names say for which Python they are, too."""
        if directory not in self._built_known:
            names = (name for name, is_dir in self.names(directory).items() if not is_dir and name.endswith(_BUILT))
            self._built_known[directory] = {name.partition(".")[0]: name for name in names}
        return self._built_known[directory]

    def _holds_python(self, path: str) -> bool:
        inner = [name for one in (path, *self._below(path)) for name, is_dir in self.names(one).items() if not is_dir]
        return any(name.endswith(_SUFFIXES) for name in inner)

    # --- the search path ---

    def _roots_of(self, directory: str) -> tuple[str, ...]:
        """Directories that may be in the search path of a program with a file in *directory*: none of them is a package."""
        if directory not in self._roots_known:
            own = (way for way in (*_ways_to(directory), directory) if way and not self._init(way))
            self._roots_known[directory] = tuple(dict.fromkeys((*self._roots, *own)))
        return self._roots_known[directory]

    @cached_property
    def _roots(self) -> tuple[str, ...]:
        """The top, directories that group others, and what is installed by itself, with its `src`."""
        tops = [path for module in self.modules for path in module.paths if self.is_directory(path)]
        groups = {way for path in tops for way in _ways_to(path)}
        packaged = [path for path in tops if any(name in self.names(path) for name in _DISTRIBUTION)]
        layouts = [join(path, "src") for path in ("", *packaged)]
        found = (*sorted(groups), *packaged, *(path for path in layouts if self.is_directory(path)))
        return ("", *(path for path in dict.fromkeys(found) if path and not self._init(path)))


def _ways_to(path: str) -> list[str]:
    """The directories above *path*, the outermost first, without the top."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def is_at_or_below(path: str, top: str) -> bool:
    """Whether *path* is *top* or lies in it."""
    return path == top or top == "" or path.startswith(top + "/")


def join(directory: str, name: str) -> str:
    """The path of *name* in *directory*."""
    return f"{directory}/{name}" if directory else name
