"""The table in Markdown, and everything that was measured as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.measure import Measurement, floor_bytes
from benchmarks.rows import Results, Row
from benchmarks.trees import MIB

_REFERENCES = ("restic", "git")
_TIMES = ("Median s", "Least–most s", *(f"Time ÷ {name}" for name in _REFERENCES))
_SPACES = ("Peak MiB", "Stored MiB", *(f"Stored ÷ {name}" for name in _REFERENCES))
_COLUMNS = ("Work", "Tool", *_TIMES, *_SPACES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and with what was measured."""

    tree: str
    system: str
    processor: str
    cores: int
    memory_bytes: int
    file_system: str
    load: float
    versions: Mapping[str, str]


def describe_machine(work: Path, tree: str, versions: Mapping[str, str]) -> Machine:
    """This machine now; *load* over zero tells that it was not idle before the first row."""
    models = [line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    file_system = subprocess.run(["stat", "-f", "-c", "%T", work], capture_output=True, text=True, check=True).stdout.strip()
    return Machine(
        tree=tree,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        processor=models[0].strip() if models else platform.machine(),
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        file_system=file_system,
        load=round(os.getloadavg()[0], 2),
        versions=versions,
    )


def format_markdown(machine: Machine, results: Sequence[tuple[Row, Results]]) -> str:
    """The table, with what it was measured on above and what the columns mean below."""
    return "\n".join([*_heading(machine), "", *_table(results), "", *_notes(results), *_legend()])


def format_json(machine: Machine, results: Sequence[tuple[Row, Results]]) -> str:
    """Every single measurement; sizes in bytes, times in seconds."""
    rows = {row.key: {tool: [asdict(one) for one in runs] for tool, runs in measured.items()} for row, measured in results}
    return json.dumps({"machine": asdict(machine), "peak_floor_bytes": floor_bytes(), "rows": rows}, indent=2) + "\n"


def _heading(machine: Machine) -> Iterator[str]:
    memory = f"{machine.memory_bytes / 1024 / MIB:.0f} GiB"
    yield f"Tree: {machine.tree}. Load before the start: {machine.load}. File system: {machine.file_system}."
    yield f"{machine.system}, {machine.processor}, {machine.cores} cores, {memory}."
    yield ", ".join(f"{tool} {version}" for tool, version in machine.versions.items()) + "."


def _table(results: Sequence[tuple[Row, Results]]) -> Iterator[str]:
    yield _line(_COLUMNS)
    yield _line(["---", "---"] + ["--:"] * (len(_COLUMNS) - 2))
    for row, measured in results:
        for tool in measured:
            yield _line([row.title, tool, *_cells(tool, measured)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(tool: str, measured: Results) -> Iterator[str]:
    runs = measured[tool]
    seconds = [run.seconds for run in runs]
    yield f"{median(seconds):.3f}"
    yield f"{min(seconds):.3f}–{max(seconds):.3f}"
    for reference in _REFERENCES:
        yield _ratio(median(seconds), _seconds(measured.get(reference, ())))
    yield _peak(runs)
    stored = _stored(runs)
    yield "" if stored is None else f"{stored / MIB:,.3f}"
    for reference in _REFERENCES:
        yield _ratio(stored, _stored(measured.get(reference, ())))


def _seconds(runs: Sequence[Measurement]) -> float | None:
    return median(run.seconds for run in runs) if runs else None


def _stored(runs: Sequence[Measurement]) -> float | None:
    known = [run.stored_bytes for run in runs if run.stored_bytes is not None]
    return median(known) if known else None


def _ratio(value: float | None, reference: float | None) -> str:
    return f"{value / reference:.2f}" if value is not None and reference else ""


def _peak(runs: Sequence[Measurement]) -> str:
    peak_bytes = max(run.peak_bytes for run in runs)
    return f"< {floor_bytes() / MIB:.0f}" if peak_bytes <= floor_bytes() else f"{peak_bytes / MIB:.0f}"


def _notes(results: Sequence[tuple[Row, Results]]) -> Iterator[str]:
    for row, measured in results:
        for tool, runs in measured.items():
            for note in dict.fromkeys(run.note for run in runs if run.note):
                yield f"{row.title}, {tool}: {note}."


def _legend() -> Iterator[str]:
    yield "Median, least and most over the rounds; tools took turns, in another order each round."
    yield "Peak: most resident memory of any one process of the tool, over all rounds."
    yield "Stored: disk space of the store after a first backup, growth of the store by any later one or by a restore (median)."
