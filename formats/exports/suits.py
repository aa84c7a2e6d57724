"""Which families each format can be written for: the one table that exports, errors, the doctor and help texts ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from editc.registry.families import FAMILIES

LANGUAGE = ""
"""Stands for the component of language models, which have one, and of families that nobody installed."""


@dataclass(frozen=True)
class Suits:
    """The families whose deltas a format can hold. Called with a family it gives the reason against it, or ''."""

    reason: str = ""
    """Why no other family can be exported so. `{families}` stands for the names of those that can."""
    families: tuple[str, ...] = ()
    """The families by name. Empty: `components` decides."""
    components: tuple[str, ...] = ()
    """The components of the families, LANGUAGE for language models. Empty, and no families: all."""
    in_words: str = "all"
    """The families in the words of docs/reference/exports.md, where they are not listed by name."""

    def __call__(self, family: str) -> str:
        """Why deltas of a family cannot be exported so, or ''."""
        if self.families:
            suits = family in self.families
        else:
            suits = not self.components or component_of(family) in self.components
        return "" if suits else self.reason.format(families=", ".join(self.families))

    @property
    def says(self) -> str:
        """The families as docs/reference/exports.md has them."""
        return ", ".join(self.families) or self.in_words


def component_of(family: str) -> str:
    """The component that edits of an image family change; LANGUAGE for every other family."""
    return str(FAMILIES.resolve(family).component) if FAMILIES.models_of(family) == "image" else LANGUAGE


ALL = Suits()
"""For formats that hold deltas of every family."""
SUITS: Mapping[str, Suits] = MappingProxyType(
    {
        "checkpoint": ALL,
        "diff": Suits(
            "dense differences are for UNets and diffusion transformers",
            components=("unet", "transformer"),
            in_words="UNets and transformers",
        ),
        "diffusers": Suits("this spelling is loaded into the transformers of {families}", ("flux", "sd3")),
        "gguf-lora": Suits(
            "these adapters are for the language models of llama.cpp",
            components=(LANGUAGE,),
            in_words="language models",
        ),
        "kohya": Suits("kohya files are for the UNets of {families}", ("sd1", "sd2", "sdxl")),
        "onnx-adapter": ALL,
        "onnx-graph": ALL,
        "onnx-multiplier": Suits(
            "only in {families} do the edited layers alone read the rows",
            ("sd1", "sd2", "sdxl"),
        ),
        "peft": Suits(
            "PEFT folders are for language models; a diffusion pipeline passes over them without a word",
            components=(LANGUAGE,),
            in_words="language models",
        ),
        "safetensors": ALL,
        "xor-index": ALL,
    }
)
"""By format. A new family that a format holds is one word here; a plugin's format brings its own."""
BEST = ("kohya", "diffusers", "peft", "diff", "checkpoint")
"""Formats that other programs load, in the order in which a family's first that suits is recommended."""


def best_format(family: str) -> str:
    """The format that the most programs read of those that hold deltas of this family."""
    return next(name for name in BEST if not SUITS[name](family))
