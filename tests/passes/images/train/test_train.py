"""Training: every trained method runs, moves what it says, keeps its promises of bytes, and goes on after a kill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import train_cases
from cache_cases import Memory
from torch.nn.functional import softplus
from train_cases import ask, run, small, stir

from editc.core.delta import Site
from editc.core.ports import Diffusion
from editc.passes.images.diffusion.residual import project
from editc.passes.images.diffusion.sampling import add_noise, clean_of, goal_of_noise
from editc.passes.images.schemes.adversaries import rows
from editc.passes.images.schemes.adversaries.critic import Critic, clean_answers, score, weights_of
from editc.passes.images.schemes.adversaries.exact import Exact
from editc.passes.images.schemes.adversaries.ring import Ring
from editc.passes.images.schemes.adversaries.rows import RowSearch
from editc.passes.images.schemes.adversaries.soft_words import SoftWords
from editc.passes.images.schemes.divergences.cosine import Cosine
from editc.passes.images.schemes.divergences.hellinger import Hellinger
from editc.passes.images.schemes.divergences.mse import MeanSquare
from editc.passes.images.schemes.feeds.noised import Noised
from editc.passes.images.schemes.feeds.sampled import Sampled
from editc.passes.images.schemes.feeds.trajectories import Trajectories
from editc.passes.images.schemes.objectives.anchor import Anchor
from editc.passes.images.schemes.objectives.away import Away
from editc.passes.images.schemes.objectives.early_late import EarlyLate
from editc.passes.images.schemes.objectives.fool import Fool
from editc.passes.images.schemes.objectives.hinge import Hinge
from editc.passes.images.schemes.objectives.mosaic import Mosaic
from editc.passes.images.schemes.objectives.noise import WrongNoise
from editc.passes.images.schemes.objectives.residual import Residual
from editc.passes.images.schemes.objectives.stay import StayAtEmpty, StayAtOthers, StayAtPrompts, StayAtRandom
from editc.passes.training import loop
from editc.passes.training.checkpoint import Checkpoints
from editc.passes.training.factors import Factors, attach_factors
from editc.passes.training.loop import Progressed, make_optimizer
from editc.passes.training.rules.surgery import Surgery
from editc.passes.training.rules.total import Total
from editc.registry.methods import METHODS

model, sites, factors = train_cases.model, train_cases.sites, train_cases.factors
TRAINED = [name for name in METHODS.names("image") if getattr(METHODS.resolve(name), "part", None) == ""]


@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_method_moves_every_factor_twice_to_the_same_bytes(
    name: str, model: Diffusion, sites: tuple[Site, ...]
) -> None:
    first, curve = run(model, sites, small(name))
    again, same = run(model, sites, small(name))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True)) and curve == same
    assert all(torch.isfinite(one).all() for one in first) and all(one.abs().max() > 0 for one in first)
    assert curve.terms == tuple(term.name for term in small(name).terms) and len(curve.losses[0]) == len(curve.terms)


def test_the_residual_s_share_is_1_for_the_concept_and_0_for_the_mixture(model: Diffusion, factors: Factors) -> None:
    one = ask(model, factors, Trajectories("concept", 2))
    torch.testing.assert_close(one.share(one.frozen()), torch.ones(2))
    torch.testing.assert_close(one.share(one.mixture), torch.zeros(2))
    others = torch.stack([one.pool.answers(model, name) for name in one.pool.others], dim=1)
    torch.testing.assert_close(one.pool.mixture(model), project(one.pool.answers(model, "own"), others)[0])
    assert one.pool.own_share(model) > 0


def test_objectives_are_their_formulas(model: Diffusion, factors: Factors) -> None:
    stir(factors)
    one = ask(model, factors, Noised("own", 2))
    v, c, t, e = one.edited(), one.frozen(), one.frozen("target"), one.frozen("empty")

    def mean(a: Any, b: Any) -> Any:
        return (a - b).square().mean()

    torch.testing.assert_close(Away(1.5).loss(one), mean(v, e - 1.5 * (c - e)))
    torch.testing.assert_close(Away(1.5, asked="empty").loss(one), mean(one.edited("empty"), e - 1.5 * (c - e)))
    torch.testing.assert_close(Away(1.0, neutral="target").loss(one), mean(v, t - (c - t)))
    torch.testing.assert_close(Anchor().loss(one), mean(v, t))
    torch.testing.assert_close(
        WrongNoise().loss(one), -mean(v, goal_of_noise(model, one.pool.clean, one.pool.times, one.pool.noise))
    )
    torch.testing.assert_close(StayAtEmpty().loss(one), mean(one.edited("empty"), e))
    early = one.pool.times[one.index] >= 0.5 * len(model.levels)
    sign = torch.where(early, 1.0, -1.0)[:, None, None, None]
    torch.testing.assert_close(EarlyLate(1.0, 0.5).loss(one), mean(v, e + sign * (c - e)))
    share = ((v - one.mixture) * one.residual).flatten(1).sum(1) / one.residual.flatten(1).square().sum(1)
    pushed = (share + 0.2).clamp(min=0).square() * one.residual.flatten(1).square().mean(1)
    torch.testing.assert_close(Residual(-0.2).loss(one), pushed.mean())


def test_the_hinge_and_the_mosaic_are_their_formulas(model: Diffusion, factors: Factors) -> None:
    stir(factors)
    one = ask(model, factors, Noised("own", 2))
    c, t, e = one.frozen(), one.frozen("target"), one.frozen("empty")

    def hinge(v: Any) -> Any:
        near, far = (v - (t + 2 * (t - e))).flatten(1), (v - (c + 2 * (c - e))).flatten(1)
        return (near.square().mean(1) - far.square().mean(1) + 0.5).clamp(min=0).mean()

    torch.testing.assert_close(Hinge(2.0, 0.5).loss(one), (hinge(one.edited()) + hinge(one.edited("empty"))) / 2)
    clean, level = one.pool.clean, model.levels[one.pool.times][:, None, None, None]
    cells = clean.unflatten(2, (2, -1)).unflatten(4, (2, -1)).mean((3, 5), keepdim=True)
    mosaic = cells.expand(-1, -1, -1, clean.shape[2] // 2, -1, clean.shape[3] // 2).flatten(4).flatten(2, 3)
    seen = one.pool.latents - level.sqrt() * mosaic
    goal = goal_of_noise(model, mosaic, one.pool.times, seen / (1 - level).sqrt())
    torch.testing.assert_close(Mosaic(2).loss(one), (one.edited("empty") - goal).square().mean(), rtol=1e-3, atol=1e-4)


def test_a_critic_learns_by_adam_and_tells_the_target_from_the_concept(model: Diffusion, factors: Factors) -> None:
    one = ask(model, factors, Noised("target", 6))
    generator, critic = torch.Generator().manual_seed(4), Critic(rate=1e-3, width=8)
    state, _ = critic.search({}, one, generator)
    weights = {name: torch.nn.Parameter(value.clone()) for name, value in weights_of(state).items()}
    adam = torch.optim.Adam(weights.values(), 1e-3, betas=(0.5, 0.999))
    sides = clean_answers(one, one.frozen("target")), clean_answers(one, one.frozen())
    state = {name: value for name, value in state.items() if " of " not in name} | {"steps": torch.zeros(())}
    for _ in range(40):
        adam.zero_grad()
        target, concept = (score(weights, side) for side in sides)
        (softplus(-target).mean() + softplus(concept).mean()).backward()
        adam.step()
        state, reached = critic.search(state, one, generator)
    assert reached == () and critic.draw(state, one, generator) is None
    torch.testing.assert_close(
        weights_of(state), {name: w.detach() for name, w in weights.items()}, rtol=1e-3, atol=1e-4
    )
    target, concept = (score(weights_of(state), side).mean() for side in sides)
    assert target > concept
    loss = Fool().loss(replace(one, state=state))
    torch.testing.assert_close(loss, softplus(-score(weights_of(state), sides[1])).mean(), rtol=1e-4, atol=1e-5)


def test_no_row_comes_nearer_in_keys_and_values_than_the_exact_adversary_s(
    model: Diffusion, sites: tuple[Site, ...], factors: Factors
) -> None:
    stir(factors)
    one = ask(model, factors, Sampled(2))
    state, _ = Exact().search({}, one, one.generator)
    own, found = one.pool.rows["own"].double(), state["rows"].double()
    assert torch.equal(found[:, 0], own[:, 0]) and found.shape == own.shape
    torch.testing.assert_close(found[:, 1:], model.into_ball(found[:, 1:]), rtol=1e-4, atol=1e-4)
    readers = {name: w.detach().double() for name, w in model.network.named_parameters() if "attn2.to_" in name}
    readers = {name: w for name, w in readers.items() if name.endswith(("to_k.weight", "to_v.weight"))}
    written = {name: torch.from_numpy(w) for name, w in factors.written(model.network).items()}

    def away(rows: Any) -> float:
        parts = [(rows @ written.get(name, w).T - own[:, 1:] @ w.T).square().sum() for name, w in readers.items()]
        return float(sum(parts))

    least = away(found[:, 1:])
    assert least <= away(own[:, 1:])
    for _ in range(20):
        near = found[:, 1:] + 0.05 * torch.randn(found[:, 1:].shape, generator=one.generator)
        assert away(model.into_ball(near).double()) >= least * (1 - 1e-6)
    drawn = Exact(share=0.5).draw(state, one, one.generator)
    assert drawn is not None
    assert torch.equal(drawn.rows[0], state["rows"][one.pool.sentence[0]])
    assert torch.equal(drawn.rows[1], one.pool.rows["own"][one.pool.sentence[1]])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_answer_stands_for_the_clean_latents(kind: str) -> None:
    fake: Any = SimpleNamespace(kind=kind, levels=torch.linspace(0.9, 0.1, 10))
    clean, noise, times = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2), torch.tensor([0, 4, 9])
    noised = add_noise(fake, clean, times, noise)
    answer = goal_of_noise(fake, clean, times, noise)
    torch.testing.assert_close(clean_of(fake, noised, times, answer), clean)


def test_what_stays_costs_nothing_before_the_first_step(model: Diffusion, factors: Factors) -> None:
    concept, preserved = ask(model, factors, Trajectories("concept", 2)), ask(model, factors, Noised("preserved", 2))
    for objective, one in ((StayAtOthers(), concept), (StayAtRandom(), concept), (StayAtPrompts(0.5), preserved)):
        assert float(objective.loss(one).detach()) < 1e-9
    stir(factors)
    for objective, one in ((StayAtOthers(), concept), (StayAtRandom(), concept), (StayAtPrompts(0.5), preserved)):
        assert float(objective.loss(one).detach()) > 1e-7


def test_divergences_are_their_formulas() -> None:
    a, b = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 3, 4, 4, dtype=torch.float64)
    square = ((a - b) ** 2).mean((1, 2, 3))
    torch.testing.assert_close(MeanSquare()(a, b), square)
    torch.testing.assert_close(Hellinger()(a, b), 1 - torch.exp(-square))
    norm = (a * a).sum((1, 2, 3)).sqrt() * (b * b).sum((1, 2, 3)).sqrt()
    torch.testing.assert_close(Cosine()(a, b), 1 - (a * b).sum((1, 2, 3)) / norm)


def test_surgery_takes_away_the_conflict_and_nothing_else() -> None:
    x = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    erase, keep = (
        torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64),
        torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64),
    )
    (joined,) = Surgery().gradients({"erase": (x * erase).sum(), "keep": (x * keep).sum()}, [x])
    torch.testing.assert_close(joined, torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64))
    (friendly,) = Surgery().gradients({"erase": (x * erase).sum(), "keep": -(x * keep).sum()}, [x])
    torch.testing.assert_close(friendly, erase - keep)


def test_a_search_from_the_empty_prompt_finds_the_concept(model: Diffusion, factors: Factors) -> None:
    """The third start is the empty prompt, which has little of the concept. Found rows stay in the ball."""
    stir(factors)
    one = ask(model, factors, Trajectories("concept", 2))
    generator = torch.Generator().manual_seed(1)
    search = RowSearch(steps=15, latents=2)
    state, reached = search.search({}, one, generator)
    assert reached[2] > float(one.share(one.frozen("empty")).mean()) + 0.1
    found = state["new"]
    before = one.frozen_for(one.pool.told("own", one.index))
    torch.testing.assert_close(before, one.frozen())  # the weights are what they were, and the factors beside them
    assert not torch.allclose(one.edited(), before)
    torch.testing.assert_close(model.into_ball(found[:, 1:]), found[:, 1:], rtol=1e-4, atol=1e-4)
    assert len(state["memory"]) >= len(found)
    more, _ = search.search(state, one, generator)
    assert len(more["memory"]) > len(state["memory"])


def test_searches_grow_long_and_the_hardest_rows_are_trained_on(
    model: Diffusion, factors: Factors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `long_after` searches each takes `long_steps`. Of what was remembered the rows stay that show most."""
    taken: list[int] = []

    def descend(rows: Any, loss: Any, steps: int, *given: Any) -> Any:
        taken.append(steps)
        return rows

    monkeypatch.setattr(rows, "descend", descend)
    stir(factors)
    one, generator = ask(model, factors, Trajectories("concept", 2)), torch.Generator().manual_seed(1)
    state: Mapping[str, Any] = {}
    search = RowSearch(steps=2, long_after=2, long_steps=5, latents=1, replayed=3)
    for _ in range(3):
        before, (state, _) = state, search.search(state, one, generator)
    assert taken == [2, 2, 5] and len(state["hard"]) == 3 + len(state["new"])
    with one.model.use_weights(factors.written(one.model.network)):
        reached = rows._reached(one, before["memory"], len(one.pool), torch.Generator().manual_seed(1))
    kept = [bool((state["hard"][:3] == row).flatten(1).all(1).any()) for row in before["memory"]]
    assert reached[torch.tensor(kept)].mean() > reached[~torch.tensor(kept)].mean()


def test_rings_keep_bos_and_their_radius(model: Diffusion, factors: Factors) -> None:
    one = ask(model, factors, Trajectories("concept", 2))
    drawn = Ring(0.1).draw({}, one, torch.Generator().manual_seed(1))
    own = one.pool.told("own", one.index)
    assert drawn is not None
    torch.testing.assert_close(drawn.rows[:, 0], own[:, 0], rtol=1e-4, atol=1e-4)
    assert ((drawn.rows - own).norm(dim=-1) <= 0.11 * own.norm(dim=-1)).all()
    assert not torch.equal(drawn.rows, own)


def test_soft_words_go_on_from_search_to_search(model: Diffusion, factors: Factors) -> None:
    one = ask(model, factors, Sampled(2))
    words = SoftWords(every=2, words=2, steps=1)
    state, _ = words.search({}, one, torch.Generator().manual_seed(1))
    kept = replace(words, memory=True, before=False)
    grown, _ = kept.search(state, one, torch.Generator().manual_seed(1))
    assert state["words"].shape[:2] == (1, 2) and len(grown["words"]) == 2
    torch.testing.assert_close(grown["words"][:1], state["words"])
    drawn = kept.draw(grown, one, torch.Generator().manual_seed(1))
    assert drawn is not None and drawn.rows.shape == one.pool.told("own", one.index).shape


@pytest.mark.parametrize("name", ["forget", "doco", "esd"])
def test_a_killed_training_goes_on_to_the_same_bytes(
    name: str, model: Diffusion, sites: tuple[Site, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVED", 1)
    scheme, cache = small(name), Memory()
    points: Any = Checkpoints(cache, "this training")
    whole, curve = run(model, sites, scheme, points.save)
    assert cache.held
    rest, resumed = run(model, sites, small(name), None, points)
    assert all(torch.equal(a, b) for a, b in zip(whole, rest, strict=True)) and curve == resumed
    other = Checkpoints(cache, "another")
    with attach_factors(model, sites, scheme.rank, 1) as found:
        begun = Progressed(found, make_optimizer(scheme.optimiser, found), torch.Generator(), [{}])
        assert other.resume(begun, loop.save_period(scheme, 1), scheme.steps) == 0


def test_a_training_ends_with_the_mean_of_its_second_half(
    model: Diffusion, sites: tuple[Site, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVED", 1)
    scheme, seen = replace(small("esd"), steps=4), dict[int, Mapping[str, Any]]()
    last, _ = run(model, sites, scheme, lambda step, packed: seen.update({step: {k: packed[k] + 0 for k in packed}}))
    mean, _ = run(model, sites, replace(scheme, average=0.25))
    for i, (one, end) in enumerate(zip(mean, last, strict=True)):
        torch.testing.assert_close(one, 0.25 * seen[3][f"factor {i}"] + 0.75 * end)


def test_a_rule_without_conflict_is_the_sum() -> None:
    x = torch.nn.Parameter(torch.ones(2))
    (joined,) = Total().gradients({"erase": x.sum(), "keep": 2 * x.sum()}, [x])
    torch.testing.assert_close(joined, torch.full((2,), 3.0))
