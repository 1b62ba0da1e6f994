"""What the commands say about a store with backups that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_transcripts import World

A, B = "a_20260401_120000", "b_20260402_120000"
WARNING = "warning: 1 backup cannot be read; run `cronos verify`."


@pytest.fixture
def hurt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """A world with the backups a and b, a day apart; the pack of b is gone."""
    world = World(tmp_path, capsys)
    world.write({"f": "a"})
    assert world("create", "a").status == 0
    old = set(tmp_path.rglob("pack-*"))
    world.clock.advance(days=1)
    world.write({"f": "b"})
    assert world("create", "b").status == 0
    for path in set(tmp_path.rglob("pack-*")) - old:
        path.unlink()
    return world


@pytest.mark.parametrize("command", [("list",), ("list", "-q"), ("stats",), ("status",), ("show", A), ("find", "f")])
def test_every_command_that_reads_the_backups_warns_once(hurt: World, command: tuple[str, ...]) -> None:
    told = hurt(*command)
    assert told.err.splitlines().count(WARNING) == 1
    assert told.status == 0


@pytest.mark.parametrize("command", [("show", "latest"), ("restore", "latest"), ("show", B), ("delete", "b", "--yes")])
def test_an_answer_that_damage_may_change_is_not_guessed(hurt: World, command: tuple[str, ...]) -> None:
    told = hurt(*command)
    assert (told.status, told.out) == (6, "")
    assert "cronos verify" in told.err


def test_a_backup_beside_unreadable_ones_is_not_called_the_first(hurt: World, tmp_path: Path) -> None:
    for path in tmp_path.rglob("pack-*"):
        path.unlink()
    told = hurt("create", "c")
    assert told.status == 0
    assert "New store" not in told.err
    assert "2 backups cannot be read" in told.err
