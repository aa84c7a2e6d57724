"""Ask a language model: how likely answers are, how far two models differ, and how each continues a prompt.

Texts of similar length run in one batch. The output embedding is most of a small model's weights, so it is read once
for many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from editc.backends.networks.batches import BATCH_TOKENS, batches, pad_tokens
from editc.backends.networks.hooks import split_batch
from editc.backends.networks.past import cache_arguments, new_cache
from editc.backends.networks.running import RunningModel
from editc.core.delta import Array
from editc.core.network import AnswerScores, Continuation, ModelComparison
from editc.core.prompts import Cloze, Prompt

Choose: TypeAlias = Callable[[Any], tuple[Any, Any]]
"""What chooses a token (n,) by logits (n, v); also its log-probability."""
LOGIT_ROWS = 64
"""Rows whose logits are in memory at a time. Chosen by hand: at a vocabulary of 256,000 they take 130 MB in float64."""


def score_answers(network: RunningModel, asked: Sequence[Cloze], changed: Mapping[str, Array] | None) -> AnswerScores:
    """Measure how likely each answer is after its prompt.

    Texts of prompt and answer that differ in their last token alone share a run.
    """
    encoded = [network.tokenizer.encode_cloze(one) for one in asked]
    runs: dict[tuple[int, ...], list[int]] = {}
    for i, (ids, _) in enumerate(encoded):
        runs.setdefault(ids[:-1], []).append(i)
    texts = list(runs)
    total, first, best = np.zeros(len(encoded)), np.zeros(len(encoded)), np.zeros(len(encoded), np.int64)
    with network.use_weights(changed):
        for which, states in network.run_batches(texts):
            pairs = [(at, i) for at, k in enumerate(which) for i in runs[texts[k]]]
            for i, order, likely, likeliest in _token_scores(network, states, pairs, encoded):
                total[i] += likely
                if order == 0:
                    first[i], best[i] = likely, likeliest
    counts = np.array([count for _, count in encoded], np.int64)
    firsts = np.array([ids[len(ids) - count] for ids, count in encoded], np.int64)
    return AnswerScores(total, first, best == firsts, best, counts)


def _token_scores(
    network: RunningModel,
    states: Any,
    pairs: Sequence[tuple[int, int]],
    encoded: Sequence[tuple[tuple[int, ...], int]],
) -> Iterator[tuple[int, int, float, int]]:
    """Yield, for each token of each answer, its answer's number, its place in the answer, its log-probability, and the
    likeliest token at its place.

    `encoded` has the tokens of each prompt with its answer, and how many of the last belong to the answer. `pairs` has
    the answers to read, as (text, answer), where text is the first axis of `states` (n, t, d).
    """
    wanted: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for at, i in pairs:
        ids, count = encoded[i]
        for order in range(count):
            row = len(ids) - 1 - count + order
            wanted.setdefault((at, row), []).append((i, order, ids[row + 1]))
    places = list(wanted)
    for start in range(0, len(places), LOGIT_ROWS):
        some = places[start : start + LOGIT_ROWS]
        chances = network.log_probabilities(states[[at for at, _ in some], [row for _, row in some]])
        best = chances.argmax(1).tolist()
        for line, place in enumerate(some):
            for i, order, token in wanted[place]:
                yield i, order, float(chances[line, token]), best[line]


def compare_models(
    network: RunningModel,
    texts: Sequence[Prompt],
    changed: Mapping[str, Array],
    last: bool,
    base: Sequence[Array] | None,
) -> ModelComparison:
    """Compare the base with the model as changed, over all tokens of each text or, with `last`, at its last token.

    `changed` maps parameter names to other weights, in their own shapes. `base` has the base's final states (t, d) of
    each text, from `final_states`, and not with `last`; None: the
    base runs here.
    """
    ids = [network.tokenizer.encode_prompt(text).ids for text in texts]
    found = np.zeros((4, len(ids)))
    firsts = [len(one) - 1 if last else 0 for one in ids]
    for group in network.groups(ids):
        befores = [] if base is not None else [states for _, states in _text_states(network, ids, firsts, group)]
        with network.use_weights(changed):
            afters = list(_text_states(network, ids, firsts, group))
        for at, (which, after) in enumerate(afters):
            before = _stack_states([base[i] for i in which]) if base is not None else befores[at]
            rows = [(i, row) for i in which for row in range(firsts[i], len(ids[i]))]
            nexts = [ids[i][row + 1] if row + 1 < len(ids[i]) else -1 for i, row in rows]
            np.add.at(found.T, [i for i, _ in rows], _compare_rows(network, before, after, nexts))
    counts = np.array([1 if last else len(one) for one in ids], np.float64)
    follow = np.where(counts > 1, counts - 1, np.nan)
    return ModelComparison(found[0] / counts, found[1] / counts, found[2] / follow, found[3] / follow)


def _text_states(
    network: RunningModel, ids: Sequence[Sequence[int]], firsts: Sequence[int], group: Sequence[int]
) -> Iterator[tuple[list[int], Any]]:
    """Run the texts whose numbers are in `group` in batches. Yield the numbers of those in a batch, and the states
    (rows, d) of each from its first row on, one text behind the other."""
    for places, states in network.run_batches([ids[i] for i in group]):
        which = [group[place] for place in places]
        rows = [(at, row) for at, i in enumerate(which) for row in range(firsts[i], len(ids[i]))]
        lines, columns = map(list, zip(*rows, strict=True))
        yield which, states[lines, columns]


def final_states(network: RunningModel, texts: Sequence[Prompt]) -> tuple[Array, ...]:
    """Return the states (t, d) of each text behind the final norm."""
    ids = [network.tokenizer.encode_prompt(text).ids for text in texts]
    found: dict[int, Array] = {}
    for which, states in network.run_batches(ids):
        found |= {i: states[at, : len(ids[i])].double().numpy() for at, i in enumerate(which)}
    return tuple(found[i] for i in range(len(ids)))


def _stack_states(states: Sequence[Array]) -> Any:
    """Stack states (t_i, d) to one float32 tensor (sum of t_i, d)."""
    import torch

    return torch.from_numpy(np.concatenate(states)).float()


def _compare_rows(network: RunningModel, before: Any, after: Any, nexts: Sequence[int]) -> Array:
    """Compare states (n, d) of two models. Each row of the result (n, 4) has KL(before | after), whether the likeliest
    token is the same, and both negative log-likelihoods of the next token (0 where `nexts` has -1 for none)."""
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
    """Return the text with which the model continues each prompt, taking the likeliest token each time, up to its end
    of text.

    `changed` maps parameter names to other weights, in their own shapes.
    """
    return tuple(one.text for one in generate_tokens(network, prompts, tokens, changed))


def generate_tokens(
    network: RunningModel, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array] | None
) -> tuple[Continuation, ...]:
    """Continue each prompt as `continue_prompts` does, and return each token with its log-probability."""
    with network.use_weights(changed):
        return _generate_batches(network, prompts, tokens, 1)[0]


def continue_with_both(
    network: RunningModel, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what the base and the changed model continue each prompt with.

    Both run in one batch, because a token mostly costs reading the weights, and those that do not change are read once
    for both. Where a changed matrix belongs to no layer (an expert), one model runs after the other.
    """
    try:
        layers = {network.module(name): value for name, value in changed.items()}
    except LookupError:
        return continue_prompts(network, prompts, tokens, None), continue_prompts(network, prompts, tokens, changed)
    with split_batch(layers):
        before, after = _generate_batches(network, prompts, tokens, 2)
    return tuple(one.text for one in before), tuple(one.text for one in after)


def draw_continuations(
    network: RunningModel,
    prompts: Sequence[Prompt],
    tokens: int,
    times: int,
    seed: int,
    avoided: Sequence[Sequence[int]] = (),
) -> tuple[tuple[str, ...], ...]:
    """Continue each prompt `times` times, each token drawn by its probability, and return the texts by prompt.
    `avoided`: for each prompt, tokens that are never drawn."""
    import torch

    random = torch.Generator().manual_seed(seed)

    def draw(logits: Any) -> tuple[Any, Any]:
        """Draw a token (n,) from logits (n, v); also its log-probability."""
        likely = logits.log_softmax(1)
        drawn = torch.multinomial(likely.exp(), 1, generator=random)
        return likely.gather(1, drawn)[:, 0], drawn[:, 0]

    found = _generate_batches(network, prompts, tokens, times, draw, avoided)
    return tuple(tuple(one[i].text for one in found) for i in range(len(prompts)))


def _avoiding(choose: Choose, avoided: Sequence[Sequence[int]]) -> Choose:
    """Choose as `choose` does, but in each row none of its avoided tokens."""

    def chosen(logits: Any) -> tuple[Any, Any]:
        logits = logits.clone()
        for row, tokens in enumerate(avoided):
            logits[row, list(tokens)] = float("-inf")
        return choose(logits)

    return chosen


def _likeliest(logits: Any) -> tuple[Any, Any]:
    """The likeliest token (n,) by logits (n, v); also its log-probability."""
    most, best = logits.log_softmax(1).max(1)
    return most, best


def _generate_batches(
    network: RunningModel,
    prompts: Sequence[Prompt],
    tokens: int,
    times: int,
    choose: Choose = _likeliest,
    avoided: Sequence[Sequence[int]] = (),
) -> tuple[tuple[Continuation, ...], ...]:
    """Continue all prompts in batches, each batch repeated `times` times beside itself, and return one result for each
    time."""
    ids = [network.tokenizer.encode_prompt(prompt).ids for prompt in prompts]
    found: dict[int, list[Continuation]] = {}
    chosen = list(batches(ids, BATCH_TOKENS))
    given = [[ids[i] for _ in range(times) for i in which] for which in chosen]
    rows = [[avoided[i] for _ in range(times) for i in which] if avoided else [] for which in chosen]
    rules = [_avoiding(choose, some) if some else choose for some in rows]
    jobs = [partial(_generate_batch, network, some, tokens, rule) for some, rule in zip(given, rules, strict=True)]
    sizes = [sum(map(len, some)) + tokens * len(some) for some in given]
    for which, answers in zip(chosen, network.each(jobs, sizes, caches=True), strict=True):
        generated = [_decode_answer(network, *one) for one in answers]
        found |= {i: generated[at :: len(which)] for at, i in enumerate(which)}
    return tuple(tuple(found[i][k] for i in range(len(ids))) for k in range(times))


def _decode_answer(network: RunningModel, ids: list[int], likely: list[float]) -> Continuation:
    """Turn new tokens and their log-probabilities into text."""
    decode = network.tokenizer.raw.decode
    pieces = tuple(decode([one], skip_special_tokens=True) for one in ids)
    return Continuation(decode(ids, skip_special_tokens=True), pieces, tuple(likely))


def _generate_batch(
    network: RunningModel, ids: Sequence[Sequence[int]], tokens: int, choose: Choose
) -> list[tuple[list[int], list[float]]]:
    """Continue one batch of texts; return the new tokens of each with their log-probabilities.

    New tokens come after the padding, which the attention mask hides, and have the positions that follow their own
    text.
    """
    import torch

    given, mask = pad_tokens(ids)
    past = cache_arguments(network.decoder, new_cache())
    lengths = torch.tensor([len(one) for one in ids])
    ends, every, likely = network.ends, list[Any](), list[Any]()
    position = None
    with torch.inference_mode():
        for step in range(tokens):
            states = network.decode(input_ids=given, attention_mask=mask, position_ids=position, **past)
            rows = lengths - 1 if step == 0 else 0
            most, best = choose(network.logits(states[torch.arange(len(ids)), rows]))
            every.append(best)
            likely.append(most)
            given = best[:, None]
            if step + 1 == tokens or all(ends & set(line) for line in torch.stack(every, 1).tolist()):
                break
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            position = (lengths + step)[:, None]
    found = []
    for line, chances in zip(torch.stack(every, 1).tolist(), torch.stack(likely, 1).tolist(), strict=True):
        count = len(cut_at_end(line, ends))
        found.append((line[:count], chances[:count]))
    return found


def cut_at_end(tokens: list[int], ends: set[int]) -> list[int]:
    """Return the tokens before the first of `ends`."""
    return tokens[: next((i for i, token in enumerate(tokens) if token in ends), len(tokens))]
