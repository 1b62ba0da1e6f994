"""`restore` and `undo`: what they ask of the engine, and what they say about what it tells."""

from __future__ import annotations

import json
import re
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from cronos_git.cli import app
from cronos_git.model import Problem, RestoreChange, RestorePlan, RestoreReport, RestoreRequest
from cronos_git.rules.identify import Resolution
from tests.cli.records import backup, restore_plan, restore_report
from tests.cli.test_command_line import CannedEngine
from tests.cli.test_transcripts import Told

ID = backup().id


class Restorer(CannedEngine):
    """Plans and reports what it was made with, and remembers the calls that change something."""

    def __init__(self, plan: RestorePlan | None = None, **report: Any) -> None:
        super().__init__()
        self.plan = plan or restore_plan()
        self.report = restore_report(self.plan, **report)
        self.calls: list[tuple[Any, ...]] = []

    def resolve(self, _identifier: str) -> Resolution:
        return Resolution(backup=backup())

    def plan_restore(self, request: RestoreRequest, _run: object) -> RestorePlan:
        self.asked.append(request)
        return self.plan

    def plan_undo(self, _run: object) -> RestorePlan:
        return self.plan

    def restore(self, request: RestoreRequest, _run: object) -> RestoreReport:
        self.calls.append(("restore", request))
        return self.report

    def undo(self, _run: object, *, verify: bool | None) -> RestoreReport:
        self.calls.append(("undo", verify))
        return self.report

    def apply_restore(self, plan: RestorePlan, _run: object, *, verify: bool | None) -> RestoreReport:
        self.calls.append(("apply", plan, verify))
        return self.report


def change(action: Any, path: str, size_bytes: int = 0, **others: Any) -> RestoreChange:
    return RestoreChange(**{"action": action, "path": path, "kind": "file", "size_bytes": size_bytes, **others})


SOME = (
    change("attributes", "", kind="directory"),
    change("create", "a\x1b", 2048),
    change("create", "dir", kind="directory"),
    change("kept", "dev", kind="block", text="devices are not made"),
    change("update", "dir/f", 1024),
    change("update", "cache", text="excluded, but in the way", obstructs=True),
    change("delete", "old"),
    change("delete", "older"),
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[str]]:
    """Somebody who gives the answer, and the questions that were asked."""
    questions: list[str] = []

    def sit_down(answer: bool) -> list[str]:
        for stream in (sys.stdin, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        monkeypatch.setattr(typer, "confirm", lambda text, err: questions.append(text) or answer)
        monkeypatch.setenv("TERM", "dumb")
        return questions

    return sit_down


# --- what is asked of the engine --------------------------------------------------------------------------------------


def test_restore_turns_its_options_into_a_request() -> None:
    engine = Restorer()
    words = "restore deploy:src docs --strategy overwrite --to /there --module a --module b --no-restore-point --no-verify --yes"
    assert app.run(words.split(), open_engine=engine) == 0
    request = RestoreRequest(
        backup=ID,
        paths=("src", "docs"),
        modules=("a", "b"),
        target="/there",
        strategy="overwrite",
        restore_point=False,
        verify=False,
    )
    assert engine.calls == [("restore", request)]


@pytest.mark.parametrize(("words", "verify"), [([], None), (["--verify"], True), (["--no-verify"], False)])
def test_what_was_not_said_is_left_to_the_engine(words: list[str], verify: bool | None) -> None:
    engine = Restorer(restore_plan(change("create", "f"), target="/nowhere/at/all"))
    assert app.run(["restore", "latest", *words], open_engine=engine) == 0
    assert engine.asked == [RestoreRequest(backup=ID, verify=verify)]
    assert engine.calls == [("apply", engine.plan, verify)]


@pytest.mark.parametrize(("words", "verify"), [([], None), (["--no-verify"], False)])
def test_undo_with_yes_plans_and_applies_in_one(words: list[str], verify: bool | None) -> None:
    engine = Restorer()
    assert app.run(["undo", "--yes", *words], open_engine=engine) == 0
    assert engine.calls == [("undo", verify)]


def test_no_restore_point_makes_no_sense_for_a_new_place(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Restorer()
    assert app.run(["restore", "latest", "--no-restore-point"], open_engine=engine) == 2
    assert capsys.readouterr().err == (
        "error: --no-restore-point does not go with new_location: nothing is changed there that a restore point could save.\n"
        "hint: Leave it out, or give --strategy overwrite, replace or merge.\n"
    )
    assert (engine.asked, engine.calls) == ([], [])


def test_an_unknown_strategy_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["restore", "latest", "--strategy", "rebase"], open_engine=Restorer()) == 2
    assert "'rebase' is not one of 'new_location', 'overwrite', 'replace', 'merge'" in capsys.readouterr().err


# --- the plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["restore", "latest", "--strategy", "replace"], ["undo"]])
@pytest.mark.parametrize("yes", [[], ["--yes"]])
def test_a_dry_run_only_plans(words: list[str], yes: list[str]) -> None:
    engine = Restorer(restore_plan(*SOME))
    assert app.run([*words, *yes, "-n"], open_engine=engine) == 0
    assert engine.calls == []


def test_a_plan_is_a_row_for_each_path_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    app.run(["restore", "latest", "-n"], open_engine=Restorer(restore_plan(*SOME)))
    assert capsys.readouterr() == (
        "ACTION      PATH      SIZE  NOTE\n"
        "attributes  ./           -  -\n"
        "create      a\\x1b  2.0 KiB  -\n"
        "create      dir/         -  -\n"
        "kept        dev          -  devices are not made\n"
        "update      dir/f  1.0 KiB  -\n"
        "update      cache      0 B  excluded, but in the way\n"
        "delete      old          -  -\n"
        "delete      older        -  -\n"
        f"Would restore {ID} into /project (replace): create 2, update 2, delete 2, set attributes of 1; 3.0 KiB to write."
        " 1 path is kept.\n",
        "",
    )


def test_a_plan_shows_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    many = [change("delete", f"f{number}") for number in range(1000)]
    app.run(["restore", "latest", "-n"], open_engine=Restorer(restore_plan(*many)))
    _title, *rows, sentence = capsys.readouterr().out.splitlines()
    assert [row.split()[1] for row in rows] == [f"f{number}" for number in range(1000)]
    assert sentence.endswith(": delete 1,000.")


def test_on_a_narrow_terminal_a_long_path_takes_no_note_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    plan = restore_plan(change("create", "deep/" * 20, 5), *SOME[5:6])
    app.run(["undo", "-n", "--color", "always"], open_engine=Restorer(plan))
    rows = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()[:3]
    assert [row.rstrip() for row in rows] == [
        "ACTION  PATH          SIZE  NOTE",
        "create  deep/deep/d…   5 B",
        "update  cache          0 B  excluded, b…",
    ]


def test_a_quiet_plan_is_the_paths_that_change(capsys: pytest.CaptureFixture[str]) -> None:
    app.run(["-q", "undo", "-n"], open_engine=Restorer(restore_plan(*SOME)))
    assert capsys.readouterr().out.split() == ["./", "a\\x1b", "dir/", "dir/f", "cache", "old", "older"]


def test_the_plan_of_an_undo_says_what_it_takes_back(capsys: pytest.CaptureFixture[str]) -> None:
    app.run(["undo", "-n"], open_engine=Restorer(restore_plan(change("delete", "f"), verb="undo")))
    assert capsys.readouterr().out.splitlines()[-1] == f"Would undo the restore of /project, back to {ID}: delete 1."


def test_json_of_a_plan_has_exact_paths(capsys: pytest.CaptureFixture[str]) -> None:
    app.run(["restore", "latest", "-n", "--json"], open_engine=Restorer(restore_plan(change("create", "d/\udcff", 7))))
    plan = json.loads(capsys.readouterr().out)
    (row,) = plan["changes"]
    assert b64decode(row.pop("path_b64")) == b"d/\xff"
    assert row == {"action": "create", "path": "d/\\xff", "kind": "file", "size_bytes": 7, "obstructs": False, "text": ""}
    assert (plan["schema_version"], plan["strategy"], plan["verb"], plan["restore_point"]) == (1, "replace", "restore", True)


# --- nothing to do ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({}, f"Nothing differs: /project is already as in {ID}.\n"),
        ({"paths": ("src",)}, f"Nothing differs: what was asked for is already as in {ID}.\n"),
        ({"strategy": "overwrite"}, f"Nothing differs: what was asked for is already as in {ID}.\n"),
        ({"verb": "undo"}, f"Nothing differs: /project is already as in {ID}.\n"),
    ],
)
@pytest.mark.parametrize("words", [["-n"], [], ["--yes"]])
def test_when_nothing_differs_nobody_is_asked(
    others: dict[str, Any], told: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Restorer(restore_plan(**{"target": str(tmp_path), **others}))
    assert app.run(["restore", "latest", *words], open_engine=engine) == 0
    assert capsys.readouterr() == (told.replace("/project", str(tmp_path)), "")


def test_what_differs_but_is_kept_is_listed_unasked_and_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    plan = restore_plan(change("kept", "dev", text="devices are not made"))
    engine = Restorer(plan, problems=(Problem(path="dev", code="not_restored", text="devices are not made"),))
    assert app.run(["restore", "latest"], open_engine=engine) == 3
    assert capsys.readouterr() == (
        f"Nothing to change: /project is as in {ID} where it can be. 1 path is kept.\n",
        "warning: dev: devices are not made\n",
    )
    assert engine.calls == [("apply", plan, None)]


def test_json_of_nothing_to_do_is_a_report_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["undo", "--json"], open_engine=Restorer()) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["files"], report["problems"], report["restore_point"], report["plan"]["changes"]) == (0, [], None, [])


# --- the question -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["restore", "latest", "--strategy", "replace"], ["undo"]])
@pytest.mark.parametrize("sits_there", [True, False])
def test_where_nobody_can_be_asked_it_needs_yes(
    words: list[str],
    sits_there: bool,
    tmp_path: Path,
    terminal: Callable[[bool], list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = Restorer(restore_plan(change("delete", "f"), target=str(tmp_path)))
    if sits_there:
        terminal(True)
        words = [*words, "--json"]
    assert app.run([*words, "--color", "never"], open_engine=engine) == 13
    assert capsys.readouterr().err == (
        f"error: {tmp_path} exists, and there is nobody to ask.\nhint: Give --yes to restore into it.\n"
    )
    assert engine.calls == []


def asked(engine: Restorer, capsys: pytest.CaptureFixture[str], *words: str) -> Told:
    status = app.run([*words, "--color", "never"], open_engine=engine)
    out, err = capsys.readouterr()
    return Told(status, out, re.sub(" +\n", "\n", err))


def test_the_question_comes_after_the_plan(
    tmp_path: Path, terminal: Callable[[bool], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    questions = terminal(False)
    engine = Restorer(restore_plan(*SOME[-3:], target=str(tmp_path)))
    told = asked(engine, capsys, "restore", "latest", "--strategy", "replace")
    assert told == (
        1,
        "",
        "ACTION  PATH   SIZE  NOTE\n"
        "update  cache   0 B  excluded, but in the way\n"
        "delete  old\n"
        "delete  older\n"
        f"Would restore {ID} into {tmp_path} (replace): update 1, delete 2; 0 B to write.\n"
        "A restore point is taken first: `cronos undo` takes this back.\n"
        "note: Nothing was changed.\n",
    )
    assert (questions, engine.calls) == (["Go on?"], [])


@pytest.mark.parametrize("command", [["restore", "latest", "--strategy", "overwrite", "--no-verify"], ["undo", "--no-verify"]])
def test_after_a_yes_the_plan_that_was_shown_is_applied(
    command: list[str], tmp_path: Path, terminal: Callable[[bool], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    questions = terminal(True)
    engine = Restorer(restore_plan(change("delete", "f"), target=str(tmp_path)))
    assert asked(engine, capsys, *command).status == 0
    assert (questions, engine.calls) == (["Go on?"], [("apply", engine.plan, False)])


def test_a_question_shows_the_first_of_many(
    tmp_path: Path, terminal: Callable[[bool], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(False)
    many = [change("delete", f"f{number}") for number in range(45)]
    engine = Restorer(restore_plan(*many, target=str(tmp_path), restore_point=False))
    _titles, *rows, more, _sentence, warning, _note = asked(engine, capsys, "undo").err.splitlines()
    assert (len(rows), more) == (40, "… and 5 more; -n shows all.")
    assert warning == "No restore point is taken: this cannot be undone."


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_report_of_a_restore_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Restorer(restore_plan(*SOME), files=10, size_bytes=12_897_485, verified=10, restore_point="before-restore_1")
    assert app.run(["restore", "latest", "--yes"], open_engine=engine) == 0
    assert capsys.readouterr() == (
        f"Restored {ID} into /project (replace): 10 files written, 2 deleted, 1 with other attributes, 12.3 MiB in 0.4 s."
        " Read back and compared: 10 files. 1 path is kept.\n",
        "note: Restore point before-restore_1: `cronos undo` takes this back.\n"
        "note: Excluded, but in the way: cache. The restore point has what was there.\n",
    )


def test_the_report_of_an_undo(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Restorer(restore_plan(change("create", "f", 5), verb="undo"), restore_point="before-restore_2")
    assert app.run(["undo", "--yes"], open_engine=engine) == 0
    assert capsys.readouterr() == (
        f"Undid the restore of /project, back to {ID}: 1 file written, 5 B in 0.4 s.\n",
        "note: Restore point before-restore_2: `cronos undo` takes this back.\n",
    )


def test_what_obstructed_is_lost_without_a_restore_point_and_that_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    many = [change("update", f"f{number}", obstructs=True) for number in range(22)]
    app.run(["-q", "restore", "latest", "--yes"], open_engine=Restorer(restore_plan(*many)))
    assert capsys.readouterr() == (
        "",
        f"warning: Excluded, but in the way: {', '.join(f'f{number}' for number in range(20))} and 2 more."
        " No backup has what was there.\n",
    )


@pytest.mark.parametrize(
    ("plan", "point", "told"),
    [
        (restore_plan(*SOME), "before-restore_1", "before-restore_1\n"),
        (restore_plan(*SOME[:2]), None, ""),
        (restore_plan(strategy="new_location", files=1, restore_point=False), None, "/project\n"),
    ],
    ids=["in place", "in place without", "elsewhere"],
)
def test_a_quiet_report_is_one_word(plan: RestorePlan, point: str | None, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["-q", "restore", "latest", "--yes"], open_engine=Restorer(plan, restore_point=point)) == 0
    assert capsys.readouterr() == (told, "")


def test_problems_of_a_restore_are_listed_and_end_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem(path="f", code="attribute", text="The owner was not set.")
    engine = Restorer(restore_plan(change("create", "f")), problems=(problem,))
    assert app.run(["restore", "latest", "--yes"], open_engine=engine) == 3
    assert capsys.readouterr().err == "warning: f: The owner was not set.\n"
