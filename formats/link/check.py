"""Check that deltas can be linked: one kind of model, one base, every edit once, and no edits whose order would
matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from editc.core.delta import Delta, SiteRecord
from editc.core.diagnostics import EditcError, fail
from editc.formats.delta.parts import parts

ADDED = frozenset({"shared", "low-rank", "dense"})
"""Forms that are added to the base, and so can be summed. Where one edit of a site has another form, the result depends
on the order."""

EditRecord = tuple[int, str, SiteRecord]
"""One delta's edit of a site: the number of the delta, the form, and the delta's record of the site."""


def check_linkable(
    deltas: Sequence[Delta], sites: Mapping[tuple[str, str], Sequence[EditRecord]], composed: bool
) -> None:
    """Raises E650, E651, E654 or E655, for the first thing that is wrong.

    `sites`: (component, name) -> its edits, in the order of the deltas. `composed` as in `Arrangement`.
    """
    _check_same_model(deltas)
    _check_once(deltas)
    for (_, name), edits in sites.items():
        for before, after in pairwise(edits):
            _check_base(name, deltas, edits[0], before, after, composed)
        if len(edits) > 1 and not {form for _, form, _ in edits} <= ADDED:
            raise _order_error(name, edits)


def _check_same_model(deltas: Sequence[Delta]) -> None:
    """Raises E651 unless all deltas have one family, the same components and one text encoder.

    A delta that was built on others among these has another encoder: the model with them in it.
    """
    roots = [delta for delta in deltas if not built_on(delta, deltas)]
    kinds = {
        "families": [delta.family for delta in deltas],
        "components": [", ".join(sorted({record.site.component for record in delta.sites})) for delta in deltas],
        "text encoders": [delta.encoder for delta in roots if delta.encoder],
    }
    for what, found in kinds.items():
        distinct = list(dict.fromkeys(found))
        if len(distinct) > 1:
            message = f"the deltas are for different {what}: '{distinct[0]}' and '{distinct[1]}'"
            help_text = "link deltas for one model only; apply these one after the other"
            raise fail("E651", message, help=help_text, notes=_describe_deltas(deltas))


def built_on(delta: Delta, deltas: Sequence[Delta]) -> bool:
    """True for a delta that was built on others, which are all among `deltas`."""
    after = delta.extra.get("after")
    known = {part.delta_id for other in deltas if other is not delta for part in parts(other)}
    return isinstance(after, list) and bool(after) and known.issuperset(map(str, after))


def _check_once(deltas: Sequence[Delta]) -> None:
    """Raises E655 where a delta is given twice, alone or inside a linked one."""
    counts = Counter(part.delta_id for delta in deltas for part in parts(delta))
    twice = [delta_id for delta_id, count in counts.items() if count > 1]
    if twice:
        help_text = "name it once; `editc inspect` lists what was linked into a delta"
        raise fail("E655", f"the delta {twice[0][:12]} is given {counts[twice[0]]} times", help=help_text)


def _check_base(
    name: str, deltas: Sequence[Delta], first: EditRecord, before: EditRecord, after: EditRecord, composed: bool
) -> None:
    """Raises E650 unless the edit `after` was made for the same weights as the `first` edit of the site, or, composed,
    for the result of the edit `before` it."""
    if _same_hashes(first[2].base, after[2].base) and _same_layout(first[2], after[2]):
        return
    if composed and _same_layout(first[2], after[2]) and _follows(before[2], after[2]):
        return
    raise fail(
        "E650",
        f"the deltas were made for different bases: they record different weights for '{name}'",
        place=name,
        help=_base_remedy(first[2], before[2], after[2]),
        notes=[_describe_base(deltas, first), _describe_base(deltas, after)],
    )


def _base_remedy(first: SiteRecord, before: SiteRecord, after: SiteRecord) -> str:
    """What to do about E650: an order, one dtype for both, or another build."""
    if _same_layout(first, after) and (_follows(before, after) or _follows(after, first)):
        return "one was built on the result of the other: give them in that order with --compose"
    dtypes = (first.site.dtype, after.site.dtype)
    if _same_hashes(first.base, after.base) and dtypes[0] != dtypes[1]:
        stored = f"the weights are the same, stored in {dtypes[0]} for one delta and in {dtypes[1]} for the other"
        return f"{stored}: apply the second to a copy of the first one's base, and link what `editc diff` makes of both"
    return "build one of the manifests again, on the other's base"


def _describe_base(deltas: Sequence[Delta], edit: EditRecord) -> str:
    """A delta and the base that it records for the site, for a message."""
    order, _, record = edit
    dtype, shape = record.site.dtype, list(record.site.shape)
    return f"{deltas[order].delta_id[:12]}: {dtype} {shape} {record.base.get(dtype, 'no hash')}"


def _same_layout(one: SiteRecord, other: SiteRecord) -> bool:
    """True where both records have the same shape, dtype, orientation and group."""
    return (one.site.shape, one.site.dtype, one.site.transposed, one.site.group) == (
        other.site.shape,
        other.site.dtype,
        other.site.transposed,
        other.site.group,
    )


def _same_hashes(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """True where hashes are equal in every dtype that both record, and both record at least one."""
    both = one.keys() & other.keys()
    return bool(both) and all(one[dtype] == other[dtype] for dtype in both)


def _follows(before: SiteRecord, after: SiteRecord) -> bool:
    """True where `after` was made for the result of `before`."""
    dtype = after.site.dtype
    return dtype in before.result and before.result[dtype] == after.base.get(dtype)


def _order_error(name: str, edits: Sequence[EditRecord]) -> EditcError:
    """E654: edits of these forms give another result in another order."""
    forms = " and ".join(sorted({form for _, form, _ in edits}))
    help_text = (
        "apply them one by one to a copy, in the order that you want, and run `editc diff` on the base and the copy"
    )
    return fail(
        "E654",
        f"'{name}' is edited in the forms {forms}, so their order counts",
        place=name,
        help=help_text,
    )


def _describe_deltas(deltas: Sequence[Delta]) -> list[str]:
    """A line for each delta, with its concepts."""
    return [f"{delta.delta_id[:12]}: {', '.join(str(e.get('concept', '?')) for e in delta.edits)}" for delta in deltas]
