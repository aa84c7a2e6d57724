"""What is different where the text encoder is trained: its last block, and what cannot be asked of such an edit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from editc.core.diagnostics import Diagnostic
from editc.core.family import LAST_BLOCK, TEXT_ENCODER, Family
from editc.core.manifest import Manifest
from editc.core.places import Span
from editc.core.plan import Plan
from editc.passes.images.method import blind_attacks


def with_last_block(family: Family, names: Sequence[str]) -> Family:
    """The family with the number of the last block in the patterns of its layers, as these parameter names have it."""
    numbers = [int(found[1]) for name in names if (found := re.search(r"\blayers\.(\d+)\.", name))]
    last = str(max(numbers, default=0))
    layers = {kind: tuple(one.replace(LAST_BLOCK, last) for one in each) for kind, each in family.layers.items()}
    return replace(family, layers=layers)


def find_unmeasurable(plan: Plan) -> Iterator[Diagnostic]:
    """Yield E247 for each bound of the manifest that an edited text encoder has no figure for, and where it asks for
    no attack but those that cannot see such an edit."""
    if plan.family.component != TEXT_ENCODER:
        return
    manifest = plan.manifest
    for bound in ("recoverable", "erase_residual"):
        if getattr(manifest.constraints, bound) is not None:
            yield _unmeasurable(manifest, f"`{bound}`", manifest.constraints.at(bound))
    blind = [one for one in manifest.attacks if one.name in blind_attacks(plan.family.component)]
    for one in blind:
        if one.at_most is not None or len(blind) == len(manifest.attacks):
            yield _unmeasurable(manifest, f"the attack `{one.name}`", one.at("at_most") or one.at())


def _unmeasurable(manifest: Manifest, what: str, span: Span | None) -> Diagnostic:
    """Make an E247."""
    message = f"{what} reads edited keys and values, and `method: {manifest.method}` edits the text encoder"
    help_ = "leave it out; bound pictures (`erased`) and attacks through the text encoder, such as `inversion`"
    return Diagnostic("E247", message, span, manifest.source, help=help_)
