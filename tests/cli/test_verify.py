"""`cronos verify`: shares, times, resuming, the trash, the drill; what is told and how it ends."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from cronos_git.cli.app import run
from cronos_git.engine import Cronos
from cronos_git.git import packtable
from cronos_git.git.packindex import ObjectIndex
from cronos_git.model import Damage, VerifyReport
from tests.cli.test_transcripts import World

A = "a_20260401_120000"


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with the backups a and b, a day apart, in packs of small parts."""
    monkeypatch.setattr(packtable, "PART_BYTES", 300)
    world = World(tmp_path, capsys)
    world.write({f"d/f{number}": os.urandom(100) for number in range(10)})
    assert world("create", "a").status == 0
    world.clock.advance(days=1)
    world.write({"only-b": os.urandom(100)})
    assert world("create", "b").status == 0
    return world


def spoil(world: World, path: str) -> None:
    """Flip a bit of what the last backup holds at *path*."""
    engine = world.open_engine()
    oid = engine.view(engine.backups()[0]).entry(path).oid
    location = ObjectIndex(engine.store.pack_dir).find(bytes.fromhex(oid))
    assert location is not None
    location.pack.path.chmod(0o600)
    content = bytearray(location.pack.path.read_bytes())
    content[location.offset + 5] ^= 1
    location.pack.path.write_bytes(content)


def test_shares_add_up_until_all_is_read(world: World) -> None:
    first = world("verify", "--read", "10%")
    assert first.status == 0
    assert first.out.startswith("Verified 2 backups: ")
    assert " B of " in first.out
    assert first.err.startswith("note: Read and found whole since 2026-04-02 12:00 (just now): ")
    world.clock.advance(days=2)
    for _ in range(9):
        last = world("verify", "--read", "10%")
    assert last.err.startswith("note: All that is stored has been read since 2026-04-0")


@pytest.mark.parametrize("words", [("--read", "1KiB"), ("--max-time", "1h"), ("--resume",), ("--read=2.5%", "--max-time=90s")])
def test_ways_to_read_a_part(world: World, words: tuple[str, ...]) -> None:
    told = world("verify", *words)
    assert (told.status, told.err.startswith("note: ")) == (0, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--read", "0%"), "is no share of the store"),
        (("--read", "101%"), "is no share of the store"),
        (("--read", "ten"), "is no share of the store"),
        (("--read", "1/12"), "is no share of the store"),
        (("--read", "0"), "must read something"),
        (("--max-time", "0s"), "must read something"),
        (("--max-time", "5"), "is no length of time"),
        (("--max-time", "-5m"), "is no length of time"),
        (("--quick", "--resume"), "A check of a share"),
        (("a", "--read", "5%"), "A check of a share"),
        (("--drill", "--quick"), "A drill is of one backup"),
        (("--drill", "a", "b"), "A drill is of one backup"),
        (("--scratch", "/tmp"), "--scratch is for a drill"),
    ],
)
def test_wrong_words_end_with_2(world: World, words: tuple[str, ...], text: str) -> None:
    told = world("verify", *words)
    assert (told.status, told.out) == (2, "")
    assert text in told.err
    assert "hint: " in told.err


def test_plain_check_says_nothing_of_progress_but_json_does(world: World) -> None:
    assert world("verify").err == ""
    (report,) = world.json("verify", "--read", "100%")
    assert report["progress"] == {
        "total_bytes": report["bytes_read"],
        "sound_bytes": report["bytes_read"],
        "since": "2026-04-02T12:00:00.000000Z",
        "noted": True,
    }


def test_backups_in_the_trash_are_counted_and_their_damage_told_as_theirs(world: World) -> None:
    assert world("delete", "a", "--yes").status == 0
    assert world("verify").out.startswith("Verified 2 backups (1 in the trash): ")
    assert world("verify", "--no-trash").out.startswith("Verified 1 backup: ")
    assert world("verify", "--trash", "a").out.startswith("Verified 1 backup (1 in the trash): ")
    assert world("undelete", A).status == 0
    spoil(world, "only-b")
    assert world("delete", "b", "--yes").status == 0
    told = world("verify")
    assert told.status == 6
    assert "b_20260402_120000 in the trash" in told.out
    assert "--no-trash" in told.err
    assert world("verify", "--no-trash").status == 0


def test_damage_in_a_part_ends_with_6_each_time(world: World) -> None:
    spoil(world, "only-b")
    statuses = [world("verify", "--read", "20%").status for _ in range(8)]
    assert statuses == sorted(statuses)
    assert statuses[-1] == 6
    told = world("verify", "--max-time", "1h")
    assert "data:only-b" in told.out
    assert "note: Read and found whole since" in told.err


def test_drill_tells_what_a_restore_takes_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    place = tmp_path / "scratch"
    place.mkdir()
    told = world("verify", "--drill", "--scratch", str(place))
    assert (told.status, told.err) == (0, "")
    assert told.out == (
        "b_20260402_120000 can be restored: 11 files, 1.1 KiB, restored in <time>, compared in <time>. Nothing differs.\n"
    )
    assert list(place.iterdir()) == []
    (report,) = world.json("verify", "--drill", "a", "--scratch", str(place))
    assert (report["backup"]["id"], report["files"], report["differences"], report["problems"]) == (A, 10, [], [])


def test_drill_of_what_comes_back_otherwise_ends_with_6_or_3(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cronos_git.engine import Cronos

    real = Cronos.drill
    found = {"content": 6, "mtime": 3}
    for what, status in found.items():

        def spoilt(self: Cronos, *words: object, _what: str = what) -> object:
            from dataclasses import replace

            from cronos_git.model import Difference

            return replace(real(self, *words), differences=(Difference(path="x", what=(_what,), text="was it"),))  # type: ignore[arg-type]

        monkeypatch.setattr(Cronos, "drill", spoilt)
        told = world("verify", "--drill", "--scratch", str(tmp_path))
        assert told.status == status
        assert f"{what}" in told.out
        assert "1 path of b_20260402_120000 did not come back as in the backup." in told.err


def test_damaged_backup_fails_its_drill_with_6(world: World, tmp_path: Path) -> None:
    spoil(world, "only-b")
    told = world("verify", "--drill", "--scratch", str(tmp_path))
    assert (told.status, told.out) == (6, "")
    status = run(["verify", "--drill", "--json", "--scratch", str(tmp_path)], open_engine=world.open_engine)
    assert status == 6
    assert json.loads(world.capture.readouterr().out)["error"]["exit_status"] == 6


# --- much damage ---


def hits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a check find a damaged index that hides 30 tags and hits 50 paths."""

    def damage(path: str, number: int) -> Damage:
        text = f"Object {number:040x} is not in the store."
        return Damage(backups=(f"b{number:02}",), path=path, oid=f"{number:040x}", code="missing", text=text)

    index = Damage(backups=("b00", "b29"), path="", oid="", code="corrupt", text="The index is damaged.")
    found = (*(damage("", number) for number in range(30)), index, *(damage(f"data:f{n:02}", n) for n in range(50)))
    report = VerifyReport(backups=30, objects=99, bytes_read=0, damage=found, duration_s=0.0)
    monkeypatch.setattr(Cronos, "verify", lambda *_: report)


def test_much_damage_is_told_in_counts_and_first_paths(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hits(world, monkeypatch)
    told = world("verify")
    rows = [re.split(" {2,}", row) for row in told.out.splitlines()[1:]]
    assert len(rows) == 2 + 20
    assert rows[0] == ["missing", "<oid>", "b00 … b29 (30)", "-", "Object <oid> is not in the store. And 29 objects more."]
    assert rows[1][-1] == "The index is damaged."
    assert [row[3] for row in rows[2:]] == [f"data:f{number:02}" for number in range(20)]
    assert told.err.startswith("note: 30 findings more; -v lists all.\nwarning: Damaged: 50 paths, 31 tags, commits, packs or ")


def test_much_damage_is_named_in_full_when_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hits(world, monkeypatch)
    assert len(world("-v", "verify").out.splitlines()) == 1 + 30 + 1 + 50
    assert len(json.loads(world("verify", "--json").out)["damage"]) == 81
