"""A transformers language model that runs: its parts, parameters, batches and logits. It computes in float32.

The model may lie on a GPU. Tokens, masks, states and logits are tensors of the CPU: `decode`, `norm` and `logits` move
what they are given to the model, and bring back what it makes, with its gradient. On the CPU nothing is copied. What a
hook sees, and the keys and values of a cache, stay on the model's device.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from typing import Any, TypeAlias

from editc.backends.networks import probes
from editc.backends.networks.batches import batches, pad_tokens
from editc.backends.networks.hooks import Expert, replace_parameters
from editc.backends.networks.layer_store import LayerStore
from editc.backends.networks.lockstep import run_in_groups
from editc.backends.networks.streamed import digest_parameter
from editc.backends.networks.tokenizer import PromptTokenizer
from editc.core.delta import Array

STEP_BYTES = 256 << 20
"""Bytes of states and caches that wait between two layers, where layers are read from files. Chosen by hand."""
STATES_PER_TOKEN = 4
"""How many states of a token a waiting batch keeps: the stream, its sums, and rotary positions. Chosen by hand."""
IGNORED_SETTINGS = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""Entries of a configuration on which no result depends: where it lay, what wrote it, and how weights are stored."""
LAYER = re.compile(r"(?:^|\.)(?P<tail>(?:layers|h)\.\d+\..*)$")
"""Finds the part of a parameter's name that begins with its layer."""
WRAPPERS = frozenset({"", "model", "language_model", "text_model", "transformer"})
"""What may stand before the layers in a checkpoint's names and not in the model's, or the other way round."""
EXPERT = re.compile(r"(?P<layer>.*\blayers\.\d+)\.\w+\.experts\.(?P<number>\d+)\.(?:down_proj|w2)\.weight$")
"""Matches the name of an expert's output matrix in a checkpoint."""
NORM_NAMES = ("norm", "ln_f", "final_layernorm", "final_layer_norm")
"""What decoders call their final norm."""
MLP_NAMES = ("mlp", "block_sparse_moe", "fc2")
"""What a layer calls its MLP. `fc2` is OPT's, whose layers hold the matrices of the MLP themselves."""

ChangedWeights: TypeAlias = Mapping[str, Array] | None
"""Names of matrices in the checkpoint -> values to run with, in their stored shapes. None: the base."""


@dataclass(frozen=True)
class RunningModel:
    """A causal language model of transformers that runs: its parts by name, its parameters, batches, logits."""

    model: Any
    """The transformers model, in float32 and in eval mode."""
    tokenizer: PromptTokenizer
    """Its tokenizer."""
    store: LayerStore | None = None
    """What reads the layers from the files when they run. None: the whole model is in memory."""
    digests: Mapping[str, bytes] = field(default_factory=dict)
    """The sha256 of each parameter by its own name, where `store` is given."""

    @property
    def layers(self) -> int:
        """The number of decoder layers."""
        return len(self.blocks)

    @cached_property
    def device(self) -> Any:
        """torch's device on which the weights lie."""
        return self.model.get_input_embeddings().weight.device

    @cached_property
    def decoder(self) -> Any:
        """The model without its output embedding."""
        return self.model.get_decoder()

    @cached_property
    def blocks(self) -> tuple[Any, ...]:
        """The decoder layers, in order."""
        found = next(getattr(self.decoder, name) for name in ("layers", "h") if hasattr(self.decoder, name))
        return tuple(found)

    @cached_property
    def mlps(self) -> tuple[Any, ...]:
        """The module of each layer whose output is that of its MLP."""
        return tuple(next(getattr(one, name) for name in MLP_NAMES if hasattr(one, name)) for one in self.blocks)

    @cached_property
    def extra_outputs(self) -> int:
        """The number of values that a layer returns after its states, in a tuple."""
        return probes.count_extra_outputs(self.decoder, self.blocks[0])

    @cached_property
    def multiplier(self) -> float | None:
        """The factor by which a layer multiplies the output of its MLP before it adds that to the residual stream; 1 in
        most models. None where the layer does something else with it, such as a norm."""
        width = self.model.config.get_text_config().hidden_size
        return probes.measure_multiplier(self.decoder, self.blocks[0], self.mlps[0], width)

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """All parameters, by the model's own names."""
        return dict(self.model.named_parameters())

    @cached_property
    def _fingerprint(self) -> str:
        """The hash that `fingerprint` returns, computed once."""

        def digest(name: str) -> bytes:
            return self.digests.get(name) or digest_parameter(name, self.parameters[name])

        settings = {k: v for k, v in self.model.config.to_dict().items() if k not in IGNORED_SETTINGS}
        rest = json.dumps([settings, sorted(self.ends)], sort_keys=True, default=str) + self.tokenizer.fingerprint()
        with ThreadPoolExecutor() as threads:
            return sha256(b"".join(threads.map(digest, sorted(self.parameters))) + rest.encode()).hexdigest()

    def fingerprint(self) -> str:
        """Return a sha256 over the weights as they run, the configuration, and the tokenizer with its chat template."""
        return self._fingerprint

    def own_name(self, name: str) -> str:
        """Return the model's own name of a parameter of the checkpoint.

        A model may be wrapped otherwise: `model.layers.0` may be `language_model.model.layers.0`, but is not
        `mtp.layers.0`. Raises LookupError if no parameter, or more than one, has that name.
        """
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
        """Return the linear layer whose weight a parameter is. Raises LookupError for an expert, for which transformers
        makes no layer (see `reader`)."""
        if EXPERT.search(name):
            raise LookupError(f"`{name}` belongs to an expert, and what an expert reads depends on the router")
        return self.model.get_submodule(self.own_name(name).rpartition(".")[0])

    def reader(self, name: str) -> Any:
        """Return what `watch_modules` can watch the input of a matrix by: its linear layer, or its Expert."""
        expert = EXPERT.search(name)
        if expert is None:
            return self.module(name)
        stack = self.own_name(f"{expert['layer']}.mlp.experts.down_proj").rpartition(".")[0]
        return Expert(self.model.get_submodule(stack), int(expert["number"]))

    def use_weights(self, changed: ChangedWeights) -> Any:
        """Return a context manager in which the model runs with these weights, named as in the checkpoint, in their own
        shapes.

        transformers stacks the experts of a layer in one tensor; an expert's matrix replaces its part of the stack.
        """
        values: dict[str, Array] = {}
        for name, value in (changed or {}).items():
            expert = EXPERT.search(name)
            if expert is None:
                values[self.own_name(name)] = value
            else:
                own = self.own_name(f"{expert['layer']}.mlp.experts.down_proj")
                if own not in values:
                    values[own] = self.parameters[own].cpu().double().numpy()
                values[own][int(expert["number"])] = value
        replaced = replace_parameters(self.parameters, values)
        return replaced if self.store is None else self.store.replacing(values, replaced)

    def each(self, jobs: Sequence[Callable[[], Any]], tokens: Sequence[int], caches: bool = False) -> Iterator[Any]:
        """Yield the result of each job in order. A job runs a batch of so many `tokens`; with `caches` it keeps keys
        and values. Where layers are read from files, as many jobs as STEP_BYTES allow share a read."""
        if self.store is None:
            yield from (job() for job in jobs)
            return
        bytes_per_token = STATES_PER_TOKEN * self.store.width + (self._cached_bytes if caches else 0)
        yield from run_in_groups(jobs, [count * bytes_per_token for count in tokens], STEP_BYTES)

    @property
    def _cached_bytes(self) -> int:
        """Bytes of the keys and values of a token in all layers."""
        settings = self.model.config.get_text_config()
        heads = settings.num_attention_heads
        size = getattr(settings, "head_dim", None) or settings.hidden_size // heads
        return int(2 * 4 * self.layers * (getattr(settings, "num_key_value_heads", None) or heads) * size)

    def run(self, ids: Sequence[Sequence[int]]) -> Any:
        """Return the states (n, t, d) of n texts behind the final norm. Shorter texts are padded on the right."""
        import torch

        given, mask = pad_tokens(ids)
        with torch.inference_mode():
            return self.decode(input_ids=given, attention_mask=mask, use_cache=False)

    def decode(self, **given: Any) -> Any:
        """Run the decoder with these arguments and return the states (n, t, d) behind the final norm."""
        import torch

        moved = {name: one.to(self.device) if isinstance(one, torch.Tensor) else one for name, one in given.items()}
        return self.decoder(**moved).last_hidden_state.cpu()

    def run_batches(self, ids: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Any]]:
        """Run the texts in batches. Yield the numbers of the texts in a batch, and their states (n, t, d)."""
        chosen = [(which, [ids[i] for i in which]) for which in batches(ids)]
        runs = [partial(self.run, some) for _, some in chosen]
        sizes = [sum(map(len, some)) for _, some in chosen]
        for (which, _), states in zip(chosen, self.each(runs, sizes), strict=True):
            yield which, states

    def groups(self, ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Yield the numbers of the texts that are worth running together: a batch, or, where layers are read from
        files, as many batches as share a read. `run_batches` makes the same batches of a group as of all texts."""
        group: list[int] = []
        taken, most = 0, 0 if self.store is None else STEP_BYTES // (STATES_PER_TOKEN * self.store.width)
        for which in batches(ids):
            count = sum(len(ids[i]) for i in which)
            if group and taken + count > most:
                yield group
                group, taken = [], 0
            group += which
            taken += count
        if group:
            yield group

    @cached_property
    def ends(self) -> set[int]:
        """The tokens that end a text."""
        named = getattr(self.model.generation_config, "eos_token_id", None)
        every = named if isinstance(named, list) else [named]
        return {one for one in (*every, self.tokenizer.raw.eos_token_id) if one is not None}

    def norm(self, states: Any) -> Any:
        """Apply the norm that stands before the output embedding to states (..., d)."""
        norm = next(getattr(self.decoder, name) for name in NORM_NAMES if hasattr(self.decoder, name))
        return norm(states.to(self.device)).cpu()

    def logits(self, states: Any) -> Any:
        """Return the logits (..., v) for states (..., d) behind the final norm."""
        settings = self.model.config.get_text_config()
        found = self.model.get_output_embeddings()(states.to(self.device)).cpu() * logit_scale(settings)
        cap = getattr(settings, "final_logit_softcapping", None)
        return found if cap is None else cap * (found / cap).tanh()

    def log_probabilities(self, states: Any) -> Any:
        """Return the log-probabilities (t, v) of the next token after states (t, d), in float64."""
        import torch

        with torch.inference_mode():
            return self.logits(states).double().log_softmax(-1)


def logit_scale(settings: Any) -> float:
    """Return the factor of a model's logits: Cohere's `logit_scale`, or the inverse of Granite's `logits_scaling`."""
    divided = float(getattr(settings, "logits_scaling", None) or 1.0)
    return float(getattr(settings, "logit_scale", None) or 1.0) / divided
