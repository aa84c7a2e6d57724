"""A transformers model as the port `Network`: float32 inside, float64 out, padding where no token sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.backends.networks.hooks import EnoughError, replaced, watched
from editc.backends.networks.words import Words
from editc.core.ir import Array
from editc.core.network import (
    Cloze,
    Compared,
    Descent,
    Known,
    Moment,
    Noise,
    Place,
    Prompt,
    Scored,
    Spoken,
    Spot,
    Traced,
    Value,
    Where,
    Wish,
)

AT_ONCE = 2048
"""Tokens in a batch at most, padding counted."""
PADDING = 24
"""Tokens of padding that cost as much as another run would, which reads all weights again."""
UNTOLD = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""What a configuration says that no result hangs on: where it lay, what wrote it, how weights are stored."""
CHUNK = 128
"""Tokens in a run of a corpus."""
LAYER = re.compile(r"(?:^|\.)(?P<tail>(?:layers|h)\.\d+\..*)$")
WRAPPERS = frozenset({"", "model", "language_model", "text_model", "transformer"})
"""What may stand before the layers in a checkpoint and not in the model, or the other way round."""
EXPERT = re.compile(r"(?P<layer>.*\blayers\.\d+)\.\w+\.experts\.(?P<number>\d+)\.(?:down_proj|w2)\.weight$")
NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm")
SPEAKERS = ("mlp", "block_sparse_moe", "fc2")
"""What a layer calls its MLP; the last of OPT, whose layers have its matrices themselves."""

Changed: TypeAlias = Mapping[str, Array] | None


@dataclass(frozen=True)
class CausalNetwork:
    """`model` is a causal language model of transformers in float32, in eval mode; `words` its tokenizer."""

    model: Any
    words: Words

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
    def speakers(self) -> tuple[Any, ...]:
        """The module of each layer whose output is that of its MLP."""
        return tuple(next(getattr(one, name) for name in SPEAKERS if hasattr(one, name)) for one in self.blocks)

    @cached_property
    def beside(self) -> int:
        """How many values a layer gives beside its states, in a tuple."""
        from editc.backends.networks.probes import beside

        return beside(self)

    @cached_property
    def multiplier(self) -> float | None:
        """By what a layer multiplies what its MLP says when it adds that to the residual stream: 1 in most models. None
        where something else lies between, say a norm."""
        from editc.backends.networks.probes import multiplier

        return multiplier(self)

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """By the model's own names."""
        return dict(self.model.named_parameters())

    @cached_property
    def _mark(self) -> str:
        def told(name: str) -> bytes:
            values = self.parameters[name].detach().contiguous()
            return sha256(f"{name} {tuple(values.shape)} ".encode() + sha256(values.numpy()).digest()).digest()

        settings = {k: v for k, v in self.model.config.to_dict().items() if k not in UNTOLD}
        rest = json.dumps([settings, sorted(self.ends)], sort_keys=True, default=str) + self.words.fingerprint()
        with ThreadPoolExecutor() as threads:
            return sha256(b"".join(threads.map(told, sorted(self.parameters))) + rest.encode()).hexdigest()

    def fingerprint(self) -> str:
        """sha256 over the weights as they run, the configuration and the tokenizer with its chat template."""
        return self._mark

    def own(self, name: str) -> str:
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
        return self.model.get_submodule(self.own(name).rpartition(".")[0])

    def running(self, changed: Changed) -> Any:
        """A `with` in which the model runs as changed; experts are stacked in one tensor when a model is loaded."""
        values: dict[str, Array] = {}
        for name, value in (changed or {}).items():
            expert = EXPERT.search(name)
            if expert is None:
                values[self.own(name)] = value
            else:
                own = self.own(f"{expert['layer']}.mlp.experts.down_proj")
                if own not in values:
                    values[own] = self.parameters[own].double().numpy()
                values[own][int(expert["number"])] = value
        return replaced(self.parameters, values)

    def tokens(self, text: str) -> tuple[int, ...]:
        """The ids of a text by itself."""
        return self.words.bare(text)

    def spell(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The text of each token."""
        return tuple(self.words.tokenizer.decode([int(one)]) for one in ids)

    def embedding(self) -> NDArray[np.float32]:
        """What each token's logit reads of the residual stream, (v, d)."""
        from editc.backends.networks.vocabulary import readers

        weight = self.model.get_output_embeddings().weight.detach()
        return readers(weight[: len(self.words.tokenizer)], self.norm)

    def places(self, spots: Sequence[Spot]) -> Sequence[Place]:
        """Where the spots are."""
        return [self.words.place(spot) for spot in spots]

    def reads(self, names: Sequence[str], spots: Sequence[Spot], changed: Changed = None) -> Mapping[str, Array]:
        """What each matrix reads at the spots, (d_in, n)."""
        modules = {name: self.module(name) for name in names}
        found: Mapping[str, Array] = self._seen(modules, spots, changed, lambda show: watched(inputs=show))
        return found

    def states(self, layers: Sequence[int], spots: Sequence[Spot], changed: Changed = None) -> Mapping[int, Array]:
        """The residual stream (d, n) after each layer at the spots."""
        modules = {layer: self.blocks[layer] for layer in layers}
        found: Mapping[int, Array] = self._seen(modules, spots, changed, lambda show: watched(outputs=show))
        return found

    def _seen(
        self, modules: Mapping[Any, Any], spots: Sequence[Spot], changed: Changed, watch: Callable[..., Any]
    ) -> Any:
        ids = [self.words.prompt(Prompt(spot.prompt, spot.chat)).ids for spot in spots]
        rows = np.array([place.row for place in self.places(spots)], np.int64)
        found: dict[Any, dict[int, Array]] = {key: {} for key in modules}

        def look(key: Any, which: list[int]) -> Callable[[Any], None]:
            def show(states: Any) -> None:
                lines = states.view(len(which), -1, states.shape[-1])
                taken = lines[range(len(which)), rows[which]].double().numpy()
                found[key].update(zip(which, taken, strict=True))
                if all(which[0] in seen for seen in found.values()):
                    raise EnoughError

            return show

        for which in batches(ids):
            with self.running(changed), watch({module: look(key, which) for key, module in modules.items()}):
                self.run([ids[i] for i in which])
        return {key: np.stack([seen[i] for i in range(len(ids))], axis=1) for key, seen in found.items()}

    def lens(self, layers: Sequence[int], cloze: Sequence[Cloze]) -> Mapping[int, NDArray[np.int64]]:
        """The rank (n,) of each answer's first token by the stream at the prompt's last token after each layer."""
        import torch

        asked = [self.words.cloze(one) for one in cloze]
        firsts = torch.tensor([ids[len(ids) - count] for ids, count in asked])
        streams = self.states(layers, [Spot(one.prompt, "", one.chat) for one in cloze])
        found = {}
        for layer, stream in streams.items():
            with torch.inference_mode():
                logits = self.logits(self.norm(torch.from_numpy(stream.T).float()))
            found[layer] = (logits > logits.gather(1, firsts[:, None])).sum(1).numpy()
        return found

    def trace(self, known: Sequence[Known], noise: Noise) -> Traced:
        """Causal tracing of each."""
        from editc.backends.networks.tracing import traced

        return traced(self, known, noise)

    def score(self, asked: Sequence[Cloze], changed: Changed = None) -> Scored:
        """How likely the answers are."""
        from editc.backends.networks.answers import scored

        return scored(self, asked, changed)

    def compare(
        self,
        texts: Sequence[Prompt],
        changed: Mapping[str, Array],
        last: bool = False,
        base: Sequence[Array] | None = None,
    ) -> Compared:
        """The base against the model as changed."""
        from editc.backends.networks.answers import compared

        return compared(self, texts, changed, last, base)

    def final(self, texts: Sequence[Prompt]) -> tuple[Array, ...]:
        """The states (t, d) of each text behind the final norm."""
        from editc.backends.networks.answers import final

        return final(self, texts)

    def generate(self, prompts: Sequence[Prompt], tokens: int, changed: Changed = None) -> tuple[str, ...]:
        """What the model goes on with, the likeliest token each time."""
        from editc.backends.networks.answers import continued

        return continued(self, prompts, tokens, changed)

    def speak(self, prompts: Sequence[Prompt], tokens: int, changed: Changed = None) -> tuple[Spoken, ...]:
        """The same token by token, with how likely each was."""
        from editc.backends.networks.answers import spoken

        return spoken(self, prompts, tokens, changed)

    def generate_both(
        self, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the base goes on with, and the model as changed."""
        from editc.backends.networks.answers import continued_both

        return continued_both(self, prompts, tokens, changed)

    def moments(self, names: Sequence[str], texts: Sequence[str], tokens: int) -> Mapping[str, Moment]:
        """Of what each matrix reads over runs of 128 tokens, spread evenly over the texts, position 0 left out."""
        import torch

        cut = list(self.words.chunks(texts, CHUNK))
        count = min(len(cut), -(-tokens // (CHUNK - 1)))
        chosen = [cut[i * len(cut) // count] for i in range(count)]
        modules = {name: self.module(name) for name in names}
        sums: dict[str, Any] = {}
        seen: set[str] = set()

        def look(name: str) -> Callable[[Any], None]:
            def show(states: Any) -> None:
                rows = states.view(-1, CHUNK, states.shape[-1])[:, 1:].reshape(-1, states.shape[-1])
                sums[name] = sums.get(name, 0.0) + (rows.T @ rows).double()
                seen.add(name)
                if len(seen) == len(modules):
                    raise EnoughError

            return show

        watch = {module: look(name) for name, module in modules.items()}
        for start in range(0, len(chosen), AT_ONCE // CHUNK):
            seen.clear()
            with watched(inputs=watch), torch.inference_mode():
                self.run(chosen[start : start + AT_ONCE // CHUNK])
        read = sum(len(one) - 1 for one in chosen)
        return {name: Moment((sums[name] / read).numpy(), read) for name in names}

    def value(self, wish: Wish, layer: int, where: Where, how: Descent, changed: Changed = None) -> Value:
        """Learns what to add at the subject's last token."""
        from editc.backends.networks.descent import descend

        with self.running(changed):
            return descend(self, wish, layer, where, how)

    def run(self, ids: Sequence[Sequence[int]]) -> Any:
        """The states (n, t, d) behind the final norm, padded on the right."""
        import torch

        given, mask = padded(ids)
        with torch.inference_mode():
            return self.decoder(input_ids=given, attention_mask=mask, use_cache=False).last_hidden_state

    def batched(self, ids: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Any]]:
        """`run` of some at a time, and which."""
        for which in batches(ids):
            yield which, self.run([ids[i] for i in which])

    @cached_property
    def ends(self) -> set[int]:
        """The tokens that end a text."""
        named = getattr(self.model.generation_config, "eos_token_id", None)
        every = named if isinstance(named, list) else [named]
        return {one for one in (*every, self.words.tokenizer.eos_token_id) if one is not None}

    def norm(self, states: Any) -> Any:
        """The norm that stands before the output embedding."""
        return next(getattr(self.decoder, name) for name in NORMS if hasattr(self.decoder, name))(states)

    def logits(self, states: Any) -> Any:
        """Of states (..., d) behind the final norm."""
        settings = self.model.config.get_text_config()
        found = self.model.get_output_embeddings()(states) * scale(settings)
        cap = getattr(settings, "final_logit_softcapping", None)
        return found if cap is None else cap * (found / cap).tanh()

    def spoken(self, states: Any) -> Any:
        """Log-probabilities (t, v) of the next token after states (t, d), in float64."""
        import torch

        with torch.inference_mode():
            return self.logits(states).double().log_softmax(-1)


def scale(settings: Any) -> float:
    """By what a model multiplies its logits: Cohere's `logit_scale`, the inverse of Granite's `logits_scaling`."""
    divided = float(getattr(settings, "logits_scaling", None) or 1.0)
    return float(getattr(settings, "logit_scale", None) or 1.0) / divided


def batches(ids: Sequence[Sequence[int]], spare: int = PADDING) -> Iterator[list[int]]:
    """Numbers of texts of about the same length, at most AT_ONCE tokens with their padding, of which there are at most
    `spare` or an eighth of the text."""
    some: list[int] = []
    text = 0
    for i in sorted(range(len(ids)), key=lambda i: (len(ids[i]), i)):
        whole = (len(some) + 1) * len(ids[i])
        text += len(ids[i])
        if some and (whole > AT_ONCE or whole - text > max(spare, text // 8)):
            yield some
            some, text = [], len(ids[i])
        some.append(i)
    if some:
        yield some


def padded(ids: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """Tokens (n, t) and which of them are text (n, t)."""
    import torch

    longest = max(map(len, ids))
    given = torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids])
    return given, torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
