"""How ssh is called: it never waits for ever, never asks off a terminal, and the user's own choice of it stands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import RemoteError
from tests.support.engine import make_engine


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `ssh` and `myssh`, the first in PATH, were called with; they fail as ssh does without a key."""
    log = tmp_path / "calls"
    for name in ("ssh", "myssh"):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\necho {name} "$@" >>{log}\necho "ann@nas: Permission denied (publickey)." >&2\nexit 255\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return log


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    made = make_engine(tmp_path)
    made.add_remote("origin", "ann@nas:shop.git")
    return made


def test_off_a_terminal_ssh_asks_nothing_and_gives_up_on_a_dead_host(engine: Cronos, calls: Path) -> None:
    with pytest.raises(RemoteError, match=r"Permission denied \(publickey\)") as failed:
        engine.check_remote()
    assert "no key that ssh offers" in (failed.value.hint or "")
    options = calls.read_text()
    assert options.startswith("ssh ")
    assert all(option in options for option in ("BatchMode=yes", "ConnectTimeout=30", "ServerAliveInterval=15"))


@pytest.mark.parametrize("variable", ["GIT_SSH", "GIT_SSH_COMMAND"])
def test_an_ssh_chosen_by_a_variable_is_used_as_it_is(
    engine: Cronos, calls: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "myssh")
    with pytest.raises(RemoteError):
        engine.check_remote()
    assert calls.read_text().startswith("myssh ")
    assert "BatchMode" not in calls.read_text()


def test_an_ssh_chosen_in_the_configuration_is_used_as_it_is(engine: Cronos, calls: Path) -> None:
    subprocess.run(["git", "config", "--global", "core.sshCommand", "myssh -v"], check=True)
    with pytest.raises(RemoteError):
        engine.check_remote()
    assert calls.read_text().startswith("myssh -v ")
    assert "BatchMode" not in calls.read_text()
