"""A transformers model that runs: float32 inside, padding where no token sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeAlias

from editc.backends.networks import probes
from editc.backends.networks.hooks import replace_parameters
from editc.backends.networks.tokenizer import PromptTokenizer
from editc.core.ir import Array

BATCH_TOKENS = 2048
"""Tokens in a batch at most, padding counted."""
SPARE_PADDING = 24
"""Tokens of padding that cost as much as another run would, which reads all weights again."""
IGNORED_SETTINGS = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""What a configuration says that no result hangs on: where it lay, what wrote it, how weights are stored."""
LAYER = re.compile(r"(?:^|\.)(?P<tail>(?:layers|h)\.\d+\..*)$")
WRAPPERS = frozenset({"", "model", "language_model", "text_model", "transformer"})
"""What may stand before the layers in a checkpoint and not in the model, or the other way round."""
EXPERT = re.compile(r"(?P<layer>.*\blayers\.\d+)\.\w+\.experts\.(?P<number>\d+)\.(?:down_proj|w2)\.weight$")
NORM_NAMES = ("norm", "ln_f", "final_layernorm", "final_layer_norm")
MLP_NAMES = ("mlp", "block_sparse_moe", "fc2")
"""What a layer calls its MLP; the last of OPT, whose layers have its matrices themselves."""

ChangedWeights: TypeAlias = Mapping[str, Array] | None


@dataclass(frozen=True)
class RunningModel:
    """A causal language model of transformers that runs: its parts by name, its parameters, batches, logits."""

    model: Any
    """In float32, in eval mode."""
    tokenizer: PromptTokenizer
    """Its tokenizer."""

    @property
    def layers(self) -> int:
        """How many decoder layers."""
        return len(self.blocks)

    @cached_property
    def decoder(self) -> Any:
        """The model without its output embedding."""
        return self.model.get_decoder()

    @cached_property
    def blocks(self) -> tuple[Any, ...]:
        """The decoder layers in order."""
        found = next(getattr(self.decoder, name) for name in ("layers", "h") if hasattr(self.decoder, name))
        return tuple(found)

    @cached_property
    def mlps(self) -> tuple[Any, ...]:
        """The module of each layer whose output is that of its MLP."""
        return tuple(next(getattr(one, name) for name in MLP_NAMES if hasattr(one, name)) for one in self.blocks)

    @cached_property
    def extra_outputs(self) -> int:
        """How many values a layer gives beside its states, in a tuple."""
        return probes.count_extra_outputs(self.decoder, self.blocks[0])

    @cached_property
    def multiplier(self) -> float | None:
        """By what a layer multiplies what its MLP says when it adds that to the residual stream: 1 in most models. None
        where something else lies between, say a norm."""
        width = self.model.config.get_text_config().hidden_size
        return probes.measure_multiplier(self.decoder, self.blocks[0], self.mlps[0], width)

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """By the model's own names."""
        return dict(self.model.named_parameters())

    @cached_property
    def _fingerprint(self) -> str:
        def digest(name: str) -> bytes:
            values = self.parameters[name].detach().contiguous()
            return sha256(f"{name} {tuple(values.shape)} ".encode() + sha256(values.numpy()).digest()).digest()

        settings = {k: v for k, v in self.model.config.to_dict().items() if k not in IGNORED_SETTINGS}
        rest = json.dumps([settings, sorted(self.ends)], sort_keys=True, default=str) + self.tokenizer.fingerprint()
        with ThreadPoolExecutor() as threads:
            return sha256(b"".join(threads.map(digest, sorted(self.parameters))) + rest.encode()).hexdigest()

    def fingerprint(self) -> str:
        """sha256 over the weights as they run, the configuration and the tokenizer with its chat template."""
        return self._fingerprint

    def own_name(self, name: str) -> str:
        """The model's own name of a checkpoint's parameter, which may be wrapped otherwise: `model.layers.0` may be
        `language_model.model.layers.0`, and is not `mtp.layers.0`. LookupError if there is none, or not one alone."""
        if name in self.parameters:
            return name
        layer = LAYER.search(name)
        tail = layer["tail"] if layer else name
        before = {*name.removesuffix(tail).split(".")} - WRAPPERS
        found = [one for one in self.parameters if one.endswith(f".{tail}") and before <= {*one.split(".")}]
        if len(found) != 1:
            raise LookupError(f"the model has no matrix `{name}`")
        return found[0]

    def module(self, name: str) -> Any:
        """The layer whose weight a parameter is. LookupError for an expert's, of which transformers makes no layer."""
        if EXPERT.search(name):
            raise LookupError(f"`{name}` reads what the router sends it, which differs from prompt to prompt")
        return self.model.get_submodule(self.own_name(name).rpartition(".")[0])

    def use_weights(self, changed: ChangedWeights) -> Any:
        """A `with` in which the model runs as changed; experts are stacked in one tensor when a model is loaded."""
        values: dict[str, Array] = {}
        for name, value in (changed or {}).items():
            expert = EXPERT.search(name)
            if expert is None:
                values[self.own_name(name)] = value
            else:
                own = self.own_name(f"{expert['layer']}.mlp.experts.down_proj")
                if own not in values:
                    values[own] = self.parameters[own].double().numpy()
                values[own][int(expert["number"])] = value
        return replace_parameters(self.parameters, values)

    def run(self, ids: Sequence[Sequence[int]]) -> Any:
        """The states (n, t, d) behind the final norm, padded on the right."""
        import torch

        given, mask = pad_tokens(ids)
        with torch.inference_mode():
            return self.decoder(input_ids=given, attention_mask=mask, use_cache=False).last_hidden_state

    def run_batches(self, ids: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Any]]:
        """`run` of some at a time, and which."""
        for which in batches(ids):
            yield which, self.run([ids[i] for i in which])

    @cached_property
    def ends(self) -> set[int]:
        """The tokens that end a text."""
        named = getattr(self.model.generation_config, "eos_token_id", None)
        every = named if isinstance(named, list) else [named]
        return {one for one in (*every, self.tokenizer.raw.eos_token_id) if one is not None}

    def norm(self, states: Any) -> Any:
        """The norm that stands before the output embedding."""
        return next(getattr(self.decoder, name) for name in NORM_NAMES if hasattr(self.decoder, name))(states)

    def logits(self, states: Any) -> Any:
        """Of states (..., d) behind the final norm."""
        settings = self.model.config.get_text_config()
        found = self.model.get_output_embeddings()(states) * logit_scale(settings)
        cap = getattr(settings, "final_logit_softcapping", None)
        return found if cap is None else cap * (found / cap).tanh()

    def log_probabilities(self, states: Any) -> Any:
        """Log-probabilities (t, v) of the next token after states (t, d), in float64."""
        import torch

        with torch.inference_mode():
            return self.logits(states).double().log_softmax(-1)


def logit_scale(settings: Any) -> float:
    """By what a model multiplies its logits: Cohere's `logit_scale`, the inverse of Granite's `logits_scaling`."""
    divided = float(getattr(settings, "logits_scaling", None) or 1.0)
    return float(getattr(settings, "logit_scale", None) or 1.0) / divided


def batches(ids: Sequence[Sequence[int]], spare: int = SPARE_PADDING) -> Iterator[list[int]]:
    """Numbers of texts of about the same length, at most AT_ONCE tokens with their padding, of which there are at most
    `spare` or an eighth of the text."""
    some: list[int] = []
    text = 0
    for i in sorted(range(len(ids)), key=lambda i: (len(ids[i]), i)):
        whole = (len(some) + 1) * len(ids[i])
        text += len(ids[i])
        if some and (whole > BATCH_TOKENS or whole - text > max(spare, text // 8)):
            yield some
            some, text = [], len(ids[i])
        some.append(i)
    if some:
        yield some


def pad_tokens(ids: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """Tokens (n, t) and which of them are text (n, t)."""
    import torch

    longest = max(map(len, ids))
    given = torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids])
    return given, torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
