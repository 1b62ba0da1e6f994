from __future__ import annotations

import html
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.model import Backup, ChangeKind, MapBackup, MapChange, Module, ProjectMap
from cronos_git.rules.atlas_map import dot, mermaid, tree, tree_lines
from cronos_git.rules.visible import visible

NASTY = [
    'say "hi"',
    "%%{init: {'theme': 'x'}}%%",
    "`code`",
    "- list",
    "1. end",
    "end",
    "a-->b; c",
    "#quot; #35; &amp; <b>",
    "style:x#1;",
    "_y_ **b** ~~s~~ [l](u)",
    "back\\slash\\",
    "new\nline",
    "raw\udcff",
    "\u202eoverride",
    "é日😀",
    "---",
    "",
]


def a_backup(number: int, **fields: object) -> Backup:
    backup = Backup(
        id=f"b{number}_20260401_140000",
        name="b",
        type="manual",
        scope="project",
        created=datetime(2026, 4, 1, 14, 0, tzinfo=UTC),
        sequence=number,
        parent=None,
        message="b",
        description="",
        labels=(),
        pinned=False,
        files=1,
        size_bytes=1,
        added=0,
        changed=0,
        removed=0,
        metadata={},
        commit="c" * 40,
        tag="t" * 40,
    )
    return replace(backup, **fields)  # type: ignore[arg-type]


def changed(path: str, kind: ChangeKind = "changed", module: str | None = None) -> MapChange:
    return MapChange(kind=kind, path=path, module=module)


def drawn(*backups: MapBackup, modules: tuple[Module, ...] = (), name: str = "site", more: int = 0) -> ProjectMap:
    return ProjectMap(name=name, path=f"/work/{name}", modules=modules, backups=backups, more=more)


CORE, WEB = Module(name="CORE", paths=("src/core",)), Module(name="web", paths=("web",))
WHOLE = MapBackup(
    backup=a_backup(3, message="Before the deploy"),
    previous="b1",
    whole=True,
    modules=("CORE",),
    changes=(changed("src/core/a", "added", "CORE"), changed("src/core/b", "changed", "CORE"), changed("README", "removed")),
)
SCOPED = MapBackup(
    backup=a_backup(2), previous="b0", whole=False, modules=("CORE", "web"), changes=(changed("web/w", "added", "web"),)
)
FIRST = MapBackup(backup=a_backup(1), previous=None, whole=True, modules=(), changes=())
MAP = drawn(WHOLE, SCOPED, FIRST, modules=(CORE, WEB), more=4)


def test_the_tree_tells_modules_then_backups_of_the_project_and_their_paths() -> None:
    assert "\n".join(tree_lines(tree(MAP, UTC, None))) == (
        "site  /work/site\n"
        "├── CORE  src/core\n"
        "│   └── b2_20260401_140000  2026-04-01 14:00  +1 ~0 -0\n"
        "├── web\n"
        "│   └── b2_20260401_140000  2026-04-01 14:00  +1 ~0 -0\n"
        "│       └── + web/w\n"
        "├── b3_20260401_140000  2026-04-01 14:00  +1 ~1 -1  Before the deploy\n"
        "│   ├── CORE  2 changed paths\n"
        "│   │   ├── + src/core/a\n"
        "│   │   └── ~ src/core/b\n"
        "│   └── - README\n"
        "├── b1_20260401_140000  2026-04-01 14:00  the first of its scope\n"
        "└── … and 4 more older backups"
    )


def test_a_damaged_backup_of_unknown_modules_hangs_at_the_project() -> None:
    lost = replace(SCOPED, modules=(), changes=(), damaged=True)
    lines = list(tree_lines(tree(drawn(lost, modules=(CORE,)), UTC, None)))
    assert lines[1:] == ["├── CORE  src/core", "└── b2_20260401_140000  2026-04-01 14:00  damaged"]
    assert "n0 --> n2" in mermaid(drawn(lost, modules=(CORE,)), UTC, None)


def test_more_paths_than_are_wanted_are_counted_in_every_form() -> None:
    lines = [line.strip("│├└─ ") for line in tree_lines(tree(MAP, UTC, 1))]
    assert "+ src/core/a" in lines
    assert "~ src/core/b" not in lines
    assert "… and 2 more paths" in lines
    assert "and 2 more paths" in mermaid(MAP, UTC, 1)
    assert "and 2 more paths" in dot(MAP, UTC, 1)


def test_mermaid_says_each_node_once_and_how_they_relate() -> None:
    assert mermaid(drawn(WHOLE, SCOPED, modules=(CORE,)), UTC, None) == (
        "flowchart LR\n"
        '  n0(["site<br/>/work/site"])\n'
        '  n1[["CORE<br/>src/core"]]\n'
        '  n2["b3_20260401_140000<br/>2026-04-01 14#58;00<br/>#43;1 ~1 -1<br/>Before the deploy"]\n'
        '  n3("src/core/a")\n'
        '  n4("src/core/b")\n'
        '  n5("README")\n'
        '  n6["b2_20260401_140000<br/>2026-04-01 14#58;00<br/>#43;1 ~0 -0"]\n'
        '  n7[["web"]]\n'
        '  n8("web/w")\n'
        "  n0 --> n1\n"
        "  n0 --> n2\n"
        '  n2 -.->|"2 changed"| n1\n'
        '  n2 -->|"added"| n3\n'
        '  n2 -->|"changed"| n4\n'
        '  n2 -->|"removed"| n5\n'
        "  n1 --> n6\n"
        "  n7 --> n6\n"
        '  n6 -->|"added"| n8\n'
    )


def labels(text: str) -> list[list[str]]:
    """The labels of a Mermaid flowchart's nodes as Mermaid would show them, line by line; checks that all of it is syntax."""
    found = []
    for line in text.splitlines()[1:]:
        node = re.fullmatch(r'  n\d+(?:\(\[|\[\[|\[|\()"((?:[^"#&<`%{};]|#\d+;|<br/>)*)"(?:\]\)|\]\]|\]|\))', line)
        if node is None:
            assert re.fullmatch(r'  n\d+ (-->|-\.->)(\|"[\w ]+"\|)? n\d+', line), line
            continue
        pieces = node[1].split("<br/>")
        assert not any(re.match(r"[-+*~]|\d+[.)]", piece) for piece in pieces)
        found.append([re.sub(r"#(\d+);", lambda number: chr(int(number[1])), piece) for piece in pieces])
    return found


def hostile_map(text: str) -> ProjectMap:
    module = Module(name=text or "m", paths=(text or "m",))
    one = MapBackup(
        backup=a_backup(1, message=text or "b"),
        previous="b0",
        whole=True,
        modules=(module.name,),
        changes=(changed(text, "changed", module.name), changed(f"x/{text}")),
    )
    return drawn(one, modules=(module,), name=text or "site")


def check_mermaid(text: str) -> None:
    found = labels(mermaid(hostile_map(text), UTC, None))
    told = visible(text)
    assert found[0] == [told or "site", visible(f"/work/{text or 'site'}")]
    assert [told or "."] in found[3:]
    assert [visible(f"x/{text}")] in found


@pytest.mark.parametrize("text", NASTY)
def test_no_name_is_taken_for_mermaid(text: str) -> None:
    check_mermaid(text)


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from('"#;&<>%`{}[]()|-_*~:.\n\\ 1'))))
def test_any_name_comes_back_from_mermaid(text: str) -> None:
    check_mermaid(text)


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from('"#;&<>\\lNG\n')), min_size=1))
def test_any_name_comes_back_from_dot(text: str) -> None:
    written = re.findall(
        r'^  n\d+ \[shape=note, label="((?:[^"\\]|\\[\\"])*)"\]$', dot(hostile_map(text), UTC, None), re.MULTILINE
    )
    shown = [html.unescape(re.sub(r"\\(.)", r"\1", label)) for label in written]
    assert shown == [visible(text), visible(f"x/{text}")]


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_every_name_as_it_is() -> None:
    changes = tuple(changed(text) for text in NASTY)
    one = MapBackup(backup=a_backup(1), previous="b0", whole=True, modules=(), changes=changes)
    source = dot(drawn(one), UTC, None)
    done = subprocess.run(["dot", "-Tsvg"], input=source.encode(), capture_output=True, check=True)
    assert done.stderr == b""
    texts = [html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", done.stdout.decode())]
    assert {visible(text) or "." for text in NASTY} <= {text.replace("\xa0", " ") for text in texts}


@pytest.mark.parametrize("text", NASTY)
def test_no_name_breaks_the_lines_of_the_tree(text: str) -> None:
    lines = list(tree_lines(tree(hostile_map(text), UTC, None)))
    assert len(lines) == 6
    assert all(line == visible(line) for line in lines)
