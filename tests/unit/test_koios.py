from __future__ import annotations

import errno
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cronos_git import bootstrap
from cronos_git.disk import files
from cronos_git.errors import DiskFullError, RefusedError
from cronos_git.events import Noticed, Run
from cronos_git.integrations import koios
from cronos_git.integrations.koios import KoiosLogger, OperationLog, listening, python_logger
from cronos_git.model import SnapshotRequest
from cronos_git.rules.log_lines import LogLine, console_line, json_line
from tests.support.engine import make_engine

URL = "https://me:secret@example.org/x"


class Listener(logging.Handler):
    """What another program's logging is told."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def heard() -> Iterator[Listener]:
    listener, top = Listener(), logging.getLogger("CRONOS")
    top.addHandler(listener)
    top.setLevel("INFO")
    yield listener
    top.removeHandler(listener)
    top.setLevel("NOTSET")


def fields(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    return found


# --- loggers ---


def test_a_logger_changes_nothing_and_says_nothing_until_somebody_listens(tmp_path: Path) -> None:
    code = """
import logging, os
from cronos_git.integrations.koios import KoiosLogger, python_logger
log = KoiosLogger.get_logger("CRONOS.BackupManager", config={"log_file": "x"})
assert log is KoiosLogger.get_logger("CRONOS.BackupManager")
assert log is not KoiosLogger.get_logger("CRONOS.Other")
log.error("nobody hears this")
python_logger("CRONOS.Plain").error("nor this")
root = logging.getLogger()
loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
assert root.handlers == [] and root.level == logging.WARNING, root
assert all(not one.handlers for one in loggers if one.name.startswith("CRONOS")), loggers
assert os.listdir() == []
"""
    place = tmp_path / "cwd"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env={"PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_program_with_logging_gets_plain_records_with_the_fields_and_its_own_line(heard: Listener) -> None:
    log = KoiosLogger.get_logger("CRONOS.Test")
    log.info("Backup %s", "b1", extra={"files": 3}, took_s=1.5)
    log.bind(job="j1").warning("slow")
    log.debug("not heard")
    one, two = heard.records
    assert (one.getMessage(), one.name, one.levelname) == ("Backup b1", "CRONOS.Test", "INFO")
    assert (vars(one)["files"], vars(one)["took_s"]) == (3, 1.5)
    assert vars(two)["job"] == "j1"
    assert {record.filename for record in heard.records} == {"test_koios.py"}


def test_an_exception_comes_with_its_trace_and_the_line_that_told_it(heard: Listener) -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        KoiosLogger.get_logger("CRONOS.Test").exception("It failed")
    (record,) = heard.records
    assert record.exc_info
    assert record.exc_info[0] is ValueError
    assert record.filename == "test_koios.py"


def test_fields_named_as_pythons_own_are_kept_under_another_name(heard: Listener) -> None:
    KoiosLogger.get_logger("CRONOS.Test").info("x", extra={"name": "deploy", "args": [1], "message": "m"})
    record = vars(heard.records[0])
    assert (record["name_"], record["args_"], record["message_"]) == ("deploy", [1], "m")


def test_passwords_in_urls_reach_no_listener(heard: Listener) -> None:
    KoiosLogger.get_logger("CRONOS.Test").info(f"from {URL}", extra={"url": URL, "deep": {"of": [URL, "nats://t0ken@host"]}})
    record = heard.records[0]
    assert "secret" not in str(vars(record)) + record.getMessage()
    assert "t0ken" not in str(vars(record))
    assert vars(record)["url"] == "https://me:***@example.org/x"


def test_a_message_that_cannot_be_formatted_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    console, errors = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", errors)
    monkeypatch.setattr(logging.getLogger("CRONOS"), "propagate", False)  # pytest's own handler raises
    monkeypatch.setattr(logging.getLogger("CRONOS"), "handlers", [])
    with listening(level="info", console=console, zone=UTC):
        KoiosLogger.get_logger("CRONOS.Test").info("%d files", "many")
        python_logger("CRONOS.Plain").info("100% of %s and %s", "one")
        KoiosLogger.get_logger("CRONOS.Test").info("fine at 100%")
    assert [line.rsplit(" | ", 1)[1] for line in console.getvalue().splitlines()] == ["fine at 100%"]
    assert "%d files" in errors.getvalue()


def test_pythons_own_logger_hides_passwords_too_and_is_pythons_own(heard: Listener) -> None:
    log = python_logger("CRONOS.Plain")
    assert log is logging.getLogger("CRONOS.Plain") is python_logger("CRONOS.Plain")
    log.warning("from %s", URL, extra={"urls": [URL]})
    (record,) = heard.records
    assert record.getMessage() == "from https://me:***@example.org/x"
    assert vars(record)["urls"] == ["https://me:***@example.org/x"]


# --- lines ---


def test_the_console_line_has_the_form_of_egos_and_then_the_fields() -> None:
    line = LogLine(
        when=datetime(2026, 4, 1, 14, 0, 0, 5, tzinfo=UTC),
        level="INFO",
        name="CRONOS.Service",
        message="Backup made",
        fields={"backup": "b1", "files": 3, "why": 'a "b"', "empty": "", "labels": ["x"]},
    )
    assert console_line(line, UTC) == (
        "2026-04-01 14:00:00 | INFO     | CRONOS.Service                 | "
        'Backup made  backup=b1 files=3 why="a \\"b\\"" empty="" labels=["x"]'
    )


def test_hostile_texts_stay_on_their_line_and_reach_no_terminal() -> None:
    nasty = "a\nb\x1b[31m\u202e\udcff"
    line = LogLine(when=datetime(2026, 4, 1, tzinfo=UTC), level="INFO", name=nasty, message=nasty, fields={nasty: nasty})
    shown = console_line(line, UTC)
    assert not {"\n", "\x1b", "\u202e", "\udcff"} & set(shown)
    raw = json_line(line)
    assert raw.count(b"\n") == 1
    assert fields(raw)["message"] == fields(raw)[nasty] == nasty


def test_json_says_every_value_somehow() -> None:
    loop: list[object] = []
    loop.append(loop)
    values = {"path": Path("/x"), "when": datetime(2026, 4, 1, tzinfo=UTC), "nan": float("nan"), "loop": loop, "level": "mine"}
    found = fields(json_line(LogLine(when=datetime(2026, 4, 1, tzinfo=UTC), level="INFO", name="n", message="m", fields=values)))
    assert (found["path"], found["when"], found["nan"]) == ("/x", "2026-04-01T00:00:00Z", "nan")
    assert (found["level"], found["level_"]) == ("INFO", "mine")


# --- where it goes ---


def test_listening_shows_lines_on_the_console_and_writes_them_as_json(heard: Listener) -> None:
    console, written = io.StringIO(), list[bytes]()
    logging.getLogger("CRONOS").setLevel("ERROR")
    with listening(level="info", console=console, zone=UTC, write=written.append):
        KoiosLogger.get_logger("CRONOS.Test").info("Hello", extra={"files": 3})
        KoiosLogger.get_logger("CRONOS.Test").debug("less than is told")
        logging.getLogger("CRONOS.Plain").warning("%s too", "stdlib")
    assert logging.getLogger("CRONOS").handlers == [heard]
    assert logging.getLogger("CRONOS").level == logging.ERROR
    assert [line.split(" | ", 1)[1] for line in console.getvalue().splitlines()] == [
        "INFO     | CRONOS.Test                    | Hello  files=3",
        "WARNING  | CRONOS.Plain                   | stdlib too",
    ]
    first = fields(written[0])
    assert list(first) == ["timestamp", "level", "name", "message", "files"]
    assert (first["level"], first["message"], first["files"]) == ("INFO", "Hello", 3)


def test_a_trace_is_shown_indented_and_without_passwords() -> None:
    console, written = io.StringIO(), list[bytes]()
    with listening(level="info", console=console, zone=UTC, write=written.append):
        try:
            raise ValueError(URL)
        except ValueError:
            KoiosLogger.get_logger("CRONOS.Test").exception("It failed")
    assert "    ValueError: https://me:***@example.org/x" in console.getvalue()
    assert "secret" not in console.getvalue() + written[0].decode()
    assert fields(written[0])["exception"].endswith("ValueError: https://me:***@example.org/x")


class Stuck(io.StringIO):
    """A console whose reader has stopped until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.begun.set()
        assert self.free.wait(10)
        return super().write(text)


def test_a_console_that_does_not_take_lines_holds_nobody_up_and_what_is_dropped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(koios, "_QUEUED_LINES", 3)
    console = Stuck()
    log = KoiosLogger.get_logger("CRONOS.Test")
    with listening(level="info", console=console, zone=UTC):
        log.info("first")
        assert console.begun.wait(10)
        for number in range(5):
            log.info(f"line {number}")
        console.free.set()
    shown = console.getvalue()
    assert "line 2" in shown
    assert "line 3" not in shown
    assert "Lines of the log were dropped" in shown
    assert "count=2" in shown


def test_a_console_that_takes_nothing_keeps_nothing_from_the_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(koios, "_LAST_WORDS_S", 0.2)
    console, written, last = Stuck(), list[bytes](), threading.Event()

    def write(line: bytes) -> None:
        written.append(line)
        if b"line 4" in line:
            last.set()

    with listening(level="info", console=console, zone=UTC, write=write):
        for number in range(5):
            KoiosLogger.get_logger("CRONOS.Test").info(f"line {number}")
        assert console.begun.wait(10)
        assert last.wait(10)
    console.free.set()
    assert [fields(line)["message"] for line in written] == [f"line {number}" for number in range(5)]


@pytest.mark.parametrize("gone", [ValueError("I/O operation on closed file."), BrokenPipeError(errno.EPIPE, "Broken pipe")])
def test_a_console_that_is_gone_is_no_matter_to_the_log_file(gone: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    console, errors, written = io.StringIO(), io.StringIO(), list[bytes]()

    def write(_text: str) -> int:
        raise gone

    monkeypatch.setattr(console, "write", write)
    monkeypatch.setattr(sys, "stderr", errors)
    with listening(level="info", console=console, zone=UTC, write=written.append):
        KoiosLogger.get_logger("CRONOS.Test").info("line")
    assert [fields(line)["message"] for line in written] == ["line"]
    assert errors.getvalue() == ""


def test_a_log_file_that_cannot_be_written_is_told_once_and_the_console_goes_on() -> None:
    console, full = io.StringIO(), True

    def write(_line: bytes) -> None:
        if full:
            raise DiskFullError("No space is left.")

    with listening(level="info", console=console, zone=UTC, write=write):
        for number in range(3):
            KoiosLogger.get_logger("CRONOS.Test").info(f"line {number}")
    assert console.getvalue().count("The log file is not written: No space is left.") == 1
    assert "line 2" in console.getvalue()


# --- the operation log ---


def test_every_operation_reaches_the_log_file_as_the_operation_log_has_it(tmp_path: Path) -> None:
    engine, written = make_engine(tmp_path), list[bytes]()
    engine.sinks = (OperationLog(written.append, level="info", project=str(engine.project)),)
    (engine.project / "a").write_text("1")
    backup = engine.snapshot(SnapshotRequest()).backup
    engine.delete([backup.id])
    found = [fields(line) for line in written]
    assert [(one["level"], one["name"], one["message"]) for one in found] == [
        ("INFO", "CRONOS.Operations", "create done"),
        ("INFO", "CRONOS.Operations", "delete done"),
    ]
    assert found[0]["backup"] == backup.id
    assert found[0]["project"] == str(engine.project)
    assert found[0]["timestamp"] == "2040-01-01T12:00:00Z"
    assert [one["verb"] for one in found] == [operation.verb for operation in reversed(engine.operations())]


def no_space(name: str, path: str) -> None:
    if name == "write":
        raise OSError(errno.ENOSPC, "No space left on device", path)


@pytest.mark.parametrize(("level", "expected"), [("info", ["create done", "create failed"]), ("error", ["create failed"])])
def test_the_level_says_the_least_that_is_written(tmp_path: Path, level: str, expected: list[str]) -> None:
    engine, written = make_engine(tmp_path), list[bytes]()
    engine.sinks = (OperationLog(written.append, level=level, project="p"),)
    (engine.project / "a").write_text("1")
    engine.snapshot(SnapshotRequest())
    (engine.project / "a").write_text("2")
    files.step = no_space
    with pytest.raises(DiskFullError):
        engine.snapshot(SnapshotRequest())
    assert [fields(line)["message"] for line in written] == expected


class Refusing:
    """A sink that can write nothing."""

    def record(self, entry: Mapping[str, object]) -> None:
        raise DiskFullError("No space is left.")


def test_a_log_file_that_cannot_be_written_stops_no_backup_and_no_other_sink(tmp_path: Path) -> None:
    engine, written, told = make_engine(tmp_path), list[bytes](), list[object]()
    engine.sinks = (Refusing(), OperationLog(written.append, level="info", project="p"))
    (engine.project / "a").write_text("1")
    engine.snapshot(SnapshotRequest(), Run(emit=told.append))
    assert [event.code for event in told if isinstance(event, Noticed)] == ["log.unwritten"]
    assert len(engine.backups()) == len(engine.operations()) == len(written) == 1


def test_the_configuration_names_the_log_file(tmp_path: Path) -> None:
    project, log = tmp_path / "project", tmp_path / "logs" / "cronos.log"
    project.mkdir()
    (project / "a").write_text("1")
    settings = {"log_file": str(log), "log_size": "1 MiB", "log_keep": 2}
    engine = bootstrap.open_engine(project=str(project), backup_dir=str(tmp_path / "stores"), overrides=settings)
    assert not log.parent.exists()
    engine.snapshot(SnapshotRequest())
    assert fields(log.read_bytes())["verb"] == "create"


def test_a_log_file_in_the_project_is_refused_as_each_backup_would_be_a_change(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "project")
    (tmp_path / "project").mkdir()
    with pytest.raises(RefusedError, match="each backup would be a change"):
        bootstrap.open_engine(
            project=str(tmp_path / "project"),
            backup_dir=str(tmp_path / "stores"),
            overrides={"log_file": str(tmp_path / "link" / "logs" / "c.log")},
        )


def test_without_a_log_file_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    code = """
import sys
from cronos_git import bootstrap
bootstrap.open_engine(project=sys.argv[1], backup_dir=sys.argv[2])
assert not {"structlog", "logging", "cronos_git.integrations.koios", "cronos_git.integrations.atlas"} & set(sys.modules)
"""
    arguments = [sys.executable, "-c", code, str(tmp_path), str(tmp_path.parent / "stores")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
