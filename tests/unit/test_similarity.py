from __future__ import annotations

from hashlib import sha1

import pytest

from cronos_git.rules.similarity import Candidate, pair_renames, similarity

LINES = [b"line %d\n" % number for number in range(10)]
TEXT = b"".join(LINES)


class Files:
    """Contents by path, and how often each was read."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents
        self.reads: list[str] = []

    def candidates(self, *paths: str) -> list[Candidate]:
        return [
            Candidate(path=path, oid=sha1(self.contents[path]).hexdigest(), size_bytes=len(self.contents[path])) for path in paths
        ]

    def read(self, candidate: Candidate) -> bytes:
        self.reads.append(candidate.path)
        return self.contents[candidate.path]


def pairs(gone: dict[str, bytes], new: dict[str, bytes], limit: int = 1000) -> dict[str, str]:
    files = Files(gone | new)
    return pair_renames(files.candidates(*gone), files.candidates(*new), files.read, limit=limit)


def edited(count: int) -> bytes:
    """TEXT with that many of its ten lines replaced."""
    return b"".join(b"EDIT %d\n" % number if number < count else line for number, line in enumerate(LINES))


def test_similarity_is_the_share_of_the_lines_kept() -> None:
    assert [similarity(TEXT, edited(count)) for count in (0, 1, 5, 10)] == [1.0, 0.9, 0.5, 0.0]


def test_similarity_is_of_the_larger_size() -> None:
    assert similarity(TEXT, TEXT + TEXT) == 0.5


def test_the_order_of_lines_does_not_count() -> None:
    assert similarity(TEXT, b"".join(reversed(LINES))) == 1.0


def test_long_lines_are_cut_after_64_bytes() -> None:
    assert similarity(b"a" * 64 + b"b" * 64, b"a" * 64 + b"c" * 64) == 0.5
    assert similarity(b"x" + b"a" * 127, b"a" * 128) == 0.5  # the second 64 bytes are the same


def test_a_newline_that_is_byte_64_ends_its_chunk() -> None:
    line = b"a" * 63 + b"\n"
    assert similarity(line + b"b" * 64, line + b"c" * 64) == 0.5
    assert similarity(b"a" * 64 + b"\n", b"a" * 64 + b"b") == 64 / 65


def test_a_last_line_without_newline_counts() -> None:
    assert similarity(b"one\nlast", b"two\nlast") == 0.5


def test_line_endings_of_text_hardly_count() -> None:
    assert similarity(TEXT, TEXT.replace(b"\n", b"\r\n")) == 7 / 8


def test_carriage_returns_of_binary_files_count() -> None:
    assert similarity(b"\0\n" + TEXT, b"\0\n" + TEXT.replace(b"\n", b"\r\n")) < 0.1


@pytest.mark.parametrize(
    ("one", "other", "expected"), [(b"", b"", 1.0), (b"", b"x", 0.0), (b"x", b"", 0.0), (b"\r\n", b"\n", 0.5)]
)
def test_similarity_of_next_to_nothing(one: bytes, other: bytes, expected: float) -> None:
    assert similarity(one, other) == expected


def test_an_edited_file_is_found_under_its_new_path() -> None:
    assert pairs({"old": TEXT}, {"other": b"nothing\n" * 10, "new": edited(3)}) == {"old": "new"}


@pytest.mark.parametrize(("count", "expected"), [(5, {"old": "new"}), (6, {})])
def test_half_is_enough(count: int, expected: dict[str, str]) -> None:
    assert pairs({"old": TEXT}, {"new": edited(count)}) == expected


def test_half_the_size_is_enough() -> None:
    assert pairs({"old": TEXT}, {"new": TEXT + TEXT}) == {"old": "new"}
    assert pairs({"old": TEXT}, {"new": TEXT + TEXT + b"\n"}) == {}


def test_equal_contents_go_before_base_names() -> None:
    assert pairs({"a/name": TEXT}, {"b/name": edited(1), "b/other": TEXT}) == {"a/name": "b/other"}


def test_equal_contents_prefer_their_base_name() -> None:
    gone = {"a/x": TEXT, "a/y": TEXT, "a/z": TEXT}
    assert pairs(gone, {"b/w": TEXT, "b/x": TEXT, "b/y": TEXT}) == {"a/x": "b/x", "a/y": "b/y", "a/z": "b/w"}


def test_a_directory_of_equal_files_moves_in_order() -> None:
    gone = {f"a/{at}/__init__.py": b"# same\n" for at in range(9)}
    assert pairs(gone, {path.replace("a/", "b/"): content for path, content in gone.items()}) == {
        path: path.replace("a/", "b/") for path in gone
    }


def test_the_most_similar_pair_goes_first() -> None:
    gone = {"a": TEXT, "b": edited(2)}
    assert pairs(gone, {"x": edited(3)}) == {"b": "x"}
    assert pairs(gone, {"x": edited(3), "y": edited(4)}) == {"a": "y", "b": "x"}


def test_of_equally_similar_ones_the_base_name_decides_then_the_path() -> None:
    assert pairs({"a/m": TEXT, "a/n": TEXT}, {"b/n": edited(1), "b/o": edited(1)}) == {"a/n": "b/n", "a/m": "b/o"}
    assert pairs({"m": TEXT, "n": TEXT}, {"q": edited(1), "p": edited(1)}) == {"m": "p", "n": "q"}


def test_paths_are_ordered_by_their_bytes() -> None:
    beyond, undecodable = "\U0001f600", "\udcff"  # F0 9F 98 80 and FF: as text they sort the other way round
    assert pairs({undecodable: TEXT, beyond: TEXT}, {"new": TEXT}) == {beyond: "new"}


def test_empty_files_are_never_renames() -> None:
    assert pairs({"a/name": b""}, {"b/name": b""}) == {}


def test_beyond_the_limit_only_equal_contents_are_paired() -> None:
    gone = {"a": TEXT, "b": edited(2), "same": b"same\n", "empty": b""}
    new = {"x": edited(3), "y": edited(4), "moved": b"same\n"}
    assert pairs(gone, new, limit=2) == {"a": "y", "b": "x", "same": "moved"}
    assert pairs(gone, new, limit=1) == {"same": "moved"}


def test_each_content_is_read_once_and_only_where_sizes_allow() -> None:
    gone = {"near": TEXT, "near too": edited(4), "small": TEXT[:20], "same": b"same\n"}
    new = {"x": edited(1), "y": edited(7), "large": TEXT * 9, "moved": b"same\n"}
    files = Files(gone | new)
    assert pair_renames(files.candidates(*gone), files.candidates(*new), files.read)["same"] == "moved"
    assert sorted(files.reads) == ["near", "near too", "x", "y"]


def test_nothing_to_pair_reads_nothing() -> None:
    files = Files({"old": TEXT})
    assert pair_renames(files.candidates("old"), [], files.read) == {}
    assert pair_renames([], files.candidates("old"), files.read) == {}
    assert files.reads == []
