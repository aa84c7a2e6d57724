"""Recognising models that editc does not edit, by tensor names and config.json, and saying what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

NOT_EDITED = "which this version of editc does not edit"
"""The end of many of the sentences below."""
UNSUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "encoder_hid_proj.image_*": "a UNet that sees images and no text (Kandinsky 2.2's decoder): its prior samples "
        "an image embedding for a prompt, so a concept has no row of its own to edit; edit the prior's pipeline",
        "encoder_hid_proj.*": f"a UNet that projects its text rows first (Kolors, DeepFloyd IF), {NOT_EDITED}",
        "*model.diffusion_model.*": "a single-file checkpoint that is not of Stable Diffusion 1, 2 or XL",
        "temporal_transformer_blocks.*": f"a video model, {NOT_EDITED}",
        "effnet_mapper.*": "Stable Cascade's decoder, which gets the concept from its prior; "
        "edit the prior's pipeline instead",
    }
)
"""Pattern of a parameter name -> what such a model is and why it is not edited. These come before every family."""
UNSUPPORTED_LANGUAGE: Mapping[str, str] = MappingProxyType(
    {
        "*model.layers.*": f"a language model of a kind {NOT_EDITED}",
        "*transformer.h.*": f"a language model of a kind {NOT_EDITED}",
    }
)
"""The same for language models, looked up where no family fits."""
VISION = frozenset({"gemma3", "llava", "qwen2_vl", "qwen2_5_vl"})
"""Vision-language models (`model_type`) whose language part is edited: it has a family, and runs on text alone."""
RECURRENT = frozenset(
    {
        *("mamba", "mamba2", "falcon_mamba", "rwkv", "jamba", "recurrent_gemma", "zamba", "zamba2", "bamba", "xlstm"),
        *("granitemoehybrid", "falcon_h1", "nemotron_h", "lfm2", "qwen3_next", "olmo_hybrid", "plamo2"),
    }
)
"""Values of `model_type` in transformers for models with layers other than attention."""
_ADAPTER = re.compile(r"\.(lora_(A|B|up|down|mid|linear_layer|embedding_A|embedding_B)|lora\.(up|down)|hada_w|lokr_w)")
"""Finds an adapter's matrices by name, as PEFT, diffusers, kohya and LyCORIS name them."""
_ADAPTER_EXTRAS = re.compile(r"\.(alpha|dora_scale|diff|diff_b)$|lora_magnitude_vector")
"""Finds the other tensors that adapter files have."""
_GENERATES = ("ForCausalLM", "LMHeadModel", "LMHead")
"""How the names of classes end in transformers that write text token by token."""


def model_type_of(settings: Mapping[str, Any]) -> str:
    """Return `model_type` of the language model that a config.json describes, or '' where it names none.

    For a vision-language model it is that of the language part.
    """
    kind = _text_config(settings).get("model_type") or settings.get("model_type")
    return kind if isinstance(kind, str) else ""


def reason_to_refuse(settings: Mapping[str, Any]) -> str:
    """Say why a model with this config.json is not edited, whatever its tensors are called; '' where it may be."""
    if not settings:
        return ""
    from editc.families.language.transformers_layers import ATTENTION_LAYER_TYPES

    text, kind, outer = _text_config(settings), model_type_of(settings), str(settings.get("model_type", ""))
    odd = sorted({str(one) for one in text.get("layer_types") or ()} - ATTENTION_LAYER_TYPES)
    if settings.get("is_encoder_decoder") is True:
        return f"an encoder-decoder of kind `{outer[:60]}`: editc edits decoders that write on from a text"
    if kind in RECURRENT or odd:
        what = f" ({', '.join(odd)})" if odd else ""
        return f"a language model of kind `{kind[:60]}` with layers other than attention{what}, {NOT_EDITED}"
    if _has_other_inputs(settings) and outer not in VISION:
        edited = ", ".join(sorted(VISION))
        return f"a vision-language model of kind `{outer[:60]}`, {NOT_EDITED}; editc edits the text part of {edited}"
    if kind == "opt" and text.get("do_layer_norm_before") is False:
        return "an OPT that normalises after each sum (OPT-350m): what its matrices add to the stream does not stay"
    if kind == "falcon" and text.get("alibi") is True:
        return f"a Falcon with ALiBi in place of rotary positions (Falcon-RW), {NOT_EDITED}"
    return ""


def adapter_or_wrapper(names: Sequence[str]) -> tuple[str, str] | None:
    """Say what a file is that holds an adapter or a wrapped model, and what to do. None where it is neither."""
    from editc.libraries.loading import find_wrapper

    inside = [name for name in names if _ADAPTER.search(name)]
    if inside and all(name in inside or _ADAPTER_EXTRAS.search(name) for name in names):
        return "an adapter, not a model", "name its base under `model`; `fuse: FILE` edits an image model by an adapter"
    around = find_wrapper(names)
    return around and (f"a model that was saved {around[0]}", around[1])


def describe_unsupported(settings: Mapping[str, Any]) -> str:
    """Say what a model is that no family fits. '' where its config.json does not tell."""
    kind, named = model_type_of(settings), settings.get("architectures")
    first = str(named[0]) if isinstance(named, list) and named else ""
    if not kind:
        return ""
    if "auto_map" in settings:
        return f"a model of kind `{kind[:60]}` that needs code of its own, which editc does not run"
    if first.endswith("ForImageClassification"):
        return f"a `{first[:60]}`, whose head `editc head build` edits; `editc build` edits no classifiers"
    if first and not first.endswith(_GENERATES) and not _has_other_inputs(settings):
        return f"a `{first[:60]}`, which does not write text word by word; editc only edits models that do"
    return f"a language model of kind `{kind[:60]}`, {NOT_EDITED}"


def _text_config(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the language part, which vision-language models nest under `text_config`."""
    inner = settings.get("text_config")
    return inner if isinstance(inner, dict) else settings


def _has_other_inputs(settings: Mapping[str, Any]) -> bool:
    """Return whether the model also reads images or sound."""
    return any(key in settings for key in ("vision_config", "visual", "vision_tower", "audio_config"))
