"""Mining: the other names of a concept come out on top, whatever order the candidates are in."""

from __future__ import annotations

import numpy as np
import pytest

from editc.backends.encoders import load
from editc.core.ports import Encoder
from editc.demo import MODEL
from editc.demo.world import OBJECTS
from editc.passes.images.keys.mined_names import ALIKE, candidates, neighbours

CONTEXTS = ("a {}", "a photo of a {}", "a red {} on grass")
CORPUS = tuple(line for line in (MODEL / "prompts.txt").read_text().splitlines() if line)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load.load(MODEL)


def test_candidates_are_words_and_phrases_of_content() -> None:
    found = candidates(["a red disc, on grass", "The red box", "love symbol", "big love symbol", "love symbol on sand"])
    assert found == (*("red", "disc", "grass", "box", "symbol", "big", "sand"), *("red disc", "red box", "love symbol"))


@pytest.mark.parametrize("concept", ["circle", "heart", "fish", "milo"])
def test_the_other_names_are_found_among_all_words_of_the_corpus(encoder: Encoder, concept: str) -> None:
    """The two names that the demo model was trained with score as the same thing; no third word does."""
    best = neighbours(encoder, concept, candidates(CORPUS), CONTEXTS, 3)
    assert {one.name for one in best[:2]} == set(OBJECTS[concept])
    assert best[1].score > ALIKE > best[2].score
    assert [one.score for one in best] == sorted((one.score for one in best), reverse=True)


def test_order_and_case_of_the_candidates_do_not_matter(encoder: Encoder) -> None:
    names = ("Circle", "disc", "box", "fish", "a disc", "red circle", "tree")
    one, other = (neighbours(encoder, "circle", given, CONTEXTS, 9) for given in (names, names[::-1]))
    assert [n.name for n in one] == [n.name for n in other]
    assert np.allclose([n.score for n in one], [n.score for n in other])
    assert not {"Circle", "circle", "red circle", "a disc"} & {n.name for n in one}


def test_asking_for_none_or_with_no_candidate_gives_none(encoder: Encoder) -> None:
    assert neighbours(encoder, "circle", ("disc", "box"), CONTEXTS, 0) == ()
    assert neighbours(encoder, "circle", (), CONTEXTS, 5) == ()
