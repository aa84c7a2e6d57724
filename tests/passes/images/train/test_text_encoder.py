"""Training the text encoder: rows follow the factors, objectives are their formulas, and weights do as factors did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import train_cases
from train_cases import SUBJECT, ask, stir

from editc.backends import painter
from editc.backends.diffusion import PipelineDiffusion
from editc.core.delta import Array, Site
from editc.core.diagnostics import EditcError
from editc.core.ports import Diffusion
from editc.families.images.text import SD_TEXT
from editc.passes.images.diffusion.sampling import denoise, goal_of_noise
from editc.passes.images.schemes.adversaries.soft_words import SoftWords
from editc.passes.images.schemes.feeds.conditions import preserved_conditions
from editc.passes.images.schemes.feeds.noised import Noised
from editc.passes.images.schemes.feeds.sampled import Sampled
from editc.passes.images.schemes.feeds.sentences import Sentences
from editc.passes.images.schemes.feeds.trajectories import Trajectories
from editc.passes.images.schemes.objectives.anchor import Anchor
from editc.passes.images.schemes.objectives.away import Away
from editc.passes.images.schemes.objectives.embeddings import (
    NameToEmpty,
    StayAtEmbeddings,
    StayAtRows,
    ToOpposite,
)
from editc.passes.images.schemes.objectives.noise import WrongNoise
from editc.passes.images.schemes.objectives.stay import StayAtOthers, StayAtPrompts
from editc.passes.images.train.loop import train
from editc.passes.images.train.text_encoder import with_last_block
from editc.passes.images.verify.text_drift import measure_drift
from editc.passes.training.factors import Factors, attach_factors
from editc.passes.training.loop import Progressed, make_optimizer
from editc.passes.training.scheme import Scheme
from editc.registry.methods import METHODS

TRAINED = [name for name in METHODS.names("image") if getattr(METHODS.resolve(name), "part", "") == "text_encoder"]
SMALL: dict[str, Any] = {"steps": 2, "sentences": 2, "batch": 2, "pictures": 2, "attack_steps": 2, "every": 1}
SMALL |= {"prompts": 2, "retain_batch": 2, "kept": 2}
model = train_cases.model


def encoder(model: Diffusion) -> Any:
    assert isinstance(model, PipelineDiffusion)
    return model.pipeline.text_encoder


@pytest.fixture(scope="module")
def sites(model: Diffusion) -> tuple[Site, ...]:
    """One matrix of each kind, under the names of transformers before 5."""
    shapes = {name: tuple(one.shape) for name, one in encoder(model).named_parameters()}
    ends = ("1.self_attn.q_proj.weight", "2.mlp.fc1.weight", "3.mlp.fc2.weight", "3.self_attn.out_proj.weight")
    names = sorted(name for name in shapes if name.endswith(ends))
    return tuple(
        Site("text_encoder", f"text_model.{n.removeprefix('text_model.')}", shapes[n], "F32", "x", "x") for n in names
    )


@pytest.fixture
def factors(model: Diffusion, sites: tuple[Site, ...]) -> Iterator[Factors]:
    with attach_factors(model, sites, 2, seed=1) as found:
        yield found
    assert not any(one._forward_hooks for one in encoder(model).modules())


def weights(model: Diffusion, factors: Factors) -> dict[str, Array]:
    """The edited weights by the names of the sites, as a delta makes them."""
    return {
        name: model.layer(name).weight.detach().double().numpy() + factors.left(name) @ factors.right(name)
        for name in factors.pairs
    }


def edited_rows(model: Diffusion, factors: Factors, prompts: list[str]) -> Any:
    with factors.switched(True):
        return model.rows(prompts)


def far(a: Any, b: Any) -> Any:
    """1 - cos over all rows of a prompt, (n,)."""
    a, b = a.flatten(1).double(), b.flatten(1).double()
    return 1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def run(model: Diffusion, sites: tuple[Site, ...], scheme: Scheme) -> Any:
    with attach_factors(model, sites, scheme.rank, 1) as found:
        begun = Progressed(found, make_optimizer(scheme.optimiser, found), torch.Generator().manual_seed(2), [{}])
        trained = train(model, scheme, [SUBJECT], begun, None)
        return [one.detach().clone() for one in found.parameters], trained


def small(name: str) -> Scheme:
    method = METHODS.resolve(name)
    scheme: Scheme = method(**{k: v for k, v in SMALL.items() if k in method.__dataclass_fields__}).scheme()
    return scheme


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_moves_every_factor_twice_to_the_same_bytes(
    name: str, model: Diffusion, sites: tuple[Site, ...]
) -> None:
    first, curve = run(model, sites, small(name))
    again, same = run(model, sites, small(name))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True)) and curve == same
    assert all(torch.isfinite(one).all() and one.abs().max() > 0 for one in first)
    assert curve.terms == tuple(term.name for term in small(name).terms)


def test_factors_in_the_encoder_are_what_a_delta_makes_of_its_weights(model: Diffusion, factors: Factors) -> None:
    """By the painter and by the model with gradients, and whatever spelling the names have."""
    stir(factors, 0.1)
    wanted, before = edited_rows(model, factors, ["a fish", ""]), model.rows(["a fish", ""])
    changed = weights(model, factors)
    plain = {name.removeprefix("text_model."): value for name, value in changed.items()}
    for given in (changed, plain):
        with model.use_weights(given):
            torch.testing.assert_close(model.rows(["a fish", ""]), wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(wanted, before, atol=1e-2)
    assert torch.equal(model.rows(["a fish", ""]), before), "the encoder is as it was"


def test_the_painter_paints_with_an_edited_encoder(model: Diffusion, factors: Factors) -> None:
    stir(factors, 0.1)
    assert isinstance(model, PipelineDiffusion)
    paints = painter.PipelinePainter(model.pipeline, "unet", steps=2, guidance=3.0)
    changed, rows = weights(model, factors), edited_rows(model, factors, ["a fish"]).double().numpy()
    edited = paints.paint(["a fish"], [1], changed)
    assert not np.array_equal(edited, paints.paint(["a fish"], [1]))
    same = paints.paint_rows(rows, [1], changed)  # the empty prompt, too, is read by the edited encoder
    assert int(np.abs(edited.astype(int) - same).max()) <= 1


def test_the_edited_model_reads_its_own_rows_and_the_unedited_one_those_before(
    model: Diffusion, factors: Factors
) -> None:
    stir(factors, 0.1)
    one = ask(model, factors, Trajectories("concept", 2))
    for condition in ("own", "target", "other 0"):
        prompts = one.pool.sentences(condition, one.index)
        told = edited_rows(model, factors, prompts)
        torch.testing.assert_close(one.told(condition, one.index), told)
        torch.testing.assert_close(one.pool.told(condition, one.index), model.rows(prompts))
        latents, times = one.pool.latents[one.index], one.pool.times[one.index]
        torch.testing.assert_close(one.edited(condition), model.answer(latents, times, told), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            one.frozen(condition), model.answer(latents, times, model.rows(prompts)), rtol=1e-4, atol=1e-4
        )
    assert one.edited().requires_grad and not one.frozen().requires_grad


def test_sampled_latents_are_painted_by_the_edited_encoder(model: Diffusion, factors: Factors) -> None:
    stir(factors, 0.1)
    generator = torch.Generator().manual_seed(5)
    pool, _ = Sampled(2).draw(model, factors, SUBJECT, 2, generator)
    again = torch.Generator().manual_seed(5)
    sentence = torch.randint(2, (2,), generator=again)
    seeds = torch.randint(2**31, (2,), generator=again).tolist()
    stop = int(torch.randint(SUBJECT.steps, (1,), generator=again))
    rows = edited_rows(model, factors, [pool.prompts["own"][int(i)] for i in sentence])
    with factors.switched(True):  # guidance leads away from the empty prompt as it is read now
        wanted = denoise(model, rows, seeds, SUBJECT.steps, SUBJECT.guidance, stop=stop)
    torch.testing.assert_close(pool.latents, wanted)


def test_unbind_answers_the_thing_with_the_attribute_as_the_thing_alone(model: Diffusion, factors: Factors) -> None:
    """At pictures of both, and by rows of the edited encoder; other things and preserved prompts stay."""
    stir(factors, 0.1)
    for feed, painted in ((Trajectories("concept", 2), "own"), (Trajectories("target", 2), "target")):
        one = ask(model, factors, feed)
        latents, times = one.pool.latents[one.index], one.pool.times[one.index]
        own, target = (one.pool.sentences(condition, one.index) for condition in ("own", "target"))
        moved = model.answer(latents, times, edited_rows(model, factors, own))
        wanted = (moved - model.answer(latents, times, model.rows(target))).square().mean()
        torch.testing.assert_close(Anchor().loss(one), wanted, rtol=1e-3, atol=1e-6)
        seeds = SUBJECT.pictures_seeds(2, 0)
        noise = denoise(model, one.pool.rows[painted], seeds, SUBJECT.steps, SUBJECT.guidance, stop=0)
        torch.testing.assert_close(one.pool.latents[:2], noise)
        late = denoise(model, one.pool.rows[painted], seeds, SUBJECT.steps, SUBJECT.guidance, stop=1)
        torch.testing.assert_close(one.pool.latents[2:4], late)
    kept = ask(model, factors, Sentences("preserved", 2))
    prompts = kept.pool.sentences("own", kept.index)
    now, before = edited_rows(model, factors, prompts), model.rows(prompts)
    wanted = (now - before).square().mean() / before.square().mean()
    torch.testing.assert_close(StayAtRows().loss(kept), wanted, rtol=1e-3, atol=1e-6)
    objectives = [type(term.objective) for term in small("unbind").terms]
    assert objectives == [Anchor, Anchor, StayAtOthers, StayAtPrompts, StayAtRows]


def test_rows_of_several_conditions_are_those_of_each(model: Diffusion, factors: Factors) -> None:
    stir(factors, 0.1)
    one = ask(model, factors, Trajectories("concept", 2))
    told = one.told_each(["other 0", "target"], one.index)
    each = [one.told(name, index[None]) for name, index in zip(("other 0", "target"), one.index, strict=True)]
    torch.testing.assert_close(told, torch.cat(each), rtol=1e-4, atol=1e-4)


def test_few_shot_is_wrong_about_the_noise_by_its_formula(model: Diffusion, factors: Factors) -> None:
    stir(factors, 0.1)
    one = ask(model, factors, Noised("own", 2))
    pool = one.pool
    rows = edited_rows(model, factors, pool.sentences("own", one.index))
    goal = goal_of_noise(model, pool.clean[one.index], pool.times[one.index], pool.noise[one.index])
    wanted = -(model.answer(pool.latents[one.index], pool.times[one.index], rows) - goal).square().mean()
    torch.testing.assert_close(WrongNoise().loss(one), wanted, rtol=1e-4, atol=1e-4)
    assert [term.objective for term in small("few-shot").terms] == [WrongNoise()]


def test_advunlearn_is_esd_at_the_adversarys_rows_and_keeps_preserved_prompts(
    model: Diffusion, factors: Factors
) -> None:
    stir(factors, 0.1)
    adversary = SoftWords(1, 1, 2, decay=0.0, persistent=False)
    one = ask(model, factors, Sampled(2))
    state, _ = adversary.search({}, one, one.generator)
    drawn = adversary.draw(state, one, one.generator)
    assert drawn is not None and drawn.rows.requires_grad, "the gradient goes through the text encoder"
    attacked = replace(one, rows=drawn.rows)
    empty, own = one.frozen("empty"), one.frozen()
    latents, times = one.pool.latents[one.index], one.pool.times[one.index]
    goal = empty - 1.5 * (own - empty)
    wanted = (model.answer(latents, times, drawn.rows) - goal).square().mean()
    torch.testing.assert_close(Away(1.5).loss(attacked), wanted, rtol=1e-4, atol=1e-4)
    kept = ask(model, factors, Trajectories("preserved", 2))
    latents, times = kept.pool.latents[kept.index], kept.pool.times[kept.index]
    prompts = kept.pool.sentences("own", kept.index)
    moved = model.answer(latents, times, edited_rows(model, factors, prompts))
    wanted = (moved - model.answer(latents, times, model.rows(prompts))).square().mean()
    torch.testing.assert_close(StayAtPrompts(0.0).loss(kept), wanted, rtol=1e-3, atol=1e-6)
    erase, keep = small("advunlearn").terms
    assert erase.attacked and erase.objective == Away(1.0) and keep.objective == StayAtPrompts(0.0)


def test_the_prefix_stands_before_the_name_and_is_read_by_the_edited_encoder(
    model: Diffusion, factors: Factors
) -> None:
    stir(factors, 0.1)
    one = ask(model, factors, Sampled(2))
    (word,) = model.tokens(["red"])[:, 1]
    drawn = SoftWords(1, 1, 2).draw({"words": model.embeddings[word][None, None]}, one, one.generator)
    assert drawn is not None
    wanted = edited_rows(model, factors, ["red fish"] * 2)
    torch.testing.assert_close(drawn.rows, wanted, rtol=1e-4, atol=1e-4)


def test_des_is_its_formula(model: Diffusion, factors: Factors) -> None:
    stir(factors, 0.1)
    one = ask(model, factors, Sentences("concept", 2))
    own, target = (one.pool.sentences(name, one.index) for name in ("own", "target"))
    name = model.rows(["fish"]).double()
    contexts = [prompt.replace("fish", "{}") for prompt in one.pool.prompts["own"]]
    safe = model.rows([context.format(word) for word in ("arrow", "cat", "boat") for context in contexts]).double()
    goals = torch.stack([safe[far(u[None].expand_as(safe), safe).argmax()] for u in model.rows(own)]) - 0.5 * name[0]
    wanted = far(edited_rows(model, factors, own), goals).mean()
    torch.testing.assert_close(ToOpposite(0.5).loss(one).double(), wanted, rtol=1e-4, atol=1e-5)
    now, before = edited_rows(model, factors, target), model.rows(target)
    wanted = (far(now, before) + far(now + 0.5 * name, before + 0.5 * name)).mean() / 2
    torch.testing.assert_close(StayAtEmbeddings("target", 0.5).loss(one).double(), wanted, rtol=1e-4, atol=1e-5)
    wanted = far(edited_rows(model, factors, ["fish"]), model.rows([""])).mean()
    torch.testing.assert_close(NameToEmpty().loss(one).double(), wanted, rtol=1e-4, atol=1e-5)


def test_what_must_stay_costs_nothing_before_the_first_step(model: Diffusion, factors: Factors) -> None:
    concept, preserved = (ask(model, factors, Sentences(of, 2)) for of in ("concept", "preserved"))
    for objective, one in ((StayAtEmbeddings("target"), concept), (StayAtEmbeddings("own"), preserved)):
        assert abs(float(objective.loss(one).detach())) < 1e-6
    assert float(StayAtOthers().loss(ask(model, factors, Trajectories("concept", 2))).detach()) < 1e-9


def test_a_method_that_keeps_prompts_says_so_where_there_are_none(model: Diffusion) -> None:
    with pytest.raises(EditcError, match="E248"):
        preserved_conditions(model, replace(SUBJECT, preserved=()), 2)


def test_drift_is_what_keys_and_values_see(model: Diffusion, factors: Factors) -> None:
    stir(factors, 0.1)
    changed, prompts = weights(model, factors), ["a boat", "a red cat"]
    before, after = model.rows(prompts).double(), edited_rows(model, factors, prompts).double()
    ends = ("attn2.to_k.weight", "attn2.to_v.weight")
    readers = [one.detach().double() for name, one in model.network.named_parameters() if name.endswith(ends)]
    moved = sum(float(((after - before) @ W.T).square().sum()) for W in readers)
    whole = sum(float((before @ W.T).square().sum()) for W in readers)
    assert measure_drift(model, prompts, changed) == pytest.approx((moved / whole) ** 0.5, rel=1e-4)


def test_the_last_block_is_the_one_with_the_largest_number() -> None:
    names = [f"text_model.encoder.layers.{i}.self_attn.q_proj.weight" for i in range(12)]
    layers = with_last_block(SD_TEXT, names).layers
    assert layers["last-attention"] == ("*layers.11.self_attn.*_proj.weight",)
    assert layers["attention"] == SD_TEXT.layers["attention"]
