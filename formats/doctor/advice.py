"""What the user can do with an adapter that a program does not read. All verdicts take their advice from here, and
every way works.

`editc export` takes deltas. `fuse` in a manifest turns an adapter in any spelling that the doctor knows into a delta.
Other adapters become a delta by `editc diff`, after the program that trained them has merged them into the base.
"""

from __future__ import annotations

from editc.formats.doctor.models import KINDS, ModelKind
from editc.formats.exports.suits import best_format

MERGE = (
    "merge it into a copy of its base with the program that trained it; `editc diff BASE MERGED -o delta.safetensors` "
    "makes that a delta, which `editc export` writes for any of them"
)
"""For an adapter that `fuse` cannot read."""
AGAIN = "save it again with PEFT's own `save_pretrained`"
"""For a PEFT adapter with damaged or foreign names."""


def advise_conversion(kind: ModelKind) -> str:
    """Say how an adapter of a UNet or transformer gets into the spelling that most programs read for this kind of
    model, one of `KINDS`."""
    form = best_format(next(family for family, one in KINDS.items() if one == kind))
    return (
        "make it a delta and export that: a manifest with `edits: [{fuse: FILE}]`, `editc build` it, then "
        f"`editc export out/delta.safetensors --as {form}`"
    )


def advise_export(family: str) -> str:
    """Say how a delta of a family is exported for the programs that load adapters of that family."""
    return f"export it: `editc export DELTA --as {best_format(family)} --model MODEL -o FILE`"
