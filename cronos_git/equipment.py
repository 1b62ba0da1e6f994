"""Gives an engine what the configuration wants of other subsystems, and shows the log; loads nothing that is not wanted.

What a policy, a map or a log is stands in `rules/` and `integrations/`. Floor F9, below `bootstrap`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cronos_git.clock import LocalZone

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cronos_git.disk.logfiles import LogFile
    from cronos_git.engine import Cronos
    from cronos_git.ports import Peers, PolicyGate
    from cronos_git.rules.schema import Settings


def equip(engine: Cronos, peers: Peers | None) -> None:
    """Give the engine what the configuration wants of ETHIK, ATLAS, NEXUS and KOIOS; loads nothing of what it does not want."""
    settings = engine.settings
    engine.gate = _gate(settings, peers)
    if settings.nexus:
        from cronos_git.integrations.nexus import NexusPeer

        engine.adviser = NexusPeer(peers, timeout_s=settings.peer_timeout_s)
    if settings.log_file:
        from cronos_git.integrations.koios import OperationLog

        engine.sinks = (OperationLog(_log_file(settings).append, level=settings.log_level, project=str(engine.project)),)
    if settings.atlas and peers is not None:
        from cronos_git.integrations.atlas import AtlasEnricher

        name = settings.service_name or engine.project.name
        engine.enrichers = (AtlasEnricher(peers, project=name, timeout_s=settings.peer_timeout_s),)


def _gate(settings: Settings, peers: Peers | None) -> PolicyGate | None:
    """The policy's gate: the rules, ETHIK, or both; None when there is neither."""
    rules: PolicyGate | None = None
    if settings.policy:
        from cronos_git.rules.policy import RuleGate, parse_rules

        rules = RuleGate(parse_rules(settings.policy, lambda path: os.path.realpath(os.path.expanduser(path))))
    if settings.ethik == "off":
        return rules
    from cronos_git.integrations.ethik import BothGates, EthikGate

    ethik = EthikGate(peers, settings.ethik, timeout_s=settings.ethik_timeout_s)
    return BothGates(rules, ethik) if rules else ethik


def show_log(settings: Settings, console: TextIO) -> AbstractContextManager[None]:
    """While the block runs, what CRONOS's loggers tell goes to *console*, and to `log_file` when that is set."""
    from cronos_git.integrations.koios import listening

    write = _log_file(settings).append if settings.log_file else None
    return listening(level=settings.log_level, console=console, zone=LocalZone(), write=write)


def _log_file(settings: Settings) -> LogFile:
    from cronos_git.disk.logfiles import LogFile

    return LogFile(Path(settings.log_file), size_bytes=settings.log_size, keep=settings.log_keep)
