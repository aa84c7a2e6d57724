"""Derive: from concepts to the rows that are edited, the rows they are sent to, and the rows that must not move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from editc.diagnostics import Diagnostic, EditcError
from editc.ir import Array, Block, Kept, Plan, Problem, Site, System
from editc.passes import corpus, mine
from editc.passes.columns import columns, needed
from editc.passes.methods import Miner, Retaining
from editc.passes.phrases import Book, UnspokenError
from editc.passes.solve import chosen
from editc.ports import Cache, Context, Encoder, Weights
from editc.request import KeyRule, Manifest, Request

ALIGNED_RIDGE = 0.01
"""lambda for aligned keys, in mean squares of a kept row's entries: their weights and moment are means over rows.

A tenth of it moves the matrices two to three times as far, along directions that no kept prompt uses, and erases
hardly more (docs/erasure.md)."""
ALIGNED_WEIGHT = 3.0
"""Of what is kept against what is edited, both being means over rows. At 1 an object erased from the demo model takes
some of its neighbours with it, at 3 it does not and is gone all the same (docs/erasure.md)."""
PUBLISHED_RIDGE: Mapping[KeyRule, float] = {"last": 0.5, "span": 0.5, "matched": 1.0, "eot": 1e-4}
"""lambda of the rules whose keys count one each: UCE's own; MACE and TRCE have 0 where a corpus is kept, and so little
leaves the same edit, with a G that is regular when few prompts are kept."""
PUBLISHED_WEIGHT: Mapping[KeyRule, float] = {"last": 1.0, "span": 1.0, "eot": 0.01}
"""Of what is kept, in the sums that the rules take (for `eot` means over prompts)."""
MINING_CONTEXTS = 6
"""So many contexts are enough to find other names in: on the demo model they rank as in all of them."""
MATCHED_SHARE = 2.0
"""How often the prompts kept count against the prompts edited, for sums as MACE takes them: its weight of 1e-4 makes
some 600,000 captions of COCO count as 62, against 30 prompts of a concept."""


@dataclass(frozen=True)
class Derive:
    """Plan -> Problem. `prompts` is the corpus to keep where the manifest names nothing to preserve."""

    prompts: Sequence[str] = ()
    name: ClassVar[str] = "derive"

    def __call__(self, plan: Plan, ctx: Context) -> Problem:
        """Raises E301 (a name has no tokens), E302 (too long for the encoder), E303 (text width differs), E310 (no row
        is left), E320 (nothing to mine from)."""
        if ctx.encoder is None:
            raise ValueError("derive needs ctx.encoder")
        plan = self._mined(plan, ctx.encoder)
        blocks = tuple(_block(plan, request, ctx.encoder) for request in plan.manifest.edits)
        kept, square = self._kept(plan, ctx.encoder, ctx.cache)
        if isinstance(chosen(plan)[1], Retaining):
            kept = _retained(plan.manifest, kept, ctx.encoder, plan.family.neutral)
        rule = plan.manifest.keys
        ridge = ALIGNED_RIDGE * square if rule == "aligned" else PUBLISHED_RIDGE[rule]
        _check_width(plan, blocks[0].keys.shape[0])
        system = System(blocks, kept, SiteWeights(ctx.weights, plan.sites), ridge)
        return Problem(plan, {"text": system}, ctx.encoder.fingerprint(), f"{len(kept.origin)} prompts")

    def _mined(self, plan: Plan, encoder: Encoder) -> Plan:
        """`plan` with the other names that its method asks for in every edit's `also`, so that they are edited, left
        out of what is kept, painted and recorded as if the manifest had given them."""
        _, method = chosen(plan)
        if not isinstance(method, Miner) or not method.neighbours:
            return plan
        if not mine.candidates(self.prompts):
            raise EditcError(_nothing_to_mine(plan))
        contexts = (plan.manifest.contexts or plan.family.contexts)[:MINING_CONTEXTS]
        most, alike = method.neighbours, method.alike
        return replace(plan, manifest=mine.with_neighbours(plan.manifest, encoder, self.prompts, contexts, most, alike))

    def _kept(self, plan: Plan, encoder: Encoder, cache: Cache | None) -> tuple[Kept, float]:
        """What is kept, and the mean square of its rows' entries."""
        manifest, rule = plan.manifest, plan.manifest.keys
        listed = corpus.prompts(manifest, manifest.contexts or plan.family.contexts, self.prompts)
        (empty,) = encoder.encode([plan.family.neutral])
        nothing = corpus.tally_of([empty])
        found = corpus.tally(listed, encoder, cache) if listed else nothing
        if rule == "aligned":
            weight, moment = ALIGNED_WEIGHT, (found.total + nothing.total) / (found.count + nothing.count)
        else:
            weight = PUBLISHED_WEIGHT.get(rule) or MATCHED_SHARE * _edited_prompts(plan) / found.prompts
            moment = _published_moment(manifest, found, nothing, encoder, cache)
        moment *= manifest.preserve.weight or weight
        return Kept(moment, found.rows, empty.rows.T, listed, found.count), found.square


def _edited_prompts(plan: Plan) -> int:
    return sum(len(request.names) * len(_contexts(plan, request)) for request in plan.manifest.edits)


def _contexts(plan: Plan, request: Request) -> tuple[str, ...]:
    return request.contexts or plan.manifest.contexts or plan.family.contexts


def _published_moment(
    manifest: Manifest, found: corpus.Tally, nothing: corpus.Tally, encoder: Encoder, cache: Cache | None
) -> Array:
    """MACE sums over all rows of the corpus, TRCE takes its mean over prompts; UCE keeps what is named, bare: all its
    rows and the empty prompt's (span), or its last subject tokens' (last)."""
    if manifest.keys in ("matched", "eot"):
        return found.total / (found.prompts if manifest.keys == "eot" else 1)
    bare, which = _bare(manifest)
    base = nothing.total if manifest.keys == "span" else np.zeros_like(nothing.total)
    return base + corpus.tally(bare, encoder, cache, which).total if bare else base


def _bare(manifest: Manifest) -> tuple[list[str], corpus.Which]:
    """What the published rules keep: names and prompts as they stand, and which of their rows."""
    bare = [*manifest.preserve.concepts, *manifest.preserve.prompts, *manifest.kept]
    return bare, "last" if manifest.keys == "last" else "all"


def _retained(manifest: Manifest, kept: Kept, encoder: Encoder, neutral: str) -> Kept:
    """`kept` with the rows that its moment sums, one by one; none where a rule keeps what is named and nothing is."""
    rule = manifest.keys
    listed, which = _bare(manifest) if rule in ("last", "span") else (list(kept.origin), "all")
    listed += [neutral] if rule in ("aligned", "span") else []
    if not listed:
        return replace(kept, keys=np.zeros((len(kept.moment), 0)), weights=np.zeros(0))
    keys = corpus.single_rows(listed, encoder, which)
    share = manifest.preserve.weight or (ALIGNED_WEIGHT if rule == "aligned" else PUBLISHED_WEIGHT[rule])
    over = {"aligned": keys.shape[1], "eot": len(listed)}.get(rule, 1)
    return replace(kept, keys=keys, weights=np.full(keys.shape[1], share / over))


@dataclass(frozen=True)
class SiteWeights(Sequence[Array]):
    """Each site's W (d_out, d_in) in float64, read when asked for and not kept."""

    source: Weights
    sites: Sequence[Site]

    def __len__(self) -> int:
        return len(self.sites)

    def __getitem__(self, index: int) -> Array:  # type: ignore[override]
        return self.source.read(self.sites[index].name)


def _block(plan: Plan, request: Request, encoder: Encoder) -> Block:
    contexts, rule = _contexts(plan, request), plan.manifest.keys
    book = Book.of(encoder, needed(request, rule, contexts, plan.family))
    try:
        found = columns(request, rule, contexts, plan.family, book)
    except UnspokenError as error:
        raise EditcError(_unspoken(error, request, plan)) from error
    weights = np.concatenate([column.weights for column in found])
    if not len(weights):
        raise EditcError(_nothing_left(request, plan))
    share = request.scale / {"aligned": weights.sum(), "eot": len(found)}.get(rule, 1)
    return Block(
        request,
        np.hstack([column.keys for column in found]),
        np.hstack([column.targets for column in found]),
        share * weights,
        tuple(label for column in found for label in column.labels),
        1.0 if request.strength == "auto" else float(request.strength),
        tuple(place for column in found for place in column.places),
    )


def _unspoken(error: UnspokenError, request: Request, plan: Plan) -> Diagnostic:
    prompt, limit = error.encoded.prompt, len(error.encoded.tokens)
    if error.cut:
        message = f"`{error.name}` is cut off: `{prompt}` is longer than the {limit} tokens that the encoder reads"
        help_ = "shorten the name, or the context that it stands in"
    else:
        message = f"the tokenizer makes no token of `{error.name}`"
        help_ = "name the concept in words that the model's vocabulary can spell"
    return Diagnostic("E302" if error.cut else "E301", message, request.at(), plan.manifest.source, help=help_)


def _nothing_left(request: Request, plan: Plan) -> Diagnostic:
    message = f"no row is left to edit for `{request.concept}`: its prompts have no padding, and only that has a weight"
    help_ = "give another anchor a weight, such as `token_weights: {eot: 1}`, or shorten the contexts"
    return Diagnostic("E310", message, request.at("token_weights"), plan.manifest.source, help=help_)


def _nothing_to_mine(plan: Plan) -> Diagnostic:
    first = plan.manifest.edits[0]
    help_ = (
        "give the other names yourself in `also` and set `neighbours: 0`, or put prompts into the model's prompts.txt"
    )
    message = "the corpus has no words to mine neighbours from"
    return Diagnostic("E320", message, first.at("neighbours"), plan.manifest.source, help=help_)


def _check_width(plan: Plan, width: int) -> None:
    for site in plan.sites:
        if site.shape[1] != width:
            message = f"the text encoder's rows have {width} numbers, `{site.name}` takes {site.shape[1]}"
            help_ = "the model's text encoder and its UNet do not belong together"
            span = plan.manifest.at("model")
            raise EditcError(Diagnostic("E303", message, span, plan.manifest.source, place=site.name, help=help_))
