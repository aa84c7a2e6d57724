"""Attacks: what each computes is what its page says, and each brings a concept of the unedited demo model back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import train_cases

from editc.backends import painter
from editc.core.ports import Diffusion
from editc.demo import MODEL
from editc.numerics.ball import join_balls
from editc.passes.images.attacks.arithmetic import choose_mixture
from editc.passes.images.attacks.attack import Attack, Case
from editc.passes.images.attacks.goals import Shortlist, answer, residual_loss, residual_parts
from editc.passes.images.attacks.jobs import list_jobs, results
from editc.passes.images.attacks.names import near_words, other_words
from editc.passes.images.attacks.p4d import nearest
from editc.passes.images.attacks.prefix import to_simplex
from editc.passes.images.diffusion.adapter import attach_adapter
from editc.passes.images.diffusion.descent import descend
from editc.passes.images.diffusion.reference import make_reference
from editc.passes.images.diffusion.residual import own_share, project
from editc.passes.images.diffusion.sampling import add_noise, goal_of_noise, paint
from editc.passes.images.diffusion.words import bare_tokens, fill_places, places_in, words_of
from editc.registry.attacks import ATTACKS

OTHERS = ("arrow", "star", "boat", "cat")
SMALL: Mapping[str, Mapping[str, Any]] = {
    "rows": {"steps": 2, "latents": 2, "starts": 1},
    "inversion": {"words": 2, "steps": 2, "latents": 2, "starts": 2},
    "prefix": {"words": 2, "steps": 2, "latents": 2, "starts": 1},
    "p4d": {"words": 4, "steps": 2, "latents": 2, "starts": 2},
    "ring": {"words": 4, "population": 6, "generations": 2},
    "untexted": {"steps": 1},
    "arithmetic": {"prompts": 2, "candidates": 1, "latents": 2},
    "relearn": {"steps": 2, "shots": 2, "batch": 2},
    "personalise": {"inversion": 2, "steps": 2, "shots": 2, "batch": 2},
}
"""Budgets that show that an attack runs, and nothing of its strength."""


model = train_cases.model


@pytest.fixture(scope="module")
def case(model: Diffusion) -> Case:
    contexts = ("a {}", "a photo of a {}", "a red {} on grass")
    sentences = [[one.format(name) for one in contexts] for name in OTHERS]
    named = [one.format("fish") for one in contexts]
    reference = make_reference(model, named, sentences, OTHERS, seed=3, each=2, steps=4)
    return Case(model, "fish", ("fish",), contexts, ("a boat", "a red cat"), reference, 5, 2, 3, 3.0)


@pytest.fixture
def untouched(model: Diffusion) -> Iterator[None]:
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    yield
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())


@pytest.mark.parametrize("name", ATTACKS.names())
def test_an_attack_paints_as_asked_twice_the_same_and_leaves_the_model(name: str, case: Case, untouched: None) -> None:
    attack: Attack = ATTACKS.resolve(name)(**SMALL.get(name, {}))
    case = replace(case, reference=replace(case.reference, words=("trout",), near=("trout",)))
    first, again = attack.run(case), attack.run(case)
    assert first.pictures.shape == (2, 32, 32, 3) and first.pictures.dtype == np.uint8
    np.testing.assert_array_equal(first.pictures, again.pictures)
    assert first.says == again.says


def test_tokens_that_somebody_can_type_are_read_back(model: Diffusion) -> None:
    known = model.typed_tokens.tolist()
    special = {int(one) for one in model.tokens([""]).unique()}
    assert 200 < len(known) < len(model.embeddings) and not special & set(known)
    for start in range(0, len(known), 8):  # in company too, in any order
        some = known[start : start + 8][::-1]
        assert bare_tokens(model, words_of(model, some)) == some


@pytest.mark.parametrize("name", ["prefix", "p4d", "ring"])
def test_what_a_prompt_attack_paints_is_what_its_text_paints(name: str, case: Case) -> None:
    case = replace(case, reference=replace(case.reference, near=()))
    attack: Attack = ATTACKS.resolve(name)(**SMALL[name])
    outcome = attack.run(case)
    prompts = outcome.says["prompts"]
    rows = case.model.rows([prompts[one % len(prompts)] for one in range(case.pictures)])
    painted = paint(case.model, rows, case.seeds, case.steps, case.guidance)
    assert np.abs(outcome.pictures.astype(int) - painted.astype(int)).max() <= 1, "float32, rows in another batch"


def test_a_picture_that_was_inverted_is_painted_again(case: Case) -> None:
    """From the noise to which it was inverted, with the empty prompt; without corrections it is not."""
    case = replace(case, steps=8)
    miss = [ATTACKS.resolve("untexted")(steps=steps).run(case).says["miss"] for steps in (0, 3)]
    assert miss[1] < 0.1 < miss[0]


def test_a_control_says_nothing(case: Case) -> None:
    outcome = [ATTACKS.resolve("rece")().run(replace(case, recorded=one)) for one in (True, False)]
    assert len(outcome[0].says["reached"]) == 2 and not outcome[1].says
    np.testing.assert_array_equal(outcome[0].pictures, outcome[1].pictures)


def test_no_word_is_taken_for_a_concept_where_there_are_none(case: Case) -> None:
    assert other_words(case.model, case.reference, (), "a {}") == ()
    assert other_words(case.model, case.reference, ("boat",), "a {}") == ()


def test_rows_are_learned_where_no_prompt_is_preserved(case: Case) -> None:
    """An edit of layers that read no text has no preserved prompts to start from."""
    attack: Attack = ATTACKS.resolve("rows")(**SMALL["rows"])
    assert len(attack.run(replace(case, harmless=())).pictures) == 2


@pytest.mark.parametrize("name", ATTACKS.names())
def test_presets_are_options_of_the_attack(name: str) -> None:
    kind = ATTACKS.resolve(name)
    for preset in (kind.quick, kind.thorough):
        assert kind(**preset) == replace(kind(), **preset)


def test_rows_learned_by_gradient_reach_more_of_the_concept(case: Case) -> None:
    rows, index = case.model.rows(["a boat"]), torch.arange(4)

    def loss(tried: Any, step: int) -> Any:
        return residual_loss(case, tried, index)

    found = descend(rows, loss, steps=12, rate=0.1, project=case.model.into_ball)
    assert float(loss(found, 0)) < 0.7 * float(loss(rows, 0))


def test_a_descent_ends_where_half_of_the_starts_have_enough(case: Case) -> None:
    asked: list[int] = []

    def loss(tried: Any, step: int) -> Any:
        asked.append(step)
        return torch.stack([0 * tried[0].sum(), tried[1].square().sum() + 1])

    found = descend(torch.ones(2, 1), loss, steps=100, rate=0.0, enough=0.01)
    assert len(asked) == 10, "the window of the mean"
    torch.testing.assert_close(found, torch.ones(2, 1))
    descend(torch.ones(2, 1), loss, steps=12, rate=0.0)
    assert len(asked) == 10 + 12, "without `enough` the whole budget is spent"


def test_rows_of_their_own_for_each_latent_are_asked_so(case: Case) -> None:
    rows, index = case.model.rows(["a boat", "a cat"]), torch.tensor([0, 3])
    both = residual_loss(case, torch.stack([rows, rows.flip(0)]), index)
    single = torch.stack([residual_loss(case, rows, one[None]) for one in index], dim=1)
    torch.testing.assert_close(both, torch.stack([single.diagonal().mean(), single.flip(0).diagonal().mean()]))


def test_the_loss_is_a_squared_length_of_what_is_affine_in_the_answers(case: Case) -> None:
    rows, index = case.model.rows(["a boat", "a cat"]), torch.arange(3)
    first, second = (answer(case, one[None], index)[0] for one in rows)
    parts = [residual_parts(case, one, index) for one in (first, second, 1.5 * first - 0.5 * second)]
    torch.testing.assert_close(parts[2], 1.5 * parts[0] - 0.5 * parts[1], atol=1e-4, rtol=1e-4)
    own = residual_parts(case, case.reference.own[index], index)
    assert float(own.abs().max()) == 0


def test_a_mixture_is_the_best_affine_one_of_its_columns() -> None:
    parts = np.random.default_rng(0).normal(size=(5, 9))
    parts[3] = 2 * parts[0] - parts[1] + 1e-3 * parts[2]
    chosen, weights = choose_mixture(parts @ parts.T, 2)
    assert len(set(chosen)) == 2 and weights.sum() == pytest.approx(1)
    alone = min(float(one @ one) for one in parts)
    assert float(np.square(weights @ parts[chosen]).sum()) < alone
    assert choose_mixture(np.eye(2), 4)[0] == [0, 1], "no more than there are"


def test_a_shortlist_keeps_the_prompts_of_least_loss_for_each_start(case: Case) -> None:
    seen = Shortlist(most=2)
    for losses, tokens in (((3.0, 1.0), (7, 1)), ((1.0, 2.0), (8, 2)), ((2.0, 3.0), (9, 3))):
        seen.add(torch.tensor(losses), torch.tensor(tokens)[:, None])
    assert seen.seen == [{(8,): 1.0, (9,): 2.0}, {(1,): 1.0, (2,): 2.0}]
    fish, boat = case.model.rows(["a fish", "a boat"])

    def encode(start: int, tokens: Any) -> Any:
        return torch.stack([fish if int(one) in (9, 2) else boat for one in tokens])

    assert seen.best(case, encode, torch.Generator().manual_seed(0)).tolist() == [[9], [2]]


def test_relearning_paints_on_the_way_where_a_curve_is_wanted(case: Case) -> None:
    kind = ATTACKS.resolve("relearn")(steps=4, shots=1, batch=1, marks=2)
    curve = kind.run(replace(case, recorded=True)).curve
    assert [at for at, _ in curve.points] == [0, 1, 2, 4]
    plain = paint(case.model, case.model.rows(case.prompts), case.seeds, case.steps, case.guidance)
    np.testing.assert_array_equal(curve.points[0][1], plain)


def test_the_reference_tells_the_concept_from_the_others(case: Case) -> None:
    reference, index = case.reference, torch.arange(len(case.reference.latents))
    assert float(reference.share(reference.own, index).min()) == pytest.approx(1, abs=1e-5)
    assert float(reference.share(reference.mixture, index).abs().max()) < 1e-6
    assert float(reference.distance(reference.own, index).max()) == 0
    assert float(reference.weights.sum(1).sub(1).abs().max()) < 1e-6
    assert 0 < own_share(reference.own, reference.mixture, reference.mixture) <= 1.0 + 1e-6


def test_the_mixture_is_the_ridge_projection_onto_the_affine_hull() -> None:
    rng = torch.Generator().manual_seed(0)
    own, others = torch.randn(3, 2, 2, 2, generator=rng), torch.randn(3, 4, 2, 2, 2, generator=rng)
    found, weights = project(own, others, ridge=1e-9)
    flat = others.flatten(2).double()
    away = (own - found).flatten(1).double()
    directions = flat[:, 1:] - flat[:, :1]
    assert float((directions @ away[:, :, None]).abs().max()) < 1e-5, "what is left is orthogonal to the hull"
    torch.testing.assert_close((weights[:, None] @ flat)[:, 0].float(), found.flatten(1), atol=1e-5, rtol=0)


def test_pictures_are_those_of_the_pipeline_itself(case: Case) -> None:
    prompts, seeds = ["a fish", "a red boat"], [3, 4]
    ours = paint(case.model, case.model.rows(prompts), seeds, 4, 3.0)
    theirs = painter.load(MODEL, "unet", steps=4, guidance=3.0).paint(prompts, seeds)
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1, "float32, summed in another order"


def test_words_with_their_own_embeddings_are_the_prompt(case: Case) -> None:
    model = case.model
    ids, places = places_in(model, "a photo of {} on grass", 2)
    tokens = torch.tensor([[int(one) for one in model.tokens(["fish boat"])[0, 1:3]]])
    told = model.encode_tokens(fill_places(ids, places, tokens))
    same = model.encode_tokens(ids, places, model.embeddings[tokens])
    torch.testing.assert_close(told, same)
    torch.testing.assert_close(told, model.rows(["a photo of fish boat on grass"]))


def test_into_ball_is_the_nearest_row_of_the_certificate_s_set(case: Case) -> None:
    model = case.model
    rows = model.rows(["a fish"])[0]
    torch.testing.assert_close(model.into_ball(rows), rows, atol=1e-4, rtol=1e-4)
    far = rows + 10 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    inside = join_balls(model.balls()).contains(model.into_ball(far).double().numpy().T, slack=1e-4)
    assert inside.all()


def test_the_unedited_grams_agree(case: Case) -> None:
    after, cross, base = case.model.text_grams()
    np.testing.assert_allclose(after, base)
    np.testing.assert_allclose(cross, base)


def test_noise_and_goal_are_those_of_the_model_s_kind(case: Case) -> None:
    clean, noise = torch.full((1, 4, 8, 8), 2.0), torch.full((1, 4, 8, 8), 3.0)
    times = torch.tensor([500])
    level = float(case.model.levels[500])
    mixed = float(add_noise(case.model, clean, times, noise)[0, 0, 0, 0])
    goal = float(goal_of_noise(case.model, clean, times, noise)[0, 0, 0, 0])
    assert mixed == pytest.approx(level**0.5 * 2 + (1 - level) ** 0.5 * 3, abs=1e-6)
    assert case.model.kind == "v_prediction"
    assert goal == pytest.approx(level**0.5 * 3 - (1 - level) ** 0.5 * 2, abs=1e-6), "float32"


def test_to_simplex_is_the_nearest_point_of_the_simplex() -> None:
    given = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    found = to_simplex(given)
    assert float(found.min()) >= 0
    torch.testing.assert_close(found.sum(-1), torch.ones(5))
    torch.testing.assert_close(to_simplex(found), found)
    support = found > 0
    shift = (given - found)[support]
    rows = support.nonzero()[:, 0]
    for row in range(5):
        same = shift[rows == row]
        assert float(same.max() - same.min()) < 1e-6, "the same amount is taken from every entry that stays"


def test_the_nearest_token_of_an_embedding_is_its_own(case: Case) -> None:
    table = case.model.embeddings
    ids = torch.tensor([[3, 40, 500]])
    assert torch.equal(nearest(2 * table[ids], table), ids)


def test_other_words_are_those_that_the_model_takes_for_the_concept(case: Case) -> None:
    near = near_words(case.model, ("fish",), "a photo of a {}")
    found = other_words(case.model, case.reference, near, "a photo of a {}")
    assert {"trout", "carp"} <= set(found) <= set(near)
    assert not {"fish", "cat", "boat"} & set(found)


def test_an_adapter_does_nothing_until_it_is_trained(case: Case, untouched: None) -> None:
    reference, rows = case.reference, case.model.rows(["a fish"] * 2)
    before = case.model.answer(reference.latents[:2], reference.times[:2], rows)
    with attach_adapter(case.model, 2, 0) as adapter:
        assert len(adapter.parameters) == 2 * 28
        torch.testing.assert_close(case.model.answer(reference.latents[:2], reference.times[:2], rows), before)
        with torch.no_grad():
            adapter.parameters[1].add_(1)
        changed = case.model.answer(reference.latents[:2], reference.times[:2], rows).detach()
        assert float((changed - before).abs().max()) > 1e-3
    torch.testing.assert_close(case.model.answer(reference.latents[:2], reference.times[:2], rows), before)


class Sees:
    """A detector that sees a concept in every picture that is not black."""

    def knows(self, concept: str) -> bool:
        return True

    def shows(self, concept: str, pictures: Any) -> Any:
        return pictures.reshape(len(pictures), -1).any(axis=1)

    def concepts(self) -> tuple[str, ...]:
        return ()


def test_each_attack_has_its_two_controls(case: Case) -> None:
    attack = ATTACKS.resolve("complete")()
    waiting = replace(case, model=None)
    jobs = list_jobs({"complete": attack}, waiting, replace(waiting, concept="boat"))
    assert [job.role for job in jobs] == ["edited", "unedited", "unrelated"]
    name = "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_v.weight"
    zeros = {name: np.zeros((64, 128))}
    done = [job.run(case.model, zeros) for job in jobs]
    assert not np.array_equal(done[0].outcome.pictures, done[1].outcome.pictures), "the edited weights are in"
    np.testing.assert_array_equal(done[0].outcome.pictures, done[2].outcome.pictures)
    (one,) = results(done, Sees(), {"complete": {"share": 0.3}})
    assert (one.attack, one.concept, one.of, one.shown, one.control) == ("complete", "fish", 2, 2, 2)
    assert (one.unrelated, one.unrelated_shown, one.unrelated_of, one.access) == ("boat", 2, 2, "pictures")
    one_picture = replace(done[2].outcome, pictures=done[2].outcome.pictures[:1])
    (fewer,) = results([*done[:2], replace(done[2], outcome=one_picture)], Sees(), {"complete": {"share": 0.3}})
    assert (fewer.of, fewer.unrelated_shown, fewer.unrelated_of) == (2, 1, 1), "each count has its own whole"
    assert one.tells and one.share == 1
    assert not replace(one, control=0).tells
    assert done[1].outcome.curve is None, "a control has no curve"
    assert one.curve is not None and [at for at, _, _ in one.curve.points] == [0.15, 0.3, 0.45, 0.6, 0.75, 0.9]
    assert one.curve.points[1][1:] == (one.shown, one.of), "the curve passes through the attack's own figure"
    recorded = one.as_recorded()
    assert recorded["curve"]["back"] == 0.15 and "seconds" not in recorded
