"""One project and its store: everything that mends a damaged store.

Owns the order of things: lock, do, log. Each step is `ops/`'s. Floor F8, between `inspector.Inspector` and `engine.Cronos`.
"""

from __future__ import annotations

from cronos_git.inspector import Inspector


class Mender(Inspector):
    """Repairs; the arguments are `Reader`'s."""
