"""`python -m benchmarks`: measure CRONOS and its peers, print a Markdown table; progress goes to standard error."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks import trees
from benchmarks.measure import ToolFailedError, run_step
from benchmarks.peers import PEERS, Peer
from benchmarks.report import describe_machine, format_json, format_markdown
from benchmarks.rows import Bench, Kinds, Results, Row, Sizes, make_rows, run_row

_SYNTHETIC = "synthetic:"
Item = TypeVar("Item")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as *arguments* say.

    Returns:
        0 when every step of every tool succeeded, 1 when one failed (no table then), 2 for wrong arguments.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    sizes = Sizes(large_bytes=options.large_mib * trees.MIB, many=options.many)
    try:
        rows = _chosen(options.only, make_rows(sizes), lambda row: row.key)
        kinds = _installed(options.peers)
    except ValueError as error:
        parser.error(str(error))
    try:
        _measure(options, rows, kinds, sizes)
    except (ToolFailedError, OSError) as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--tree",
        default="linux",
        help="a directory (only read: a copy is measured), `linux` (the kernel's source, from Debian's package linux-source-6.1; "
        "default) or `synthetic:N` (N files made on the spot)",
    )
    parser.add_argument(
        "--work", type=Path, default=Path("bench-data"), help="where everything is written (default ./bench-data)"
    )
    parser.add_argument("--runs", type=_positive, default=3, help="rounds for each row (default 3)")
    parser.add_argument("--only", help=f"rows to measure: {','.join(row.key for row in make_rows(Sizes(large_bytes=0, many=0)))}")
    parser.add_argument("--peers", help=f"tools to measure: {','.join(kind.name for kind in PEERS)} (default: those installed)")
    parser.add_argument("--json", type=Path, help="write every single measurement to this file")
    parser.add_argument("--large-mib", type=_positive, default=2048, help="size of the large file in MiB (default 2048)")
    parser.add_argument("--many", type=_positive, default=10_000, help="backups in the long list (default 10000)")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _chosen(text: str | None, known: Sequence[Item], key: Callable[[Item], str]) -> list[Item]:
    names = text.split(",") if text else [key(item) for item in known]
    wrong = sorted(set(names) - {key(item) for item in known})
    if wrong:
        raise ValueError(f"not known: {', '.join(wrong)}; choose from {', '.join(key(item) for item in known)}")
    return [item for item in known if key(item) in names]


def _installed(text: str | None) -> list[type[Peer]]:
    """The tools asked for, which must be there, or all that are."""
    chosen = _chosen(text, PEERS, lambda kind: kind.name)
    missing = [kind.name for kind in chosen if not kind.is_installed()]
    if text and missing:
        raise ValueError(f"not installed: {', '.join(missing)}")
    for name in missing:
        _tell(f"{name} is not installed here and is left out")
    return [kind for kind in chosen if kind.name not in missing]


def _measure(options: argparse.Namespace, rows: Sequence[Row], kinds: Kinds, sizes: Sizes) -> None:
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    area = Path(tempfile.mkdtemp(prefix="run-", dir=work))
    try:
        bench = Bench(area, _tree_maker(options.tree, work), sizes)
        census = trees.take_census(bench.tree.tree)
        shown = f"{Path(options.tree).name}, {census.files:,} files, {census.size_bytes / trees.MIB:,.0f} MiB"
        machine = describe_machine(work, shown, _versions(bench, kinds))
        results: list[tuple[Row, Results]] = []
        for row in rows:
            results.append((row, run_row(row, bench, kinds, options.runs, _tell)))
            if options.json:  # after each row: a failure hours later must not cost the figures before it
                options.json.write_text(format_json(machine, results))
    finally:
        trees.remove_tree(area)
    print(format_markdown(machine, results))


def _tree_maker(text: str, work: Path) -> Callable[[Path], object]:
    if text.startswith(_SYNTHETIC):
        return partial(trees.make_synthetic, files=_positive(text.removeprefix(_SYNTHETIC)))
    source = trees.unpack_linux(work) if text == "linux" else Path(text)
    return partial(trees.copy_tree, source, left_out=work)


def _versions(bench: Bench, kinds: Kinds) -> dict[str, str]:
    told = {kind.name: run_step(bench.few.current(kind).version()) for kind in kinds if "version" in kind.rows}
    return {name: _number(text.decode()) for name, text in told.items()}


def _number(told: str) -> str:
    """The first word of a version line that begins with a digit."""
    return next((word for word in told.split() if word[0].isdigit()), told.strip())


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
