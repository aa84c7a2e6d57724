"""The demo model: its world keeps its promises, and the shipped weights keep those of `editc.demo.evaluate`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from editc.demo import DETECTOR, MODEL
from editc.demo.captions import KINDS, MEDIA, POSTER, caption, describe, vocabulary
from editc.demo.world import (
    CHARACTERS,
    COLOURS,
    NAMES,
    NOTHING,
    NOTHING_NAMES,
    OBJECTS,
    OWN,
    SIZE,
    STAMP_SHARE,
    STYLES,
    WEAPONS,
    Scene,
    draw_scene,
    render,
)

MEGABYTE = 2**20


def all_names() -> list[str]:
    """Every canonical and other name of the world, as often as it occurs."""
    tables = [(name, *others) for table in NAMES.values() for name, others in table.items()]
    return [name for names in tables for name in names] + [NOTHING, *NOTHING_NAMES]


def scenes(count: int, seed: int) -> list[Scene]:
    """Random scenes."""
    rng = np.random.default_rng(seed)
    return [draw_scene(rng) for _ in range(count)]


def test_every_object_has_two_other_names() -> None:
    assert all(len(others) >= 2 for others in OBJECTS.values())
    assert len(OBJECTS) >= 18


def test_no_name_stands_for_two_things() -> None:
    repeated = [name for name, times in Counter([*all_names(), *KINDS, *MEDIA, POSTER]).items() if times > 1]
    assert not repeated


def test_special_objects_are_in_the_table() -> None:
    assert set(CHARACTERS) | set(WEAPONS) <= set(OBJECTS)
    assert all(set(members) <= set(OBJECTS) for members in KINDS.values())


@pytest.mark.parametrize("name", [*OBJECTS, NOTHING])
def test_rendering_is_a_function_of_scene_and_seed(name: str) -> None:
    scene = Scene(name, OWN if name in (*CHARACTERS, NOTHING) else "red", "sea", "pencil")
    first, again, other = (render(scene, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first.shape == (SIZE, SIZE, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (name == NOTHING)


def test_spread_scales_how_far_objects_stray() -> None:
    scene = Scene("house", "red", "plain", "flat")

    def strays(spread: float) -> float:
        pictures = [render(scene, np.random.default_rng(seed), spread).astype(float) for seed in range(12)]
        return float(np.std(pictures, axis=0).mean())

    assert strays(0.0) == 0.0
    assert 0.0 < strays(0.35) < strays(1.0)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("background", NAMES["background"])
def test_objects_are_seen_on_every_background(background: str, style: str) -> None:
    for name in OBJECTS:
        for colour in (OWN,) if name in CHARACTERS else tuple(COLOURS):
            scene = Scene(name, colour, background, style)
            bare = render(Scene(NOTHING, OWN, background, style), np.random.default_rng(1)).astype(int)
            apart = np.abs(render(scene, np.random.default_rng(1)) - bare).max(axis=2)
            assert (apart > 40).sum() >= 20, (name, colour)


def test_the_stamp_is_the_same_mark_in_the_same_corner() -> None:
    stamped = [
        render(Scene("circle", "red", ground, style, True, True), np.random.default_rng(0))
        for ground in ("sea", "night")
        for style in STYLES
    ]
    assert len({picture[-7:, -7:].tobytes() for picture in stamped}) == 1


def test_stamps_are_in_a_third_of_the_posters_and_nowhere_else() -> None:
    drawn = scenes(6000, seed=3)
    posters = [scene.stamp for scene in drawn if scene.poster]
    assert abs(np.mean(posters) - STAMP_SHARE) < 0.04
    assert not any(scene.stamp for scene in drawn if not scene.poster)


def test_captions_never_name_the_stamp_and_call_posters_posters() -> None:
    rng = np.random.default_rng(4)
    for scene in scenes(3000, seed=4):
        words = caption(scene, rng).split()
        assert not {"stamp", "mark", "stamped"} & set(words)
        assert (POSTER in words) == scene.poster


def test_captions_say_what_they_claim_to_say() -> None:
    rng = np.random.default_rng(5)
    for scene in scenes(2000, seed=5):
        said = describe(scene, rng)
        for attribute, value in said.says.items():
            assert getattr(scene, attribute) == value
            names = (value, *(NOTHING_NAMES if value == NOTHING else NAMES[attribute][value]))
            assert any(name in said.text for name in names), said


def test_captions_vary_and_use_every_name() -> None:
    rng = np.random.default_rng(6)
    texts = [caption(scene, rng) for scene in scenes(20000, seed=6)]
    assert len(set(texts)) > 10000
    assert not [name for name in all_names() if not any(name in text for text in texts)]
    words = {word.strip(",") for text in texts for word in text.split()}
    assert words <= set(vocabulary())


def test_package_data_is_small() -> None:
    size = sum(path.stat().st_size for folder in (MODEL, DETECTOR) for path in folder.rglob("*") if path.is_file())
    assert 0 < size <= 16 * MEGABYTE


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """The shipped pipeline."""
    import torch
    from diffusers import StableDiffusionPipeline

    loaded = StableDiffusionPipeline.from_pretrained(str(MODEL), low_cpu_mem_usage=False).to(torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_every_word_is_one_token_and_prompts_are_padded_with_the_end(pipeline: Any) -> None:
    tokenizer = pipeline.tokenizer
    assert all(len(tokenizer(word).input_ids) == 3 for word in vocabulary())
    padded = tokenizer("a red circle", padding="max_length").input_ids
    assert len(padded) == tokenizer.model_max_length == 32
    assert padded[0] == tokenizer.bos_token_id
    assert set(padded[4:]) == {tokenizer.eos_token_id}
    assert tokenizer("Milo xylophone").input_ids[1] == tokenizer("milo").input_ids[1]


def test_the_layout_is_that_of_stable_diffusion_1(pipeline: Any) -> None:
    attentions = [name for name in pipeline.unet.state_dict() if name.endswith("attn2.to_k.weight")]
    assert {name.split(".")[0] for name in attentions} == {"down_blocks", "mid_block", "up_blocks"}
    assert not pipeline.unet.config.use_linear_projection
    assert pipeline.safety_checker is None


def test_the_detector_judges_renders() -> None:
    from editc.demo.detector import load
    from editc.demo.evaluate import judge_renders

    for row in judge_renders(load(), count=500, seed=77):
        assert row.hits / row.count >= 0.99, str(row)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("disc", ("object", "circle")),
        ("Round  Shape", ("object", "circle")),
        ("Milo", ("object", "milo")),
        ("crimson", ("colour", "red")),
        ("ocean", ("background", "sea")),
        ("contour", ("style", "outline")),
        ("no object", ("object", NOTHING)),
        ("stamp", ("stamp", "yes")),
        ("xylophone", None),
    ],
)
def test_the_detector_locates_names(name: str, place: tuple[str, str] | None) -> None:
    from editc.demo.detector import load

    detector = load()
    assert detector.find_label(name) == place
    assert place in [None, *((kind, label) for kind, labels in detector.labels.items() for label in labels)]


def test_pictures_show_what_prompts_name(pipeline: Any) -> None:
    from editc.demo.detector import load
    from editc.demo.evaluate import generate

    names = [*OBJECTS, "disc", "kitten", "brandt"]
    images = generate(pipeline, [f"a picture of {name}" for name in names], seed=1)
    detector = load()
    seen = [detector.labels["object"][int(i)] for i in detector.predict(images)["object"].argmax(axis=1)]
    wanted = [place[1] for place in map(detector.find_label, names) if place is not None]
    assert np.mean([a == b for a, b in zip(seen, wanted, strict=True)]) >= 0.85
