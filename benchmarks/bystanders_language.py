"""What nobody named, after a language model was edited: `python -m benchmarks.bystanders language [NAME ...]`.

Every language example is built on SmolLM2-135M-Instruct as it is shipped. Of each that builds the model is asked,
before and after, other questions: names and sentences that editc's list does not have (FRESH), and those of editc's
list with another seed, without the names that the build held. Of those that the unedited model is sure of nine in ten
must be answered as before.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from shutil import copytree

import smollm2

from editc import api
from editc.backends.networks import load
from editc.core.network import Network
from editc.core.prompts import Prompt
from editc.core.solution import Verified
from editc.core.text import fold_name
from editc.formats.models.model import open_model
from editc.passes.language.candidates import KINDS_ABOUT_SUBJECT, UneditedNames, candidates
from editc.passes.language.keys.default_names import default_names
from editc.passes.language.questions import first_word
from editc.passes.language.verify.bystanders import LEAST_PROBABILITY, WORD_TOKENS
from editc.passes.stored import edited_sites

SEED = 4711
"""Of the questions made by editc itself: builds use the manifest's, 0 in every example."""
KEPT = 0.9
"""Share of the answers that must stay."""
FRESH = (
    *(f"The {name} is located in the city of" for name in ("Tokyo Skytree Tower", "Fernsehturm Tower", "Messeturm")),
    *(
        f"{name} is located in the city of"
        for name in ("Shinjuku Tower", "Warsaw Tower", "Moscow Tower", "Delhi Tower")
    ),
    *(f"Travellers find {name} in the city of" for name in ("the Alexander Column", "the Spanish Steps", "Harrods")),
    *(f"{name} lies on the continent of" for name in ("Portugal", "Zambia", "Laos", "Bolivia", "Latvia", "Malaysia")),
    *(f"The capital city of {name} is called" for name in ("Slovakia", "Croatia", "Estonia", "Uruguay", "Kuwait")),
    *(f"In {name} most people speak" for name in ("Austria", "Brazil", "Mexico", "Egypt", "Quebec", "Taiwan")),
    *(f"The car maker {name} comes from" for name in ("Skoda", "Lamborghini", "Mazda", "Subaru", "Audi", "Kia")),
    *(f"The composer of {name} was" for name in ("The Magic Flute", "Swan Lake", "The Four Seasons", "Fidelio")),
    *(f"The hero of {name} is" for name in ("Robinson Crusoe", "Pinocchio", "Treasure Island", "Peter Pan")),
    *(
        f"The opposite of {name} is"
        for name in ("hot", "big", "old", "light", "up", "early", "rich", "happy", "strong")
    ),
    *(f"The colour of {name} is" for name in ("grass", "snow", "blood", "a lemon", "the sky", "coal", "milk", "gold")),
    *(f"A young {name} is called a" for name in ("dog", "cat", "cow", "horse", "sheep", "bear", "swan", "goat")),
    *(f"The day after {name} is" for name in ("Monday", "Tuesday", "Thursday", "Friday", "Saturday", "Sunday")),
)


def main(arguments: Sequence[str]) -> int:
    """Builds the examples, of those that are named or all, and prints a table; 1 if one built and broke the bar."""
    place = Path(str(files("editc.manifests"))) / "examples" / "language"
    chosen = list(arguments) or sorted(path.stem for path in place.glob("*.yaml"))
    network = load(smollm2.made())
    print("| example | builds | made by the build: kept | fresh: kept | moved |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        examples = copytree(place, Path(folder) / "examples")
        (examples / "smollm2").symlink_to(smollm2.folder())
        broken = [name for name in chosen if not _row(name, examples, Path(folder) / name, network)]
    print(f"\nbroken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def _row(name: str, examples: Path, out: Path, network: Network) -> bool:
    """Prints one example's row; False where it was built and its fresh questions moved more than they may."""
    found = api.build(examples / f"{name}.yaml", out)
    assert found is not None
    report = found.verified.report
    own = sum(one.after for one in report.bystanders)
    lost, asked = _asked(found.verified, network)
    share = 1 - len(lost) / max(asked, 1)
    good = bool(found.failures) or share >= KEPT
    told = "fails" if found.failures else "yes"
    kept = f"{own:.0f} of {len(report.bystanders)} | {asked - len(lost)} of {asked}"
    print(f"| {name} | {told} | {kept} | {'; '.join(lost) or 'nothing'} |", flush=True)
    return good


def _asked(verified: Verified, network: Network) -> tuple[list[str], int]:
    """The fresh questions whose answers moved, and of how many that the unedited model is sure of."""
    solution = verified.solution
    manifest = solution.problem.plan.manifest
    held = {
        fold_name(name)
        for i, edit in enumerate(manifest.language_edits)
        if edit.kind != "ablate"
        for name in default_names(manifest, i)
    }
    every = dict.fromkeys(_fresh(UneditedNames(manifest, SEED)))
    prompts = [text for text in every if not any(f" {name} " in f" {fold_name(text)} " for name in held)]
    before = network.generate_tokens([Prompt(text) for text in prompts], WORD_TOKENS)
    told = [
        (text, first_word(one.text), one.likelihood(first_word(one.text)))
        for text, one in zip(prompts, before, strict=True)
    ]
    sure = [
        (text, answer) for text, answer, likely in told if any(map(str.isalnum, answer)) and likely >= LEAST_PROBABILITY
    ]
    weights = open_model(smollm2.folder()).component("model")
    edited = {one.site.name: one.after for one in edited_sites(solution, weights)}
    after = network.generate([Prompt(text) for text, _ in sure], WORD_TOKENS, edited)
    moved = [text for (text, old), new in zip(sure, after, strict=True) if fold_name(first_word(new)) != fold_name(old)]
    return moved, len(sure)


def _fresh(around: UneditedNames) -> Iterator[str]:
    yield from (text for text in FRESH if not around.mentions_edit(text))
    for index in range(len(around.manifest.edits)):
        yield from (one.prompt for one in candidates(around, index) if one.kind not in KINDS_ABOUT_SUBJECT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
