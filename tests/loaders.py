"""The real loaders, run on pico models: what diffusers and PEFT make of an adapter file, as matrices or as an error."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Measured:
    """What a loader did: the matrix that it adds to each module (`unet.down_blocks...`), or the error it raised."""

    deltas: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    error: str = ""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No talk of the libraries: their warnings are not errors here, for what they do is what is measured."""
    from diffusers.utils import logging as ours
    from transformers.utils import logging as theirs

    before = ours.get_verbosity(), theirs.get_verbosity()
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        ours.set_verbosity(60)
        theirs.set_verbosity(60)
        try:
            yield
        finally:
            ours.set_verbosity(before[0])
            theirs.set_verbosity(before[1])


def through_diffusers(kind: str, path: Path, parts: Mapping[str, Any]) -> Measured:
    """`load_lora_weights` of the pipeline of that kind (sd1, sdxl, flux, sd3), with these parts of a pipeline."""
    from diffusers.loaders import (
        FluxLoraLoaderMixin,
        SD3LoraLoaderMixin,
        StableDiffusionLoraLoaderMixin,
        StableDiffusionXLLoraLoaderMixin,
    )

    mixins = {
        "sd1": StableDiffusionLoraLoaderMixin,
        "sdxl": StableDiffusionXLLoraLoaderMixin,
        "flux": FluxLoraLoaderMixin,
        "sd3": SD3LoraLoaderMixin,
    }
    empty = {"text_encoder": None, "text_encoder_2": None, "text_encoder_3": None, "unet": None, "transformer": None}
    body = {"hf_device_map": None, "components": {}, **empty, **parts}
    pipeline = type("Pipeline", (mixins[kind],), body)()
    with quiet():
        try:
            pipeline.load_lora_weights(str(path))
        except Exception as error:
            return Measured(error=f"{type(error).__name__}: {error}")
    return Measured({f"{name}.{m}": d for name, part in parts.items() for m, d in added(part).items()})


def through_peft(folder: Path, model: Any) -> Measured:
    """`PeftModel.from_pretrained` of an adapter folder."""
    from peft import PeftModel

    with quiet():
        try:
            loaded = PeftModel.from_pretrained(model, str(folder))
        except Exception as error:
            return Measured(error=f"{type(error).__name__}: {error}")
    return Measured({name.removeprefix("base_model.model."): delta for name, delta in added(loaded).items()})


def added(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Module -> what its adapter adds to the weight; those that add nothing are left out."""
    found = {}
    for name, module in model.named_modules():
        for adapter in getattr(module, "lora_A", ()):
            delta = module.get_delta_weight(adapter).detach().double().numpy()
            if np.any(delta):
                found[name] = delta
    return found
