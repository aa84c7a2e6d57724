"""The second world keeps the promises that its measurements rest on. Its weights are not in the repository."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.second_world.measure import EDITS, kin
from benchmarks.second_world.names import LEXICON, OBJECTS, PICTOGRAMS
from benchmarks.world import naming, others
from editc.core.text import mentions
from editc.demo.captions import MEDIA, POSTER, vocabulary
from editc.demo.world import OBJECTS as DEMO_OBJECTS


def test_it_has_a_hundred_objects_of_a_kind_each_with_another_name() -> None:
    assert len(OBJECTS) >= 100
    assert all(len(others) == 1 for others in OBJECTS.values())
    assert all(len(members) >= 6 for members in PICTOGRAMS.values())


def test_no_name_stands_for_two_things() -> None:
    tables = [(name, *others) for table in LEXICON.names.values() for name, others in table.items()]
    every = [name for names in tables for name in names] + [*LEXICON.kinds, *MEDIA, POSTER]
    assert not [name for name, times in Counter(every).items() if times > 1]
    glyphs = [glyph for members in PICTOGRAMS.values() for glyph, _ in members.values()]
    assert len(set(glyphs)) == len(glyphs)


def test_most_of_its_objects_are_not_in_the_demo_world() -> None:
    assert len(set(OBJECTS) & set(DEMO_OBJECTS)) <= 10


def test_captions_of_an_object_use_its_name_and_words_of_the_tokenizer() -> None:
    pytest.importorskip("PIL")
    from benchmarks.second_world.prompts import PROMPTS

    words = set(vocabulary(LEXICON))
    for caption in (*naming("cat", ["cat"], 20, 1, PROMPTS), *others(1, 2, prompts=PROMPTS)):
        assert {word.strip(",") for word in caption.text.split()} <= words
        what = caption.says["object"]
        assert any(mentions(caption.text, name) for name in (what, *OBJECTS[what]))


def test_prompts_are_drawn_the_same_way_twice() -> None:
    from benchmarks.second_world.world import WORLD, caption, draw_scene

    first, again = ([caption(draw_scene(rng), rng) for _ in range(9)] for rng in map(np.random.default_rng, (3, 3)))
    assert first == again
    assert tuple(WORLD.labels) == ("object", "colour", "background", "style")


def test_what_is_measured_goes_from_an_object_to_another() -> None:
    assert len(EDITS) == 10
    for concept, to in EDITS.items():
        assert {concept, to} <= set(OBJECTS) and concept != to
        assert len(kin(concept)) >= 5
