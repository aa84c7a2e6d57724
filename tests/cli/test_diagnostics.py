"""Diagnostics as text and as JSON: the carets stand under what is meant, whatever characters the line has."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editc.cli.render import LINE_WIDTH, MAX_DIAGNOSTICS, clean, excerpt, render, render_one, summary
from editc.core.diagnostics import Diagnostic, EditcError, as_json, fail, sort_by_place
from editc.core.places import Source, Span

SOURCE = Source("manifest.yaml", "editc: 1\nedits:\n  - erase: circle\n    strenght: 1.0\n", ("rank=big",))
WRONG = Diagnostic("E102", "unknown key `strenght`", Span(4, 5, 8), SOURCE, help="did you mean `strength`?")


def test_the_form_of_the_design() -> None:
    assert render_one(WRONG) == (
        "error[E102]: unknown key `strenght`\n"
        " --> manifest.yaml:4:5\n"
        "  |\n"
        "4 |     strenght: 1.0\n"
        "  |     ^^^^^^^^\n"
        "  = help: did you mean `strength`?\n"
    )


def test_related_places_are_shown_in_order_with_their_words() -> None:
    one = Diagnostic("E103", "twice", Span(4, 5, 8), SOURCE, related=((Span(1, 1, 5), "first here"),), notes=("a", "b"))
    assert render_one(one).splitlines()[2:] == [
        "  |",
        "1 | editc: 1",
        "  | ----- first here",
        "...",
        "4 |     strenght: 1.0",
        "  |     ^^^^^^^^",
        "  = note: a",
        "  = note: b",
    ]


def test_two_places_of_one_line_share_it() -> None:
    one = Diagnostic("E124", "twice", Span(3, 5, 5), SOURCE, related=((Span(3, 12, 6), "here"),), severity="warning")
    assert render_one(one).splitlines()[3:] == ["3 |   - erase: circle", "  |     ^^^^^", "  |            ------ here"]


def test_a_value_from_the_command_line() -> None:
    one = Diagnostic("E105", "no number", Span(6, 12, 3), SOURCE)
    assert render_one(one).splitlines()[1:] == [" --> command line", "  |", "  | --set rank=big", "  |            ^^^"]
    assert as_json(one)["place"] == "--set rank=big" and "line" not in as_json(one)


def test_a_fault_without_a_line_names_its_place() -> None:
    assert render_one(Diagnostic("E610", "cut short", place="a.safetensors", help="download it again")) == (
        "error[E610]: cut short\n --> a.safetensors\n = help: download it again\n"
    )
    assert render_one(Diagnostic("E207", "no torch")) == "error[E207]: no torch\n"


@pytest.mark.parametrize(
    ("line", "column", "length", "shown", "before", "under"),
    [
        ("\tx: 1", 2, 1, "    x: 1", 4, 1),
        ("a\tb", 2, 1, "a    b", 1, 4),
        ("円形: x", 5, 1, "円形: x", 6, 1),
        ("円形: x", 1, 2, "円形: x", 0, 4),
        ("e\u0301: x", 5, 1, "e\u0301: x", 3, 1),
        ("\x1b[31m: x", 8, 1, "\\u001b[31m: x", 12, 1),
        ("ab", 3, 1, "ab", 2, 1),
        ("", 1, 1, "", 0, 1),
        ("ab", 9, 9, "ab", 2, 1),
    ],
)
def test_carets_stand_under_the_characters(
    line: str, column: int, length: int, shown: str, before: int, under: int
) -> None:
    assert excerpt(line, Span(1, column, length)) == (shown, before, under)


def test_a_long_line_is_cut_around_the_place() -> None:
    line = "x" * 300 + "HERE" + "y" * 300
    shown, before, under = excerpt(line, Span(1, 301, 4))
    assert shown[before : before + under] == "HERE"
    assert shown.startswith("...") and shown.endswith("...") and len(shown) <= LINE_WIDTH + 6
    start, before, under = excerpt(line, Span(1, 1, 3))
    assert start.startswith("xxx") and start.endswith("...") and (before, under) == (0, 3)
    _, before, under = excerpt(line, Span(1, 1, len(line)))
    assert before == 0 and under <= LINE_WIDTH


def columns(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) or unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=250), st.integers(1, 260), st.integers(1, 260))
def test_carets_stay_under_the_line(line: str, column: int, length: int) -> None:
    shown, before, under = excerpt(line, Span(1, column, length))
    assert before >= 0 and under >= 1
    assert before + under <= max(columns(shown), before + 1)
    assert columns(shown) <= LINE_WIDTH + 20
    if column <= len(line) and clean(line[column - 1]) == line[column - 1]:
        assert line[column - 1] in shown


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_no_text_reaches_the_terminal_raw(text: str) -> None:
    shown = render([Diagnostic("E102", text, Span(1, 1), Source(text, text), help=text, notes=(text,), place=text)])
    assert "\x1b" not in shown and "\u202e" not in shown and "\r" not in shown
    shown.encode("utf-8")


def test_colour_only_when_asked() -> None:
    assert "\x1b" not in render([WRONG])
    coloured = render([WRONG], colour=True)
    assert coloured.startswith("\x1b[1;31merror[E102]\x1b[0m")
    plain = coloured
    for code in ("\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"):
        plain = plain.replace(code, "")
    assert plain == render([WRONG])


@pytest.mark.parametrize(
    ("errors", "warnings", "text"),
    [(1, 0, "1 error"), (2, 0, "2 errors"), (0, 1, "1 warning"), (3, 2, "3 errors, 2 warnings")],
)
def test_summary(errors: int, warnings: int, text: str) -> None:
    found = [WRONG] * errors + [Diagnostic("E124", "twice", severity="warning")] * warnings
    assert summary(found) == text
    assert render(found).endswith(f"\n{text}\n")


def test_nothing_found_is_not_summed_up() -> None:
    assert summary([]) == "" == render([])


def test_thousands_of_faults_are_counted_and_not_all_shown() -> None:
    shown = render([WRONG] * (MAX_DIAGNOSTICS + 5))
    assert (
        shown.count("error[E102]") == MAX_DIAGNOSTICS
        and "... and 5 more" in shown
        and f"{MAX_DIAGNOSTICS + 5} errors" in shown
    )


def test_json_has_the_same_content_and_no_empty_fields() -> None:
    assert json.loads(json.dumps(as_json(WRONG))) == {
        "code": "E102",
        "severity": "error",
        "message": "unknown key `strenght`",
        "file": "manifest.yaml",
        "line": 4,
        "column": 5,
        "length": 8,
        "help": "did you mean `strength`?",
    }
    far = Diagnostic("E103", "twice", Span(4, 5), SOURCE, related=((Span(1, 1), "first"),), severity="warning")
    assert as_json(far)["related"] == [
        {"file": "manifest.yaml", "line": 1, "column": 1, "length": 1, "message": "first"}
    ]
    assert as_json(Diagnostic("E610", "cut", place="x")) == {
        "code": "E610", "severity": "error", "message": "cut", "place": "x",
    }  # fmt: skip


def codes(found: Sequence[Diagnostic]) -> list[str]:
    return [one.code for one in found]


def test_by_place_sorts_and_drops_repeats() -> None:
    late, early, nowhere = Diagnostic("E1", "", Span(9, 1)), Diagnostic("E2", "", Span(2, 7)), Diagnostic("E3", "")
    assert codes(sort_by_place([nowhere, late, early, late])) == ["E2", "E1", "E3"]


def test_an_error_carries_its_diagnostics() -> None:
    error = fail("E610", "cut short", place="x", notes=["n"])
    assert isinstance(error, EditcError) and str(error) == "E610: cut short"
    assert error.diagnostics == (Diagnostic("E610", "cut short", place="x", notes=("n",)),)
