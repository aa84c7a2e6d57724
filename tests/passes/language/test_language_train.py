"""Training an edit of a language model: every objective is its formula, and training is the same twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import language_pass_cases
import numpy as np
import pytest
import torch
import toy_package
from language_train_cases import FORGET, subject

from editc.backends.networks import CausalNetwork
from editc.core.delta import Array, Site
from editc.core.ports import Context
from editc.core.prompts import Cloze
from editc.passes.language.schemes.adversaries.collapse import components
from editc.passes.language.schemes.adversaries.relearning import Relearning
from editc.passes.language.schemes.ask import Ask
from editc.passes.language.schemes.subject import Part
from editc.passes.language.train.free import find_free
from editc.passes.training.factors import Factors, attach_factors
from editc.passes.training.loop import Progressed, make_optimizer, pack, resume, train
from editc.passes.training.scheme import Bound, Optimiser, Scheme
from editc.registry.methods import METHODS

folder = language_pass_cases.folder
ports = language_pass_cases.ports
network = language_pass_cases.causal
MANIFEST: Any = None
KEPT = ("nll", "kl", "stream")


@pytest.fixture(scope="module")
def sites() -> tuple[Site, ...]:
    """The MLP of layers 0 to 2, and one attention."""
    names = [f"model.layers.{i}.mlp.down_proj.weight" for i in range(3)]
    mlps = [Site("model", name, (32, 48), "F32", "mlp", "x") for name in names]
    return (*mlps, Site("model", "model.layers.1.self_attn.o_proj.weight", (32, 32), "F32", "attention", "x"))


@pytest.fixture
def factors(network: CausalNetwork, sites: tuple[Site, ...]) -> Iterator[Factors]:
    """Factors that were moved from 0, so that the edited model answers otherwise."""
    with attach_factors(network, sites, 2, seed=1) as found:
        generator = torch.Generator().manual_seed(9)
        with torch.no_grad():
            for one in found.parameters:
                one += 0.3 * torch.randn(one.shape, generator=generator)
        yield found


def ask(network: CausalNetwork, factors: Factors, of: Part = "forget") -> Ask:
    rows = subject(network).rows(of)
    return Ask(network, factors, rows, tuple(range(len(rows))), torch.Generator().manual_seed(5))


def value(tensor: Any) -> float:
    """A scalar, without its gradient."""
    return float(tensor.detach())


def logits_of(network: CausalNetwork, changed: dict[str, Array] | None, text: Any) -> Any:
    """transformers' own logits at the tokens of one answer, without padding, and the tokens."""
    ids = torch.tensor([text.ids])
    with torch.no_grad(), network.use_weights(changed):
        made = network.model(input_ids=ids).logits[0].double()
    return made[-text.answer - 1 : -1], ids[0, -text.answer :]


def likelihoods(network: CausalNetwork, changed: dict[str, Array] | None, texts: Any) -> list[Any]:
    """The log-probability of each token of each answer."""
    found = []
    for text in texts:
        logits, ids = logits_of(network, changed, text)
        found.append(logits.log_softmax(-1).gather(1, ids[:, None])[:, 0])
    return found


def by_hand(name: str, network: CausalNetwork, changed: dict[str, Array], rows: Any, method: Any) -> float:
    """The objective of a method, written out row by row."""
    own, refused = [one.own for one in rows], [one.refused for one in rows]
    now, then = likelihoods(network, changed, own), likelihoods(network, None, own)
    if name == "graddiff":
        return float(torch.cat(now).mean())
    if name == "npo":
        ratios = torch.stack([a.sum() - b.sum() for a, b in zip(now, then, strict=True)])
        return float(2 / method.beta * (1 + (method.beta * ratios).exp()).log().mean())
    if name == "simnpo":
        means = torch.stack([one.mean() for one in now])
        return float(2 / method.beta * (1 + (method.beta * means + method.margin).exp()).log().mean())
    if name == "dpo":
        gains = [
            torch.stack([a.sum() - b.sum() for a, b in zip(*pair, strict=True)])
            for pair in ((likelihoods(network, changed, refused), likelihoods(network, None, refused)), (now, then))
        ]
        return float(2 / method.beta * (1 + (-method.beta * (gains[0] - gains[1])).exp()).log().mean())
    if name == "flat":
        sides = [
            torch.stack([one.exp().mean() for one in likelihoods(network, changed, texts)]) for texts in (own, refused)
        ]
        return float((sides[0].tanh() - sides[1].tanh()).mean() / 2)
    parts = [(logits_of(network, changed, one)[0], *logits_of(network, None, one)) for one in own]
    if name == "pdu":
        return float(torch.cat([(z.max(1).values - z.mean(1)) ** 2 for z, _, _ in parts]).mean())
    assert name == "undial"
    goals = [before - method.beta * torch.nn.functional.one_hot(ids, z.shape[1]) for z, before, ids in parts]
    terms = [-(goal.softmax(1) * z.log_softmax(1)).sum(1) for goal, (z, _, _) in zip(goals, parts, strict=True)]
    return float(torch.cat(terms).mean())


@pytest.mark.parametrize("name", ["graddiff", "npo", "simnpo", "dpo", "flat", "undial", "pdu"])
def test_an_objective_is_its_formula(network: CausalNetwork, factors: Factors, name: str) -> None:
    method = METHODS.resolve(name)()
    rows, changed = subject(network).forget, factors.written(network.model)
    wanted = by_hand(name, network, changed, rows, method)
    assert value(method.objective().loss(ask(network, factors))) == pytest.approx(wanted, rel=2e-4)


def test_rmu_is_its_formula(network: CausalNetwork, factors: Factors) -> None:
    """The mean squared distance of the stream after layer 2, the last that is trained, from 20 u."""
    rows, changed = subject(network).forget, factors.written(network.model)
    u = torch.rand(32, generator=torch.Generator().manual_seed(4))
    found = []
    for row in rows:
        ids = torch.tensor([row.own.ids])
        with torch.no_grad(), network.use_weights(changed):
            stream = network.model(input_ids=ids, output_hidden_states=True).hidden_states[3][0, -row.own.answer :]
        found.append(float((stream - 20 * u / u.norm()).square().mean()))
    loss = METHODS.resolve("rmu")(seed=4).objective().loss(ask(network, factors))
    assert value(loss) == pytest.approx(np.mean(found), rel=1e-4)


def test_cir_is_its_formula(network: CausalNetwork, factors: Factors) -> None:
    """The clipped dot product of what each matrix makes of a token with what it made before."""
    rows, changed = subject(network).forget, factors.written(network.model)
    found = []
    for name in factors.pairs:
        made = [torch.cat([outputs_of(network, some, name, row.own) for row in rows]) for some in (changed, None)]
        size = made[1].norm(dim=1).mean()
        found.append(float(((made[0] * made[1]).sum(1).clamp(min=0) / size**2).mean()))
    loss = METHODS.resolve("cir")().objective().loss(ask(network, factors))
    assert value(loss) == pytest.approx(np.mean(found), rel=1e-4)


def outputs_of(network: CausalNetwork, changed: dict[str, Array] | None, name: str, text: Any) -> Any:
    """What a matrix makes of the tokens of an answer."""
    seen: list[Any] = []
    handle = network.layer(name).register_forward_hook(lambda module, given, made: seen.append(made[0]))
    with torch.no_grad(), network.use_weights(changed):
        network.model(input_ids=torch.tensor([text.ids]))
    handle.remove()
    return seen[0][-text.answer :]


def test_gradients_without_what_is_common(network: CausalNetwork, sites: tuple[Site, ...]) -> None:
    """The gradient of a weight W = up down is g^T x, summed over tokens; here g and x lack their parts in the bases."""
    name, generator = sites[0].name, torch.Generator().manual_seed(1)
    with attach_factors(network, sites[:1], 2, 1) as found:
        down, up = found.pairs[name]
        with torch.no_grad():
            up += torch.randn(up.shape, generator=generator)
        x, g = torch.randn(3, 5, 48, generator=generator), torch.randn(3, 5, 32, generator=generator)
        read, back = (torch.linalg.qr(torch.randn(n, 3, generator=generator))[0] for n in (48, 32))
        with found.switched(True):
            plain = network.layer(name)(x).detach()
        with found.collapsed({name: (read, back)}, found.switched(True)):
            made = network.layer(name)(x)
        made.backward(g)
    torch.testing.assert_close(made.detach(), plain)
    rest = (x.view(-1, 48) - x.view(-1, 48) @ read @ read.T, g.view(-1, 32) - g.view(-1, 32) @ back @ back.T)
    whole = rest[1].T @ rest[0]
    torch.testing.assert_close(up.grad, whole @ down.detach().T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(down.grad, up.detach().T @ whole, rtol=1e-4, atol=1e-4)


def test_components_hold_the_mean_and_the_leading_directions() -> None:
    generator = torch.Generator().manual_seed(3)
    basis = torch.linalg.qr(torch.randn(12, 3, generator=generator))[0]
    spread = torch.randn(400, 2, generator=generator) * torch.tensor([9.0, 4.0])
    vectors = 7 * basis[:, 0] + spread @ basis[:, 1:].T + 0.01 * torch.randn(400, 12, generator=generator)
    found = components(vectors, 2)
    assert found.shape == (12, 3)
    torch.testing.assert_close(found @ found.T, basis @ basis.T, atol=1e-2, rtol=0)


def test_cir_learns_only_what_is_specific(network: CausalNetwork, sites: tuple[Site, ...]) -> None:
    """It trains, and its state is what a checkpoint holds."""
    method = METHODS.resolve("cir")(steps=6, batch=3, rank=2, rate=0.02, every=3, read=2, back=2)
    _, record, begun = run(network, sites, method.scheme())
    assert record.losses[-1][0] < record.losses[0][0]
    assert {key.split(" ")[0] for key in begun.states[0]} == {"read", "back"}


def test_what_is_retained_is_held_by_the_likelihood_or_by_the_divergence(
    network: CausalNetwork, factors: Factors
) -> None:
    texts, changed = [one.own for one in subject(network).retain], factors.written(network.model)
    one = ask(network, factors, "retain")
    nll, kl, stream = (value(METHODS.resolve("npo")(keep_by=name).kept().loss(one)) for name in KEPT)
    assert nll == pytest.approx(-float(torch.cat(likelihoods(network, changed, texts)).mean()), rel=1e-4)
    pairs = [(logits_of(network, None, text)[0], logits_of(network, changed, text)[0]) for text in texts]
    parts = [(a.softmax(1) * (a.log_softmax(1) - b.log_softmax(1))).sum(1) for a, b in pairs]
    assert kl == pytest.approx(float(torch.cat(parts).mean()), rel=1e-3)
    assert stream > 0


def test_what_is_retained_costs_nothing_before_the_first_step(network: CausalNetwork, sites: tuple[Site, ...]) -> None:
    with attach_factors(network, sites, 2, seed=1) as found:
        one = ask(network, found, "retain")
        kl, stream = (value(METHODS.resolve("npo")(keep_by=name).kept().loss(one)) for name in KEPT[1:])
    assert abs(kl) < 1e-6 and stream < 1e-9


def test_answers_are_those_that_verify_scores(network: CausalNetwork, factors: Factors) -> None:
    """Training and verify mean the same tokens of an answer."""
    asked = [Cloze(f"Question: {question}\nAnswer:", answer) for question, answer in FORGET]
    scores = network.score(asked, factors.written(network.model))
    answers = ask(network, factors).edited()
    np.testing.assert_allclose(answers.likelihoods.detach().numpy(), scores.total, rtol=1e-4)
    np.testing.assert_array_equal(answers.lengths.numpy(), scores.tokens)


def run(network: CausalNetwork, sites: Any, scheme: Scheme, save: Any = None, found: Any = None) -> Any:
    """The factors after a training, and its record; `found` is a checkpoint to go on from."""
    from editc.passes.language.train.train import ask_rows

    with attach_factors(network, sites, scheme.rank, 1) as factors:
        generator = torch.Generator().manual_seed(2)
        begun = Progressed(factors, make_optimizer(scheme.optimiser, factors), generator, [{}])
        if found is not None:
            resume(begun, *found)
        trained = train(scheme, [subject(network)], begun, ask_rows(network, begun), None, save)
        return [one.detach().clone() for one in factors.parameters], trained, begun


def test_a_training_is_the_same_twice_and_goes_on_where_it_was_killed(
    network: CausalNetwork, sites: tuple[Site, ...]
) -> None:
    """With an inner loop, whose finds a checkpoint holds, and a weight that follows a bound."""
    made = METHODS.resolve("pdu")(steps=44, batch=2, rank=2, relearn=2, relearn_every=20).scheme()
    kept: dict[int, Any] = {}

    def save(step: int, tensors: Any) -> None:
        kept[step] = {name: one.cpu().double().numpy().copy() for name, one in tensors.items()}

    first, record, _ = run(network, sites, made, save)
    second, _, _ = run(network, sites, made, None, (40, kept[40]))
    assert list(kept) == [40]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert [one.step for one in record.searches] == [0, 20, 40]


def test_the_weight_of_a_bounded_term_follows_its_loss(network: CausalNetwork, sites: tuple[Site, ...]) -> None:
    """It rises while the loss is above the bound, and falls to 0 where it is below."""
    scheme = METHODS.resolve("pdu")(steps=3, batch=2, rank=2).scheme()
    retain = scheme.terms[-1]
    ends = []
    for bound in (0.0, 100.0):
        terms = (scheme.terms[0], replace(retain, bound=Bound(bound, 0.1)))
        _, record, begun = run(network, sites, replace(scheme, terms=terms))
        ends.append(begun.weights["retain"])
        summed = 1 + 0.1 * sum(loss[1] - bound for loss in record.losses)
    assert ends[0] > 1 and ends[1] == 0 > summed
    assert {name for name in pack(begun) if name.startswith("weight")} == {"weight retain"}


def test_relearning_brings_answers_back_and_leaves_the_factors(network: CausalNetwork, factors: Factors) -> None:
    one = ask(network, factors)
    before = [each.detach().clone() for each in factors.parameters]
    adversary = Relearning(every=1, steps=8, rate=0.02, rows=3)
    state, reached = adversary.search({}, one, one.generator)
    drawn = adversary.draw(state, one, one.generator)
    assert drawn is not None
    assert value((-one.attacked(drawn).edited().nll).exp()) == pytest.approx(reached[0], rel=1e-4)
    assert reached[0] > 1.5 * value((-one.edited().nll).exp())
    assert all(torch.equal(a, b) for a, b in zip(before, factors.parameters, strict=True))
    assert all(each.grad is None for each in factors.parameters)


def test_free_factors_leave_the_retained_answers_where_they_are(
    network: CausalNetwork, sites: tuple[Site, ...], ports: Context
) -> None:
    """With fewer retained tokens than inputs of a matrix, no retained state moves, whatever is trained."""
    rows = subject(network).retain[:1]
    free = find_free(network, sites, rows, 0.0, MANIFEST)
    with attach_factors(network, sites, 2, 1, free=free) as found:
        with torch.no_grad():
            for each in found.parameters:
                each += torch.randn(each.shape, generator=torch.Generator().manual_seed(3))
        kept, lost = (Ask(network, found, (row,), (0,)) for row in (rows[0], subject(network).forget[0]))
        moved = [value((one.edited().logits - one.frozen().logits).abs().max()) for one in (kept, lost)]
    assert moved[0] < 1e-3 < 0.5 < moved[1]


def test_the_objective_of_the_recipe_is_trained(
    network: CausalNetwork, sites: tuple[Site, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every word becomes more nearly as likely as any other."""
    monkeypatch.syspath_prepend(str(toy_package.SOURCE))
    method = import_module("toy_rows").Even(steps=6, batch=3, rate=0.02, keep=0.0)
    _, record, _ = run(network, sites, method.scheme())
    assert record.losses[-1][0] < record.losses[0][0]


def test_the_optimiser_is_what_the_options_say() -> None:
    scheme = METHODS.resolve("simnpo")(rate=0.5, steps=7, rank=3, keep=0.0).scheme()
    assert (scheme.optimiser, scheme.steps, scheme.rank, len(scheme.terms)) == (Optimiser(0.5), 7, 3, 1)
