import io
import sys

import pytest

from cronos_git.cli.options import Options
from cronos_git.cli.render import progress
from cronos_git.cli.render.output import Output
from cronos_git.events import Advanced, Finished, Noticed, Started


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(monkeypatch: pytest.MonkeyPatch, options: Options, stream: io.StringIO) -> str:
    monkeypatch.setattr(progress, "FIRST_PAINT_S", 0.0)
    monkeypatch.setattr(progress, "_FRAME_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.Watcher(Output(options)) as watcher:
        watcher.receive(Started("scan"))
        watcher.receive(Advanced(3, 0))
        watcher.receive(Started("store", total_files=40, total_bytes=2048))
        watcher.receive(Advanced(12, 1024, "src/a"))
        watcher.receive(Noticed("warning", "x.y", "Look out\x1b."))
        watcher.receive(Noticed("warning", "x.y", "about one path", path="a"))
        watcher.receive(Noticed("info", "x.y", "by the way"))
        watcher.receive(Finished("store"))
    return stream.getvalue()


def test_bars_are_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(monkeypatch, Options(), Terminal())
    assert "Scanning" in text
    assert "Saving" in text
    assert "12/40 files  1.0 KiB/2.0 KiB" in text


@pytest.mark.parametrize(
    ("options", "stream"),
    [(Options(), io.StringIO()), (Options(quiet=True), Terminal()), (Options(no_progress=True), Terminal())],
    ids=["pipe", "quiet", "no-progress"],
)
def test_elsewhere_only_warnings_are_told(options: Options, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    options.color = "never"
    assert drawn(monkeypatch, options, stream) == "warning: Look out\\x1b.\n"


def test_verbose_tells_notes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "note: by the way\n" in drawn(monkeypatch, Options(verbose=1), io.StringIO())


def test_figures_show_what_is_known() -> None:
    fields = {"thing": "file", "files": 1, "bytes": 0, "of_files": None, "of_bytes": None}
    assert progress.figures(fields, 1.0) == "1 file"
    assert progress.figures(fields | {"bytes": 4096}, 2.0) == "1 file  4.0 KiB  2.0 KiB/s"
    assert progress.figures(fields | {"of_files": 3, "bytes": 4096, "of_bytes": 8192}, 0.0) == "1/3 files  4.0 KiB/8.0 KiB"
