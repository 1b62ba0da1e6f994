"""Merges texts by line with stock git, and finds the conflicts in what comes out.

Bytes in, bytes out: no encoding is assumed and no line ending is changed. Which files are merged at all, and what becomes of
conflicts, is for `ops` to decide. No repository takes part: neither attributes nor configuration reach git. Floor F6.

Source: git-merge-file(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cronos_git.disk.scratch import scratch_files
from cronos_git.git.session import GitSession
from cronos_git.rules.binary import is_binary

_MOST_CONFLICTS = 127
_SHORTEST_MARKER = 7
_MARKER = re.compile(rb"^(?:<{7,}|>{7,})(?= )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a merge.

    Attributes:
        content: The merged text; each conflict is a block of ours, base and theirs between marker lines, as of `diff3 -m`.
        conflicts: How many there are; 127 for that many or more.
    """

    content: bytes
    conflicts: int


def merge_text(base: bytes, ours: bytes, theirs: bytes, labels: tuple[str, str, str]) -> Merged:
    """Merge by line what became of *base* on both sides.

    Markers have seven characters, or more when a line of *base*, *ours* or *theirs* could be taken for one. They end with
    CRLF where the lines around them do, and before them a missing newline at the end of a side is added.

    Args:
        base: Empty when there is none; then whatever differs is a conflict.
        labels: What the marker lines call ours, base and theirs: the order in which the blocks show them.

    Raises:
        ValueError: One of the contents is binary.
        GitCommandError: Git failed.
        GitVersionError: There is no git.
        DiskFullError, AccessError, HostError: The temporary files cannot be written.

    Cost: one process, about 2 ms; a second one when there are conflicts. All contents in memory.
    """
    contents = {"ours": ours, "base": base, "theirs": theirs}
    for side, content in contents.items():
        if is_binary(content):
            raise ValueError(f"{side} is binary and cannot be merged by line.")
    with scratch_files(contents) as directory:
        merged = _merge(directory, [])
        if not merged.conflicts:
            return merged
        # Not from the start: in this style git does not look into overlapping changes, and reports some that are the same.
        names = [option for label in labels for option in ("-L", label)]
        return _merge(directory, ["--diff3", f"--marker-size={_marker_size(contents.values())}", *names])


def _merge(directory: Path, options: list[str]) -> Merged:
    # With a git directory that is none git looks for no other one: a repository around the working directory has no say.
    session = GitSession(directory)
    paths = [str(directory / side) for side in ("ours", "base", "theirs")]
    done = session.run("merge-file", "-p", "-q", *options, *paths, answers=range(_MOST_CONFLICTS + 1))
    return Merged(content=done.stdout, conflicts=done.status)


def _marker_size(contents: Iterable[bytes]) -> int:
    """Longer than any marker that a content holds, from a conflict once left there or from a text about them."""
    return max((len(marker) + 1 for content in contents for marker in _MARKER.findall(content)), default=_SHORTEST_MARKER)


def hunks(merged: bytes) -> list[bytes]:
    """The conflicts in a text from `merge_text` that has some, each from marker to marker.

    Each begins with a line of its own, `@@ lines FIRST-LAST @@`, which says where the block stands in *merged*.
    """
    size = max(map(len, _MARKER.findall(merged)), default=_SHORTEST_MARKER)
    block = re.compile(rb"^<{%d} .*?^>{%d} [^\n]*\n" % (size, size), re.MULTILINE | re.DOTALL)
    found, line, counted = [], 1, 0
    for match in block.finditer(merged):
        line += merged.count(b"\n", counted, match.start())
        counted = match.start()
        found.append(b"@@ lines %d-%d @@\n" % (line, line + match[0].count(b"\n") - 1) + match[0])
    return found
