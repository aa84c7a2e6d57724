"""What is preserved by default of a model's own words: those that its encoder tells apart, in its contexts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil

import pytest
from cache_cases import Memory

from editc.backends.encoders import load
from editc.core.ports import EncodedPrompt, Encoder
from editc.core.text import mentions
from editc.demo import MODEL
from editc.demo.captions import vocabulary
from editc.demo.contexts import CONTEXTS
from editc.demo.world import OBJECTS
from editc.passes.images.rows.vocabulary import (
    MOST_WORDS,
    PIECE,
    PROMPTS,
    read_as,
    readable,
    readable_contexts,
    share_of_words,
    tell_apart,
    vocabulary_prompts,
)

WORDS = tuple(word for word in vocabulary() if len(word) > 2)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load.load(MODEL)


class Counted:
    """An encoder that counts its calls."""

    def __init__(self, inner: Encoder) -> None:
        self.inner, self.calls, self.prompts = inner, 0, 0

    alone = False

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        self.calls, self.prompts = self.calls + 1, self.prompts + len(prompts)
        return self.inner.encode(prompts)

    def fingerprint(self) -> str:
        return "demo"


@pytest.mark.parametrize("concept", ["circle", "cat", "sword"])
def test_other_names_of_an_edited_concept_are_not_preserved(encoder: Encoder, concept: str) -> None:
    """Preserving them would work against the edit, and no manifest names them all."""
    found = vocabulary_prompts(WORDS, [concept], CONTEXTS, encoder)
    names = [concept, *(name for name in OBJECTS[concept] if " " not in name)]
    assert not [prompt for prompt in found for name in names if mentions(prompt, name)]
    kept = [what for what, others in OBJECTS.items() if any(mentions(p, n) for p in found for n in (what, *others))]
    assert len(kept) == len(OBJECTS) - 1


def test_of_words_that_are_read_as_one_the_first_stays(encoder: Encoder) -> None:
    told = tell_apart(WORDS, [], "{}", encoder)
    assert len(told) < len(WORDS) and len(set(told)) == len(told)
    singles = {what: [n for n in (what, *others) if n in WORDS] for what, others in OBJECTS.items()}
    assert all(sum(name in told for name in names) == 1 for names in singles.values())
    again = tell_apart(told, [], "{}", encoder)
    assert set(again) <= set(told)


def test_every_word_goes_into_equally_many_contexts_and_every_context_is_used(encoder: Encoder) -> None:
    found = vocabulary_prompts(WORDS, ["circle"], CONTEXTS, encoder)
    told = tell_apart(WORDS, ["circle"], CONTEXTS[0], encoder)
    assert PROMPTS - len(told) < len(found) <= PROMPTS
    assert all(any(p == context.replace("{}", word) for p in found for word in told) for context in CONTEXTS)
    times = Counter(word for p in found for word in told for context in CONTEXTS if p == context.replace("{}", word))
    assert max(times.values()) - min(times.values()) <= 1


def test_the_first_words_are_told_apart_in_pieces_that_every_manifest_shares(encoder: Encoder) -> None:
    counted = Counted(encoder)
    many = [f"{word}{number}" for number in range(9) for word in WORDS]
    assert len(many) > MOST_WORDS
    found = vocabulary_prompts(many, ["circle"], CONTEXTS, counted)  # type: ignore[arg-type]
    assert counted.calls == 1 + ceil(MOST_WORDS / PIECE) and counted.prompts == MOST_WORDS + 1
    assert found == vocabulary_prompts(many, ["circle"], CONTEXTS, encoder)
    cache, first, second = Memory(), Counted(encoder), Counted(encoder)
    vocabulary_prompts(many, ["circle"], CONTEXTS, first, cache)  # type: ignore[arg-type]
    vocabulary_prompts(many, ["square", "tree"], CONTEXTS, second, cache)  # type: ignore[arg-type]
    assert (first.prompts, second.prompts) == (MOST_WORDS + 1, 2)


@pytest.mark.parametrize("words", [(), ("fish",)])
def test_few_words_are_told_apart_without_an_encoder(words: tuple[str, ...], encoder: Encoder) -> None:
    assert tell_apart(words, ["circle"], "a {}", encoder) == words
    assert len(vocabulary_prompts(words, ["circle"], CONTEXTS, encoder)) == len(words) * len(CONTEXTS)


def test_a_prompt_is_readable_where_half_of_its_long_words_are_known() -> None:
    listed = ("a red fish", "a red xylophone", "a tall xylophone", "on it")
    assert readable(listed, ("red", "fish")) == ("a red fish", "a red xylophone")
    assert share_of_words(listed[:2], ("red", "fish")) == 0.75
    assert share_of_words((), ("red",)) == 0.0


def test_words_go_into_sentences_of_known_words_alone() -> None:
    known = ("photo", "night", "the")
    asked = ("{}", "a {}", "a photo of a {}", "a {} at night", "a {} in the morning light", "an illustration of a {}")
    assert readable_contexts(asked, known) == ("{}", "a {}", "a photo of a {}", "a {} at night")
    assert readable_contexts(asked[4:], known) == asked[4:]


def test_what_is_not_preserved_as_another_name_is_named(encoder: Encoder) -> None:
    """Each word that an edited name takes off the list is read as one of the edited names, and nothing else is."""
    edited = ["circle", "fish"]
    found = read_as(WORDS, edited, CONTEXTS, encoder)
    alike = {word for words in found.values() for word in words}
    told, kept = tell_apart(WORDS, [], CONTEXTS[0], encoder), tell_apart(WORDS, edited, CONTEXTS[0], encoder)
    assert list(found) == edited and alike
    assert {word for word in told if word not in kept} - set(edited) <= alike
    assert not alike & set(kept) and not alike & set(edited)
