"""What a linked delta keeps of each of its parts: the part's manifest, edits and claims, and which sites it edited.

`manifest` of the linked delta is all their manifests one after the other, as YAML documents. `extra.linked` has an
object for each part: `delta_id`, `tool`, `manifest` (where its text begins in `manifest`, and where it ends, not
included), `manifest_digest`, `sites` (numbers into the list of sites) and `extra`, the part's own. Edits and claims
name their part by its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from editc.core.delta import Delta, SiteRecord
from editc.core.diagnostics import fail

LINKED_KEY = "linked"
"""The key of `extra` with the parts of a linked delta."""


def is_linked(delta: Delta) -> bool:
    """True for a delta that was linked from others."""
    return LINKED_KEY in delta.extra


def parts(delta: Delta) -> tuple[Delta, ...]:
    """The parts of a linked delta, as far as it keeps them: without factors, and with site records as they are in
    `delta`.

    A delta that was not linked is its own only part. Raises E656 where the parts make no sense.
    """
    if not is_linked(delta):
        return (delta,)
    try:
        return tuple(_read_part(delta, number, entry) for number, entry in enumerate(delta.extra[LINKED_KEY]))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        message = "the delta's list of the deltas that were linked into it is not valid"
        raise fail("E656", message, place=delta.delta_id[:12], help="link them again") from error


def join_parts(parts: Sequence[Delta], sites: Sequence[SiteRecord], composed: bool) -> Mapping[str, Any]:
    """The fields of a linked delta that describe its parts: `manifest` and its digest, `edits`, `claims`, `extra`.

    `sites` are the records of the linked delta; `composed` as in `Arrangement`.
    """
    places = {(record.site.component, record.site.name): index for index, record in enumerate(sites)}
    text, entries = "", []
    for number, part in enumerate(parts):
        text += ("---\n" if number else "") + f"# delta {part.delta_id}\n"
        entries.append(
            _describe_part(part, len(text), sorted(places[r.site.component, r.site.name] for r in part.sites))
        )
        text += part.manifest if part.manifest.endswith("\n") else f"{part.manifest}\n"
    return {
        "manifest": text,
        "manifest_digest": sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        "edits": tuple({**edit, "part": number} for number, part in enumerate(parts) for edit in part.edits),
        "claims": tuple({**claim, "part": number} for number, part in enumerate(parts) for claim in part.claims),
        "extra": {LINKED_KEY: entries, "composed": composed},
    }


def _describe_part(part: Delta, start: int, sites: Sequence[int]) -> Mapping[str, Any]:
    """The entry of `extra.linked` for one part, whose manifest begins at `start`."""
    return {
        "delta_id": part.delta_id,
        "tool": part.tool,
        "manifest": [start, start + len(part.manifest)],
        "manifest_digest": part.manifest_digest,
        "sites": list(sites),
        "extra": dict(part.extra),
    }


def _read_part(delta: Delta, number: int, entry: Mapping[str, Any]) -> Delta:
    """A part from its entry. Raises ValueError, KeyError or TypeError for an entry that makes no sense."""
    (start, end), sites = entry["manifest"], entry["sites"]
    if not 0 <= start <= end <= len(delta.manifest) or not all(0 <= index < len(delta.sites) for index in sites):
        raise ValueError("out of range")
    return replace(
        delta,
        delta_id=str(entry["delta_id"]),
        tool=str(entry["tool"]),
        manifest=delta.manifest[start:end],
        manifest_digest=str(entry["manifest_digest"]),
        sites=tuple(delta.sites[index] for index in sites),
        factors={},
        edits=_items_of(number, delta.edits),
        claims=_items_of(number, delta.claims),
        extra=dict(entry["extra"]),
    )


def _items_of(number: int, items: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The edits or claims of one part, without its number."""
    mine = (item for item in items if item["part"] == number)
    return tuple({name: value for name, value in item.items() if name != "part"} for item in mine)
