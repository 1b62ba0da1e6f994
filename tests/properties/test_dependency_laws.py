"""Laws of what modules need: it is what can be reached, closed, growing, and every reason is true."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st

from cronos_git.rules.dependencies import Closure
from cronos_git.rules.python_imports import guess_origins, read_imports
from tests.support.sources import DictSources

NAMES = [f"m{number}" for number in range(6)]
Graph = dict[str, set[str]]

graphs = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)), min_size=1).map(
    lambda edges: {name: edges.get(name, set()) for name in NAMES}
)
starts = st.sets(st.sampled_from(NAMES), min_size=1)
forms = st.sampled_from(["import {}.x", "from {} import x", "def f():\n    import {}.x as y", "from {}.x import *"])


def project(graph: Graph, form: str) -> DictSources:
    files = {f"{name}/x.py": "\n".join(form.format(other) for other in sorted(others)) for name, others in graph.items()}
    return DictSources({**files, **{f"{name}/extra/data": "" for name in graph}})


def needed(sources: DictSources, paths: set[str]) -> set[str]:
    return {path for one in Closure(sources, {}, sorted(paths)).dependencies() for path in one.module.paths}


def reachable(graph: Graph, paths: set[str]) -> set[str]:
    reached, pending = set(paths), list(paths)
    while pending:
        fresh = graph[pending.pop()] - reached
        reached |= fresh
        pending += fresh
    return reached


@given(graphs, starts, forms)
def test_what_is_needed_is_what_can_be_reached(graph: Graph, chosen: set[str], form: str) -> None:
    assert needed(project(graph, form), chosen) == reachable(graph, chosen) - chosen


@given(graphs, starts, starts, forms)
def test_it_is_closed_and_grows_with_what_is_chosen(graph: Graph, chosen: set[str], more: set[str], form: str) -> None:
    sources = project(graph, form)
    found = needed(sources, chosen)
    assert needed(sources, chosen | found) == set()
    assert found <= needed(sources, chosen | more) | chosen | more


@given(graphs, starts, forms)
def test_every_reason_is_a_line_that_imports_it_and_all_who_need_it_are_told(graph: Graph, chosen: set[str], form: str) -> None:
    sources = project(graph, form)
    for one in Closure(sources, {}, sorted(chosen)).dependencies():
        (path,) = one.module.paths
        line = str(sources.files[one.file]).splitlines()[one.line - 1]
        assert one.imports in line and path in line
        assert one.file.partition("/")[0] in one.needed_by
        assert set(one.needed_by) == {name for name in reachable(graph, chosen) if path in graph[name] and name != path}


@given(graphs, starts)
def test_every_source_is_read_once_and_none_that_is_not_needed(graph: Graph, chosen: set[str]) -> None:
    sources = project(graph, "import {}.x")
    Closure(sources, {}, sorted(chosen))
    assert sorted(sources.opened) == sorted(f"{name}/x.py" for name in reachable(graph, chosen))


@given(st.binary(max_size=200) | st.text(alphabet="import from.as,(\n\t;:\"'#\\ab\0", max_size=200).map(str.encode))
def test_no_source_is_too_odd_to_be_read(source: bytes) -> None:
    read_imports(b"import a\n" + source)


statements = st.sampled_from(
    [
        "import a",
        "from .b import c",
        "import d.e as f, g",
        "x = 1",
        "from . import h",
        "'import no'",
        "x = 1; import i",
        "if x: from ..j import k",
        "from .import l",
        "import \\\n m . n",
        "from o import(p)",
    ]
)
blocks = st.recursive(
    statements.map(lambda line: [line]),
    lambda inner: st.tuples(
        st.sampled_from(["if x:", "def f():", "class C:", "with x:", "for x in y:", "while x:", "try:"]),
        st.lists(inner, min_size=1),
    ).map(
        lambda pair: [
            pair[0],
            *(f" {line}" for block in pair[1] for line in block),
            *(["finally:", " pass"] if pair[0] == "try:" else []),
        ]
    ),
    max_leaves=12,
)


@given(st.lists(blocks))
def test_imports_are_those_of_a_walk_over_the_whole_tree(parts: list[list[str]]) -> None:
    source = "\n".join(line for part in parts for line in part)
    expected = 0
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            expected += len(node.names)
        expected += isinstance(node, ast.ImportFrom)
    assert len(read_imports(source.encode()).found) == expected


@given(st.lists(blocks), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_guess_misses_no_import(parts: list[list[str]], newline: str) -> None:
    lines = [line for part in parts for line in part]
    guessed = guess_origins(newline.join(lines).encode())
    assert guessed is not None
    for one in read_imports("\n".join(lines).encode()).found:
        assert (one.level, one.module) in guessed


class Thorough(Closure):
    """Takes every source apart."""

    def _may_lead_on(self, _unit: str, _file: str, _source: bytes) -> bool:
        return True


parts = st.sampled_from(["a", "b", "src", "core"])
paths = st.lists(parts, max_size=3).flatmap(
    lambda above: st.sampled_from(["a.py", "b.py", "core.py", "__init__.py", "notes"]).map(lambda name: "/".join([*above, name]))
)
dotted = st.lists(parts, min_size=1, max_size=3).map(".".join)
imports = (
    st.builds("import {}".format, dotted)
    | st.builds("from {} import {}, x".format, dotted, parts)
    | st.builds("from {}{} import {}".format, st.sampled_from([".", "..", "..."]), dotted | st.just(""), parts)
)
projects = st.dictionaries(paths, st.lists(imports, max_size=4).map("\n".join), min_size=1).filter(
    lambda files: not any(other.startswith(f"{path}/") for path in files for other in files)
)


@given(projects, st.data())
def test_sources_that_are_passed_over_would_have_added_nothing(files: dict[str, str], data: st.DataObject) -> None:
    above = {path.rpartition("/")[0] for path in files} - {""}
    start = data.draw(st.sampled_from(sorted(above | files.keys())))
    quick, thorough = (kind(DictSources(files), {}, [start]).dependencies() for kind in (Closure, Thorough))
    assert quick == thorough
