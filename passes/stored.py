"""Edited weights exactly as a file will hold them: factors in float32, the sum in float64, rounded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array, Site
from editc.core.diagnostics import EditcError, fail
from editc.core.ports import StoresBytes, Weights
from editc.core.solution import Edit, Solution
from editc.numerics import drift
from editc.numerics.bits.dtypes import decode, encode, is_finite, sha256, transpose
from editc.numerics.bits.rounded import QuickSums, Rounded, round_with_sums

HELD = 1 << 28
"""Stored bytes of weights that are held in memory at most, so that each of these is read once. Chosen by hand: all that
is edited of SD 1.5 has 38 MB in half precision. SDXL has 682 MB; reading the 430 MB beyond takes 0.1
CPU seconds a time where the system has kept the file in memory (docs/measurements/scale.md)."""


@dataclass(frozen=True)
class SiteWeights(Sequence[Array]):
    """The weights W (d_out, d_in) of some sites in float64.

    Each is read from the model once, and held as it is stored, up to HELD bytes in all; what is beyond is read again
    whenever it is asked for.
    """

    source: Weights
    """The model's weights."""
    sites: Sequence[Site]
    """The sites, in the order of their group."""
    held: dict[int, bytes] = field(default_factory=dict, compare=False, repr=False)
    """Number of a site -> its stored bytes, in the order of (d_out, d_in)."""
    digests: dict[int, str] = field(default_factory=dict, compare=False, repr=False)
    """Number of a site -> the sha256 of these bytes."""

    def __len__(self) -> int:
        return len(self.sites)

    def __getitem__(self, index: int) -> Array:  # type: ignore[override]
        site = self.sites[index]
        return decode(self.stored(index), site.dtype, site.shape)

    def stored(self, index: int) -> bytes:
        """Return the stored bytes of a site, in the order of (d_out, d_in)."""
        raw = self.held.get(index) or read_stored(self.source, self.sites[index])
        if index not in self.held and len(raw) + sum(map(len, self.held.values())) <= HELD:
            self.held[index] = raw
        return raw

    def site_digest(self, index: int) -> str:
        """Return the sha256 of the stored bytes of a site."""
        if index not in self.digests:
            self.digests[index] = sha256(self.stored(index))
        return self.digests[index]

    def digest(self) -> str:
        """Return a hash of all weights, with their dtypes and shapes."""
        about = [[site.dtype, *site.shape, self.site_digest(index)] for index, site in enumerate(self.sites)]
        return sha256(repr(about).encode())


@dataclass(frozen=True, eq=False)
class StoredWeights(Mapping[str, Array]):
    """A mapping from parameter name to edited weight, which computes each weight when it is asked for.

    A weight has the values that the file will hold, in float64, with its axes in the order of the file.
    """

    solution: Solution
    """The solved edits."""
    names: frozenset[str]
    """The names of the parameters in the mapping."""

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise KeyError(name)
        group, index, site = next(place for place in _places(self.solution) if place[2].name == name)
        W = np.asarray(self.solution.problem.systems[group].weights[index])
        after = stored_weight(W, self.solution.edits[group], index, site)
        return after.T if site.transposed else after

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.names))

    def __len__(self) -> int:
        return len(self.names)


def stored_weight(W: Array, edit: Edit, index: int, site: Site) -> Array:
    """Return W' (d_out, d_in): the values that the file will hold for site `index` of the edit, in float64.

    The factors are rounded to the float32 of a delta, the sum is formed in float64, and the result is rounded once to
    the site's dtype: bit for bit what apply writes. `W` (d_out, d_in) has values of that dtype. Raises E503 if a value
    does not fit: float16 ends below 65520.
    """
    return decode_edited(round_site(W, edit, index, site, (site.dtype,)).made[site.dtype].raw, W, site)


@dataclass(frozen=True)
class RoundedSite:
    """One edited site, rounded."""

    made: Mapping[str, Rounded]
    """dtype -> the site in it."""
    sums: QuickSums | None
    """What was summed for the site's own dtype, before rounding. None where it was summed in the fixed order, or nobody
    asked for it."""


def round_site(
    W: Array, edit: Edit, index: int, site: Site, wanted: Sequence[str], stored: bytes = b"", keep: bool = False
) -> RoundedSite:
    """Return site `index` of the edit in each dtype of `wanted`, from the base `W` (d_out, d_in) in that dtype; with
    `keep` the sums too.

    `stored` are the bytes of W in the site's own dtype, where the caller has them. The base has the same values in the
    site's dtype and in float32, unless it is stored in float64; so both are rounded from one sum.
    """
    edit, index = edit.at(index)
    left, right = factor(edit.left, index), factor(edit.right, index)
    same = [one for one in wanted if one == site.dtype or (one == "F32" and site.dtype in ("F16", "BF16"))]
    found: dict[str, Rounded] = {}
    kept: QuickSums | None = None
    for base, outs in [(site.dtype, same), *((one, [one]) for one in wanted if one not in same)]:
        if outs:
            raw = stored if stored and base == site.dtype else encode(_narrow(W, site), base)
            own = keep and base == site.dtype
            made, sums = round_with_sums(raw, base, outs, W.shape[1], edit.form, left, right, own)
            found |= dict(zip(outs, made, strict=True))
            kept = sums if own else kept
    return RoundedSite(found, kept)


def _narrow(W: Array, site: Site) -> Array | NDArray[np.float32]:
    """Return W in float32, where that holds every number of the site's dtype."""
    return W if site.dtype == "F64" else W.astype(np.float32)


def require_fit(raw: bytes | memoryview, W: Array, site: Site) -> None:
    """Raise E503 where an edited value of a site, of which `raw` has the bytes, is not finite."""
    if not is_finite(raw, site.dtype):
        raise _not_finite(site, W, decode(raw, site.dtype, W.shape))


def decode_edited(raw: bytes | memoryview, W: Array, site: Site) -> Array:
    """Return the edited values of a site in float64, from their bytes. Raises E503 where one is not finite."""
    require_fit(raw, W, site)
    return decode(raw, site.dtype, W.shape)


@dataclass(frozen=True)
class EditedSite:
    """One site after the edit, and how far it moved."""

    site: Site
    """The matrix."""
    after: Array
    """W' in float64, with its axes in the order of the file."""
    elements: int
    """The number of stored elements that differ from W."""
    change: float
    """|W' - W| / |W|, Frobenius norms."""


def read_weight(weights: Weights, site: Site) -> Array:
    """Read W (d_out, d_in) in float64, also where the file has its axes the other way round."""
    found = weights.read(site.name)
    return np.ascontiguousarray(found.T) if site.transposed else found.reshape(site.shape)


def read_stored(weights: Weights, site: Site) -> bytes:
    """Read the bytes of W in the site's dtype, in the order of (d_out, d_in), also where the file has its axes the
    other way round."""
    if not isinstance(weights, StoresBytes):
        return encode(read_weight(weights, site), site.dtype)
    raw, (rows, columns) = weights.stored(site.name), site.shape
    return transpose(raw, site.dtype, (columns, rows)) if site.transposed else raw


def edited_sites(solution: Solution, weights: Weights) -> Iterator[EditedSite]:
    """Yield every edited site, group by group. Raises E503 where a site's dtype cannot hold a value."""
    for group, edit in solution.edits.items():
        for index, site in enumerate(solution.problem.plan.sites_of(group)):
            W = read_weight(weights, site)
            yield edited_site(site, W, stored_weight(W, edit, index, site))


def edited_site(site: Site, W: Array, after: Array) -> EditedSite:
    """Compare W with W' = `after` (d_out, d_in both)."""
    move = after - W
    change = drift.ratio(float(np.linalg.norm(move)), float(np.linalg.norm(W)))
    return EditedSite(site, as_in_file(site, after), int(np.count_nonzero(move)), change)


def as_in_file(site: Site, W: Array) -> Array:
    """Return W (d_out, d_in) with its axes in the order of the file."""
    return np.ascontiguousarray(W.T) if site.transposed else W


def _places(solution: Solution) -> Iterator[tuple[str, int, Site]]:
    """Yield each edited site with its group and its index in the group."""
    for group in solution.edits:
        yield from ((group, index, site) for index, site in enumerate(solution.problem.plan.sites_of(group)))


def edit_digest(edit: Edit, index: int) -> str:
    """Return a hash of the edit of site `index`: its form and its factors, as a delta stores them."""
    edit, index = edit.at(index)
    parts = [np.ascontiguousarray(factor(side, index), np.float32) for side in (edit.left, edit.right)]
    return sha256(
        b"".join([repr((edit.form, *(part.shape for part in parts))).encode(), *(p.tobytes() for p in parts)])
    )


def factor(factors: Sequence[Array], index: int) -> Array:
    """Return the factor of site `index`, rounded to float32, as float64.

    A single factor serves all sites. Where there are none, as on the right of a dense edit, the result is (0, 0).
    """
    if not factors:
        return np.zeros((0, 0))
    return np.asarray(factors[index if len(factors) > 1 else 0], dtype=np.float32).astype(np.float64)


def _not_finite(site: Site, W: Array, after: Array) -> EditcError:
    """Make the E503 of a site whose edited values are not all finite."""
    if not np.isfinite(W).all():
        remedy = "the base itself is damaged: fetch it again, or leave this matrix out with `sites: {exclude: [...]}`"
        return fail("E503", f"{site.name} holds NaN or infinity before the edit", place=site.name, help=remedy)
    count = int(np.count_nonzero(~np.isfinite(after)))
    message = f"{count} of the {after.size} edited values of {site.name} do not fit into {site.dtype}"
    remedy = "raise the method's `lamb`, lower `strength`, or edit a base that is stored in BF16 or F32"
    return fail("E503", message, place=site.name, help=remedy)
