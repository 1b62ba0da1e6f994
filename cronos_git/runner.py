"""What runs the engine's work for programs on an event loop: which engine, in which turn, and who hears of it.

Every job gets an engine of its own from `bootstrap`, so the configuration counts as it is when the job begins. How jobs run is
`jobs.py`'s, how the Mycelium hears of them `announcing.py`'s, and what there is to do `manager.py`'s. Floor F9, below the
manager.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cronos_git import bootstrap, clock
from cronos_git.announcing import Herald, logger, publisher_of
from cronos_git.errors import UsageError
from cronos_git.events import Event, Run
from cronos_git.jobs import Access, Job, line_of
from cronos_git.rules.announcements import Story
from cronos_git.rules.policy import FACES
from cronos_git.rules.schema import KEYS

if TYPE_CHECKING:
    from cronos_git.engine import Cronos
    from cronos_git.ports import Peers

Result = TypeVar("Result")
OnEvent = Callable[[Event], object]
"""Is told of a job's events on the event loop: progress at most twice a second, all else at once."""


class Runner:
    """Runs jobs on one project. See `manager.BackupManager` for arguments, attributes and errors."""

    logger = logger

    def __init__(
        self,
        project_root: str | Path,
        config_path: str | Path | None = None,
        mycelium_client: object | None = None,
        *,
        backup_dir: str | Path | None = None,
        lock_wait_s: float | None = None,
        overrides: Mapping[str, object] | None = None,
        face: str = "library",
        peers: Peers | None = None,
        confined: bool = False,
    ) -> None:
        refuse_no_place(project_root=project_root, backup_dir=backup_dir, config_path=config_path)
        self._options: dict[str, Any] = {
            "project": bootstrap.absolute_path(project_root),
            "backup_dir": None if backup_dir is None else bootstrap.absolute_path(backup_dir),
            "config": None if config_path is None else bootstrap.absolute_path(config_path),
            "lock_wait_s": lock_wait_s,
            "overrides": dict(overrides or {}),
        }
        if face not in FACES:
            raise UsageError(f"There is no face {face!r}.", hint=f"There are: {', '.join(FACES)}.")
        self.face = face
        self.peers = peers
        self.confined = confined
        self.mycelium = mycelium_client
        self._publish = None if mycelium_client is None else publisher_of(mycelium_client)
        self.project_root = self._configuration().project
        self._line = line_of(str(self.project_root))
        self._jobs: set[Job] = set()
        self._is_closed = False

    def _configuration(self) -> bootstrap.Configuration:
        return bootstrap.resolve(**self._options)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration in force, by key, read anew."""
        settings = self._configuration().resolved.settings
        return {key: _plain(getattr(settings, key)) for key in KEYS}

    @property
    def backup_dir(self) -> Path:
        """Where stores lie."""
        return Path(self._configuration().resolved.settings.backup_dir)

    @property
    def store_path(self) -> Path:
        """Where the project's store lies, or will lie."""
        return self._configuration().store_path

    @property
    def is_writing(self) -> bool:
        """Whether something in this process writes to the store now."""
        return self._line.is_taken

    @property
    def jobs_in_line(self) -> int:
        """How many jobs in this process use the store's lock or wait for their turn."""
        return len(self._line)

    async def work(
        self, work: Callable[[Cronos, Run], Result], *, access: Access = "beside", on_event: OnEvent | None = None
    ) -> Result:
        """What *work* gives, called with an engine in a thread, in its turn; for all that has no method here.

        Args:
            access: `alone` for what writes to the store; `shared` for what takes its lock to read (verify, restores to a new
                place); `beside` for all else that reads.

        Raises:
            CronosError: What the engine raises.
        """
        if self._is_closed:
            raise UsageError("This BackupManager is closed.", hint="Make a new one.")
        job = Job(on_event)
        self._jobs.add(job)
        try:
            return await job.do(lambda run: work(self._engine(run), run), self._line, access)
        finally:
            self._jobs.discard(job)

    def _engine(self, run: Run | None = None) -> Cronos:
        engine = bootstrap.open_engine(**self._options, peers=self.peers)
        engine.face = self.face
        if self.confined:
            engine.restore_roots = engine.settings.restore_roots
        if run is not None:
            engine.notice = run.emit
        return engine

    async def _told(
        self, story: Story[Result], work: Callable[[Cronos, Run], Result], *, access: Access, on_event: OnEvent | None
    ) -> Result:
        """As `work`, and the Mycelium is told of it when there is one."""
        if self._publish is None:
            return await self.work(work, access=access, on_event=on_event)

        def begin(hear: OnEvent, note: Callable[[Result], object]) -> Any:
            def noted(engine: Cronos, run: Run) -> Result:
                result = work(engine, run)
                note(result)
                return result

            return self.work(noted, access=access, on_event=hear)

        return await Herald(self._publish, story, clock.SystemClock(), on_event).follow(begin)

    async def aclose(self, *, grace_s: float | None = None) -> None:
        """Take no more work, and wait for what there is.

        Args:
            grace_s: What has not ended after so long is stopped at its next safe point, and waited for; None stops nothing.
        """
        self._is_closed = True
        jobs = list(self._jobs)
        ended = [asyncio.wrap_future(job.ended) for job in jobs]
        if ended:
            _, late = await asyncio.wait(ended, timeout=grace_s)
            for job in jobs:
                job.run.cancelled = True
            if late:
                await asyncio.wait(late)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def refuse_no_place(**paths: str | Path | None) -> None:
    """Raise UsageError when a path is empty, which would mean the working directory, or can be none."""
    for what, path in paths.items():
        if path == "" or "\0" in str(path):
            raise UsageError(f"{what} cannot be {path!r}.", hint="Give a path; `.` is the working directory.")


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
