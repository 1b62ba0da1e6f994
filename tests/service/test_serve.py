"""`cronos serve`: a process of its own on a real NATS server, with signals, kills and a word to systemd."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cronos_git.bootstrap import open_engine
from cronos_git.cli.app import run
from cronos_git.engine import Cronos
from cronos_git.ports import Bus
from tests.support.buses import a_node, joined, on_nats
from tests.support.services import make_large, make_project

HELD = """
import pathlib, sys, time
from cronos_git.disk import files

place = pathlib.Path(sys.argv[1])

def step(name, path):
    if "/objects/pack/tmp_cronos" in path and not (place / "go").exists():
        (place / "held").touch()
        while not (place / "go").exists():
            time.sleep(0.005)

files.step = step
from cronos_git.cli.app import run
sys.exit(run(sys.argv[2:]))
"""
"""A `cronos` whose backups stop at their first durable step, and go on when there is a file `go`."""


class Served:
    """A `cronos serve` of the project `site` in *root*."""

    def __init__(self, root: Path, address: str, *options: str) -> None:
        self.root = root
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(root / "notify"))
        self._notices.settimeout(30)
        words = ["-C", str(root / "site"), "--backup-dir", str(root / "stores"), "serve", "--mycelium", address, *options]
        self.process = subprocess.Popen(
            [sys.executable, "-c", HELD, str(root), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"NOTIFY_SOCKET": str(root / "notify")},
        )
        assert self.told() == "READY=1"

    def told(self) -> str:
        """What systemd is told next."""
        return self._notices.recv(100).decode()

    def held(self) -> None:
        """Wait until a backup is held."""
        while not (self.root / "held").exists():
            assert self.process.poll() is None
            os.sched_yield()

    def let_go(self) -> None:
        (self.root / "go").touch()

    def ended(self) -> tuple[int, str]:
        """Exit status and log."""
        output, log = self.process.communicate(timeout=30)
        assert output == b""
        return self.process.returncode, log.decode()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._notices.close()
        (self.root / "notify").unlink()


@contextmanager
def serving(root: Path, address: str, *options: str) -> Iterator[Served]:
    served = Served(root, address, *options)
    try:
        yield served
    finally:
        served.close()


def engine_of(root: Path) -> Cronos:
    return open_engine(project=str(root / "site"), backup_dir=str(root / "stores"))


def asked(address: str, story: Callable[[Bus], Awaitable[Any]]) -> Any:
    """What *story* gives, told with a bus."""

    async def tell() -> Any:
        async with on_nats(address)() as open_bus:
            asker = await joined(open_bus("ASKER"), a_node("ASKER"))
            try:
                return await asyncio.wait_for(story(asker), 40)
            finally:
                await asker.disconnect()

    return asyncio.run(tell())


def a_backup_while(address: str, served: Served, meanwhile: Callable[[], None]) -> Any:
    """The answer to a request for a backup, during which *meanwhile* was done."""

    async def story(asker: Bus) -> Any:
        asking = asyncio.create_task(asker.ask("CRONOS", "request.cronos.create_backup", {"name": "x"}, 30))
        await asyncio.to_thread(served.held)
        await asyncio.to_thread(meanwhile)
        return await asking

    return asked(address, story)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_large(make_project(tmp_path))
    return tmp_path


def test_sigterm_lets_a_running_backup_finish_and_ends_with_status_0(root: Path, nats_url: str) -> None:
    with serving(root, nats_url) as served:

        def meanwhile() -> None:
            served.process.send_signal(signal.SIGTERM)
            assert served.told() == "STOPPING=1"
            served.let_go()

        answer = a_backup_while(nats_url, served, meanwhile)
        assert answer["status"] == "SUCCESS"
        status, log = served.ended()
    assert status == 0
    assert "CRONOS serves site" in log and "no more" in log
    assert [backup.id for backup in engine_of(root).backups()] == [answer["backup_id"]]


def test_a_second_signal_hurries_and_nothing_of_the_backup_is_left(root: Path, nats_url: str) -> None:
    with serving(root, nats_url, "--grace", "60") as served:

        def meanwhile() -> None:
            served.process.send_signal(signal.SIGTERM)
            assert served.told() == "STOPPING=1"
            served.process.send_signal(signal.SIGINT)
            served.process.send_signal(signal.SIGINT)
            asked(nats_url, lambda asker: asker.ask("CRONOS", "request.cronos.get_status", {}, 20))  # the signals have come
            served.let_go()

        answer = a_backup_while(nats_url, served, meanwhile)
        assert (answer["status"], answer["code"]) == ("ERROR", "interrupted")
        assert served.ended()[0] == 0
    engine = engine_of(root)
    assert engine.backups() == []
    assert not list((engine.store_path / "objects" / "pack").glob("*"))


def test_a_killed_service_leaves_nothing_half_done_and_the_next_one_goes_on(root: Path, nats_url: str) -> None:
    with serving(root, nats_url) as served:

        async def story(asker: Bus) -> None:
            asking = asyncio.create_task(asker.ask("CRONOS", "request.cronos.create_backup", {"name": "x"}, 30))
            await asyncio.to_thread(served.held)
            served.process.kill()
            asking.cancel()

        asked(nats_url, story)
        served.process.wait()
    assert engine_of(root).backups() == []
    assert not engine_of(root).verify().damage

    (root / "go").touch()
    with serving(root, nats_url) as served:

        async def again(asker: Bus) -> Any:
            return await asker.ask("CRONOS", "request.cronos.create_backup", {"name": "x"}, 30)

        assert asked(nats_url, again)["status"] == "SUCCESS"
        served.process.send_signal(signal.SIGINT)
        assert served.ended()[0] == 0
    engine = engine_of(root)
    assert len(engine.backups()) == 1 and not engine.verify().damage
    assert len(list((engine.store_path / "objects" / "pack").iterdir())) == 2


def test_a_server_that_cannot_be_reached_ends_with_status_14(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"nats://127.0.0.1:{probe.getsockname()[1]}"
        assert run(["-C", str(root / "site"), "--backup-dir", str(root / "stores"), "serve", "--mycelium", address]) == 14
    assert address.removeprefix("nats://") in capfd.readouterr().err


def test_serving_nothing_is_wrong_usage(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["-C", str(root / "site"), "--backup-dir", str(root / "stores"), "serve"]) == 2
    assert "--mycelium" in capfd.readouterr().err
