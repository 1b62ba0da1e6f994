"""Schedules as units, crontab lines and agents, each read back by what will read it, or by its documented rules."""

from __future__ import annotations

import plistlib
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cronos_git.errors import ConfigError, UsageError
from cronos_git.model import Schedule, ScheduleRun, SnapshotRequest
from cronos_git.rules import schedules
from cronos_git.rules.cron import parse_cron

HOSTILE = '/p/it\'s %h "a\\b" $HOME $$ `x` \\%y é;#~'
NIGHTLY = Schedule(
    name="nightly",
    project="/p/shop",
    kind="crontab",
    cron="30 3 * * *",
    command=("/usr/bin/cronos", "-C", "/p/shop", "schedule", "run", "nightly"),
    request=SnapshotRequest(name="nightly", type="auto"),
)
paths = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\n\r") | st.sampled_from(" %\\\"'$`;#\t\udcff"), min_size=1, max_size=12
).map("/{}".format)


def calling(*words: str, **environment: str) -> Schedule:
    return replace(NIGHTLY, command=("/usr/bin/cronos", *words), environment=environment)


def through_cron(line: str) -> list[str]:
    """The words that a crontab line's command gets: cron's treatment of %, as its do_command.c does it, then a real shell."""
    command, is_escaped, kept = line.split(" ", 5)[5], False, ""
    for character in command:
        if is_escaped and character == "%":
            kept = kept[:-1]
        assert is_escaped or character != "%"
        kept += character
        is_escaped = character == "\\" and not is_escaped
    told = kept.replace("/usr/bin/cronos", "printf '%s\\0' \"$SET\"", 1)
    done = subprocess.run(["sh", "-c", told.encode("utf-8", "surrogateescape")], capture_output=True, check=True, env={})
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[1:-1]


def through_systemd(line: str) -> list[bytes]:
    """The words of an ExecStart or Environment line, by systemd.syntax(7) and systemd.unit(5)."""
    words = re.findall(rb'"((?:[^"\\]|\\.)*)"', line.partition("=")[2].encode())
    assert not any(b"%" in word.replace(b"%%", b"") for word in words)

    def unescape(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1][1:], 16)]) if len(match[1]) == 3 else match[1]

    return [re.sub(rb"\\(x[0-9a-f]{2}|.)", unescape, word).replace(b"%%", b"%") for word in words]


@given(path=paths)
@example(path=HOSTILE)
@example(path="/a\\\\%%")
def test_a_crontab_line_gives_cron_and_the_shell_every_word_as_it_is(path: str) -> None:
    line = schedules.crontab_lines(calling("-C", path, "run")).split("\n")[1]
    assert through_cron(line) == ["-C", path, "run"]


@given(path=paths)
@example(path=HOSTILE)
def test_a_unit_gives_systemd_every_word_as_it_is(path: str) -> None:
    service = schedules.systemd_units(calling("-C", path))["service"]
    (line,) = re.findall(r"^ExecStart=.*$", service, re.MULTILINE)
    assert line.startswith('ExecStart=:"/')  # the colon: dollar signs stay dollar signs
    assert through_systemd(line) == [b"/usr/bin/cronos", b"-C", path.encode("utf-8", "surrogateescape")]
    service.encode()  # nothing in it that is no UTF-8


@given(path=paths)
@example(path=HOSTILE)
def test_an_agent_gives_launchd_every_word_as_it_is_or_is_refused(path: str) -> None:
    try:
        agent = schedules.launchd_agent(calling("-C", path, XDG_CONFIG_HOME=path))
    except UsageError:
        assert re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]", path)
        return
    told = plistlib.loads(agent.encode())
    assert told["ProgramArguments"][2] == path
    assert told["EnvironmentVariables"] == {"XDG_CONFIG_HOME": path}


def test_what_the_environment_says_goes_along(tmp_path: Path) -> None:
    schedule = calling(XDG_CONFIG_HOME=HOSTILE, HOME="/h")
    line = schedules.crontab_lines(schedule).split("\n")[1].replace("/usr/bin/cronos", "env")
    kept = line.split(" ", 5)[5].replace("\\%", "%")
    told = subprocess.run(["sh", "-c", kept], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
    assert f"XDG_CONFIG_HOME={HOSTILE}\n" in told
    assert "HOME=/h\n" in told
    service = schedules.systemd_units(schedule)["service"]
    lines = re.findall(r"^Environment=.*$", service, re.MULTILINE)
    assert [word for line in lines for word in through_systemd(line)] == [f"XDG_CONFIG_HOME={HOSTILE}".encode(), b"HOME=/h"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    schedule = replace(calling("-C", HOSTILE, HOME=HOSTILE), command=("/bin/true", "-C", HOSTILE), cron="*/7 3 1-9 * mon-thu")
    for ending, text in schedules.systemd_units(schedule).items():
        (tmp_path / f"cronos-x.{ending}").write_text(text)
    units = [str(tmp_path / "cronos-x.timer"), str(tmp_path / "cronos-x.service")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_timer_catches_up_and_does_not_start_at_the_same_second_everywhere() -> None:
    timer = schedules.systemd_units(NIGHTLY)["timer"]
    assert "OnCalendar=*-*-* 03:30:00\nPersistent=true\nRandomizedDelaySec=300\n" in timer
    assert "RandomizedDelaySec=6\n" in schedules.systemd_units(replace(NIGHTLY, cron="* * * * *"))["timer"]


@pytest.mark.parametrize(
    ("cron", "lines"),
    [
        ("*/15 * * * *", ("*-*-* *:00,15,30,45:00",)),
        ("0 9-17 * jan-mar mon-fri,sun", ("Mon..Fri,Sun *-01..03-* 09..17:00:00",)),
        ("0 0 1,15 * 7", ("*-*-01,15 00:00:00", "Sun *-*-* 00:00:00")),
    ],
)
def test_a_calendar_line_reads_as_people_write_it(cron: str, lines: tuple[str, ...]) -> None:
    assert schedules.calendar_lines(parse_cron(cron)) == lines


@pytest.mark.parametrize("cron", ["0 3 */2 * mon", "*/2 */2 1-30 * *"])
def test_what_launchd_cannot_be_told_is_refused(cron: str) -> None:
    with pytest.raises(UsageError, match="launchd"):
        schedules.launchd_agent(replace(NIGHTLY, cron=cron))


def test_a_word_that_a_form_cannot_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="line break"):
        schedules.crontab_lines(calling("-C", "/p/a\nb"))
    with pytest.raises(UsageError, match="too long"):
        schedules.crontab_lines(calling("-C", "/p/" + "x" * 1000))
    with pytest.raises(UsageError, match="starts no program"):
        schedules.systemd_units(replace(NIGHTLY, command=("/it's/cronos",)))
    with pytest.raises(UsageError, match="no UTF-8"):
        schedules.systemd_units(calling(XDG_DATA_HOME="/\udcff"))
    line = schedules.systemd_units(calling("a\nb\tc"))["service"].split("\n")[5]
    assert through_systemd(line) == [b"/usr/bin/cronos", b"a\nb\tc"]  # systemd can


# --- the crontab as a whole -------------------------------------------------------------------------------------------


@given(before=st.binary(max_size=80).map(lambda raw: raw.replace(b"\0", b"")))
@example(before=b"MAILTO=me\n0 5 * * * true")
def test_the_rest_of_a_crontab_stays_byte_for_byte(before: bytes) -> None:
    other = replace(NIGHTLY, name="other")
    one = schedules.with_crontab_lines(before, NIGHTLY)
    two = schedules.with_crontab_lines(one, other)
    assert two.startswith(one)
    changed = schedules.with_crontab_lines(two, replace(NIGHTLY, cron="0 4 * * *"))
    assert changed.count(b"-nightly begin") == 1
    ended = before if not before or before.endswith(b"\n") else before + b"\n"
    assert schedules.without_crontab_lines(schedules.without_crontab_lines(changed, NIGHTLY), other) == ended
    assert not schedules.has_crontab_lines(ended, NIGHTLY)


@pytest.mark.parametrize(
    "damage",
    [
        (b"nightly end\n", b""),
        (b"begin", b"bega"),
        (b"30 3", b"1 2 3 4 5 x\n30 3"),
        (b"\n", b"\r\n"),
        (b"# cronos", b"#  cronos"),
    ],
)
def test_lines_that_were_edited_are_not_guessed_at(damage: tuple[bytes, bytes]) -> None:
    crontab = schedules.with_crontab_lines(b"0 5 * * * true\n", NIGHTLY).replace(*damage)
    assert schedules.has_crontab_lines(crontab, NIGHTLY)
    with pytest.raises(UsageError, match="edited"):
        schedules.without_crontab_lines(crontab, NIGHTLY)


def test_a_crontab_that_is_not_shown_as_it_is_is_not_written_back() -> None:
    for change in (schedules.with_crontab_lines, schedules.without_crontab_lines):
        with pytest.raises(UsageError, match="carriage return"):
            change(b"0 5 * * * true\\r\n0 6 * * * true\\r\n", NIGHTLY)  # as Debian shows \r\n


# --- our own file -----------------------------------------------------------------------------------------------------


@given(project=paths, modules=st.lists(paths, max_size=2).map(tuple))
def test_a_schedule_comes_back_from_its_file(project: str, modules: tuple[str, ...]) -> None:
    request = SnapshotRequest(name="n", type="auto", modules=modules, labels=("a",), metadata={"k": [1, {"x": None}]})
    schedule = replace(calling("-C", project, HOME="/h"), project=project, request=request, min_changes=5)
    assert schedules.parse_schedule(schedules.format_schedule(schedule), "x") == schedule


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b'{"format": 2}', schedules.format_schedule(NIGHTLY).replace(b'"30 3 * * *"', b'"30 x * * *"')],
)
def test_a_file_that_keeps_no_schedule_is_told(content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"x\.json is not the file of a schedule"):
        schedules.parse_schedule(content, "x.json")


def test_how_a_schedule_ran_comes_back_and_rubbish_is_not_known() -> None:
    run = ScheduleRun(schedule="n", time=datetime(2026, 4, 1, tzinfo=UTC), result="saved", backup="n_1", problems=2, text="t")
    assert schedules.parse_run(schedules.format_run(run)) == run
    for rubbish in (b"", b"{}", b"[1]", b'{"time": "x"}', b"\xff"):
        assert schedules.parse_run(rubbish) is None


def test_two_projects_of_one_name_have_timers_of_their_own() -> None:
    one, other = (schedules.schedule_id(f"/{place}/Shop é", "n") for place in "ab")
    assert one != other
    assert re.fullmatch(r"cronos-shop[a-z0-9._-]*-[0-9a-f]{8}-n", one)


@pytest.mark.parametrize("name", ["", "A", "-n", "a b", "a/b", "../x", "n\n", "x" * 65])
def test_a_name_that_no_file_should_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="No schedule can be called"):
        schedules.check_schedule_name(name)
