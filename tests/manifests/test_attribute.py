"""`erase: ATTRIBUTE` with `from: THING`: what it is short for, what it preserves, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from derive_cases import context

from editc.core.manifest import Manifest, Request
from editc.core.places import Source
from editc.core.plan import Plan
from editc.families.images.unet import SD1
from editc.manifests.decode import decode
from editc.manifests.json_schema.whole import manifest_schema
from editc.passes.images.locate.locate import Locate
from editc.passes.images.painting.pictures import detector_concepts
from editc.passes.images.rows.preserved_rows import preserved_prompts
from editc.passes.images.solve.record import attribute_fields

HEAD = "editc: 1\nmodel: editc:demo\nedits:\n"


def decoded(text: str) -> Manifest:
    manifest, found = decode(Source("m.yaml", HEAD + text))
    assert manifest is not None, found
    return manifest


def edit_of(text: str) -> Request:
    return decoded(text).image_edits[0]


def test_it_is_short_for_the_thing_with_the_attribute_that_leads_to_the_thing() -> None:
    short = edit_of("  - {erase: red, from: circle, also: [crimson]}\n")
    long = edit_of("  - {erase: red circle, to: circle, also: [crimson circle], label: red}\n")
    assert replace(short, attribute=None) == long


def test_phrases_say_where_the_attribute_stands() -> None:
    edit = edit_of(
        '  - {erase: glasses, from: scientist, phrases: ["{} with glasses", "{} in specs"], also: [bespectacled]}\n'
    )
    assert edit.names == ("scientist with glasses", "scientist in specs", "bespectacled scientist")
    assert (edit.to, edit.label) == ("scientist", "glasses")
    assert edit.attribute is not None and edit.attribute.of("dog")[0] == "dog with glasses"


def test_the_thing_and_the_attribute_elsewhere_are_preserved_by_name() -> None:
    """So they are painted and counted, and `kept_loss_at_most` bounds what they lose."""
    manifest = decoded("  - {erase: red, from: circle}\npreserve: {concepts: [square, star]}\n")
    assert manifest.preserve.concepts == ("square", "star", "circle", "red square", "red star")
    two = decoded("  - {erase: red, from: circle}\n  - {erase: red, from: square}\npreserve: {concepts: [star]}\n")
    assert set(two.preserve.concepts) == {"star", "circle", "square", "red star"}
    assert decoded("  - {erase: red, from: circle}\n").preserve.concepts == ("circle",)


def test_prompts_with_both_are_not_preserved_and_prompts_with_one_are() -> None:
    manifest = decoded("  - {erase: red, from: circle}\n")
    listed = ["a red circle", "a red circle on grass", "a circle", "a red square", "red"]
    assert preserved_prompts(manifest, ("a {}",), listed).default == ("a circle", "a red square", "red")


def test_sentences_that_have_the_attribute_already_are_left_out() -> None:
    contexts = ("a {}", "a red {}", "a {} on reddish sand", "a blue {}")
    family = replace(SD1, contexts=contexts)
    manifest = decoded("  - {erase: red, from: circle}\n  - {erase: star, to: square}\n")
    plan = Plan(manifest, family, "m", (), {})
    first, second = manifest.image_edits
    assert plan.contexts(first) == ("a {}", "a {} on reddish sand", "a blue {}") and plan.contexts(second) == contexts
    assert Plan(manifest, replace(SD1, contexts=("a red {}",)), "m", (), {}).contexts(first) == ("a red {}",)


def test_a_detector_looks_for_the_attribute_unless_a_label_says_otherwise() -> None:
    manifest = decoded("  - {erase: red, from: circle}\n")
    assert [(field, one.label) for one, field, _ in detector_concepts(manifest)] == [("label", "red")]
    assert edit_of("  - {erase: red, from: circle, label: red circle}\n").label == "red circle"


def test_delta_and_report_record_it() -> None:
    made = attribute_fields(edit_of("  - {erase: red, from: circle}\n"))
    assert made == {"from": {"attribute": "red", "thing": "circle", "phrases": ["red {}"]}}
    assert attribute_fields(edit_of("  - {erase: circle, to: square}\n")) == {}


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ("  - {erase: red, from: circle}\n  - {erase: red circle}\n", "E120", 13),
        ("  - {erase: red, from: circle}\n  - {erase: circle, to: star}\n", "E123", 24),
        ("  - {erase: red, from: circle}\npreserve: {concepts: [red circle]}\n", "E121", 23),
        ('  - {erase: red, from: circle, phrases: ["red thing"]}\n', "E114", 42),
        ("  - {erase: red, from: [circle, star]}\n", "E105", 24),
        ('  - {erase: red, from: "circle, star"}\n', "E193", 24),
    ],
)
def test_mistakes_are_shown_where_they_stand(text: str, code: str, column: int) -> None:
    _, found = decode(Source("m.yaml", HEAD + text))
    places = {one.code: one.span.column for one in found if one.span}
    assert places.get(code) == column, places


def test_the_schema_has_its_keys() -> None:
    text = str(manifest_schema())
    assert "'phrases'" in text and "'from'" in text


def test_a_plan_is_made_of_it() -> None:
    manifest = decoded("  - {erase: red, from: circle, contexts: ['a {}']}\n")
    assert Locate((SD1,))(manifest, context()).manifest == manifest
