"""The rule that every key has a meaning for the manifest's kind of model, by `only` in the tables."""

from __future__ import annotations

from editc.core.manifest import Manifest
from editc.manifests import schema
from editc.manifests.faults import Faults, list_words, tick

TITLES = {"image": "an image model", "language": "a language model"}
"""Kind of model -> its name in messages."""
_BOUNDS = [field.name for field in schema.CONSTRAINTS.fields if field.only == "language"]
"""The bounds that only language models have."""
ADVICE = {
    "language": {
        schema.PRESERVE: "write texts that are to stay under `retain`, and prompts with their answers under "
        "`neighbours` of an edit",
        schema.CONSTRAINTS: f"bounds for a language model: {list_words(_BOUNDS, 'and')}",
    }
}
"""Kind of model -> table of keys -> what to write there instead of a key that is for the other kind."""


def own_keys(manifest: Manifest, faults: Faults) -> None:
    """E185: every key and role has a meaning for the kind of model that the edits are for."""
    kind, other = TITLES[manifest.kind], "language" if manifest.kind == "image" else "image"
    blocks = (
        (schema.MANIFEST, manifest),
        (schema.PRESERVE, manifest.preserve),
        (schema.SITES, manifest.sites),
        (schema.CONSTRAINTS, manifest.constraints),
    )
    for table, block in blocks:
        for field in table.fields:
            if field.only == other and f"{field.attribute}:" in block.spans:
                span = block.at(f"{field.attribute}:")
                message = f"{tick(field.name)} has no meaning for {kind}, which these edits are for"
                faults.add("E185", message, span, help=_advice(field.name, manifest))
    for i, role in enumerate(manifest.sites.roles):
        if ("language" if role in schema.LANGUAGE_ROLES else "image") != manifest.kind:
            message = f"{tick(role)} is no role in {kind}, which these edits are for"
            faults.add("E185", message, manifest.sites.at(f"roles.{i}"), help="leave `roles` out for the family's own")


def _advice(name: str, manifest: Manifest) -> str:
    """What to write instead of a key that has no meaning."""
    for table, help in ADVICE.get(manifest.kind, {}).items():
        if table.field(name):
            return help
    return "remove it"
