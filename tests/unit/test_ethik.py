"""ETHIK asked in each documented way, and each answer that it, or something in its place, could give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from cronos_git import bootstrap
from cronos_git.errors import PolicyDeniedError
from cronos_git.integrations.ethik import BothGates, EthikGate, ValidatorGate, Way, context_of, verdict_of
from cronos_git.model import Action, SnapshotRequest, Verdict
from cronos_git.rules.policy import RuleGate, parse_rules

ACTION = Action(verb="restore", project="/srv/site", face="cli", backups=("b1",), target="/srv/site", strategy="replace")
WAYS = get_args(Way)
FORBIDDEN = RuleGate(parse_rules([{"name": "never", "forbid": True, "on": "restore"}]))

Payload = Mapping[str, Any]


class StandIn:
    """Peers with an ETHIK that gives the same answer always, to requests, to events, or to both; keeps what it was asked."""

    def __init__(self, answer: Payload | None = None, *, by_event: Payload | None = None, echoes: bool = False) -> None:
        self.answer = answer
        self.by_event = answer if by_event is None else by_event
        self.echoes = echoes
        self.asked: list[tuple[str, Payload, tuple[str, ...]]] = []

    def ask(self, node: str, topic: str, payload: Payload, timeout_s: float) -> Payload | None:
        self.asked.append((f"{node} {topic}", payload, ()))
        return {"status": "SUCCESS", "echo": payload} if self.echoes else self.answer

    def ask_by_event(self, topic: str, payload: Payload, answers: tuple[str, ...], timeout_s: float) -> Payload | None:
        self.asked.append((topic, payload, answers))
        return {**payload, "request_id": "1"} if self.echoes else self.by_event

    def publish(self, topic: str, payload: Payload) -> None:
        raise AssertionError("nothing is to be told")


def ask(way: Way, peers: StandIn | None) -> Verdict:
    return EthikGate(peers, way, timeout_s=3).judge(ACTION)


# --- asking -----------------------------------------------------------------------------------------------------------


def test_each_way_asks_on_its_topics() -> None:
    asked = {}
    for way in WAYS:
        peers = StandIn({"valid": True, "is_valid": True})
        assert ask(way, peers).decision == "allowed"
        asked[way] = [(topic, answers) for topic, _, answers in peers.asked]
    assert asked == {
        "topic": [("ethik.validate.request", ("ethik.validate.result",))],
        "event": [("event.CRONOS.action_proposed", ("response.validation.{request_id}", "event.ethik.block"))],
        "request": [("ETHIK_SERVICE request.ethik.validate", ())],
    }


def test_the_action_is_told_in_texts_with_a_path_always() -> None:
    for verb, target in (("create", "/srv/site"), ("restore", "/out"), ("delete", "")):
        context = context_of(Action(verb=verb, project="/srv/site", face="cli", target=target))  # type: ignore[arg-type]
        assert all(isinstance(value, str) for value in context.values())
        assert context["target_path"] == (target or "/srv/site")
        assert context["action_type"] == f"backup_{verb}"
        assert context["source_component"] == "CRONOS"
        assert context["component_type"] == ("standard" if verb == "create" else "critical")
    json.dumps(context_of(Action(verb="delete", project="/srv/\udcff", face="cli"))).encode()


def test_by_topic_the_action_stands_beside_its_context() -> None:
    peers = StandIn({"valid": True})
    ask("topic", peers)
    [(_, question, _)] = peers.asked
    assert (question["action"], question["context"]["target_path"]) == ("backup_restore", "/srv/site")


def test_a_request_without_a_verdict_in_its_reply_is_asked_as_an_event_too() -> None:
    for reply in (None, {"status": "SUCCESS", "accepted": True}):
        peers = StandIn(reply, by_event={"is_valid": False, "details": ["no"]})
        assert ask("request", peers).decision == "blocked"
        assert [topic for topic, _, _ in peers.asked] == ["ETHIK_SERVICE request.ethik.validate", "request.ethik.validate"]
        assert peers.asked[1][2] == ("response.validation.{request_id}",)


@pytest.mark.parametrize("way", WAYS)
def test_a_rehearsal_is_told_to_nobody(way: Way) -> None:
    peers = StandIn()
    rehearsed = Action(verb="delete", project="/p", face="cli", is_rehearsal=True)
    assert EthikGate(peers, way, timeout_s=1).judge(rehearsed).decision == "allowed"
    assert not peers.asked


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        # in the form of ethik.validate.result
        ({"request_id": "1", "action": "backup_restore", "valid": True, "score": 1.0, "details": ""}, "allowed"),
        ({"request_id": "1", "action": "backup_restore", "valid": False, "score": 0.1, "details": "no"}, "blocked"),
        ({"request_id": "1", "action": "warn", "valid": False}, "allowed"),
        ({"request_id": "1", "action": "block", "valid": True}, "blocked"),
        ({"request_id": "1", "valid": True, "results": [{"is_valid": False, "action": "block"}]}, "blocked"),
        ({"request_id": "1", "valid": True, "results": [{"is_valid": False}]}, "allowed"),
        ({"request_id": "1", "status": "error", "error": "no rules"}, "unchecked"),
        # in that of response.validation.<id>
        ({"type": "validation_response", "reference_id": "1", "validation": {"is_valid": True, "action": "log"}}, "allowed"),
        ({"reference_id": "1", "validation": {"is_valid": False, "action": "log"}}, "allowed"),
        ({"reference_id": "1", "validation": {"is_valid": False, "action": "warn"}}, "allowed"),
        ({"reference_id": "1", "validation": {"is_valid": False, "action": "block"}}, "blocked"),
        ({"reference_id": "1", "validation": {"is_valid": False, "action": "explode"}}, "blocked"),
        ({"reference_id": "1", "validation": {"is_valid": False}}, "blocked"),
        ({"type": "validation_error", "reference_id": "1", "error": "max() of an empty list"}, "unchecked"),
        # event.ethik.block
        ({"reference_id": "1", "reason": "a critical file", "timestamp": "now"}, "blocked"),
        # in that of the README
        ({"is_valid": True, "details": []}, "allowed"),
        ({"is_valid": False, "details": ["one", "two"]}, "blocked"),
        # no verdict at all
        ({}, "unchecked"),
        ({"status": "SUCCESS"}, "unchecked"),
        ({"status": "SUCCESS", "echo": {"is_valid": True}}, "unchecked"),
        ({"valid": "true"}, "unchecked"),
        ({"valid": 1}, "unchecked"),
        ({"is_valid": None}, "unchecked"),
        ({"validation": "yes", "score": 1.0}, "unchecked"),
        ({"validation": ["is_valid"]}, "unchecked"),
        ({"valid": True, "is_valid": False}, "unchecked"),
        ({"valid": True, "error": "but something went wrong"}, "unchecked"),
        ({"is_valid": True, "status": "ERROR", "error_message": "?"}, "unchecked"),
        ({"reason": "no reference"}, "unchecked"),
    ],
)
def test_only_a_boolean_is_a_verdict(answer: dict[str, Any], decision: str) -> None:
    assert verdict_of(answer).decision == decision


@pytest.mark.parametrize("way", WAYS)
def test_an_echo_silence_and_a_missing_bus_are_no_verdict(way: Way) -> None:
    for peers, text, hint in (
        (StandIn(echoes=True), "ETHIK answered, but gave no verdict.", "log"),
        (StandIn(None), "ETHIK gave no answer.", f'`ethik = "{way}"`'),
        (None, "ETHIK is to be asked, but there is no way to it.", "Set `bus`"),
    ):
        verdict = ask(way, peers)
        assert (verdict.decision, verdict.text) == ("unchecked", text)
        assert hint in verdict.hint


def test_the_rules_that_ethik_names_are_told_each_with_what_comes_of_it() -> None:
    results = [
        {"rule_id": "validate-001", "is_valid": False, "action": "warn", "details": "config\n\x1b[31m"},
        {"rule_id": "validate-002", "is_valid": True, "action": "log"},
        {"rule_id": "validate-003", "is_valid": False},
        "nonsense",
    ]
    verdict = verdict_of({"reference_id": "1", "validation": {"is_valid": False, "action": "warn", "results": results}})
    assert verdict.decision == "allowed"
    told = [(violation.rule, violation.action, violation.text) for violation in verdict.violations]
    assert told == [
        ("ETHIK validate-001", "warn", "config\\n\\x1b[31m"),
        ("ETHIK validate-003", "warn", "it finds this invalid"),
    ]
    results[2]["action"] = "block"  # type: ignore[index]
    assert verdict_of({"validation": {"is_valid": False, "action": "warn", "results": results}}).decision == "blocked"


def test_what_ethik_tells_is_bounded() -> None:
    results = [{"rule_id": "r" * 9999, "is_valid": False, "details": "x" * 9999}] * 999
    for answer in ({"validation": {"is_valid": False, "results": results}}, {"reference_id": "1", "reason": "\x1b" * 9999}):
        verdict = verdict_of(answer)
        assert sum(len(violation.rule + violation.text) for violation in verdict.violations) <= 20 * 700
        assert all(violation.text.isprintable() for violation in verdict.violations)
        assert "log" in verdict.hint


# --- in the same process ----------------------------------------------------------------------------------------------


def test_a_validator_in_the_same_process_is_asked_whether_it_is_async_or_not() -> None:
    seen: list[Any] = []

    def validate(context: dict[str, Any], params: dict[str, Any]) -> Any:
        seen.append((context, params))
        taken = "block" if context["target_path"] == "/srv/site" else "log"
        return SimpleNamespace(is_valid=taken == "log", action_taken=taken, details="no", rule_id="validation_summary")

    async def validate_later(context: dict[str, Any], params: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return validate(context, params)

    for validator in (validate, validate_later):
        gate = ValidatorGate(validator, asyncio.run)
        verdict = gate.judge(ACTION)
        assert verdict.decision == "blocked"
        assert verdict.violations[0].rule == "ETHIK validation_summary"
        assert gate.judge(Action(verb="create", project="/other", face="library")).decision == "allowed"
    assert seen[0] == (context_of(ACTION), {})


@pytest.mark.parametrize("result", [None, True, "yes", {}, {"valid": "yes"}, SimpleNamespace(is_valid=None)])
def test_a_validator_that_says_nothing_clear_gives_no_verdict(result: Any) -> None:
    assert ValidatorGate(lambda _context, _params: result, asyncio.run).judge(ACTION).decision == "unchecked"


def test_a_validator_that_fails_gives_no_verdict() -> None:
    def broken(_context: dict[str, Any], _params: dict[str, Any]) -> Any:
        raise KeyError("rules")

    verdict = ValidatorGate(broken, asyncio.run).judge(ACTION)
    assert (verdict.decision, verdict.text) == ("unchecked", "ETHIK's validator failed: 'rules'.")


# --- both gates -------------------------------------------------------------------------------------------------------


def test_ethik_is_not_asked_about_what_the_rules_block() -> None:
    peers = StandIn({"valid": True})
    verdict = BothGates(FORBIDDEN, EthikGate(peers, "topic", timeout_s=1)).judge(ACTION)
    assert (verdict.decision, verdict.gate, peers.asked) == ("blocked", "rules", [])


def test_what_the_rules_allow_ethik_can_block_or_leave_unchecked() -> None:
    warning = RuleGate(parse_rules([{"name": "careful", "forbid": True, "on": "restore", "action": "warn"}]))
    for answer, decision in (({"valid": True}, "allowed"), ({"valid": False}, "blocked"), (None, "unchecked")):
        verdict = BothGates(warning, EthikGate(StandIn(answer), "topic", timeout_s=1)).judge(ACTION)
        assert (verdict.decision, verdict.gate) == (decision, "rules and ETHIK")
        assert verdict.violations[0].rule == "careful"


# --- from the configuration -------------------------------------------------------------------------------------------


def engine(tmp_path: Path, **overrides: object) -> Any:
    peers = overrides.pop("peers", None)
    (tmp_path / "site").mkdir(exist_ok=True)
    settings = {"backup_dir": str(tmp_path / "stores"), **overrides}
    return bootstrap.open_engine(project=str(tmp_path / "site"), overrides=settings, peers=peers)  # type: ignore[arg-type]


def test_there_is_a_gate_only_when_the_configuration_wants_one(tmp_path: Path) -> None:
    rules = [{"name": "r", "targets": ["~/out"]}]
    assert engine(tmp_path).gate is None
    assert isinstance(engine(tmp_path, policy=rules).gate, RuleGate)
    assert isinstance(engine(tmp_path, ethik="topic").gate, EthikGate)
    assert isinstance(engine(tmp_path, ethik="topic", policy=rules).gate, BothGates)


def test_the_way_to_the_peers_is_only_asked_for_when_it_is_wanted(tmp_path: Path) -> None:
    asked: list[object] = []

    def way(settings: Any) -> StandIn:
        asked.append(settings.ethik)
        return StandIn({"valid": True})

    engine(tmp_path, peers=way)
    assert not asked
    assert engine(tmp_path, peers=way, ethik="event").gate.judge(ACTION).decision == "allowed"
    assert asked == ["event"]


def test_targets_are_real_paths_below_the_users_home(tmp_path: Path, hermetic: Path) -> None:
    (tmp_path / "real").mkdir()
    (hermetic / "out").symlink_to(tmp_path / "real")
    gate = engine(tmp_path, policy=[{"name": "r", "targets": ["~/out"]}]).gate
    restore: Any = {"verb": "restore", "project": str(tmp_path / "site"), "face": "cli", "strategy": "new_location"}
    assert gate.judge(Action(**restore, target=str(tmp_path / "real" / "x"))).decision == "allowed"
    assert gate.judge(Action(**restore, target=str(tmp_path / "x"))).decision == "blocked"


def test_without_a_bus_backups_go_on_and_deletions_do_not(tmp_path: Path) -> None:
    alone = engine(tmp_path, ethik="request")
    made = alone.snapshot(SnapshotRequest()).backup
    with pytest.raises(PolicyDeniedError, match="there is no way to it") as denied:
        alone.delete([made.id])
    assert "Set `bus`" in denied.value.hint
