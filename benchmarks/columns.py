"""Columns of SmolLM2 that name a country, and what taking them out does: `python -m benchmarks.columns`.

First the columns of all 30 layers whose logits the country's words stand out in, either sign. Then for each country the
strongest ones zeroed: what becomes of its own capital and of the others', of which plain words come next, and whether a
query of the weights would still find the columns; with the paper's edit too, which adds noise to them. The rows
`elsewhere` are a control: as many columns of each of these matrices, others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import process_time

import numpy as np
import smollm2

from editc.backends.networks import load
from editc.backends.networks.causal import CausalNetwork
from editc.core.delta import Array, Site
from editc.core.language_problem import ConceptScores, ScoredColumns
from editc.core.network import Network
from editc.core.prompts import Cloze, Prompt
from editc.passes.language.keys import concept_columns
from editc.passes.methods.language.concept_vectors import ConceptVectors

CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Germany": "Berlin", "China": "Beijing"}
PLAIN = (
    "The river runs through the valley and into the sea.",
    "She opened the window and looked at the rain.",
    "Water boils at one hundred degrees.",
    "Most birds build their nests in spring, and feed their young until they can fly.",
)
EARLY = 23
"""Below this layer a fact is still at its subject, and no column writes the answer."""


@dataclass(frozen=True)
class Trial:
    """An edit by the columns that `namings` tell, which may be of fewer matrices than there are."""

    label: str
    method: ConceptVectors
    namings: Mapping[str, ConceptScores]


@dataclass(frozen=True)
class Lab:
    """The model, and the last matrices of its MLPs."""

    network: CausalNetwork

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """In the order of the layers."""
        names = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in range(self.network.layers)]
        shapes = [self.network.parameters[name].shape for name in names]
        return tuple(
            Site("model", name, (shape[0], shape[1]), "F32", "mlp", f"layers.{layer}")
            for layer, (name, shape) in enumerate(zip(names, shapes, strict=True))
        )

    def read(self, site: Site) -> Array:
        """W (d_out, d_in) of the base."""
        return np.asarray(self.network.parameters[site.name].double().numpy())


def trials(namings: Mapping[str, ConceptScores], early: Mapping[str, ConceptScores]) -> Iterator[Trial]:
    """What is tried for each concept."""
    other = elsewhere(namings)
    for count in (1, 10, 60, 300):
        yield Trial(str(count), ConceptVectors(count, threshold=0), namings)
    yield Trial("10, elsewhere", ConceptVectors(10, threshold=0), other)
    yield Trial(f"10 of layers 0-{EARLY - 1}", ConceptVectors(10, threshold=0), early)
    for noise in (0.1, 1.0):
        yield Trial(f"10, noise {noise:g}", ConceptVectors(10, threshold=0, noise=noise), namings)
    yield Trial("10, noise 1, elsewhere", ConceptVectors(10, threshold=0, noise=1.0), other)


def elsewhere(namings: Mapping[str, ConceptScores]) -> Mapping[str, ConceptScores]:
    """Every column's score and place given to another one of its matrix."""
    rng = np.random.default_rng(0)
    turned = {}
    for name, naming in namings.items():
        order = rng.permutation(naming.scores.shape[1])
        turned[name] = ConceptScores(naming.scores[:, order], naming.ranks[:, order])
    return turned


def edited(lab: Lab, concept: int, trial: Trial) -> Mapping[str, Array]:
    """The matrices that change, as they are afterwards."""
    after = {}
    for site in (one for one in lab.sites if one.name in trial.namings):
        all_ = trial.namings[site.name]
        naming = ConceptScores(all_.scores[[concept]], all_.ranks[[concept]])
        if trial.method.choose_columns(naming).any():
            W = lab.read(site)
            edit = trial.method(ScoredColumns(W, naming, np.ones(1)))
            after[site.name] = W + edit.left[0] @ edit.right[0]
    return after


def asked(network: Network, changed: Mapping[str, Array] | None) -> Array:
    """The probability of each capital after `The capital of X is`."""
    cloze = [Cloze(f"The capital of {name} is", city) for name, city in CAPITALS.items()]
    return np.exp(network.score(cloze, changed).total)


def strongest(lab: Lab, namings: Mapping[str, ConceptScores], count: int) -> Iterator[str]:
    """A table a country."""
    listed = concept_columns.strongest_columns(lab.sites, namings, lab.network, lab.read, count)
    yield "| concept | layer | column | score | tokens at that end |"
    yield "|---|---|---|---|---|"
    for one in listed:
        layer, words = one.site.group.removeprefix("layers."), ", ".join(token.strip() for token in one.tokens)
        yield f"| {list(CAPITALS)[one.concept]} | {layer} | {one.index} | {one.score:+.1f} | {words} |"


def taken_out(lab: Lab, namings: Mapping[str, ConceptScores], early: Mapping[str, ConceptScores]) -> Iterator[str]:
    """A row for each country and trial; the trace is that of its ten strongest columns."""
    yield "| concept | columns zeroed | matrices | P(its capital) | P(others' capitals) | KL of plain text | trace |"
    yield "|---|---|---|---|---|---|---|"
    before = asked(lab.network, None)
    listed = concept_columns.strongest_columns(lab.sites, namings, lab.network, lab.read, 10)
    for concept, name in enumerate(CAPITALS):
        others = np.arange(len(CAPITALS)) != concept
        own = [one for one in listed if one.concept == concept]
        yield f"| {name} | none | 0 | {before[concept]:.2f} | {before[others].mean():.2f} | 0 | 1.00 |"
        for trial in trials(namings, early):
            changed = edited(lab, concept, trial)
            after = asked(lab.network, changed)
            text = lab.network.compare([Prompt(one) for one in PLAIN], changed)
            left = concept_columns.trace_columns(own, lab.network, lab.read, reader(lab, changed))
            yield (
                f"| {name} | {trial.label} | {len(changed)} | {after[concept]:.2f} | {after[others].mean():.2f} "
                f"| {text.divergence.mean():.3f} | {left.overlap.mean():.2f} |"
            )


def reader(lab: Lab, changed: Mapping[str, Array]) -> Callable[[Site], Array]:
    """The matrices as they are after an edit."""
    return lambda site: changed[site.name] if site.name in changed else lab.read(site)


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=6, help="columns listed for each country")
    given = parser.parse_args(arguments)
    lab = Lab(load(smollm2.made()))
    begun, names = process_time(), [(name,) for name in CAPITALS]
    namings = concept_columns.score_columns(lab.sites, lab.network, lab.read, names)
    seen = sum(naming.scores.shape[1] for naming in namings.values())
    print(f"{seen} columns of {len(lab.sites)} matrices scored in {process_time() - begun:.1f} s of CPU\n")
    early = concept_columns.score_columns(lab.sites[:EARLY], lab.network, lab.read, names)
    for table in (strongest(lab, namings, given.count), taken_out(lab, namings, early)):
        for line in table:
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
