"""What an edit does to text that nobody asks about: other sentences, the sentences of ablated concepts, and texts that
begin with an edited subject, where it stands in the attention sink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Constraints, Manifest
from editc.core.measurements import Claim
from editc.core.network import PREFIXES, ModelComparison, Network, Prompt, Spot
from editc.passes.language.verify.base_model import BaseModel
from editc.texts import read_lines

AT_START, BEHIND = "{} is", PREFIXES[1] + "{} is"
LEAST = 1e-4
"""Nats: where a prompt's next token moved by less, there is nothing to compare with."""


@dataclass(frozen=True)
class Texts:
    """The texts whose likelihood is compared before and after the edit."""

    retain: tuple[str, ...]
    """The texts of `retain`, or plain sentences that come with editc."""
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
def sentences() -> tuple[str, ...]:
    """The plain sentences that ship with editc."""
    return read_lines("plain.txt")


def texts(manifest: Manifest, count: int) -> Texts:
    """What the manifest retains; where it names nothing, `count` of the plain sentences at even steps."""
    plain = sentences()
    some = tuple(plain[i * len(plain) // count] for i in range(min(count, len(plain)))) if count else ()
    ablated = {i: edit for i, edit in enumerate(manifest.language_edits) if edit.kind == "ablate"}
    present, absent = ({i: getattr(one, name) for i, one in ablated.items()} for name in ("present", "absent"))
    return Texts(manifest.retain or some, present, absent)


def claims(
    texts: Texts, titles: Sequence[str], before: BaseModel, changed: Mapping[str, Array], asked: Constraints
) -> Iterator[Claim]:
    """Of the retained texts the means over texts, each the mean over its tokens; of an ablated concept by how much its
    sentences, and those without it, became less likely."""
    if not texts.every:
        return
    found = before.compare([Prompt(text) for text in texts.every], changed)
    of = {text: i for i, text in enumerate(texts.every)}
    if texts.retain:
        yield from _retain_claims(_some(found, [of[text] for text in texts.retain]), asked)
    for i in texts.present:
        for name, some in (("present_nll", texts.present[i]), ("absent_nll", texts.absent[i])):
            part = _some(found, [of[text] for text in some])
            yield Claim(name, _mean(part.after) - _mean(part.before), subject=titles[i], unit="nats")


def _retain_claims(found: ModelComparison, asked: Constraints) -> Iterator[Claim]:
    kl, top = asked.retain_kl, asked.retain_top1
    yield Claim("retain_kl", _mean(found.divergence), kl, span=asked.at("retain_kl"), unit="nats")
    yield Claim("retain_top1", _mean(found.agreement), top, "", asked.at("retain_top1"), "share", least=True)
    yield Claim("retain_nll_before", _mean(found.before), unit="nats")
    yield Claim("retain_nll_after", _mean(found.after), unit="nats")


def at_start(
    manifest: Manifest, titles: Sequence[str], network: Network, changed: Mapping[str, Array]
) -> Iterator[Claim]:
    """Of every subject or concept X of one token, where a text that begins with X has it at position 0: the KL of what
    follows "X is" there, as a share of the same behind another sentence. 1 is the whole edit, 0 none."""
    names = {titles[i]: edit.names[0] for i, edit in enumerate(manifest.language_edits) if edit.kind != "ablate"}
    places = network.places([Spot(AT_START.format(name), name) for name in names.values()]) if names else ()
    sinks = {title: name for (title, name), place in zip(names.items(), places, strict=True) if place.sink}
    if not sinks:
        return
    prompts = [Prompt(text.format(name)) for name in sinks.values() for text in (AT_START, BEHIND)]
    moved = network.compare(prompts, changed, last=True).divergence.reshape(-1, 2)
    for title, (start, behind) in zip(sinks, moved.tolist(), strict=True):
        if behind > LEAST:
            yield Claim("at_start", max(start, 0.0) / behind, subject=title)


def _some(found: ModelComparison, which: Sequence[int]) -> ModelComparison:
    parts = (found.divergence, found.agreement, found.before, found.after)
    return ModelComparison(*(part[list(which)] for part in parts))


def _mean(values: Array) -> float:
    """Over the texts that have a figure: one of a single token has no likelihood. A divergence is not below 0."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
