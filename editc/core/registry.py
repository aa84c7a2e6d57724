"""What can be named in a manifest or on the command line: tables `name -> "module:attr"`, imported only when used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from types import MappingProxyType, NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from editc.core.manifest import Scalar

Kind: TypeAlias = Literal["method", "language", "family", "language-family", "format", "detector"]
OptionType: TypeAlias = type[int] | type[float] | type[bool] | type[str] | tuple[str, ...]

TABLES: Mapping[Kind, Mapping[str, str]] = MappingProxyType(
    {
        "method": {
            "uce": "editc.passes.methods.images.uce:UCE",
            "rece": "editc.passes.methods.images.rece:RECE",
            "mace": "editc.passes.methods.images.mace:MACE",
            "trce": "editc.passes.methods.images.trce:TRCE",
            "speed": "editc.passes.methods.images.speed:SPEED",
            "project": "editc.passes.methods.images.project:Project",
            "guard": "editc.passes.methods.images.guard:Guard",
            "realera": "editc.passes.methods.images.realera:RealEra",
        },
        "language": {
            "ablate": "editc.passes.methods.language.ablate:Ablate",
            "alphaedit": "editc.passes.methods.language.alphaedit:AlphaEdit",
            "concept-vectors": "editc.passes.methods.language.concept_vectors:ConceptVectors",
            "emmet": "editc.passes.methods.language.emmet:EMMET",
            "leace": "editc.passes.methods.language.leace:LEACE",
            "memit": "editc.passes.methods.language.memit:MEMIT",
            "rocr": "editc.passes.methods.language.rocr:ROCR",
            "rome": "editc.passes.methods.language.rome:ROME",
            "transplant": "editc.passes.methods.language.transplant:Transplant",
        },
        "family": {
            "cascade": "editc.families.images.cascade:CASCADE",
            "flux": "editc.families.images.flux:FLUX",
            "kandinsky22": "editc.families.images.kandinsky22:KANDINSKY22",
            "pixart": "editc.families.images.pixart:PIXART",
            "sd1": "editc.families.images.sd1:SD1",
            "sd2": "editc.families.images.sd2:SD2",
            "sd3": "editc.families.images.sd3:SD3",
            "sdxl": "editc.families.images.sdxl:SDXL",
        },
        "language-family": {
            "falcon": "editc.families.language.falcon:FALCON",
            "gemma": "editc.families.language.gemma:GEMMA",
            "gpt-neox": "editc.families.language.gpt_neox:GPT_NEOX",
            "gpt-oss": "editc.families.language.gpt_oss:GPT_OSS",
            "gpt2": "editc.families.language.gpt2:GPT2",
            "gptj": "editc.families.language.gptj:GPTJ",
            "llama": "editc.families.language.llama:LLAMA",
            "mixtral": "editc.families.language.mixtral:MIXTRAL",
            "olmo2": "editc.families.language.olmo2:OLMO2",
            "opt": "editc.families.language.opt:OPT",
            "phi": "editc.families.language.phi:PHI",
            "phi3": "editc.families.language.phi3:PHI3",
            "qwen3-moe": "editc.families.language.qwen3_moe:QWEN3_MOE",
        },
        "format": {
            "checkpoint": "editc.formats.exports.checkpoint:FORMAT",
            "diff": "editc.formats.exports.diff:FORMAT",
            "diffusers": "editc.formats.exports.diffusers:FORMAT",
            "gguf-lora": "editc.formats.exports.gguf_lora:FORMAT",
            "kohya": "editc.formats.exports.kohya:FORMAT",
            "onnx-adapter": "editc.formats.exports.onnx.adapter:FORMAT",
            "onnx-graph": "editc.formats.exports.onnx.graph:FORMAT",
            "onnx-multiplier": "editc.formats.exports.onnx.multiplier:FORMAT",
            "peft": "editc.formats.exports.peft:FORMAT",
            "safetensors": "editc.formats.exports.safetensors:FORMAT",
            "xor-index": "editc.formats.exports.xor_index:FORMAT",
        },
        "detector": {
            "classifier": "editc.backends.detectors.classifier:CLASSIFIER",
            "clip": "editc.backends.detectors.clip:CLIP",
            "editc:demo": "editc.backends.detectors.world:DEMO",
            "none": "editc.backends.detectors.none:NONE",
            "python": "editc.backends.detectors.code:PYTHON",
        },
    }
)

GROUPS: Mapping[Kind, str] = MappingProxyType({"detector": "editc.detectors"})
"""The entry points by which an installed package adds names of a kind."""


@dataclass(frozen=True)
class Option:
    """One option of a method: a field of its dataclass. `type` is a tuple where a few words are allowed."""

    name: str
    type: OptionType
    default: Scalar | None
    doc: str = ""


def names(kind: Kind) -> tuple[str, ...]:
    """Every name of that kind, sorted."""
    return tuple(sorted({*TABLES[kind], *_installed(kind)}))


def resolve(kind: Kind, name: str) -> Any:
    """The thing behind a name; imports its module. KeyError for a name that neither the table nor an installed package
    has."""
    module, _, attribute = {**_installed(kind), **TABLES[kind]}[name].partition(":")
    return getattr(import_module(module), attribute)


@cache
def _installed(kind: Kind) -> Mapping[str, str]:
    """What other packages add: the entry points of the groups in `GROUPS`."""
    from importlib.metadata import entry_points

    return {one.name: one.value for one in entry_points(group=GROUPS[kind])} if kind in GROUPS else {}


def nearest(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that `name` most likely meant, or None when none is near."""
    folded = {one.casefold().replace("-", "_"): one for one in known}
    near = get_close_matches(name[:100].casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def options(method: str) -> tuple[Option, ...]:
    """The options of a method, in the order of its fields."""
    return _options(resolve(kind_of(method), method))


def construct(method: str, given: Mapping[str, Scalar]) -> Any:
    """The method with these options; whatever its `__post_init__` has against them (ValueError) comes through."""
    return resolve(kind_of(method), method)(**given)


def kind_of(method: str) -> Kind:
    """`language` for a method that edits language models, else `method`; no name is both."""
    return "language" if method in TABLES.get("language", {}) else "method"


@cache
def _options(method: type) -> tuple[Option, ...]:
    if not is_dataclass(method):
        raise TypeError(f"{method.__name__} is not a dataclass, so it has no options to check")
    hints = get_type_hints(method)
    docs: dict[str, str] = {}
    for kind in reversed(method.__mro__):
        docs |= _docs(kind.__doc__ or "")
    return tuple(
        Option(
            one.name,
            _type(method, hints[one.name]),
            None if one.default is MISSING else one.default,
            docs.get(one.name, ""),
        )
        for one in fields(method)
        if one.init
    )


def _type(method: type, hint: Any) -> OptionType:
    """The type that a YAML value must have; `float | None` asks for a float, as None is said by leaving it out."""
    if get_origin(hint) in (Union, UnionType):
        rest = [arm for arm in get_args(hint) if arm is not NoneType]
        hint = rest[0] if len(rest) == 1 else hint
    if get_origin(hint) is Literal:
        return tuple(str(word) for word in get_args(hint))
    if hint in (int, float, bool, str):
        return hint  # type: ignore[no-any-return]
    raise TypeError(f"{method.__name__}: an option is int, float, bool, str or a Literal of words, not {hint}")


def _docs(text: str) -> Mapping[str, str]:
    """The `name: what it does` lines of a class docstring, continuation lines joined."""
    found: dict[str, str] = {}
    for match in re.finditer(r"^ +(\w+): (.+(?:\n {8,}\S.*)*)", text, re.MULTILINE):
        found[match[1]] = " ".join(match[2].split())
    return found
