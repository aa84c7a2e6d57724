"""The recipes among the examples: each is sound for a model of its family, and says what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tiny
import tiny_detectors
import tiny_families
import tiny_language
from places import EXAMPLES

from editc import api
from editc.start.recipes import IMAGE_KINDS, contexts_of, recipe_text

RECIPES = sorted((EXAMPLES / "recipes").glob("*.yaml"))
FAMILIES = {"person": "sdxl", "company": "flux", "fact": "llama"}
"""Recipe -> the family that it is written for, where that is not Stable Diffusion 1."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each family: SD 1.5 in its true shapes, the others as pico models; and a pico CLIP."""
    root = tmp_path_factory.mktemp("models")
    tiny.sd1_true_shape(root / "sd1")
    for family in ("sdxl", "flux"):
        tiny_families.saved(family, root / family)
    tiny_language.saved("llama", root / "llama")
    tiny_detectors.clip_folder(root / "clip")
    return root


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_sound_for_a_model_of_its_family(models: Path, path: Path) -> None:
    family = FAMILIES.get(path.stem, "sd1")
    place = [f"model={models / family}"]
    if path.stem == "watermark":
        place.append(f"verify.images.detector={{clip: {models / 'clip'}}}")
    found = api.check(path, place)
    assert found.plan is not None and found.plan.family.name == family, [str(one.message) for one in found.diagnostics]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_what_was_measured_and_what_was_not(path: Path) -> None:
    head = " ".join(line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("# "))
    assert "Measured: " in head and ("Not measured: " in head or "Measured: nothing" in head)
    for name in re.findall(r"[\w/-]+\.(?:yaml|md)", head):
        assert (EXAMPLES / name).exists() or (EXAMPLES.parents[1] / name).exists(), name


def test_each_kind_of_init_has_a_recipe_and_contexts_with_one_slot() -> None:
    for kind in IMAGE_KINDS:
        assert all(context.count("{}") == 1 for context in contexts_of(recipe_text(kind)))
    assert len(contexts_of(recipe_text("style"))) == 12 and not contexts_of(recipe_text("object"))


def test_people_and_companies_are_placeholders() -> None:
    """No recipe names a living person, an artist or a company as what is to go."""
    names = re.findall(r"(?m)^  - erase: (.*?)(?: +#.*)?$", "".join(path.read_text() for path in RECIPES))
    assert {name for name in names if name[0].isupper()} == {
        "Artist Placeholder",
        "Person Placeholder",
        "Company Placeholder",
    }
