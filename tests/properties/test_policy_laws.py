"""What holds for any rules, and for any content."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cronos_git.model import Action, Touched, Verdict
from cronos_git.rules import secrets
from cronos_git.rules.policy import RuleGate, parse_rules, strictest

SECRET = b"AKIA" + b"ABCDEFGHIJKLMNOP"
FORMS = secrets.parse_forms([secrets.COMMON])

names = st.sampled_from(["a", "b", "key.pem", "config", "\udcff"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
patterns = st.sampled_from(["a", "b/", "*.pem", "config/*", "/a/b", "**/config", "!a", "a/**/b"])
several = st.lists(patterns, min_size=1, max_size=3).filter(lambda some: not some[0].startswith("!"))
rules = st.fixed_dictionaries({"paths": several, "action": st.sampled_from(["block", "warn", "log"])})
RANK = {"blocked": 0, "unchecked": 1, "allowed": 2}


def gate(drawn: list[dict[str, Any]]) -> RuleGate:
    return RuleGate(parse_rules([{"name": str(number), **keys} for number, keys in enumerate(drawn)]))


def overwriting(touched: list[str]) -> Action:
    return Action(
        verb="restore",
        project="/p",
        face="cli",
        target="/p",
        strategy="overwrite",
        touched=lambda: [Touched(path=path, size_bytes=0) for path in touched],
    )


@given(st.lists(rules, max_size=4), rules, st.lists(paths, max_size=5))
def test_one_more_rule_never_makes_a_verdict_milder(
    drawn: list[dict[str, Any]], more: dict[str, Any], touched: list[str]
) -> None:
    before, after = (gate(some).judge(overwriting(touched)) for some in (drawn, [*drawn, more]))
    assert RANK[after.decision] <= RANK[before.decision]
    assert after.violations[: len(before.violations)] == before.violations


@given(st.lists(rules, max_size=4), st.lists(paths, max_size=5))
def test_blocked_is_what_a_blocking_rule_is_violated_by(drawn: list[dict[str, Any]], touched: list[str]) -> None:
    verdict = gate(drawn).judge(overwriting(touched))
    assert (verdict.decision == "blocked") == any(violation.action == "block" for violation in verdict.violations)


@given(st.lists(patterns.filter(lambda pattern: not pattern.startswith("!")), min_size=1, max_size=3), paths, paths)
def test_what_lies_below_a_protected_path_is_protected(protecting: list[str], above: str, below: str) -> None:
    judging = gate([{"paths": protecting, "action": "block"}])
    if judging.judge(overwriting([above])).violations:
        assert judging.judge(overwriting([f"{above}/{below}"])).violations


verdicts = st.builds(Verdict, decision=st.sampled_from(["blocked", "unchecked", "allowed"]), gate=st.just("g"))


@given(verdicts, verdicts)
def test_of_two_verdicts_the_strictest_decides_in_either_order(one: Verdict, other: Verdict) -> None:
    both = strictest(one, other).decision
    assert both == strictest(other, one).decision
    assert RANK[both] == min(RANK[one.decision], RANK[other.decision])


@given(st.integers(0, 9000), st.integers(0, 9000), st.sampled_from([b"\n", b" ", b"\r\n"]), st.integers(1, 5000))
def test_a_secret_is_found_wherever_it_stands(before: int, after: int, gap: bytes, line: int) -> None:
    def filler(length: int) -> bytes:
        return gap.join([b"x" * line] * (length // (line + len(gap)) + 1))[:length] if length else b""

    content = filler(before) + gap + SECRET + gap + filler(after)
    assert secrets.find(FORMS, content) == "an AWS access key"
