"""Words that are empty, as an unset shell variable makes them: wrong usage, and nothing is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronos_git.errors import UsageError
from cronos_git.model import AmendRequest, ImportRequest, Query, SnapshotRequest
from cronos_git.rules.requests import check_query, check_snapshot
from tests.cli.test_transcripts import World


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    made = World(tmp_path, capsys)
    made.write({"f": "x"})
    return made


@pytest.fixture
def one(world: World) -> World:
    """A world with one backup."""
    assert world("create").status == 0
    return world


@pytest.mark.parametrize("nothing", ["", " "])
@pytest.mark.parametrize(
    "words",
    [
        ("create", "{}"),
        ("create", "--label", "{}"),
        ("create", "--label", "good", "--label", "{}"),
        ("create", "--type", "{}"),
        ("create", "--meta", "{}"),
        ("create", "--meta", "{}=1"),
        ("create", "-n", "--label", "{}"),
        ("import", ".", "--name", "{}", "--created", "2024-01-01"),
        ("import", ".", "--label", "{}", "--created", "2024-01-01"),
        ("label", "add", "{}", "latest"),
        ("label", "remove", "{}", "latest"),
        ("describe", "latest", "--meta", "{}=1"),
        ("describe", "latest", "--unset", "{}"),
        ("list", "--name", "{}"),
        ("list", "--label", "{}"),
        ("list", "--type", "{}"),
        ("list", "--meta", "{}"),
        ("find", "*", "--label", "{}"),
    ],
)
def test_a_name_of_nothing_is_wrong_usage_with_a_hint(one: World, words: tuple[str, ...], nothing: str) -> None:
    told = one(*(word.format(nothing) for word in words))
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith("error: ")
    assert "\nhint: " in told.err
    assert len(one("list", "-q").out.split()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("create", "--module", ""),
        ("list", "--module", ""),
        ("list", "--contains", ""),
        ("import", ""),
        ("-C", "", "list"),
        ("list", "--backup-dir", ""),
        ("list", "--config="),
    ],
)
def test_an_empty_place_is_wrong_usage_and_not_the_working_directory(one: World, words: tuple[str, ...]) -> None:
    told = one(*words)
    assert (told.status, told.out) == (2, "")
    assert "empty" in told.err


def test_an_empty_message_still_asks_for_the_name(one: World) -> None:
    assert one("create", "third", "-m", "", "--description", "").status == 0
    assert one.json("show", "latest")[0]["backup"]["message"] == "third"


@pytest.mark.parametrize("nothing", ["", " ", "\t\n\udcff", "\u200b \ufeff"])
def test_the_library_refuses_them_before_it_makes_a_store(world: World, nothing: str) -> None:
    engine = world.open_engine()
    for request in (
        SnapshotRequest(name=nothing),
        SnapshotRequest(type=nothing),
        SnapshotRequest(labels=("a", nothing)),
        SnapshotRequest(metadata={nothing: 1}),
    ):
        with pytest.raises(UsageError, match="cannot be empty"):
            engine.snapshot(request)
        with pytest.raises(UsageError, match="cannot be empty"):
            engine.plan_snapshot(request)
    with pytest.raises(UsageError, match="cannot be empty"):
        engine.import_(ImportRequest(path=str(engine.project), labels=(nothing,)))
    assert not engine.store_path.exists()
    with pytest.raises(UsageError, match="cannot be empty"):
        check_query(Query(metadata={nothing: "x"}))


def test_the_library_refuses_an_empty_key_for_a_backup_that_is_there(one: World) -> None:
    with pytest.raises(UsageError, match="key of metadata cannot be empty"):
        one.open_engine().amend(AmendRequest(backups=("latest",), metadata={" ": 1}))


def test_a_request_that_says_nothing_at_all_is_fine() -> None:
    check_snapshot(SnapshotRequest())
    check_query(Query(module="a", name="*", types=("manual",)))
