"""A delta from two checkpoints: what was changed, in the smallest form that gives it back.

The factors give every weight within a few roundings (`numerics.recover`). What they leave is mended by `bits`, so that
the result is as near to the edited checkpoint as was asked for: bit for bit, or every entry within one ulp.
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
from editc.formats.diff.changed import ChangedTensor
from editc.formats.diff.compare import Comparison, Progress, compare
from editc.formats.diff.families import family_of, role_of
from editc.formats.diff.forms import FoundForm, find_forms
from editc.formats.models.ldm_encoder import fingerprint_encoder
from editc.formats.models.model import Model
from editc.numerics.bits import dtypes, planes
from editc.numerics.recover import TOLERANCE, ulp

FORMS = ("auto", "shared", "low-rank", "dense", "xor")
MENDS = ("exact", "ulp", "none")
DIFF_KIND = "diff"
_CHUNK = 1 << 20
"""Entries that are compared at once."""
_MANIFEST_TEXT = "# Made by `editc diff` from two checkpoints: there was no manifest.\n"


@dataclass(frozen=True)
class ChangedRow:
    """What the delta makes of one changed tensor."""

    component: str
    """Its component."""
    name: str
    """Its name."""
    group: str
    """The group of the delta that edits it."""
    form: str
    """The group's form."""
    rank: int
    """The rank of its edit; 0 where the form has none."""
    entries: int
    """How many entries the tensor has."""
    differ: int
    """How many entries the delta does not give back bit for bit."""
    ulps: float
    """How many units in its own last place the worst of those is off."""
    bits: int
    """Bytes in the delta that mend what the factors leave."""
    left_over: int
    """How many entries the factors alone left more than one unit in the last place off."""
    moved: float
    """|W' - W| / |W|."""


@dataclass(frozen=True)
class Difference:
    """What `editc diff` makes of two models."""

    delta: Delta
    """The delta from BASE to EDITED."""
    rows: tuple[ChangedRow, ...]
    """A row for each tensor that it changes."""
    equal: int
    """How many tensors are equal."""
    unread: tuple[str, ...]
    """Components that could not be read."""
    raw: int
    """Bytes of the tensors that changed."""
    notes: tuple[str, ...] = ()
    """What was not compared, or was found under another name."""

    def __repr__(self) -> str:
        """Short: there is a row for every tensor."""
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
    """The delta from `base` to `after`. `mend`: the result is theirs bit for bit (`exact`), no entry is more than one
    ulp off (`ulp`), or it is what the factors give (`none`). `tolerance`: roundings that the factors may leave;
    None: as few as `factored.forms_of` says.

    Raises E645, E646, E648, E649 (not of the form asked for), E609 (an option that makes no sense).
    """
    if (
        form not in FORMS
        or mend not in MENDS
        or not TOLERANCE <= (TOLERANCE if tolerance is None else tolerance) < float("inf")
    ):
        message = f"form '{form}', mend '{mend}' and tolerance {tolerance} are not all sound"
        known = f"forms: {', '.join(FORMS)}; mend: {', '.join(MENDS)}; a tolerance is {TOLERANCE:g} roundings or more"
        raise fail("E609", message, help=known)
    found = compare(base, after, progress)
    families = {part: family_of(base, part) for part in {one.component for one in found.changed}}
    found = replace(found, changed=tuple(_orient(one, families[one.component]) for one in found.changed))
    forms = list(find_forms(found.changed, form, tolerance))
    _check_form(found.changed, forms, form)
    options = {"form": form, "mend": mend, "tolerance": tolerance or "auto"}
    return _assemble(base, found, forms, families, tool, options)


def has_manifest(delta: Delta) -> bool:
    """False for a delta that a diff made, or that records none for another reason; not for a linked one, whose parts
    have their own."""
    return bool(delta.manifest.strip()) and not any(edit.get("kind") == DIFF_KIND for edit in delta.edits)


def refuse_to_verify(delta: Delta) -> None:
    """Raises E647 for a delta that a diff made: it has no manifest from which its claims could be measured again."""
    if any(edit.get("kind") == DIFF_KIND for edit in delta.edits):
        message = "the delta was made from two checkpoints, so there is no problem to derive again"
        help_text = "`editc apply --dry-run` and `editc status` compare the hashes of every tensor that it names"
        raise fail("E647", message, place=delta.delta_id[:12], help=help_text)


def _check_form(changed: Sequence[ChangedTensor], forms: Sequence[FoundForm], form: str) -> None:
    if form == "xor" and any(one.cast for one in changed):
        help_text = "leave --form out, or convert BASE to that dtype first and make the delta for the copy"
        raise fail("E649", "bits fit one dtype, and EDITED is stored in another than BASE", help=help_text)
    if form in ("shared", "low-rank"):
        rest = [changed[i].name for f in forms if f.factors.form in ("xor", "dense") for i in f.factors.sites]
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
    """The factors with the bits that mend what they leave, and what is said of each tensor."""
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
    if factors.form == "xor":
        return bits_record(site, *one.raw())
    return site_record(site, one.base_values(), factors, k)


def _is_larger(factors: Factors, members: Sequence[ChangedTensor]) -> bool:
    """True when factors and the bits that mend them take more than the bits alone would; looked at only where the
    first are over half of the tensors' bytes."""
    size = sum(part.nbytes for part in (*factors.left, *factors.right)) + sum(part.nbytes for part in factors.bits)
    if factors.form == "xor" or 2 * size < sum(one.nbytes for one in members):
        return False
    return size >= sum(planes.pack(*one.raw(), dtypes.BITS[one.dtype] // 8).nbytes for one in members)


def _mend_entries(plain: bytes, aim: bytes, one: ChangedTensor, mend: str) -> bytes:
    """`plain` with the entries of `aim` where it is more than one ulp off."""
    if mend == "none":
        return plain
    parts = _chunks(one.dtype, plain, aim)
    return b"".join(dtypes.encode(np.where(_ulps_apart(a, b, one.dtype) > 1, b, a), one.dtype) for a, b in parts)


def _chunks(dtype: str, *raws: bytes) -> Iterator[tuple[Array, ...]]:
    """The same entries of several tensors in float64, some million at a time."""
    item = dtypes.BITS[dtype] // 8
    for start in range(0, len(raws[0]), _CHUNK * item):
        parts = [raw[start : start + _CHUNK * item] for raw in raws]
        yield tuple(dtypes.decode(part, dtype, (len(part) // item,)) for part in parts)


def _ulps_apart(first: Array, second: Array, dtype: str) -> Array:
    """How many ulps of `second` each entry is off."""
    return np.asarray(np.abs(first - second) / ulp(second, dtype))


def _measure_row(
    one: ChangedTensor, site: Site, found: FoundForm, k: int, plain: bytes, result: bytes, bits: int
) -> ChangedRow:
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
    every = {"rank": row.rank, "entries_that_differ": row.differ, "ulps": row.ulps, "relative_change": row.moved}
    for name, value in every.items():
        if np.isfinite(value):
            yield {"name": name, "subject": row.name, "value": _round_digits(value)}


def _round_digits(value: float) -> float:
    """Six digits: the last ones depend on how many threads the sums were made with. Counts stay as they are."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _describe_group(
    group: str, found: FoundForm, rows: Sequence[ChangedRow], options: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What inspect, status and a journal say of one group."""
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
    width = f".{first.shape[1]}" if factors.form in ("shared", "low-rank") else ""
    name = f"{factors.form}{width}"
    more = (f"{name}.{n}" for n in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in more if one not in taken)


def _make_site(one: ChangedTensor, family: Family | None) -> Site:
    component = one.component or (family.component if family else "")
    return Site(component, one.name, one.shape, one.dtype, role_of(one.name, family), transposed=one.flipped)


def _orient(one: ChangedTensor, family: Family | None) -> ChangedTensor:
    """The tensor, marked where its family stores such a matrix as (d_in, d_out)."""
    return replace(one, flipped=bool(family and family.transposed and role_of(one.name, family)))


def _fingerprint_base(base: Model) -> str:
    """The text encoder beside the weights, by which a fine-tune is judged; '' where none can be read."""
    try:
        return fingerprint_encoder(base)
    except EditcError:
        return ""
