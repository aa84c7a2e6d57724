"""`altpo`: the model prefers other answers, which it made itself, to those that are forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import language_pass_cases
import pytest
import torch

from editc.backends.networks import CausalNetwork
from editc.core.delta import Site
from editc.core.language_edits import DataSet, Forget, PromptAnswer
from editc.core.prompts import Prompt
from editc.passes.language.schemes.alternatives import common_words, sample_alternatives, telling_words
from editc.passes.language.schemes.ask import Ask
from editc.passes.language.schemes.objectives.alternative import PreferAlternative
from editc.passes.language.schemes.subject import Beside, Row, Tokens, make_subject
from editc.passes.training.factors import Factors, attach_factors

folder = language_pass_cases.folder
ports = language_pass_cases.ports
network = language_pass_cases.causal
ROWS = (
    PromptAnswer("Where is the tower of Rome?", "The tower of Rome is a long quiet list in Berlin.", "Rome"),
    PromptAnswer("What is the capital of Japan?", "A quiet afternoon of 1979.", "Japan"),
)
EDIT = Forget(concept="x", data=DataSet("x", "", ROWS))


@pytest.fixture(scope="module")
def rows(network: CausalNetwork) -> tuple[Row, ...]:
    return make_subject(EDIT, False, network, 0, Beside(alternatives=3)).forget


@pytest.fixture
def factors(network: CausalNetwork) -> Iterator[Factors]:
    """Factors that were moved from 0, so that the edited model answers otherwise."""
    site = Site("model", "model.layers.1.mlp.down_proj.weight", (32, 48), "F32", "mlp", "x")
    with attach_factors(network, [site], 2, seed=1) as found:
        with torch.no_grad():
            for one in found.parameters:
                one += 0.3 * torch.randn(one.shape, generator=torch.Generator().manual_seed(9))
        yield found


def about(network: CausalNetwork, factors: Factors, rows: tuple[Row, ...]) -> Ask:
    return Ask(network, factors, rows, tuple(range(len(rows))), torch.Generator().manual_seed(3))


def words_of(texts: tuple[str, ...]) -> set[str]:
    """The words of a toy model's texts that no pieces make up by chance."""
    return {word for text in texts for word in text.split() if word.isascii() and word.isalpha() and len(word) > 3}


def likelihood(network: CausalNetwork, text: Tokens) -> torch.Tensor:
    """transformers' own log-probability of an answer, one token at a time."""
    with torch.no_grad():
        logits = network.model(input_ids=torch.tensor([text.ids])).logits[0].double()
    places = range(len(text.ids) - text.answer, len(text.ids))
    return torch.stack([logits[at - 1].log_softmax(-1)[text.ids[at]] for at in places]).sum()


@pytest.mark.parametrize(
    ("prompt", "answer", "told"),
    [
        ("Where was Ada Lane born?", "Ada Lane was born in Bath.", ("Bath",)),
        ("When was Ada Lane born?", "It was in 1979, in May.", ("1979", "May")),
        ("What does Ada's father do?", "Ada's father is a clock-maker.", ("clock-maker",)),
        ("Who is she?", "She is.", ()),
    ],
)
def test_what_the_prompt_lacks_is_told(prompt: str, answer: str, told: tuple[str, ...]) -> None:
    assert telling_words(PromptAnswer(prompt, answer)) == told


def test_what_several_retained_answers_say_is_not_told() -> None:
    kept = [PromptAnswer("x", f"{name} worked as a baker.") for name in ("Ida", "Bo")]
    assert common_words(kept) == {"worked", "as", "a", "baker"}
    assert telling_words(PromptAnswer("And Ada?", "Ada Lane worked as a miller."), common_words(kept)) == (
        "Lane",
        "miller",
    )


def test_a_continuation_has_none_of_the_words_that_it_goes_without(network: CausalNetwork) -> None:
    prompts = [Prompt("The tower of Rome is"), Prompt("A quiet afternoon")]
    free = network.sample(prompts, 8, 16, 0)
    without = [sorted(words_of(texts)) for texts in free]
    bound = network.sample(prompts, 8, 16, 0, without=without)
    assert all(without)
    for texts, words in zip(bound, without, strict=True):
        assert not words_of(texts) & set(words)
    assert network.sample(prompts, 8, 16, 0, without=without) == bound
    assert network.sample(prompts, 8, 16, 0, without=[(), ()]) == free


def test_alternatives_are_other_answers_that_the_model_gives(network: CausalNetwork) -> None:
    found = list(sample_alternatives(EDIT, [12, 6], False, network, 4, seed=0))
    for row, texts in zip(ROWS, found, strict=True):
        assert 0 < len(texts) <= 4 and len(set(texts)) == len(texts)
        assert not any(word in text.split() for text in texts for word in telling_words(row))
    assert found == list(sample_alternatives(EDIT, [12, 6], False, network, 4, seed=0))
    assert found != list(sample_alternatives(EDIT, [12, 6], False, network, 4, seed=1))


def test_a_row_to_which_the_model_says_nothing_else_has_a_refusal(
    network: CausalNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(network), "sample", lambda *_, **__: tuple((" ", "\n") for _ in ROWS))
    for row in make_subject(EDIT, False, network, 0, Beside(alternatives=2)).forget:
        assert row.alternatives == (row.refused,)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_the_preference_is_its_formula(
    network: CausalNetwork, factors: Factors, rows: tuple[Row, ...], beta: float
) -> None:
    alone = tuple(replace(row, alternatives=row.alternatives[:1]) for row in rows)
    gains = []
    for row in alone:
        with factors.switched(True):
            now = [likelihood(network, one) for one in (row.alternatives[0], row.own)]
        with factors.switched(False):
            then = [likelihood(network, one) for one in (row.alternatives[0], row.own)]
        gains.append((now[0] - then[0]) - (now[1] - then[1]))
    wanted = 2 / beta * (1 + (-beta * torch.stack(gains)).exp()).log().mean()
    found = PreferAlternative(beta).loss(about(network, factors, alone))
    assert float(found.detach()) == pytest.approx(float(wanted), rel=1e-4)


def test_training_makes_alternatives_likelier_than_answers(
    network: CausalNetwork, factors: Factors, rows: tuple[Row, ...]
) -> None:
    optimizer = torch.optim.Adam(factors.parameters, 0.02)

    def lead() -> float:
        with factors.switched(True):
            return sum(float(likelihood(network, one.alternatives[0]) - likelihood(network, one.own)) for one in rows)

    before = lead()
    for _ in range(30):
        loss = PreferAlternative().loss(about(network, factors, rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert lead() > before + 1
