"""Link several deltas for one base into one delta.

Each edit is a change of the same base, W + dW_1 + dW_2. Factors are put side by side, so that the sum is one float64
sum before the one rounding. They are sorted by `delta_id`, so that the order in which files are named changes no byte.
`composed` keeps the given order instead, and applies each shared edit to what the edits before it left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array, Delta, Factors, Form, Site, SiteRecord
from editc.core.diagnostics import fail
from editc.core.site_bytes import site_record
from editc.core.text import count, first_rows
from editc.formats.delta.parts import join_parts, parts
from editc.formats.diff.diff import has_manifest
from editc.formats.link.check import built_on, check_linkable
from editc.formats.models.model import Checkpoint, Model
from editc.numerics.bits import dtypes, terms
from editc.numerics.bits.terms import Term

SitePlace = tuple[str, str]
"""Component and tensor name."""


@dataclass(frozen=True)
class SiteEdit:
    """One delta's edit of one site."""

    order: int
    """The number of the delta, from 0."""
    group: str
    """The delta's group that edits the site."""
    factors: Factors
    """The factors of that group."""
    k: int
    """The site's number in the group, from 0."""
    record: SiteRecord
    """The delta's record of the site."""

    def in_group(self, group: str) -> SiteEdit:
        """The edit, with another name for the group of its site."""
        return replace(self, record=replace(self.record, site=replace(self.record.site, group=group)))

    def term(self) -> Term:
        """The edit of the site's weight, in float64, exactly as it is stored."""
        left, right = self.factors.left, self.factors.right
        mine = left[0 if self.factors.form == "shared" else self.k]
        other = right[self.k if len(right) > 1 else 0].astype(np.float64) if right else None
        return Term(self.factors.form, mine.astype(np.float64), other)


@dataclass(frozen=True)
class Arrangement:
    """Deltas that can be linked, and which of them edit which site."""

    deltas: tuple[Delta, ...]
    """The deltas, in the order in which their edits count."""
    composed: bool
    """True where each edit is applied to the result of those before it; else all are applied to the base, and
    summed."""
    sites: Mapping[SitePlace, tuple[SiteEdit, ...]]
    """(component, name) -> the edits of that site, in the order of the deltas. Sorted by component and name."""

    @property
    def overlap(self) -> Mapping[SitePlace, tuple[SiteEdit, ...]]:
        """The part of `sites` that more than one delta edits."""
        return {place: edits for place, edits in self.sites.items() if len(edits) > 1}

    def site_groups(self) -> tuple[tuple[SitePlace, ...], ...]:
        """The sites, sorted into groups of the linked delta: those that the same groups of the same deltas edit belong
        together."""
        found: dict[tuple[object, ...], list[SitePlace]] = {}
        for place, edits in self.sites.items():
            key = (edits[0].record.site.group, *((edit.order, edit.group) for edit in edits))
            found.setdefault(key, []).append(place)
        return tuple(tuple(places) for places in found.values())


def arrange(deltas: Sequence[Delta], composed: bool = False) -> Arrangement:
    """Check the deltas and find who edits what. Raises E650 (another base), E651 (another kind of model), E654 (the
    order would matter) and E655 (an edit given twice)."""
    ordered = tuple(deltas) if composed else tuple(sorted(deltas, key=lambda delta: delta.delta_id))
    found: dict[SitePlace, list[SiteEdit]] = {}
    for order, delta in enumerate(ordered):
        for group, factors in sorted(delta.factors.items()):
            for k, index in enumerate(factors.sites):
                record = delta.sites[index]
                edit = SiteEdit(order, group, factors, k, record)
                found.setdefault((record.site.component, record.site.name), []).append(edit)
    built = [has_manifest(delta) for delta in ordered]
    sites = {place: _in_one_group(found[place], built) for place in sorted(found)}
    check_linkable(ordered, {p: [(t.order, t.factors.form, t.record) for t in ts] for p, ts in sites.items()}, composed)
    return Arrangement(ordered, composed, sites)


def _in_one_group(edits: Sequence[SiteEdit], built: Sequence[bool]) -> tuple[SiteEdit, ...]:
    """The edits of one site. A delta that a diff made calls the site's group by the form of its edit, which says
    nothing about the site: it takes the group of the first delta that was built, or of the first of all."""
    group = next((edit.record.site.group for edit in edits if built[edit.order]), edits[0].record.site.group)
    return tuple(edit if built[edit.order] else edit.in_group(group) for edit in edits)


def link(arrangement: Arrangement, model: Model | None, tool: str) -> Delta:
    """Link the deltas into one that does what all of them do. Its claims are those that each part made about itself.

    For sites that only one delta edits, the results are as recorded. For the others `model` must be the base. Raises
    E652 without a model and E653 for another model.
    """
    if arrangement.overlap and model is None:
        raise _model_needed_error(arrangement)
    weights = {} if model is None else {part: model.component(part) for part in {part for part, _ in arrangement.sites}}
    check_base(arrangement, weights)
    places = {place: index for index, place in enumerate(arrangement.sites)}
    factors, records = {}, {place: edits[0].record for place, edits in arrangement.sites.items()}
    for name, members in _name_groups(arrangement):
        made = _join_factors(arrangement, members, weights)
        factors[name] = replace(made, sites=tuple(places[place] for place in members))
        for k, place in enumerate(members):
            if place in arrangement.overlap:
                site = records[place].site
                records[place] = site_record(site, weights[site.component].read(site.name), made, k)
    sites = tuple(records[place] for place in arrangement.sites)
    first = arrangement.deltas[0]
    roots = (delta for delta in arrangement.deltas if not built_on(delta, arrangement.deltas))
    encoder = next((delta.encoder for delta in roots if delta.encoder), "")
    fields = join_parts([part for delta in arrangement.deltas for part in parts(delta)], sites, arrangement.composed)
    newest = max(delta.version for delta in arrangement.deltas)
    return Delta(first.family, sites, factors, encoder, tool=tool, version=newest, **fields)


def check_base(arrangement: Arrangement, weights: Mapping[str, Checkpoint]) -> None:
    """Raises E653 unless every site holds, in its own dtype, what its first edit was made for. Does nothing without
    weights."""
    for (part, name), edits in arrangement.sites.items() if weights else ():
        record = edits[0].record
        wanted = record.base.get(record.site.dtype, "")
        dtype, digest = weights[part].dtype(name), dtypes.sha256(weights[part].raw(name))
        if (dtype, digest) != (record.site.dtype, wanted):
            raise fail(
                "E653",
                f"the model is not the base of these deltas: '{name}' holds other weights",
                place=str(weights[part].where(name).file),
                help="give the model that they were built for, without any of them applied",
                notes=[f"base: {record.site.dtype} {wanted}", f"model: {dtype} {digest}"],
            )


def site_weight(site: Site, weights: Mapping[str, Checkpoint]) -> Array:
    """The matrix W (d_out, d_in) of a site in float64."""
    stored = weights[site.component].read(site.name)
    return stored.T if site.transposed else stored.reshape(site.shape)


def _name_groups(arrangement: Arrangement) -> Iterator[tuple[str, tuple[SitePlace, ...]]]:
    """The groups of the linked delta, each with a name: that of its sites' group, with a number where several have the
    same."""
    site_groups = arrangement.site_groups()
    of = [arrangement.sites[members[0]][0].record.site.group for members in site_groups]
    for number, (group, members) in enumerate(zip(of, site_groups, strict=True)):
        yield (group if of.count(group) == 1 else f"{group}.{number:04d}"), members


def _join_factors(arrangement: Arrangement, members: Sequence[SitePlace], weights: Mapping[str, Checkpoint]) -> Factors:
    """The factors of one group of the linked delta. Their site numbers are still to be filled in."""
    edits = [arrangement.sites[place] for place in members]
    forms = {edit.factors.form for edit in edits[0]}
    if forms == {"shared"}:
        return _store_terms("shared", [_sum_edits(arrangement, edits[0], None)], single=True)
    alone = len(edits[0]) == 1
    found = (_sum_edits(arrangement, one, None if alone else site_weight(one[0].record.site, weights)) for one in edits)
    single = all(len(edit.factors.right) == 1 for edit in edits[0])
    return _store_terms("dense" if "dense" in forms else "low-rank", found, single)


def _sum_edits(arrangement: Arrangement, edits: Sequence[SiteEdit], W: Array | None) -> Term:
    """All edits of one site as one term. W (d_out, d_in) may be None for a single edit, and where every edit is
    `shared`."""
    every = [edit.term() for edit in edits]
    return terms.sum_terms(terms.compose(every, W) if arrangement.composed else every, W)


def _store_terms(form: Form, found: Iterable[Term], single: bool) -> Factors:
    """The terms as factors, rounded to the float32 of a delta. Where factors were only put side by side, this changes
    nothing.

    `single`: store the first term's right factor for all.
    """
    left: list[NDArray[np.float32]] = []
    right: list[NDArray[np.float32]] = []
    for one in found:
        left.append(one.left.astype(np.float32))
        if one.right is not None and not (single and right):
            right.append(one.right.astype(np.float32))
    return Factors(form, (), tuple(left), tuple(right))


def _model_needed_error(arrangement: Arrangement) -> Exception:
    """E652: several deltas edit the same tensor, and the base is needed to compute the result."""
    rows = [f"{name}: edited by {len(edits)} deltas" for (_, name), edits in arrangement.overlap.items()]
    return fail(
        "E652",
        f"more than one of these deltas edits {count(len(rows), 'tensor')}, and the result depends on their base",
        help="name the base with --model: the result is computed and hashed from it, and measured again",
        notes=first_rows(rows, 8),
    )
