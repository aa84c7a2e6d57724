"""Where is a fact about a name of several words written best? `python -m benchmarks.several_words [METHOD ...]`.

Facts of `benchmarks.facts_data` that SmolLM2-135M-Instruct knows, whose subject's last word other names have too
(NEAR), each edited alone: at the last token of the subject, and at those that carry the fact (`tokens: carrying`).

* **ES**, **PS**, **NS**, **KL**: as `benchmarks.facts` has them; NS is about other subjects of the relation.
* **first word**, **last word**: P(new) > P(old) at the prompt and its paraphrases with the subject cut to its first or
  its last word, where the unedited model says the old answer there.
* **same last word**, **same first word**: of the prompts about other names with that word (NEAR, BESIDE), how many have
  the same likeliest token as before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks import facts_known, facts_measure
from benchmarks.facts_data import RELATIONS, RETAIN, table
from benchmarks.facts_edits import Changed, Lab, edited, lab
from editc.core.language_edits import Fact
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.core.prompts import Cloze
from editc.passes.language.keys.carrying import beginnings, carrying_parts, part_shares

COUNT, EACH = 12, 4
"""Facts in all, and of one relation at most."""
LAYER = 5
NEAR = {
    last: [f"{first.strip()} {last}" for first in firsts.split(",")]
    for last, firsts in table(
        """Tower: Tokyo, Willis, CN, Belem, Galata, Canton, Blackpool; Gate: Menin, Ishtar, Lions, Dungate, Brandenburg;
        Bridge: Charles, Brooklyn, Rialto, London, Golden Gate, Humber; Museum: Pergamon, Van Gogh, Acropolis, Prado,
        British, Egyptian; Wall: Berlin, Great, Western, Hadrian's; Gallery: National, Tate, Borghese, Uffizi;
        House: White, Sydney Opera, Anne Frank, Vienna Opera; Canal: Suez, Panama, Erie, Kiel, Corinth;
        Building: Chrysler, Flatiron, Woolworth, Empire State; City: Mexico, Vatican, Kansas, Forbidden, Quebec;
        Williams: Serena, Venus, Robin, Hank, Ted; James: LeBron, Etta, Henry, Jesse; Jordan: Michael, Barbara, Neil;
        Bryant: Kobe, Bear, William; Woods: Tiger, James, Elin; Rainforest: Amazon, Daintree, Congo"""
    ).items()
}
"""Last word -> names that end with it."""
BESIDE = {
    first: [f"{first} {last.strip()}" for last in lasts.split(",")]
    for first, lasts in table(
        """Eiffel: Bridge, School, Building; Brandenburg: Airport, Cathedral, Palace; Empire: Theatre, Stadium, Hotel;
        Golden: Temple, Pavilion, Gate Park; Great: Barrier Reef, Pyramid of Giza, Sphinx;
        Forbidden: Forest, Garden, Gate; Amazon: River, Theatre, Tower;
        Sydney: Harbour Bridge, Tower, Town Hall, Airport; Michael: Phelps, Schumacher, Johnson;
        Serena: Jameson, Winters, Grigorieva; Tiger: Mask, Shroff, Johnson; LeBron: Smith, Miller, Carter"""
    ).items()
}
"""First word -> names that begin with it."""
RELATION_NAMES = ("landmark's city", "landmark's country", "sport")


def facts(made: Lab) -> tuple[Fact, ...]:
    """The facts, relation by relation in turn, no subject twice."""
    rows = []
    for relation in RELATIONS:
        if relation.name in RELATION_NAMES:
            one = facts_known.known(made.network, relation)
            fit = [subject for subject in one.answers if " " in subject and subject.split()[-1] in NEAR]
            rows.append([facts_known.fact(one, subject) for subject in fit])
    taken = dict[str, Fact]()
    for row in rows:
        fresh = [fact for fact in row if fact.subject not in taken]
        taken |= {fact.subject: fact for fact in fresh[:EACH]}
    return facts_known.chosen(list(taken.values())[:COUNT])


def cut(fact: Fact, word: str) -> list[str]:
    """The prompt and its paraphrases with one word of the subject in place of all."""
    return [text.replace(fact.subject, word) for text in (fact.prompt, *fact.paraphrases)]


def near(fact: Fact) -> list[str]:
    """The prompts about other names with the subject's last word."""
    names = [one for one in NEAR[fact.subject.split()[-1]] if one != fact.subject]
    return [fact.template.replace("{}", name) for name in names]


def beside(fact: Fact) -> list[str]:
    """The prompts about other names with the subject's first word."""
    return [fact.template.replace("{}", name) for name in BESIDE.get(fact.subject.split()[0], [])]


def shortened(made: Lab, fact: Fact, word: str, changed: Changed) -> list[bool]:
    """Whether the edit holds in each prompt with the subject cut to a word, where the unedited model says the old
    answer."""
    texts = cut(fact, word)
    old, new = ([Cloze(text, answer) for text in texts] for answer in (fact.was or "", fact.answer))
    known = made.network.score(old).top
    won = made.network.score(new, changed).total > made.network.score(old, changed).total
    return [bool(good) for good, counts in zip(won, known, strict=True) if counts]


def same(made: Lab, fact: Fact, prompts: Sequence[str], changed: Changed) -> list[bool]:
    """Whether each prompt has the likeliest token of before."""
    asked = [Cloze(text, fact.answer) for text in prompts]
    if not asked:
        return []
    return (made.network.score(asked).best == made.network.score(asked, changed).best).tolist()


def rows(made: Lab, edits: Sequence[Fact], method: str, where: str) -> Iterator[str]:
    """The row of a method and a place."""
    found, first, last, kept, also = [], list[bool](), list[bool](), list[bool](), list[bool]()
    begin = time.process_time()
    for fact in edits:
        given = fact if where == "last" else replace(fact, options={"tokens": where})
        changed = edited(made, [given], method)
        found.append(facts_measure.measured(made.network, [fact], RETAIN[:20], changed))
        words = fact.subject.split()
        first += shortened(made, fact, words[0], changed)
        last += shortened(made, fact, words[-1], changed)
        kept += same(made, fact, near(fact), changed)
        also += same(made, fact, beside(fact), changed)
        around = f"near {kept[-len(near(fact)) :]} beside {also[-len(beside(fact)) :]}"
        shown = f"{found[-1].es} {found[-1].ps:.2f} {found[-1].ns:.2f} {around}"
        print(f"<!-- {method} {where} {fact.prompt} {fact.answer}: {shown} -->", flush=True)
    row = facts_measure.averaged(found, edits)
    shares = [f"{np.mean(one):.3f} of {len(one)}" if one else "none" for one in (first, last, kept, also)]
    figures = [f"{one:.3f}" for one in (row.es, row.ps, row.ns, row.probability)]
    seconds = (time.process_time() - begin) / len(edits)
    yield " | ".join(["", method, where, *figures, *shares, f"{row.kl:.4f}", f"{seconds:.0f}", ""]).strip()


def main(names: Sequence[str]) -> None:
    """Print where each fact stands, then the rows."""
    made = lab()
    edits = facts(made)
    asked = Manifest(source=Source("benchmark", ""), digest="", model="", kind="language", edits=edits)
    print("| fact | old | new | share brought back by each word | edited at |\n|---|---|---|---|---|", flush=True)
    for fact in edits:
        parts = beginnings(fact.subject)
        shares = part_shares(fact, asked, made.network, LAYER, parts)
        shown = ", ".join(f"{part.split()[-1]} {share:.2f}" for part, share in zip(parts, shares, strict=True))
        chosen = ", ".join(part.split()[-1] for part in carrying_parts(fact, asked, made.network, LAYER))
        print(f"| {fact.prompt} | {fact.was} | {fact.answer} | {shown} | {chosen} |", flush=True)
    figures = "ES | PS | NS | P(new) | first word | last word | same last word | same first word | KL | s"
    print(f"\n| method | tokens | {figures} |", flush=True)
    print("|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for method in names or ("rome", "memit"):
        for where in ("last", "carrying"):
            for row in rows(made, edits, method, where):
                print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
