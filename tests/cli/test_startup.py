import subprocess
import sys

import pytest

from cronos_git import __version__

HEAVY = ("typer", "rich", "pydantic", "pygit2", "pathspec", "subprocess", "git", "isal", "asyncio")


def loaded_by(code: str) -> set[str]:
    """The heavy modules that are loaded after *code* ran in an interpreter of its own."""
    report = f"import sys\n{code}\nprint(*[m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


def test_version_loads_nothing_heavy() -> None:
    assert loaded_by("from cronos_git.cli import main; main(['--version'])") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["list", "--help"], ["create", "--frob"], ["--json", "--version"]])
def test_parsing_loads_no_renderer_and_no_engine(arguments: list[str]) -> None:
    loaded = loaded_by(f"from cronos_git.cli import main\nmain({arguments})")
    assert loaded.isdisjoint({"rich", "pygit2", "pathspec", "git", "asyncio"})


def test_module_prints_its_version() -> None:
    done = subprocess.run([sys.executable, "-m", "cronos_git", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"cronos {__version__}\n"
