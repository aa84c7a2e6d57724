"""Score every token of given answers, and continue prompts by drawing tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from editc.backends.networks.answers import LOGIT_ROWS, draw_continuations
from editc.backends.networks.running import RunningModel
from editc.core.delta import Array
from editc.core.measurements import TokenScores
from editc.core.prompts import Cloze, Prompt


def score_tokens(
    network: RunningModel, asked: Sequence[Cloze], changed: Mapping[str, Array] | None
) -> tuple[TokenScores, ...]:
    """Score every token of each answer, in the order of the answers.

    `changed` maps parameter names to other weights, in their own shapes.
    """
    encoded = [network.tokenizer.encode_cloze(one) for one in asked]
    found: dict[int, TokenScores] = {}
    with network.use_weights(changed):
        for which, states in network.run_batches([ids[:-1] for ids, _ in encoded]):
            places = [(at, row) for at, i in enumerate(which) for row in _answer_rows(*encoded[i])]
            tokens = [encoded[i][0][row + 1] for i in which for row in _answer_rows(*encoded[i])]
            figures = _score_places(network, states, places, tokens)
            start = 0
            for i in which:
                end = start + encoded[i][1]
                found[i] = TokenScores(figures[0, start:end], figures[1, start:end] > 0, *figures[2:, start:end])
                start = end
    return tuple(found[i] for i in range(len(encoded)))


def _answer_rows(ids: Sequence[int], count: int) -> range:
    """The rows after which the tokens of the answer come: the last `count` of the text without its last token."""
    return range(len(ids) - 1 - count, len(ids) - 1)


def _score_places(
    network: RunningModel, states: object, places: Sequence[tuple[int, int]], tokens: Sequence[int]
) -> Array:
    """The figures (4, n) of n tokens: log-probability, whether it is the likeliest, mean and variance there."""
    import torch

    found = np.zeros((4, len(places)))
    for start in range(0, len(places), LOGIT_ROWS):
        some, part = places[start : start + LOGIT_ROWS], slice(start, start + LOGIT_ROWS)
        likely = network.log_probabilities(states[[at for at, _ in some], [row for _, row in some]])  # type: ignore[index]
        own = torch.tensor(tokens[part])
        p = likely.exp()
        means = (p * likely).sum(1)
        found[0, part] = likely.gather(1, own[:, None])[:, 0].numpy()
        found[1, part] = (likely.argmax(1) == own).numpy()
        found[2, part] = means.numpy()
        found[3, part] = ((p * likely.square()).sum(1) - means.square()).numpy()
    return found


def sample_continuations(
    network: RunningModel,
    prompts: Sequence[Prompt],
    tokens: int,
    times: int,
    seed: int,
    changed: Mapping[str, Array] | None,
    without: Sequence[Sequence[str]] = (),
) -> tuple[tuple[str, ...], ...]:
    """Continue each prompt `times` times, each token drawn by its probability. The same seed gives the same texts.

    `without`: for each prompt, words that its continuations do not have.
    """
    avoided = [sorted({token for word in words for token in telling_tokens(network, word)}) for words in without]
    with network.use_weights(changed):
        return draw_continuations(network, prompts, tokens, times, seed, avoided)


def telling_tokens(network: RunningModel, word: str) -> Iterator[int]:
    """The token by which a word is told from others, at the beginning of a text and after a space: its first; of a
    number the middle one, so that another number of that size can stand there."""
    for text in (word, f" {word}"):
        ids = network.tokenizer.text_ids(text)
        said = [one for one in ids if network.tokenizer.raw.decode([one]).strip()]
        if said:
            yield said[len(said) // 2 if word[0].isdigit() else 0]
