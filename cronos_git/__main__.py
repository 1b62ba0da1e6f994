"""`python -m cronos_git`: the same as the `cronos` command. Floor F11."""

import sys

from cronos_git.cli import main

if __name__ == "__main__":
    sys.exit(main())
