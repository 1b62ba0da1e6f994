from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.disk import files
from cronos_git.disk.scratch import scratch_files
from cronos_git.errors import DiskFullError, GitCommandError, HostError
from cronos_git.git import session
from cronos_git.git.mergefile import Merged, hunks, merge_text
from tests.support.git import git

LABELS = ("current", "common", "backup 7")
BASE = b"one\ntwo\nthree\nfour\nfive\n"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files, which nothing may be left in."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of every git process."""
    calls: list[list[str]] = []
    monkeypatch.setattr(session, "on_start", lambda argv: calls.append(list(argv)))
    return calls


def merge(ours: bytes, theirs: bytes, base: bytes = BASE) -> Merged:
    return merge_text(base, ours, theirs, LABELS)


def test_changes_apart_from_each_other_merge_in_one_process(started: list[list[str]]) -> None:
    merged = merge(BASE.replace(b"one", b"ONE"), BASE.replace(b"five", b"FIVE"))
    assert merged == Merged(content=b"ONE\ntwo\nthree\nfour\nFIVE\n", conflicts=0)
    assert len(started) == 1


def test_a_conflict_shows_ours_base_and_theirs_in_this_order() -> None:
    merged = merge(BASE.replace(b"three", b"OURS"), BASE.replace(b"three", b"THEIRS"))
    block = b"<<<<<<< current\nOURS\n||||||| common\nthree\n=======\nTHEIRS\n>>>>>>> backup 7\n"
    assert merged == Merged(content=b"one\ntwo\n" + block + b"four\nfive\n", conflicts=1)


def test_a_conflict_shows_both_sides_whole_with_the_lines_that_they_share() -> None:
    merged = merge(BASE.replace(b"three", b"same\nOURS"), BASE.replace(b"three", b"same\nTHEIRS"))
    assert b"<<<<<<< current\nsame\nOURS\n||||||| common\nthree\n=======\nsame\nTHEIRS\n" in merged.content


def test_hunks_are_the_conflicts_with_their_lines() -> None:
    merged = merge(b"1\nx\nx\nx\nx\n2\n", b"one\nx\nx\nx\nx\ntwo\n", b"a\nx\nx\nx\nx\nb\n")
    assert merged.conflicts == 2
    assert hunks(merged.content) == [
        b"@@ lines 1-7 @@\n<<<<<<< current\n1\n||||||| common\na\n=======\none\n>>>>>>> backup 7\n",
        b"@@ lines 12-18 @@\n<<<<<<< current\n2\n||||||| common\nb\n=======\ntwo\n>>>>>>> backup 7\n",
    ]


def test_without_a_base_only_equal_contents_agree() -> None:
    assert merge(BASE, BASE, b"") == Merged(content=BASE, conflicts=0)
    assert merge(b"ours\n", b"theirs\n", b"").conflicts == 1


def test_latin_1_survives() -> None:
    base = "é\nè\nà\nü\nö\n".encode("latin-1")
    merged = merge(base.replace(b"\xe9", b"\xc9"), base.replace(b"\xf6", b"\xd6"), base)
    assert merged == Merged(content="É\nè\nà\nü\nÖ\n".encode("latin-1"), conflicts=0)


def test_crlf_stays_crlf_in_a_clean_merge() -> None:
    base = BASE.replace(b"\n", b"\r\n")
    merged = merge(base.replace(b"one", b"ONE"), base.replace(b"five", b"FIVE"), base)
    assert merged == Merged(content=b"ONE\r\ntwo\r\nthree\r\nfour\r\nFIVE\r\n", conflicts=0)


def test_markers_in_a_crlf_file_end_with_crlf() -> None:
    base = BASE.replace(b"\n", b"\r\n")
    merged = merge(base.replace(b"three", b"OURS"), base.replace(b"three", b"THEIRS"), base)
    assert merged.conflicts == 1
    assert merged.content.count(b"\n") == merged.content.count(b"\r\n") == 11
    assert hunks(merged.content)[0].endswith(b">>>>>>> backup 7\r\n")


def test_other_line_endings_are_a_change_like_any_other() -> None:
    assert merge(BASE.replace(b"\n", b"\r\n"), BASE) == Merged(content=BASE.replace(b"\n", b"\r\n"), conflicts=0)
    assert merge(BASE.replace(b"\n", b"\r\n"), BASE.replace(b"three", b"THEIRS")).conflicts == 1


def test_a_missing_newline_at_the_end_stays_missing() -> None:
    base = BASE.removesuffix(b"\n")
    assert merge(base.replace(b"one", b"ONE"), base, base).content == b"ONE\ntwo\nthree\nfour\nfive"
    assert merge(BASE.replace(b"one", b"ONE"), base, BASE).content == b"ONE\ntwo\nthree\nfour\nfive"


def test_a_side_without_a_last_newline_does_not_run_into_the_marker() -> None:
    merged = merge(BASE + b"ours", BASE + b"theirs")
    end = b"<<<<<<< current\nours\n||||||| common\n=======\ntheirs\n>>>>>>> backup 7\n"
    assert merged == Merged(content=BASE + end, conflicts=1)


@pytest.mark.parametrize("side", ["base", "ours", "theirs"])
def test_binary_contents_are_refused_before_git_starts(side: str, started: list[list[str]]) -> None:
    contents = {"base": b"", "ours": b"", "theirs": b"", side: b"a\0b"}
    with pytest.raises(ValueError, match=f"^{side} is binary"):
        merge_text(**contents, labels=LABELS)
    assert started == []


def test_more_conflicts_than_a_status_can_tell_are_127() -> None:
    texts = [b"".join(b"%b %d\n" % (side, at) + b"x\n" * 5 for at in range(150)) for side in (b"base", b"ours", b"theirs")]
    merged = merge(texts[1], texts[2], texts[0])
    assert (merged.conflicts, len(hunks(merged.content))) == (127, 150)


def test_overlapping_changes_that_come_to_the_same_are_no_conflict() -> None:
    base, ours, theirs = b"a\na\nb\nb\n", b"b\na\na\na\nb\n", b"a\na\nb\n"
    assert merge(ours, theirs, base) == Merged(content=ours, conflicts=0)


@pytest.mark.parametrize("marker", [b"<<<<<<< current\n", b">>>>>>> backup 7\n", b"=======\n", b"||||||| common\n"])
def test_markers_in_the_text_itself_are_not_taken_for_conflicts(marker: bytes) -> None:
    merged = merge(marker + BASE.replace(b"three", b"OURS"), BASE.replace(b"three", b"THEIRS") + marker)
    assert merged.conflicts == len(hunks(merged.content)) == 1
    assert b"OURS\n" in hunks(merged.content)[0]
    assert merged.content.startswith(marker) and merged.content.endswith(marker)


def test_labels_cannot_be_taken_for_options() -> None:
    merged = merge_text(b"", b"a\n", b"b\n", ("-p", "--ours", "--"))
    assert merged.content == b"<<<<<<< -p\na\n||||||| --ours\n=======\nb\n>>>>>>> --\n"


def test_neither_attributes_nor_configuration_of_a_repository_around_matter(
    tmp_path: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conflict = (BASE, BASE.replace(b"three", b"OURS"), BASE.replace(b"three", b"THEIRS"), LABELS)
    expected = merge_text(*conflict)
    (hermetic / ".gitconfig").write_text("[merge]\nconflictStyle = nonsense\n")
    project = tmp_path / "project"
    git("init", "--quiet", project)
    (project / ".gitattributes").write_text("* merge=union conflict-marker-size=20 -text eol=crlf\n")
    with (project / ".git" / "config").open("a") as config:
        config.write("[merge]\nconflictStyle = merge\n[core\n")
    monkeypatch.chdir(project)
    monkeypatch.setenv("GIT_DIR", str(project / ".git"))
    assert merge_text(*conflict) == expected


def _fail_writing(error: int) -> Callable[[str, str], None]:
    def step(name: str, path: str) -> None:
        if name == "write" and path.endswith("theirs"):
            raise OSError(error, os.strerror(error), path)

    return step


def test_a_failure_of_git_carries_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'error: out of luck' >&2\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(GitCommandError, match=r"git merge-file failed with status 255: error: out of luck"):
        merge(b"a\n", b"b\n")


def test_a_full_disk_is_told_and_leaves_nothing() -> None:
    files.step = _fail_writing(errno.ENOSPC)
    with pytest.raises(DiskFullError) as caught:
        merge(b"a\n", b"b\n")
    assert "TMPDIR" in caught.value.hint


def test_without_a_directory_for_temporary_files_the_error_is_one_of_the_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(HostError, match="Cannot write temporary files"):
        merge(b"a\n", b"b\n")


def test_scratch_files_are_private_and_go_with_the_block(temporary: Path) -> None:
    with pytest.raises(KeyError), scratch_files({"one": b"1", "other": b"\0\xff"}) as directory:
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (directory, directory / "one", directory / "other")]
        assert modes == [0o700, 0o600, 0o600]
        assert (directory / "other").read_bytes() == b"\0\xff"
        assert directory.parent == temporary
        (directory / "one").chmod(0)
        raise KeyError


SIDES = st.lists(
    st.sampled_from((b"a\n", b"b\n", b"c\n", b"\r\n", b"=======\n", b"<<<<<<< a\n", b">>>>>>>> b\n", b"end")), max_size=8
)
TEXTS = SIDES.map(b"".join)


@given(TEXTS, TEXTS)
def test_a_side_equal_to_the_base_or_to_the_other_side_yields_the_other(base: bytes, changed: bytes) -> None:
    expected = Merged(content=changed, conflicts=0)
    assert merge(base, changed, base) == merge(changed, base, base) == merge(changed, changed, base) == expected


@given(TEXTS, TEXTS, TEXTS)
def test_every_conflict_is_a_hunk_and_sides_are_alike(base: bytes, ours: bytes, theirs: bytes) -> None:
    merged, mirrored = merge(ours, theirs, base), merge(theirs, ours, base)
    assert bool(merged.conflicts) == bool(mirrored.conflicts)
    if merged.conflicts:
        assert len(hunks(merged.content)) == merged.conflicts
    else:
        assert merged == mirrored
