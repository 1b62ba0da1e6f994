"""`prune`, `delete` and `undelete` word for word, and what auto-pruning says."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import typer

from tests.cli.test_transcripts import World

A, B, C = "a_20260401_120000", "b_20260402_120000", "c_20260403_120000"


@pytest.fixture
def three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """A world with the backups a, b and c, a day apart."""
    world = World(tmp_path, capsys)
    for name in "abc":
        world.write({"f": name})
        assert world("create", name).status == 0
        world.clock.advance(days=1)
    return world


def listed(world: World) -> list[str]:
    return world("list", "-q").out.split()


def test_prune_shows_every_decision_and_its_reason(three: World) -> None:
    told = three("prune", "-n", "--max-backups", "1", "--retention-days", "0", "--keep-within", "24h", "--keep-daily", "2")
    assert told.status == 0
    assert told.out.splitlines() == [
        "ID                 SCOPE    CREATED           DECISION  WHY",
        f"{C}  project  2026-04-03 12:00  keep      newest of its scope; within keep_within (24h) of the newest;"
        " newest of its day (keep_daily)",
        f"{B}  project  2026-04-02 12:00  keep      newest of its day (keep_daily)",
        f"{A}  project  2026-04-01 12:00  drop      not among the newest max_backups (1)",
    ]
    assert told.err == "note: Would move 1 backup to the trash; 2 backups kept.\n"
    assert listed(three) == [C, B, A]


def test_prune_asks_nothing_and_moves_to_the_trash(three: World) -> None:
    told = three("prune", "--max-backups", "2")
    assert told.err == "note: Moved 1 backup to the trash; 2 backups kept.\n"
    assert (listed(three), three("undelete", "-q").out) == ([C, B], f"{A}\n")


def test_prune_without_options_goes_by_the_configuration(three: World) -> None:
    three.clock.advance(days=29)
    assert three("-q", "prune") == (0, f"{B}\n{A}\n", "")


def test_json_of_prune_is_the_plan_and_then_the_report(three: World) -> None:
    (plan,) = three.json("prune", "-n", "--max-backups", "2")
    assert [(d["backup"]["id"], d["keep"], d["reasons"]) for d in plan["decisions"]] == [
        (C, True, ["newest of its scope"]),
        (B, True, ["no limit reached"]),
        (A, False, ["not among the newest max_backups (2)"]),
    ]
    (report,) = three.json("prune", "--max-backups", "2")
    assert (report["pruned"], report["plan"]["decisions"]) == ([A], plan["decisions"])


@pytest.mark.parametrize("words", [["--keep-within", "2 weeks"], ["--keep-last", "-1"], ["--keep-last", "x"]])
def test_a_rule_that_makes_no_sense_is_wrong_usage(three: World, words: list[str]) -> None:
    assert three("prune", *words).status == 2
    assert listed(three) == [C, B, A]


def test_delete_and_undelete(three: World) -> None:
    assert three("delete", "latest", "a", "--yes").out == f"Moved {C}, {A} to the trash; `cronos undelete` lists it.\n"
    assert listed(three) == [B]
    assert [row.split()[0] for row in three("undelete").out.splitlines()] == ["ID", C, A]
    assert three("undelete", "c").out == f"Brought back {C}.\n"
    assert listed(three) == [C, B]
    assert three("undelete", "a", "-q").out == f"{A}\n"
    assert three("undelete") == (0, "", "note: The trash is empty.\n")


def test_dry_runs_of_delete_and_undelete_change_nothing(three: World) -> None:
    assert three("delete", "-n", "b", "-q").out == f"{B}\n"
    three("delete", "b", "--yes")
    assert three("undelete", "-n", "b", "-q").out == f"{B}\n"
    assert listed(three) == [C, A]


def test_delete_needs_yes_where_nobody_can_be_asked(three: World) -> None:
    told = three("delete", "b")
    assert (told.status, told.err) == (13, "error: There is nobody to ask whether to delete.\nhint: Give --yes.\n")
    assert listed(three) == [C, B, A]


@pytest.mark.parametrize(("answer", "status", "left"), [(True, 0, [C, A]), (False, 1, [C, B, A])])
def test_delete_asks_on_a_terminal(
    three: World, monkeypatch: pytest.MonkeyPatch, answer: bool, status: int, left: list[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    questions: list[str] = []
    monkeypatch.setattr(typer, "confirm", lambda text, err: questions.append(text) or answer)
    assert three("delete", "b", "--color", "never").status == status
    monkeypatch.undo()
    assert questions == ["Move 1 backup to the trash?"]
    assert listed(three) == left


@pytest.mark.parametrize(
    ("interrupted", "status", "told"),
    [(True, 130, "error: Interrupted by SIGINT; nothing is half-done."), (False, 1, "note: Nothing was changed.")],
)
def test_what_follows_a_question_without_answer_begins_a_line(
    three: World, monkeypatch: pytest.MonkeyPatch, interrupted: bool, status: int, told: str
) -> None:
    def confirm(_question: str, err: bool) -> bool:
        if interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        raise typer.Abort

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", confirm)
    result = three("delete", "b", "--color", "never")
    monkeypatch.undo()
    assert (result.status, result.err) == (status, f"  {B}\n\n{told}\n")
    assert listed(three) == [C, B, A]


def test_what_is_not_there_is_told(three: World) -> None:
    assert three("delete", "nothing", "--yes").status == 12
    told = three("undelete", "b")
    assert (told.status, told.err) == (12, "error: Nothing in the trash matches 'b'.\nhint: `cronos undelete` lists the trash.\n")
    assert three.json("delete", "b", "--yes")[0]["id"] == B
    assert three.json("undelete")[0]["id"] == B


def test_create_says_what_retention_moved(three: World) -> None:
    three.clock.advance(days=40)
    assert "note: Retention moved 3 backups to the trash; `cronos undelete` lists it.\n" in three("create", "d").err
