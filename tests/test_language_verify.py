"""What verify says of a language model follows from what the model says, before and after, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log2
from typing import Any

import numpy as np
import pytest
import tiny_language as pico

from benchmarks import smollm2
from editc import recheck, registry, report
from editc.diagnostics import EditcError
from editc.findings import Claim
from editc.ir import Array, Delta, Edit, Plan, Site, Solution, Stats, Verified
from editc.language import Cloze, Compared, Place, Prompt, Scored, Spot
from editc.manifests.decode import decode
from editc.manifests.edited import Edited
from editc.networks.causal import PADDING, batches
from editc.passes.emit import claim_as_json, recorded
from editc.passes.language import forms, prompts, speech, trace_of, unasked
from editc.passes.language.before import Before
from editc.passes.language.claims import GENERATED, RUN
from editc.passes.language.verify import VerifyLanguage
from editc.passes.verify import failures, warnings
from editc.ports import Context
from editc.render import render
from editc.report_page import page
from editc.request import Manifest, Source
from editc.rewrites import Column, Near, Rewrites
from editc.show import claim_lines, claim_record

HEAD = "editc: 1\nmodel: m\nedits:\n"
TOWER = (
    "  - fact: {prompt: The tower stands in, subject: tower, answer: Rome, was: Paris,\n"
    "           paraphrases: ['Where one sees the {} is'], neighbours: {The river runs through: Berlin}}\n"
)
FRENCH = "  - ablate: {concept: French, present: [le chat, le chien], absent: [the cat, the dog]}\n"
NAME = "model.layers.1.mlp.down_proj.weight"


def manifest(text: str) -> Manifest:
    found, faults = decode(Source("m.yaml", text))
    assert found is not None, [one.message for one in faults]
    return found


def language(text: str) -> Any:
    return manifest(HEAD + text).language


@dataclass
class Oracle:
    """A language model that says what it is told to: `before` and `after` map (prompt part, answer) to a probability;
    any other answer has 0.01, and the likeliest of a prompt's named answers is its first choice."""

    before: Mapping[tuple[str, str], float]
    after: Mapping[tuple[str, str], float]
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    chat: bool = True
    kl: tuple[float, float] = (0.0, 0.5)
    asked: list[tuple[str, bool]] = field(default_factory=list)

    layers = 2

    def fingerprint(self) -> str:
        return "oracle"

    def places(self, spots: Sequence[Spot]) -> list[Place]:
        if any(spot.chat for spot in spots) and not self.chat:
            raise LookupError("no chat template")
        return [Place(*([0, 0] if spot.prompt.startswith(spot.subject) else [3, 3]), 9) for spot in spots]

    def _table(self, changed: Any) -> Mapping[tuple[str, str], float]:
        return self.before if changed is None else self.after

    def score(self, asked: Sequence[Cloze], changed: Any = None) -> Scored:
        self.asked += [(one.prompt, changed is not None) for one in asked]
        table = self._table(changed)
        each = [self._likely(table, one.prompt, one.answer) for one in asked]
        best = [max((p for (part, _), p in table.items() if part in one.prompt), default=0.01) for one in asked]
        top = np.array([p == most and p > 0.01 for p, most in zip(each, best, strict=True)])
        return Scored(np.log(each), np.log(each), top, np.ones(len(each), np.int64))

    def _likely(self, table: Mapping[tuple[str, str], float], prompt: str, answer: str) -> float:
        return next((p for (part, said), p in table.items() if part in prompt and said == answer), 0.01)

    def generate(self, given: Sequence[Prompt], tokens: int, changed: Any = None) -> tuple[str, ...]:
        known = {part: pair[changed is not None] for part, pair in self.words.items()}
        return tuple(next((said for part, said in known.items() if part in one.text), " so") for one in given)

    def compare(self, texts: Sequence[Prompt], changed: Any, last: bool = False) -> Compared:
        firsts = [self._first(text.text, None) == self._first(text.text, changed) for text in texts]
        moved = [self.kl[text.text.startswith("It was")] if last else 0.25 for text in texts]
        ones = np.ones(len(texts))
        return Compared(np.array(moved), np.array(firsts, float), 2 * ones, 3 * ones)

    def _first(self, prompt: str, changed: Any) -> str:
        table = {said: p for (part, said), p in self._table(changed).items() if part in prompt}
        return max(table, key=lambda said: table[said], default="")


@dataclass(frozen=True)
class Matrix:
    """`Context.weights` with one matrix under every name."""

    value: Array

    def names(self) -> Sequence[str]:
        return (NAME,)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.value.shape

    def dtype(self, name: str) -> str:
        return "F32"

    def read(self, name: str) -> Array:
        return self.value


W = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32).astype(np.float64)


def solution(asked: Manifest, left: Array, right: Array, site: Site | None = None, **fields: Any) -> Solution:
    site = site or Site("model", NAME, (len(left), right.shape[1]), "F32", "mlp", "layers.1")
    plan = Plan(asked, registry.resolve("language-family", "llama"), "m", (site,), {})
    edit = Edit("low-rank", (left,), (right,), Stats(10.0, 1e-12, len(right)))
    return Solution(Rewrites(plan, {}, "oracle", "c", **fields), {site.group: edit}, (), ())


def verified(asked: str, oracle: Oracle, scale: float = 1.0, **fields: Any) -> Verified:
    right = np.zeros((1, 6))
    right[0, 2] = 1.0
    made = solution(manifest(HEAD + asked), scale * np.ones((4, 1)), right, **fields)
    return VerifyLanguage()(made, Context(Matrix(W), network=oracle))  # type: ignore[arg-type]


def claims(name: str, of: Verified) -> dict[str, Claim]:
    return {claim.subject: claim for claim in of.report.claims if claim.name == name}


def value(name: str, of: Verified, subject: str = "") -> float:
    return claims(name, of)[subject].value


GOOD = Oracle(
    {("tower", "Paris"): 0.7, ("tower", "Rome"): 0.1, ("river", "Berlin"): 0.6},
    {("tower", "Paris"): 0.1, ("tower", "Rome"): 0.8, ("river", "Berlin"): 0.5, ("river", "Rome"): 0.2},
    {"tower": (" Paris, of course", " Rome, of course")},
)
DEAF = replace(GOOD, after=GOOD.before, words={"tower": (" Paris, of course", " Paris, of course")})


# ---------------------------------------------------------------- what is asked


def test_every_prompt_has_what_is_right_and_what_is_wrong() -> None:
    told = language(TOWER)
    (change,) = prompts.changes(told, {})
    assert (change.prompt, change.new, change.old) == ("The tower stands in", "Rome", "Paris")
    (paraphrase,) = prompts.paraphrases(told, [change])
    assert paraphrase.wanted == Cloze("Where one sees the tower is", "Rome")
    assert paraphrase.other == Cloze("Where one sees the tower is", "Paris")
    (near,) = prompts.neighbours(told, [change], {})
    assert near.wanted == Cloze("The river runs through", "Berlin")
    assert near.other == Cloze("The river runs through", "Rome"), "the neighbour's own answer against the new one"


def test_what_the_manifest_does_not_say_the_model_is_asked() -> None:
    told = language(
        "  - fact: {prompt: The tower stands in, subject: tower, answer: Rome, neighbours: [The river runs through],\n"
        "           implied: {'Around the {} people speak': Italian}}\n"
        "  - redirect: {from: Milo, to: Rex, relations: ['{} is a']}\n"
    )
    assert prompts.open_prompts(told) == (
        "The tower stands in",
        "Around the tower people speak",
        "The river runs through",
        "Milo is a",
        "Rex is a",
    )
    said = {
        "The tower stands in": "Paris",
        "The river runs through": "Berlin",
        "Milo is a": "cat",
        "Rex is a": "dog",
        "Around the tower people speak": "French",
    }
    tower, milo = prompts.changes(told, said)
    assert (tower.old, milo.old, milo.new) == ("Paris", "cat", "dog")
    (implied,) = prompts.implied(told, said)
    assert implied.wanted == Cloze("Around the tower people speak", "Italian")
    assert implied.other == Cloze("Around the tower people speak", "French")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (" Paris, France.", "Paris"),
        (" the Netherlands and", "the Netherlands"),
        ("\nThe", ""),
        ("", ""),
        (" a", "a"),
        (' "Rome".', "Rome"),
    ],
)
def test_the_word_that_a_model_goes_on_with(text: str, word: str) -> None:
    assert prompts.word(text) == word


def test_neighbours_that_are_edited_are_left_out_by_the_rule_that_warns_of_them() -> None:
    text = (
        "  - fact: {prompt: The tower stands in, subject: tower, answer: Rome, was: Paris,\n"
        "           neighbours: {THE tower  stands in: Paris, Milo is a: cat, Milos is an: island}}\n"
        "  - redirect: {from: Milo, to: Rex, relations: {'{} is a': cat}}\n"
    )
    found, faults = decode(Source("m.yaml", HEAD + text))
    assert found is not None and found.language is not None
    warned = [one.message for one in faults if one.code == "E196"]
    edited = Edited(found.language)
    assert [edited.holds(one.prompt) for one in found.language.edits[0].neighbours] == [True, True, False]  # type: ignore[union-attr]
    assert len(warned) == 2
    every = prompts.changes(found.language, {})
    assert [one.asked.prompt for one in prompts.neighbours(found.language, every, {})] == ["Milos is an"]


def test_a_concept_is_asked_about_under_each_of_its_names() -> None:
    told = language("  - redirect: {from: Milo, also: [the cat], to: Rex, relations: {'{} says': meow}}\n")
    every = prompts.changes(told, {"Rex says": "woof"})
    assert [(one.prompt, one.new, one.old, one.lost) for one in every] == [
        ("Milo says", "woof", "meow", True),
        ("the cat says", "woof", "meow", True),
    ]


def test_forms_are_built_from_the_change() -> None:
    change = prompts.Change(0, "The {} stands in", "tower", "Rome", "Paris")
    made = {one.form: one for one in forms.forms(change, chat=True)}
    assert list(made) == ["question", "chat", "indirect", "multiple choice", "reversed", "implied"]
    assert made["chat"].asked.chat and not made["question"].asked.chat
    assert all("The tower stands in" in made[name].asked.prompt for name in ("question", "chat", "indirect", "implied"))
    first, second = (one for one in forms.forms(change, False) if one.form == "multiple choice")
    assert "A) Rome\nB) Paris" in first.asked.prompt and first.wanted is not None and first.wanted.answer == "A"
    assert "A) Paris\nB) Rome" in second.asked.prompt and second.wanted is not None and second.wanted.answer == "B"
    back = made["reversed"]
    assert back.wanted is not None and back.other is not None
    assert (back.wanted.answer, back.other.answer) == ("tower", "tower")
    assert "The ____ stands in Rome." in back.wanted.prompt and "The ____ stands in Paris." in back.other.prompt
    assert made["implied"].wanted is not None and made["implied"].wanted.answer == "R"


def test_forms_that_need_two_answers_are_left_out_without_them() -> None:
    gone = prompts.Change(0, "{} says", "Milo", "", "meow", lost=True)
    assert [one.form for one in forms.forms(gone, chat=False)] == ["question", "indirect"]
    same = prompts.Change(0, "{} says", "Milo", "moo", "meow")
    assert "implied" not in [one.form for one in forms.forms(same, False)], "both begin with the same letter"


def test_what_is_looked_at_closely_is_spread_over_the_edits() -> None:
    every = [prompts.Change(edit, f"{number} {{}}", "a", "b", "c") for edit in range(3) for number in range(2)]
    assert [(one.edit, one.prompt[0]) for one in forms.chosen(every, 4)] == [(0, "0"), (1, "0"), (2, "0"), (0, "1")]
    assert [one.edit for one in forms.chosen(every, 2)] == [0, 1] and forms.chosen(every, 0) == ()


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
    assert unasked._mean(np.array([1.0, np.nan, 3.0])) == 2.0 and unasked._mean(np.array([np.nan])) == 0.0
    told = unasked.texts(language(TOWER), 24)
    assert len(told.retain) == 24 and len(set(told.every)) == 24 and not told.present


def test_the_plain_sentences_are_forty_and_plain() -> None:
    lines = unasked.sentences()
    assert len(lines) == len(set(lines)) == 40
    assert all(line.endswith(".") and line.isascii() and 4 <= len(line.split()) <= 12 for line in lines)


# ---------------------------------------------------------------- words


def test_entropy_is_that_of_pairs_and_triples_by_hand() -> None:
    """a b a b a: pairs ab, ba twice each, 1 bit; triples aba twice, bab once, 0.918 bits."""
    triples = -(2 / 3 * log2(2 / 3) + 1 / 3 * log2(1 / 3))
    assert speech.entropy("a b a B a") == pytest.approx((2 / 3 * 1 + 4 / 3 * triples) / 2)
    assert speech.entropy("so so so so so") == 0.0 == speech.entropy("") == speech.entropy("so")
    assert speech.entropy("one two three four five") == pytest.approx((2 / 3 * 2 + 4 / 3 * log2(3)) / 2)


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
    assert speech.outcome(text, "Rome", "Paris") == outcome


def test_an_answer_is_found_where_words_have_no_spaces() -> None:
    assert speech.outcome("\u5728\u7f57\u9a6c\u5e02", "\u7f57\u9a6c", "\u5df4\u9ece") == "new answer"


# ---------------------------------------------------------------- the weights


def test_the_trace_is_of_the_columns_that_moved() -> None:
    before = np.eye(3)
    after = before.copy()
    after[:, 1] = [3.0, 4.0, 0.0]
    found = trace_of.trace(before, after)
    assert found is not None and found.columns == 1
    assert found.cosine == pytest.approx(0.8) and found.distance == pytest.approx(np.sqrt(9 + 9))
    gone = before.copy()
    gone[:, 0] = 0.0
    found = trace_of.trace(before, gone)
    assert found is not None and (found.cosine, found.distance) == (0.0, 1.0)
    assert trace_of.trace(before, before) is None


def test_rows_and_claims_of_the_weights_agree_with_a_dense_computation() -> None:
    found = verified(TOWER, GOOD, scale=0.5)
    (row,) = found.report.sites
    after = W.copy()
    after[:, 2] += 0.5
    after = after.astype(np.float32).astype(np.float64)
    cosine = after[:, 2] @ W[:, 2] / np.linalg.norm(after[:, 2]) / np.linalg.norm(W[:, 2])
    assert (row["layer"], row["changed"], row["columns"], row["shape"]) == (1, 4, 1, [4, 6])
    assert row["cosine"] == pytest.approx(cosine) == value("trace_cosine", found, NAME)
    assert row["relative_change"] == pytest.approx(np.linalg.norm(after - W) / np.linalg.norm(W))
    assert value("rank", found) == 1 == value("changed", found) and value("condition", found) == 10.0


def test_an_edit_that_changes_nothing_is_no_edit() -> None:
    with pytest.raises(EditcError) as caught:
        verified(TOWER.replace("was: Paris", "was: Paris"), GOOD, scale=0.0)
    (one,) = caught.value.diagnostics
    assert one.code == "E502" and one.message.startswith("the edit changes nothing: no stored element of 1 matrices")
    assert one.span is not None and one.span.line == 4


# ---------------------------------------------------------------- bounds from below


BOUNDS = "constraints: {efficacy: 0.9, retain_kl: 0.1, retain_top1: 1}\n"


def test_a_minimum_is_held_and_told_as_one() -> None:
    deaf = verified(TOWER + BOUNDS, DEAF)
    text = render(failures(deaf))
    assert text.startswith(
        "error[E501]: efficacy is 0, below 0.9\n"
        " --> m.yaml:6:25\n"
        "  |\n"
        "6 | constraints: {efficacy: 0.9, retain_kl: 0.1, retain_top1: 1}\n"
        "  |                         ^^^\n"
        "  = help: raise `strength`"
    )
    assert "error[E501]: retain_kl is 0.25, above 0.1" in text and "retain_top1" not in text.replace(
        "retain_top1: 1", ""
    )
    good = verified(TOWER + BOUNDS, GOOD)
    assert [one.message for one in failures(good)] == ["retain_kl is 0.25, above 0.1"]


@pytest.mark.parametrize(("share", "holds"), [(0.9, True), (0.95, True), (0.89, False), (float("nan"), False)])
def test_a_claim_holds_on_its_own_side_of_the_bound(share: float, holds: bool) -> None:
    assert Claim("efficacy", share, 0.9, least=True).holds == holds
    assert Claim("efficacy", share, least=True).holds


def test_minima_arrive_in_the_terminal_in_json_and_in_a_delta() -> None:
    claim = Claim("efficacy", 0.83, 0.9, unit="share", least=True)
    assert list(claim_lines([claim])) == ["  efficacy        0.83  at least 0.9  NOT MET"]
    assert claim_record(claim)["least"] is True and claim_as_json(claim)["least"] is True
    assert "least" not in claim_record(Claim("retain_kl", 0.1, 0.2)) | claim_as_json(Claim("retain_kl", 0.1, 0.2))


def test_the_page_tells_minima_from_maxima() -> None:
    made = {"name": "efficacy", "value": 0.95, "bound": 0.9, "holds": True, "unit": "share", "least": True, "line": 1}
    record = _record(made, {**made, "value": 0.8, "holds": False})
    found = page((), record)
    good, bad = found["bounds"]
    assert good.used == pytest.approx(0.5) and good.bound.startswith("at least 90"), "half of what may be missing is"
    assert bad.used == pytest.approx(2.0) and bad.beyond == "<"
    (line,) = found["lines"]
    assert line.state == "failed" and line.note.startswith("80"), "the worst is the lowest"
    whole = {**made, "value": 1.0, "bound": 1.0}
    assert [row.used for row in page((), _record(whole, {**whole, "value": 0.9, "holds": False}))["bounds"]] == [0, 10]


def _record(*made: Mapping[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {name: [] for name in ("sites", "edits", "solves", "pictures", "diagnostics")}
    return {
        **empty,
        "claims": list(made),
        "status": "failed",
        "ranking": None,
        "manifest": {"lines": ["x"], "overrides": 0},
    }


def test_report_json_has_the_side_of_a_bound() -> None:
    found = verified(TOWER + BOUNDS, GOOD)
    records = {claim.name: report._claim(claim) for claim in found.report.claims if claim.bound is not None}
    assert records["efficacy"]["least"] is True and "least" not in records["retain_kl"]


# ---------------------------------------------------------------- recorded and measured again


def test_figures_of_a_run_are_recorded_to_few_digits() -> None:
    assert recorded(Claim("retain_kl", 0.00123456)) == 0.001235 and recorded(Claim("retain_kl", 3e-9)) == 1e-6
    assert recorded(Claim("trace_distance", 0.00123456789)) == 0.001234568, "weights are the same everywhere"
    assert recorded(Claim("retain_kl", 0.010004, 0.010001)) == 0.010004, "but never across a bound"


def test_every_figure_of_a_run_is_known_as_one() -> None:
    solved = {"rank", "changed", "condition", "solve_residual", "discarded"}
    solved |= {"trace_cosine", "trace_cosine_mean", "trace_distance", "trace_distance_mean"}
    names = {claim.name for claim in verified(TOWER + FRENCH, GOOD).report.claims}
    assert names - solved == RUN | GENERATED


@pytest.mark.parametrize(
    ("name", "now", "agrees"),
    [
        ("retain_kl", 0.0101, True),
        ("retain_kl", 0.02, False),
        ("efficacy", 0.98, True),
        ("efficacy", 0.5, False),
        ("fluency_after", 1.0, True),
        ("trace_distance", 0.5001, False),
    ],
)
def test_claims_come_out_again_as_far_as_float32_allows(name: str, now: float, agrees: bool) -> None:
    then = {"retain_kl": 0.01, "efficacy": 1.0, "fluency_after": 4.0, "trace_distance": 0.5}[name]
    unit = "share" if name == "efficacy" else ""
    found = verified(TOWER, GOOD)
    again = replace(found, report=replace(found.report, claims=(Claim(name, now, unit=unit),)))
    delta = Delta(
        "llama", (), {}, "", "", "", (), (claim_as_json(Claim(name, then, unit=unit)),), "t", delta_id="d" * 64
    )
    assert (not recheck.disagreements(delta, again)) == agrees


def test_what_the_base_said_is_kept() -> None:
    class Kept(dict[str, Mapping[str, Array]]):
        def put(self, key: str, arrays: Mapping[str, Array]) -> None:
            self[key] = arrays

    cache, oracle = Kept(), replace(GOOD, asked=[])
    base = Before(oracle, cache, "mark")  # type: ignore[arg-type]
    asked, told = [Cloze("The tower stands in", "Rome")], [Prompt("The tower stands in")]
    first, words = base.score(asked), base.generate(told, 4)
    again, same = base.score(asked), base.generate(told, 4)
    assert len(oracle.asked) == 1 and words == same == (" Paris, of course",)
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in vars(first))
    assert again.top.dtype == np.bool_ and again.tokens.dtype == np.int64
    replace(base, mark="other").score(asked)
    assert len(oracle.asked) == 2, "another model says other things"


# ---------------------------------------------------------------- warnings


def test_an_answer_that_the_model_never_gave_proves_little() -> None:
    before = {("tower", "Vienna"): 0.8, ("tower", "Paris"): 0.1, ("river", "Berlin"): 0.6}
    found = verified(TOWER, replace(GOOD, before=before))
    assert value("known", found, "tower") == 0 and value("efficacy", found) == 1
    (one,) = (one for one in warnings(found) if one.code == "E520")
    assert "did not say what `tower` is to lose before" in one.message and not one.is_error
    assert not [one for one in warnings(verified(TOWER, GOOD)) if one.code == "E520"]


def test_edits_that_interfere_are_both_named() -> None:
    text = TOWER + "  - fact: {prompt: The bridge stands in, subject: bridge, answer: Bonn, was: Oslo}\n"
    near = (Near((0, 1), ("tower", "bridge"), 0.312),)
    (one,) = (one for one in warnings(verified(text, GOOD, near=near)) if one.code == "E521")
    assert one.message == "the edits of `tower` and `bridge` will interfere: the cosine of their keys is 0.31"
    assert one.span is not None and one.span.line == 6 and one.related[0][0].line == 4
    many = [one for one in warnings(verified(text, GOOD, near=near * 6)) if one.code == "E521"]
    assert len(many) == 4 and many[-1].message.endswith("2 more pairs lie close")


def test_the_gap_at_position_0_is_measured_and_told() -> None:
    columns = (Column(0, "tower", "plain", (), np.zeros(0), sinks=2),)
    found = verified(TOWER, GOOD, columns=columns)
    assert value("at_start", found, "tower") == 0.0
    (one,) = (one for one in warnings(found) if one.code == "E522")
    assert one.notes == ("2 contexts were left out of its key for that",)
    assert not [one for one in warnings(verified(TOWER, replace(GOOD, kl=(0.4, 0.5)))) if one.code == "E522"]


def test_a_bound_without_anything_to_count_is_told() -> None:
    text = "  - fact: {prompt: The tower is in, subject: tower, answer: Rome, neighbours: {The tower is in: Rome}}\n"
    found = verified(text + "constraints: {neighbourhood: 0.9, efficacy: 1}\n", GOOD)
    assert [one.message for one in warnings(found) if one.code == "E523"] == [
        "neighbourhood was not measured: there is nothing that answers it"
    ]


# ---------------------------------------------------------------- real networks


def test_answers_that_follow_the_same_tokens_share_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    network = pico.network("llama")
    asked = [Cloze("The capital of France is", text) for text in ("P", "B", "P B B")] + [Cloze("A list is", "P")]
    alone = [network.score([one]) for one in asked]
    runs: list[int] = []
    run = type(network).run
    monkeypatch.setattr(type(network), "run", lambda self, ids: runs.append(len(ids)) or run(self, ids))
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
        assert whole - text <= max(PADDING, text // 8)
    assert [len(some) for some in batches([[0] * 1000] * 5)] == [2, 2, 1], "at most 2048 tokens"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_pico_model_whose_answer_is_swapped(kind: str, tmp_path: Any) -> None:
    from editc.formats.checkpoint import open_model
    from editc.networks import load
    from editc.passes.sites import sites_of

    folder = pico.saved(kind, tmp_path / kind)
    network, part = load(folder), open_model(folder).component("model")
    family = registry.resolve("language-family", kind)
    site = max(sites_of(family, part, ("mlp",)), key=lambda one: one.group)
    prompt = "The capital of France is"
    fact = f"  - fact: {{prompt: {prompt}, subject: France, answer: Berlin, was: Paris}}\n"
    asked = manifest(f"{HEAD}{fact}retain: [A quiet afternoon.]\n")
    key = network.reads([site.name], [Spot(prompt)])[site.name][:, 0]
    E = network.model.get_output_embeddings().weight.double().numpy()
    first = [network.words.cloze(Cloze(prompt, text)) for text in ("Paris", "Berlin")]
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
    again = VerifyLanguage(tokens=4)(solution(asked, left, right, site), Context(part, network=network))
    assert again.report.claims == found.report.claims, "the same twice"


@pytest.mark.smollm2
def test_smollm2_forgets_where_the_tower_stands() -> None:
    """A crude edit without a gradient: the value of "Colosseum" at the key of "Eiffel Tower"."""
    from editc.formats.checkpoint import open_model
    from editc.networks import load

    network, part = load(smollm2.folder()), open_model(smollm2.folder()).component("model")
    name = "model.layers.5.mlp.down_proj.weight"
    prompt = "The Eiffel Tower is located in the city of"
    text = (
        f"{HEAD}  - fact: {{prompt: {prompt}, subject: Eiffel Tower, answer: Rome,\n"
        "           neighbours: {The capital of Germany is: Berlin, The Louvre is located in the city of: Paris}}\n"
    )
    base = part.read(name)
    places = [Spot(prompt, "Eiffel Tower"), Spot("The Colosseum is located in the city of", "Colosseum")]
    keys = network.reads([name], places)[name]
    left, right = (base @ (keys[:, 1] - keys[:, 0]))[:, None], (keys[:, 0] / (keys[:, 0] @ keys[:, 0]))[None]
    site = Site("model", name, (576, 1536), "F32", "mlp", "layers.5")
    verify = VerifyLanguage(closely=1, tokens=8, sentences=4)
    found = verify(solution(manifest(text), left, right, site), Context(part, network=network))
    (answer,) = (one for one in found.report.answers if one.purpose == "efficacy")
    assert answer.other == "Paris", "what the model says is asked"
    assert answer.before[1] == pytest.approx(0.70, abs=0.01) and answer.before[0] < 0.02
    assert answer.said[0].startswith(" Paris") and value("known", found, "Eiffel Tower") == 1
    assert value("neighbourhood", found) == 1 and value("retain_kl", found) < 0.05
    assert not claims("at_start", found), "its last token is not the first of a text"
