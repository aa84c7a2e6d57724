"""Rules over manifests that fuse adapters."""

from __future__ import annotations

from collections.abc import Callable

from editc.core.manifest import Manifest
from editc.manifests.faults import Faults


def fuse_stands_alone(manifest: Manifest, faults: Faults) -> None:
    """E180: adapters are added to the weights as they are, so no other edit can be solved in the same manifest."""
    fused = next((edit for edit in manifest.image_edits if edit.kind == "fuse"), None)
    other = next((edit for edit in manifest.image_edits if edit.kind != "fuse"), None)
    if fused is not None and other is not None:
        message = f"`fuse` adds a trained adapter, and `{other.kind}` is solved: one manifest cannot do both"
        help = "make two manifests, and build the second on the model that the first made"
        faults.add("E180", message, fused.at(), help=help, related=[(other.at(), "solved")])


def fusion_has_concepts(manifest: Manifest, faults: Faults) -> None:
    """E182: MACE fuses each adapter on the prompts of its concept, so each needs a concept."""
    for edit in manifest.image_edits if manifest.fused and manifest.method == "mace" else ():
        if edit.kind == "fuse" and edit.concept == edit.adapter:
            message = "`method: mace` fuses each adapter on its concept's prompts, and this one names no concept"
            faults.add("E182", message, edit.at(), help="add `concept: ...`: what the file was trained to erase")


def fusion_answers(manifest: Manifest, faults: Faults) -> None:
    """E183: a fused adapter has no keys and targets to measure, and it brings its own sites."""
    if not manifest.fused:
        return
    for name in ("erase_residual", "recoverable"):
        if name in manifest.constraints.spans:
            message = f"`{name}` cannot be measured for `fuse`: an adapter does not say what replaces the concept"
            help = "remove the bound, or count pictures with `verify: {images: {...}}`"
            faults.add("E183", message, manifest.constraints.at(name), help=help)
    if manifest.sites.spans:
        message = "`sites` cannot be used with `fuse`: an adapter changes the matrices that it was trained on"
        faults.add("E183", message, manifest.sites.at(), help="remove `sites`")


RULES: tuple[Callable[[Manifest, Faults], None], ...] = (fuse_stands_alone, fusion_has_concepts, fusion_answers)
"""The rules, in the order in which they run."""
