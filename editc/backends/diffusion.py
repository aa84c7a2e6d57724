"""A diffusion pipeline with gradients, behind the port `Diffusion`: attacks and training ask it.

Latents, rows, answers and random numbers are torch tensors in float32 on the CPU, whatever the pipeline runs on: here
alone they are moved to its networks and back, with their gradients. So a seed draws the same numbers on every device.
An answer is what the network itself gives: noise, or v, or the clean latents, as the model was trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.painter import NESTED, PipelinePainter, edited_parameters, swap_parameters
from editc.core.delta import Array
from editc.core.ports import Painter
from editc.libraries.foreign import quiet
from editc.numerics.ball import Ball


@dataclass(frozen=True)
class PipelineDiffusion:
    """A pipeline whose denoiser reads the rows of one CLIP text encoder and nothing else of a prompt."""

    pipeline: Any
    """The pipeline of diffusers."""
    component: str
    """The denoiser's name in it, such as `unet`."""

    @staticmethod
    def of(painter: Painter) -> PipelineDiffusion | None:
        """The model that a painter paints with; None where rows alone do not make a picture. Open the painter with
        `gradients`: one in half precision goes on in float32, and its weights stay rounded."""
        import torch

        if not isinstance(painter, PipelinePainter) or not painter.reads_rows:
            return None
        found = PipelineDiffusion(painter.pipeline, painter.component)
        if next(found.network.parameters()).dtype in (torch.float16, torch.bfloat16):
            painter.pipeline.to(torch.float32)
        return found

    @cached_property
    def network(self) -> Any:
        """The denoiser, a torch module whose parameters ask for no gradient."""
        return getattr(self.pipeline, self.component).requires_grad_(False)

    def layer(self, name: str) -> Any:
        """The module of a parameter of the denoiser or of the text encoder, which then asks for no gradient either."""
        module = name.removesuffix(".weight")
        if name in dict(self.network.named_parameters()):
            return self.network.get_submodule(module)
        self.pipeline.text_encoder.requires_grad_(False)
        return self._text.get_submodule(module.removeprefix(NESTED))

    @cached_property
    def levels(self) -> Any:
        """(T,): the share of the clean picture's energy at each timestep, alpha-bar."""
        return self.schedule.alphas_cumprod

    @cached_property
    def schedule(self) -> Any:
        """DDIM over the model's own noise levels."""
        from diffusers import DDIMScheduler

        with quiet():
            return DDIMScheduler.from_config(self.pipeline.scheduler.config)

    @property
    def kind(self) -> str:
        """What an answer is: `epsilon`, `v_prediction` or `sample`."""
        return str(self.schedule.config.prediction_type)

    def rows(self, prompts: Sequence[str]) -> Any:
        """(n, t, d): what the text encoder makes of prompts."""
        import torch

        with torch.no_grad():
            return self.encode_tokens(self.tokens(prompts))

    def tokens(self, prompts: Sequence[str]) -> Any:
        """(n, t): the token numbers of prompts, padded."""
        given = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        return self.pipeline.tokenizer(list(prompts), **given).input_ids

    @cached_property
    def embeddings(self) -> Any:
        """(vocabulary, e): the embedding of each token."""
        return _back(self._text.embeddings.token_embedding.weight.detach())

    def encode_tokens(self, ids: Any, places: Sequence[int] = (), vectors: Any = None) -> Any:
        """(n, t, d): the rows of token numbers (n, t). `vectors` (k, e) or (n, k, e) replace the embeddings of the
        tokens at `places` (k,); gradients flow to them."""
        ids = ids.to(self.pipeline.text_encoder.device)
        if vectors is None:
            return _back(self.pipeline.text_encoder(ids).last_hidden_state)

        def replace(module: Any, given: Any, made: Any) -> Any:
            made = made.clone()
            made[:, list(places)] = vectors.to(made)
            return made

        hook = self._text.embeddings.token_embedding.register_forward_hook(replace)
        try:
            return _back(self.pipeline.text_encoder(ids).last_hidden_state)
        finally:
            hook.remove()

    @property
    def _text(self) -> Any:
        """The part of the text encoder that has embeddings; transformers before 5 nests it."""
        encoder = self.pipeline.text_encoder
        return getattr(encoder, "text_model", encoder)

    def into_ball(self, rows: Any) -> Any:
        """The rows (..., d) moved to the nearest that the encoder's last LayerNorm can give: |u|^2 <= d, sum(u) = 0,
        in the metric of that norm's gain."""
        norm = self._text.final_layer_norm
        gain, shift = _back(norm.weight.detach()), _back(norm.bias.detach())
        u = (rows - shift) / gain
        u = u - u.mean(-1, keepdim=True)
        most = float(u.shape[-1]) ** 0.5
        u = u * (most / u.norm(dim=-1, keepdim=True).clamp(min=most))
        return u * gain + shift

    def answer(self, latents: Any, times: Any, rows: Any) -> Any:
        """(n, c, h, w): the network's answer for latents (n, c, h, w) at timesteps (n,), told of rows (n, t, d)."""
        weight = next(self.network.parameters())
        latents, rows, times = latents.to(weight), rows.to(weight), times.to(weight.device)
        return _back(self.network(latents, times, encoder_hidden_states=rows).sample)

    def start(self, seeds: Sequence[int]) -> Any:
        """(n, c, h, w): the noise from which a picture of each seed is painted."""
        import torch

        config = self.network.config
        sides = config.sample_size if not isinstance(config.sample_size, int) else (config.sample_size,) * 2
        noise = [torch.randn(config.in_channels, *sides, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.stack(noise)

    def timesteps(self, steps: int) -> Sequence[int]:
        """The timesteps of a picture in so many steps, from noise to picture."""
        self.schedule.set_timesteps(steps)
        return [int(time) for time in self.schedule.timesteps]

    def step(self, answer: Any, time: int, latents: Any) -> Any:
        """The latents (n, c, h, w) one DDIM step on from `time`, by an answer of the network. `timesteps` says how
        long a step is."""
        return self.schedule.step(answer, time, latents).prev_sample

    def encode(self, pictures: NDArray[np.uint8]) -> Any:
        """(n, c, h, w): the latents of pictures (n, H, W, 3)."""
        import torch

        vae = self.pipeline.vae
        pixels = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            found = vae.encode(pixels.to(next(vae.parameters()))).latent_dist.mean
        return _back(found) * vae.config.scaling_factor

    def decode(self, latents: Any) -> NDArray[np.uint8]:
        """(n, H, W, 3): the pictures of latents."""
        import torch

        vae = self.pipeline.vae
        with torch.no_grad():
            found = vae.decode((latents / vae.config.scaling_factor).to(next(vae.parameters()))).sample
        pixels = (found / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().double().numpy() * 255
        return np.asarray(np.rint(pixels).astype(np.uint8))

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of token numbers, as the tokenizer writes them."""
        return str(self.pipeline.tokenizer.decode(list(ids))).strip()

    @cached_property
    def typed_tokens(self) -> Any:
        """(w,): the tokens that somebody can type, ascending: the text of each is read as that token and nothing else.
        Special tokens and padding are not among them, nor bytes and pieces that only stand inside longer words."""
        import torch

        numbers = torch.arange(len(self.embeddings))
        read = self.tokens([self.text_of([one]) for one in range(len(numbers))])
        alone = (read[:, 1] == numbers) & (read[:, 2] == self.tokens([""])[0, 1])
        alone[[one for one in self.pipeline.tokenizer.all_special_ids if one < len(numbers)]] = False
        return numbers[alone]

    def whole_words(self) -> Sequence[str]:
        """The words of the vocabulary that are one token each and letters alone, in its order."""
        vocabulary = self.pipeline.tokenizer.get_vocab()
        ends = [word.removesuffix("</w>") for word in sorted(vocabulary, key=vocabulary.get) if word.endswith("</w>")]
        return [word for word in ends if word.isalpha() and len(word) > 2]

    def balls(self) -> Sequence[Ball]:
        """The ball of the text encoder's last LayerNorm."""
        norm = self._text.final_layer_norm
        gamma, beta = (part.detach().cpu().double().numpy() for part in (norm.weight, norm.bias))
        return (Ball(gamma, beta, float(np.sqrt(len(gamma))), centred=True, proven=True),)

    def _keep_readers(self) -> Mapping[str, Array]:
        """Copy what `_readers` needs while the unedited weights are in."""
        return self._readers

    @cached_property
    def _readers(self) -> Mapping[str, Array]:
        """The unedited weights (d_out, d) of the layers that read the text's rows, by parameter name."""
        layers = self.network.named_parameters()
        names = (f"attn2.{role}.weight" for role in ("to_k", "to_v"))
        ends = tuple(names)
        return {name: part.detach().cpu().double().numpy().copy() for name, part in layers if name.endswith(ends)}

    def text_grams(self) -> tuple[Array, Array, Array]:
        """sum W'^T W', sum W'^T W and sum W^T W, (d, d) each, over the keys and values of cross-attention; W the
        weights when the model was opened, W' those now in."""
        now = dict(self.network.named_parameters())
        pairs = [(now[name].detach().cpu().double().numpy(), W) for name, W in self._readers.items()]
        after = sum((new.T @ new for new, _ in pairs), start=np.zeros(()))
        cross = sum((new.T @ W for new, W in pairs), start=np.zeros(()))
        base = sum((W.T @ W for _, W in pairs), start=np.zeros(()))
        return np.asarray(after), np.asarray(cross), np.asarray(base)

    @contextmanager
    def use_weights(self, changed: Mapping[str, Array]) -> Iterator[None]:
        """The denoiser or the text encoder with other weights, by parameter name; as it was afterwards."""
        self._keep_readers()
        with swap_parameters(edited_parameters(self.pipeline, self.component), changed):
            yield


def _back(made: Any) -> Any:
    """What a network made, in float32 on the CPU; gradients flow through."""
    return made.float().cpu()
