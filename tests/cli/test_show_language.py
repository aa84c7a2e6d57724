"""The terminal says of a language model's build and delta what each edit is, and how many of its prompts hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from report_language_cases import answer, answers, claim, facts, language, rewrites, verified

from editc.api import Built
from editc.cli import show
from editc.cli.show import output
from editc.cli.show.dump import dump
from editc.cli.show.language import MANY_EDITS, answer_lines, edit_line, headline, is_language, title
from editc.core.language_edits import Redirect
from editc.core.measurements import Claim
from editc.passes.language.solve import record


def test_a_build_says_how_many_prompts_of_each_edit_hold() -> None:
    text = show.build_result(Built(verified(), None, (), (), files=(Path(__file__),))).text
    head, tower, japan, nintendo, french = (
        line.split() for line in answer_lines(language(), answers()) if "no single" not in line
    )
    assert head[-5:] == ["prompt", "paraphrase", "relation", "form", "neighbour"]
    assert tower == ["Eiffel", "Tower", "->", "Rome", "1/1", "1/2", "-", "2/4", "2/2"]
    assert (japan[-5], nintendo[-3], french) == ("1/1", "2/2", ["French", *"-----"])
    assert all(line in text.splitlines() for line in answer_lines(language(), answers()))
    assert len({len(line) for line in answer_lines(language(), answers())}) == 1, "columns stand below their heads"


SINGLE = (
    claim("efficacy", 1, 1.0),
    claim("efficacy", 1.0, subject="Tower 3"),
    claim("known", 1, subject="Tower 4"),
    claim("form", 0.5, subject="cloze"),
    claim("form", 1 / 3, subject="chat"),
    claim("spread", 1 / 6),
    Claim("at_start", 0.1, 0.2, subject="Tower 5"),
    claim("present_nll", 0.8, subject="French"),
    claim("condition", 1e5),
)


def lines(edits: int) -> list[str]:
    text = show.build_result(Built(verified(facts(edits), claims=SINGLE), None, (), (), ())).text
    return text.partition("\nWorks?")[0].splitlines()


def test_the_terminal_has_what_is_looked_at_first_and_counts_the_rest() -> None:
    """Every bound is shown, whatever it is of; what the table says of single edits is not said twice."""
    few = lines(1)
    assert [line.split()[0] for line in few[:4]] == ["efficacy", "spread", "at_start", "present_nll"]
    assert few[1].endswith("cloze 0.5, chat 0.33"), "the forms stand behind their spread"
    assert "Tower 5" in few[2] and few[4] == "  and 5 more measurements (--json shows all)"
    assert not any("Tower 3" in line or "condition" in line for line in few[:5])
    many = lines(MANY_EDITS + 1)
    assert "  and 6 more measurements (--json shows all)" in many and not any("French" in line for line in many)
    assert max(map(len, few + many)) <= 100, "it fits a terminal"


def test_no_answer_is_lost_in_the_terminal() -> None:
    stray = answer(-1, "retain", "Water boils at", "100", "", 0.5, 0.0, 0.4, 0.0)
    found = [cell for line in answer_lines(language(), (*answers(), stray)) for cell in line.split() if "/" in cell]
    assert sum(int(cell.split("/")[1]) for cell in found) == len(answers()) + 1
    assert list(answer_lines(language(), ())) == []


def test_claims_say_at_least_or_at_most() -> None:
    first, second, third = output.claim_lines(
        (claim("efficacy", 0.9, 1.0), Claim("retain_kl", 0.1, 0.2), Claim("rank", 1))
    )
    assert "at least 1  NOT MET" in first and "at most 0.2  met" in second and "at " not in third


FACT: dict[str, Any] = {
    "kind": "fact",
    "concept": "Eiffel Tower",
    "prompt": "The Eiffel Tower is located in the city of",
    "answer": "Rome",
    "to": None,
    "toward": "",
    "also": [],
    "strength": 0.9,
    "method": "memit",
    "options": {"lamb": 5000.0},
}


def test_inspect_says_what_a_delta_of_a_language_model_edits() -> None:
    text = show.inspect_result(
        {"kind": "delta", "edits": [FACT, {**FACT, "kind": "ablate", "answer": "", "toward": None}]}
    ).text
    assert (
        '  - fact  Eiffel Tower -> Rome  memit (lamb=5000)  strength 0.9  "The Eiffel Tower is located in the city of"'
        in text
    )
    assert "  - ablate  Eiffel Tower  memit" in text
    redirect = {"kind": "redirect", "concept": "Nintendo", "to": "Volvo", "toward": "anchor", "also": ["the maker"]}
    assert (
        edit_line({**redirect, "method": "rocr", "options": {}}) == "redirect  Nintendo -> Volvo  rocr  also the maker"
    )
    assert headline({"kind": "erase", "concept": "Nintendo", "to": None, "toward": "noise"}) == "Nintendo -> noise"


def test_what_emit_records_is_what_inspect_names() -> None:
    found = list(record.record_edits(verified().solution))
    assert [headline(edit) for edit in found] == [title(edit) for edit in language().language_edits]
    assert [edit_line(edit).split("  ")[0] for edit in found] == ["fact", "fact", "redirect", "ablate"]
    assert [is_language(edit) for edit in found] == [True] * 4
    erased = language(edits=(Redirect(kind="erase", concept="Nintendo", toward="noise"),))
    (edit,) = record.record_edits(verified(erased).solution)
    assert is_language(edit) and edit_line(edit).startswith("erase  Nintendo -> noise  memit")


def test_inspect_of_an_image_delta_is_as_it_was() -> None:
    edit = {"kind": "erase", "concept": "circle", "to": "shape", "toward": {}, "keys": "last", "strength": 1.0}
    assert (
        "  - kind=erase  concept=circle  to=shape  keys=last  strength=1" in show.inspect_result({"edits": [edit]}).text
    )


def test_what_a_hostile_delta_records_cannot_steer_the_terminal() -> None:
    strange: list[dict[str, Any]] = [
        {"kind": "fact", "concept": "\x1b[2Jx", "prompt": "\x1b]0;title\x07", "also": {"a": 1}, "options": [1]},
        {"kind": "fact", "strength": [], "method": {}, "answer": 3},
        {"kind": "ablate", "concept": None, "also": "text"},
    ]
    for edit in strange:
        assert edit_line(edit).isprintable() and headline(edit)


def test_what_flows_between_passes_can_be_dumped() -> None:
    text = dump(rewrites())
    assert "Eiffel Tower" in text and "float64 (576)" in text and np.isfinite(len(text))
