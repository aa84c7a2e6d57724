"""The command `editc fleet`. It stands apart because only it imports what fleets need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from editc.cli import terminal

if TYPE_CHECKING:  # `editc --help` imports this module, and needs none of these
    from editc.cli.show.output import Output
    from editc.fleet.run import Fleet

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""
ENGINES = click.Choice(["processes", "ray", "slurm"])
"""The engines that run cells: the names in `editc.fleet.run.ENGINES`."""


@click.command()
@click.argument("plan", type=PATH)
@click.option("-o", "--out", type=PATH, help="Folder for the cells and their page [default: PLAN's name + .out].")
@click.option(
    "--engine",
    type=ENGINES,
    default="processes",
    show_default=True,
    help="What runs the cells.",
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Run so many cells at once [default: one a core].")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Cores for one worker."
)
@click.option(
    "--address",
    default="",
    metavar="HOST:PORT",
    help="Ray: join the cluster there [default: RAY_ADDRESS, else one of its own].",
)
@click.option(
    "--slurm",
    multiple=True,
    metavar="KEY=VALUE",
    help="Slurm: an option of submitit, e.g. partition=gpu or cluster=local.",
)
@click.option("--index", type=click.IntRange(0), metavar="I", help="Run only the cells of job I, counted from 0.")
@click.option("--of", type=click.IntRange(1), metavar="N", help="With --index: how many jobs there are.")
@click.option("--retry", is_flag=True, help="Run the cells that failed again, too.")
@click.option("--dry-run", is_flag=True, help="Say what would be run; run nothing.")
@terminal.device_option
@terminal.json_option
def fleet(
    plan: Path,
    out: Path | None,
    engine: str,
    workers: int | None,
    threads: int,
    address: str,
    slurm: tuple[str, ...],
    index: int | None,
    of: int | None,
    retry: bool,
    dry_run: bool,
    json_: bool,
) -> int:
    """Run many edits over many models; go on where it stopped."""
    from editc.fleet import run

    if (index is None) != (of is None) or (index is not None and of is not None and index >= of):
        raise click.UsageError("give --index and --of together, with an index from 0 to N - 1")
    if slurm and engine != "slurm":
        raise click.UsageError("--slurm goes with --engine slurm")
    if address and engine != "ray":
        raise click.UsageError("--address goes with --engine ray")
    how = run.How(engine, workers or 0, threads, address, _slurm_options(slurm), (index or 0, of or 1))
    folder = plan.with_suffix(".out") if out is None else out
    found = terminal.run_verb(run.fleet, plan, folder, how, retry, dry_run)
    return terminal.print_answer(show(found), (*found.failures, *found.warnings), json_)


def show(found: Fleet) -> Output:
    """How many cells there are in each state, and the files with all of them."""
    from editc.cli.show.output import Output
    from editc.core.text import count
    from editc.fleet.rows import counts

    states = counts(found.rows)
    each = ", ".join(f"{number} {state}" for state, number in states.items())
    head = f"{count(len(found.rows), 'cell')}: {each}"
    share = f"this run: {found.ran} run, {found.before} done before" if found.files else "nothing was run"
    lines = [head, share, *(f"wrote {path}" for path in found.files)]
    cells = [
        {"name": row.cell.name, "input": row.cell.input_name, "model": row.cell.model_name, "status": row.status}
        for row in found.rows
    ]
    data = {"counts": states, "ran": found.ran, "before": found.before, "cells": cells}
    return Output("\n".join(lines), data | {"files": [str(path) for path in found.files]})


def _slurm_options(given: tuple[str, ...]) -> dict[str, Any]:
    """The options of Slurm, with numbers as numbers."""
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"`{text}` is not KEY=VALUE, such as partition=gpu", param_hint="--slurm")
        options[name] = int(value) if value.isdigit() else value
    return options
