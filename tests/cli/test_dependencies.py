"""`--with-dependencies`: what is shown, asked and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_transcripts import World

GATE = "subsystems/ETHIK/gate.py"
REASON = "With ATLAS (subsystems/ATLAS): subsystems/ETHIK/gate.py:1 imports subsystems.ATLAS.chart.\n"


@pytest.fixture
def egos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    world = World(tmp_path, capsys)
    world.write({GATE: "import subsystems.ATLAS.chart\n", "subsystems/ATLAS/chart.py": "x = 1\n", "docs/a": "b"})
    return world


def test_a_dry_run_shows_what_is_taken_along_and_why(egos: World) -> None:
    told = egos("create", "-n", "--module", "ETHIK", "--with-dependencies")
    assert told == (0, f"No backup yet; the first would save 2 files, 36 B.\n{REASON}", "")


def test_a_backup_says_it_beside_its_result(egos: World) -> None:
    told = egos("create", "--module", "ETHIK", "--with-dependencies")
    assert told.status == 0
    assert "2 files" in told.out
    assert f"note: {REASON}" in told.err
    assert egos("-q", "create", "again", "--module", "ETHIK", "--with-dependencies").out == "again_20260401_120000\n"


def test_json_has_the_reasons_as_data(egos: World) -> None:
    told = json.loads(egos("create", "--json", "--module", "ETHIK", "--with-dependencies").out)
    assert told["backup"]["scope"] == "atlas+ethik"
    assert told["dependencies"] == [
        {
            "module": {"name": "ATLAS", "paths": ["subsystems/ATLAS"]},
            "needed_by": ["subsystems/ETHIK"],
            "file": GATE,
            "line": 1,
            "imports": "subsystems.ATLAS.chart",
        }
    ]


def test_a_restore_shows_what_it_brings_back_too(egos: World) -> None:
    egos("create", "first")
    egos.write({"subsystems/ATLAS/chart.py": "x = 2\n", "docs/a": "c"})
    told = egos("restore", "first", "--module", "ETHIK", "--with-dependencies", "--strategy", "overwrite", "-n")
    assert told.status == 0
    assert told.out.endswith(REASON)
    told = egos("restore", "first", "subsystems/ETHIK", "--with-dependencies", "--strategy", "overwrite", "--yes")
    assert f"note: {REASON}" in told.err
    assert (egos.project / "subsystems/ATLAS/chart.py").read_text() == "x = 1\n"
    assert (egos.project / "docs/a").read_text() == "c"


def test_a_restore_without_it_warns_of_what_has_changed(egos: World) -> None:
    egos("create", "first")
    egos.write({"subsystems/ATLAS/chart.py": "x = 2\n"})
    told = egos("restore", "first", "--module", "ETHIK", "--strategy", "overwrite", "-n")
    assert told.status == 0
    text = "subsystems/ATLAS, which the restored modules need, has changed (1 path) since first_20260401_120000."
    assert told.err == f"warning: {text}\n"


def test_a_backup_of_modules_may_be_asked_for_what_it_lacks(egos: World) -> None:
    egos("create", "part", "--module", "ETHIK")
    told = egos("restore", "part_20260401_120000", "--with-dependencies", "--strategy", "overwrite", "-n")
    assert told.status == 0
    assert told.err == "warning: part_20260401_120000 lacks what its modules need: subsystems/ATLAS.\n"


@pytest.mark.parametrize("words", [["create"], ["create", "-n"], ["restore", "first"], ["restore", "first:"]])
def test_what_is_everything_already_cannot_be_added_to(egos: World, words: list[str]) -> None:
    egos("create", "first")
    told = egos(*words, "--with-dependencies")
    assert told.status == 2
    assert "everything is taken already" in told.err
