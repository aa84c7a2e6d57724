"""The commands `editc export` and `editc onnx`."""

from __future__ import annotations

from pathlib import Path

import click

from editc.cli import terminal

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""
FORMAT, MODEL = (terminal.late_completion(f"editc.cli.completing:complete_{what}") for what in ("format", "model"))
"""What completes arguments in a shell."""


@click.command()
@click.argument("delta", type=PATH)
@click.option(
    "--as", "name", shell_complete=FORMAT, required=True, metavar="FORMAT", help="kohya, diffusers, peft, ..."
)
@click.option("-o", "--out", type=PATH, required=True, help="The file or folder to write.")
@click.option("--model", shell_complete=MODEL, metavar="MODEL", help="The base, if the format needs its weights.")
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "fp16", "bf16"]),
    default="fp32",
    show_default=True,
    help="Number format of the factors in the file; editc reports what rounding costs.",
)
@click.option("--no-test", is_flag=True, help="Do not test whether the format's own programs load the file.")
@terminal.finetune_option
@terminal.json_option
def export(
    delta: Path, name: str, out: Path, model: str | None, dtype: str, no_test: bool, allow_finetune: bool, json_: bool
) -> int:
    """Write a delta for another program, and test the file."""
    from editc.cli import show
    from editc.verbs import public as api

    made = terminal.run_verb(api.export, delta, name, out, model, dtype, allow_finetune, not no_test)
    return terminal.print_answer(show.export_result(made), made.failures, json_)


@click.group()
def onnx() -> None:
    """Prepare ONNX models for adapters."""


@onnx.command("make-lora-ready")
@click.argument("model", shell_complete=MODEL)
@click.option("-o", "--out", type=PATH, required=True, help="The .onnx file to write.")
@click.option(
    "--sites", type=PATH, required=True, metavar="DELTA", help="A delta; each site that it edits gets inputs."
)
@terminal.json_option
def make_lora_ready(model: str, out: Path, sites: Path, json_: bool) -> int:
    """Give an ONNX model inputs for an adapter.

    The inputs are empty until an .onnx_adapter fills them at run time."""
    from editc.cli import show
    from editc.verbs import public as api

    return terminal.print_answer(
        show.lora_ready_result(terminal.run_verb(api.make_lora_ready, model, out, sites)), (), json_
    )
