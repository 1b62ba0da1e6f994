from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cronos_git import bootstrap
from cronos_git.bootstrap import open_engine, resolve
from cronos_git.clock import LocalZone, SystemClock
from cronos_git.errors import ConfigError, ProjectError, RefusedError
from cronos_git.git.store import store_path
from tests.support.trees import Link, make_tree


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with no system-wide configuration."""
    monkeypatch.setattr(bootstrap, "SYSTEM_CONFIG", tmp_path / "etc" / "config.toml")
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def make_store(home: Path, project: Path) -> Path:
    path = store_path(home / ".local/share/cronos", project)
    path.mkdir(parents=True)
    return path


# --- the project --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [".git", "cronos.toml", "cronos.yaml", "cronos_config.json"])
def test_the_project_is_the_nearest_directory_with_a_mark(place: Path, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    make_tree(place, {"p": {mark: "{}" if mark.endswith("json") else "", "deep/er": {}}})
    monkeypatch.chdir(place / "p/deep/er")
    assert resolve().project == place / "p"


def test_a_pyproject_marks_a_project_only_when_it_configures_cronos(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(place, {"p/pyproject.toml": "[tool.cronos]\n", "p/q/pyproject.toml": "[project]\n", "p/q/r": {}})
    monkeypatch.chdir(place / "p/q/r")
    assert resolve().project == place / "p"


def test_a_directory_with_a_store_is_the_project(place: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(place, {"p/.git": {}, "p/q/r": {}})
    make_store(hermetic, place / "p/q")
    monkeypatch.chdir(place / "p/q/r")
    assert resolve().project == place / "p/q"


def test_a_store_is_found_where_a_flag_or_the_environment_says(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(place, {"p/q/r": {}})
    store_path(place / "stores", place / "p").mkdir(parents=True)
    monkeypatch.chdir(place / "p/q/r")
    assert resolve().project == place / "p/q/r"
    assert resolve(backup_dir=str(place / "stores")).project == place / "p"
    monkeypatch.setenv("CRONOS_BACKUP_DIR", str(place / "stores"))
    assert resolve().project == place / "p"


def test_without_any_mark_the_working_directory_is_the_project(place: Path) -> None:
    assert resolve().project == place


def test_a_git_directory_in_home_does_not_make_home_the_project(hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(hermetic, {".git": {}, "notes": {}})
    monkeypatch.chdir(hermetic / "notes")
    assert resolve().project == (hermetic / "notes").resolve()


def test_a_mark_where_everybody_can_write_does_not_count(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(place, {"shared/cronos.toml": "", "shared/mine": {}})
    (place / "shared").chmod(0o1777)
    monkeypatch.chdir(place / "shared/mine")
    assert resolve().project == place / "shared/mine"


def test_a_named_project_is_taken_as_it_is_and_by_its_real_path(place: Path) -> None:
    make_tree(place, {"p": {".git": {}, "inner": {}}, "link": Link("p/inner")})
    assert resolve(project="link").project == place / "p/inner"


def test_a_missing_project_is_an_error(place: Path) -> None:
    with pytest.raises(ProjectError):
        resolve(project="gone")


def test_a_working_directory_that_is_gone_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "p").mkdir()
    monkeypatch.chdir(place / "p")
    (place / "p").rmdir()
    with pytest.raises(ProjectError, match="working directory"):
        resolve()


# --- layers -------------------------------------------------------------------------------------------------------


def test_layers_rank_as_documented(place: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        "keep_last",
        "keep_hourly",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "keep_yearly",
        "restore_point_days",
        "max_backups",
    ]
    setting = [f"{key} = {{}}\n" for key in keys]
    make_tree(place, {"etc/config.toml": "".join(setting).format(*[1] * 8)})
    make_tree(hermetic, {".config/cronos/config.toml": "".join(setting[1:]).format(*[2] * 7)})
    project = {
        "cronos_config.json": '{"backup": {"max_backups": 3}}',
        "cronos.yaml": "".join(f"CRONOS_{key.upper()}: 4\n" for key in keys[2:]),
        "pyproject.toml": "[tool.cronos]\n" + "".join(setting[3:]).format(*[5] * 5),
        "cronos.toml": "".join(setting[4:]).format(*[6] * 4),
    }
    make_tree(place / "p", project)
    for key in keys[5:]:
        monkeypatch.setenv(f"CRONOS_{key.upper()}", "7")
    found = resolve(project="p", overrides=dict.fromkeys(keys[6:], 8))
    assert [getattr(found.resolved.settings, key) for key in keys] == [1, 2, 4, 5, 6, 7, 8, 8]
    assert found.resolved.origins["keep_daily"] == str(place / "p/cronos.yaml")
    assert [(file.path.name, file.layer, file.found) for file in found.files] == [
        ("config.toml", "system", True),
        ("config.toml", "user", True),
        *[(name, "project", True) for name in project],
    ]


def test_files_that_are_absent_are_listed_as_not_found(place: Path) -> None:
    found = resolve()
    assert [file.found for file in found.files] == [False] * 6
    assert [file.path for file in found.files if file.layer == "project"] == [place / name for name in bootstrap.PROJECT_CONFIGS]


def test_a_given_file_stands_in_for_the_users_and_the_projects(place: Path, hermetic: Path) -> None:
    make_tree(hermetic, {".config/cronos/config.toml": "keep_last = 1\nkeep_daily = 1\n"})
    make_tree(place, {"etc/config.toml": "keep_hourly = 2\n", "cronos.toml": "keep_weekly = 3\n", "own.toml": "lock_wait = 4\n"})
    found = resolve(config="own.toml")
    settings = found.resolved.settings
    assert (settings.keep_last, settings.keep_daily, settings.keep_hourly, settings.keep_weekly, settings.lock_wait) == (
        0,
        0,
        2,
        0,
        4,
    )
    assert [file.layer for file in found.files] == ["system", "file"]


def test_a_given_file_that_is_missing_is_an_error(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"own\.toml"):
        resolve(config="own.toml")


def test_what_an_egos_file_holds_besides_is_reported(place: Path) -> None:
    make_tree(place, {"cronos_config.json": '{"backup": {"directory": "./backups"}, "logging": {"level": "INFO"}}'})
    assert [item.key for item in resolve().resolved.ignored] == ["backup.directory", "logging.level"]


def test_the_default_backup_directory_is_the_users_data_directory(
    place: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve().resolved.settings.backup_dir == str(hermetic / ".local/share/cronos")
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert resolve().resolved.settings.backup_dir == "/srv/data/cronos"


def test_a_relative_backup_directory_starts_where_it_is_set(place: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(place, {"p/cronos.toml": 'backup_dir = "../stores"\n', "p/deep": {}})
    make_tree(hermetic, {".config/cronos/config.toml": 'backup_dir = "stores"\n'})
    monkeypatch.chdir(place / "p/deep")
    assert resolve().resolved.settings.backup_dir == str(place / "stores")
    assert resolve(project=str(place)).resolved.settings.backup_dir == str(hermetic / ".config/cronos/stores")
    assert resolve(backup_dir="here").resolved.settings.backup_dir == str(place / "p/deep/here")
    monkeypatch.setenv("CRONOS_BACKUP_DIR", "~/b")
    assert resolve().resolved.settings.backup_dir == str(hermetic / "b")


def test_resolving_imports_nothing_heavy(place: Path) -> None:
    make_tree(place, {"p/.git": {}})
    code = (
        "import sys; from cronos_git.bootstrap import resolve; resolve(project='p');"
        "print([m for m in ('pydantic', 'yaml', 'pathspec', 'pygit2', 'rich', 'subprocess', 'asyncio') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], cwd=place, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the engine ---------------------------------------------------------------------------------------------------


def test_the_engine_is_given_everything_it_needs(place: Path, hermetic: Path) -> None:
    make_tree(place, {"p": {}})
    engine = open_engine(project="p", lock_wait_s=3, overrides={"retention_days": 5})
    assert engine.project == place / "p"
    assert engine.store_path == store_path(hermetic / ".local/share/cronos", place / "p")
    assert (engine.settings.lock_wait, engine.settings.retention_days) == (3.0, 5)
    assert engine.identity.user
    assert engine.identity.host == os.uname().nodename
    assert not engine.store_path.exists()


def refusal(**arguments: object) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        open_engine(**arguments)  # type: ignore[arg-type]
    assert caught.value.exit_status == 13
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("directory", ["p", "p/backups", "link/backups", "p/x/../y"])
def test_backups_inside_the_project_are_refused(place: Path, directory: str) -> None:
    make_tree(place, {"p": {}, "link": Link("p")})
    assert "--backup-dir" in refusal(project="p", backup_dir=directory).message


def test_backups_beside_the_project_are_allowed(place: Path) -> None:
    make_tree(place, {"p": {}})
    assert open_engine(project="p", backup_dir="p-backups").settings.backup_dir == str(place / "p-backups")


def test_home_and_root_are_refused_unless_forced(place: Path, hermetic: Path) -> None:
    assert "not a project" in refusal(project="/").message
    assert "not a project" in refusal(project=str(hermetic)).message
    assert open_engine(project=str(hermetic), backup_dir=str(place / "b"), force=True).project == hermetic.resolve()


def test_force_does_not_put_backups_into_the_project(hermetic: Path) -> None:
    assert "inside it" in refusal(project=str(hermetic), force=True).message


def test_home_with_a_store_needs_no_force_again(place: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_path(place / "b", hermetic).mkdir(parents=True)
    make_tree(hermetic, {"deep": {}})
    monkeypatch.chdir(hermetic / "deep")
    assert open_engine(backup_dir=str(place / "b")).project == hermetic.resolve()


def test_a_project_file_cannot_send_backups_where_others_can_write(place: Path) -> None:
    make_tree(place, {"p/cronos.toml": 'backup_dir = "../shared"\n', "shared": {}})
    (place / "shared").chmod(0o777)
    assert "cronos.toml" in refusal(project="p").message
    assert open_engine(project="p", backup_dir="shared").settings.backup_dir == str(place / "shared")
    (place / "shared").chmod(0o700)
    assert open_engine(project="p").settings.backup_dir == str(place / "shared")


# --- clock and zone -----------------------------------------------------------------------------------------------


def test_the_clock_tells_the_present_in_utc() -> None:
    before = datetime.now(UTC)
    assert before <= SystemClock().now() <= datetime.now(UTC)
    assert SystemClock().now().utcoffset() == timedelta(0)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalZone]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield LocalZone()
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_local_time_follows_summer_time(berlin: LocalZone) -> None:
    assert datetime(2026, 1, 15, 12, tzinfo=berlin).astimezone(UTC).hour == 11
    assert datetime(2026, 7, 15, 12, tzinfo=berlin).astimezone(UTC).hour == 10
    assert datetime(2026, 7, 15, 10, tzinfo=UTC).astimezone(berlin).strftime("%H %Z") == "12 CEST"


def test_every_hour_of_a_year_survives_the_way_to_local_time_and_back(berlin: LocalZone) -> None:
    start = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    for hours in range(365 * 24):
        moment = start + timedelta(hours=hours)
        assert moment.astimezone(berlin).astimezone(UTC) == moment
