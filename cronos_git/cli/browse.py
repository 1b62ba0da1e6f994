"""`ls`, `cat` and `find` look into backups. Floor F11."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Annotated

import typer

from cronos_git.cli import candidates, filters
from cronos_git.cli.command import command
from cronos_git.cli.paths import rooted
from cronos_git.cli.render.tables import Column, Table, align
from cronos_git.cli.render.text import local_ns, size, visible
from cronos_git.cli.session import session_of
from cronos_git.errors import UsageError
from cronos_git.model import Attributes, Entry, FoundEntry

if TYPE_CHECKING:
    from cronos_git.git.view import SnapshotView

_KIND_BITS = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "block": stat.S_IFBLK,
    "char": stat.S_IFCHR,
}
_FOUND_COLUMNS = (
    Column(title="SIZE", right=True),
    Column(title="MODIFIED", drop=1),
    Column(title="BACKUPS", right=True, drop=2),
    Column(title="FIRST", drop=3),
    Column(title="LAST"),
    Column(title="PATH", style="bold"),
)


@command("ls", statuses=(6, 10, 12, 16), examples=("cronos ls latest", "cronos ls -l deploy:src", "cronos ls -r latest~1 --json"))
def ls(
    context: typer.Context,
    where: Annotated[
        str,
        typer.Argument(
            metavar="BACKUP[:PATH]", help="A backup, and a directory or file in it.", autocompletion=candidates.places
        ),
    ],
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Everything below.")] = False,
    long: Annotated[bool, typer.Option("-l", "--long", help="With mode, owner, group, size and time.")] = False,
) -> int:
    """List what a backup holds.

    Paths are shown from the project's root, so that they can be given back to `cat` and `restore`. A directory ends with a slash.
    """
    from cronos_git.ops.browse import entries
    from cronos_git.rules.identify import split_path

    session = session_of(context)
    identifier, path = split_path(where)
    engine = session.engine()
    view = engine.view(session.find(identifier))
    found = entries(view, path or "", recursive=recursive)
    if session.options.json:
        session.output.json_lines(found)
    elif long:
        session.output.lines(_long_lines(found, view, engine.zone))
    else:
        session.output.lines(_label(entry) for entry in found)
    return 0


def _label(entry: Entry) -> str:
    return visible(entry.path) + ("/" if entry.attributes.kind == "directory" else "")


def _long_lines(entries: Sequence[Entry], view: SnapshotView, zone: tzinfo) -> Iterator[str]:
    rows = [_long_row(entry, view, zone) for entry in entries]
    yield from align(rows, [False, False, False, True, False, False])


def _long_row(entry: Entry, view: SnapshotView, zone: tzinfo) -> tuple[str, ...]:
    own = entry.attributes
    target = f" -> {visible(entry.link_target)}" if entry.link_target is not None else ""
    return (
        stat.filemode(_KIND_BITS[own.kind] | own.mode),
        visible(view.users.get(own.uid, str(own.uid))),
        visible(view.groups.get(own.gid, str(own.gid))),
        _length(own),
        local_ns(own.mtime_ns, zone),
        _label(entry) + target,
    )


def _length(own: Attributes) -> str:
    if own.device is not None:
        return f"{own.device[0]},{own.device[1]}"
    return f"{own.size_bytes}"


@command("cat", statuses=(6, 10, 12, 16), examples=("cronos cat latest:README.md", "cronos cat '@yesterday:src/app.py' > app.py"))
def cat(
    context: typer.Context,
    where: Annotated[
        str, typer.Argument(metavar="BACKUP:PATH", help="A backup, and a file in it.", autocompletion=candidates.places)
    ],
) -> int:
    """Write a file of a backup to standard output, byte for byte."""
    from cronos_git.rules.identify import split_path

    session = session_of(context)
    if session.options.json:
        raise UsageError(
            "cat writes a file's bytes; --json does not apply.", hint="`cronos ls --json BACKUP:PATH` describes the file."
        )
    identifier, path = split_path(where)
    if not path:
        raise UsageError(f"{where!r} names no file.", hint="Write it like cronos cat latest:README.md")
    session.output.content(session.engine().read(session.find(identifier), path))
    return 0


@command(
    "find", statuses=(6, 10, 12, 16), examples=("cronos find '*.env'", "cronos find 'src/**/*.py' --since '3 days ago' --json")
)
def find(
    context: typer.Context,
    patterns: Annotated[
        list[str], typer.Argument(metavar="PATTERN", help="Shell pattern on the name; with a slash on the path.")
    ],
    types: filters.Types = None,
    name: filters.Name = None,
    labels: filters.Labels = None,
    module: filters.Module = None,
    metadata: filters.Metadata = None,
    since: filters.Since = None,
    until: filters.Until = None,
    contains: filters.Contains = None,
    limit: filters.Limit = None,
) -> int:
    """Find files in all backups, each version once, with the first and the last backup that holds it."""
    session = session_of(context)
    query = filters.query(
        session,
        types=types,
        name=name,
        labels=labels,
        module=module,
        metadata=metadata,
        since=since,
        until=until,
        contains=contains,
        limit=limit,
    )
    engine, output = session.engine(), session.output
    found = engine.find([rooted(engine.project, pattern) for pattern in patterns], query)
    if session.options.json:
        output.json_lines(found)
    elif session.options.quiet:
        output.lines(dict.fromkeys(visible(version.entry.path) for version in found))
    elif found:
        output.table(Table(columns=_FOUND_COLUMNS, rows=[_found_row(version, engine.zone) for version in found]))
    else:
        output.note("Nothing matches.")
    return 0


def _found_row(found: FoundEntry, zone: tzinfo) -> tuple[str, ...]:
    own = found.entry.attributes
    return (
        size(own.size_bytes),
        local_ns(own.mtime_ns, zone),
        f"{len(found.backups)}",
        found.backups[0],
        found.backups[-1],
        _label(found.entry),
    )
