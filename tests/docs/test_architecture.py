"""The picture of the floors tells what import-linter holds the code to."""

from __future__ import annotations

import re
import tomllib
from itertools import chain

import pytest

from docs.console import SOURCE

PAGE = (SOURCE / "docs" / "explanation" / "architecture.md").read_text()
PICTURE = re.search(r"^## Floors\n.*?^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CONTRACTS = tomllib.loads((SOURCE / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def layers(container: str) -> list[str]:
    return next(contract["layers"] for contract in CONTRACTS if contract.get("containers") == [container])


def rows(floor: str) -> list[list[str]]:
    """The files in each row of a floor, without what is said of them in parentheses."""
    assert PICTURE
    found = re.findall(rf"^  {floor}  (.*)$", PICTURE.group(1), re.MULTILINE)
    return [re.sub(r"\(.*?\)", "", row).split() for row in found]


def test_the_floors_stand_in_the_order_of_the_layers() -> None:
    assert PICTURE
    heads = re.findall(r"^(?:F\d+ +|     )(\w+)", PICTURE.group(1), re.MULTILINE)
    lowest = re.findall(r"F\d +(\w+)", PICTURE.group(1).splitlines()[-1])
    assert [*heads, *lowest[1:]] == [name for name in layers("cronos_git") if name != "__main__"]


def test_the_rows_of_verbs_are_the_layers_of_ops() -> None:
    assert [sorted(row) for row in rows("F7")] == [sorted(layer.split(" | ")) for layer in layers("cronos_git.ops")]


@pytest.mark.parametrize(("floor", "directory"), [("F7", "ops"), ("F6", "git"), ("F5", "disk"), ("F4", "rules")])
def test_a_floor_shows_every_file_of_its_directory(floor: str, directory: str) -> None:
    files = {file.stem for file in (SOURCE / "cronos_git" / directory).glob("*.py")} - {"__init__"}
    assert sorted(chain(*rows(floor))) == sorted(files)


def test_every_file_that_the_page_names_exists() -> None:
    named = re.findall(r"`((?:ops|git|disk|rules|cli)/\w+\.py|\w+\.py)`", PAGE)
    assert len(named) > 30
    assert not [name for name in named if not (SOURCE / "cronos_git" / name).exists()]
