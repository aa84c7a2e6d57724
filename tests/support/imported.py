"""What a command imports, by its name alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COMMAND = """
import atexit, sys

sys.argv[0] = "editc"
atexit.register(lambda: print("modules:", *sys.modules, file=sys.__stderr__))
from editc.cli import main

main()
"""
"""A program that runs `editc ARGUMENTS` and says at its end which modules are loaded, however they were imported:
`-X importtime` leaves out what `import_module` is asked for."""


def imported(arguments: Sequence[str], cwd: Path | None = None) -> set[str]:
    """The packages that `editc ARGUMENTS` imports, from beginning to end; it must do well."""
    return {name.split(".")[0] for name in loaded_modules(arguments, cwd)}


def loaded_modules(arguments: Sequence[str], cwd: Path | None = None) -> set[str]:
    """The modules that `editc ARGUMENTS` imports, from beginning to end; it must do well."""
    ran = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, cwd=cwd)
    assert ran.returncode == 0, ran.stderr[-2000:]
    (names,) = (line.split()[1:] for line in ran.stderr.splitlines() if line.startswith("modules: "))
    assert "editc.cli" in names
    return set(names)
