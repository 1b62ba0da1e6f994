import json
from base64 import b64decode
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cronos_git.cli.render.jsonout import document, rfc3339
from cronos_git.model import Change, FileDiff
from tests.cli.records import NOON, backup, entry


def read(record: object) -> Any:
    text = document(record)
    assert text.isascii()
    assert "\n" not in text
    return json.loads(text)


def test_a_backup_has_its_schema_and_exact_values() -> None:
    made = backup(3, labels=("a", "b"), metadata={"n": {"deep": [1, 2.5, None, True]}}, message="näh")
    assert read(made) == {
        "schema_version": 1,
        "id": "backup_20260401_150000",
        "name": "backup",
        "type": "manual",
        "scope": "project",
        "created": "2026-04-01T15:00:00.000000Z",
        "sequence": 3,
        "parent": None,
        "message": "näh",
        "description": "",
        "labels": ["a", "b"],
        "pinned": False,
        "files": 30,
        "size_bytes": 3000,
        "added": 3,
        "changed": 0,
        "removed": 0,
        "metadata": {"n": {"deep": [1, 2.5, None, True]}},
        "commit": f"{3:040x}",
        "tag": f"{0xA003:040x}",
    }


def test_times_are_given_in_utc_whatever_their_zone() -> None:
    assert rfc3339(NOON.astimezone(timezone(timedelta(hours=-7)))) == "2026-04-01T12:00:00.000000Z"
    assert rfc3339(datetime(1, 1, 1, tzinfo=NOON.tzinfo)) == "0001-01-01T00:00:00.000000Z"


def test_an_undecodable_path_is_escaped_with_its_bytes_beside() -> None:
    told = read(entry("dir/\udcff\x01.bin"))
    assert told["path"] == r"dir/\xff\x01.bin"
    assert b64decode(told["path_b64"]) == b"dir/\xff\x01.bin"
    assert told["attributes"]["name_b64"] == "/wEuYmlu"


def test_a_decodable_path_is_given_as_it_is() -> None:
    told = read(entry("a\nb/ü\x1b"))
    assert told["path"] == "a\nb/ü\x1b"
    assert "path_b64" not in told


def test_a_sequence_with_an_undecodable_path_has_its_bytes_beside() -> None:
    assert read({"paths": ("ok", "\udcfe")}) == {"schema_version": 1, "paths": ["ok", r"\xfe"], "paths_b64": ["b2s=", "/g=="]}


def test_file_times_are_exact_and_readable() -> None:
    told = read(entry("a"))["attributes"]
    assert (told["mtime_ns"], told["mtime"]) == (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z")
    assert read(entry("a", mtime_ns=-1_500_000_000))["attributes"]["mtime"] == "1969-12-31T23:59:58.500000000Z"
    assert read(entry("a", mtime_ns=10**40))["attributes"]["mtime"] is None


def test_extended_attributes_are_base64() -> None:
    told = read(entry("a", xattrs=(("user.note", b"\xff\0"),)))["attributes"]
    assert told["xattrs"] == [{"name": "user.note", "value_b64": "/wA="}]


def test_a_patch_is_text_with_its_bytes_beside() -> None:
    told = read(FileDiff(change=Change(kind="changed", path="a"), insertions=1, deletions=0, patch=b"+\xe9\n"))
    assert told["patch"] == "+\\xe9\n"
    assert b64decode(told["patch_b64"]) == b"+\xe9\n"


@given(st.binary(max_size=40))
def test_the_bytes_of_every_name_come_back(raw: bytes) -> None:
    told = read({"path": raw.decode("utf-8", "surrogateescape")})
    back = b64decode(told["path_b64"]) if "path_b64" in told else told["path"].encode()
    assert back == raw
