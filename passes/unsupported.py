"""Models that are not edited, in words: by the names of their tensors, and by what their config.json says they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

NOT_EDITED = "which this version of editc does not edit"
UNSUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "encoder_hid_proj.image_*": "a UNet that sees images and no text (Kandinsky 2.2's decoder): its prior samples "
        "an image embedding for a prompt, so a concept has no row of its own to edit; edit the prior's pipeline",
        "encoder_hid_proj.*": f"a UNet that projects its text rows first (Kolors, DeepFloyd IF), {NOT_EDITED}",
        "*model.diffusion_model.*": "a single-file checkpoint that is not of Stable Diffusion 1, 2 or XL",
        "temporal_transformer_blocks.*": f"a video model, {NOT_EDITED}",
        "effnet_mapper.*": "Stable Cascade's decoder: it paints what its prior decided and has the concept from there; "
        "edit the prior's pipeline instead",
    }
)
"""Pattern of a parameter -> what such a model is, and why it is not edited, even where a family has its other names."""
UNSUPPORTED_LANGUAGE: Mapping[str, str] = MappingProxyType(
    {
        "*model.layers.*": f"a language model of a kind {NOT_EDITED}",
        "*transformer.h.*": f"a language model of a kind {NOT_EDITED}",
    }
)
"""The same, of those that no family fits."""
VISION = frozenset({"gemma3", "llava", "qwen2_vl", "qwen2_5_vl"})
"""Vision-language models whose language part is edited: it is a family's, and runs on text alone."""
RECURRENT = frozenset(
    {
        *("mamba", "mamba2", "falcon_mamba", "rwkv", "jamba", "recurrent_gemma", "zamba", "zamba2", "bamba", "xlstm"),
        *("granitemoehybrid", "falcon_h1", "nemotron_h", "lfm2", "qwen3_next", "olmo_hybrid", "plamo2"),
    }
)
"""Kinds of models with layers that are no attention."""
_ADAPTER = re.compile(r"\.(lora_(A|B|up|down|mid|linear_layer|embedding_A|embedding_B)|lora\.(up|down)|hada_w|lokr_w)")
_ADAPTER_EXTRAS = re.compile(r"\.(alpha|dora_scale|diff|diff_b)$|lora_magnitude_vector")
"""Names of an adapter's matrices, and of what stands beside them."""
_GENERATES = ("ForCausalLM", "LMHeadModel", "LMHead")


def model_type_of(settings: Mapping[str, Any]) -> str:
    """`model_type` of the language model that a config.json describes; of a vision-language model that of its language
    part. '' where it says none."""
    kind = _text_config(settings).get("model_type") or settings.get("model_type")
    return kind if isinstance(kind, str) else ""


def reason_to_refuse(settings: Mapping[str, Any]) -> str:
    """What a config.json says for which a model cannot be edited whatever its tensors are called, or ''."""
    if not settings:
        return ""

    text, kind, outer = _text_config(settings), model_type_of(settings), str(settings.get("model_type", ""))
    odd = sorted({str(one) for one in text.get("layer_types") or ()} - ATTENTION)
    if settings.get("is_encoder_decoder") is True:
        return f"an encoder-decoder of kind `{outer[:60]}`: editc edits decoders that write on from a text"
    if kind in RECURRENT or odd:
        what = f" ({', '.join(odd)})" if odd else ""
        return f"a language model of kind `{kind[:60]}` with layers other than attention{what}, {NOT_EDITED}"
    if _has_other_inputs(settings) and outer not in VISION:
        edited = ", ".join(sorted(VISION))
        return f"a vision-language model of kind `{outer[:60]}`, {NOT_EDITED}; the text part is edited of {edited}"
    if kind == "opt" and text.get("do_layer_norm_before") is False:
        return "an OPT with its norms behind the sums (OPT-350m): what its matrices write does not stay in the stream"
    if kind == "falcon" and text.get("alibi") is True:
        return f"a Falcon with ALiBi in place of rotary positions (Falcon-RW), {NOT_EDITED}"
    return ""


def adapter_or_wrapper(names: Sequence[str]) -> tuple[str, str] | None:
    """What a file is whose tensors have the names of an adapter, alone or around a model, and what to do."""
    from editc.libraries.loading import find_wrapper

    inside = [name for name in names if _ADAPTER.search(name)]
    if inside and all(name in inside or _ADAPTER_EXTRAS.search(name) for name in names):
        return "an adapter and no model", "name its base under `model`; `fuse: FILE` edits an image model by an adapter"
    around = find_wrapper(names)
    return around and (f"a model that was saved {around[0]}", around[1])


def describe_unsupported(settings: Mapping[str, Any]) -> str:
    """What a model is that no family has, in words; '' where its config.json does not say."""
    kind, named = model_type_of(settings), settings.get("architectures")
    first = str(named[0]) if isinstance(named, list) and named else ""
    if not kind:
        return ""
    if "auto_map" in settings:
        return f"a model of kind `{kind[:60]}` that needs code of its own, which editc does not run"
    if first and not first.endswith(_GENERATES) and not _has_other_inputs(settings):
        return f"a `{first[:60]}`, which does not write text word by word, and editc edits models that do"
    return f"a language model of kind `{kind[:60]}`, {NOT_EDITED}"


def _text_config(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = settings.get("text_config")
    return inner if isinstance(inner, dict) else settings


def _has_other_inputs(settings: Mapping[str, Any]) -> bool:
    return any(key in settings for key in ("vision_config", "visual", "vision_tower", "audio_config"))
