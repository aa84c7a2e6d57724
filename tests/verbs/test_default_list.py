"""What `preserve` left out takes: the model's own prompts, else everyday ones and the words that the model knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from editc import api
from editc.core.plan import Plan
from editc.core.text import mentions
from editc.demo import MODEL
from editc.families.images.contexts import CONTEXTS
from editc.opening.default_list import default_prompts, everyday_prompts
from editc.verbs.open import require_manifest

MANIFEST = "editc: 1\nmodel: {}\nedits: [{{erase: circle, to: square}}]\n"


def without_prompts(folder: Path) -> Path:
    """The demo model, without a list of prompts."""
    folder.mkdir()
    for one in MODEL.iterdir():
        if one.name != "prompts.txt":
            (folder / one.name).symlink_to(one)
    return folder


def listed(folder: Path, model: object, more: str = "") -> tuple[str, ...]:
    """The default list of a manifest."""
    (folder / "m.yaml").write_text(MANIFEST.format(model) + more)
    opened = require_manifest(folder / "m.yaml")
    return default_prompts(opened.model, opened.manifest, opened.kind.open_ports(opened, None))


def codes(folder: Path, model: object, more: str = "") -> list[str]:
    """What `check` finds."""
    (folder / "m.yaml").write_text(MANIFEST.format(model) + more)
    return [one.code for one in api.check(folder / "m.yaml").diagnostics]


def test_a_model_with_prompts_of_its_own_has_these_and_no_others(tmp_path: Path) -> None:
    own = (MODEL / "prompts.txt").read_text().splitlines()
    assert list(listed(tmp_path, "editc:demo")) == own
    assert codes(tmp_path, "editc:demo") == []


def test_any_other_model_has_the_words_that_it_knows(tmp_path: Path) -> None:
    model = without_prompts(tmp_path / "m")
    found = listed(tmp_path, model)
    everyday = [prompt for prompt in found if prompt in everyday_prompts()]
    assert len(everyday) < len(everyday_prompts()) / 10
    for names in (("triangle", "wedge", "trigon"), ("milo", "brandt", "mims"), ("grass", "meadow")):
        assert any(mentions(prompt, name) for prompt in found for name in names)
    for name in ("circle", "disc"):
        assert not any(mentions(prompt, name) for prompt in found)
    assert found == listed(tmp_path, model), "a delta is measured again over the same list"


def test_a_list_that_does_not_fit_is_said_before_the_build(tmp_path: Path) -> None:
    model = without_prompts(tmp_path / "m")
    assert codes(tmp_path, model) == ["E228"]
    assert codes(tmp_path, model, "preserve: {corpus: none, concepts: [square]}\n") == ["E145"]
    (model / "prompts.txt").write_text("a square\n# not one\n\na tree\n")
    assert codes(tmp_path, model) == [] and listed(tmp_path, model) == ("a square", "a tree")


@pytest.mark.parametrize(
    "more, said", [("", ["20 of the 32 sentences for concepts"]), ("contexts: ['a {}', 'a red {}']\n", [])]
)
def test_sentences_that_the_model_cannot_read_are_said_too(tmp_path: Path, more: str, said: list[str]) -> None:
    model = without_prompts(tmp_path / "m")
    (model / "contexts.txt").unlink()
    assert codes(tmp_path, model, more) == ["E228"]
    (found,) = api.check(tmp_path / "m.yaml").diagnostics
    assert [note[: len("20 of the 32 sentences for concepts")] for note in found.notes[1:]] == said


def test_a_build_puts_names_into_sentences_that_the_model_reads(tmp_path: Path) -> None:
    """`portrait` is no word of the demo model: pictures of `a portrait of a circle` show what its pieces happen to."""
    (tmp_path / "m.yaml").write_text(MANIFEST.format(without_prompts(tmp_path / "m")))

    def contexts() -> tuple[str, ...]:
        opened = require_manifest(tmp_path / "m.yaml")
        ctx = opened.kind.open_ports(opened, None)
        plan: Plan = opened.kind.locate_pass()(opened.manifest, ctx)
        return plan.contexts()

    own = contexts()
    (tmp_path / "m" / "contexts.txt").unlink()
    read = contexts()
    assert len(read) == 12 and set(read) < set(CONTEXTS) and set(own) - set(CONTEXTS)
    assert "a photo of a {}" in read and not any("portrait" in one for one in read)


@pytest.mark.parametrize("text", ["", "# none\n"])
def test_an_empty_list_is_the_models_own_too(tmp_path: Path, text: str) -> None:
    model = without_prompts(tmp_path / "m")
    (model / "prompts.txt").write_text(text)
    assert listed(tmp_path, model) == () and codes(tmp_path, model) == []


def test_suggest_says_it_too(tmp_path: Path) -> None:
    from editc.verbs.proposal import warnings

    (tmp_path / "m.yaml").write_text(MANIFEST.format(without_prompts(tmp_path / "m")))
    found = api.suggest(tmp_path / "m.yaml")
    assert [one.code for one in warnings(found)][:1] == ["E228"]
    assert any(trial.to != "square" for trial in found.suggestions[0].trials)
