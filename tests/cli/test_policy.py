"""What the command line says of the policy: beforehand, at a denial, and in the configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cronos_git.cli.app import run
from tests.cli.test_transcripts import Told

RULES = """
[[policy]]
name = "live configuration"
paths = "live.toml"

[[policy]]
name = "no secrets"
on = "create"
secrets = "common"
paths = ".env"

[[policy]]
name = "keep two"
min_keep = 2

[[policy]]
name = "ticket"
require_metadata = "ticket"
action = "warn"
"""

Cronos = Callable[..., Told]


@pytest.fixture
def cronos(tmp_path: Path, hermetic: Path, capsys: pytest.CaptureFixture[str]) -> Cronos:
    """The command line on a project with the backups `one` and `two`, and rules in the user's configuration."""
    (tmp_path / "site").mkdir()
    (hermetic / ".config/cronos").mkdir(parents=True)

    def call(*words: str) -> Told:
        status = run(["-C", str(tmp_path / "site"), *words])
        return Told(status, *capsys.readouterr())

    for name in ("one", "two"):
        (tmp_path / "site/live.toml").write_text(name)
        (tmp_path / "site" / name).write_text(name)
        call("create", name)
    (hermetic / ".config/cronos/config.toml").write_text(RULES)
    return call


def test_a_denied_restore_ends_with_20_and_says_why(cronos: Cronos, tmp_path: Path) -> None:
    told = cronos("restore", "one", "--strategy", "replace", "--yes")
    assert told.status == 20
    assert told.err == (
        "error: The policy does not allow this restore: live configuration: live.toml must not be changed. Nothing was changed.\n"
        "hint: The rules stand under `policy`: `cronos config show --origin`.\n"
    )
    assert (tmp_path / "site/live.toml").read_text() == "two"
    assert cronos("restore", "one", "one", "--strategy", "overwrite", "--yes").status == 0


def test_with_json_a_denial_lists_what_speaks_against_it(cronos: Cronos, tmp_path: Path) -> None:
    (tmp_path / "site/.env").write_text("x")
    error: Any = json.loads(cronos("create", "--json").out)["error"]
    assert (error["code"], error["exit_status"], error["context"]["gate"]) == ("policy.denied", 20, "rules")
    assert error["context"]["violations"] == [
        {"rule": "no secrets", "action": "block", "text": ".env must not be in a backup", "path": ".env"},
        {"rule": "ticket", "action": "warn", "text": "the metadata lack ticket"},
    ]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("create", "backup: no secrets: notes seems to hold a private key. No backup was made."),
        ("restore one --strategy overwrite", "restore: live configuration: live.toml must not be changed. Nothing was changed."),
        ("delete one", "deletion: keep two: 1 backup would be left, fewer than 2. Nothing was changed."),
        ("prune --max-backups 1", "prune: keep two: 1 backup would be left, fewer than 2. Nothing was changed."),
    ],
)
def test_a_dry_run_tells_what_would_be_denied_in_earnest(cronos: Cronos, tmp_path: Path, words: str, what: str) -> None:
    (tmp_path / "site/notes").write_text("-----BEGIN " + "PRIVATE KEY-----\n")
    told = cronos(*words.split(), "-n")
    assert (told.status, bool(told.out)) == (20, True)
    assert f"warning: Done in earnest, this would be denied. The policy does not allow this {what}\n" in told.err
    assert "denied" not in cronos("operations").out
    yes = ["--yes"] if words.startswith(("restore", "delete")) else []
    earnest = cronos(*words.split(), *yes)
    assert (earnest.status, f"error: The policy does not allow this {what}\n" in earnest.err) == (20, True)


def test_a_dry_run_of_what_is_allowed_ends_as_ever(cronos: Cronos) -> None:
    assert cronos("create", "-n").status == 0
    assert cronos("restore", "two", "--strategy", "overwrite", "-n") == cronos("restore", "two", "--strategy", "overwrite", "-n")
    assert cronos("compact", "-n").status == 0


def test_a_warning_is_shown_and_the_backup_is_made(cronos: Cronos) -> None:
    told = cronos("create", "three")
    assert told.status == 0
    assert told.err.startswith("warning: ticket: the metadata lack ticket\n")


def test_a_denied_restore_stands_in_the_list_of_operations(cronos: Cronos) -> None:
    cronos("delete", "one", "--yes")
    line = cronos("operations", "--limit", "1").out.splitlines()[1]
    assert " delete  denied " in line
    assert "keep two: 1 backup would be left" in line


def test_a_wrong_rule_is_told_with_its_place(cronos: Cronos, hermetic: Path) -> None:
    config = hermetic / ".config/cronos/config.toml"
    config.write_text('[[policy]]\nname = "x"\nsecret = "common"\n')
    told = cronos("list")
    assert told.status == 2
    assert told.err == (
        f"error: `policy` is wrong ({config}): rule 1 ('x'): there is no key 'secret'; the nearest is 'secrets'.\n"
        "hint: Allowed is a list of tables, one a rule; see how-to/policy.md.\n"
    )


def test_the_configuration_shows_the_rules_as_toml(cronos: Cronos) -> None:
    [line] = [line for line in cronos("config", "show").out.splitlines() if line.startswith("policy")]
    assert '"name" = "keep two", "min_keep" = 2' in line


def test_a_project_cannot_bring_rules(cronos: Cronos, tmp_path: Path) -> None:
    (tmp_path / "site/cronos.toml").write_text(RULES)
    told = cronos("list")
    assert told.status == 2
    assert "`policy` cannot be set by a file inside the project" in told.err
