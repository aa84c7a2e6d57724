"""Claims of a language model keep their side of a bound, and come out again as far as float32 allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from language_verify_cases import DEAF, FRENCH, GOOD, TOWER, verified

from editc.cli.render import render
from editc.cli.show.output import claim_lines, claim_record
from editc.core.delta import Array, Delta
from editc.core.measurements import GENERATED_CLAIMS, RUN_CLAIMS, Claim
from editc.core.prompts import Cloze, Prompt
from editc.passes.emit import claim_as_json, round_claim
from editc.passes.language.verify import base_model
from editc.passes.language.verify.base_model import BaseModel
from editc.passes.language.verify.warnings import failures
from editc.report import record as report
from editc.report.page import template_values
from editc.verbs import recheck

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
    maximum = Claim("retain_kl", 0.1, 0.2)
    assert "least" not in {*claim_record(maximum), *claim_as_json(maximum)}


def test_the_page_tells_minima_from_maxima() -> None:
    made = {"name": "efficacy", "value": 0.95, "bound": 0.9, "holds": True, "unit": "share", "least": True, "line": 1}
    record = _record(made, {**made, "value": 0.8, "holds": False})
    found = template_values((), record)
    good, bad = found["bounds"]
    assert (good.used, good.mark, good.least) == (0.95, 0.9, True) and good.bound.startswith("90"), "on one scale"
    assert (bad.used, bad.mark, bad.holds) == (0.8, 0.9, False)
    assert (good.margin, bad.margin) == ("5 points above the bound", "10 points below the bound")
    (line,) = found["lines"]
    assert line.state == "failed" and line.note.startswith("80"), "the worst is the lowest"
    whole = {**made, "value": 1.0, "bound": 1.0}
    rows = template_values((), _record(whole, {**whole, "value": 0.9, "holds": False}))["bounds"]
    assert [(row.used, row.mark) for row in rows] == [(1.0, 1.0), (0.9, 1.0)]


def _record(*made: Mapping[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {name: [] for name in ("sites", "edits", "solves", "pictures", "diagnostics", "bystanders")}
    return {
        **empty,
        "claims": list(made),
        "status": "failed",
        "verdict": {name: {"state": "red", "reasons": []} for name in ("works", "costs", "robust")},
        "ranking": None,
        "manifest": {"lines": ["x"], "overrides": 0},
    }


def test_report_json_has_the_side_of_a_bound() -> None:
    found = verified(TOWER + BOUNDS, GOOD)
    records = {claim.name: report._claim(claim) for claim in found.report.claims if claim.bound is not None}
    assert records["efficacy"]["least"] is True and "least" not in records["retain_kl"]


# ---------------------------------------------------------------- recorded and measured again


def test_figures_of_a_run_are_recorded_to_few_digits() -> None:
    assert round_claim(Claim("retain_kl", 0.00123456)) == 0.001235 and round_claim(Claim("retain_kl", 3e-9)) == 1e-6
    assert round_claim(Claim("trace_distance", 0.00123456789)) == 0.001234568, "weights are the same everywhere"
    assert round_claim(Claim("retain_kl", 0.010004, 0.010001)) == 0.010004, "but never across a bound"


def test_every_figure_of_a_run_is_known_as_one() -> None:
    solved = {"rank", "changed", "condition", "solve_residual", "discarded"}
    solved |= {"trace_cosine", "trace_cosine_mean", "trace_distance", "trace_distance_mean"}
    cat = "  - redirect: {from: Milo Cat, to: Rex}\n"
    names = {claim.name for claim in verified(TOWER + FRENCH + cat, GOOD).report.claims}
    rows = ("forgotten_nll", "learned_nll", "retained")  # no edit here has rows
    elsewhere = (*rows, "suite", "phrasing", "worst_phrasing")  # or a suite
    assert names - solved == {name for name in RUN_CLAIMS | GENERATED_CLAIMS if not name.startswith(elsewhere)}


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


def test_texts_are_compared_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    base = BaseModel(GOOD)  # type: ignore[arg-type]
    texts = [Prompt(text * 3) for text in ("The tower.", "A", "A river.", "Another one.")]
    whole = base.compare(texts, {})
    monkeypatch.setattr(base_model, "BLOCK_CHARACTERS", 20)
    parts = base.compare(texts, {})
    assert [[one.text[0] for one in some] for some in base_model._blocks(texts)] == [["T"], ["A", "A"], ["A"]]
    assert all(np.array_equal(value, getattr(parts, name)) for name, value in vars(whole).items())


def test_one_prompt_may_turn_over_and_no_two() -> None:
    """A share of n prompts moves by 1/n when float32 turns one over, however few or many there are."""
    for claim in verified(TOWER + FRENCH, GOOD).report.claims:
        if claim.unit != "share" or claim.name in GENERATED_CLAIMS:
            continue
        step = 1 / claim.of if claim.of else 0.04
        for turned, agrees in ((0, True), (1, True), (2, False)):
            again = verified(TOWER, GOOD)
            moved = replace(claim, value=claim.value + turned * step * (1 if claim.value < 0.5 else -1))
            again = replace(again, report=replace(again.report, claims=(moved,)))
            told = claim_as_json(claim)
            delta = Delta("llama", (), {}, "", "", "", (), (told,), "t", delta_id="d" * 64)
            assert (not recheck.disagreements(delta, again)) == agrees, (claim, turned)


def test_shares_know_of_how_many_prompts_they_are() -> None:
    found = verified(TOWER + TOWER.replace("tower", "tree").replace("river", "lake"), GOOD)
    answers = found.report.answers
    of = {(one.name, one.subject): one.of for one in found.report.claims}
    assert of["efficacy", ""] == sum(one.purpose == "efficacy" for one in answers) == 2 and of["efficacy", "tree"] == 1
    assert of["paraphrase", ""] == of["neighbourhood", ""] == of["neighbours_unchanged", ""] == 2
    for name in ("question", "chat", "multiple choice", "reversed"):
        assert of["form", name] == sum(one.purpose == "form" and one.form == name for one in answers) > 0
    assert of["form", "cloze"] == of["step", "direct"] == 2 and of["spread", ""] == min(
        number for (name, _), number in of.items() if name == "form"
    )
    assert of["retain_top1", ""] == of["trace_overlap_mean", ""] == 0


def test_what_the_base_said_is_kept() -> None:
    class Kept(dict[str, Mapping[str, Array]]):
        def get(self, key: str, names: Any = ()) -> Any:
            return super().get(key)

        def put(self, key: str, arrays: Mapping[str, Array], kind: str = "") -> None:
            self[key] = arrays

    cache, oracle = Kept(), replace(GOOD, asked=[])
    base = BaseModel(oracle, cache, "mark")  # type: ignore[arg-type]
    asked, told = [Cloze("The tower stands in", "Rome")], [Prompt("The tower stands in")]
    first, words = base.score(asked), base.generate(told, 4)
    again, same = base.score(asked), base.generate(told, 4)
    assert len(oracle.asked) == 1 and words == same == (" Paris, of course",)
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in vars(first))
    assert again.top.dtype == np.bool_ and again.tokens.dtype == np.int64
    assert base.compare(told, {}).divergence == 0.25 and any(set(one) == {"states", "ends"} for one in cache.values())
    replace(base, fingerprint="other").score(asked)
    assert len(oracle.asked) == 2, "another model says other things"
