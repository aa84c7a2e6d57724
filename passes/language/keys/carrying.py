"""Find the words of a fact's subject at which the model knows the fact, by causal tracing.

What a model knows of the Eiffel Tower stands at "Eiffel": on SmolLM2 the clean state there brings back a third of what
noise on the whole name takes, and the state at "Tower" nothing (docs/measurements/facts.md). An edit at "Tower" writes
the fact beside what is known, where other towers are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from editc.core.delta import Array
from editc.core.language_edits import Fact
from editc.core.manifest import Manifest
from editc.core.network import Network, Noise
from editc.core.prompts import KnownFact, Prompt, Spot
from editc.passes.language import sentences
from editc.passes.language.questions import first_word
from editc.passes.language.sentences import NameInSentences

CARRIES = 0.5
"""A word carries a fact if its clean state brings back at least this share of what that of the strongest word does.
Chosen by hand, on the traces of 61 facts of SmolLM2: the words of most names have either little or most of it."""
TRACED_CONTEXTS = 2
"""In how many contexts a fact is traced. Chosen by hand: each costs a run for each word and sample of noise."""
ANSWER_TOKENS = 6
"""How many tokens the model says to be asked for its answer; the first word is used."""


def carrying_parts(fact: Fact, manifest: Manifest, network: Network, layer: int) -> tuple[str, ...]:
    """The beginnings of a fact's subject that end with a word that carries the fact, in order: ("Eiffel",) or
    ("Eiffel Tower",) or both. The whole subject alone if it is one word, or if no word brings anything back.

    `layer`: the layer after which the clean state is put back, the last one that is edited.
    """
    parts = beginnings(fact.subject)
    if len(parts) == 1:
        return parts
    shares = part_shares(fact, manifest, network, layer, parts)
    most = float(shares.max())
    chosen = tuple(part for part, share in zip(parts, shares, strict=True) if 0 < CARRIES * most <= share)
    return chosen or (fact.subject,)


def part_shares(fact: Fact, manifest: Manifest, network: Network, layer: int, parts: Sequence[str]) -> Array:
    """How much of what noise on the subject takes each part's last token alone brings back, the mean over contexts:
    (parts,), 0 in place of what is below. Zeros where the subject opens every context, or where noise takes nothing."""
    (plain,) = islice(sentences.fact_sentences(fact, manifest), 1)
    said = fact.was or first_word(network.generate([Prompt(fact.prompt)], ANSWER_TOKENS)[0])
    whole = plain.contexts
    usable = [spot for spot, at in zip(whole, network.positions(whole), strict=True) if at.first > 0]
    found = [
        network.trace_tokens(
            KnownFact(spot.prompt, spot.subject, said, before=spot.before),
            [replace(spot, subject=part) for part in parts],
            layer,
            Noise(),
        ).shares
        for spot in usable[:TRACED_CONTEXTS]
    ]
    return np.maximum(np.mean(found, axis=0), 0.0) if found and said else np.zeros(len(parts))


def beginnings(name: str) -> tuple[str, ...]:
    """The beginnings of a name that end with a word: "Eiffel", "Eiffel Tower"."""
    return tuple(name[: word.end()] for word in re.finditer(r"\S+", name))


def spots_at(one: NameInSentences, part: str) -> tuple[Spot, ...]:
    """The position of a beginning of the name in each sentence, which has the whole name."""
    return tuple(replace(spot, subject=part) for spot in one.contexts)
