"""Progress as events: what a running operation tells whoever watches it.

An operation calls `run.emit(event)`; the command line draws bars from it, the service publishes it, tests collect it in a
list. Emitters report in batches and never throttle by time; whoever renders does. Floor F2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cronos_git.errors import CronosError, InterruptedRunError


@dataclass(frozen=True, slots=True)
class Started:
    """A phase begins. Totals are None while they are unknown.

    Attributes:
        phase: `scan`, `store`, `restore`, `verify`, `move`, `measure`, `compare`, `pack`,
            `push` or `fetch`.
        total_files: Files that the phase will handle; of `verify`, `compare`, `pack`, `push` and `fetch` objects.
        total_bytes: Bytes of their contents.
    """

    phase: str
    total_files: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Advanced:
    """Work done so far in the current phase (cumulative, not a delta)."""

    done_files: int
    done_bytes: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something worth telling that does not stop the run.

    Attributes:
        level: `info` or `warning`.
        code: Stable dotted name, one of `NOTICES`.
    """

    level: str
    code: str
    text: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The phase is over."""

    phase: str


Event = Started | Advanced | Noticed | Finished

NOTICES = {
    "backup.untold": "A subsystem that is told of each backup (ATLAS) was not; the backup is safe.",
    "bus.untold": "What was done is done, but was not told on the Mycelium.",
    "compact.failed": "The compaction that a backup started did not happen; the backup is safe.",
    "dependency.changed": "What a restored module needs has changed since the backup.",
    "dependency.missing": "What a restored module needs is not in the backup.",
    "dependency.unknown": "What a module needs could not be told in full.",
    "import.saved": "One of several imports is done.",
    "log.unwritten": "What was done is done, but does not stand in the file of `log_file`.",
    "oplog.unwritten": "What was done is done, but does not stand in the operation log.",
    "policy.unchecked": "ETHIK gave no verdict in time; the backup was made all the same.",
    "policy.warned": "A rule of the policy speaks against it, but does not stop it.",
    "prune.failed": "The retention rules were not applied after a backup; the backup is safe.",
    "push.failed": "The backup is safe here, but was not sent to the remote of `auto_push`.",
    "repair.alone": "The names of the remotes cannot be read, so none is asked for what is lost here.",
    "restore.recovered": "A restore that had been killed is undone, or complete.",
    "restore.rescued": "Somebody changed a file while a restore was rolled back; their version stands beside.",
    "restore.uncleaned": "The restore is complete, but its staging directory is still there; the next command removes it.",
    "restore.unjournalled": "The restore goes on without a journal; if it is killed, its staging directory stays.",
    "restore.unrecovered": "A restore that was killed or failed is not cleaned up yet; `cronos recover` does it.",
    "restore_point.kept": "The restore point of a restore that did not happen could not be moved to the trash.",
    "scope.empty": "A backup of modules holds no file, as the rules leave out all of them.",
    "statcache.unwritten": "The stat cache was not written; the next backup reads every file.",
    "store.damaged": "Damage was met, or refs that are gone; `cronos verify` tells all of it, `cronos repair` mends it.",
    "store.unfolded": "Small packs were not joined; the next backup tries again.",
    "timeline.unmoved": "`git log` does not show a backup yet; the next backup moves the branch.",
    "verify.unneeded": "Damage in the store that hits none of the backups that were checked.",
    "verify.unnoted": "How much was read could not be noted, so a check in parts reads it again.",
}
"""Every code of a notice, and its meaning."""


def _ignore(_event: Event) -> None:
    return None


@dataclass(slots=True)
class Run:
    """One run of an operation: where its events go and whether it should stop.

    Attributes:
        emit: Receives every event, on the thread that does the work.
        cancelled: Set it to stop at the next safe point.
    """

    emit: Callable[[Event], None] = _ignore
    cancelled: bool = field(default=False)

    def checkpoint(self) -> None:
        """Raise InterruptedRunError when the run was cancelled."""
        if self.cancelled:
            raise InterruptedRunError("Interrupted; nothing is half-done.")


@contextmanager
def tolerating(run: Run, code: str, what: str, meaning: str = "") -> Iterator[None]:
    """Turn an error in the block into a warning: for steps after the one that counts.

    Args:
        what: What failed, as in "Packs were not folded".
        meaning: What that means for the data, as a sentence.
    """
    try:
        yield
    except CronosError as error:
        run.emit(Noticed("warning", code, f"{what}: {error.message} {meaning}".rstrip()))
