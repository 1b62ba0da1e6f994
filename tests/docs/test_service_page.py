"""The page of the service's messages names every topic and every key."""

from __future__ import annotations

import re

from cronos_git.service.messages import KEYS, LEGACY_STATUS, LEGACY_TOPICS, REQUEST_TOPICS
from docs.console import SOURCE

PAGE = (SOURCE / "docs" / "reference" / "service.md").read_text()


def test_every_topic_stands_in_the_page() -> None:
    topics = [topic for topic in REQUEST_TOPICS if topic.startswith("request.cronos.")]
    assert not [topic for topic in (*topics, *LEGACY_TOPICS, *LEGACY_STATUS.values()) if f"`{topic}`" not in PAGE]


def test_the_row_of_a_request_names_its_keys_and_no_others() -> None:
    for topic, verb in REQUEST_TOPICS.items():
        if topic.startswith("request.cronos."):
            row = next(line for line in PAGE.splitlines() if line.startswith("| `request.") and f"`{topic}`" in line)
            keys = re.sub(r"\(`(?:full|new_location)`[^)]*\)", "", row.split(" | ", 2)[2])
            assert set(re.findall(r"`(\w+)`", keys)) - {"incremental"} == set(KEYS[verb])
