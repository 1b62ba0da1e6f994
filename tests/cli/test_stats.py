from __future__ import annotations

import re
from pathlib import Path

import pytest

from cronos_git.cli.render.output import Output
from tests.cli.test_transcripts import World

FIRST, SECOND, THIRD = "a_20260401_120000", "b_20260402_120000", "c_20260403_120000"


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """Three backups, a day apart: a log that grows, a file of `b` alone, a static one."""
    made = World(tmp_path, capsys)
    for number, name in enumerate("abc"):
        noise = "".join(f"{(number * 7919 + i) * 2654435761 % 2**32:08x}" for i in range(400))
        made.write({"logs/app\x1b.log": noise, "static": "s" * 5000})
        if name == "b":
            made.write({"only": noise[:1000]})
        else:
            (made.project / "only").unlink(missing_ok=True)
        assert made("create", name).status == 0
        made.clock.advance(days=1)
    return made


def table(text: str) -> list[list[str]]:
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


def test_summary_in_a_pipe_is_figures_and_rows_of_growth(world: World) -> None:
    told = world("stats")
    assert (told.status, told.err) == (0, "")
    figures, growth = told.out.split("\n\n")
    lines = dict(line.split(":", 1) for line in figures.splitlines())
    assert list(lines) == [
        "Store", "Backups", "Made", "Latest", "Content", "Distinct", "Packed", "Records", "Other", "On disk", "Objects",
    ]  # fmt: skip
    assert lines["Backups"].strip() == "3 (3 manual)"
    assert lines["Made"].strip() == "2026-04-01 12:00:00 to 2026-04-03 12:00:00"
    assert lines["Content"].strip() == "25.0 KiB in all backups"
    title, *rows = table(growth)
    assert title == ["TIME", "BYTES"]
    assert [row[0] for row in rows] == [f"2026-04-0{day} 12:00:00" for day in (1, 2, 3)]
    [record] = world.json("stats")
    assert int(rows[-1][1]) == record["packed_bytes"] + record["record_bytes"]


def test_summary_as_json_is_numbers(world: World) -> None:
    [record] = world.json("stats")
    assert [point["backup"] for point in record["growth"]] == [FIRST, SECOND, THIRD]
    assert record["growth"][0]["created"] == "2026-04-01T12:00:00.000000Z"
    assert record["dedup_ratio"] == pytest.approx(record["content_bytes"] / record["distinct_bytes"], abs=0.001)
    assert record["unreadable"] == 0


def test_on_a_terminal_the_growth_is_drawn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Output, "terminal", True)
    monkeypatch.setenv("COLUMNS", "70")
    drawn = world("stats").out.split("\n\n")[1].splitlines()
    assert len(drawn) == 7
    assert drawn[0].endswith("█")
    assert drawn[-1].endswith("2026-04-03 12:00")
    assert max(map(len, drawn)) == 70
    assert "\n\n" not in world("stats", "-q").out


def test_trash_is_told_when_there_is_some(world: World) -> None:
    world("delete", "b", "--yes")
    lines = dict(line.split(":", 1) for line in world("stats", "-q").out.splitlines())
    assert lines["Trash"].strip().endswith("that only 1 deleted backup needs")


def test_each_backup_is_a_row_newest_first_with_sums_beside(world: World) -> None:
    told = world("stats", "--backups")
    title, *rows = table(told.out)
    assert title == ["ID", "CREATED", "FILES", "SIZE", "ADDED", "UNIQUE"]
    assert [row[0] for row in rows] == [THIRD, SECOND, FIRST]
    assert [row[2] for row in rows] == ["2", "3", "2"]
    assert told.err.startswith("note: 3 backups: 25.0 KiB of content, ")
    assert world("stats", "--backups", "-q").out.split() == [THIRD, SECOND, FIRST]


@pytest.mark.parametrize(
    ("sort", "key"),
    [("unique", "unique_bytes"), ("added", "added_bytes"), ("total", "size_bytes"), ("created", "sequence")],
)
def test_rows_can_be_sorted_and_limited(world: World, sort: str, key: str) -> None:
    records = world.json("stats", "--backups", "--sort", sort)
    values = [{**record, **record["backup"]}[key] for record in records]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 1
    assert world.json("stats", "--backups", "--sort", sort, "-l", "2") == records[:2]


def test_named_backups_alone_are_told(world: World) -> None:
    told = world("stats", "b", "a")
    assert [row[0] for row in table(told.out)[1:]] == [SECOND, FIRST]
    assert told.err.startswith("note: 2 backups: ")
    assert world("stats", "nothing").status == 12


def test_paths_are_the_biggest_files_and_what_grows(world: World) -> None:
    told = world("stats", "--paths")
    assert told.status == 0
    biggest, grown = map(table, told.out.split("\n\n"))
    assert biggest[0] == ["SIZE", "ON DISK", "BIGGEST FILES"]
    assert [row[2] for row in biggest[1:]] == ["static", "logs/app\\x1b.log"]
    assert grown[0] == ["GROWN", "ON DISK", "VERSIONS", "FASTEST GROWING"]
    assert [row[2:] for row in grown[1:]] == [["2", "logs/app\\x1b.log"], ["1", "only"]]
    assert world("stats", "--paths", "-q").out.splitlines() == ["static", "logs/app\\x1b.log", "only"]


def test_paths_of_a_backup_since_a_time_as_json(world: World) -> None:
    [record] = world.json("stats", "--paths", "b", "--since", "2026-04-03", "-l", "1")
    assert record["backup"]["id"] == SECOND
    assert [one["path"] for one in record["biggest"]] == ["static"]
    assert [(one["path"], one["versions"]) for one in record["grown"]] == [("logs/app\x1b.log", 1)]
    assert record["since"] == "2026-04-03T00:00:00.000000Z"


def test_no_growth_is_said(world: World) -> None:
    assert world("stats", "--paths", "--since", "2026-05-01").err == "note: Nothing has grown since then.\n"
    world("delete", "b", "c", "--yes")
    assert world("stats", "--paths").err == "note: Nothing has grown since the first backup.\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--paths", "--backups"],
        ["--paths", "a", "b"],
        ["--paths", "--sort", "unique"],
        ["--since", "yesterday"],
        ["--backups", "--since", "yesterday"],
        ["--limit", "3"],
        ["--sort", "added"],
        ["--backups", "--sort", "size"],
    ],
)
def test_options_that_do_not_go_together_are_refused(world: World, words: list[str]) -> None:
    told = world("stats", *words)
    assert (told.status, told.out) == (2, "")


def test_missing_objects_are_a_warning(world: World, tmp_path: Path) -> None:
    tag = world.open_engine().resolve("c").backup.tag
    store = world.open_engine().store
    location = store.index.find(bytes.fromhex(tag))
    assert location is not None
    kept = store.read(tag)[1]
    location.pack.path.unlink()
    from cronos_git.git.pack import PackWriter

    writer = PackWriter(store.pack_dir, lambda _oid: False)
    writer.add("tag", kept)
    writer.finish()
    writer.release()
    told = world("stats")
    assert told.status == 0
    assert "cannot be read and are left out of the figures; run `cronos verify`." in told.err
