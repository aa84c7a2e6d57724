"""The command `editc view`."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from editc.cli import terminal

if TYPE_CHECKING:  # `editc --help` imports this module, and needs none of these
    from editc.viewing.server import Server

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""
WAKE = 0.5
"""Seconds after which the command looks for Ctrl-C: a signal that comes just before a wait does not end that wait."""
MODEL = terminal.late_completion("editc.cli.completing:complete_model")
"""What completes a model in a shell."""


@click.command()
@click.argument("path", type=PATH)
@click.option("--model", shell_complete=MODEL, default="", metavar="MODEL", help="The base, to try prompts with.")
@click.option("--key", type=PATH, multiple=True, metavar="FILE", help="A public key that you trust.")
@click.option("--policy", type=PATH, metavar="FILE", help="The policy that the delta must suit.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Serve there [default: any free].")
@click.option("--open", "open_", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--export",
    "out",
    type=PATH,
    metavar="OUT",
    help="Serve nothing; write a file that ends in .html, or a folder.",
)
@terminal.device_option
@terminal.json_option
def view(
    path: Path,
    model: str,
    key: tuple[Path, ...],
    policy: Path | None,
    port: int,
    open_: bool,
    out: Path | None,
    json_: bool,
) -> int:
    """Look at a delta, a build or a fleet in the browser.

    PATH is a delta, the folder of `editc build`, or that of `editc fleet`. The pages are served to this machine alone,
    until Ctrl-C."""
    import webbrowser

    from editc.viewing import view as viewing

    if out is not None:
        return _export(path, out, key, policy, json_)
    with _stop_signals() as stopped, terminal.run_verb(viewing.serve, path, model, key, policy, port) as server:
        _tell(server, json_)
        if open_:
            webbrowser.open(server.address)
        while not stopped.wait(WAKE):
            pass
    return 0


@contextmanager
def _stop_signals() -> Iterator[Event]:
    """Within the `with`, Ctrl-C and a request to end set the event, whatever runs at that moment."""
    stopped = Event()
    chosen = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, lambda *_: stopped.set()) for one in chosen}
    try:
        yield stopped
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _export(path: Path, out: Path, key: tuple[Path, ...], policy: Path | None, as_json: bool) -> int:
    """Write the pages as files."""
    from editc.cli.show.output import Output
    from editc.core.text import count
    from editc.viewing import view as viewing

    written = terminal.run_verb(viewing.export, path, out, key, policy)
    first = viewing.first_page(written)
    more = f" and {count(len(written) - 1, 'page')} beside it" if len(written) > 1 else ""
    data = {"file": str(first), "files": [str(file) for file in written]}
    return terminal.print_answer(Output(f"wrote {first}{more}", data), (), as_json)


def _tell(server: Server, as_json: bool) -> None:
    """Print the address, at once, for whoever reads it from a pipe."""
    if as_json:
        click.echo(json.dumps({"status": "serving", "address": server.address, "path": server.site.title}))
    else:
        click.echo(f"{server.site.title} is at\n\n  {server.address}\n\nfor browsers on this machine. Ctrl-C ends it.")
