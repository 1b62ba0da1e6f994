"""`show` tells everything about one backup: its tag and its record. Floor F11."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cronos_git.cli import candidates
from cronos_git.cli.command import command
from cronos_git.cli.render.text import age, changes, local, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.model import Backup


@command("show", statuses=(6, 10, 12, 16), examples=("cronos show latest", "cronos show deploy --json"))
def show(
    context: typer.Context,
    backup: Annotated[
        str, typer.Argument(metavar="BACKUP", help="A backup, in one of the forms below.", autocompletion=candidates.backups)
    ],
) -> int:
    """Show one backup: when, why, how much, under which rules, and what could not be saved fully.

    Every command takes a BACKUP in these forms; an exact id wins, then they are tried from the top:

    \b
      shop_20260401_100000           its id; also with .zip, or a path that ends so
      latest, latest~2               the newest, the second before it
      latest:auto, latest:auto~1     the newest of a type, the one before it
      @yesterday, '@2 days ago',     the last one made by then; a day, minute or
      @2026-04-01T10:00, @10:30      second counts to its end
      20260401, 20260401_10          when it was made, in UTC as in ids, or the
                                     beginning of that: the newest that fits
      shop                           its name: the newest that has it
      shop_20260401_002              the second one of that name on that day
      shop_20260401, shop_20260401_1 its name, and when it was made
      egos_backup_TYPE_NAME_20260401_100000.zip
                                     what EGOS would have called it
      shop_2026040, 1a2b3c           the beginning of an id, or six and more
                                     digits of its commit or tag: only one may fit

    BACKUP:PATH is a file or directory in it, for ls, cat and restore. A time is local unless it is part of an id.
    """
    session = session_of(context)
    found = session.find(backup, for_all=True)
    record: Mapping[str, Any] = session.engine().record(found)
    if session.options.json:
        session.output.json({"backup": found, "record": record})
        return 0
    session.output.pairs([pair for pair in (*_about(session, found), *_made(record)) if pair[1]])
    for problem in record.get("problems", ()):
        session.output.line(f"{visible(problem['code'])}: {visible(problem['path'])}: {visible(problem['text'])}")
    return 0


def _about(session: Session, backup: Backup) -> list[tuple[str, str]]:
    engine = session.engine()
    metadata = json.dumps(dict(backup.metadata), sort_keys=True, ensure_ascii=False) if backup.metadata else ""
    return [
        ("Id", backup.id),
        ("Type", visible(backup.type)),
        ("Created", f"{local(backup.created, engine.zone)} ({age(backup.created, engine.clock.now())})"),
        ("Message", visible(backup.message)),
        ("Description", "\n".join(map(visible, backup.description.split("\n")))),
        ("Labels", visible(", ".join(backup.labels))),
        ("Pinned", "yes" if backup.pinned else ""),
        ("Metadata", visible(metadata)),
        ("Holds", f"{plural(backup.files, 'file')}, {size(backup.size_bytes)}"),
        (
            "Changes",
            f"{changes(backup)} since {backup.parent}" if backup.parent else f"{changes(backup)}, the first of its scope",
        ),
        ("Scope", visible(backup.scope)),
        ("Sequence", f"{backup.sequence}"),
        ("Commit", backup.commit),
        ("Tag", backup.tag),
    ]


def _made(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    rules, counts = record.get("rules", {}), record.get("counts", {})
    paths = record.get("scope", {}).get("paths", [""])
    excluded = counts.get("excluded_files", 0), counts.get("excluded_directories", 0)
    left = f"{plural(excluded[0], 'file')}, {plural(excluded[1], 'directory', 'directories')}" if any(excluded) else ""
    return [
        ("Paths", visible(", ".join(paths)) if paths != [""] else ""),
        ("Needs", visible(", ".join(sorted(record.get("dependencies", ()))))),
        ("Made by", visible(f"{record.get('user', '?')}@{record.get('host', '?')}, cronos {record.get('tool_version', '?')}")),
        ("Project", visible(str(record.get("project_root", "")))),
        ("Git", _git_state(record["git"]) if record.get("git") else ""),
        (
            "Nested Git",
            "\n".join(f"{visible(path)}: {_git_state(state)}" for path, state in sorted(record.get("nested_git", {}).items())),
        ),
        ("Excluded", visible(", ".join(rules.get("exclude", ())))),
        ("Included", visible(", ".join(rules.get("include", ())))),
        ("Left out", left),
        ("Problems", f"{counts['problems']:,}" if counts.get("problems") else ""),
    ]


def _git_state(state: Mapping[str, Any] | None) -> str:
    if state is None:
        return "cannot be read"
    head = state.get("head")
    where = f"{state.get('branch') or 'detached'} at {str(head)[:12]}" if head else "no commit yet"
    return visible(where + (", with uncommitted changes" if state.get("dirty") else ""))
