"""Tables: what they are, what of them fits, and how they look on a terminal and in a pipe.

In a pipe: every column, no truncation, `-` for nothing, so that lines can be searched and cut. On a terminal: columns that say
nothing or do not fit are left out, and rich draws it; rich takes a millisecond a row, so long tables are aligned by `align`.
Floor F11.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

RICH_ROWS = 200
"""Longest table that rich draws."""
_GAP = "  "
_FLEXIBLE_MINIMUM = 12
_FOLDED_WELL = 30
_ALIGNED_MAXIMUM = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        right: Right-aligned, for numbers.
        style: rich style on a terminal.
        silent: Cell value that says nothing; a column of only these is left out on a terminal.
        drop: The column with the highest is left out first when a terminal is too narrow; 0 never is.
        flexible: May be cut with an ellipsis on a terminal.
        folds: Is never cut: what does not fit goes on in the lines below.
    """

    title: str
    right: bool = False
    style: str = ""
    silent: str = ""
    drop: int = 0
    flexible: bool = False
    folds: bool = False

    def least(self, natural: int) -> int:
        """The narrowest that it may be drawn, when its widest cell takes *natural* cells."""
        return min(natural, _FLEXIBLE_MINIMUM) if self.flexible or self.folds else natural

    def wanted(self, natural: int) -> int:
        """How wide it shall be before columns that may be dropped are kept."""
        return min(natural, _FOLDED_WELL) if self.folds else self.least(natural)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and rows; the cells are safe to print."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]


def width_of(text: str) -> int:
    """Terminal cells that *text* takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def align(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterable[str]:
    """The rows as lines with their columns aligned and no blank at the end; cost grows with the number of cells.

    A cell that is very long stands out of its column, lest one such name make every line as long.
    """
    widths = [min(_ALIGNED_MAXIMUM, max(map(width_of, cells))) for cells in zip(*rows, strict=True)]
    template = list(zip(widths, right, strict=True))
    for row in rows:
        yield _GAP.join([_padded(cell, width, to_right) for cell, (width, to_right) in zip(row, template, strict=True)]).rstrip()


def _padded(cell: str, width: int, to_right: bool) -> str:
    if not cell.isascii():
        width += len(cell) - width_of(cell)
    return cell.rjust(width) if to_right else cell.ljust(width)


def plain_lines(table: Table) -> Iterable[str]:
    """The whole table with its titles, for a pipe."""
    titles = tuple(column.title for column in table.columns)
    rows = [titles, *(tuple(cell or "-" for cell in row) for row in table.rows)]
    return align(rows, [column.right for column in table.columns])


def fit(table: Table, width: int) -> tuple[Table, list[int]]:
    """The columns that have something to say and fit into *width* cells, and how wide each is drawn."""
    cells = list(zip(*table.rows, strict=True))
    natural = [max(map(width_of, (column.title, *cells[index]))) for index, column in enumerate(table.columns)]
    kept = [i for i, column in enumerate(table.columns) if any(cell not in ("", column.silent) for cell in cells[i])]

    def wanted() -> int:
        return sum(table.columns[i].wanted(natural[i]) for i in kept) + len(_GAP) * (len(kept) - 1)

    while wanted() > width and any(table.columns[i].drop for i in kept):
        kept.remove(max(kept, key=lambda i: table.columns[i].drop))
    spare = max(0, width - sum(table.columns[i].least(natural[i]) for i in kept) - len(_GAP) * (len(kept) - 1))
    widths = []
    for i in kept:
        least = table.columns[i].least(natural[i])
        grown = min(natural[i], least + spare)
        spare -= grown - least
        widths.append(grown)
    fitted = Table(columns=tuple(table.columns[i] for i in kept), rows=[tuple(row[i] for i in kept) for row in table.rows])
    return fitted, widths


def cut_lines(table: Table, width: int) -> Iterable[str]:
    """What fits of the table into *width* cells, for a terminal and more rows than rich should draw."""
    fitted, widths = fit(table, width)
    lines = [tuple(column.title for column in fitted.columns)]
    for row in fitted.rows:
        cells = [_cell_lines(cell, column, limit) for cell, column, limit in zip(row, fitted.columns, widths, strict=True)]
        lines += zip_longest(*cells, fillvalue="")
    return align(lines, [column.right for column in fitted.columns])


def _cell_lines(cell: str, column: Column, width: int) -> list[str]:
    if column.folds:
        from textwrap import wrap

        return wrap(cell, width) or ["-"]
    return [_cut(cell, width) if column.flexible else cell or "-"]


def _cut(cell: str, width: int) -> str:
    if width_of(cell) <= width:
        return cell or "-"
    while width_of(cell) >= width:
        cell = cell[:-1]
    return cell + "…"


def draw(table: Table, console: Console) -> None:
    """Draw a short table on a terminal with rich."""
    from rich import table as rich_table
    from rich.text import Text

    fitted, widths = fit(table, console.width)
    drawn = rich_table.Table(box=None, padding=(0, len(_GAP), 0, 0), pad_edge=False, header_style="bold")
    for column, width in zip(fitted.columns, widths, strict=True):
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            style=column.style,
            width=width,
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in fitted.rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)
