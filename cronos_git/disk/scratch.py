"""Files that live for the length of a block, for programs that take their input from files only.

They lie in the directory for temporary files (TMPDIR), in one of their own that only we may enter. Nothing here is durable.
Floor F5.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git.disk import files
from cronos_git.errors import CronosError, DiskFullError

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def scratch_files(contents: Mapping[str, bytes]) -> Iterator[Path]:
    """A new private directory with these files, by name; however the block ends, it is removed with all that is in it.

    If this process is killed it stays behind, readable for its owner alone.

    Raises:
        DiskFullError, AccessError, HostError: They cannot be written, or not be removed.
    """
    import tempfile

    with contextlib.ExitStack() as at_the_end:
        try:
            place = tempfile.TemporaryDirectory(prefix="cronos-")
            at_the_end.callback(_remove, place)
            directory = Path(place.name)
            _fill(directory, contents)
        except OSError as error:
            raise _failure(error, "write temporary files") from error
        yield directory


def _fill(directory: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        path = directory / name
        fd = os.open(path, _CREATE, 0o600)
        try:
            files.write_all(fd, content, path)
        finally:
            os.close(fd)


def _remove(place: TemporaryDirectory[str]) -> None:
    try:
        place.cleanup()
    except OSError as error:
        raise _failure(error, "remove temporary files") from error


def _failure(error: OSError, doing: str) -> CronosError:
    failure = files.host_error(error, doing)
    if isinstance(failure, DiskFullError):  # which is about the store otherwise
        failure.hint = "Free space in the directory for temporary files, or name another one in TMPDIR, and run it again."
    return failure
