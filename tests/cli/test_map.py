from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cronos_git.cli.render.output import Output
from tests.cli.test_transcripts import World

FIRST, MODULE, SECOND = "a_20260401_120000", "b_20260402_120000", "c_20260403_120000"


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """A backup of all, one of the module `core`, and one of all with three paths changed."""
    made = World(tmp_path, capsys)
    made.write({"core/a": "1", "README": "1"})
    assert made("create", "a").status == 0
    made.clock.advance(days=1)
    assert made("create", "b", "--module", "core").status == 0
    made.clock.advance(days=1)
    made.write({"core/b\x1b[31m": "2", "README": "2", "new": "3"})
    assert made("create", "c", "-m", "Third").status == 0
    return made


def test_in_a_pipe_the_map_is_a_plain_tree(world: World) -> None:
    told = world("map")
    assert (told.status, told.err) == (0, "")
    assert told.out == (
        "site  <base>/site\n"
        "├── core\n"
        f"│   └── {MODULE}  2026-04-02 12:00  the first of its scope\n"
        f"├── {SECOND}  2026-04-03 12:00  +2 ~1 -0  Third\n"
        "│   ├── core  1 changed path\n"
        "│   │   └── + core/b\\x1b[31m\n"
        "│   ├── ~ README\n"
        "│   └── + new\n"
        f"└── {FIRST}  2026-04-01 12:00  the first of its scope\n"
    )


def test_on_a_terminal_long_lines_fold_below_their_guides(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    told = world("--color", "always", "map")
    assert "\x1b[33m" in told.out
    lines = re.sub(r"\x1b\[[0-9;]*m", "", told.out).splitlines()
    assert "│   │   └── + core/b\\x1b[31m" in [line.rstrip() for line in lines]
    assert max(map(len, lines)) <= 40


def test_a_large_map_on_a_terminal_is_not_left_to_rich(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronos_git.cli.map._RICH_LINES", 3)
    monkeypatch.setattr(Output, "terminal", True)
    told = world("map")
    assert "│   │   └── " in told.out


def test_json_is_one_object_with_all_paths_by_option_or_format(world: World) -> None:
    [record] = world.json("map", "--paths", "1")
    by_format = json.loads(world("map", "--format", "json").out)
    assert (by_format["backups"][0]["changes"], by_format.keys()) == (record["backups"][0]["changes"], record.keys())
    assert [one["backup"]["id"] for one in record["backups"]] == [SECOND, MODULE, FIRST]
    assert [change["path"] for change in record["backups"][0]["changes"]] == [
        "README",
        "core/b\x1b[31m",
        "new",
    ]
    assert record["modules"] == [{"name": "core", "paths": ["core"]}]
    assert record["schema_version"] == 1


def test_quiet_tells_the_ids(world: World) -> None:
    assert world("-q", "map").out.split() == [SECOND, MODULE, FIRST]


def test_limits_of_backups_and_paths_leave_a_count_of_the_rest(world: World) -> None:
    out = world("map", "-l", "1", "--paths", "2").out
    assert "… and 1 more path\n" in out
    assert "… and 2 more older backups" in out
    assert "more" not in world("map", "-l", "0", "--paths", "0").out


def test_named_backups_and_a_module_narrow_it(world: World) -> None:
    assert world("-q", "map", "b", FIRST).out.split() == [MODULE, FIRST]
    assert world("-q", "map", "--module", "CORE").out.split() == [SECOND, MODULE]
    told = world("map", "--module", "nowhere")
    assert told.status == 2
    assert "There are: core." in told.err


@pytest.mark.parametrize(("form", "begin"), [("mermaid", "flowchart LR\n"), ("dot", "digraph cronos {\n"), ("tree", "site  ")])
def test_a_file_gets_what_stdout_would_and_is_never_overwritten(world: World, tmp_path: Path, form: str, begin: str) -> None:
    file = tmp_path / "map.out"
    shown = world("map", "--format", form).out
    assert shown.startswith(begin)
    told = world("map", "--format", form, "--output", str(file))
    assert (told.status, told.out) == (0, f"Wrote <base>/map.out, {len(shown.splitlines())} lines.\n")
    written = file.read_text()
    assert written.replace(str(tmp_path), "<base>") == shown
    assert world("map", "-o", str(file)).status == 13
    assert file.read_text() == written


def test_without_a_store_there_is_no_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert World(tmp_path, capsys)("map").status == 10
