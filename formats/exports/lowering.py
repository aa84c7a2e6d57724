"""Convert a delta to another form for one base: a low-rank pair per site, or a dense matrix per site.

The result is a delta of its own, with hashes of its own results, because its factors are rounded to float32 again.
`extra.from` names the delta that it was made from. It keeps that delta's claims. If its factors were rounded further,
or it is for other weights, it keeps only the claims about the solve, because the measured ones would be untrue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array, Delta, Factors, SiteRecord
from editc.core.diagnostics import fail
from editc.core.site_bytes import edit_bytes, site_record, stored_shape
from editc.core.text import count
from editc.formats.apply.plan import plan_apply
from editc.formats.apply.target import ApplyPlan, TargetTensor
from editc.formats.exports.format import Job
from editc.formats.exports.suits import SUITS
from editc.formats.models.model import Model
from editc.formats.models.model_names import respell
from editc.numerics.bits import dtypes
from editc.numerics.bits.arithmetic import product
from editc.registry.families import FAMILIES

SOLVER_CLAIMS = ("condition", "solve_residual", "discarded", "rank")
"""Claims about the solve. Rounding and other base weights do not make them untrue."""

Factor: TypeAlias = NDArray[np.float32]
FactorPair: TypeAlias = tuple[Factor, Factor]


@dataclass(frozen=True)
class LoweredDelta:
    """A delta in a form that the spelling has."""

    delta: Delta
    """The converted delta. Its `delta_id` is empty: it is computed on writing."""
    rounding: float = 0.0
    """The largest relative error of one site's change, caused by rounding its factors."""


def to_low_rank(job: Job) -> LoweredDelta:
    """Give each site of the delta one left (d_out, r) and one right (r, d_in), with values that the job's dtype can
    hold.

    A shared edit needs the base W, because its left is W U. Raises E675 (the model holds the edit already), E676 (the
    base is needed), E677 (a dense edit has no low rank), E678 (too large for the dtype), and what `plan_apply` raises.
    """
    delta, dtype = job.delta, job.dtype
    dense = [name for name, factors in delta.factors.items() if factors.form not in ("shared", "low-rank")]
    if dense:
        form = delta.factors[dense[0]].form
        message = f"group '{dense[0]}' of this delta is {form}, which no low-rank adapter can hold"
        raise fail("E677", message, help=advise_without_adapter(delta.family))
    ready = (
        dtype == "F32"
        and not job.allow_finetune
        and all(f.form == "low-rank" and not f.bits for f in delta.factors.values())
    )
    if ready:
        return LoweredDelta(
            _name_origin(delta, delta.sites, {name: _spread_rights(f) for name, f in delta.factors.items()})
        )
    bases = _read_bases(job)
    pairs = {index: _wide_pair(base, target) for index, (base, target) in bases.items()}
    narrow = {index: _round(pair, dtype) for index, pair in pairs.items()}
    factors = {name: _group(f.sites, narrow) for name, f in delta.factors.items()}
    error = max(_relative_loss(pairs[index], narrow[index]) for index in pairs)
    lowered = _name_origin(delta, _records(delta, bases, factors), factors)
    return LoweredDelta(lowered if dtype == "F32" and not _has_other_weights(bases) else _drop_claims(lowered), error)


def to_dense(job: Job) -> LoweredDelta:
    """Give each site of the delta one matrix (d_out, d_in). Base + matrix, rounded once to the base's dtype, equals the
    delta's result.

    Raises E675, E676 and what `plan_apply` raises.
    """
    delta = job.delta
    if not job.allow_finetune and all(f.form == "dense" and not f.bits for f in delta.factors.values()):
        return LoweredDelta(_name_origin(delta, delta.sites, delta.factors))
    bases = _read_bases(job)
    changes = {index: _dense_change(base, target) for index, (base, target) in bases.items()}
    factors = {
        name: Factors("dense", f.sites, tuple(changes[index] for index in f.sites), ())
        for name, f in delta.factors.items()
    }
    lowered = _name_origin(delta, _records(delta, bases, factors), factors)
    return LoweredDelta(_drop_claims(lowered) if _has_other_weights(bases) else lowered)


def advise_without_adapter(family: str) -> str:
    """Say what to do with an edit of this family that no low-rank adapter can hold."""
    if SUITS["diff"](family):
        return "export it as a `checkpoint`, or use the delta itself: `editc apply`"
    return "export it as `diff` or as a `checkpoint`, which can hold any change"


def pairs(delta: Delta) -> Iterator[tuple[SiteRecord, Factor, Factor]]:
    """Yield each site of a low-rank delta with its left (d_out, r) and right (r, d_in)."""
    for factors in delta.factors.values():
        for k, index in enumerate(factors.sites):
            yield delta.sites[index], factors.left[k], factors.right[k if len(factors.right) > 1 else 0]


def pad_ranks(delta: Delta, size: Callable[[int], int]) -> Delta:
    """Pad the pairs of a low-rank delta with zeros from rank r to rank `size(r)`. Results stay the same to the bit."""

    def add_zeros(part: Factor, axis: int) -> Factor:
        more = [(0, 0), (0, 0)]
        more[axis] = (0, size(part.shape[axis]) - part.shape[axis])
        return np.pad(part, more)

    factors = {
        name: replace(f, left=tuple(add_zeros(p, 1) for p in f.left), right=tuple(add_zeros(p, 0) for p in f.right))
        for name, f in delta.factors.items()
    }
    return replace(delta, factors=factors, delta_id="")


def check_components(delta: Delta, components: Sequence[str], form: str) -> None:
    """Raise E683 if a site is in a component for which the format has no names. `components`: those that have names; ()
    means any, but only one at a time."""
    found = sorted({record.site.component for record in delta.sites})
    lost = [name for name in found if name not in components] if components else found[1:]
    if lost:
        named = f"the {', '.join(components)}" if components else "one component"
        message = f"this delta edits the {' and the '.join(found)}, and a {form} file can only hold {named}"
        raise fail("E683", message, help="export it as a `checkpoint`, or build a delta for each component")


def convolution_shapes(delta: Delta, model: Model | None) -> dict[str, list[int]]:
    """Site -> (channels, h, w) of the sites that are convolutions. An adapter keeps these dimensions; a delta does not.

    Raises E676 if there is no model and a site may be a convolution, because it has none of the family's roles.
    """
    if model is None:
        known = FAMILIES.models_of(delta.family) == "image"
        roles = FAMILIES.resolve(delta.family).patterns if known else {}
        strangers = [record.site.name for record in delta.sites if record.site.role not in roles]
        if strangers:
            message = f"without the model it is not known whether '{strangers[0]}' is a convolution"
            raise fail("E676", message, help="name the model with --model; it is only read")
        return {}
    names = [record.site.name for record in delta.sites]
    edited = dict.fromkeys(record.site.component for record in delta.sites)
    parts = {component: respell(model.component(component), names) for component in edited}
    shapes = {r.site.name: parts[r.site.component].shape(r.site.name) for r in delta.sites}
    return {name: [*shape[1:]] for name, shape in shapes.items() if len(shape) == 4}


def power_of_two(rank: int) -> int:
    """The smallest power of two that is at least `rank`."""
    return 1 << max(0, rank - 1).bit_length()


def plan_on_base(delta: Delta, model: Model | None, allow_finetune: bool) -> ApplyPlan:
    """Plan the apply on `model`, which must hold the delta's base. Raises E675 (edited already), E676 (no model) and
    what `plan_apply` raises."""
    if model is None:
        help_ = "name the model with --model; it is only read"
        raise fail("E676", "this export needs the weights that the delta was built for", help=help_)
    plan = plan_apply([delta], model, allow_finetune)
    _check_holds_base(plan)
    return plan


def _read_bases(job: Job) -> Mapping[int, tuple[Array, TargetTensor]]:
    """Number of a site -> its base (d_out, d_in) in float64, and its target in the model."""
    plan = plan_on_base(job.delta, job.model, job.allow_finetune)
    index = {(r.site.component, r.site.name): i for i, r in enumerate(job.delta.sites)}
    return {index[t.record.site.component, t.record.site.name]: (_read_base(t), t) for t in plan.targets}


def _read_base(target: TargetTensor) -> Array:
    """Read one base (d_out, d_in) in float64."""
    site = target.record.site
    tensor = target.tensor
    raw = tensor.from_file(tensor.read_stored())
    stored = dtypes.decode(raw, tensor.dtype, stored_shape(site))
    return np.asarray(stored.T if site.transposed else stored)


def _check_holds_base(plan: ApplyPlan) -> None:
    """Raise E675 if a tensor holds its result already."""
    edited = [target.record.site.name for target in plan.targets if target.state == "already"]
    if edited:
        message = f"the model holds the edit already in {count(len(edited), 'tensor')}, the first is '{edited[0]}'"
        raise fail("E675", message, place=plan.model.place, help="name the model as it was before the edit")


def _wide_pair(base: Array, target: TargetTensor) -> tuple[Array, Array]:
    """One site's left (d_out, r) and right (r, d_in) in float64. `base`: (d_out, d_in)."""
    factors, k = target.factors, target.k
    right = factors.right[k if len(factors.right) > 1 else 0].astype(np.float64)
    if factors.form == "shared":
        return product(base, factors.left[0]), right
    return factors.left[k].astype(np.float64), right


def _round(pair: tuple[Array, Array], dtype: str) -> FactorPair:
    """Round a pair to `dtype`, and return it as float32. Raises E678 if a value is too large."""
    left, right = (dtypes.round_to(part, dtype).astype(np.float32) for part in pair)
    if not all(np.isfinite(part).all() for part in (left, right)):
        raise fail("E678", f"a factor is too large for {dtype}", help="export it with `--dtype fp32` or `--dtype bf16`")
    return left, right


def _relative_loss(pair: tuple[Array, Array], narrow: FactorPair) -> float:
    """|L R - l r| / |L R| (Frobenius norms) for the pair L, R and its rounded l, r; 0 if the change is 0."""
    whole = pair[0] @ pair[1]
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(whole - narrow[0].astype(np.float64) @ narrow[1])) / size if size else 0.0


def _dense_change(base: Array, target: TargetTensor) -> Factor:
    """Find the float32 matrix D (d_out, d_in) for which W + D, rounded to the dtype of W, is the delta's result.

    D begins as the difference and is then moved by one float32 step, at most twice, wherever the sum rounds to another
    number.
    """
    dtype, site = target.tensor.dtype, target.record.site
    raw = dtypes.encode(base.T if site.transposed else base, dtype)
    after = edit_bytes(raw, dtype, site, target.factors, target.k, exact=target.state == "exact")
    stored = dtypes.decode(after, dtype, stored_shape(site))
    wanted = stored.T if site.transposed else stored
    change = (wanted - base).astype(np.float32)
    for _ in range(2):
        off = wanted - dtypes.round_to(base + change, dtype)
        toward = np.where(off > 0, np.float32(np.inf), np.float32(-np.inf))
        change = np.where(off != 0, np.nextafter(change, toward), change)
    return np.asarray(change)


def _group(sites: tuple[int, ...], pairs: Mapping[int, FactorPair]) -> Factors:
    """Make a low-rank group of the sites from their pairs."""
    lefts, rights = tuple(pairs[i][0] for i in sites), tuple(pairs[i][1] for i in sites)
    return Factors("low-rank", sites, lefts, rights)


def _spread_rights(factors: Factors) -> Factors:
    """Repeat the shared right factor, so that each site has one."""
    return replace(factors, right=factors.right if len(factors.right) > 1 else factors.right * len(factors.sites))


def _records(
    delta: Delta, bases: Mapping[int, tuple[Array, TargetTensor]], factors: Mapping[str, Factors]
) -> Iterator[SiteRecord]:
    """Make the sites' records anew, with the hashes of the new factors' results."""
    places = {index: (part, k) for part in factors.values() for k, index in enumerate(part.sites)}
    for index, record in enumerate(delta.sites):
        base, target = bases[index]
        site = replace(record.site, dtype=target.tensor.dtype)
        yield site_record(site, base.T if site.transposed else base, *places[index])


def _has_other_weights(bases: Mapping[int, tuple[Array, TargetTensor]]) -> bool:
    """True if a target is a fine-tune, whose weights are not those that the delta was measured on."""
    return any(target.state == "relative" for _, target in bases.values())


def _drop_claims(delta: Delta) -> Delta:
    """Keep only the claims about the solve."""
    return replace(delta, claims=tuple(claim for claim in delta.claims if claim["name"] in SOLVER_CLAIMS))


def _name_origin(delta: Delta, sites: Any, factors: Mapping[str, Factors]) -> Delta:
    """Put the new sites and factors into the delta, and record in `extra.from` the first delta that it was made
    from."""
    extra = {"from": delta.delta_id, **delta.extra}
    return replace(delta, sites=tuple(sites), factors=factors, extra=extra, delta_id="")
