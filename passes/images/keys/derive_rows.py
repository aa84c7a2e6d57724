"""Find the rows that are edited (keys), the rows whose outputs they take (targets), and the preserved rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from editc.core.delta import Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Request
from editc.core.plan import Plan
from editc.core.ports import Cache, Context, Encoder
from editc.core.problem import Block, Problem, System
from editc.passes.images.keys import leaks, mined_names
from editc.passes.images.keys.preserved import PreservedBuilder
from editc.passes.images.keys.rule_of import rule_of
from editc.passes.images.keys.rules.rule import KeyRule
from editc.passes.images.keys.witnesses import make_certificate_input
from editc.passes.images.method import method_of
from editc.passes.images.rows import encoding, preserved_rows
from editc.passes.images.rows.inputs import TextStream, text_streams
from editc.passes.images.rows.phrases import MissingTokensError
from editc.passes.methods import MinesNames, NeedsPreservedRows
from editc.passes.stored import SiteWeights

_NO_PULLS = np.zeros((0, 0, 0))
"""`Block.pulls` of an edit that moderates nothing."""
MINING_CONTEXTS = 6
"""Contexts in which other names are looked for. On the demo model, names rank in six contexts as they do in all."""


@dataclass(frozen=True)
class DeriveRows:
    """Plan -> Problem for the sites that read the text: keys, targets, weights and preserved rows of each group."""

    prompts: Sequence[str] = ()
    """The default list of preserved prompts: the model's own, or the everyday prompts that come with editc."""

    def __call__(self, plan: Plan, ctx: Context) -> Problem:
        """Return the problem to solve.

        Raises E301 (a name has no tokens), E302 (a prompt is too long for the encoder), E303 (the encoder's rows do not
        fit the sites), E310 (no row has a weight), E320 (no words to mine names from) and E330 (the pipeline lacks an
        encoder).
        """
        if ctx.encoder is None:
            raise ValueError("derive needs ctx.encoder")
        plan, rule = self._add_mined_names(plan, ctx.encoder), rule_of(plan)
        edited = {site.group for site in plan.sites}
        systems = {group: self._system(plan, rule, ctx, group) for group in plan.family.groups if group in edited}
        preserved = next(iter(systems.values())).preserved
        found = tuple(
            leaks.measure_leaks(
                plan, ctx, lambda request, streams: _make_block(plan, rule, request, streams, ctx.cache)
            )
        )
        return Problem(plan, systems, ctx.encoder.fingerprint(), f"{len(preserved.prompts)} prompts", found)

    def _system(self, plan: Plan, rule: KeyRule, ctx: Context, group: str) -> System:
        """Make the system of one group of sites."""
        sites = plan.sites_of(group)
        streams = text_streams(plan.family, group, ctx, sites[0].shape[1])
        if not streams:
            raise EditcError(_no_encoder(plan, group, sites[0]))
        blocks = tuple(_make_block(plan, rule, request, streams, ctx.cache) for request in plan.manifest.image_edits)
        prompts = preserved_rows.preserved_prompts(plan.manifest, plan.contexts(), self.prompts)
        preserved, mean_square = PreservedBuilder(plan, rule, streams, prompts, ctx.cache, ctx.progress).build(
            isinstance(method_of(plan), NeedsPreservedRows)
        )
        _check_width(plan, sites, blocks[0].keys.shape[0])
        certificate_input = make_certificate_input(plan, preserved, streams, ctx.cache)
        return System(
            blocks,
            preserved,
            SiteWeights(ctx.weights, sites),
            rule.ridge(mean_square),
            certificate_input=certificate_input,
        )

    def _add_mined_names(self, plan: Plan, encoder: Encoder) -> Plan:
        """Add the other names of each concept that the method wants to the `also` of its edit.

        They are then treated as if the manifest had given them. Returns `plan` itself where the method wants none.
        """
        method = method_of(plan)
        if not isinstance(method, MinesNames) or not method.neighbours:
            return plan
        if not mined_names.candidates(self.prompts):
            raise EditcError(_nothing_to_mine(plan))
        contexts = plan.contexts()[:MINING_CONTEXTS]
        most, alike = method.neighbours, method.alike
        return replace(
            plan, manifest=mined_names.add_mined_names(plan.manifest, encoder, self.prompts, contexts, most, alike)
        )


def _make_block(
    plan: Plan, rule: KeyRule, request: Request, streams: Sequence[TextStream], cache: Cache | None
) -> Block:
    """Return the keys, targets and weights of one request, over all streams of a group.

    Raises E301, E302 and E310 as `Derive` does.
    """
    asked = request, plan.contexts(request), plan.family.neutral
    names = rule.prompts(*asked)
    lookups = [encoding.encode_names(one, names, cache) for one in streams]
    try:
        found = [one for lookup in lookups for one in rule.pairs(*asked, lookup)]
    except MissingTokensError as error:
        raise EditcError(diagnose_missing_tokens(error, request, plan)) from error
    weights = np.concatenate([column.weights for column in found])
    if not len(weights):
        raise EditcError(_nothing_left(request, plan))
    share = request.scale / rule.edit_divisor(weights, len(found))
    return Block(
        request,
        np.hstack([column.keys for column in found]),
        np.hstack([column.targets for column in found]),
        share * weights,
        tuple(label for column in found for label in column.labels),
        1.0 if request.strength == "auto" else float(request.strength),
        tuple(kind for column in found for kind in column.row_kinds),
        np.concatenate([column.pulls for column in found], axis=2) if request.kind == "moderate" else _NO_PULLS,
    )


def diagnose_missing_tokens(error: MissingTokensError, request: Request, plan: Plan) -> Diagnostic:
    """Make E301 for a name without tokens, or E302 for one that the encoder cuts off."""
    prompt, limit = error.encoded.prompt, error.encoded.token_limit
    if error.cut:
        message = f"`{error.name}` is cut off: `{prompt}` is longer than the {limit} tokens that the encoder reads"
        help_ = "shorten the name, or the context that it stands in"
    else:
        message = f"the tokenizer makes no token of `{error.name}`"
        help_ = "name the concept in words that the model's vocabulary can spell"
    return Diagnostic("E302" if error.cut else "E301", message, request.at(), plan.manifest.source, help=help_)


def _nothing_left(request: Request, plan: Plan) -> Diagnostic:
    """Make the E310 of a request none of whose rows has a weight."""
    message = f"no row is left to edit for `{request.concept}`: its prompts have no padding, and only that has a weight"
    help_ = "give another anchor a weight, such as `token_weights: {eot: 1}`, or shorten the contexts"
    return Diagnostic("E310", message, request.at("token_weights"), plan.manifest.source, help=help_)


def _nothing_to_mine(plan: Plan) -> Diagnostic:
    """Make the E320 of a corpus without words."""
    first = plan.manifest.image_edits[0]
    help_ = (
        "give the other names yourself in `also` and set `neighbours: 0`, or put prompts into the model's prompts.txt"
    )
    message = "the corpus has no words to mine neighbours from"
    return Diagnostic("E320", message, first.at("neighbours"), plan.manifest.source, help=help_)


def _check_width(plan: Plan, sites: Sequence[Site], width: int) -> None:
    """Raise E303 where a site takes other rows than those of `width` numbers."""
    for site in sites:
        if site.shape[1] != width:
            message = f"the text encoder's rows have {width} numbers, `{site.name}` takes {site.shape[1]}"
            help_ = "the model's text encoder and its UNet do not belong together"
            span = plan.manifest.at("model")
            raise EditcError(Diagnostic("E303", message, span, plan.manifest.source, place=site.name, help=help_))


def _no_encoder(plan: Plan, group: str, site: Site) -> Diagnostic:
    """Make the E330 of a group whose streams the pipeline lacks; `site` is one of its sites."""
    sought = " or ".join(part for name in plan.family.groups[group].streams for part in plan.family.streams[name].parts)
    span = plan.manifest.sites.at("roles") or plan.manifest.at("model")
    message = f"`{site.name}` reads {plan.family.groups[group].sees}, and the pipeline has no `{sought}`"
    help_ = "name a whole pipeline, or leave this role out of `sites.roles`"
    return Diagnostic("E330", message, span, plan.manifest.source, place=site.name, help=help_)
