"""Ask a model every question of a suite, and compute the figures of every metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from editc.core.delta import Array
from editc.core.measurements import TokenScores
from editc.core.network import Network
from editc.core.prompts import Cloze, Prompt
from editc.passes.language.suite.attacks import attack_items
from editc.passes.language.suite.data import of_groups
from editc.passes.language.suite.readings import Figures, Item, Metric, Reading, Readings
from editc.registry.metrics import METRICS

ASKED = "Question: {}\nAnswer:"
"""How a question is put to a model, unless it goes on by itself."""
SCORED = frozenset({"forget", "retain", "holdout", "real_authors", "world_facts", "capability"})
"""The groups whose answers are scored token by token."""
ALONE = frozenset({"holdout"})
"""The groups of which only the right answer is scored: membership attacks need no more."""
MOST: Mapping[str, int] = {"retain": 40, "holdout": 40, "attack": 72}
"""How many items of large groups are asked, at even steps. Chosen by hand: they cost the most time. A file of TOFU has
400 retained questions; pass `most` to ask all."""


@dataclass(frozen=True)
class Asking:
    """How much a model is asked."""

    tokens: int = 24
    """The length of a continuation. Chosen by hand: tofu-mini's answers have at most 20."""
    samples: int = 4
    """How many answers are drawn of each forgotten question."""
    seed: int = 0
    """Drawn answers depend on this alone."""
    most: Mapping[str, int] | None = None
    """Group -> the most items of it. None: MOST."""
    chat: bool = False
    """True: questions go through the model's chat template."""
    metrics: tuple[str, ...] = ()
    """The metrics that are wanted, by name. Empty: all."""


def cloze_of(item: Item, answer: str) -> Cloze:
    """A question with an answer, as the model is asked."""
    return Cloze(prompt_of(item), answer, item.chat)


def prompt_of(item: Item) -> str:
    """The text before the answer."""
    return item.question if item.raw or item.chat else ASKED.format(item.question)


def chosen_metrics(how: Asking) -> tuple[Metric, ...]:
    """The metrics that are wanted, in the order of their table."""
    every = dict(METRICS.each("language"))
    return tuple(every[name] for name in every if not how.metrics or name in how.metrics)


def choose_items(items: Sequence[Item], how: Asking) -> tuple[Item, ...]:
    """The items that are asked: those of the suite as far as `most` allows, and attack prompts made of them."""
    most = MOST if how.most is None else how.most
    chosen = of_groups((*items, *attack_items(items)), most)
    return tuple(replace(item, chat=how.chat and not item.raw) for item in chosen)


def read_model(
    network: Network, items: Sequence[Item], changed: Mapping[str, Array] | None = None, how: Asking = Asking()
) -> Readings:
    """What a model says to the items, which `choose_items` chose. `changed`: matrix name -> other weights."""
    metrics = chosen_metrics(how)
    spoken = frozenset[str]().union(*(one.generated for one in metrics))
    drawn = frozenset[str]().union(*(one.sampled for one in metrics))
    found = _score(network, items, changed)
    greedy = [i for i, item in enumerate(items) if item.group in spoken]
    said = (
        network.generate([Prompt(prompt_of(items[i]), items[i].chat) for i in greedy], how.tokens, changed)
        if greedy
        else ()
    )
    for i, text in zip(greedy, said, strict=True):
        found[i] = replace(found[i], said=text or " ")
    sampled = [i for i, item in enumerate(items) if item.group in drawn]
    prompts = [Prompt(prompt_of(items[i]), items[i].chat) for i in sampled]
    texts = network.sample(prompts, how.tokens, how.samples, how.seed, changed) if prompts else ()
    for i, several in zip(sampled, texts, strict=True):
        found[i] = replace(found[i], sampled=several)
    groups = dict.fromkeys(item.group for item in items)
    return {group: tuple(one for one in found if one.item.group == group) for group in groups}


def figures_of(readings: Readings, oracle: Figures | None = None, how: Asking = Asking()) -> Figures:
    """The figures of all wanted metrics. `oracle`: those of a model that never saw what is forgotten; None: unknown."""
    return {name: one for metric in chosen_metrics(how) for name, one in metric.measure(readings, oracle or {}).items()}


def _score(network: Network, items: Sequence[Item], changed: Mapping[str, Array] | None) -> list[Reading]:
    """The readings of the items with the scores of their answers; items of other groups than SCORED have none."""
    asked: list[Cloze] = []
    places: list[list[int]] = []
    for item in items:
        places.append([])
        for text in _scored_answers(item):
            places[-1].append(len(asked) if text else -1)
            asked += [cloze_of(item, text)] if text else []
    scores = network.score_tokens(asked, changed) if asked else ()

    def at(place: int) -> TokenScores | None:
        return scores[place] if place >= 0 else None

    found = []
    for item, mine in zip(items, places, strict=True):
        if not mine:
            found.append(Reading(item))
            continue
        answer, paraphrased, *wrong = map(at, mine)
        found.append(Reading(item, answer, paraphrased, tuple(one for one in wrong if one is not None)))
    return found


def _scored_answers(item: Item) -> tuple[str, ...]:
    """The answers of an item that are scored: the right one, the same in other words ('' for none), the wrong ones."""
    if item.group not in SCORED or not item.answer:
        return ()
    return (item.answer, "") if item.group in ALONE else (item.answer, item.paraphrased_answer, *item.perturbed_answer)
