"""Suggest: propose names, targets and preserved concepts for a manifest, without painting pictures.

For each edit: other names of the concept, what the concept is made of, targets tried by solving the edit with each of
them, and the concepts that the edit moves most. Only the text encoder and the solver run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest, Request
from editc.core.plan import Plan
from editc.core.ports import Context, EncodedPrompt, Encoder
from editc.core.text import mentions
from editc.numerics.ball import Ball
from editc.numerics.sparse import Decomposition, decompose
from editc.passes.images.keys import mined_names
from editc.passes.images.keys.mined_names import Neighbour
from editc.passes.images.keys.name_signals import SAME_THING, Signals
from editc.passes.images.suggest.target_trials import AT_RISK, NameMovement, TargetTrial, TargetTrials
from editc.passes.stored import SiteWeights

CONTEXTS = 4
"""Contexts of an edit in which names are compared, evenly picked. More contexts change no score by more than 0.02."""
MOST_MINED = 40
"""Nearest names that are looked at for each concept. Chosen by hand."""
CORPUS_WORDS = 160
"""Names of the corpus that make the mean of signals and the candidates for ingredients. Chosen by hand."""
FEWEST_NAMES = 12
"""Fewer names than these have no useful mean (E340). Chosen by hand."""
LEAST_SCORE, LEAST_GAP, CLEAR_GAP = 0.85, 0.05, 0.1
"""Other names score at least LEAST_SCORE and are above the rest by at least LEAST_GAP; from CLEAR_GAP on the gap is
clear. Chosen on the demo model (docs/measurements/suggest.md)."""
TARGETS_TRIED = 6
"""Nearest concepts that are tried as targets, beside the manifest's own and the empty prompt. Chosen by hand."""
LEAST_RELATED = 0.25
"""Names that score less than this are not neighbours of a concept. Chosen by hand."""
MOST_PRESERVED = 8
"""Concepts in a proposed `preserve` list at most. Chosen by hand."""


@dataclass(frozen=True)
class OtherNames:
    """Other names of a concept."""

    sure: tuple[Neighbour, ...]
    """Names to list under `also`."""
    doubtful: tuple[Neighbour, ...]
    """Names that may or may not be other names."""
    gap: float
    """The difference in score at the widest gap: between the last sure name and the next. 0 where no name scores
    enough."""

    @property
    def clear(self) -> bool:
        """True where the gap is at least CLEAR_GAP."""
        return self.gap >= CLEAR_GAP


@dataclass(frozen=True)
class Ingredient:
    """A name whose signal is a part of the concept's signal."""

    name: str
    """The name."""
    amount: float
    """The factor of its signal: 1 is as much as in the name itself."""
    share: float
    """The share of the concept's signal that it explains."""
    rivals: tuple[str, ...]
    """Names with nearly the same signal, which could stand in its place."""


@dataclass(frozen=True)
class Suggestion:
    """What is proposed for one edit."""

    request: Request
    """The edit as the manifest has it."""
    names: OtherNames
    """Other names of its concept."""
    ingredients: tuple[Ingredient, ...]
    """The names that the concept is made of."""
    decomposition: Decomposition
    """The decomposition that the ingredients come from."""
    trials: tuple[TargetTrial, ...]
    """The targets that were tried, best first. For `moderate` only the edit as the manifest has it."""
    preserve: tuple[NameMovement, ...]
    """The concepts that the best trial moves most, one name for each thing."""
    with_preserve: TargetTrial | None
    """The best trial with `preserve` preserved by name as well. None where that does not lower the cost."""

    @property
    def best(self) -> TargetTrial:
        """The trial that is proposed. The target of a `replace` stays."""
        given = (one for one in self.trials if one.to == self.request.to)
        return next(given, self.trials[0]) if self.request.kind == "replace" else self.trials[0]

    @property
    def as_written(self) -> TargetTrial:
        """The trial with the manifest's own target; without `to` that of the empty prompt."""
        return next((one for one in self.trials if (one.to or "") == (self.request.to or "")), self.best)

    @property
    def at_risk(self) -> tuple[NameMovement, ...]:
        """The names that the edit as it is written may harm: those that it moves by more than AT_RISK, furthest
        first, without its target."""
        to = self.as_written.to
        return tuple(one for one in self.as_written.moved if one.movement > AT_RISK and one.name != to)[:MOST_PRESERVED]


@dataclass(frozen=True)
class CachingEncoder:
    """An encoder that encodes each prompt once, because the trials of an edit share nearly all prompts."""

    inner: Encoder
    """The encoder that is asked."""
    encoded: dict[str, EncodedPrompt] = field(default_factory=dict)
    """Prompt -> its rows, filled as prompts come."""

    @property
    def alone(self) -> bool:
        """As the inner encoder."""
        return self.inner.alone

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        """Return each prompt's rows, in the order of the prompts."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.encoded]
        self.encoded.update(zip(new, self.inner.encode(new), strict=True))
        return [self.encoded[prompt] for prompt in prompts]

    def fingerprint(self) -> str:
        """Return the fingerprint of the inner encoder."""
        return self.inner.fingerprint()

    def bounds(self) -> tuple[Ball, ...]:
        """Return no balls, because no trial is certified."""
        return ()


def suggest(plan: Plan, ctx: Context, corpus: Sequence[str], dictionary: Sequence[str] = ()) -> tuple[Suggestion, ...]:
    """Return a suggestion for each edit of the plan, each made for the edit alone.

    `corpus` is the default list of preserved prompts. The names to compare come from it and from what the manifest
    preserves, or from `dictionary` if it is given. Raises E340 (too few names), E341 (the method does not make a shared
    edit), and what derive and solve raise.
    """
    if ctx.encoder is None:
        raise ValueError("suggest needs ctx.encoder")
    manifest = plan.manifest
    texts = [*manifest.preserve.prompts, *manifest.preserve_lines, *corpus]
    found = list(dictionary) or [*manifest.preserve.concepts, *mined_names.candidates(texts)]
    if len(found) < FEWEST_NAMES:
        raise EditcError(_too_few(plan, len(found), bool(dictionary)))
    streams = {name: CachingEncoder(encoder) for name, encoder in ({"text": ctx.encoder} | dict(ctx.streams)).items()}
    cached = replace(ctx, encoder=streams["text"], streams=streams, painter=None, detector=None)
    mined = _find_other_names(plan, ctx.encoder, found)
    edited = {name.casefold() for one in manifest.image_edits for name in one.names}
    edited |= {one.name.casefold() for _, names in mined for one in (*names.sure, *names.doubtful)}
    pool = list(dictionary) or [name for name in found if " " not in name]
    gram, suggestions = _gram(plan, ctx), []
    pairs: Iterable[Any] = list(zip(manifest.image_edits, mined, strict=True))
    steps: Iterable[Any] = ctx.progress("suggest", pairs) if ctx.progress else pairs
    for request, (near, names) in steps:
        compared = _pick_compared(plan, near, edited, pool)
        signals = Signals.of(ctx.encoder, _names_to_encode(plan, request, compared, pool), _contexts(plan, request))
        apart = _one_name_each(signals, compared)
        target_trials = TargetTrials(plan, _with_other_names(request, names), cached, corpus, signals, apart, gram)
        suggestions.append(_suggest_for_edit(target_trials, request, names, edited))
    return tuple(suggestions)


def refuse_fused(manifest: Manifest) -> None:
    """Raise E341 for a manifest of adapters: an adapter's target was fixed when it was trained."""
    for request in manifest.image_edits:
        if request.kind == "fuse":
            message = "`fuse` adds an adapter whose target was fixed in training: there is nothing to suggest"
            help_ = "run suggest on a manifest that erases or replaces; the names it finds can be preserved here too"
            raise EditcError(Diagnostic("E341", message, request.at(), manifest.source, help=help_))


def _find_other_names(
    plan: Plan, encoder: Encoder, found: Sequence[str]
) -> list[tuple[tuple[Neighbour, ...], OtherNames]]:
    """Return each edit's neighbours and its other names.

    Other names exclude those that the manifest uses already, and those of an earlier edit.
    """
    manifest, mined = plan.manifest, []
    taken = {name.casefold() for one in manifest.image_edits for name in (*one.names, one.to or "", *dict(one.toward))}
    taken |= {name.casefold() for name in manifest.preserve.concepts}
    for request in manifest.image_edits:
        near = mined_names.neighbours(encoder, request.concept, found, _contexts(plan, request), MOST_MINED)
        names = other_names([one for one in near if one.name.casefold() not in taken and not request.attribute])
        taken |= {one.name.casefold() for one in names.sure}
        mined.append((near, names))
    return mined


def _contexts(plan: Plan, request: Request) -> list[str]:
    """Return the contexts in which names are compared with those of a request."""
    return sample_evenly(plan.contexts(request))


def _gram(plan: Plan, ctx: Context) -> Array:
    """Return sum_l W_l^T W_l (d, d) over the sites, which all trials share."""
    return np.asarray(np.sum([W.T @ W for W in SiteWeights(ctx.weights, plan.sites)], axis=0))


def _pick_compared(plan: Plan, near: Sequence[Neighbour], edited: set[str], pool: Sequence[str]) -> list[str]:
    """Return the names whose movement counts: those preserved by name, then the neighbours, nearest first."""
    known = {*pool, *plan.manifest.preserve.concepts}
    names = [one.name for one in near if one.score >= LEAST_RELATED and one.name in known]
    return [n for n in dict.fromkeys([*plan.manifest.preserve.concepts, *names]) if n.casefold() not in edited]


def _names_to_encode(plan: Plan, request: Request, compared: Sequence[str], pool: Sequence[str]) -> list[str]:
    """Return all names whose signals are needed, with evenly picked names of `pool` for the mean."""
    targets = [request.to] if request.to is not None else []
    return [request.concept, *targets, plan.family.neutral, *compared, *sample_evenly(pool, CORPUS_WORDS)]


def _suggest_for_edit(target_trials: TargetTrials, request: Request, names: OtherNames, edited: set[str]) -> Suggestion:
    """Make the suggestion for one edit. `edited` has all edited names of the manifest, in lower case."""
    near = sorted(target_trials.compared, key=lambda name: (-target_trials.signals.cosine(request.concept, name), name))
    trials = _trials(target_trials, request, near[:TARGETS_TRIED])
    ingredients, decomposition = _ingredients(target_trials.signals, request.concept, edited)
    first = Suggestion(request, names, ingredients, decomposition, trials, (), None)
    moved = tuple(one for one in first.best.moved if one.name != first.best.to)[:MOST_PRESERVED]
    return replace(first, preserve=moved, with_preserve=_try_preserving(target_trials, first.best, moved))


def other_names(near: Sequence[Neighbour]) -> OtherNames:
    """Split neighbours, sorted by score, into sure other names and doubtful ones.

    Sure are those above the widest gap, if they score LEAST_SCORE or more and the gap is LEAST_GAP or more. All others
    that score LEAST_SCORE or more are doubtful.
    """
    scores = np.array([*(one.score for one in near), -1.0 if len(near) < 2 else near[-1].score])
    high = int(np.count_nonzero(scores[: len(near)] >= LEAST_SCORE))
    if not high:
        return OtherNames((), (), 0.0)
    gaps = scores[:high] - scores[1 : high + 1]
    last = int(np.argmax(gaps))
    if gaps[last] < LEAST_GAP:
        return OtherNames((), tuple(near[:high]), float(gaps[last]))
    return OtherNames(tuple(near[: last + 1]), tuple(near[last + 1 : high]), float(gaps[last]))


def _with_other_names(request: Request, names: OtherNames) -> Request:
    """Add the sure names to a request's `also`.

    A `moderate` takes none. Its `shares` are dropped, so that its pulls are the numbers of `toward`: nothing is painted
    here that could be counted.
    """
    if request.kind == "moderate":
        return replace(request, shares=None)
    return replace(request, also=(*request.also, *(one.name for one in names.sure)))


def sample_evenly(items: Sequence[str], most: int = CONTEXTS) -> list[str]:
    """Return at most `most` of the items, evenly picked, starting with the first."""
    step = -(-len(items) // most)
    return list(items[::step])


def _one_name_each(signals: Signals, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names without those that name the same thing as an earlier one."""
    cosines, index = signals.cosines(), {name: i for i, name in enumerate(signals.names)}
    chosen: list[str] = []
    for name in dict.fromkeys(names):
        if all(cosines[index[name], index[other]] < SAME_THING for other in chosen):
            chosen.append(name)
    return tuple(chosen)


def _trials(target_trials: TargetTrials, request: Request, near: Sequence[str]) -> tuple[TargetTrial, ...]:
    """Try every target; return the trials, best first (`TargetTrial.rank`)."""
    if request.kind == "moderate" or request.attribute:
        return (target_trials.try_as_is(),)
    given = [] if request.to is None else [request.to]
    neutral = [] if request.kind == "replace" else [target_trials.plan.family.neutral]
    tried = [target_trials.try_target(to) for to in dict.fromkeys([*near, *given, *neutral])]
    return tuple(sorted(tried, key=lambda one: one.rank))


def _try_preserving(
    target_trials: TargetTrials, best: TargetTrial, preserve: Sequence[NameMovement]
) -> TargetTrial | None:
    """Repeat the best trial with the concepts that it moves preserved by name. None if that does not lower the cost."""
    if not preserve or best.to is None:
        return None
    again = target_trials.with_preserved([one.name for one in preserve]).try_target(best.to)
    return again if again.gone and again.cost < best.cost else None


def _ingredients(signals: Signals, concept: str, own: set[str]) -> tuple[tuple[Ingredient, ...], Decomposition]:
    """Decompose the concept's signal into signals of other names, one for each thing. `own` has the concept's names."""
    names = _one_name_each(
        signals, (n for n in signals.names if n and n.casefold() not in own and not mentions(n, concept))
    )
    index, columns, cosines = {n: i for i, n in enumerate(signals.names)}, signals.flat(), signals.cosines()
    names = tuple(name for name in names if cosines[index[name], index[concept]] < SAME_THING)
    decomposition = decompose(columns[:, [index[name] for name in names]], columns[:, index[concept]])
    parts = zip(decomposition.chosen, decomposition.amounts, decomposition.shares, strict=True)
    return tuple(
        Ingredient(names[i], amount, share, _rivals(signals.names, cosines[index[names[i]]], names[i]))
        for i, amount, share in parts
    ), decomposition


def _rivals(names: Sequence[str], cosines: Array, own: str) -> tuple[str, ...]:
    """Return the other names whose signals have a cosine of SAME_THING or more with that of `own`."""
    return tuple(n for n, cosine in zip(names, cosines, strict=True) if cosine >= SAME_THING and n != own)


def _too_few(plan: Plan, count: int, given: bool) -> Diagnostic:
    """Make the E340 of `count` names. `given` is True where they come from a dictionary."""
    where = "the dictionary" if given else "the preserved list"
    return Diagnostic(
        "E340",
        f"{where} holds {count} names; at least {FEWEST_NAMES} are needed to measure what sets one name apart",
        plan.manifest.at("preserve"),
        plan.manifest.source,
        help="give names to compare with: `--dictionary FILE`, one name a line",
    )
