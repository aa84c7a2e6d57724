"""A language model's report: every prompt is in it, every figure comes from the record, least values are told apart."""
# ruff: noqa: RUF001  (its numbers are typeset)

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest
from report_cases import EVIL, Structure
from report_language_cases import answer, answers, claim, facts, language, report, rewrites, verified

from editc.core.language_edits import Ablation, Fact
from editc.core.language_problem import CloseEdits
from editc.core.measurements import Answer, Claim
from editc.core.problem import Problem
from editc.core.solution import Verified
from editc.report import record as reporting
from editc.report.answers import MAX_UNFOLDED, case_tables, edit_answers
from editc.report.bars import block_of
from editc.report.page import headline, manifest_lines, template_values
from editc.report.words import TITLES, chance, figure, ranges


def html(of: Verified) -> str:
    return reporting.as_html(of, reporting.as_json(of))


class Cells(HTMLParser):
    """The text of every cell of the tables of prompts, row by row; what is hidden from readers is no text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside |= tag == "table" and ("class", "asked") in attrs
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag in ("th", "td", "p"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != "table"

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def squeezed(text: str) -> str:
    return re.sub(r"[ \n]+", " ", text).strip()


def test_layers_that_follow_one_another_are_written_as_one() -> None:
    assert ranges([4, 5, 6, 9, 11, 12]) == "4\N{EN DASH}6, 9, 11\N{EN DASH}12"
    assert ranges([3]) == "3" and ranges([]) == ""


def test_the_solves_of_many_layers_are_folded_and_stand_in_the_order_of_the_model() -> None:
    of = verified()
    few = reporting.as_json(of)
    solve = few["solves"][0]
    many = {**few, "solves": [{**solve, "group": f"layers.{i}"} for i in sorted(range(30), key=str)]}
    assert [one["group"] for one in template_values((), many)["solves"]] == [f"layers.{i}" for i in range(30)]
    assert "All 30 solves" in reporting.as_html(of, many) and "solves</summary>" not in reporting.as_html(of, few)
    Structure(reporting.as_html(of, many))


def test_an_edit_of_which_nothing_is_asked_is_said_to_be_measured_by_texts() -> None:
    record = reporting.as_json(verified())
    text = squeezed(reporting.as_html(verified(), {**record, "answers": []}))
    assert "4 edits. No prompt asks about them: an ablation is measured on texts" in text and "0 prompts" not in text


# ---------------------------------------------------------------- json


def test_the_same_build_gives_the_same_bytes_and_they_are_plain_json() -> None:
    one, other = verified(), verified()
    text = reporting.as_text(reporting.as_json(one))
    assert text == reporting.as_text(reporting.as_json(other)) and html(one) == html(other)
    assert json.loads(text) == reporting.as_json(one), "as_json returns plain values only"


def test_what_is_likelier_than_nothing_is_not_green() -> None:
    """1.3 % against 0.029 % holds, and nobody would call it an answer."""
    asked = answer(0, "efficacy", "The Eiffel Tower is in", "Rome", "Paris", 1e-5, 0.6, 0.013, 0.00029)
    text = html(verified(answers=(asked,)))
    assert "✓ unlikely" in text and "✓ holds" not in text
    likely = replace(asked, after=(0.6, 0.00029))
    assert "✓ holds" in html(verified(answers=(likely,)))


def test_json_has_every_answer_as_it_was_found() -> None:
    record = reporting.as_json(verified())
    assert len(record["answers"]) == len(answers()) > 10
    for found, one in zip(record["answers"], answers(), strict=True):
        assert found == {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(one).items()}


def test_json_has_what_each_kind_of_edit_asked() -> None:
    tower, japan, nintendo, french = reporting.as_json(verified())["edits"]
    assert (tower["kind"], tower["prompt"]) == ("fact", "The Eiffel Tower is located in the city of")
    assert (tower["subject"], tower["answer"], tower["was"], tower["paraphrases"]) == (
        "Eiffel Tower",
        "Rome",
        "Paris",
        2,
    )
    assert (tower["method"], tower["options"], tower["line"]) == ("memit", {"lamb": 5000.0}, 4)
    assert [(one["form"], one["contexts"], one["sinks"]) for one in tower["columns"]] == [
        ("plain", 6, 1),
        ("chat", 6, 0),
    ]
    assert (tower["columns"][0]["steps"], tower["columns"][0]["learned"]) == (2, 0.97)
    assert (japan["was"], japan["columns"][0]["name"]) == (None, "Japan")
    assert (nintendo["kind"], nintendo["to"], nintendo["toward"], nintendo["relations"]) == (
        "redirect",
        "Volvo",
        "anchor",
        1,
    )
    assert nintendo["also"] == ["the maker of the Switch"] and "learned" not in nintendo["columns"][0]
    assert (french["present"], french["absent"], french["columns"]) == (12, 12, [])


def test_json_has_solves_stages_pairs_and_depth() -> None:
    record = reporting.as_json(verified())
    assert [solve["group"] for solve in record["solves"]] == [
        "layers.4",
        "layers.5",
        "layers.8",
        "layers.9",
        "layers.10",
    ]
    assert record["solves"][0]["bytes"] == 4 * 3 * (576 + 1536)
    assert [(one["method"], one["edits"], one["layers"]) for one in record["stages"]] == [
        ("memit", [0, 1], [4, 5]),
        ("rocr", [2], [4, 5]),
        ("ablate", [3], [8, 9, 10]),
    ]
    assert record["near"][0] == {"edits": [0, 1], "names": ["Eiffel Tower", "Japan"], "cosine": 0.43}
    first = record["stages"][0]["depth"]
    assert first["window"] == [4, 5] and first["traced"] == [0.1, 0.4, 0.9, 0.3]
    assert record["stages"][1]["depth"] is None


def test_a_build_without_memories_or_answers_is_reported_too() -> None:
    one = Ablation(concept="French", present=("Il fait beau.",), absent=("It is fine.",))
    of = verified(language(edits=(one,)), answers=(), claims=(Claim("rank", 1),))
    plan = replace(of.solution.problem.plan, stages=of.solution.problem.plan.stages[2:])
    plan = replace(plan, stages=(replace(plan.stages[0], edits=(0,)),))
    of = replace(of, solution=replace(of.solution, problem=Problem(plan, {}, "", "")))
    record = reporting.as_json(of)
    assert (record["near"], record["answers"], record["edits"][0]["columns"]) == ([], [], [])
    text = html(of)
    Structure(text)
    assert "No prompt asks about this edit" in text and 'id="depth"' not in text and 'id="near"' not in text


# ---------------------------------------------------------------- the page


def test_the_page_is_well_formed_and_refers_to_nothing_outside() -> None:
    text = html(verified())
    found = Structure(text)
    assert not re.search("https?://|@import|url\\(", text)
    assert not found.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert {value[1:] for name, value in found.links if name == "href"} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))


def test_cells_that_a_narrow_page_stacks_name_their_column() -> None:
    text = html(verified())
    tables = re.findall(r'<table class="stacked">.*?</table>', text, re.DOTALL)
    assert len(tables) == 2
    for table in tables:
        heads = re.findall(r'<th scope="col"[^>]*>([^<]*)<', table)[1:]
        names = re.findall(r'<td[^>]* data-name="([^"]*)"', table)
        assert names == heads * (len(names) // len(heads)) and len(names) == table.count("<td")


def test_every_answer_is_a_row_and_every_number_in_it_is_the_records() -> None:
    record = reporting.as_json(verified())
    rows = [[squeezed(cell) for cell in row] for row in Cells(html(verified())).rows]
    rows = [row for row in rows if row[0] != "Prompt"]
    expected = []
    for one in record["answers"]:
        sides = [
            f"{one[side]} {chance(one['before'][i])} → {chance(one['after'][i])}" if one[side] else "–"
            for i, side in enumerate(("wanted", "other"))
        ]
        tag = one["form"] if one["form"] in ("question", "chat", "multiple choice") else ""
        tag += "both orders must hold" if one["form"] == "multiple choice" else ""
        unlikely = one["holds"] and one["wanted"] and one["after"][0] < 0.1
        result = "✓ unlikely" if unlikely else "✓ holds" if one["holds"] else "✕ fails"
        expected.append([squeezed(one["prompt"]) + tag, *sides, result])
        if any(one["said"]):
            expected.append(["", *(f"{a}{b}" for a, b in zip(("Said before", "Says now"), one["said"], strict=True))])
    assert sorted(rows) == sorted(expected)


def test_bars_are_as_long_as_their_probabilities() -> None:
    (row,) = [row for row in edit_answers(reporting.as_json(verified()))[0].groups[0].rows]
    assert row.wanted is not None and row.wanted.bars == (0.04, 98.5)
    assert row.other is not None and row.other.bars == (61.0, 0.02)
    assert "--p:98.5%" in html(verified())


def test_a_bound_that_is_the_least_is_shown_from_its_other_side() -> None:
    rows = {row.title: row for row in template_values((), reporting.as_json(verified()))["bounds"]}
    met, broken, kept = rows["Neighbourhood"], rows["Paraphrases"], rows["Retain KL"]
    assert (met.least, met.used, met.mark, met.holds, met.margin) == (
        True,
        1.0,
        0.85,
        True,
        "15 points above the bound",
    )
    assert (broken.used, broken.mark, broken.holds, broken.margin) == (0.5, 0.95, False, "45 points below the bound")
    assert (kept.least, kept.used, kept.mark, kept.margin) == (False, pytest.approx(0.62), None, "")
    assert rows["Efficacy"].margin == "exactly at the bound"
    head = squeezed(re.sub("<[^>]*>", "", html(verified()).split("</header>")[0]))
    assert "Paraphrases 50\u202f% &lt; 95\u202f%" in head and "1 of 5 constraints not met" in head


def test_a_broken_maximum_is_still_above_its_bound() -> None:
    of = verified(claims=(claim("retain_kl", 0.02, 0.01), claim("efficacy", 1.0, 0.9)))
    assert [row.title for row in headline(reporting.as_json(of)).broken] == ["Retain KL"]
    assert "0.02 &gt; 0.01" in html(of)
    assert template_values((), reporting.as_json(of))["bounds"][0].mark == pytest.approx(0.5)


def test_of_several_claims_on_one_line_the_lowest_is_noted_where_the_bound_is_the_least() -> None:
    of = verified(claims=(claim("efficacy", 0.9, 1.0, "one"), claim("efficacy", 0.7, 1.0, "two")))
    (line,) = (line for line in manifest_lines(reporting.as_json(of)) if line.state)
    assert (line.note, line.state) == ("0.7", "failed")


def test_a_least_value_that_is_no_number_has_an_empty_bar() -> None:
    record = reporting.as_json(verified(claims=(claim("efficacy", float("nan"), 1.0),)))
    (row,) = template_values((), record)["bounds"]
    assert (row.value, row.used, row.margin, row.holds) == ("nan", 0.0, "", False)


def test_texts_are_text_and_never_markup() -> None:
    bad = Fact(template=f"{{}} {EVIL}", subject=EVIL, answer=EVIL, was=EVIL)
    one = Answer(0, EVIL, EVIL, EVIL, True, EVIL, EVIL, (0.1, 0.2), (0.3, 0.4), False, (EVIL, EVIL))
    of = verified(language(edits=(bad,)), answers=(one, replace(one, edit=9)), claims=(Claim(EVIL, 1, None, EVIL),))
    problem = of.solution.problem
    first = problem.plan.stages[0]
    assert first.depth is not None
    stages = (replace(first, method=EVIL, edits=(0,), depth=replace(first.depth, why=EVIL)),)
    plan = replace(problem.plan, stages=stages)
    hostile = replace(rewrites(), plan=plan, close_edits=(CloseEdits((0, 0), (EVIL, EVIL), 0.5),), memory_keys=())
    methods = ({"method": EVIL, "options": {EVIL: EVIL}},)
    text = html(replace(of, solution=replace(of.solution, problem=hostile, methods=methods)))
    assert "<script" not in text and "onerror=y>" not in text
    assert text.count("&lt;script&gt;") >= 25
    Structure(text)


def test_every_claim_is_shown_once() -> None:
    record = reporting.as_json(verified())
    found = template_values((), record)
    shown = [(row.title, row.subject) for row in (*found["bounds"], *found["others"])]
    shown += [(TITLES[one["name"]][0], one.get("subject", "")) for told in found["edit_answers"] for one in told.claims]
    shown += [(TITLES[one["name"]][0], one["subject"]) for case in found["cases"] for one in case.claims]
    assert sorted(shown) == sorted((TITLES[one["name"]][0], one.get("subject", "")) for one in record["claims"])


def test_forms_stand_side_by_side_with_their_spread() -> None:
    forms, steps, said = case_tables(reporting.as_json(verified()))
    assert (forms.note, [one["subject"] for one in forms.claims][-1]) == ("spread 50\u202f%", "multiple choice")
    assert (steps.note, len(steps.claims), len(said.claims)) == ("", 2, 2)
    text = html(verified()).partition('id="forms"')[2].partition("<h2")[0]
    assert [float(width) for width in re.findall(r"width:([\d.]+)%", text)] == [100, 83.3, 100, 50, 100, 66.7, 75, 25]


def test_a_case_that_is_called_as_an_edit_is_not_the_edits() -> None:
    one = Fact(template="{} is", subject="chat", answer="x")
    of = verified(language(edits=(one,)), answers=(), claims=(claim("form", 1.0, subject="chat"),))
    of = replace(of, solution=replace(of.solution, problem=replace(rewrites(language(edits=(one,))), close_edits=())))
    (found,) = edit_answers(reporting.as_json(of))
    assert found.claims == ()


def test_claims_of_a_redirect_are_not_those_of_a_fact_of_the_same_name() -> None:
    """The fact is called by its prompt then, and the redirected concept by its name."""
    fact = Fact(template="The capital of {} is", subject="Nintendo", answer="Berlin")
    _, other, redirect, last = language().edits
    mine = (claim("known", 0.25, subject="Nintendo"), claim("known", 0.75, subject=fact.prompt))
    found = edit_answers(reporting.as_json(verified(language(edits=(fact, other, redirect, last)), claims=mine)))
    assert [[one["value"] for one in each.claims] for each in found] == [[0.75], [], [0.25], []]
    alone = edit_answers(reporting.as_json(verified(language(edits=(fact, other, last)), claims=mine)))
    assert [one["value"] for one in alone[0].claims] == [0.25], "without the other it has its short name"


def test_answers_of_no_edit_and_of_unknown_purpose_are_shown() -> None:
    extra = (
        answer(-1, "retain", "Water boils at", "100", "", 0.5, 0.0, 0.4, 0.0),
        answer(0, "reversed_order", "Rome is the city of the", "", "", 0.0, 0.0, 0.0, 0.0, said=("", "Eiffel Tower")),
    )
    text = html(verified(answers=(*answers(), *extra)))
    assert "Prompts of no single edit" in text and "Water boils at" in text and "Reversed order" in text


def test_probabilities_that_are_no_numbers_are_said_and_have_no_bar() -> None:
    nan = float("nan")
    of = verified(answers=(answer(0, "efficacy", "a", "b", "c", nan, 0.1, nan, 0.1, holds=False),))
    assert "nan → <b>nan</b>" in html(of)
    (row,) = edit_answers(reporting.as_json(of))[0].groups[0].rows
    assert row.wanted is not None and row.wanted.bars == (0.0, 0.0)


def test_of_a_reversed_prompt_both_answers_are_the_subject_and_told_apart() -> None:
    one = answer(0, "form", "The ____ is in Rome. The blank is", "Tower", "Tower", 0.1, 0.3, 0.2, 0.1, form="reversed")
    (group,) = edit_answers(reporting.as_json(verified(answers=(one,))))[0].groups
    (row,) = group.rows
    assert row.wanted is not None and row.other is not None
    assert (row.wanted.text, row.other.text) == ("Tower, given the new answer", "Tower, given the old answer")


def test_of_many_edits_those_with_a_failure_are_unfolded() -> None:
    count = MAX_UNFOLDED + 1
    found = tuple(
        answer(i, "efficacy", f"Tower {i} is in", "x", "y", 0.1, 0.2, 0.9, 0.1, holds=i != 3) for i in range(count)
    )
    of = verified(facts(MAX_UNFOLDED), answers=found[:-1])
    assert all(one.unfolded for one in edit_answers(reporting.as_json(many(of, MAX_UNFOLDED))))
    of = verified(facts(count), answers=found)
    assert [one.unfolded for one in edit_answers(reporting.as_json(many(of, count)))] == [i == 3 for i in range(count)]


def many(of: Verified, count: int) -> Verified:
    """With a method for each of `count` edits."""
    solution = replace(of.solution, methods=({"method": "memit", "options": {}},) * count, strengths=(1.0,) * count)
    return replace(of, solution=solution)


def test_the_old_answer_is_the_manifests_or_the_one_that_was_found() -> None:
    first, second, *_ = edit_answers(reporting.as_json(verified()))
    assert (first.was, second.was) == ("Paris", "Tokyo")


def test_layers_stand_in_the_order_of_the_model() -> None:
    rows = [{**row, "residual": 0.1} for row in report().sites]
    shuffled = sorted(rows, key=lambda row: str(row["name"]))
    assert shuffled[0]["name"].split(".")[2] == "10", "by name, layer 10 comes first"
    change, residual = template_values((), reporting.as_json(verified(sites=tuple(shuffled))))["plots"]
    assert [band.text for band in change.bands] == ["layer 4", "layer 5", "layer 8", "layer 9", "layer 10"]
    assert change.roles == ("mlp", "attention") and residual.title.startswith("Residual")
    assert len(template_values((), reporting.as_json(verified()))["plots"]) == 1, "no residual was measured"


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("model.layers.5.mlp.down_proj.weight", "layer 5"),
        ("transformer.h.11.mlp.c_proj.weight", "layer 11"),
        ("model.language_model.layers.30.self_attn.o_proj.weight", "layer 30"),
        ("transformer_blocks.3.attn.to_k.weight", "transformer 3"),
    ],
)
def test_layers_are_named_shortly(name: str, block: str) -> None:
    assert block_of(name) == block


def test_crowded_layers_are_numbered_by_fives() -> None:
    rows = [{**report().sites[0], "name": f"model.layers.{i}.mlp.down_proj.weight"} for i in range(32)]
    (drawn,) = template_values((), reporting.as_json(verified(sites=tuple(rows))))["plots"]
    assert [band.text for band in drawn.bands if band.text] == ["0", "5", "10", "15", "20", "25", "30"]
    (drawn,) = template_values((), reporting.as_json(verified(sites=tuple(rows[:16]))))["plots"]
    assert [band.text for band in drawn.bands] == [str(i) for i in range(16)]


def test_a_small_chance_is_not_written_as_none() -> None:
    assert [chance(p) for p in (0.0, 3.4e-9, 2e-4, 0.025, 0.9999, 1.0, "nan")] == [
        "0\u202f%", "3.4×10⁻⁷\u202f%", "0.02\u202f%", "2.5\u202f%", ">99.9\u202f%", "100\u202f%", "nan",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.00086, "8.6×10⁻⁴"), (0.0001, "1×10⁻⁴"), (2.5e-7, "2.5×10⁻⁷"), (0.00123, "0.00123"), (3.21e7 + 0.5, "3.2×10⁷")],
)
def test_small_and_large_numbers_have_their_power_of_ten(number: float, text: str) -> None:
    assert figure(number).replace("\N{NARROW NO-BREAK SPACE}", "") == text
