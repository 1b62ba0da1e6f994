"""`cronos schedule` with stand-ins for the machine's timers."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from cronos_git.bootstrap import open_engine
from cronos_git.disk import files
from cronos_git.disk.schedule_files import ScheduleFiles
from cronos_git.model import ScheduleRun
from tests.support.hooks import Desk
from tests.support.timers import install_timers

OTHERS = b"MAILTO=me\n\n# \xff mine\n*/5 * * * * true\n"


@pytest.fixture
def desk(tmp_path: Path, hermetic: Path) -> Desk:
    return Desk(tmp_path, hermetic)


@pytest.fixture
def shop(desk: Desk) -> Path:
    project = desk.base / "the shop %"
    project.mkdir()
    (project / "f").write_text("1\n")
    (project / "cronos.toml").touch()
    return project


def listed(desk: Desk, project: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in desk.cronos("schedule", "list", "--json", cwd=project).out.splitlines()]


def kept(desk: Desk) -> list[str]:
    """Every file of a schedule or a timer in the user's home."""
    below = (desk.home / ".config", desk.home / "Library")
    return sorted(path.name for top in below for path in top.rglob("*") if path.is_file() or path.is_symlink())


def test_add_shows_what_would_be_written_and_installs_only_when_asked(desk: Desk, shop: Path) -> None:
    state = install_timers(desk, "crontab")
    words = ("schedule", "add", "nightly", "--cron", "30 3 * * mon-fri")
    told = desk.cronos(*words, cwd=shop)
    assert "30 3 * * mon-fri" in told.out
    assert told.err == "note: Nothing was installed; --install does it.\n"
    assert desk.cronos(*words, "--install", "-n", cwd=shop).out == told.out
    assert (kept(desk), (state / "crontab").exists()) == ([], False)
    assert desk.cronos(*words, "--install", cwd=shop).err == "note: Installed the schedule nightly (crontab).\n"
    assert (state / "crontab").read_text() in told.out
    (status,) = listed(desk, shop)
    assert (status["installed"], status["last"]) == (True, None)
    assert desk.cronos("schedule", "list", "-q", cwd=shop).out == "nightly\n"


def test_a_crontab_line_takes_the_backup_and_the_rest_of_the_crontab_stays(desk: Desk, shop: Path) -> None:
    state = install_timers(desk, "crontab")
    (state / "crontab").write_bytes(OTHERS)
    store = desk.base / "stores"
    desk.cronos("--backup-dir", store, "schedule", "add", "n", "--every", "6h", "--label", "x", "--install", cwd=shop)
    line = (state / "crontab").read_bytes().removeprefix(OTHERS).decode().split("\n")[1]
    command = line.split(" ", 5)[5].replace("\\%", "%")

    done = subprocess.run(["sh", "-c", command], cwd="/", env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (backup,) = (json.loads(one) for one in desk.cronos("--backup-dir", store, "list", "--json", cwd=shop).out.splitlines())
    assert (backup["name"], backup["type"], backup["labels"]) == ("n", "auto", ["x"])
    assert backup["metadata"] == {"schedule": "n"}
    desk.cronos("--backup-dir", store, "schedule", "run", "n", cwd=shop)  # nothing has changed
    (status,) = listed(desk, shop)
    assert status["last"]["result"] == "unchanged"  # type: ignore[index]
    logged = json.loads(desk.cronos("--backup-dir", store, "operations", "--json", cwd=shop).out.splitlines()[0])
    assert logged["face"] == "schedule"
    desk.cronos("schedule", "remove", "n", cwd=shop)
    assert (state / "crontab").read_bytes() == OTHERS
    assert kept(desk) == []


def test_systemd_gets_a_timer_that_is_on_and_gives_it_back(desk: Desk, shop: Path) -> None:
    state = install_timers(desk, "systemd", "crontab")
    told = desk.cronos("schedule", "add", "n", "--every", "daily", "--install", cwd=shop)
    assert "enable-linger" in told.err
    (timer,) = (desk.home / ".config/systemd/user").glob("*.timer")
    assert (state / f"{timer.name}.active").exists()
    assert "OnCalendar=*-*-* 00:00:00\n" in timer.read_text()
    assert oct(timer.with_suffix(".service").stat().st_mode)[-3:] == "600"
    desk.cronos("schedule", "remove", "n", "-n", cwd=shop)
    assert timer.exists()
    desk.cronos("schedule", "remove", "n", cwd=shop)
    assert (kept(desk), (state / f"{timer.name}.active").exists()) == ([], False)


@pytest.mark.parametrize("step", ["daemon-reload", "enable"])
def test_a_timer_that_systemd_does_not_take_leaves_nothing_behind(desk: Desk, shop: Path, step: str) -> None:
    state = install_timers(desk, "systemd")
    told = desk.cronos("schedule", "add", "n", "--every", "6h", "--install", cwd=shop, status=1, FAIL=step)
    assert "told to fail" in told.err
    assert kept(desk) == []
    assert not list(state.glob("*.active"))
    assert listed(desk, shop) == []


def test_a_crontab_that_cannot_be_read_is_not_taken_for_an_empty_one(desk: Desk, shop: Path) -> None:
    state = install_timers(desk, "crontab")
    (state / "crontab").write_bytes(OTHERS)
    told = desk.cronos("schedule", "add", "n", "--every", "6h", "--install", cwd=shop, status=1, FAIL="-l")
    assert "Cannot read your crontab: told to fail" in told.err
    assert ((state / "crontab").read_bytes(), kept(desk)) == (OTHERS, [])


def test_a_crontab_that_does_not_hold_what_was_written_is_put_back(desk: Desk, shop: Path) -> None:
    state = install_timers(desk, "crontab")
    (state / "crontab").write_bytes(OTHERS)
    told = desk.cronos("schedule", "add", "n", "--every", "6h", "--install", cwd=shop, status=1, MANGLE="1")
    assert "does not hold what was written" in told.err
    assert (state / "crontab").read_bytes().startswith(OTHERS)
    assert b"cronos" not in (state / "crontab").read_bytes()
    assert kept(desk) == []


def test_a_schedule_stays_when_its_timer_cannot_be_removed(desk: Desk, shop: Path) -> None:
    install_timers(desk, "systemd")
    desk.cronos("schedule", "add", "n", "--every", "6h", "--install", cwd=shop)
    before = kept(desk)
    told = desk.cronos("schedule", "remove", "n", cwd=shop, status=1, FAIL="disable")
    assert "Cannot stop the timer" in told.err
    assert kept(desk) == before


def test_a_full_disk_leaves_no_timer(desk: Desk, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = install_timers(desk, "systemd")

    def full(name: str, path: str) -> None:
        if name == "write" and ".timer" in path:
            raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(files, "step", full)
    desk.cronos("schedule", "add", "n", "--every", "6h", "--install", cwd=shop, status=15)
    assert kept(desk) == []
    assert not list(state.glob("*.active"))


def test_what_decides_about_the_configuration_goes_along_but_no_password(desk: Desk, shop: Path) -> None:
    install_timers(desk, "crontab")
    environment = {"XDG_CONFIG_HOME": str(desk.base / "etc"), "CRONOS_BACKUP_DIR": "../rel", "CRONOS_BUS": "nats://u:secret@h"}
    told = desk.cronos("schedule", "add", "n", "--every", "6h", "--json", "-n", cwd=shop, **environment)
    carried = json.loads(told.out)["schedule"]["environment"]
    expected = {"XDG_CONFIG_HOME": str(desk.base / "etc"), "CRONOS_BACKUP_DIR": str(desk.base / "rel"), "HOME": str(desk.home)}
    assert carried == expected
    assert "secret" not in told.out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("x",), "Say when"),
        (("x", "--every", "6h", "--cron", "@daily"), "Say when"),
        (("x", "--every", "7h"), "no calendar repeats so"),
        (("x", "--cron", "0 0 30 2 *"), "a day that does not exist"),
        (("X y", "--every", "6h"), "No schedule can be called"),
        (("x", "--every", "6h", "--module", "nowhere"), "nowhere"),
        (("x", "--every", "6h", "--exclude", ""), "pattern"),
        (("x", "--every", "6h", "--type", "restore-point"), "restore-point"),
    ],
)
def test_what_could_not_work_at_night_is_refused_now(desk: Desk, shop: Path, words: tuple[str, ...], reason: str) -> None:
    install_timers(desk, "crontab")
    told = desk.cronos("schedule", "add", *words, "--install", cwd=shop, status=2)
    assert reason in told.err
    assert kept(desk) == []


def test_a_machine_without_timers_is_told_what_to_do(desk: Desk, shop: Path) -> None:
    for program in ("systemctl", "crontab"):
        (desk.bin / program).unlink(missing_ok=True)
    told = desk.cronos("schedule", "add", "n", "--every", "6h", cwd=shop, status=2, PATH="/nowhere")
    assert "neither systemd" in told.err
    assert "--kind crontab" in told.err


def test_a_name_is_given_once_in_each_project(desk: Desk, shop: Path) -> None:
    install_timers(desk, "crontab")
    other = desk.base / "other"
    other.mkdir()
    (other / "cronos.toml").touch()
    for project in (shop, other):
        desk.cronos("schedule", "add", "n", "--every", "6h", "--install", cwd=project)
    assert "has a schedule n already" in desk.cronos("schedule", "add", "n", "--every", "1h", cwd=shop, status=2).err
    rows = desk.cronos("schedule", "list", "--all", cwd=shop).out.splitlines()
    assert [row.split()[0] for row in rows] == ["NAME", "n", "n"]
    assert len(listed(desk, shop)) == 1
    desk.cronos("schedule", "remove", "n", cwd=other)
    assert "no schedule 'n'" in desk.cronos("schedule", "remove", "n", cwd=other, status=2).err
    assert len(listed(desk, shop)) == 1


def test_the_schedule_of_a_project_that_is_gone_can_be_removed(desk: Desk, shop: Path) -> None:
    state = install_timers(desk, "crontab")
    desk.cronos("schedule", "add", "n", "--every", "6h", "--install", cwd=shop)
    shutil.rmtree(shop)
    assert desk.cronos("-C", shop, "schedule", "list", "-q", cwd=desk.base).out == "n\n"
    assert "error: " in desk.cronos("-C", shop, "schedule", "run", "n", cwd=desk.base, status=1).err
    told = desk.cronos("-C", shop, "schedule", "list", "--json", cwd=desk.base).out
    assert json.loads(told)["last"]["result"] == "failed"
    desk.cronos("-C", shop, "schedule", "remove", "n", cwd=desk.base)
    assert ((state / "crontab").read_bytes(), kept(desk)) == (b"", [])


def test_a_run_waits_for_its_minimum_of_changes(desk: Desk, shop: Path) -> None:
    install_timers(desk, "crontab")
    desk.cronos("schedule", "add", "n", "--every", "6h", "--min-changes", "2", "--install", cwd=shop)
    results = []
    for name in ("f", "f", "g"):
        told = desk.cronos("schedule", "run", "n", "-v", cwd=shop).out
        results.append(re.sub(r"\d{8}_\d{6}(_\d+)?", "*", told).strip())
        (shop / name).write_text(f"{name} changed\n")
    told = desk.cronos("schedule", "run", "n", "--json", cwd=shop).out
    assert results == ["Saved n_*.", "Too little has changed; no backup was made.", "Too little has changed; no backup was made."]
    assert json.loads(told)["result"] == "saved"
    engine = open_engine(project=str(shop))
    assert {operation.face for operation in engine.operations()} == {"schedule"}


def test_the_list_tells_what_a_run_fell_short_of(desk: Desk, shop: Path) -> None:
    install_timers(desk, "crontab")
    desk.cronos("schedule", "add", "n", "--every", "6h", "--install", cwd=shop)
    kept_in = ScheduleFiles(directory=desk.home / ".config/cronos/schedules", runs=desk.home / ".local/state/cronos/schedules")
    (schedule,) = kept_in.all()
    now = datetime.now(UTC)
    kept_in.note_run(schedule, ScheduleRun(schedule="n", time=now, result="saved", backup="n_1", problems=2, text="no way"))
    assert "n_1, just now, 2 problems, not sent" in desk.cronos("schedule", "list", cwd=shop).out
    kept_in.note_run(schedule, ScheduleRun(schedule="n", time=now, result="failed", text="no way"))
    assert desk.cronos("schedule", "list", cwd=shop).out.endswith("failed, just now\n")


def test_a_run_that_fails_says_so_and_is_noted(desk: Desk, shop: Path) -> None:
    install_timers(desk, "crontab")
    desk.cronos("schedule", "add", "n", "--every", "6h", "--install", cwd=shop)
    blocked = desk.home / ".local/share/cronos"
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where the stores should be")
    told = desk.cronos("schedule", "run", "n", cwd=shop, status=1)
    assert told.err.startswith("error: ")
    (status,) = listed(desk, shop)
    assert status["last"]["result"] == "failed"  # type: ignore[index]
    assert status["last"]["text"] in told.err  # type: ignore[index]


def test_a_run_waits_for_another_command(desk: Desk, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_timers(desk, "crontab")
    desk.cronos("create", cwd=shop)
    desk.cronos("schedule", "add", "n", "--every", "6h", "--min-changes", "0", "--install", cwd=shop)
    now_s = 0.0

    with contextlib.ExitStack() as held:

        def sleep(_length_s: float) -> None:
            nonlocal now_s
            now_s += 299.0
            if now_s > 500.0:
                held.close()

        monkeypatch.setattr(files, "time", SimpleNamespace(monotonic=lambda: now_s, sleep=sleep))
        held.enter_context(open_engine(project=str(shop)).store.lock())
        assert desk.cronos("schedule", "run", "n", cwd=shop)[1:] == ("", "")
    assert now_s > 500.0
