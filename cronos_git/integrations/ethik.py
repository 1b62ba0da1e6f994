"""ETHIK: asked for its verdict, in each of the ways that EGOS documents, or in the same process.

An answer counts when it says in so many words whether the action is valid: a boolean under `valid` or `is_valid`. An echo, an
error, silence or anything else is no verdict, and what follows from that is the engine's to say. An action that ETHIK finds
invalid is blocked, unless it says itself that it only warns or logs. Floor F8.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, cast, get_args

from cronos_git.model import Action, PolicyDecision, RuleAction, Verdict, Violation
from cronos_git.ports import Peers, PolicyGate
from cronos_git.rules.policy import strictest
from cronos_git.rules.visible import visible

Way = Literal["topic", "event", "request"]
Answer = Mapping[str, Any]

GATE = "ETHIK"
NODE = "ETHIK_SERVICE"
SOURCE = "CRONOS"
TOPIC_REQUEST, TOPIC_RESULT = "ethik.validate.request", "ethik.validate.result"
EVENT_PROPOSED, EVENT_BLOCK = "event.CRONOS.action_proposed", "event.ethik.block"
REQUEST, RESPONSE = "request.ethik.validate", "response.validation.{request_id}"

_NAME_CHARACTERS = 100
_DETAILS_CHARACTERS = 500
_MOST_RESULTS = 20


class EthikGate:
    """Asks ETHIK over the Mycelium; implements `ports.PolicyGate`.

    Args:
        peers: The way to it; None when there is none, so that no verdict can be had.
        way: `topic`: event `ethik.validate.request`, answered by `ethik.validate.result`. `event`: event
            `event.CRONOS.action_proposed`, answered by `response.validation.<id>`, or `event.ethik.block`. `request`: request
            `request.ethik.validate`, answered by its reply or by `response.validation.<id>`.
        timeout_s: How long to wait for a verdict in all.
    """

    def __init__(self, peers: Peers | None, way: Way, *, timeout_s: float) -> None:
        self._peers = peers
        self._way = way
        self._timeout_s = timeout_s

    def judge(self, action: Action) -> Verdict:
        """What ETHIK says of *action*; a rehearsal it is not asked about."""
        if action.is_rehearsal:
            return Verdict(decision="allowed", gate=GATE)
        if self._peers is None:
            return _unchecked("ETHIK is to be asked, but there is no way to it.", 'Set `bus`, or `ethik` to "off".')
        began_s = time.monotonic()
        answer = _ASKING[self._way](self._peers, action, self._timeout_s)
        if answer is None:
            took = f" within {self._timeout_s:g} s" if time.monotonic() - began_s >= self._timeout_s else ""
            hint = f'See that ETHIK can be reached, and listens as `ethik = "{self._way}"` wants it; or set that to "off".'
            return _unchecked(f"ETHIK gave no answer{took}.", hint)
        return verdict_of(answer)


class ValidatorGate:
    """Asks a validator in the same process, such as EGOS's `EthikValidator`; implements `ports.PolicyGate`.

    Args:
        validate_action: Takes the context of an action and parameters, both mappings; it may be a coroutine function.
        wait: Runs what a coroutine function gave to its end, such as `asyncio.run`.
    """

    def __init__(self, validate_action: Callable[[dict[str, Any], dict[str, Any]], Any], wait: Callable[[Any], Any]) -> None:
        self._validate_action = validate_action
        self._wait = wait

    def judge(self, action: Action) -> Verdict:
        """What the validator says of *action*; a rehearsal it is not asked about."""
        if action.is_rehearsal:
            return Verdict(decision="allowed", gate=GATE)
        try:
            result = self._validate_action(context_of(action), {})
            if hasattr(result, "__await__"):
                result = self._wait(result)
        except Exception as error:  # whatever a foreign validator raises: there is no verdict
            return _unchecked(f"ETHIK's validator failed: {visible(str(error))}.", "See what its log tells.")
        said = result if isinstance(result, Mapping) else {name: getattr(result, name, None) for name in _RESULT_NAMES}
        return verdict_of(said)


_RESULT_NAMES = ("is_valid", "action_taken", "details", "rule_id")


class BothGates:
    """Two gates, the strictest of which decides; the second is not asked about what the first blocks."""

    def __init__(self, first: PolicyGate, second: PolicyGate) -> None:
        self._first = first
        self._second = second

    def judge(self, action: Action) -> Verdict:
        """What both say of *action*."""
        verdict = self._first.judge(action)
        return verdict if verdict.decision == "blocked" else strictest(verdict, self._second.judge(action))


# --- asking -------------------------------------------------------------------------------------------------------


def context_of(action: Action) -> dict[str, Any]:
    """What ETHIK's rules look at. All texts: a rule about a path fails on anything else."""
    return {
        "action_type": f"backup_{action.verb}",
        "source_component": SOURCE,
        "target_path": visible(action.target or action.project),
        "component_type": "standard" if action.verb == "create" else "critical",
        "status": "proposed",
        "project": visible(action.project),
        "strategy": action.strategy,
        "backups": " ".join(action.backups),
        "face": action.face,
    }


def _ask_by_topic(peers: Peers, action: Action, timeout_s: float) -> Answer | None:
    context = context_of(action)
    question = {"action": context["action_type"], "context": context, "priority": "HIGH", "timeout": timeout_s}
    return peers.ask_by_event(TOPIC_REQUEST, question, (TOPIC_RESULT,), timeout_s)


def _ask_by_event(peers: Peers, action: Action, timeout_s: float) -> Answer | None:
    return peers.ask_by_event(EVENT_PROPOSED, context_of(action), (RESPONSE, EVENT_BLOCK), timeout_s)


def _ask_by_request(peers: Peers, action: Action, timeout_s: float) -> Answer | None:
    """Ask a node and, where its reply is no verdict, those who listen to the topic; half of the time each, at most."""
    end = time.monotonic() + timeout_s
    reply = peers.ask(NODE, REQUEST, context_of(action), timeout_s / 2)
    if reply is not None and _valid(reply) is not None:
        return reply
    return peers.ask_by_event(REQUEST, context_of(action), (RESPONSE,), max(end - time.monotonic(), 0.0)) or reply


_ASKING: Mapping[Way, Callable[[Peers, Action, float], Answer | None]] = {
    "topic": _ask_by_topic,
    "event": _ask_by_event,
    "request": _ask_by_request,
}


# --- what an answer says ------------------------------------------------------------------------------------------


def verdict_of(answer: Answer) -> Verdict:
    """The verdict in an answer of any of the documented forms."""
    if isinstance(answer.get("reason"), str) and "reference_id" in answer:  # `event.ethik.block`, which says no more
        return _invalid("block", (_violation("", "block", _text(answer["reason"])),))
    valid, error = _valid(answer), answer.get("error")
    if valid is None or (valid and (error or str(answer.get("status", "")).upper() == "ERROR")):
        what = f"answered with an error: {_text(error)}" if error else "answered, but gave no verdict"
        return _unchecked(f"ETHIK {what}.", "See what its log tells.")
    said = _said(answer)
    action = _action(said)
    found = tuple(_failed(said, action))
    if valid and action != "block" and not found:
        return Verdict(decision="allowed", gate=GATE)
    return _invalid(action, found or (_violation(str(said.get("rule_id", "")), action, _text(said.get("details"))),))


def _said(answer: Answer) -> Answer:
    """The part of an answer that the verdict stands in."""
    inner = answer.get("validation")
    return inner if isinstance(inner, Mapping) else answer


def _valid(answer: Answer) -> bool | None:
    """Whether ETHIK finds the action valid; None when it does not say so."""
    said = _said(answer)
    found = {said[key] for key in ("is_valid", "valid") if isinstance(said.get(key), bool)}
    return found.pop() if len(found) == 1 else None


def _action(said: Answer) -> RuleAction:
    """What ETHIK wants to come of it; to block, where it says nothing that is known."""
    return _word(said) or ("log" if _valid(said) else "block")


def _word(said: Answer) -> RuleAction | None:
    found: Any = next((said[key] for key in ("action_taken", "action") if said.get(key) in get_args(RuleAction)), None)
    return cast("RuleAction | None", found)


def _failed(said: Answer, default: RuleAction) -> Iterator[Violation]:
    """The rules that it found violated, if it tells them."""
    results = said.get("results")
    for result in results[:_MOST_RESULTS] if isinstance(results, list) else ():
        if isinstance(result, Mapping) and result.get("is_valid") is False:
            yield _violation(str(result.get("rule_id", "")), _word(result) or default, _text(result.get("details")))


def _violation(rule: str, action: RuleAction, text: str) -> Violation:
    named = f"{GATE} {visible(rule)[:_NAME_CHARACTERS]}".rstrip()
    return Violation(rule=named, action=action, text=text or "it finds this invalid")


def _invalid(action: RuleAction, violations: tuple[Violation, ...]) -> Verdict:
    is_blocked = action == "block" or any(violation.action == "block" for violation in violations)
    decision: PolicyDecision = "blocked" if is_blocked else "allowed"
    hint = "ETHIK's own rules say so; see what its log tells." if is_blocked else ""
    return Verdict(decision=decision, gate=GATE, text="ETHIK finds it invalid.", hint=hint, violations=violations)


def _unchecked(text: str, hint: str) -> Verdict:
    return Verdict(decision="unchecked", gate=GATE, text=text, hint=hint)


def _text(value: object) -> str:
    """What ETHIK has to tell, in one line of bounded length."""
    listed = value if isinstance(value, list) else [value]
    return visible("; ".join(str(item) for item in listed if item))[:_DETAILS_CHARACTERS]
