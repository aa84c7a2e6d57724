"""Compute from report.json what the HTML report shows: headline, bounds with bars, manifest lines with marks,
albums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from editc.core.measurements import ACCESS, Picture
from editc.core.verdict import QUESTIONS, SHOWN_REASONS
from editc.report.answers import case_tables, edit_answers, is_shown_elsewhere, purpose_counts
from editc.report.bars import Plot, data_uri, plot
from editc.report.bystanders import strip
from editc.report.depth import depth_plot
from editc.report.earlier import earlier_plot
from editc.report.suite import suite_part
from editc.report.training import training_plots
from editc.report.words import TITLES, count, figure, percent

DANGERS = frozenset({"recoverable"})
"""Claims that say how much of a concept comes back."""
MAX_PAIRS = 48
"""Pairs of pictures shown of one concept; the others are in report.json. Chosen by hand to keep the page small."""


@dataclass(frozen=True)
class ClaimRow:
    """One claim as a row of a table."""

    title: str
    """The title of the measurement."""
    about: str
    """What it means."""
    subject: str
    """What it was measured of. Empty: of the whole build."""
    value: str
    """The value, as text."""
    bound: str
    """The bound, as text. Empty where there is none."""
    used: float | None
    """Length of the bar: the share of a maximum that is used, above 1 where it is broken. Of a minimum, the value on
    the scale of the bar. None without a bound."""
    holds: bool
    """True where the bound holds or there is none."""
    line: int | None
    """The manifest's line of the bound, from 1. None where there is none."""
    least: bool = False
    """True where the bound is a minimum."""
    mark: float | None = None
    """Where the bar has a mark for the bound, 0 to 1. None: no mark."""
    margin: str = ""
    """Of a minimum, how far the value is from it, in words. Empty for a maximum."""
    danger: bool = False
    """True where more is worse even within the bound: the bar is red at any length."""


@dataclass(frozen=True)
class ManifestLine:
    """One line of the manifest, or one `--set` of the command line."""

    index: int
    """Its number from 1 over both, as claims count."""
    number: str
    """Its number as text. Empty for a `--set`."""
    text: str
    """The line."""
    state: str
    """`ok` or `failed` where a bound stands in it, `unmeasured` where that bound was not measured, else empty."""
    note: str
    """What was measured against its bound."""


@dataclass(frozen=True)
class PicturePair:
    """One picture before and after the edit."""

    prompt: str
    """The prompt."""
    seed: int
    """The seed of the noise."""
    before: str
    """The picture before the edit, as a data URI."""
    after: str
    """The picture after it, as a data URI."""
    shown_before: bool | None
    """Whether the detector found the concept before the edit. None where nobody judged."""
    shown_after: bool | None
    """Whether it found the concept after the edit. None where nobody judged."""
    wrong: bool
    """True where the edit failed on this picture."""
    number: int
    """Its place in `pictures` of report.json, from 0."""


@dataclass(frozen=True)
class Album:
    """The pictures of one concept."""

    concept: str
    """The concept."""
    kind: str
    """`erased`, `moderated`, `kept` or `attacked`."""
    count: int
    """How many pictures there are, shown or not."""
    shown_before: int
    """In how many the detector found the concept before the edit. 0 where nobody judged."""
    shown_after: int
    """In how many it found the concept after the edit. 0 where nobody judged."""
    wrong: int
    """On how many the edit failed."""
    pairs: tuple[PicturePair, ...]
    """The pictures on the page, at most MAX_PAIRS; beyond that, failures come first."""
    judged: bool = True
    """False where the manifest names no detector."""


@dataclass(frozen=True)
class Headline:
    """The result of all constraints in one line."""

    state: str
    """`ok`, `bad`, or `plain` where not all was measured."""
    title: str
    """The line."""
    broken: tuple[ClaimRow, ...] = ()
    """The bounds that do not hold."""


def template_values(pictures: Sequence[Picture], record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return every variable of the template except `record`."""
    claims = record["claims"]
    drift = next((claim.get("bound") for claim in claims if claim["name"] == "preserve_drift"), None)
    return {
        "headline": headline(record),
        "verdict": tuple(judgements(record["verdict"])),
        "most": SHOWN_REASONS,
        "strip": strip(record),
        "suite": suite_part(record),
        "bounds": [claim_row(claim) for claim in claims if "bound" in claim],
        "others": [
            claim_row(claim) for claim in claims if "bound" not in claim and not is_shown_elsewhere(record, claim)
        ],
        "lines": tuple(manifest_lines(record)),
        "albums": tuple(albums(pictures, record)),
        "plots": _plots(record["sites"], drift),
        "edit_answers": edit_answers(record) if "answers" in record else (),
        "cases": tuple(case_tables(record)),
        "titles": TITLES,
        "access": ACCESS,
        "depths": [(one, depth_plot(one["depth"])) for one in record.get("stages", ()) if one["depth"] is not None],
        "training": training_plots(record["training"]) if "training" in record else (),
        "earlier": earlier_plot(record.get("earlier", ())),
        "counts": tuple(purpose_counts(record)) if "answers" in record else (),
        "evidence": ranking_plot(record["ranking"]),
        "unchanged": [site["name"] for site in record["sites"] if not site["changed"]],
        "residuals": _by_subject(record, "erase_residual"),
        "solves": sorted(record["solves"], key=_solve_order) if "answers" in record else record["solves"],
        "total_bytes": sum(solve["bytes"] for solve in record["solves"]),
    }


def headline(record: Mapping[str, Any]) -> Headline:
    """Say how many constraints are met, and list those that are not."""
    bounded = [claim for claim in record["claims"] if "bound" in claim]
    broken = [claim for claim in bounded if not claim["holds"]]
    if broken:
        title = f"{len(broken)} of {count(len(bounded), 'constraint')} not met"
        return Headline("bad", title, tuple(claim_row(claim) for claim in broken))
    if record["status"] == "failed":
        return Headline("bad", "The build failed")
    if not bounded:
        return Headline("plain", "Measured; no constraint was set")
    met = "The constraint is met" if len(bounded) == 1 else f"All {len(bounded)} constraints met"
    missing = "" if record["status"] == "met" else "; not every bound was measured"
    return Headline("plain" if missing else "ok", met + missing)


def judgements(verdict: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the three lines of the verdict, each with its question."""
    yield from ((question, verdict[question.rstrip("?").lower()]) for question in QUESTIONS)


def manifest_lines(record: Mapping[str, Any]) -> Iterator[ManifestLine]:
    """Yield the lines of the manifest, each with what was measured against a bound that stands in it."""
    texts, overrides = record["manifest"]["lines"], record["manifest"]["overrides"]
    claims = [claim for claim in record["claims"] if "line" in claim]
    missed = {one.get("line"): one for one in record["diagnostics"] if one["code"] == "E506"}
    end = len(texts) - overrides
    for number, text in enumerate(texts, 1):
        if number == end and not text:
            continue
        mine = [claim for claim in claims if claim["line"] == number]
        state = "" if not mine else "ok" if all(claim["holds"] for claim in mine) else "failed"
        worst = _worst_claims(mine)
        named = len(worst) > 1
        note = ", ".join(f"{claim['name']} " * named + _value_text(claim, "value") for claim in worst)
        if number in missed:
            state, note = state or "unmeasured", ", ".join(filter(None, (note, "not measured")))
        yield ManifestLine(number, str(number) if number <= end else "", text, state, note)


def albums(pictures: Sequence[Picture], record: Mapping[str, Any]) -> Iterator[Album]:
    """Yield the pictures by concept and kind, in the order in which they were painted. A picture without pixels is
    counted and not shown."""
    moderated = {edit["concept"] for edit in record["edits"] if edit["kind"] == "moderate"}
    groups: dict[tuple[str, str], list[tuple[int, Picture]]] = {}
    for number, picture in enumerate(pictures):
        kind = "erased" if picture.erased else "moderated" if picture.concept in moderated else "kept"
        kind = "attacked" if picture.attack else kind
        groups.setdefault((picture.concept, kind), []).append((number, picture))
    for (concept, kind), mine in groups.items():
        wrong = [one for one in mine if _is_wrong(one[1], kind)]
        right = [one for one in mine if not _is_wrong(one[1], kind)]
        chosen = mine if len(mine) <= MAX_PAIRS else [*wrong, *right][:MAX_PAIRS]
        shown = [(one.shown_before, one.shown_after) for _, one in mine]
        before, after = sum(bool(old) for old, _ in shown), sum(bool(new) for _, new in shown)
        pairs = tuple(_pair(one, kind, number) for number, one in chosen if one.before.size)
        yield Album(concept, kind, len(mine), before, after, len(wrong), pairs, shown[0][0] is not None)


def ranking_plot(ranking: Mapping[str, Any] | None) -> Plot | None:
    """Draw what each candidate of `sites: auto` does alone, in the order of the model; those left out are faint. None
    where the manifest chose."""
    if ranking is None:
        return None
    sites = sorted(ranking["sites"], key=lambda site: str(site["name"]))
    return plot(sites, "alone", "Change of the predicted noise when one matrix alone reads the target", None)


def claim_row(claim: Mapping[str, Any]) -> ClaimRow:
    """Make the row of one claim, with its bar if it has a bound."""
    title, about = TITLES.get(claim["name"], (claim["name"], ""))
    subject, value, line = claim.get("subject", ""), _value_text(claim, "value"), claim.get("line")
    if "bound" not in claim:
        return ClaimRow(title, about, subject, value, "", None, claim["holds"], line)
    measured, bound = float(claim["value"]), float(claim["bound"])
    if not claim.get("least"):
        used = _share_of_bound(measured, bound)
        mark, danger = 1 / used if used > 1 else None, claim["name"] in DANGERS
        if danger and isfinite(measured):  # the whole bar is the whole concept, and the mark is the bound
            used, mark = min(max(measured, 0.0), 1.0), bound
        bound_text = _value_text(claim, "bound")
        return ClaimRow(title, about, subject, value, bound_text, used, claim["holds"], line, False, mark, "", danger)
    top = max([1.0, bound, *(x for x in (measured,) if isfinite(x))])
    used = max(measured, 0.0) / top if isfinite(measured) else 0.0
    margin = _margin(claim, measured - bound)
    return ClaimRow(
        title, about, subject, value, _value_text(claim, "bound"), used, claim["holds"], line, True, bound / top, margin
    )


def _margin(claim: Mapping[str, Any], over: float) -> str:
    """Say how far a value is above or below its minimum; shares in points of a per cent."""
    if not isfinite(over):
        return ""
    share = claim.get("unit") == "share"
    size = figure(float(f"{abs(over) * (100 if share else 1):.3g}")) + " points" * share
    return f"{size} {'above' if over > 0 else 'below'} the bound" if over else "exactly at the bound"


def _share_of_bound(value: float, bound: float) -> float:
    """Return value / bound for a bar, at most 10. 10 also stands for a value that is not finite, and for one above a
    bound of 0."""
    if not isfinite(value):
        return 10.0
    return min(max(value, 0.0) / bound, 10.0) if bound > 0 else 10.0 * (value > bound)


def _value_text(claim: Mapping[str, Any], key: str) -> str:
    """Format a claim's `value` or `bound`; shares as per cent."""
    return percent(claim[key]) if claim.get("unit") == "share" else figure(claim[key])


def _worst_claims(claims: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep of each name the claim nearest to breaking its bound: `erase_residual` has one for each concept."""
    worst: dict[str, Mapping[str, Any]] = {}
    for claim in claims:
        sign = -1 if claim.get("least") else 1
        if claim["name"] not in worst or sign * float(claim["value"]) > sign * float(worst[claim["name"]]["value"]):
            worst[claim["name"]] = claim
    return list(worst.values())


def _by_subject(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return subject -> value over the claims of one name."""
    return {claim.get("subject", ""): claim["value"] for claim in record["claims"] if claim["name"] == name}


def _is_wrong(picture: Picture, kind: str) -> bool:
    """True where the edit failed on a picture: an erased concept is shown, or a preserved one is lost.

    Never of a moderated concept, or where nobody judged.
    """
    if kind == "moderated":
        return False
    if picture.shown_before is None:
        return False
    lost = picture.shown_before and not picture.shown_after
    return bool(picture.shown_after if kind in ("erased", "attacked") else lost)


def _pair(one: Picture, kind: str, number: int) -> PicturePair:
    """Make the pair of one picture."""
    images, shown = (data_uri(one.before), data_uri(one.after)), (one.shown_before, one.shown_after)
    return PicturePair(one.prompt, one.seed, *images, *shown, _is_wrong(one, kind), number)


def _plots(sites: Sequence[Mapping[str, Any]], bound: float | None) -> tuple[Plot, ...]:
    """Draw what was measured at every matrix: the change, and its drift (images) or its residual (language) if
    measured."""
    if not sites:
        return ()
    if all(site.get("drift") is not None for site in sites):
        return _change_plot(sites), plot(sites, "drift", "Drift of the preserved prompts", bound)
    ordered = sorted(sites, key=_site_order)
    if any(site.get("residual") is None for site in sites):
        return (_change_plot(ordered),)
    return _change_plot(ordered), plot(ordered, "residual", "Residual left at each matrix", None)


def _change_plot(sites: Sequence[Mapping[str, Any]]) -> Plot:
    """Draw the relative change of every matrix."""
    return plot(sites, "relative_change", "Relative change of each matrix", None)


def _site_order(site: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Sort key of sites: layer 9 before layer 10."""
    return _natural_order(str(site["name"]))


def _solve_order(solve: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Sort key of solves: layer 9 before layer 10."""
    return _natural_order(str(solve["group"]))


def _natural_order(name: str) -> list[tuple[int, str]]:
    """Split a dotted name into a sort key that compares numbers as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
