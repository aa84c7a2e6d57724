"""A delta's description as canonical JSON, and back: everything except the factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from editc.core.delta import Delta, Factors, Form, Site, SiteRecord
from editc.core.diagnostics import fail
from editc.formats.containers.canonical import damage_error

FORMAT = "editc-delta"
"""What `format` says in every delta's description."""
VERSION = 2
"""The newest version that this code reads and writes. `packing` is what version 2 changes."""
COMPATIBILITY = "hashes-1"
"""The rule by which a base is accepted; FORMAT.md states it."""

_TEXTS = ("family", "encoder", "manifest", "manifest_digest", "tool", "delta_id")
"""Keys of the description whose values are texts."""
_KEYS = {"format", "version", "compatibility", "sites", "groups", "edits", "claims", "extra", *_TEXTS}
"""All keys of the description."""
_SITE = {"component": str, "name": str, "dtype": str, "role": str, "group": str, "transposed": bool, "shape": list}
"""Key of a site -> the type of its value."""
_SKETCH = "sketch"
"""The key of a site under which its sketch stands."""
_HASHES = ("base", "base_transposed", "result")
"""Keys of a site with maps from dtype to sha256."""
_FORMS: Mapping[str, Form] = {"shared": "shared", "low-rank": "low-rank", "dense": "dense", "xor": "xor"}
"""The forms that a group can have."""
_COUNTS = {"form", "sites", "left", "right"}
"""Keys that every group has; `bits` is there only where the group has bits."""


def describe(delta: Delta, delta_id: str) -> dict[str, Any]:
    """The JSON values of `delta`, with `delta_id` as given."""
    return {
        "format": FORMAT,
        "version": delta.version,
        "compatibility": COMPATIBILITY,
        "family": delta.family,
        "encoder": delta.encoder,
        "manifest": delta.manifest,
        "manifest_digest": delta.manifest_digest,
        "tool": delta.tool,
        "delta_id": delta_id,
        "edits": [dict(edit) for edit in delta.edits],
        "claims": [dict(claim) for claim in delta.claims],
        "extra": dict(delta.extra),
        "sites": [_describe_site(record) for record in delta.sites],
        "groups": {name: _describe_group(factors) for name, factors in delta.factors.items()},
    }


def _describe_group(f: Factors) -> dict[str, Any]:
    """A group as JSON: its form, its sites, and how many factors it has."""
    bits = {"bits": len(f.bits)} if f.bits else {}
    return {"form": f.form, "sites": list(f.sites), "left": len(f.left), "right": len(f.right), **bits}


def _describe_site(record: SiteRecord) -> dict[str, Any]:
    """A site's record as JSON."""
    site = {name: getattr(record.site, name) for name in _SITE} | {"shape": list(record.site.shape)}
    return site | {name: dict(getattr(record, name)) for name in _HASHES} | {_SKETCH: record.sketch}


def check_version(value: Any, place: str) -> None:
    """Raises E603 for what is not a delta, and E602 for a delta that only a newer editc reads."""
    if not isinstance(value, dict) or value.get("format") != FORMAT or type(value.get("version")) is not int:
        raise fail("E603", "the file is not an editc delta", place=place, help="a delta is what `editc build` writes")
    if value["version"] > VERSION or value["version"] < 1:
        raise fail(
            "E602",
            f"the delta has format version {value['version']}; this editc reads versions 1 to {VERSION}",
            place=place,
            help="install a newer editc, or ask for the delta in an older version",
        )


def site_records(value: Mapping[str, Any], place: str) -> tuple[SiteRecord, ...]:
    """The site records from a delta's JSON, in its order. Raises E601 where a value has the wrong type."""
    return tuple(_read_site(item, place) for item in value["sites"])


def check_types(value: Mapping[str, Any], place: str) -> None:
    """Raises E601 unless the description has exactly its keys, each with a value of its type; E602 for another
    compatibility rule."""
    if value.keys() != _KEYS:
        odd = sorted(value.keys() ^ _KEYS)
        raise damage_error(f"its description has missing or unknown keys: {', '.join(odd)[:200]}", place)
    if value["compatibility"] != COMPATIBILITY:
        rule = str(value["compatibility"])[:80]
        raise fail("E602", f"the delta asks for the compatibility rule '{rule}', which this editc lacks", place=place)
    lists, maps = (value["sites"], value["edits"], value["claims"]), (value["groups"], value["extra"])
    if not all(isinstance(value[name], str) for name in _TEXTS) or not all(isinstance(item, list) for item in lists):
        raise damage_error("a text or list of its description has another type", place)
    items = [*maps, *value["edits"], *value["claims"], *value["groups"].values()] if _is_map(maps[0]) else [None]
    if not all(_is_map(item) for item in items):
        raise damage_error("a map of its description has another type", place)


def read_group(value: Mapping[str, Any], group: str, place: str) -> tuple[Form, tuple[int, ...], int, int, int]:
    """A group from a delta's JSON: form, site numbers, and how many left factors, right factors and changes of bits it
    has. Raises E601."""
    entry = value["groups"][group]
    sites, left, right, bits = entry.get("sites"), entry.get("left"), entry.get("right"), entry.get("bits", 0)
    sound = entry.keys() - {"bits"} == _COUNTS and entry["form"] in list(_FORMS)
    if not sound or not _integers(sites) or not _integers([left, right, bits]):
        raise damage_error(f"its description of group '{group[:80]}' is malformed", place)
    return _FORMS[entry["form"]], tuple(sites), left, right, bits


def _read_site(item: Any, place: str) -> SiteRecord:
    """One site's record, checked. Raises E601."""
    if not _is_map(item) or item.keys() != {*_SITE, *_HASHES, _SKETCH}:
        raise damage_error("a site has missing or unknown keys", place)
    if not all(type(item[name]) is kind for name, kind in _SITE.items()) or not _integers(item["shape"]):
        raise damage_error("a value of a site has another type", place)
    if not all(_is_map(item[name]) and all(isinstance(h, str) for h in item[name].values()) for name in _HASHES):
        raise damage_error("the hashes of a site have another type", place)
    if not isinstance(item[_SKETCH], str):
        raise damage_error("the sketch of a site has another type", place)
    site = Site(**{name: item[name] for name in _SITE} | {"shape": tuple(item["shape"])})
    return SiteRecord(site, **{name: item[name] for name in (*_HASHES, _SKETCH)})


def _integers(value: Any) -> bool:
    """True for a list of whole numbers from 0 to below 2^40; no delta counts that far."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 40 for n in value)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)
