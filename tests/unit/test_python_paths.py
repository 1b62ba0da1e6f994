"""`Layout`: the modules of a project, and where imports lead."""

from __future__ import annotations

import pytest

from cronos_git.rules.python_imports import read_imports
from cronos_git.rules.python_paths import Layout
from tests.support.sources import EGOS, DictSources


def layout(files: list[str], configured: dict[str, list[str]] | None = None, named: tuple[str, ...] = ()) -> Layout:
    return Layout(DictSources(dict.fromkeys(files, "")), configured or {}, named)


def modules(
    files: list[str], configured: dict[str, list[str]] | None = None, named: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    return {module.name: list(module.paths) for module in layout(files, configured, named).modules}


def leads(files: list[str], file: str, source: str, named: tuple[str, ...] = ()) -> set[str]:
    known = layout([*files, file], named=named)
    return {path for one in read_imports(source.encode()).found for path in known.targets(file, one)}


# --- modules ---


def test_directories_at_the_top_are_modules_and_those_in_groups_instead_of_the_group() -> None:
    assert modules(list(EGOS)) == {
        "docs": ["docs"],
        "ATLAS": ["subsystems/ATLAS"],
        "ETHIK": ["subsystems/ETHIK"],
        "MYCELIUM": ["subsystems/MYCELIUM"],
        "NEXUS": ["subsystems/NEXUS"],
    }


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["src/a/x.py", "src/setup.py", "src/b/y.py"], {"a", "b"}),
        (["src/x.py"], {"src"}),
        (["parts/a/x.py", "parts/README.rst", "parts/b/y.py"], {"a", "b"}),
        (["parts/a/x.py", "parts/y.py"], {"parts"}),
        (["one/core/x.py", "one/y.py", "two/core/x.py", "two/y.py"], {"one", "two"}),
        (["libs/one/core/x.py", "apps/two/core/x.py"], {"one", "two"}),
        (["a/x/1.py", "b/x/1.py"], {"a/x", "b/x"}),
        ([".git/a/b", ".github/x.py", "a/1.py"], {"a"}),
        (["top.py"], set()),
    ],
)
def test_what_groups_others_goes_by_its_name_or_by_what_it_holds(files: list[str], names: set[str]) -> None:
    assert modules(files).keys() == names


def test_what_is_named_or_configured_makes_its_neighbours_modules_too() -> None:
    files = ["app/one/x.py", "app/two/x.py", "app/main.py", "etc/one.toml"]
    assert modules(files) == {"app": ["app"], "etc": ["etc"]}
    assert modules(files, named=("app/one",)) == {"one": ["app/one"], "two": ["app/two"], "etc": ["etc"]}
    configured = {"first": ["app/one", "etc/one.toml"]}
    assert modules(files, configured) == {"first": ["app/one", "etc/one.toml"], "two": ["app/two"]}


def test_a_path_belongs_to_its_module_and_a_lone_file_to_itself() -> None:
    known = layout([*EGOS, "weird\udcff/x.py"], {"settings": ["settings.py"]})
    names = {path: (module := known.module_of(path)) and module.name for path in [*EGOS, "subsystems", "weird\udcff/x.py"]}
    assert names["subsystems/ATLAS/core/chart.py"] == "ATLAS"
    assert names["subsystems/__init__.py"] == "subsystems/__init__.py"
    assert names["settings.py"] == "settings"
    assert names["subsystems"] is None
    assert names["weird\udcff/x.py"] == "weird\udcff"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("ATLAS", "ATLAS"),
        ("atlas", "ATLAS"),
        ("subsystems/ATLAS", "ATLAS"),
        ("subsystems/ATLAS/", "ATLAS"),
        ("./subsystems/ATLAS/core/chart.py", "ATLAS"),
        ("subsystems.ATLAS", "ATLAS"),
        ("subsystems.ATLAS.core.chart", "ATLAS"),
        ("settings.py", "settings.py"),
        ("settings", "settings.py"),
        ("subsystems", None),
        ("nobody", None),
        ("subsystems.nobody", None),
        ("../ATLAS", None),
        ("/etc/passwd", None),
        ("", None),
        (".", None),
        ("a\0b", None),
    ],
)
def test_others_may_name_a_module_in_many_ways(name: str, module: str | None) -> None:
    found = layout(list(EGOS)).module_named(name)
    assert (found.name if found else None) == module


def test_a_module_may_lie_deeper_than_python_recurses() -> None:
    deep = "/".join("d" * 1100)
    known = layout([f"{deep}/x.py", f"{deep}/../e/y.py".replace("d/../", "")], named=(deep,))
    module = known.module_of(f"{deep}/x.py")
    assert module is not None
    assert module.paths == (deep,)
    assert known.targets(f"{deep}/x.py", read_imports(b"from ..e import y").found[0]) == {f"{deep[:-1]}e", f"{deep[:-1]}e/y.py"}


# --- imports ---


@pytest.mark.parametrize(
    ("files", "source", "expected"),
    [
        (["b/__init__.py", "b/c.py"], "import b.c", {"b/__init__.py", "b/c.py"}),
        (["b/__init__.py", "b/c.py"], "import b", {"b/__init__.py"}),
        (["b/__init__.py", "b/c.py"], "from b import c", {"b/__init__.py", "b/c.py"}),
        (["b/__init__.py", "b/c.py"], "from b import name, c as d", {"b/__init__.py", "b/c.py"}),
        (["b/__init__.py", "b/c.py"], "import b.gone", {"b/__init__.py"}),
        (["b/c.py"], "import b.c", {"b/c.py"}),
        (["b/c.py"], "import b", {"b"}),
        (["b/c/d.py"], "from b import c", {"b", "b/c"}),
        (["b/c.py"], "import b.gone", set()),
        (["b/notes.txt"], "import b", set()),
        (["src/b/__init__.py", "src/b/c.py"], "import b.c", {"src/b/__init__.py", "src/b/c.py"}),
        (["packages/b/pyproject.toml", "packages/b/src/b/c.py"], "import b.c", {"packages/b/src/b/c.py"}),
        (["packages/b/setup.py", "packages/b/b/c.py"], "import b.c", {"packages/b/b/c.py"}),
        (["b.py", "b/c.txt"], "import b", {"b.py"}),
        (["b.py", "b/__init__.py"], "import b", {"b/__init__.py"}),
        (["b.pyx"], "import b", {"b.pyx"}),
        (["b.py", "src/b.py"], "import b", {"b.py", "src/b.py"}),
        (["logging/x.py", "json/tool.py"], "import logging.x, logging, json.tool", set()),
        (["logging.py"], "import logging", {"logging.py"}),
        (["a/near.py"], "import near", {"a/near.py"}),
        (["a/__init__.py", "a/near.py"], "import near", set()),
        (["B.py"], "import b", set()),
        (["a/b.py"], "from . import b", {"a/b.py"}),
        (["a/__init__.py", "a/b.py"], "from .b import c", {"a/__init__.py", "a/b.py"}),
        (["b.py"], "from .. import b", {"b.py"}),
        (["b.py"], "from ... import b", set()),
        (["b.py"], "import requests, b.c", {"b.py"}),
    ],
)
def test_imports_lead_to_the_files_of_the_project(files: list[str], source: str, expected: set[str]) -> None:
    assert leads(files, "a/main.py", source) == expected


def test_a_package_is_no_place_to_search_in_though_a_module_of_it_was_named() -> None:
    files = ["big/__init__.py", "big/git/__init__.py", "big/work/__init__.py"]
    assert leads(files, "big/work/x.py", "import git", named=("big/work",)) == set()
    assert leads(files, "big/work/x.py", "from big import git", named=("big/work",)) == {"big/__init__.py", "big/git/__init__.py"}


def test_every_directory_is_listed_once() -> None:
    sources = DictSources({**EGOS})
    known = Layout(sources, {}, ("subsystems/ETHIK",))
    for _ in range(3):
        for file, source in EGOS.items():
            for one in read_imports(source.encode()).found:
                known.targets(file, one)
    assert len(sources.listed) == len(set(sources.listed))


def test_built_modules_are_found_whatever_python_they_are_for() -> None:
    files = ["_fast.cpython-311-x86_64-linux-gnu.so", "pkg/__init__.py", "pkg/core.abi3.so", "pkg/win.cp311-win_amd64.pyd"]
    assert leads(files, "app/x.py", "import _fast\nfrom pkg import core, win\n") == set(files)


def test_of_modules_within_each_other_the_innermost_counts() -> None:
    known = layout(["src/core/a.py", "src/b.py", "c.py"], {"all": ["src"], "core": ["src/core"]})
    found = [known.module_of(path) for path in ("src/core/a.py", "src/b.py", "c.py", "src/core")]
    assert [module.name if module else None for module in found] == ["core", "all", "c.py", "core"]


@pytest.mark.parametrize(
    ("links", "source", "paths"),
    [
        ({"lib": "real"}, "import lib.one\n", {"lib", "real/one.py"}),
        ({"real/again": "."}, "import real.again.again.one\n", {"real/again", "real/one.py"}),
        ({"one.py": "real/one.py"}, "import one\n", {"one.py"}),
        (
            {"lib": "/real", "out": "../../real", "gone": "nowhere", "round": "round", "top": "."},
            "import lib, out, gone, top\n",
            set(),
        ),
        ({"round": "other", "other": "round"}, "import round.x\n", {"round"}),
    ],
)
def test_links_are_followed_within_the_project(links: dict[str, str], source: str, paths: set[str]) -> None:
    known = Layout(DictSources(dict.fromkeys(["real/one.py", "real/two.txt", "app/x.py"], ""), links), {}, ())
    assert {path for one in read_imports(source.encode()).found for path in known.targets("app/x.py", one)} == paths
