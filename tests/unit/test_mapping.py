from __future__ import annotations

from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import ModuleScopeError, StoreMissingError
from cronos_git.git.listing import ListingReader
from cronos_git.git.trees import TreeEntry
from cronos_git.model import Backup, MapBackup, Module, SnapshotRequest
from cronos_git.rules.atlas_map import module_at, modules_of
from tests.support.engine import make_engine
from tests.support.git import git
from tests.unit.test_verify import flip_a_bit


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    engine = make_engine(tmp_path, modules={"Core": ("src/core",)})
    for path in ("src/core/a.py", "src/web/w.py", "README"):
        (engine.project / path).parent.mkdir(parents=True, exist_ok=True)
        (engine.project / path).write_text("1")
    return engine


def backed_up(engine: Cronos, *modules: str, name: str | None = None, **files: str | None) -> Backup:
    for path, text in files.items():
        place = engine.project / path.replace("__", "/")
        if text is None:
            place.unlink()
        else:
            place.write_text(text)
    return engine.snapshot(SnapshotRequest(name=name, modules=modules)).backup


def told(one: MapBackup) -> list[tuple[str, str, str | None]]:
    return [(change.kind, change.path, change.module) for change in one.changes]


def test_a_project_without_backups_has_its_modules_on_the_map(engine: Cronos) -> None:
    with pytest.raises(StoreMissingError):
        engine.project_map()
    engine.init()
    drawn = engine.project_map()
    assert (drawn.name, drawn.path, drawn.backups, drawn.more) == ("project", str(engine.project), (), 0)
    assert drawn.modules == (Module(name="Core", paths=("src/core",)),)


def test_each_backup_tells_what_changed_since_the_one_before_in_its_scope_and_in_which_module(engine: Cronos) -> None:
    first = backed_up(engine)
    web = backed_up(engine, "src/web")
    second = backed_up(engine, src__core__a="new", src__core__b="2", README=None)
    web2 = backed_up(engine, "src/web", src__web__w="3", README="unseen")
    drawn = engine.project_map()
    assert drawn.modules == (Module(name="Core", paths=("src/core",)), Module(name="web", paths=("src/web",)))
    assert [one.backup.id for one in drawn.backups] == [backup.id for backup in (web2, second, web, first)]
    assert [one.previous for one in drawn.backups] == [web.id, first.id, None, None]
    assert [one.whole for one in drawn.backups] == [False, True, False, True]
    assert [one.modules for one in drawn.backups] == [("web",), ("Core",), ("web",), ()]
    newest, whole, *firsts = drawn.backups
    assert told(newest) == [("added", "src/web/w", "web")]
    assert told(whole) == [("removed", "README", None), ("added", "src/core/a", "Core"), ("added", "src/core/b", "Core")]
    assert [one.changes for one in firsts] == [(), ()]


def test_a_limit_takes_the_newest_and_counts_the_rest(engine: Cronos) -> None:
    backups = [backed_up(engine, README=str(number)) for number in range(4)]
    drawn = engine.project_map(limit=2)
    assert [one.backup.id for one in drawn.backups] == [backups[3].id, backups[2].id]
    assert drawn.more == 2


def test_chosen_backups_stand_alone_and_are_compared_with_those_that_are_not_shown(engine: Cronos) -> None:
    first, second, third = (backed_up(engine, README=text) for text in "abc")
    drawn = engine.project_map([first, third])
    assert [(one.backup.id, one.previous) for one in drawn.backups] == [(third.id, second.id), (first.id, None)]
    assert drawn.more == 0


@pytest.mark.parametrize("word", ["core", "Core", "src/core", "src/core/"])
def test_one_module_keeps_its_backups_and_what_changed_in_it(engine: Cronos, word: str) -> None:
    first = backed_up(engine)
    backed_up(engine, README="2")
    both = backed_up(engine, README="3", src__core__b="1")
    own = backed_up(engine, "core", name="own")
    drawn = engine.project_map(module=word)
    assert [one.backup.id for one in drawn.backups] == [own.id, both.id]
    assert [told(one) for one in drawn.backups] == [[], [("added", "src/core/b", "Core")]]
    assert [module.name for module in drawn.modules] == ["Core"]
    assert first.id not in {one.backup.id for one in drawn.backups}


def test_a_module_that_holds_another_one_has_its_changes_too(engine: Cronos) -> None:
    backed_up(engine, "src")
    backed_up(engine, "src", src__core__b="1")
    newest = engine.project_map(module="src").backups[0]
    assert told(newest) == [("added", "src/core/b", "src")]


def test_an_unknown_module_is_told_with_those_there_are(engine: Cronos) -> None:
    backed_up(engine)
    with pytest.raises(ModuleScopeError) as caught:
        engine.project_map(module="nowhere")
    assert caught.value.context["candidates"] == ["Core"]


def broken(engine: Cronos, backup: Backup, path: str) -> None:
    flip_a_bit(engine, git("--git-dir", engine.store_path, "rev-parse", f"{backup.commit}:{path}").strip())


def test_a_backup_that_cannot_be_read_stands_on_the_map_and_is_told(engine: Cronos) -> None:
    first = backed_up(engine)
    torn = backed_up(engine, src__core__b="1")
    after = backed_up(engine, src__core__b="2")
    last = backed_up(engine, README="2")
    web = backed_up(engine, "src/web")
    web2 = backed_up(engine, "src/web", src__web__w="2")
    broken(engine, torn, "data/src")
    broken(engine, web2, "meta/snapshot.json")
    notices: list[str] = []
    engine.notice = lambda event: notices.append(event.text)
    drawn = engine.project_map()
    assert {one.backup.id for one in drawn.backups if one.damaged} == {torn.id, after.id, web2.id}
    assert [told(one) for one in drawn.backups if one.backup.id in (torn.id, last.id)] == [[("changed", "README", None)], []]
    assert [one.modules for one in drawn.backups[:2]] == [("web",), ("web",)]
    assert (len(drawn.backups), drawn.backups[-1].backup.id, len(notices)) == (6, first.id, 1)
    assert all(backup.id in notices[0] for backup in (torn, after, web2))
    broken(engine, web, "meta/snapshot.json")
    alone = engine.project_map(limit=1).backups[0]
    assert (alone.backup.id, alone.modules, alone.whole) == (web2.id, (), False)


def test_what_is_equal_is_never_read(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (engine.project / f"d{number}").mkdir()
        (engine.project / f"d{number}" / "f").write_text("1")
    backed_up(engine)
    backed_up(engine, README="2")
    read: list[str] = []
    tree = ListingReader.tree

    def counted(self: ListingReader, oid: str) -> list[TreeEntry]:
        read.append(oid)
        return tree(self, oid)

    monkeypatch.setattr(ListingReader, "tree", counted)
    assert len(engine.project_map(limit=1).backups[0].changes) == 1
    assert len(read) < 12


def test_modules_with_one_last_name_are_told_apart_by_their_paths() -> None:
    found = modules_of({"Web": ["w"]}, [("",), ("a/core",), ("b/core", "x/web"), ("a/core",), ("y/app", "w")])
    assert [(module.name, module.paths) for module in found] == [
        ("Web", ("w",)),
        ("a/core", ("a/core",)),
        ("b/core", ("b/core",)),
        ("x/web", ("x/web",)),
        ("app", ("y/app",)),
    ]


def test_a_path_belongs_to_the_innermost_module() -> None:
    modules = [Module(name="src", paths=("src",)), Module(name="core", paths=("lib", "src/core"))]
    paths = ("src/core/a", "src/corex", "src", "lib/b", "srcx", "README")
    assert [module_at(path, modules) for path in paths] == ["core", "src", "src", "core", None, None]
