"""Evidence for `sites: auto`: which sites carry the edited concepts, and the fewest of them that carry enough.

A site is ablated by letting it read, in place of the concept's rows, the rows of the same sentence with the target
(`keys.aligned` pairs them). What that does is measured on the noise that the model predicts along its own denoising of
the concept's prompts, for these are the latents at which an edited model will be asked. With eps(S) the prediction
while the sites S are ablated, a site alone counts |eps(s) - eps()|^2 / |eps(all) - eps()|^2, and a set reaches
1 - |eps(S) - eps(all)|^2 / |eps(all) - eps()|^2: 0 for no site, 1 for all, and no credit for a change that goes
elsewhere. Effects are not additive (keys and values of one layer multiply), so a set is always measured jointly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Request
from editc.core.plan import Plan, Ranking, SiteShare
from editc.core.ports import Conditioning, Context, Encoder, NoisyLatents, Prober
from editc.passes.images.keys.derive import diagnose_missing_tokens
from editc.passes.images.keys.rules.aligned import ALIGNED, aligned_rows
from editc.passes.images.keys.rules.pairs import target_names, target_shares
from editc.passes.images.rows.phrases import EncodedPrompts, MissingTokensError

PROMPTS = 4
"""Prompts of a concept, each with noise of its own; docs/measurements/sites.md says how much the choice varies."""
STEPS, EVERY = 8, 2
"""Steps of the denoising, and which of its latents are asked about: those before every second step. Each noise level
counts alike, whatever the size of eps there."""
DECIMALS = 4
"""Decimals of every figure: float64 agrees to more of them on all machines, so the choice does too."""
STREAMS = ("text", "pooled")
"""The streams that a network is told: rows and, where the family has it, an embedding of the whole prompt."""
NO_CHANGE = 1e-16
"""|eps(all) - eps()|^2 / |eps()|^2 at which the text makes no difference."""

MeasureReach = Callable[[Sequence[str]], tuple[float, ...]]


@dataclass(frozen=True)
class Probe:
    """One concept on its way from noise, ready to be asked what the model predicts while some sites are ablated."""

    prober: Prober
    """The denoiser."""
    noisy: NoisyLatents
    """Latents of all levels after one another."""
    levels: int
    """How many noise levels they are."""
    inputs: Conditioning
    """What the network is told at each."""
    ablated_inputs: Conditioning
    """What its ablated sites read in place of that."""
    plain: Array
    """(n, c, h, w): the noise predicted without an ablation."""
    ablated: Array
    """(n, c, h, w): with all sites ablated."""

    def effect_alone(self, sites: Sequence[str]) -> float:
        """|eps(S) - eps()|^2 / |eps(all) - eps()|^2, a mean over noise levels."""
        return self._mean(sites, self.plain)

    def reach(self, sites: Sequence[str]) -> float:
        """1 - |eps(S) - eps(all)|^2 / |eps(all) - eps()|^2, likewise."""
        return round(1 - self._mean(sites, self.ablated), DECIMALS)

    def _mean(self, sites: Sequence[str], other: Array) -> float:
        found = self.prober.predict(self.noisy, self.inputs, self.ablated_inputs, sites)
        off, span = (self._squares(one) for one in (found - other, self.ablated - self.plain))
        return round(float(np.mean(off[span > 0] / span[span > 0])), DECIMALS)

    def _squares(self, eps: Array) -> Array:
        """The sum of squares (levels,) at each noise level."""
        return np.asarray(np.square(eps).reshape(self.levels, -1).sum(axis=1))


@dataclass(frozen=True)
class Evidence:
    """What was measured of the sites."""

    alone: Mapping[str, tuple[float, ...]]
    """Site -> what it does alone, one figure a concept."""
    reach: MeasureReach
    """Measures how far a set of sites reaches, for each concept."""


def choose_sites(plan: Plan, ctx: Context) -> Plan:
    """`plan` with the fewest of its sites that reach the manifest's share of every concept, and the ranking of all.

    Raises E231 (a concept makes no difference), E232 (predictions that are not finite), E301 and E302.
    """
    share = plan.manifest.sites.auto
    assert share is not None
    found = gather_evidence(plan, ctx)
    without = drop_spare_sites(grow_set(found.alone, share, found.reach), share, found.reach)
    ranking = _rank(plan, found, without)
    chosen = tuple(site for site in plan.sites if site.name in without)
    return replace(plan, sites=chosen, evidence=_explain(ranking), ranking=ranking)


def gather_evidence(plan: Plan, ctx: Context) -> Evidence:
    """Every site of `plan` ablated alone for each request, and a `reach` that measures a set once."""
    assert ctx.prober is not None
    prober, names = ctx.prober(), tuple(site.name for site in plan.sites)
    encoders = [one for one in map(ctx.stream, STREAMS) if one is not None]
    probes = [_probe(plan, request, prober, encoders) for request in plan.manifest.image_edits]
    counted: Iterable[object] = ctx.progress("locate", names) if ctx.progress else names
    alone = {str(name): tuple(probe.effect_alone((str(name),)) for probe in probes) for name in counted}

    @cache
    def jointly(sites: frozenset[str]) -> tuple[float, ...]:
        return tuple(probe.reach([name for name in names if name in sites]) for probe in probes)

    def reach(sites: Sequence[str]) -> tuple[float, ...]:
        return jointly(frozenset(sites)) if sites else (0.0,) * len(probes)

    return Evidence(alone, reach)


def grow_set(alone: Mapping[str, tuple[float, ...]], share: float, reach: MeasureReach) -> list[str]:
    """Sites until `reach` of them is at least `share` for every concept: each time the one that alone does most to the
    concept that is furthest behind (of equals the first)."""
    kept: list[str] = []
    left, reached = list(alone), reach(())
    while left and min(reached) < share:
        behind = reached.index(min(reached))
        kept.append(max(left, key=lambda name: alone[name][behind]))
        left.remove(kept[-1])
        reached = reach(kept)
    return kept


def drop_spare_sites(kept: Sequence[str], share: float, reach: MeasureReach) -> Mapping[str, float]:
    """The sites of `kept` that cannot be spared, each with what the others reach without it (of the worst concept)."""
    needed = list(kept)
    while True:
        without = {name: min(reach([other for other in needed if other != name])) for name in needed}
        if len(needed) == 1 or max(without.values()) < share:
            return without
        needed.remove(max(without, key=lambda name: without[name]))


def _probe(plan: Plan, request: Request, prober: Prober, encoders: Sequence[Encoder]) -> Probe:
    inputs, ablated_inputs, empty = (
        Conditioning.of(*parts)
        for parts in zip(*(_rows_of_stream(plan, request, one) for one in encoders), strict=True)
    )
    count = len(inputs.counts)
    seeds = range(plan.manifest.seed, plan.manifest.seed + count)
    path = prober.denoise(inputs, empty, seeds, STEPS)[::EVERY]
    noisy = NoisyLatents(
        *(np.concatenate(side) for side in zip(*((one.latents, one.timesteps) for one in path), strict=True))
    )
    inputs, ablated_inputs = (side.take([*range(count)] * len(path)) for side in (inputs, ablated_inputs))
    plain = prober.predict(noisy, inputs)
    ablated = prober.predict(noisy, inputs, ablated_inputs, [site.name for site in plan.sites])
    _check_change(plan, request, plain, ablated)
    return Probe(prober, noisy, len(path), inputs, ablated_inputs, plain, ablated)


def _rows_of_stream(plan: Plan, request: Request, encoder: Encoder) -> tuple[list[Array], list[Array], list[Array]]:
    """Of one stream the rows of each prompt, those that an ablated site reads, and those of the neutral prompt."""
    contexts, neutral = plan.contexts(request), plan.family.neutral
    lookup = EncodedPrompts.encode(encoder, [*chain(*ALIGNED.prompts(request, contexts, neutral)), neutral])
    others = target_names(request, neutral)
    try:
        pairs = [
            _row_pair(request, others, context, name, lookup) for context, name in _pick_sentences(request, contexts)
        ]
    except MissingTokensError as error:
        raise EditcError(diagnose_missing_tokens(error, request, plan)) from error
    return [rows for rows, _ in pairs], [ablated_inputs for _, ablated_inputs in pairs], [lookup.entries[neutral].rows]


def _pick_sentences(request: Request, contexts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Contexts evenly from the whole list, with every name at least once."""
    count = max(PROMPTS, len(request.names))
    for number in range(count):
        yield contexts[number * len(contexts) // count], request.names[number % len(request.names)]


def _row_pair(
    request: Request, others: Sequence[str], context: str, name: str, lookup: EncodedPrompts
) -> tuple[Array, Array]:
    """A prompt's rows (t, d), and those that an ablated site reads: the target's, or for `moderate` the mixture.

    A row that has no counterpart, at the end of a longer prompt, reads the last row of the target's.
    """
    encoded, at = lookup.find(context, name)
    ablated_inputs = encoded.rows.copy()
    for share, target in zip(target_shares(request), others, strict=True):
        other, phrase = lookup.find(context, target)
        rows, counterparts = aligned_rows(len(encoded.rows), at, phrase, len(other.rows))
        read = np.repeat(other.rows[-1:], len(encoded.rows), axis=0)
        read[rows] = other.rows[counterparts]
        ablated_inputs += share * (read - encoded.rows)
    return encoded.rows, ablated_inputs


def _check_change(plan: Plan, request: Request, plain: Array, ablated: Array) -> None:
    with np.errstate(all="ignore"):
        whole, change = float(np.sum(plain**2)), float(np.sum((ablated - plain) ** 2))
    if not np.isfinite(whole + change):
        message = f"the model predicts noise that is not finite for prompts of `{request.concept}`"
        help_ = "the checkpoint is damaged: fetch it again"
    elif change <= NO_CHANGE * whole:
        message = f"no site carries `{request.concept}`: with its target in its place the model predicts the same"
        help_ = "see that `to` is another concept and that `include` and `roles` leave sites which read the text"
    else:
        return
    code = "E231" if np.isfinite(whole + change) else "E232"
    raise EditcError(Diagnostic(code, message, request.at("concept"), plan.manifest.source, help=help_))


def _rank(plan: Plan, found: Evidence, without: Mapping[str, float]) -> Ranking:
    """Kept sites first, then by what each does alone, a mean over concepts."""
    alone = found.alone
    weighed = [
        SiteShare(site, float(np.mean(alone[site.name])), alone[site.name], without.get(site.name))
        for site in plan.sites
    ]
    order = sorted(weighed, key=lambda one: (not one.kept, -one.alone))
    concepts = tuple(request.concept for request in plan.manifest.image_edits)
    return Ranking(float(plan.manifest.sites.auto or 0), concepts, found.reach(list(without)), tuple(order))


def _explain(ranking: Ranking) -> Mapping[str, str]:
    """Why each site was kept or left out, in the order of the ranking."""
    kept = sum(one.kept for one in ranking.sites)
    found = {}
    for rank, one in enumerate(ranking.sites, 1):
        text = f"{rank:>2} of {len(ranking.sites)}  alone {one.alone:6.2%}"
        if one.without is None:
            found[one.site.name] = f"left out  {text}"
        else:
            found[one.site.name] = (
                f"kept      {text}; {kept} kept reach {min(ranking.reached):.2%}, without it {one.without:.2%}"
            )
    return found
