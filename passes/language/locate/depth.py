"""Where a language model has what is edited, by three kinds of evidence that are kept apart, and which layers follow.

For what is written into a memory (`fact`, `redirect`, `erase`): causal tracing, the logit lens, and a linear probe of
every layer. Traced are a fact's prompt and paraphrases with the answer that it has now; of a concept its relations, or
where there are none OPENINGS with what the model itself says. For `ablate` the probe alone. At most MOST prompts are
traced and MOST edits probed, evenly from all. A prompt that begins with its subject is put behind a sentence where the
tokenizer puts nothing before it: position 0 is an attention sink, and noise there costs everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest
from typing import TypeVar

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Ablation, Fact, Manifest, PromptAnswer, Redirect
from editc.core.measurements import Depth
from editc.core.network import PREFIXES, KnownFact, Network, Noise, Prompt, Spot, TracedFacts
from editc.core.ports import Progress
from editc.passes.language import sentences
from editc.passes.language.locate.probing import Edit, accuracies, contrast
from editc.passes.language.locate.window import LEAST_COST, WindowKind, why, window

T = TypeVar("T")

OPENINGS = (
    PromptAnswer("{} is known for"),
    PromptAnswer("When people hear of {}, they think of"),
    PromptAnswer("The most important thing about {} is"),
)
MOST = 12
DIGITS = 3
"""Decimals of every figure: far coarser than what float32 rounding and the number of threads do to it."""


def measure_depth(
    manifest: Manifest, edits: Sequence[Edit], network: Network, count: int = 5, progress: Progress | None = None
) -> Depth:
    """The depth of `edits`, which are solved together, and the window: `count` layers for a memory.

    Raises E242 where nothing can be traced, E243 where no probe can be tested or none tells a concept.
    """
    kind: WindowKind = "direction" if isinstance(edits[0], Ablation) else "memory"
    found = Depth() if kind == "direction" else _trace(manifest, edits, network, progress)
    found = replace(found, probed=_probe(edits, network, progress))
    try:
        chosen = replace(found, window=window(found, count, kind))
    except LookupError as error:
        raise EditcError(_no_window(manifest, edits, kind, str(error), network.layers)) from error
    return replace(chosen, why=why(chosen, kind))


def _trace(manifest: Manifest, edits: Sequence[Edit], network: Network, progress: Progress | None) -> Depth:
    noise = Noise(seed=manifest.seed)
    asked: list[tuple[KnownFact, TracedFacts]] = []
    for one in _with_progress(progress, tuple(prompts_to_trace(edits, network))):
        with suppress(LookupError):
            asked.append((one, network.trace([one], noise)))
    if not asked:
        return Depth()
    clean, noised = (np.concatenate(one) for one in zip(*((t.clean, t.noised) for _, t in asked), strict=True))
    lost = float(np.mean(clean - noised))
    back = (np.concatenate([getattr(t, side) for _, t in asked]) for side in ("subject", "last"))
    subject, last = (np.mean(one - noised[:, None], axis=0) / max(lost, LEAST_COST) for one in back)
    ranks = network.lens(range(network.layers), [one.cloze for one, _ in asked])
    lens = [float(np.median(ranks[layer])) for layer in range(network.layers)]
    return Depth(traced=_figures(subject), moved=_figures(last), total=round(lost, DIGITS), lens=tuple(lens))


def _probe(edits: Sequence[Edit], network: Network, progress: Progress | None) -> tuple[float, ...]:
    """The mean over the edits that have prompts enough; () where none has."""
    asked = [contrast(edits, index) for index in evenly(range(len(edits)), MOST)]
    layers, found = range(network.layers), []
    for one in _with_progress(progress, tuple(one for one in asked if one.testable)):
        streams = network.states(layers, [Spot(text) for text in one.prompts])
        found.append(accuracies([streams[layer] for layer in layers], one))
    return _figures(np.mean(found, axis=0)) if found else ()


def prompts_to_trace(edits: Sequence[Edit], network: Network) -> Iterator[KnownFact]:
    """What is traced: the first prompt of every edit, then the second of every one that has another, and so on."""
    rounds = zip_longest(*(list(_prompts(edit)) for edit in evenly(edits, MOST)))
    asked = [one for some in rounds for one in some if one is not None][:MOST]
    places = network.places([one.spot for one in asked])
    off = [_behind(PREFIXES[2], one) if place.first == 0 else one for one, place in zip(asked, places, strict=True)]
    unanswered = [Prompt(one.prompt) for one in off if not one.answer]
    said = iter(network.generate(unanswered, 1) if unanswered else ())
    answered = (one if one.answer else replace(one, answer=next(said)) for one in off)
    yield from (one for one in answered if one.answer.strip())


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, at even steps."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _prompts(edit: Edit) -> Iterator[KnownFact]:
    """With an empty answer where the model is to be asked."""
    if isinstance(edit, Fact):
        yield _prompt_about(edit.template, edit.subject, edit.was)
        prompts = (text for text in edit.paraphrases if edit.subject in text)
        yield from (KnownFact(prompt, edit.subject, edit.was or "") for prompt in prompts)
    elif isinstance(edit, Redirect):
        for asked in edit.relations or OPENINGS:
            yield _prompt_about(asked.prompt, edit.concept, asked.answer)


def _prompt_about(template: str, subject: str, answer: str | None) -> KnownFact:
    spot = sentences.spot(template, subject)
    return KnownFact(spot.prompt, subject, answer or "", before=spot.before)


def _behind(prefix: str, one: KnownFact) -> KnownFact:
    before = None if one.before is None else prefix + one.before
    return replace(one, prompt=prefix + one.prompt, before=before)


def _with_progress(progress: Progress | None, items: Sequence[T]) -> Iterator[T]:
    shown = items if progress is None or not items else progress("locate", items)
    yield from (item for item, _ in zip(items, shown, strict=True))


def _figures(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), DIGITS) for value in values)


def _no_window(manifest: Manifest, edits: Sequence[Edit], kind: WindowKind, reason: str, layers: int) -> Diagnostic:
    choice, names = manifest.sites, ", ".join(f"`{edit.names[0]}`" for edit in edits[:3])
    span = choice.at("auto") or choice.at("layers") or edits[0].at()
    more = " and others" if len(edits) > 3 else ""
    message = f"no layers can be chosen for {names}{more}: {reason}"
    if kind == "memory":
        usual = f"{layers // 8}-{layers // 3}"
        help_ = f"name them, `sites: {{layers: {usual}}}`, or give prompts that have the subject in them"
        return Diagnostic("E242", message, span, manifest.source, help=help_)
    usual = f"{layers // 4}-{layers - 1}"
    help_ = f"name them, `sites: {{layers: {usual}}}`, or give more prompts under `present` and `absent`"
    return Diagnostic("E243", message, span, manifest.source, help=help_)
