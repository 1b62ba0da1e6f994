"""The `cronos` command.

This module is all that `cronos --version` loads: start-up is part of the product. Everything else is in `app`. Floor F11.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cronos_git import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit status.

    Args:
        argv: The words after `cronos`; those of the process when None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        sys.stdout.write(f"cronos {__version__}\n")
        return 0
    from cronos_git.cli.app import run

    return run(arguments)
