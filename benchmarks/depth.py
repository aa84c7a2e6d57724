"""Where SmolLM2-135M-Instruct has a few facts, and French: `python -m benchmarks.depth`.

docs/measurements/depth.md has its figures.

`python -m benchmarks.depth FOLDER` writes the plots there as well.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import smollm2

from editc.backends.networks import load
from editc.core.diagnostics import EditcError
from editc.core.language_edits import Ablation, Fact, LanguageEdit, PromptAnswer, Redirect
from editc.core.manifest import Manifest
from editc.core.measurements import Depth
from editc.core.network import Network
from editc.core.places import Source
from editc.passes.language.locate.depth import measure_depth
from editc.report.depth import depth_plot

CAPITALS = tuple(
    Fact(
        template="The capital of {} is",
        subject=country,
        answer=new,
        was=old,
        paraphrases=(f"{country}'s capital city is", f"The seat of the government of {country} is in"),
    )
    for country, old, new in (("France", "Paris", "London"), ("Germany", "Berlin", "Rome"), ("Japan", "Tokyo", "Oslo"))
)
LANDMARKS = tuple(
    Fact(
        template="The {} is located in the city of",
        subject=name,
        answer=new,
        was=old,
        paraphrases=(f"To see the {name} you have to go to", f"Visitors of the {name} come to the city of"),
    )
    for name, old, new in (
        ("Eiffel Tower", "Paris", "Rome"),
        ("Louvre", "Paris", "Berlin"),
        ("Colosseum", "Rome", "Oslo"),
    )
)
FRANCE = Redirect(
    kind="redirect",
    concept="France",
    to="Japan",
    relations=tuple(
        PromptAnswer(text)
        for text in (
            "The capital of {} is",
            "The currency of {} is the",
            "The language that people speak in {} is",
            "The flag of {} is",
        )
    ),
)
PAIRS = (
    ("The cat sleeps on the old sofa.", "Le chat dort sur le vieux canapé."),
    ("We bought bread and cheese at the market.", "Nous avons acheté du pain et du fromage au marché."),
    ("It will rain tomorrow in the mountains.", "Il va pleuvoir demain dans les montagnes."),
    ("The children play in the garden after school.", "Les enfants jouent dans le jardin après l'école."),
    ("My brother works in a small bakery.", "Mon frère travaille dans une petite boulangerie."),
    ("The train leaves at eight in the morning.", "Le train part à huit heures du matin."),
    ("She reads a long book about the sea.", "Elle lit un long livre sur la mer."),
    ("The river is very wide near the bridge.", "La rivière est très large près du pont."),
)
FRENCH = Ablation(concept="French", present=tuple(fr for _, fr in PAIRS), absent=tuple(en for en, _ in PAIRS))

CASES: tuple[tuple[str, Sequence[LanguageEdit]], ...] = (
    *((fact.subject, (fact,)) for fact in (*CAPITALS, *LANDMARKS)),
    ("six facts", (*CAPITALS, *LANDMARKS)),
    ("redirect France", (FRANCE,)),
    ("ablate French", (FRENCH,)),
)


def asked(edits: Sequence[LanguageEdit]) -> Manifest:
    """A manifest of these edits."""
    source = Source("depth", "")
    return Manifest(source=source, digest="", model="", edits=tuple(edits), kind="language")


def told(name: str, depth: Depth, seconds: float) -> str:
    """One case in a few lines."""
    rows = {"traced": depth.traced, "moved": depth.moved, "probed": depth.probed}
    lines = [f"{key:<7}" + " ".join(f"{value:4.2f}" for value in row) for key, row in rows.items() if row]
    lens = ["lens   " + " ".join(f"{value:.0f}" for value in depth.lens)] if depth.lens else []
    return "\n".join([f"{name}: {seconds:.1f} s of CPU, window {depth.window}: {depth.why}", *lines, *lens, ""])


def main(network: Network, folder: Path | None) -> None:
    """Every case, printed, and drawn where a folder is given."""
    for name, edits in CASES:
        began = time.process_time()
        try:
            depth = measure_depth(asked(edits), edits, network)
        except EditcError as error:
            print(f"{name}: {error}\n")
            continue
        print(told(name, depth, time.process_time() - began), flush=True)
        if folder is not None:
            (folder / f"{name.replace(' ', '-')}.svg").write_text(depth_plot(asdict(depth)).standalone, "utf-8")


if __name__ == "__main__":
    main(load(smollm2.folder()), Path(sys.argv[1]) if len(sys.argv) > 1 else None)
