"""Train low-rank factors on answers, inside a model that runs: how a model learns a text, or learns it again.

Every linear layer from a given one on gets a factor pair B A, as LoRA does. Layers below run once, and their states are
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from editc.backends.networks.batches import pad_tokens
from editc.backends.networks.hooks import skip_layers, watch_modules
from editc.backends.networks.running import ChangedWeights, RunningModel
from editc.core.delta import Array
from editc.core.measurements import Tuning
from editc.core.prompts import Cloze

CLIP = 1.0
"""The largest norm of the gradient, as in LoRA's and open-unlearning's configurations."""
WARM_UP = 5
"""Steps over which the learning rate rises to its value. Chosen by hand."""


@dataclass(frozen=True)
class TrainingBatch:
    """Texts of similar length that are trained on together."""

    ids: Any
    """(n, t): tokens."""
    mask: Any
    """(n, t): 1 where a token is text."""
    asked: Any
    """(n, t): true where the next token belongs to an answer."""
    lower: Any
    """(n, t, d): the residual stream that enters the first trained layer. None: all layers are trained."""


def tune(
    network: RunningModel,
    asked: Sequence[Cloze],
    how: Tuning,
    changed: ChangedWeights,
    watch: Callable[[int, float], bool],
) -> Mapping[str, Array]:
    """Train the factors by AdamW on the mean loss of the answers, each with the end of text behind it.

    `watch` is called with the number of steps done and the last loss, at 0 too, while the model runs with what it has
    learned; training ends when it returns True. Returns the trained weights by the model's own names. Raises
    LookupError for a model whose layers are read from files.
    """
    import torch

    if network.store is not None:
        raise LookupError("this model's layers are read from files while it runs, so it cannot be trained")

    random = Random(how.seed)
    with network.use_weights(changed), plain_attention(network.model), factors(network, how) as pairs:
        some = [_prepare(network, [asked[i] for i in which], how.first) for which in _group(network, asked, how.batch)]
        adam = torch.optim.AdamW([one for pair in pairs.values() for one in pair], lr=how.rate, weight_decay=0.0)
        step, order = 0, list[int]()
        ended = watch(0, float("nan"))
        while not ended and step < how.steps:
            order = order or random.sample(range(len(some)), len(some))
            _set_rate(adam, how, step)
            loss = _take_step(network, some[order.pop()], adam)
            step += 1
            ended = watch(step, loss)
        names = {id(module): name for name, module in network.model.named_modules()}
        return {f"{names[id(layer)]}.weight": _merge(layer, *pair) for layer, pair in pairs.items()}


def _set_rate(adam: Any, how: Tuning, step: int) -> None:
    """Raise the learning rate over the first steps; with `decay` let it fall to a tenth at the end."""
    falling = 1 - 0.9 * step / how.steps if how.decay else 1.0
    for group in adam.param_groups:
        group["lr"] = how.rate * min(1.0, (step + 1) / WARM_UP) * falling


def _take_step(network: RunningModel, batch: TrainingBatch, adam: Any) -> float:
    """One step of AdamW; returns the loss before it."""
    import torch

    with torch.enable_grad():
        states = _run(network, batch)[batch.asked]
        wanted = batch.ids[:, 1:][batch.asked[:, :-1]]
        loss = torch.nn.functional.cross_entropy(network.logits(states), wanted)
        adam.zero_grad()
        loss.backward()
    torch.nn.utils.clip_grad_norm_([one for group in adam.param_groups for one in group["params"]], CLIP)
    adam.step()
    return float(loss.detach())


def _run(network: RunningModel, batch: TrainingBatch) -> Any:
    """The states (n, t, d) behind the final norm."""
    given = {"input_ids": batch.ids, "attention_mask": batch.mask, "use_cache": False}
    if batch.lower is None:
        return network.decode(**given)
    state, first = batch.lower
    with skip_layers(list(network.blocks[:first]), state, network.extra_outputs):
        return network.decode(**given)


def _group(network: RunningModel, asked: Sequence[Cloze], size: int) -> Iterator[list[int]]:
    """The numbers of the texts in batches of similar length."""
    lengths = [len(network.tokenizer.encode_cloze(one)[0]) for one in asked]
    order = sorted(range(len(asked)), key=lambda i: (lengths[i], i))
    yield from (order[start : start + size] for start in range(0, len(order), size))


def _prepare(network: RunningModel, asked: Sequence[Cloze], first: int) -> TrainingBatch:
    """Tokenize one batch, and run it through the layers that are not trained."""
    import torch

    end = network.tokenizer.raw.eos_token_id
    encoded = [network.tokenizer.encode_cloze(one) for one in asked]
    ids, mask = pad_tokens([(*tokens, *([] if end is None else [end])) for tokens, _ in encoded])
    wanted = torch.zeros(ids.shape, dtype=torch.bool)
    for line, (tokens, count) in enumerate(encoded):
        wanted[line, len(tokens) - count - 1 : len(tokens) - (end is None)] = True
    if not first:
        return TrainingBatch(ids, mask, wanted, None)
    seen: list[Any] = []
    with torch.no_grad(), watch_modules({network.blocks[first]: lambda states: seen.append(states.detach().clone())}):
        network.decode(input_ids=ids, attention_mask=mask, use_cache=False)
    return TrainingBatch(ids, mask, wanted, (seen[0], first))


@contextmanager
def factors(network: RunningModel, how: Tuning) -> Iterator[dict[Any, tuple[Any, Any]]]:
    """Within the `with`, each linear layer from layer `how.first` on also adds B A x. Yields layer -> (A, B); B begins
    at 0, so that nothing changes yet."""
    import torch

    random = torch.Generator().manual_seed(how.seed)
    layers = [one for block in network.blocks[how.first :] for one in block.modules() if is_linear(one)]
    pairs = {}
    for layer in layers:
        d_in, d_out = weight_sizes(layer)
        A = torch.randn(how.rank, d_in, generator=random) / d_in**0.5
        pairs[layer] = (A.to(network.device).requires_grad_(), torch.zeros(d_out, how.rank, device=network.device))
        pairs[layer][1].requires_grad_()

    def adder(A: Any, B: Any) -> Callable[..., Any]:
        return lambda layer, given, out: out + (given[0] @ A.T) @ B.T

    with ExitStack() as stack:
        for layer, pair in pairs.items():
            stack.callback(layer.register_forward_hook(adder(*pair)).remove)
        yield pairs


def is_linear(module: Any) -> bool:
    """True for a linear layer: torch's own, or GPT-2's, which stores its weight the other way round."""
    return type(module).__name__ in ("Linear", "Conv1D") and module.weight.ndim == 2


def weight_sizes(layer: Any) -> tuple[int, int]:
    """How many numbers a linear layer reads, and how many it gives."""
    rows, columns = layer.weight.shape
    return (rows, columns) if type(layer).__name__ == "Conv1D" else (columns, rows)


def _merge(layer: Any, A: Any, B: Any) -> Array:
    """The layer's weight with its factors, in the shape that is stored."""
    product = (B.detach().double() @ A.detach().double()).cpu().numpy()
    weight: Array = layer.weight.detach().double().cpu().numpy()
    merged: Array = weight + (product.T if type(layer).__name__ == "Conv1D" else product)
    return merged


@contextmanager
def plain_attention(model: Any) -> Iterator[None]:
    """Within the `with`, attention is computed step by step. The gradient of torch's fused kernel takes most of the
    time of a small model on a CPU."""
    settings = model.config.get_text_config()
    before = settings._attn_implementation
    settings._attn_implementation = "eager"
    try:
        yield
    finally:
        settings._attn_implementation = before
