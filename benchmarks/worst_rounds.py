"""Does it help to feed the worst phrasings back into an edit? `python -m benchmarks.worst_rounds [METHOD ...]`.

The facts of `benchmarks.facts`, first `--facts` of them, each edited alone and put into the 24 phrasings that ship with
editc. Those that some phrasing does not hold are edited again with `verify: {worst: {count: 4, rounds: 2}}`.

* **worst 4 held**, **their margin**: the share of the four worst phrasings in which P(new) > P(old), and log P(new) /
  P(old) in them, before the rounds and after the last that was taken.
* **others held**: the share of the phrasings that no round fed back.
* **ES**, **PS**, **NS**: of the last edit, as `benchmarks.facts` has them; the paraphrases are no phrasing of these.
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
from editc.passes.language.solve.rounds import SolveInRounds
from editc.passes.stored import edited_sites

COUNT = 4
"""Phrasings of a round."""
WAYS: Mapping[str, Mapping[str, Scalar]] = {"memit": {}, "memit, bare, lamb 8000": {"lamb": 8000.0}}
"""Way -> the options of its method. `bare`: with the prompt alone as context. The last leaves facts half written."""


def solved(made: Lab, fact: Fact, way: str, rounds: int) -> Solution:
    """The fact edited alone."""
    contexts = ("{}",) if "bare" in way else None
    edit = replace(fact, method=way.partition(",")[0], options=WAYS[way], contexts=contexts)
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


def row(made: Lab, fact: Fact, way: str, rounds: int) -> tuple[str, list[float]] | None:
    """The row of a fact that some phrasing does not hold, and its figures; None of any other."""
    found = solved(made, fact, way, rounds)
    if not found.worst_rounds:
        return None
    first, taken = found.worst_rounds[0], [one for one in found.worst_rounds if one.taken]
    last = taken[-1] if taken else None
    after = {one.site.name: one.after for one in edited_sites(found, made.ctx.weights)}
    own = facts_measure.measured(made.network, [fact], RETAIN[:20], after)
    pairs = [
        (first.before, last.after if last else first.before),
        (first.margin_before, last.margin_after if last else first.margin_before),
        (first.others_before, last.others_after if last else first.others_before),
    ]
    shown = [f"{old:.2f} to {new:.2f}" for old, new in pairs] + [f"{own.es:.0f}", f"{own.ps:.2f}", f"{own.ns:.2f}"]
    told = f"{fact.prompt} {fact.answer}"
    return f"| {way} | {told} | {len(taken)} | {' | '.join(shown)} |", [one for pair in pairs for one in pair]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each fact that some phrasing does not hold, and the means."""
    parser = argparse.ArgumentParser(description="The worst phrasings, fed back.")
    parser.add_argument("ways", nargs="*", metavar="WAY", help="rome, memit, ...")
    parser.add_argument("--facts", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args(arguments)
    made = lab()
    facts = facts_known.chosen(facts_known.facts(facts_known.all_known(made.network))[: given.facts])
    print("| edit | fact | rounds taken | worst 4 held | their margin, nats | others held | ES | PS | NS |", flush=True)
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for way in given.ways or WAYS:
        found = []
        for fact in facts:
            one = row(made, fact, way, given.rounds)
            print(one[0] if one else f"<!-- {way}: {fact.prompt} {fact.answer} holds in all -->", flush=True)
            found += [one[1]] if one else []
        if found:
            means = np.mean(found, axis=0).reshape(-1, 2)
            shown = " | ".join(f"{old:.2f} to {new:.2f}" for old, new in means)
            print(f"| **{way}, mean of {len(found)} of {len(facts)}** | | | {shown} | | | |", flush=True)


if __name__ == "__main__":
    main()
