"""Projects of Python sources in memory, as `rules.python_paths.Sources`."""

from __future__ import annotations

from collections.abc import Mapping


class DictSources:
    """Files by path; counts what is asked of it."""

    def __init__(self, files: Mapping[str, str | bytes | None], links: Mapping[str, str] | None = None) -> None:
        self.links = links or {}
        self.files = {**files, **dict.fromkeys(self.links)}
        self.listed: list[str] = []
        self.opened: list[str] = []

    def names(self, path: str) -> Mapping[str, bool]:
        self.listed.append(path)
        prefix = f"{path}/" if path else ""
        below = [file[len(prefix) :] for file in self.files if file.startswith(prefix)]
        return {name.partition("/")[0]: "/" in name for name in below}

    def read(self, path: str) -> bytes | None:
        self.opened.append(path)
        content = self.files[path]
        return content.encode() if isinstance(content, str) else content

    def link(self, path: str) -> str | None:
        return self.links.get(path)


EGOS = {
    "subsystems/__init__.py": "",
    "subsystems/README.md": "",
    "subsystems/ETHIK/__init__.py": "",
    "subsystems/ETHIK/core/__init__.py": "",
    "subsystems/ETHIK/core/gate.py": "import json\n\nfrom ...ATLAS.core import chart\nfrom . import rules\n",
    "subsystems/ETHIK/core/rules.py": "import os\n",
    "subsystems/ETHIK/config/ethik.json": "{}",
    "subsystems/ATLAS/core/chart.py": "def draw():\n    from subsystems.MYCELIUM.net import Net\n",
    "subsystems/ATLAS/legend.txt": "",
    "subsystems/MYCELIUM/net.py": "import settings\n",
    "subsystems/NEXUS/core.py": "import subsystems.ETHIK\n",
    "settings.py": "import yaml\n",
    "docs/logo.svg": "",
}
"""A project shaped like EGOS: ETHIK needs ATLAS, which needs MYCELIUM, which needs a lone file; NEXUS needs ETHIK."""
