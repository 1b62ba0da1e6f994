"""The machine's timers, by stand-ins that fail at each step: what was there before is there still."""

from __future__ import annotations

import plistlib
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cronos_git.disk import files
from cronos_git.disk.timers import Crontab, Surroundings, Timer, choose_kind, timer_of
from cronos_git.errors import HostError, UsageError
from cronos_git.model import Schedule, TimerKind
from tests.support.hooks import Desk
from tests.support.timers import install_timers

OTHERS = b"MAILTO=me\n\n# \xff mine\n*/5 * * * * true\n"
SCHEDULE = Schedule(name="n", project="/p/shop", kind="crontab", cron="0 3 * * *", command=("/usr/bin/cronos",))
LATER = replace(SCHEDULE, cron="0 4 * * *")


class Machine:
    """A home, and stand-ins for all three programs; `environment` is theirs."""

    def __init__(self, desk: Desk) -> None:
        self.state = install_timers(desk, "systemd", "crontab", "launchd")
        self.environment = dict(desk.env)
        self.around = Surroundings(
            environment=self.environment,
            carried={},
            units=desk.home / ".config/systemd/user",
            agents=desk.home / "Library/LaunchAgents",
            user_id=501,
            is_mac=True,
            lingering=desk.home / "linger",
            lock=desk.home / "lock",
        )
        self._kept = (desk.home / ".config", desk.home / "Library", self.state)

    def timer(self, kind: TimerKind) -> Timer:
        return timer_of(kind, self.around)

    def holds(self) -> dict[str, bytes]:
        """Every file of a timer, and what the programs know."""
        paths = (path for top in self._kept for path in top.rglob("*") if path.is_file() or path.is_symlink())
        return {str(path): path.read_bytes() for path in sorted(paths)}


@pytest.fixture
def machine(tmp_path: Path, hermetic: Path) -> Machine:
    return Machine(Desk(tmp_path, hermetic))


STEPS: tuple[tuple[TimerKind, str], ...] = (
    ("systemd", "daemon-reload"),
    ("systemd", "enable"),
    ("launchd", "bootstrap"),
    ("crontab", "-"),
)


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(("kind", "step"), STEPS)
def test_a_step_that_fails_leaves_the_timer_that_was_there(machine: Machine, kind: TimerKind, step: str, is_there: bool) -> None:
    timer = machine.timer(kind)
    if is_there:
        timer.install(SCHEDULE)
    before = machine.holds()
    machine.environment["FAIL_ONCE"] = step
    with pytest.raises(HostError, match=r"Cannot .*told to fail\.$"):
        timer.install(LATER)
    assert machine.holds() == before
    timer.install(LATER)
    assert before != machine.holds()


@pytest.mark.parametrize(
    ("kind", "step"), [("systemd", "disable"), ("systemd", "daemon-reload"), ("launchd", "bootout"), ("crontab", "-")]
)
def test_a_timer_that_cannot_be_removed_is_there_still(machine: Machine, kind: TimerKind, step: str) -> None:
    timer = machine.timer(kind)
    timer.install(SCHEDULE)
    before = machine.holds()
    machine.environment["FAIL_ONCE"] = step
    with pytest.raises(HostError, match="told to fail"):
        timer.remove(SCHEDULE)
    assert machine.holds() == before
    timer.remove(SCHEDULE)
    assert not timer.is_installed(SCHEDULE)


@pytest.mark.parametrize("kind", ["systemd", "launchd"])
def test_a_file_that_cannot_be_removed_leaves_the_timer_on(
    machine: Machine, kind: TimerKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = machine.timer(kind)
    timer.install(SCHEDULE)
    before = machine.holds()

    def fail(name: str, _path: str) -> None:
        if name == "unlink":
            raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(files, "step", fail)
        with pytest.raises(HostError, match="remove the timer"):
            timer.remove(SCHEDULE)
    assert machine.holds() == before


def test_what_could_not_be_put_back_is_told(machine: Machine) -> None:
    timer = machine.timer("launchd")
    timer.install(SCHEDULE)
    machine.environment["FAIL"] = "bootstrap"
    with pytest.raises(HostError, match=r"Cannot start the agent.* could not be put back: Cannot start the agent"):
        timer.install(LATER)


def test_crontab_lines_of_several_commands_at_a_time_all_get_there_and_go(machine: Machine) -> None:
    (machine.state / "crontab").write_bytes(OTHERS)
    names = [replace(SCHEDULE, name=f"n{number}") for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(machine.timer("crontab").install, names))
        crontab = (machine.state / "crontab").read_bytes()
        assert crontab.startswith(OTHERS)
        assert [crontab.count(b"-%s begin" % schedule.name.encode()) for schedule in names] == [1] * len(names)
        list(pool.map(machine.timer("crontab").remove, names))
    assert (machine.state / "crontab").read_bytes() == OTHERS


def test_an_agent_is_loaded_and_goes_without_a_trace(machine: Machine) -> None:
    timer, empty = machine.timer("launchd"), machine.holds()
    assert timer.is_available()
    timer.install(SCHEDULE)
    (agent,) = machine.around.agents.iterdir()
    assert plistlib.loads(agent.read_bytes())["StartCalendarInterval"] == [{"Hour": 3, "Minute": 0}]
    assert [path.name for path in machine.state.glob("*.loaded")] == [f"{agent.stem}.loaded"]
    timer.remove(SCHEDULE)
    assert machine.holds() == empty


def test_a_timer_that_the_user_switched_off_is_not_installed(machine: Machine) -> None:
    timer = machine.timer("systemd")
    timer.install(SCHEDULE)
    assert timer.is_installed(SCHEDULE)
    (unit,) = machine.around.units.glob("*.timer")
    subprocess.run(["systemctl", "--user", "disable", "--now", unit.name], env=machine.environment, check=True)
    assert not timer.is_installed(SCHEDULE)
    timer.remove(SCHEDULE)
    assert not list(machine.around.units.glob("cronos-*"))


def test_the_best_kind_that_answers_is_chosen(machine: Machine) -> None:
    assert choose_kind(machine.around) == "systemd"
    machine.environment["FAIL"] = "show-environment"
    assert choose_kind(machine.around) == "launchd"
    assert choose_kind(replace(machine.around, is_mac=False)) == "crontab"
    machine.environment["PATH"] = "/nowhere"
    with pytest.raises(UsageError, match="neither systemd"):
        choose_kind(machine.around)


def test_a_user_whom_cron_turns_away_is_told(machine: Machine) -> None:
    machine.environment["FAIL"] = "-l"
    with pytest.raises(HostError, match="Cannot read your crontab: told to fail"):
        Crontab(machine.around).is_installed(SCHEDULE)
