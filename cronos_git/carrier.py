"""One project and its store: everything that carries backups out of it and into it.

Owns the order of things: lock, do, log. Each step is `ops/`'s. Floor F8, between `mender.Mender` and `engine.Cronos`.
"""

from __future__ import annotations

from cronos_git.mender import Mender


class Carrier(Mender):
    """Exports and imports; the arguments are `Reader`'s."""
