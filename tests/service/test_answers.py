"""What CRONOS answers: records that give the backup back, errors as data, pages that fit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import BackupNotFoundError, MergeConflictError, MessageError
from cronos_git.model import Conflict, Damage, Problem, Query, VerifyReport
from cronos_git.service import answers
from cronos_git.service.messages import ListRequest
from tests.cli.records import backup, report, restore_plan, restore_report

ROOM = 1 << 20


def test_a_record_gives_the_backup_back() -> None:
    made = backup(3, labels=("a", "b"), metadata={"x": {"y": 1}}, parent="backup_1", pinned=True, description="two\nlines")
    record = json.loads(json.dumps(answers.record_of(made)))
    assert answers.backup_of(record) == made
    assert {"id", "name", "type", "created_at", "size_bytes", "file_count", "labels", "metadata", "scope"} <= record.keys()


def test_a_record_that_is_too_large_keeps_what_identifies_the_backup() -> None:
    made = backup(metadata={"text": "x" * 10_000}, description="y" * 10_000)
    record = answers.record_of(made, 2000)
    assert answers.size_of(record) < 2000
    assert record["shortened"] == ["message", "description", "labels", "metadata"]
    assert answers.backup_of(record) == replace(made, metadata={}, description="")


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(MessageError):
        answers.backup_of({"id": "x"})


def test_an_error_is_told_with_all_that_a_program_needs() -> None:
    answer = answers.failure(BackupNotFoundError("No such.", hint="Look.", candidates=["a"]))
    assert answer == {
        "status": "ERROR",
        "error_message": "No such.",
        "error": "No such.",
        "code": "backup.not_found",
        "hint": "Look.",
        "exit_status": 12,
        "retryable": False,
        "candidates": ["a"],
    }


def test_conflicts_are_told_by_path_and_kind() -> None:
    conflict = Conflict(path="a.txt", kind="content", base=None, ours=None, theirs=None)
    assert answers.failure(MergeConflictError("One.", conflicts=[conflict]))["conflicts"] == [
        {"path": "a.txt", "kind": "content"}
    ]


def test_a_backup_that_could_not_read_all_files_is_done_with_status_3() -> None:
    answer = answers.created(report(backup(), problems=(Problem(path="a\udcff", code="unreadable", text="no"),)), ROOM)
    assert (answer["status"], answer["exit_status"], answer["backup_id"]) == ("SUCCESS", 3, backup().id)
    assert json.loads(json.dumps(answer))["problems"] == [{"path": "a\udcff", "code": "unreadable", "text": "no"}]


def test_a_backup_that_was_not_sent_is_safe_with_status_14() -> None:
    assert answers.created(report(backup(), push_failed="no network"), ROOM)["exit_status"] == 14


def test_a_restore_tells_where_it_went_and_how_to_go_back() -> None:
    answer = answers.restored(restore_report(restore_plan(), restore_point="point_1"), ROOM)
    assert (answer["restore_target_path"], answer["restore_point"], answer["strategy"]) == ("/project", "point_1", "replace")
    assert answer["message"].startswith("Successfully restored") and backup().id in answer["message"]


def test_damage_is_a_finding_of_a_check_that_succeeded() -> None:
    damage = Damage(backups=("a",), path="data:x", oid="0" * 40, code="missing", text="gone")
    answer = answers.verified(VerifyReport(backups=1, objects=2, bytes_read=3, damage=(damage,), duration_s=0.1))
    assert (answer["status"], answer["valid"], answer["exit_status"], answer["damage_count"]) == ("SUCCESS", False, 6, 1)
    assert json.loads(json.dumps(answer))["damage"][0]["backups"] == ["a"]


def test_of_very_many_problems_the_first_are_told() -> None:
    problems = tuple(Problem(path=f"p{number}", code="vanished", text="gone") for number in range(5000))
    answer = answers.created(report(backup(), problems=problems), ROOM)
    assert (len(answer["problems"]), answer["shortened"]) == (1000, ["problems"])
    fitting = answers.fitted(answer | {"request_id": "r"}, 20_000)
    assert answers.size_of(fitting) <= 20_000 and fitting["shortened"] == ["problems"]


# --- pages ------------------------------------------------------------------------------------------------------------


def all_pages(backups: list[Any], limit: int, room: int) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        answer = answers.listed(backups, ListRequest(query=Query(), limit=limit, cursor=cursor), room)
        assert answers.size_of(answer) <= room
        pages.append([record["id"] for record in answer["backups"]])
        cursor = answer["next"]
        if cursor is None:
            return pages


@given(count=st.integers(0, 25), limit=st.integers(1, 30), length=st.integers(0, 3000))
def test_pages_give_every_backup_once_in_order_and_each_fits(count: int, limit: int, length: int) -> None:
    backups = [backup(number, description="x" * length) for number in range(count, 0, -1)]
    pages = all_pages(backups, limit, 12_000)
    assert [name for page in pages for name in page] == [made.id for made in backups]
    assert all(0 < len(page) <= limit for page in pages) or pages == [[]]


def test_a_page_after_a_backup_that_is_gone_asks_to_begin_again() -> None:
    with pytest.raises(MessageError) as error:
        answers.listed([backup(1)], ListRequest(query=Query(), cursor="gone"), ROOM)
    assert "beginning" in error.value.hint


# --- what fits --------------------------------------------------------------------------------------------------------


def test_what_fits_is_left_alone() -> None:
    answer = {"status": "SUCCESS", "problems": [1, 2]}
    assert answers.fitted(answer, ROOM) == answer


@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=4), room=st.integers(6000, 20_000))
def test_the_longest_lists_and_texts_are_cut_until_it_fits(sizes: list[int], room: int) -> None:
    answer = {"status": "ERROR", "request_id": "r" * 36, "error_message": "e" * sizes[0]}
    answer |= {f"list{number}": [{"path": "p" * 20}] * size for number, size in enumerate(sizes)}
    fitting = answers.fitted(answer, room)
    assert answers.size_of(fitting) <= room
    cut = {key for key in answer if fitting[key] != answer[key]}
    assert cut == set(fitting.get("shortened", ()))
    assert (fitting["status"], fitting["request_id"]) == ("ERROR", answer["request_id"])


# --- the older answers ------------------------------------------------------------------------------------------------


def test_a_backup_asked_for_by_event_is_answered_on_its_status_topic() -> None:
    topic, payload = answers.legacy_status("cronos.backup.request", answers.created(report(backup()), ROOM), "r1")
    assert topic == "cronos.backup.status"
    assert payload["status"] == "success"
    assert (payload["request_id"], payload["backup_id"], payload["backup_path"]) == ("r1", backup().id, backup().id)
    assert payload["files_processed"] == backup().files


def test_a_restore_asked_for_by_event_is_answered_on_its_status_topic() -> None:
    topic, payload = answers.legacy_status("cronos.restore.request", answers.restored(restore_report(restore_plan()), ROOM), "r2")
    assert (topic, payload["status"], payload["request_id"]) == ("cronos.restore.status", "success", "r2")
    assert "Successfully restored" in payload["message"]


@pytest.mark.parametrize("topic", ["cronos.backup.request", "cronos.restore.request"])
def test_an_error_by_event_has_both_error_and_message(topic: str) -> None:
    _, payload = answers.legacy_status(topic, answers.failure(MessageError("Nonsense.", hint="Do.")), "r")
    assert (payload["status"], payload["error"], payload["message"], payload["code"]) == (
        "error",
        "Nonsense.",
        "Nonsense.",
        "message.invalid",
    )
