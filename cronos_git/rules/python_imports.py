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
_LINE = re.compile(
    rb"""(?mx) (?:^|[;:]) [ \t\f]*+
    (?: from (?:[ \t\f]|\\\r?\n){0,99}+ (\.[.\w]*+ | (?<=[ \t\f\n])[.\w]++)
        (?:[ \t\f]|\\\r?\n){0,99}+ import\b (?:[ \t\f]|\\\r?\n){0,99}+
        (?: \( ((?:[^()#]|\#[^\n]*+\n)*+) \) | ((?:[\w, \t]|\\\r?\n)*+) )
      | import (?:[ \t\f]|\\\r?\n){1,99}+ ((?:[\w., \t]|\\\r?\n)++) )"""
)
"""No text takes it longer than its length tells, so that no source can hold up a backup."""
_NAMED = re.compile(rb"\b(?:import_module|__import__)\s*\(\s*[\"']([.\w]+)[\"']")
_COMMENT = re.compile(rb"#[^\n]*|\\\r?\n")
_PARSED_MAX_BYTES = 128 << 10
"""Parsing holds up all other threads of the process, 0.1 s for so much."""

_LIKELY = re.compile(rb"(?m)(?:^|[;:])[ \t\f]*(?:from\b([^\n;:#]*?)\bimport\b|import\b([^\n;#]*))")
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
        is_sure: False for a source that Python cannot parse: its lines were taken for what they look like, as in a large one.
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
    if len(source) > _PARSED_MAX_BYTES:
        return Imports(tuple(_lines(source)))
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
    """What looks like an import: at the beginning of a line, also of one in a text, or behind a colon or semicolon."""
    position, line = 0, 1
    for match in sorted((*_LINE.finditer(source), *_NAMED.finditer(source)), key=lambda one: one.start()):
        begun = match.start() + len(match[0]) - len(match[0].lstrip())
        line += source.count(b"\n", position, begun)
        position = begun
        parts = [_COMMENT.sub(b" ", part).decode("utf-8", "replace") if part else "" for part in match.groups()]
        origin, *names, modules = parts if len(parts) > 1 else ["", *parts]
        if origin:
            module = origin.lstrip(".")
            yield Import(line, len(origin) - len(module), module, tuple(_words(",".join(names))))
        else:
            yield from (Import(line, 0, module) for module in _words(modules))


def _words(text: str) -> list[str]:
    """The first word of each part between commas: what stands before `as`."""
    return [part.split()[0] for part in text.split(",") if part.split()]
