"""What a node of the Mycelium says of itself. Floor F1."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BusNode:
    """A node, as it announces itself.

    Attributes:
        id: Name on the bus: `CRONOS`.
        type: What it is: `PRESERVATION`.
        project: Name of the project that it serves; letters, digits, `-` and `_`. Empty for a client, which serves none.
        store: Path of that project's store.
        host: Name of the machine.
        topics: Topics of the requests that it answers.
    """

    id: str
    type: str
    version: str
    capabilities: tuple[str, ...]
    project: str = ""
    store: str = ""
    host: str = ""
    topics: tuple[str, ...] = ()
