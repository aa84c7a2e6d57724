"""The commands `editc push`, `editc pull` and `editc card`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from editc.cli import terminal

if TYPE_CHECKING:  # `editc --help` imports this module, and needs none of these
    from editc.cli.show.output import Output
    from editc.publish.listing import Listing
    from editc.publish.push import Pushed
    from editc.publish.staging import Pulled

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""
licence_option = click.option(
    "--licence", "--license", default="", metavar="NAME", help="The licence of the files, such as apache-2.0."
)
"""The option `--licence` of commands that make a card."""


@click.command()
@click.argument("delta", type=PATH)
@click.argument("target")
@click.option("--card", type=PATH, metavar="FILE", help="Your own model card [default: README.md, or one is made].")
@licence_option
@click.option("--private", is_flag=True, help="If a repository is made on the hub, make it private.")
@terminal.json_option
def push(delta: Path, target: str, card: Path | None, licence: str, private: bool, json_: bool) -> int:
    """Publish a delta with its evidence.

    DELTA is a file, or the folder of a build. TARGET is hf://owner/name@revision, oci://host/repository:tag,
    oci:FOLDER:tag, or a folder."""
    from editc.verbs import public as api

    made = terminal.run_verb(api.push, delta, target, card, licence, private)
    return terminal.print_answer(show_pushed(made), (), json_)


@click.command()
@click.argument("source")
@click.option("-o", "--out", type=PATH, metavar="FOLDER", help="A new folder for the files [default: SOURCE's name].")
@terminal.json_option
def pull(source: str, out: Path | None, json_: bool) -> int:
    """Fetch a published delta, checked byte for byte.

    SOURCE is what `editc push` calls TARGET. A run that was stopped goes on where it was."""
    from editc.verbs import public as api

    found = terminal.run_verb(api.pull, source, out)
    return terminal.print_answer(show_pulled(found), (), json_)


@click.command()
@click.argument("delta", type=PATH)
@click.option("-o", "--out", type=PATH, metavar="FILE", help="Write the card here [default: README.md beside it].")
@licence_option
@terminal.json_option
def card(delta: Path, out: Path | None, licence: str, json_: bool) -> int:
    """Write a model card from the report of a build."""
    from editc.cli.show.output import Output
    from editc.verbs import public as api

    file = terminal.run_verb(api.write_card, delta, out, licence)
    return terminal.print_answer(Output(f"wrote {file}", {"file": str(file)}), (), json_)


def show_pushed(made: Pushed) -> Output:
    """Where it lies, and which files."""
    from editc.cli.show.output import Output

    text = f"{_files(made.listing)}\n\npublished; fetch it with: editc pull {made.place}"
    return Output(text, {"place": made.place, **_record(made.listing)})


def show_pulled(found: Pulled) -> Output:
    """The folder, and which files are in it."""
    from editc.cli.show.output import Output

    done = f"wrote {found.folder}" if found.fresh else f"{found.folder} has all of it already"
    text = f"{_files(found.listing)}\n\n{done}\ndelta_id {found.listing.delta_id}"
    data = {"folder": str(found.folder), "delta": str(found.delta), "place": found.place}
    return Output(text, data | _record(found.listing), "done" if found.fresh else "already")


def _files(listing: Listing) -> str:
    """One line for each file."""
    width = max(len(entry.name) for entry in listing.entries)
    return "\n".join(f"  {one.name:<{width}}  {one.role:<9}  {one.size:>12,} bytes" for one in listing.entries)


def _record(listing: Listing) -> dict[str, object]:
    """The files as JSON."""
    return {"delta_id": listing.delta_id, "files": [vars(entry) for entry in listing.entries]}
