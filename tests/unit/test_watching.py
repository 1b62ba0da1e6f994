"""What is heard of changes, and which of it concerns a backup: the sieve against the walk itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Timer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.disk import walk, watching
from cronos_git.disk.walk import WalkRules
from cronos_git.disk.watching import Ground, Sieve, listen
from cronos_git.errors import HostError, ProjectError
from cronos_git.events import Run
from cronos_git.rules.patterns import DEFAULT_EXCLUDES, build_matcher

PATIENCE_S = 30


def rules_of(*, exclude: tuple[str, ...] = (), include: tuple[str, ...] = (), git: bool = False) -> WalkRules:
    return WalkRules(
        matcher=build_matcher(defaults=DEFAULT_EXCLUDES, exclude=exclude, include=include),
        ignore_files=(".gitignore", ".cronosignore"),
        skip_git_dirs=not git,
    )


def taken(root: Path, rules: WalkRules, scope: tuple[str, ...] = ("",)) -> set[str]:
    """The files that a backup takes."""
    fd = walk.open_project(str(root))
    try:
        scan = walk.scan(fd, rules, walk.branches(scope), Run())
    finally:
        os.close(fd)
    found, waiting = set(), [scan.top]
    while waiting:
        directory = waiting.pop()
        waiting += directory.children
        found |= {os.path.join(directory.path, entry.name) for entry in directory.entries}
    return found


def files_of(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


names = st.sampled_from(["a", "b.pyc", "venv", "node_modules", ".git", "keep", "out", "x.tmp", ".cronos-restore-1"])
patterns = st.sampled_from(["*.tmp", "out/", "/a", "keep/b.pyc", "**/keep", "!x.tmp", "!out/", "a/*"])


@given(
    paths=st.lists(st.lists(names, min_size=1, max_size=3), min_size=1, max_size=8),
    ignored=st.dictionaries(st.sampled_from(["", "a", "out", "keep"]), st.lists(patterns, max_size=2), max_size=2),
    exclude=st.lists(patterns, max_size=2).map(tuple),
    include=st.lists(st.sampled_from(["keep", "out/a", "*.pyc"]), max_size=1).map(tuple),
    caches=st.lists(st.sampled_from(["a", "out", "keep"]), max_size=1),
)
def test_a_file_concerns_a_backup_when_the_walk_takes_it(
    tmp_path: Path,
    paths: list[list[str]],
    ignored: dict[str, list[str]],
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    caches: list[str],
) -> None:
    root = tmp_path / "project"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for parts in paths:
        path = root.joinpath(*parts)
        if not any(parent.is_file() for parent in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
    for place, lines in ignored.items():
        if (root / place).is_dir():
            (root / place / ".cronosignore").write_text("\n".join(lines))
    for place in caches:
        if (root / place).is_dir():
            (root / place / "CACHEDIR.TAG").write_bytes(walk.CACHEDIR_SIGNATURE)
    rules = rules_of(exclude=exclude, include=include)
    sieve = Sieve(str(root), rules, ("",))
    expected = taken(root, rules)
    ruling = {path for path in files_of(root) if path.rpartition("/")[2] in (".cronosignore", "CACHEDIR.TAG")}
    heard = {path for path in files_of(root) - ruling if sieve.concerns(path)}
    assert heard == expected - ruling


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for path in ("src/a.py", "node_modules/x/y.js", ".git/index", "docs/d.md"):
        file = tmp_path / "p" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    return tmp_path / "p"


def test_what_is_gone_concerns_a_backup_unless_it_was_left_out(project: Path) -> None:
    sieve = Sieve(str(project), rules_of(), ("",))
    assert not sieve.concerns("node_modules/x/y.js")
    shutil.rmtree(project / "node_modules")
    shutil.rmtree(project / "src")
    told = {path: sieve.concerns(path) for path in ("node_modules/x", "node_modules", "src/a.py", "src", "never/known")}
    assert told == {"node_modules/x": False, "node_modules": False, "src/a.py": True, "src": True, "never/known": True}


def test_git_counts_only_when_it_is_backed_up(project: Path) -> None:
    assert not Sieve(str(project), rules_of(), ("",)).concerns(".git/index")
    assert Sieve(str(project), rules_of(git=True), ("",)).concerns(".git/index")


def test_a_module_hears_of_itself_and_of_what_it_lies_in(project: Path) -> None:
    sieve = Sieve(str(project), rules_of(), ("src/deep", "docs"))
    told = {path for path in ("src/deep/x", "src/deep", "src", "src/other", "docs/d.md", "docsx", "") if sieve.concerns(path)}
    assert told == {"src/deep/x", "src/deep", "src", "docs/d.md", ""}


def test_new_rules_count_from_when_they_are_heard_of(project: Path) -> None:
    sieve = Sieve(str(project), rules_of(), ("",))
    assert sieve.concerns("docs/d.md")
    (project / ".cronosignore").write_text("docs/\n")
    assert sieve.concerns(".cronosignore")
    assert not sieve.concerns("docs/d.md")


def test_what_lies_behind_a_link_concerns_nobody(project: Path, tmp_path: Path) -> None:
    (project / "link").symlink_to(tmp_path)
    sieve = Sieve(str(project), rules_of(), ("",))
    assert sieve.concerns("link")
    assert not sieve.concerns("link/x")


def test_a_project_that_is_gone_or_replaced_is_noticed(project: Path) -> None:
    ground = Ground(str(project))
    ground.check()
    project.rename(project.with_name("q"))
    with pytest.raises(ProjectError, match="is gone"):
        ground.check()
    project.mkdir()
    with pytest.raises(ProjectError, match="was replaced"):
        ground.check()


# --- listening --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Set at the end, and after a while in any case, so that no test waits for ever; ticks come fast."""
    monkeypatch.setattr(watching, "TICK_S", 0.05)
    monkeypatch.setattr(watching, "_STEP_MS", 20)
    event = Event()
    timer = Timer(PATIENCE_S, event.set)
    timer.start()
    yield event
    event.set()
    timer.cancel()


def test_changes_are_heard_also_below_new_directories(project: Path, stopped: Event) -> None:
    heard: set[str] = set()
    for number, changes in enumerate(listen(str(project), stopped)):
        if number == 0:  # from the first on, it listens
            (project / "new").mkdir()
        heard |= changes or set()
        if "new" in heard and "new/later" not in heard:
            (project / "new/later").write_text(str(number))
        if "new/later" in heard:
            stopped.set()
    assert {"new", "new/later"} <= heard


def test_a_name_that_cannot_be_told_is_a_change_without_a_name(project: Path, stopped: Event) -> None:
    told: list[set[str] | None] = []
    for number, changes in enumerate(listen(str(project), stopped)):
        told.append(changes)
        if number == 0:
            Path(os.fsdecode(os.fsencode(project) + b"/\xff")).touch()
        if changes is None:
            stopped.set()
    assert told[-1] is None


def test_a_project_whose_path_cannot_be_told_is_not_listened_to(tmp_path: Path, stopped: Event) -> None:
    root = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    Path(root).mkdir()
    with pytest.raises(HostError, match=r"its path is no UTF-8"):
        next(listen(root, stopped))
