"""Parsing, exit statuses and the two ends, with an engine that gives canned results."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from cronos_git import __version__, errors
from cronos_git.cli import app, command
from cronos_git.cli.paths import rooted
from cronos_git.model import Backup, Problem, Query, SnapshotReport, SnapshotRequest
from tests.cli.records import NOON, backup, report
from tests.support.clock import FakeClock


class CannedEngine:
    """Gives the backups and the result it was made with, and remembers what it was asked."""

    def damaged(self) -> list[object]:
        return []

    def __init__(self, backups: Sequence[Backup] = (), result: Callable[[], Any] = lambda: None) -> None:
        self.made = list(backups)
        self.result = result
        self.asked: list[Any] = []
        self.opened_with: dict[str, object] = {}
        self.clock = FakeClock(NOON)
        self.zone = UTC
        self.project = Path("/project")
        self.store_path = Path("/backups/project.git")

    def __call__(self, **places: object) -> Any:
        self.opened_with = places
        return self

    def foresee(self, _plan: object, _request: object) -> None:
        return None

    def backups(self, query: Query) -> list[Backup]:
        self.asked.append(query)
        return self.made

    def snapshot(self, request: SnapshotRequest, _run: object) -> SnapshotReport:
        self.asked.append(request)
        result: SnapshotReport = self.result()
        return result


def raises(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


# --- parsing --------------------------------------------------------------------------------------------------------


def test_create_turns_its_options_into_a_request() -> None:
    engine = CannedEngine(result=lambda: report(backup()))
    words = "create deploy --type pre-deploy -m why --label a --label b --include keep --exclude x --meta n=3 --meta who=me"
    assert (
        app.run(
            [*words.split(), "--meta", 'j={"a":[1]}', "--module", "ETHIK", "--skip-if-unchanged", "--description", "long"],
            open_engine=engine,
        )
        == 0
    )
    assert engine.asked == [
        SnapshotRequest(
            name="deploy",
            type="pre-deploy",
            message="why",
            description="long",
            labels=("a", "b"),
            metadata={"n": 3, "who": "me", "j": {"a": [1]}},
            modules=("ETHIK",),
            include=("keep",),
            exclude=("x",),
            skip_if_unchanged=True,
        )
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "-C", "/p", "--lock-wait", "2", "list"],
        ["list", "--json", "-C", "/p", "--lock-wait", "2"],
        ["-C", "/p", "list", "--json", "--lock-wait=2"],
    ],
)
def test_global_options_may_stand_before_or_after_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    engine = CannedEngine([backup()])
    assert app.run(words, open_engine=engine) == 0
    places = {name: engine.opened_with[name] for name in engine.opened_with if name != "peers"}
    assert places == {"project": "/p", "backup_dir": None, "config": None, "lock_wait_s": 2.0, "force": False}
    assert json.loads(capsys.readouterr().out)["id"] == "backup_20260401_130000"


def test_the_last_of_a_global_option_given_twice_counts() -> None:
    engine = CannedEngine()
    app.run(["-C", "/one", "list", "-C", "/two"], open_engine=engine)
    assert engine.opened_with["project"] == "/two"


def test_a_word_that_looks_like_a_global_option_stays_the_value_of_another() -> None:
    engine = CannedEngine(result=lambda: report(backup()))
    app.run(["create", "-m", "--json"], open_engine=engine)
    assert engine.asked[0].message == "--json"


@pytest.mark.parametrize("value", ["NaN", "1e999", "-Infinity", '{"a":NaN}', "[" * 20000, "plain", "\udcff"])
def test_metadata_that_json_cannot_hold_is_text(value: str) -> None:
    engine = CannedEngine(result=lambda: report(backup()))
    app.run(["create", "--meta", f"k={value}"], open_engine=engine)
    assert engine.asked[0].metadata == {"k": value}


def test_undecodable_bytes_in_texts_are_written_as_escapes() -> None:
    engine = CannedEngine(result=lambda: report(backup()))
    app.run(["create", "-m", "caf\udce9", "--description", "\udcff", "--label", "\udc80é"], open_engine=engine)
    request = engine.asked[0]
    assert (request.message, request.description, request.labels) == ("caf\\xe9", "\\xff", ("\\x80é",))


@pytest.mark.parametrize("word", ["", "a b", "Manual", "a\nb", "x:y", "é", "restore-point"])
def test_a_type_that_is_no_word_or_reserved_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    engine = CannedEngine()
    assert app.run(["create", "--type", word], open_engine=engine) == 2
    assert engine.asked == []
    assert "hint: " in capsys.readouterr().err


@pytest.mark.parametrize("command", [["list"], ["find", "x"]])
@pytest.mark.parametrize(("module", "scope"), [("ETHIK", "ethik"), ("./subsystems/ETHIK/", "subsystems-ethik")])
def test_a_module_is_spelled_as_scopes_spell_it(command: list[str], module: str, scope: str) -> None:
    class Finder(CannedEngine):
        def find(self, _patterns: Sequence[str], query: Query) -> list[Backup]:
            return self.backups(query)

    engine = Finder()
    assert app.run([*command, "--module", module], open_engine=engine) == 0
    assert engine.asked[0].module == scope


@pytest.mark.parametrize(
    ("word", "path"), [("./src/a", "src/a"), ("src/", "src"), ("/project/src", "src"), (".", ""), ("src//a/../b", "src/b")]
)
def test_paths_are_read_from_the_root_however_they_are_written(word: str, path: str) -> None:
    engine = CannedEngine()
    assert app.run(["list", "--contains", word], open_engine=engine) == 0
    assert engine.asked[0].contains == path


def test_a_path_outside_the_project_is_wrong_usage() -> None:
    assert app.run(["list", "--contains", "/projects/x"], open_engine=CannedEngine()) == 2


@pytest.mark.parametrize(
    ("pattern", "asked"),
    [("./f", "/f"), ("/project/src/*.py", "/src/*.py"), ("/src/f", "/src/f"), ("*.py", "*.py"), (".env", ".env")],
)
def test_patterns_of_find_may_name_the_root(pattern: str, asked: str) -> None:
    assert rooted(Path("/project"), pattern) == asked


def test_until_takes_in_the_whole_minute_and_since_begins_with_it() -> None:
    engine = CannedEngine()
    app.run(["list", "--since", "2026-03-01 10:00", "--until", "2026-03-01 10:00"], open_engine=engine)
    query = engine.asked[0]
    assert (query.since.isoformat(), query.until.isoformat()) == (
        "2026-03-01T10:00:00+00:00",
        "2026-03-01T10:00:59.999999+00:00",
    )


def test_list_turns_its_options_into_a_query() -> None:
    engine = CannedEngine()
    words = "list --type auto --type manual --name n* --label a --module m --meta k=v --meta only --contains src/a"
    app.run(
        [
            "--quiet",
            *words.split(),
            "--since",
            "2026-03-01",
            "--until",
            "2026-03-02T10:00:00+02:00",
            "--sort=size",
            "--reverse",
            "-l3",
        ],
        open_engine=engine,
    )
    query = engine.asked[0]
    assert query == Query(
        types=("auto", "manual"),
        name="n*",
        labels=("a",),
        module="m",
        metadata={"k": "v", "only": ""},
        since=query.since,
        until=query.until,
        contains="src/a",
        sort="size",
        reverse=True,
        limit=3,
    )
    assert query.since.isoformat() == "2026-03-01T00:00:00+00:00"
    assert query.until == NOON.replace(month=3, day=2, hour=8, second=0, microsecond=999_999)


def test_quiet_lists_only_ids(capsys: pytest.CaptureFixture[str]) -> None:
    app.run(["list", "-q"], open_engine=CannedEngine([backup(2), backup(1)]))
    assert capsys.readouterr() == ("backup_20260401_140000\nbackup_20260401_130000\n", "")


def test_an_empty_list_tells_how_to_begin_without_touching_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["list"], open_engine=CannedEngine()) == 0
    assert capsys.readouterr() == ("", "note: No backups yet. Make one: cronos create\n")


# --- exit statuses --------------------------------------------------------------------------------------------------


def statuses_of(kind: type[errors.CronosError]) -> list[type[errors.CronosError]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in statuses_of(below))]


OWN_CONTEXT: dict[type[errors.CronosError], dict[str, object]] = {
    errors.MergeConflictError: {"conflicts": []},
    errors.ServiceError: {"remote_code": ""},
}


@pytest.mark.parametrize("kind", statuses_of(errors.CronosError), ids=lambda kind: kind.__name__)
def test_every_error_ends_with_its_status_message_and_hint(
    kind: type[errors.CronosError], capsys: pytest.CaptureFixture[str]
) -> None:
    failing = CannedEngine(result=raises(kind("It broke\x1b.", hint="Mend it.", path="a\udcff")))
    assert app.run(["create", "--json"], open_engine=failing) == kind.exit_status
    out, err = capsys.readouterr()
    assert err == "error: It broke\\x1b.\nhint: Mend it.\n"
    assert json.loads(out) == {
        "schema_version": 1,
        "error": {
            "code": kind.code,
            "message": "It broke\x1b.",
            "hint": "Mend it.",
            "context": {"path": "a\\xff", "path_b64": "Yf8="} | OWN_CONTEXT.get(kind, {}),
            "exit_status": kind.exit_status,
        },
    }


def test_every_status_an_error_can_end_with_is_explained_in_the_help() -> None:
    assert {kind.exit_status for kind in statuses_of(errors.CronosError)} <= command.STATUSES.keys()


def test_problems_are_listed_and_end_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    problems = tuple(Problem(path=f"f{n}", code="unreadable", text="permission denied") for n in range(25))
    engine = CannedEngine(result=lambda: report(backup(), problems=problems))
    assert app.run(["create"], open_engine=engine) == 3
    lines = capsys.readouterr().err.splitlines()
    assert "warning: f0: permission denied" in lines
    assert lines[-1] == "warning: … and 5 more; -v lists them all."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["frob"], "No such command 'frob'."),
        (["verfy"], "No such command 'verfy'. Did you mean 'verify'?"),
        (["list", "--frob"], "No such option: --frob"),
        (["list", "--sort", "colour"], "Invalid value for '--sort'"),
        (["show"], "Missing argument"),
        (["create", "--meta", "novalue"], "--meta 'novalue' is not KEY=VALUE."),
    ],
)
def test_wrong_usage_ends_with_2_and_one_json_object(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([*words, "--json"], open_engine=CannedEngine()) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert json.loads(out)["error"]["exit_status"] == 2


def test_no_command_shows_the_help_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Commands:" in err


def test_a_bug_is_told_without_a_trace_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    engine = CannedEngine(result=raises(KeyError("x")))
    assert app.run(["create"], open_engine=engine) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: Internal error: KeyError: 'x'\nhint: This is a bug in CRONOS (cronos ")
    assert "Traceback" not in told
    app.run(["create", "-vv"], open_engine=engine)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_and_ends_with_its_status(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    unwound = []

    def interrupted() -> Any:
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        except Exception:
            pytest.fail("an `except Exception` stopped the signal")
        finally:
            unwound.append(True)

    before = signal.getsignal(number)
    assert app.run(["create"], open_engine=CannedEngine(result=interrupted)) == 128 + number
    assert unwound == [True]
    assert signal.getsignal(number) is before
    assert f"Interrupted by {number.name}" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_further_signals_do_not_break_off_what_the_first_rolls_back(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    rolled_back = []

    def interrupted() -> Any:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(number)
            rolled_back.append(True)

    before = signal.getsignal(number)
    assert app.run(["create"], open_engine=CannedEngine(result=interrupted)) == 128 + signal.SIGINT
    assert rolled_back == [True]
    assert signal.getsignal(number) is before
    told = capfd.readouterr().err
    assert told == "\nStopping; putting things back. One moment.\nerror: Interrupted by SIGINT; nothing is half-done.\n"


def test_a_signal_that_was_ignored_from_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        engine = CannedEngine(result=lambda: (os.kill(os.getpid(), signal.SIGHUP), report(backup()))[1])
        assert app.run(["create"], open_engine=engine) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


# --- the two ends ---------------------------------------------------------------------------------------------------

_LIST_MANY = """
import sys
from cronos_git.cli.app import run
from tests.cli.records import backup
from tests.cli.test_command_line import CannedEngine
sys.exit(run(["list"], open_engine=CannedEngine([backup(n) for n in range(1, 5000)])))
"""


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    child = subprocess.Popen([sys.executable, "-c", _LIST_MANY], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.close()
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_an_error() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", _LIST_MANY], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.decode() == f"error: Cannot write the output: {os.strerror(errno.ENOSPC)}.\n"


# --- facts about the program -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--json", "--version"], ["--version", "--json"]])
def test_the_version_as_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(words) == 0
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "version": __version__}


def test_the_completion_script_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert app.run(["completion", "bash", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "shell": "bash", "script": script.removesuffix("\n")}


def test_git_that_is_too_old_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.20.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert app.run(["git", "log"], open_engine=CannedEngine()) == 16
    assert "git 2.20.1 is too old" in capsys.readouterr().err


# --- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in app._MODULES if name != "git"])
def test_the_help_of_every_command_ends_with_statuses_and_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    groups = {"config": "show", "label": "add", "hooks": "run", "remote": "add", "schedule": "run"}
    words = [name, groups[name]] if name in groups else [name]
    assert app.run([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Exit status: 0 done" in text
    assert text.rstrip().rpartition("Examples:\n")[2].strip().startswith(f"cronos {name}")


def test_every_option_of_every_command_has_help() -> None:
    def options(group: Any, path: str) -> list[tuple[str, Any]]:
        found = [(f"{path} {param.name}", param) for param in group.params]
        return found + [
            pair for name, member in getattr(group, "commands", {}).items() for pair in options(member, f"{path} {name}")
        ]

    everything = options(app.parser(["--help"]), "cronos")
    assert len(everything) > 100
    assert [where for where, param in everything if not param.help] == []
