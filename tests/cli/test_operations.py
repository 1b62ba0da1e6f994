"""`operations` and `recover`: how they show what they are told, and whole runs."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cronos_git.cli import app
from cronos_git.model import Operation, Recovery
from tests.cli.records import NOON
from tests.cli.test_command_line import CannedEngine
from tests.cli.test_transcripts import World


class Chronicler(CannedEngine):
    """Tells what it was made with."""

    def operations(self, limit: int | None) -> Any:
        self.asked.append(limit)
        return self.result()

    def recover(self, _run: object) -> Any:
        return self.result()


def operation(minutes: int, verb: str, result: str = "done", **facts: object) -> Operation:
    return Operation(
        time=NOON + timedelta(minutes=minutes), verb=verb, face="cli", user="alice", host="box", result=result, facts=facts
    )


def recovery(result: Any, text: str) -> Recovery:
    return Recovery(target="/work/s\x1b", result=result, text=text)


# --- operations -------------------------------------------------------------------------------------------------------


def test_operations_are_told_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    done = [
        operation(5, "restore", "failed", backup="a", target="/x", error="No space\x1b."),
        operation(4, "delete", backups=["a", "b", "c", "d", "e"]),
        operation(3, "restore", backup="a", target="/x", restore_point="p", problems=1),
        operation(2, "recover", "rolled back", target="/x"),
        operation(1, "create", backup="a", problems=0, bytes_stored=7),
        operation(0, "request", topic="request.cronos.get_status", sender="X"),
        operation(0, "compact", backups="odd", problems="odd"),
        operation(0, "request", "failed", topic="request.cronos.restore_backup", sender="X", error="No."),
        operation(0, "create", backup="too many"),
    ]
    assert app.run(["operations", "-l", "7"], open_engine=Chronicler(result=lambda: done)) == 0
    assert capsys.readouterr().out == (
        "WHEN                 VERB     RESULT       BY         WHAT\n"
        "2026-04-01 12:05:00  restore  failed       cli alice  a into /x; No space\\x1b.\n"
        "2026-04-01 12:04:00  delete   done         cli alice  a, b, c and 2 more\n"
        "2026-04-01 12:03:00  restore  done         cli alice  a into /x; restore point p; 1 problem\n"
        "2026-04-01 12:02:00  recover  rolled back  cli alice  /x\n"
        "2026-04-01 12:01:00  create   done         cli alice  a\n"
        "2026-04-01 12:00:00  compact  done         cli alice  -\n"
        "2026-04-01 12:00:00  request  failed       cli alice  request.cronos.restore_backup by X; No.\n"
    )


def test_no_operations(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["operations"], open_engine=Chronicler(result=list)) == 0
    assert capsys.readouterr() == ("", "note: No operations yet.\n")


def test_operations_of_a_real_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, capsys)
    assert world("operations").status == 10
    world.write({"f": "1"})
    world("create", "a")
    world.clock.advance(minutes=1)
    world.write({"f": "2"})
    world("restore", "a", "--strategy", "replace", "--yes")
    world.clock.advance(minutes=1)
    world("undo", "--yes")
    found = world.json("operations")
    assert [(one["verb"], one["result"], one["user"]) for one in found if one["verb"] != "create"] == [
        ("undo", "done", "alice"),
        ("restore", "done", "alice"),
    ]
    assert (found[0]["time"], found[0]["facts"]["target"]) == ("2026-04-01T12:02:00.000000Z", str(world.project))
    assert world.json("operations", "--limit", "1") == found[:1]
    assert len(world("operations").out.splitlines()) == 1 + len(found)


# --- recover ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "status", "told"),
    [
        ([], 0, "Nothing to recover.\n"),
        ([recovery("finished", "All was in place.")], 0, "finished: /work/s\\x1b: All was in place.\n"),
        (
            [recovery("rolled back", "It is as before."), recovery("left", "It is being restored.")],
            1,
            "rolled back: /work/s\\x1b: It is as before.\nleft: /work/s\\x1b: It is being restored.\n",
        ),
    ],
)
def test_what_was_done_with_dead_restores(
    found: list[Recovery], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Chronicler(result=lambda: found)
    assert app.run(["recover"], open_engine=engine) == status
    assert capsys.readouterr() == (told, "")
    assert app.run(["recover", "--json"], open_engine=engine) == status
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["target"], line["result"], line["text"]) for line in lines] == [
        (one.target, one.result, one.text) for one in found
    ]


def test_recover_of_a_real_store_without_dead_restores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, capsys)
    assert world("recover").status == 10
    world.write({"f": "1"})
    world("create")
    assert world("recover") == (0, "Nothing to recover.\n", "")
    assert world("-q", "recover") == (0, "", "")
    assert world.json("recover") == []
