"""The command `editc cache`. It stands apart because only it imports the cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from editc.cache import archive, folder
from editc.cache.disk import DiskCache
from editc.cache.folder import Entry, Group
from editc.cache.sizes import parse_size, show_size
from editc.cli import terminal
from editc.cli.show.output import Output
from editc.core.text import count

PATH = click.Path(path_type=Path)


@click.group()
def cache() -> None:
    """List, shrink and ship what builds leave for later ones."""


@cache.command("list")
@click.option("--model", default="", metavar="MODEL", help="Only the entries of builds on this model.")
@terminal.json_option
def list_(model: str, json_: bool) -> int:
    """List what the cache holds, by model and kind."""
    found = folder.require_cache()
    entries = [one for one in folder.list_entries(found) if not model or one.belongs_to(model)]
    groups = folder.group_entries(entries)
    lines = [_total(found, entries), *_table(groups)]
    return terminal.print_answer(
        Output("\n".join(lines), {**_data(found, entries), "groups": [one.as_json() for one in groups]}), (), json_
    )


@cache.command()
@terminal.json_option
def size(json_: bool) -> int:
    """Say where the cache is, how large it is and how large it may grow."""
    found = folder.require_cache()
    entries = folder.list_entries(found)
    return terminal.print_answer(Output(_total(found, entries), _data(found, entries)), (), json_)


@cache.command()
@click.option(
    "--to", metavar="SIZE", help="Remove what was not used for longest, until SIZE is left, such as 500MB or 0."
)
@click.option("--model", default="", metavar="MODEL", help="Remove the entries of builds on this model.")
@click.option("--imported", is_flag=True, help="Remove the entries that were computed on another machine.")
@terminal.json_option
def prune(to: str | None, model: str, imported: bool, json_: bool) -> int:
    """Remove entries: those that were not used for longest, or all of one model."""
    found = folder.require_cache()
    removed = folder.prune(found, None if to is None else parse_size(to, "--to"), model, imported)
    entries = folder.list_entries(found)
    text = f"removed {_many(removed)}\n{_total(found, entries)}"
    data = {"removed": len(removed), "removed_bytes": sum(one.size for one in removed)}
    return terminal.print_answer(Output(text, {**data, **_data(found, entries)}), (), json_)


@cache.command()
@click.argument("file", type=PATH)
@click.option("--model", default="", metavar="MODEL", help="Only the entries of builds on this model.")
@terminal.json_option
def export(file: Path, model: str, json_: bool) -> int:
    """Write the entries to a file, so that others start warm."""
    written = terminal.run_verb(archive.export_entries, folder.require_cache(), file, model)
    bytes_ = file.stat().st_size
    lines = [f"wrote {file} ({show_size(bytes_)}): {_many(written)}", *_table(folder.group_entries(written))]
    data = {"file": str(file), "bytes": bytes_, "entries": len(written)}
    return terminal.print_answer(Output("\n".join(lines), data), (), json_)


@cache.command("import")
@click.argument("file", type=PATH)
@click.option(
    "--accept-rounding",
    is_flag=True,
    help="Use entries of other machines and libraries too; deltas built with them record it.",
)
@terminal.json_option
def import_(file: Path, accept_rounding: bool, json_: bool) -> int:
    """Put the entries of an exported file into the cache."""
    done = terminal.run_verb(archive.import_entries, folder.require_cache(), file, accept_rounding)
    lines = [f"imported {count(done.same + done.rounded, 'entry')} ({show_size(done.size)})"]
    if done.rounded:
        lines.append(f"{done.rounded} were computed in another environment; deltas built with them record it")
    if done.left:
        lines.append(f"{done.left} left out: computed in another environment (--accept-rounding uses them)")
    data = {"same": done.same, "rounded": done.rounded, "left_out": done.left, "bytes": done.size}
    return terminal.print_answer(Output("\n".join(lines), data), (), json_)


def _many(entries: Sequence[Entry]) -> str:
    """How many entries, and their bytes."""
    return f"{count(len(entries), 'entry')}, {show_size(sum(one.size for one in entries))}"


def _total(found: DiskCache, entries: Sequence[Entry]) -> str:
    """One line on the whole cache."""
    return f"{found.folder}: {_many(entries)}; at most {show_size(found.limit)}"


def _data(found: DiskCache, entries: Sequence[Entry]) -> dict[str, object]:
    """The same as JSON values."""
    total = sum(one.size for one in entries)
    return {"folder": str(found.folder), "entries": len(entries), "bytes": total, "limit": found.limit}


def _table(groups: Sequence[Group]) -> list[str]:
    """A line for each group of entries, under a head."""
    if not groups:
        return []
    rows = [("model", "holds", "entries", "size", "last used")]
    for one in groups:
        kind = f"{one.kind} (of another machine)" if one.imported else one.kind
        rows.append((one.model, kind, str(len(one.entries)), show_size(one.size), _ago(time.time() - one.used)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "",
        *(
            f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip()
            for a, b, c, d, e in rows
        ),
    ]


def _ago(seconds: float) -> str:
    """How long ago something was, in plain words."""
    for name, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{count(int(seconds // length), name)} ago"
    return "now"
