"""A diffusers pipeline behind the port `Painter`: it paints pictures from prompts and seeds, if wanted with other
weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.family import TEXT_ENCODER
from editc.core.ports import Progress
from editc.libraries import pipeline_index
from editc.libraries.device import choose_device, is_cpu
from editc.libraries.foreign import quiet
from editc.libraries.loading import library_errors, load_network
from editc.libraries.text_encoders import CLIP_UNUSED

MAX_BATCH = 32
"""Pictures painted at once, at most. Chosen by hand."""
MAX_PIXELS: Mapping[str, int] = MappingProxyType({"cpu": 2 * 512 * 512, "cuda": 8 * 512 * 512})
"""Kind of device -> pixels painted at once, at most: two pictures of 512 x 512 on a CPU, eight on a GPU. Chosen by hand
to bound memory. One picture is painted whatever its size."""
NESTED = "text_model."
"""What stands before the names of a text encoder's parameters in files of transformers before 5."""


@dataclass(frozen=True)
class PipelinePainter:
    """Paints with a diffusers pipeline. The noise of a picture depends on its seed alone and is drawn on the CPU on
    every device."""

    pipeline: Any
    """The pipeline of diffusers."""
    component: str
    """The denoiser's name in it, such as `unet`."""
    steps: int
    """Denoising steps of a picture."""
    guidance: float
    """The guidance scale."""
    batch: int = MAX_BATCH
    """Pictures painted at once."""
    progress: Progress | None = None
    """Shows each denoising step. None: nobody watches."""

    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """Paint pictures (n, h, w, 3), one for each prompt and seed. `changed` maps parameter names to other weights,
        in any shape of the same size."""
        return self._paint(lambda part: {"prompt": list(prompts[part])}, seeds, changed)

    @property
    def reads_rows(self) -> bool:
        """True where rows alone make a picture. SDXL and others also need a pooled embedding or a mask."""
        return type(self.pipeline).__name__ == "StableDiffusionPipeline"

    def paint_rows(
        self, rows: Array, seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """Paint pictures (n, h, w, 3) from rows (n, t, d) in place of prompts. Guidance still leads away from the empty
        prompt."""
        import torch

        weight = next(self.pipeline.text_encoder.parameters())
        embeds = torch.from_numpy(np.ascontiguousarray(rows)).to(weight.device, weight.dtype)
        return self._paint(lambda part: {"prompt_embeds": embeds[part]}, seeds, changed)

    def _paint(
        self,
        arguments: Callable[[slice], Mapping[str, Any]],
        seeds: Sequence[int],
        changed: Mapping[str, NDArray[np.float64]] | None,
    ) -> NDArray[np.uint8]:
        """Paint in batches. `arguments` gives the pipeline's arguments for the pictures of one slice."""
        with swap_parameters(edited_parameters(self.pipeline, self.component), changed or {}):
            parts = [slice(start, start + self.batch) for start in range(0, len(seeds), self.batch)]
            return np.concatenate([self._batch(arguments(part), seeds[part]) for part in parts])

    def _batch(self, arguments: Mapping[str, Any], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Paint one batch (n, h, w, 3)."""
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
        """Return the callback by which the pipeline reports its steps; nothing where it cannot or where nobody
        watches."""
        if self.progress is None or "callback_on_step_end" not in signature(self.pipeline.__call__).parameters:
            return {}
        steps = iter(self.progress("step", range(self.steps)))

        def on_step_end(pipeline: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
            next(steps, None)
            return given

        next(steps, None)
        return {"callback_on_step_end": on_step_end}


def edited_parameters(pipeline: Any, component: str) -> Mapping[str, Any]:
    """The parameters of the denoiser and of the text encoder, by the names that files give them. The latter's have two
    names, because transformers before 5 puts `text_model.` before each. No name is in both networks."""
    found: dict[str, Any] = dict(getattr(pipeline, component).named_parameters())
    encoder = getattr(pipeline, TEXT_ENCODER, None)
    for name, one in encoder.named_parameters() if encoder is not None else ():
        plain = name.removeprefix(NESTED)
        found |= {plain: one, NESTED + plain: one}
    return found


@contextmanager
def swap_parameters(parameters: Mapping[str, Any], changed: Mapping[str, NDArray[np.float64]]) -> Iterator[None]:
    """Within the `with`, some of the `parameters`, by name, hold `changed`; afterwards they hold what they held before.

    Each array may have any shape of the parameter's size.
    """
    import torch

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


def choose_precision(where: str, component: str) -> str:
    """Return the dtype to paint in: float32 on the CPU, half precision elsewhere. Transformers leave the range of
    float16, so they run in bfloat16."""
    if is_cpu(where):
        return "float32"
    return "bfloat16" if component == "transformer" else "float16"


def batch_size(pipeline: Any, component: str, where: str) -> int:
    """Return how many pictures the device paints at once, by their size in pixels."""
    size = getattr(getattr(pipeline, component).config, "sample_size", None)
    size = size or getattr(pipeline, "default_sample_size", None) or 64
    sides = [side * int(getattr(pipeline, "vae_scale_factor", 8)) for side in np.atleast_1d(size).tolist()]
    most: int = MAX_PIXELS.get(where.partition(":")[0], MAX_PIXELS["cpu"]) // (sides[0] * sides[-1])
    return max(1, min(MAX_BATCH, most))


def load(
    folder: Path,
    component: str = "unet",
    steps: int = 25,
    guidance: float = 7.5,
    progress: Progress | None = None,
    gradients: bool = False,
) -> PipelinePainter:
    """Load the pipeline in `folder`, in float32 on the CPU or in half precision on a GPU, without its own progress bar.

    `gradients` True: in float32 on a GPU too, because small gradients are 0 in half precision.
    Raises E205, E224 or E402 where the files are not whole and finite, and E225 for a device that torch cannot use.
    """
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
    if not is_cpu(where):
        pipeline.to(where, torch.float32 if gradients else getattr(torch, choose_precision(where, component)))
    return PipelinePainter(pipeline, component, steps, guidance, batch_size(pipeline, component, where), progress)


def _load_part(kind: Any, folder: Path, part: str) -> Any:
    """Load one network of the pipeline in float32, and check its files."""
    own = {"low_cpu_mem_usage": False} if kind.__module__.startswith("diffusers.models") else {}
    return load_network(kind, folder / part, f"the model's `{part}`", CLIP_UNUSED, **own).float()
