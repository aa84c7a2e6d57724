"""Measure at which depth a language model holds what is edited, and choose the layers to edit.

There are three kinds of evidence, which are kept apart. Edits that write to a memory (`fact`, `redirect`, `erase`) have
all three: causal tracing, the logit lens, and a linear probe of every layer. `ablate` has the probe alone. A fact is
traced by its prompt and paraphrases with its present answer; a concept by its relations or, if it has none, by OPENINGS
with the model's own continuation. At most MOST_TRACED prompts are traced and as many edits are probed, at even steps of
all. A prompt that begins with its subject is put behind a sentence if the tokenizer puts no token before it: position 0
is an attention sink, and noise there destroys every answer.
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
from editc.core.language_edits import Ablation, Fact, LanguageEdit, PromptAnswer, Redirect
from editc.core.manifest import Manifest
from editc.core.measurements import Depth
from editc.core.network import Network, Noise, TracedFacts
from editc.core.ports import Progress
from editc.core.prompts import PREFIXES, KnownFact, Prompt, Spot
from editc.passes.language import sentences
from editc.passes.language.locate.probing import layer_accuracies, prompts_for_probe
from editc.passes.language.locate.window import LEAST_COST, WindowKind, explain_window, window

T = TypeVar("T")

OPENINGS = (
    PromptAnswer("{} is known for"),
    PromptAnswer("When people hear of {}, they think of"),
    PromptAnswer("The most important thing about {} is"),
)
"""Prompts about a concept that has no relations. Chosen by hand."""
MOST_TRACED = 12
"""The most prompts that are traced, and the most edits that are probed. Chosen by hand: each costs several runs."""
DIGITS = 3
"""The decimals of every figure. Float32 rounding and the number of threads change only later ones."""


def measure_depth(
    manifest: Manifest,
    edits: Sequence[LanguageEdit],
    network: Network,
    count: int = 5,
    progress: Progress | None = None,
) -> Depth:
    """Measure the depth of the edits of one stage and choose its window: `count` layers for a memory.

    Raises E242 if no prompt can be traced, E243 if no probe can be tested or none recognises a concept.
    """
    kind: WindowKind = "direction" if isinstance(edits[0], Ablation) else "memory"
    found = Depth() if kind == "direction" else _trace(manifest, edits, network, progress)
    found = replace(found, probed=_probe(edits, network, progress))
    try:
        chosen = replace(found, window=window(found, count, kind))
    except LookupError as error:
        raise EditcError(_no_window(manifest, edits, kind, str(error), network.layers)) from error
    return replace(chosen, why=explain_window(chosen, kind))


def _trace(manifest: Manifest, edits: Sequence[LanguageEdit], network: Network, progress: Progress | None) -> Depth:
    """Causal tracing and logit lens, as means over the prompts (medians of the lens's ranks). An empty Depth if no
    prompt can be traced."""
    noise = Noise(seed=manifest.seed)
    traced: list[tuple[KnownFact, TracedFacts]] = []
    for one in _with_progress(progress, tuple(prompts_to_trace(edits, network))):
        with suppress(LookupError):
            traced.append((one, network.trace([one], noise)))
    if not traced:
        return Depth()
    clean, noised = (np.concatenate(one) for one in zip(*((t.clean, t.noised) for _, t in traced), strict=True))
    lost = float(np.mean(clean - noised))
    back = (np.concatenate([getattr(t, side) for _, t in traced]) for side in ("subject", "last"))
    subject, last = (np.mean(one - noised[:, None], axis=0) / max(lost, LEAST_COST) for one in back)
    ranks = network.lens(range(network.layers), [one.cloze for one, _ in traced])
    lens = [float(np.median(ranks[layer])) for layer in range(network.layers)]
    return Depth(traced=_round(subject), moved=_round(last), total=round(lost, DIGITS), lens=tuple(lens))


def _probe(edits: Sequence[LanguageEdit], network: Network, progress: Progress | None) -> tuple[float, ...]:
    """The accuracy of a linear probe at each layer, the mean over the edits with enough prompts; () if none has."""
    every = [prompts_for_probe(edits, index) for index in evenly(range(len(edits)), MOST_TRACED)]
    layers, found = range(network.layers), []
    for one in _with_progress(progress, tuple(one for one in every if one.testable)):
        streams = network.states(layers, [Spot(text) for text in one.prompts])
        found.append(layer_accuracies([streams[layer] for layer in layers], one))
    return _round(np.mean(found, axis=0)) if found else ()


def prompts_to_trace(edits: Sequence[LanguageEdit], network: Network) -> Iterator[KnownFact]:
    """The prompts to trace, at most MOST_TRACED, each with its answer: the first prompt of every edit, then the second
    of every edit that has one, and so on. Missing answers are the model's own next token; without one a prompt is left
    out."""
    rounds = zip_longest(*(list(_known_prompts(edit)) for edit in evenly(edits, MOST_TRACED)))
    every = [one for some in rounds for one in some if one is not None][:MOST_TRACED]
    places = network.positions([one.spot for one in every])
    off = [_put_behind(PREFIXES[2], one) if place.first == 0 else one for one, place in zip(every, places, strict=True)]
    unanswered = [Prompt(one.prompt) for one in off if not one.answer]
    answers = iter(network.generate(unanswered, 1) if unanswered else ())
    answered = (one if one.answer else replace(one, answer=next(answers)) for one in off)
    yield from (one for one in answered if one.answer.strip())


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, at even steps."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _known_prompts(edit: LanguageEdit) -> Iterator[KnownFact]:
    """The prompts of an edit that can be traced, with an empty answer where the model must be asked for it. None of an
    ablation."""
    if isinstance(edit, Fact):
        yield _prompt_about(edit.template, edit.subject, edit.was)
        prompts = (text for text in edit.paraphrases if edit.subject in text)
        yield from (KnownFact(prompt, edit.subject, edit.was or "") for prompt in prompts)
    elif isinstance(edit, Redirect):
        for relation in edit.relations or OPENINGS:
            yield _prompt_about(relation.prompt, edit.concept, relation.answer)


def _prompt_about(template: str, subject: str, answer: str | None) -> KnownFact:
    """The prompt with the subject in place of `{}`."""
    spot = sentences.spot(template, subject)
    return KnownFact(spot.prompt, subject, answer or "", before=spot.before)


def _put_behind(prefix: str, one: KnownFact) -> KnownFact:
    """The same prompt with a sentence before it."""
    before = None if one.before is None else prefix + one.before
    return replace(one, prompt=prefix + one.prompt, before=before)


def _with_progress(progress: Progress | None, items: Sequence[T]) -> Iterator[T]:
    """The items, shown as progress of `locate`."""
    shown = items if progress is None or not items else progress("locate", items)
    yield from (item for item, _ in zip(items, shown, strict=True))


def _round(values: Array) -> tuple[float, ...]:
    """The figures (layers,), rounded to DIGITS decimals."""
    return tuple(round(float(value), DIGITS) for value in values)


def _no_window(
    manifest: Manifest, edits: Sequence[LanguageEdit], kind: WindowKind, reason: str, layers: int
) -> Diagnostic:
    """E242 for a memory, E243 for a direction: why no layers were chosen, and what to write instead."""
    sites, names = manifest.sites, ", ".join(f"`{edit.names[0]}`" for edit in edits[:3])
    span = sites.at("auto") or sites.at("layers") or edits[0].at()
    more = " and others" if len(edits) > 3 else ""
    message = f"no layers can be chosen for {names}{more}: {reason}"
    if kind == "memory":
        usual = f"{layers // 8}-{layers // 3}"
        help_ = f"name them, `sites: {{layers: {usual}}}`, or give prompts that have the subject in them"
        return Diagnostic("E242", message, span, manifest.source, help=help_)
    usual = f"{layers // 4}-{layers - 1}"
    help_ = f"name them, `sites: {{layers: {usual}}}`, or give more prompts under `present` and `absent`"
    return Diagnostic("E243", message, span, manifest.source, help=help_)
