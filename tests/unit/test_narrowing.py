"""What patterns make of a scope."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronos_git.disk.modules import narrow_scope
from cronos_git.errors import ModuleScopeError, PatternError
from cronos_git.model import Scope
from cronos_git.rules.patterns import build_matcher

PROJECT = Scope()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in (
        "a.py",
        "src/b.py",
        "src/deep/c.py",
        "src/data.txt",
        "build/d.py",
        "build/keep/e.py",
        ".git/f.py",
        "docs/a/x.md",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "link").symlink_to("src")
    return tmp_path


def narrowed(
    root: Path, *only: str, scope: Scope = PROJECT, exclude: tuple[str, ...] = (), include: tuple[str, ...] = ()
) -> Scope:
    matcher = build_matcher(defaults=(), exclude=exclude, include=include)
    return narrow_scope(str(root), scope, only, matcher)


@pytest.mark.parametrize(
    ("only", "paths"),
    [
        (("*.py",), ("a.py", "build/d.py", "build/keep/e.py", "src/b.py", "src/deep/c.py")),
        (("/*.py",), ("a.py",)),
        (("src",), ("src",)),
        (("src/", "src/b.py"), ("src",)),
        (("src/*.py", "docs/a"), ("docs/a", "src/b.py")),
        (("src/**/*.py",), ("src/b.py", "src/deep/c.py")),
        (("./a.py",), ("a.py",)),
        (("link",), ("link",)),
        (("deep",), ("src/deep",)),
    ],
)
def test_a_pattern_takes_files_and_whole_directories_and_follows_no_link(
    root: Path, only: tuple[str, ...], paths: tuple[str, ...]
) -> None:
    assert narrowed(root, *only).paths == paths


@pytest.mark.parametrize("only", [(), ("*",), ("**",), ("**/*",), (".",), ("./",), ("src", "*")])
def test_a_pattern_for_everything_or_none_narrows_nothing(root: Path, only: tuple[str, ...]) -> None:
    assert narrowed(root, *only) == PROJECT


def test_what_the_rules_leave_out_stays_out_but_what_they_rescue(root: Path) -> None:
    assert "build/d.py" not in narrowed(root, "*.py", exclude=("build/",)).paths
    rescued = narrowed(root, "*.py", exclude=("build/",), include=("build/keep/",)).paths
    assert "build/keep/e.py" in rescued
    assert "build/d.py" not in rescued


def test_patterns_narrow_the_modules_that_are_asked_for(root: Path) -> None:
    modules = Scope(name="docs+src", paths=("docs", "src"))
    found = narrowed(root, "*.py", scope=modules)
    assert found.paths == ("src/b.py", "src/deep/c.py")
    assert found.name == "docs+only-.py+src"
    assert narrowed(root, "src/", scope=modules).paths == ("src",)
    assert narrowed(root, "a.py", scope=Scope(name="x", paths=("a.py",))).paths == ("a.py",)


def test_the_scope_has_a_name_of_its_own(root: Path) -> None:
    assert narrowed(root, "src").name == "only-src"
    assert narrowed(root, "a.py").name != narrowed(root, "src").name


def test_nothing_found_and_broken_patterns_are_errors(root: Path) -> None:
    with pytest.raises(ModuleScopeError, match=r"\*\.rs or \*\.go"):
        narrowed(root, "*.rs", "*.go")
    for pattern in ("!a.py", ""):
        with pytest.raises(PatternError):
            narrowed(root, pattern)
