"""Schedules as text: systemd units, crontab lines, launchd agents, and the file in which CRONOS keeps one.

Each form has its own calendar and its own quoting. A time is translated exactly or refused; so is a word that a form cannot
carry. Where the texts go is `disk/timers.py`'s, when something is due `cron.py`'s. Floor F4: pure.
"""

from __future__ import annotations

import hashlib
import json
import plistlib
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from itertools import groupby, product
from typing import Any

from cronos_git.errors import ConfigError, UsageError
from cronos_git.model import Schedule, ScheduleRun, SnapshotRequest
from cronos_git.rules.cron import Cron, parse_cron, shortest_gap
from cronos_git.rules.names import slug

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_UTF8 = re.compile(r"[^\ud800-\udfff]*")
_LONGEST_SPREAD_S = 300
_LONGEST_CRONTAB_BYTES = 990
"""Vixie cron cuts a command after 1,000 bytes."""

_MOST_AGENT_TIMES = 1000
_UNIT_ESCAPES = {"\\": "\\\\", '"': '\\"', "%": "%%"}


def check_schedule_name(name: str) -> str:
    """*name*, if a schedule may be called so.

    Raises:
        UsageError: It may not.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"No schedule can be called {name!r}.",
            hint="A name is up to 64 lower-case letters, digits, '.', '_' and '-', and begins with a letter or digit.",
        )
    return name


def schedule_id(project: str, name: str) -> str:
    """What a schedule's timer is called on the machine: `cronos-<project>-<8 hex of the project's path>-<name>`."""
    digest = hashlib.sha256(project.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"cronos-{slug(project.rpartition('/')[2])[:40]}-{digest}-{name}"


def _title(schedule: Schedule) -> str:
    return f"CRONOS backup {schedule.name} of {schedule.project}"


# --- systemd ------------------------------------------------------------------------------------------------------


def systemd_units(schedule: Schedule) -> Mapping[str, str]:
    """The texts of the service and the timer, by the ending of their names.

    Raises:
        UsageError: systemd cannot be told so.
    """
    cron = parse_cron(schedule.cron)
    if re.search(r"""["'\\\x00-\x1f\x7f]""", schedule.command[0]):  # systemd takes no such program, however it is quoted
        raise UsageError(
            f"systemd starts no program from {schedule.command[0]!r}.", hint="Install cronos elsewhere, or use --kind crontab."
        )
    if any(not _UTF8.fullmatch(value) for value in schedule.environment.values()):
        raise UsageError("systemd takes no environment that is no UTF-8.", hint="Use --kind crontab.")
    title = _unit_text(_title(schedule))
    environment = "".join(f"Environment={_unit_word(f'{name}={value}')}\n" for name, value in schedule.environment.items())
    spread_s = min(_LONGEST_SPREAD_S, int(shortest_gap(cron).total_seconds()) // 10)
    return {
        "service": f"[Unit]\nDescription={title}\n\n[Service]\nType=oneshot\n{environment}"
        # The colon: a $ is a dollar sign.
        f"ExecStart=:{' '.join(map(_unit_word, schedule.command))}\nNice=10\nIOSchedulingClass=idle\n",
        "timer": f"[Unit]\nDescription={title}\n\n[Timer]\n"
        + "".join(f"OnCalendar={line}\n" for line in calendar_lines(cron))
        + f"Persistent=true\nRandomizedDelaySec={spread_s}\n\n[Install]\nWantedBy=timers.target\n",
    }


def calendar_lines(cron: Cron) -> tuple[str, ...]:
    """*cron* in systemd's calendar language: all times of all lines together."""
    clock = f"{_runs(cron.hours, 24)}:{_runs(cron.minutes, 60)}:00"
    months, days = _runs(cron.months, 12), _runs(cron.days, 31)
    weekdays = _weekday_runs(cron.weekdays)
    if cron.either_day:
        return f"*-{months}-{days} {clock}", f"{weekdays}*-{months}-* {clock}"
    return (f"{weekdays}*-{months}-{days} {clock}",)


def _runs(numbers: Collection[int], how_many: int) -> str:
    return "*" if len(numbers) == how_many else ",".join(f"{a:02}..{b:02}" if a < b else f"{a:02}" for a, b in _spans(numbers))


def _weekday_runs(numbers: Collection[int]) -> str:
    if len(numbers) == len(_WEEKDAYS):
        return ""
    spans = _spans([(number - 1) % 7 for number in numbers])
    return ",".join(f"{_WEEKDAYS[a]}..{_WEEKDAYS[b]}" if a < b else _WEEKDAYS[a] for a, b in spans) + " "


def _spans(numbers: Collection[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of numbers without a gap."""
    for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        found = [number for _, number in run]
        yield found[0], found[-1]


def _unit_word(word: str) -> str:
    """*word* quoted for a unit file; what may not stand there, such as bytes that are no UTF-8, as escapes."""
    return '"' + "".join(map(_unit_character, word)) + '"'


def _unit_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character < " " or character == "\x7f":
        return f"\\x{ord(character):02x}"
    return _UNIT_ESCAPES.get(character, character)


def _unit_text(text: str) -> str:
    """*text* for a description."""
    return "".join(character if character.isprintable() and character != "\\" else "?" for character in text).replace("%", "%%")


# --- crontab ------------------------------------------------------------------------------------------------------


def crontab_lines(schedule: Schedule) -> str:
    """The lines of the user's crontab: ours between two marks.

    Raises:
        UsageError: No line of a crontab can say it.
    """
    assignments = [f"{name}={shlex.quote(value)}" for name, value in schedule.environment.items()]
    command = " ".join([*assignments, *map(shlex.quote, schedule.command)])
    if re.search(r"[\n\r\0]", command):
        raise UsageError("A line of a crontab cannot hold a path with a line break.", hint="Choose another --kind.")
    # cron turns a bare % into a line break, and takes a backslash before one away; but not where two backslashes meet.
    command = command.replace("\\%", "\\''%").replace("%", "\\%")
    if len(command.encode("utf-8", "surrogateescape")) > _LONGEST_CRONTAB_BYTES:
        raise UsageError("The command is too long for a line of a crontab.", hint="Choose another --kind, or shorter paths.")
    begin, end = _marks(schedule)
    return f"{begin}\n{schedule.cron} {command}\n{end}\n"


def _marks(schedule: Schedule) -> tuple[str, str]:
    ours = schedule_id(schedule.project, schedule.name)
    return f"# {ours} begin: written by `cronos schedule add`", f"# {ours} end"


def has_crontab_lines(crontab: bytes, schedule: Schedule) -> bool:
    """Whether *crontab* holds the lines of *schedule*, edited or not."""
    ours = re.escape(schedule_id(schedule.project, schedule.name).encode())
    return re.search(rb"(?m)^[# \t]*%s (?:begin|end)\b" % ours, crontab) is not None


def without_crontab_lines(crontab: bytes, schedule: Schedule) -> bytes:
    """*crontab* without the lines of *schedule*; every other byte stays.

    Raises:
        UsageError: The marks do not stand as they were written, so what belongs to us cannot be told.
    """
    _check_told_faithfully(crontab)
    begin, end = (re.escape(mark.encode()) for mark in _marks(schedule))
    rest, cut = re.subn(rb"(?m)^%s\n(?:[^\n]*\n)?%s(?:\n|\Z)" % (begin, end), b"", crontab)
    if cut != 1 or has_crontab_lines(rest, schedule):
        raise UsageError(
            f"The lines of {schedule.name} in the crontab were edited: the marks around them do not match.",
            hint="Remove them with `crontab -e`, then run this again.",
        )
    return rest


def _check_told_faithfully(crontab: bytes) -> None:
    """Refuse what cannot be written back as it is: Debian's `crontab -l` shows a carriage return as a backslash and an r."""
    if re.search(rb"(?m)\\r$", crontab):
        raise UsageError(
            "Lines of your crontab end with a carriage return, which `crontab -l` does not show as it is.",
            hint="Nothing was changed. Remove the carriage returns with `crontab -e`, or choose another --kind.",
        )


def with_crontab_lines(crontab: bytes, schedule: Schedule) -> bytes:
    """*crontab* with the lines of *schedule* at its end, in place of older ones; every other byte stays.

    Raises:
        UsageError: As `crontab_lines` and `without_crontab_lines` raise it.
    """
    _check_told_faithfully(crontab)
    lines = crontab_lines(schedule).encode("utf-8", "surrogateescape")
    rest = without_crontab_lines(crontab, schedule) if has_crontab_lines(crontab, schedule) else crontab
    return rest + (b"" if rest.endswith(b"\n") or not rest else b"\n") + lines


# --- launchd ------------------------------------------------------------------------------------------------------


def launchd_agent(schedule: Schedule) -> str:
    """The property list of a launchd agent.

    Raises:
        UsageError: launchd cannot be told so.
    """
    content = {
        "Label": schedule_id(schedule.project, schedule.name),
        "ProgramArguments": list(schedule.command),
        "EnvironmentVariables": dict(schedule.environment),
        "StartCalendarInterval": launchd_times(parse_cron(schedule.cron)),
        "ProcessType": "Background",
    }
    try:
        return plistlib.dumps(content).decode()
    except ValueError as error:  # bytes that are no UTF-8 too
        raise UsageError(
            "A launchd agent cannot hold a path with control characters or bytes that are no UTF-8.",
            hint="Choose another --kind.",
        ) from error


def launchd_times(cron: Cron) -> list[dict[str, int]]:
    """*cron* as launchd's calendar: a table for each time; what a table leaves out does not matter.

    Raises:
        UsageError: It cannot be said there.
    """
    of_month = {"Day": cron.days} if len(cron.days) < 31 else {}
    of_week = {"Weekday": cron.weekdays} if len(cron.weekdays) < len(_WEEKDAYS) else {}
    if of_month and of_week and not cron.either_day:  # launchd takes either
        raise UsageError(
            f"launchd cannot be told {cron.text!r}: a day that fits both day fields.", hint="Leave one of the two a plain *."
        )
    clock = _restricted(Month=(cron.months, 12), Hour=(cron.hours, 24), Minute=(cron.minutes, 60))
    groups = [clock | of_month, clock | of_week] if cron.either_day else [clock | of_month | of_week]
    times = [dict(zip(group, numbers, strict=True)) for group in groups for numbers in product(*map(sorted, group.values()))]
    if len(times) > _MOST_AGENT_TIMES:
        raise UsageError(f"launchd would have to be told {len(times):,} times for {cron.text!r}.", hint="Choose fewer times.")
    return times


def _restricted(**fields_and_sizes: tuple[frozenset[int], int]) -> dict[str, frozenset[int]]:
    return {name: numbers for name, (numbers, size) in fields_and_sizes.items() if len(numbers) < size}


# --- our own file -------------------------------------------------------------------------------------------------


def format_schedule(schedule: Schedule) -> bytes:
    """The file in which a schedule is kept; `parse_schedule` reads it."""
    return json.dumps({"format": 1, **asdict(schedule)}, indent=1).encode() + b"\n"


def parse_schedule(content: bytes, origin: str) -> Schedule:
    """The schedule that a file keeps.

    Raises:
        ConfigError: It is none, or a newer CRONOS wrote it.
    """
    try:
        found = json.loads(content)
        if found.pop("format") != 1:
            raise ValueError("a newer cronos wrote it")
        request = SnapshotRequest(**_tuples(found.pop("request"), SnapshotRequest))
        schedule = Schedule(request=request, **_tuples(found, Schedule))
        parse_cron(schedule.cron)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{origin} is not the file of a schedule: {error}.", hint="Remove the file, and add the schedule anew.", origin=origin
        ) from error
    return schedule


def _tuples(found: dict[str, Any], kind: type[Schedule | SnapshotRequest]) -> dict[str, Any]:
    """*found* with tuples for lists; TypeError when it names what *kind* does not have."""
    known = {field.name for field in fields(kind)}
    if unknown := found.keys() - known:
        raise TypeError(f"it has {', '.join(sorted(unknown))}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def format_run(run: ScheduleRun) -> bytes:
    """How a schedule ran, as a file; `parse_run` reads it."""
    return json.dumps({**asdict(run), "time": run.time.isoformat()}).encode() + b"\n"


def parse_run(content: bytes) -> ScheduleRun | None:
    """What `format_run` wrote; None when it is not to be read: then it is not known how the schedule ran."""
    try:
        found = json.loads(content)
        return ScheduleRun(**{**found, "time": datetime.fromisoformat(found["time"])})
    except (ValueError, KeyError, TypeError):
        return None
