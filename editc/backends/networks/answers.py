"""What a model says: how likely answers are, how far two models are apart, and what each goes on with.

Texts run in batches of about one length; the output embedding, which is most of a small model's weights, is read once
for many rows of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from editc.backends.networks.hooks import split_batch
from editc.backends.networks.past import cache_arguments, new_cache
from editc.backends.networks.running import BATCH_TOKENS, RunningModel, batches, pad_tokens
from editc.core.ir import Array
from editc.core.network import Cloze, Compared, Prompt, Scored, Spoken

LOGIT_ROWS = 64
"""Rows whose logits are in memory at a time: a vocabulary of 256,000 makes 130 MB of them in float64."""


def score_answers(network: RunningModel, asked: Sequence[Cloze], changed: Mapping[str, Array] | None) -> Scored:
    """How likely the answers are. Those that follow the same tokens (their own but the last too) share a run."""
    told = [network.tokenizer.encode_cloze(one) for one in asked]
    runs: dict[tuple[int, ...], list[int]] = {}
    for i, (ids, _) in enumerate(told):
        runs.setdefault(ids[:-1], []).append(i)
    texts = list(runs)
    total, first, best = np.zeros(len(told)), np.zeros(len(told)), np.zeros(len(told), np.int64)
    with network.use_weights(changed):
        for which, states in network.run_batches(texts):
            those = [(at, i) for at, k in enumerate(which) for i in runs[texts[k]]]
            for i, order, likely, likeliest in _token_scores(network, states, those, told):
                total[i] += likely
                if order == 0:
                    first[i], best[i] = likely, likeliest
    counts = np.array([count for _, count in told], np.int64)
    firsts = np.array([ids[len(ids) - count] for ids, count in told], np.int64)
    return Scored(total, first, best == firsts, best, counts)


def _token_scores(
    network: RunningModel,
    states: Any,
    those: Sequence[tuple[int, int]],
    told: Sequence[tuple[tuple[int, ...], int]],
) -> Iterator[tuple[int, int, float, int]]:
    """Of each answer in `told`, and the row of `states` (n, t, d) that it is read from: its number, and of each of its
    tokens in order the place, the log-probability, and the likeliest in its place."""
    wanted: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for at, i in those:
        ids, count = told[i]
        for order in range(count):
            row = len(ids) - 1 - count + order
            wanted.setdefault((at, row), []).append((i, order, ids[row + 1]))
    places = list(wanted)
    for start in range(0, len(places), LOGIT_ROWS):
        some = places[start : start + LOGIT_ROWS]
        spoken = network.log_probabilities(states[[at for at, _ in some], [row for _, row in some]])
        best = spoken.argmax(1).tolist()
        for line, place in enumerate(some):
            for i, order, token in wanted[place]:
                yield i, order, float(spoken[line, token]), best[line]


def compare_models(
    network: RunningModel,
    texts: Sequence[Prompt],
    changed: Mapping[str, Array],
    last: bool,
    base: Sequence[Array] | None,
) -> Compared:
    """The base against the model as changed, over all tokens of the texts or at their last ones."""
    ids = [network.tokenizer.encode_prompt(text).ids for text in texts]
    found = np.zeros((4, len(ids)))
    for which in batches(ids):
        some = [ids[i] for i in which]
        rows = [(at, row) for at, one in enumerate(some) for row in range(len(one) - 1 if last else 0, len(one))]
        lines, columns = map(list, zip(*rows, strict=True))
        before = network.run(some)[lines, columns] if base is None else _stack_states([base[i] for i in which])
        with network.use_weights(changed):
            after = network.run(some)[lines, columns]
        nexts = [some[at][row + 1] if row + 1 < len(some[at]) else -1 for at, row in rows]
        np.add.at(found.T, [which[at] for at in lines], _compare_rows(network, before, after, nexts))
    counts = np.array([1 if last else len(one) for one in ids], np.float64)
    follow = np.where(counts > 1, counts - 1, np.nan)
    return Compared(found[0] / counts, found[1] / counts, found[2] / follow, found[3] / follow)


def final_states(network: RunningModel, texts: Sequence[Prompt]) -> tuple[Array, ...]:
    """The states (t, d) of each text behind the final norm, as `compare_models` takes them."""
    ids = [network.tokenizer.encode_prompt(text).ids for text in texts]
    found: dict[int, Array] = {}
    for which, states in network.run_batches(ids):
        found |= {i: states[at, : len(ids[i])].double().numpy() for at, i in enumerate(which)}
    return tuple(found[i] for i in range(len(ids)))


def _stack_states(states: Sequence[Array]) -> Any:
    import torch

    return torch.from_numpy(np.concatenate(states)).float()


def _compare_rows(network: RunningModel, before: Any, after: Any, nexts: Sequence[int]) -> Array:
    """Of each row of states (n, d) the KL, the agreement and, where a token comes next, both negative log-likelihoods:
    (n, 4)."""
    found = np.zeros((len(nexts), 4))
    for start in range(0, len(nexts), LOGIT_ROWS):
        part = slice(start, start + LOGIT_ROWS)
        old, new = network.log_probabilities(before[part]), network.log_probabilities(after[part])
        tokens = np.array(nexts[part])
        likely = [-one[range(len(tokens)), tokens].numpy() for one in (old, new)]
        found[part, 0] = (old.exp() * (old - new)).sum(1).numpy()
        found[part, 1] = (old.argmax(1) == new.argmax(1)).numpy()
        found[part, 2:] = np.where(tokens[:, None] < 0, 0.0, np.stack(likely, axis=1))
    return found


def continue_prompts(
    network: RunningModel, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array] | None
) -> tuple[str, ...]:
    """What the model goes on with, the likeliest token each time, up to its end-of-text."""
    return tuple(one.text for one in generate_tokens(network, prompts, tokens, changed))


def generate_tokens(
    network: RunningModel, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array] | None
) -> tuple[Spoken, ...]:
    """The same token by token, with how likely each was."""
    with network.use_weights(changed):
        return _generate_batches(network, prompts, tokens, 1)[0]


def continue_with_both(
    network: RunningModel, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the base goes on with, and the model as changed: side by side, so that all other weights, which are what a
    token costs, are read once for both. One after the other where a changed matrix is no layer's."""
    try:
        layers = {network.module(name): value for name, value in changed.items()}
    except LookupError:
        return continue_prompts(network, prompts, tokens, None), continue_prompts(network, prompts, tokens, changed)
    with split_batch(layers):
        before, after = _generate_batches(network, prompts, tokens, 2)
    return tuple(one.text for one in before), tuple(one.text for one in after)


def _generate_batches(
    network: RunningModel, prompts: Sequence[Prompt], tokens: int, times: int
) -> tuple[tuple[Spoken, ...], ...]:
    """Every batch so many times over, beside itself."""
    ids = [network.tokenizer.encode_prompt(prompt).ids for prompt in prompts]
    found: dict[int, list[Spoken]] = {}
    for which in batches(ids, BATCH_TOKENS):
        told = [
            _decode_answer(network, *one)
            for one in _generate_batch(network, [ids[i] for _ in range(times) for i in which], tokens)
        ]
        found |= {i: told[at :: len(which)] for at, i in enumerate(which)}
    return tuple(tuple(found[i][k] for i in range(len(ids))) for k in range(times))


def _decode_answer(network: RunningModel, ids: list[int], likely: list[float]) -> Spoken:
    decode = network.tokenizer.raw.decode
    pieces = tuple(decode([one], skip_special_tokens=True) for one in ids)
    return Spoken(decode(ids, skip_special_tokens=True), pieces, tuple(likely))


def _generate_batch(
    network: RunningModel, ids: Sequence[Sequence[int]], tokens: int
) -> Iterator[tuple[list[int], list[float]]]:
    """New tokens stand behind the padding, which nobody sees, and at the positions that follow their own text."""
    import torch

    given, mask = pad_tokens(ids)
    past = cache_arguments(network.decoder, new_cache())
    lengths = torch.tensor([len(one) for one in ids])
    ends, every, likely = network.ends, list[Any](), list[Any]()
    position = None
    with torch.inference_mode():
        for step in range(tokens):
            states = network.decoder(input_ids=given, attention_mask=mask, position_ids=position, **past)
            states = states.last_hidden_state
            rows = lengths - 1 if step == 0 else 0
            most, best = network.logits(states[torch.arange(len(ids)), rows]).log_softmax(1).max(1)
            every.append(best)
            likely.append(most)
            given = best[:, None]
            if step + 1 == tokens or all(ends & set(line) for line in torch.stack(every, 1).tolist()):
                break
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            position = (lengths + step)[:, None]
    for line, chances in zip(torch.stack(every, 1).tolist(), torch.stack(likely, 1).tolist(), strict=True):
        count = len(cut_at_end(line, ends))
        yield line[:count], chances[:count]


def cut_at_end(tokens: list[int], ends: set[int]) -> list[int]:
    """The tokens before the first of `ends`."""
    return tokens[: next((i for i, token in enumerate(tokens) if token in ends), len(tokens))]
