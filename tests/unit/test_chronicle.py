"""What the operation log tells of where each backup is."""

from __future__ import annotations

from typing import Any

import pytest

from cronos_git.git.refs import BACKUP_TAGS, TRASH
from cronos_git.ops.chronicle import replay


def entry(verb: str, result: str = "done", **facts: Any) -> dict[str, Any]:
    return {"verb": verb, "result": result, **facts}


CREATED = entry("create", backup="a", tag="1" * 40)


@pytest.mark.parametrize(
    ("records", "place"),
    [
        ([CREATED], BACKUP_TAGS),
        ([entry("create", "failed", backup="a")], None),
        ([CREATED, entry("delete", backups=["a"])], TRASH),
        ([CREATED, entry("prune", backups=["b", "a"])], TRASH),
        ([CREATED, entry("delete", backups=["a"]), entry("undelete", backups=["a"])], BACKUP_TAGS),
        ([CREATED, entry("delete", backups=["a"]), entry("compact", backups=["a"])], ""),
        ([CREATED, entry("compact", backups=["a"])], ""),  # it was in the trash: the delete was killed before it told
        ([CREATED, entry("compact", "failed", backups=["a"])], BACKUP_TAGS),  # perhaps as it was no longer in the trash
        ([CREATED, entry("repair", given_up=["a"])], ""),
        ([entry("restore", backup="x", restore_point="a")], BACKUP_TAGS),
        ([entry("restore", "failed", backup="x", restore_point=None)], None),
        ([entry("restore", restore_point="a"), entry("recover", "rolled back", restore_point="a")], TRASH),
        ([entry("restore", restore_point="a"), entry("recover", "finished", restore_point="a")], BACKUP_TAGS),
        ([entry("import", backups=["a"])], BACKUP_TAGS),
        ([entry("nonsense", backup=7, backups="a", tag=3, tags=[])], None),
    ],
)
def test_the_last_word_of_the_log_counts(records: list[dict[str, Any]], place: str | None) -> None:
    assert replay(records).places.get("a") == place


@pytest.mark.parametrize(
    ("records", "doubtful"),
    [
        ([CREATED, entry("delete", backups=["a"])], set()),
        ([CREATED, entry("delete", backups=["a"]), entry("compact", "interrupted", backups=["a"])], {"a"}),
        (
            [
                CREATED,
                entry("delete", backups=["a"]),
                entry("compact", "failed", backups=["a"]),
                entry("undelete", backups=["a"]),
            ],
            set(),
        ),
        ([CREATED, entry("compact", "begun", backups=["a"])], set()),  # which drops only what is in the trash
        ([entry("recover", "rolled back", restore_point="a")], {"a"}),
        ([entry("restore", "failed", restore_point="a")], {"a"}),  # perhaps before the point was made
        ([CREATED, entry("undo", "failed", restore_point="a")], set()),
        ([entry("restore", "failed", restore_point="a"), entry("restore", restore_point="a")], set()),  # the id was free again
        ([entry("restore", restore_point="a"), entry("recover", "rolled back", restore_point="a")], set()),
    ],
)
def test_what_a_killed_run_may_have_dropped_or_never_made_is_in_doubt(records: list[dict[str, Any]], doubtful: set[str]) -> None:
    assert replay(records).doubtful == doubtful


def test_the_newest_tag_is_known() -> None:
    amended = entry("label", backup="a", tag="2" * 40)
    assert replay([CREATED, amended]).tags == {"a": "2" * 40}
    assert replay([CREATED, amended, entry("repair", tags={"a": "3" * 40})]).tags == {"a": "3" * 40}
