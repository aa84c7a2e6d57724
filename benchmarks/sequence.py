"""A thousand facts written into SmolLM2-135M-Instruct in batches of ten: `python -m benchmarks.sequence [WAY ...]`.

Every way edits one matrix (`--layer`) batch after batch and is measured after 10, 100, 500 and 1,000 facts (`--at`), by
questions about twenty of them. A value is learned once for each of eight answers, on four names that no edit has, and
every way writes the same values: learning a thousand values one at a time would take hours. `once` writes all facts
together, for comparison with `joint`. ES, PS, NS and strangers are shares of pairs that go as they should: P(new) >
P(old), and P(old) > P(new) for facts that the model knows and for people whom nobody edits. `s` and `late s` are CPU
seconds for an edit, over all batches and over the last ten.

`--keys-only` asks the model nothing and measures in the matrix: `left`, what is missing of the values of all facts so
far and of the first ten, as a share of their length; `spill`, how far the outputs at the names of strangers move, as a
share of a value's length; `text`, how far those of ordinary text move, as a share of their own.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from benchmarks.facts_data import RELATIONS as KNOWN
from benchmarks.facts_data import RETAIN
from benchmarks.facts_edits import Lab, lab
from benchmarks.sequence_data import STRANGERS, TASKS, Relation, relation_of, thousand
from editc.core.delta import Array
from editc.core.language_edits import Fact
from editc.core.language_problem import AnswerGradients, Memory
from editc.core.network import Descent, ValueGoal
from editc.core.prompts import Cloze, Prompt
from editc.core.solution import Edit
from editc.core.storage.caching import cache_key
from editc.numerics import memory as memories
from editc.passes.language import sentences
from editc.passes.language.keys import moments
from editc.passes.language.keys.derive import with_ridges
from editc.passes.language.keys.values import anchor_norm
from editc.passes.methods.language.alphaedit import AlphaEdit
from editc.passes.methods.language.evoedit import EvoEdit
from editc.passes.methods.language.joint import Joint
from editc.passes.methods.language.memit import MEMIT
from editc.passes.methods.language.ultraedit import UltraEdit

BATCH, ASKED = 10, 20
"""Facts of a batch, and how many of the facts so far, at even steps, are asked about."""
TEACHERS = ("Norbert Haverford", "Gwendolyn Ashby", "Emil Sorensen", "Priscilla Vane")
"""Names on which values are learned. No edit has them."""
KEYS_TITLE = (
    "| way | facts | left | left of the first ten | spill | text | delta / W | s | late s | MB |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
TITLE = (
    "| way | facts | ES | top-1 | PS | NS | strangers | KL | tasks | delta / W | s | late s | MB |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Bed:
    """What every way has: the model, the matrices' names, W, C, and the keys (d_in, n) and values (d_out, n) of all
    facts."""

    lab: Lab
    name: str
    upper: tuple[str, ...]
    weight: Array
    moment: Array
    keys: Array
    values: Array


def bed(facts: Sequence[Fact], layer: int) -> Bed:
    """Read the keys of all facts in the unedited model and learn the values. Keys are cut behind the name, and stay
    whatever is written into the matrix that reads them."""
    made = lab()
    name = f"model.layers.{layer}.mlp.down_proj.weight"
    upper = tuple(f"model.layers.{one}.mlp.down_proj.weight" for one in (26, 27, 28))
    found = moments.moments(made.network, [name], moments.corpus(), made.ctx.cache)[name]
    cut = [sentences.spot(one.template.partition("{}")[0] + "{}", one.subject) for one in facts]
    keys = made.network.read_keys([name], cut)[name]
    pairs = dict.fromkeys((relation_of(one), one.answer) for one in facts)
    learned = {pair: value(made, layer, *pair) for pair in pairs}
    values = np.stack([learned[relation_of(one), one.answer] for one in facts], axis=1)
    return Bed(made, name, upper, made.weight(name), with_ridges({name: found})[name], keys, values)


def value(made: Lab, layer: int, relation: Relation, answer: str) -> Array:
    """The value (d_out,) of one answer, learned on TEACHERS and cached."""
    spots = tuple(sentences.spot(relation.prompt, name) for name in TEACHERS)
    goal = ValueGoal(spots, answer, sentences.essence_spot(TEACHERS[0]))
    key = cache_key("benchmark sequence 1", made.network.fingerprint(), str(goal), str(layer))
    kept = made.ctx.cache
    found = None if kept is None else kept.get(key)
    if found is None:
        begin = time.perf_counter()
        learned = made.network.learn_value(goal, layer, "output", Descent())
        found = {"delta": learned.delta}
        if kept is not None:
            kept.put(key, found, "learned values")
        print(f"<!-- {answer}: {learned.probability:.3f}, {time.perf_counter() - begin:.0f} s -->", flush=True)
    return np.asarray(found["delta"])


class Way:
    """One way as it goes through the batches: the weights so far, and what it holds of the batches before."""

    def __init__(self, given: Bed, method: Callable[[Any], Edit], held: bool) -> None:
        self.bed, self.method, self.held = given, method, held
        self.W = given.weight.copy()
        self.done = 0
        self.seconds: list[float] = []

    def changed(self) -> Mapping[str, Array]:
        """The edited weights by name."""
        return {self.bed.name: self.W}

    def size(self) -> float:
        """How large the change is, as a share of W."""
        return float(np.linalg.norm(self.W - self.bed.weight) / np.linalg.norm(self.bed.weight))

    def write(self, facts: Sequence[Fact]) -> None:
        """Write the next batch: what is left of its values, with the keys of all batches before preserved."""
        begin = time.process_time()
        part = slice(self.done, self.done + len(facts))
        keys = self.bed.keys[:, part]
        left = self.bed.values[:, part] - (self.W - self.bed.weight) @ keys
        preserved = self.bed.keys[:, : self.done if self.held else 0]
        edit = self.method(Memory(keys, keys, left, self.bed.moment, preserved))
        self.W = self.W + edit.left[0] @ edit.right[0]
        self.done = part.stop
        self.seconds.append((time.process_time() - begin) / len(facts))


class Several(Way):
    """A way that edits several matrices."""

    def __init__(self, given: Bed, names: Sequence[str], method: Callable[[Any], Edit], held: bool) -> None:
        super().__init__(given, method, held)
        self.now = {name: given.lab.weight(name) for name in names}
        self.base = dict(self.now)

    def changed(self) -> Mapping[str, Array]:
        return self.now

    def size(self) -> float:
        moved = [np.linalg.norm(self.now[one] - self.base[one]) / np.linalg.norm(self.base[one]) for one in self.now]
        return float(max(moved))


class Gradients(Several):
    """`ultraedit`: a forward and a backward pass of the edited model for each batch. What earlier batches read is kept
    for the normalisation, as the paper keeps it."""

    def __init__(self, given: Bed, rate: float) -> None:
        super().__init__(given, given.upper, UltraEdit(rate), True)
        self.read: dict[str, list[tuple[Array, Array]]] = {name: [] for name in given.upper}

    def write(self, facts: Sequence[Fact]) -> None:
        begin = time.process_time()
        asked = [Cloze(one.prompt, one.answer) for one in facts]
        found = self.bed.lab.network.answer_gradients(self.bed.upper, asked, self.now)
        for name, (keys, gradients, _) in found.items():
            none = (keys[:, :0], gradients[:, :0])
            old = [np.hstack(part) for part in zip(none, *self.read[name], strict=True)]
            given = AnswerGradients(keys, gradients, *old, np.ones(keys.shape[1]))
            edit = self.method(given)
            self.now[name] = self.now[name] + edit.left[0] @ edit.right[0]
            self.read[name].append((keys, gradients))
        self.done += len(facts)
        self.seconds.append((time.process_time() - begin) / len(facts))


class Once(Way):
    """All facts so far in one solve from the unedited weights."""

    def write(self, facts: Sequence[Fact]) -> None:
        self.done += len(facts)

    def changed(self) -> Mapping[str, Array]:
        begin = time.process_time()
        keys, values = self.bed.keys[:, : self.done], self.bed.values[:, : self.done]
        edit = self.method(Memory(keys, keys, values, self.bed.moment, keys[:, :0]))
        self.W = self.bed.weight + edit.left[0] @ edit.right[0]
        self.seconds = [(time.process_time() - begin) / self.done]
        return {self.bed.name: self.W}


def anchored(given: Bed) -> Bed:
    """The bed with every value scaled to the length of what the unedited matrix writes at the fact's key (`nas`)."""
    before = given.weight @ given.keys
    values = [anchor_norm(v0, delta) for v0, delta in zip(before.T, given.values.T, strict=True)]
    return replace(given, values=np.stack(values, axis=1))


Ways: TypeAlias = Mapping[str, Callable[[], Way]]
"""Name of a way -> how it begins."""


def ways(given: Bed, rate: float, lamb: float) -> Ways:
    """Name of a way -> how it begins. `rate` is `ultraedit`'s, `lamb` that of `joint`, `memit` and `once`."""
    return {
        "joint": lambda: Way(given, Joint(lamb), True),
        "memit": lambda: Way(given, MEMIT(lamb), False),
        "memit, nas": lambda: Way(anchored(given), MEMIT(lamb), False),
        "joint, nas": lambda: Way(anchored(given), Joint(lamb), True),
        "memit, held": lambda: Way(given, MEMIT(lamb), True),
        "alphaedit": lambda: Way(given, AlphaEdit(), True),
        "evoedit": lambda: Way(given, EvoEdit(), True),
        "ultraedit": lambda: Gradients(given, rate),
        "once": lambda: Once(given, Joint(lamb), False),
    }


@dataclass(frozen=True)
class Questions:
    """What is asked of some facts: each pair has the answer that is to win and the one that is to lose."""

    efficacy: tuple[tuple[Cloze, Cloze], ...]
    paraphrase: tuple[tuple[Cloze, Cloze], ...]
    neighbours: tuple[tuple[Cloze, Cloze], ...]
    strangers: tuple[tuple[Cloze, Cloze], ...]


def questions(given: Bed, facts: Sequence[Fact]) -> Questions:
    """The questions about these facts. What the model would say instead, and which facts it knows, is asked of the
    unedited model."""
    efficacy, paraphrase, neighbours, strangers = [], [], [], []
    names = [f"{fact.subject.split()[0]} {STRANGERS[i % len(STRANGERS)]}" for i, fact in enumerate(facts)]
    prompts = [relation_of(one).prompt.replace("{}", name) for one, name in zip(facts, names, strict=True)]
    own = likeliest(given, [fact.prompt for fact in facts], facts)
    theirs = likeliest(given, prompts, facts, True)
    for number, (fact, was, prompt, other) in enumerate(zip(facts, own, prompts, theirs, strict=True)):
        efficacy.append((Cloze(fact.prompt, fact.answer), Cloze(fact.prompt, was)))
        paraphrase += [(Cloze(text, fact.answer), Cloze(text, was)) for text in fact.paraphrases]
        near = [one for one in known_facts(given, relation_of(fact).known) if one.answer != fact.answer]
        some = [near[(2 * number + i) % len(near)] for i in range(2)]
        neighbours += [(one, Cloze(one.prompt, fact.answer)) for one in some]
        if other != fact.answer:
            strangers.append((Cloze(prompt, other), Cloze(prompt, fact.answer)))
    return Questions(tuple(efficacy), tuple(paraphrase), tuple(neighbours), tuple(strangers))


def likeliest(given: Bed, prompts: Sequence[str], facts: Sequence[Fact], every: bool = False) -> list[str]:
    """The likeliest of a relation's answers after each prompt in the unedited model: of `every` answer, or of all but
    the fact's new one."""
    some = [[one for one in relation_of(fact).answers if every or one != fact.answer] for fact in facts]
    asked = [Cloze(prompt, one) for prompt, answers in zip(prompts, some, strict=True) for one in answers]
    parts = np.split(given.lab.network.score(asked).total, np.cumsum([len(one) for one in some])[:-1])
    return [answers[int(np.argmax(part))] for answers, part in zip(some, parts, strict=True)]


_KNOWN: dict[str, tuple[Cloze, ...]] = {}


def known_facts(given: Bed, name: str) -> tuple[Cloze, ...]:
    """The facts of a relation of `facts_data` that the unedited model knows: the answer's first token is its
    likeliest."""
    if name not in _KNOWN:
        relation = next(one for one in KNOWN if one.name == name)
        asked = [Cloze(relation.prompt.replace("{}", who), answer) for who, answer in relation.answers.items()]
        top = given.lab.network.score(asked).top
        _KNOWN[name] = tuple(one for one, good in zip(asked, top, strict=True) if good)
    return _KNOWN[name]


def measure(given: Bed, asked: Questions, state: Way, base: Sequence[Array]) -> str:
    """The figures of a row, from ES to MB."""
    network, changed = given.lab.network, state.changed()
    groups = (asked.efficacy, asked.paraphrase, asked.neighbours, asked.strangers)
    flat = [one for group in groups for pair in group for one in pair]
    found = network.score(flat, changed)
    total, top = found.total.reshape(-1, 2), found.top.reshape(-1, 2)[:, 0]
    cuts = np.cumsum([len(one) for one in groups])[:-1]
    es, ps, ns, strange = (float(np.mean(part)) for part in np.split(total[:, 0] > total[:, 1], cuts))
    kl = float(network.compare([Prompt(one) for one in RETAIN[:ASKED]], changed, base=base).divergence.mean())
    first = float(top[: len(asked.efficacy)].mean())
    figures = [f"{one:.2f}" for one in (es, first, ps, ns, strange)]
    took = [float(np.mean(state.seconds)), float(np.mean(state.seconds[-10:]))] if state.seconds else [0.0, 0.0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rest = [f"{kl:.4f}", f"{tasks(given, changed):.2f}", f"{state.size():.3f}", *(f"{one:.2f}" for one in took)]
    return " | ".join([*figures, *rest, f"{peak:.0f}"])


def measure_keys(given: Bed, state: Way, strangers: Array) -> str:
    """The figures of a row without asking the model."""
    state.changed()
    D = state.W - given.weight
    keys, values = given.keys[:, : state.done], given.values[:, : state.done]
    left = np.linalg.norm(values - D @ keys, axis=0) / np.linalg.norm(values, axis=0)
    spill = float(np.linalg.norm(D @ strangers, axis=0).mean() / np.linalg.norm(values, axis=0).mean())
    text = np.sqrt(np.sum((D @ given.moment) * D) / np.sum((given.weight @ given.moment) * given.weight))
    took = [float(np.mean(state.seconds)), float(np.mean(state.seconds[-10:]))]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shares = [f"{one:.3f}" for one in (left.mean(), left[:BATCH].mean(), spill, text, state.size())]
    return " | ".join([*shares, *(f"{one:.2f}" for one in took), f"{peak:.0f}"])


def run_keys(given: Bed, facts: Sequence[Fact], sizes: Sequence[int], names: Sequence[str], some: Ways) -> None:
    """Print one row for each way and size, from the matrix alone."""
    spots = [
        sentences.spot(facts[i].template.partition("{}")[0] + "{}", f"{facts[i].subject.split()[0]} {last}")
        for i, last in enumerate(STRANGERS * 4)
    ]
    strangers = given.lab.network.read_keys([given.name], spots)[given.name]
    print(KEYS_TITLE, flush=True)
    for name in names:
        state = some[name]()
        for start in range(0, max(sizes), BATCH):
            state.write(facts[start : start + BATCH])
            if state.done in sizes:
                print(f"| {name} | {state.done} | {measure_keys(given, state, strangers)} |", flush=True)


def tasks(given: Bed, changed: Mapping[str, Array]) -> float:
    """The share of the everyday tasks whose better solution has the higher likelihood by character."""
    asked = [Cloze(goal, text) for goal, *both in TASKS[:ASKED] for text in both]
    total = given.lab.network.score(asked, changed).total / np.array([len(one.answer) for one in asked])
    return float(np.mean(total[::2] > total[1::2]))


def run(given: Bed, facts: Sequence[Fact], sizes: Sequence[int], names: Sequence[str], some: Ways) -> None:
    """Print one row for each way and size."""
    base = given.lab.network.final_states([Prompt(one) for one in RETAIN[:ASKED]])
    about = {
        size: questions(given, [facts[i * size // min(size, ASKED)] for i in range(min(size, ASKED))]) for size in sizes
    }
    print(TITLE, flush=True)
    nothing = Way(given, MEMIT(), False)
    print(f"| none | {sizes[-1]} | {measure(given, about[sizes[-1]], nothing, base)} |", flush=True)
    for name in names:
        state = some[name]()
        for start in range(0, max(sizes), BATCH):
            state.write(facts[start : start + BATCH])
            if state.done in sizes:
                print(f"| {name} | {state.done} | {measure(given, about[state.done], state, base)} |", flush=True)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="A thousand facts in batches of ten.")
    parser.add_argument("ways", nargs="*", metavar="WAY", help="joint, memit, alphaedit, evoedit, ultraedit, once ...")
    parser.add_argument("--at", default="10,100,500,1000", help="after how many facts to measure")
    parser.add_argument("--layer", type=int, default=5, help="the layer whose MLP is edited")
    parser.add_argument("--rate", type=float, default=1e-6, help="of ultraedit")
    parser.add_argument("--lamb", type=float, default=3000.0, help="of joint, memit and once")
    parser.add_argument("--relations", type=int, default=4, help="how many kinds of facts, 1 to 4")
    parser.add_argument("--keys-only", action="store_true", help="measure in the matrix, and ask the model nothing")
    given = parser.parse_args()
    sizes = [int(one) for one in given.at.split(",")]
    facts = thousand(given.relations)[: max(sizes)]
    memories.null_space_basis = _cached(memories.null_space_basis)
    made = bed(facts, given.layer)
    some = ways(made, given.rate, given.lamb)
    names = given.ways or [one for one in some if not (given.keys_only and one == "ultraedit")]
    (run_keys if given.keys_only else run)(made, facts, sizes, names, some)


def _cached(function: Callable[..., Array]) -> Callable[..., Array]:
    """The function, which decomposes one and the same moment only once: a build has one process, and this has 100."""
    kept: dict[object, Array] = {}

    def call(moment: Array, threshold: float | None = None, energy: float | None = None) -> Array:
        key = (id(moment), threshold, energy)
        if key not in kept:
            kept[key] = function(moment, threshold, energy)
        return kept[key]

    return call


if __name__ == "__main__":
    main()
