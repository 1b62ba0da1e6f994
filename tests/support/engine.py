"""An engine on temporary directories, with a clock that stands and a fixed identity."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cronos_git.engine import Cronos
from cronos_git.git.store import store_path
from cronos_git.rules.record import Identity
from cronos_git.rules.schema import Settings
from tests.support.clock import FakeClock

LATER = datetime(2040, 1, 1, 12, 0, 0, tzinfo=UTC)
"""A present far after every file of the test was made, so that the stat cache trusts them all."""


def make_engine(root: Path, *, clock: FakeClock | None = None, project: str = "project", **settings: Any) -> Cronos:
    """An engine for `<root>/<project>` whose stores lie in `<root>/stores`; the project is made when it is absent."""
    place = root / project
    place.mkdir(exist_ok=True)
    return Cronos(
        project=place.resolve(),
        store_path=store_path(root.resolve() / "stores", place.resolve()),
        settings=Settings(backup_dir=str(root / "stores"), **{"auto_prune": False, **settings}),
        clock=clock or FakeClock(LATER),
        zone=UTC,
        identity=Identity(user="tester", host="testhost"),
    )
