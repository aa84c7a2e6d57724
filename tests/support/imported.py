"""What a command imports, by its name alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def imported(arguments: Sequence[str], cwd: Path | None = None) -> set[str]:
    """The packages that `editc ARGUMENTS` imports, from beginning to end; it must do well."""
    return {name.split(".")[0] for name in loaded_modules(arguments, cwd)}


def loaded_modules(arguments: Sequence[str], cwd: Path | None = None) -> set[str]:
    """The modules that `editc ARGUMENTS` imports, from beginning to end; it must do well."""
    command = [sys.executable, "-X", "importtime", "-m", "editc", *arguments]
    env = {**os.environ, "EDITC_DEBUG": "1"}  # else what Python says while a verb runs is kept back
    ran = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env)
    assert ran.returncode == 0, ran.stderr[-2000:]
    names = {line.rsplit("|", 1)[-1].strip() for line in ran.stderr.splitlines() if "|" in line}
    assert "editc.cli" in names
    return names
