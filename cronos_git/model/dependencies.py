"""Modules of a project, and what they need of each other. Floor F1."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A part of a project that stands by itself, or a single file outside of all such parts.

    Attributes:
        name: As it is configured; else the last name of its path where no other module has that, else its path.
        paths: What belongs to it.
    """

    name: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """What a module needs, and why.

    Attributes:
        module: What is needed.
        needed_by: Paths of the modules and files that need it themselves, sorted.
        file: The first file found that needs it; empty when somebody else said so.
        line: Where it does, counted from 1; 0 when it is a link, or somebody else said so.
        imports: What that line imports, where the link leads, or who said so.
    """

    module: Module
    needed_by: tuple[str, ...]
    file: str
    line: int
    imports: str

    @property
    def reason(self) -> str:
        """Why it is needed, in words."""
        if not self.file:
            return f"{self.imports} says that {', '.join(self.needed_by)} need{'s' if len(self.needed_by) == 1 else ''} it"
        if not self.line:
            return f"{self.file} is a link to {self.imports}"
        return f"{self.file}:{self.line} imports {self.imports}"
