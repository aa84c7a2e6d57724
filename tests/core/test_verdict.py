"""The verdict: a broken bound is red wherever it stands, what nobody measured is amber, all places say the same."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from report_cases import built, html, picture
from report_language_cases import answer, claim, verified
from verify_cases import constraints, erase, images, manifest

from editc.api import Built
from editc.cli import show
from editc.core.manifest import Constraints, Manifest
from editc.core.measurements import AttackResult, Bystander, Claim, Report
from editc.core.solution import Verified
from editc.core.verdict import Judgement, Verdict
from editc.judging import WORKS_CLAIMS, judge
from editc.numerics.binomial import lower_limit, upper_limit
from editc.report import record as report

FISH = Bystander("fish", "near", 1.0, 0.0, 6)
TREE = Bystander("tree", "far", 1.0, 1.0, 6)
ATTACKED = replace(picture(saw=(True, True)), attack=True)


def judged(*claims: Claim, asked: Manifest | None = None, **found: Any) -> Verdict:
    return judge(Report(claims, **found), asked or manifest())


def texts(line: Judgement) -> str:
    return "\n".join(reason.text for reason in line.reasons)


def shown(count: int, of: int, **changed: Any) -> tuple[Any, ...]:
    """Pictures of the erased concept, of which so many show it still."""
    return tuple(replace(picture(saw=(True, index < count)), **changed) for index in range(of))


# ---------------------------------------------------------------- intervals


@pytest.mark.parametrize(("count", "of", "limit"), [(0, 20, 0.1391083), (0, 4, 0.5271292), (3, 20, 0.3436638)])
def test_a_limit_is_the_exact_one_of_clopper_and_pearson(count: int, of: int, limit: float) -> None:
    assert upper_limit(count, of) == pytest.approx(limit, abs=1e-7)
    assert lower_limit(of - count, of) == pytest.approx(1 - limit, abs=1e-7)


def test_a_limit_covers_the_truth_in_nineteen_of_twenty_samples() -> None:
    for share in (0.03, 0.3, 0.8):
        for of in (5, 20, 300):
            seen = np.random.default_rng(of).binomial(of, share, 2000)
            limits = {count: upper_limit(count, of) for count in set(seen.tolist())}
            assert np.mean([share <= limits[count] for count in seen.tolist()]) >= 0.94


def test_nothing_counted_limits_nothing() -> None:
    assert (upper_limit(0, 0), lower_limit(0, 0), upper_limit(7, 7), lower_limit(0, 7)) == (1.0, 0.0, 1.0, 0.0)


# ---------------------------------------------------------------- red where a bound is broken


NAMES = tuple(one.name for one in fields(Constraints) if one.name != "spans")


@pytest.mark.parametrize("name", [*NAMES, "erased", "kept_loss", "toward_gap", "toward_fitted", "a_new_bound"])
def test_every_broken_bound_turns_its_own_line_red_and_names_itself(name: str) -> None:
    least = name in Constraints.MINIMA
    broken = Claim(
        name, 0.2 if least else 0.9, 0.5, "circle" if name in WORKS_CLAIMS and name != "efficacy" else "", least=least
    )
    found = judged(broken, bystanders=(TREE,))
    assert [line.state == "red" for line in found.lines].count(True) == 1 and found.state == "red"
    assert any(reason.claim == name and reason.state == "red" for line in found.lines for reason in line.reasons)


def test_a_bound_that_nothing_answered_is_amber_and_no_success() -> None:
    asked = manifest(constraints=constraints(erase_residual=0.2), images=images(erased_at_most=0.1))
    found = judge(Report((Claim("erase_residual", 0.1, 0.2, "circle"),)), asked)
    assert found.works.state == "amber" and "erased was not measured" in texts(found.works)
    painted = built(strength=1.0, constraints=constraints(erase_residual=0.2), images=None)
    assert report.status(painted) == "met"
    plan = painted.solution.problem.plan
    bounds = Constraints(erase_residual=0.2, recoverable=0.5)
    wanting = replace(plan, manifest=replace(plan.manifest, constraints=bounds))
    problem = replace(painted.solution.problem, plan=wanting)
    assert report.status(replace(painted, solution=replace(painted.solution, problem=problem))) == "measured"


def test_a_build_without_a_bound_is_measured_and_not_met() -> None:
    of = built(constraints=constraints())
    claims = tuple(replace(claim, bound=None) for claim in of.report.claims)
    assert report.as_json(replace(of, report=replace(of.report, claims=claims)))["status"] == "measured"


# ---------------------------------------------------------------- works


def test_works_counts_pictures_with_their_interval() -> None:
    found = judged(Claim("erased", 0.0, 0.05, "circle"), pictures=shown(0, 20)).works
    assert found.state == "green" and found.reasons[0].limit == pytest.approx(0.139, abs=1e-3)
    assert found.texts[0] == "0 of 20 pictures still show circle (95 % sure: at most 14 %), 20 of 20 before"
    assert judged(Claim("erased", 0.2, 0.05, "circle"), pictures=shown(4, 20)).works.state == "red"


@pytest.mark.parametrize(("count", "state"), [(0, "green"), (6, "amber"), (15, "red")])
def test_without_a_bound_the_share_itself_decides(count: int, state: str) -> None:
    assert judged(Claim("erased", count / 20, None, "circle"), pictures=shown(count, 20)).works.state == state


def test_few_pictures_and_a_concept_that_was_not_there_prove_nothing() -> None:
    assert judged(Claim("erased", 0.0, 0.05, "circle"), pictures=shown(0, 4)).works.state == "amber"
    gone = judged(Claim("erased", 0.0, 0.05, "circle"), pictures=shown(0, 20, shown_before=False)).works
    assert gone.state == "amber" and "rarely shows it" in texts(gone)


def test_without_pictures_nobody_looked() -> None:
    found = judged(Claim("erase_residual", 0.1, 0.2, "circle"))
    assert [line.state for line in found.lines] == ["amber"] * 3
    assert "circle not checked: no pictures were painted" in texts(found.works)
    assert "no attack was painted" in texts(found.robust)
    assert "no detector judged" in texts(judged(pictures=shown(0, 3)).works)


# ---------------------------------------------------------------- costs


def test_without_bystanders_costs_are_not_checked() -> None:
    found = judged(Claim("preserve_drift", 0.01, 0.1)).costs
    assert found.state == "amber" and found.texts[0] == "bystanders (not named in the manifest): not checked"
    assert judged(bystanders=(Bystander("cube", "near", 0.0, 0.0, 6),)).costs.state == "amber", "none could be seen"


def test_bystanders_decide_by_their_bound_and_the_worst_is_named() -> None:
    fine = judged(Claim("bystander_loss", 0.0, 0.17, "tree"), bystanders=(TREE,)).costs
    assert fine.state == "green" and fine.texts[0].startswith(
        "6 of 6 pictures of bystanders show them as before (95 % sure: at least 61 %)"
    )
    bad = judged(Claim("bystander_loss", 1.0, 0.17, "fish"), bystanders=(FISH, TREE)).costs
    assert bad.state == "red" and "6 of 12" in bad.texts[0]
    assert bad.texts[0].endswith("worst: fish, 0 of 6, 6 before, the bound allows at most 1 lost")


def test_a_few_bystanders_that_stayed_prove_little() -> None:
    one = Bystander("q", "same last token", 1.0, 1.0, 1)
    for count, state in ((1, "amber"), (4, "amber"), (5, "green")):
        found = judged(Claim("bystander_loss", 0.0, 0.1, "b", of=count), bystanders=(one,) * count).costs
        assert found.state == state and ("too few to tell" in found.texts[0]) == (state == "amber")


def test_a_broken_bound_of_questions_stands_beside_the_count_that_broke_it() -> None:
    """Few of all may have changed, and yet too many of those that one edit answers for."""
    questions = [Bystander(f"q{i}", "same last token", 1.0, float(i >= 4), 1) for i in range(48)]
    claims = Claim("bystander_loss", 1 / 3, 0.1, "around tower", of=12), Claim("bystander_loss", 0.0, 0.1, "b", of=36)
    language = replace(manifest(), kind="language", edits=())
    found = judged(*claims, bystanders=tuple(questions), asked=language).costs
    assert found.state == "red" and found.texts[0].startswith("44 of 48 questions not in the manifest")
    assert found.texts[0].endswith("; worst: around tower, 4 of 12 changed, the bound allows at most 1")
    strict = replace(claims[0], value=1 / 12, bound=0.0)
    assert (
        judged(strict, bystanders=tuple(questions), asked=language)
        .costs.texts[0]
        .endswith("1 of 12 changed, the bound allows none")
    )


def test_a_preserved_concept_that_is_lost_among_many_is_named() -> None:
    claims = (Claim("kept_loss", 0.1, 0.25), Claim("kept_loss", 0.0, None, "b"), Claim("kept_loss", 1.0, None, "a"))
    pictures = [picture(name, erased=False, saw=(True, name != "a")) for name in "a" + "b" * 9]
    found = judged(*claims, pictures=tuple(pictures), bystanders=(TREE,)).costs
    assert found.state == "red" and "0 of 1 pictures show a, 1 before" in found.texts[0]
    assert "9 of 10 pictures show the preserved concepts, 10 before" in texts(found)


# ---------------------------------------------------------------- robust


def test_one_attack_that_brings_the_concept_back_is_red() -> None:
    back = (ATTACKED, *(replace(ATTACKED, shown_after=False) for _ in range(19)))
    found = judged(Claim("attacked", 0.05, None, "circle"), pictures=back).robust
    told = "by rows in place of the text encoder's: certificate brings circle back in 1 of 20 pictures"
    assert found.state == "red" and found.texts[0] == f"{told} (95 % sure: at most 22 %), 20 of 20 before the edit"
    none = judged(Claim("attacked", 0.0, None, "circle"), pictures=back[1:]).robust
    (reason,) = (one for one in none.reasons if one.claim == "attacked")
    assert reason.state == "green" and "(95 % sure: at most 15 %)" in reason.text


def test_what_was_not_tried_is_never_green_and_named() -> None:
    none = judged(Claim("attacked", 0.0, None, "circle"), pictures=(replace(ATTACKED, shown_after=False),) * 20).robust
    untried = "a prompt, new words in the text encoder, noise or a picture to start from, further training"
    assert none.state == "amber"
    assert none.texts[0] == f"not tried: {untried} (`verify: {{attacks: quick}}` tries them)"


@pytest.mark.parametrize(
    ("value", "bound", "state"), [(0.98, None, "amber"), (0.98, 0.3, "red"), (0.2, 0.3, "green"), (0.2, None, "plain")]
)
def test_what_is_recoverable_is_held_against_its_bound_or_a_half(value: float, bound: float | None, state: str) -> None:
    tried = tuple(replace(ATTACKED, shown_after=False) for _ in range(20))
    claims = Claim("recoverable", value, bound, "circle"), Claim("attacked", 0.0, None, "circle")
    (reason,) = (one for one in judged(*claims, pictures=tried).robust.reasons if one.claim == "recoverable")
    assert reason.state == state


# ---------------------------------------------------------------- language models


def test_a_language_model_is_judged_by_what_it_answers() -> None:
    found = verified().verdict
    assert found.works.texts[0].startswith("French") is False
    assert "4 of 4 edited prompts" in texts(found.works)
    assert found.robust.state == "red" and "1 of 2 paraphrases" in texts(found.robust), "its bound is broken"
    assert "2 of 4 questions in other forms" in texts(found.robust) and "multiple choice" in texts(found.robust)
    assert "2 of 2 named neighbours keep their answer" in texts(found.costs) and found.costs.state == "amber"


def test_questions_nobody_named_are_counted_and_the_worst_told() -> None:
    tokyo = Bystander("The Tokyo Tower is in", "same last token", 1.0, 0.0, 1, (" Tokyo", " Rome"))
    stay = Bystander("The Louvre is in", "same relation", 1.0, 1.0, 1, (" Paris", " Paris"))
    found = verified(bystanders=(tokyo, stay), claims=(Claim("bystander_loss", 0.5, 0.1, unit="share"),)).verdict.costs
    assert found.state == "red" and found.texts[0].startswith(
        "1 of 2 questions not in the manifest are answered as before"
    )
    assert "worst: The Tokyo Tower is in" in found.texts[0]


def test_what_nobody_asked_a_language_model_is_not_checked() -> None:
    found = verified(answers=(), claims=()).verdict
    assert found.works.state == "amber" and "not checked: no prompt asks" in texts(found.works)
    assert found.robust.state == "amber" and "in another form" in texts(found.robust)


@pytest.mark.parametrize(("share", "state"), [(0.02, "red"), (0.3, "amber"), (0.9, "green")])
def test_a_text_that_begins_with_the_subject_is_a_way_around(share: float, state: str) -> None:
    asked = answer(0, "form", "Where?", "Rome", "Paris", 0.0, 1.0, 1.0, 0.0)
    every = verified(answers=(asked,) * 20, claims=(claim("at_start", share, subject="Japan"),)).verdict
    assert next(one.state for one in every.robust.reasons if one.claim == "at_start") == state


def test_an_ablation_that_spares_the_concept_does_not_work() -> None:
    for present, absent, state in ((0.8, 0.06, "green"), (0.8, 0.7, "amber"), (-0.1, 0.0, "red")):
        claims = claim("present_nll", present, subject="French"), claim("absent_nll", absent, subject="French")
        reasons = verified(claims=claims).verdict.works.reasons
        assert next(one.state for one in reasons if one.claim == "present_nll") == state


# ---------------------------------------------------------------- every place says the same


def every_case() -> list[Verified]:
    bystanders = replace(built(), report=replace(built().report, bystanders=(TREE, FISH)))
    return [built(), built(strength=1.0, constraints=constraints(rank=4)), bystanders, verified()]


@pytest.mark.parametrize("number", range(4))
def test_json_terminal_and_page_say_the_same(number: int) -> None:
    of = every_case()[number]
    record, text, page = report.as_json(of), show.build_result(Built(of, None, (), (), ())), html(of)
    assert record["verdict"] == json.loads(json.dumps(report.to_plain(text.data["verdict"])))
    assert record == json.loads(report.as_text(record))
    head = page.split("</header>")[0]
    for name, line in zip(("works", "costs", "robust"), of.verdict.lines, strict=True):
        assert record["verdict"][name]["state"] == line.state
        assert f"{line.question:<8} {line.state:<6} {line.texts[0]}" in text.text
        assert f'<div class="{line.state}"><dt>' in head
    assert (record["status"] == "failed") <= (record["verdict"]["state"] == "red"), "a failed build is red"


def test_the_strip_has_the_worst_first_and_says_when_there_is_none() -> None:
    of = built()
    page = html(replace(of, report=replace(of.report, bystanders=(TREE, FISH))))
    strip = page.split('id="bystanders"')[1].split("<h2")[0]
    assert strip.index("fish") < strip.index("tree") and "6 of 6 before, 0 after" in strip
    unseen = html(replace(of, report=replace(of.report, bystanders=())))
    assert "not checked" in unseen.split('id="bystanders"')[1].split("<h2")[0]


def test_a_name_in_the_verdict_is_text() -> None:
    evil = "<b>`x"
    of = built(erase(evil), images=None)
    assert "<b>`x" not in html(of) and "&lt;b&gt;`x not checked" in html(of)


# ---------------------------------------------------------------- attacks


def attack(
    shown: int, access: Any = "rows", control: int = 20, bound: float | None = None, name: str = "rows"
) -> dict[str, Any]:
    """A report's one attack on the circle, with the claim that it gives."""
    result = AttackResult(name, access, "circle", shown, 20, control, "star", 20, {}, 0)
    claims = (Claim("brought_back", result.share, bound, f"circle: {name}", unit="share"),) if result.tells else ()
    return {"attacks": (result,), "claims": claims}


def robust(claims: tuple[Claim, ...], **found: Any) -> tuple[str, str]:
    """State and text of the reason that the attack gives; empty where it gives none."""
    mine = [one for one in judged(*claims, **found).robust.reasons if one.claim == "brought_back"]
    return (mine[0].state, mine[0].text) if mine else ("", "")


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({"shown": 0}, "green"),
        ({"shown": 6}, "amber"),
        ({"shown": 20}, "red"),
        ({"shown": 20, "access": "weights"}, "amber"),
        ({"shown": 20, "access": "weights", "bound": 0.1}, "red"),
        ({"shown": 1, "bound": 0.1}, "green"),
        ({"shown": 3, "bound": 0.1}, "red"),
        ({"shown": 0, "control": 9}, ""),
    ],
)
def test_an_attack_is_judged_by_its_bound_else_by_its_share(given: dict[str, Any], state: str) -> None:
    assert robust(**attack(**given))[0] == state


def test_an_attack_is_told_beside_its_control() -> None:
    _, text = robust(**attack(6))
    told = "by rows in place of the text encoder's: rows brings circle back in 6 of 20 pictures"
    assert text == f"{told} (95 % sure: at most 51 %), 20 of 20 before the edit"
    _, text = robust(**attack(0))
    assert "(95 % sure: at most 14 %), 20 of 20 before the edit" in text


ACCESS_LINES = """\
red    by rows in place of the text encoder's: rows brings circle back in 15 of 20 pictures (95 % sure: at most 90 %), \
20 of 20 before the edit; the worst of 2 attacks
amber  by a prompt: prefix brings circle back in 3 of 20 pictures (95 % sure: at most 34 %), 18 of 20 before the edit; \
the worst of 2 attacks
amber  by further training: relearn brings circle back in 20 of 20 pictures, 20 of 20 before the edit
amber  not tried: new words in the text encoder, noise or a picture to start from (`verify: {attacks: quick}` tries \
them)
"""


def test_each_kind_of_access_is_told_by_its_worst_attack() -> None:
    given = (
        ("names", "prompts", 0, 20),
        ("prefix", "prompts", 3, 18),
        ("rows", "rows", 15, 20),
        ("rece", "rows", 4, 20),
        ("relearn", "weights", 20, 20),
        ("inversion", "words", 0, 4),
    )
    each = [attack(shown, name=name, access=access, control=control) for name, access, shown, control in given]
    found = judged(
        *(c for one in each for c in one["claims"]), attacks=tuple(a for one in each for a in one["attacks"])
    )
    lines = [f"{one.state:<6} {one.text}" for one in found.robust.reasons]
    assert lines == ACCESS_LINES.splitlines(), "an attack whose control fails tells nothing: new words were not tried"


def test_a_broken_bound_is_told_beside_a_worse_attack() -> None:
    each = [attack(20, name="rows"), attack(9, name="rece", bound=0.1)]
    found = judged(
        *(c for one in each for c in one["claims"]), attacks=tuple(a for one in each for a in one["attacks"])
    )
    told = [one.text for one in found.robust.reasons if one.state == "red"]
    assert len(told) == 2 and "rows brings" in told[0] and "rece brings circle back in 9 of 20" in told[1]
