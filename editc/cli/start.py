"""The commands for a beginner. They stand apart because only they import `editc.start`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from editc.cli import terminal

if TYPE_CHECKING:  # `editc --help` imports this module, and needs none of these
    from editc.start.listing import Name

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""
KINDS = click.Choice(["methods", "attacks", "families", "formats", "detectors", "examples"])
"""What `editc list` lists: `editc.start.listing.KINDS`."""


@click.command("list")
@click.argument("kind", type=KINDS)
@terminal.json_option
def list_(kind: str, json_: bool) -> int:
    """List methods, attacks, families, formats and the like."""
    from editc.cli.show.output import Output
    from editc.start.listing import list_names

    found = list_names(kind)
    rows = [
        {"name": one.name, "says": one.says, "models": one.models, "package": one.package, **one.facts} for one in found
    ]
    return terminal.print_answer(Output("\n".join(_lines(found)), {"kind": kind, "names": rows}), (), json_)


@click.command()
@click.option("-o", "--out", type=PATH, metavar="FILE", help="Write the schema to this file instead of printing it.")
@terminal.json_option
def schema(out: Path | None, json_: bool) -> int:
    """Print the JSON Schema of manifests, for editors.

    It has the names that installed packages add, too."""
    from editc.cli.show.output import Output
    from editc.core.storage.disk import guard_writes, replace_file
    from editc.manifests.json_schema.whole import manifest_schema, schema_text

    found = manifest_schema(installed=True)
    if out is None:
        return terminal.print_answer(Output(schema_text(found).rstrip(), {"schema": found}), (), json_)
    with guard_writes(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, schema_text(found).encode())
    return terminal.print_answer(Output(f"wrote {out}", {"file": str(out)}), (), json_)


def _lines(found: Sequence[Name]) -> Iterator[str]:
    """A heading for each group of names, and a line for each name. The last line says where examples lie."""
    width = max((len(one.name) for one in found), default=0)
    for number, (group, names) in enumerate(groupby(found, key=lambda one: one.group)):
        yield from (["", f"{group}:"] if number else [f"{group}:"])
        for one in names:
            package = f" (package {one.package})" if one.package else ""
            yield f"  {one.name:<{width}}  {one.says}{package}".rstrip()
    folders = {str(one.facts["path"]).removesuffix(one.name) for one in found if "path" in one.facts}
    yield from (f"\nin {folder}" for folder in sorted(folders))
