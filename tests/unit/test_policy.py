"""The rules of the policy: how they are read, and what each has to say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from cronos_git.errors import ConfigError
from cronos_git.model import Action, Touched, Verdict
from cronos_git.rules.conditions import READ_BYTES
from cronos_git.rules.config import Layer, environment_layer, resolve_settings
from cronos_git.rules.policy import KINDS, MOST_VIOLATIONS, VERBS, RuleGate, denial, facts, parse_rules
from cronos_git.rules.visible import visible

AWS_KEY = "AKIA" + "ABCDEFGHIJKLMNOP"
PRIVATE_KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n"


def rule(**keys: Any) -> dict[str, Any]:
    return {"name": "r", **keys}


def touching(*touched: Touched) -> Callable[[], Iterable[Touched]]:
    return lambda: touched


def action(verb: str = "create", **fields: Any) -> Action:
    return Action(**{"verb": verb, "project": "/srv/site", "face": "cli", **fields})


def overwriting(*paths: str, **fields: Any) -> Action:
    touched = touching(*(Touched(path=path, size_bytes=1) for path in paths))
    return action(**{"verb": "restore", "strategy": "overwrite", "target": "/srv/site", "touched": touched, **fields})


def holding(content: bytes, path: str = "file") -> Action:
    return action(touched=touching(Touched(path=path, size_bytes=len(content), read=lambda: iter([content]))))


def judge(judged: Action, *rules: dict[str, Any]) -> Verdict:
    return RuleGate(parse_rules(rules)).judge(judged)


def texts(judged: Action, **keys: Any) -> list[str]:
    """What one rule has against it."""
    return [violation.text for violation in judge(judged, rule(**keys)).violations]


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ({"secrets": "common"}, "rule 1: it has no `name`"),
        (rule(name="", forbid=True), "rule 1: it has no `name`"),
        (rule(name=["r"], forbid=True), "it has no `name`"),
        (rule(), r"rule 1 \('r'\): it has no condition; there are paths, targets"),
        (rule(secret="common"), "there is no key 'secret'; the nearest is 'secrets'"),
        (rule(forbid=True, on="delte"), "the nearest is 'delete'"),
        (rule(forbid=True), "`forbid` wants an `on`"),
        (rule(forbid=False, on="delete"), "`forbid` can only be true"),
        (rule(forbid=True, on="delete", action="stop"), "there is no action 'stop'; there are block, warn, log"),
        (rule(forbid=True, on="delete", faces="bus"), "there is no `faces` 'bus'"),
        (rule(forbid=True, on="delete", message=3), "`message` is no text"),
        (rule(min_keep=2, on="create"), "`min_keep` means nothing for create"),
        (rule(min_keep=2, secrets="common", on="create"), "`min_keep` means nothing for create"),
        (rule(min_keep=-1), "no whole number of 0 or more"),
        (rule(min_keep=True), "no whole number"),
        (rule(max_size="3 XB"), "it is not a size"),
        (rule(max_files="many"), "no whole number"),
        (rule(paths=["a/../b"]), "'a/../b' has an empty, `.` or `..` part"),
        (rule(paths=[]), "no list of texts"),
        (rule(paths=[1]), "no list of texts"),
        (rule(targets="out"), "'out', which is neither an absolute path nor `project`"),
        (rule(paths=["!a", "!b"]), "'!a' is an exception from nothing"),
        (rule(paths=["~/shop/a"]), "'~/shop/a' would lie in the project"),
        (rule(paths="a", faces=[]), "no list of texts"),
        (rule(paths="a", on=[]), "no list of texts"),
        (rule(targets="~nobody/out"), "'~nobody/out', which is neither"),
        (rule(targets="/out/*"), "is a directory, with all below, and no pattern"),
        (rule(targets="/out\0"), "no pattern"),
        (rule(require_metadata="=OPS"), "a key has no name"),
        (rule(require_metadata="ticket = OPS"), "blanks around it"),
        (rule(secrets="Common"), "'Common' is written 'common'"),
        (rule(secrets="KEY-[[:digit:]]{6}"), "has a set in a set"),
        (rule(secrets="["), "no regular expression"),
        (rule(secrets="a*"), "matches everything"),
        (rule(secrets="(a+)+b"), "could take forever"),
        (rule(secrets="(?:a|aa)*b"), "could take forever"),
        (rule(secrets=".*a.*b"), "could take forever"),
        (rule(secrets="(?:a?){40}a"), "could take forever"),
        (rule(secrets=r"(?:\b){1000000000}a"), "could take forever"),
        (rule(secrets=r"(a)\1+\w{1000}x"), "could take forever"),
        (rule(secrets="(?:(?:(?<=a)){3000}){3000}a"), "could take forever"),
    ],
)
def test_a_wrong_rule_is_refused_with_what_is_wrong(table: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_rules([table])


@pytest.mark.parametrize("tables", ["forbid", 3, {"name": "r"}, ["r"]])
def test_rules_are_a_list_of_tables(tables: object) -> None:
    with pytest.raises(ValueError, match="not a list of tables"):
        parse_rules(tables)


def test_two_rules_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="two rules are called 'r'"):
        parse_rules([rule(min_keep=1), rule(max_files=1)])


@pytest.mark.parametrize("secret", [r"\bINT-[0-9]{6}\b", r"(?i)password\s{0,5}=\s{0,5}\S{8}", r"(?:[a-z]{1,3}\.){3}x", "a.*b"])
def test_quick_expressions_are_taken(secret: str) -> None:
    assert parse_rules([rule(secrets=secret)])


@pytest.mark.parametrize("key", KINDS)
def test_every_condition_goes_with_what_it_is_on_by_itself(key: str) -> None:
    kind = KINDS[key]
    assert set(kind.default) <= set(kind.fits) <= set(VERBS)


def test_a_rule_in_a_configuration_is_checked_and_told_with_its_origin() -> None:
    layer = Layer(name="user", origin="/home/me/config.toml", values={"policy": [rule(secret="x")]})
    with pytest.raises(ConfigError, match=r"`policy` is wrong \(/home/me/config.toml\): rule 1 .*the nearest is 'secrets'"):
        resolve_settings([layer])


def test_rules_can_stand_in_the_environment_as_json_but_not_in_the_project() -> None:
    layer = environment_layer({"CRONOS_POLICY": json.dumps([rule(min_keep=2)])})
    assert resolve_settings([layer]).settings.policy == (rule(min_keep=2),)
    with pytest.raises(ConfigError, match="cannot be set by a file inside the project"):
        resolve_settings([Layer(name="project", origin="/srv/site/cronos.toml", values=layer.values)])


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "is_hit"),
    [
        ("*.pem", "a/b/key.pem", True),
        ("*.pem", "a/key.pem.txt", False),
        ("config/", "config/live/x", True),
        ("config/", "config", False),
        ("/config", "sub/config", False),
        ("config/live.*", "config/live.toml", True),
        ("certs", "a/certs/deep/x", True),
        (".env", ".env", True),
        ("a*", "b/\udcff/a\udcff", True),
    ],
)
def test_protected_paths_are_gitignore_patterns_with_all_that_lies_below(pattern: str, path: str, is_hit: bool) -> None:
    assert texts(overwriting("other", path), paths=pattern) == ([f"{visible(path)} must not be changed"] if is_hit else [])


def test_a_protected_directory_may_not_go() -> None:
    gone = Touched(path="config", size_bytes=None, is_directory=True)
    assert texts(overwriting(touched=touching(gone)), paths="config/") == ["config must not be deleted"]


def test_a_negated_pattern_takes_a_path_out() -> None:
    assert texts(overwriting("a.key", "public.key"), paths=["*.key", "!public.key"]) == ["a.key must not be changed"]


def test_paths_protect_in_place_unless_the_rule_says_more() -> None:
    elsewhere = overwriting("x.pem", strategy="new_location", target="/tmp/look")
    made = action(touched=touching(Touched(path="x.pem", size_bytes=1), Touched(path="old.pem")))
    assert texts(elsewhere, paths="*.pem") == texts(made, paths="*.pem") == []
    assert texts(overwriting("x.pem", strategy="replace", verb="undo"), paths="*.pem") == ["x.pem must not be changed"]
    assert texts(elsewhere, paths="*.pem", on="restore") == ["x.pem must not be restored"]
    assert texts(made, paths="*.pem", on="create") == ["x.pem must not be in a backup"]


def test_overwrite_means_restores_in_place_and_restore_all_of_them() -> None:
    elsewhere, here = overwriting(strategy="new_location"), overwriting()
    assert texts(elsewhere, forbid=True, on="overwrite") == []
    assert texts(here, forbid=True, on="overwrite") == texts(here, forbid=True, on="restore") == ["`restore` is forbidden"]
    assert texts(elsewhere, forbid=True, on="restore") == ["`restore` is forbidden"]


# --- the other conditions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "is_allowed"),
    [("/srv/site", True), ("/srv/site/sub", True), ("/srv/site2", False), ("/out", True), ("/out/x/y", True), ("/", False)],
)
def test_restores_go_only_to_allowed_targets(target: str, is_allowed: bool) -> None:
    judged = action("restore", target=target, strategy="new_location")
    told = texts(judged, targets=["project", "/out"])
    assert told == ([] if is_allowed else [f"{target} is no place to restore to; allowed is project, /out"])


def test_targets_are_resolved_as_they_are_read() -> None:
    [parsed] = parse_rules([rule(targets=["~/out", "project"])], lambda path: path.replace("~", "/home/me"))
    gate = RuleGate([parsed])
    assert not gate.judge(action("restore", target="/home/me/out/x")).violations
    assert gate.judge(action("restore", target="/tmp")).decision == "blocked"


@pytest.mark.parametrize(
    ("wanted", "metadata", "told"),
    [
        ("ticket", {"ticket": ""}, []),
        ("ticket", {}, ["the metadata lack ticket"]),
        ("ticket=OPS-*", {"ticket": "OPS-7"}, []),
        ("ticket=OPS-*", {"ticket": "X"}, ["the metadata say ticket=X, which is not like OPS-*"]),
        ("count=3", {"count": 3}, []),
        ("flag=true", {"flag": True}, []),
        (["a", "b"], {}, ["the metadata lack a", "the metadata lack b"]),
    ],
)
def test_metadata_are_required(wanted: object, metadata: dict[str, object], told: list[str]) -> None:
    assert texts(action(metadata=metadata), require_metadata=wanted) == told


def test_labels_are_required_each_by_a_pattern() -> None:
    assert texts(action(labels=("release-2", "x")), require_labels=["release-*"]) == []
    assert texts(action(labels=("x",)), require_labels=["release-*", "x"]) == ["there is no label release-*"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"max_size": "1 KiB"}, []),
        ({"max_size": 1023}, ["it has 1,024 bytes, more than 1023 B"]),
        ({"max_files": 2}, []),
        ({"max_files": 1}, ["it has 2 files, more than 1"]),
        ({"max_file_size": 600}, []),
        ({"max_file_size": 599}, ["big has 600 bytes, more than 599 B"]),
    ],
)
def test_sizes_are_limited(keys: dict[str, object], told: list[str]) -> None:
    touched = touching(Touched(path="big", size_bytes=600), Touched(path="small", size_bytes=424), Touched(path="gone"))
    made = action(files=2, size_bytes=1024, touched=touched)
    assert texts(made, **keys) == told
    assert texts(overwriting(files=9, size_bytes=9999), **keys) == []  # what is large already must come back
    assert bool(texts(overwriting(files=9, size_bytes=9999, touched=touched), **keys, on="restore")) == bool(told) or not told


def test_so_many_backups_must_be_left() -> None:
    assert texts(action("delete", left=2), min_keep=2) == []
    assert texts(action("prune", left=1), min_keep=2) == ["1 backup would be left, fewer than 2"]
    assert texts(action("compact", left=1), min_keep=2) == []


def test_a_rule_can_be_for_some_faces_only() -> None:
    forbidden = rule(forbid=True, on=["delete"], faces=["service", "hook"])
    assert judge(action("delete", face="service"), forbidden).decision == "blocked"
    assert judge(action("delete", face="cli"), forbidden).decision == "allowed"


# --- secrets ----------------------------------------------------------------------------------------------------------

SECRETS = {
    "a private key": PRIVATE_KEY,
    "an AWS access key": f"key = '{AWS_KEY}'",
    "an AWS secret key": "aws_secret_access_key = " + "abcdEFGH/+" * 4,
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-" + "a1B2-" * 4,
    "a Slack token": "xoxb-" + "1234567890-abc",
    "a Google API key": "AIza" + "a1B2c" * 7,
    "a Stripe key": "sk_live_" + "a1B2" * 6,
    "an npm token": "npm_" + "a1B2" * 9,
    "a PyPI token": "pypi-AgEIcHlwaS5vcmc" + "a1B2c" * 10,
    "an API key of an AI service": "sk-ant-" + "a1B2c" * 8,
}


@pytest.mark.parametrize("name", SECRETS)
def test_well_known_secrets_are_found(name: str) -> None:
    content = f"first line\n{SECRETS[name]}\nlast line\n".encode()
    assert texts(holding(content), secrets="common") == [f"file seems to hold {name}"]


@pytest.mark.parametrize("text", ["AKIA is the start of a key", "sk_live_ keys", "-----BEGIN CERTIFICATE-----", "xoxb-", ""])
def test_what_only_speaks_of_secrets_is_let_through(text: str) -> None:
    assert texts(holding(text.encode()), secrets="common") == []


def test_own_expressions_are_looked_for_line_by_line() -> None:
    content = b"x\nINTERNAL-123456\r\ny"
    assert texts(holding(content), secrets=["common", "^INTERNAL-[0-9]{6}"]) == [
        "file seems to hold something like '^INTERNAL-[0-9]{6}'"
    ]


def test_binary_files_are_not_looked_into_and_no_file_beyond_its_first_mebibyte() -> None:
    assert texts(holding(b"\0" + AWS_KEY.encode()), secrets="common") == []
    far = b"x\n" * (READ_BYTES // 2) + AWS_KEY.encode()
    assert texts(holding(far), secrets="common") == []
    assert texts(holding(far[100:]), secrets="common") == ["file seems to hold an AWS access key"]


def test_a_file_is_read_once_for_all_rules_and_no_further_than_needed() -> None:
    given: list[int] = []

    def pieces() -> Iterable[bytes]:
        for number in range(9):
            given.append(number)
            yield b"x\n" * (1 << 18)

    judged = action(touched=touching(Touched(path="f", size_bytes=9 << 19, read=pieces)))
    judge(judged, {"name": "a", "secrets": "common"}, {"name": "b", "secrets": "INT-[0-9]"})
    assert given == [0, 1]


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_the_strictest_action_decides_and_all_violations_are_told() -> None:
    lax = {"name": "lax", "forbid": True, "on": "delete", "action": "log"}
    stern = {"name": "stern", "forbid": True, "on": "delete", "message": "Ask Ann first"}
    assert judge(action("delete"), lax, {**stern, "action": "warn"}).decision == "allowed"
    verdict = judge(action("delete"), lax, stern)
    assert (verdict.decision, [violation.rule for violation in verdict.violations]) == ("blocked", ["lax", "stern"])
    denied = denial(action("delete"), verdict)
    assert denied is not None
    assert denied.message == "The policy does not allow this deletion: stern: Ask Ann first. Nothing was changed."
    assert denied.exit_status == 20
    assert denied.context["violations"] == facts(verdict)["violations"]
    json.dumps(facts(verdict))


def test_a_message_stands_with_the_path_that_it_is_about() -> None:
    assert texts(overwriting("k.pem"), paths="*.pem", message="keys stay") == ["k.pem: keys stay"]


def test_a_rule_that_is_violated_often_looks_no_further() -> None:
    seen: list[int] = []

    def many() -> Iterable[Touched]:
        for number in range(1000):
            seen.append(number)
            yield Touched(path=f"{number}.pem", size_bytes=1)

    verdict = judge(overwriting(touched=many), rule(paths="*.pem"))
    assert len(verdict.violations) == MOST_VIOLATIONS
    assert len(seen) <= MOST_VIOLATIONS + 1
    denied = denial(overwriting(), verdict)
    assert denied is not None
    assert denied.message.count("must not be changed") == 5
    assert "and 15 more" in denied.message


def test_paths_are_not_asked_for_when_no_rule_looks_at_them() -> None:
    def never() -> Iterable[Touched]:
        raise AssertionError("a walk for nothing")

    judge(action(touched=never), rule(require_labels="x"), {"name": "p", "paths": "*.pem"})


@pytest.mark.parametrize("verb", ["restore", "undo", "delete", "prune", "compact"])
def test_without_a_verdict_nothing_but_a_backup_goes_on(verb: str) -> None:
    unchecked = Verdict(decision="unchecked", gate="ETHIK", text="Nobody answered.", hint="Wake them.")
    denied = denial(action(verb), unchecked)
    assert denied is not None
    assert (denied.hint, denied.exit_status) == ("Wake them.", 20)
    assert denied.message.startswith("Nobody answered. Without a verdict there is no ")
    assert denial(action("create"), unchecked) is None
