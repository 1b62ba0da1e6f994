"""What the scene of the fault sweep merges, so that the sweep over `merge` in `test_in_place_faults` proves something."""

from __future__ import annotations

from pathlib import Path

from tests.support.in_place import make_scene, merge


def test_the_merge_that_is_disturbed_has_edits_renames_markers_and_versions_beside(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, merge)
    merged = {path.removeprefix("merge/"): node[6] for path, node in scene.new.items() if path.startswith("merge/")}
    (beside,) = (name for name in merged if name.startswith("binary."))
    assert {name for name, content in merged.items() if content is not None} == {
        *("lines", "contradiction", "binary", "taken", "then/renamed", "now/renamed", beside),
    }
    assert (merged["binary"], merged[beside], merged["taken"]) == (b"\0now", b"\0then", b"then")
    assert b"now of a text" in merged["lines"]
    assert b"then of a text" in merged["lines"]
    assert merged["contradiction"].startswith(b"1\n<<<<<<< current\nnow\n")
