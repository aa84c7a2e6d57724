"""A bill of materials: a delta as a CycloneDX document of version 1.6, the same bytes for the same delta.
https://cyclonedx.org/docs/1.6/json/"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from editc.core.delta import Delta
from editc.core.places import Source
from editc.core.verdict import Share
from editc.formats.delta.parts import parts
from editc.manifests.decode import parse
from editc.signing.provenance import attacks_of
from editc.signing.statement import Statement

BOM = "https://cyclonedx.org/bom"
"""The type of the predicate with a bill of materials."""
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
"""Where the schema of the document is published."""
MODEL = "machine-learning-model"
"""The type of components that are models, or changes of models."""


def state_bom(delta: Delta, name: str, digest: str) -> Statement:
    """The bill of materials as a statement about the delta's file: its name and sha256."""
    return Statement({name: digest}, BOM, make_bom(delta, name, digest))


def to_bytes(bom: Mapping[str, Any]) -> bytes:
    """The bytes of the document."""
    return (json.dumps(bom, indent=1, sort_keys=True) + "\n").encode()


def make_bom(delta: Delta, name: str, digest: str) -> dict[str, Any]:
    """The document as JSON values: the delta with its measurements, the base that it changes, the detectors."""
    tool, _, version = delta.tool.partition(" ")
    made = {
        "type": MODEL,
        "bom-ref": "delta",
        "name": name,
        "version": delta.delta_id[:12],
        "description": _described(delta),
        "hashes": _hashes(digest),
        "pedigree": {"ancestors": [_base(delta)], "patches": [_patch(delta, name)]},
        "modelCard": _card(delta),
        "properties": [_property("editc:delta_id", delta.delta_id), _property("editc:family", delta.family)],
    }
    detectors = [_detector(part, number) for number, part in enumerate(parts(delta)) if _identity(part)]
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'urn:editc:delta:{delta.delta_id}:{name}')}",
        "metadata": {
            "tools": {"components": [{"type": "application", "name": tool or "unknown", "version": version}]},
            "component": made,
        },
        "components": detectors,
        "dependencies": [{"ref": "delta", "dependsOn": ["base"]}],
    }


def _base(delta: Delta) -> dict[str, Any]:
    """The model that the delta changes: its name in the manifests, and each tensor with its hash."""
    models = sorted({one for part in delta_manifests(delta) if (one := parse(Source("manifest", part)).model)})
    tensors = []
    for record in delta.sites:
        known = record.base.get(record.site.dtype)
        hashes = {"hashes": _hashes(known)} if known else {}
        tensors.append({"type": "data", "name": f"{record.site.component}/{record.site.name}", **hashes})
    return {
        "type": MODEL,
        "bom-ref": "base",
        "name": ", ".join(models) or f"a {delta.family} model",
        "components": tensors,
    }


def delta_manifests(delta: Delta) -> Iterator[str]:
    """The texts of the manifests that a delta was built from; none where it was made from two checkpoints."""
    yield from (part.manifest for part in parts(delta) if part.manifest)


def _patch(delta: Delta, name: str) -> dict[str, Any]:
    """The change as a patch of the base, with what each edit is for."""
    edits = [{"type": "enhancement", "description": text} for text in _edits(delta)]
    return {"type": "unofficial", "diff": {"url": name}, "resolves": edits}


def _card(delta: Delta) -> dict[str, Any]:
    """The model card: methods, claims, attacks, and what the figures do not say."""
    methods = sorted({str(edit.get("method", "")) for edit in delta.edits} - {""})
    metrics = [_claim(one) for one in delta.claims if "name" in one and "value" in one]
    metrics += [_attack(one) for part in parts(delta) for one in attacks_of(part)]
    limits = ["The figures are the publisher's: `editc verify` measures the claims again.", *_unsure(delta)]
    return {
        "bom-ref": "card",
        "modelParameters": {"architectureFamily": delta.family, "task": "model editing"},
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {"technicalLimitations": limits},
        "properties": [_property("editc:method", one) for one in methods],
    }


def _claim(claim: Mapping[str, Any]) -> dict[str, Any]:
    """A claim as a metric; the bound is part of its type."""
    side = "at least" if claim.get("least") else "at most"
    bound = f" ({side} {claim['bound']:g})" if isinstance(claim.get("bound"), int | float) else ""
    metric = {"type": f"{claim['name']}{bound}", "value": _number(claim["value"])}
    return metric | ({"slice": str(claim["subject"])} if claim.get("subject") else {})


def _attack(one: Mapping[str, Any]) -> dict[str, Any]:
    """An attack as a metric: the share of pictures that show the concept again, with its 95 % limits."""
    metric: dict[str, Any] = {"type": f"brought_back by {one['attack']}", "slice": str(one["concept"])}
    shown, of = one["shown"], one["of"]
    if not isinstance(shown, int) or not isinstance(of, int) or not 0 <= shown <= of or not of:
        return metric | {"value": "not measured"}
    share = Share(shown, of)
    interval = {"lowerBound": _number(share.at_least), "upperBound": _number(share.at_most)}
    return metric | {"value": _number(shown / of), "confidenceInterval": interval}


def _unsure(delta: Delta) -> Iterator[str]:
    """What was not tried."""
    if not any(True for part in parts(delta) for _ in attacks_of(part)):
        yield "No attack was run when it was built."


def _edits(delta: Delta) -> Iterator[str]:
    """What each edit is for, in a few words."""
    for edit in delta.edits:
        goal = f" to {edit['to']}" if edit.get("to") else ""
        yield f"{edit.get('kind', 'edit')} {edit.get('concept') or edit.get('group') or '?'}{goal}"


def _described(delta: Delta) -> str:
    """The delta in a sentence."""
    return f"A change of {len(delta.sites)} matrices of a {delta.family} model: {'; '.join(_edits(delta))}."


def _detector(part: Delta, number: int) -> dict[str, Any]:
    """The detector that judged a part, as a component."""
    known = _identity(part)
    digest = known.get("sha256")
    hashes = {"hashes": _hashes(digest)} if isinstance(digest, str) else {}
    return {"type": MODEL, "bom-ref": f"detector-{number}", "name": str(known.get("name", "detector")), **hashes}


def _identity(part: Delta) -> Mapping[str, Any]:
    """What a delta records of its detector. Empty where none judged."""
    found = part.extra.get("detector")
    return found if isinstance(found, Mapping) else {}


def _hashes(digest: str) -> list[dict[str, str]]:
    """A sha256 as CycloneDX writes it."""
    return [{"alg": "SHA-256", "content": digest}]


def _property(name: str, value: str) -> dict[str, str]:
    """A property by its name."""
    return {"name": name, "value": value}


def _number(value: Any) -> str:
    """A figure as text, because the metrics of CycloneDX are texts."""
    return f"{value:.7g}" if isinstance(value, int | float) else str(value)
