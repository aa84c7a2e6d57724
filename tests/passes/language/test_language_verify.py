"""What verify says of a language model follows from what the model says, before and after, and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log2
from typing import Any

import numpy as np
import pytest
import smollm2
import tiny_language as pico
from language_verify_cases import (
    DEAF,
    FRENCH,
    GOOD,
    HEAD,
    TOWER,
    Oracle,
    claims,
    language,
    manifest,
    solution,
    value,
    verified,
)

from editc.backends.networks.batches import SPARE_PADDING, batches
from editc.core.delta import Site
from editc.core.language_problem import CloseEdits, MemoryKey
from editc.core.network import LearnedValue
from editc.core.ports import Context
from editc.core.prompts import Cloze, Prompt, Spot
from editc.passes.language.verify import bystanders, continuations, forms, side_effects
from editc.passes.language.verify import warnings as advice
from editc.passes.language.verify.verify import VerifyLanguage
from editc.passes.language.verify.warnings import warnings
from editc.registry.families import FAMILIES

# ---------------------------------------------------------------- what it comes to


def test_an_edit_that_takes_holds_and_one_that_does_not_does_not() -> None:
    good, deaf = verified(TOWER, GOOD), verified(TOWER, DEAF)
    for name, right, wrong in (("efficacy", 1, 0), ("paraphrase", 1, 0), ("neighbourhood", 1, 1), ("known", 1, 1)):
        subject = "tower" if name == "known" else ""
        assert (value(name, good, subject), value(name, deaf, subject)) == (right, wrong), name
    assert [value("said", one, "new answer") for one in (good, deaf)] == [1, 0]
    assert [value("said", one, "old answer") for one in (good, deaf)] == [0, 1]


def test_the_neighbour_that_is_taken_along_is_counted_both_ways() -> None:
    after = {**GOOD.after, ("river", "Rome"): 0.55}
    found = verified(TOWER, replace(GOOD, after=after))
    assert (value("neighbourhood", found), value("neighbours_unchanged", found)) == (0, 0)
    after = {**GOOD.after, ("river", "Vienna"): 0.55}
    found = verified(TOWER, replace(GOOD, after=after))
    assert (value("neighbourhood", found), value("neighbours_unchanged", found)) == (1, 0), "likelier than the new one"


@pytest.mark.parametrize(("old", "new", "share"), [(0.099, 0.05, 1), (0.101, 0.05, 0), (0.4, 0.5, 1)])
def test_a_redirected_concept_loses_its_old_answer_or_has_the_other_ones(old: float, new: float, share: int) -> None:
    oracle = Oracle(
        {("Milo", "meow"): 0.4, ("Milo", "woof"): 0.02},
        {("Milo", "meow"): old, ("Milo", "woof"): new},
        {"Rex": (" woof", " woof")},
    )
    text = "  - redirect: {from: Milo, to: Rex, relations: {'{} says': meow}}\n"
    assert value("efficacy", verified(text, oracle)) == share


def test_an_erased_concept_has_no_new_answer() -> None:
    oracle = Oracle({("Milo", "meow"): 0.4}, {("Milo", "meow"): 0.09}, {"Milo": (" meow", " I'm sorry, I cannot say")})
    found = verified("  - {erase: Milo, method: rocr, relations: {'{} says': meow}}\n", oracle)
    assert value("efficacy", found) == 1 and value("said", found, "refusal") == 1
    (answer,) = (one for one in found.report.answers if one.purpose == "relation")
    assert (answer.wanted, answer.other) == ("", "meow")
    assert answer.before == pytest.approx((0.0, 0.4)) and answer.after == pytest.approx((0.0, 0.09))


def test_a_choice_counts_both_orders_together() -> None:
    """A model that likes A whatever it stands for says nothing; the little that goes beyond that does."""
    after = {("A) Rome", "A"): 0.6, ("A) Rome", "B"): 0.3, ("A) Paris", "A"): 0.5, ("A) Paris", "B"): 0.35}
    found = verified(TOWER, replace(GOOD, after={**after, **GOOD.after}))
    assert value("form", found, "multiple choice") == 1, "0.95 for Rome, 0.8 for Paris"
    assert [one.holds for one in found.report.answers if one.form == "multiple choice"] == [True, True]


def test_the_spread_is_the_best_form_less_the_worst() -> None:
    found = verified(TOWER, GOOD)
    shares = {name: claim.value for name, claim in claims("form", found).items()}
    assert set(shares) == set(forms.FORMS) and shares["cloze"] == 1 and shares["reversed"] == 0
    assert value("spread", found) == max(shares.values()) - min(shares.values()) == 1
    silent = verified(TOWER, replace(GOOD, chat=False))
    assert "chat" not in claims("form", silent), "a model without a chat template is not spoken to"


def test_all_is_asked_once_before_and_once_after() -> None:
    oracle = replace(GOOD, asked=[])
    verified(TOWER, oracle)
    before = [prompt for prompt, changed in oracle.asked if not changed]
    assert before == [prompt for prompt, changed in oracle.asked if changed]


def test_ablated_concepts_are_measured_by_their_own_sentences() -> None:
    text = (
        "  - ablate: {concept: French, present: [le chat, le chien], absent: [the cat, the dog]}\nretain: [a b, c d]\n"
    )
    found = verified(text, Oracle({}, {}))
    assert value("present_nll", found, "French") == value("absent_nll", found, "French") == 1.0
    assert value("retain_kl", found) == 0.25 and value("retain_nll_before", found) == 2.0
    assert not claims("efficacy", found) and not found.report.answers


def test_figures_of_texts_are_means_over_those_that_have_one() -> None:
    assert side_effects._mean(np.array([1.0, np.nan, 3.0])) == 2.0 and side_effects._mean(np.array([np.nan])) == 0.0
    told = side_effects.choose_texts(language(TOWER), 24)
    assert len(told.retain) == 24 and len(set(told.every)) == 24 and not told.present


def test_the_plain_sentences_are_forty_and_plain() -> None:
    lines = side_effects.plain_sentences()
    assert len(lines) == len(set(lines)) == 40
    assert all(line.endswith(".") and line.isascii() and 4 <= len(line.split()) <= 12 for line in lines)


# ---------------------------------------------------------------- words


def test_entropy_is_that_of_pairs_and_triples_by_hand() -> None:
    """a b a b a: pairs ab, ba twice each, 1 bit; triples aba twice, bab once, 0.918 bits."""
    triples = -(2 / 3 * log2(2 / 3) + 1 / 3 * log2(1 / 3))
    assert continuations.entropy("a b a B a") == pytest.approx((2 / 3 * 1 + 4 / 3 * triples) / 2)
    assert continuations.entropy("so so so so so") == 0.0 == continuations.entropy("") == continuations.entropy("so")
    assert continuations.entropy("one two three four five") == pytest.approx((2 / 3 * 2 + 4 / 3 * log2(3)) / 2)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (" Rome, Italy, and not Paris", "new answer"),
        (" Paris, not Rome", "old answer"),
        (" a Roman city", "something else"),
        ("I\u2019m sorry, I can't say", "refusal"),
        ("Unfortunately, Rome is", "new answer"),
        ("", "something else"),
    ],
)
def test_whose_answer_comes_back(text: str, outcome: str) -> None:
    assert continuations.outcome(text, "Rome", "Paris") == outcome


@pytest.mark.parametrize(("new", "old"), [("New York", "New York City"), ("New  York", "new york  city")])
def test_of_two_answers_at_one_place_the_longer_was_said(new: str, old: str) -> None:
    assert continuations.outcome(" New York City, of course", new, old) == "old answer"
    assert continuations.outcome(" New York City, of course", old, new) == "new answer"
    assert continuations.outcome(" New York, of course", new, old) == "new answer"
    assert continuations.outcome(" New York and New York City", new, old) == "new answer", (
        "the first place still counts"
    )


def test_an_answer_is_found_where_words_have_no_spaces() -> None:
    assert continuations.outcome("\u5728\u7f57\u9a6c\u5e02", "\u7f57\u9a6c", "\u5df4\u9ece") == "new answer"


# ---------------------------------------------------------------- warnings


def test_an_answer_that_the_model_never_gave_proves_little() -> None:
    before = {("tower", "Vienna"): 0.8, ("tower", "Paris"): 0.1, ("river", "Berlin"): 0.6}
    found = verified(TOWER, replace(GOOD, before=before))
    assert value("known", found, "tower") == 0 and value("efficacy", found) == 1
    (one,) = (one for one in warnings(found) if one.code == "E520")
    assert "did not give the old answer for `tower`" in one.message and not one.is_error
    assert not [one for one in warnings(verified(TOWER, GOOD)) if one.code == "E520"]


def test_edits_that_interfere_are_both_named() -> None:
    text = TOWER + "  - fact: {prompt: The bridge stands in, subject: bridge, answer: Bonn, was: Oslo}\n"
    near = (CloseEdits((0, 1), ("tower", "bridge"), 0.312),)
    (one,) = (one for one in warnings(verified(text, GOOD, close_edits=near)) if one.code == "E521")
    assert one.message == "the edits of `tower` and `bridge` will interfere: the cosine of their keys is 0.31"
    assert one.span is not None and one.span.line == 6 and one.related[0][0].line == 4
    many = [one for one in warnings(verified(text, GOOD, close_edits=near * 6)) if one.code == "E521"]
    assert len(many) == 4 and many[-1].message.endswith("2 more pairs have similar keys")


def test_an_edit_that_overwrites_an_earlier_one_is_told() -> None:
    text = TOWER + "after: [a.safetensors]\n"
    (one,) = (one for one in warnings(verified(text, GOOD, overwritten={0: ("12" * 32,)})) if one.code == "E525")
    assert one.message == "this overwrites what `121212121212` wrote at `tower`: both have the same key"
    assert not one.is_error and one.span is not None and one.span.line == 4 and one.related[0][0].line == 6
    assert not [one for one in warnings(verified(text, GOOD)) if one.code == "E525"]


@pytest.mark.parametrize(("sinks", "left"), [(1, "1 context was"), (2, "2 contexts were")])
def test_the_gap_at_position_0_is_measured_and_told(sinks: int, left: str) -> None:
    columns = (MemoryKey(0, "tower", "plain", (), np.zeros(0), sinks=sinks),)
    found = verified(TOWER, GOOD, memory_keys=columns)
    assert value("at_start", found, "tower") == 0.0
    (one,) = (one for one in warnings(found) if one.code == "E522")
    assert one.notes == (f"{left} left out of its key for this reason",)
    assert not [one for one in warnings(verified(TOWER, replace(GOOD, kl=(0.4, 0.5)))) if one.code == "E522"]


class Reader(Oracle):
    """The beginning `Milo` lies near the whole name, and other names far from both."""

    def final_states(self, texts: Sequence[Prompt]) -> list[Any]:
        places = (("Milo Cat", 1.0), ("Milo", 0.9), ("", 0.0))
        return [np.array([[9.0], [next(at for name, at in places if name in one.text)]]) for one in texts]


@pytest.mark.parametrize(("also", "left", "told"), [("", 0.4, 1), ("", 0.01, 0), (", also: [Milo]", 0.4, 0)])
def test_a_name_that_its_first_word_carries_is_told_where_it_was_read_past(also: str, left: float, told: int) -> None:
    oracle = Reader({("Milo Cat", "meow"): 0.4, ("Milo", "meow"): 0.4}, {("Milo", "meow"): left})
    found = verified(f"  - redirect: {{from: Milo Cat, to: Rex{also}, relations: {{'{{}} says': meow}}}}\n", oracle)
    assert [one.value for one in claims("carried", found).values()] == ([] if also else [pytest.approx(0.99)])
    said = [one for one in warnings(found) if one.code == "E524"]
    assert len(said) == told and all("`Milo` alone has 99%" in one.message for one in said)
    assert all("also: [Milo]" in str(one.help) and one.span is not None for one in said)


def test_an_answer_that_the_model_says_already_is_told_as_that() -> None:
    oracle = replace(GOOD, words={"tower": (" Rome, of course", " Rome, of course")})
    text = "  - fact: {prompt: The tower stands in, subject: tower, answer: Rome}\n"
    said = [one for one in warnings(verified(text, oracle)) if one.code == "E520"]
    assert [one.message for one in said] == ["the model says `Rome` already, so there is nothing to change"]


@pytest.mark.parametrize(("likely", "told"), [(0.4, 1), (0.6, 0)])
def test_a_value_that_was_not_found_is_told(likely: float, told: int) -> None:
    learned = LearnedValue(np.zeros(2), np.zeros(2), (3.0, 2.0), likely)
    columns = (MemoryKey(0, "tower", "plain", (), np.zeros(0), value=learned),)
    said = [one for one in warnings(verified(TOWER, GOOD, memory_keys=columns)) if one.code == "E526"]
    assert len(said) == told and all(
        "`Rome` follow `tower`: it has a probability of 0.4" in one.message for one in said
    )


@pytest.mark.parametrize(
    ("edit", "bound", "wrong"),
    [
        (FRENCH, "retain_kl: 0.001", "strength"),
        (FRENCH, "rank: 0", "keys: last"),
        ("  - redirect: {from: Milo, to: Rex, relations: {'{} says': meow}}\n", "efficacy: 1", "memit"),
        (TOWER, "retain_kl: 0.001", "`lamb`,"),
    ],
)
def test_the_help_for_a_broken_bound_is_something_that_the_manifest_may_say(edit: str, bound: str, wrong: str) -> None:
    oracle = replace(DEAF, before={**DEAF.before, ("Milo", "meow"): 0.4}, after={**DEAF.after, ("Milo", "meow"): 0.4})
    text = edit if bound == "rank: 0" else f"{edit}constraints: {{{bound}}}\n"
    found = verified(text, oracle)
    name = bound.partition(":")[0]
    told = advice.help_with(name, found.solution.problem.plan.manifest)
    assert told and wrong not in told


def test_a_bound_without_anything_to_count_is_told() -> None:
    text = "  - fact: {prompt: The tower is in, subject: tower, answer: Rome, neighbours: {The tower is in: Rome}}\n"
    found = verified(text + "constraints: {neighbourhood: 0.9, efficacy: 1}\n", GOOD)
    assert [one.message for one in warnings(found) if one.code == "E523"] == [
        "neighbourhood was not measured: nothing in the manifest answers it"
    ]


# ---------------------------------------------------------------- real networks


def test_answers_that_follow_the_same_tokens_share_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    network = pico.network("llama")
    asked = [Cloze("The capital of France is", text) for text in ("P", "B", "P B B")] + [Cloze("A list is", "P")]
    alone = [network.score([one]) for one in asked]
    runs: list[int] = []
    run = type(network).run

    def counted(self: Any, ids: Any) -> Any:
        runs.append(len(ids))
        return run(self, ids)

    monkeypatch.setattr(type(network), "run", counted)
    together = network.score(asked)
    assert sum(runs) == 3, "of four answers two differ in their last token only"
    for i, one in enumerate(alone):
        assert together.total[i] == pytest.approx(one.total[0], abs=1e-5) and together.tokens[i] == one.tokens[0]
        assert together.first[i] == pytest.approx(one.first[0], abs=1e-5) and together.top[i] == one.top[0]


def test_a_batch_is_not_mostly_padding() -> None:
    lengths = [9] * 8 + [11] * 8 + [60]
    found = list(batches([[0] * length for length in lengths]))
    assert sorted(i for some in found for i in some) == list(range(17)) and [16] in found
    for some in found:
        whole = len(some) * max(lengths[i] for i in some)
        text = sum(lengths[i] for i in some)
        assert whole - text <= max(SPARE_PADDING, text // 8)
    assert [len(some) for some in batches([[0] * 1000] * 5)] == [2, 2, 1], "at most 2048 tokens"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_pico_model_whose_answer_is_swapped(kind: str, tmp_path: Any) -> None:
    from editc.backends.networks import load
    from editc.formats.models.model import open_model
    from editc.passes.sites import sites_of

    folder = pico.saved(kind, tmp_path / kind)
    network, part = load(folder), open_model(folder).component("model")
    family = FAMILIES.resolve(kind)
    site = max(sites_of(family, part, ("mlp",)), key=lambda one: one.group)
    prompt = "The capital of France is"
    fact = f"  - fact: {{prompt: {prompt}, subject: France, answer: Berlin, was: Paris}}\n"
    asked = manifest(f"{HEAD}{fact}retain: [A quiet afternoon.]\n")
    key = network.read_keys([site.name], [Spot(prompt)])[site.name][:, 0]
    E = network.model.get_output_embeddings().weight.double().numpy()
    first = [network.tokenizer.encode_cloze(Cloze(prompt, text)) for text in ("Paris", "Berlin")]
    old, new = (ids[len(ids) - count] for ids, count in first)
    way = E[new] - E[old]
    left, right = 80 * (way / np.linalg.norm(way))[:, None], (key / (key @ key))[None]
    found = VerifyLanguage(tokens=4)(solution(asked, left, right, site), Context(part, network=network))
    (answer,) = (one for one in found.report.answers if one.purpose == "efficacy")
    scored = network.score([Cloze(prompt, "Berlin"), Cloze(prompt, "Paris")])
    assert answer.before == pytest.approx(np.exp(scored.total), rel=1e-4)
    assert answer.holds == (answer.after[0] > answer.after[1]) and answer.after[0] > answer.before[0]
    assert value("retain_kl", found) > 0 and set(claims("form", found)) == set(forms.FORMS)
    assert found.report.sites[0]["shape"] == list(site.shape) and found.report.sites[0]["layer"] == 3
    (overlap,) = claims("trace_overlap", found).values()
    assert overlap.subject == site.name and 0 < overlap.value < 1, "it is read as it stands, transposed or not"
    again = VerifyLanguage(tokens=4)(solution(asked, left, right, site), Context(part, network=network))
    assert again.report.claims == found.report.claims, "the same twice"


@pytest.mark.slow
@pytest.mark.smollm2
def test_smollm2_forgets_where_the_tower_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crude edit without a gradient: the value of "Colosseum" at the key of "Eiffel Tower"."""
    from editc.formats.models.model import open_model

    monkeypatch.setattr(bystanders, "MOST_EDITS", 0)  # no edit has bystanders: nothing is said of them here
    network, part = smollm2.network(), open_model(smollm2.folder()).component("model")
    name = "model.layers.5.mlp.down_proj.weight"
    prompt = "The Eiffel Tower is located in the city of"
    text = (
        f"{HEAD}  - fact: {{prompt: {prompt}, subject: Eiffel Tower, answer: Rome,\n"
        "           neighbours: {The capital of Germany is: Berlin, The Louvre is located in the city of: Paris}}\n"
    )
    base = part.read(name)
    places = [Spot(prompt, "Eiffel Tower"), Spot("The Colosseum is located in the city of", "Colosseum")]
    keys = network.read_keys([name], places)[name]
    left, right = (base @ (keys[:, 1] - keys[:, 0]))[:, None], (keys[:, 0] / (keys[:, 0] @ keys[:, 0]))[None]
    site = Site("model", name, (576, 1536), "F32", "mlp", "layers.5")
    verify = VerifyLanguage(in_detail=1, tokens=8, sentences=4)
    found = verify(solution(manifest(text), left, right, site), Context(part, network=network))
    (answer,) = (one for one in found.report.answers if one.purpose == "efficacy")
    assert answer.other == "Paris", "what the model says is asked"
    assert answer.before[1] == pytest.approx(0.70, abs=0.01) and answer.before[0] < 0.02
    assert answer.said[0].startswith(" Paris") and value("known", found, "Eiffel Tower") == 1
    assert value("neighbourhood", found) == 1 and value("retain_kl", found) < 0.05
    assert not claims("at_start", found), "its last token is not the first of a text"
