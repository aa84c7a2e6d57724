"""Does it help to feed the worst phrasings back into an edit? `python -m benchmarks.worst_rounds [METHOD ...]`.

The facts of `benchmarks.facts`, first `--facts` of them, each edited alone and put into the 24 phrasings that ship with
editc. Those that some phrasing does not hold are edited again with `verify: {worst: {count: 4, rounds: 2}}`.

* **held**: in how many of the 24 phrasings P(new) > P(old), before and after the rounds.
* **worst 4**, **others**: the share that holds in the four worst, and in those that no round fed back.
* **PS**, **NS**, **KL**: as `benchmarks.facts` has them; the paraphrases are no phrasing of these.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import smollm2

from benchmarks import facts_known, facts_measure
from benchmarks.facts_data import RETAIN
from benchmarks.facts_edits import Lab, lab
from editc.core.language_edits import Fact
from editc.core.manifest import Manifest
from editc.core.places import Scalar, Source
from editc.core.solution import Solution
from editc.opening import target
from editc.passes.language.keys.derive import DeriveLanguage
from editc.passes.language.locate.locate import LocateLanguage
from editc.passes.language.questions import changes
from editc.passes.language.solve.rounds import SolveInRounds
from editc.passes.language.verify import worst
from editc.passes.language.verify.base_model import BaseModel
from editc.passes.language.verify.worst import Phrasing
from editc.passes.stored import edited_sites

COUNT, ROUNDS = 4, 2
"""Phrasings of a round, and rounds."""
WAYS: Mapping[str, Mapping[str, Scalar]] = {"rome": {}, "memit": {}, "memit, lamb 15000": {"lamb": 15000.0}}
"""Way -> the options of its method. The last is a budget that leaves facts half written."""


def solved(made: Lab, fact: Fact, way: str, rounds: int) -> Solution:
    """The fact edited alone."""
    edit = replace(fact, method=way.partition(",")[0], options=WAYS[way])
    manifest = Manifest(
        source=Source("benchmark", ""),
        digest="",
        model=str(smollm2.folder()),
        kind="language",
        edits=(edit,),
        worst=COUNT,
        worst_rounds=rounds,
    )
    plan = LocateLanguage(target.families())(manifest, made.ctx)
    return SolveInRounds()(DeriveLanguage()(plan, made.ctx), made.ctx)


def phrased(made: Lab, solution: Solution) -> tuple[tuple[Phrasing, ...], facts_measure.Row]:
    """Every phrasing, worst first, and the figures of `benchmarks.facts`."""
    after = {one.site.name: one.after for one in edited_sites(solution, made.ctx.weights)}
    manifest = solution.problem.plan.manifest
    ranked = worst.rank_phrasings(BaseModel(made.network), changes(manifest, {}), after)
    facts = [edit for edit in manifest.language_edits if isinstance(edit, Fact)]
    return ranked, facts_measure.measured(made.network, facts, RETAIN[:20], after)


def row(made: Lab, fact: Fact, way: str) -> tuple[str, list[float]] | None:
    """The row of a fact that some phrasing does not hold, and its figures; None of any other."""
    before, first = phrased(made, solved(made, fact, way, 0))
    if all(one.share for one in before):
        return None
    made_again = solved(made, fact, way, ROUNDS)
    after, then = phrased(made, made_again)
    fed = {text for one in made_again.worst_rounds if one.taken for text in one.phrasings}
    figures = []
    for ranked, own in ((before, first), (after, then)):
        others = [one.share for one in ranked if one.template not in fed]
        held = [sum(one.share for one in ranked), np.mean([one.share for one in ranked[:COUNT]]), np.mean(others)]
        figures.append([*map(float, held), own.es, own.ps, own.ns, own.kl])
    shown = [f"{old:.4g} to {new:.4g}" for old, new in zip(*figures, strict=True)]
    taken = sum(one.taken for one in made_again.worst_rounds)
    told = f"{fact.prompt} {fact.answer}"
    return f"| {way} | {told} | {taken} | {' | '.join(shown)} |", [one for pair in figures for one in pair]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each fact that some phrasing does not hold, and the means."""
    parser = argparse.ArgumentParser(description="The worst phrasings, fed back.")
    parser.add_argument("ways", nargs="*", metavar="WAY", help="rome, memit, ...")
    parser.add_argument("--facts", type=int, default=12)
    given = parser.parse_args(arguments)
    made = lab()
    facts = facts_known.chosen(facts_known.facts(facts_known.all_known(made.network))[: given.facts])
    print("| edit | fact | rounds taken | held of 24 | worst 4 | others | ES | PS | NS | KL |", flush=True)
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for way in given.ways or WAYS:
        found = [one for fact in facts if (one := row(made, fact, way)) is not None]
        for text, _ in found:
            print(text, flush=True)
        if found:
            means = np.mean([figures for _, figures in found], axis=0).reshape(2, -1)
            shown = " | ".join(f"{old:.4g} to {new:.4g}" for old, new in means.T)
            print(f"| **{way}, mean of {len(found)} of {len(facts)}** | | | {shown} |", flush=True)


if __name__ == "__main__":
    main()
