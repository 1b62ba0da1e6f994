from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ObjectType

from cronos_git.errors import RecordFormatError, UsageError
from cronos_git.model import Backup
from cronos_git.rules.record import (
    Identity,
    clean_line,
    clean_text,
    format_commit,
    format_json,
    format_tag,
    identity_line,
    parse_commit,
    parse_tag,
    snapshot_message,
    tagger_line,
    timeline_message,
)
from tests.support.git import assert_store_sound

ALICE = Identity(user="alice", host="box")
COMMIT, TAG = "1" * 40, "2" * 40
BACKUP = Backup(
    id="deploy_20261123_143000",
    name="deploy",
    type="pre-deploy",
    scope="project",
    created=datetime(2026, 11, 23, 14, 30, 0, 123456, tzinfo=UTC),
    sequence=7,
    parent="nightly_20261122_020000",
    message="Before the deployment",
    description="Two paragraphs,\n\n\tone of them indented.",
    labels=("release", "v2"),
    pinned=True,
    files=78579,
    size_bytes=1300000000,
    added=1,
    changed=2,
    removed=0,
    metadata={"ticket": "OPS-1"},
    commit=COMMIT,
    tag=TAG,
)
BARE = replace(BACKUP, parent=None, description="", labels=(), pinned=False, metadata={})
WRITTEN = b"""object 1111111111111111111111111111111111111111
type commit
tag backup/deploy_20261123_143000
tagger alice <alice@box> 1795444200 +0000

Before the deployment

Two paragraphs,

\tone of them indented.

Cronos-Id: deploy_20261123_143000
Cronos-Type: pre-deploy
Cronos-Name: deploy
Cronos-Scope: project
Cronos-Created: 2026-11-23T14:30:00.123456Z
Cronos-Sequence: 7
Cronos-Parent: nightly_20261122_020000
Cronos-Label: release
Cronos-Label: v2
Cronos-Pinned: true
Cronos-Files: 78579
Cronos-Bytes: 1300000000
Cronos-Added: 1
Cronos-Changed: 2
Cronos-Removed: 0
Cronos-Metadata: {"ticket":"OPS-1"}
"""


def test_tag_is_written_as_the_format_says_and_read_back() -> None:
    assert format_tag(BACKUP, ALICE) == WRITTEN
    assert parse_tag(WRITTEN, TAG) == BACKUP


def test_what_is_empty_is_left_out() -> None:
    raw = format_tag(BARE, ALICE)
    assert not any(word in raw for word in (b"-Parent", b"-Label", b"-Pinned", b"-Metadata"))
    assert parse_tag(raw, TAG) == BARE


def test_backup_without_a_message_is_called_by_its_name() -> None:
    assert parse_tag(format_tag(replace(BACKUP, message="\n\0 "), ALICE), TAG).message == "deploy"


def test_time_of_another_zone_is_written_in_utc() -> None:
    east = BACKUP.created.astimezone(timezone(timedelta(hours=9)))
    assert format_tag(replace(BACKUP, created=east), ALICE) == WRITTEN


def test_user_text_cannot_forge_trailers() -> None:
    forged = "x\n\nCronos-Id: evil_20200101_000000\nCronos-Pinned: true\n"
    raw = format_tag(
        replace(BARE, message=forged, description=forged, type=forged, labels=(forged,), metadata={"k": forged}), ALICE
    )
    read = parse_tag(raw, TAG)
    assert read.id == BACKUP.id
    assert not read.pinned
    assert read.message == "x Cronos-Id: evil_20200101_000000 Cronos-Pinned: true"
    assert read.description == forged.strip("\n")
    assert read.labels == (read.message,) == (read.type,)
    assert read.metadata == {"k": forged}


def test_trailer_of_a_later_version_is_ignored() -> None:
    assert parse_tag(WRITTEN + b"Cronos-Colour: red\n", TAG) == BACKUP


@pytest.mark.parametrize(
    "key", ["Id", "Type", "Name", "Scope", "Created", "Sequence", "Files", "Bytes", "Added", "Changed", "Removed"]
)
def test_tag_without_one_of_its_trailers_is_damage(key: str) -> None:
    raw = b"".join(line for line in WRITTEN.splitlines(keepends=True) if not line.startswith(b"Cronos-%b:" % key.encode()))
    assert raw != WRITTEN
    with pytest.raises(RecordFormatError) as caught:
        parse_tag(raw, TAG)
    assert caught.value.context == {"oid": TAG}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"type commit", b"type tree"),
        (b"object 1", b"object x"),
        (b"tag backup/deploy_", b"tag backup/other_"),
        (b"tag backup/deploy_", b"tag deploy_"),
        (b"deploy_20261123_143000", b"../../deploy_20261123_143000"),
        (b"deploy_20261123_143000", b"latest"),
        (b"tagger ", b"mailer "),
        (b"Cronos-Scope: project", b"Cronos-Scope: ../../../cronos/lock"),
        (b"Cronos-Sequence: 7", b"Cronos-Sequence: seven"),
        (b"123456Z", b"123456"),
        (b"2026-11-23T", b"2026-13-23T"),
        (b'{"ticket":"OPS-1"}', b'["OPS-1"]'),
        (b'{"ticket":"OPS-1"}', b'{"ticket":'),
        (b'{"ticket":"OPS-1"}', b"[" * 100000),
        (b"Before", b"\x1b]0;Before"),
        (b"Before", b"\xff"),
        (b"\n\nBefore the deployment\n\nTwo paragraphs,\n\n\tone of them indented.", b""),
    ],
)
def test_tag_that_is_not_as_written_is_damage(old: bytes, new: bytes) -> None:
    assert old in WRITTEN
    with pytest.raises(RecordFormatError) as caught:
        parse_tag(WRITTEN.replace(old, new), TAG)
    assert caught.value.hint


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"\n\n\n\n", b"object", WRITTEN[:200], WRITTEN[:-300]])
def test_torn_tag_is_damage(raw: bytes) -> None:
    with pytest.raises(RecordFormatError):
        parse_tag(raw, TAG)


# --- cleaning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "block"),
    [
        ("plain", "plain", "plain"),
        (" a\r\nb\n", "a b", " a\nb"),
        ("a\tb", "a b", "a\tb"),
        ("\n\n  x  \n\n\ny\n\n", "x   y", "  x\n\n\ny"),
        ("red \x1b[31m\x9b", "red  [31m", "red  [31m"),
        ("a\x85b\u2028c\x00d", "a b c d", "a b c d"),
        ("caf\udce9 \U0001f600", "caf  \U0001f600", "caf  \U0001f600"),
    ],
)
def test_text_is_cleaned_of_what_terminals_and_parsers_obey(text: str, line: str, block: str) -> None:
    assert clean_line(text) == line
    assert clean_text(text) == block


@pytest.mark.parametrize(
    ("user", "host", "expected"),
    [
        ("alice", "box", b"alice <alice@box> 86400 +0000"),
        ("Ann <a@b> Lee", "my box\n", b"Ann a@b Lee <Ann-a@b-Lee@my-box> 86400 +0000"),
        ("<>", "\0", b"unknown <unknown@unknown> 86400 +0000"),
        ("j\xf6rg", "b\udcff", "j\xf6rg <j\xf6rg@b> 86400 +0000".encode()),
    ],
)
def test_identity_is_cleaned_so_that_git_can_read_it(user: str, host: str, expected: bytes) -> None:
    assert identity_line(Identity(user=user, host=host), datetime(1970, 1, 2, tzinfo=UTC)) == expected


def test_time_before_1970_becomes_1970() -> None:
    assert identity_line(ALICE, datetime(1969, 7, 20, tzinfo=UTC)).endswith(b"> 0 +0000")


def test_json_is_canonical_and_on_one_line() -> None:
    assert format_json({"b": 1, "a": ["\u00e9\udcff\x7f\n"]}) == b'{"a":["\\u00e9\\udcff\\u007f\\n"],"b":1}\n'


def test_metadata_that_json_cannot_say_is_a_usage_error() -> None:
    loop: dict[str, object] = {}
    loop["self"] = loop
    for metadata in ({"when": BACKUP.created}, {"n": float("nan")}, {"s": {1}}, {1: 1, "a": 2}, loop):
        with pytest.raises(UsageError):
            format_tag(replace(BACKUP, metadata=metadata), ALICE)  # type: ignore[arg-type]


# --- commits --------------------------------------------------------------------------------------------------------


def test_commit_is_written_and_read_back() -> None:
    who = identity_line(ALICE, BACKUP.created)
    raw = format_commit(tree=COMMIT, parents=(TAG, COMMIT), identity_line=who, message="m\n\nbody\n")
    read = parse_commit(raw)
    assert (read.tree, read.parents, read.committer, read.message) == (COMMIT, (TAG, COMMIT), who, "m\n\nbody\n")
    assert tagger_line(WRITTEN) == who


def test_commit_with_more_headers_is_read() -> None:
    raw = b"tree %b\nauthor a <a> 1 +0000\ncommitter b <b> 2 +0000\ngpgsig x\n y\n\nm" % COMMIT.encode()
    assert parse_commit(raw).committer == b"b <b> 2 +0000"


@pytest.mark.parametrize("raw", [b"", b"tree 12\n\n", b"tree " + b"1" * 40 + b"\n\nm", WRITTEN])
def test_what_is_no_commit_is_damage(raw: bytes) -> None:
    with pytest.raises(RecordFormatError):
        parse_commit(raw)


def test_tag_without_tagger_is_damage() -> None:
    with pytest.raises(RecordFormatError):
        tagger_line(b"object 1\ntype commit\ntag backup/x\n\ntagger forged <a> 1 +0000\n")


def test_messages_carry_the_id() -> None:
    assert timeline_message(BACKUP) == "Before the deployment\n\nCronos-Id: deploy_20261123_143000\n"
    assert snapshot_message(BARE) == timeline_message(BARE)
    assert snapshot_message(BACKUP).split("\n\n")[1:-1] == ["Two paragraphs,", "\tone of them indented."]


def test_git_accepts_tags_and_commits_whatever_people_wrote(tmp_path: Path) -> None:
    store = tmp_path / "s.git"
    repo = pygit2.init_repository(str(store), bare=True)
    tree = str(repo.write(ObjectType.TREE, b""))
    texts = ["", "\0", "<>", "a <b> c", "tagger x <y> 1 +0000\n\n", "é\udcff\ud800", "\x1b[0m", " . ", "-", '"', "\\", "x" * 5000]
    for number, text in enumerate(texts):
        who = Identity(user=text, host=text)
        line = identity_line(who, BACKUP.created)
        draft = replace(
            BACKUP, id=f"t_20260401_{number:06}", message=text, description=text, labels=(text,), metadata={text: text}
        )
        message = snapshot_message(draft)
        commit = repo.write(ObjectType.COMMIT, format_commit(tree=tree, parents=(), identity_line=line, message=message))
        tag = repo.write(ObjectType.TAG, format_tag(replace(draft, commit=str(commit)), who))
        repo.references.create(f"refs/tags/backup/{draft.id}", tag)
    repo.references.create("refs/heads/main", commit)
    assert_store_sound(store, tmp_path)
