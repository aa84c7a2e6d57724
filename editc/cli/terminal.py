"""Everything that touches the terminal: run a command with progress, print its output, print diagnostics, exit
codes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from editc.cli.show.output import Output
    from editc.core.diagnostics import Diagnostic
    from editc.progress import ProgressLine

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

json_option: Callable[[F], F] = click.option(
    "--json", "json_", is_flag=True, help="Print the result as one JSON object."
)
"""The option `--json` of every command."""
set_option: Callable[[F], F] = click.option(
    "--set",
    "set_",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a field of the manifest, e.g. constraints.rank=8.",
)
"""The option `--set` of commands that read a manifest."""
finetune_option: Callable[[F], F] = click.option(
    "--allow-finetune", is_flag=True, help="Accept a fine-tune of the base too; the edit is recomputed for its weights."
)
"""The option `--allow-finetune` of commands that match a model with a delta."""
detector_option: Callable[[F], F] = click.option(
    "--detector", default="", metavar="NAME", help="Judge the pictures with this detector instead of the delta's own."
)
"""The option `--detector` of commands that measure a delta again."""


def _choose_device(context: click.Context, option: click.Parameter, device: str | None) -> None:
    """Put the device where everything that loads a model, in this process and in others, reads it."""
    if device is not None:
        os.environ["EDITC_DEVICE"] = device


device_option: Callable[[F], F] = click.option(
    "--device",
    metavar="NAME",
    expose_value=False,
    callback=_choose_device,
    help="Run every network on this device of torch: cpu, cuda, cuda:1 or mps [default: a GPU, if there is one, for "
    "training, painting and attacks; the CPU for text encoders and language models].",
)
"""The option `--device` of commands that run a model."""
_running: list[tuple[TextIO, ProgressLine | None]] = []
"""The real stdout and the progress of the command that is running: at most one entry."""


class LateGroup(click.Group):
    """A group with commands that are imported only when they are run or listed."""

    def __init__(self, *given: Any, late: Mapping[str, str], **named: Any) -> None:
        super().__init__(*given, **named)
        self.late = late
        """Name of a command -> `module:attribute`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, sorted."""
        return sorted([*super().list_commands(ctx), *self.late])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name. None if there is none."""
        if cmd_name not in self.late:
            return super().get_command(ctx, cmd_name)
        found: click.Command = _import(self.late[cmd_name])
        return found


def late_completion(place: str) -> Callable[[click.Context, click.Parameter, str], Any]:
    """What completes a word, at `module:attribute`: imported only when a shell asks."""
    return lambda ctx, param, incomplete: _import(place)(ctx, param, incomplete)


def _import(place: str) -> Any:
    """What stands at `module:attribute`."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def run_command(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command and return its exit code, also if it fails. With EDITC_DEBUG=1, print last what the libraries
    printed."""
    try:
        return _run_to_code(command, arguments)
    finally:
        if os.environ.get("EDITC_DEBUG"):
            from editc.libraries import foreign

            click.echo(foreign.last_lines(everything=True), nl=False, err=True)


def _run_to_code(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    wants_json = "--json" in arguments
    try:
        return int(command.main(list(arguments), prog_name="editc", standalone_mode=False) or 0)
    except click.exceptions.Abort:
        click.echo("stopped: no file is half-written", err=True)
        return 130
    except click.ClickException as error:
        return _report_usage(error, wants_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report_error(error, wants_json)


def print_answer(shown: Output, diagnostics: Sequence[Diagnostic], as_json: bool) -> int:
    """Print a result to stdout and its diagnostics to stderr. Returns the exit code."""
    from editc.core.diagnostics import as_json as record

    code = _exit_code(diagnostics) if diagnostics else 0
    if as_json:
        found = {"diagnostics": [dict(record(one)) for one in diagnostics]} if diagnostics else {}
        click.echo(json.dumps({"status": "failed" if code else shown.status, **shown.data, **found}, indent=2))
        return code
    if shown.text:
        colour = wants_colour(sys.stdout)
        click.echo(_colour(_printable(shown.text), shown.colours) if colour else _printable(shown.text), color=colour)
    if diagnostics:
        _print_diagnostics(diagnostics)
    return code


def run_verb(verb: Callable[..., T], *given: Any, **named: Any) -> T:
    """Call a function of `editc.api` and return its result.

    Meanwhile, show its progress, unless --json or --quiet is given, and hold back what libraries print. A function with
    a parameter `progress` gets the progress line.
    """
    from editc import progress
    from editc.libraries import foreign

    context = click.get_current_context(silent=True)
    silent = context is not None and (context.params.get("json_") or context.find_root().params.get("quiet"))
    with foreign.capture_output() as (out, err):
        line = None if silent else progress.open_progress((context and context.info_name) or verb.__name__, err)
        with line.running() if line else nullcontext():
            _running.append((out, line))
            try:
                return verb(*given, **named, **({"progress": line} if _takes_progress(verb) else {}))
            finally:
                _running.pop()


def print_part(text: str) -> None:
    """Print a part of the answer before the command is done."""
    out, line = _running[-1] if _running else (sys.stdout, None)
    if line is not None:
        line.clear()
    click.echo(_printable(text), file=out, nl=False)


def _takes_progress(verb: Callable[..., Any]) -> bool:
    """True if the function has a parameter `progress`."""
    return "progress" in signature(verb).parameters


def wants_colour(stream: TextIO) -> bool:
    """True for a terminal. NO_COLOR switches colours off; FORCE_COLOR switches them on anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def _colour(text: str, colours: Mapping[str, str]) -> str:
    """Colour the first group of every match of a pattern. `colours` maps patterns to colours."""
    found = [(*m.span(1), colour) for pattern, colour in colours.items() for m in re.finditer(pattern, text)]
    for start, end, colour in sorted(found, reverse=True):
        text = text[:start] + click.style(text[start:end], fg=colour) + text[end:]
    return text


def _printable(text: str) -> str:
    """Escape what could move the cursor, turn colours on or reverse the reading order. Names in a file may come from
    anybody."""
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from editc.cli.render import clean

    return "\n".join(map(clean, lines))


def _exit_code(diagnostics: Sequence[Diagnostic]) -> int:
    """The exit code for these diagnostics."""
    from editc.codes import exit_code

    return exit_code(diagnostics)


def _report_usage(error: click.ClickException, wants_json: bool) -> int:
    """Print a mistake in the command line itself. Returns exit code 2."""
    if wants_json:
        click.echo(json.dumps({"status": "error", "message": error.format_message()}))
    error.show(sys.stderr)
    return 2


def _report_error(error: Exception, wants_json: bool) -> int:
    """Print an exception: its diagnostics, or a traceback if it is a bug. Returns the exit code."""
    from editc.codes import BUG, exit_code
    from editc.core.diagnostics import EditcError
    from editc.core.diagnostics import as_json as record

    if not isinstance(error, EditcError):
        import traceback

        from editc.libraries import foreign

        traceback.print_exception(error)
        click.echo(foreign.last_lines(), nl=False, err=True)
        click.echo("\nthis is a bug in editc: please report it with the lines above", err=True)
        if wants_json:
            click.echo(json.dumps({"status": "bug", "message": f"{type(error).__name__}: {error}"}))
        return BUG
    if wants_json:
        found: list[Mapping[str, Any]] = [dict(record(one)) for one in error.diagnostics]
        click.echo(json.dumps({"status": "error", "diagnostics": found}, indent=2))
    else:
        _print_diagnostics(error.diagnostics)
    return exit_code(error.diagnostics) or BUG


def _print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """Print diagnostics to stderr."""
    from editc.cli.render import render

    colour = wants_colour(sys.stderr)
    click.echo(render(diagnostics, colour=colour), nl=False, err=True, color=colour)
