from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronos_git.git.store import Store
from cronos_git.ops.checkup import check, check_machine, check_policy
from cronos_git.rules.schema import Settings


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "p").mkdir()
    return Store.create(
        tmp_path / "s.git", project_root=str(tmp_path / "p"), created=datetime(2026, 4, 1, tzinfo=UTC), tool_version="1"
    )


def _texts(store: Store) -> dict[str, str]:
    return {found.name: found.text for found in check(Path(store.project_root), store.path)}


def test_machine_is_checked_without_a_project() -> None:
    assert [(found.name, found.ok) for found in check_machine()] == [("git", True), ("deflate", True)]


def test_the_policy_is_told_when_there_is_one_and_that_ethik_needs_a_bus() -> None:
    rules = ({"name": "r", "min_keep": 2},)
    assert check_policy(Settings()) == []
    [told] = check_policy(Settings(policy=rules))
    assert (told.ok, told.text) == (True, "1 rule")
    [told] = check_policy(Settings(policy=rules, ethik="event", bus="nats://box"))
    assert (told.ok, told.text) == (True, "1 rule, ETHIK is asked by event")
    [told] = check_policy(Settings(ethik="topic"))
    assert (told.ok, told.text) == (False, "ETHIK is asked by topic, but there is no bus to reach it by")


def test_store_is_looked_into_only_when_there_is_one(store: Store, tmp_path: Path) -> None:
    assert {"lock", "backups", "leftovers", "journals"} <= _texts(store).keys()
    assert "lock" not in {found.name for found in check(tmp_path, tmp_path / "none.git")}


@pytest.mark.parametrize(("number", "told"), [(1, "1 file of"), (2, "2 files of")])
def test_leftovers_are_counted(store: Store, number: int, told: str) -> None:
    for name in range(number):
        (store.pack_dir / f"pack-{name:040x}.keep").touch()
    assert _texts(store)["leftovers"].startswith(told)


@pytest.mark.parametrize(("number", "told"), [(1, "1 tag is damaged: "), (2, "2 tags are damaged: ")])
def test_damaged_tags_are_counted(store: Store, number: int, told: str) -> None:
    refs = store.path / "refs/tags/backup"
    refs.mkdir(parents=True, exist_ok=True)
    for day in range(number):
        (refs / f"b_2026040{day + 1}_100000").write_text("1" * 40 + "\n")
    assert _texts(store)["backups"].startswith(told)
