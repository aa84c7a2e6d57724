"""The result of `editc link`, and of `editc verify` for a linked delta."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from editc.cli.show.output import Output, claim_colours, claim_lines, claim_record
from editc.core import verdict as verdicts
from editc.core.text import count

if TYPE_CHECKING:
    from editc.core.solution import Verified
    from editc.formats.link.overlap import Overlap
    from editc.verbs.link import Linked, LinkedPart
    from editc.verbs.results import Again

_NOT_MEASURED = "  not measured: it was made from two checkpoints, and no manifest says what it must do"
"""What stands under a part without claims."""


def link_result(linked: Linked) -> Output:
    """The deltas that were linked, how their edits overlap, and each claim beside what the delta claimed alone."""
    from editc.formats.diff.diff import has_manifest
    from editc.formats.link.overlap import as_json

    arrangement, shared = linked.arrangement, linked.arrangement.overlap
    how = "composed in this order" if arrangement.composed else "added"
    size = f"{count(len(arrangement.deltas), 'delta')} {how}: {count(len(arrangement.sites), 'tensor')}"
    lines = [f"{size}, {len(shared)} edited by more than one"]
    lines += _overlap_lines(linked)
    for number, part in enumerate(linked.parts, 1):
        lines += [_part_heading(number, part), *_comparison_lines(part)]
        lines += [f"  {line}" for line in verdicts.as_lines(part.verified.verdict)] if part.verified else []
        lines += [f"  note: this part preserves `{name}`, which another part erases" for name in part.conflicts]
        lines += [] if part.verified or has_manifest(part.delta) else [_NOT_MEASURED]
    if any(part.verified is None and has_manifest(part.delta) for part in linked.parts):
        lines.append("not measured: give the base with --model to measure the claims of all deltas together")
    if shared:
        lines.append(
            "note: deltas that were built separately interfere; put all edits into one manifest to solve them jointly"
        )
    lines += [f"wrote {path} ({path.stat().st_size:,} bytes)" for path in linked.files]
    if linked.delta is None:
        lines.append("no delta was written: a bound is not met")
    data = {
        "delta": str(linked.files[0]) if linked.delta else None,
        "delta_id": linked.delta.delta_id if linked.delta else None,
        "order": "composed" if arrangement.composed else "added",
        "inputs": [delta.delta_id for delta in arrangement.deltas],
        "sites": len(arrangement.sites),
        "overlap": [as_json(one) for one in linked.overlaps],
        "parts": [_part_record(part) for part in linked.parts],
        "measured": linked.measured,
        "files": [str(path) for path in linked.files],
    }
    return Output("\n".join(lines), data, colours=claim_colours())


def part_results(again: Again, head: str) -> Output:
    """The claims of each part of a linked delta. `head` is the first line."""
    lines = [head]
    for number, part in enumerate(again.parts, 1):
        lines += [_part_heading(number, part), *(_claim_lines(part.verified) if part.verified else (_NOT_MEASURED,))]
    if not again.failures:
        lines.append("all claims hold")
    data = {"tier": again.tier, "parts": [_part_record(part) for part in again.parts]}
    return Output("\n".join(lines), data, colours=claim_colours())


def _claim_lines(verified: Verified) -> Iterator[str]:
    """The claims and the verdict of one part."""
    yield from claim_lines(verified.report.claims)
    yield from (f"  {line}" for line in verdicts.as_lines(verified.verdict))


def _overlap_lines(linked: Linked) -> Iterator[str]:
    """How the edits overlap, for each set of deltas that share sites: sizes, cosines, angles, each from least to
    greatest."""
    alike: dict[tuple[tuple[int, ...], str, bool], list[Overlap]] = {}
    for one in linked.overlaps:
        alike.setdefault((one.deltas, one.form, one.exact), []).append(one)
    ids = [delta.delta_id[:12] for delta in linked.arrangement.deltas]
    for (deltas, form, exact), sites in alike.items():
        rank, rounded = max(one.rank for one in sites), "" if exact else ", rounded to float32 once more"
        yield f"  {len(sites)} by {', '.join(ids[n] for n in deltas)}: {form}, rank {rank}{rounded}"
        for k, n in enumerate(deltas):
            yield f"    {ids[n]}: |dW| / |W| {_range([one.sizes[k] for one in sites])}"
        for k, pair in enumerate(sites[0].pairs):
            alignment = _range([one.pairs[k].alignment for one in sites])
            cosines = [c for one in sites for c in one.pairs[k].angles]
            angles = f", cosines of the principal angles {_range(cosines)}" if cosines else ""
            yield f"    {ids[pair.first]} and {ids[pair.second]}: cosine of the changes {alignment}{angles}"


def _range(values: Sequence[float]) -> str:
    """`LOW to HIGH` of the values, or one number if both are the same as text."""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _part_heading(number: int, part: LinkedPart) -> str:
    """The number, delta id, file and concepts of one part."""
    concepts = ", ".join(str(edit.get("concept", "?")) for edit in part.delta.edits)
    return f"part {number}, {part.delta.delta_id[:12]} {part.label}: {concepts}"


def _comparison_lines(part: LinkedPart) -> Iterator[str]:
    """Each claim of a part with what the delta claimed alone."""
    pairs = part.compared_claims()
    width = max((len(claim.name) for claim, _ in pairs), default=0)
    for line, (_, alone) in zip(claim_lines([claim for claim, _ in pairs]), pairs, strict=True):
        before = f"{'':>10}" if alone is None else f"{alone:>10.4g}"
        yield f"{line[: width + 4]}{before} alone {line[width + 4 :]}"


def _part_record(part: LinkedPart) -> Mapping[str, Any]:
    """One part as JSON values."""
    alone = [{} if value is None else {"alone": value} for _, value in part.compared_claims()]
    claims = [{**claim_record(claim), **more} for (claim, _), more in zip(part.compared_claims(), alone, strict=True)]
    head = {"delta_id": part.delta.delta_id, "measured": part.verified is not None}
    head |= {"verdict": verdicts.as_json(part.verified.verdict)} if part.verified else {}
    return head | {"claims": claims, "conflicts": list(part.conflicts)}
