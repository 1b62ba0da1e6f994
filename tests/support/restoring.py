"""What tests of restores in place share: states of the disk to the last inode, requests, runs that do something meanwhile."""

from __future__ import annotations

import importlib
import os
import pkgutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import cronos_git
from cronos_git.disk import moves
from cronos_git.disk.walk import STAGING_PREFIX
from cronos_git.engine import Cronos
from cronos_git.errors import CronosError
from cronos_git.events import Event, Run
from cronos_git.model import Backup, RestorePlan, RestoreReport, RestoreRequest, SnapshotRequest
from tests.support.faults import run_and_kill

NOBODY = 65534


def state(*roots: Path) -> dict[str, tuple[object, ...]]:
    """Everything below *roots* that a write would change: inode, type, mode, owner, times and content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (path for root in roots for path in (root, *root.rglob("*"))):
        info = path.lstat()
        content: object = None
        if stat.S_ISREG(info.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(info.st_mode):
            content = os.readlink(path)
        found[str(path)] = (
            *(info.st_ino, info.st_mode, info.st_uid, info.st_gid, info.st_nlink, info.st_mtime_ns, info.st_ctime_ns),
            content,
        )
    return found


def stamp(path: Path) -> tuple[object, ...]:
    """Place, time and content of one file."""
    info = path.lstat()
    return info.st_ino, info.st_mtime_ns, info.st_ctime_ns, path.read_bytes()


def save(engine: Cronos, name: str = "work", **fields: object) -> Backup:
    """Take a backup of the project."""
    return engine.snapshot(SnapshotRequest(name=name, **fields)).backup  # type: ignore[arg-type]


def replacing(**fields: object) -> RestoreRequest:
    """Replace with the last backup, unless it says otherwise."""
    return RestoreRequest(**{"backup": "work", "strategy": "replace", **fields})  # type: ignore[arg-type]


def actions(plan: RestorePlan) -> dict[str, str]:
    """What is done with each path."""
    return {change.path: change.action for change in plan.changes}


def both_ways(engine: Cronos, request: RestoreRequest) -> RestoreReport:
    """Plan, then apply the plan."""
    return engine.apply_restore(engine.plan_restore(request))


def points(engine: Cronos) -> list[str]:
    """Ids of the restore points that are kept, newest first."""
    return [backup.id for backup in engine.backups() if backup.type == "restore-point"]


def leftovers(engine: Cronos, *targets: Path) -> list[str]:
    """What an interrupted restore would leave: staging directories and journals."""
    staging = [str(path) for root in (engine.project, *targets) for path in root.rglob(f"{STAGING_PREFIX}*")]
    return [*staging, *map(str, (engine.store_path / "cronos/journal").glob("*"))]


def meanwhile(kind: type[Event], act: Callable[[], object], *, phase: str = "") -> Run:
    """A run in which *act* happens once, at the first event of this kind (and phase)."""
    done: list[Event] = []

    def emit(event: Event) -> None:
        if isinstance(event, kind) and getattr(event, "phase", phase) == (phase or getattr(event, "phase", "")) and not done:
            done.append(event)
            act()

    return Run(emit=emit)


def open_to_all(path: Path) -> None:
    """Let every user reach *path* and write in it."""
    path.chmod(0o777)
    for parent in path.parents:
        if parent == Path("/tmp"):
            break
        parent.chmod(parent.stat().st_mode | 0o055)


def as_nobody(work: Callable[[], object]) -> None:
    """Do it in a child as an ordinary user, since root may do everything."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    for module in pkgutil.walk_packages(cronos_git.__path__, "cronos_git."):  # he may not be allowed where Python lies
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    moves._library()

    def turned() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            work()
        except CronosError as error:
            raise AssertionError(f"{error} {error.context}") from error

    assert run_and_kill(turned, at=0)
