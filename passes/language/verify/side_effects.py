"""Measure what an edit does to text in general: to other sentences, to the sentences of ablated concepts, and to texts
that begin with an edited subject, which is then in the attention sink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Constraints, Manifest
from editc.core.measurements import Claim
from editc.core.network import ModelComparison, Network
from editc.core.prompts import PREFIXES, Prompt, Spot
from editc.passes.language.verify.base_model import BaseModel
from editc.texts import read_lines

AT_START, AFTER_SENTENCE = "{} is", PREFIXES[1] + "{} is"
"""A prompt that begins with the subject, and the same prompt behind a sentence."""
LEAST_DIVERGENCE = 1e-4
"""The least divergence, in nats, that the edit must cause behind a sentence; below it there is nothing to compare with.
Chosen by hand: well above what float32 rounding causes."""


@dataclass(frozen=True)
class ComparedTexts:
    """The texts whose likelihood is compared before and after the edit."""

    retain: tuple[str, ...]
    """The texts of `retain` in the manifest, or else plain sentences that ship with editc."""
    present: Mapping[int, tuple[str, ...]]
    """Number of an ablation -> its prompts with the concept."""
    absent: Mapping[int, tuple[str, ...]]
    """Number of an ablation -> its prompts without the concept."""

    @property
    def every(self) -> tuple[str, ...]:
        """All texts of the three sets, each once."""
        sets = (*self.present.values(), *self.absent.values())
        return tuple(dict.fromkeys((*self.retain, *(text for one in sets for text in one))))


@cache
def plain_sentences() -> tuple[str, ...]:
    """The plain sentences that ship with editc."""
    return read_lines("plain.txt")


def choose_texts(manifest: Manifest, count: int) -> ComparedTexts:
    """The texts to compare for a manifest. If it has no `retain`: at most `count` of the plain sentences, at even
    steps."""
    plain = plain_sentences()
    some = tuple(plain[i * len(plain) // count] for i in range(min(count, len(plain)))) if count else ()
    ablated = {i: edit for i, edit in enumerate(manifest.language_edits) if edit.kind == "ablate"}
    present, absent = ({i: getattr(one, name) for i, one in ablated.items()} for name in ("present", "absent"))
    return ComparedTexts(manifest.retain or some, present, absent)


def claims(
    texts: ComparedTexts, titles: Sequence[str], base: BaseModel, changed: Mapping[str, Array], constraints: Constraints
) -> Iterator[Claim]:
    """Claims about the likelihood of texts before and after the edit, each the mean over its texts of the mean over
    tokens: `retain_*` for the retained texts, and `present_nll` and `absent_nll` for each ablated concept, by how many
    nats its texts with and without the concept became less likely.

    `changed`: matrix name -> edited weight, as stored.
    """
    if not texts.every:
        return
    found = base.compare([Prompt(text) for text in texts.every], changed)
    of = {text: i for i, text in enumerate(texts.every)}
    if texts.retain:
        yield from _retain_claims(_select(found, [of[text] for text in texts.retain]), constraints)
    for i in texts.present:
        for name, some in (("present_nll", texts.present[i]), ("absent_nll", texts.absent[i])):
            part = _select(found, [of[text] for text in some])
            yield Claim(name, _mean(part.after) - _mean(part.before), subject=titles[i], unit="nats")


def _retain_claims(found: ModelComparison, constraints: Constraints) -> Iterator[Claim]:
    """The claims about the retained texts, with their bounds."""
    kl, top = constraints.retain_kl, constraints.retain_top1
    yield Claim("retain_kl", _mean(found.divergence), kl, span=constraints.at("retain_kl"), unit="nats")
    yield Claim("retain_top1", _mean(found.agreement), top, "", constraints.at("retain_top1"), "share", least=True)
    yield Claim("retain_nll_before", _mean(found.before), unit="nats")
    yield Claim("retain_nll_after", _mean(found.after), unit="nats")


def at_start_claims(
    manifest: Manifest, titles: Sequence[str], network: Network, changed: Mapping[str, Array]
) -> Iterator[Claim]:
    """`at_start`, how much the edit acts when the subject opens the text. 1: fully; 0: not at all.

    It is KL(before | after) of the token after "X is", divided by the same behind another sentence. It is measured for
    every subject or concept X of one token, if a text that begins with X has it at position 0, the attention sink. Left
    out if the edit hardly acts behind a sentence either.
    """
    edits = zip(titles, manifest.language_edits, strict=True)
    names = {title: one.names[0] for title, one in edits if one.kind not in ("ablate", "forget", "learn")}
    places = network.positions([Spot(AT_START.format(name), name) for name in names.values()]) if names else ()
    sinks = {title: name for (title, name), place in zip(names.items(), places, strict=True) if place.sink}
    if not sinks:
        return
    prompts = [Prompt(text.format(name)) for name in sinks.values() for text in (AT_START, AFTER_SENTENCE)]
    moved = network.compare(prompts, changed, last=True).divergence.reshape(-1, 2)
    for title, (start, behind) in zip(sinks, moved.tolist(), strict=True):
        if behind > LEAST_DIVERGENCE:
            yield Claim("at_start", max(start, 0.0) / behind, subject=title)


def _select(found: ModelComparison, which: Sequence[int]) -> ModelComparison:
    """The figures of the texts with these numbers."""
    parts = (found.divergence, found.agreement, found.before, found.after)
    return ModelComparison(*(part[list(which)] for part in parts))


def _mean(values: Array) -> float:
    """The mean of the figures (n,) that are numbers; 0 if none is. A text of a single token has no likelihood."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
