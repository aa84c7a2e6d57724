"""Evidence for `sites: auto`: how much each site carries the edited concepts, and the fewest sites that carry enough.

To ablate a site, let it read the rows of the same sentence with the target in place of the rows with the concept (the
key rule `aligned` pairs them). The effect is measured on the noise that the model predicts while it denoises the
concept's own prompts. With eps(S) the prediction while the sites S are ablated:

    effect of a site s alone    |eps(s) - eps()|^2 / |eps(all) - eps()|^2
    reach of a set S            1 - |eps(S) - eps(all)|^2 / |eps(all) - eps()|^2

The reach is 0 for no site and 1 for all; a change in another direction does not add to it. Effects do not add up (keys
and values of one layer multiply), so the reach of a set is always measured jointly.
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
from editc.passes.images.keys.derive_rows import diagnose_missing_tokens
from editc.passes.images.keys.rules.aligned import ALIGNED, aligned_rows
from editc.passes.images.keys.rules.pairs import target_names, target_shares
from editc.passes.images.rows.phrases import MissingTokensError, PromptLookup

PROMPTS = 4
"""Prompts of a concept, each with noise of its own. Chosen by hand; docs/measurements/sites.md says how much the choice
varies."""
STEPS, EVERY = 8, 2
"""Denoising steps, and every which of them is measured: the latents before steps 0, 2, 4 and 6. Each of these noise
levels counts equally, whatever the size of eps there. Chosen by hand."""
DECIMALS = 4
"""Decimals of every figure. float64 gives these digits on all machines, so all choose the same sites."""
STREAMS = ("text", "pooled")
"""The streams that the denoiser reads: rows and, where the family has it, an embedding of the whole prompt."""
NO_CHANGE = 1e-16
"""At this |eps(all) - eps()|^2 / |eps()|^2 or less, the text makes no difference: it is rounding. Chosen by hand."""

MeasureReach = Callable[[Sequence[str]], tuple[float, ...]]
"""Names of sites -> their joint reach for each concept, at most 1."""


@dataclass(frozen=True)
class Probe:
    """One concept's latents and prompts, ready to measure what the model predicts while some sites are ablated."""

    prober: Prober
    """The denoiser."""
    noisy: NoisyLatents
    """Latents of all prompts at the first noise level, then at the next; n in all."""
    levels: int
    """The number of noise levels."""
    inputs: Conditioning
    """The prompts with the concept, for each of the n latents."""
    ablated_inputs: Conditioning
    """What ablated sites read instead, for each of the n latents: the prompts with the target."""
    plain: Array
    """(n, c, h, w): the noise predicted without ablation, eps()."""
    ablated: Array
    """(n, c, h, w): the noise predicted with all sites ablated, eps(all)."""

    def effect_alone(self, sites: Sequence[str]) -> float:
        """Return |eps(S) - eps()|^2 / |eps(all) - eps()|^2, the mean over noise levels."""
        return self._mean(sites, self.plain)

    def reach(self, sites: Sequence[str]) -> float:
        """Return 1 - |eps(S) - eps(all)|^2 / |eps(all) - eps()|^2, from the mean over noise levels."""
        return round(1 - self._mean(sites, self.ablated), DECIMALS)

    def _mean(self, sites: Sequence[str], other: Array) -> float:
        """Return |eps(S) - other|^2 / |eps(all) - eps()|^2, the mean over noise levels where the divisor is not 0."""
        found = self.prober.predict(self.noisy, self.inputs, self.ablated_inputs, sites)
        off, span = (self._squares(one) for one in (found - other, self.ablated - self.plain))
        return round(float(np.mean(off[span > 0] / span[span > 0])), DECIMALS)

    def _squares(self, eps: Array) -> Array:
        """Return the sum of squares of eps (n, c, h, w) at each noise level, (levels,)."""
        return np.asarray(np.square(eps).reshape(self.levels, -1).sum(axis=1))


@dataclass(frozen=True)
class Evidence:
    """What was measured of the candidate sites."""

    alone: Mapping[str, tuple[float, ...]]
    """Name of a site -> its effect alone, for each concept."""
    reach: MeasureReach
    """Measures the joint reach of any set of sites, each set once."""


def choose_sites(plan: Plan, ctx: Context) -> Plan:
    """Reduce the plan to the fewest of its sites that reach the manifest's share of every concept, and add the ranking.

    Raises E231 (a concept makes no difference), E232 (a prediction is not finite), E301 and E302 (tokens of a name are
    missing).
    """
    share = plan.manifest.sites.auto
    assert share is not None
    found = gather_evidence(plan, ctx)
    without = drop_spare_sites(grow_set(found.alone, share, found.reach), share, found.reach)
    ranking = _rank(plan, found, without)
    chosen = tuple(site for site in plan.sites if site.name in without)
    return replace(plan, sites=chosen, evidence=_explain(ranking), ranking=ranking)


def gather_evidence(plan: Plan, ctx: Context) -> Evidence:
    """Ablate every site of `plan` alone, for each request.

    Sets of sites are measured later, when they are asked for.
    """
    assert ctx.prober is not None
    prober, names = ctx.prober(), tuple(site.name for site in plan.sites)
    encoders = [one for one in map(ctx.stream, STREAMS) if one is not None]
    probes = [_probe(plan, request, prober, encoders) for request in plan.manifest.image_edits]
    counted: Iterable[object] = ctx.progress("locate", names) if ctx.progress else names
    alone = {str(name): tuple(probe.effect_alone((str(name),)) for probe in probes) for name in counted}

    @cache
    def jointly(sites: frozenset[str]) -> tuple[float, ...]:
        """Measure a set of sites, in the order of the plan whatever the order in which they were added."""
        return tuple(probe.reach([name for name in names if name in sites]) for probe in probes)

    def reach(sites: Sequence[str]) -> tuple[float, ...]:
        """Return the reach of a set of sites, measured only once; 0 for the empty set."""
        return jointly(frozenset(sites)) if sites else (0.0,) * len(probes)

    return Evidence(alone, reach)


def grow_set(alone: Mapping[str, tuple[float, ...]], share: float, reach: MeasureReach) -> list[str]:
    """Add sites until their reach is at least `share` for every concept; return their names in the order of adding.

    Each time, add the site with the largest effect alone on the concept with the least reach (the first of equals).
    """
    chosen: list[str] = []
    left, reached = list(alone), reach(())
    while left and min(reached) < share:
        behind = reached.index(min(reached))
        chosen.append(max(left, key=lambda name: alone[name][behind]))
        left.remove(chosen[-1])
        reached = reach(chosen)
    return chosen


def drop_spare_sites(chosen: Sequence[str], share: float, reach: MeasureReach) -> Mapping[str, float]:
    """Drop sites as long as the others still reach `share` of every concept.

    Returns the name of each remaining site -> what the others reach without it, for the concept with the least reach.
    """
    needed = list(chosen)
    while True:
        without = {name: min(reach([other for other in needed if other != name])) for name in needed}
        if len(needed) == 1 or max(without.values()) < share:
            return without
        needed.remove(max(without, key=lambda name: without[name]))


def _probe(plan: Plan, request: Request, prober: Prober, encoders: Sequence[Encoder]) -> Probe:
    """Denoise a concept's prompts, and predict the noise without ablation and with all sites ablated."""
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
    """Return one stream's rows of each prompt, the rows that ablated sites read instead, and those of the neutral
    prompt."""
    contexts, neutral = plan.contexts(request), plan.family.neutral
    lookup = PromptLookup.encode(encoder, [*chain(*ALIGNED.prompts(request, contexts, neutral)), neutral])
    others = target_names(request, neutral)
    try:
        pairs = [
            _row_pair(request, others, context, name, lookup) for context, name in _pick_sentences(request, contexts)
        ]
    except MissingTokensError as error:
        raise EditcError(diagnose_missing_tokens(error, request, plan)) from error
    return [rows for rows, _ in pairs], [ablated_inputs for _, ablated_inputs in pairs], [lookup.entries[neutral].rows]


def _pick_sentences(request: Request, contexts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield PROMPTS pairs of context and name: contexts evenly from the list, and every name at least once."""
    count = max(PROMPTS, len(request.names))
    for number in range(count):
        yield contexts[number * len(contexts) // count], request.names[number % len(request.names)]


def _row_pair(
    request: Request, others: Sequence[str], context: str, name: str, lookup: PromptLookup
) -> tuple[Array, Array]:
    """Return a prompt's rows (t, d), and the rows (t, d) that ablated sites read instead.

    These are the counterparts in the prompt with the target; for `moderate`, the mixture of all targets. A row without
    a counterpart, at the end of a longer prompt, reads the last row of the target's prompt.
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
    """Raise E232 where a prediction is not finite, and E231 where ablating all sites changes nothing."""
    with np.errstate(all="ignore"):
        whole, change = float(np.sum(plain**2)), float(np.sum((ablated - plain) ** 2))
    if not np.isfinite(whole + change):
        message = f"the model predicts noise that is not finite for prompts of `{request.concept}`"
        help_ = "the checkpoint is damaged: fetch it again"
    elif change <= NO_CHANGE * whole:
        message = f"no site carries `{request.concept}`: with the target in its place the model predicts the same noise"
        help_ = "check that `to` is another concept, and that `include` and `roles` leave sites that read the text"
    else:
        return
    code = "E231" if np.isfinite(whole + change) else "E232"
    raise EditcError(Diagnostic(code, message, request.at("concept"), plan.manifest.source, help=help_))


def _rank(plan: Plan, found: Evidence, without: Mapping[str, float]) -> Ranking:
    """Rank the sites: chosen ones first, then by the effect of each alone (the mean over concepts)."""
    alone = found.alone
    weighed = [
        SiteShare(site, float(np.mean(alone[site.name])), alone[site.name], without.get(site.name))
        for site in plan.sites
    ]
    order = sorted(weighed, key=lambda one: (not one.chosen, -one.alone))
    concepts = tuple(request.concept for request in plan.manifest.image_edits)
    return Ranking(float(plan.manifest.sites.auto or 0), concepts, found.reach(list(without)), tuple(order))


def _explain(ranking: Ranking) -> Mapping[str, str]:
    """Say why each site was chosen or left out, in the order of the ranking."""
    count = sum(one.chosen for one in ranking.sites)
    found = {}
    for rank, one in enumerate(ranking.sites, 1):
        text = f"{rank:>2} of {len(ranking.sites)}  alone {one.alone:6.2%}"
        if one.reached_without is None:
            found[one.site.name] = f"left out  {text}"
        else:
            found[one.site.name] = (
                f"kept      {text}; {count} kept reach {min(ranking.reached):.2%}, without it {one.reached_without:.2%}"
            )
    return found
