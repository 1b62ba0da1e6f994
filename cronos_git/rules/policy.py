"""The built-in rules of the policy: parsed from tables of the configuration, and held against what is about to be done.

A rule is a list of conditions, all of which are to hold, the verbs that it is on, and what comes of it when one does not. Rules
are data: nothing of them is ever evaluated as code. What each condition means is `conditions.py`'s, when a gate is asked the
engine's. Floor F4: pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast, get_args

from cronos_git.errors import PolicyDeniedError
from cronos_git.model import FAILS_OPEN, Action, RuleAction, Verdict, Violation
from cronos_git.rules import conditions
from cronos_git.rules.conditions import Condition, Each, Resolve, Seen, Whole
from cronos_git.rules.visible import visible

GATE = "rules"
VERBS = ("create", "restore", "overwrite", "undo", "delete", "prune", "compact")
"""What a rule can be on. `restore` means every restore, `overwrite` those that change a directory with something in it, such as
the project with a new place in it."""

FACES = ("cli", "library", "service", "hook", "schedule")
MOST_VIOLATIONS = 20
"""So many violations of one rule are told; then it looks no further."""

_NOUNS = {"create": "backup", "delete": "deletion", "compact": "compaction"}
_RESTORES = ("restore", "overwrite", "undo")
_TOLD = 5


class _Kind(NamedTuple):
    """A kind of condition: how it is parsed, the verbs that it goes with, and those it is on when the rule names none."""

    parse: Callable[[object, Resolve], Condition]
    fits: tuple[str, ...]
    default: tuple[str, ...]


KINDS: Mapping[str, _Kind] = {
    "paths": _Kind(conditions.paths, ("create", *_RESTORES), ("overwrite", "undo")),
    "targets": _Kind(conditions.targets, _RESTORES, ("restore", "undo")),
    "require_metadata": _Kind(conditions.require_metadata, ("create",), ("create",)),
    "require_labels": _Kind(conditions.require_labels, ("create",), ("create",)),
    "max_size": _Kind(conditions.max_size, ("create", *_RESTORES), ("create",)),
    "max_file_size": _Kind(conditions.max_file_size, ("create", *_RESTORES), ("create",)),
    "max_files": _Kind(conditions.max_files, ("create", *_RESTORES), ("create",)),
    "secrets": _Kind(conditions.secret_contents, ("create", *_RESTORES), ("create",)),
    "min_keep": _Kind(conditions.min_keep, ("delete", "prune"), ("delete", "prune")),
    "forbid": _Kind(conditions.forbid, VERBS, ()),
}
"""The conditions by key."""

_OTHER_KEYS = ("name", "on", "faces", "action", "message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        message: What to say in place of the conditions' own words; empty for these.
        faces: Only when one of these asks; empty for all.
        conditions: Each with the verbs that it is on.
    """

    name: str
    action: RuleAction
    message: str
    faces: frozenset[str]
    conditions: tuple[tuple[frozenset[str], Condition], ...]


# --- from the configuration ---------------------------------------------------------------------------------------


def parse_rules(tables: object, resolve: Resolve = lambda path: path) -> tuple[Rule, ...]:
    """The rules that *tables* say.

    Args:
        resolve: Makes a real path of one that may begin with `~`.

    Raises:
        ValueError: Something in them is wrong; the text says in which rule, and what.
    """
    if isinstance(tables, str) or not isinstance(tables, Sequence) or not all(isinstance(table, Mapping) for table in tables):
        raise ValueError("it is not a list of tables")
    rules: list[Rule] = []
    for number, table in enumerate(tables, start=1):
        named = f"rule {number}" + (f" ({table['name']!r})" if table.get("name") else "")
        try:
            rules.append(_parse(table, resolve))
        except ValueError as error:
            raise ValueError(f"{named}: {error}") from error
    names = [rule.name for rule in rules]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two rules are called {twice[0]!r}")
    return tuple(rules)


def _parse(table: Mapping[str, object], resolve: Resolve) -> Rule:
    for key in table:
        _one_of("key", key, (*_OTHER_KEYS, *KINDS))
    name, message = table.get("name"), table.get("message", "")
    if not isinstance(name, str) or not name:
        raise ValueError("it has no `name`")
    if not isinstance(message, str):
        raise ValueError("`message` is no text")
    action = _one_of("action", table.get("action", "block"), get_args(RuleAction))
    return Rule(
        name=name,
        action=cast(RuleAction, action),
        message=message,
        faces=_words("faces", table, FACES),
        conditions=tuple(_conditions(table, resolve)),
    )


def _conditions(table: Mapping[str, object], resolve: Resolve) -> Iterator[tuple[frozenset[str], Condition]]:
    """The conditions, each with the verbs that it is on."""
    kinds = {key: KINDS[key] for key in table if key in KINDS}
    if not kinds:
        raise ValueError(f"it has no condition; there are {', '.join(KINDS)}")
    on = _words("on", table, VERBS)
    for verb in sorted(on):
        if not any(verb in kind.fits for kind in kinds.values()):
            raise ValueError(f"`{', '.join(kinds)}` means nothing for {verb}")
    for key, kind in kinds.items():
        verbs = on.intersection(kind.fits) if on else frozenset(kind.default)
        if not verbs:
            raise ValueError(f"`{key}` means nothing for {', '.join(sorted(on))}" if on else f"`{key}` wants an `on`")
        yield verbs, kind.parse(table[key], resolve)


def _words(key: str, table: Mapping[str, object], allowed: Sequence[str]) -> frozenset[str]:
    """What *table* lists under *key*; nothing when it has no such key."""
    return frozenset(_one_of(f"`{key}`", word, allowed) for word in conditions.texts(table[key])) if key in table else frozenset()


def _one_of(what: str, word: object, allowed: Sequence[str]) -> str:
    if word in allowed:
        return str(word)
    import difflib

    near = difflib.get_close_matches(str(word), allowed, n=1)
    raise ValueError(
        f"there is no {what} {word!r}; " + (f"the nearest is {near[0]!r}" if near else f"there are {', '.join(allowed)}")
    )


# --- judging ------------------------------------------------------------------------------------------------------


class RuleGate:
    """Holds actions against rules; implements `ports.PolicyGate`.

    Cost: nothing, unless a rule looks at paths; then what the action's `touched` costs and, with `secrets`, the first MiB of
    every new content.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules

    def judge(self, action: Action) -> Verdict:
        """All that the rules have against *action*; the strictest of them decides.

        Raises:
            CronosError: Contents that have to be looked at cannot be read.
        """
        words = _verbs_of(action)
        active = [
            (rule, condition)
            for rule in self._rules
            if not rule.faces or action.face in rule.faces
            for verbs, condition in rule.conditions
            if verbs & words
        ]
        found: dict[str, list[Violation]] = defaultdict(list)
        for rule, condition in active:
            if isinstance(condition, Whole):
                found[rule.name] += [_violation(rule, text) for text in condition.faults(action)]
        each = [(rule, condition) for rule, condition in active if isinstance(condition, Each)]
        if each:
            _look_at_paths(action, each, found)
        return _verdict([violation for rule in self._rules for violation in found[rule.name]])


def _look_at_paths(action: Action, each: Sequence[tuple[Rule, Each]], found: dict[str, list[Violation]]) -> None:
    for touched in action.touched():
        seen = Seen(touched)
        looking = [(rule, condition) for rule, condition in each if len(found[rule.name]) < MOST_VIOLATIONS]
        if not looking:
            return
        for rule, condition in looking:
            if text := condition.fault(action, seen):
                found[rule.name].append(_violation(rule, text, touched.path))


def _verbs_of(action: Action) -> frozenset[str]:
    is_inside = action.target.startswith(f"{action.project}/")
    if action.verb == "restore" and (action.is_in_place or is_inside):
        return frozenset(("restore", "overwrite"))
    return frozenset((action.verb,))


def _violation(rule: Rule, text: str, path: str = "") -> Violation:
    said = f"{visible(path)}: {rule.message}" if rule.message and path else rule.message or text
    return Violation(rule=rule.name, action=rule.action, text=said, path=path)


def _verdict(violations: Sequence[Violation]) -> Verdict:
    is_blocked = any(violation.action == "block" for violation in violations)
    return Verdict(decision="blocked" if is_blocked else "allowed", gate=GATE, violations=tuple(violations))


def strictest(first: Verdict, second: Verdict) -> Verdict:
    """Both verdicts as one: what either blocks is blocked, and what either could not tell is not told."""
    order = ("blocked", "unchecked", "allowed")
    decisive = min(first, second, key=lambda verdict: order.index(verdict.decision))
    return Verdict(
        decision=decisive.decision,
        gate=f"{first.gate} and {second.gate}",
        text=decisive.text,
        hint=decisive.hint,
        violations=(*first.violations, *second.violations),
    )


# --- what is made of a verdict ------------------------------------------------------------------------------------


def denial(action: Action, verdict: Verdict) -> PolicyDeniedError | None:
    """The error that a verdict amounts to; None when the action may go on."""
    if verdict.decision == "allowed" or (verdict.decision == "unchecked" and action.verb in FAILS_OPEN):
        return None
    noun = _NOUNS.get(action.verb, action.verb)
    nothing = "No backup was made." if action.verb == "create" else "Nothing was changed."
    against = [violation for violation in verdict.violations if violation.action == "block"]
    if verdict.decision == "unchecked":
        message = f"{verdict.text} Without a verdict there is no {noun}. {nothing}"
    else:
        message = f"The policy does not allow this {noun}: {reasons(against) or verdict.text.removesuffix('.')}. {nothing}"
    return PolicyDeniedError(
        message,
        hint=verdict.hint or ("The rules stand under `policy`: `cronos config show --origin`." if against else ""),
        gate=verdict.gate,
        violations=[_facts_of(violation) for violation in verdict.violations],
    )


def reasons(violations: Sequence[Violation]) -> str:
    """Violations in words, the first few of many, each after the name of its rule."""
    shown = [f"{violation.rule}: {violation.text}" for violation in violations[:_TOLD]]
    more = len(violations) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def facts(verdict: Verdict) -> dict[str, object]:
    """What the operation log tells of a verdict."""
    told: dict[str, object] = {"decision": verdict.decision, "gate": verdict.gate}
    if verdict.text:
        told["text"] = verdict.text
    if verdict.violations:
        told["violations"] = [_facts_of(violation) for violation in verdict.violations]
    return told


def _facts_of(violation: Violation) -> dict[str, str]:
    told = {"rule": violation.rule, "action": violation.action, "text": violation.text}
    return told | ({"path": violation.path} if violation.path else {})


def warnings(verdict: Verdict) -> Iterable[Violation]:
    """The violations that are to be told, though they stop nothing."""
    return (violation for violation in verdict.violations if violation.action == "warn")
