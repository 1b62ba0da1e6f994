"""Archives for imports: as EGOS made them, and as nobody should."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cronos_git.engine import Cronos
from cronos_git.model import ImportReport, ImportRequest


def make_zip(path: Path, members: Mapping[str, bytes], metadata: Mapping[str, Any] | None = None) -> Path:
    """A zip as EGOS's BackupManager makes it: deflated, without directories, the metadata last."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2025, 4, 1, 9, 30, 0)), content, zipfile.ZIP_DEFLATED)
        if metadata is not None:
            archive.writestr("backup_metadata.json", json.dumps(metadata, indent=4))
    return path


def make_tar(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **headers: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, headers
    return info


def bring_in(engine: Cronos, path: Path, **options: Any) -> ImportReport:
    return engine.import_(ImportRequest(path=str(path), **options))


def ids(engine: Cronos) -> list[str]:
    return [backup.id for backup in engine.backups()]
