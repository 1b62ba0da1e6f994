"""`map` draws the project, its modules, its backups, and what changed in each. Floor F11."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cronos_git.cli import candidates
from cronos_git.cli.command import command
from cronos_git.cli.render.text import plural, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import RefusedError, UsageError
from cronos_git.model import ProjectMap
from cronos_git.rules import atlas_map
from cronos_git.rules.atlas_map import Branch

if TYPE_CHECKING:
    from rich.tree import Tree

_Format = Literal["tree", "mermaid", "dot", "json"]
_BACKUPS = 10
_PATHS = 20
_RICH_LINES = 1000
_STYLES = {
    "project": "bold",
    "module": "cyan",
    "backup": "yellow",
    "added": "green",
    "changed": "yellow",
    "removed": "red",
    "more": "cyan",
}


@command(
    "map",
    statuses=(6, 10, 12, 13, 16),
    examples=(
        "cronos map",
        "cronos map --module ETHIK -l 50",
        "cronos map --format mermaid --output map.mmd",
        "cronos map --format dot | dot -Tsvg > map.svg",
    ),
)
def map_(
    context: typer.Context,
    identifiers: Annotated[
        list[str] | None,
        typer.Argument(metavar="BACKUP", show_default=False, help="Only these.", autocompletion=candidates.backups),
    ] = None,
    form: Annotated[_Format, typer.Option("--format", metavar="FORMAT", help="tree, mermaid, dot or json.")] = "tree",
    module: Annotated[
        str | None, typer.Option("--module", metavar="MODULE", help="Only what concerns it: a name or path on the map.")
    ] = None,
    limit: Annotated[
        int, typer.Option("-l", "--limit", metavar="N", min=0, help="At most so many backups, the newest; 0 for all.")
    ] = _BACKUPS,
    paths: Annotated[
        int, typer.Option("--paths", metavar="N", min=0, help="At most so many paths of each backup; 0 for all.")
    ] = _PATHS,
    target: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", show_default=False, help="Write it to a new file.")
    ] = None,
) -> int:
    """Show the project's modules, its backups, and which paths changed in each: + added, ~ changed, - removed.

    Modules are what the configuration names under `modules`, and what backups were made of. Each backup is compared with the one
    before it in its scope; the first one has nothing to be compared with. All is read from the backups when it is shown. JSON has
    all paths.
    """
    session = session_of(context)
    if module == "" or target == "":
        raise UsageError("A module or file cannot be empty.", hint="Give a name, or leave the option out.")
    if target is not None and os.path.lexists(target):
        raise RefusedError(f"{target} exists already.", hint="Give another name, or remove it first.", path=target)
    chosen = [session.find(identifier) for identifier in identifiers] if identifiers else None
    drawn = session.engine().project_map(chosen, module=module, limit=None if chosen else limit or None)
    is_json = session.options.json or form == "json"
    if target is not None:
        _write(session, Path(target), _text(session, drawn, "json" if is_json else form, paths or None))
    elif is_json:
        session.output.json(drawn)
    elif session.options.quiet:
        session.output.lines(one.backup.id for one in drawn.backups)
    elif form == "tree":
        _show_tree(session, atlas_map.tree(drawn, session.engine().zone, paths or None))
    else:
        session.output.lines(_text(session, drawn, form, paths or None).splitlines())
    return 0


def _text(session: Session, drawn: ProjectMap, form: _Format, paths: int | None) -> str:
    zone = session.engine().zone
    if form == "mermaid":
        return atlas_map.mermaid(drawn, zone, paths)
    if form == "dot":
        return atlas_map.dot(drawn, zone, paths)
    if form == "json":
        from cronos_git.cli.render.jsonout import document

        return document(drawn) + "\n"
    return "".join(f"{line}\n" for line in atlas_map.tree_lines(atlas_map.tree(drawn, zone, paths)))


def _write(session: Session, target: Path, text: str) -> None:
    from cronos_git.disk.files import write_durable

    write_durable(target, text.encode(), mode=0o644)
    if session.options.quiet:
        session.output.line(visible(str(target)))
    elif session.options.json:
        session.output.json({"path": str(target)})
    else:
        session.output.line(f"Wrote {visible(str(target))}, {plural(text.count(chr(10)), 'line')}.")


def _show_tree(session: Session, root: Branch) -> None:
    output = session.output
    lines = list(atlas_map.tree_lines(root, lambda branch: output.paint(branch.text, _STYLES[branch.kind])))
    if not output.terminal or len(lines) > _RICH_LINES:
        output.lines(lines)
        return
    with output.console.capture() as drawn:
        output.console.print(_grown(root))
    output.lines(drawn.get().splitlines())


def _grown(branch: Branch) -> Tree:
    """The tree as rich draws it, which folds long lines below their guides."""
    from rich.text import Text
    from rich.tree import Tree

    grown = Tree(Text(branch.text, _STYLES[branch.kind]), guide_style="dim")
    grown.children = [_grown(child) for child in branch.below]
    return grown
