"""`cronos --via`: the command line against services on a real NATS server."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cronos_git.bootstrap import open_engine
from cronos_git.cli import app, command, via
from cronos_git.service.worker import CronosService
from tests.support.services import Held, make_project

Told = tuple[int, str, str]
Cronos = Callable[..., Told]


@contextmanager
def service_of(root: Path, url: str, name: str, **overrides: object) -> Iterator[None]:
    """A service of the project `site` in *root*, called *name*, on an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(30)

    service = CronosService(
        url, project_root=root / "site", backup_dir=root / "stores", overrides={"service_name": name, **overrides}
    )
    try:
        do(service.start())
        yield
    finally:
        do(service.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def cronos(capsys: pytest.CaptureFixture[str]) -> Cronos:
    """Runs a command line in this process."""

    def run(*words: str) -> Told:
        status = app.run(words)
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


@pytest.fixture
def site(tmp_path: Path, nats_url: str) -> Iterator[Path]:
    """A project with a service called site."""
    project = make_project(tmp_path)
    with service_of(tmp_path, nats_url, "site", restore_roots=[str(tmp_path / "restored")]):
        yield project


@pytest.fixture
def address(nats_url: str) -> str:
    return f"{nats_url}/site"


# --- what it does -----------------------------------------------------------------------------------------------------


def test_create_and_list_say_the_same_from_afar_as_on_the_spot(site: Path, address: str, cronos: Cronos) -> None:
    words = ["create", "nightly", "-m", "why", "--label", "x", "--pin", "--meta", "n=3", "--json"]
    status, out, err = cronos("--via", address, *words)
    here = ["-C", str(site), "--backup-dir", str(site.parent / "stores")]
    _, local, _ = cronos(*here, *words)
    assert (status, err) == (0, "")
    assert json.loads(out).keys() == json.loads(local).keys()
    assert json.loads(out)["backup"]["metadata"] == {"n": 3}
    for options in (
        [],
        ["--json"],
        ["-q"],
        ["--label", "x", "-l", "1"],
        ["--contains", str(site / "a.txt")],
        ["--contains", "none"],
        ["--since", "2 days ago", "--sort", "name", "--reverse"],
    ):
        assert cronos("list", "--via", address, *options) == cronos(*here, "list", *options)


def test_a_restore_there_is_told_here(site: Path, address: str, cronos: Cronos) -> None:
    cronos("--via", address, "create", "first")
    (site / "a.txt").write_text("two")
    (site / "b.txt").write_text("new")
    status, out, err = cronos("--via", address, "restore", "first", "--strategy", "replace", "--yes")
    assert status == 0
    assert (site / "a.txt").read_text() == "one\n"
    assert not (site / "b.txt").exists()
    assert re.fullmatch(r"Restored first_\S+ into \S+/site \(replace\): 1 file written, 1 deleted, .*, 4 B in .*\n", out)
    assert "Restore point" in err
    target = site.parent / "restored" / "x"
    status, out, err = cronos("--via", address, "restore", "first:a.txt", "--to", str(target), "--json")
    assert (status, err) == (0, "")
    assert (target / "a.txt").read_text() == "one\n"
    told = json.loads(out)
    assert (told["plan"]["target"], told["plan"]["backup"]["name"], told["files"]) == (str(target), "first", 1)


def test_status_tells_of_the_service_and_its_store(site: Path, address: str, cronos: Cronos) -> None:
    status, out, _ = cronos("--via", address, "status")
    assert status == 0
    assert f"Project: site ({site} on " in out
    assert "Last:" not in out
    cronos("--via", address, "create", "first")
    _, out, _ = cronos("--via", address, "status")
    assert re.search(r"^Backups: 1 \(manual 1\)\nLast: +first_", out, re.MULTILINE)
    _, out, _ = cronos("--via", address, "status", "--json")
    assert json.loads(out)["last_backup"]["name"] == "first"


def test_damage_there_is_listed_and_ends_with_6(site: Path, address: str, cronos: Cronos) -> None:
    cronos("--via", address, "create", "first")
    assert cronos("--via", address, "verify", "first")[0] == 0
    assert cronos("--via", address, "verify", "first", "latest")[0] == 2
    pack = next((site.parent / "stores").glob("*/objects/pack/*.pack"))
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[40] ^= 0xFF
    pack.write_bytes(content)
    status, out, err = cronos("--via", address, "verify")
    assert status == 6
    assert "first_" in out
    assert "Damaged:" in err


def test_conflicts_of_a_merge_there_are_named_and_nothing_is_changed(site: Path, address: str, cronos: Cronos) -> None:
    cronos("--via", address, "create", "first")
    (site / "a.txt").write_text("two\n")
    cronos("--via", address, "create", "second")
    (site / "a.txt").write_text("three\n")
    words = ["restore", "second", "--strategy", "merge", "--base", "first", "--yes"]
    status, out, err = cronos("--via", address, *words)
    assert (status, out) == (4, "")
    assert "content: a.txt\n" in err
    assert (site / "a.txt").read_text() == "three\n"
    status, out, _ = cronos("--via", address, *words, "--on-conflict", "theirs")
    assert status == 0
    assert "Solved: 1 conflict." in out
    assert (site / "a.txt").read_text() == "two\n"


# --- what is asked before ---------------------------------------------------------------------------------------------


def test_a_restore_in_place_needs_a_yes(site: Path, address: str, cronos: Cronos) -> None:
    cronos("--via", address, "create", "first")
    (site / "a.txt").write_text("two")
    status, _, err = cronos("--via", address, "restore", "first", "--strategy", "overwrite")
    assert status == 13
    assert "--yes" in err
    assert (site / "a.txt").read_text() == "two"


@pytest.mark.parametrize(("answer", "status", "content"), [(b"n\n", 1, "two"), (b"y\n", 0, "one\n")])
def test_on_a_terminal_it_is_asked_for(
    site: Path, address: str, cronos: Cronos, answer: bytes, status: int, content: str
) -> None:
    cronos("--via", address, "create", "first")
    (site / "a.txt").write_text("two")
    pid, terminal = pty.fork()
    if pid == 0:
        words = ["--via", address, "restore", "first", "--strategy", "overwrite"]
        os.execv(sys.executable, [sys.executable, "-m", "cronos_git", *words])
    seen = b""
    while piece := _read(terminal):
        seen += piece
        if b"Go on?" in seen and answer:
            assert b"restore all of first_" in seen
            os.write(terminal, answer)
            answer = b""
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    assert (site / "a.txt").read_text() == content


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1000)
    except OSError:  # how Linux says that the other end is closed
        return b""


# --- what cannot be said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["create", "-n"], "--dry-run"),
        (["create", "--force"], "--force"),
        (["restore", "x", "--no-restore-point", "--strategy", "merge"], "--no-restore-point"),
        (["restore", "x", "--to", "there"], "absolute"),
        (["verify", "--drill"], "--drill"),
        (["verify", "--read", "5%"], "--read"),
        (["list", "-C", "/tmp"], "--project"),
        (["list", "--backup-dir", "/tmp"], "--backup-dir"),
        (["list", "--lock-wait", "5"], "--lock-wait"),
        (["prune"], "create, list, status, restore, verify"),
        (["label", "add", "latest", "x"], "create, list, status, restore, verify"),
        (["git", "log"], "create, list, status, restore, verify"),
    ],
)
def test_what_cannot_be_said_over_the_bus_is_refused_and_not_ignored(words: list[str], named: str, cronos: Cronos) -> None:
    status, out, err = cronos("--via", "nats://127.0.0.1:1/site", *words)
    assert (status, out) == (2, "")
    assert named in err


def test_what_may_be_said_is_what_the_commands_have() -> None:
    parser = app.parser(["--help"])
    for name, sayable in via.SAYABLE.items():
        assert set(sayable) <= {param.name for param in parser.commands[name].params}, name
    assert via.SAYABLE.keys() <= command.COMMANDS.keys()


@pytest.mark.parametrize("url", ["site", "http://127.0.0.1", "nats://", "nats://host/a/b", "nats://host/a?b", "nats://host/ä"])
def test_an_address_that_is_none_is_refused(url: str, cronos: Cronos) -> None:
    assert cronos("list", "--via", url)[0] == 2


# --- whom to ask ------------------------------------------------------------------------------------------------------


def test_of_several_projects_one_must_be_named(site: Path, nats_url: str, tmp_path: Path, cronos: Cronos) -> None:
    assert cronos("--via", nats_url, "list")[0] == 0
    (tmp_path / "second").mkdir()
    make_project(tmp_path / "second")
    with service_of(tmp_path / "second", nats_url, "shop"):
        status, _, err = cronos("--via", nats_url, "list")
        assert status == 2
        assert f"--via {nats_url}/shop: shop, site." in err
        assert cronos("--via", f"{nats_url}/shop", "create", "of-shop")[0] == 0
        assert cronos("--via", f"{nats_url}/site", "list", "-q")[1] == ""
        status, _, err = cronos("--via", f"{nats_url}/none", "list")
        assert status == 2
        assert "shop, site" in err


def test_nobody_there_ends_with_14(nats_url: str, cronos: Cronos) -> None:
    for url in (nats_url, f"{nats_url}/site", "nats://127.0.0.1:1/site"):
        status, out, err = cronos("--via", url, "list")
        assert (status, out) == (14, "")
        assert "hint: " in err


def test_passwords_in_an_address_are_not_shown(cronos: Cronos) -> None:
    _, _, err = cronos("--via", "nats://me:hunter2@127.0.0.1:1/site", "list")
    assert "hunter2" not in err
    _, _, err = cronos("--via", "nats://me:hunter2@127.0.0.1:1/a/b", "list")
    assert "hunter2" not in err


def test_without_nats_it_tells_what_to_install(cronos: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "nats" or name.endswith("buses.nats")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nats", None)
    status, _, err = cronos("--via", "nats://127.0.0.1:1/site", "list")
    assert status == 14
    assert "pip install 'cronos_git[nats]'" in err


# --- going on without us ----------------------------------------------------------------------------------------------


def test_what_stops_waiting_leaves_the_work_to_finish(site: Path, address: str, cronos: Cronos) -> None:
    with Held() as held:
        words = [sys.executable, "-m", "cronos_git", "--via", address, "create", "long"]
        asker = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        asyncio.run(held.reached())
        assert "create_backup long" in cronos("--via", address, "status")[1]
        asker.send_signal(signal.SIGTERM)
        _, err = asker.communicate(timeout=20)
        assert asker.returncode == 143
        assert "The service goes on with it" in err
        held.let_go()
    with asking_until_idle(cronos, address):
        assert cronos("--via", address, "list", "-q")[1].startswith("long_")


@contextmanager
def asking_until_idle(cronos: Cronos, address: str) -> Iterator[None]:
    while json.loads(cronos("--via", address, "status", "--json")[1])["requests"]:
        pass
    yield


# --- two processes ----------------------------------------------------------------------------------------------------


def test_two_processes_on_one_server(tmp_path: Path, nats_url: str) -> None:
    project = make_project(tmp_path)
    base = [sys.executable, "-m", "cronos_git"]
    served = [*base, "-C", str(project), "--backup-dir", str(tmp_path / "stores"), "serve", "--mycelium", nats_url]
    service = subprocess.Popen(served, stderr=subprocess.PIPE, text=True)
    try:
        assert service.stderr is not None
        while "serves site" not in service.stderr.readline():
            assert service.poll() is None

        def ask(*words: str) -> str:
            return subprocess.run([*base, "--via", f"{nats_url}/site", *words], check=True, capture_output=True, text=True).stdout

        assert ask("create", "first").startswith("Saved first_")
        (project / "a.txt").write_text("two")
        assert "(overwrite): 1 file written" in ask("restore", "first", "--strategy", "overwrite", "--yes")
        assert (project / "a.txt").read_text() == "one\n"
        engine = open_engine(project=str(project), backup_dir=str(tmp_path / "stores"))
        assert ask("list", "-q").split() == [backup.id for backup in engine.backups()]
        service.terminate()
        assert service.wait(30) == 0
    finally:
        service.kill()
        service.communicate()
