"""Searches the backups for the first one in which a test fails: which versions there are to test, and what came out.

Versions are states of the paths that the test needs: backups one after the other in which these are equal, attributes included,
are tested once. The search itself is `rules.bisecting`'s; where a version is written to, and how the test is run, is the
caller's. Floor F7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cronos_git.errors import BackupNotFoundError, UsageError
from cronos_git.model import Backup, BisectRequest, BisectStep, BisectVerdict
from cronos_git.ops.lineage import PathReader, Witness
from cronos_git.rules.bisecting import first_bad


class Version(NamedTuple):
    """One state of the paths: the backups that hold it, oldest first, and which of the paths it has."""

    backups: tuple[Backup, ...]
    paths: tuple[str, ...]


Test = Callable[[Version], BisectVerdict]
"""Tells about a version."""


class Outcome(NamedTuple):
    """Where the test began to fail.

    Attributes:
        good: The last version in which it passes; None when it fails in the first one already.
        suspects: Versions between the two that could not be tested.
        bad: The first version in which it fails.
    """

    good: Version | None
    suspects: tuple[Version, ...]
    bad: Version
    steps: tuple[BisectStep, ...]


def versions(reader: PathReader, among: Sequence[Witness], request: BisectRequest) -> list[Version]:
    """The versions from the good to the bad backup; backups that hold none of the paths are left out.

    Raises:
        BackupNotFoundError: No backup holds one of the paths, or the good or the bad one does not.
        UsageError: The good one is not older than the bad one.
    """
    found: list[Version] = []
    before: object = None
    for backup in _between(among, request):
        state = tuple(reader.find(backup, path) for path in request.paths)
        if not any(state):
            _require_not_named(backup, request)
        elif found and state == before:
            found[-1] = Version((*found[-1].backups, backup), found[-1].paths)
        else:
            paths = tuple(path for path, member in zip(request.paths, state, strict=True) if member is not None)
            found.append(Version((backup,), paths))
        before = state
    if not found:
        raise BackupNotFoundError(f"No backup there holds {' or '.join(map(repr, request.paths))}.", paths=list(request.paths))
    return found


def _between(among: Sequence[Witness], request: BisectRequest) -> list[Backup]:
    backups = [witness.backup for witness in among]
    first = _position(backups, request.good, 0)
    last = _position(backups, request.bad, len(backups) - 1)
    if request.good is not None and first >= last:
        raise UsageError("The good backup must be older than the bad one.", hint="Turn --good and --bad round.")
    return backups[first : last + 1]


def _position(backups: Sequence[Backup], wanted: Backup | None, otherwise: int) -> int:
    if wanted is None:
        return otherwise
    for number, backup in enumerate(backups):
        if backup.id == wanted.id:
            return number
    raise BackupNotFoundError(f"{wanted.id} does not cover all of these paths.", hint="Choose another one, or fewer paths.")


def _require_not_named(backup: Backup, request: BisectRequest) -> None:
    if backup.id in {named.id for named in (request.good, request.bad) if named is not None}:
        raise BackupNotFoundError(
            f"{backup.id} holds none of {', '.join(map(repr, request.paths))}.", hint="Choose another one.", backup=backup.id
        )


def search(found: Sequence[Version], request: BisectRequest, test: Test) -> Outcome:
    """Test the last version, then the first, then what is between them.

    Raises:
        UsageError: The test passes in the bad backup, fails in the one that was given as good, or cannot tell about one of them.
        Whatever *test* raises.
    """
    steps: list[BisectStep] = []

    def told(number: int, left: int) -> BisectVerdict:
        verdict = test(found[number])
        steps.append(BisectStep(backup=found[number].backups[0], verdict=verdict, left=left))
        return verdict

    last = len(found) - 1
    _require("bad", found[last], told(last, last))
    if last == 0 or told(0, last - 1) != "good":
        if last and (request.good is not None or steps[-1].verdict == "skip"):
            _require("good", found[0], steps[-1].verdict)
        return Outcome(None, (), found[0], tuple(steps))
    result = first_bad(0, last, told)
    between = tuple(found[result.good + 1 : result.bad])
    return Outcome(found[result.good], between, found[result.bad], tuple(steps))


def _require(expected: BisectVerdict, version: Version, verdict: BisectVerdict) -> None:
    if verdict == expected:
        return
    backup = version.backups[-1 if expected == "bad" else 0]
    how = {"good": "passes", "bad": "fails", "skip": "cannot tell (status 125)"}[verdict]
    other = "an older one in which it fails with --bad" if expected == "bad" else "another one in which it passes with --good"
    raise UsageError(
        f"The test {how} in {backup.id}, so there is nothing to search for.", hint=f"Name {other}.", backup=backup.id
    )
