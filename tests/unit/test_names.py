from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ObjectType

from cronos_git.errors import RecordFormatError
from cronos_git.rules.names import (
    ATTRIBUTES_NAME,
    decode_name,
    encode_name,
    is_inspected,
    make_id,
    passes_fsck,
    scope_name,
    slug,
)
from tests.support.git import assert_store_sound, git

# One name between two bars.
HOSTILE = (
    rb".git|.GIT|.Git|.git |.git.|.git . .|.git::$INDEX_ALLOCATION|.git:x|.git..:|.git\x|git~1|GIT~1|git~1.|git~1:s|git~1\x"
    rb"|a\.git|a\.GIT |a\b\git~1|a\.git\b|\.git"
    b"|.g\xe2\x80\x8cit|\xef\xbb\xbf.git|.git\xe2\x80\xae|\xe2\x81\xaf.\xe2\x80\x8fG\xe2\x80\xaai\xe2\x80\x8et"
    b"|.git\xff|.git\xc0\xaf|.git\xe2\x80|.git\xe2\x80\x8c\xff|.git\xef\xbf\xbf"
    rb"|.gitmodules |.GitModules|.gitmodules.|.gitmodules:$DATA|gitmod~1|GITMOD~4|gitmod~2 .|gi7eba~1|GI7EBA~9|gi7eb~12|gi7~1234"
    rb"|~1234567|~1000000.|a\.gitmodules|a\gitmod~1|a\~1234567"
    b"|.gitmodules\xff|.gi\xe2\x80\x8dtmodules|.gitmodules\xe2\x80\x8c|\xe2\x80\x8c.GITMODULES"
    b"|.gitattributes.|.GITATTRIBUTES|gitatt~1|gitatt~4:x|gi7d29~1|gi7d~123|.gitattributes::$DATA|.gitattribute\xe2\x80\x8cs"
).split(b"|")
LOOK_ALIKES = b".cronos%|.cronos%attributes|.cronos%e%.git|.cronos%c%big|.cronos%e%.cronos%e%x|.CRONOS%e%a".split(b"|")
ORDINARY = (
    rb"git|git~|git~2|git~10|gitk|.github|.gitignore|.gitkeep|.gitlab-ci.yml|.git-rewrite|.git_old|.gi|..git|...|. | .git|-x"
    rb"|~|~1|g~1|gitmod~5|gitmod|foo~1|a\b|a:b|a:.git|con|%41|.cronos|.cronos-e-x|cronos%e%x|.gitmodules|.gitattributes"
    b"|caf\xe9|na\xc3\xafve|\xe2\x82\xac|\xff\xfe|new\nline"
).split(b"|")
NEVER_STORED = (
    b"|.|..|a/b|/|.git/config|a\0b|\0|.a/b|g/..|.cronos%|.cronos%e%|.cronos%c%|.cronos%x%a|.cronos%e|.cronos%E%a|.CRONOS%e%a"
    rb"|.cronos%e%.|.cronos%e%..|.cronos%e%a/b|.cronos%e%a\b|.cronos%e%a%b|.cronos%e%a%5cb|.cronos%e%a%|.cronos%e%a%2"
    b"|.cronos%e%%2e%2e|.cronos%c%%2F|.cronos%e%a%00|.cronos%e%a\0b"
).split(b"|")
BAD_CONTENT = b'[submodule "../x"]\n\turl = -u\n' + b"a" * 3000 + b"\n"


@pytest.mark.parametrize("raw", HOSTILE + LOOK_ALIKES)
def test_hostile_name_is_stored_under_the_escape_and_comes_back(raw: bytes) -> None:
    stored = encode_name(raw)
    assert stored.startswith(b".cronos%e%")
    assert decode_name(stored) == (raw, False)


@pytest.mark.parametrize("raw", ORDINARY)
def test_ordinary_name_keeps_itself(raw: bytes) -> None:
    assert encode_name(raw) == raw
    assert decode_name(raw) == (raw, False)


def test_percent_and_backslash_are_written_as_the_format_says() -> None:
    assert encode_name(b"100%\\x", forced=True) == b".cronos%e%100%25%5Cx"
    assert encode_name(b"disk.img", chunked=True) == b".cronos%c%disk.img"
    assert decode_name(b".cronos%c%100%25%5Cx") == (b"100%\\x", True)
    assert decode_name(encode_name(b"a%5Cb", forced=True)) == (b"a%5Cb", False)


@pytest.mark.parametrize("stored", [*HOSTILE, *NEVER_STORED, ATTRIBUTES_NAME])
def test_stored_name_that_was_never_encoded_is_refused(stored: bytes) -> None:
    with pytest.raises(RecordFormatError) as caught:
        decode_name(stored)
    assert caught.value.exit_status == 6
    assert caught.value.hint


@pytest.mark.parametrize("raw", [b"", b".", b"..", b"a/b", b".git/x", b"a\0b"])
def test_encoding_what_no_file_can_be_called_is_an_error(raw: bytes) -> None:
    for chunked in (False, True):
        with pytest.raises(ValueError, match="not a file name"):
            encode_name(raw, chunked=chunked)


# --- the judge: stock git -------------------------------------------------------------------------------------------


def _tree(entries: dict[bytes, tuple[bytes, str]]) -> bytes:
    def git_order(name: bytes) -> bytes:
        return name + b"/" if entries[name][0] == b"40000" else name

    return b"".join(
        entries[name][0] + b" " + name + b"\0" + bytes.fromhex(entries[name][1]) for name in sorted(entries, key=git_order)
    )


def _repository(path: Path, names: list[bytes]) -> Path:
    """One commit with *names* as files of a content that git rejects, as directories, and as links."""
    repo = pygit2.init_repository(str(path), bare=True)
    blob = str(repo.create_blob(BAD_CONTENT))
    folder = str(repo.write(ObjectType.TREE, _tree({b"f": (b"100644", blob)})))
    kinds = {b"files": (b"100644", blob), b"folders": (b"40000", folder), b"links": (b"120000", blob)}
    trees = {kind: str(repo.write(ObjectType.TREE, _tree(dict.fromkeys(names, what)))) for kind, what in kinds.items()}
    top = repo.write(ObjectType.TREE, _tree({kind: (b"40000", oid) for kind, oid in trees.items()}))
    someone = pygit2.Signature("t", "t@t", 1, 0)
    repo.create_commit("refs/heads/main", someone, someone, "m", top, [])
    return path


def _spellings() -> list[bytes]:
    """Many thousand names put together from what the rules of git look at."""
    parts = (
        b".|g|I|t|git|.git|modules|Attributes|mod|att|gi7eba|GI7D29|gi7|~|~1|2345| |:|\\|%|25|.cronos%|e%|x"
        b"|\xe2\x80\x8c|\xef\xbb\xbf|\xe2\x80|\xff|\xc3\xa9"
    ).split(b"|")
    pick = random.Random(20260401)
    names = {b"".join(pick.choices(parts, k=pick.randint(1, 5))) for _ in range(20000)}
    shapes = itertools.product(
        (b"", b".", b"a\\"), (b".git", b"git~1", b".gitmodules", b"gitmod~3", b".gitattributes", b"gi7d29~1", b"~1234567"), parts
    )
    names |= {b"".join(shape) for shape in shapes} | {name.swapcase() for name in HOSTILE}
    return sorted(names.union(HOSTILE, LOOK_ALIKES, ORDINARY) - {b".", b".."})


@pytest.mark.parametrize(
    "raw", [b".git", b"git~1", b".git\xff", b".gitmodules", b".gitattributes", b"~1234567", b"gi7d29~1", b"a\\gitmod~1"]
)
def test_git_itself_rejects_these_names_unescaped(raw: bytes, tmp_path: Path) -> None:
    store = _repository(tmp_path / "s.git", [raw])
    with pytest.raises(AssertionError):
        git("--git-dir", store, "fsck", "--full", "--strict")


def test_git_accepts_every_encoded_name_as_file_directory_and_link(tmp_path: Path) -> None:
    names = _spellings()
    stored = {encode_name(raw, forced=is_inspected(raw)): raw for raw in names}
    assert len(stored) == len(names) > 10000
    assert all(decode_name(name) == (raw, False) for name, raw in stored.items())
    assert_store_sound(_repository(tmp_path / "s.git", list(stored)), tmp_path)


# --- .gitmodules and .gitattributes ---------------------------------------------------------------------------------

MODULES = b"""# our parts
[submodule "libs/one"]
\tpath = libs/one
\turl = https://example.com:8443/team/one.git
\tbranch = main
[submodule "two"]  \r
  path = libs/two with space\r
  url = ../two.git
\tupdate = rebase

[submodule "three"]
\turl = git@example.com:team/three.git
\tfetchRecurseSubmodules = false
\tignore = dirty
; the last
[submodule "four"]
\turl = /srv/git/four.git"""
MODULES_OUT = [
    b'[submodule "../x"]\n\turl = https://h/x\n',
    b'[submodule "a/../b"]\n',
    b'[submodule ""]\n',
    b'[submodule "a"]\n\turl = -u./payload\n',
    b'[submodule "a"]\n\tURL = -u./payload\n',
    b'[submodule "a"]\n\turl = "-u./payload"\n',
    b'[submodule "a"] url = -u\n',
    b'[submodule "a"]\n\tpath = -x\n',
    b'[submodule "a"]\n\tupdate = !rm -rf x\n',
    b'[submodule "a"]\n\tupdate=!rm\n',
    b'[submodule "a"]\n\turl = ./%0ahost=evil\n',
    b'[submodule "a"]\n\turl = ..//evil\n',
    b'[submodule "a"]\n\turl = https:///x\n',
    b'[submodule "a"]\n\turl = https://h/a/../../b\n',
    b'[submodule "a"]\n\turl = https::example.com/x\n',
    b'[submodule "a"]\n\turl = http\\\ns://h/x\n',
    b'[submodule "a"]\n\tpath = x \\\n-y\n',
    b"[submodule\n",
    b"not a configuration\n",
    b'[submodule "a"]\n\0\n',
]


def _judged(path: Path, name: bytes, content: bytes) -> str:
    repo = pygit2.init_repository(str(path), bare=True)
    blob = str(repo.create_blob(content))
    someone = pygit2.Signature("t", "t@t", 1, 0)
    tree = repo.write(ObjectType.TREE, _tree({name: (b"100644", blob)}))
    repo.create_commit("refs/heads/main", someone, someone, "m", tree, [])
    return git("--git-dir", path, "fsck", "--full", "--strict", "--no-progress")


def test_usual_gitmodules_keeps_its_name_and_git_accepts_it(tmp_path: Path) -> None:
    for number, content in enumerate((MODULES, b"", b"\n# nothing\n", MODULES + b"\n")):
        assert passes_fsck(b".gitmodules", content)
        _judged(tmp_path / str(number), b".gitmodules", content)


@pytest.mark.parametrize("content", MODULES_OUT)
def test_doubtful_gitmodules_does_not_keep_its_name(content: bytes) -> None:
    assert not passes_fsck(b".gitmodules", content)
    assert not passes_fsck(b".gitmodules", MODULES + b"\n" + content)


def test_gitmodules_made_to_be_slow_is_judged_at_once() -> None:
    size = 1 << 19
    for piece in (
        b'[submodule "a"]\n\tpath = a' + b" " * size + b'"',
        b"\turl = /a" + b"/a" * size,
        b"\turl = " + b"../" * size,
        b" " * size + b"x",
    ):
        assert not passes_fsck(b".gitmodules", piece + b"\0")


def test_gitattributes_is_judged_by_the_length_of_its_lines(tmp_path: Path) -> None:
    good, bad = b"*.c text\n" + b"x" * 2047 + b"\n*.h", b"*.c text\n" + b"x" * 2048
    assert passes_fsck(b".gitattributes", good)
    assert not passes_fsck(b".gitattributes", bad)
    assert not passes_fsck(b".gitattributes", b"a\n" * (1 << 20))
    _judged(tmp_path / "good", b".gitattributes", good)
    with pytest.raises(AssertionError):
        _judged(tmp_path / "bad", b".gitattributes", bad)


def test_only_the_plain_spellings_are_inspected() -> None:
    assert is_inspected(b".gitmodules")
    assert is_inspected(b".gitattributes")
    assert not any(is_inspected(raw) for raw in (b".GITMODULES", b"gitmod~1", b".git", b"a", b".gitignore"))
    assert not passes_fsck(b".GITATTRIBUTES", b"")


# --- ids and scopes -------------------------------------------------------------------------------------------------

AT = datetime(2026, 11, 23, 14, 30, 5, 999999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("deploy", "deploy"),
        ("Before The Flood!", "before-the-flood"),
        ("v1.2.3", "v1.2.3"),
        ("my_backup", "my_backup"),
        ("../../etc/passwd", "etc-passwd"),
        ("a..b", "a.b"),
        (".hidden.", "hidden"),
        ("x.lock", "x-lock"),
        ("x.LOCK.", "x-lock"),
        ("--force", "force"),
        ("Größe", "gr-e"),
        ("", "backup"),
        ("резервная", "backup"),
        ("a" * 300, "a" * 100),
        ("a@{1}~^:?*[\\b", "a-1-b"),
    ],
)
def test_name_is_spelled_as_git_can_hold_it(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_id_is_in_utc_and_numbered_when_taken() -> None:
    east = timezone(timedelta(hours=9))
    assert make_id("Deploy", AT.astimezone(east), ()) == "deploy_20261123_143005"
    taken = {"deploy_20261123_143005", "deploy_20261123_143005_2"}
    assert make_id("deploy", AT, taken) == "deploy_20261123_143005_3"


def test_scope_is_named_after_its_sorted_modules() -> None:
    assert scope_name(["ETHIK", "atlas"]) == "atlas+ethik"
    assert scope_name(["subsystems/ETHIK"]) == "subsystems-ethik"
    assert scope_name(["a", "A", "a/"]) == "a"
    assert scope_name([]) == "project"
    assert scope_name(["project"]) != "project"


def test_long_scope_is_cut_but_stays_its_own() -> None:
    one, other = (scope_name([f"module-{n}" for n in range(60)] + [last]) for last in ("x", "y"))
    assert one != other
    assert len(one) <= 150
    git("check-ref-format", f"refs/heads/module/{one}")
