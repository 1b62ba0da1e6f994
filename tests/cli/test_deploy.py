"""`cronos deploy` with real commands that end well, badly, by a signal, or never start."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cronos_git.disk import files
from cronos_git.git.store import store_path
from tests.support.hooks import Desk, write_script
from tests.support.trees import read_tree

BREAK = ("sh", "-c", "rm f; echo broken > new; exit 3")
PATIENCE_S = 30


@pytest.fixture
def desk(tmp_path: Path, hermetic: Path) -> Desk:
    return Desk(tmp_path, hermetic)


@pytest.fixture
def shop(desk: Desk) -> Path:
    return desk.repository()


def test_a_deploy_is_on_record_with_its_end(desk: Desk, shop: Path) -> None:
    (shop / "f").write_text("dirty\n")
    command = ("sh", "-c", "cat > got", "https://me:secret@host/x")
    told = desk.run(
        desk.bin / "cronos", "deploy", "--meta", "version=2", "--name", "live", "--", *command, cwd=shop, stdin="in\n"
    )
    (backup,) = desk.backups(shop)
    assert (told.out, told.err) == ("", f"note: Saved {backup['id']}.\n")
    assert (shop / "got").read_text() == "in\n"
    assert (backup["name"], backup["type"], backup["files"]) == ("live", "pre-deploy", 1)
    metadata = backup["metadata"]
    assert (metadata["version"], metadata["branch"], metadata["dirty"]) == (2, "main", True)
    assert metadata["commit"] == desk.head(shop)
    deployed = metadata["deploy"]
    assert deployed["command"] == ["sh", "-c", "cat > got", "https://host/x"]
    assert deployed["exit_code"] == 0
    assert 0 <= deployed["duration_s"] < PATIENCE_S
    logged = [json.loads(line) for line in desk.cronos("operations", "--json", cwd=shop).out.splitlines()]
    assert logged[0]["facts"]["changed"]["metadata"][1]["deploy"] == deployed


def test_a_deploy_that_fails_says_how_to_go_back(desk: Desk, shop: Path) -> None:
    before = read_tree(shop)
    told = desk.cronos("deploy", "--", *BREAK, cwd=shop, status=3)
    (backup,) = desk.backups(shop)
    assert backup["metadata"]["deploy"]["exit_code"] == 3
    assert re.search(r"^note: The command ended with 3 after [\d.]+ s\.$", told.err, re.MULTILINE)
    command = re.search(r"^note: To go back: (.*)$", told.err, re.MULTILINE)
    assert (shop / "new").exists()
    assert command is not None
    desk.run("sh", "-c", command[1], cwd=desk.base)
    assert read_tree(shop) == before


def test_a_deploy_can_go_back_by_itself_and_that_can_be_undone(desk: Desk, shop: Path) -> None:
    before = read_tree(shop)
    told = desk.cronos("deploy", "--json", "--on-failure", "rollback", "--", *BREAK, cwd=shop, status=3)
    assert read_tree(shop) == before
    report = json.loads(told.out)
    assert (report["exit_code"], report["rolled_back"], report["command"]) == (3, True, list(BREAK))
    assert f"Rolled back to {report['backup']}: 1 file written." in told.err
    desk.cronos("undo", "--yes", cwd=shop)
    assert (shop / "new").read_text() == "broken\n"


def test_keep_leaves_everything_as_it_is(desk: Desk, shop: Path) -> None:
    told = desk.cronos("deploy", "--on-failure", "keep", "--", *BREAK, cwd=shop, status=3)
    assert "To go back" in told.err
    assert not (shop / "f").exists()


def test_a_rollback_that_fails_is_told_and_the_status_stays_the_commands(desk: Desk, shop: Path) -> None:
    store = store_path(desk.home / ".local/share/cronos", shop)
    lose = f"find '{store}/objects' -name '*.pack' -delete; rm f; exit 5"
    told = desk.cronos("deploy", "--on-failure", "rollback", "--", "sh", "-c", lose, cwd=shop, status=5)
    assert "The rollback failed: " in told.err
    assert "Again: cronos -C " in told.err


def test_without_a_backup_nothing_is_deployed_unless_told_so(desk: Desk, shop: Path) -> None:
    desk.cronos("create", cwd=shop)
    with files.locked(store_path(desk.home / ".local/share/cronos", shop) / "cronos/lock"):
        desk.cronos("deploy", "--", "touch", "deployed", cwd=shop, status=11)
        assert not (shop / "deployed").exists()
        told = desk.cronos("deploy", "--fail-open", "--", "touch", "deployed", cwd=shop)
        assert told.err.startswith("warning: No backup, but the deploy goes on: ")
        assert (shop / "deployed").exists()
        desk.cronos("deploy", "--", "touch", "again", cwd=shop, CRONOS_HOOK_FAILURE="fail_open")
        assert (shop / "again").exists()


def test_a_command_that_does_not_exist_or_cannot_start_is_told(desk: Desk, shop: Path) -> None:
    assert "There is no command 'nothing-like-it'." in desk.cronos("deploy", "--", "nothing-like-it", cwd=shop, status=2).err
    assert desk.backups(shop) == []
    write_script(shop / "bad", "")
    (shop / "bad").write_text("#!/no/such/interpreter\n")
    assert "Cannot run ./bad" in desk.cronos("deploy", "--", "./bad", cwd=shop, status=1).err


@pytest.mark.parametrize(("how", "status"), [("--fail-closed", 20), ("--fail-open", 0)])
def test_a_dry_run_tells_what_the_policy_would_deny(desk: Desk, shop: Path, how: str, status: int) -> None:
    desk.env["CRONOS_POLICY"] = json.dumps([{"name": "closed", "forbid": True, "on": "create"}])
    told = desk.cronos("deploy", "-n", how, "--", "true", cwd=shop, status=status)
    assert "Done in earnest, this would be denied. The policy does not allow this backup: closed" in told.err


def test_a_dry_run_only_tells(desk: Desk, shop: Path) -> None:
    told = desk.cronos("deploy", "-n", "--", "touch", "deployed", cwd=shop)
    assert told.out == "Would save 1 file, then run: touch deployed\n"
    assert not (shop / "deployed").exists()
    assert desk.backups(shop) == []


def test_the_command_has_the_environment_to_itself(desk: Desk, shop: Path) -> None:
    signals = (
        "sed -n 's/^Sig[BI].*\\(.......\\)$/&:\\1/p' /proc/self/status | cut -d: -f1,3"  # the lowest 28; glibc has its own above
    )
    show = ("sh", "-c", f"env | grep -v PYTHONPATH; pwd; {signals}")
    direct = desk.run(*show, cwd=shop, MINE="1")
    assert "MINE=1\n" in direct.out
    assert desk.run(desk.bin / "cronos", "deploy", "--", *show, cwd=shop, MINE="1").out == direct.out


# --- signals ----------------------------------------------------------------------------------------------------------


def wait_for(path: Path) -> None:
    """Until *path* exists."""
    end_s = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < end_s, path
        time.sleep(0.01)


def test_a_signal_is_passed_on_and_its_end_recorded(desk: Desk, shop: Path) -> None:
    words = [str(desk.bin / "cronos"), "deploy", "--", "sh", "-c", "touch started; exec sleep 60"]
    with subprocess.Popen(words, cwd=shop, env=desk.env, stderr=subprocess.PIPE) as process:
        wait_for(shop / "started")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert b"To go back: " in err
    assert desk.backups(shop)[0]["metadata"]["deploy"]["exit_code"] == 128 + signal.SIGTERM


def on_terminal(desk: Desk, project: Path, words: list[str], started: Path, typed: list[tuple[str, bytes]]) -> tuple[int, str]:
    """Run cronos on a terminal, type after what is awaited; its exit status and all that it said."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.execve(desk.bin / "cronos", ["cronos", *words], desk.env)
    seen = ""
    while select.select([master], [], [], PATIENCE_S)[0]:
        try:
            piece = os.read(master, 4096).decode()
        except OSError:
            break
        seen += piece
        if typed and typed[0][0] in seen:
            os.write(master, typed.pop(0)[1])
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


def test_on_a_terminal_it_asks_after_an_interrupt_and_goes_back(desk: Desk, shop: Path) -> None:
    command = "rm f; trap 'echo ended; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    typed = [("ready", b"\x03"), ("Make the project what it was", b"y\n")]
    status, seen = on_terminal(desk, shop, ["deploy", "--", "sh", "-c", command], shop / "started", typed)
    assert status == 7
    assert seen.count("ended\r\n") == 1
    assert "Rolled back to pre-deploy_" in seen
    assert (shop / "f").read_text() == "1\n"
    (backup,) = [backup for backup in desk.backups(shop) if backup["type"] == "pre-deploy"]
    assert backup["metadata"]["deploy"]["exit_code"] == 7
