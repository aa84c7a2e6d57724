"""The command `editc head`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from editc.cli import terminal

if TYPE_CHECKING:  # `editc --help` imports this module, and needs none of these
    from editc.cli.show.output import Output
    from editc.heads.build import BuiltHead

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""


@click.group()
def head() -> None:
    """Take classes out of the head of a classifier."""


@head.command()
@click.argument("manifest", type=PATH)
@click.option("-o", "--out", type=PATH, help="Folder for the delta and the report [default: MANIFEST's name + .out].")
@terminal.json_option
def build(manifest: Path, out: Path | None, json_: bool) -> int:
    """Compile a manifest: solve, measure, write the delta.

    No torch."""
    from editc.heads.build import build_head

    found = terminal.run_verb(build_head, manifest, manifest.with_suffix(".out") if out is None else out)
    return terminal.print_answer(show_head(found), found.failures, json_)


@head.command()
@click.argument("model")
@click.argument("images", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The file of examples to write.")
@terminal.json_option
def features(model: str, images: Path, out: Path, json_: bool) -> int:
    """Write what the head reads of the images in a folder.

    Images in a subfolder that is named like a label have this label."""
    from editc.cli.show.output import Output
    from editc.core.text import count
    from editc.heads.features import write_features

    number = terminal.run_verb(write_features, model, images, out)
    return terminal.print_answer(
        Output(f"wrote {out}: {count(number, 'example')}", {"status": "done", "examples": number}), (), json_
    )


def show_head(found: BuiltHead) -> Output:
    """The claims and the files of a build."""
    from editc.cli.show.output import Output
    from editc.core.measurements import claim_fields

    lines = []
    for one in found.claims:
        limit = "" if one.bound is None else f"  at {'least' if one.least else 'most'} {one.bound:g}"
        lines.append(f"  {one.name:<20} {one.value:.4g}{limit}{'' if one.holds else '  NOT MET'}")
    lines += [] if found.claims else ["  not measured: name examples under `features` or `verify`"]
    lines += [f"wrote {path}" for path in found.files]
    lines += ["no delta was written: a bound is not met"] if found.failures else []
    delta_id = found.delta.delta_id if found.delta else None
    claims = [claim_fields(one) for one in found.claims]
    return Output("\n".join(lines), {"status": "done", "delta_id": delta_id, "claims": claims})
