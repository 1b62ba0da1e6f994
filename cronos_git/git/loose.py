"""Loose objects: what stock git at work on a store leaves, as CRONOS itself only writes packs.

Read here, as libgit2 1.9.7 loops for ever on one that was cut short (holding Python's lock, so nothing could interrupt it), and
gives no word about an empty one until it is read. Floor F6.

Source: gitrepository-layout(5); unpack_loose_header in object-file.c of git.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from pathlib import Path

from cronos_git.disk.files import host_error
from cronos_git.errors import HashMismatchError
from cronos_git.git.pack import object_id

_NAME = re.compile(r"[0-9a-f]{40}")


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


def loose_sizes(objects: Path) -> dict[bytes, int]:
    """Sizes in bytes of the files of all loose objects below *objects*, by id; one that goes away meanwhile does not count.

    Raises:
        AccessError, HostError: A directory cannot be read.

    Cost: one look at each directory of loose objects, of which CRONOS makes none, and a stat a file.
    """
    sizes = {}
    try:
        for path in objects.glob("[0-9a-f][0-9a-f]/*"):
            if _NAME.fullmatch(path.parent.name + path.name):
                with contextlib.suppress(FileNotFoundError):
                    sizes[bytes.fromhex(path.parent.name + path.name)] = path.stat().st_size
    except OSError as error:
        raise host_error(error, f"list the loose objects in {objects}") from error
    return sizes


def _damaged(name: str) -> HashMismatchError:
    return HashMismatchError(
        f"Loose object {name} is damaged: its bytes do not match its name.",
        hint="Run `cronos verify` to see which backups and paths are hit.",
        oid=name,
    )
