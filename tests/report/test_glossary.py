"""Every word that a build, a report or an error prints is in the glossary, and the page says what `explain` says."""

from __future__ import annotations

from typing import get_args

import pytest

from docs import glossary
from editc.core import delta, verdict
from editc.formats.apply import status, target
from editc.formats.doctor import verdict as doctor
from editc.passes.language.verify import forms
from editc.registry.families import FAMILIES
from editc.registry.key_rules import KEY_RULES
from editc.report import terms
from editc.report.words import TITLES
from editc.verbs.explain import explain


def printed() -> dict[str, set[str]]:
    """Words that a report or the terminal prints, by where they come from; claims have a test of their own."""
    families = [FAMILIES.resolve(name) for name in FAMILIES.names()]
    return {
        "roles of sites": {role for family in families for role in family.patterns},
        "forms of a delta": set(get_args(delta.Form)),
        "key rules": set(KEY_RULES.names()),
        "tiers of an apply": set(get_args(target.Tier)) | {"already"},
        "states of a delta": {"interrupted", *get_args(status.Presence)} - {"unknown"},
        "states of an adapter": {"partly", "not judged"} & set(get_args(doctor.Outcome)),
        "forms of a question": set(forms.FORMS),
        "steps of a question": set(forms.STEPS),
        "lines of the verdict": {question.rstrip("?").lower() for question in verdict.QUESTIONS},
        "results": {"met", "measured", "failed", "not checked"},
        "kinds of edits": {"erase", "replace", "moderate", "fuse", "fact", "redirect", "ablate"},
        "parts of a report": {
            "certificate",
            "bystanders",
            "detector",
            "witness",
            "watch",
            "row",
            "key",
            "site",
            "drift",
        },
    }


@pytest.mark.parametrize("source", printed())
def test_every_word_that_is_printed_is_explained(source: str) -> None:
    for word in printed()[source]:
        assert len(explain(word).split()) > 8, word


def test_the_page_says_what_explain_says() -> None:
    """`python docs/glossary.py --write` after a change of editc/texts/glossary.txt or of the measurements' titles."""
    page = glossary.PAGE.read_text(encoding="utf-8")
    assert page == glossary.glossary()
    assert all(f"| {word} | {says} |" in page for topic in terms.topics() for word, says in topic.words.items())
    assert all(f"| `{name}` | " in page for name in TITLES)


def test_a_word_stands_once_and_says_one_thing() -> None:
    words = terms.all_words()
    assert len(set(words)) == len(words)
    for topic in terms.topics():
        for word, says in topic.words.items():
            assert word == word.strip() and says.endswith((".", "?")) and "|" not in says, word
