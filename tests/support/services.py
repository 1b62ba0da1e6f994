"""A CronosService in a world with a Mycelium, and somebody who asks it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self

from cronos_git.bootstrap import open_engine
from cronos_git.disk import files
from cronos_git.engine import Cronos
from cronos_git.ports import Bus
from cronos_git.service.worker import CronosService
from tests.support.buses import Heard, World, a_node, joined, our_mycelium

EVENTS = (
    "cronos.alert",
    "cronos.backup.status",
    "cronos.restore.status",
    "event.cronos.backup_completed",
    "event.cronos.backup_failed",
    "event.cronos.restore_completed",
    "event.cronos.restore_failed",
    "event.mycelium.health_report",
)


class Scene:
    """A project with a file, its service, and an asker who hears all that is published."""

    def __init__(self, root: Path, service: CronosService, asker: Bus, **listeners: Heard) -> None:
        self.root = root
        self.project = root / "site"
        self.service = service
        self.asker = asker
        self._heard = listeners

    async def ask(self, verb: str, payload: Mapping[str, Any] | None = None, *, by: Bus | None = None) -> Any:
        """The answer to a request; a whole topic may stand for the verb."""
        topic = verb if "." in verb else f"request.cronos.{verb}"
        return await (by or self.asker).ask("CRONOS", topic, payload or {}, 20)

    async def heard(self, topic: str, **wanted: Any) -> Any:
        """The next payload on *topic* with these values."""
        while True:
            payload = (await self._heard[topic].next(20))["payload"]
            if all(payload.get(key) == value for key, value in wanted.items()):
                return payload

    def heard_so_far(self, topic: str) -> list[Any]:
        """All payloads on *topic* that nobody has waited for."""
        queue = self._heard[topic].queue
        return [queue.get_nowait()["payload"] for _ in range(queue.qsize())]

    def engine(self) -> Cronos:
        """An engine on the same store."""
        return open_engine(project=str(self.project), backup_dir=str(self.root / "stores"))

    def noted(self) -> list[tuple[str, str]]:
        """Verb and result of all that the operation log has, oldest first."""
        return [(done.verb, done.result) for done in reversed(self.engine().operations())]


def make_project(root: Path) -> Path:
    """A project with one small file."""
    project = root / "site"
    project.mkdir()
    (project / "a.txt").write_text("one\n")
    return project


def make_large(project: Path) -> None:
    """Enough in the project that a backup of it has safe points between its durable steps."""
    for number in range(3):
        (project / f"large{number}").write_bytes(os.urandom(5_000_000))


def make_service(root: Path, mycelium: object, **overrides: object) -> CronosService:
    return CronosService(mycelium, project_root=root / "site", backup_dir=root / "stores", overrides=overrides)


Story = Callable[[Scene], Awaitable[None]]


def told(root: Path, story: Story, world: World = our_mycelium, *, grace_s: float = 20, **overrides: object) -> None:
    """Tell *story* about a service in *world*, with these keys of the configuration."""

    async def tell() -> None:
        async with world() as open_bus:
            service = make_service(root, open_bus("CRONOS"), **overrides)
            asker = await joined(open_bus("ASKER"), a_node("ASKER"))
            listeners = {topic: Heard() for topic in EVENTS}
            for topic, listener in listeners.items():
                await asker.subscribe(topic, listener)
            await service.start()
            try:
                await asyncio.wait_for(story(Scene(root, service, asker, **listeners)), 40)
            finally:
                await service.stop(grace_s=grace_s)
                await asker.disconnect()

    if not (root / "site").exists():
        make_project(root)
    asyncio.run(tell())


class Held:
    """Holds work up at its first durable step of a kind, until it is let go.

    Args:
        where: What the path of that step contains; a pack that is being written, when nothing else is said.
    """

    def __init__(self, where: str = "/objects/pack/tmp_cronos") -> None:
        self._where = where
        self._reached = threading.Event()
        self._go = threading.Event()
        self.count = 0

    def __enter__(self) -> Self:
        files.step = self._step
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()
        files.step = files._no_step

    def _step(self, _name: str, path: str) -> None:
        if self._where in path:
            self.count += 1
            self._reached.set()
            assert self._go.wait(30)

    async def reached(self) -> None:
        """Wait until the work is held."""
        assert await asyncio.to_thread(self._reached.wait, 20)

    def let_go(self) -> None:
        self._go.set()
