"""Loose objects: what stock git at work on a store leaves, as CRONOS itself only writes packs.

Read here, as libgit2 1.9.7 loops for ever on one that was cut short (holding Python's lock, so nothing could interrupt it), and
gives no word about an empty one until it is read. Floor F6.

Source: gitrepository-layout(5); unpack_loose_header in object-file.c of git.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from cronos_git.disk.files import host_error
from cronos_git.errors import HashMismatchError
from cronos_git.git.pack import object_id


def read_loose(objects: Path, oid: bytes) -> tuple[str, bytes] | None:
    """Kind and body of a loose object below *objects*; None when there is none.

    Raises:
        HashMismatchError: Its bytes cannot be inflated or do not hash to *oid*.
        AccessError, HostError: It cannot be read.
    """
    name = oid.hex()
    path = objects / name[:2] / name[2:]
    try:
        header, _, body = zlib.decompress(path.read_bytes()).partition(b"\0")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise host_error(error, f"read object {name}") from error
    except zlib.error as error:
        raise _damaged(name) from error
    kind = header.partition(b" ")[0].decode("ascii", "replace")
    if header != f"{kind} {len(body)}".encode() or object_id(kind, body) != oid:
        raise _damaged(name)
    return kind, body


def _damaged(name: str) -> HashMismatchError:
    return HashMismatchError(
        f"Loose object {name} is damaged: its bytes do not match its name.",
        hint="Run `cronos verify` to see which backups and paths are hit.",
        oid=name,
    )
