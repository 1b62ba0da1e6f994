"""The pictures of README show what the commands show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from docs.console import SOURCE

IMAGES = SOURCE / "docs" / "images"
TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")
OBJECT_ID = re.compile(r"\b[0-9a-f]{40}\b")


def words(picture: Path) -> list[str]:
    """What is written on a picture, without the ids that differ from machine to machine."""
    return [OBJECT_ID.sub("<oid>", line) for line in TEXT.findall(picture.read_text())]


def test_the_pictures_are_up_to_date_and_small(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "docs.images.record", tmp_path], cwd=SOURCE, check=True, capture_output=True)
    made = {file.name: words(file) for file in tmp_path.iterdir()}
    assert made == {file.name: words(file) for file in IMAGES.glob("*.svg")}, "stale: run `make docs`"
    assert all(file.stat().st_size < 60_000 for file in tmp_path.iterdir())


def test_a_conflict_and_a_decision_can_be_seen() -> None:
    shown = {picture.stem: "".join(words(picture)) for picture in IMAGES.glob("*.svg")}
    assert "config.toml" in shown["conflicts"] and "current" in shown["conflicts"]
    assert "older" in shown["prune"] and "drop" in shown["prune"]
    assert "pinned" in shown["list"]
    assert "alice@box" in shown["show"]
