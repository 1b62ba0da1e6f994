"""The files without which a directory is no store: what each must say, and putting them back.

What a store consists of is `git.layout`'s to say. A file that can be read differently but is sound, such as a configuration
with remotes in it, is left as it is. Floor F6.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import CronosError, DamageError
from cronos_git.git import remotes
from cronos_git.git.layout import skeleton
from cronos_git.git.quarantine import Quarantine
from cronos_git.git.refs import read_ref
from cronos_git.git.session import GitSession
from cronos_git.git.store import store_path
from cronos_git.rules.remotes import check_name, check_url

_TRUTH = re.compile("true|false|yes|no|on|off", re.IGNORECASE)
_REMOTE = re.compile(r'^\[remote "([^"\n]+)"\]\n\turl = "((?:[^"\\\n]|\\.)*)"$', re.MULTILINE)
_NUMBER = re.compile("[0-9]+[kmg]?", re.IGNORECASE)
_DIRECTORIES = ("objects", "objects/pack", "refs")
"""What Git needs; the others come and go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """A file or directory of the store that is missing or damaged.

    Attributes:
        name: Its relative path.
        what: `gone` or `damaged`, and what else is to be said.
        content: What it must hold; None for a directory.
    """

    name: str
    what: str
    content: bytes | None


def find_flaws(store: Path, format_record: bytes) -> list[Flaw]:
    """What is missing or damaged; writes nothing.

    Args:
        format_record: What `cronos/format.json` is to hold should it have to be made anew.

    Raises:
        AccessError, HostError, GitVersionError: It cannot be told.
    """
    contents = {name: content for name, content in skeleton(format_record).items() if content is not None}
    wanted: dict[str, bytes | None] = {**dict.fromkeys(_DIRECTORIES), **contents}
    found = []
    for name, content in wanted.items():
        path = store / name
        if content is None:
            if not path.is_dir():
                found.append(Flaw(name=name, what="gone", content=None))
        elif not path.is_file():
            found.append(Flaw(name=name, what="gone", content=content))
        elif not _is_sound(store, name, content):
            found.append(Flaw(name=name, what="damaged", content=content))
    return sorted(found, key=lambda flaw: flaw.name == "config")  # only with its directories does git read a configuration


def with_remotes(store: Path, flaw: Flaw, noted: Mapping[str, str]) -> Flaw:
    """The flaw of a configuration that will hold remotes again: those that it still tells of, and others that are *noted*.

    Args:
        noted: URLs by name.
    """
    urls = {**noted, **_remotes_left(store / flaw.name)}
    if not urls:
        return flaw
    sections = b"".join(remotes.section(name, urls[name]) for name in sorted(urls))
    what = f"{flaw.what}; it gets the remotes {', '.join(sorted(urls))} again"
    return replace(flaw, what=what, content=(flaw.content or b"") + sections)


def _remotes_left(configuration: Path) -> dict[str, str]:
    """The remotes of which a damaged configuration still tells just as CRONOS writes them, URLs by name."""
    found = {}
    with contextlib.suppress(OSError):
        for name, quoted in _REMOTE.findall(os.fsdecode(configuration.read_bytes())):
            with contextlib.suppress(CronosError):
                found[check_name(name)] = check_url(re.sub(r"\\(.)", r"\1", quoted))
    return found


def mend(store: Path, flaws: list[Flaw], quarantine: Quarantine) -> None:
    """Put back what is missing or damaged; what was there goes to the quarantine.

    Raises:
        DiskFullError, AccessError, HostError: What was not put back is as it was.

    Durability: when this returns, it survives a power cut; if killed earlier, each file is the old or the new one.
    """
    for flaw in flaws:
        path = store / flaw.name
        if flaw.content is None:
            make_directory(path)
            continue
        make_directory(path.parent)
        if path.is_file():
            quarantine.copy(path, path.read_bytes())
        else:
            quarantine.move([path])
        files.write_durable(path, flaw.content)


def _is_sound(store: Path, name: str, wanted: bytes) -> bool:
    path = store / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise files.host_error(error, f"read {path}") from error
    if content == wanted:
        return True
    if name == "HEAD":
        return _leads_somewhere(store, content)
    if name == "config":
        return _is_configuration(path, wanted)
    return name == "cronos/format.json" and _is_format_record(store, content, wanted)


def _leads_somewhere(store: Path, head: bytes) -> bool:
    match = re.fullmatch(rb"ref: (refs/heads/[^\s\0]+)\n", head)
    if match is None:
        return False
    try:
        return read_ref(store, match[1].decode("utf-8", "surrogateescape")) is not None
    except DamageError:
        return True


def _is_configuration(path: Path, wanted: bytes) -> bool:
    """Whether git can read it, and all that ours says is there, with the same or another value of its kind."""
    listed = GitSession().run("config", "--file", str(path), "--list", check=False)
    values = dict(line.split("=", 1) for line in listed.stdout.decode(errors="replace").splitlines() if "=" in line)
    return listed.status == 0 and all(_is_like(values.get(key), value) for key, value in _settings(wanted))


def _settings(configuration: bytes) -> Iterator[tuple[str, str]]:
    """Keys as `git config --list` spells them, and values; only for a configuration as plain as our own."""
    section = ""
    for line in configuration.decode().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        else:
            key, _, value = line.strip().partition(" = ")
            yield f"{section}.{key.lower()}", value


def _is_like(value: str | None, ours: str) -> bool:
    kinds = (_TRUTH, _NUMBER)
    if value is None or value == ours:
        return value == ours
    return any(kind.fullmatch(ours) and kind.fullmatch(value) for kind in kinds)


def _is_format_record(store: Path, content: bytes, wanted: bytes) -> bool:
    """Whether it tells a format and a project. A newer format is not damage.

    Neither is another project, unless the store's own name, which holds a digest of the project's path, says that it is ours.
    """
    try:
        record, ours = json.loads(content), json.loads(wanted)
        roots = str(record["project_root"]), str(ours["project_root"])
        is_format = int(record["format"]) > 0 and bool(roots[0])
    except (ValueError, KeyError, TypeError):
        return False
    told, named = (store_path(store.parent, Path(root)).name == store.name for root in roots)
    return is_format and (roots[0] == roots[1] or told or not named)
