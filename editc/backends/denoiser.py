"""A diffusers denoiser behind the port `Prober`: it predicts noise for a prompt while chosen sites read another prompt.

`sites: auto` uses it to measure what each site contributes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.diagnostics import EditcError, fail
from editc.core.ports import Conditioning, NoisyLatents
from editc.libraries.foreign import quiet
from editc.libraries.loading import library_errors, load_network

LATENT_PIXELS = 8192
"""Latent pixels in one run of the network. Chosen by hand: all pictures of the demo model, two of Stable
Diffusion's."""
GUIDANCE = 3.0
"""Guidance of the denoising that makes the latents. Chosen by hand for the demo model: at 3 its latents come to show
what the prompt says."""
SIZE_NUMBERS = 6
"""Numbers of size and crop that SDXL's UNet reads for each picture (`time_ids` in diffusers)."""

ExtraArguments: TypeAlias = Callable[[Conditioning], Mapping[str, Any]]
"""Prompts -> the arguments that a network takes besides latents, timestep and rows."""


@dataclass(frozen=True)
class NetworkProber:
    """A diffusers denoiser that predicts noise in float64.

    Which sites `sites: auto` chooses goes into the delta, and sums of float32 would depend on the number of threads.
    """

    network: Any
    """The UNet or the transformer of diffusers, in float64."""
    scheduler: Any
    """DDIM over the model's own noise levels, whichever scheduler the pipeline paints with."""
    extra_arguments: ExtraArguments
    """Makes the other arguments of the network from the prompts: a pooled embedding, sizes, a mask."""

    def denoise(
        self, conditioning: Conditioning, empty: Conditioning, seeds: Sequence[int], steps: int
    ) -> tuple[NoisyLatents, ...]:
        """Return the latents (n, c, h, w) before each of `steps` DDIM steps. The first are standard normal, drawn from
        the seed of each picture."""
        import torch

        self.scheduler.set_timesteps(steps)
        shape = (self.network.config.in_channels, *_sides(self.network.config.sample_size))
        latents = np.stack([np.random.default_rng(seed).standard_normal(shape) for seed in seeds])
        empties, found = empty.take([0] * len(latents)), []
        for time in self.scheduler.timesteps.tolist():
            found.append(NoisyLatents(latents, np.full(len(latents), time)))
            toward, away = (self._run_network(found[-1], one, None, ()) for one in (conditioning, empties))
            guided, here = (torch.from_numpy(one) for one in (away + GUIDANCE * (toward - away), latents))
            latents = self.scheduler.step(guided, time, here).prev_sample.double().numpy()
        return tuple(found)

    def predict(
        self,
        noisy: NoisyLatents,
        conditioning: Conditioning,
        instead: Conditioning | None = None,
        sites: Sequence[str] = (),
    ) -> Array:
        """Predict the noise (n, c, h, w) in `noisy` for `conditioning`. The parameters named in `sites` read
        `instead`."""
        predicted = self._run_network(noisy, conditioning, instead, sites)
        level = self.scheduler.alphas_cumprod.double().numpy()[noisy.timesteps, None, None, None]
        return _to_noise(predicted, noisy.latents, level, self.scheduler.config.prediction_type)

    def _run_network(
        self, noisy: NoisyLatents, conditioning: Conditioning, instead: Conditioning | None, sites: Sequence[str]
    ) -> Array:
        """Run the network a few pictures at a time and return what it predicts (n, c, h, w): noise, v or x0, as the
        model has it.

        Some networks predict a variance in further channels; these are left out.
        """
        import torch

        batch = max(1, LATENT_PIXELS // int(np.prod(noisy.latents.shape[2:])))
        parts = []
        with torch.inference_mode():
            for start in range(0, len(conditioning.counts), batch):
                part = slice(start, start + batch)
                here, other = conditioning.take(part), None if instead is None else instead.take(part)
                latents, times = _tensor(noisy.latents[part]), torch.from_numpy(noisy.timesteps[part])
                given = {"timestep": times, "encoder_hidden_states": _tensor(here.rows), **self.extra_arguments(here)}
                with substitute_text(self.network, sites, other):
                    output = self.network(latents, **given).sample
                parts.append(output[:, : latents.shape[1]].numpy())
        return np.concatenate(parts)


@contextmanager
def substitute_text(network: Any, sites: Sequence[str], instead: Conditioning | None) -> Iterator[None]:
    """Within the `with`, the layers of the parameters `sites` read `instead` in place of their own input.

    A layer that reads rows (n, t, d) gets the rows of `instead`. A layer that reads one vector for each picture (n, p)
    gets the pooled embedding of `instead` in its first columns.
    """
    hooks: list[Any] = []
    try:
        for name in sites:
            module = network.get_submodule(name.removesuffix(".weight"))
            hooks.append(module.register_forward_pre_hook(partial(_substitute, instead)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _substitute(instead: Conditioning | None, _: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Replace the input of one layer; a forward pre-hook of torch."""
    import torch

    assert instead is not None
    (seen,) = given
    if seen.ndim == 3:
        return (_tensor(instead.rows),)
    pooled = _tensor(instead.pooled)
    return (torch.cat([pooled, seen[:, pooled.shape[1] :]], dim=1),)


def load(folder: Path, component: str = "unet") -> Callable[[], NetworkProber]:
    """Return a function that opens the denoiser of the pipeline in `folder`.

    Raises E230 at once where editc cannot run this denoiser by itself.
    """
    config = folder / component / "config.json"
    if not config.is_file():
        raise _unsupported_error(folder, f"it has no `{component}/config.json`")
    if not (folder / "scheduler" / "scheduler_config.json").is_file():
        raise _unsupported_error(folder, "it has no `scheduler`")
    why = _why_unsupported(folder, json.loads(config.read_text(encoding="utf-8")))
    if why:
        raise _unsupported_error(folder, why)
    return partial(_open_prober, folder, component)


def _why_unsupported(folder: Path, declared: Mapping[str, Any]) -> str:
    """Say why a network with this config.json cannot be run by itself; '' where it can."""
    kind, added = declared.get("_class_name"), declared.get("addition_embed_type")
    if kind == "PixArtTransformer2DModel":
        return ""
    if kind != "UNet2DConditionModel":
        return f"it needs a UNet or PixArt's transformer, and this is a `{kind}`"
    if declared.get("in_channels", 4) != declared.get("out_channels", 4):
        return "its UNet takes more inputs than noisy latents, as an inpainting model's does"
    if added not in (None, "text_time") or declared.get("class_embed_type") or declared.get("num_class_embeds"):
        return "its UNet takes conditions other than text and picture sizes"
    if added and _condition_width(folder, declared) != declared.get("projection_class_embeddings_input_dim"):
        return "its UNet takes another embedding than that of `text_encoder_2` and picture sizes, as a refiner's does"
    return ""


def _condition_width(folder: Path, declared: Mapping[str, Any]) -> int:
    """Return the length of SDXL's added condition: the pooled embedding of `text_encoder_2` and the embedded size
    numbers."""
    pooled: int = _read_config(folder, "text_encoder_2").get("projection_dim", 0)
    return pooled + SIZE_NUMBERS * int(declared.get("addition_time_embed_dim") or 0)


def _open_prober(folder: Path, component: str) -> NetworkProber:
    """Load the network and its noise levels."""
    import diffusers

    kind = _read_config(folder, component)["_class_name"]
    with quiet():
        with library_errors("the model's `scheduler` cannot be loaded", folder):
            scheduler = diffusers.DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        network = load_network(
            getattr(diffusers, kind), folder / component, f"the model's `{component}`", low_cpu_mem_usage=False
        )
    side = [side * _pixels_per_latent(folder) for side in _sides(network.config.sample_size)]
    arguments = _unet_arguments
    if kind == "PixArtTransformer2DModel":
        network.caption_projection, arguments = None, _pixart_arguments  # the encoder's rows have been through it
    return NetworkProber(network.double(), scheduler, partial(arguments, network, side))


def _unet_arguments(network: Any, side: Sequence[int], conditioning: Conditioning) -> Mapping[str, Any]:
    """Return SDXL's added conditions, pooled embedding and sizes (original, crop, target); nothing for UNets without
    them."""
    if network.config.addition_embed_type is None:
        return {}
    sizes = np.tile([*side, 0, 0, *side], (len(conditioning.counts), 1))
    return {"added_cond_kwargs": {"text_embeds": _tensor(conditioning.pooled), "time_ids": _tensor(sizes)}}


def _pixart_arguments(network: Any, side: Sequence[int], conditioning: Conditioning) -> Mapping[str, Any]:
    """Return the mask of rows that belong to each prompt and, where the transformer reads them, resolution and aspect
    ratio."""
    count = len(conditioning.counts)
    sizes: Mapping[str, Any] = {"resolution": None, "aspect_ratio": None}
    if network.use_additional_conditions:
        ratio = np.full((count, 1), side[0] / side[1])
        sizes = {"resolution": _tensor(np.tile(side, (count, 1))), "aspect_ratio": _tensor(ratio)}
    own = np.arange(conditioning.rows.shape[1]) < conditioning.counts[:, None]
    return {"encoder_attention_mask": _tensor(own), "added_cond_kwargs": sizes}


def _pixels_per_latent(folder: Path) -> int:
    """Return how many pixels wide one latent pixel is, computed as diffusers' pipelines do."""
    levels = _read_config(folder, "vae").get("block_out_channels")
    return 2 ** (len(levels) - 1) if levels else 8


def _read_config(folder: Path, part: str) -> Mapping[str, Any]:
    """Read config.json of one part of the pipeline; empty where there is none."""
    path = folder / part / "config.json"
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _unsupported_error(folder: Path, why: str) -> EditcError:
    """Make E230: sites cannot be chosen by evidence on this model."""
    return fail(
        "E230",
        f"`sites: auto` cannot choose on this model: {why}",
        place=str(folder),
        help="name a whole diffusers pipeline folder, or choose the sites with `roles`, `include` and `exclude`",
    )


def _tensor(array: Array | NDArray[np.bool_] | None) -> Any:
    """Convert an array to a float64 tensor; None stays None, which a network that needs the array refuses."""
    import torch

    if array is None:
        return None
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))


def _to_noise(predicted: Array, latents: Array, level: Array, kind: str) -> Array:
    """Return the noise eps of x = sqrt(a) x0 + sqrt(1 - a) eps from what the network predicts: eps, v or x0, all (n, c,
    h, w).

    `level` (n, 1, 1, 1) is a. `kind` is the scheduler's `prediction_type`. arXiv 2202.00512, appendix D.
    """
    if kind == "v_prediction":
        return np.sqrt(level) * predicted + np.sqrt(1 - level) * latents
    return (latents - np.sqrt(level) * predicted) / np.sqrt(1 - level) if kind == "sample" else predicted


def _sides(size: Any) -> tuple[int, int]:
    """Return height and width in latent pixels; diffusers gives a square by one number."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])
