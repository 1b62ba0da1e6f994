"""The gate before everything that it is to judge: what it is shown, and what comes of each of its verdicts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import ConfigError, InterruptedRunError, PolicyDeniedError
from cronos_git.events import Event, Noticed, Run
from cronos_git.model import (
    Action,
    CompactRequest,
    PruneRequest,
    RestoreRequest,
    SnapshotRequest,
    Touched,
    Verdict,
    VerifyRequest,
)
from cronos_git.rules.policy import RuleGate, parse_rules
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.repairing import objects_of, rewrite
from tests.support.trees import File, Link, make_tree, read_tree

AWS_KEY = "AKIA" + "ABCDEFGHIJKLMNOP"
ALLOWED = Verdict(decision="allowed", gate="test")
UNCHECKED = Verdict(decision="unchecked", gate="ETHIK", text="Nobody answered.", hint="Wake them.")
BLOCKED = Verdict(decision="blocked", gate="test", text="It is Friday.")


class Judge:
    """A gate that gives the same verdict always, and keeps what it was shown, with the paths and their contents."""

    def __init__(self, verdict: Verdict = ALLOWED) -> None:
        self.verdict = verdict
        self.actions: list[Action] = []
        self.touched: list[dict[str, Any]] = []

    def judge(self, action: Action) -> Verdict:
        self.actions.append(action)
        self.touched.append({touched.path: shown(touched) for touched in action.touched()})
        return self.verdict


def shown(touched: Touched) -> Any:
    if touched.size_bytes is None:
        return None
    if touched.is_directory:
        return "directory"
    return b"".join(touched.read()) if touched.read else touched.size_bytes


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """An engine with the backups `old` and `new`, of a project that has changed once more."""
    engine = make_engine(tmp_path, clock=FakeClock(LATER))
    make_tree(engine.project, {"same": "same", "changed": "old", "gone": "gone", "dir/x": "x"})
    engine.snapshot(SnapshotRequest(name="old", labels=("l",), metadata={"m": 1}))
    (engine.project / "gone").unlink()
    make_tree(engine.project, {"changed": "new", "added": "added"})
    engine.snapshot(SnapshotRequest(name="new"))
    return engine


def judged_by(engine: Cronos, verdict: Verdict = ALLOWED) -> Judge:
    judge = engine.gate = Judge(verdict)
    return judge


def with_rules(engine: Cronos, *rules: dict[str, Any]) -> Cronos:
    engine.gate = RuleGate(parse_rules([{"name": f"rule {number}", **rule} for number, rule in enumerate(rules)]))
    return engine


def noticed(into: list[Noticed]) -> Run:
    def take(event: Event) -> None:
        if isinstance(event, Noticed):
            into.append(event)

    return Run(emit=take)


def state(engine: Cronos) -> Any:
    """Everything that a denied operation must leave as it is."""
    store = engine.store_path
    log = store / "cronos" / "operations.jsonl"
    kept = (path for path in sorted(store.rglob("*")) if path.is_file() and path != log and "lock" not in path.name)
    files = {str(path): path.read_bytes() for path in kept}
    return read_tree(engine.project), files


def verbs(tmp_path: Path) -> dict[str, Callable[[Cronos], Any]]:
    def drop_trash(engine: Cronos) -> Any:
        return engine.compact(CompactRequest(trash_days=0))

    def restore(engine: Cronos, strategy: Any, target: str | None = None) -> Any:
        return engine.restore(RestoreRequest(backup="old", strategy=strategy, target=target))

    return {
        "new_location": lambda engine: restore(engine, "new_location", str(tmp_path / "elsewhere")),
        "overwrite": lambda engine: restore(engine, "overwrite"),
        "replace": lambda engine: restore(engine, "replace"),
        "merge": lambda engine: restore(engine, "merge"),
        "plan": lambda engine: engine.apply_restore(engine.plan_restore(RestoreRequest(backup="old", strategy="replace"))),
        "undo": lambda engine: engine.undo(),
        "delete": lambda engine: engine.delete(["old"]),
        "prune": lambda engine: engine.apply_prune(engine.plan_prune(PruneRequest(limits={"max_backups": 1}))),
        "compact": drop_trash,
    }


VERBS = ("new_location", "overwrite", "replace", "merge", "plan", "undo", "delete", "prune", "compact")


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest, engine: Cronos, tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """One of the operations that fail closed, ready to be done."""
    if request.param == "undo":
        engine.restore(RestoreRequest(backup="old", strategy="replace"))
    if request.param == "compact":
        engine.delete(["new"])
    if request.param == "merge":
        (engine.project / "changed").write_text("old")
        (engine.project / "added").unlink()
        engine.snapshot(SnapshotRequest(name="third"))
        (engine.project / "gone2").write_text("x")
    act = verbs(tmp_path)[request.param]
    yield lambda: act(engine)


# --- what is allowed, and what is not ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [BLOCKED, UNCHECKED], ids=["blocked", "unchecked"])
def test_what_the_gate_does_not_allow_changes_nothing_and_is_logged(
    engine: Cronos, verb: Callable[[], Any], verdict: Verdict, tmp_path: Path
) -> None:
    judge = judged_by(engine, verdict)
    before = state(engine)
    with pytest.raises(PolicyDeniedError, match=r"Nothing was changed\.$") as denied:
        verb()
    assert denied.value.exit_status == 20
    assert denied.value.hint == verdict.hint
    assert state(engine) == before
    assert not (tmp_path / "elsewhere").exists()
    [action] = judge.actions
    last = engine.operations(1)[0]
    assert (last.verb, last.result, last.facts["code"]) == (action.verb, "denied", "policy.denied")
    assert last.facts["policy"]["decision"] == verdict.decision  # type: ignore[index]
    assert not engine.verify(VerifyRequest()).damage
    assert not engine.plan_repair().steps


def test_what_the_gate_allows_is_done_and_its_verdict_stands_in_the_log(engine: Cronos, verb: Callable[[], Any]) -> None:
    judge = judged_by(engine)
    verb()
    [action] = judge.actions  # the restore point of a restore is part of it
    done = next(one for one in engine.operations() if one.verb == action.verb)
    assert (done.result, done.facts["policy"]) == ("done", {"decision": "allowed", "gate": "test"})


def test_without_a_gate_nothing_is_said_of_it(engine: Cronos, verb: Callable[[], Any]) -> None:
    verb()
    assert not any("policy" in done.facts for done in engine.operations())


def test_a_denied_backup_leaves_no_trace_but_in_the_log(engine: Cronos) -> None:
    (engine.project / "more").write_bytes(b"x" * 100_000)
    judged_by(engine, BLOCKED)
    before = state(engine)
    with pytest.raises(PolicyDeniedError, match=r"this backup: It is Friday\. No backup was made\."):
        engine.snapshot(SnapshotRequest())
    assert state(engine) == before
    assert engine.operations(1)[0].result == "denied"


def test_a_backup_without_a_verdict_is_made_with_a_notice_and_says_so(engine: Cronos) -> None:
    judged_by(engine, UNCHECKED)
    told: list[Noticed] = []
    made = engine.snapshot(SnapshotRequest(name="third"), noticed(told)).backup
    assert [(notice.code, notice.text) for notice in told] == [
        ("policy.unchecked", "Nobody answered. The backup is made all the same.")
    ]
    assert engine.record(made)["policy"] == {"decision": "unchecked", "gate": "ETHIK", "text": "Nobody answered."}
    assert engine.operations(1)[0].facts["policy"] == engine.record(made)["policy"]
    judged_by(engine)
    assert "policy" not in engine.record(engine.snapshot(SnapshotRequest()).backup)


def test_what_only_warns_is_noticed_and_logged(engine: Cronos) -> None:
    with_rules(engine, {"require_metadata": "ticket", "action": "warn"}, {"require_labels": "x", "action": "log"})
    told: list[Noticed] = []
    engine.snapshot(SnapshotRequest(), noticed(told))
    assert [(notice.code, notice.text) for notice in told] == [("policy.warned", "rule 0: the metadata lack ticket")]
    logged: Any = engine.operations(1)[0].facts["policy"]
    assert [violation["rule"] for violation in logged["violations"]] == ["rule 0", "rule 1"]


def test_nothing_is_judged_where_nothing_is_done(engine: Cronos) -> None:
    judge = judged_by(engine, BLOCKED)
    assert engine.snapshot(SnapshotRequest(skip_if_unchanged=True)).unchanged
    engine.restore(RestoreRequest(backup="new", strategy="replace"))
    engine.apply_prune(engine.plan_prune())
    judged_by(engine)
    engine.compact()
    judge = judged_by(engine, BLOCKED)
    assert engine.compact().plan.idle
    assert not judge.actions


# --- what the gate is shown -------------------------------------------------------------------------------------------


def test_a_backup_is_shown_with_what_is_new_in_it_as_it_will_be_stored(engine: Cronos) -> None:
    make_tree(
        engine.project, {"changed": "newer", "big": b"b" * (3 << 20), "link": Link("same"), "sub/exec": File(b"e", mode=0o755)}
    )
    (engine.project / "added").unlink()
    judge = judged_by(engine)
    engine.snapshot(SnapshotRequest(labels=("a",), metadata={"k": "v"}, type="auto"))
    [action] = judge.actions
    assert judge.touched == [{"added": None, "big": b"b" * (3 << 20), "changed": b"newer", "link": 4, "sub/exec": b"e"}]
    assert (action.verb, action.type, action.labels, action.metadata) == ("create", "auto", ("a",), {"k": "v"})
    assert (action.target, action.scope, action.files, action.face) == (str(engine.project), "project", 6, "library")


def test_a_large_file_is_read_from_the_backup_in_the_making(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, chunk_threshold=1 << 20)
    content = bytes(range(256)) * 8192
    make_tree(engine.project, {"large": content, "small": b"s"})
    judge = judged_by(engine)
    engine.snapshot(SnapshotRequest())
    assert judge.touched == [{"large": content, "small": b"s"}]


def test_what_is_judged_is_what_is_stored_even_if_the_project_changes_meanwhile(engine: Cronos) -> None:
    class Meddler(Judge):
        def judge(self, action: Action) -> Verdict:
            (engine.project / "changed").write_text("swapped")
            return super().judge(action)

    (engine.project / "changed").write_text("judged")
    judge = engine.gate = Meddler()
    made = engine.snapshot(SnapshotRequest()).backup
    assert judge.touched == [{"changed": b"judged"}]
    assert b"".join(engine.read(made, "changed")) == b"judged"


def test_in_a_first_backup_everything_is_new(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a/b": "1", "c": {}})
    judge = judged_by(engine)
    engine.snapshot(SnapshotRequest())
    assert judge.touched == [{"a/b": b"1", "c": "directory"}]


def test_after_a_damaged_backup_everything_counts_as_new(engine: Cronos) -> None:
    commit = bytes.fromhex(engine.resolve("new").backup.commit)
    objects = objects_of(engine.store_path)
    rewrite(engine.store_path, {oid: found for oid, found in objects.items() if oid != commit})
    engine = make_engine(engine.project.parent)
    judge = judged_by(engine)
    engine.snapshot(SnapshotRequest())
    assert judge.touched == [{"added": b"added", "changed": b"new", "dir/x": b"x", "same": b"same"}]


def test_a_restore_in_place_is_shown_with_what_it_changes(engine: Cronos) -> None:
    judge = judged_by(engine)
    engine.restore(RestoreRequest(backup="old", strategy="replace"))
    [action] = judge.actions
    assert judge.touched == [{"": "directory", "added": None, "changed": b"old", "gone": b"gone"}]
    assert (action.target, action.strategy, action.labels, action.files) == (str(engine.project), "replace", ("l",), 2)
    judge = judged_by(engine)
    engine.undo()
    assert judge.touched == [{"": "directory", "added": b"added", "changed": b"new", "gone": None}]
    assert judge.actions[0].verb == "undo"


def test_a_merge_is_shown_with_the_lines_that_it_makes(engine: Cronos) -> None:
    lines = "".join(f"line {number}\n" for number in range(20))
    (engine.project / "text").write_text(lines)
    engine.snapshot(SnapshotRequest(name="base"))
    (engine.project / "text").write_text(lines.replace("line 2\n", "theirs\n"))
    engine.snapshot(SnapshotRequest(name="theirs"))
    (engine.project / "text").write_text(lines.replace("line 17\n", "ours\n"))
    judge = judged_by(engine)
    engine.restore(RestoreRequest(backup="theirs", strategy="merge", base="base"))
    merged = lines.replace("line 2\n", "theirs\n").replace("line 17\n", "ours\n").encode()
    assert judge.touched[0]["text"] == merged == (engine.project / "text").read_bytes()


def test_a_restore_to_a_new_place_is_shown_with_all_that_it_writes(engine: Cronos, tmp_path: Path) -> None:
    judge = judged_by(engine)
    engine.restore(RestoreRequest(backup="old", paths=("dir", "same"), target=str(tmp_path / "out")))
    assert judge.touched == [{"dir": "directory", "dir/x": b"x", "same": b"same"}]
    assert judge.actions[0].target == str(tmp_path / "out")


def test_paths_in_a_target_inside_the_project_are_told_from_the_top(engine: Cronos) -> None:
    with_rules(engine, {"paths": "/dir/x"})
    with pytest.raises(PolicyDeniedError, match="dir/x must not be deleted"):
        engine.restore(RestoreRequest(backup="old", strategy="replace", target=str(engine.project / "dir")))
    engine.restore(RestoreRequest(backup="old", strategy="overwrite", target=str(engine.project / "dir")))
    assert (engine.project / "dir" / "x").read_text() == "x"


def test_a_deletion_is_shown_with_what_goes_and_how_much_is_left(engine: Cronos) -> None:
    engine.restore(RestoreRequest(backup="old", strategy="replace"))  # with a restore point, which does not count
    judge = judged_by(engine)
    engine.delete(["old"])
    [action] = judge.actions
    assert (len(action.backups), action.left) == (1, 1)
    judge = judged_by(engine)
    engine.compact(CompactRequest(trash_days=0))
    assert [action.backups for action in judge.actions] == [action.backups]


def test_a_restore_point_can_go_however_few_backups_there_are(engine: Cronos) -> None:
    point = engine.restore(RestoreRequest(backup="old", strategy="replace")).restore_point
    assert point is not None
    with_rules(engine, {"min_keep": 9})
    engine.delete([point])
    with pytest.raises(PolicyDeniedError, match="1 backup would be left"):
        engine.delete(["old"])


# --- the built-in rules on real operations ----------------------------------------------------------------------------


def test_a_secret_never_gets_into_the_store(engine: Cronos) -> None:
    with_rules(engine, {"secrets": "common"})
    (engine.project / "notes").write_text(f"key {AWS_KEY}\n")
    with pytest.raises(PolicyDeniedError, match="notes seems to hold an AWS access key"):
        engine.snapshot(SnapshotRequest())
    (engine.project / "notes").write_text("key in the safe\n")
    engine.snapshot(SnapshotRequest())


def test_a_secret_that_was_in_the_store_already_is_found_when_a_file_gets_it_anew(engine: Cronos) -> None:
    (engine.project / "notes").write_text(AWS_KEY)
    engine.snapshot(SnapshotRequest())
    with_rules(engine, {"secrets": "common"})
    engine.snapshot(SnapshotRequest())  # what has not changed is not looked at again
    (engine.project / "copy").write_text(AWS_KEY)
    with pytest.raises(PolicyDeniedError, match="copy seems to hold"):
        engine.snapshot(SnapshotRequest())


def test_a_secret_that_only_a_restore_point_holds_is_new_all_the_same(engine: Cronos) -> None:
    with_rules(engine, {"secrets": "common"})
    (engine.project / "notes").write_text(AWS_KEY)
    engine.restore(RestoreRequest(backup="old", paths=("changed",), strategy="overwrite"))
    with pytest.raises(PolicyDeniedError, match="notes seems to hold"):
        engine.snapshot(SnapshotRequest())


def test_a_rule_with_a_whole_path_that_would_protect_nothing_stops_what_it_is_on(engine: Cronos) -> None:
    with_rules(engine, {"paths": f"{engine.project}/changed"})
    with pytest.raises(ConfigError, match="relative to the project's top"):
        engine.restore(RestoreRequest(backup="old", strategy="replace"))


def test_a_backup_can_be_stopped_while_its_contents_are_looked_at(engine: Cronos) -> None:
    run, looked = Run(), []

    class Looking:
        def judge(self, action: Action) -> Verdict:
            for touched in action.touched():
                looked.append(touched.path)
                run.cancelled = True
            return ALLOWED

    engine.gate = Looking()
    make_tree(engine.project, {"a": "a", "b": "b"})
    with pytest.raises(InterruptedRunError):
        engine.snapshot(SnapshotRequest(), run)
    assert looked == ["a"]
    assert engine.operations()[0].result == "interrupted"


def test_a_new_place_in_the_project_is_no_way_to_a_protected_path(engine: Cronos) -> None:
    with_rules(engine, {"paths": "new/dir/"})
    for place, is_denied in (("new", True), ("new/dir", True), ("other", False)):
        request = RestoreRequest(backup="old", target=str(engine.project / place), strategy="new_location")
        plan = engine.plan_restore(request)
        assert (engine.foresee(plan) is not None) == is_denied
        if is_denied:
            with pytest.raises(PolicyDeniedError, match="must not be restored"):
                engine.restore(request)
        else:
            engine.restore(request)


def test_a_path_is_told_in_one_line_whatever_it_is_called(engine: Cronos) -> None:
    make_tree(engine.project, {"a\n\x1b\udcff.key": "v1"})
    engine.snapshot(SnapshotRequest(name="odd"))
    make_tree(engine.project, {"a\n\x1b\udcff.key": "v2"})
    with_rules(engine, {"paths": "*.key"})
    with pytest.raises(PolicyDeniedError) as caught:
        engine.restore(RestoreRequest(backup="odd", strategy="overwrite"))
    assert caught.value.message.isprintable()


def test_a_protected_file_survives_every_restore_in_place(engine: Cronos) -> None:
    with_rules(engine, {"paths": ["/gone", "changed"]})
    before = read_tree(engine.project)
    for strategy in ("overwrite", "replace"):
        with pytest.raises(PolicyDeniedError, match="changed must not be changed; rule 0: gone must not be changed"):
            engine.restore(RestoreRequest(backup="old", strategy=strategy))
    assert read_tree(engine.project) == before
    engine.restore(RestoreRequest(backup="old", strategy="overwrite", paths=("same", "dir")))


def test_an_automatic_prune_that_is_denied_leaves_the_backup_safe(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, auto_prune=True, max_backups=1)
    with_rules(engine, {"min_keep": 2})
    told: list[Noticed] = []
    for number in range(3):
        (engine.project / "f").write_text(str(number))
        engine.clock.advance(hours=1)  # type: ignore[attr-defined]
        engine.snapshot(SnapshotRequest(), noticed(told))
    assert len(engine.backups()) == 3
    assert [notice.code for notice in told] == ["prune.failed"] * 2
    assert "1 backup would be left, fewer than 2. Nothing was changed. The new backup is safe." in told[0].text
    assert [(one.verb, one.result) for one in engine.operations(2)] == [("create", "done"), ("prune", "denied")]


def test_an_automatic_compaction_is_judged_too(tmp_path: Path) -> None:
    clock = FakeClock(LATER)
    engine = make_engine(tmp_path, clock=clock, auto_prune=True, max_backups=1)
    with_rules(engine, {"forbid": True, "on": "compact"})
    told: list[Noticed] = []
    for number in range(2):
        (engine.project / "f").write_bytes(bytes([number]) + os.urandom(20 << 20))
        clock.advance(hours=1)
        engine.snapshot(SnapshotRequest(), noticed(told))
    clock.advance(days=30)
    engine.snapshot(SnapshotRequest(), noticed(told))
    assert [notice.code for notice in told] == ["compact.failed"]
    assert "`compact` is forbidden" in told[0].text
    assert engine.trash()


# --- beforehand -------------------------------------------------------------------------------------------------------


def test_the_rules_can_be_asked_beforehand_and_nothing_is_logged(engine: Cronos) -> None:
    with_rules(engine, {"paths": "changed"}, {"secrets": "common"}, {"min_keep": 2}, {"forbid": True, "on": "compact"})
    (engine.project / "new").write_text(AWS_KEY)
    before = len(engine.operations())
    made = SnapshotRequest()
    plans: list[Any] = [
        engine.plan_restore(RestoreRequest(backup="old", strategy="replace")),
        engine.plan_snapshot(made),
        engine.plan_prune(PruneRequest(limits={"max_backups": 1})),
        engine.plan_compact(),
        engine.backups(),
    ]
    for plan in plans:
        assert isinstance(engine.foresee(plan, made), PolicyDeniedError)
    assert engine.foresee(engine.plan_restore(RestoreRequest(backup="old", strategy="replace", paths=("gone",)))) is None
    assert engine.foresee([]) is None
    assert len(engine.operations()) == before


def test_large_files_are_looked_at_beforehand_too(engine: Cronos) -> None:
    with_rules(engine, {"secrets": "common"})
    with (engine.project / "large").open("wb") as file:
        file.write(f"{AWS_KEY}\n".encode().ljust(9000))
        file.truncate(33 << 20)
    made = SnapshotRequest()
    denied = engine.foresee(engine.plan_snapshot(made), made)
    assert denied is not None
    assert "large seems to hold" in denied.message


def test_a_rehearsal_says_that_it_is_one(engine: Cronos) -> None:
    judge = judged_by(engine)
    engine.foresee(engine.backups())
    engine.foresee(engine.plan_restore(RestoreRequest(backup="old", strategy="merge")))
    engine.foresee(engine.plan_snapshot())
    assert [action.is_rehearsal for action in judge.actions] == [True] * 3


def test_the_log_of_a_denied_deletion_is_no_deletion_to_a_repair(engine: Cronos) -> None:
    judged_by(engine, BLOCKED)
    with pytest.raises(PolicyDeniedError):
        engine.delete(["old"])
    engine.gate = None
    deletion = json.dumps(engine.operations(1)[0].facts["backups"])
    assert "old_" in deletion
    (engine.store_path / "refs/tags/backup").rename(engine.store_path / "refs/tags/lost")
    packed = engine.store_path / "packed-refs"
    assert not packed.exists() or b"backup/old" not in packed.read_bytes()
    engine = make_engine(engine.project.parent)
    engine.repair()
    assert {backup.name for backup in engine.backups()} == {"old", "new"}
    assert not engine.trash()
