"""`with_dependencies`, and what restores tell of what their modules need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import BusError, DamageError, InterruptedRunError, ModuleScopeError
from cronos_git.events import Noticed, Run
from cronos_git.model import Module, RestoreRequest, SnapshotRequest
from cronos_git.ops.dependencies import widen_subject
from cronos_git.ops.subject import describe
from tests.support.engine import make_engine
from tests.support.git import git
from tests.support.sources import EGOS
from tests.support.trees import Link, Special, make_tree
from tests.unit.test_verify import flip_a_bit

ATLAS, ETHIK, MYCELIUM = "subsystems/ATLAS", "subsystems/ETHIK", "subsystems/MYCELIUM"
NEEDED = ["settings.py", ATLAS, MYCELIUM, "subsystems/__init__.py"]


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    engine = make_engine(tmp_path)
    make_tree(engine.project, EGOS)
    return engine


def save(engine: Cronos, *modules: str, name: str | None = None, **more: Any) -> str:
    return engine.snapshot(SnapshotRequest(name=name, modules=modules, **more)).backup.id


def told(engine: Cronos, request: RestoreRequest | SnapshotRequest) -> tuple[Any, list[tuple[str, str]]]:
    """A plan, and the notices on the way to it."""
    notices: list[tuple[str, str]] = []
    run = Run(emit=lambda event: notices.append((event.code, event.text)) if isinstance(event, Noticed) else None)
    plan = engine.plan_restore(request, run) if isinstance(request, RestoreRequest) else engine.plan_snapshot(request, run)
    return plan, notices


def overwriting(backup: str, **more: Any) -> RestoreRequest:
    return RestoreRequest(backup=backup, strategy="overwrite", **more)


def write(engine: Cronos, path: str, text: str = "changed = 1\n") -> None:
    (engine.project / path).write_text(text)


def dependencies(engine: Cronos, backup: str) -> Any:
    return engine.record(engine.resolve(backup).backup).get("dependencies")


def test_a_search_ends_when_the_run_is_cancelled(engine: Cronos) -> None:
    run = Run()
    run.cancelled = True
    request = SnapshotRequest(modules=("ETHIK",), with_dependencies=True)
    subject = describe(str(engine.project), engine.settings, request)
    with pytest.raises(InterruptedRunError):
        widen_subject(subject, request, None, run)


# --- create ----------------------------------------------------------------------------------------------------------


def test_a_backup_takes_along_what_its_modules_need_and_says_why(engine: Cronos) -> None:
    request = SnapshotRequest(modules=("ETHIK",), with_dependencies=True)
    plan, notices = told(engine, request)
    report = engine.snapshot(request)
    assert report.backup.scope == plan.scope.name == "atlas+ethik+mycelium"
    assert list(plan.scope.paths) == ["settings.py", ATLAS, ETHIK, MYCELIUM, "subsystems/__init__.py"]
    assert report.dependencies == plan.dependencies
    assert {one.module.paths[0]: (one.needed_by, one.reason) for one in report.dependencies} == {
        "settings.py": ((MYCELIUM,), "subsystems/MYCELIUM/net.py:1 imports settings"),
        ATLAS: ((ETHIK,), "subsystems/ETHIK/core/gate.py:3 imports ...ATLAS.core"),
        MYCELIUM: ((ATLAS,), "subsystems/ATLAS/core/chart.py:2 imports subsystems.MYCELIUM.net"),
        "subsystems/__init__.py": ((ATLAS, ETHIK), "subsystems/ETHIK/core/gate.py:3 imports ...ATLAS.core"),
    }
    held = {entry.path for entry in engine.entries(report.backup, recursive=True)}
    assert {f"{ATLAS}/legend.txt", f"{MYCELIUM}/net.py", "settings.py"} <= held
    assert not held & {"docs", "subsystems/NEXUS", "subsystems/README.md"}
    assert notices == []


def test_the_scope_is_that_of_naming_all_modules(engine: Cronos) -> None:
    first = engine.snapshot(SnapshotRequest(modules=("ETHIK", "ATLAS", "MYCELIUM"))).backup
    second = engine.snapshot(SnapshotRequest(modules=("ATLAS", "ETHIK"), with_dependencies=True)).backup
    assert second.parent == first.id


@pytest.mark.parametrize("modules", [(), (".",), ("docs",), ("settings.py",)])
def test_what_needs_nothing_stays_as_it_is(engine: Cronos, modules: tuple[str, ...]) -> None:
    plain = engine.plan_snapshot(SnapshotRequest(modules=modules))
    assert engine.plan_snapshot(SnapshotRequest(modules=modules, with_dependencies=True)) == plain


def test_a_name_means_the_module_called_so_rather_than_a_directory_deep_in_another(engine: Cronos) -> None:
    make_tree(engine.project, {"subsystems/NEXUS/old/ETHIK/a": "", "docs/same/a": "", "subsystems/NEXUS/same/a": ""})
    whole = save(engine)
    assert engine.plan_snapshot(SnapshotRequest(modules=("ethik",))).scope.paths == (ETHIK,)
    assert engine.plan_restore(overwriting(whole, modules=("ethik",))).paths == (ETHIK,)
    for ask in (
        lambda: engine.plan_snapshot(SnapshotRequest(modules=("same",))),
        lambda: engine.plan_restore(overwriting(whole, modules=("same",))),
    ):
        with pytest.raises(ModuleScopeError) as caught:
            ask()
        assert caught.value.context["candidates"] == ["docs/same", "subsystems/NEXUS/same"]


def test_a_module_is_not_said_to_be_absent_from_a_backup_that_is_damaged(engine: Cronos) -> None:
    whole = save(engine)
    commit = engine.resolve(whole).backup.commit
    flip_a_bit(engine, git("--git-dir", engine.store_path, "rev-parse", f"{commit}:data/subsystems").strip())
    with pytest.raises(DamageError):
        engine.plan_restore(overwriting(whole, modules=("ETHIK",)))


def test_what_links_lead_to_is_needed_in_a_project_and_in_its_backups(engine: Cronos) -> None:
    make_tree(
        engine.project, {"app": {"x.py": "import chart\n", "seal.py": Link("../docs/seal.py")}, "chart": Link("subsystems/ATLAS")}
    )
    (engine.project / "docs/seal.py").write_text("")
    plan, notices = told(engine, SnapshotRequest(modules=("app",), with_dependencies=True))
    whole = save(engine)
    restored, _ = told(engine, overwriting(whole, modules=("app",), with_dependencies=True))
    assert plan.dependencies == restored.dependencies
    assert {one.module.paths[0]: one.reason for one in plan.dependencies if one.needed_by == ("app",)} == {
        "chart": "app/x.py:1 imports chart",
        "docs": "app/seal.py is a link to docs/seal.py",
        ATLAS: "app/x.py:1 imports chart",
    }
    assert notices == []


def test_configured_modules_are_taken_whole_and_under_their_names(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, modules={"charts": (ATLAS, "docs"), "gone": ("subsystems/GONE",)})
    make_tree(engine.project, EGOS)
    plan = engine.plan_snapshot(SnapshotRequest(modules=("ETHIK",), with_dependencies=True))
    assert plan.scope.name == "charts+ethik+mycelium"
    assert plan.scope.paths == ("docs", "settings.py", ATLAS, ETHIK, MYCELIUM, "subsystems/__init__.py")


def test_what_the_rules_leave_out_is_not_taken_along(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, exclude=("MYCELIUM/", "settings.py"))
    make_tree(engine.project, EGOS)
    plan = engine.plan_snapshot(SnapshotRequest(modules=("ETHIK",), with_dependencies=True))
    assert plan.scope.paths == (ATLAS, ETHIK, "subsystems/__init__.py")


def test_odd_files_hurt_nobody_and_what_cannot_be_read_is_told(engine: Cronos) -> None:
    odd = os.fsdecode(b"caf\xe9 \n.py")
    make_tree(
        engine.project / ETHIK,
        {
            "fifo.py": Special("fifo"),
            "socket.py": Special("socket"),
            "link.py": Link("../../../outside.py"),
            "loop": Link("."),
            "two.py": "print 'two'\nimport two_tool\n",
            "huge.py": b"#" * (5 << 20),
            odd: "import docs_tool\n",
            "directory.py": {"x.py": "from . import y"},
        },
    )
    write(engine, "docs_tool.py")
    write(engine, "two_tool.py")
    plan, notices = told(engine, SnapshotRequest(modules=("ETHIK",), with_dependencies=True))
    assert plan.scope.paths == ("docs_tool.py", "settings.py", ATLAS, ETHIK, MYCELIUM, "subsystems/__init__.py", "two_tool.py")
    assert [code for code, _ in notices] == ["dependency.unknown"]
    for name in ("two.py", "huge.py", "fifo.py", "link.py"):
        assert f"{ETHIK}/{name}" in notices[0][1]


def test_a_module_that_is_not_there_is_refused_as_ever(engine: Cronos) -> None:
    with pytest.raises(ModuleScopeError):
        engine.plan_snapshot(SnapshotRequest(modules=("NOBODY",), with_dependencies=True))


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_backup_of_modules_notes_what_they_needed_with_the_ids_that_a_whole_one_has(engine: Cronos) -> None:
    whole, part = save(engine, name="whole"), save(engine, "ETHIK", name="part")
    noted = dependencies(engine, part)
    assert sorted(noted) == sorted(NEEDED)
    assert noted[MYCELIUM]["needed_by"] == [ATLAS]
    for path, about in noted.items():
        assert git("--git-dir", engine.store_path, "rev-parse", f"backup/{whole}:data/{path}").strip() == about["oid"]
    assert dependencies(engine, whole) is None
    assert dependencies(engine, save(engine, "docs")) == {}
    assert dependencies(engine, save(engine, "ETHIK", with_dependencies=True)) == {}
    assert git("--git-dir", engine.store_path, "fsck", "--strict") == ""


def test_what_changes_in_a_dependency_does_not_make_a_backup_of_the_module_new(engine: Cronos) -> None:
    first = save(engine, "ETHIK")
    write(engine, f"{ATLAS}/core/chart.py")
    report = engine.snapshot(SnapshotRequest(modules=("ETHIK",), skip_if_unchanged=True))
    assert report.unchanged
    assert report.backup.id == first


def test_the_next_whole_backup_takes_nothing_over_that_was_only_looked_at(engine: Cronos, tmp_path: Path) -> None:
    save(engine, "ETHIK")
    report = engine.snapshot(SnapshotRequest())
    assert report.files_read == len(EGOS) - 5  # ETHIK's files are stored already, and no others
    assert git("--git-dir", engine.store_path, "fsck", "--strict") == ""


# --- restore ---------------------------------------------------------------------------------------------------------


def test_a_restore_brings_back_what_the_sources_of_that_time_needed(engine: Cronos) -> None:
    save(engine, name="then")
    for path in ("core/chart.py", "legend.txt"):
        write(engine, f"{ATLAS}/{path}", "nothing = 1\n")
    write(engine, f"{ETHIK}/core/gate.py", "import subsystems.NEXUS.core\n")
    write(engine, "subsystems/NEXUS/core.py", "kept = 1\n")
    shutil.rmtree(engine.project / MYCELIUM)
    plan, notices = told(engine, overwriting("then", modules=("ETHIK",), with_dependencies=True))
    assert list(plan.paths) == ["settings.py", ATLAS, ETHIK, MYCELIUM, "subsystems/__init__.py"]
    assert [one.module.paths[0] for one in plan.dependencies] == NEEDED
    assert notices == []
    report = engine.apply_restore(plan)
    assert report.plan.dependencies == plan.dependencies
    for path in (f"{ATLAS}/core/chart.py", f"{ETHIK}/core/gate.py", f"{MYCELIUM}/net.py"):
        assert (engine.project / path).read_text() == EGOS[path]
    assert (engine.project / "subsystems/NEXUS/core.py").read_text() == "kept = 1\n"


def test_a_restore_to_a_new_place_takes_the_same(engine: Cronos, tmp_path: Path) -> None:
    save(engine, name="then")
    request = RestoreRequest(backup="then", modules=("ETHIK",), with_dependencies=True, target=str(tmp_path / "out"))
    report = engine.restore(request)
    assert [one.module.paths[0] for one in report.plan.dependencies] == NEEDED
    assert (tmp_path / "out" / MYCELIUM / "net.py").exists()
    assert not (tmp_path / "out/docs").exists()


def test_a_restore_of_everything_needs_nothing_more(engine: Cronos) -> None:
    save(engine, name="then")
    plan, notices = told(engine, overwriting("then", with_dependencies=True))
    assert (plan.paths, plan.dependencies, notices) == ((), (), [])


def test_what_a_backup_of_modules_lacks_is_told(engine: Cronos) -> None:
    save(engine, "ETHIK", "NEXUS", name="part")
    for modules in ((), ("ETHIK",)):
        plan, notices = told(engine, overwriting("part", modules=modules, with_dependencies=True))
        assert [code for code, _ in notices] == ["dependency.missing"]
        assert all(path in notices[0][1] for path in NEEDED)
        assert plan.paths == ((ETHIK,) if modules else ())


def test_a_part_of_a_backup_is_only_told_of_what_that_part_needed(engine: Cronos) -> None:
    save(engine, "ETHIK", "docs", name="part")
    assert told(engine, overwriting("part", modules=("docs",), with_dependencies=True))[1] == []


def test_a_backup_that_does_not_say_what_it_needed_is_told_apart(engine: Cronos) -> None:
    report = engine.snapshot(SnapshotRequest(name="part", modules=("ETHIK",), only=("*.py",)))
    _, notices = told(engine, overwriting("part", with_dependencies=True))
    text = f"{report.backup.id} does not say what its modules needed; only what the sources import is counted."
    assert notices == [("dependency.unknown", text)]


def test_patterns_narrow_the_modules_and_not_what_these_need(engine: Cronos) -> None:
    plan = engine.plan_snapshot(SnapshotRequest(modules=("ETHIK",), only=("gate.py",), with_dependencies=True))
    assert plan.scope.paths == (
        "settings.py",
        ATLAS,
        f"{ETHIK}/core/__init__.py",
        f"{ETHIK}/core/gate.py",
        f"{ETHIK}/core/rules.py",
        MYCELIUM,
        "subsystems/__init__.py",
    )
    assert plan.scope.name.startswith("atlas+ethik")


def test_a_damaged_source_in_a_backup_is_told_and_the_rest_counts(engine: Cronos) -> None:
    save(engine, name="then")
    flip_a_bit(engine, git("--git-dir", engine.store_path, "rev-parse", f"refs/heads/main:{ETHIK}/core/rules.py").strip())
    plan, notices = told(engine, RestoreRequest(backup="then", modules=("ETHIK",), with_dependencies=True))
    assert [one.module.paths[0] for one in plan.dependencies] == NEEDED
    assert [code for code, _ in notices] == ["dependency.unknown"]
    assert f"{ETHIK}/core/rules.py" in notices[0][1]


# --- what has changed since ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backup", "how_many"), [("whole", " (2 paths)"), ("part", "")])
def test_a_restore_of_a_module_warns_of_what_it_needs_and_is_no_longer_the_same(
    engine: Cronos, backup: str, how_many: str
) -> None:
    identifiers = {"whole": save(engine, name="whole"), "part": save(engine, "ETHIK", name="part")}
    request = overwriting(backup, modules=("ETHIK",))
    write(engine, "docs/logo.svg")
    os.utime(engine.project / ATLAS / "legend.txt", ns=(1, 1))
    assert told(engine, request)[1] == []
    write(engine, f"{ATLAS}/legend.txt")
    write(engine, f"{ATLAS}/new")
    (engine.project / "settings.py").unlink()
    since = f"since {identifiers[backup]}."
    assert told(engine, request)[1] == [
        ("dependency.changed", f"settings.py, which the restored modules need, is gone {since}"),
        ("dependency.changed", f"subsystems/ATLAS, which the restored modules need, has changed{how_many} {since}"),
    ]


def test_a_directory_more_is_a_change_that_no_path_is_counted_for(engine: Cronos) -> None:
    backup = save(engine, name="then")
    (engine.project / ATLAS / "empty").mkdir()
    text = f"subsystems/ATLAS, which the restored modules need, has changed since {backup}."
    assert told(engine, overwriting("then", modules=("ETHIK",)))[1] == [("dependency.changed", text)]


def test_the_warning_comes_once_whichever_way_a_restore_goes(engine: Cronos) -> None:
    save(engine, name="then")
    write(engine, f"{ATLAS}/legend.txt")
    request = overwriting("then", modules=("ETHIK",))
    for at_once in (True, False):
        write(engine, f"{ETHIK}/core/rules.py")
        events: list[object] = []
        run = Run(emit=events.append)
        if at_once:
            engine.restore(request, run)
        else:
            engine.apply_restore(engine.plan_restore(request, run), run)
        assert sum(isinstance(event, Noticed) for event in events) == 1


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"modules": ("ETHIK",), "with_dependencies": True},
        {"paths": (f"{ETHIK}/core/gate.py",)},
        {"modules": ("docs",)},
        {"modules": ("subsystems",), "paths": ("settings.py",)},
    ],
    ids=["everything", "all that is needed", "a file", "no sources", "all of it by name"],
)
def test_nobody_is_warned_of_what_is_restored_too_or_not_needed(engine: Cronos, more: dict[str, Any]) -> None:
    save(engine, name="then")
    write(engine, f"{ATLAS}/legend.txt")
    write(engine, "settings.py")
    assert told(engine, overwriting("then", **more))[1] == []


def test_a_restore_elsewhere_warns_of_nothing(engine: Cronos, tmp_path: Path) -> None:
    save(engine, name="then")
    write(engine, f"{ATLAS}/legend.txt")
    (tmp_path / "out").mkdir()
    assert told(engine, overwriting("then", modules=("ETHIK",), target=str(tmp_path / "out")))[1] == []


def test_an_undo_warns_of_nothing(engine: Cronos) -> None:
    save(engine, name="then")
    write(engine, f"{ATLAS}/legend.txt")
    write(engine, f"{ETHIK}/core/rules.py")
    engine.restore(overwriting("then", modules=("ETHIK",)))
    events: list[object] = []
    engine.undo(Run(emit=events.append))
    assert not [event for event in events if isinstance(event, Noticed)]


# --- somebody who knows more -----------------------------------------------------------------------------------------


class Adviser:
    """Says what it was told to; an error when it was told nothing of a module."""

    name = "NEXUS"

    def __init__(self, **known: Sequence[str]) -> None:
        self.known = known
        self.asked: list[str] = []

    def needed_by(self, module: Module) -> tuple[str, ...]:
        self.asked.append(module.name)
        if module.name not in self.known:
            raise BusError("It did not answer.")
        return tuple(self.known[module.name])


def test_what_an_adviser_says_is_added_with_what_that_needs(engine: Cronos) -> None:
    engine.adviser = adviser = Adviser(docs=["subsystems.ATLAS", "docs", "ATLAS"], ATLAS=["atlas"], MYCELIUM=[])
    plan, notices = told(engine, SnapshotRequest(modules=("docs",), with_dependencies=True))
    assert plan.scope.name == "atlas+docs+mycelium"
    assert plan.dependencies[1].reason == "NEXUS says that docs needs it"
    assert plan.dependencies[2].file == f"{ATLAS}/core/chart.py"
    assert adviser.asked == ["docs", "ATLAS", "MYCELIUM"]
    assert notices == []


def test_names_that_mean_nothing_here_are_told(engine: Cronos) -> None:
    engine.adviser = Adviser(docs=["KOIOS", "\x1b[2J", "settings"])
    plan, notices = told(engine, SnapshotRequest(modules=("docs",), with_dependencies=True))
    assert plan.scope.paths == ("docs", "settings.py")
    assert notices == [("dependency.unknown", r"NEXUS names what is nowhere in the project: \x1b[2J, KOIOS.")]


def test_an_adviser_that_does_not_say_is_told_once_and_the_imports_count(engine: Cronos) -> None:
    engine.adviser = adviser = Adviser()
    plan, notices = told(engine, SnapshotRequest(modules=("ETHIK",), with_dependencies=True))
    assert [one.module.paths[0] for one in plan.dependencies] == NEEDED
    text = "NEXUS was not heard: It did not answer. Only what the sources import is counted."
    assert notices == [("dependency.unknown", text)]
    assert adviser.asked == ["ETHIK"]


def test_an_adviser_is_asked_only_when_dependencies_are_wanted(engine: Cronos) -> None:
    engine.adviser = adviser = Adviser()
    save(engine, "ETHIK")
    save(engine)
    told(engine, overwriting("latest", modules=("ETHIK",)))
    assert adviser.asked == []


def test_an_adviser_counts_in_a_restore_as_far_as_the_backup_goes(engine: Cronos) -> None:
    save(engine, name="then")
    make_tree(engine.project, {"subsystems/KOIOS/log.py": ""})
    engine.adviser = Adviser(docs=["KOIOS", "MYCELIUM"], MYCELIUM=[])
    plan, notices = told(engine, overwriting("then", modules=("docs",), with_dependencies=True))
    assert plan.paths == ("docs", "settings.py", MYCELIUM)
    assert [text for _, text in notices] == ["NEXUS names what is nowhere in the project: KOIOS."]
