"""A model's tensors under the names of the program that loads it, or under the names of another version's file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from editc.formats.models.model import Checkpoint, Model
from editc.formats.models.prefixes import match_names
from editc.formats.models.program_names import PROGRAMS, ProgramNames, program_by_names, program_names


def program_of(model: Model, names: Iterable[str]) -> ProgramNames | None:
    """How the program names the tensors of a language model; None where that is not known.

    The model's config.json decides. Without one, the names in the file decide if they leave no doubt.
    """
    kind = model_type(model)
    return PROGRAMS.get(kind) if kind else program_by_names(names)


def model_type(model: Model) -> str:
    """The `model_type` in the config.json beside the weights, or ''."""
    found = read_config(model.path if model.path.is_dir() else model.path.parent).get("model_type")
    return found if isinstance(found, str) else ""


def read_config(folder: Path) -> Mapping[str, object]:
    """The folder's config.json; {} where there is none, or none that can be read."""
    try:
        value = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def spell_for_program(names: Sequence[str], model: Model | None) -> dict[str, str]:
    """File name -> the program's name of some tensors. The model decides where there is one, else the names alone;
    where neither says anything, a name stays as it is."""
    if model is not None and model.layout == "pipeline":
        return dict(zip(names, names, strict=True))
    stored = [] if model is None else model.component().names()
    program = program_by_names([*names, *_gpt2_names(names)]) if model is None else program_of(model, stored)
    if program is None:
        return dict(zip(names, names, strict=True))
    known = program_names([*stored, *names], program)
    return {name: known[name] for name in names}


def respell(checkpoint: Checkpoint, wanted: Iterable[str]) -> Checkpoint:
    """The checkpoint with tensors under the `wanted` names, where it has them with other prefixes.

    A name changes only where exactly one tensor can be meant; the others stay missing.
    """
    missing = [name for name in wanted if name not in checkpoint.tensors]
    found = {old: new for new, old in match_names(missing, checkpoint.tensors).items()} if missing else {}
    if not found:
        return checkpoint
    return replace(checkpoint, tensors={found.get(name, name): tensor for name, tensor in checkpoint.tensors.items()})


def _gpt2_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names outside the layers that a file must also have if these are the names of GPT-2's layers, else ()."""
    bare = all(re.match(r"h\.\d+\.(attn|mlp)\.c_", name) for name in names)
    return ("wte", "ln_f") if bare else ()
