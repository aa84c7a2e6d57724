"""Which keys have a meaning for which kind of model: a rule over every manifest, by `only` in the tables."""

from __future__ import annotations

from editc.core.manifest import Manifest
from editc.manifests import schema
from editc.manifests.faults import Faults, either, tick


def own_keys(manifest: Manifest, faults: Faults) -> None:
    """Every key has a meaning for the kind of model that the edits are for."""
    kind, other = ("an image model", "language") if manifest.language is None else ("a language model", "image")
    blocks = (
        (schema.MANIFEST, manifest),
        (schema.PRESERVE, manifest.preserve),
        (schema.SITES, manifest.choice),
        (schema.CONSTRAINTS, manifest.constraints),
    )
    for table, block in blocks:
        for field in table.fields:
            if field.only == other and f"{field.attribute}:" in block.spans:
                span = block.at(f"{field.attribute}:")
                message = f"{tick(field.name)} has no meaning for {kind}, which these edits are for"
                faults.add("E185", message, span, help=_instead(field.name, manifest))
    for i, role in enumerate(manifest.choice.roles):
        if (role in schema.LANGUAGE_ROLES) != (manifest.language is not None):
            message = f"{tick(role)} is no role in {kind}, which these edits are for"
            faults.add("E185", message, manifest.choice.at(f"roles.{i}"), help="leave `roles` out for the family's own")


def _instead(name: str, manifest: Manifest) -> str:
    if manifest.language is not None and schema.PRESERVE.field(name):
        return (
            "write texts that are to stay under `retain`, and prompts with their answers under `neighbours` of an edit"
        )
    allowed = [field.name for field in schema.CONSTRAINTS.fields if field.only == "language"]
    if manifest.language is not None and schema.CONSTRAINTS.field(name):
        return f"bounds for a language model: {either(allowed, 'and')}"
    return "remove it"
