"""`read_imports`: what counts as an import, and sources that are none."""

from __future__ import annotations

import pytest

from cronos_git.rules import python_imports
from cronos_git.rules.python_imports import Import, guess_origins, read_imports


def found(source: str | bytes) -> list[Import]:
    return list(read_imports(source.encode() if isinstance(source, str) else source).found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a", [Import(1, 0, "a")]),
        ("import a.b, c as d", [Import(1, 0, "a.b"), Import(1, 0, "c")]),
        ("from a.b import c, d as e", [Import(1, 0, "a.b", ("c", "d"))]),
        ("from . import c", [Import(1, 1, "", ("c",))]),
        ("from ...a import *", [Import(1, 3, "a", ("*",))]),
        ("from a import (\n  b,\n  c,\n)", [Import(1, 0, "a", ("b", "c"))]),
        ("x = 1; import a", [Import(1, 0, "a")]),
        ("if TYPE_CHECKING:\n    import a", [Import(2, 0, "a")]),
        (
            "try:\n import a\nexcept E:\n import b\nelse:\n import c\nfinally:\n import d",
            [Import(2, 0, "a"), Import(4, 0, "b"), Import(6, 0, "c"), Import(8, 0, "d")],
        ),
        ("async def f():\n async with x:\n  for y in z:\n   import a", [Import(4, 0, "a")]),
        ("match x:\n case 1:\n  import a", [Import(3, 0, "a")]),
        ("class A:\n def f(self):\n  while True:\n   from .b import c", [Import(4, 1, "b", ("c",))]),
        ("import importlib\nm = [importlib.import_module('a.b')]", [Import(1, 0, "importlib"), Import(2, 0, "a.b")]),
        ("f(__import__('a'))", [Import(1, 0, "a")]),
        ("import_module(name)\nimport_module('not a name')\nimport_module('.a', p)\nimport_module()", []),
        ("'''\nimport a\n'''\n# import b\ns = 'import c'", []),
        ("", []),
    ],
)
def test_imports_are_found_wherever_they_stand_and_nowhere_else(source: str, expected: list[Import]) -> None:
    assert found(source) == expected
    assert read_imports(source.encode()).is_sure


def test_encodings_and_byte_order_marks_are_obeyed() -> None:
    assert found("# coding: latin-1\nimport caf\xe9\n".encode("latin-1")) == [Import(2, 0, "caf\xe9")]
    assert found(b"\xef\xbb\xbfimport a\r\n") == [Import(1, 0, "a")]


@pytest.mark.parametrize(
    "tail",
    [b"print 'two'\n", b"x = '\xff'\n", b"\0", b"(" * 5000, b"x = " + b"-" * 5000 + b"1\n", b"# coding: nonsense\n", b"x =\n"],
    ids=["python 2", "no utf-8", "nul", "nested", "unary", "unknown coding", "broken"],
)
def test_a_source_that_python_cannot_parse_is_read_line_by_line(tail: bytes) -> None:
    lines = b"import a.b as c, d\n  from ..e import f, g as h\n"
    read = read_imports(tail + lines if tail.startswith(b"#") else lines + tail)
    names = [(one.level, one.module, one.names) for one in read.found]
    assert not read.is_sure
    assert names == [(0, "a.b", ()), (0, "d", ()), (2, "e", ("f", "g"))]


def test_a_source_with_odd_escapes_causes_no_warning() -> None:
    assert found("import a\nx = '\\d'\n") == [Import(1, 0, "a")]  # a warning would be an error here


def test_an_import_is_told_as_it_is_written() -> None:
    assert [one.text for one in found("import a.b\nfrom ..c import d\nfrom . import e, f")] == ["a.b", "..c", ".e, f"]


def test_a_large_source_is_not_parsed_as_that_would_hold_up_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        b"from . import (  # all (of) it\n    a,  # )\n    b as c,\n)\nfrom .d import e, \\\n    f\n"
        b"if x: import g; from h import i\n\n\timport j.k as l, m\nx = import_module('n.o')\nfrom p import *\n"
        b"z = 'import q'\nfroms import r\n"
    )
    parsed = read_imports(source)
    monkeypatch.setattr(python_imports, "_PARSED_MAX_BYTES", len(source) - 1)
    monkeypatch.setattr(python_imports, "_parse", None)
    told = [(one.line, one.level, one.module, one.names) for one in read_imports(source).found]
    assert not parsed.is_sure  # its tab, and its last line
    assert told == [
        (1, 1, "", ("a", "b")),
        (5, 1, "d", ("e", "f")),
        (7, 0, "g", ()),
        (7, 0, "h", ("i",)),
        (9, 0, "j.k", ()),
        (9, 0, "m", ()),
        (10, 0, "n.o", ()),
        (11, 0, "p", ()),
    ]
    assert read_imports(source).is_sure


@pytest.mark.parametrize("text", [b":from .\\\n", b"\\\n", b"from x import (#\n", b"import\\\n"])
def test_no_source_takes_longer_than_its_length_tells(text: bytes) -> None:
    source = text * 50_000 + b"import"  # minutes and more, were each one tried against all that follow
    guess_origins(source)
    assert len(read_imports(source).found) <= 50_000
