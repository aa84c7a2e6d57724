"""A diffusers pipeline as a port: prompts and seeds in, pictures out, with some weights changed for the while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc import declared
from editc.encoders import quiet
from editc.encoders.classes import CLIP_BESIDE
from editc.ir import Array
from editc.loaded import library_errors, load_network

BATCH = 32


@dataclass(frozen=True)
class PipelinePainter:
    """Paints with `pipeline` in `steps` steps at `guidance`; the noise of a picture depends on its seed alone."""

    pipeline: Any
    component: str
    steps: int
    guidance: float

    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """Pictures (n, h, w, 3); `changed` replaces parameters by name while painting."""
        return self._painted(lambda part: {"prompt": list(prompts[part])}, seeds, changed)

    @property
    def reads_rows(self) -> bool:
        """True where rows alone make a picture: SDXL and its like want a pooled embedding or a mask beside them."""
        return type(self.pipeline).__name__ == "StableDiffusionPipeline"

    def paint_rows(
        self, rows: Array, seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """Pictures (n, h, w, 3) from rows (n, t, d) instead of prompts; guided away from the empty prompt as ever."""
        import torch

        kind = next(self.pipeline.text_encoder.parameters()).dtype
        embeds = torch.from_numpy(np.ascontiguousarray(rows)).to(kind)
        return self._painted(lambda part: {"prompt_embeds": embeds[part]}, seeds, changed)

    def _painted(
        self,
        told: Callable[[slice], Mapping[str, Any]],
        seeds: Sequence[int],
        changed: Mapping[str, NDArray[np.float64]] | None,
    ) -> NDArray[np.uint8]:
        with replaced(getattr(self.pipeline, self.component), changed or {}):
            parts = [slice(start, start + BATCH) for start in range(0, len(seeds), BATCH)]
            return np.concatenate([self._batch(told(part), seeds[part]) for part in parts])

    def _batch(self, told: Mapping[str, Any], seeds: Sequence[int]) -> NDArray[np.uint8]:
        import torch

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with torch.inference_mode():
            images = self.pipeline(
                **told,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=generators,
                output_type="np",
            ).images
        return np.asarray(np.rint(images * 255.0).astype(np.uint8))


@contextmanager
def replaced(module: Any, changed: Mapping[str, NDArray[np.float64]]) -> Iterator[None]:
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


def load(folder: Path, component: str = "unet", steps: int = 25, guidance: float = 7.5) -> PipelinePainter:
    """The pipeline in `folder`, in float32 on the CPU, without its own bar; each network by `load_network`.

    Raises E205, E224 and E402."""
    import torch
    from diffusers import DiffusionPipeline

    given = {"torch_dtype": torch.float32, "low_cpu_mem_usage": False}
    with quiet(), library_errors("the pipeline cannot be loaded", folder):
        networks = {part: _network(kind, folder, part) for part, kind in declared.networks(folder).items()}
        pipeline = DiffusionPipeline.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, **given, **networks
        )
    pipeline.set_progress_bar_config(disable=True)
    return PipelinePainter(pipeline, component, steps, guidance)


def _network(kind: Any, folder: Path, part: str) -> Any:
    own = {"low_cpu_mem_usage": False} if kind.__module__.startswith("diffusers.models") else {}
    return load_network(kind, folder / part, f"the model's `{part}`", CLIP_BESIDE, **own).float()
