"""One project and its store: everything that checks whether backups are whole, and can be restored.

Owns the order of things: lock, do, log. Each step is `ops/`'s. Floor F8, between `curator.Curator` and `engine.Cronos`.
"""

from __future__ import annotations

from cronos_git.curator import Curator


class Inspector(Curator):
    """Verifies; the arguments are `Reader`'s."""
