"""What a training keeps of a model that brings no list: beside each word alone, several at once."""

from __future__ import annotations

import pytest

from editc.core.places import Source
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.text import mentions, plain_words
from editc.demo import MODEL
from editc.demo.world import NAMES, OBJECTS
from editc.manifests.decode import decode
from editc.passes.images.train.composed import WORDS, compose, composed_prompts
from editc.verbs.open import require_manifest

MANIFEST = "editc: 1\nmodel: editc:demo\nedits: [{{erase: {}, {}}}]\n{}"
COUNT = 300


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The ports of the demo model without its lists."""
    folder = tmp_path_factory.mktemp("unlisted")
    for one in MODEL.iterdir():
        if one.suffix != ".txt":
            (folder / one.name).symlink_to(one)
    return open_context(f"editc: 1\nmodel: {folder}\nedits: [{{erase: circle, to: square}}]\n")


def open_context(text: str) -> Context:
    """The ports of a manifest."""
    opened = require_manifest(Source("m.yaml", text))
    return opened.kind.open_ports(opened, None)


def composed(ctx: Context, concept: str = "circle", beside: str = "to: square", more: str = "") -> tuple[str, ...]:
    """The composed prompts of a manifest."""
    manifest, _ = decode(Source("m.yaml", MANIFEST.format(concept, beside, more)))
    assert manifest is not None and ctx.family is not None
    return composed_prompts(Plan(manifest, ctx.family, "", (), {}), ctx, COUNT)


@pytest.mark.parametrize("concept", ["circle", "cat", "sword"])
def test_no_composed_prompt_names_what_is_edited_by_any_of_its_names(ctx: Context, concept: str) -> None:
    found = composed(ctx, concept)
    names = [concept, *(name for name in OBJECTS[concept] if " " not in name)]
    assert len(found) > 0.9 * COUNT
    assert not [prompt for prompt in found for name in names if mentions(prompt, name)]


def test_composed_prompts_say_a_thing_with_its_colour_and_its_background(ctx: Context) -> None:
    found = [set(plain_words(prompt)) for prompt in composed(ctx)]
    for kind in ("colour", "background", "style"):
        said = {name for what, others in NAMES[kind].items() for name in (what, *others)}
        things = {name for what, others in OBJECTS.items() for name in (what, *others)}
        assert any(words & said and words & things for words in found)


def test_a_model_with_a_list_of_its_own_keeps_that_and_nothing_else(ctx: Context) -> None:
    assert composed(open_context(MANIFEST.format("circle", "to: square", ""))) == ()
    assert composed(ctx, more="preserve: {corpus: none, concepts: [star]}\n") == ()


def test_composed_prompts_are_drawn_by_the_seed_of_the_manifest(ctx: Context) -> None:
    first = composed(ctx)
    assert first == composed(ctx) != composed(ctx, more="seed: 5\n")


def test_no_composed_prompt_says_an_edited_name_in_another_order(ctx: Context) -> None:
    """A red circle is erased, or red taken from circles: `circle red` must not be kept."""
    for concept, beside in (("red circle", "to: square"), ("red", "from: circle")):
        found = composed(ctx, concept, beside)
        assert found and not [prompt for prompt in found for word in ("circle", "disc") if mentions(prompt, word)]


def test_each_phrase_has_words_of_its_own() -> None:
    found = compose(["red", "boat", "grass", "flat"], ("{}", "a {}"), 20, seed=0)
    assert len(set(found)) == len(found)
    assert all(len(set(plain_words(one)) - {"a"}) == WORDS for one in found)
    assert compose(["red", "boat"], ("{}",), 20, seed=0) == ()
