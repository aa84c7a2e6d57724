"""The report of a build: every measurement as JSON, and one HTML page that opens without a server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import numpy as np

from editc.core import diagnostics as diagnosed
from editc.core import verdict as verdicts
from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic
from editc.core.manifest import Manifest
from editc.core.measurements import Certificate, Claim, Picture, claim_fields
from editc.core.plan import Ranking
from editc.core.solution import Verified
from editc.judging import unanswered_claims
from editc.report import record_image, record_language

KIND_FIELDS: Mapping[str, Callable[[Verified], Mapping[str, Any]]] = {
    "image": record_image.kind_fields,
    "language": record_language.kind_fields,
}
"""Kind of model -> the fields of report.json that differ between kinds: what was asked and how it was solved."""
DIGITS = 9
"""Significant digits of a figure in report.json. With more, machines would differ, because they sum in another
order."""


def as_json(
    verified: Verified,
    delta: Delta | None = None,
    *,
    diagnostics: Iterable[Diagnostic] = (),
    tool: str = "",
    exports: Sequence[Mapping[str, Any]] = (),
    encoders: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the whole report as plain JSON values. A figure that is not finite becomes the text `inf`, `-inf` or
    `nan`.

    `delta` is what was written; None where a bound is broken. `diagnostics` are those of the build. `exports` says what
    other programs read of the exports, and depends on which are installed. Nothing else depends on time or place: the
    same build gives the same bytes (`as_text`). `encoders` says what ran each network (`Context.encoder_runners`).
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
        "encoders": dict(encoders),
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
        **({"attacks": [one.as_recorded() for one in report.attacks]} if report.attacks else {}),
        "exports": exports,
        "diagnostics": [diagnosed.as_json(one) for one in found],
    }
    return {name: to_plain(value) for name, value in record.items()}


def status(verified: Verified, found: Iterable[Diagnostic] = ()) -> str:
    """Return `failed` where a bound is broken or the build found an error, `met` where every bound holds, else
    `measured`: there is no bound, or one that nothing measured."""
    report, manifest = verified.report, verified.solution.problem.plan.manifest
    if any(not claim.holds for claim in report.claims) or any(one.is_error for one in found):
        return "failed"
    bounded = any(claim.bound is not None for claim in report.claims)
    return "met" if bounded and not unanswered_claims(report, manifest) else "measured"


def as_text(record: Mapping[str, Any]) -> str:
    """Write canonical JSON: sorted keys, an indent of one, a line break at the end."""
    return json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_html(verified: Verified, record: Mapping[str, Any]) -> str:
    """Render the page for `record`, which is `as_json(verified, ...)`. Pictures are inside it; it refers to nothing
    outside."""
    from editc.report import page
    from editc.report.rendering import render

    return render("report.html.j2", {"record": record, **page.template_values(verified.report.pictures, record)})


def to_plain(value: Any) -> Any:
    """Convert a value to what JSON holds: numpy scalars unwrapped, floats to DIGITS digits, tuples as lists, keys as
    text."""
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
    """Return what `sites: auto` measured, best site first; None where the manifest chose."""
    if ranking is None:
        return None
    return {
        "share": ranking.share,
        "reached": dict(zip(ranking.concepts, ranking.reached, strict=True)),
        "sites": [
            {
                "name": one.site.name,
                "role": one.site.role,
                "kept": one.chosen,
                "alone": one.alone,
                "each": dict(zip(ranking.concepts, one.by_concept, strict=True)),
                "without": one.reached_without,
            }
            for one in ranking.sites
        ],
    }


def _manifest(manifest: Manifest) -> Mapping[str, Any]:
    """Return name, text and digest of the manifest, and what it preserves."""
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
    """Return a claim, with its bound and the place of the bound where it has one."""
    record = claim_fields(claim) | {"holds": claim.holds}
    if claim.bound is None:
        return {name: value for name, value in record.items() if name not in ("least", "line")}
    return record | ({"column": claim.span.column} if claim.span else {})


def _certificate(one: Certificate) -> Mapping[str, Any]:
    """Return a certificate without the rows of its attacks, and how many sentences it has."""
    shown = {field.name: getattr(one, field.name) for field in fields(one) if field.name != "attacks"}
    return shown | {"sentences": len(one.attacks)}


def _picture(picture: Picture) -> Mapping[str, Any]:
    """Return a picture with the sha256 of its pixels in their place."""
    return {
        "concept": picture.concept,
        "prompt": picture.prompt,
        "seed": picture.seed,
        "erased": picture.erased,
        "before": pixels_digest(picture.before),
        "after": pixels_digest(picture.after),
        "shown_before": picture.shown_before,
        "shown_after": picture.shown_after,
        "attack": picture.attack,
    }


def pixels_digest(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    """Return a sha256 over the shape and the bytes of a picture (h, w, 3)."""
    return sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
