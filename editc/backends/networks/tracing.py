"""Causal tracing (Meng et al., ROME, arXiv 2202.05262, section 2).

Noise on a subject lowers the probability of an answer. One clean state is put back, and the probability that returns is
measured.

A restored state reaches its own token and later ones, and the layers above. So a run begins there: tokens before it are
kept as keys and values of the attention, layers below as states. Runs for several layers share a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from editc.backends.networks.hooks import skip_layers, watch_modules
from editc.backends.networks.past import cache_arguments, keys_and_values, new_cache
from editc.backends.networks.running import RunningModel
from editc.core.delta import Array
from editc.core.network import Noise, TracedFacts, TracedTokens
from editc.core.prompts import KnownFact, Spot

LAYERS_AT_ONCE = 6
"""Layers whose restorations share a batch. A batch begins at its lowest layer, below which nothing runs twice. Chosen
by hand."""
SAMPLED_TOKENS = 4096
"""Tokens, evenly over the vocabulary, whose embeddings give the standard deviation. Chosen by hand."""


@dataclass(frozen=True)
class NoisyRun:
    """A prompt of t tokens that ran once without noise (clean) and s times with noise on its subject."""

    ids: Any
    """(1, t): tokens."""
    answer: int
    """The id of the answer's first token."""
    clean: tuple[Any, ...]
    """(t, d): the clean residual stream, for each layer that it leaves."""
    states: tuple[Any, ...]
    """(s, t, d): the noisy residual streams, for each layer that they leave."""
    past: tuple[tuple[Any, Any], ...]
    """Keys and values (s, h, t, e) of each layer, with noise."""
    before: float
    """The probability of the answer's first token without noise."""
    after: float
    """The mean probability with noise."""


def trace_causes(network: RunningModel, known: Sequence[KnownFact], noise: Noise) -> TracedFacts:
    """Trace each known fact by itself. Facts whose subjects have as many tokens get the same noise."""
    sigma = noise.sigmas * embedding_deviation(network)
    found = [_trace_one(network, one, noise, sigma) for one in known]
    layers = np.empty((0, network.layers))
    return TracedFacts(
        np.array([run.before for run, _, _ in found]),
        np.array([run.after for run, _, _ in found]),
        np.array([subject for _, subject, _ in found]) if found else layers,
        np.array([last for _, _, last in found]) if found else layers,
    )


def trace_tokens(
    network: RunningModel, known: KnownFact, spots: Sequence[Spot], layer: int, noise: Noise
) -> TracedTokens:
    """Trace one fact at some tokens of its prompt, after one layer."""
    run, _ = _run_fact(network, known, noise, noise.sigmas * embedding_deviation(network))
    rows = [network.tokenizer.place(spot).row for spot in spots]
    restored = [next(_restore_layers(network, run, row, range(layer, layer + 1))) for row in rows]
    return TracedTokens(run.before, run.after, np.array(restored))


def embedding_deviation(network: RunningModel) -> float:
    """Return the standard deviation of the entries of the input embedding, as they enter the first layer."""
    import torch

    embedding = network.model.get_input_embeddings()
    count = len(embedding.weight)
    with torch.inference_mode():
        sampled = torch.arange(0, count, max(count // SAMPLED_TOKENS, 1), device=network.device)
        return float(embedding(sampled).cpu().double().numpy().std())


def _trace_one(network: RunningModel, known: KnownFact, noise: Noise, sigma: float) -> tuple[NoisyRun, Array, Array]:
    """Run one fact with noise. Also return the curves (layers,) of restoring the subject's and the prompt's last token.

    Raises LookupError where the answer begins inside the subject's last token.
    """
    run, row = _run_fact(network, known, noise, sigma)
    subject, last = (_restoration_curve(network, run, at) for at in (row, run.ids.shape[1] - 1))
    return run, subject, last


def _run_fact(network: RunningModel, known: KnownFact, noise: Noise, sigma: float) -> tuple[NoisyRun, int]:
    """Run one fact with noise on its subject. Also return the position of the subject's last token. Raises LookupError
    where the answer begins inside that token."""
    place = network.tokenizer.place(known.spot)
    ids, count = network.tokenizer.encode_cloze(known.cloze)
    begun = len(ids) - count
    if place.row >= begun:
        raise LookupError(f"`{known.answer}` begins inside the last token of `{known.subject}` after `{known.prompt}`")
    embedding = network.model.get_input_embeddings()
    shape = (noise.samples, place.row + 1 - place.first, embedding.weight.shape[1])
    drawn = sigma * np.random.default_rng(noise.seed).standard_normal(shape)
    return _run_with_noise(network, ids[:begun], ids[begun], place.first, drawn), place.row


def _run_with_noise(network: RunningModel, ids: Sequence[int], answer: int, first: int, drawn: Array) -> NoisyRun:
    """Run the prompt clean, as row 0 of the batch, and with the noise `drawn` (s, m, d) on m tokens from `first` on."""
    import torch

    added = torch.from_numpy(np.concatenate([np.zeros_like(drawn[:1]), drawn])).float().to(network.device)
    given = torch.tensor([ids])
    cache, seen = new_cache(), dict[int, Any]()

    def add_noise(states: Any) -> Any:
        states = states.clone()
        states[:, first : first + added.shape[1]] += added
        return states

    def look(layer: int) -> Callable[[Any], None]:
        return lambda states: seen.__setitem__(layer, states)

    shown = {block: look(layer) for layer, block in enumerate(network.blocks)}
    with watch_modules(outputs={network.model.get_input_embeddings(): add_noise, **shown}), torch.inference_mode():
        rows = given.expand(len(added), -1)
        mask = torch.ones_like(rows)
        states = network.decode(input_ids=rows, attention_mask=mask, **cache_arguments(network.decoder, cache))
    likely = network.log_probabilities(states[:, -1])[:, answer].exp().numpy()
    streams = [seen[layer] for layer in range(network.layers)]
    past = tuple((keys[1:], values[1:]) for keys, values in keys_and_values(cache))
    clean, others = tuple(one[0] for one in streams), tuple(one[1:] for one in streams)
    return NoisyRun(given, answer, clean, others, past, float(likely[0]), float(likely[1:].mean()))


def _restoration_curve(network: RunningModel, run: NoisyRun, row: int) -> Array:
    """Return the probability (layers,) of the answer with the clean stream restored at token `row` after each layer."""
    starts = range(0, network.layers, LAYERS_AT_ONCE)
    groups = (range(start, min(start + LAYERS_AT_ONCE, network.layers)) for start in starts)
    return np.array([likely for layers in groups for likely in _restore_layers(network, run, row, layers)])


def _restore_layers(network: RunningModel, run: NoisyRun, row: int, layers: range) -> Iterator[float]:
    """Yield that probability for each of `layers`. One batch holds all samples of noise for the first layer, then the
    next."""
    import torch

    samples, bottom = len(run.states[0]), layers[0]
    times = len(layers)

    def restore(layer: int) -> Callable[[Any], Any]:
        def put_back(states: Any) -> Any:
            states = states.clone()
            begin = (layer - bottom) * samples
            states[begin : begin + samples, 0] = run.clean[layer][row]
            return states

        return put_back

    rows = run.ids[:, row:].expand(times * samples, -1)
    past = tuple((_repeat_past(keys, row, times), _repeat_past(values, row, times)) for keys, values in run.past)
    given = {
        "input_ids": rows,
        "attention_mask": torch.ones(len(rows), run.ids.shape[1], dtype=torch.long),
        "position_ids": torch.arange(row, run.ids.shape[1])[None],
        **cache_arguments(network.decoder, new_cache(past) if row else None),
    }
    lower = restore(bottom)(run.states[bottom][:, row:].repeat(times, 1, 1))
    upper = {network.blocks[layer]: restore(layer) for layer in layers[1:]}
    with (
        skip_layers(list(network.blocks[: bottom + 1]), lower, network.extra_outputs),
        watch_modules(outputs=upper),
        torch.inference_mode(),
    ):
        states = network.decode(**given)
    likely = network.log_probabilities(states[:, -1])[:, run.answer].exp().numpy()
    yield from (float(one.mean()) for one in likely.reshape(times, samples))


def _repeat_past(states: Any, row: int, times: int) -> Any:
    """Take keys or values (s, h, t, e) of the tokens before `row`, and repeat them for `times` layers."""
    return states[:, :, :row].repeat(times, 1, 1, 1)
