"""Derive: from concepts to the rows that are edited, the rows they are sent to, and the rows that must not move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from editc.diagnostics import Diagnostic, EditcError
from editc.ir import Array, Block, Kept, Plan, Problem, Site, System
from editc.passes import corpus
from editc.passes.columns import columns, needed
from editc.passes.phrases import Book, UnspokenError, last_subject
from editc.ports import Context, Encoder, Weights
from editc.request import KeyRule, Request

ALIGNED_RIDGE = 0.01
"""lambda for aligned keys, in mean squares of a kept row's entries: their weights and moment are means over rows.

A tenth of it moves the matrices two to three times as far, along directions that no kept prompt uses, and erases
hardly more (docs/erasure.md)."""
ALIGNED_WEIGHT = 3.0
"""Of what is kept against what is edited, both being means over rows. At 1 an object erased from the demo model takes
some of its neighbours with it, at 3 it does not and is gone all the same (docs/erasure.md)."""
PUBLISHED_RIDGE = 0.5
"""UCE's lambda, for keys that count one each."""
DEFAULT_RULE: KeyRule = "aligned"


@dataclass(frozen=True)
class Derive:
    """Plan -> Problem. `prompts` is the corpus to keep where the manifest names nothing to preserve."""

    prompts: Sequence[str] = ()
    name: ClassVar[str] = "derive"

    def __call__(self, plan: Plan, ctx: Context) -> Problem:
        """Raises E301 (a name has no tokens), E302 (too long for the encoder), E303 (text width differs)."""
        if ctx.encoder is None:
            raise ValueError("derive needs ctx.encoder")
        blocks = tuple(_block(plan, request, ctx.encoder) for request in plan.manifest.edits)
        kept = self._kept(plan, ctx.encoder)
        ridge = ALIGNED_RIDGE * float(np.mean(kept.rows**2)) if _rule(plan) == "aligned" else PUBLISHED_RIDGE
        _check_width(plan, blocks[0].keys.shape[0])
        system = System(blocks, kept, SiteWeights(ctx.weights, plan.sites), ridge)
        return Problem(plan, {"text": system}, ctx.encoder.fingerprint(), f"{len(kept.origin)} prompts")

    def _kept(self, plan: Plan, encoder: Encoder) -> Kept:
        manifest = plan.manifest
        contexts = manifest.contexts or plan.family.contexts
        listed = corpus.prompts(manifest, contexts, self.prompts)
        encoded, empty = encoder.encode(listed), encoder.encode([plan.family.neutral])[0]
        aligned = _rule(plan) == "aligned"
        weight = manifest.preserve.weight or (ALIGNED_WEIGHT if aligned else 1.0)
        if aligned:
            return corpus.kept(weight * corpus.mean_moment([*encoded, empty]), encoded, empty)
        bare = encoder.encode([*manifest.preserve.concepts, *manifest.preserve.prompts, *manifest.kept])
        if _rule(plan) == "span":
            rows = [empty.rows, *(e.rows for e in bare)]
        else:
            rows = [np.zeros_like(empty.rows[:1]), *(e.rows[[last_subject(e)]] for e in bare)]
        return corpus.kept(weight * corpus.total_moment(rows), encoded, empty)


@dataclass(frozen=True)
class SiteWeights(Sequence[Array]):
    """Each site's W (d_out, d_in) in float64, read when asked for and not kept."""

    source: Weights
    sites: Sequence[Site]

    def __len__(self) -> int:
        return len(self.sites)

    def __getitem__(self, index: int) -> Array:  # type: ignore[override]
        return self.source.read(self.sites[index].name)


def rule_of(request: Request) -> KeyRule:
    """The request's key rule, or the default."""
    return request.keys or DEFAULT_RULE


def _rule(plan: Plan) -> KeyRule:
    """The rule of all edits: check refuses a manifest that mixes them, for their weights have different scales."""
    return rule_of(plan.manifest.edits[0])


def _block(plan: Plan, request: Request, encoder: Encoder) -> Block:
    contexts = request.contexts or plan.manifest.contexts or plan.family.contexts
    rule = rule_of(request)
    book = Book.of(encoder, needed(request, rule, contexts, plan.family))
    try:
        found = columns(request, rule, contexts, plan.family, book)
    except UnspokenError as error:
        raise EditcError(unspoken(error, request, plan)) from error
    keys = np.hstack([column.keys for column in found])
    share = request.scale / (keys.shape[1] if rule == "aligned" else 1)
    return Block(
        request,
        keys,
        np.hstack([column.targets for column in found]),
        np.full(keys.shape[1], share),
        tuple(label for column in found for label in column.labels),
        1.0 if request.strength == "auto" else float(request.strength),
    )


def unspoken(error: UnspokenError, request: Request, plan: Plan) -> Diagnostic:
    """E301 or E302 for a name that leaves no token in its prompt."""
    prompt, limit = error.encoded.prompt, len(error.encoded.tokens)
    if error.cut:
        message = f"`{error.name}` is cut off: `{prompt}` is longer than the {limit} tokens that the encoder reads"
        help_ = "shorten the name, or the context that it stands in"
    else:
        message = f"the tokenizer makes no token of `{error.name}`"
        help_ = "name the concept in words that the model's vocabulary can spell"
    return Diagnostic("E302" if error.cut else "E301", message, request.at(), plan.manifest.source, help=help_)


def _check_width(plan: Plan, width: int) -> None:
    for site in plan.sites:
        if site.shape[1] != width:
            message = f"the text encoder's rows have {width} numbers, `{site.name}` takes {site.shape[1]}"
            help_ = "the model's text encoder and its UNet do not belong together"
            span = plan.manifest.at("model")
            raise EditcError(Diagnostic("E303", message, span, plan.manifest.source, place=site.name, help=help_))
