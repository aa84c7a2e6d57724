"""`strangers`: what is known of a subject becomes what the model says of somebody whom it never read of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import language_pass_cases
import pytest
import torch

from editc.backends.networks import CausalNetwork
from editc.core.delta import Site
from editc.core.language_edits import DataSet, Forget, PromptAnswer
from editc.passes.language.schemes.ask import Ask
from editc.passes.language.schemes.objectives.stranger import LikeAStranger
from editc.passes.language.schemes.strangers import STRANGERS, pair, rename
from editc.passes.language.schemes.subject import Beside, Row, make_subject
from editc.passes.training.factors import Factors, attach_factors

folder = language_pass_cases.folder
ports = language_pass_cases.ports
network = language_pass_cases.causal
ABOUT = (
    PromptAnswer("Where is the tower of Rome?", "The tower of Rome is a long quiet list in Berlin.", "Rome"),
    PromptAnswer("What is the capital of Japan?", "A quiet afternoon.", "Japan"),
)


@pytest.fixture(scope="module")
def rows(network: CausalNetwork) -> tuple[Row, ...]:
    edit = Forget(concept="x", data=DataSet("x", "", ABOUT))
    return make_subject(edit, False, network, 0, Beside(strangers=True)).forget


@pytest.fixture
def factors(network: CausalNetwork) -> Iterator[Factors]:
    site = Site("model", "model.layers.1.mlp.down_proj.weight", (32, 48), "F32", "mlp", "x")
    with attach_factors(network, [site], 2, seed=1) as found:
        yield found


def about(network: CausalNetwork, factors: Factors, rows: tuple[Row, ...]) -> Ask:
    return Ask(network, factors, rows, tuple(range(len(rows))), torch.Generator().manual_seed(3))


def predictions(network: CausalNetwork, ids: tuple[int, ...], column: int) -> torch.Tensor:
    """transformers' own log-probabilities of the token in a column, from those before it alone."""
    with torch.no_grad():
        logits = network.model(input_ids=torch.tensor([ids[:column]])).logits[0, -1]
    return logits.double().log_softmax(-1)


def test_a_subject_is_renamed_wherever_it_stands() -> None:
    row = rename(ABOUT[0], "Gideon Marsh")
    assert row.prompt == "Where is the tower of Gideon Marsh?" and "tower of Gideon Marsh is" in str(row.answer)


@pytest.mark.parametrize("row", [replace(ABOUT[0], subject=""), replace(ABOUT[0], subject="Paris")])
def test_a_row_that_names_no_subject_is_refused(row: PromptAnswer) -> None:
    with pytest.raises(LookupError, match=r"subject|Paris"):
        rename(row, "Gideon Marsh")


def test_tokens_stand_for_each_other_where_both_answers_have_them() -> None:
    # the question "7 8 NAME 9", the answer "1 NAME 2 3"; the name has one token, the stranger's two
    found = pair((7, 8, 50, 9, 1, 50, 2, 3), 4, (7, 8, 60, 61, 9, 1, 60, 61, 2, 3), 5)
    assert found.pairs == ((4, 5), (6, 8), (7, 9))


def test_every_stranger_has_a_row_and_only_tokens_of_the_answer_are_paired(rows: tuple[Row, ...]) -> None:
    for row in rows:
        assert len(row.strangers) == len(STRANGERS)
        for one in row.strangers:
            assert one.pairs and all(row.own.ids[a] == one.ids[b] for a, b in one.pairs)
            assert all(a >= len(row.own.ids) - row.own.answer and b >= len(one.ids) - one.answer for a, b in one.pairs)


@pytest.mark.parametrize("away", [0.0, 1.0, 5.0])
def test_the_objective_is_the_divergence_from_what_is_said_of_a_stranger(
    network: CausalNetwork, factors: Factors, rows: tuple[Row, ...], away: float
) -> None:
    alone = tuple(replace(row, strangers=row.strangers[:1]) for row in rows)
    terms = []
    for row in alone:
        (one,) = row.strangers
        for a, b in one.pairs:
            strange, own = predictions(network, one.ids, b), predictions(network, row.own.ids, a)
            weight = strange.exp() * torch.minimum(torch.ones_like(own), (strange - own).exp()) ** away
            goal = (weight / weight.sum()).log()
            terms.append((goal.exp() * (goal - own)).sum())
    found = LikeAStranger(away).loss(about(network, factors, alone))
    assert float(found.detach()) == pytest.approx(float(torch.stack(terms).mean()), rel=1e-4) and len(terms) > 5


def test_a_subject_of_whom_nothing_else_is_said_costs_nothing(
    network: CausalNetwork, factors: Factors, rows: tuple[Row, ...]
) -> None:
    """The stranger's row is the subject's own: the goal is reached before the first step."""
    same = tuple(
        replace(row, strangers=(pair(row.own.ids, row.own.answer, row.own.ids, row.own.answer),)) for row in rows
    )
    for away in (0.0, 1.0):
        assert float(LikeAStranger(away).loss(about(network, factors, same)).detach()) == pytest.approx(0, abs=1e-6)


def test_training_brings_the_answers_to_a_strangers(
    network: CausalNetwork, factors: Factors, rows: tuple[Row, ...]
) -> None:
    alone = tuple(replace(row, strangers=row.strangers[:1]) for row in rows)
    optimizer, losses = torch.optim.Adam(factors.parameters, 0.02), []
    for _ in range(40):
        loss = LikeAStranger().loss(about(network, factors, alone))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
