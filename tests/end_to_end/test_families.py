"""Every family from end to end on a pico pipeline of its own classes: what its layers see, and what an edit does."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_families as pico
import torch

from editc import api
from editc.backends import painter
from editc.backends.encoders.joined import JoinedEncoder
from editc.backends.encoders.load import PartLoader, load_streams
from editc.backends.encoders.t5 import representative_rows, to_lower_case
from editc.core.diagnostics import EditcError
from editc.core.ports import EncodedPrompt
from editc.formats.models.model import open_model
from editc.numerics.ball import Ball
from editc.opening.target import component_of
from editc.passes.stored import StoredWeights
from editc.registry.families import FAMILIES

PROMPTS = ["", "a red circle on grass", "Circle", "a photo of a blue square, a star and a heart in pixel art style"]
NAMES = tuple(pico.FAMILIES)
POOLED = tuple(name for name in NAMES if name != "pixart")
MANIFEST = """editc: 1
model: model
edits:
  - erase: circle
    to: square
    keys: {keys}
preserve: {{concepts: [star], prompts: ["a red heart"]}}
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """family -> the folder of its pico pipeline, saved once."""
    root, made = tmp_path_factory.mktemp("pico"), {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = pico.saved(family, root / family / "model")
        return made[family]

    return folder


def loaded(folder: Path, dtype: Any = torch.float32) -> Any:
    """The pipeline that diffusers makes of a folder."""
    from diffusers import DiffusionPipeline

    found = DiffusionPipeline.from_pretrained(folder, dtype=dtype, local_files_only=True, low_cpu_mem_usage=False)
    found.set_progress_bar_config(disable=True)
    return found


BUILT: dict[tuple[Path, str, str], api.Built] = {}


def build(folder: Path, keys: str = "aligned", roles: str = "") -> api.Built:
    """The delta of MANIFEST for the model in `folder`, built once."""
    name = f"{keys}-{roles.replace(', ', '-')}"
    if (folder, keys, roles) not in BUILT:
        path = folder.parent / f"{name}.yaml"
        path.write_text(MANIFEST.format(keys=keys) + (f"sites: {{roles: [{roles}]}}\n" if roles else ""))
        built = api.build(path, folder.parent / name)
        assert built is not None and built.delta is not None and not built.failures
        BUILT[folder, keys, roles] = built
    return BUILT[folder, keys, roles]


def seen(family: str, pipeline: Any, prompt: str) -> dict[str, np.ndarray[Any, Any]]:
    """What each stream of the pipeline's own encode_prompt holds for a prompt: (t, d), one row where pooled."""
    with torch.inference_mode():
        if family == "sdxl":
            rows, _, pooled, _ = pipeline.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=False)
            found = {"text": rows, "pooled": pooled[:, None]}
        elif family == "flux":
            rows, pooled, _ = pipeline.encode_prompt(prompt, max_sequence_length=512)
            found = {"text": rows, "pooled": pooled[:, None]}
        elif family == "sd3":
            rows, _, pooled, _ = pipeline.encode_prompt(prompt, prompt, prompt, do_classifier_free_guidance=False)
            found = {"text": rows[:, : pico.LENGTH], "t5": rows[:, pico.LENGTH :], "pooled": pooled[:, None]}
        elif family == "pixart":
            rows, mask, _, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
            found = {"text": pipeline.transformer.caption_projection(rows)[:, mask[0].bool()]}
        elif family == "cascade":
            rows, pooled, _, _ = pipeline.encode_prompt("cpu", 1, 1, False, prompt=prompt)
            found = {"text": rows, "pooled": pooled}
        else:
            pooled, rows, mask = pipeline._encode_prompt(prompt, "cpu", 1, False)
            found = {"text": rows[:, mask[0]], "pooled": pooled[:, None]}
    return {name: value[0].double().numpy() for name, value in found.items()}


@pytest.mark.parametrize("family", NAMES)
def test_rows_are_those_of_the_pipelines_own_encode_prompt(family: str, folders: Any) -> None:
    folder = folders(family)
    known = FAMILIES.resolve(family)
    weights = open_model(folder).component(known.component)
    streams = load_streams(PartLoader(folder), known.streams, "mark", weights)
    pipeline = loaded(folder)
    for index, prompt in enumerate(PROMPTS):
        theirs = seen(family, pipeline, prompt)
        assert set(theirs) == set(streams)
        for name, encoder in streams.items():
            ours = encoder.encode(PROMPTS)[index]
            rows = theirs[name]
            if known.streams[name].take == "t5" and not known.streams[name].masked:
                rows = rows[representative_rows(sum(start >= 0 for start in ours.start) + 1, len(rows))]
            padded = np.pad(ours.rows, ((0, 0), (0, rows.shape[1] - ours.rows.shape[1])))
            assert np.allclose(padded, rows, rtol=0, atol=1e-6), f"{name} of {prompt!r}"
            assert len(ours.rows) == len(ours.start) == len(ours.end) == len(ours.tokens)
            assert encoder.fingerprint() == "mark"


@pytest.mark.slow
@pytest.mark.parametrize("family", NAMES)
@pytest.mark.parametrize("keys", ["aligned", "last", "span"])
def test_build_apply_and_load_equal_the_edit_in_memory(family: str, keys: str, folders: Any, tmp_path: Path) -> None:
    folder = folders(family)
    built = build(folder, keys)
    assert built.delta is not None and built.delta.family == family
    plan = built.verified.solution.problem.plan
    _, done = api.apply([built.files[0]], str(folder), out=tmp_path / "patched")
    assert (done.status, len(done.results)) == ("done", len(plan.sites))
    component = plan.family.component
    after = getattr(loaded(tmp_path / "patched", torch.float16), component).state_dict()
    before = open_model(folder).component(component)
    stored = StoredWeights(built.verified.solution, frozenset(site.name for site in plan.sites))
    assert set(after) == set(before.names())
    for name, tensor in after.items():
        expected = stored[name] if name in stored else before.read(name)
        assert np.array_equal(tensor.double().numpy(), expected), name
    assert any(not np.array_equal(stored[name], before.read(name)) for name in stored)


@pytest.mark.parametrize("family", NAMES)
def test_a_recorded_delta_measures_the_same_again(family: str, folders: Any) -> None:
    folder = folders(family)
    again = api.verify(build(folder).files[0], str(folder))
    assert again.tier == "exact" and not again.failures


@pytest.mark.parametrize("family", POOLED)
def test_what_is_not_edited_is_named_as_a_leak_and_can_be_edited(family: str, folders: Any) -> None:
    folder = folders(family)
    known = FAMILIES.resolve(family)
    claims = build(folder).verified.report.claims
    (leak,) = [claim for claim in claims if claim.name == "leak"]
    assert leak.value > 1e-3 and leak.subject == f"circle: {known.patterns['pooled']}"
    both = build(folder, roles=", ".join((*known.default_roles, "pooled")))
    assert not [claim for claim in both.verified.report.claims if claim.name == "leak"]
    assert both.delta is not None and set(both.delta.factors) == {"text", "pooled"}
    left = [claim.value for claim in both.verified.report.claims if claim.name == "erase_residual"]
    assert all(value < 0.9 for value in left)


def test_sdxl_pooled_edits_leave_the_columns_of_the_picture_size(folders: Any, tmp_path: Path) -> None:
    folder = folders("sdxl")
    built = build(folder, roles="k, v, pooled")
    name = "add_embedding.linear_1.weight"
    stored = StoredWeights(built.verified.solution, frozenset([name]))[name]
    before = open_model(folder).component("unet").read(name)
    assert np.array_equal(stored[:, 24:], before[:, 24:])
    assert not np.array_equal(stored[:, :24], before[:, :24])


def test_a_layer_behind_an_edited_entry_reads_the_target(folders: Any) -> None:
    """W' c + b against W c* + b on the real module: the bias is added once, and the concept arrives as its target."""
    folder = folders("flux")
    built = build(folder, "last")
    known, transformer = FAMILIES.resolve("flux"), loaded(folder).transformer
    (concept, target) = load_streams(PartLoader(folder), known.streams)["text"].encode(["circle", "square"])
    row = max(i for i, start in enumerate(concept.start) if start >= 0)
    other = max(i for i, start in enumerate(target.start) if start >= 0)
    layer = transformer.context_embedder
    keys = torch.from_numpy(np.stack([concept.rows[row], target.rows[other]])).float()
    with torch.no_grad():
        layer.bias.normal_(std=3.0)
        first, wanted = layer(keys)
        name = "context_embedder.weight"
        layer.weight.copy_(torch.from_numpy(StoredWeights(built.verified.solution, frozenset([name]))[name]))
        now = layer(keys)[0]
    assert torch.linalg.norm(now - wanted) < 0.1 * torch.linalg.norm(first - wanted)


@pytest.mark.parametrize(("family", "role"), [("flux", "k"), ("sd3", "v"), ("pixart", "pooled"), ("sdxl", "entry")])
def test_a_role_that_a_family_does_not_have_is_refused_with_the_reason(family: str, role: str, folders: Any) -> None:
    folder = folders(family)
    path = folder.parent / "refused.yaml"
    path.write_text(MANIFEST.format(keys="last") + f"sites: {{roles: [{role}]}}\n")
    (found,) = api.check(path).diagnostics
    assert found.code == "E210" and found.span is not None and found.span.line == 8
    assert ("joint attention" in found.message) == (family in ("flux", "sd3"))


def painting(family: str, pipeline: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    common: dict[str, Any] = {"num_inference_steps": 2, "generator": generator}
    if family == "kandinsky22":
        return pipeline("a circle", **common).image_embeds.numpy()
    if family == "cascade":
        return pipeline("a circle", height=64, width=64, output_type="np", **common).image_embeddings
    size: dict[str, Any] = {"height": 16, "width": 16, "output_type": "np"}
    if family == "pixart":
        size |= {"use_resolution_binning": False, "clean_caption": False}
    return pipeline("a circle", **size, **common).images


@pytest.mark.parametrize("family", NAMES)
def test_the_edited_pipeline_paints_another_picture(family: str, folders: Any, tmp_path: Path) -> None:
    folder = folders(family)
    api.apply([build(folder).files[0]], str(folder), out=tmp_path / "patched")
    before, after = painting(family, loaded(folder)), painting(family, loaded(tmp_path / "patched"))
    assert np.isfinite(before).all() and before.shape == after.shape and not np.array_equal(before, after)


def encoded(family: str, stream: str, prompt: str, folders: Any) -> EncodedPrompt:
    folder, known = folders(family), FAMILIES.resolve(family)
    weights = open_model(folder).component(known.component)
    return load_streams(PartLoader(folder), known.streams, "", weights)[stream].encode([prompt])[0]


def test_t5_has_no_first_token_and_its_empty_prompt_is_eos(folders: Any) -> None:
    from editc.passes.images.rows.phrases import Phrase, PromptLookup, last_text_row

    empty = encoded("flux", "text", "", folders)
    assert last_text_row(empty) == 0 and set(empty.start) == {-1} and empty.tokens[:2] == (1, 0)
    spoken = encoded("flux", "text", "a red circle here", folders)
    book = PromptLookup({"a red circle here": spoken, "a red here": encoded("flux", "text", "a red here", folders)})
    assert book.find("a red {} here", "circle")[1] == Phrase(2, 4)
    assert book.find("a red {} here", "")[1] == Phrase(2, 2)
    assert last_text_row(spoken) == max(i for i, start in enumerate(spoken.start) if start >= 0)


def test_standing_rows_are_the_text_and_its_padding_at_powers_of_two() -> None:
    assert representative_rows(3, 16) == [0, 1, 2, 3, 4, 6, 10]
    assert representative_rows(16, 16) == list(range(16))
    assert len(representative_rows(1, 512)) == len(representative_rows(9, 512)) - 8 == 10


def test_lowered_prompts_keep_their_places() -> None:
    prompt = "  \u0130STANBUL Circle "
    text, origin = to_lower_case(prompt)
    assert text == prompt.strip().lower()
    at = text.index("circle")
    assert prompt[origin[at] : origin[at + 6]] == "Circle" and len(origin) == len(text) + 1


def test_a_component_is_found_by_what_the_pipeline_has(folders: Any) -> None:
    found = {family: component_of(open_model(folders(family))) for family in NAMES}
    assert found == {family: FAMILIES.resolve(family).component for family in NAMES}


@pytest.mark.slow
def test_a_pooled_site_without_its_encoder_is_refused_and_tokenizers_must_agree(folders: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders("flux"), folder)
    shutil.rmtree(folder / "text_encoder")
    path = tmp_path / "m.yaml"
    path.write_text(MANIFEST.format(keys="last") + "sites: {roles: [entry, pooled]}\n")
    with pytest.raises(EditcError, match="E330"):
        api.build(path, tmp_path / "out")
    shutil.rmtree(folder / "text_encoder_2")
    with pytest.raises(EditcError, match="E205"):
        api.build(path, tmp_path / "out")
    one, two = encoded("sdxl", "text", "a circle", folders), encoded("flux", "text", "a circle", folders)
    with pytest.raises(EditcError, match="E331"):
        JoinedEncoder((Fixed(one), Fixed(two))).encode(["a circle"])


@dataclass(frozen=True)
class Fixed:
    """An encoder with one answer."""

    answer: EncodedPrompt

    alone = False

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        return [self.answer] * len(prompts)

    def fingerprint(self) -> str:
        return ""

    def bounds(self) -> tuple[Ball, ...]:
        return ()


def test_sd3_without_its_t5_is_edited_by_its_clip_rows_and_the_delta_says_so(folders: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders("sd3"), folder)
    for part in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(folder / part)
    built = build(folder, "last")
    (block,) = built.verified.solution.problem.systems["text"].blocks
    assert block.keys.shape == (48, 1) and not block.keys[40:].any()
    whole = build(folders("sd3"), "last").verified.solution.problem.systems["text"].blocks[0]
    assert whole.keys.shape == (48, 2) and np.array_equal(whole.keys[:, :1], block.keys) and whole.keys[40:, 1].any()
    with pytest.raises(EditcError, match="E623"):
        plan = api.plan_apply([built.files[0]], str(nudged(folders("sd3"), tmp_path / "other")), allow_finetune=True)
        assert not plan


def nudged(folder: Path, to: Path) -> Path:
    """A copy whose entry projection is another one."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, to)
    path = to / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["context_embedder.weight"] = tensors["context_embedder.weight"] * 1.01
    save_file(tensors, path)
    return to


@pytest.mark.parametrize(("part", "refused"), [("attn2.to_k", False), ("caption_projection.linear_1", True)])
def test_a_fine_tune_of_pixart_is_taken_unless_it_changed_the_rows(
    part: str, refused: bool, folders: Any, tmp_path: Path
) -> None:
    """K and V that were tuned read the same rows as before; behind another projection the keys are not theirs."""
    from safetensors.torch import load_file, save_file

    built = build(folders("pixart"))
    shutil.copytree(folders("pixart"), tmp_path / "tuned")
    path = tmp_path / "tuned" / "transformer" / "diffusion_pytorch_model.safetensors"
    tuned = {n: 1.01 * W if part in n or "attn2.to_v" in n else W for n, W in load_file(path).items()}
    save_file(tuned, path)
    if not refused:
        plan, _ = api.apply([built.files[0]], str(tmp_path / "tuned"), out=tmp_path / "out", allow_finetune=True)
        assert {target.state for target in plan.targets} == {"relative"}
        return
    with pytest.raises(EditcError, match="E623"):
        api.apply([built.files[0]], str(tmp_path / "tuned"), out=tmp_path / "out", allow_finetune=True)


def test_the_painter_paints_with_the_component_of_the_family(folders: Any, tmp_path: Path) -> None:
    folder = folders("sd3")
    built = build(folder)
    api.apply([built.files[0]], str(folder), out=tmp_path / "patched")
    names = frozenset(site.name for site in built.verified.solution.problem.plan.sites)
    ours, theirs = (painter.load(place, "transformer", 2, 4.0) for place in (folder, tmp_path / "patched"))
    changed = ours.paint(["a circle"], [3], StoredWeights(built.verified.solution, names))
    assert np.array_equal(changed, theirs.paint(["a circle"], [3]))


def test_one_strength_is_found_for_all_groups(folders: Any, tmp_path: Path) -> None:
    folder = folders("sdxl")
    path = folder.parent / "auto.yaml"
    auto = MANIFEST.format(keys="last").replace("keys: last", "keys: last\n    strength: auto")
    path.write_text(auto + "sites: {roles: [k, v, pooled]}\nconstraints: {erase_residual: 0.5}\n")
    built = api.build(path, tmp_path / "out")
    assert built is not None and not built.failures
    systems = built.verified.solution.problem.systems
    (found,) = {block.strength for system in systems.values() for block in system.blocks}
    assert 0 < found < 1 and built.verified.solution.strengths == (found,)
