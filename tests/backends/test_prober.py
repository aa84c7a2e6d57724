"""The network as evidence asks it: told what its pipeline tells it, ablated at its sites, denoised from noise."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import evidence_models
import numpy as np
import pytest
import tiny_families
import torch
from evidence_models import ERASE, copy_with, draw, located, told

from editc.backends import denoiser
from editc.backends.denoiser import NetworkProber, _to_noise
from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.places import Source
from editc.core.ports import Conditioning, NoisyLatents
from editc.manifests.decode import decode
from editc.verbs import open

model = evidence_models.model


# ---------------------------------------------------------------- the prober


@pytest.fixture(scope="module")
def asked(model: Path) -> NetworkProber:
    return denoiser.load(model)()


def test_all_sites_ablated_is_the_other_prompt(asked: NetworkProber, model: Path) -> None:
    """The network sees text at these sites and nowhere else, so the sites are complete; one alone is not enough."""
    noisy = NoisyLatents(draw(0, 3, 4, 8, 8), np.array([10, 500, 900]))
    rows, other = told(1), told(2)
    names = [site.name for site in located(model, sites="{roles: [k, v]}").sites]
    assert len(names) == 8
    wanted = asked.predict(noisy, other)
    np.testing.assert_allclose(asked.predict(noisy, rows, other, names), wanted, atol=1e-12)
    assert np.abs(asked.predict(noisy, rows, other, names[:-1]) - wanted).max() > 1e-6
    np.testing.assert_array_equal(asked.predict(noisy, rows, rows, names), asked.predict(noisy, rows))


def test_batches_and_threads_make_no_difference(asked: NetworkProber, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, rows = NoisyLatents(draw(0, 5, 4, 8, 8), np.array([1, 200, 400, 600, 800])), told(1, 5)
    whole = asked.predict(noisy, rows)
    monkeypatch.setattr(denoiser, "LATENT_PIXELS", 2 * 64)
    before = torch.get_num_threads()
    torch.set_num_threads(3 - min(before, 2))
    try:
        np.testing.assert_allclose(asked.predict(noisy, rows), whole, atol=1e-12)
    finally:
        torch.set_num_threads(before)


def test_denoising_starts_from_each_pictures_own_noise_and_follows_the_prompt(asked: NetworkProber) -> None:
    rows, empty = told(1, 2), told(2, 1)
    path = asked.denoise(rows, empty, [7, 8], 4)
    assert [state.timesteps.tolist() for state in path] == [[time] * 2 for time in (750, 500, 250, 0)]
    swapped = asked.denoise(rows.take([1, 0]), empty, [8, 7], 4)
    for one, other in zip(path, swapped, strict=True):
        np.testing.assert_allclose(one.latents, other.latents[::-1], atol=1e-9)
    another = asked.denoise(told(3, 2), empty, [7, 8], 4)
    np.testing.assert_array_equal(path[0].latents, another[0].latents)
    assert np.abs(path[-1].latents - another[-1].latents).max() > 1e-6


def test_noise_is_recovered_from_each_kind_of_answer() -> None:
    clean, noise, level = draw(0, 2, 4, 8, 8), draw(1, 2, 4, 8, 8), np.array([0.1, 0.9])[:, None, None, None]
    latents = np.sqrt(level) * clean + np.sqrt(1 - level) * noise
    velocity = np.sqrt(level) * noise - np.sqrt(1 - level) * clean
    for kind, answer in {"epsilon": noise, "v_prediction": velocity, "sample": clean}.items():
        np.testing.assert_allclose(_to_noise(answer, latents, level, kind), noise, atol=1e-12)


# ---------------------------------------------------------------- networks that are told more than rows


@pytest.fixture(scope="module")
def wider(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """family -> the folder of its pico pipeline."""
    root = tmp_path_factory.mktemp("wider")

    def folder(family: str) -> Path:
        at = root / family
        return at if at.exists() else tiny_families.saved(family, at)

    return folder


SHOWN, OTHER = "a red circle on grass", "a blue square"
WIDER = {"sdxl": "unet", "pixart": "transformer"}


def of_prompts(folder: Path, prompts: Sequence[str]) -> Conditioning:
    """What the prober is told of these prompts, by the streams of a build."""
    manifest, _ = decode(Source("m.yaml", f"editc: 1\nmodel: {folder}\n{ERASE}"))
    assert manifest is not None
    opened = open.open_decoded(manifest)
    streams = opened.kind.open_ports(opened, None).streams
    return Conditioning.of(
        *([one.rows for one in streams[n].encode(prompts)] for n in ("text", "pooled") if n in streams)
    )


def as_painted(pipeline: Any, prompt: str, latents: Any, time: int) -> Array:
    """What the pipeline's own network says of a prompt that the pipeline itself encodes, in float64."""
    if hasattr(pipeline, "unet"):
        rows, _, pooled, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
        sizes = torch.tensor([[16.0, 16, 0, 0, 16, 16]]).double()  # 8 latent pixels, two pixels each
        given = {"added_cond_kwargs": {"text_embeds": pooled.double(), "time_ids": sizes}}
    else:
        rows, mask, *_ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=120)
        added = {"resolution": None, "aspect_ratio": None}
        given = {"encoder_attention_mask": mask, "added_cond_kwargs": added}
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    with torch.inference_mode():
        said = network.double()(latents, encoder_hidden_states=rows.double(), timestep=torch.tensor([time]), **given)
    return np.asarray(said.sample[:, :4].numpy())


@pytest.mark.parametrize("family", WIDER)
def test_the_network_is_told_what_its_own_pipeline_tells_it(family: str, wider: Callable[[str], Path]) -> None:
    from diffusers import DiffusionPipeline

    folder, latents = wider(family), draw(0, 2, 4, 8, 8)
    found = denoiser.load(folder, WIDER[family])()
    answer = found.predict(NoisyLatents(latents, np.array([400, 400])), of_prompts(folder, [SHOWN, OTHER]))
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    for index, prompt in enumerate((SHOWN, OTHER)):
        own = as_painted(pipeline, prompt, torch.from_numpy(latents[index : index + 1]), 400)
        np.testing.assert_allclose(answer[index : index + 1], own, atol=1e-5)
    assert (
        np.abs(
            answer[0] - found.predict(NoisyLatents(latents, np.array([400, 400])), of_prompts(folder, [OTHER] * 2))[0]
        ).max()
        > 1e-3
    )


@pytest.mark.parametrize("family", WIDER)
def test_all_sites_ablated_is_the_other_text_whatever_the_pooled_embedding(
    family: str, wider: Callable[[str], Path]
) -> None:
    """The K and V sites together read every row, and nothing but rows: the pooled embedding stays the prompt's own
    until its site is ablated too."""
    folder, noisy = wider(family), NoisyLatents(draw(0, 1, 4, 8, 8), np.array([400]))
    found, first, other = (
        denoiser.load(folder, WIDER[family])(),
        of_prompts(folder, [SHOWN]),
        of_prompts(folder, [OTHER]),
    )
    count = max(*first.counts, *other.counts)
    first, other = (
        Conditioning(np.pad(one.rows, ((0, 0), (0, count - one.rows.shape[1]), (0, 0))), np.array([count]), one.pooled)
        for one in (first, other)
    )
    sites = [site.name for site in located(folder, sites="{roles: [k, v]}").sites]
    ablated = found.predict(noisy, first, other, sites)
    np.testing.assert_allclose(ablated, found.predict(noisy, replace(other, pooled=first.pooled)), atol=1e-12)
    if first.pooled is not None:
        (pooled,) = located(folder, sites="{roles: [pooled]}").sites
        both = found.predict(noisy, first, other, [*sites, pooled.name])
        np.testing.assert_allclose(both, found.predict(noisy, other), atol=1e-12)
        assert np.abs(both - ablated).max() > 1e-6


@pytest.mark.parametrize("family", WIDER)
def test_a_layer_of_zeros_carries_nothing_in_any_network(
    family: str, wider: Callable[[str], Path], tmp_path: Path
) -> None:
    """V of one layer is zero, so that neither its K nor its V says anything; every other layer does say something."""
    names = [site.name for site in located(wider(family), sites="{roles: [v]}").sites]
    dead = names[0].removesuffix("to_v.weight")
    for share in ("auto", "{auto: 1.0}"):
        folder = copy_with(
            wider(family), tmp_path / share[:5], lambda name, W: 0 * W if name == names[0] else W, WIDER[family]
        )
        ranking = located(folder, sites=share).ranking
        assert ranking is not None and len(ranking.sites) == 2 * len(names)
        assert {one.site.name for one in ranking.sites if one.alone == 0} == {
            f"{dead}to_k.weight",
            f"{dead}to_v.weight",
        }
        assert not any(one.chosen for one in ranking.sites if one.site.name.startswith(dead))
        assert ranking.sites[-1].alone == ranking.sites[-2].alone == 0 and min(ranking.reached) >= ranking.share


@pytest.mark.parametrize(
    ("family", "part", "changed", "why"),
    [
        (
            "sd3",
            "transformer",
            {},
            "it needs a UNet or PixArt's transformer, and this is a `SD3Transformer2DModel`",
        ),
        ("flux", "transformer", {}, "this is a `FluxTransformer2DModel`"),
        ("sdxl", "unet", {"in_channels": 9}, "more inputs than noisy latents"),
        ("sdxl", "unet", {"class_embed_type": "timestep"}, "other than text and picture sizes"),
        ("sdxl", "unet", {"projection_class_embeddings_input_dim": 24 + 5 * 8}, "a refiner's"),
    ],
)
def test_other_networks_are_refused_and_the_sentence_says_which(
    family: str, part: str, changed: dict[str, Any], why: str, wider: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / part).mkdir()
    declared = json.loads((wider(family) / part / "config.json").read_text())
    (tmp_path / part / "config.json").write_text(json.dumps(declared | changed))
    for beside in ("scheduler", "text_encoder_2"):
        (tmp_path / beside).symlink_to(wider(family) / beside)
    with pytest.raises(EditcError, match=why) as error:
        denoiser.load(tmp_path, part)
    assert error.value.diagnostics[0].code == "E230"
