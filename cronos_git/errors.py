"""The one family of errors that CRONOS raises.

Every error says what failed and where (the message), what to do next (`hint`), under a stable dotted `code`, and ends the
command line with `exit_status`. Expected outcomes (an unreadable file in a backup, a difference in a comparison) are data in
reports, not errors. Floor F0: imports nothing of CRONOS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class CronosError(Exception):
    """Something CRONOS could not do.

    Attributes:
        code: Stable dotted name for programs, such as `store.locked`.
        exit_status: Exit status of the `cronos` command (DESIGN.md section 5).
        retryable: Whether the same call may succeed later without any change.
        hint: What the user can do next; empty when there is nothing to advise.
        context: Facts as data: paths, ids, candidates. Values are JSON-ready.
    """

    code: ClassVar[str] = "error"
    exit_status: int = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", **context: object) -> None:
        super().__init__(message)
        self.hint = hint
        self.context = context

    @property
    def message(self) -> str:
        """The one-paragraph text, without the hint."""
        return str(self.args[0])


# --- the call was wrong -------------------------------------------------------------------------------------------


class UsageError(CronosError):
    """The request makes no sense as written: a bad option, a bad date, two options that exclude each other."""

    code = "usage"
    exit_status = 2


class ConfigError(UsageError):
    """A configuration value is unknown, of the wrong type, or set where it may not be set."""

    code = "config.invalid"


class PatternError(UsageError):
    """An include or exclude pattern cannot be parsed."""

    code = "pattern.invalid"


class ModuleScopeError(UsageError):
    """A module name matches no directory, or more than one; `context["candidates"]` lists them."""

    code = "module.unresolved"


class BackupNotFoundError(CronosError):
    """No backup matches the identifier, or the path is not in the backup."""

    code = "backup.not_found"
    exit_status = 12


class AmbiguousBackupError(CronosError):
    """An id prefix matches several backups; `context["candidates"]` lists their ids."""

    code = "backup.ambiguous"
    exit_status = 12


# --- the store or the project is not in the state that is needed --------------------------------------------------


class ProjectError(CronosError):
    """The project directory is missing, is not a directory, or cannot be read."""

    code = "project.unusable"


class StoreMissingError(CronosError):
    """The project has no store yet."""

    code = "store.missing"
    exit_status = 10


class StoreLockedError(CronosError):
    """Another process holds the store's lock."""

    code = "store.locked"
    exit_status = 11
    retryable = True


class RefusedError(CronosError):
    """CRONOS declined because going on could lose or expose data."""

    code = "refused"
    exit_status = 13


class MergeConflictError(CronosError):
    """The sides of a merge contradict each other, and it was to change nothing then.

    Attributes:
        conflicts: All of them, as `model.Conflict`, in the order of paths; they stand in *context* too.
    """

    code = "merge.conflicts"
    exit_status = 4

    def __init__(self, message: str, *, conflicts: Sequence[Any] = (), hint: str = "", **context: object) -> None:
        self.conflicts = tuple(conflicts)
        super().__init__(message, hint=hint, conflicts=self.conflicts, **context)


class StoreFormatError(CronosError):
    """The store is of a format that this CRONOS does not know."""

    code = "store.format"
    exit_status = 16


class GitVersionError(CronosError):
    """git is missing or older than CRONOS needs."""

    code = "git.version"
    exit_status = 16


class ArchiveError(CronosError):
    """A file that was to be imported is no archive that can be read to its end."""

    code = "archive.damaged"


# --- damage: never retried, never swallowed, stops every deletion -------------------------------------------------


class DamageError(CronosError):
    """Stored data is not what was written."""

    code = "damage"
    exit_status = 6


class ObjectMissingError(DamageError):
    """An object that a backup needs is not in the store."""

    code = "damage.object_missing"


class HashMismatchError(DamageError):
    """An object's bytes do not hash to its name, or cannot be decoded."""

    code = "damage.hash_mismatch"


class RecordFormatError(DamageError):
    """A tag, a snapshot record or an attribute blob cannot be parsed."""

    code = "damage.record"


# --- the machine said no ------------------------------------------------------------------------------------------


class HostError(CronosError):
    """The operating system refused an operation."""

    code = "host"


class AccessError(HostError):
    """Permission denied, or a path that cannot be reached."""

    code = "host.access"


class DiskFullError(HostError):
    """No space or quota left; nothing that was visible before has changed."""

    code = "host.disk_full"
    exit_status = 15


class ChildEndedError(HostError):
    """A process that CRONOS started to share its work ended before the work did, or could not be started."""

    code = "host.child_ended"


class GitCommandError(HostError):
    """A git child process failed; its own words are in the message."""

    code = "git.failed"


class RemoteError(CronosError):
    """A remote could not be reached, or did not take or give what it should; what is in the store is safe."""

    code = "remote.failed"
    exit_status = 14
    retryable = True


class BusError(CronosError):
    """The Mycelium could not be reached, nobody answered in time, or a message could not be carried."""

    code = "bus.failed"
    exit_status = 14
    retryable = True


class MessageError(UsageError):
    """A message on the bus is not understood: an unknown topic, or a payload that is not as it should be."""

    code = "message.invalid"


class ServiceError(CronosError):
    """A remote CRONOS could not do what it was asked to; what it said stands in the message.

    Attributes:
        remote_code: Code of the error there, in `context` too.
        exit_status: The one of the error there.
    """

    code = "service.failed"

    def __init__(self, message: str, *, hint: str = "", remote_code: str = "", exit_status: int = 1, **context: object) -> None:
        self.remote_code = remote_code
        self.exit_status = exit_status
        super().__init__(message, hint=hint, remote_code=remote_code, **context)


class PolicyDeniedError(CronosError):
    """The policy does not allow it, or had to be asked and gave no verdict; nothing was changed.

    `context["violations"]` lists what speaks against it.
    """

    code = "policy.denied"
    exit_status = 20


class InterruptedRunError(CronosError):
    """The run was cancelled (Ctrl-C, SIGTERM); nothing is half-done."""

    code = "interrupted"
    exit_status = 130
