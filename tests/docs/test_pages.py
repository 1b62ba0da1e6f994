"""Every command block of README, tutorial and how-to pages runs, and says what the page shows; every link leads somewhere.

Blocks fenced as `sh` are for installing and are not run; in those fenced as `text` a program shows a screen or asks.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.console import SOURCE, Command, Said, blocks, environment, missing_programs, run
from tests.support.serving import served

PAGES = [SOURCE / "README.md", SOURCE / "docs" / "tutorial.md", *sorted((SOURCE / "docs" / "how-to").glob("*.md"))]
EVERY_PAGE = [SOURCE / "README.md", *sorted((SOURCE / "docs").rglob("*.md"))]
NUMBERS = re.compile(r"_\d{8}_\d{6}(?:_\d+)?|\b[0-9a-f]{6,40}\b|\d[\d,.]*")
AGO = re.compile(r"just now|[\d.]+ (?:seconds?|minutes?) ago")
STORE = re.compile(r"/[^/\s]+-[0-9a-f]{8}\.git\b")
UNIT = re.compile(r"# (?:B|KiB)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(.*)\n(?:.*\n)*?```$", re.MULTILINE)


def essence(line: str) -> str:
    """What of a line is the same in every run: no numbers, hashes, dates, nor the width of columns."""
    plain = UNIT.sub("# bytes", NUMBERS.sub("#", AGO.sub("#", STORE.sub("/STORE", line))))
    return " ".join(re.sub(r"[-─│]{2,}", "--", plain).split())


def differences(command: Command, said: Said) -> list[str]:
    """The lines that the page shows and the command did not say; `…` stands for anything."""
    real = [essence(line) for line in said.lines]
    missing = []
    for line in filter(None, map(essence, command.shown)):
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        if not any(pattern.fullmatch(one) for one in real):
            missing.append(line)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    commands = [command for block in blocks(page.read_text()) for command in block]
    if missing := missing_programs(commands):
        pytest.skip(f"needs {', '.join(missing)}")
    if any(command.text.endswith(" &") for command in commands):  # signals are to reach what they start
        told = run(commands, tmp_path)
    else:
        with served(environment(tmp_path)) as cronos:
            told = run(commands, tmp_path, cronos)
    for command, said in zip(commands, told, strict=False):
        assert said.status == command.status, f"$ {command.text}\n" + "\n".join(said.lines)
        assert not differences(command, said), f"$ {command.text}\n" + "\n".join(said.lines)
    assert len(told) == len(commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_whatever_looks_like_a_command_stands_in_a_block_that_is_run(page: Path) -> None:
    others = [block.group() for block in FENCE.finditer(page.read_text()) if block.group(1) not in ("console", "text")]
    assert not [block for block in others if re.search(r"^\$ ", block, re.MULTILINE)]


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.relative_to(SOURCE).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    links = [link for link in LINK.findall(text) if not link.startswith("https://")]
    broken = [link for link in links if not _leads_somewhere(page, link)]
    assert not broken


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in _anchors(target.read_text()))


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_names_every_page() -> None:
    index = SOURCE / "docs" / "README.md"
    named = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    pages = {page.resolve() for page in (SOURCE / "docs").rglob("*.md")} - {index.resolve()}
    assert {page for page in pages if page.parent.name != "adr"} <= named


def test_output_that_differs_is_told() -> None:
    [[command]] = blocks("```console\n$ cronos list  # ends with 10\nerror: … no store at 12:30\n```\n")
    assert command.status == 10
    assert not differences(command, Said(lines=("error: there is no store at 8:01", "hint"), status=10))
    assert differences(command, Said(lines=("error: none",), status=10)) == ["error: … no store at #:#"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_targets_of_make_that_a_page_names_exist(page: Path) -> None:
    targets = re.findall(r"(?:^|`)make (\w+)", page.read_text(), re.MULTILINE)
    known = re.findall(r"^(\w+):", (SOURCE / "Makefile").read_text(), re.MULTILINE)
    assert set(targets) <= set(known)
