"""Say what a delta is, what its build measured, for which checkpoint it is, and who signed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from editc import api
from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.text import count
from editc.formats.apply.carried import name_edits
from editc.publish.card import manifest_model
from editc.registry.families import FAMILIES

UNSIGNED = "signature: not checked, because no public key is given"
"""What is said of a signature that nobody asked to check."""


def describe_delta(delta: Delta) -> str:
    """A delta in some lines: edits, base, tool, claims."""
    return "\n".join(_lines(delta))


def describe_signature(file: Path, key: Path | None, policy: Path | None) -> str:
    """Whose signature a delta has. Raises EditcError if it has none by this key, or the policy does not admit it."""
    if key is None and policy is None:
        return UNSIGNED
    signed = api.verify_signature(file, () if key is None else key, policy=policy)
    return f"signature: by {signed.key.name} ({signed.key.fingerprint[:16]}...), unchanged since"


def describe_error(error: EditcError) -> str:
    """What ComfyUI shows in place of a traceback: what is wrong, and what to do."""
    return "\n\n".join(_problem(one) for one in error.diagnostics)


def _lines(delta: Delta) -> Iterator[str]:
    """Yield the lines of `describe_delta`."""
    known = delta.family in FAMILIES.names("image")
    family = FAMILIES.resolve(delta.family).title if known else delta.family
    parts = ", ".join(sorted({record.site.component for record in delta.sites}))
    yield f"{name_edits(delta.edits)}: delta {delta.delta_id[:12]}"
    yield f"for: {family}, {manifest_model(delta) or 'a model that it does not name'}"
    yield f"edits: {count(len(delta.sites), 'matrix')} in {parts}, each with the sha256 of its weights before"
    yield f"made by: {delta.tool}, from the manifest with the sha256 {delta.manifest_digest[:12]}"
    yield "measured when it was built:" if delta.claims else "measured when it was built: nothing"
    yield from (f"  {_claim(claim)}" for claim in delta.claims)


def _claim(claim: Mapping[str, Any]) -> str:
    """A measurement with its bound."""
    name = " ".join(str(claim[part]) for part in ("name", "subject") if claim.get(part))
    bound = claim.get("bound")
    side = "at least" if claim.get("least") else "at most"
    return f"{name}: {_figure(claim.get('value'))}" + ("" if bound is None else f" ({side} {_figure(bound)})")


def _figure(value: Any) -> str:
    """A number with four digits."""
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _problem(one: Diagnostic) -> str:
    """One diagnostic in a few lines."""
    where = f" ({one.where})" if one.where else ""
    lines = [f"{one.code}: {one.message}{where}", *(f"- {note}" for note in one.notes)]
    return "\n".join([*lines, *([f"What to do: {one.help}"] if one.help else [])])
