"""The edge to the terminal: answers, diagnostics, exit codes, and progress bars that only slow work shows."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from editc.diagnostics import Diagnostic
    from editc.show import Shown

_COLLECT = 50_000
"""Objects after which Python looks for garbage; at its own 700, that is a tenth of the time to start."""
SLOW = 1.0
"""Seconds after which a loop shows how far it is."""


def guarded(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command and turn whatever stops it into its exit code."""
    wants_json = "--json" in arguments
    gc.set_threshold(_COLLECT)
    try:
        return int(command.main(list(arguments), prog_name="editc", standalone_mode=False) or 0)
    except click.exceptions.Abort:
        click.echo("stopped: nothing was half-written", err=True)
        return 130
    except click.ClickException as error:
        return _usage(error, wants_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _stopped(error, wants_json)


def answer(shown: Shown, diagnostics: Sequence[Diagnostic], as_json: bool) -> int:
    """Print a result to stdout and its diagnostics to stderr; the exit code."""
    from editc.diagnostics import as_json as record

    code = _exit_code(diagnostics) if diagnostics else 0
    if as_json:
        found = {"diagnostics": [dict(record(one)) for one in diagnostics]} if diagnostics else {}
        click.echo(json.dumps({"status": "failed" if code else shown.status, **shown.data, **found}, indent=2))
        return code
    if shown.text:
        click.echo(_plain(shown.text))
    if diagnostics:
        _talk(diagnostics)
    return code


def progress(label: str, items: Iterable[Any]) -> Iterator[Any]:
    """The items, with a bar on stderr once a second has passed; none where stderr is no terminal."""
    every = list(items)
    begun = time.monotonic()
    with ExitStack() as stack:
        bar = None
        for index, item in enumerate(every):
            yield item
            if bar is None and time.monotonic() - begun > SLOW and sys.stderr.isatty():
                bar = stack.enter_context(click.progressbar(length=len(every), label=f"{label:<8}", file=sys.stderr))
                bar.update(index)
            if bar is not None:
                bar.update(1)


def _plain(text: str) -> str:
    """The text with what could move the cursor, turn colours on or reverse the reading order shown as an escape: names
    of tensors and edits are a stranger's."""
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from editc.render import clean

    return "\n".join(map(clean, lines))


def _exit_code(diagnostics: Sequence[Diagnostic]) -> int:
    from editc.codes import exit_code

    return exit_code(diagnostics)


def _usage(error: click.ClickException, wants_json: bool) -> int:
    if wants_json:
        click.echo(json.dumps({"status": "error", "message": error.format_message()}))
    error.show(sys.stderr)
    return 2


def _stopped(error: Exception, wants_json: bool) -> int:
    from editc.codes import BUG, exit_code
    from editc.diagnostics import EditcError
    from editc.diagnostics import as_json as record

    if not isinstance(error, EditcError):
        import traceback

        traceback.print_exception(error)
        click.echo("\nthis is a bug in editc: please report it with the lines above", err=True)
        if wants_json:
            click.echo(json.dumps({"status": "bug", "message": f"{type(error).__name__}: {error}"}))
        return BUG
    if wants_json:
        found: list[Mapping[str, Any]] = [dict(record(one)) for one in error.diagnostics]
        click.echo(json.dumps({"status": "error", "diagnostics": found}, indent=2))
    else:
        _talk(error.diagnostics)
    return exit_code(error.diagnostics) or BUG


def _talk(diagnostics: Sequence[Diagnostic]) -> None:
    from editc.render import render

    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    click.echo(render(diagnostics, colour=colour), nl=False, err=True, color=colour)
