"""`--via URL`: the work is done by a service elsewhere, and the commands are the same.

What stands in the engine's place then, and what is refused because it cannot be said over the bus. How services are asked is
`service.client`'s; what only they can tell is shown by `elsewhere`. Floor F11.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from cronos_git.bootstrap import resolve
from cronos_git.cli.session import Session
from cronos_git.clock import LocalZone, SystemClock
from cronos_git.errors import ServiceError, UsageError
from cronos_git.model import Backup, Query, RestoreRequest, SnapshotReport, SnapshotRequest, VerifyReport, VerifyRequest
from cronos_git.rules.remotes import shown

if TYPE_CHECKING:
    from cronos_git.engine import Cronos
    from cronos_git.events import Run
    from cronos_git.rules.identify import Resolution
    from cronos_git.rules.schema import Settings
    from cronos_git.service.client import RemoteCronos
    from cronos_git.service.reports import RemoteRestore, RemoteStatus

SAYABLE: Mapping[str, tuple[str, ...]] = {
    "create": (
        *("name", "message", "description", "backup_type", "labels", "pin", "metadata", "include", "exclude", "modules"),
        *("with_dependencies", "skip_if_unchanged"),
    ),
    "list": ("types", "name", "labels", "module", "metadata", "since", "until", "contains", "sort", "reverse", "limit"),
    "status": (),
    "restore": (
        *("backup", "paths", "strategy", "target", "modules", "with_dependencies", "base", "on_conflict", "deletions"),
        *("yes", "verify"),
    ),
    "verify": ("backups", "quick"),
}
"""The commands that a service can be asked to do, and which of their arguments and options it understands."""

_LOCAL = {"project": "--project", "backup_dir": "--backup-dir", "lock_wait": "--lock-wait"}
_ADDRESS = r"(?P<server>(?:nats|tls)://[^\s/?#]+)(?:/(?P<project>[A-Za-z0-9_-]+))?/?"
_Result = TypeVar("_Result")


@contextlib.contextmanager
def asking(context: Any) -> Iterator[None]:
    """Let the command of *context* work with the service that `--via` names.

    Raises:
        UsageError: The command, or one of its options, cannot be said over the bus; or the address makes no sense.
        BusError: The bus cannot be reached.
    """
    _check(context)
    session: Session = context.obj
    target = context.params.get("target")
    if target is not None and not target.startswith("/"):
        raise UsageError(f"--to {target!r} is no absolute path.", hint="Give one as the service's machine has it.")
    found = re.fullmatch(_ADDRESS, session.options.via or "")
    if found is None:
        raise UsageError(f"--via {shown(session.options.via or '')} is no address.", hint="Write nats://HOST:PORT/PROJECT.")
    with _telling(session), _Loop() as loop:
        engine = RemoteEngine(found["server"], found["project"] or "", session, loop)
        with engine.connected(), _naming_projects(found["server"]):
            session.use(cast("Cronos", engine))
            yield


@contextlib.contextmanager
def _telling(session: Session) -> Iterator[None]:
    """Tell as notes what becomes of the connection while the block runs; the same only once in a row."""
    told: list[str] = []

    class Teller(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if told[-1:] != [text]:
                told.append(text)
                session.output.note(shown(text))

    logger, teller = logging.getLogger("CRONOS.Bus"), Teller(logging.WARNING)
    logger.addHandler(teller)
    try:
        yield
    finally:
        logger.removeHandler(teller)


@contextlib.contextmanager
def _naming_projects(server: str) -> Iterator[None]:
    """Say how a project is named here when the bus has several."""
    try:
        yield
    except ServiceError as error:
        projects = error.context.get("projects")
        if isinstance(projects, list):
            error.hint = (
                f"Name one behind the address, as in --via {shown(server)}/{projects[0]}: {', '.join(map(str, projects))}."
            )
        raise


def _check(context: Any) -> None:
    name = context.command_path.partition(" ")[2]
    sayable = SAYABLE.get(name)
    if sayable is None:
        known = ", ".join(SAYABLE)
        raise UsageError(f"`cronos {name}` cannot be done with --via.", hint=f"With --via there are: {known}.")
    given = [param for param in context.command.params if param.expose_value and _is_given(context, param.name)]
    options = context.obj.options
    refused = [max(param.opts, key=len) for param in given if param.name not in sayable]
    refused += [option for name, option in _LOCAL.items() if getattr(options, name) is not None]
    if refused:
        raise UsageError(
            f"{', '.join(refused)} cannot be said with --via.",
            hint="Leave it out, or run the command on the machine where the project is.",
        )


def _is_given(context: Any, name: str) -> bool:
    return bool(context.get_parameter_source(name).name == "COMMANDLINE")


# --- in place of the engine -------------------------------------------------------------------------------------------


class _Loop:
    """An event loop on a thread of its own: a signal ends the waiting for it, never what it is in the middle of."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cronos-via", daemon=True)
        self._thread.start()
        return self

    def do(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Wait for *work*; when the waiting is broken off, *work* is cancelled."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class RemoteEngine:
    """Does for the commands that know `--via` what the engine does for them otherwise.

    Args:
        server: Address of the NATS server.
        project: Name of the project on the bus; empty when there is only one.
    """

    def __init__(self, server: str, project: str, session: Session, loop: _Loop) -> None:
        self.clock = SystemClock()
        self.zone = LocalZone()
        self._address = shown(f"{server}/{project}" if project else server)
        self._session = session
        self._loop = loop
        settings = resolve(config=session.options.config).resolved.settings
        self.settings = replace(settings, auto_push="its remote")
        self._remote = _remote(server, project, settings)

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """Be on the bus while the block runs."""
        self._loop.do(self._remote.connect())
        try:
            yield
        finally:
            self._loop.do(self._remote.disconnect())

    # --- facts --------------------------------------------------------------------------------------------------------

    @cached_property
    def status(self) -> RemoteStatus:
        """How the service was when it was first asked."""
        return self._loop.do(self._remote.status())

    @property
    def project(self) -> Path:
        """The project, on the service's machine."""
        return Path(self.status.project_root)

    @property
    def store_path(self) -> Path:
        """Its store, on the service's machine."""
        return Path(self.status.store)

    def damaged(self) -> Sequence[object]:
        """Nothing: lists tell what can be read."""
        return ()

    # --- verbs --------------------------------------------------------------------------------------------------------

    def backups(self, query: Query | None = None) -> list[Backup]:
        """The backups that meet *query*, in its order."""
        from cronos_git.ops import catalog

        query = query or Query()
        found = self._loop.do(self._remote.backups(query))
        return catalog.select(found, Query(sort=query.sort, reverse=query.reverse), lambda _backup, _path: True)

    def resolve(self, identifier: str) -> Resolution:
        """The backup that *identifier* means, by the clock and zone here."""
        from cronos_git.rules.identify import resolve

        return resolve(identifier, self.backups(), self.clock.now(), self.zone)

    def snapshot(self, request: SnapshotRequest, run: Run) -> SnapshotReport:
        """Have a backup made."""
        return self._work(self._remote.create(request, run))

    def restore(self, request: RestoreRequest, run: Run) -> RemoteRestore:
        """Have a backup brought back there."""
        return self._work(self._remote.restore(request, run))

    def verify(self, request: VerifyRequest, run: Run) -> VerifyReport:
        """Have the backups checked.

        Raises:
            UsageError: Several backups are named.
        """
        if len(request.backups) > 1:
            raise UsageError("With --via one backup is checked, or all.", hint="Name one, or none.")
        return self._work(self._remote.verify(request, run))

    def _work(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        try:
            return self._loop.do(work)
        except Exception:
            raise
        except BaseException:
            told = f"The service goes on with it; `cronos --via {self._address} status` tells how far it is."
            self._session.output.note(told)
            raise


def _remote(server: str, project: str, settings: Settings) -> RemoteCronos:
    from cronos_git.service.buses import open_bus
    from cronos_git.service.client import RemoteCronos

    return RemoteCronos(open_bus(server, settings), project)
