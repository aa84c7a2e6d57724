"""The matrix of docs/measurements/doctor.md: adapters that the libraries save and load, against the verdicts."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WORDS = {"applies": "ok", "partly": "partly", "nothing": "nothing", "refused": "refused", "not judged": "?"}


def cells() -> Iterator[Any]:
    """Every cell of PEFT's matrix and of diffusers'."""
    import matrix_diffusers
    import matrix_peft

    with tempfile.TemporaryDirectory() as place:
        for loader, made in (("PEFT", matrix_peft), ("diffusers", matrix_diffusers)):
            families = made.FAMILIES if loader == "PEFT" else made.KINDS
            for family in families:
                for spelling in made.SPELLINGS:
                    cell = made.cell(family, spelling, Path(place) / loader)
                    if cell is not None:
                        print(f"{loader}, {family}, {spelling}: {cell.outcome}", *cell.contradictions, file=sys.stderr)
                        yield loader, cell


def page(found: Sequence[tuple[str, Any]]) -> str:
    """What came of it: a count, and for each loader a row for every spelling."""
    count = Counter(cell.outcome for _, cell in found)
    refuted = sum(bool(cell.contradictions) for _, cell in found)
    told = ", ".join(f"{count[outcome]} {outcome}" for outcome in WORDS)
    lines = [f"{len(found)} cells: {told}; **{refuted} contradicted**. {_versions()}", ""]
    for loader in ("PEFT", "diffusers"):
        lines += [*_table(loader, [cell for one, cell in found if one == loader]), ""]
    return "\n".join(lines)


def _table(loader: str, found: Sequence[Any]) -> Iterator[str]:
    families = list(dict.fromkeys(cell.family for cell in found))
    told = {(cell.family, cell.spelling): _word(cell) for cell in found}
    yield f"| {loader} | " + " | ".join(families) + " |"
    yield "|---" * (len(families) + 1) + "|"
    for spelling in dict.fromkeys(cell.spelling for cell in found):
        yield f"| {spelling} | " + " | ".join(told.get((family, spelling), "") for family in families) + " |"


def _word(cell: Any) -> str:
    return f"**{cell.outcome}: refuted**" if cell.contradictions else WORDS[cell.outcome]


def _versions() -> str:
    import diffusers
    import peft
    import transformers

    return f"PEFT {peft.__version__}, diffusers {diffusers.__version__}, transformers {transformers.__version__}."
