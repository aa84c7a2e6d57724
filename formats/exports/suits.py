"""Which families each format can be written for. Exports, errors, the doctor and help texts use this one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from editc.registry.families import FAMILIES

LANGUAGE = ""
"""Stands for the component of language models, which have only one, and of families that are not installed."""


@dataclass(frozen=True)
class Suits:
    """The families whose deltas a format can hold."""

    reason: str = ""
    """Why other families cannot be exported. `{families}` stands for the names of those that can."""
    families: tuple[str, ...] = ()
    """The families by name. If empty, `components` decides."""
    components: tuple[str, ...] = ()
    """The components that the families edit; LANGUAGE for language models. If empty, and `families` is too, all
    families suit."""
    in_words: str = "all"
    """How docs/reference/exports.md describes the families, if they are not listed by name."""

    def __call__(self, family: str) -> str:
        """Return the reason why deltas of a family cannot be exported, or ''."""
        if self.families:
            suits = family in self.families
        else:
            suits = not self.components or component_of(family) in self.components
        return "" if suits else self.reason.format(families=", ".join(self.families))

    @property
    def says(self) -> str:
        """The families as docs/reference/exports.md shows them."""
        return ", ".join(self.families) or self.in_words


def component_of(family: str) -> str:
    """The component that edits of an image family change; LANGUAGE for every other family."""
    return str(FAMILIES.resolve(family).component) if FAMILIES.models_of(family) == "image" else LANGUAGE


ALL = Suits()
"""For formats that hold deltas of every family."""
ONNX = Suits(
    "an edited text encoder is not written as ONNX: its delta is for the folder of a pipeline",
    components=("unet", "transformer", "prior", LANGUAGE),
    in_words="all but text encoders",
)
"""For formats of an ONNX runtime."""
SUITS: Mapping[str, Suits] = MappingProxyType(
    {
        "checkpoint": ALL,
        "diff": Suits(
            "dense differences are for UNets and diffusion transformers",
            components=("unet", "transformer"),
            in_words="UNets and transformers",
        ),
        "diffusers": Suits("this spelling is for the transformers of {families}", ("flux", "sd3")),
        "gguf-lora": Suits(
            "these adapters are for the language models of llama.cpp",
            components=(LANGUAGE,),
            in_words="language models",
        ),
        "kohya": Suits(
            "kohya files are for the UNets of sd1, sd2 and sdxl, and for text encoders",
            ("sd1", "sd2", "sdxl", "sd-text"),
        ),
        "onnx-adapter": ONNX,
        "onnx-graph": ONNX,
        "onnx-multiplier": Suits(
            "it needs a model in which only the edited layers read the rows: {families}",
            ("sd1", "sd2", "sdxl"),
        ),
        "peft": Suits(
            "PEFT folders are for language models, and a diffusion pipeline ignores them silently",
            components=(LANGUAGE,),
            in_words="language models",
        ),
        "safetensors": ALL,
        "xor-index": ALL,
    }
)
"""Format -> the families that suit it. The format of a plugin brings its own."""
BEST = ("kohya", "diffusers", "peft", "diff", "checkpoint")
"""Formats that other programs load. The first in this order that suits a family is recommended. Chosen by hand: those
that more programs read come first."""


def best_format(family: str) -> str:
    """Of the formats that hold deltas of this family, the one that most programs read."""
    return next(name for name in BEST if not SUITS[name](family))
