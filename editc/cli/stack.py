"""The command `editc stack`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from editc.cli import terminal

if TYPE_CHECKING:  # `editc --help` imports this module, and needs none of these
    from editc.cli.show.output import Output
    from editc.stacking.build import BuiltStack
    from editc.stacking.forget import Forgotten

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""
MOST_ROWS = 8
"""The most rows that are shown one by one."""
CHARACTERS = 60
"""The most characters of a row that are shown."""


@click.group()
def stack() -> None:
    """Learn a data set in slices, and forget rows exactly."""


@stack.command()
@click.argument("manifest", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="A new folder for the deltas of the slices.")
@click.option("--slices", type=click.IntRange(1, 1000), required=True, help="How many slices the file is divided into.")
@click.option(
    "--orders", type=click.IntRange(1), default=1, show_default=True, help="In how many orders they are learned."
)
@terminal.set_option
@terminal.device_option
@terminal.json_option
def build(manifest: Path, out: Path, slices: int, orders: int, set_: tuple[str, ...], json_: bool) -> int:
    """Learn the file of an edit `learn`, one delta a slice.

    Each slice trains layers of its own on the model with the earlier ones in it."""
    from editc.stacking.build import build_stack

    found = terminal.run_verb(build_stack, manifest, out, slices, orders, set_)
    return terminal.print_answer(show_stack(found), found.diagnostics, json_)


@stack.command()
@click.argument("folder", type=PATH)
@click.argument("rows", type=PATH)
@click.option("--dry-run", is_flag=True, help="Say which deltas saw the rows; remove nothing.")
@terminal.json_option
def forget(folder: Path, rows: Path, dry_run: bool, json_: bool) -> int:
    """Drop the deltas that saw the rows of a file.

    What is left is byte for byte what learning without them gives."""
    from editc.stacking.forget import forget_rows

    found = terminal.run_verb(forget_rows, folder, rows, dry_run)
    return terminal.print_answer(show_forgotten(found), (), json_)


def show_stack(found: BuiltStack) -> Output:
    """The slices that were learned, and the delta that holds those of the first order."""
    from editc.cli.show.output import Output

    lines, data = [], []
    for one in found.slices:
        claims = {claim.name: claim.value for claim in one.built.claims if not claim.subject}
        learned = claims.get("efficacy")
        delta_id = one.built.delta.delta_id if one.built.delta else None
        share = "" if learned is None else f", {learned:.0%} of its rows learned"
        lines.append(f"  order {one.order}, slice {one.slices[-1]}  {(delta_id or 'no delta')[:12]}{share}")
        data.append({"order": one.order, "slices": list(one.slices), "delta_id": delta_id, "efficacy": learned})
    last = f"wrote {found.linked}" if found.linked else "a slice broke a bound, and the stack ends there"
    where = str(found.linked) if found.linked else None
    return Output("\n".join([*lines, last]), {"status": "done", "slices": data, "stack": where})


def show_forgotten(found: Forgotten) -> Output:
    """Which deltas saw the rows, and what is left."""
    from editc.cli.show.output import Output

    data = {
        "rows": [{"digest": row.digest, "slices": list(slices)} for row, slices in found.rows],
        "orders": [
            {
                "order": one.order.number,
                "kept": [part.delta.delta_id for part in one.kept],
                "dropped": [part.delta.delta_id for part in one.dropped],
            }
            for one in found.orders
        ],
        "stack": str(found.linked) if found.linked else None,
    }
    return Output("\n".join(_forgotten_lines(found)), {"status": "done", **data})


def _forgotten_lines(found: Forgotten) -> Iterator[str]:
    """The rows, the orders, and what was done."""
    for row, slices in found.rows[:MOST_ROWS]:
        text = " ".join(f"{row.prompt} {row.answer}".split())
        seen = f"slice {', '.join(map(str, slices))}" if slices else "no delta saw it"
        yield f"  {seen:<16} {text if len(text) <= CHARACTERS else text[:CHARACTERS] + '...'}"
    if len(found.rows) > MOST_ROWS:
        yield f"  and {len(found.rows) - MOST_ROWS} more rows"
    verb = "dropped" if found.written else "would drop"
    for one in found.orders:
        ids = ", ".join(part.delta.delta_id[:12] for part in one.dropped) or "nothing"
        yield f"order {one.order.number}: {len(one.kept)} of {len(one.order.slices)} deltas are left; {verb} {ids}"
    if not found.written:
        return
    if found.linked is None:
        yield "nothing is left of this stack: build it again, without these rows"
    else:
        yield f"wrote {found.linked} from order {found.best.order.number}: revert the model, and apply this"
    yield "the cache may hold states of these trainings: `editc cache prune --model MODEL` removes them"
