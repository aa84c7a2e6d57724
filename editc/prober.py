"""A diffusers UNet as a port: which noise it predicts, and which when some sites see another text than the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from editc.diagnostics import EditcError, fail
from editc.encoders import quiet
from editc.ir import Array
from editc.ports import Noisy

PIXELS = 8192
"""Latent pixels at a time: all of the demo model's pictures, two of Stable Diffusion's."""
GUIDANCE = 3.0
"""Of the denoising that makes the latents: enough that they come to show what the prompt says."""


@dataclass(frozen=True)
class UNetProber:
    """Asks `network` in float64: a choice of sites goes into the delta, and the sums of float32 depend on the number
    of threads. `scheduler` is DDIM over the model's own noise levels, whatever the pipeline paints with."""

    network: Any
    scheduler: Any

    def denoise(self, rows: Array, empty: Array, seeds: Sequence[int], steps: int) -> tuple[Noisy, ...]:
        """The latents before each of `steps` DDIM steps; the first are standard normal, of each picture's seed."""
        import torch

        self.scheduler.set_timesteps(steps)
        shape = (self.network.config.in_channels, *_sides(self.network.config.sample_size))
        latents = np.stack([np.random.default_rng(seed).standard_normal(shape) for seed in seeds])
        both, found = np.concatenate([rows, np.broadcast_to(empty, rows.shape)]), []
        for time in self.scheduler.timesteps.tolist():
            found.append(Noisy(latents, np.full(len(rows), time)))
            asked = Noisy(np.concatenate([latents, latents]), np.full(len(both), time))
            toward, away = np.split(self._ask(asked, both, None, ()), 2)
            guided, here = (torch.from_numpy(one) for one in (away + GUIDANCE * (toward - away), latents))
            latents = self.scheduler.step(guided, time, here).prev_sample.double().numpy()
        return tuple(found)

    def predict(self, noisy: Noisy, rows: Array, instead: Array | None = None, sites: Sequence[str] = ()) -> Array:
        """The noise (n, c, h, w) predicted in `noisy` for `rows`, where `sites` read `instead` (n, t, d)."""
        answer = self._ask(noisy, rows, instead, sites)
        level = self.scheduler.alphas_cumprod.double().numpy()[noisy.timesteps, None, None, None]
        return _as_noise(answer, noisy.latents, level, self.scheduler.config.prediction_type)

    def _ask(self, noisy: Noisy, rows: Array, instead: Array | None, sites: Sequence[str]) -> Array:
        """What the network itself says (eps, v or x0), a few pictures at a time."""
        import torch

        batch = max(1, PIXELS // int(np.prod(noisy.latents.shape[2:])))
        parts = []
        with torch.inference_mode():
            for start in range(0, len(rows), batch):
                part = slice(start, start + batch)
                text, other = (None if a is None else _tensor(a[part]) for a in (rows, instead))
                times = torch.from_numpy(noisy.timesteps[part])
                with misled(self.network, sites, other):
                    said = self.network(_tensor(noisy.latents[part]), times, encoder_hidden_states=text).sample
                parts.append(said.numpy())
        return np.concatenate(parts)


@contextmanager
def misled(network: Any, sites: Sequence[str], text: Any) -> Iterator[None]:
    """`network` whose projections `sites` (parameter names) see `text` (n, t, d) in place of what they are given."""
    hooks: list[Any] = []
    try:
        for name in sites:
            module = network.get_submodule(name.removesuffix(".weight"))
            hooks.append(module.register_forward_pre_hook(lambda *_: (text,)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def load(folder: Path, component: str = "unet") -> Callable[[], UNetProber]:
    """Opens the denoiser of the pipeline in `folder` when called; E230 now if it is none that can be asked."""
    config = folder / component / "config.json"
    if not config.is_file():
        raise _unasked(folder, f"it has no `{component}/config.json`")
    if not (folder / "scheduler" / "scheduler_config.json").is_file():
        raise _unasked(folder, "it has no `scheduler`")
    declared = json.loads(config.read_text(encoding="utf-8"))
    if declared.get("_class_name") != "UNet2DConditionModel" or declared.get("addition_embed_type"):
        raise _unasked(folder, "it is not a UNet that reads one text encoder's rows and nothing else")
    return partial(_opened, folder, component)


def _opened(folder: Path, component: str) -> UNetProber:
    from diffusers import DDIMScheduler, UNet2DConditionModel

    with quiet():
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        network = UNet2DConditionModel.from_pretrained(
            folder / component, local_files_only=True, low_cpu_mem_usage=False
        )
    return UNetProber(network.double().eval(), scheduler)


def _unasked(folder: Path, why: str) -> EditcError:
    return fail(
        "E230",
        f"the sites cannot be chosen by evidence on this model: {why}",
        place=str(folder),
        help="name a whole diffusers pipeline folder, or choose with `roles`, `include` and `exclude`",
    )


def _tensor(array: Array) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))


def _as_noise(answer: Array, latents: Array, level: Array, kind: str) -> Array:
    """eps of x = sqrt(a) x0 + sqrt(1 - a) eps, where the network answers with eps, v or x0 (arXiv 2202.00512, D)."""
    if kind == "v_prediction":
        return np.sqrt(level) * answer + np.sqrt(1 - level) * latents
    return (latents - np.sqrt(level) * answer) / np.sqrt(1 - level) if kind == "sample" else answer


def _sides(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
