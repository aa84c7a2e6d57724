"""The modules of a language model by the names of the program that loads it, from the model's folder or from an
adapter's own names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from editc.formats.doctor.spelling import AdapterFile
from editc.formats.models.model import Model
from editc.formats.models.model_names import program_of
from editc.formats.models.program_names import ProgramNames, program_names

Shape = tuple[int, ...] | None
"""The shape of a weight; None if only its name is known."""
PREFIX = "base_model.model."
"""What PEFT puts in front of every module's name."""

EMBEDDING = re.compile(r"(^|\.)(embed_tokens|embed_positions|embed_in|wte|wpe|word_embeddings|embeddings)$")
"""Modules whose weight is a table of rows instead of a matrix that multiplies."""

_BLOCK = r"(transformer\.h|gpt_neox\.layers|model\.(language_model\.|decoder\.)?layers)\.\d+\."
_LEAF = (
    r"(self_attn\.(q_proj|k_proj|v_proj|o_proj|out_proj|qkv_proj|dense)|mlp\.(gate|up|down|gate_up)_proj|(mlp\.)?fc[12]"
    r"|attn\.(c_attn|c_proj|q_proj|k_proj|v_proj|out_proj)|mlp\.(c_fc|c_proj|fc_in|fc_out)"
    r"|(self_)?attention\.(query_key_value|dense)|mlp\.dense_(h_to_4h|4h_to_h))"
)
_OUTER = r"lm_head|embed_out|(model\.(language_model\.|decoder\.)?|transformer\.|gpt_neox\.)?\w*(embed|wte|wpe)\w*"
LAYOUT = re.compile(rf"{_BLOCK}{_LEAF}|{_OUTER}")
"""The names that transformers gives to the modules of a loaded language model, for the layouts that are known here."""


@dataclass(frozen=True)
class LanguageModules:
    """What is known about a language model."""

    modules: Mapping[str, Shape] = field(default_factory=dict)
    """The program's name of every matrix -> its shape, None where only names are known."""
    parameters: Mapping[str, Shape] = field(default_factory=dict)
    """The program's name of every parameter -> its shape. Empty if only the names in an adapter are known."""
    program: ProgramNames | None = None
    """How the program names the model's modules. None if that is not known."""
    why: str = ""
    """Where this is known from, in words for the user."""
    why_unnamed: str = ""
    """Why the program's names are not known; '' if they are."""


def read_language_modules(model: Model) -> LanguageModules:
    """Read the modules of a language model's folder or file, from the headers alone."""
    shapes = {name: tensor.shape for name, tensor in model.component().tensors.items()}
    program, why = program_of(model, shapes), f"the modules of {model.place}"
    if program is None:
        unnamed = f"how programs name the modules of {model.place} is not known here"
        return LanguageModules(_matrices(shapes), shapes, None, why, unnamed)
    stacked = re.compile(program.stacked) if program.stacked else None
    names = program_names(list(shapes), program)
    parameters: dict[str, Shape] = {
        new: shapes[old] for old, new in names.items() if not (stacked and stacked.search(new))
    }
    modules = _matrices(parameters)
    tables = [name for name in modules if EMBEDDING.search(name) and not name.endswith(("wpe", "embed_positions"))]
    head = modules[tables[0]] if len(tables) == 1 else None
    modules.setdefault("lm_head", head)
    return LanguageModules(modules, parameters | {"lm_head.weight": modules["lm_head"]}, program, why)


def infer_language_modules(adapter: AdapterFile) -> LanguageModules:
    """Assume that the model has every module that the adapter names, if they are all of a known layout."""
    names = {module.name.removeprefix(PREFIX) for module in adapter}
    strange = sorted(name for name in names if not LAYOUT.fullmatch(name))
    why = "assumed to have every module that the adapter names"
    if not strange:
        return LanguageModules(dict.fromkeys(names), {}, None, why)
    base = adapter.config.get("base_model_name_or_path")
    named = f", which the config calls {base}" if isinstance(base, str) and base else ""
    unnamed = f"'{strange[0]}' is not a name that the doctor knows; name the model with --model{named}"
    return LanguageModules(dict.fromkeys(names), {}, None, why, unnamed)


def _matrices(parameters: Mapping[str, Shape]) -> dict[str, Shape]:
    """Select the parameters that are matrices or convolutions, by the names of their modules."""
    matrices = {name: shape for name, shape in parameters.items() if shape is None or len(shape) in (2, 4)}
    return {name.removesuffix(".weight"): shape for name, shape in matrices.items() if name.endswith(".weight")}
