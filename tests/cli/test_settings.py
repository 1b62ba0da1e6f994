import json
import os
from pathlib import Path

import pytest

from cronos_git.cli.app import run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "site"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def test_show_tells_values_and_where_they_stand(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "cronos.toml").write_text('exclude = ["*.log"]\n')
    assert run(["config", "show", "--origin", "--backup-dir", "/elsewhere"]) == 0
    lines = {line.split(" = ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["backup_dir"].split() == ["backup_dir", "=", '"/elsewhere"', "#", "--backup-dir"]
    assert lines["exclude"].split() == ["exclude", "=", '["*.log"]', "#", str(project / "cronos.toml")]
    assert lines["name"].endswith("# default")


def test_show_is_toml_without_origins(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tomllib

    run(["config", "show"])
    assert tomllib.loads(capsys.readouterr().out)["chunk_threshold"] == "32 MiB"


def test_show_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["config", "show", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["modules"] == {}
    assert told["settings"].keys() == told["origins"].keys()


def test_path_says_which_files_are_read(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "cronos.toml").write_text("")
    assert run(["config", "path", "-q"]) == 0
    assert capsys.readouterr().out == f"{project / 'cronos.toml'}\n"
    run(["config", "path"])
    assert f"absent  project  {project / 'cronos.yaml'}\n" in capsys.readouterr().out


def test_init_starts_a_file_that_changes_nothing_and_is_never_overwritten(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["config", "show"])
    before = capsys.readouterr().out
    assert run(["config", "init"]) == 0
    assert capsys.readouterr().out == f"Wrote {project / 'cronos.toml'}.\n"
    run(["config", "show"])
    assert capsys.readouterr().out == before
    assert run(["config", "init"]) == 13


def test_init_for_the_user_goes_to_the_users_directory(project: Path, hermetic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "init", "--user", "-q"]) == 0
    assert capsys.readouterr().out == f"{hermetic}/.config/cronos/config.toml\n"
    assert os.listdir(project) == []


def test_init_as_json_tells_the_path(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "init", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "path": str(project / "cronos.toml")}


def test_a_wrong_setting_fails_one_check_of_doctor_and_leaves_the_others(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "cronos.toml").write_text("exclud = []\n")
    assert run(["doctor", "--json"]) == 1
    checks = {check["name"]: check for check in map(json.loads, capsys.readouterr().out.splitlines())}
    assert checks["git"]["ok"]
    assert not checks["configuration"]["ok"]
    assert "exclud" in checks["configuration"]["text"]
    assert checks["configuration"]["hint"] == "Did you mean `exclude`?"


def test_a_wrong_setting_is_an_error_of_usage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "cronos.toml").write_text("exclud = []\n")
    assert run(["list"]) == 2
    assert "exclud" in capsys.readouterr().err
