"""A diffusers pipeline as a port: prompts and seeds in, pictures out, with some weights changed for the while."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.encoders.classes import CLIP_UNUSED
from editc.core.diagnostics import fail
from editc.core.ir import Array
from editc.core.ports import Progress
from editc.libraries import pipeline_index
from editc.libraries.foreign import quiet
from editc.libraries.loading import library_errors, load_network

MAX_BATCH = 32
"""Pictures painted at once, at most."""
MAX_PIXELS: Mapping[str, int] = MappingProxyType({"cpu": 2 * 512 * 512, "cuda": 8 * 512 * 512})
"""Pixels painted at once, at most, by device; one picture is painted whatever its size."""
DEVICE_VARIABLE = "EDITC_DEVICE"
"""The variable that names a device of torch; left out, a GPU where torch sees one, else the CPU."""


@dataclass(frozen=True)
class PipelinePainter:
    """Paints with `pipeline` in `steps` steps at `guidance`; the noise of a picture depends on its seed alone, and is
    drawn on the CPU whatever paints."""

    pipeline: Any
    component: str
    steps: int
    guidance: float
    batch: int = MAX_BATCH
    """Pictures painted at once."""
    progress: Progress | None = None
    """Who is told of each step."""

    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """Pictures (n, h, w, 3); `changed` replaces parameters by name while painting."""
        return self._paint(lambda part: {"prompt": list(prompts[part])}, seeds, changed)

    @property
    def reads_rows(self) -> bool:
        """True where rows alone make a picture: SDXL and its like want a pooled embedding or a mask beside them."""
        return type(self.pipeline).__name__ == "StableDiffusionPipeline"

    def paint_rows(
        self, rows: Array, seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """Pictures (n, h, w, 3) from rows (n, t, d) instead of prompts; guided away from the empty prompt as ever."""
        import torch

        known = next(self.pipeline.text_encoder.parameters())
        embeds = torch.from_numpy(np.ascontiguousarray(rows)).to(known.device, known.dtype)
        return self._paint(lambda part: {"prompt_embeds": embeds[part]}, seeds, changed)

    def _paint(
        self,
        arguments: Callable[[slice], Mapping[str, Any]],
        seeds: Sequence[int],
        changed: Mapping[str, NDArray[np.float64]] | None,
    ) -> NDArray[np.uint8]:
        with swap_parameters(getattr(self.pipeline, self.component), changed or {}):
            parts = [slice(start, start + self.batch) for start in range(0, len(seeds), self.batch)]
            return np.concatenate([self._batch(arguments(part), seeds[part]) for part in parts])

    def _batch(self, arguments: Mapping[str, Any], seeds: Sequence[int]) -> NDArray[np.uint8]:
        import torch

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with torch.inference_mode():
            images = self.pipeline(
                **arguments,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=generators,
                output_type="np",
                **self._step_arguments(),
            ).images
        return np.asarray(np.rint(images * 255.0).astype(np.uint8))

    def _step_arguments(self) -> Mapping[str, Any]:
        """What makes the pipeline tell of its steps, where it can."""
        if self.progress is None or "callback_on_step_end" not in signature(self.pipeline.__call__).parameters:
            return {}
        steps = iter(self.progress("step", range(self.steps)))

        def on_step_end(pipeline: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
            next(steps, None)
            return given

        next(steps, None)
        return {"callback_on_step_end": on_step_end}


@contextmanager
def swap_parameters(module: Any, changed: Mapping[str, NDArray[np.float64]]) -> Iterator[None]:
    """`module` with the named parameters set to `changed`, and as it was afterwards."""
    import torch

    parameters = dict(module.named_parameters())
    before = {name: parameters[name].detach().clone() for name in changed}
    try:
        with torch.no_grad():
            for name, value in changed.items():
                parameters[name].copy_(torch.from_numpy(np.ascontiguousarray(value)).reshape(parameters[name].shape))
        yield
    finally:
        with torch.no_grad():
            for name, value in before.items():
                parameters[name].copy_(value)


def choose_device() -> str:
    """Where pictures are painted: what EDITC_DEVICE names, else a GPU where torch sees one, else the CPU. E225 for a
    device that torch does not have here."""
    import torch

    asked = os.environ.get(DEVICE_VARIABLE, "")
    if not asked:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=asked)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = " ".join(str(error).split())[:200]
        help_text = "name one that torch has here (cpu, cuda, cuda:1), or leave the variable out"
        raise fail(
            "E225", f"torch cannot use the device `{asked}`: {said}", place=DEVICE_VARIABLE, help=help_text
        ) from error
    return asked


def choose_precision(where: str, component: str) -> str:
    """The dtype to paint in: float32 on the CPU, half of it elsewhere; transformers leave the range of float16."""
    if where.startswith("cpu"):
        return "float32"
    return "bfloat16" if component == "transformer" else "float16"


def batch_size(pipeline: Any, component: str, where: str) -> int:
    """How many pictures a device paints at once, by their size."""
    size = getattr(getattr(pipeline, component).config, "sample_size", None)
    size = size or getattr(pipeline, "default_sample_size", None) or 64
    sides = [side * int(getattr(pipeline, "vae_scale_factor", 8)) for side in np.atleast_1d(size).tolist()]
    most: int = MAX_PIXELS.get(where.partition(":")[0], MAX_PIXELS["cpu"]) // (sides[0] * sides[-1])
    return max(1, min(MAX_BATCH, most))


def load(
    folder: Path, component: str = "unet", steps: int = 25, guidance: float = 7.5, progress: Progress | None = None
) -> PipelinePainter:
    """The pipeline in `folder`, in float32 on the CPU or in half precision on a GPU, without its own bar; each network
    by `load_network`.

    Raises E205, E224, E225 and E402."""
    import torch
    from diffusers import DiffusionPipeline

    where = choose_device()
    given = {"torch_dtype": torch.float32, "low_cpu_mem_usage": False}
    with quiet(), library_errors("the pipeline cannot be loaded", folder):
        networks = {part: _load_part(kind, folder, part) for part, kind in pipeline_index.networks(folder).items()}
        pipeline = DiffusionPipeline.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, **given, **networks
        )
    pipeline.set_progress_bar_config(disable=True)
    if not where.startswith("cpu"):
        pipeline.to(where, getattr(torch, choose_precision(where, component)))
    return PipelinePainter(pipeline, component, steps, guidance, batch_size(pipeline, component, where), progress)


def _load_part(kind: Any, folder: Path, part: str) -> Any:
    own = {"low_cpu_mem_usage": False} if kind.__module__.startswith("diffusers.models") else {}
    return load_network(kind, folder / part, f"the model's `{part}`", CLIP_UNUSED, **own).float()
