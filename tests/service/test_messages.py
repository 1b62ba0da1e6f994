"""What may be asked over the bus: topics, keys and values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import MessageError
from cronos_git.model import RestoreRequest, SnapshotRequest, VerifyRequest
from cronos_git.service import messages
from cronos_git.service.messages import ListRequest, StatusRequest, parse, read_envelope


def envelope(topic: str, payload: Any, **header: Any) -> dict[str, Any]:
    return {"header": {"topic": topic, "sender_node": "ASKER", **header}, "payload": payload}


def parsed(verb: str, payload: Any) -> Any:
    return parse(read_envelope(envelope(f"request.cronos.{verb}", payload)))


def refused(verb: str, payload: Any) -> MessageError:
    with pytest.raises(MessageError) as error:
        parsed(verb, payload)
    return error.value


# --- topics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cronos", "CRONOS", "CRONOS_SERVICE"])
@pytest.mark.parametrize("verb", messages.VERBS)
def test_every_verb_has_a_topic_under_every_name(name: str, verb: str) -> None:
    assert read_envelope(envelope(f"request.{name}.{verb}", {})).verb == verb


@pytest.mark.parametrize(
    ("topic", "verb"),
    [
        ("request.cronos.backup", "create_backup"),
        ("request.cronos.restore", "restore_backup"),
        ("cronos.backup.request", "create_backup"),
        ("cronos.restore.request", "restore_backup"),
    ],
)
def test_older_topics_mean_the_same(topic: str, verb: str) -> None:
    assert read_envelope(envelope(topic, {})).verb == verb


def test_an_unknown_topic_is_refused_with_the_nearest() -> None:
    with pytest.raises(MessageError) as error:
        parse(read_envelope(envelope("request.cronos.create_backups", {})))
    assert "request.cronos.create_backup" in error.value.hint


# --- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "header", "expected"),
    [
        ({"request_id": "own"}, {"correlation_id": "c", "message_id": "m"}, "own"),
        ({}, {"correlation_id": "c", "message_id": "m"}, "c"),
        ({}, {"correlation_id": None, "message_id": "m"}, "m"),
        ({}, {}, ""),
        ({"request_id": 7}, {}, "7"),
    ],
)
def test_a_request_is_known_by_its_own_id_else_by_those_of_the_message(
    payload: dict[str, Any], header: dict[str, Any], expected: str
) -> None:
    assert read_envelope(envelope("request.cronos.get_status", payload, **header)).request_id == expected


@pytest.mark.parametrize("message", [None, 3, [], {}, {"header": 1}, {"header": {"topic": ["x"]}}, {"payload": "x"}])
def test_what_is_no_message_is_read_all_the_same(message: object) -> None:
    asked = read_envelope(message)
    assert (asked.verb, asked.topic, asked.sender) == (None, "", "")


def test_what_a_header_says_is_shortened_and_made_printable() -> None:
    asked = read_envelope({"header": {"topic": "a\nb" + "x" * 500, "sender_node": "\x1b[31mred"}})
    assert asked.topic.startswith("a bxx") and len(asked.topic) == 200
    assert asked.sender == "[31mred"


# --- payloads ---------------------------------------------------------------------------------------------------------


def test_every_key_of_a_backup_reaches_the_request() -> None:
    payload = {
        "name": "nightly",
        "type": "auto",
        "message": "before",
        "description": "two\nlines",
        "labels": ["a"],
        "pinned": True,
        "metadata": {"ticket": {"id": 3}},
        "target_modules": ["ETHIK", "ATLAS"],
        "with_dependencies": True,
        "include_patterns": ["*.py"],
        "exclude_patterns": "*.log",
        "include": ["keep/"],
        "skip_if_unchanged": True,
        "request_id": "r",
        "project": "p",
    }
    assert parsed("create_backup", payload) == SnapshotRequest(
        name="nightly",
        type="auto",
        message="before",
        description="two\nlines",
        labels=("a",),
        pinned=True,
        metadata={"ticket": {"id": 3}},
        modules=("ETHIK", "ATLAS"),
        with_dependencies=True,
        only=("*.py",),
        exclude=("*.log",),
        include=("keep/",),
        skip_if_unchanged=True,
    )


def test_the_words_of_the_oldest_guide_are_understood() -> None:
    request = parsed("create_backup", {"target": "subsystems/ETHIK", "strategy": "incremental", "backup_type": "manual"})
    assert request == SnapshotRequest(modules=("subsystems/ETHIK",))


def test_every_key_of_a_restore_reaches_the_request() -> None:
    payload = {
        "backup_identifier": "latest",
        "restore_target_path": "/srv/x",
        "strategy": "merge",
        "paths": ["a/b", "./c/"],
        "target_modules": ["ETHIK"],
        "with_dependencies": True,
        "base": "latest~2",
        "on_conflict": "both",
        "deletions": "apply",
        "verify": True,
    }
    assert parsed("restore_backup", payload) == RestoreRequest(
        backup="latest",
        target="/srv/x",
        strategy="merge",
        paths=("a/b", "c"),
        modules=("ETHIK",),
        with_dependencies=True,
        base="latest~2",
        on_conflict="both",
        deletions="apply",
        verify=True,
    )


def test_a_restore_goes_to_a_new_location_unless_it_says_otherwise() -> None:
    assert parsed("restore_backup", {"backup_id": "x", "target_path": "/t"}) == RestoreRequest(backup="x", target="/t")


def test_a_list_has_filters_and_pages() -> None:
    request = parsed(
        "list_backups", {"type": "auto", "since": "2026-04-01T12:00:00+02:00", "module": "ETHIK", "limit": 5, "cursor": "x"}
    )
    assert isinstance(request, ListRequest)
    assert (request.limit, request.cursor) == (5, "x")
    assert request.query.types == ("auto",)
    assert request.query.module == "ethik"
    assert request.query.since == datetime(2026, 4, 1, 10, tzinfo=UTC)


def test_a_check_is_of_one_backup_or_of_all() -> None:
    assert parsed("verify_backup", {"backup_identifier": "a", "quick": True}) == VerifyRequest(backups=("a",), quick=True)
    assert parsed("verify_backup", {}) == VerifyRequest()


def test_null_counts_as_not_given() -> None:
    assert parsed("create_backup", {"name": None, "metadata": None}) == SnapshotRequest()
    assert parsed("get_status", {}) == StatusRequest()


@pytest.mark.parametrize(
    "key", ["backup_dir", "store", "config", "auto_push", "hook_failure", "restore_roots", "restore_point", "command", "policy"]
)
@pytest.mark.parametrize("verb", messages.VERBS)
def test_no_message_reaches_the_configuration(verb: str, key: str) -> None:
    assert "knows no key" in refused(verb, {"backup_identifier": "x", key: "/elsewhere"}).message


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    assert refused("create_backup", {"target_module": ["x"]}).hint == "Did you mean target_modules?"


@pytest.mark.parametrize(
    ("verb", "payload", "word"),
    [
        ("create_backup", {"name": 3}, "name must be a text"),
        ("create_backup", {"name": "x" * 201}, "longer than 200"),
        ("create_backup", {"name": "a\nb"}, "cannot be stored"),
        ("create_backup", {"message": "\ud800"}, "cannot be stored"),
        ("create_backup", {"type": "restore-point"}, "restore-point"),
        ("create_backup", {"type": "Loud"}, "lower-case"),
        ("create_backup", {"pinned": "yes"}, "true or false"),
        ("create_backup", {"target_modules": [""]}, "empty"),
        ("create_backup", {"target_modules": {"a": 1}}, "list of texts"),
        ("create_backup", {"labels": ["x"] * 1001}, "more than 1000"),
        ("create_backup", {"metadata": [1]}, "mapping"),
        ("create_backup", {"metadata": {"a": float("nan")}}, "JSON"),
        ("create_backup", {"metadata": {"a": 10**100}}, "JSON"),
        ("create_backup", {"metadata": {"": 1}}, "JSON"),
        ("create_backup", {"strategy": "merge"}, "full, incremental"),
        ("create_backup", {"type": "auto", "backup_type": "manual"}, "contradict"),
        ("create_backup", {"request_id": {}}, "request_id must be a text"),
        ("restore_backup", {}, "needs a backup_identifier"),
        ("restore_backup", {"backup_identifier": " "}, "empty"),
        ("restore_backup", {"backup_identifier": "x", "target_path": "relative"}, "absolute"),
        ("restore_backup", {"backup_identifier": "x", "target_path": "/a\0b"}, "no path has"),
        ("restore_backup", {"backup_identifier": "x", "paths": ["../up"]}, "relative"),
        ("restore_backup", {"backup_identifier": "x", "paths": ["/etc"]}, "relative"),
        ("restore_backup", {"backup_identifier": "x", "strategy": "wipe"}, "one of"),
        ("restore_backup", {"backup_identifier": "x", "on_conflict": ["ours"]}, "one of"),
        ("list_backups", {"limit": 0}, "whole number"),
        ("list_backups", {"limit": True}, "whole number"),
        ("list_backups", {"since": "yesterday"}, "time such as"),
        ("list_backups", {"sort": "colour"}, "one of"),
        ("list_backups", {"metadata": {"a": 1}}, "mapping of texts"),
        ("get_status", {"verbose": True}, "knows no key"),
        ("get_status", [], "no mapping"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(verb: str, payload: Any, word: str) -> None:
    assert word in refused(verb, payload).message


@pytest.mark.parametrize("key", ["import", "restore", "repair"])
def test_metadata_that_cronos_would_believe_cannot_be_sent(key: str) -> None:
    assert key in refused("create_backup", {"metadata": {key: {"target": "/etc"}}}).message


def test_metadata_is_a_copy() -> None:
    inner = {"a": [1]}
    request = parsed("create_backup", {"metadata": inner})
    inner["a"].append(2)
    assert request.metadata == {"a": [1]}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
known_keys = st.sampled_from(sorted({key for keys in messages.KEYS.values() for key in keys} | messages.COMMON_KEYS))


@given(
    topic=st.sampled_from([*messages.REQUEST_TOPICS, *messages.LEGACY_TOPICS, "request.cronos.nothing", ""]) | anything,
    payload=st.dictionaries(known_keys, anything, max_size=4) | anything,
    sender=anything,
)
def test_any_message_is_a_request_or_refused(topic: Any, payload: Any, sender: Any) -> None:
    asked = read_envelope({"header": {"topic": topic, "sender_node": sender, "correlation_id": sender}, "payload": payload})
    json.dumps([asked.topic, asked.sender, asked.request_id, asked.project])
    try:
        request = parse(asked)
    except MessageError as error:
        json.dumps([error.message, error.hint, error.context])
    else:
        assert isinstance(request, messages.Request)
