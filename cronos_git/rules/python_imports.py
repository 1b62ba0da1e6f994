"""What a Python source imports, told from its text alone: nothing is executed, nothing is imported.

Every import counts, also those in functions, in `try`, and below `if TYPE_CHECKING`; so do `importlib.import_module` and
`__import__` with a literal name. The syntax tree is asked rather than `grimp`, which wants packages that can be imported and a
cache in the project, and knows nothing of sources that lie in a backup. Where imports lead is `python_paths`'. Floor F4: pure.
"""

from __future__ import annotations

import ast
import codecs
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_BY_NAME = ("import_module", "__import__")
_LINE = re.compile(rb"(?m)^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+([\w, \t]*)|import[ \t]+([\w., \t]+))")
_LIKELY = re.compile(rb"(?m)(?:^|[;:])[ \t\f]*(?:from\b([^\n;#]*?)\bimport\b|import\b([^\n;#]*))")
_CODING = re.compile(rb"coding[:=][ \t]*(?!utf-?8|ascii|latin|iso-8859)", re.IGNORECASE)
_PARSING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Import:
    """One import.

    Attributes:
        line: Where it stands, counted from 1.
        level: Leading dots; 0 for an absolute one.
        module: Dotted name behind them; empty for `from . import x`.
        names: What is taken from it, which may be modules again.
    """

    line: int
    level: int
    module: str
    names: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The dotted name as it is written, without what is taken from it unless nothing else is there."""
        return "." * self.level + (self.module or ", ".join(self.names))


@dataclass(frozen=True, slots=True)
class Imports:
    """What a source imports.

    Attributes:
        is_sure: False for a source that Python cannot parse: its lines were taken for what they look like.
    """

    found: tuple[Import, ...]
    is_sure: bool = True


def guess_origins(source: bytes) -> set[tuple[int, str]] | None:
    """Level and module of whatever may be an import, without parsing: all that are, and what only looks like one in a string.

    None when that cannot be told so: imports by a literal name, names outside ASCII, rare encodings.

    Cost: some 0.02 s a MiB.
    """
    if any(name.encode() in source for name in _BY_NAME) or _CODING.search(source[:400]):
        return None
    lines = source.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\\\n", b" ")
    found: set[tuple[int, str]] = set()
    for match in _LIKELY.finditer(lines):
        origin, modules = match.groups()
        parts = [origin] if modules is None else [re.split(rb"\bas\b", part)[0] for part in modules.split(b",")]
        for words in (b"".join(part.split()) for part in parts):
            if not words.isascii():
                return None
            name = words.decode()
            module = name.lstrip(".")
            found.add((len(name) - len(module), module))
    return found


def read_imports(source: bytes) -> Imports:
    """The imports of a source, in its own encoding.

    Cost: some 0.35 s a MiB.
    """
    if b"import" not in source:
        return Imports(())
    try:
        tree = _parse(source)
        found = [*_statements(tree.body), *(_calls(tree) if any(name.encode() in source for name in _BY_NAME) else ())]
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: a NUL byte; MemoryError: nested too deep
        return Imports(tuple(_lines(source)), is_sure=False)
    return Imports(tuple(sorted(found, key=lambda one: one.line)))


def _parse(source: bytes) -> ast.Module:
    with _PARSING, warnings.catch_warnings():  # what Python thinks of their escape sequences is no matter of ours
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _statements(body: Iterable[ast.AST]) -> Iterator[Import]:
    """Imports as statements; expressions, which are most of a tree, are not looked into."""
    pending = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, 0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Import(node.lineno, node.level, node.module or "", tuple(alias.name for alias in node.names))
        else:
            pending += [inner for name in _BODIES for inner in _listed(getattr(node, name, ()))]


def _listed(body: object) -> Iterable[ast.AST]:
    return body if isinstance(body, list) else ()


def _calls(tree: ast.Module) -> Iterator[Import]:
    """`import_module("a.b")`, `importlib.import_module("a.b")`, `__import__("a.b")`; names with leading dots are not followed."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        name = getattr(node.args[0], "value", None)
        if called in _BY_NAME and isinstance(name, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
            yield Import(node.lineno, 0, name)


def _lines(source: bytes) -> Iterator[Import]:
    """What looks like an import at the beginning of a line."""
    for match in _LINE.finditer(source):
        line = source.count(b"\n", 0, match.start()) + 1
        origin, names, modules = (part.decode("utf-8", "replace") if part else "" for part in match.groups())
        if origin:
            module = origin.lstrip(".")
            yield Import(line, len(origin) - len(module), module, tuple(_words(names)))
        else:
            yield from (Import(line, 0, module) for module in _words(modules))


def _words(text: str) -> list[str]:
    """The first word of each part between commas: what stands before `as`."""
    return [part.split()[0] for part in text.split(",") if part.split()]
