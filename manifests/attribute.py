"""`erase: ATTRIBUTE` with `from: THING`: the edit that takes an attribute out of one thing, and what it preserves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from editc.core.manifest import Manifest, Preserve, Request
from editc.core.places import Span
from editc.core.text import Attribute, fold_name
from editc.manifests.faults import Faults, tick
from editc.registry.methods import METHODS

CLOSED_FORM = "a closed form maps single rows, and the row of a word is the same before every thing"
"""Why such an edit does not tell one thing from others (docs/measurements/attribute.md)."""


def read_attribute(values: Mapping[str, Any], spans: dict[str, Span], faults: Faults) -> dict[str, Any]:
    """The fields of an `erase` with `from` or `phrases`: the concept is the thing with the attribute, in each of its
    phrases, the target is the thing, and a detector looks for the attribute.

    E152 for `phrases` without `from`, and for `from` with `to`.
    """
    rest = {name: value for name, value in values.items() if name not in ("thing", "phrases")}
    if "thing" not in spans:
        help_text = "add `from: THING`, or write the whole name as `erase: NAME`"
        faults.add(
            "E152",
            "`phrases` say how an attribute is said of a thing, and no thing is named",
            spans["phrases"],
            help=help_text,
        )
        return rest
    if "to" in spans:
        faults.add(
            "E152",
            "`from` names the target already: what is left is the thing alone",
            spans["to"],
            help="remove `to`; or remove `from`, and name the whole concept: `erase: red circle`, `to: ...`",
            related=[(spans["thing"], "the thing")],
        )
    thing, name = values.get("thing"), values.get("concept")
    if thing is None or name is None:
        return {key: value for key, value in rest.items() if key != "concept"}
    if fold_name(thing) == fold_name(name):
        faults.add(
            "E122",
            f"the thing {tick(thing)} is the attribute itself",
            spans["thing"],
            help="name what has the attribute",
            related=[(spans["concept"], "the attribute")],
        )
    said = values.get("phrases") or (f"{name} {{}}",)
    attribute = Attribute(name, thing, (*said, *(f"{one} {{}}" for one in rest.get("also", ()))))
    concept, *also = attribute.of(thing)
    places = [spans.get(f"phrases.{i}", spans["concept"]) for i in range(len(said))]
    places += [spans[f"also.{i}"] for i in range(len(rest.get("also", ())))]
    spans |= {f"also.{i}": place for i, place in enumerate(places[1:])}
    spans.setdefault("to", spans["thing"])
    label = rest.get("label", name)
    return {**rest, "concept": concept, "also": tuple(also), "to": thing, "label": label, "attribute": attribute}


def preserve_attributes(preserve: Preserve, edits: Sequence[Request]) -> Preserve:
    """Add to what is preserved by name, for each edit with `from`: the thing, and every preserved concept with the
    attribute. Names that another edit erases are left out."""
    edited = {fold_name(name) for edit in edits for name in edit.names}
    found = [*preserve.concepts]
    for one in (edit.attribute for edit in edits if edit.attribute):
        found += [one.thing, *(one.of(concept)[0] for concept in preserve.concepts)]
    kept = {
        fold_name(name): name for name in reversed(found) if name in preserve.concepts or fold_name(name) not in edited
    }
    return replace(preserve, concepts=tuple(reversed(kept.values())))


def _is_trained(method: str | None) -> bool:
    """True for a method that is trained, and so can tell a thing from others by more than one row."""
    return method is not None and getattr(METHODS.resolve(method), "edit_kind", "") == "train"


def check_attributes(manifest: Manifest, faults: Faults) -> None:
    """E153, a warning: a method in closed form does not tell one thing from others."""
    for edit in manifest.image_edits:
        if edit.attribute is None or "to:" in edit.spans:  # the second is E152
            continue
        if not _is_trained(manifest.method):
            message = f"{tick(edit.attribute.name)} will go from other things too, or stay with this one"
            help_text = (
                "take `method: unbind`, which is trained; or name other things under `preserve` and count pictures"
            )
            faults.add("E153", message, edit.at("thing"), help=help_text, notes=(CLOSED_FORM,), severity="warning")
