"""The pattern language is Git's: `git check-ignore` on a real tree says what the matcher must say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.rules.globs import parse_lines
from cronos_git.rules.patterns import SEARCH, SKIP, TAKE, Matcher, build_matcher
from tests.support.git import git

NAMES = ["a", "b", "ab", "ba", "abb", "a.b", ".a", "!a", "#a", "a b", "b ", "[a]", "a\\", "*", "-", "A"]
"""Files of every directory, but where a directory has the name."""
DIRECTORIES = ["a", "b", "ab.d"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    git("init", "--quiet", root)
    _fill(root, 3)
    return root


def _fill(directory: Path, depth: int) -> None:
    for name in DIRECTORIES if depth else ():
        (directory / name).mkdir()
        _fill(directory / name, depth - 1)
    for name in NAMES:
        if not (directory / name).exists():
            (directory / name).write_bytes(b"")


def entries(root: Path) -> list[tuple[str, bool]]:
    """All paths but `.git`, with whether each is a directory."""
    paths = [path for path in root.rglob("*") if ".git" not in path.parts[len(root.parts) :] and not path.name.endswith("ignore")]
    return [(path.relative_to(root).as_posix(), path.is_dir()) for path in paths]


def ignored_by_git(root: Path, patterns: list[str], paths: list[str]) -> set[str]:
    rules = root / ".git" / "rules"
    rules.write_text("".join(f"{pattern}\n" for pattern in patterns))
    done = subprocess.run(
        ["git", "-C", root, "-c", f"core.excludesFile={rules}", "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(paths).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return set(done.stdout.decode().split("\0")) - {""}


def taken_by_us(root: Path, matcher: Matcher, ignore_files: tuple[str, ...] = ()) -> set[str]:
    """Walk as a backup does; the files taken."""
    taken: set[str] = set()
    _walk(root, "", matcher, ignore_files, taken)
    return taken


def _walk(root: Path, directory: str, matcher: Matcher, ignore_files: tuple[str, ...], taken: set[str]) -> None:
    texts = [path.read_bytes() if (path := root / directory / name).is_file() else b"" for name in ignore_files]
    matcher = matcher.below(directory, texts)
    for entry in os.scandir(root / directory):
        path = f"{directory}/{entry.name}" if directory else entry.name
        if entry.name == ".git" or entry.name in ignore_files:
            continue
        is_directory = entry.is_dir(follow_symlinks=False)
        verdict = matcher.judge(path, entry.name, is_directory)
        if is_directory and verdict != SKIP:
            _walk(root, path, matcher.inside_skipped() if verdict == SEARCH else matcher, ignore_files, taken)
        elif not is_directory:
            assert verdict in (TAKE, SKIP)
            taken |= {path} if verdict == TAKE else set()


PLAIN = ["a", "b", "ab", "A", ".", "-", "!", "#", ".b", ".d", " ", "\\ ", "\\", "\\a", "\\*", "\\/", "/", "/"]
STARS = ["*", "*", "?", "**", "**/", "/**", "/**/", "***"]
BRACKETS = ["[ab]", "[!a]", "[^b]", "[a-b]", "[b-a]", "[]a]", "[a\\]]", "[--/]", "[[:alpha:]]", "[[:alpha:]-b]", "[[:punct:]]"]
BROKEN = ["[[:nope:]]", "[[:]", "[", "]"]
pieces = st.sampled_from(PLAIN + STARS + BRACKETS + BROKEN)
patterns = st.builds("".join, st.tuples(st.sampled_from(["", "", "", "!", "/"]), st.lists(pieces, max_size=6).map("".join)))
simple = st.sampled_from(["a/", "b", "*.b", "/a", "a/b", "!b", "!a/", "*.d/", "a/**", "!*/a", "**/b/"])


def _rules_of(lines: list[str]) -> Matcher:
    return build_matcher(defaults=(), exclude=(), include=()).below("", ["".join(f"{line}\n" for line in lines).encode()])


@given(lines=st.lists(patterns | simple, min_size=1, max_size=5))
def test_random_patterns_exclude_what_git_ignores(tree: Path, lines: list[str]) -> None:
    files = [path for path, is_directory in entries(tree) if not is_directory]
    assert taken_by_us(tree, _rules_of(lines)) == set(files) - ignored_by_git(tree, lines, files)


@given(line=patterns.map(lambda text: text.lstrip("!")))
def test_one_pattern_matches_the_entries_that_git_matches(tree: Path, line: str) -> None:
    found = entries(tree)
    matched = {
        path for path, is_dir in found for rule in parse_lines(line.encode(), "") if rule.matches(path, Path(path).name, is_dir)
    }
    ours = {path for path, _ in found if any(path == above or path.startswith(f"{above}/") for above in matched)}
    assert ours == ignored_by_git(tree, [line], [path for path, _ in found])


@given(
    lines=st.lists(simple, max_size=4),
    above=st.lists(patterns | simple, max_size=3),
    deeper=st.lists(patterns | simple, max_size=3),
)
def test_nested_ignore_files_rank_as_in_git(tree: Path, lines: list[str], above: list[str], deeper: list[str]) -> None:
    try:
        (tree / ".gitignore").write_text("".join(f"{line}\n" for line in above))
        (tree / "a" / ".gitignore").write_text("".join(f"{line}\n" for line in deeper))
        files = [path for path, is_directory in entries(tree) if not is_directory]
        matcher = build_matcher(defaults=lines, exclude=(), include=())
        taken = taken_by_us(tree, matcher, (".gitignore", ".cronosignore"))
        assert taken == set(files) - ignored_by_git(tree, lines, files)
    finally:
        for path in tree.rglob(".gitignore"):
            path.unlink()


includes = st.sampled_from(
    ["a/b", "b/", "a/b/a", "/a/b/**", "*.b", "**/ab.d/a", "a/*/b", "ab.d/**/b", "[ab]/a", "b/?/", "/b", "a?b", "a/ab*/-"]
)


@given(lines=st.lists(patterns | simple, min_size=1, max_size=4), include=st.lists(includes, min_size=1, max_size=3))
def test_include_patterns_win_over_every_rule(tree: Path, lines: list[str], include: list[str]) -> None:
    files = [path for path, is_directory in entries(tree) if not is_directory]
    excluded = ignored_by_git(tree, lines, files)
    included = ignored_by_git(tree, include, files)
    matcher = build_matcher(defaults=(), exclude=(), include=include).below("", ["\n".join(lines).encode()])
    assert taken_by_us(tree, matcher) == (set(files) - excluded) | included
