"""The components of a model in memory, by the names that deltas use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from editc.core.diagnostics import fail

COMPILED = "_orig_mod"
"""The name under which the wrapper of torch.compile holds a module."""


@dataclass(frozen=True)
class LiveModel:
    """A model in memory."""

    place: str
    """What messages call it, such as `StableDiffusionPipeline in memory`."""
    components: Mapping[str, Any]
    """Component -> its module of torch. A bare network is its own only component, under the name ''."""

    tokenizers: Mapping[str, Any] = field(default_factory=dict)
    """Name -> each tokenizer of a pipeline. Empty for a bare network."""
    absent: tuple[str, ...] = ()
    """The text encoders and tokenizers that the pipeline was loaded without."""

    def component(self, name: str) -> Any:
        """The module of a component. A bare network is whatever component it is asked for. Raises E615."""
        if "" in self.components:
            return self.components[""]
        if name not in self.components:
            help_text = f"its components are: {', '.join(sorted(self.components))}"
            raise fail("E615", f"the model has no component '{name}'", place=self.place, help=help_text)
        return self.components[name]


def open_live(model: Any) -> LiveModel:
    """Find the components of a diffusers pipeline, a network of diffusers or a model or pipeline of transformers.

    Raises E640 for anything else.
    """
    from torch.nn import Module

    place = f"{type(model).__name__} in memory"
    parts = getattr(model, "components", None)
    if isinstance(model, Module):
        return LiveModel(place, {"": unwrapped(model)})
    if isinstance(parts, Mapping) and any(isinstance(part, Module) for part in parts.values()):
        modules = {name: unwrapped(part) for name, part in parts.items() if isinstance(part, Module)}
        texts = {name: part for name, part in parts.items() if name.startswith(("text_encoder", "tokenizer"))}
        tokenizers = {name: part for name, part in texts.items() if part is not None and name not in modules}
        return LiveModel(place, modules, tokenizers, tuple(name for name, part in texts.items() if part is None))
    if isinstance(getattr(model, "model", None), Module):
        return LiveModel(place, {"": unwrapped(model.model)})
    message = f"a {type(model).__name__} is no model that a delta can be loaded into"
    help_text = "give a diffusers pipeline, a network of diffusers, or a model of transformers; for files: editc.apply"
    raise fail("E640", message, help=help_text)


def unwrapped(module: Any) -> Any:
    """The module itself, without the wrapper that torch.compile puts around it."""
    return getattr(module, COMPILED, module)
