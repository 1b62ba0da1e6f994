"""What modules need of a project, directly or through what they need: the closure of their imports, each with a reason.

Where files come from is the caller's; what a source imports is `python_imports`', where that leads `python_paths`'. Floor F4:
pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cronos_git.model import Dependency, Module
from cronos_git.rules.python_imports import Import, guess_origins, read_imports
from cronos_git.rules.python_paths import SOURCE_SUFFIXES, Layout, Sources, is_at_or_below, join


@dataclass(slots=True)
class _Found:
    module: Module
    file: str
    line: int
    imports: str
    needed_by: set[str] = field(default_factory=set)


class Closure:
    """The paths that are given and all that they need, however far.

    Args:
        configured: Paths by module name.
        paths: Where to start, none below another. `""` is the whole project, which needs nothing.
        checkpoint: Called before each source is read; may raise to end the search.

    Attributes:
        layout: The project's modules.
        doubtful: Sources that were read line by line, as Python cannot parse them, or not at all.
        has_sources: Whether there was any source at all.
    """

    def __init__(
        self,
        sources: Sources,
        configured: Mapping[str, Sequence[str]],
        paths: Sequence[str],
        checkpoint: Callable[[], object] = lambda: None,
    ) -> None:
        self.layout = Layout(sources, configured, paths)
        self.doubtful: list[str] = []
        self.has_sources = False
        self._sources = sources
        self._checkpoint = checkpoint
        self._starts = tuple(paths)
        self._found: dict[str, _Found] = {}
        self._units: dict[str, tuple[str, Module] | None] = {}
        if "" not in paths:
            self._follow((path, (path,)) for path in paths)

    @property
    def modules(self) -> tuple[Module, ...]:
        """What the closure started from, then what was found, in the order of its finding."""
        starts = (Module(name=self._name_of(path), paths=(path,)) for path in self._starts)
        return (*starts, *(found.module for found in self._found.values()))

    def dependencies(self) -> tuple[Dependency, ...]:
        """What is needed besides the paths at the start, in the order of paths."""
        found = sorted(self._found.values(), key=lambda one: one.module.paths)
        return tuple(
            Dependency(
                module=one.module, needed_by=tuple(sorted(one.needed_by)), file=one.file, line=one.line, imports=one.imports
            )
            for one in found
        )

    def add(self, name: str, needed_by: str, said_by: str) -> bool:
        """Take in what somebody else says, with all that it needs in turn; False when the project has nothing of that name."""
        module = self.layout.module_named(name)
        if module is None:
            return False
        if "" not in self._starts:
            self._follow(self._noted(module.paths[0], needed_by, ("", 0, said_by)))
        return True

    def _name_of(self, path: str) -> str:
        module = self.layout.module_of(path)
        return module.name if module and path in module.paths else path

    def _follow(self, units: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Read all sources of these units, and of those that they lead to."""
        pending = list(units)
        while pending:
            unit, tops = pending.pop()
            for file in self._files(tops):
                pending += self._led_to(unit, file)

    def _files(self, tops: Sequence[str]) -> Iterator[str]:
        """The sources at or below paths."""
        pending = list(reversed(tops))
        while pending:
            path = pending.pop()
            if self.layout.is_directory(path):
                pending += [join(path, name) for name in sorted(self.layout.names(path), reverse=True)]
            elif path.endswith(SOURCE_SUFFIXES):
                yield path

    def _led_to(self, unit: str, file: str) -> Iterator[tuple[str, Sequence[str]]]:
        """The units, not met before, that a source leads to."""
        self._checkpoint()
        if target := self.layout.link(file):
            yield from self._noted(target, unit, (file, 0, target))
            return
        source = self._sources.read(file)
        self.has_sources = True
        if source is not None and not self._may_lead_on(unit, file, source):
            return
        imports = read_imports(source) if source is not None else None
        if imports is None or not imports.is_sure:
            self.doubtful.append(file)
        for one in imports.found if imports else ():
            for path in sorted(self.layout.targets(file, one)):
                yield from self._noted(path, unit, (file, one.line, one.text))

    def _may_lead_on(self, unit: str, file: str, source: bytes) -> bool:
        """Whether a source may lead where *unit* was not known to lead. Most do not, which spares taking them apart."""
        origins = guess_origins(source)
        return origins is None or any(self._is_news(unit, file, level, module) for level, module in origins)

    def _is_news(self, unit: str, file: str, level: int, module: str) -> bool:
        """Whether an import, of whatever names, may lead to what *unit* is not known to need."""
        if level:
            base = self.layout.base_of(file, level)
            if base is not None and is_at_or_below(base, unit):
                return False
        elif self.layout.is_foreign(file, module):
            return False
        paths = self.layout.targets(file, Import(0, level, module))
        if not paths or self.layout.opens_group(file, level, module):
            return True  # what is taken from it decides
        return not all(self._is_known(unit, path) for path in paths)

    def _is_known(self, unit: str, path: str) -> bool:
        found = self._unit(path)
        if found is None or found[0] == unit or found[0] in self._starts:
            return True
        return found[0] in self._found and unit in self._found[found[0]].needed_by

    def _noted(self, path: str, needed_by: str, reason: tuple[str, int, str]) -> Iterator[tuple[str, Sequence[str]]]:
        """Note that *path* is needed; the unit that it belongs to, when that is new."""
        found = self._unit(path)
        if found is None or found[0] == needed_by or found[0] in self._starts:
            return
        unit, module = found
        if unit not in self._found:
            self._found[unit] = _Found(module, *reason)
            yield unit, module.paths
        self._found[unit].needed_by.add(needed_by)

    def _unit(self, path: str) -> tuple[str, Module] | None:
        """What *path* is a part of: a path at the start, or a module, called by its first path."""
        if path not in self._units:
            self._units[path] = self._unit_of(path)
        return self._units[path]

    def _unit_of(self, path: str) -> tuple[str, Module] | None:
        for start in self._starts:
            if is_at_or_below(path, start):
                return start, Module(name=start, paths=(start,))
        module = self.layout.module_of(path)
        return (module.paths[0], module) if module else None
