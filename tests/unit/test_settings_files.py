from __future__ import annotations

import os
from pathlib import Path

import pytest

from cronos_git.disk.settings_files import fault_of_ownership, read_settings, real_directory
from cronos_git.errors import ConfigError, HostError, ProjectError
from tests.support.trees import Link, Special, make_tree


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cronos.toml", 'max_backups = 3\nexclude = ["ü"]\n'),
        ("cronos.yaml", "max_backups: 3\nexclude:\n  - ü\n"),
        ("cronos.yml", "{max_backups: 3, exclude: [ü]}"),
        ("cronos_config.json", '{"max_backups": 3, "exclude": ["ü"]}'),
        ("pyproject.toml", '[tool.cronos]\nmax_backups = 3\nexclude = ["ü"]\n[tool.other]\nx = 1\n'),
    ],
)
def test_each_format_gives_the_same_values(tmp_path: Path, name: str, text: str) -> None:
    make_tree(tmp_path, {name: text})
    assert read_settings(tmp_path / name) == {"max_backups": 3, "exclude": ["ü"]}


def test_an_absent_file_is_none_and_an_empty_one_sets_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a.toml": "", "a.yaml": "# nothing\n"})
    assert read_settings(tmp_path / "b.toml") is None
    assert read_settings(tmp_path / "a.toml" / "below.toml") is None
    assert read_settings(tmp_path / "a.toml") == {}
    assert read_settings(tmp_path / "a.yaml") == {}


@pytest.mark.parametrize("text", ["[project]\nname = 'x'\n", "[tool.other]\ncronos = 1\n", "<<<<<<< merge conflict\n"])
def test_a_pyproject_that_does_not_speak_of_cronos_is_none(tmp_path: Path, text: str) -> None:
    make_tree(tmp_path, {"pyproject.toml": text})
    assert read_settings(tmp_path / "pyproject.toml") is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", b"x = \n"),
        ("a.toml", b"\xff"),
        ("a.yaml", b"a: [\n"),
        ("a.yaml", b"- 1\n"),
        ("a.yaml", b"1: 2\n"),
        ("a.yaml", b"policy: []\npolicy: []\n"),
        ("a.yaml", b"policy:\n  - on: create\n    on: delete\n"),
        ("a.json", b'{"policy": [{"on": "create", "on": "delete"}]}'),
        ("a.yaml", b"!!python/object/apply:os.system [id]\n"),
        ("a.json", b"{"),
        ("a.json", b"[" * 100_000),
        ("a.json", b"3"),
        ("pyproject.toml", b"[tool]\ncronos = 3\n"),
        ("pyproject.toml", b"[tool.cronos\n"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, name: str, text: bytes) -> None:
    make_tree(tmp_path, {name: text})
    with pytest.raises(ConfigError) as caught:
        read_settings(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message


@pytest.mark.parametrize("node", [Special("fifo"), {}])
def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path, node: object) -> None:
    make_tree(tmp_path, {"cronos.toml": node})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="regular file"):
        read_settings(tmp_path / "cronos.toml")


def test_a_file_that_cannot_be_opened_is_an_error_and_not_taken_for_absent(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a.toml": Link("a.toml")})
    with pytest.raises(HostError, match=r"a\.toml"):
        read_settings(tmp_path / "a.toml")


def test_a_project_is_known_by_its_real_path(tmp_path: Path) -> None:
    make_tree(tmp_path, {"real": {}, "link": Link("real")})
    assert real_directory(str(tmp_path / "link")) == tmp_path.resolve() / "real"


@pytest.mark.parametrize(("name", "words"), [("file", "is not a directory"), ("gone", "does not exist")])
def test_a_project_that_is_no_directory_is_refused(tmp_path: Path, name: str, words: str) -> None:
    make_tree(tmp_path, {"file": b""})
    with pytest.raises(ProjectError, match=words):
        real_directory(str(tmp_path / name))


def test_a_directory_that_others_can_write_is_at_fault(tmp_path: Path) -> None:
    make_tree(tmp_path, {"mine": {}, "ours": {}, "link": Link("ours")})
    (tmp_path / "mine").chmod(0o755)
    (tmp_path / "ours").chmod(0o775)
    assert fault_of_ownership(tmp_path / "mine") == ""
    assert fault_of_ownership(tmp_path / "mine" / "new" / "deeper") == ""
    assert "ours" in fault_of_ownership(tmp_path / "ours" / "new")
    assert "ours" in fault_of_ownership(tmp_path / "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_another_user_is_at_fault(tmp_path: Path) -> None:
    make_tree(tmp_path, {"theirs": {}})
    os.chown(tmp_path / "theirs", 12345, 12345)
    assert "another user" in fault_of_ownership(tmp_path / "theirs")
