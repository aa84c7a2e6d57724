"""What tests of training share: the demo model at four steps, three of its sites, and factors beside them."""

from __future__ import annotations

from collections.abc import Iterator
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
from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.factors import Factors, attach_factors
from editc.passes.images.schemes.subject import Subject


@pytest.fixture(scope="module")
def model() -> Diffusion:
    torch.set_num_threads(1)
    found = PipelineDiffusion.of(painter.load(MODEL, "unet", steps=4, guidance=3.0))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def sites(model: Diffusion) -> tuple[Site, ...]:
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
