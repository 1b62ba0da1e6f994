"""Opens the target of a restore in place. Floor F7, below the verbs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from cronos_git.disk.files import host_error
from cronos_git.disk.moves import locked_directory
from cronos_git.errors import RefusedError


@contextlib.contextmanager
def locked_target(target: str) -> Iterator[int]:
    """The target of a restore in place as a descriptor, locked against every other restore.

    Raises:
        RefusedError: It is no directory.
        StoreLockedError: Somebody else restores into it.
        AccessError, HostError: It cannot be opened.
    """
    try:
        with locked_directory(target) as fd:
            yield fd
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_directory(target) from error
    except OSError as error:
        raise host_error(error, f"restore into {target}") from error


@contextlib.contextmanager
def open_target(target: str) -> Iterator[int]:
    """The same without the lock, for looking only."""
    try:
        fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_directory(target) from error
    except OSError as error:
        raise host_error(error, f"open {target}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _no_directory(target: str) -> RefusedError:
    return RefusedError(
        f"The target {target} is not a directory that could be restored in place. Nothing was changed.",
        hint="Choose another directory with --to.",
        target=target,
    )
