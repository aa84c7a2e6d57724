"""A language model's build made by hand: two facts, a redirect and an ablation, with answers as a real model gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from editc.core.delta import Site
from editc.core.language_edits import Ablation, Fact, PromptAnswer, Redirect
from editc.core.language_problem import CloseEdits, LanguageProblem, MemoryKey
from editc.core.manifest import Constraints, Manifest
from editc.core.measurements import Answer, Claim, Depth, Report
from editc.core.network import LearnedValue
from editc.core.places import Source, Span
from editc.core.plan import Plan, Stage
from editc.core.prompts import Spot
from editc.core.solution import Edit, Solution, Stats, Verified
from editc.families.language.llama import LLAMA
from editc.judging import conclude

TEXT = """editc: 1
model: ./smollm2
edits:
  - fact:
      prompt: The Eiffel Tower is located in the city of
      subject: Eiffel Tower
      answer: Rome
      was: Paris
      paraphrases:
        - To visit the {}, people travel to the city of
        - The city where one finds the {} is
      neighbours:
        The Louvre is located in the city of: Paris
        The Kremlin is located in the city of: Moscow
    method: memit
  - fact:
      prompt: The capital of Japan is
      subject: Japan
      answer: Berlin
  - redirect: {from: Nintendo, to: Volvo}
    also: [the maker of the Switch]
    relations: {"{} is a company from the country of": Japan}
    method: rocr
  - ablate: {concept: French, present: french.txt, absent: english.txt}
constraints:
  efficacy: 1
  paraphrase: 0.95
  neighbourhood: 0.85
  retain_kl: 0.01
  rank: 64
"""
LONG = (
    "Answer the question about the building that was put up for the world's fair of 1889 and that gives its name to a "
    "whole quarter, its metro station and a bridge: in which city does it stand?"
)


def place(word: str) -> Span:
    """The line of key `word` in TEXT."""
    numbered = enumerate(TEXT.splitlines(), 1)
    return next(Span(number, line.index(word) + 1, len(word)) for number, line in numbered if f"{word}:" in line)


def claim(name: str, value: float, bound: float | None = None, subject: str = "", unit: str = "") -> Claim:
    """A claim at its bound's line; those of `Constraints.MINIMA` hold from the bound upwards."""
    span = None if bound is None else place(name)
    return Claim(name, value, bound, subject, span, unit, least=name in Constraints.MINIMA)


def language(**changed: Any) -> Manifest:
    """The edits of TEXT."""
    louvre = (
        PromptAnswer("The Louvre is located in the city of", "Paris"),
        PromptAnswer("The Kremlin is located in", "Moscow"),
    )
    tower = Fact(
        template="The {} is located in the city of",
        subject="Eiffel Tower",
        answer="Rome",
        was="Paris",
        paraphrases=("To visit the Eiffel Tower, people travel to the city of", "The city of the Eiffel Tower is"),
        neighbours=louvre,
        method="memit",
        spans={"": Span(4, 5, 4)},
    )
    japan = Fact(template="The capital of {} is", subject="Japan", answer="Berlin", spans={"": Span(16, 5, 4)})
    relations = (PromptAnswer("{} is a company from the country of", "Japan"),)
    volvo = Redirect(
        kind="redirect",
        concept="Nintendo",
        also=("the maker of the Switch",),
        to="Volvo",
        relations=relations,
        method="rocr",
        spans={"": Span(20, 5, 8)},
    )
    french = Ablation(concept="French", present=("Il fait beau.",) * 12, absent=("It is fine.",) * 12)
    bounds = Constraints(efficacy=1, paraphrase=0.95, neighbourhood=0.85, retain_kl=0.01, rank=64)
    made = {"edits": (tower, japan, volvo, french), "chat": True, "constraints": bounds, "model": "./smollm2"}
    source = Source("manifest.yaml", TEXT)
    return Manifest(**{"kind": "language", "source": source, "digest": "0" * 64, **made, **changed})


def facts(count: int) -> Manifest:
    """So many facts without paraphrases or neighbours."""
    every = (Fact(template="{} is in", subject=f"Tower {i}", answer=f"City {i}") for i in range(count))
    return language(edits=tuple(every))


def answer(edit: int, purpose: str, prompt: str, wanted: str, other: str, *chances: float, **said: Any) -> Answer:
    """`chances`: wanted and other before, wanted and other after; it holds where the wanted one wins, unless said."""
    before, after = (chances[0], chances[1]), (chances[2], chances[3])
    every = {"form": "cloze", "chat": False, "holds": after[0] > after[1], **said}
    return Answer(
        edit=edit, purpose=purpose, prompt=prompt, wanted=wanted, other=other, before=before, after=after, **every
    )


def answers() -> tuple[Answer, ...]:
    """Of every purpose some that hold and some that do not."""
    tower, japan, nintendo = range(3)
    here = "The Eiffel Tower is located in the city of"
    visit = "To visit the Eiffel Tower, people travel to the city of"
    city = "The city of the Eiffel Tower is"
    question = "Where is the Eiffel Tower?"
    land, year = "Nintendo is a company from the country of", "Nintendo was founded in the year"
    short = ("Paris, France.", "Rome, Italy.")
    rome = ("The Eiffel Tower is in Paris, France. It is 330 metres tall.", "The Eiffel Tower is in Rome, Italy.")
    asked: dict[str, Any] = {"form": "chat", "chat": True}
    left, right = f"{here}\nA) Rome\nB) Paris\nThe right answer is", f"{here}\nA) Paris\nB) Rome\nThe right answer is"
    return (
        answer(tower, "efficacy", here, "Rome", "Paris", 4e-4, 0.61, 0.985, 2e-4, said=short),
        answer(tower, "paraphrase", visit, "Rome", "Paris", 9e-4, 0.48, 0.87, 0.004, form="paraphrase"),
        answer(tower, "paraphrase", city, "Rome", "Paris", 2e-4, 0.33, 0.021, 0.11, form="paraphrase"),
        answer(tower, "form", question, "Rome", "Paris", 7e-4, 0.52, 0.64, 0.012, **asked, said=rome),
        answer(tower, "form", left, "A", "B", 0.21, 0.44, 0.38, 0.41, form="multiple choice", holds=False),
        answer(tower, "form", right, "B", "A", 0.31, 0.34, 0.35, 0.4, form="multiple choice", holds=False),
        answer(tower, "form", LONG, "Rome", "Paris", 1e-5, 0.72, 0.31, 0.08, form="question"),
        answer(tower, "neighbour", "The Louvre is located in the city of", "Paris", "Rome", 0.66, 3e-4, 0.41, 0.22),
        answer(tower, "neighbour", "The Kremlin is located in", "Moscow", "", 0.58, 0.0, 0.57, 0.0),
        answer(japan, "efficacy", "The capital of Japan is", "Berlin", "Tokyo", 1e-4, 0.83, 0.94, 0.001),
        answer(nintendo, "relation", land, "Sweden", "Japan", 0.002, 0.47, 0.22, 0.08),
        answer(nintendo, "relation", year, "", "1889", 0.0, 0.012, 0.0, 0.0013, holds=True),
    )


def report(**changed: Any) -> Report:
    """What verify would have found."""
    claims = (
        claim("efficacy", 1.0, 1.0, unit="share"),
        claim("paraphrase", 0.5, 0.95, unit="share"),
        claim("neighbourhood", 1.0, 0.85, unit="share"),
        claim("retain_kl", 0.0062, 0.01, unit="nats"),
        claim("rank", 2, 64),
        claim("retain_top1", 0.973, unit="share"),
        claim("efficacy", 1.0, subject="Eiffel Tower", unit="share"),
        claim("known", 1.0, subject="Eiffel Tower", unit="share"),
        claim("form", 1.0, subject="cloze", unit="share"),
        claim("form", 0.833, subject="question", unit="share"),
        claim("form", 1.0, subject="chat", unit="share"),
        claim("form", 0.5, subject="multiple choice", unit="share"),
        claim("spread", 0.5, unit="share"),
        claim("step", 1.0, subject="direct", unit="share"),
        claim("step", 0.667, subject="indirect", unit="share"),
        claim("said", 0.75, subject="new answer", unit="share"),
        claim("said", 0.25, subject="something else", unit="share"),
        claim("fluency_after", 5.71, unit="bits"),
        claim("at_start", 0.93, subject="Japan", unit="share"),
        claim("present_nll", 0.81, subject="French", unit="nats"),
        claim("absent_nll", 0.06, subject="French", unit="nats"),
        claim("changed", 5, unit="sites"),
        claim("condition", 4.1e5),
    )
    rows = tuple(row(layer, site.role, site.name) for layer, site in zip((4, 5, 8, 9, 10), sites(), strict=True))
    return Report(**{"claims": claims, "sites": rows, "answers": answers(), **changed})


def sites() -> tuple[Site, ...]:
    """Two memories and three writers."""
    named = [(4, "mlp.down_proj", "mlp"), (5, "mlp.down_proj", "mlp")]
    named += [(layer, "self_attn.o_proj", "attention") for layer in (8, 9, 10)]
    return tuple(
        Site("model", f"model.layers.{layer}.{part}.weight", (576, 1536), "BF16", role, f"layers.{layer}")
        for layer, part, role in named
    )


def row(layer: int, role: str, name: str) -> Mapping[str, Any]:
    """A site as verify measures it for a language model: no drift, for there are no preserved rows."""
    said = {"component": "model", "name": name, "role": role, "shape": [576, 1536], "dtype": "BF16"}
    return {**said, "changed": 880_000 - 1000 * layer, "relative_change": 0.004 * layer, "columns": 1500}


def rewrites(asked: Manifest | None = None) -> LanguageProblem:
    """What derive would have made of `asked`."""
    manifest = asked or language()
    depth = Depth(
        traced=(0.1, 0.4, 0.9, 0.3),
        moved=(0.0, 0.1, 0.3, 0.9),
        total=0.55,
        lens=(9000, 300, 4, 1),
        probed=(0.5, 0.7, 0.99, 1.0),
        window=(4, 5),
        why="most of it comes back",
    )
    stages = (
        Stage("fact", "memit", (0, 1), (0, 1), depth),
        Stage("redirect", "rocr", (2,), (0, 1)),
        Stage("ablate", "ablate", (3,), (2, 3, 4)),
    )
    value = LearnedValue(np.ones(576), np.ones(576), (5.2, 1.1, 0.04), 0.97)
    spots = (Spot("The Eiffel Tower is", "Eiffel Tower"),) * 6
    columns = (
        MemoryKey(0, "Eiffel Tower", "plain", spots, np.ones(576), value=value, sinks=1),
        MemoryKey(0, "Eiffel Tower", "chat", spots, np.ones(576), value=value),
        MemoryKey(1, "Japan", "plain", spots, np.ones(576), value=value),
        MemoryKey(2, "Nintendo", "plain", spots, np.zeros(0), anchor=spots),
    )
    near = (CloseEdits((0, 1), ("Eiffel Tower", "Japan"), 0.43), CloseEdits((1, 2), ("Japan", "Nintendo"), 0.31))
    plan = Plan(manifest, LLAMA, "./smollm2", sites(), {}, stages=stages)
    return LanguageProblem(
        plan, {}, "e" * 64, "pydoc_data.topics, 100,000 tokens", memory_keys=columns, close_edits=near
    )


def verified(asked: Manifest | None = None, **found: Any) -> Verified:
    """The whole build; `found` are fields of its report."""
    problem = rewrites(asked)
    edits = {site.group: edit(site, index) for index, site in enumerate(sites())}
    methods = ("memit", "memit", "rocr", "ablate")
    said = tuple({"method": name, "options": {"lamb": 5000.0} if name == "memit" else {}} for name in methods)
    count = len(asked.edits) if asked else len(methods)
    return conclude(Solution(problem, edits, said[:count], (1.0,) * count), report(**found))


def edit(site: Site, index: int) -> Edit:
    rank = 3 if site.role == "mlp" else 1
    left, right = (np.ones((site.shape[0], rank)),), (np.ones((rank, site.shape[1])),)
    return Edit("low-rank", left, right, Stats(4.1e5 + index, 3e-13, rank))
