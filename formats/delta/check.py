"""Check that a delta makes sense in itself (E604): factors fit their sites, numbers are finite, hashes and names are
sound."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Delta, Factors, Site, SiteRecord
from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.numerics.bits.dtypes import BITS, EDITABLE
from editc.numerics.bits.planes import could_unpack_to
from editc.numerics.bits.sketch import TEXT_LENGTH

_FACTOR_COUNTS = {
    "shared": "one left and one right",
    "low-rank": "a left for each site and a right for each or for all",
}
"""Form -> the factors that it needs, in the words of a message."""


def check_delta(delta: Delta, place: str) -> None:
    """Raises EditcError with the faults of a delta (the first 20), all E604; E625 when it is sound but changes
    nothing."""
    faults = list(_site_faults(delta)) or list(_group_faults(delta))
    if faults:
        help_text = "this is not a delta that editc wrote; build it again from its manifest"
        raise EditcError(*(Diagnostic("E604", fault, place=place, help=help_text) for fault in faults[:20]))
    if all(record.result == record.base for record in delta.sites):
        message = "the delta changes no tensor: every result is equal to its base"
        raise EditcError(Diagnostic("E625", message, place=place, help="look at the manifest's edits and strength"))


def check_claims(delta: Delta, place: str) -> None:
    """Raises E696 unless the claims and edits, and what is noted beside them, have the types that `editc build` writes,
    so that `verify` can measure them again. Apply never reads them."""
    texts = [delta.extra.get(name, []) for name in ("set", "kept")]
    sound = (
        all(isinstance(part, list | tuple) and all(isinstance(text, str) for text in part) for part in texts)
        and all(isinstance(claim.get(n, ""), str) for claim in delta.claims for n in ("name", "subject"))
        and all("name" in claim and _is_number(claim.get("value")) for claim in delta.claims)
        and all("method" in edit and "options" in edit and _is_number(edit.get("strength")) for edit in delta.edits)
    )
    if not sound:
        message = "the delta's list of edits or of claims is not as `editc build` writes it"
        raise fail("E696", message, place=place, help="build it again from its manifest")


def _is_number(value: object) -> bool:
    """True for a finite number; `verify` computes with these."""
    return isinstance(value, int | float) and abs(value) < 1e300


def _site_faults(delta: Delta) -> Iterator[str]:
    """What is wrong with the list of sites and with each record, a sentence each."""
    if not delta.sites:
        yield "the delta has no sites"
    names = Counter((record.site.component, record.site.name) for record in delta.sites)
    yield from (f"site '{name}' of '{part}' is listed {n} times" for (part, name), n in names.items() if n > 1)
    used = Counter(index for factors in delta.factors.values() for index in factors.sites)
    for index, record in enumerate(delta.sites):
        if used[index] != 1:
            yield f"site '{record.site.name}' is in {used[index]} groups; every site must be in exactly one"
        yield from _record_faults(record)
    yield from (
        f"a group edits site number {index}, which does not exist" for index in used if not _exists(index, delta)
    )


def _exists(index: int, delta: Delta) -> bool:
    """Whether the delta has a site of this number."""
    return 0 <= index < len(delta.sites)


def _is_text(name: str) -> bool:
    """False for half a surrogate pair, which JSON can hold and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _record_faults(record: SiteRecord) -> Iterator[str]:
    """What is wrong with the record of one site: name, shape, dtype, hashes, sketch."""
    name = record.site.name
    if not name or not _is_text(name) or not _is_text(record.site.component):
        yield f"a site's name or component is empty or not Unicode text: {name!r}"
    if len(record.site.shape) != 2 or min(record.site.shape) < 1:
        yield f"site '{name}' has the shape {record.site.shape}, which is not that of a matrix"
    if record.site.dtype not in EDITABLE:
        yield f"site '{name}' has the dtype '{record.site.dtype}'; a delta edits {', '.join(EDITABLE)}"
    if not record.base or not record.base.keys() == record.base_transposed.keys() == record.result.keys():
        yield f"site '{name}' does not have base, transposed and result hashes for the same dtypes"
    hashes = [*record.base.values(), *record.base_transposed.values(), *record.result.values()]
    if not set(record.base) <= set(EDITABLE) or not all(re.fullmatch(r"[0-9a-f]{64}", text) for text in hashes):
        yield f"site '{name}' has a hash that is not a sha256 of a known dtype"
    if not re.fullmatch(rf"[A-Za-z0-9+/]{{{TEXT_LENGTH}}}", record.sketch):
        yield f"site '{name}' has a sketch that is not {TEXT_LENGTH} digits of base64"


def _group_faults(delta: Delta) -> Iterator[str]:
    """What is wrong with the factors of each group."""
    for group, factors in delta.factors.items():
        sites = [delta.sites[index].site for index in factors.sites]
        if not sites or not _is_text(group):
            yield f"group {group!r} edits no site, or its name is not Unicode text"
            continue
        yield from (f"group '{group}': {fault}" for fault in _factor_faults(factors, sites))


def _factor_faults(factors: Factors, sites: Sequence[Site]) -> Iterator[str]:
    """What is wrong with one group's factors: dtype, finite numbers, number and shapes."""
    parts = (*factors.left, *factors.right)
    if not all(part.dtype == np.float32 for part in parts):
        yield "its factors are not float32"
    elif not all(bool(np.isfinite(part).all()) for part in parts):
        yield "its factors are not finite"
    yield from _bit_faults(factors, sites)
    if factors.form == "dense":
        yield from _dense_faults(factors, sites)
    elif factors.form != "xor":
        yield from _low_rank_faults(factors, sites)


def _bit_faults(factors: Factors, sites: Sequence[Site]) -> Iterator[str]:
    """What is wrong with the changes of bits: there are none, or one for each site; an xor edit has nothing else."""
    only = factors.form == "xor"
    if only and (parts := len(factors.left) + len(factors.right)):
        yield f"an xor edit has no factors; it has {parts}"
    if len(factors.bits) != len(sites) and (factors.bits or only):
        yield f"it has {len(factors.bits)} changes of bits for {len(sites)} sites"
        return
    for site, change in zip(sites, factors.bits, strict=False):
        none = change.dtype == np.uint8 and change.shape == (0,) and not only
        if not none and not could_unpack_to(change, prod(site.shape) * BITS[site.dtype] // 8):
            yield f"the bits of '{site.name}' are not those of a tensor of its size"


def _dense_faults(factors: Factors, sites: Sequence[Site]) -> Iterator[str]:
    """What is wrong with a dense edit: it needs one matrix of the site's shape for each site."""
    if len(factors.left) != len(sites) or factors.right:
        yield f"a dense edit of {len(sites)} sites needs one matrix for each"
        return
    for site, left in zip(sites, factors.left, strict=True):
        if left.shape != site.shape:
            yield f"the edit of '{site.name}' has the shape {left.shape}, the site {site.shape}"


def _low_rank_faults(factors: Factors, sites: Sequence[Site]) -> Iterator[str]:
    """What is wrong with the number and shapes of left and right factors, which the form decides."""
    shared, n = factors.form == "shared", len(sites)
    lefts, rights = len(factors.left), len(factors.right)
    if (lefts, rights) != (1, 1) if shared else (lefts != n or rights not in (1, n)):
        yield f"a {factors.form} edit needs {_FACTOR_COUNTS[factors.form]}; it has {lefts} and {rights} for {n} sites"
        return
    for k, site in enumerate(sites):
        left, right = factors.left[0 if shared else k], factors.right[k if rights > 1 else 0]
        rows = site.shape[1] if shared else site.shape[0]
        if not _shapes_fit(left, right, rows, site.shape[1]):
            yield f"left {left.shape} and right {right.shape} do not fit site '{site.name}' {site.shape}"


def _shapes_fit(left: NDArray[np.float32], right: NDArray[np.float32], rows: int, columns: int) -> bool:
    """True where left is (rows, r) and right is (r, columns) with a rank r of at least 1."""
    return (
        left.ndim == right.ndim == 2
        and left.shape[0] == rows
        and left.shape[1] == right.shape[0] >= 1
        and right.shape[1] == columns
    )
