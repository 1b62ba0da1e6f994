"""Which project a message on a NATS bus means, and which projects have a CRONOS there.

A message names its project, or means the only one that there is. Projects are looked for with pings of the micro services API: at
the beginning, every while, and after a reconnection. Who joins sends a ping that tells its project, so that the others know at
once. Needs `nats-py`. Floor F10.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import nats.errors
from nats.aio.client import Client
from nats.micro.service import ServiceVerb, control_subject

from cronos_git.errors import MessageError
from cronos_git.integrations.koios import python_logger
from cronos_git.model import BusNode
from cronos_git.service.buses.envelopes import unknown_project
from cronos_git.service.messages import LEGACY_TOPICS

_EVERY_S = 20.0
_MOST_NAMESAKES = 20
_MOST_TOLD = 200

_log = python_logger("CRONOS.Bus")


class Neighbours:
    """The projects on the bus, ours among them.

    Args:
        node: The node that looks; its id is the name that all services of the kind have.
        wait_s: How long to wait for answers to a ping. Who takes longer is not seen.
    """

    def __init__(self, node: BusNode, wait_s: float) -> None:
        self._subject = control_subject(ServiceVerb.PING, node.id)
        self._project = node.project
        self._place = {"project": node.project, "host": node.host, "store": node.store}
        self._namesakes: set[tuple[str, str]] = set()
        self._wait_s = wait_s
        self._known: set[str] = set()
        self._looks: list[set[str]] = []
        self._has_looked = asyncio.Event()

    def pinged(self, body: bytes) -> None:
        """Take note of who has joined, also for those looks that its service is too late to answer."""
        for seen in (self._known, *self._looks):
            seen |= self._project_in(body)

    async def announce(self, wire: Client) -> None:
        """Have all others know that we are there."""
        if self._project:
            await wire.publish(self._subject, json.dumps({"metadata": self._place}).encode())

    async def watch(self, wire: Callable[[], Client | None]) -> None:
        """Look every while, until cancelled."""
        while True:
            current = wire()
            if current is not None and current.is_connected:
                try:
                    await self.look(current)
                except nats.errors.Error as error:
                    _log.warning("Could not look for other projects on the bus: %s", error)
            await asyncio.sleep(_EVERY_S)

    def lost(self) -> None:
        """The bus was away: what is known may not hold."""
        self._has_looked.clear()

    async def meant(self, wire: Client, named: str) -> str:
        """The project that a message means.

        Args:
            named: The one that it names; empty when it names none.

        Raises:
            MessageError: There is no such project, or none is named and there are several, or may be.
        """
        if named == self._project:
            return named
        if named:
            if named not in await self.look(wire, until=named):
                raise unknown_project(named, self._known)
            return named
        if not self._has_looked.is_set() or self._known != {self._project}:
            await self.look(wire)
        if self._known != {self._project}:
            raise self._unclear()
        return self._project

    async def has(self, wire: Client, project: str) -> bool:
        """Whether *project* has a CRONOS here, or had one a while ago."""
        return project == self._project or project in self._known or project in await self.look(wire, until=project)

    @property
    def known(self) -> frozenset[str]:
        """The projects that were seen last."""
        return frozenset(self._known)

    def _unclear(self) -> MessageError:
        names = sorted(self._known)
        if self._project not in names:
            return MessageError(
                "The message names no project, and it cannot be seen whether there is just one.",
                hint=f"Name one, such as {self._project}. To see the others, the service needs the subjects $SRV.>.",
                projects=sorted({*names, self._project}),
            )
        return MessageError(
            f"The message names no project, and there are {len(names)} on this bus.",
            hint=f"Set `project` in the payload, or ask CRONOS.<project>: {', '.join(names)}.",
            projects=names,
        )

    async def look(self, wire: Client, *, until: str = "") -> set[str]:
        """The projects that answer a ping now, waiting for all the time there is, but no longer than it takes to see *until*."""
        found: set[str] = set()
        inbox = await wire.subscribe(wire.new_inbox())
        self._looks.append(found)
        try:
            await wire.publish(self._subject, reply=inbox.subject)
            loop = asyncio.get_running_loop()
            end = loop.time() + self._wait_s
            while (left_s := end - loop.time()) > 0 and not (until and until in found):
                found |= self._project_in((await inbox.next_msg(timeout=left_s)).data)
        except nats.errors.TimeoutError:
            pass  # all have answered who will
        finally:
            self._looks = [other for other in self._looks if other is not found]
            await inbox.unsubscribe()
        if not (until and until in found):
            self._known = found
            self._has_looked.set()
        return found

    def _project_in(self, body: bytes) -> set[str]:
        """The project that a ping, or the answer to one, names."""
        try:
            place = json.loads(body)["metadata"]
            project = place["project"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return set()
        if project == self._project:
            self._compare(place.get("host"), place.get("store"))
        return {project} if isinstance(project, str) and project else set()

    def _compare(self, host: object, store: object) -> None:
        """Warn, once, of a service elsewhere that gets requests meant for ours."""
        if not isinstance(host, str) or not isinstance(store, str) or len(self._namesakes) == _MOST_NAMESAKES:
            return
        if (host, store) == (self._place["host"], self._place["store"]) or (host, store) in self._namesakes:
            return
        self._namesakes.add((host, store))
        _log.warning(
            "Another CRONOS calls its project %s, too: on %s, with its backups in %s. Each request reaches only one of the two. "
            "If these are different projects, set `service_name`.",
            self._project,
            host[:_MOST_TOLD],
            store[:_MOST_TOLD],
        )


def subjects(topic: str, project: str) -> tuple[str, ...]:
    """Where a service of *project* listens for *topic*."""
    return (topic, f"{topic}.{project}") if project else (topic,)


def split_subject(subject: str, node: BusNode) -> tuple[str, str]:
    """The topic and the project that a subject of *node*'s is made of; the project is empty on the plain topic."""
    if not node.project or subject in node.topics or subject in LEGACY_TOPICS:
        return subject, ""
    topic = subject.removesuffix(f".{node.project}")
    return topic, node.project if topic != subject else ""
