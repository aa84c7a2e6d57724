"""What tests of training share: the demo model at four steps, three of its sites, and factors beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from editc.backends import painter
from editc.backends.diffusion import PipelineDiffusion
from editc.core.delta import Site
from editc.core.ports import Diffusion
from editc.core.site_bytes import matrix_shape
from editc.demo import MODEL
from editc.passes.images.schemes.adversaries.rows import RowSearch
from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.subject import Subject
from editc.passes.images.train.loop import train
from editc.passes.training import loop
from editc.passes.training.factors import Factors, attach_factors
from editc.passes.training.loop import Progressed, make_optimizer
from editc.passes.training.scheme import Scheme
from editc.registry.methods import METHODS


@pytest.fixture(scope="module")
def model() -> Diffusion:
    torch.set_num_threads(1)
    found = PipelineDiffusion.of(painter.load(MODEL, "unet", steps=4, guidance=3.0))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def sites(model: Diffusion) -> tuple[Site, ...]:
    return three_sites(model)


def three_sites(model: Diffusion) -> tuple[Site, ...]:
    """A query of self-attention, a key of cross-attention and a convolution."""
    shapes = {name: matrix_shape(tuple(one.shape)) for name, one in model.network.named_parameters()}
    ends = ("attn1.to_q.weight", "attn2.to_k.weight", "resnets.0.conv1.weight")
    names = sorted(name for name in shapes if "mid_block" in name and name.endswith(ends))
    return tuple(Site("unet", name, (shapes[name][0], shapes[name][1]), "F32", "x", "x") for name in names)


@pytest.fixture
def factors(model: Diffusion, sites: tuple[Site, ...]) -> Iterator[Factors]:
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    with attach_factors(model, sites, 2, seed=1) as found:
        yield found
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())


def every_other(pictures: Any) -> Any:
    """A judge that sees the concept in the first of each two pictures."""
    return np.arange(len(pictures)) % 2 == 0


SMALL: dict[str, Any] = {"steps": 2, "sentences": 2, "batch": 2, "pictures": 2, "attack_steps": 2, "every": 2}
SMALL |= {"rounds": 2, "long_attack_steps": 3, "prompts": 2, "words": 2}
"""Options by which a method trains for moments."""
LATENTS = 4
"""Latents of a term in each step at most: so many that rows of the last search, remembered rows and the concept's own
sentences are all told (`adversaries.rows`)."""

SUBJECT = Subject(
    "fish",
    ("fish",),
    "arrow",
    ("cat", "boat"),
    ("a {}", "a red {}"),
    ("a boat", "a red cat"),
    3,
    4,
    3.0,
    label="boat",
    judge=every_other,
)


def ask(model: Diffusion, factors: Factors, feed: Any, count: int = 2) -> Ask:
    generator = torch.Generator().manual_seed(5)
    pool, index = feed.draw(model, factors, SUBJECT, count, generator)
    return Ask(model, factors, pool, index, generator)


def stir(factors: Factors, by: float = 0.3) -> None:
    """Move the factors from 0, so that the edited model answers otherwise."""
    with torch.no_grad():
        for one in factors.parameters:
            one += by * torch.randn(one.shape, generator=torch.Generator().manual_seed(9))


def run(model: Diffusion, sites: tuple[Site, ...], scheme: Scheme, save: Any = None, points: Any = None) -> Any:
    """The factors after a training, and its curve."""
    with attach_factors(model, sites, scheme.rank, 1) as found:
        generator = torch.Generator().manual_seed(2)
        begun = Progressed(found, make_optimizer(scheme.optimiser, found), generator, [{}])
        if points is not None:
            assert points.resume(begun, loop.save_period(scheme, 1), scheme.steps)
        trained = train(model, scheme, [SUBJECT], begun, None, save)
        return [one.detach().clone() for one in found.parameters], trained


def small(name: str) -> Scheme:
    """The scheme of a method with SMALL options and few latents a step."""
    method, given = METHODS.resolve(name), SMALL | ({"pictures": 8} if name == "geom" else {})
    scheme: Scheme = method(**{k: v for k, v in given.items() if k in method.__dataclass_fields__}).scheme()
    terms = tuple(replace(term, latents=min(term.latents, LATENTS)) for term in scheme.terms)
    adversary = scheme.adversary
    if isinstance(adversary, RowSearch):
        adversary = replace(adversary, latents=1)
    return replace(scheme, terms=terms, adversary=adversary)
