"""Searches contents by line with stock git, which brings its regular expressions, its threads and its notion of binary files.

Git is given blobs, not trees: each content is searched once however many paths and backups hold it, and names that are stored
under an escape do not matter. A file in chunks is handed to it piece by piece, cut between lines. Which contents are searched,
and where they stand, is for `ops` to say. Floor F6.

Source: git-grep(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cronos_git.disk.scratch import scratch_files
from cronos_git.errors import GitCommandError, PatternError
from cronos_git.git.session import Completed, GitSession
from cronos_git.git.trees import EMPTY_TREE
from cronos_git.model import MatchedLine
from cronos_git.rules.binary import is_binary

_OPTIONS = ("--no-color", "--no-column", "--no-heading", "--no-break", "-z", "-n")
_LINE = re.compile(rb"([^\0]*)\0(\d+)\0(.*)", re.DOTALL)
_BINARY = re.compile(rb"Binary file ([0-9a-f]{40}) matches")
_PIECE_BYTES = 8 << 20
_LONGEST_LINE_BYTES = 32 << 20


class Hit(NamedTuple):
    """What was found in one content; a binary one has no lines."""

    binary: bool
    lines: tuple[MatchedLine, ...]


class Grep:
    """One pattern, to be searched in contents of a store.

    Args:
        pattern: A POSIX extended regular expression, or several, one a line.
        ignore_case: Upper and lower case are the same.
        fixed: The pattern is text.

    Raises:
        PatternError: Git does not understand the pattern.
        GitVersionError: There is no git.
    """

    def __init__(self, store: Path, pattern: str, *, ignore_case: bool = False, fixed: bool = False) -> None:
        self._session = GitSession(store)
        how = ["-F" if fixed else "-E", *(["-i"] if ignore_case else [])]
        self._words = ("grep", *_OPTIONS, *how, "-e", pattern)
        try:
            self._run(EMPTY_TREE.hex())
        except GitCommandError as error:
            why = str(error.context.get("stderr", "")).removeprefix("fatal: ")
            raise PatternError(
                f"The pattern {pattern!r} cannot be searched: {why}.", hint="Patterns are as in `grep -E`; -F takes it as text."
            ) from error

    def _run(self, *objects: str) -> Completed:
        return self._session.run(*self._words, *objects, answers=(0, 1))

    def in_blobs(self, oids: Sequence[str]) -> dict[str, Hit]:
        """What is found in blobs, by their id; those without a match are left out.

        Raises:
            GitCommandError: One of them is missing or damaged, or git failed.

        Cost: one process; its output in memory. Git reads each blob and checks its hash.
        """
        lines: dict[str, list[MatchedLine]] = {}
        binary: set[str] = set()
        for line in self._run(*oids).stdout.split(b"\n"):
            if told := _LINE.fullmatch(line):
                lines.setdefault(told[1].decode(), []).append(MatchedLine(number=int(told[2]), text=told[3]))
            elif told := _BINARY.fullmatch(line):
                binary.add(told[1].decode())
        found = {oid: Hit(False, tuple(matches)) for oid, matches in lines.items()}
        return found | {oid: Hit(True, ()) for oid in binary}

    def in_pieces(self, pieces: Iterable[bytes]) -> Hit | None:
        """What is found in a large content that comes in pieces; None for nothing.

        A line of more than 32 MiB is searched in parts.

        Raises:
            DiskFullError, AccessError, HostError: A piece cannot be written to the directory for temporary files.

        Cost: a process for every 8 MiB. Memory: one line, and the lines that match.
        """
        matches: list[MatchedLine] = []
        passed, binary = 0, None
        for piece in _by_line(pieces):
            binary = is_binary(piece) if binary is None else binary
            found = self._in_text(piece)
            if binary and found:
                return Hit(True, ())
            matches += [MatchedLine(number=passed + match.number, text=match.text) for match in found]
            passed += piece.count(b"\n")
        return Hit(False, tuple(matches)) if matches else None

    def _in_text(self, piece: bytes) -> list[MatchedLine]:
        with scratch_files({"piece": piece}) as directory:
            # With a git directory that is none git looks for no other one: a repository around the scratch directory has no say.
            session = GitSession(directory)
            words = ("-C", str(directory), *self._words, "--no-index", "-a", "--", "piece")
            told = session.run(*words, answers=(0, 1)).stdout
        found = (_LINE.fullmatch(line) for line in told.split(b"\n"))
        return [MatchedLine(number=int(match[2]), text=match[3]) for match in found if match]


def _by_line(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that end with a line, of some 8 MiB."""
    rest = b""
    for piece in pieces:
        rest += piece
        if len(rest) >= _PIECE_BYTES:
            end = rest.rfind(b"\n") + 1 or (len(rest) if len(rest) >= _LONGEST_LINE_BYTES else 0)
            if end:
                yield rest[:end]
                rest = rest[end:]
    if rest:
        yield rest
