"""A store with thousands of backups, made in seconds.

Making 10,000 backups the usual way takes hours, so the one backup of a store is repeated: for each new one `git fast-import`
writes a snapshot commit with the same tree and an annotated tag, whose texts are those of the pattern with another id, time,
sequence and parent; `git pack-refs --all` follows. Objects and references have the store's real format, and every backup has a
tag and a commit of its own. What is not real: all share one tree, the timeline is not extended, all lies in one pack. A list
reads none of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.measure import Command, hermetic_environment, run_step

_PREFIX = "refs/tags/backup/"
_SCRATCH = b"refs/heads/benchmark-scratch"
_FIRST = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """The backup that is repeated: its id, its tree, and commit and tag as Git stores them."""

    id: bytes
    tree: bytes
    commit: bytes
    tag: bytes


def multiply_backup(git_dir: Path, home: Path, count: int) -> None:
    """Replace the one backup of the store *git_dir* by *count* backups like it.

    Args:
        home: Where the Git processes find an empty HOME and the import stream is left.
    """
    git = _Git(git_dir, home)
    [name] = git("for-each-ref", "--format=%(refname)", _PREFIX).decode().split()
    body = {kind: git("cat-file", kind, f"{name}^{{{kind}}}") for kind in ("tag", "commit")}
    pattern = _Pattern(id=name.removeprefix(_PREFIX).encode(), tree=git("rev-parse", f"{name}^{{tree}}").strip(), **body)
    stream = home / "import-stream"
    with stream.open("wb") as out:
        out.writelines(_stream(pattern, count))
    git("update-ref", "-d", name)
    git("-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--depth=0", stdin=stream)
    git("update-ref", "-d", _SCRATCH.decode())
    git("pack-refs", "--all")


class _Git:
    def __init__(self, git_dir: Path, home: Path) -> None:
        self._git_dir = git_dir
        self._home = home
        self._env = hermetic_environment(home) | {"GIT_CONFIG_NOSYSTEM": "1"}

    def __call__(self, *argv: str, stdin: Path | None = None) -> bytes:
        command = ("git", "--git-dir", str(self._git_dir), *argv)
        return run_step([Command(argv=command, cwd=self._home, env=self._env, stdin=stdin)])


def _stream(pattern: _Pattern, count: int) -> Iterator[bytes]:
    previous = b""
    for sequence in range(1, count + 1):
        made = _FIRST + timedelta(minutes=30 * sequence)
        new_id = f"backup_{made:%Y%m%d_%H%M%S}".encode()
        yield from _commit(pattern, new_id, made)
        yield from _tag(
            pattern, new_id, made, {"Created": f"{made:%Y-%m-%dT%H:%M:%S.%fZ}".encode(), "Sequence": _chain(sequence, previous)}
        )
        previous = new_id


def _chain(sequence: int, previous: bytes) -> bytes:
    return b"%d\nCronos-Parent: %s" % (sequence, previous) if previous else b"%d" % sequence


def _commit(pattern: _Pattern, new_id: bytes, made: datetime) -> Iterator[bytes]:
    text = pattern.commit.replace(pattern.id, new_id)
    yield b"reset %s\ncommit %s\nmark :1\n" % (_SCRATCH, _SCRATCH)
    yield b"author %s\ncommitter %s\n" % (_person(text, b"author", made), _person(text, b"committer", made))
    yield _data(text)
    yield b'M 040000 %s ""\n\n' % pattern.tree


def _tag(pattern: _Pattern, new_id: bytes, made: datetime, trailers: dict[str, bytes]) -> Iterator[bytes]:
    text = pattern.tag.replace(pattern.id, new_id)
    for name, value in trailers.items():
        text = re.sub(rb"^(Cronos-%s: ).*$" % name.encode(), rb"\g<1>" + value, text, flags=re.M)
    yield b"tag backup/%s\nfrom :1\ntagger %s\n" % (new_id, _person(text, b"tagger", made))
    yield _data(text)


def _data(text: bytes) -> bytes:
    message = text.split(b"\n\n", 1)[1]
    return b"data %d\n%s\n" % (len(message), message)


def _person(text: bytes, role: bytes, made: datetime) -> bytes:
    found = re.search(rb"^%s (.*>) " % role, text, re.M)
    assert found is not None
    return b"%s %d +0000" % (found[1], made.timestamp())
