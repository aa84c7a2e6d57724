"""Make a delta from two checkpoints: what was changed, in the smallest form that gives it back.

The factors give every weight within a few roundings (`numerics.recover`). `bits` mend the rest, so that the result is
as near to EDITED as was asked for: bit for bit, or every entry within one ulp.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from editc.core.delta import Array, Delta, Factors, Site, SiteRecord
from editc.core.diagnostics import EditcError, fail
from editc.core.family import Family
from editc.core.site_bytes import bits_record, edit_bytes, site_record
from editc.core.text import SHOWN_ROWS, count
from editc.formats.delta.parts import parts
from editc.formats.diff.changed import ChangedTensor
from editc.formats.diff.compare import Comparison, Progress, compare
from editc.formats.diff.families import family_of, role_of
from editc.formats.diff.forms import FoundForm, find_forms
from editc.formats.models.ldm_encoder import fingerprint_encoder
from editc.formats.models.model import Model
from editc.numerics.bits import dtypes, planes
from editc.numerics.recover import TOLERANCE, ulp

FORMS = ("auto", "shared", "low-rank", "dense", "xor")
"""The forms that a user can ask for; `auto` chooses the smallest for each group of tensors."""
MENDS = ("exact", "ulp", "none")
"""How near the result must come to EDITED: bit for bit, within one ulp, or as near as the factors come."""
DIFF_KIND = "diff"
"""The `kind` and `method` of every edit in a delta that a diff made."""
_CHUNK = 1 << 20
"""Entries that are compared at once. Chosen by hand; float64 copies of them take 8 MB each."""
_MANIFEST_TEXT = "# Made by `editc diff` from two checkpoints: there was no manifest.\n"
"""What stands in the delta in place of a manifest."""


_SINGLE_NOTE = (
    "no small edit was found of float32 matrices; if the program that edited them inverts a matrix in float32, as "
    "UCE's script does, try --tolerance 4096"
)
"""A note. The errors of such a script are hundreds to thousands of roundings (docs/how-to/from-uce.md)."""


@dataclass(frozen=True)
class ChangedRow:
    """What the delta makes of one changed tensor. `editc diff --json` prints these fields."""

    component: str
    """The component of the tensor."""
    name: str
    """The tensor's name in BASE."""
    group: str
    """The group of the delta that edits it."""
    form: str
    """The form of that group."""
    rank: int
    """The rank of its edit; 0 where it was not measured."""
    entries: int
    """How many entries the tensor has."""
    differ: int
    """How many entries the delta does not give back bit for bit."""
    ulps: float
    """By how many units in its last place the worst of those is off."""
    bits: int
    """Size of its `bits` in the delta, in bytes: what mends the result of the factors."""
    left_over: int
    """How many entries the factors alone leave more than one unit in the last place off."""
    moved: float
    """|W' - W| / |W|; infinite where W is 0."""


@dataclass(frozen=True)
class Difference:
    """What `editc diff` makes of two models."""

    delta: Delta
    """The delta from BASE to EDITED."""
    rows: tuple[ChangedRow, ...]
    """One row for each tensor that the delta changes."""
    equal: int
    """How many tensors are equal."""
    unread: tuple[str, ...]
    """Components that could not be compared, because their weights are pickles."""
    raw: int
    """Size of all tensors that changed, in bytes of EDITED."""
    notes: tuple[str, ...] = ()
    """What was not compared, or has another name, a sentence each."""

    def __repr__(self) -> str:
        """One line, without the rows."""
        return f"<Difference: {len(self.rows)} of {len(self.rows) + self.equal} tensors differ; {self.delta!r}>"


def difference(
    base: Model,
    after: Model,
    tool: str,
    form: str = "auto",
    mend: str = "ulp",
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Difference:
    """The delta from `base` to `after`.

    `form`: one of `FORMS`. `mend`: the result is EDITED bit for bit (`exact`), has no entry more than one ulp off
    (`ulp`), or is what the factors give (`none`). `tolerance`: how many roundings the factors may leave; None: as few
    as `forms.find_forms` says.

    Raises E645, E646, E648, E649 (there is no edit of the form asked for) and E609 (an option that makes no sense).
    """
    if (
        form not in FORMS
        or mend not in MENDS
        or not TOLERANCE <= (TOLERANCE if tolerance is None else tolerance) < float("inf")
    ):
        message = f"one of form '{form}', mend '{mend}' and tolerance {tolerance} is not allowed"
        known = f"forms: {', '.join(FORMS)}; mend: {', '.join(MENDS)}; a tolerance is {TOLERANCE:g} roundings or more"
        raise fail("E609", message, help=known)
    found = compare(base, after, progress)
    families = {part: family_of(base, part) for part in {one.component for one in found.changed}}
    found = replace(found, changed=tuple(_orient(one, families[one.component]) for one in found.changed))
    forms = list(find_forms(found.changed, form, tolerance))
    _check_form(found.changed, forms, form)
    options = {"form": form, "mend": mend, "tolerance": tolerance or "auto"}
    made = _assemble(base, found, forms, families, tool, options)
    single = form == "auto" and tolerance is None and any(_is_single(found.changed[i]) for i in _without_form(forms))
    return replace(made, notes=(*made.notes, _SINGLE_NOTE)) if single else made


def has_manifest(delta: Delta) -> bool:
    """True where the delta, or a part of it if it was linked, records the manifest that it was built from. False for
    a delta that a diff made, and for a link of such deltas. Raises E656 where the parts make no sense."""
    return any(part.manifest.strip() and not _is_difference(part) for part in parts(delta))


def refuse_to_verify(delta: Delta) -> None:
    """Raises E647 for a delta that a diff made: it has no manifest from which its claims could be measured again.

    A linked delta is refused only where a diff made every part. Raises E656 where the parts make no sense.
    """
    if all(map(_is_difference, parts(delta))):
        message = "the delta was made from two checkpoints, so it has no manifest to measure again"
        help_text = "`editc apply --dry-run` and `editc status` compare the hashes of every tensor that it names"
        raise fail("E647", message, place=delta.delta_id[:12], help=help_text)


def _is_difference(part: Delta) -> bool:
    """True for a delta, or one part of a linked one, that a diff made of two checkpoints."""
    return any(edit.get("kind") == DIFF_KIND for edit in part.edits)


def _without_form(forms: Sequence[FoundForm]) -> list[int]:
    """The places of the tensors that no small form holds."""
    return [i for one in forms if one.factors.form in ("xor", "dense") for i in one.factors.sites]


def _is_single(one: ChangedTensor) -> bool:
    """True for a matrix that EDITED stores in float32 or finer."""
    return one.dtype in ("F32", "F64") and min(one.shape) > 1


def _check_form(changed: Sequence[ChangedTensor], forms: Sequence[FoundForm], form: str) -> None:
    """Raises E649 where the form that was asked for does not hold the edit."""
    if form == "xor" and any(one.cast for one in changed):
        help_text = "leave --form out, or convert BASE to that dtype first and make the delta for the copy"
        raise fail(
            "E649",
            "an xor delta needs both models in one dtype, and EDITED is stored in another than BASE",
            help=help_text,
        )
    if form in ("shared", "low-rank"):
        rest = [changed[i].name for i in _without_form(forms)]
        if rest:
            message = f"there is no small {form} edit of {count(len(rest), 'tensor')} within the tolerance"
            help_text = "leave --form out: these tensors are then stored bit by bit; or allow more with --tolerance"
            raise fail("E649", f"{message}, the first is '{rest[0]}'", help=help_text, notes=rest[:SHOWN_ROWS])


def _assemble(
    base: Model,
    found: Comparison,
    forms: Sequence[FoundForm],
    families: Mapping[str, Family | None],
    tool: str,
    options: Mapping[str, Any],
) -> Difference:
    """The delta of the forms that were found, and a row for each tensor."""
    mend = options["mend"]
    records: dict[int, SiteRecord] = {}
    rows: dict[int, ChangedRow] = {}
    groups: dict[str, Factors] = {}
    edits = []
    for one in forms:
        members = [found.changed[i] for i in one.factors.sites]
        sites = [_make_site(member, families[member.component]) for member in members]
        factors, mended = _mend(one, members, sites, mend)
        if options["form"] == "auto" and not members[0].cast and _is_larger(factors, members):
            one = replace(one, factors=Factors("xor", one.factors.sites, (), ()), left_over=0.0)
            factors, mended = _mend(one, members, sites, mend)
        name = _group_name(factors, members[0], groups)
        groups[name] = factors
        for k, place in enumerate(factors.sites):
            records[place] = _make_record(replace(sites[k], group=name), members[k], factors, k)
            rows[place] = replace(mended[k], group=name)
        edits.append(_describe_group(name, one, mended, options))
    shared = any(factors.form == "shared" for factors in groups.values())
    delta = Delta(
        family=next((family.name for family in families.values() if family), "unknown"),
        sites=tuple(records[i] for i in range(len(found.changed))),
        factors=groups,
        encoder=_fingerprint_base(base) if shared else "",
        manifest=_MANIFEST_TEXT,
        manifest_digest=sha256(_MANIFEST_TEXT.encode()).hexdigest(),
        edits=tuple(edits),
        claims=tuple(claim for i in range(len(found.changed)) for claim in _claims(rows[i])),
        tool=tool,
    )
    ordered = tuple(rows[i] for i in range(len(found.changed)))
    raw = sum(one.nbytes for one in found.changed)
    return Difference(delta, ordered, found.equal, found.unread, raw, found.notes)


def _mend(
    found: FoundForm, members: Sequence[ChangedTensor], sites: Sequence[Site], mend: str
) -> tuple[Factors, list[ChangedRow]]:
    """The factors of a form with the bits that mend their result, and a row for each of its tensors."""
    rows, bits = [], []
    for k, (one, site) in enumerate(zip(members, sites, strict=True)):
        raw, aim = one.raw()
        plain = raw if found.factors.form == "xor" else edit_bytes(raw, one.dtype, site, found.factors, k, exact=False)
        result = aim if found.factors.form == "xor" or mend == "exact" else _mend_entries(plain, aim, one, mend)
        same = result == plain
        bits.append(np.zeros(0, np.uint8) if same else planes.pack(plain, result, dtypes.BITS[one.dtype] // 8))
        rows.append(_measure_row(one, site, found, k, plain, result, bits[-1].nbytes))
    stored = tuple(bits) if any(len(part) for part in bits) else ()
    return replace(found.factors, bits=stored), rows


def _make_record(site: Site, one: ChangedTensor, factors: Factors, k: int) -> SiteRecord:
    """The site's record of the hashes and the sketch, before and after the edit."""
    if factors.form == "xor":
        return bits_record(site, *one.raw())
    return site_record(site, one.base_values(), factors, k)


def _is_larger(factors: Factors, members: Sequence[ChangedTensor]) -> bool:
    """True when factors and the bits that mend them take at least as much as the bits alone would. The bits alone are
    computed only where the first take over half of the tensors' bytes."""
    size = sum(part.nbytes for part in (*factors.left, *factors.right)) + sum(part.nbytes for part in factors.bits)
    if factors.form == "xor" or 2 * size < sum(one.nbytes for one in members):
        return False
    return size >= sum(planes.pack(*one.raw(), dtypes.BITS[one.dtype] // 8).nbytes for one in members)


def _mend_entries(plain: bytes, aim: bytes, one: ChangedTensor, mend: str) -> bytes:
    """`plain`, the result of the factors, with the entries of `aim` where it is more than one ulp off. Unchanged for
    the mend `none`."""
    if mend == "none":
        return plain
    parts = _chunks(one.dtype, plain, aim)
    return b"".join(dtypes.encode(np.where(_ulps_apart(a, b, one.dtype) > 1, b, a), one.dtype) for a, b in parts)


def _chunks(dtype: str, *raws: bytes) -> Iterator[tuple[Array, ...]]:
    """The same entries of several tensors in float64, as flat arrays of at most `_CHUNK` entries."""
    item = dtypes.BITS[dtype] // 8
    for start in range(0, len(raws[0]), _CHUNK * item):
        parts = [raw[start : start + _CHUNK * item] for raw in raws]
        yield tuple(dtypes.decode(part, dtype, (len(part) // item,)) for part in parts)


def _ulps_apart(first: Array, second: Array, dtype: str) -> Array:
    """|first - second| in ulps of `second`, entry by entry; all arrays have one shape."""
    return np.asarray(np.abs(first - second) / ulp(second, dtype))


def _measure_row(
    one: ChangedTensor, site: Site, found: FoundForm, k: int, plain: bytes, result: bytes, bits: int
) -> ChangedRow:
    """The row of one tensor. `plain` is the result of the factors, `result` the same after mending, `bits` the size of
    what mends it in bytes."""
    raw, aim = one.raw()
    left_over, ulps, sizes = 0, 0.0, np.zeros(2)
    for before, factored, mine, theirs in _chunks(one.dtype, raw, plain, result, aim):
        left_over += int(np.count_nonzero(_ulps_apart(factored, theirs, one.dtype) > 1))
        ulps = max(ulps, float(np.max(_ulps_apart(mine, theirs, one.dtype))))
        sizes += [np.sum(np.square(before)), np.sum(np.square(theirs - before))]
    item = f"<u{dtypes.BITS[one.dtype] // 8}"
    differ = int(np.count_nonzero(np.frombuffer(result, item) != np.frombuffer(aim, item)))
    form, rank, size = found.factors.form, found.ranks[k], one.shape[0] * one.shape[1]
    moved = float(np.sqrt(sizes[1] / sizes[0])) if sizes[0] else float("inf")
    left_over = 0 if form == "xor" else left_over
    return ChangedRow(site.component, one.name, site.group, form, rank, size, differ, ulps, bits, left_over, moved)


def _claims(row: ChangedRow) -> Iterator[Mapping[str, Any]]:
    """The claims of a row; a number that is infinite is left out."""
    every = {"rank": row.rank, "entries_that_differ": row.differ, "ulps": row.ulps, "relative_change": row.moved}
    for name, value in every.items():
        if np.isfinite(value):
            yield {"name": name, "subject": row.name, "value": _round_digits(value)}


def _round_digits(value: float) -> float:
    """A number rounded to six digits: later ones depend on how many threads computed the sums. Counts stay as they
    are."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _describe_group(
    group: str, found: FoundForm, rows: Sequence[ChangedRow], options: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The edit of one group in the delta, which inspect, status and a journal show."""
    decided = {"decided": found.decided} if found.factors.form == "shared" else {}
    return {
        "kind": DIFF_KIND,
        "concept": "the difference of two checkpoints",
        "method": DIFF_KIND,
        "options": dict(options),
        "strength": 1.0,
        "group": group,
        "form": found.factors.form,
        "rank": max(found.ranks),
        "roundings": _round_digits(found.left_over),
        "mended": sum(row.left_over for row in rows),
        **decided,
    }


def _group_name(factors: Factors, first: ChangedTensor, taken: Mapping[str, Factors]) -> str:
    """A free name for a group: its form and its width, and a number where several have both."""
    width = f".{first.shape[1]}" if factors.form in ("shared", "low-rank") else ""
    name = f"{factors.form}{width}"
    more = (f"{name}.{n}" for n in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in more if one not in taken)


def _make_site(one: ChangedTensor, family: Family | None) -> Site:
    """The site of a changed tensor; its group is still to be named."""
    component = one.component or (family.component if family else "")
    return Site(component, one.name, one.shape, one.dtype, role_of(one.name, family), transposed=one.flipped)


def _orient(one: ChangedTensor, family: Family | None) -> ChangedTensor:
    """The tensor, marked where its family stores such a matrix as (d_in, d_out)."""
    return replace(one, flipped=bool(family and family.transposed and role_of(one.name, family)))


def _fingerprint_base(base: Model) -> str:
    """The fingerprint of the text encoder beside the weights, by which a fine-tune is judged; '' where none can be
    read."""
    try:
        return fingerprint_encoder(base)
    except EditcError:
        return ""
