"""NEXUS: asked for the dependencies of a module, as `nexus.analyze.request`, besides what the sources themselves say.

Only the topics are spoken, which name modules; NEXUS_SERVICE analyses single files, which CRONOS does itself. An answer counts
when it lists dependencies: silence, an error, or an echo of the question is no answer. Floor F8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cronos_git.errors import BusError
from cronos_git.model import Module
from cronos_git.ports import Peers
from cronos_git.rules.visible import visible

REQUEST = "nexus.analyze.request"
RESULT = "nexus.analyze.result"
_NAMES_MAX = 10_000
_NAME_MAX = 255
_NAME_KEYS = ("module", "name", "path", "target")


class NexusPeer:
    """Asks NEXUS what modules need; implements `ports.DependencyAdviser`.

    Args:
        peers: Where to ask; None where there is no way to the Mycelium, so that nobody will answer.
        timeout_s: How long it may take to answer for one module.
    """

    name = "NEXUS"

    def __init__(self, peers: Peers | None, *, timeout_s: float) -> None:
        self._peers = peers
        self._timeout_s = timeout_s

    def needed_by(self, module: Module) -> tuple[str, ...]:
        """What *module* needs, as NEXUS calls it.

        Raises:
            BusError: The bus cannot be reached, or NEXUS gave no answer in time, or none that can be understood.
        """
        if self._peers is None:
            raise BusError("There is no way to the Mycelium from here.", hint="Ask a running `cronos serve`, or set `bus`.")
        question = {
            "target": visible(module.name),
            "path": visible(module.paths[0]),
            "type": "dependencies",
            "include_metadata": False,
        }
        answer = self._peers.ask_by_event(REQUEST, question, (RESULT,), self._timeout_s)
        if answer is None:
            raise BusError(f"It did not answer within {self._timeout_s:g} s what {question['target']} needs.")
        return _names_in(answer)


def _names_in(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in an answer of either documented form: in `result`, or at the top.

    Raises:
        BusError: It is an error, or has no list of dependencies.
    """
    if str(answer.get("status", "")).lower() == "error" or answer.get("error"):
        raise BusError(f"It answered with an error: {visible(str(answer.get('error', 'unknown')))}.")
    result = answer.get("result", answer)
    listed = result.get("dependencies") if isinstance(result, Mapping) else None
    names = [_name(item) for item in listed[:_NAMES_MAX]] if isinstance(listed, (list, tuple)) else [""]
    if "" in names:
        raise BusError("Its answer does not list dependencies by name.")
    return tuple(dict.fromkeys(names))


def _name(item: object) -> str:
    """The name in one item of the list, a text or a mapping that has it, cut to what can be shown; empty for anything else."""
    if isinstance(item, Mapping):
        item = next((item[key] for key in _NAME_KEYS if item.get(key)), "")
    return item.strip()[:_NAME_MAX] if isinstance(item, str) else ""
