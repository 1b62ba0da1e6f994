"""`cronos repair` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_transcripts import World
from tests.support.repairing import objects_of, rewrite

A = "a_20260401_120000"


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """A world with two backups a day apart, of one file that changed."""
    world = World(tmp_path, capsys)
    world.write({"f": "a"})
    assert world("create", "a").status == 0
    world.clock.advance(days=1)
    world.write({"f": "b"})
    assert world("create", "b").status == 0
    return world


def packs(world: World, tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.rglob("pack-*.pack"), key=lambda path: path.stat().st_mtime_ns)


def test_a_sound_store_needs_nothing(world: World) -> None:
    told = world("repair")
    assert (told.status, told.out) == (0, "")
    assert "nothing to repair" in told.err


def test_the_plan_is_shown_and_nothing_done(world: World, tmp_path: Path) -> None:
    [old, _] = packs(world, tmp_path)
    old.with_suffix(".idx").unlink()
    told = world("repair", "-n")
    assert told.status == 0
    assert "reindex" in told.out
    assert not old.with_suffix(".idx").exists()
    assert world("repair").status == 0
    assert old.with_suffix(".idx").exists()
    assert world("verify").status == 0


def test_what_is_lost_is_named_and_ends_with_status_6(world: World, tmp_path: Path) -> None:
    [old, _] = packs(world, tmp_path)
    old.unlink()
    planned = world("repair", "-n", "--json")
    told = world("repair", "--json")
    assert (planned.status, told.status) == (6, 6)
    plan, report = json.loads(planned.out), json.loads(told.out)
    assert report["plan"]["lost"] == plan["lost"]
    assert {loss["backup"] for loss in plan["lost"]} == {A}
    assert report["remaining"] == []
    [written] = tmp_path.rglob("report.json")
    assert written.parent.name == Path(report["quarantine"]).name
    assert json.loads(written.read_bytes())["lost"] == plan["lost"]


def test_losses_and_the_quarantine_are_told_in_words(world: World, tmp_path: Path) -> None:
    [old, _] = packs(world, tmp_path)
    old.unlink()
    told = world("repair")
    assert told.status == 6
    assert A in told.out
    assert "Lost for good" in told.err
    assert "quarantine" in told.err
    assert world("repair", "-q").status == 0


def test_a_project_without_a_store_has_nothing_to_repair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, capsys)
    assert world("repair").status == 10


def test_a_store_without_format_record_is_put_back(world: World, tmp_path: Path) -> None:
    [record] = tmp_path.rglob("format.json")
    record.unlink()
    assert world("list").status == 6
    assert world("repair").status == 0
    assert world("list", "-q").out.split() == ["b_20260402_120000", A]


def test_a_store_whose_head_is_garbled_is_damaged_until_it_is_repaired(world: World, tmp_path: Path) -> None:
    [head] = tmp_path.rglob("*.git/HEAD")
    head.write_bytes(bytes(21))
    told = world("verify")
    assert told.status == 6
    assert "`cronos repair -n` tells what can be mended." in told.err
    assert "trash" not in told.err
    assert "repair -n" in world("doctor").out
    assert world("repair").status == 0
    assert world("verify").status == 0


def test_a_restore_of_a_backup_that_lost_attributes_ends_with_status_3(world: World, tmp_path: Path) -> None:
    [store] = tmp_path.rglob("*.git")
    kept = {name: found for name, found in objects_of(store).items() if not found[1].startswith(b"cronos-attributes")}
    rewrite(store, kept)
    world.write({"f": "longer"})
    assert world("repair").status == 6
    for words in (("restore", A, "--to", str(tmp_path / "new")), ("verify", A, "--drill")):
        told = world(*words)
        assert told.status == 3
        assert "lost to damage" in told.err
    assert (tmp_path / "new/f").stat().st_mode & 0o777 == 0o600
