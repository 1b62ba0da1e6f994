"""The other nodes of the Mycelium for a command, which reaches for them only when somebody is asked.

Implements `ports.Peers`; to load what a bus needs takes longer than most commands. Floor F11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cronos_git.rules.schema import Settings
    from cronos_git.service.peers import OwnPeers


class LatePeers:
    """`service.peers.OwnPeers` over the configured `bus`, made by the first question.

    Args:
        settings: Name the bus, and what it needs to let us in.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: OwnPeers | None = None

    def ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any] | None:
        """See `ports.Peers.ask`."""
        return self._peers().ask(node, topic, payload, timeout_s)

    def ask_by_event(
        self, topic: str, payload: Mapping[str, Any], answers: tuple[str, ...], timeout_s: float
    ) -> Mapping[str, Any] | None:
        """See `ports.Peers.ask_by_event`."""
        return self._peers().ask_by_event(topic, payload, answers, timeout_s)

    def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """See `ports.Peers.publish`."""
        self._peers().publish(topic, payload)

    def close(self) -> None:
        """Leave the bus, if it was reached."""
        if self._made is not None:
            self._made.close()
            self._made = None

    def _peers(self) -> OwnPeers:
        if self._made is None:
            from functools import partial

            from cronos_git.service.buses import open_bus
            from cronos_git.service.peers import OwnPeers

            self._made = OwnPeers(partial(open_bus, self._settings.bus, self._settings))
        return self._made
