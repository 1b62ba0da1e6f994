"""Which files that are gone live on under a new path: Git's estimate of how alike two files are, and the pairs it leads to.

What to do about a rename is for the caller to decide, who also reads the contents. Only regular files that are stored whole
take part; links and files in chunks are never followed. Floor F4: pure.

Source: git, diffcore-delta.c (the estimate) and diffcore-rename.c (the pairs).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from cronos_git.rules.binary import is_binary

_LEAST_SIMILARITY = 0.5
_CHUNK = re.compile(rb".{0,63}\n|.{1,64}")  # `.` is any byte but a newline


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One side of a possible rename: a regular file that is stored whole.

    Attributes:
        oid: Of its content; equal for equal contents.
    """

    path: str
    oid: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A content as the estimate sees it.

    Attributes:
        chunks: How often each chunk occurs.
    """

    size_bytes: int
    chunks: Counter[bytes]


def similarity(one: bytes, other: bytes) -> float:
    """How alike two contents are, from 0 to 1: the bytes they share, in whole chunks, of the size of the larger one.

    A chunk ends with a newline, or after 64 bytes; in what order chunks come does not count. In text the CR of a CRLF is no
    part of a chunk, but of the size. Unlike Git, chunks are compared themselves, not by a hash of 17 bits, and a last line
    without a newline counts, which it does in Git since 2.44.

    Cost: linear in the sizes; a few times the contents in memory.
    """
    return 1.0 if one == other else _score(_cut(one), _cut(other))


def pair_renames(
    gone: Sequence[Candidate], new: Sequence[Candidate], read: Callable[[Candidate], bytes], *, limit: int = 1000
) -> dict[str, str]:
    """Tell which of the files that are gone came back under which new path.

    Equal contents first: those with the same base name, then whichever come first. Of the others those that are similar by
    half or more, the most similar first; of equally similar ones those with the same base name, then by path. Every file
    is in one pair at most, and empty ones in none.

    Args:
        read: Gives the content of a candidate; called once at most for each, and never for a file without a counterpart
            that comes near its size.
        limit: When more than its square of pairs remain after the equal contents, the others are not looked at, like
            Git's merge.renameLimit.

    Returns:
        The new path, by the path that is gone.

    Raises:
        Whatever *read* raises.

    Cost: about 10 µs a pair of files of 200 lines and nearly the same size; all that is gone and one new file are in memory.
    """
    pairs: dict[str, str] = {}
    old_left, new_left = _in_order(gone), _in_order(new)
    for key in (_content_and_name, _content):
        pairs |= _pair_equal(old_left, new_left, key)
        taken = set(pairs.values())
        old_left = [old for old in old_left if old.path not in pairs]
        new_left = [fresh for fresh in new_left if fresh.path not in taken]
    if len(old_left) * len(new_left) <= limit**2:
        pairs |= _pair_similar(old_left, new_left, read)
    return pairs


def _in_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(
        (candidate for candidate in candidates if candidate.size_bytes),
        key=lambda candidate: candidate.path.encode("utf-8", "surrogateescape"),
    )


def _content_and_name(candidate: Candidate) -> Hashable:
    return candidate.oid, _base_name(candidate)


def _content(candidate: Candidate) -> Hashable:
    return candidate.oid


def _base_name(candidate: Candidate) -> str:
    return candidate.path.rpartition("/")[2]


def _pair_equal(gone: list[Candidate], new: list[Candidate], key: Callable[[Candidate], Hashable]) -> dict[str, str]:
    """Pair those of the same key, the first with the first."""
    targets: defaultdict[Hashable, list[str]] = defaultdict(list)
    for fresh in reversed(new):
        targets[key(fresh)].append(fresh.path)
    return {old.path: paths.pop() for old in gone if (paths := targets.get(key(old)))}


def _pair_similar(gone: list[Candidate], new: list[Candidate], read: Callable[[Candidate], bytes]) -> dict[str, str]:
    pairs: dict[int, int] = {}
    taken = set()
    for _, _, old, fresh in sorted(_similar(gone, new, read)):
        if old not in pairs and fresh not in taken:
            pairs[old] = fresh
            taken.add(fresh)
    return {gone[old].path: new[fresh].path for old, fresh in pairs.items()}


def _similar(
    gone: list[Candidate], new: list[Candidate], read: Callable[[Candidate], bytes]
) -> Iterator[tuple[float, bool, int, int]]:
    """Every pair that is similar enough, such that the best one sorts first: score, base name and both positions."""
    cuts: dict[int, _Cut] = {}
    for position, fresh in enumerate(new):
        near = [at for at, old in enumerate(gone) if _may_be_similar(old.size_bytes, fresh.size_bytes)]
        if not near:
            continue
        cut = _cut(read(fresh))
        for at in near:
            if at not in cuts:
                cuts[at] = _cut(read(gone[at]))
            score = _score(cuts[at], cut)
            if score >= _LEAST_SIMILARITY:
                yield -score, _base_name(gone[at]) != _base_name(fresh), at, position


def _may_be_similar(size_bytes: int, other_bytes: int) -> bool:
    """Whether the smaller one could be enough of the larger one."""
    return min(size_bytes, other_bytes) >= _LEAST_SIMILARITY * max(size_bytes, other_bytes)


def _cut(content: bytes) -> _Cut:
    text = content if is_binary(content) else content.replace(b"\r\n", b"\n")
    return _Cut(size_bytes=len(content), chunks=Counter(_CHUNK.findall(text)))


def _score(one: _Cut, other: _Cut) -> float:
    shared = one.chunks.keys() & other.chunks.keys()
    common_bytes = sum(len(chunk) * min(one.chunks[chunk], other.chunks[chunk]) for chunk in shared)
    return common_bytes / max(one.size_bytes, other.size_bytes)
