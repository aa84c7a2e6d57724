"""The command line in this process, for tests of what a command does. Starting Python and importing torch anew takes
some four seconds of CPU, which only a test of the start itself needs."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from subprocess import CompletedProcess

from editc.cli import cli, terminal


def editc(*arguments: str) -> CompletedProcess[str]:
    """Run `editc` with these arguments, and return its exit code and what it printed."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = terminal.run_command(cli, arguments)
    return CompletedProcess(["editc", *arguments], code, out.getvalue(), err.getvalue())
