"""The edge to the terminal: verbs with their progress, answers, diagnostics, exit codes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from inspect import signature
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from editc.cli.output import Output
    from editc.cli.progress import ProgressLine
    from editc.core.diagnostics import Diagnostic

T = TypeVar("T")
_running: list[tuple[TextIO, ProgressLine | None]] = []
"""The true stdout and the progress of the verb that runs; there is one or none."""


def run_command(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command and turn whatever stops it into its exit code; with EDITC_DEBUG=1 what libraries said is last."""
    try:
        return _run_to_code(command, arguments)
    finally:
        if os.environ.get("EDITC_DEBUG"):
            from editc.libraries import foreign

            click.echo(foreign.last_lines(everything=True), nl=False, err=True)


def _run_to_code(command: click.Command, arguments: Sequence[str]) -> int:
    wants_json = "--json" in arguments
    try:
        return int(command.main(list(arguments), prog_name="editc", standalone_mode=False) or 0)
    except click.exceptions.Abort:
        click.echo("stopped: nothing was half-written", err=True)
        return 130
    except click.ClickException as error:
        return _report_usage(error, wants_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report_error(error, wants_json)


def print_answer(shown: Output, diagnostics: Sequence[Diagnostic], as_json: bool) -> int:
    """Print a result to stdout and its diagnostics to stderr; the exit code."""
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
    """What a verb of `editc.api` gives. Meanwhile its progress is shown, unless --json or --quiet ask for none, and
    what libraries print is kept back. A verb that takes `progress` says by it what it does."""
    from editc.cli import progress
    from editc.libraries import foreign

    context = click.get_current_context(silent=True)
    hushed = context is not None and (context.params.get("json_") or context.find_root().params.get("quiet"))
    with foreign.capture_output() as (out, err):
        found = None if hushed else progress.open_progress((context and context.info_name) or verb.__name__, err)
        with found.running() if found else nullcontext():
            _running.append((out, found))
            try:
                return verb(*given, **named, **({"progress": found} if _takes_progress(verb) else {}))
            finally:
                _running.pop()


def print_part(text: str) -> None:
    """Prints a part of the answer, before the verb is done as well."""
    out, found = _running[-1] if _running else (sys.stdout, None)
    if found is not None:
        found.clear()
    click.echo(_printable(text), file=out, nl=False)


def _takes_progress(verb: Callable[..., Any]) -> bool:
    return "progress" in signature(verb).parameters


def wants_colour(stream: TextIO) -> bool:
    """Colours on a terminal; NO_COLOR forbids them, and FORCE_COLOR asks for them anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def _colour(text: str, colours: Mapping[str, str]) -> str:
    """The text with the first group of every match of a pattern in its colour."""
    found = [(*m.span(1), colour) for pattern, colour in colours.items() for m in re.finditer(pattern, text)]
    for start, end, colour in sorted(found, reverse=True):
        text = text[:start] + click.style(text[start:end], fg=colour) + text[end:]
    return text


def _printable(text: str) -> str:
    """The text with what could move the cursor, turn colours on or reverse the reading order shown as an escape: names
    of tensors and edits are a stranger's."""
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from editc.cli.render import clean

    return "\n".join(map(clean, lines))


def _exit_code(diagnostics: Sequence[Diagnostic]) -> int:
    from editc.codes import exit_code

    return exit_code(diagnostics)


def _report_usage(error: click.ClickException, wants_json: bool) -> int:
    if wants_json:
        click.echo(json.dumps({"status": "error", "message": error.format_message()}))
    error.show(sys.stderr)
    return 2


def _report_error(error: Exception, wants_json: bool) -> int:
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
    from editc.cli.render import render

    colour = wants_colour(sys.stderr)
    click.echo(render(diagnostics, colour=colour), nl=False, err=True, color=colour)
