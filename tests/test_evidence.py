"""Sites chosen by evidence: the site that carries the text is found, none that is kept can be spared, and the same
question gets the same answer."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_families
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from editc import api, prober, report, session
from editc.diagnostics import EditcError
from editc.dump import dump
from editc.ir import Array, Plan
from editc.manifests.decode import decode
from editc.passes.evidence import grown, spared
from editc.passes.locate import Locate
from editc.ports import Noisy, Told
from editc.prober import NetworkProber, _as_noise
from editc.request import Source

ERASE = "edits:\n  - erase: circle\n    to: square\n"
UP, DOWN = (
    f"{block}.transformer_blocks.0.attn2" for block in ("up_blocks.1.attentions.1", "down_blocks.0.attentions.0")
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import DDIMScheduler

    folder = tiny.pipeline_folder(tmp_path_factory.mktemp("pico") / "model", dtype=torch.float32)
    DDIMScheduler(clip_sample=False).save_pretrained(folder / "scheduler")
    return folder


def copy_with(model: Path, to: Path, change: Callable[[str, Any], Any], part: str = "unet") -> Path:
    """The model with every cross-attention V replaced by `change(name, W)`."""
    import shutil

    shutil.copytree(model, to)
    path = to / part / "diffusion_pytorch_model.safetensors"
    tensors = {n: change(n, W) if n.endswith("attn2.to_v.weight") else W for n, W in load_file(path).items()}
    save_file(tensors, path)
    return to


def located(model: Path, text: str = ERASE, sites: str = "auto", seed: int = 0) -> Plan:
    manifest, found = decode(Source("m.yaml", f"editc: 1\nmodel: {model}\nseed: {seed}\n{text}sites: {sites}\n"))
    assert manifest is not None, found
    return Locate(session.families())(manifest, session.build_context(manifest, session.model_of(manifest), None))


# ---------------------------------------------------------------- the choice


def additive(gains: Sequence[tuple[float, ...]]) -> Callable[[Sequence[str]], tuple[float, ...]]:
    """Reaches that do add up, one a concept, each 1 for all sites."""
    total = np.sum(gains, axis=0)
    return lambda names: tuple(np.sum([gains[int(n)] for n in names] or [0 * total], axis=0) / total)


GAINS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=8)


@given(GAINS, st.floats(0.05, 1.0))
def test_the_kept_sites_reach_the_share_of_every_concept_and_none_can_be_spared(
    gains: list[tuple[int, ...]], share: float
) -> None:
    reach = additive(gains)
    alone = {str(i): tuple(map(float, gain)) for i, gain in enumerate(gains)}
    without = spared(grown(alone, share, reach), share, reach)
    assert min(reach(list(without))) >= share - 1e-12
    for name, left in without.items():
        others = [other for other in without if other != name]
        assert left == min(reach(others)) and (left < share or not others)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.floats(0.05, 1.0))
def test_where_effects_add_up_no_smaller_set_reaches_the_share(gains: list[int], share: float) -> None:
    reach = additive([(gain,) for gain in gains])
    kept = spared(grown({str(i): (float(gain),) for i, gain in enumerate(gains)}, share, reach), share, reach)
    fewer = sorted(gains, reverse=True)[: len(kept) - 1]
    assert sum(fewer) / sum(gains) < share


def test_sites_that_only_work_together_are_found_and_the_false_start_is_dropped() -> None:
    """`loud` does most alone, elsewhere; only `key` and `value` together reach the goal."""

    def reach(names: Sequence[str]) -> tuple[float, ...]:
        return (1.0 if {"key", "value"} <= set(names) else 0.1 * ("loud" in names),)

    alone = {"idle": (0.0,), "key": (0.2,), "loud": (0.9,), "value": (0.3,)}
    assert grown(alone, 0.9, reach) == ["loud", "value", "key"]
    assert spared(["loud", "value", "key"], 0.9, reach) == {"value": 0.0, "key": 0.0}


def test_the_concept_that_is_furthest_behind_is_served_next() -> None:
    reach = additive([(90.0, 1.0), (9.0, 1.0), (1.0, 98.0)])
    alone = {"0": (90.0, 1.0), "1": (9.0, 1.0), "2": (1.0, 98.0)}
    assert grown(alone, 0.85, reach) == ["0", "2"], "the second concept gets its own site before more of the first"


# ---------------------------------------------------------------- the prober


@pytest.fixture(scope="module")
def asked(model: Path) -> NetworkProber:
    return prober.load(model)()


def told(seed: int, count: int = 3) -> Told:
    """Random rows of `count` prompts."""
    return Told.of(list(draw(seed, count, 32, 32)))


def draw(seed: int, *shape: int) -> Array:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def test_all_sites_ablated_is_the_other_prompt(asked: NetworkProber, model: Path) -> None:
    """The network sees text at these sites and nowhere else, so the sites are complete; one alone is not enough."""
    noisy = Noisy(draw(0, 3, 4, 8, 8), np.array([10, 500, 900]))
    rows, other = told(1), told(2)
    names = [site.name for site in located(model, sites="{roles: [k, v]}").sites]
    assert len(names) == 8
    wanted = asked.predict(noisy, other)
    np.testing.assert_allclose(asked.predict(noisy, rows, other, names), wanted, atol=1e-12)
    assert np.abs(asked.predict(noisy, rows, other, names[:-1]) - wanted).max() > 1e-6
    np.testing.assert_array_equal(asked.predict(noisy, rows, rows, names), asked.predict(noisy, rows))


def test_batches_and_threads_make_no_difference(asked: NetworkProber, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, rows = Noisy(draw(0, 5, 4, 8, 8), np.array([1, 200, 400, 600, 800])), told(1, 5)
    whole = asked.predict(noisy, rows)
    monkeypatch.setattr(prober, "PIXELS", 2 * 64)
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
    other = asked.denoise(told(3, 2), empty, [7, 8], 4)
    np.testing.assert_array_equal(path[0].latents, other[0].latents)
    assert np.abs(path[-1].latents - other[-1].latents).max() > 1e-6


def test_noise_is_recovered_from_each_kind_of_answer() -> None:
    clean, noise, level = draw(0, 2, 4, 8, 8), draw(1, 2, 4, 8, 8), np.array([0.1, 0.9])[:, None, None, None]
    latents = np.sqrt(level) * clean + np.sqrt(1 - level) * noise
    velocity = np.sqrt(level) * noise - np.sqrt(1 - level) * clean
    for kind, answer in {"epsilon": noise, "v_prediction": velocity, "sample": clean}.items():
        np.testing.assert_allclose(_as_noise(answer, latents, level, kind), noise, atol=1e-12)


# ---------------------------------------------------------------- a model


def test_the_one_site_that_carries_the_text_is_found(model: Path, tmp_path: Path) -> None:
    """Every other V is zero, so no other layer's text reaches the picture, whatever its K says. (Its own K is zero too:
    keys that differ move the attention.)"""
    V = f"{UP}.to_v.weight"
    alone = copy_with(model, tmp_path / "model", lambda name, W: W if name == V else 0 * W)
    plan = located(alone, sites="{auto: 1.0}")
    best = max(plan.ranking.sites, key=lambda one: one.alone) if plan.ranking else None
    assert best is not None and best.site.name == V
    others = [one for one in plan.ranking.sites if UP not in one.site.name]  # type: ignore[union-attr]
    assert len(others) == 6 and all(one.alone == 0.0 and not one.kept for one in others)
    assert {site.name for site in plan.sites} <= {V, f"{UP}.to_k.weight"}
    assert [site.name for site in located(alone, sites="{auto: 1.0, roles: [v]}").sites] == [V]


def test_a_share_of_one_keeps_all_that_matter_and_less_keeps_fewer(model: Path, tmp_path: Path) -> None:
    carriers = {f"{UP}.to_v.weight", f"{DOWN}.to_v.weight"}
    two = copy_with(model, tmp_path / "model", lambda name, W: 20 * W if name in carriers else 0 * W)
    every = located(two, sites="{auto: 1.0, roles: [v]}")
    assert {site.name for site in every.sites} == carriers
    assert every.ranking is not None and every.ranking.reached == (1.0,)
    assert all(one.without is not None and one.without < 1 for one in every.ranking.sites if one.kept)
    assert len(located(two, sites="{auto: 0.05, roles: [v]}").sites) == 1


def test_the_choice_is_told_for_every_candidate_and_sites_keep_their_order(model: Path) -> None:
    plan = located(model, sites="{auto: 0.8, exclude: ['mid*']}")
    names = [site.name for site in plan.sites]
    assert names == sorted(names) and plan.ranking is not None
    assert len(plan.evidence) == len(plan.ranking.sites) == 6
    assert {name for name, why in plan.evidence.items() if why.startswith("kept")} == set(names)
    assert min(plan.ranking.reached) >= 0.8
    text = dump(plan)
    assert text.index("kept       1 of 6") < text.index("left out") if len(names) < 6 else "kept       1 of 6" in text


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(model: Path) -> None:
    first, again, other = (located(model, seed=seed) for seed in (0, 0, 1))
    assert first.ranking == again.ranking and first.evidence == again.evidence
    assert first.ranking != other.ranking


def test_every_edit_is_weighed_against_its_own_whole(model: Path) -> None:
    """Adding an edit leaves the figures of the others as they were, whatever its kind."""
    two = located(model, ERASE + "  - moderate: {concept: heart, toward: {star: 0.5, red heart: 0.5}}\n").ranking
    one = located(model, ERASE).ranking
    assert one is not None and two is not None and two.concepts == ("circle", "heart") and len(two.reached) == 2
    alone = {weighed.site: weighed.each[0] for weighed in one.sites}
    assert {weighed.site: weighed.each[0] for weighed in two.sites} == alone
    assert all(weighed.alone == pytest.approx(np.mean(weighed.each)) for weighed in two.sites)


@pytest.mark.parametrize(
    ("change", "code"),
    [(lambda name, W: 0 * W, "E231"), (lambda name, W: W * float("nan"), "E232")],
    ids=["no text reaches the picture", "NaN"],
)
def test_models_that_cannot_be_ranked(change: Callable[..., Any], code: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(EditcError) as error:
        located(copy_with(model, tmp_path / "model", change))
    (one,) = error.value.diagnostics
    assert one.code == code and one.span is not None and one.span.line == 5


@pytest.mark.parametrize("lost", ["scheduler/scheduler_config.json", "unet/config.json"])
def test_a_model_that_cannot_be_run_is_refused_at_the_line_that_asks(lost: str, model: Path, tmp_path: Path) -> None:
    maimed = copy_with(model, tmp_path / "model", lambda name, W: W)
    (maimed / lost).unlink()
    with pytest.raises(EditcError) as error:
        located(maimed)
    (one,) = error.value.diagnostics
    assert one.code == "E230" and one.span is not None and one.span.line == 7
    assert located(maimed, sites="{roles: [v]}").ranking is None, "explicit choices do without"


def test_a_name_that_is_cut_off_is_told_as_derive_tells_it(model: Path) -> None:
    with pytest.raises(EditcError, match="E302"):
        located(model, f'contexts: ["{"red " * 40}{{}}"]\n' + ERASE)


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


def of_prompts(folder: Path, prompts: Sequence[str]) -> Told:
    """What the prober is told of these prompts, by the streams of a build."""
    manifest, _ = decode(Source("m.yaml", f"editc: 1\nmodel: {folder}\n{ERASE}"))
    assert manifest is not None
    streams = session.build_context(manifest, session.model_of(manifest), None).streams
    return Told.of(*([one.rows for one in streams[n].encode(prompts)] for n in ("text", "pooled") if n in streams))


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
    found = prober.load(folder, WIDER[family])()
    answer = found.predict(Noisy(latents, np.array([400, 400])), of_prompts(folder, [SHOWN, OTHER]))
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    for index, prompt in enumerate((SHOWN, OTHER)):
        own = as_painted(pipeline, prompt, torch.from_numpy(latents[index : index + 1]), 400)
        np.testing.assert_allclose(answer[index : index + 1], own, atol=1e-5)
    assert (
        np.abs(
            answer[0] - found.predict(Noisy(latents, np.array([400, 400])), of_prompts(folder, [OTHER] * 2))[0]
        ).max()
        > 1e-3
    )


@pytest.mark.parametrize("family", WIDER)
def test_all_sites_ablated_is_the_other_text_whatever_the_pooled_embedding(
    family: str, wider: Callable[[str], Path]
) -> None:
    """The K and V sites together read every row, and nothing but rows: the pooled embedding stays the prompt's own
    until its site is ablated too."""
    folder, noisy = wider(family), Noisy(draw(0, 1, 4, 8, 8), np.array([400]))
    found, first, other = prober.load(folder, WIDER[family])(), of_prompts(folder, [SHOWN]), of_prompts(folder, [OTHER])
    count = max(*first.counts, *other.counts)
    first, other = (
        Told(np.pad(one.rows, ((0, 0), (0, count - one.rows.shape[1]), (0, 0))), np.array([count]), one.pooled)
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
        assert not any(one.kept for one in ranking.sites if one.site.name.startswith(dead))
        assert ranking.sites[-1].alone == ranking.sites[-2].alone == 0 and min(ranking.reached) >= ranking.share


@pytest.mark.parametrize(
    ("family", "part", "changed", "why"),
    [
        (
            "sd3",
            "transformer",
            {},
            "only UNets and PixArt's transformer can be asked, and it is a `SD3Transformer2DModel`",
        ),
        ("flux", "transformer", {}, "it is a `FluxTransformer2DModel`"),
        ("sdxl", "unet", {"in_channels": 9}, "more than noisy latents"),
        ("sdxl", "unet", {"class_embed_type": "timestep"}, "more than text and picture sizes"),
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
        prober.load(tmp_path, part)
    assert error.value.diagnostics[0].code == "E230"


# ---------------------------------------------------------------- the whole build


@pytest.fixture(scope="module")
def built(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[api.Built, Path]:
    folder = tmp_path_factory.mktemp("build")
    (folder / "m.yaml").write_text(f"editc: 1\nmodel: {model}\n{ERASE}sites: {{auto: 0.6}}\n")
    made = api.build(folder / "m.yaml", folder / "out")
    assert made is not None and made.delta is not None
    return made, folder


def test_check_reads_headers_only_and_counts_the_candidates(built: tuple[api.Built, Path]) -> None:
    folder = built[1]
    code = "import sys; from editc.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, "check", str(folder / "m.yaml")], capture_output=True, text=True)
    assert done.returncode == 0 and "of 8 matrices those that carry 0.6" in done.stdout, done.stderr


def test_a_delta_of_a_subset_verifies_applies_and_says_why(
    built: tuple[api.Built, Path], model: Path, tmp_path: Path
) -> None:
    made, _ = built
    assert made.delta is not None
    names = [record.site.name for record in made.delta.sites]
    assert 0 < len(names) < 8
    again = api.verify(made.files[0], str(model))
    assert again.tier == "exact" and not again.failures
    described = api.inspect(str(made.files[0]))["sites"]
    assert [one["name"] for one in described] == names and all(one["why"].startswith("kept") for one in described)
    _, done = api.apply([made.files[0]], str(model), out=tmp_path / "patched")
    assert len(done.results) == len(names)
    before, after = (
        load_file(at / "unet" / "diffusion_pytorch_model.safetensors") for at in (model, tmp_path / "patched")
    )
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(names)


def test_the_same_manifest_gives_the_same_delta(built: tuple[api.Built, Path], tmp_path: Path) -> None:
    made, folder = built
    api.build(folder / "m.yaml", tmp_path / "out")
    first, second = (hashlib.sha256(p.read_bytes()).hexdigest() for p in (made.files[0], tmp_path / "out" / api.DELTA))
    assert first == second


def test_the_report_draws_every_candidate_and_marks_those_left_out(built: tuple[api.Built, Path]) -> None:
    verified = built[0].verified
    record = report.as_json(verified)
    page = report.as_html(verified, record)
    kept = sum(site["kept"] for site in record["ranking"]["sites"])
    assert f"kept {kept} of 8" in page and page.count(' faint"') == 8 - kept
    plain = replace(verified.solution.problem, plan=replace(verified.solution.problem.plan, ranking=None))
    other = replace(verified, solution=replace(verified.solution, problem=plain))
    assert 'id="evidence"' not in report.as_html(other, report.as_json(other))
