"""What to do about an adapter that a program does not read: one place, so that every verdict names a way that works.

`editc export` takes deltas. An adapter that others made becomes one by `fuse`, which reads every spelling that the
doctor knows, and what is no low-rank change by `diff`, once the program that trained it has merged it.
"""

from __future__ import annotations

from editc.formats.doctor.models import KINDS, ModelKind
from editc.formats.exports.suits import best_format

MERGE = (
    "merge it into a copy of its base with the program that trained it; `editc diff BASE MERGED -o delta.safetensors` "
    "makes that a delta, which `editc export` writes for any of them"
)
AGAIN = "save it again with PEFT's own `save_pretrained`"


def advise_conversion(kind: ModelKind) -> str:
    """How an adapter of a UNet or transformer gets into the spelling that the most programs read of its kind of model,
    which is one of `KINDS`."""
    form = best_format(next(family for family, one in KINDS.items() if one == kind))
    return (
        "make it a delta and export that: a manifest with `edits: [{fuse: FILE}]`, `editc build` it, then "
        f"`editc export out/delta.safetensors --as {form}`"
    )


def advise_export(family: str) -> str:
    """How a delta of a family is written for the programs that its adapters are for."""
    return f"export it: `editc export DELTA --as {best_format(family)} --model MODEL -o FILE`"
