"""`serve` answers requests over the Mycelium and takes backups by the clock, in the foreground, until it is told to stop.

Everything it does is `service.worker`'s; here are only signals, the log on stderr and the word to systemd. Floor F11.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cronos_git import equipment, surroundings
from cronos_git.cli.command import command
from cronos_git.cli.session import session_of
from cronos_git.errors import UsageError

if TYPE_CHECKING:
    from cronos_git.service.worker import CronosService

_COLLECT_AFTER = (50_000, 20, 1000)
"""New objects before a search among them, such searches before one among the older ones, and those before one among all."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@command(
    "serve",
    statuses=(13, 14, 16),
    examples=("cronos serve --mycelium nats://127.0.0.1:4222", "cronos -C ~/work/site serve --grace 120"),
)
def serve(
    context: typer.Context,
    mycelium: Annotated[
        str | None, typer.Option("--mycelium", metavar="ADDRESS", show_default=False, help="The NATS server [`bus`].")
    ] = None,
    grace: Annotated[
        float, typer.Option("--grace", metavar="SECONDS", min=0.0, help="How long work may go on after SIGTERM.")
    ] = 30.0,
) -> int:
    """Serve the project on the Mycelium, and take backups by itself when `auto_backup_hours` or `auto_backup_cron` is set.

    It runs until SIGTERM or Ctrl-C. Then it takes no more requests and lets a running backup or restore finish; after --grace
    seconds, or at a second signal, it is stopped and nothing of it is left. What happens is logged on stderr, and every request
    stands in the operation log. When the NATS server cannot be reached at the start, it ends with status 14; later it waits until
    the server is back.
    """
    import asyncio

    from cronos_git.service.worker import CronosService

    options = session_of(context).options
    service = CronosService(
        mycelium,
        project_root=options.project,
        config_path=options.config,
        backup_dir=options.backup_dir,
        lock_wait_s=options.lock_wait,
    )
    settings = service.settings
    if not (mycelium or settings.bus or settings.auto_backup_hours or settings.auto_backup_cron):
        raise UsageError(
            "There is nothing to serve: no Mycelium, and no backup to be taken by itself.",
            hint="Name a NATS server with --mycelium nats://HOST:4222, or set `auto_backup_hours`.",
        )
    with equipment.show_log(settings, sys.stderr):
        asyncio.run(_serve(service, grace))
    return 0


async def _serve(service: CronosService, grace_s: float) -> None:
    import asyncio

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    hurrying: list[asyncio.Task[None]] = []

    def asked_to_stop() -> None:
        if stop.is_set():
            hurrying.append(loop.create_task(service.stop(grace_s=0)))
        stop.set()

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            loop.add_signal_handler(number, asked_to_stop)
    await service.start()
    _tell_systemd("READY=1")
    await stop.wait()
    _tell_systemd("STOPPING=1")
    await service.stop(grace_s=grace_s)
    await asyncio.gather(*hurrying)


def _tell_systemd(state: str) -> None:
    """Say how the service is to a service manager that wants to know (sd_notify)."""
    place = surroundings.notify_socket()
    if place:
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            teller.sendto(state.encode(), "\0" + place[1:] if place.startswith("@") else place)
