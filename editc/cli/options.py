"""Options that several commands have, each defined once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

json_option: Callable[[F], F] = click.option(
    "--json", "json_", is_flag=True, help="Print the result as one JSON object."
)
"""The option `--json` of every command."""
set_option: Callable[[F], F] = click.option(
    "--set",
    "set_",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a field of the manifest, e.g. constraints.rank=8.",
)
"""The option `--set` of commands that read a manifest."""
finetune_option: Callable[[F], F] = click.option(
    "--allow-finetune", is_flag=True, help="Accept a fine-tune of the base too; the edit is recomputed for its weights."
)
"""The option `--allow-finetune` of commands that match a model with a delta."""
detector_option: Callable[[F], F] = click.option(
    "--detector", default="", metavar="NAME", help="Judge the pictures with this detector instead of the delta's own."
)
"""The option `--detector` of commands that measure a delta again."""


def _choose_device(context: click.Context, option: click.Parameter, device: str | None) -> None:
    """Put the device where everything that loads a model, in this process and in others, reads it."""
    if device is not None:
        os.environ["EDITC_DEVICE"] = device


device_option: Callable[[F], F] = click.option(
    "--device",
    metavar="NAME",
    expose_value=False,
    callback=_choose_device,
    help="Train, paint and attack on this device of torch, e.g. cpu or cuda:1 [default: a GPU, if there is one].",
)
"""The option `--device` of commands that run a model."""
PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""
