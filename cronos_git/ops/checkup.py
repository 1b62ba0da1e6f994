"""What `cronos doctor` looks at: git, libraries, the project, the store and what may lie about in it. Only looks. Floor F7."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cronos_git.disk import files, stage
from cronos_git.errors import CronosError
from cronos_git.git.pack import leftovers
from cronos_git.git.session import git_version, require_git
from cronos_git.git.store import Store
from cronos_git.model import Check
from cronos_git.ops import catalog, journal
from cronos_git.ops.absence import missing_refs, unread_lines
from cronos_git.rules import deflate
from cronos_git.rules.schema import Settings

_LITTLE_BYTES = 1 << 30


def check(project: Path, store_path: Path) -> list[Check]:
    """All findings; the ones about the store's inside only when there is a store that opens."""
    found = [
        *check_machine(),
        _probe("project", lambda: _project(project)),
        check_space(store_path),
    ]
    if not store_path.exists():
        return [*found, Check(name="store", ok=True, text=f"none yet; the first `cronos create` makes {store_path}")]
    try:
        store = Store.open(store_path)
    except CronosError as error:
        return [*found, Check(name="store", ok=False, text=error.message, hint=error.hint)]
    found.append(Check(name="store", ok=True, text=str(store_path)))
    inside = {"lock": _lock, "backups": _backups, "leftovers": _leftovers, "journals": _journals, "log": _log}
    return found + [_probe(name, lambda look=look: look(store)) for name, look in inside.items()]  # type: ignore[misc]


def check_machine() -> list[Check]:
    """The findings for which no project needs to be known."""
    return [_probe("git", _git), Check(name="deflate", ok=True, text=f"compression by {deflate.NAME}")]


def check_space(store_path: Path) -> Check:
    """Whether there is room where the store lies, or will lie."""
    return _probe("space", lambda: _space(store_path))


def check_policy(settings: Settings) -> list[Check]:
    """How many rules there are, and whether ETHIK could be asked; nothing where there is no policy."""
    if not settings.policy and settings.ethik == "off":
        return []
    told = [_counted(len(settings.policy), "rule")] if settings.policy else []
    if settings.ethik != "off":
        told.append(f"ETHIK is asked by {settings.ethik}")
    if settings.ethik == "off" or settings.bus:
        return [Check(name="policy", ok=True, text=", ".join(told))]
    hint = "Set `bus`; without a verdict nothing is restored, deleted or pruned, except by a service that has a Mycelium."
    return [Check(name="policy", ok=False, text=f"{', '.join(told)}, but there is no bus to reach it by", hint=hint)]


def _probe(name: str, look: Callable[[], str]) -> Check:
    """A finding in words, or the error's."""
    try:
        return Check(name=name, ok=True, text=look())
    except CronosError as error:
        return Check(name=name, ok=False, text=error.message, hint=error.hint)


def _git() -> str:
    require_git()
    return "version " + ".".join(map(str, git_version()))


def _project(project: Path) -> str:
    try:
        with_entries = any(True for _ in project.iterdir())
    except OSError as error:
        raise files.host_error(error, f"read the project {project}") from error
    return f"{project}{'' if with_entries else ' (empty)'}"


def _space(store_path: Path) -> str:
    place = next(path for path in (store_path, *store_path.parents) if path.exists())
    free = stage.free_bytes(place)
    if free < _LITTLE_BYTES:
        raise CronosError(f"only {free >> 20} MiB free at {place}", hint="Free space, or move the store with --backup-dir.")
    return f"{free >> 30} GiB free at {place}"


def _lock(store: Store) -> str:
    with store.lock():
        return "free"


def _backups(store: Store) -> str:
    found = catalog.read(store)
    if damaged := (*found.damaged, *missing_refs(store)):
        tags = "1 tag is" if len(damaged) == 1 else f"{len(damaged)} tags are"
        raise CronosError(f"{tags} damaged: {damaged[0].text}", hint="`cronos repair -n` tells what can be mended.")
    return f"{len(found.backups)}"


def _leftovers(store: Store) -> str:
    names = leftovers(store.pack_dir)
    return f"{_counted(len(names), 'file')} of an interrupted run, removed by the next `cronos create`" if names else "none"


def _journals(store: Store) -> str:
    abandoned = journal.abandoned(store)
    if not abandoned:
        return "none"
    return f"{_counted(len(abandoned), 'interrupted restore')}, cleaned up by the next create or restore"


def _log(store: Store) -> str:
    if damaged := unread_lines(store):
        raise CronosError(damaged[0].text, hint="`cronos repair` sets aside what cannot be read.")
    return "every line can be read"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
