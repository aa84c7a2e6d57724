"""What diffusers 0.42.1 does, as data: each rule with its place in the library. Every rule marked `run` was run with
it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from editc.formats.doctor.advice import MERGE, advise_conversion
from editc.formats.doctor.spelling import AdapterFile
from editc.formats.doctor.verdict import LoaderRule

_PIPELINE, _CONVERT = "diffusers 0.42.1 loaders/lora_pipeline.py", "diffusers 0.42.1 loaders/lora_conversion_utils.py"
"""Places of the rules in the library."""
_PEFT = "diffusers 0.42.1 loaders/peft.py: load_lora_adapter"
_PEFT_KWARGS = "diffusers 0.42.1 utils/peft_utils.py: get_peft_kwargs"


class LoaderStop(Exception):  # noqa: N818  (it stands for the error that the loader raises)
    """The loader raises `error` by `rule`, and loads nothing."""

    def __init__(self, rule: LoaderRule, error: str) -> None:
        super().__init__(error)
        self.rule, self.error = rule, error


def _run(name: str, says: str, source: str) -> LoaderRule:
    """A rule that the tests run with the library."""
    return LoaderRule(f"diffusers-{name}", says, source, "run")


APPLIES = _run("applies", "every module is found, and the scale is the one that the file means", _PIPELINE)
DORA = _run("dora", "PEFT applies the magnitude vector", f"{_PEFT_KWARGS}: use_dora")
DROPPED = _run(
    "dora-scale-dropped",
    "diffusers drops kohya's `dora_scale` and applies the rest as a plain LoRA",
    f"{_PIPELINE}: lora_state_dict",
)
ALPHA = _run(
    "alpha-pattern",
    "modules differ in alpha: diffusers applies one alpha, the most common one, to all attention matrices",
    _PEFT_KWARGS,
)
COMPILED = "_orig_mod."
"""What torch.compile puts in front of the names of a model."""
LORA_IN_NAME = _run(
    "lora-in-name",
    "a tensor's name lacks 'lora' (`.alpha`, `.diff` or `.set_weight` beside PEFT names): diffusers refuses the file",
    f"{_PIPELINE}: load_lora_weights",
)
LYCORIS = _run(
    "lycoris",
    "the file is a LoHa, LoKr, GLoRA or OFT, which diffusers does not read for this kind of pipeline",
    f"{_PIPELINE}: load_lora_weights",
)
NAMED = _run(
    "named",
    "the names hold an adapter's name other than `default_0`, or torch.compile's `_orig_mod.`: the layers are made and "
    "never filled, so that painting fails",
    "diffusers 0.42.1 loaders/peft.py: load_lora_adapter",
)
ENDINGS = _run(
    "endings",
    "the names are diffusers' and the endings kohya's (`unet.*.lora_down.weight`): no rank is found",
    "diffusers 0.42.1 utils/peft_utils.py: get_peft_kwargs",
)
LEFTOVER = _run(
    "leftover",
    "diffusers converts only kohya's down, up and alpha: any other tensor stops it",
    f"{_CONVERT}: _convert_non_diffusers_lora_to_diffusers",
)
HALF = _run("half", "a module has a down matrix but no up matrix", f"{_CONVERT}")
NO_MATCH = _run(
    "no-match", "no module of the file is in the model", "peft 0.21.2 tuners/tuners_utils.py: inject_adapter"
)
SHAPE = _run(
    "shape",
    "a matrix has another shape than the model's",
    "peft 0.21.2 utils/save_and_load.py: set_peft_model_state_dict",
)
BARE = _run(
    "prefix",
    "diffusers takes names that begin with a part of the pipeline (`unet.`, `transformer.`) and leaves out the others",
    "diffusers 0.42.1 loaders/peft.py: load_lora_adapter",
)
UNKNOWN = _run("unknown", "PEFT warns of unexpected keys and goes on", "diffusers 0.42.1 loaders/peft.py")
LDM_MIXED = _run(
    "ldm-mixed",
    "the file has LDM names and diffusers names: diffusers drops those in LDM",
    f"{_CONVERT}: _maybe_map_sgm_blocks_to_diffusers",
)
ALPHA_AND_METADATA = _run("alpha-and-metadata", "`.alpha` tensors and lora_adapter_metadata exclude each other", _PEFT)
RANK_STATED = _run("stated-rank", "the rank in lora_adapter_metadata is not that of the matrices", _PEFT)
STATED_TARGETS = _run(
    "stated-targets", "lora_adapter_metadata has no target_modules for this part of the pipeline", _PEFT
)
TEXT_TYPE = _run(
    "text-encoder-type",
    "diffusers cannot tell the spelling of the text encoder's part: kohya needs out_proj or mlp, PEFT an attention one",
    "diffusers 0.42.1 utils/state_dict_utils.py: convert_state_dict_to_diffusers, convert_state_dict_to_peft",
)
TEXT_MIXED = _run(
    "text-encoder-mixed",
    "diffusers converts kohya's q, k and v of a text encoder only if the file has an out_proj too",
    "diffusers 0.42.1 utils/state_dict_utils.py: convert_state_dict_to_diffusers",
)
TEXT_LEVEL = _run(
    "text-encoder-level",
    "the names lack the level `text_model.` that text_encoder_2 has",
    "diffusers 0.42.1 loaders/lora_base.py: _load_lora_into_text_encoder, transformers 5.23",
)
FLUX_KOHYA = _run(
    "flux-kohya", "diffusers splits kohya's fused FLUX names; any other name stops it", f"{_CONVERT}: flux"
)
FLUX_FLAT = LoaderRule(
    "diffusers-flux-flat",
    "the names begin with `transformer_`, as diffusers' own converter to kohya writes them: diffusers reads only some",
    f"{_CONVERT}: flux",
    "read",
)
FLUX_SINGLE = _run(
    "flux-linear1",
    "diffusers splits `single_blocks.*.linear1` into 3072, 3072, 3072 and 12288 rows, which only fits FLUX.1",
    f"{_CONVERT}: _convert_to_ai_toolkit_cat",
)
LOST_ALPHA = _run(
    "flux-alpha-lost", "`.alpha` beside `transformer.*.lora_down/up` is not read: the scale is 1", f"{_CONVERT}: flux"
)
FLUX_MIXTURE = _run(
    "flux-onetrainer",
    "diffusers reads only the attention matrices and outer layers of `lora_transformer_*`, with alpha",
    f"{_CONVERT}: flux",
)
FLUX_BASE = _run(
    "flux-base-model",
    "diffusers reads names with `base_model` as a full Kontext adapter, which this file is not",
    f"{_CONVERT}: _convert_fal_kontext_lora_to_diffusers",
)
GGUF = LoaderRule("diffusers-gguf", "GGUF adapters are llama.cpp's", "llama.cpp: --lora", "read")
RULES = tuple(value for value in list(globals().values()) if isinstance(value, LoaderRule))
"""All rules of this loader."""

ADVICE = {
    ALPHA.name: "give every module the same alpha: pad ranks to powers of two, alpha 1, rank into the up matrices",
    DROPPED.name: MERGE,
    LORA_IN_NAME.name: f"write the alpha into the up matrices and leave `.alpha` out, or {advise_conversion('sd')}",
    LYCORIS.name: MERGE,
    NAMED.name: "remove the adapter's name and `_orig_mod.` from the names",
    ENDINGS.name: "write `.lora_A.weight` and `.lora_B.weight` for them",
    LEFTOVER.name: MERGE,
    HALF.name: "fetch the file again",
    NO_MATCH.name: "the adapter is for another kind of model, or in LDM names, which diffusers reads for SDXL only",
    SHAPE.name: "the adapter is for a model of another size",
    BARE.name: "put `unet.` or `transformer.` before the names",
    UNKNOWN.name: "compare the names with the model's",
    LDM_MIXED.name: "write one file in diffusers names",
    ALPHA_AND_METADATA.name: "remove one of them",
    RANK_STATED.name: "remove lora_adapter_metadata",
    STATED_TARGETS.name: "remove lora_adapter_metadata, or state r, lora_alpha and target_modules of every part",
    TEXT_TYPE.name: "write the text encoder's part as `lora_linear_layer` names, which always load",
    TEXT_MIXED.name: "write the text encoder's part as `lora_linear_layer` names, which always load",
    TEXT_LEVEL.name: "keep `text_model.` in the names",
    FLUX_KOHYA.name: advise_conversion("flux"),
    FLUX_SINGLE.name: advise_conversion("flux"),
    FLUX_MIXTURE.name: advise_conversion("flux"),
    LOST_ALPHA.name: "write the scale into the up matrices, or the names as lora_A and lora_B",
    FLUX_BASE.name: "put `transformer.` in place of `base_model.model.`",
    GGUF.name: "merge it with llama.cpp's tools",
}
"""Rule -> what the user can do."""


def stated_settings(adapter: AdapterFile, component: str) -> Mapping[str, Any] | None:
    """The settings in `lora_adapter_metadata` for one component of the pipeline. None without such metadata. Raises
    LoaderStop if they have no `target_modules`."""
    if adapter.diffusers_metadata is None:
        return None
    own = {
        k.removeprefix(f"{component}."): v
        for k, v in adapter.diffusers_metadata.items()
        if k.startswith(f"{component}.")
    }
    if not own.get("target_modules"):
        raise LoaderStop(STATED_TARGETS, "KeyError: 'model_type'")
    return own
