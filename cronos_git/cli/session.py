"""What a command works with: the global options, the output, and the engine, opened when first asked for.

Knows no command and no rendering of results. Floor F11.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import typer

from cronos_git.cli.options import Options
from cronos_git.cli.render.output import Output
from cronos_git.errors import BackupNotFoundError, CronosError, UsageError
from cronos_git.model import SCOPE_PROJECT
from cronos_git.rules.imports import IMPORTED_SCOPE

if TYPE_CHECKING:
    from cronos_git.cli.peers import LatePeers
    from cronos_git.curator import Foreseen
    from cronos_git.engine import Cronos
    from cronos_git.events import Run
    from cronos_git.model import Backup, SnapshotRequest
    from cronos_git.rules.schema import Settings

OpenEngine = Callable[..., "Cronos"]


class Session:
    """One command line from parsing to exit status."""

    def __init__(self, open_engine: OpenEngine | None = None) -> None:
        self.options = Options()
        self.output = Output(self.options)
        self._open_engine = open_engine
        self._engine: Cronos | None = None
        self._peers: LatePeers | None = None

    def engine(self, *, force: bool = False) -> Cronos:
        """The engine of the project; the first call opens it, and *force* counts only then."""
        if self._engine is None:
            self._engine = (self._open_engine or _bootstrap())(
                project=self.options.project,
                backup_dir=self.options.backup_dir,
                config=self.options.config,
                lock_wait_s=self.options.lock_wait,
                force=force,
                peers=self._way_to_peers,
            )
            self._engine.face = "cli"
            self._engine.notice = lambda noticed: self.output.warning(noticed.text)
        return self._engine

    def _way_to_peers(self, settings: Settings) -> LatePeers | None:
        """The other nodes of the Mycelium; None when there is no `bus` to reach them by."""
        if settings.bus and self._peers is None:
            from cronos_git.cli.peers import LatePeers

            self._peers = LatePeers(settings)
        return self._peers

    def close(self) -> None:
        """Leave the bus, if anybody was asked over it."""
        if self._peers is not None:
            with contextlib.suppress(CronosError):  # the command has ended, and how is told
                self._peers.close()

    def foresee(self, plan: Foreseen, request: SnapshotRequest | None = None) -> int:
        """Say what the rules of the policy would have against a plan that is only shown; the exit status that follows."""
        denied = self.engine().foresee(plan, request)
        if denied is None:
            return 0
        self.output.warning(f"Done in earnest, this would be denied. {denied.message}")
        return denied.exit_status

    def use(self, engine: Cronos) -> None:
        """Work with *engine*, whatever the options say."""
        self._engine = engine

    def forget_engine(self) -> None:
        """Have the next call of `engine` open a new one; for commands that work for days."""
        self._engine = None

    def find(self, identifier: str, *, for_all: bool = False) -> Backup:
        """The backup that *identifier* means; says so when others matched too.

        Args:
            for_all: Also say when it is not of the whole project, unless its id was given.
        """
        engine = self.engine()
        try:
            resolution = engine.resolve(identifier)
        except (BackupNotFoundError, UsageError) as error:
            error.hint = _hint_at_path(identifier) or error.hint
            raise
        backup = resolution.backup
        if resolution.note:
            self.output.note(resolution.note)
        if for_all and backup.scope not in (SCOPE_PROJECT, IMPORTED_SCOPE) and backup.id != identifier:
            self.output.note(f"{backup.id} covers only {backup.scope}, not the whole project.")
        return backup

    def agrees(self, question: str) -> bool:
        """Ask on the terminal; no answer is a no."""
        try:
            return typer.confirm(question, err=True)
        except BaseException as stopped:
            self.output.raw_error("\n")  # what is said next must not stand behind the question
            if isinstance(stopped, typer.Abort):
                return False
            raise

    @contextlib.contextmanager
    def running(self) -> Iterator[Run]:
        """A Run whose events are drawn as progress while the block works."""
        from cronos_git.cli.render.progress import Watcher
        from cronos_git.events import Run

        with Watcher(self.output) as watcher:
            yield Run(emit=watcher.receive)


def _hint_at_path(identifier: str) -> str:
    """What to tell about an identifier that means no backup when it looks like BACKUP:PATH, else nothing."""
    from cronos_git.rules.identify import split_path

    backup, path = split_path(identifier)
    if path is None:
        return ""
    return f"A backup is wanted here, not a path in it: give {backup}. `cronos ls {identifier}` shows the path."


def _bootstrap() -> OpenEngine:
    from cronos_git.bootstrap import open_engine

    return open_engine


def session_of(context: typer.Context) -> Session:
    """The session that `app` gave to this command line."""
    return cast(Session, context.obj)
