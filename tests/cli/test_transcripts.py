"""Whole commands on a real project and store, word for word, with the clock standing still."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cronos_git import __version__
from cronos_git.cli.app import run
from cronos_git.engine import Cronos
from cronos_git.git.store import store_path
from cronos_git.model import Damage, VerifyReport
from cronos_git.rules.record import Identity
from cronos_git.rules.schema import Settings
from tests.support.clock import FakeClock
from tests.support.trees import File, Link, make_tree

EVENING_S = int(datetime(2026, 3, 31, 20, 0, tzinfo=UTC).timestamp())
UNSTABLE = (
    (re.compile(r"[0-9a-f]{40}"), "<oid>"),
    (re.compile(r"Stored [^ ]+ [KMB]?i?B"), "Stored <size>"),
    (re.compile(r"in \d+\.\d s"), "in <time>"),
)


class Told(NamedTuple):
    status: int
    out: str
    err: str


class World:
    """A project, its store, a clock, and the command line."""

    def __init__(self, base: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.base = base
        self.project = base / "site"
        self.clock = FakeClock()
        self.capture = capture

    def open_engine(self, **_places: object) -> Cronos:
        return Cronos(
            project=self.project,
            store_path=store_path(self.base / "stores", self.project),
            settings=Settings(),
            clock=self.clock,
            zone=UTC,
            identity=Identity(user="alice", host="box"),
        )

    def __call__(self, *words: str) -> Told:
        status = run(words, open_engine=self.open_engine)
        out, err = (self._stable(text) for text in self.capture.readouterr())
        return Told(status, out, err)

    def json(self, *words: str) -> list[dict[str, Any]]:
        status = run([*words, "--json"], open_engine=self.open_engine)
        assert status == 0
        return [json.loads(line) for line in self.capture.readouterr().out.splitlines()]

    def _stable(self, text: str) -> str:
        text = text.replace(str(self.base), "<base>")
        for pattern, word in UNSTABLE:
            text = pattern.sub(word, text)
        return re.sub(r"site-[0-9a-f]{8}\.git", "site-<hash>.git", text)

    def write(self, tree: dict[str, Any]) -> None:
        make_tree(self.project, tree)
        for path in [self.project, *self.project.rglob("*")]:
            os.utime(path, (EVENING_S, EVENING_S), follow_symlinks=False)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    made = World(tmp_path, capsys)
    made.write(
        {"README.md": "hello\n", "src/app.py": File(b"print(1)\n", mode=0o755), "src/empty": {}, "link": Link("README.md")}
    )
    return made


@pytest.fixture
def two(world: World) -> World:
    """A world with the backups `first`, and `backup` an hour later."""
    world("create", "first", "-m", "the first one", "--label", "release", "--meta", "ticket=7")
    world.clock.advance(hours=1)
    (world.project / "README.md").unlink()
    world.write({"src/app.py": File(b"print(1)\nprint(2)\n", mode=0o755), "new\x1b[31m.txt": "n\n"})
    world("create")
    return world


def test_the_first_steps(world: World) -> None:
    assert world("list") == (
        10,
        "",
        "error: There is no backup store at <base>/stores/site-<hash>.git.\nhint: Make the first backup with `cronos create`.\n",
    )
    assert world("status") == (0, "No backup yet; the first would save 3 files, 15 B.\n", "")
    assert world("create", "first", "-m", "why") == (
        0,
        "Saved first_20260401_120000: 3 files, 15 B, +3 ~0 -0. Stored <size> in <time>.\n",
        "note: New store: <base>/stores/site-<hash>.git\n",
    )
    assert world("create", "--skip-if-unchanged").out == "Nothing has changed since first_20260401_120000; no backup was made.\n"
    world.clock.advance(minutes=5)
    assert world("status").out == (
        "Nothing has changed since first_20260401_120000 (2026-04-01 12:00:00, 5 minutes ago): 3 files, 15 B.\n"
    )


def test_quiet_create_prints_the_id_alone(world: World) -> None:
    assert world("-q", "create") == (0, "backup_20260401_120000\n", "")


def test_a_dry_run_shows_the_changes_and_saves_nothing(two: World) -> None:
    (two.project / "src/app.py").unlink()
    told = two("create", "-n")
    assert told == (
        0,
        "Since backup_20260401_130000 (2026-04-01 13:00:00, just now): 1 removed, 1 with other attributes."
        " A backup would hold 2 files, 2 B.\n- src/app.py\n",
        "",
    )
    assert len(two.json("list")) == 2


def test_list_in_a_pipe(two: World) -> None:
    assert two("list").out == (
        "ID                      TYPE    SCOPE    CREATED           FILES  SIZE   CHANGES  PIN  LABELS   MESSAGE\n"
        "backup_20260401_130000  manual  project  2026-04-01 13:00      3  20 B  +1 ~1 -1  -    -        -\n"
        "first_20260401_120000   manual  project  2026-04-01 12:00      3  15 B  +3 ~0 -0  -    release  the first one\n"
    )


def test_list_on_a_terminal_of_80_columns(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    drawn = two("list", "--color", "always").out
    assert "\x1b[1m" in drawn
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines()] == [
        "ID                      CREATED           FILES  SIZE  LABELS   MESSAGE",
        "backup_20260401_130000  2026-04-01 13:00      3  20 B",
        "first_20260401_120000   2026-04-01 12:00      3  15 B  release  the first one",
    ]


def test_list_filters(two: World) -> None:
    assert two("list", "-q", "--label", "release").out == "first_20260401_120000\n"
    assert two("list", "-q", "--contains", "README.md").out == "first_20260401_120000\n"
    assert two("list", "-q", "--since", "30 minutes ago").out == "backup_20260401_130000\n"
    assert two("list", "-q", "--reverse").out == "first_20260401_120000\nbackup_20260401_130000\n"
    assert two("list", "--type", "auto") == (0, "", "note: No backup matches.\n")


def test_show(two: World) -> None:
    assert two("show", "first") == (
        0,
        "Id:       first_20260401_120000\n"
        "Type:     manual\n"
        "Created:  2026-04-01 12:00:00 (1 hour ago)\n"
        "Message:  the first one\n"
        "Labels:   release\n"
        'Metadata: {"ticket": 7}\n'
        "Holds:    3 files, 15 B\n"
        "Changes:  +3 ~0 -0, the first of its scope\n"
        "Scope:    project\n"
        "Sequence: 1\n"
        "Commit:   <oid>\n"
        "Tag:      <oid>\n"
        f"Made by:  alice@box, cronos {__version__}\n"
        "Project:  <base>/site\n",
        "",
    )


def test_a_choice_among_several_is_told_on_stderr(two: World) -> None:
    two.clock.advance(hours=1)
    two("create", "first")
    told = two("ls", "first")
    assert told.status == 0
    assert told.err == "note: 2 backups match 'first'; took the newest, first_20260401_140000.\n"


def test_ls_names_paths_from_the_root_and_never_prints_control_characters(two: World) -> None:
    assert two("ls", "first").out == "README.md\nlink\nsrc/\n"
    assert two("ls", "-r", "latest").out == "link\nnew\\x1b[31m.txt\nsrc/\nsrc/app.py\nsrc/empty/\n"
    assert two("ls", "latest:src").out == "src/app.py\nsrc/empty/\n"
    assert two("ls", "latest:nope").status == 12


def test_ls_long_shows_modes_sizes_and_where_links_point(two: World) -> None:
    lines = two("ls", "-l", "first").out.splitlines()
    assert [line.split()[0] for line in lines] == ["-rw-r--r--", "lrwxrwxrwx", "drwxr-xr-x"]
    assert [line.split("  ", 3)[-1].split("  ", 1)[-1].strip() for line in lines] == [
        "2026-03-31 20:00:00  README.md",
        "2026-03-31 20:00:00  link -> README.md",
        "2026-03-31 20:00:00  src/",
    ]


def test_cat_writes_the_bytes(two: World) -> None:
    assert two("cat", "latest:src/app.py") == (0, "print(1)\nprint(2)\n", "")
    assert two("cat", "latest").status == 2
    assert two("cat", "latest:src").status == 2


def test_find_shows_each_version_once(two: World) -> None:
    assert two("find", "app.*").out == (
        "SIZE  MODIFIED             BACKUPS  FIRST                   LAST                    PATH\n"
        " 9 B  2026-03-31 20:00:00        1  first_20260401_120000   first_20260401_120000   src/app.py\n"
        "18 B  2026-03-31 20:00:00        1  backup_20260401_130000  backup_20260401_130000  src/app.py\n"
    )
    assert two("find", "nothing*") == (0, "", "note: Nothing matches.\n")


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["first", "latest"], "- README.md\n+ new\\x1b[31m.txt\n~ src/app.py\n"),
        (["first", "latest", "src"], "~ src/app.py\n"),
        (["first", "src"], "~ src/app.py\n"),
        (["first", "./README.md"], "- README.md\n"),
        (["latest", "first", "README.md", "--stat"], "+1  -0  + README.md\n"),
        (["latest"], ""),
    ],
)
def test_diff(two: World, words: list[str], out: str) -> None:
    assert two("diff", *words) == (0, out, "")


def test_diff_of_the_project_sees_what_was_not_backed_up(two: World) -> None:
    (two.project / "README.md").write_text("back\n")
    assert two("diff", "latest").out == "+ README.md\n"


def test_a_patch_is_what_git_applies(two: World) -> None:
    patch = two("diff", "-p", "first", "latest", "src/app.py").out
    assert patch.startswith("diff --git a/src/app.py b/src/app.py\n")
    assert patch.endswith("@@ -1 +1,2 @@\n print(1)\n+print(2)\n")


def test_figures_stand_before_the_patch(two: World) -> None:
    stat, patch = (two("diff", kind, "first", "latest").out for kind in ("--stat", "-p"))
    assert two("diff", "-p", "--stat", "first", "latest").out == f"{stat}\n{patch}"
    assert two("diff", "-p", "--stat", "latest", "latest").out == ""


def test_on_a_terminal_no_content_of_a_patch_can_steer_it(two: World) -> None:
    two.write({"evil": "a\tb\x1b]0;title\x07\x9b31m\n"})
    patch = two("diff", "-p", "latest", "evil", "--color", "always").out
    assert "\x1b[32m+a\tb\\x1b]0;title\\x07\\x9b31m\x1b[0m\n" in patch


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["nope"], 12, "No backup is called 'nope'"),
        (["latest", "nope"], 12, "No backup is called 'nope'"),
        (
            ["latest", "first", "nope"],
            12,
            "There is no 'nope' in backup_20260401_130000 or first_20260401_120000 or the project.",
        ),
        (["latest", "../other"], 2, "lies outside the project"),
    ],
)
def test_diff_of_what_does_not_exist(two: World, words: list[str], status: int, told: str) -> None:
    result = two("diff", *words)
    assert result.status == status
    assert told in result.err


@pytest.fixture
def scoped(two: World) -> World:
    """Two backups of everything, and then one of a module."""
    two.clock.advance(hours=1)
    two("create", "part", "--module", "src")
    return two


@pytest.mark.parametrize(
    "words", [["restore", "latest", "-n"], ["show", "part"], ["diff", "latest"], ["diff", "first", "part"], ["show", "@now"]]
)
def test_a_backup_of_a_module_says_so_when_its_id_was_not_given(scoped: World, words: list[str]) -> None:
    told = scoped(*words)
    assert (told.status, told.err) == (0, "note: part_20260401_140000 covers only src, not the whole project.\n")


@pytest.mark.parametrize("words", [["show", "part_20260401_140000"], ["show", "first"], ["ls", "latest"], ["show", "-q", "part"]])
def test_other_backups_and_other_commands_say_nothing_of_scopes(scoped: World, words: list[str]) -> None:
    assert scoped(*words).err == ""


@pytest.mark.parametrize(
    ("words", "alone"),
    [
        (["show", "latest:README.md"], "latest"),
        (["show", "first:src"], "first"),
        (["delete", "first:src", "--yes"], "first"),
        (["diff", "first:src", "latest"], "first"),
        (["verify", "@yesterday:src"], "@yesterday"),
    ],
)
def test_a_path_where_a_backup_is_wanted_is_told_apart(two: World, words: list[str], alone: str) -> None:
    told = two(*words)
    assert told.status in (2, 12)
    assert f"hint: A backup is wanted here, not a path in it: give {alone}. `cronos ls {alone}:" in told.err


def test_show_tells_repositories_without_a_commit_from_those_that_cannot_be_read(world: World) -> None:
    import pygit2

    pygit2.init_repository(str(world.project))
    world.write({"nest/.git": {}})
    world("create")
    lines = world("show", "latest").out.splitlines()
    assert "Git:        no commit yet" in lines
    assert "Nested Git: nest: cannot be read" in lines


def test_verify_ends_with_6_on_damage(two: World) -> None:
    assert two("verify").out.startswith("Verified 2 backups: ")
    store = two.open_engine().store_path
    pack = max(store.glob("objects/pack/*.pack"), key=lambda path: path.stat().st_size)
    raw = bytearray(pack.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    pack.chmod(0o600)
    pack.write_bytes(raw)
    told = two("verify")
    assert told.status == 6
    assert "DAMAGE" in told.out


def test_damage_is_one_row_a_path(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def damage(path: str, number: int, *backups: str) -> Damage:
        return Damage(backups=backups, path=path, oid=f"{number:040x}", code="missing", text=f"{number} is missing.")

    found = (damage("data:big", 1, "a"), damage("data:big", 2, "a", "b"), damage("data:f", 1, "a"), damage("", 3, "a"))
    report = VerifyReport(backups=2, objects=9, bytes_read=0, damage=found, duration_s=0.0)
    monkeypatch.setattr(Cronos, "verify", lambda *_: report)
    told = two("verify")
    assert [re.split(" {2,}", row) for row in told.out.splitlines()[1:]] == [
        ["missing", "<oid>", "a … b (2)", "data:big", "1 is missing. And 1 object more."],
        ["missing", "<oid>", "a", "data:f", "1 is missing."],
        ["missing", "<oid>", "a", "-", "3 is missing."],
    ]
    assert told.err.startswith("warning: Damaged: 2 paths, 1 tag, commit, pack or file. ")


def test_doctor_finds_nothing_wrong_here(two: World) -> None:
    told = two("doctor")
    assert told.status == 0
    assert all(line.startswith("ok ") for line in told.out.splitlines())


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["show", "latest"],
        ["ls", "-r", "latest"],
        ["find", "*"],
        ["diff", "first", "latest", "-p"],
        ["status"],
        ["stats"],
        ["verify"],
        ["restore", "first", "-n"],
        ["operations"],
        ["doctor"],
    ],
    ids=lambda words: words[0],
)
def test_json_of_every_command_carries_its_schema(two: World, words: list[str]) -> None:
    records = two.json(*words)
    assert records
    assert {record["schema_version"] for record in records} == {1}


def test_json_of_a_restore_and_of_a_backup(world: World) -> None:
    made = world.json("create")[0]
    assert (made["backup"]["id"], made["unchanged"], made["problems"]) == ("backup_20260401_120000", False, [])
    assert made["bytes_stored"] > 0
    restored = world.json("restore", "latest", "--to", str(world.base / "back"))[0]
    assert (restored["plan"]["target"], restored["plan"]["size_bytes"], restored["files"]) == (str(world.base / "back"), 15, 3)


def test_unreadable_files_end_a_backup_with_3(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., int] = os.open

    def refuse(path: Any, *rest: Any, **named: Any) -> int:
        if os.fspath(path).endswith("app.py"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    told = world("create")
    assert told.status == 3
    assert "warning: src/app.py: " in told.err
    assert told.out.startswith("Saved backup_20260401_120000: ")


def test_git_is_stock_git_on_the_store(two: World) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from types import SimpleNamespace as N; from pathlib import Path; from cronos_git.cli.app import run;"
        "sys.exit(run(sys.argv[2:], open_engine=lambda **_: N(store_path=Path(sys.argv[1]))))"
    )
    store = str(two.open_engine().store_path)
    words = ["git", "log", "--format=%s", "--reverse", "--", "README.md"]
    done = subprocess.run([sys.executable, "-c", code, store, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the first one\nbackup\n", "")


def test_git_without_a_store(world: World) -> None:
    assert world("git", "log").status == 10
