"""Whatever the text, the answer is a manifest or diagnostics that can be shown; never an exception, never for long."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from editc.cli.render import render
from editc.codes import exit_code
from editc.core.diagnostics import as_json
from editc.core.places import Source
from editc.manifests.decode import decode
from editc.manifests.overrides import add_overrides

VOCABULARY = """
editc model edits erase also to from replace moderate concept toward method keys strength scale epochs lamb preserve
fact prompt subject answer was paraphrases neighbours redirect relations ablate present absent layers corpus retain
chat efficacy retain_kl rome rocr noise concepts prompts files weight contexts sites roles include exclude constraints
erase_residual rank verify images detector emit seed auto uce rece aligned circle square editc:demo safetensors 1 0.5
-1 1e-3 no null {} . .inf
"""
WORDS = st.sampled_from(VOCABULARY.split())
SYNTAX = ": |:|- |\n|\n  |\t|[|]|{|}|, |&a |*a|<<|!!str |>|\"|'|#|?|---\n|...\n|%YAML 1.9\n|\\U|@"
MARKS = tuple(str.split(SYNTAX, "|"))
STRANGE = ("|\n", "\ud800", "\x85", "\u2028", "\r", "\ufeff", "\0", "\x7f")
SCALARS = WORDS | st.text(max_size=12) | st.integers() | st.floats() | st.booleans() | st.none()
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=6), inner, max_size=5),
    max_leaves=25,
)
SHAPED = st.fixed_dictionaries(
    {"editc": st.just(1) | SCALARS, "model": st.just("editc:demo") | SCALARS, "edits": st.lists(TREES, max_size=4)},
    optional={"preserve": TREES, "constraints": TREES, "sites": TREES, "verify": TREES, "emit": TREES, "seed": SCALARS},
)
ASKED = TREES | st.dictionaries(WORDS, SCALARS, max_size=3) | st.lists(WORDS, max_size=3)
FACTS = st.fixed_dictionaries(
    {"prompt": st.just("circle is square") | SCALARS, "subject": st.just("circle") | SCALARS, "answer": SCALARS},
    optional={"was": SCALARS, "paraphrases": ASKED, "neighbours": ASKED},
)
SPOKEN = st.fixed_dictionaries(
    {
        "editc": st.just(1),
        "model": st.just("m"),
        "edits": st.lists(
            st.fixed_dictionaries({"fact": FACTS | TREES}, optional={"method": WORDS, "lamb": SCALARS})
            | st.fixed_dictionaries(
                {"redirect": st.fixed_dictionaries({"from": WORDS}, optional={"to": WORDS, "relations": ASKED})}
            )
            | st.fixed_dictionaries({"erase": WORDS}, optional={"toward": WORDS, "keys": WORDS})
            | st.fixed_dictionaries(
                {"ablate": st.fixed_dictionaries({"concept": WORDS, "present": ASKED, "absent": ASKED})}
            ),
            max_size=4,
        ),
    },
    optional={"retain": ASKED, "corpus": SCALARS, "sites": TREES, "constraints": TREES, "preserve": TREES},
)
PIECES = st.lists(WORDS | st.sampled_from(MARKS + STRANGE), max_size=60).map("".join)


def assert_answered(source: Source) -> None:
    """Decodes and shows it in every form, as either kind of model's; each place lies in the text."""
    decode(source, kind="language")
    manifest, found = decode(source)
    assert (manifest is None) == any(one.is_error for one in found)
    render(found, colour=True).encode()
    json.dumps([as_json(one) for one in found])
    assert exit_code(found) in (0, 2)
    for one in found:
        assert one.span is not None and 1 <= one.span.line <= len(source.lines) and one.span.column >= 1
        assert one.span.column <= len(source.line(one.span.line)) + 1, one


@settings(max_examples=150, deadline=None)
@given(st.text())
def test_any_text(text: str) -> None:
    assert_answered(Source("m", text))


@settings(max_examples=300, deadline=None)
@given(PIECES)
def test_any_pieces_of_yaml(text: str) -> None:
    assert_answered(Source("m", text))


@settings(max_examples=200, deadline=None)
@given(SHAPED | SPOKEN | TREES, st.booleans())
def test_any_tree(tree: Any, flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    assert_answered(Source("m", text))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(max_size=20) | st.builds("{}.{}={}".format, WORDS, WORDS | st.integers(-2, 3), PIECES), max_size=3)
)
@example(overrides=["editc.editc=%YAML 1.9\n"])
def test_any_override(overrides: list[str]) -> None:
    assert_answered(add_overrides(Source("m", "editc: 1\nmodel: m\nedits: [{erase: circle}]\n"), overrides))


HOSTILE = {
    "brackets": "[" * 500_000,
    "braces": "{a: " * 200_000,
    "dashes": "- " * 500_000,
    "questions": "? " * 500_000,
    "items": "- x\n" * 50_001,
    "keys": "".join(f"k{i}: x\n" for i in range(50_001)),
    "anchors": "".join(f"- &a{i} x\n" for i in range(50_001)),
    "quotes": "a: '" + "''" * 200_000,
    "plain": "a: " + "x " * 100_000,
    "blanks": "\n" * 1_000_000,
    "comments": "# x\n" * 250_000,
    "long path": "a: 1\n",
    "billion laughs": "a0: &a0 x\n" + "".join(f"a{i + 1}: &a{i + 1} [{f'*a{i}, ' * 10}]\n" for i in range(60)),
    "unknown edits": "editc: 1\nmodel: m\nedits:\n" + "- {erase: c, q: 1}\n" * 2_000,
    "facts": "editc: 1\nmodel: m\nedits:\n"
    + "".join(f"- {{fact: {{prompt: a{i} is, subject: a{i}, answer: b}}, lamb: -1}}\n" for i in range(4_000)),
    "redirects": "editc: 1\nmodel: m\nedits:\n"
    + "".join(f"- redirect: {{from: a{i}, to: a{i + 1}, neighbours: [a{i}]}}\n" for i in range(4_000)),
    "names": "editc: 1\nmodel: m\nedits: [{erase: c, also: [" + "c, " * 8_000 + "]}]\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_answered_soon(name: str) -> None:
    begun = time.process_time()
    source = add_overrides(Source("m", HOSTILE[name]), [".".join("a" * 5000) + "=1"] if name == "long path" else [])
    _, found = decode(source)
    assert found and render(found)
    assert time.process_time() - begun < 20, "a manifest takes milliseconds, a hostile one not minutes"
