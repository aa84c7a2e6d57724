"""The statement of where a delta comes from: SLSA provenance, version 1, from what the delta records.
https://slsa.dev/spec/v1.0/provenance"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from editc.core.delta import Delta, SiteRecord
from editc.core.places import Source
from editc.formats.delta.parts import parts
from editc.manifests.decode import decode
from editc.signing.statement import Statement

PROVENANCE = "https://slsa.dev/provenance/v1"
"""The type of the predicate."""
BUILD = "urn:editc:build:1"
"""How the delta was made, as a URI: `editc build` of each manifest, linked if there are several."""


def state_provenance(delta: Delta, subject: Mapping[str, str]) -> Statement:
    """Where the delta comes from: its manifest, the tensors of the base, the tool and the seeds. `subject`: name and
    sha256 of its file."""
    made = parts(delta)
    about = {
        "buildType": BUILD,
        "externalParameters": {"manifests": [_manifest(part) for part in made]},
        "internalParameters": {
            "family": delta.family,
            "encoder": delta.encoder,
            "seeds": [_seeds(one) for one in made],
        },
        "resolvedDependencies": [_tensor(record) for record in delta.sites],
    }
    name, _, version = delta.tool.partition(" ")
    builder = {"id": f"urn:editc:builder:{name or 'unknown'}", "version": {name or "unknown": version}}
    run = {"builder": builder, "metadata": {"invocationId": delta.delta_id}}
    return Statement(subject, PROVENANCE, {"buildDefinition": about, "runDetails": run})


def _manifest(part: Delta) -> Mapping[str, Any]:
    """The manifest of a part: its hash, and the overrides of the command line."""
    digest = {"digest": {"sha256": part.manifest_digest}} if part.manifest_digest else {}
    return {"name": "manifest", **digest, "annotations": {"set": _texts(part.extra.get("set"))}}


def _seeds(part: Delta) -> Mapping[str, Any]:
    """The seeds of a part's build: that of its manifest, and that of each attack."""
    manifest, _ = decode(Source("manifest", part.manifest, tuple(_texts(part.extra.get("set")))), recorded=part.extra)
    own = {} if manifest is None else {"manifest": manifest.seed}
    return own | {f"attack {one['attack']} on {one['concept']}": one["seed"] for one in attacks_of(part)}


def attacks_of(part: Delta) -> Iterator[Mapping[str, Any]]:
    """What each attack on a delta came to, as far as its record has the fields that a build writes."""
    recorded = part.extra.get("attacks")
    for one in recorded if isinstance(recorded, list | tuple) else ():
        if isinstance(one, Mapping) and {"attack", "concept", "seed", "shown", "of", "control"} <= one.keys():
            yield one


def _tensor(record: SiteRecord) -> Mapping[str, Any]:
    """A tensor of the base by its name, with the sha256 of its bytes in the dtype that the base stores."""
    site = record.site
    known = record.base.get(site.dtype)
    digest = {"digest": {"sha256": known}} if known else {}
    return {"name": f"{site.component}/{site.name}", **digest, "annotations": {"dtype": site.dtype}}


def _texts(value: Any) -> list[str]:
    """A list of texts; empty for anything else."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []
