"""`editc head build`: take labels out of a classifier's head, measure it, and write a delta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from editc.core.delta import Delta, Factors, Site
from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.core.measurements import Claim, claim_fields
from editc.core.site_bytes import edit_bytes, site_record
from editc.core.storage.disk import check_folder, clear, replace_file
from editc.families.classifier import CLASSIFIER
from editc.formats.containers.canonical import canonical_json
from editc.formats.delta.container import write_delta
from editc.heads.model import OpenedHead, numbers_of, open_head, read_examples
from editc.libraries.tool import tool
from editc.manifests.decode import read_source
from editc.manifests.heads import HeadManifest, read_head_manifest
from editc.numerics.bits import dtypes
from editc.numerics.ridge import SingularError
from editc.passes.heads.measure import measure_head
from editc.passes.heads.methods import METHODS, Examples, Head, HeadEdit, edit_head
from editc.verbs.paths import DELTA, REPORT


@dataclass(frozen=True)
class BuiltHead:
    """What `editc head build` gave."""

    claims: tuple[Claim, ...]
    """What was measured. Empty without examples."""
    delta: Delta | None
    """The delta as written. None if a bound is broken."""
    failures: tuple[Diagnostic, ...]
    """One E501 for each broken bound."""
    files: tuple[Path, ...]
    """The files that were written."""


def build_head(path: Path, out: Path) -> BuiltHead:
    """Build a manifest of `editc head build` into the folder `out`: delta.safetensors and report.json.

    Raises the mistakes of the manifest, and E659 for labels, examples and models that do not fit.
    """
    check_folder(out)
    manifest = read_head_manifest(read_source(path))
    head = open_head(_beside(path, manifest.model))
    gone = _numbers(manifest, head)
    examples = {name: read_examples(path.parent / name, head) for name in (manifest.features, manifest.verify) if name}
    edit = _solve(manifest, head.head(), gone, examples)
    factors = _factors(edit)
    after = _edited(head, factors)
    measured = examples.get(manifest.verify or manifest.features or "")
    claims = () if measured is None else _claims(manifest, head.head(), after, measured, gone)
    failures = tuple(_failure(claim, manifest) for claim in claims if not claim.holds)
    return _write(BuiltHead(claims, None, failures, ()), _delta(manifest, head, factors, claims), manifest, out)


def _beside(path: Path, model: str) -> Path | str:
    """The model: beside the manifest, or where the command runs."""
    near = path.parent / model
    return near if not Path(model).is_absolute() and near.exists() else model


def _numbers(manifest: HeadManifest, head: OpenedHead) -> list[int]:
    """The numbers of the erased labels. Raises E659 for a label that the model does not have."""
    try:
        return numbers_of(manifest.erased, head)
    except LookupError as error:
        from editc.registry.table import nearest

        label = str(error.args[0])
        near = nearest(label, head.labels)
        help_ = f"did you mean `{near}`?" if near else f"its labels: {', '.join(head.labels[:12])}"
        span = manifest.spans.get(f"erase.{manifest.erased.index(label)}")
        raise EditcError(
            Diagnostic("E659", f"the model has no label `{label}`", span, manifest.source, help_)
        ) from error


def _solve(manifest: HeadManifest, head: Head, gone: Sequence[int], examples: Mapping[str, Examples]) -> HeadEdit:
    """The edit. Raises E659 where the examples do not show the class, or where too few labels stay."""
    find = METHODS[manifest.method]
    span = manifest.spans.get("features", manifest.spans.get("edits"))
    try:
        eraser = None
        if find is not None:
            given = examples[str(manifest.features)]
            if any(not given.of([one]).any() for one in gone) or given.of(gone).all():
                raise ValueError("they need examples of each erased label, and of others")
            eraser = find(given, gone)
        return edit_head(head, gone, eraser)
    except (SingularError, ValueError) as error:
        why = "they do not tell the class from the others" if isinstance(error, SingularError) else str(error)
        help_ = "give examples of the class, and of others with their labels or -1; erase fewer labels"
        message = f"the labels cannot be erased: {why}"
        raise EditcError(Diagnostic("E659", message, span, manifest.source, help_)) from error


def _factors(edit: HeadEdit) -> dict[str, Factors]:
    """The edit as a delta stores it, in float32."""
    left, right = edit.left.astype(np.float32), edit.right.astype(np.float32)
    found = {"head": Factors("low-rank", (0,), (left,), (right,))}
    if edit.bias is not None:
        found["bias"] = Factors("dense", (1,), (edit.bias.astype(np.float32)[:, None],), ())
    return found


def _edited(head: OpenedHead, factors: Mapping[str, Factors]) -> Head:
    """The head as it will be stored."""
    found = [_stored(head, site, factors[site.group]) for site in head.sites]
    return Head(found[0], found[1][:, 0] if len(found) > 1 else None)


def _stored(head: OpenedHead, site: Site, factors: Factors) -> Any:
    """A tensor of the head after the edit, in float64."""
    raw = head.weights.stored(site.name)
    return dtypes.decode(edit_bytes(raw, site.dtype, site, factors, 0), site.dtype, site.shape)


def _claims(
    manifest: HeadManifest, before: Head, after: Head, examples: Examples, gone: Sequence[int]
) -> tuple[Claim, ...]:
    """What was measured, each bound with its place."""
    found = measure_head(before, after, examples, gone, manifest.bounds)
    return tuple(replace(one, span=manifest.spans.get(f"constraints.{one.name}")) for one in found)


def _failure(claim: Claim, manifest: HeadManifest) -> Diagnostic:
    """E501 for a broken bound."""
    limit = "at least" if claim.least else "at most"
    message = f"{claim.name} is {claim.value:.4g}, and must be {limit} {claim.bound:g}"
    return Diagnostic(
        "E501", message, claim.span, manifest.source, help="`method: row` leaves all other logits as they are"
    )


def _delta(manifest: HeadManifest, head: OpenedHead, factors: Mapping[str, Factors], claims: Sequence[Claim]) -> Delta:
    """The delta. Raises E502 where nothing would change."""
    weights = head.weights
    if all(_stored(head, s, factors[s.group]).tobytes() == weights.read(s.name).tobytes() for s in head.sites):
        raise fail("E502", "no stored value changes", place=head.model.place, help="is the label erased already?")
    records = tuple(site_record(site, weights.read(site.name), factors[site.group], 0) for site in head.sites)
    edits = tuple(
        {"kind": "erase", "concept": label, "method": manifest.method, "options": {}, "strength": 1.0}
        for label in manifest.erased
    )
    text = manifest.source.text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    told = tuple(claim_fields(claim) for claim in claims)
    return Delta(CLASSIFIER.name, records, factors, "", text, digest, edits, told, tool(), 1)


def _write(built: BuiltHead, delta: Delta, manifest: HeadManifest, out: Path) -> BuiltHead:
    """Write the delta, unless a bound is broken, and the report. A delta of an earlier build goes."""
    out.mkdir(parents=True, exist_ok=True)
    clear(out / DELTA)
    written = None if built.failures else write_delta(delta, out / DELTA)
    record = {
        "report": 1,
        "status": "failed" if built.failures else "met" if manifest.bounds else "measured",
        "model": manifest.model,
        "method": manifest.method,
        "erased": list(manifest.erased),
        "delta_id": written.delta_id if written else "",
        "claims": [claim_fields(claim) for claim in built.claims],
        "notes": list(CLASSIFIER.notes),
    }
    replace_file(out / REPORT, (canonical_json(record) + "\n").encode())
    files = (*((out / DELTA,) if written else ()), out / REPORT)
    return replace(built, delta=written, files=files)
