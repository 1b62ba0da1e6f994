"""The reference pages tell what the code says, all of it and nothing else."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import cronos_git
from cronos_git import errors
from cronos_git.cli.command import COMMANDS, STATUSES
from cronos_git.cli.reference import PAGES, command_reference, main
from cronos_git.errors import CronosError
from cronos_git.events import NOTICES
from cronos_git.model import VERBS
from cronos_git.rules.messages_page import ERROR_GROUPS

CODE = Path(cronos_git.__file__).parent
REFERENCE = CODE.parent / "docs" / "reference"
EMITTERS = {"Noticed": 1, "tolerating": 1}
"""Where the code of a notice stands among the arguments."""
LOGGERS = {"_operation": 0, "_log": 0, "_log_each": 0}


def called_with(places: dict[str, int]) -> Iterator[ast.expr]:
    """The argument at its place in every call of these functions or methods in the code."""
    for file in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in places:
                    yield node.args[places[name]]


def written_in(places: dict[str, int]) -> set[str]:
    return {node.value for node in called_with(places) if isinstance(node, ast.Constant)}


def words_in_code() -> set[str]:
    """Every text in the code, but for the tables themselves."""
    files = [file for file in CODE.rglob("*.py") if file.name not in ("events.py", "restores.py")]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_makes(name: str) -> None:
    assert (REFERENCE / name).read_text() == PAGES[name](), "stale: run `make docs`"


def test_one_call_writes_every_page(tmp_path: Path) -> None:
    main(tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {name: page() for name, page in PAGES.items()}


def test_every_code_that_is_emitted_is_in_the_table_of_notices() -> None:
    emitted = written_in(EMITTERS)
    assert len(emitted) > 10
    assert emitted <= NOTICES.keys()


def test_every_notice_of_the_table_is_emitted() -> None:
    assert NOTICES.keys() <= words_in_code()


def test_every_verb_that_is_logged_is_in_the_table_of_verbs() -> None:
    logged = written_in(LOGGERS)
    assert len(logged) > 8
    assert logged <= VERBS.keys()


def test_every_verb_of_the_table_is_logged() -> None:
    assert VERBS.keys() <= words_in_code() | {"undo"}


def test_every_error_is_in_one_group() -> None:
    family = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CronosError)]
    grouped = [kind for kinds in ERROR_GROUPS.values() for kind in kinds]
    assert sorted(grouped, key=str) == sorted({*family} - {CronosError}, key=str)


def test_every_exit_status_of_an_error_has_a_meaning() -> None:
    assert {kind.exit_status for kinds in ERROR_GROUPS.values() for kind in kinds} <= STATUSES.keys()


def test_the_command_page_has_every_command_with_its_options_and_examples() -> None:
    page = command_reference()
    sections = {section.partition("\n")[0]: section for section in page.split("\n## cronos ")}
    assert sections.keys() >= COMMANDS.keys()
    for name, declared in COMMANDS.items():
        assert all(example in sections[name] for example in declared.examples)
    assert "| `--to DIR` | Where to [new_location: &lt;project>-&lt;id> beside" in sections["restore"]
    assert "cronos restore [OPTIONS] BACKUP[:PATH] [PATH…]\n" in sections["restore"]
    assert "4 merge conflicts, nothing changed" in sections["restore"]
    assert "--strategy replace       exactly the backup" in sections["restore"]
