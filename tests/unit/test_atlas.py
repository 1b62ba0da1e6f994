from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cronos_git import bootstrap
from cronos_git.errors import BusError
from cronos_git.events import Noticed, Run
from cronos_git.integrations.atlas import METADATA, RELATIONSHIP, AtlasEnricher, messages
from cronos_git.model import Backup, Scope, SnapshotRequest
from tests.support.engine import make_engine

ALLOWED = {"depends_on", "contains", "calls", "implements", "extends", "uses"}


class Listening:
    """Peers among which ATLAS gives these answers in turn; None is silence."""

    def __init__(self, *answers: Mapping[str, Any] | None) -> None:
        self.answers = list(answers)
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.waited_s: list[float] = []

    def ask(self, node: str, topic: str, payload: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any] | None:
        raise AssertionError("the cartographer is told by events")

    def ask_by_event(
        self, topic: str, payload: Mapping[str, Any], answers: tuple[str, ...], timeout_s: float
    ) -> Mapping[str, Any] | None:
        self.waited_s.append(timeout_s)
        self.told.append((topic, payload))
        return self.answers.pop(0) if self.answers else {"status": "success"}

    def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        self.told.append((topic, payload))


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    engine = make_engine(tmp_path)
    (engine.project / "a").write_text("1")
    return engine.snapshot(SnapshotRequest(name="deploy", labels=("v1",), metadata={"ticket": 7})).backup


def relations(told: list[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, str, str]]:
    return [(one["source"], one["type"], one["target"]) for topic, one in told if topic == RELATIONSHIP]


def test_a_backup_of_the_project_is_told_with_what_it_is_and_where_it_belongs(backup: Backup) -> None:
    peers = Listening()
    AtlasEnricher(peers, project="site", timeout_s=5).backup_made(backup, Scope())
    topic, payload = peers.told[0]
    assert (topic, payload["component"], payload["source"]) == (METADATA, backup.id, "CRONOS")
    assert payload["timestamp"] == payload["metadata"]["created_at"] == "2040-01-01T12:00:00+00:00"
    metadata = payload["metadata"]
    assert (metadata["file_count"], metadata["size_bytes"], metadata["labels"]) == (1, 1, ["v1"])
    assert (metadata["metadata"], metadata["commit"]) == ({"ticket": 7}, backup.commit)
    assert relations(peers.told) == [("CRONOS", "contains", backup.id), (backup.id, "uses", "site")]


def test_a_backup_of_modules_relates_them_to_the_project_and_to_itself(backup: Backup) -> None:
    peers = Listening()
    scope = Scope(name="atlas+ethik", paths=("subsystems/ATLAS", "subsystems/ETHIK"))
    AtlasEnricher(peers, project="site", timeout_s=5).backup_made(backup, scope)
    assert relations(peers.told) == [
        ("CRONOS", "contains", backup.id),
        ("site", "contains", "subsystems/ATLAS"),
        (backup.id, "uses", "subsystems/ATLAS"),
        ("site", "contains", "subsystems/ETHIK"),
        (backup.id, "uses", "subsystems/ETHIK"),
    ]
    kinds = [payload["metadata"].get("type") for topic, payload in peers.told if topic == RELATIONSHIP]
    assert kinds == ["physical", "logical", None, "logical", None]


def test_whatever_a_backup_is_called_atlas_s_limits_hold(backup: Backup) -> None:
    hostile = replace(
        backup,
        message="https://me:secret@example.org",
        description="line\nline \udcff",
        metadata={"log": "x" * 200_000, "caf\udce9": ["\udcff"]},
        labels=("\u202e",),
    )
    long = "d/" * 200
    scope = Scope(name="m", paths=(f"{long}a", f"{long}b", "caf\udce9\n"))
    told = list(messages(hostile, scope, "p" * 300))
    names = {name for _, one in told for name in (one.get("component"), one.get("source"), one.get("target")) if name}
    assert len(names) == 1 + 1 + 1 + 3
    assert all(len(name) <= 255 and name.isprintable() for name in names)
    assert {one["type"] for topic, one in told if topic == RELATIONSHIP} <= ALLOWED
    assert all(one["metadata"]["type"] for _, one in told if one.get("type") == "contains")
    metadata = told[0][1]["metadata"]
    assert len(json.dumps(metadata).encode()) <= 102_400
    assert (metadata["left_out"], metadata["message"]) == (["metadata"], "https://me:***@example.org")
    assert metadata["description"] == "line\nline \\udcff"
    json.dumps(told, ensure_ascii=False).encode()


def test_after_one_silence_the_rest_is_told_without_waiting(backup: Backup) -> None:
    peers = Listening(None)
    with pytest.raises(BusError, match="no answer within 5 seconds"):
        AtlasEnricher(peers, project="site", timeout_s=5).backup_made(backup, Scope())
    assert len(peers.waited_s) == 1
    assert relations(peers.told) == [("CRONOS", "contains", backup.id), (backup.id, "uses", "site")]


def test_all_messages_have_one_time_box(backup: Backup) -> None:
    peers = Listening()
    AtlasEnricher(peers, project="site", timeout_s=5).backup_made(backup, Scope())
    assert peers.waited_s[0] <= 5
    assert peers.waited_s == sorted(peers.waited_s, reverse=True)


def test_a_refusal_is_told_in_atlas_s_words_and_the_rest_is_told_to_it(backup: Backup) -> None:
    peers = Listening({"status": "error", "error": "component unknown"})
    with pytest.raises(BusError, match="component unknown"):
        AtlasEnricher(peers, project="site", timeout_s=5).backup_made(backup, Scope())
    assert len(peers.told) == 3


class Recording:
    """An enricher that keeps what it hears, and whether the store was free then."""

    name = "ATLAS"

    def __init__(self, engine: Any, *, fails: bool = False) -> None:
        self.engine = engine
        self.fails = fails
        self.heard: list[tuple[str, str]] = []

    def backup_made(self, backup: Backup, scope: Scope) -> None:
        with self.engine.store.lock():
            self.heard.append((backup.id, scope.name))
        if self.fails:
            raise BusError("Nobody is there.")


def test_enrichers_hear_of_each_backup_once_it_is_durable_and_the_store_is_free(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    (engine.project / "m").mkdir()
    (engine.project / "m" / "a").write_text("1")
    recording = Recording(engine)
    engine.enrichers = (recording,)
    one = engine.snapshot(SnapshotRequest()).backup
    engine.snapshot(SnapshotRequest(skip_if_unchanged=True))
    two = engine.snapshot(SnapshotRequest(modules=("m",))).backup
    assert recording.heard == [(one.id, "project"), (two.id, "m")]


def test_an_enricher_that_fails_is_a_notice_and_the_backup_stands(tmp_path: Path) -> None:
    engine, told = make_engine(tmp_path), list[object]()
    (engine.project / "a").write_text("1")
    engine.enrichers = (Recording(engine, fails=True),)
    report = engine.snapshot(SnapshotRequest(), Run(emit=told.append))
    assert [backup.id for backup in engine.backups()] == [report.backup.id]
    assert [(one.level, one.code) for one in told if isinstance(one, Noticed)] == [("warning", "backup.untold")]


@pytest.mark.parametrize(("wanted", "has_peers"), [(True, True), (True, False), (False, True)])
def test_atlas_is_told_when_the_configuration_wants_it_and_there_is_a_bus(tmp_path: Path, wanted: bool, has_peers: bool) -> None:
    project = tmp_path / "site"
    project.mkdir()
    peers = Listening()
    engine = bootstrap.open_engine(
        project=str(project),
        backup_dir=str(tmp_path / "stores"),
        overrides={"atlas": wanted},
        peers=peers if has_peers else None,
    )
    engine.snapshot(SnapshotRequest())
    assert bool(peers.told) == (wanted and has_peers)
    assert all(target == "site" for _, kind, target in relations(peers.told) if kind == "uses")
