"""The report of a build: everything measured as JSON, and as one HTML page that opens without a server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np

from editc.core import diagnostics as diagnosed
from editc.core import verdict as verdicts
from editc.core.diagnostics import Diagnostic
from editc.core.ir import Delta, Ranking, Verified
from editc.core.manifest import Manifest
from editc.core.measurements import Certificate, Claim, Picture
from editc.judging import unanswered_claims
from editc.report import record_image, record_language

KIND_FIELDS: Mapping[str, Callable[[Verified], Mapping[str, Any]]] = {
    "image": record_image.kind_fields,
    "language": record_language.kind_fields,
}
"""Kind of model -> the fields that say what was asked and how it was solved; of a language model also what it was
asked."""
DIGITS = 9
"""Significant digits of a figure in report.json: more would differ between machines by the order of a sum."""


def as_json(
    verified: Verified,
    delta: Delta | None = None,
    *,
    diagnostics: Iterable[Diagnostic] = (),
    tool: str = "",
    exports: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The whole report as plain JSON values; a figure that is not finite is the text `inf`, `-inf` or `nan`.

    `delta` is what was written, None where a bound is broken; `diagnostics` are those of the build. Nothing depends on
    time or place: the same build gives the same bytes (`as_text`), but for `exports`, which say which programs were
    there to read them.
    """
    solution, report = verified.solution, verified.report
    plan = solution.problem.plan
    found = tuple(diagnostics)
    record = {
        "report": 1,
        "status": status(verified, found),
        "verdict": verdicts.as_json(verified.verdict),
        "tool": tool or (delta.tool if delta else ""),
        "delta_id": delta.delta_id if delta else "",
        "model": plan.model,
        "family": {"name": plan.family.name, "title": plan.family.title},
        "encoder": solution.problem.encoder,
        "corpus": solution.problem.corpus,
        "manifest": _manifest(plan.manifest),
        "claims": [_claim(claim) for claim in report.claims],
        **KIND_FIELDS[plan.manifest.kind](verified),
        "ranking": _ranking(plan.ranking),
        "sites": [{**row, "why": plan.evidence.get(str(row["name"]), "")} for row in report.sites],
        "certificates": [_certificate(one) for one in report.certificates],
        "pictures": [_picture(picture) for picture in report.pictures],
        "bystanders": [asdict(one) for one in report.bystanders],
        "detector": dict(report.detector),
        "exports": exports,
        "diagnostics": [diagnosed.as_json(one) for one in found],
    }
    return {name: to_plain(value) for name, value in record.items()}


def status(verified: Verified, found: Iterable[Diagnostic] = ()) -> str:
    """`failed`: a bound is broken, or the build found an error; `met`: every bound holds; `measured`: there is none, or
    one that nothing answered, so that nothing was promised."""
    report, manifest = verified.report, verified.solution.problem.plan.manifest
    if any(not claim.holds for claim in report.claims) or any(one.is_error for one in found):
        return "failed"
    bounded = any(claim.bound is not None for claim in report.claims)
    return "met" if bounded and not unanswered_claims(report, manifest) else "measured"


def as_text(record: Mapping[str, Any]) -> str:
    """Canonical JSON: sorted keys, an indent of one, a line break at the end."""
    return json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_html(verified: Verified, record: Mapping[str, Any]) -> str:
    """The page for `record` = `as_json(verified, ...)`, with the pictures inside it; it refers to nothing outside."""
    from editc.report import page

    return str(_template().render(record=record, **page.template_values(verified.report.pictures, record)))


@cache
def _template() -> Any:
    """The page's template, compiled once: a report is written before the exports and again with what came of them."""
    from importlib.resources import files

    from jinja2 import Environment, FunctionLoader, StrictUndefined

    from editc.report import words

    loader = FunctionLoader(lambda name: files("editc.report").joinpath("templates", name).read_text(encoding="utf-8"))
    world = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    world.filters |= {name: getattr(words, name) for name in words.FILTERS}
    return world.get_template("report.html.j2")


def to_plain(value: Any) -> Any:
    """`value` as JSON holds it: numpy scalars unwrapped, floats to nine digits, tuples as lists, keys as text."""
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(item) for item in value]
    return value


def _ranking(ranking: Ranking | None) -> Mapping[str, Any] | None:
    """What `sites: auto` measured, best first; None where the manifest chose."""
    if ranking is None:
        return None
    return {
        "share": ranking.share,
        "reached": dict(zip(ranking.concepts, ranking.reached, strict=True)),
        "sites": [
            {
                "name": one.site.name,
                "role": one.site.role,
                "kept": one.kept,
                "alone": one.alone,
                "each": dict(zip(ranking.concepts, one.each, strict=True)),
                "without": one.without,
            }
            for one in ranking.sites
        ],
    }


def _manifest(manifest: Manifest) -> Mapping[str, Any]:
    return {
        "name": manifest.source.name,
        "digest": manifest.digest,
        "lines": manifest.source.lines,
        "overrides": len(manifest.source.overrides),
        "seed": manifest.seed,
        "preserve": {
            "concepts": manifest.preserve.concepts,
            "prompts": len(manifest.preserve.prompts) + len(manifest.preserve_lines),
        },
    }


def _claim(claim: Claim) -> Mapping[str, Any]:
    record: dict[str, Any] = {"name": claim.name, "value": claim.value, "holds": claim.holds}
    record |= {name: text for name in ("subject", "unit") if (text := getattr(claim, name))}
    if claim.bound is not None:
        record["bound"] = claim.bound
        record |= {"least": True} if claim.least else {}
        if claim.span is not None:
            record |= {"line": claim.span.line, "column": claim.span.column}
    return record


def _certificate(one: Certificate) -> Mapping[str, Any]:
    """A certificate without the rows of its attacks: on how many sentences there is one."""
    shown = {field.name: getattr(one, field.name) for field in fields(one) if field.name != "attacks"}
    return shown | {"sentences": len(one.attacks)}


def _picture(picture: Picture) -> Mapping[str, Any]:
    """A picture without its pixels, by their sha256."""
    return {
        "concept": picture.concept,
        "prompt": picture.prompt,
        "seed": picture.seed,
        "erased": picture.erased,
        "before": _digest(picture.before),
        "after": _digest(picture.after),
        "shown_before": picture.shown_before,
        "shown_after": picture.shown_after,
        "attack": picture.attack,
    }


def _digest(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    return sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
