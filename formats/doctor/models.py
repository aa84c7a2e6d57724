"""The modules that an adapter can name: those of a given model, or of the model that the adapter's own names suggest.

Names are those of diffusers after the component (`unet.down_blocks.0...`); those of language models have no component.
`originals` are the names in the code that a model came from (LDM's, FLUX's, SD3's), which ComfyUI and kohya use. One
such module may be several modules of diffusers, as `img_attn.qkv` is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from editc.core.diagnostics import fail
from editc.formats.doctor.language import LanguageModules, Shape, infer_language_modules, read_language_modules
from editc.formats.doctor.spelling import AdapterFile
from editc.formats.exports.kohya_names import flatten
from editc.formats.models import layout, ldm_names
from editc.formats.models.model import Model

ModelKind = Literal["sd", "sdxl", "flux", "sd3", "language", "unknown"]
"""The kinds of model whose adapters the doctor can tell apart."""

TITLES: Mapping[ModelKind, str] = {
    "sd": "Stable Diffusion 1 or 2",
    "sdxl": "SDXL",
    "flux": "FLUX.1",
    "sd3": "Stable Diffusion 3",
    "language": "a language model",
    "unknown": "a model that the doctor does not know",
}
"""Kind -> its name for the user."""
KINDS: Mapping[str, ModelKind] = {
    "sd-text": "sd",
    "sd1": "sd",
    "sd2": "sd",
    "sdxl": "sdxl",
    "flux": "flux",
    "sd3": "sd3",
}
"""Family of editc -> the kind of model that it is."""
LEAVES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
"""The matrices of a layer of CLIP."""
PROJECTION = "text_projection"
"""The matrix behind CLIP, in the classes that have one."""

_CLIPS = ("text_encoder", "text_encoder_2")
"""The components that are CLIP text encoders."""
_ATTENTION = tuple(f"{a}.{m}" for a in ("attn1", "attn2") for m in ("to_q", "to_k", "to_v", "to_out.0"))
"""The attention matrices of a block in Stable Diffusion's UNets."""
_FEED = ("ff.net.0.proj", "ff.net.2")
"""The feed-forward matrices of such a block."""
_FLUX = {
    "double_blocks.{}.img_attn.qkv": ("transformer_blocks.{}.attn.to_q", "{}to_k", "{}to_v"),
    "double_blocks.{}.txt_attn.qkv": ("transformer_blocks.{}.attn.add_q_proj", "{}add_k_proj", "{}add_v_proj"),
    "double_blocks.{}.img_attn.proj": ("transformer_blocks.{}.attn.to_out.0",),
    "double_blocks.{}.txt_attn.proj": ("transformer_blocks.{}.attn.to_add_out",),
    "double_blocks.{}.img_mlp.0": ("transformer_blocks.{}.ff.net.0.proj",),
    "double_blocks.{}.img_mlp.2": ("transformer_blocks.{}.ff.net.2",),
    "double_blocks.{}.txt_mlp.0": ("transformer_blocks.{}.ff_context.net.0.proj",),
    "double_blocks.{}.txt_mlp.2": ("transformer_blocks.{}.ff_context.net.2",),
    "double_blocks.{}.img_mod.lin": ("transformer_blocks.{}.norm1.linear",),
    "double_blocks.{}.txt_mod.lin": ("transformer_blocks.{}.norm1_context.linear",),
    "single_blocks.{}.linear1": (
        "single_transformer_blocks.{}.attn.to_q",
        "{}to_k",
        "{}to_v",
        "single_transformer_blocks.{}.proj_mlp",
    ),
    "single_blocks.{}.linear2": ("single_transformer_blocks.{}.proj_out",),
    "single_blocks.{}.modulation.lin": ("single_transformer_blocks.{}.norm.linear",),
    "img_in": ("x_embedder",),
    "txt_in": ("context_embedder",),
    "time_in.in_layer": ("time_text_embed.timestep_embedder.linear_1",),
    "time_in.out_layer": ("time_text_embed.timestep_embedder.linear_2",),
    "vector_in.in_layer": ("time_text_embed.text_embedder.linear_1",),
    "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
    "guidance_in.in_layer": ("time_text_embed.guidance_embedder.linear_1",),
    "guidance_in.out_layer": ("time_text_embed.guidance_embedder.linear_2",),
    "final_layer.linear": ("proj_out",),
    "final_layer.adaLN_modulation.1": ("norm_out.linear",),
}
"""Module in FLUX's own code -> the modules of diffusers that hold its rows. `{}` first stands for the block's number,
then for the place of the first module."""
_SD3 = {
    "joint_blocks.{}.x_block.attn.qkv": ("transformer_blocks.{}.attn.to_q", "{}to_k", "{}to_v"),
    "joint_blocks.{}.context_block.attn.qkv": ("transformer_blocks.{}.attn.add_q_proj", "{}add_k_proj", "{}add_v_proj"),
    "joint_blocks.{}.x_block.attn.proj": ("transformer_blocks.{}.attn.to_out.0",),
    "joint_blocks.{}.context_block.attn.proj": ("transformer_blocks.{}.attn.to_add_out",),
    "joint_blocks.{}.x_block.mlp.fc1": ("transformer_blocks.{}.ff.net.0.proj",),
    "joint_blocks.{}.x_block.mlp.fc2": ("transformer_blocks.{}.ff.net.2",),
    "joint_blocks.{}.context_block.mlp.fc1": ("transformer_blocks.{}.ff_context.net.0.proj",),
    "joint_blocks.{}.context_block.mlp.fc2": ("transformer_blocks.{}.ff_context.net.2",),
    "joint_blocks.{}.x_block.adaLN_modulation.1": ("transformer_blocks.{}.norm1.linear",),
    "joint_blocks.{}.context_block.adaLN_modulation.1": ("transformer_blocks.{}.norm1_context.linear",),
    "x_embedder.proj": ("pos_embed.proj",),
    "context_embedder": ("context_embedder",),
    "t_embedder.mlp.0": ("time_text_embed.timestep_embedder.linear_1",),
    "t_embedder.mlp.2": ("time_text_embed.timestep_embedder.linear_2",),
    "y_embedder.mlp.0": ("time_text_embed.text_embedder.linear_1",),
    "y_embedder.mlp.2": ("time_text_embed.text_embedder.linear_2",),
    "final_layer.linear": ("proj_out",),
    "final_layer.adaLN_modulation.1": ("norm_out.linear",),
}
"""The same for SD3."""
_PREFIXES = re.compile(
    r"lora_(unet|transformer|prior_unet)_|lycoris_|base_model\.model\.|unet\.|transformer\.|diffusion_model\."
)
"""What tools put in front of the names of a UNet's or transformer's modules."""
_ENCODERS = re.compile(r"(?:lora_te(1|2|)_|text_encoder(_2|)\.)(?:text_model[._])?")
"""What tools put in front of the names of a text encoder's modules."""
_LAYERED = re.compile(r"(^|\.)(layers|h|blocks?)\.\d+\.")
"""A numbered layer in a module's name, as language models have it."""


@dataclass(frozen=True)
class KnownModules:
    """The modules of one model."""

    kind: ModelKind
    """The kind of model."""
    modules: Mapping[str, Shape]
    """Module, by its name in diffusers or in the loaded program -> the shape of its weight, None where only names are
    known."""
    originals: Mapping[str, tuple[str, ...]]
    """Module, by its name in the code that the model came from -> the modules of diffusers that it is."""
    why: str
    """Where this is known from, in words for the user."""
    language: LanguageModules = field(default_factory=LanguageModules)
    """What is known about a language model; empty for other kinds."""

    @property
    def is_unet(self) -> bool:
        """True for Stable Diffusion 1 and 2 and for SDXL."""
        return self.kind in ("sd", "sdxl")

    def shape(self, modules: Sequence[str]) -> Shape:
        """The shape of the matrix that holds these modules in the original code, with their rows one below the other.
        None if a shape is not known."""
        shapes = [self.modules.get(module) for module in modules]
        if not shapes or any(shape is None for shape in shapes):
            return None
        rows = sum(shape[0] for shape in shapes if shape)
        return (rows, *(shapes[0] or ())[1:])


def infer_model(adapter: AdapterFile) -> KnownModules:
    """Find the kind of model that most of an adapter's names belong to. `why` says so, and which other kinds the names
    fit."""
    if adapter.export_description is not None:
        return _model_of_export(adapter, adapter.export_description)
    names = [_plain_name(module.name) for module in adapter]
    scores = {kind: sum(name in _spellings(kind) for name in names) for kind in _IMAGE_KINDS}
    best = max(scores, key=lambda kind: scores[kind])
    if scores[best] and not _has_foreign_names(adapter, best):
        others = [TITLES[kind] for kind in scores if kind != best and scores[kind] == scores[best]]
        fit = f"; they fit {' and '.join(others)} too" if others else ""
        known = published_modules(best)
        return KnownModules(best, known.modules, known.originals, f"assumed from the names of the modules{fit}")
    if adapter.config.get("task_type") == "CAUSAL_LM" or any(_LAYERED.search(module.name) for module in adapter):
        return _language_model(infer_language_modules(adapter))
    return KnownModules(
        "unknown", {}, {}, "the names are not those of a model that the doctor knows; name the model with --model"
    )


def _model_of_export(adapter: AdapterFile, about: Mapping[str, Any]) -> KnownModules:
    """The model that an export of editc is for: the published kind of its family, and the sites that the delta
    edits."""
    family, why = about["family"], f"an export of editc for {about['family']}"
    kind = KINDS.get(family)
    if kind is None:
        own: dict[str, Shape] = {module.name.removeprefix("base_model.model."): None for module in adapter}
        return (
            KnownModules("language", own, {}, why)
            if adapter.container == "folder"
            else KnownModules("unknown", {}, {}, why)
        )
    known = published_modules(kind)
    names = [f"{site['component']}.{site['name'].removesuffix('.weight')}" for site in about["sites"]]
    sites: dict[str, Shape] = {_add_text_model_level(name): None for name in names}
    return KnownModules(kind, {**known.modules, **sites}, known.originals, why)


def _has_foreign_names(adapter: AdapterFile, kind: ModelKind) -> bool:
    """True if a transformer's adapter names a module that this kind lacks. Many kinds have some names in common."""
    names = [module.name for module in adapter if module.name.startswith("transformer.")]
    return kind in ("flux", "sd3") and any(_plain_name(name) not in _spellings(kind) for name in names)


@cache
def published_modules(kind: ModelKind) -> KnownModules:
    """The published architecture of a kind: names without shapes. The numbers of blocks and layers are those of the
    published configurations."""
    if kind in ("sd", "sdxl"):
        names = [f"unet.{name}" for name in _unet_names(kind == "sdxl")]
    else:
        table, repeats = (_FLUX, {"double": 19, "single": 38}) if kind == "flux" else (_SD3, {"joint": 24})
        names = [f"transformer.{part}" for _, parts in _expand(table, repeats) for part in parts]
    layers = {"sd": (24, 0), "sdxl": (12, 32), "flux": (12, 0), "sd3": (12, 32)}[kind]
    for component, count in zip(_CLIPS, layers, strict=True):
        names += [f"{component}.text_model.encoder.layers.{i}.{leaf}" for i in range(count) for leaf in LEAVES]
    names += {"sdxl": ["text_encoder_2." + PROJECTION], "sd3": [f"{e}.{PROJECTION}" for e in _CLIPS]}.get(kind, [])
    return KnownModules(kind, dict.fromkeys(names), _originals(kind, names), "")


def read_modules(model: Model) -> KnownModules:
    """Read a model's modules, from the headers alone. Raises E689 if the model is of no kind that the doctor can
    judge."""
    ldm = model.ldm_components()
    parts = ldm or [n for n, p in model.components.items() if model.layout != "pipeline" or layout.has_safetensors(p)]
    found: dict[str, Shape] = {}
    for component in parts:
        for name, tensor in model.component(component).tensors.items():
            if name.endswith(".weight") and len(tensor.shape) in (2, 4):
                found[f"{component}.{name.removesuffix('.weight')}"] = tensor.shape
    if model.layout != "pipeline" and not ldm:
        bare = {name.partition(".")[2]: shape for name, shape in found.items()}
        home = _component_of(bare)
        if not home and any(_LAYERED.search(name) for name in bare):
            return _language_model(read_language_modules(model))
        found = {f"{home}.{name}" if home else name: shape for name, shape in bare.items()}
    found = {_add_text_model_level(name): shape for name, shape in found.items()}
    kind = _kind_of(found)
    if kind == "unknown":
        help_text = "name a Stable Diffusion, SDXL, FLUX.1, SD3 or language model, or leave --model out"
        raise fail("E689", "the doctor cannot judge adapters of this kind of model", place=model.place, help=help_text)
    return KnownModules(kind, found, _originals(kind, found), f"the modules of {model.place}")


def read_component(shapes: Mapping[str, Shape]) -> KnownModules | None:
    """Find the modules of a single UNet or transformer, given under its own names (`down_blocks...`). None for any
    other component."""
    home = _component_of(shapes)
    found = {f"{home}.{name}": shape for name, shape in shapes.items()}
    kind = _kind_of(found)
    try:
        return None if kind == "unknown" else KnownModules(kind, found, _originals(kind, found), "")
    except ValueError:  # the names are not a whole UNet's, so that its blocks have no LDM numbers
        return None


def _language_model(language: LanguageModules) -> KnownModules:
    """The modules of a language model as `KnownModules`."""
    return KnownModules("language", language.modules, {}, language.why, language)


_IMAGE_KINDS: tuple[ModelKind, ...] = ("sd", "sdxl", "flux", "sd3")
"""The kinds of image models."""


def _kind_of(modules: Iterable[str]) -> ModelKind:
    """Recognise the kind of model by a few names that only it has."""
    names = set(modules)
    if "unet.conv_in" in names:
        return "sdxl" if "unet.add_embedding.linear_1" in names else "sd"
    if "transformer.single_transformer_blocks.0.proj_mlp" in names:
        return "flux"
    if "transformer.pos_embed.proj" in names and "transformer.context_embedder" in names:
        return "sd3"
    return "unknown"


def _component_of(names: Iterable[str]) -> str:
    """Recognise which component a folder or file without a pipeline is: `unet`, `transformer`, or '' for a language
    model."""
    known = set(names)
    if "conv_in" in known:
        return "unet"
    return "transformer" if {"context_embedder", "proj_out"} <= known else ""


def _add_text_model_level(name: str) -> str:
    """Add the level `text_model.` to a CLIP's names. transformers 5 saves CLIP without it; older versions and all
    adapters have it."""
    head, _, rest = name.partition(".")
    cut = head in ("text_encoder", "text_encoder_2") and rest.startswith("encoder.")
    return f"{head}.text_model.{rest}" if cut else name


def _unet_names(xl: bool) -> Iterator[str]:
    """Yield the names of the matrices in a UNet of Stable Diffusion, or of SDXL with `xl`."""
    depths = (0, 2, 10) if xl else (1, 1, 1, 0)
    last = len(depths) - 1
    yield from ("conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2")
    yield from ("add_embedding.linear_1", "add_embedding.linear_2") if xl else ()
    for level, depth in enumerate(depths):
        yield from _block_names(f"down_blocks.{level}", 2, depth, (0,) if level in (1, 2) else ())
        yield from _block_names(f"up_blocks.{last - level}", 3, depth, (0, 1, 2))
        if level < last:
            yield from (f"down_blocks.{level}.downsamplers.0.conv", f"up_blocks.{level}.upsamplers.0.conv")
    yield from _block_names("mid_block", 2, 0, ())
    yield from _attention_names("mid_block.attentions.0", 10 if xl else 1)


def _block_names(block: str, count: int, depth: int, shortcuts: Sequence[int]) -> Iterator[str]:
    """Yield the names in one block of a UNet: `count` residual blocks, those in `shortcuts` with a shortcut, and
    attention of that depth."""
    for number in range(count):
        yield from (f"{block}.resnets.{number}.{leaf}" for leaf in ("conv1", "conv2", "time_emb_proj"))
        if number in shortcuts:
            yield f"{block}.resnets.{number}.conv_shortcut"
        if depth:
            yield from _attention_names(f"{block}.attentions.{number}", depth)


def _attention_names(place: str, depth: int) -> Iterator[str]:
    """Yield the names in one attention module with `depth` transformer blocks."""
    yield from (f"{place}.proj_in", f"{place}.proj_out")
    for block in range(depth):
        yield from (f"{place}.transformer_blocks.{block}.{leaf}" for leaf in (*_ATTENTION, *_FEED))


def _expand(table: Mapping[str, tuple[str, ...]], repeats: Mapping[str, int]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every original name with its modules. `{}` stands for the number of the block, and at the beginning of a
    further module for the place of the first."""
    for original, (first, *others) in table.items():
        place = first.rpartition(".")[0] + "."
        parts = (first, *(place + other[2:] if other.startswith("{}") else other for other in others))
        if "{}" not in original:
            yield original, parts
            continue
        for i in range(repeats[original.partition("_")[0]]):
            yield original.replace("{}", str(i)), tuple(part.replace("{}", str(i)) for part in parts)


@cache
def original_parts(kind: Literal["flux", "sd3"]) -> Mapping[str, tuple[str, ...]]:
    """Module of the original code of FLUX or SD3 -> the modules of diffusers whose rows it holds, in order. It has more
    blocks than any model of the kind."""
    table, repeats = (_FLUX, {"double": 99, "single": 99}) if kind == "flux" else (_SD3, {"joint": 99})
    return dict(_expand(table, repeats))


def _originals(kind: ModelKind, modules: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Original name -> the modules of diffusers that it is, for those of which the model has all."""
    known = set(modules)
    if kind in ("sd", "sdxl"):
        names = [f"{m.removeprefix('unet.')}.weight" for m in sorted(known) if m.startswith("unet.")]
        pairs = ldm_names.to_ldm(names).items()
        return {old.removesuffix(".weight"): (f"unet.{new.removesuffix('.weight')}",) for new, old in pairs}
    if kind not in ("flux", "sd3"):
        return {}
    every = {old: tuple(f"transformer.{part}" for part in parts) for old, parts in original_parts(kind).items()}
    return {old: parts for old, parts in every.items() if known.issuperset(parts)}


@cache
def _spellings(kind: ModelKind) -> frozenset[str]:
    """All plain names of a kind's modules."""
    known = published_modules(kind)
    plain = {_plain_name(name) for name in known.modules} | {flatten(name) for name in known.originals}
    return frozenset(plain | {name.removesuffix("_0") for name in plain if name.endswith("to_out_0")})


def _plain_name(name: str) -> str:
    """A module's name in no tool's spelling: without prefixes and dots. A text encoder's name still says which encoder
    it is."""
    if match := _ENCODERS.match(name):
        second = "2" in (match[1], (match[2] or "").removeprefix("_"))
        return f"te{2 if second else 1}_{flatten(name[match.end() :])}"
    return flatten(_PREFIXES.sub("", name, count=1).replace(".processor.", "."))
