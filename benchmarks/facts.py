"""Facts, concepts and a language in SmolLM2-135M-Instruct edited: `python -m benchmarks.facts [PART ...] [--count N]`.

Parts, all if none is named: `single` (facts one at a time), `batch` (the same at once), `curve` (1 to 60 at once),
`redirect` (6 concepts), `ablate` (French), `enough` (how likely an answer is made). Each prints a table, the first five
also whether the bars of issue 5 are met. `--probe` prints which facts the model knows. What is learned stays in editc's
cache (`$EDITC_CACHE`), so that a second run is quick; `s` is locate, derive and solve, with whatever of that the cache
has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import facts_concepts, facts_direction, facts_edits, facts_enough, facts_known
from benchmarks.facts_data import RETAIN
from benchmarks.facts_edits import Changed, Lab, edited, summed, timed
from benchmarks.facts_measure import Row, averaged, measured
from editc.core.language_edits import Fact

PARTS = ("single", "batch", "curve", "redirect", "ablate", "enough")
SIZES = (1, 2, 5, 12, 30, 60)
TITLE = (
    "| edit | facts | ES | PS | NS | neighbours' argmax | P(new) | retain KL | top-1 | s |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Bar:
    """What a row must reach: lower bounds of `es`, `ps`, `ns`, an upper one of `kl`."""

    es: float
    ps: float
    ns: float
    kl: float

    def told(self, row: Row) -> str:
        """Every bound with what was measured, and whether it is met."""
        low = [(name, getattr(row, name), getattr(self, name)) for name in ("es", "ps", "ns")]
        parts = [f"{name.upper()} {got:.3f} >= {want} {met(got >= want)}" for name, got, want in low]
        return "; ".join([*parts, f"retain KL {row.kl:.4f} <= {self.kl} {met(row.kl <= self.kl)}"])


SINGLE = Bar(1.0, 0.95, 0.88, 0.01)
BATCH = Bar(1.0, 0.9, 0.88, 0.02)
BARRED = ("memit", "alphaedit")


def met(good: bool) -> str:
    """In words."""
    return "met" if good else "NOT MET"


def line(name: str, count: int, row: Row, seconds: float) -> str:
    """One row of a table."""
    figures = [f"{one:.3f}" for one in (row.es, row.ps, row.ns, row.same, row.probability)]
    return "| " + " | ".join([name, str(count), *figures, f"{row.kl:.4f}", f"{row.top1:.3f}", f"{seconds:.1f}"]) + " |"


def single(lab: Lab, facts: Sequence[Fact], method: str = "rome") -> Row:
    """Each fact alone; a row a fact and the mean over all."""
    print(f"\n### {len(facts)} facts, one at a time\n\n{TITLE}", flush=True)
    rows, total = [], 0.0
    alone = [facts_known.chosen([fact])[0] for fact in facts]
    for fact in alone:
        changed, seconds = timed(lambda fact=fact: edited(lab, [fact], method))
        rows.append(measured(lab.network, [fact], RETAIN, changed))
        total += seconds
        print(line(f"{method}: {fact.prompt} {fact.answer}", 1, rows[-1], seconds), flush=True)
    found = averaged(rows, alone)
    print(line(f"**{method}, mean**", len(facts), found, total / len(facts)), flush=True)
    return found


def ways(lab: Lab) -> Mapping[str, Callable[[Sequence[Fact]], Changed]]:
    """How several facts are put into the model."""

    def singles(facts: Sequence[Fact]) -> Changed:
        return summed([edited(lab, [fact], "rome") for fact in facts], lab.weight)

    return {
        "rome, jointly": lambda facts: edited(lab, facts, "rome"),
        "rome, sum of singles": singles,
        "emmet": lambda facts: edited(lab, facts, "emmet"),
        "memit": lambda facts: edited(lab, facts, "memit"),
        "alphaedit": lambda facts: edited(lab, facts, "alphaedit"),
    }


def together(lab: Lab, facts: Sequence[Fact], sizes: Sequence[int], only: str = "") -> Mapping[tuple[str, int], Row]:
    """The first 1, 2, ... facts at once, every way."""
    print(f"\n### At once\n\n{TITLE}", flush=True)
    found = {}
    for size in sizes:
        edits = facts_known.chosen(facts[:size])
        for name, way in ways(lab).items():
            if only in name:
                changed, seconds = timed(lambda way=way, edits=edits: way(edits))
                found[name, size] = measured(lab.network, edits, RETAIN, changed)
                print(line(name, size, found[name, size], seconds), flush=True)
    return found


def misses(rows: Mapping[str, Row]) -> None:
    """Which paraphrases and neighbours went wrong."""
    for name, row in rows.items():
        print(f"\n{name}: paraphrases not won: {'; '.join(row.missed) or 'none'}.")
        print(f"{name}: neighbours lost: {'; '.join(row.hit) or 'none'}.", flush=True)


def run(lab: Lab, parts: Sequence[str], count: int, sizes: Sequence[int], only: str) -> None:
    """The parts that were asked for, one after the other."""
    facts: Sequence[Fact] = ()
    if {"single", "batch", "curve", "enough"} & set(parts):
        facts = facts_known.facts(facts_known.all_known(lab.network))
    if "single" in parts:
        row = single(lab, facts[:count])
        print(f"\nBar, rome one at a time: {SINGLE.told(row)}")
        misses({"rome": row})
    if "batch" in parts:
        many = {name: row for (name, _), row in together(lab, facts, [count], only).items()}
        print("\n" + "\n".join(f"Bar, {name}: {BATCH.told(row)}" for name, row in many.items() if name in BARRED))
        misses(many)
    if "curve" in parts:
        together(lab, facts, sizes, only)
    if "redirect" in parts:
        facts_concepts.run(lab, only)
    if "ablate" in parts:
        facts_direction.run(lab)
    if "enough" in parts:
        facts_enough.run(lab, facts, line, TITLE)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Facts, concepts and a language edited in SmolLM2-135M-Instruct.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--count", type=int, default=12, help="facts of `single` and `batch`")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="facts at once in `curve`")
    parser.add_argument("--only", default="", help="only ways whose name has this in it")
    parser.add_argument("--probe", action="store_true", help="print which facts the model knows, and edit nothing")
    given = parser.parse_args()
    parts = PARTS if not given.parts or "all" in given.parts else tuple(given.parts)
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"no such part: {', '.join(unknown)}")
    lab = facts_edits.lab()
    if given.probe:
        facts_known.probe(lab.network)
    else:
        run(lab, parts, given.count, [int(one) for one in given.sizes.split(",")], given.only)


if __name__ == "__main__":
    main()
