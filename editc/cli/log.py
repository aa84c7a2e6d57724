"""The command `editc log`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from editc.cli import terminal

if TYPE_CHECKING:  # `editc --help` imports this module, and needs none of these
    from editc.cli.show.output import Output
    from editc.ledger.log import Log, LogEntry

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""
SHORT = 12
"""How many digits of a delta's id are shown."""
MOST_KEYS = 4
"""The most keys that are shown for a delta without `--keys`: a build of many facts has hundreds."""


@click.command()
@click.argument("model")
@click.option("--delta", type=PATH, multiple=True, metavar="FILE", help="Look for this delta too.")
@click.option("--keys", is_flag=True, help="Show every key that later edits must hold.")
@terminal.json_option
def log(model: str, delta: tuple[Path, ...], keys: bool, json_: bool) -> int:
    """List the deltas in a model in their order.

    Each is shown with its parents and with what later edits must hold.
    """
    from editc.ledger.log import read_log
    from editc.verbs import public as api

    found = read_log(terminal.run_verb(api.status, model, delta))
    return terminal.print_answer(show_log(found, keys), (), json_)


def show_log(found: Log, every: bool = False) -> Output:
    """The ledger for people: the first delta on top. `every`: with all keys."""
    from editc.cli.show.output import Output

    lines = [found.place]
    for entry in found.entries:
        lines += _entry_lines(entry, every)
    if not found.entries:
        lines.append("  no delta is recorded here; look for one with --delta FILE")
    lines += [f"note: {note}" for note in found.notes]
    return Output("\n".join(lines), {"status": "done", **describe_log(found)})


def describe_log(found: Log) -> dict[str, object]:
    """The ledger as JSON values."""
    entries = [
        {
            "delta_id": one.delta_id,
            "state": one.presence,
            "parents": [{"delta_id": parent.delta_id, "here": parent.here} for parent in one.parents],
            "edits": [dict(edit) for edit in one.edits],
            "holds": list(one.holds),
            "overwrites": list(one.overwrites),
            "earlier": [dict(left) for left in one.earlier],
        }
        for one in found.entries
    ]
    return {"model": found.place, "deltas": entries, "notes": list(found.notes)}


def _entry_lines(entry: LogEntry, every: bool) -> Iterator[str]:
    """One delta: its id, state, edits, parents and keys."""
    from editc.cli.show import edit_heading
    from editc.core.text import count

    yield f"  {entry.delta_id[:SHORT]}  {entry.presence:<12} {', '.join(map(edit_heading, entry.edits))}"
    if entry.parents:
        names = [one.delta_id[:SHORT] + ("" if one.here else " (not here)") for one in entry.parents]
        yield f"    built on   {', '.join(names)}"
    if entry.overwrites:
        yield f"    overwrites {', '.join(one[:SHORT] for one in entry.overwrites)}"
    shown_left = entry.earlier if every else entry.earlier[-MOST_KEYS:]
    for number, left in enumerate(shown_left):
        yield f"    {'' if number else 'leaves':<10} {_left_of(left)}"
    if len(entry.earlier) > len(shown_left):
        yield f"    {'':<10} and {count(len(entry.earlier) - len(shown_left), 'delta')} before these"
    shown = entry.holds if every else entry.holds[:MOST_KEYS]
    for number, text in enumerate(shown):
        yield f"    {'' if number else 'holds':<10} the output at the end of `{text}`"
    if len(entry.holds) > len(shown):
        yield f"    {'':<10} and {count(len(entry.holds) - len(shown), 'more key')}"


def _left_of(left: Mapping[str, Any]) -> str:
    """What a build left of an earlier delta, by its record. What is malformed is left out: a journal may be forged."""
    said, moved = [left.get("before"), left.get("after")], left.get("moved")
    parts = []
    if left.get("facts") and all(isinstance(one, int | float) for one in said):
        parts.append(f"{said[1]:.0%} of its facts said ({said[0]:.0%} before)")
    if isinstance(moved, int | float):
        parts.append(f"its outputs moved by {moved:.3g}")
    if left.get("preserved") is False:
        parts.append("not preserved")
    return f"of {str(left.get('delta_id'))[:SHORT]}: {', '.join(parts) or 'nothing measured'}"
