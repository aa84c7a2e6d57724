"""The rules of AUTOMATIC1111's web UI (A1111) for SD 1, SD 2 and SDXL. sd-scripts reads the same names.

A1111 cuts a tensor's name at its first dot, so names with dots in the module never match. Names that do not match
appear only in its debug log. A name that matches but has an unknown ending stops the whole file.
"""

from __future__ import annotations

from collections.abc import Mapping

from editc.formats.doctor.advice import MERGE, advise_conversion
from editc.formats.doctor.models import LEAVES, KnownModules
from editc.formats.doctor.spelling import AdapterFile, FileModule
from editc.formats.doctor.verdict import (
    LoaderRule,
    LoaderVerdict,
    ModuleRow,
    conclude,
    fits,
    lost_row,
    meant_scale,
    no_verdict,
    refuse,
    scaled_row,
)
from editc.formats.exports.kohya_names import flatten

LOADER = "A1111"
_FILE = "extensions-builtin/Lora/networks.py: load_network"
"""The place of most rules in A1111's code."""

APPLIES = LoaderRule(
    "a1111-applies", "every name is one that A1111 knows, in diffusers' or LDM's spelling", _FILE, "read"
)
DOTTED = LoaderRule(
    "a1111-dotted",
    "A1111 cuts names at the first dot, so names with dots match nothing: no message, image unchanged",
    f"{_FILE}, `key_network.partition('.')`",
    "read",
)
UNKNOWN = LoaderRule(
    "a1111-unknown", "the model has no such module: A1111 leaves it out, without a message", _FILE, "read"
)
ENDING = LoaderRule(
    "a1111-ending",
    "no network type of A1111 has the tensors of one module: the file is not loaded",
    f"{_FILE}, `Could not find a module type`",
    "read",
)
DORA = LoaderRule(
    "a1111-dora", "newer versions of A1111 apply DoRA scales", "extensions-builtin/Lora/network.py", "read"
)
TYPES = LoaderRule(
    "a1111-types", "A1111 has dense `.diff`, LoHa, LoKr, GLoRA and OFT", f"{_FILE}, module_types", "read"
)
SHAPE = LoaderRule(
    "a1111-shape",
    "the shapes do not fit the weight: A1111 logs an error and does not change that weight",
    "extensions-builtin/Lora/networks.py: network_apply_weights",
    "read",
)
RULES = (APPLIES, DOTTED, UNKNOWN, ENDING, DORA, TYPES, SHAPE)
"""All rules of this loader."""

ADVICE = {
    DOTTED.name: advise_conversion("sd"),
    UNKNOWN.name: "the adapter is for another kind of model, or in names that A1111 does not know",
    SHAPE.name: "the adapter is for a model of another size",
}
"""Rule -> what the user can do."""


def judge(adapter: AdapterFile, known: KnownModules) -> LoaderVerdict:
    """Predict what A1111 does with the adapter when a prompt names it."""
    if not known.is_unet and not (known.kind == "unknown" and adapter.container == "delta"):
        return no_verdict(LOADER, "for SD 1, SD 2 and SDXL" if known.kind != "unknown" else known.why)
    if adapter.container == "folder":
        return no_verdict(LOADER, "reads files, not folders")
    table = names(known)
    rows = [_row(module, adapter, known, table) for module in adapter]
    stuck = [row for row in rows if row.rule is ENDING]
    if stuck:
        error = "AssertionError: Could not find a module type (...) that would accept those keys"
        return refuse(LOADER, ENDING, error, MERGE, rows)
    return conclude(LOADER, rows, ADVICE)


def names(known: KnownModules) -> Mapping[str, str]:
    """Every name under which A1111 finds a module -> the module's name in diffusers."""
    table: dict[str, str] = {}
    for module in known.modules:
        component, _, name = module.partition(".")
        if component == "unet" and not name.startswith(("add_embedding", "class_embedding")):
            table[f"lora_unet_{flatten(name)}"] = module
        elif component.startswith("text_encoder") and name.endswith(LEAVES):
            second = component.endswith("_2")
            table[f"lora_te{2 if second else 1}_{flatten(name)}"] = module
            if known.kind == "sd":
                table[f"lora_te_{flatten(name)}"] = module
    return table | {f"lora_unet_{flatten(old)}": parts[0] for old, parts in known.originals.items()}


def _row(module: FileModule, adapter: AdapterFile, known: KnownModules, table: Mapping[str, str]) -> ModuleRow:
    """Predict what becomes of one module."""
    if "." in module.name or module.style == "processor":
        return lost_row(module, DOTTED)
    found = table.get(module.name)
    if found is None:
        return lost_row(module, UNKNOWN)
    if module.kind in ("dense", "loha", "lokr", "glora", "oft"):
        return ModuleRow(module.name, "applied", TYPES, found, 1.0 if module.kind == "dense" else None)
    if module.kind not in ("lora", "dora") or module.style not in ("kohya", "peft"):
        return ModuleRow(module.name, "lost", ENDING, found)
    if not fits(module, known.modules[found], strict=False):
        return ModuleRow(module.name, "lost", SHAPE, found)
    scale = 1.0 if module.alpha is None else module.alpha / module.rank
    return scaled_row(
        module, found, scale, meant_scale(adapter, module), DORA if module.kind == "dora" else APPLIES, UNKNOWN
    )
