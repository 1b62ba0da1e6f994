"""What the engine and its faces ask of the world outside, as protocols. Floor F3."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from cronos_git.errors import CronosError
from cronos_git.model import Action, Backup, BusNode, Module, Scope, Verdict

Envelope = Mapping[str, Any]
"""A message of the Mycelium: `{"header": {…}, "payload": {…}}`, values JSON-ready."""

Answerer = Callable[[Envelope], Awaitable[Mapping[str, Any] | None]]
"""Answers a request with the payload of the answer; None for no answer."""

Refusal = Callable[[Envelope, CronosError], Awaitable[None]]
"""Is told of a request that the bus itself answers with an error, as it makes no sense or is meant for nobody here; of one that
cannot be read there is only the topic."""

Listener = Callable[[Envelope], Awaitable[None]]
"""Is told of an event."""


class Clock(Protocol):
    """Tells the time; the library never asks the machine itself."""

    def now(self) -> datetime:
        """The present, timezone-aware, in UTC."""
        ...


class PolicyGate(Protocol):
    """Says whether something may be done, before it is done."""

    def judge(self, action: Action) -> Verdict:
        """The verdict. One that could not be had (nobody answered in time) is `unchecked`, never an error."""
        ...


class DependencyAdviser(Protocol):
    """Knows more of what modules need than their imports tell.

    Attributes:
        name: Who it is, for reasons and notices.
    """

    name: str

    def needed_by(self, module: Module) -> tuple[str, ...]:
        """What *module* needs: names, paths or dotted names, as it calls them.

        Raises:
            CronosError: It does not say; the imports alone count then.
        """
        ...


class Enricher(Protocol):
    """Is told of each backup once it is durable; what it does with that can fail no backup.

    Attributes:
        name: Who it is, for the notice when it fails.
    """

    name: str

    def backup_made(self, backup: Backup, scope: Scope) -> None:
        """Take note of *backup*.

        Raises:
            CronosError: It could not; that becomes a notice.
        """
        ...


class OperationSink(Protocol):
    """Gets every record of the operation log too."""

    def record(self, entry: Mapping[str, object]) -> None:
        """Take note of *entry*, a record as `operations.jsonl` has it.

        Raises:
            CronosError: It could not; that becomes a notice.
        """
        ...


class Peers(Protocol):
    """The other nodes of the Mycelium, asked from a thread that may wait. For use by `integrations/`."""

    def ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any] | None:
        """The payload of *node*'s answer to a request; None when there is none in time, or an error."""
        ...

    def ask_by_event(
        self, topic: str, payload: Mapping[str, Any], answers: tuple[str, ...], timeout_s: float
    ) -> Mapping[str, Any] | None:
        """Publish an event and wait for the event that answers it; None when there is none in time.

        The payload gets a `request_id`; an answer is an event on one of the topics *answers* (`{request_id}` in a topic stands
        for that id) whose payload names it as `request_id` or `reference_id`, or whose topic does.
        """
        ...

    def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish an event; whether somebody hears it is not known.

        Raises:
            BusError: The bus cannot be reached.
        """
        ...


class Bus(Protocol):
    """A way to the Mycelium, as one node sees it. All methods belong to one event loop.

    Payloads are copied on the way in and out: nobody shares an object with anybody.

    Attributes:
        limit_bytes: Largest message that can be carried, in bytes of JSON.
    """

    limit_bytes: int

    async def connect(self, node: BusNode, answer: Answerer, refused: Refusal | None = None) -> None:
        """Become *node*; from now on *answer* is asked for every request to it, each in a task of its own.

        Args:
            refused: Is told of every request to it that the bus refuses.

        Raises:
            BusError: The bus cannot be reached, or does not let this node in.
        """
        ...

    async def disconnect(self) -> None:
        """Leave; requests that are being answered still get their answers. Nothing when not connected."""
        ...

    async def subscribe(self, topic: str, listener: Listener) -> None:
        """Have *listener* told of every event of others on *topic*; at most one listener a topic."""
        ...

    async def unsubscribe(self, topic: str) -> None:
        """Tell nobody of events on *topic* any more. Nothing when nobody was told."""
        ...

    async def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish an event.

        Raises:
            BusError: The bus cannot be reached, or the message is too large.
        """
        ...

    async def ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """The payload of *node*'s answer, also when that says `status: "ERROR"`.

        Raises:
            BusError: Nobody answered in time, there is no such node, or the bus cannot be reached.
        """
        ...

    async def report_health(self, status: str, details: Mapping[str, Any]) -> None:
        """Tell how this node is: `initializing`, `active`, `degraded` or `inactive`."""
        ...
