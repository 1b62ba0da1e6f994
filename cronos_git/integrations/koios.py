"""KOIOS: loggers by name, and where what they tell is written down.

`KoiosLogger.get_logger` has EGOS's signature, but nothing happens until a program asks for it: no handler, no directory, no
change of the root logger. Messages go through Python's logging, so a program that configures that sees them there; one that
does not sees nothing. `listening` shows them on a console and in a log file, as `cronos serve` does it. `OperationLog` writes
the operation log to the same file. No foreign KOIOS is ever imported. Floor F8; files are `disk.logfiles`'s.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, TextIO

from cronos_git.errors import CronosError
from cronos_git.rules.log_lines import LEVELS, LogLine, console_line, json_line, plain

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger
    from structlog.typing import Processor

Write = Callable[[bytes], None]
"""Adds a line with its newline to the log file, or raises a CronosError."""

TOP = "CRONOS"
"""The logger above all loggers of CRONOS."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_KEYWORDS = ("exc_info", "stack_info")
_QUEUED_LINES = 10_000
_LAST_WORDS_S = 5.0
_LEVEL_OF_RESULT = {"failed": "error", "interrupted": "warning", "left": "warning"}


# --- loggers ------------------------------------------------------------------------------------------------------


class KoiosLogger:
    """EGOS's way to a logger."""

    @staticmethod
    @functools.cache
    def _logger(name: str) -> BoundLogger:
        import structlog  # 140 ms: it brings rich and asyncio along

        chain: list[Processor] = [structlog.stdlib.filter_by_level, _to_record]
        wrapped = structlog.wrap_logger(python_logger(name), chain, structlog.stdlib.BoundLogger, dict)
        bound: BoundLogger = wrapped.bind()
        return bound

    @staticmethod
    def get_logger(name: str, config: Mapping[str, object] | None = None) -> BoundLogger:
        """The logger called *name*, such as `CRONOS.BackupManager`; the same for the same name.

        It has the methods of Python's loggers; what is told besides the message is given as keywords, or as `extra={…}`. A
        field with a name that Python's records need themselves (`name`, `args`) gets `_` after it.

        Args:
            config: Taken, as parts of EGOS give it, and without effect: what is shown where is the program's to say.

        Cost: the first one imports structlog; `python_logger` does not.
        """
        del config
        return KoiosLogger._logger(name)


def python_logger(name: str) -> logging.Logger:
    """Python's own logger called *name*, which tells nothing when nobody listens, and no passwords of URLs."""
    logger = logging.getLogger(name)
    logger.addFilter(_prepared)
    return logger


def _prepared(record: logging.LogRecord) -> bool:
    """Whether somebody listens, as Python shows warnings that nobody listens to on stderr; what they hear has no passwords."""
    if not logging.getLogger(record.name).hasHandlers():
        return False
    with contextlib.suppress(Exception):  # whatever cannot be formatted is told by the handlers, and never stops who logs
        record.msg, record.args = plain(record.getMessage()), None
    for name in vars(record).keys() - _STANDARD:
        value = getattr(record, name)
        if isinstance(value, str | Mapping | list | tuple):  # objects stay objects for whoever formats the record
            setattr(record, name, plain(value))
    return True


def _to_record(_logger: logging.Logger, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a method of Python's loggers: fields become attributes of the record."""
    extra = event.pop("extra", None)
    keywords = {name: event.pop(name) for name in _KEYWORDS if name in event}
    message = (event.pop("event", ""), *event.pop("positional_args", ()))
    told = {**(extra if isinstance(extra, Mapping) else {} if extra is None else {"extra": extra}), **event}
    fields = {f"{name}_" if name in _STANDARD else str(name): value for name, value in told.items()}
    return message, {"extra": fields, "stacklevel": _frames_above(), **keywords}


def _frames_above() -> int:
    """How many calls of structlog lie between the one who logs and Python's logger, so that it names the former's line."""
    frame, count = sys._getframe(2), 0
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("structlog."):
        count += 1
        frame = frame.f_back  # type: ignore[assignment]
    return count


# --- where it goes ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(*, level: str, console: TextIO, zone: tzinfo, write: Write | None = None) -> Iterator[None]:
    """Show what CRONOS's loggers tell while the block runs, and write it to the log file.

    Console and file have a thread each, so that neither a slow disk nor a reader of the console who has stopped holds up an event
    loop, or the other. When one falls ten thousand lines behind, lines are dropped there, and their number is told; at the end
    they have five seconds for what is left.

    Args:
        level: The least that is told, one of `LEVELS`.
        console: Gets lines for people, in *zone*; also that the log file cannot be written, once until it can again. When
            nobody takes them, they are lost.
        write: Adds to the log file; None for none.
    """
    top = logging.getLogger(TOP)
    before = top.level
    showing = _Listener("cronos-console", functools.partial(_show, console, zone))
    listeners = [_Listener("cronos-log", _Keeping(write, showing.emit)), showing] if write else [showing]
    for listener in listeners:
        top.addHandler(listener)
    top.setLevel(LEVELS[level])
    try:
        yield
    finally:
        for listener in listeners:
            top.removeHandler(listener)
        top.setLevel(before)
        deadline = time.monotonic() + _LAST_WORDS_S
        for listener in listeners:  # the file's first, which may have something to show
            listener.finish(deadline)


class _Listener(logging.Handler):
    """Hands records to a thread of its own; counts those that find no room.

    Args:
        put: Puts a line where it belongs; called in that thread only.
    """

    def __init__(self, name: str, put: Callable[[LogLine], None]) -> None:
        super().__init__()
        self._put = put
        self._dropped = 0
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(_QUEUED_LINES)
        self._thread = threading.Thread(target=self._put_all, name=name, daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            told = copy.copy(record)
            told.msg, told.args = record.getMessage(), None  # now, as arguments of other loggers may change
            self._waiting.put_nowait(told)
        except queue.Full:
            self._dropped += 1
        except Exception:
            self.handleError(record)

    def finish(self, deadline: float) -> None:
        """Put what is left, until *deadline* on the monotonic clock."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=max(0.0, deadline - time.monotonic()))
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _put_all(self) -> None:
        told = 0
        while (record := self._waiting.get()) is not None:
            self._put_one(record)
            if self._waiting.empty() and (count := self._dropped - told):
                told += count
                self._put_one(_own("Lines of the log were dropped, as they could not be written fast enough.", count=count))

    def _put_one(self, record: logging.LogRecord) -> None:
        try:
            self._put(_line(record))
        except Exception:
            self.handleError(record)


def _show(console: TextIO, zone: tzinfo, line: LogLine) -> None:
    with contextlib.suppress(OSError, ValueError):  # it is gone or closed; there is nowhere to tell that
        console.write(console_line(line, zone) + "\n")
        console.flush()


class _Keeping:
    """Adds lines to the log file, and tells when that cannot be done."""

    def __init__(self, write: Write, tell: Callable[[logging.LogRecord], None]) -> None:
        self._write = write
        self._tell = tell
        self._is_unwritten = False

    def __call__(self, line: LogLine) -> None:
        try:
            self._write(json_line(line))
            self._is_unwritten = False
        except CronosError as error:
            if not self._is_unwritten:
                self._tell(_own(f"The log file is not written: {error.message}"))
            self._is_unwritten = True


def _own(message: str, **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": f"{TOP}.Log", "levelname": "WARNING", "msg": message, **fields})


def _line(record: logging.LogRecord) -> LogLine:
    exception = logging.Formatter().formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
    return LogLine(
        when=datetime.fromtimestamp(record.created, UTC),
        level=record.levelname,
        name=record.name,
        message=record.getMessage(),
        fields={name: value for name, value in vars(record).items() if name not in _STANDARD},
        exception="\n".join(filter(None, (exception, record.stack_info))),
    )


# --- the operation log --------------------------------------------------------------------------------------------


class OperationLog:
    """Writes the records of the operation log to the log file; implements `ports.OperationSink`.

    Args:
        level: The least that is told: what was done is `info`, what was interrupted `warning`, what failed `error`.
        project: Whose operations these are, as several projects may have one log file.
    """

    def __init__(self, write: Write, *, level: str, project: str) -> None:
        self._write = write
        self._least = LEVELS[level]
        self._project = project

    def record(self, entry: Mapping[str, object]) -> None:
        """Write *entry*, unless it is less than is to be told.

        Raises:
            CronosError: It could not be written.
        """
        verb, result = str(entry.get("verb", "")), str(entry.get("result", ""))
        level = _LEVEL_OF_RESULT.get(result, "info")
        if LEVELS[level] < self._least:
            return
        told = {name: value for name, value in entry.items() if name != "time"}
        line = LogLine(
            when=datetime.fromisoformat(str(entry["time"])),
            level=level.upper(),
            name=f"{TOP}.Operations",
            message=f"{verb} {result}",
            fields={**told, "project": self._project},
        )
        self._write(json_line(line))
