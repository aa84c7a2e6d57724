"""The whole of editc on the real bundled model: examples, exact bytes, apply, revert, and diffusers at the end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from command import editc
from places import EXAMPLES

from editc import api
from editc.demo import MODEL
from editc.formats.models.model import open_model
from editc.passes.stored import StoredWeights

pytestmark = pytest.mark.slow

IMAGE_EXAMPLES = sorted(EXAMPLES.glob("*.yaml"))
QUICK = "editc: 1\nmodel: editc:demo\nedits:\n  - erase: circle\n    to: square\n"
RANK_10 = "constraints:\n  rank: 10\n"
FEW = [f"verify.images.{one}" for one in ("steps=8", "bystanders.near=3", "bystanders.far=1", "bystanders.pictures=4")]
"""An example as it is shipped paints 144 pictures of bystanders, which `python -m benchmarks.bystanders` does."""
TIGHT = {"erase_residual": 0.6, "preserve_drift": 0.6, "unconditional_drift": 0.6, "rank": 0.5}
"""An example's bound is at most its measurement divided by this: a slack bound proves nothing."""


def in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "editc", *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )


def files(folder: Path) -> Mapping[str, str]:
    """Relative path -> sha256 of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> api.Built:
    """A build without pictures."""
    folder = tmp_path_factory.mktemp("quick")
    (folder / "quick.yaml").write_text(QUICK)
    built = api.build(folder / "quick.yaml", folder / "out")
    assert built is not None and built.delta is not None
    return built


@pytest.mark.parametrize("path", IMAGE_EXAMPLES, ids=lambda path: path.stem)
def test_each_example_builds_and_meets_constraints_that_are_not_slack(path: Path, tmp_path: Path) -> None:
    built = api.build(path, tmp_path / "out", FEW)
    assert built is not None
    assert not built.failures, [one.message for one in built.failures]
    assert len([one for one in built.verified.report.bystanders if one.kind != "kept"]) == 4
    emitted = {file.name for one in built.exports for file in one.written.files}
    assert {file.name for file in built.files} == {"delta.safetensors", "report.json", "report.html"} | emitted
    bounded = [claim for claim in built.verified.report.claims if claim.bound is not None]
    assert bounded
    for claim in bounded:
        if claim.name in TIGHT and claim.bound is not None:
            worst = max(c.value for c in bounded if c.name == claim.name)
            assert worst >= TIGHT[claim.name] * claim.bound, f"{claim.name}: {worst} leaves {claim.bound} slack"
    shown = [claim.value for claim in built.verified.report.claims if claim.name == "shown_before"]
    assert all(value >= 0.7 for value in shown)


def test_built_twice_in_two_processes_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(QUICK)
    for name in ("one", "two"):
        seed = str(len(name) + ord(name[0]))
        done = in_a_process("build", str(tmp_path / "m.yaml"), "-o", str(tmp_path / name), PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
    first = files(tmp_path / "one")
    assert json.loads((tmp_path / "one" / "report.json").read_text())["encoders"] == {"text_encoder": "numpy"}
    assert first == files(tmp_path / "two")
    (tmp_path / "file").write_text("in the way")
    assert editc("build", str(tmp_path / "m.yaml"), "-o", str(tmp_path / "one")).returncode == 0
    assert files(tmp_path / "one") == first
    blocked = editc("build", str(tmp_path / "m.yaml"), "-o", str(tmp_path / "file"))
    assert blocked.returncode == 2 and "E697" in blocked.stderr


def test_diffusers_loads_what_apply_wrote_equal_to_the_edit_in_memory(quick: api.Built, tmp_path: Path) -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    plan, done = api.apply([quick.files[0]], "editc:demo", out=tmp_path / "patched")
    assert (plan.tier, done.status) == ("exact", "done")
    pipeline = StableDiffusionPipeline.from_pretrained(
        tmp_path / "patched", dtype=torch.float16, low_cpu_mem_usage=False, local_files_only=True
    )
    names = frozenset(site.name for site in quick.verified.solution.problem.plan.sites)
    stored = StoredWeights(quick.verified.solution, names)
    found = pipeline.unet.state_dict()
    for name in names:
        assert np.array_equal(found[name].double().numpy(), stored[name])
    base = open_model(MODEL).component("unet")
    untouched = [name for name in base.names() if name not in names]
    assert all(np.array_equal(found[name].double().numpy(), base.read(name)) for name in untouched)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline.to(torch.float32)("a square", num_inference_steps=2, output_type="np").images
    assert images.shape == (1, 32, 32, 3)


def test_apply_twice_is_done_and_revert_restores_every_byte(quick: api.Built, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    before = files(model)
    delta = str(quick.files[0])
    first = editc("apply", delta, "--to", str(model), "--in-place", "--json")
    second = editc("apply", delta, "--to", str(model), "--in-place", "--json")
    assert (first.returncode, json.loads(first.stdout)["status"]) == (0, "done")
    assert (second.returncode, json.loads(second.stdout)["status"]) == (0, "already")
    assert files(model) != before
    status = json.loads(editc("status", str(model), "--json").stdout)
    assert quick.delta is not None and quick.delta.delta_id in json.dumps(status)
    assert editc("revert", str(model)).returncode == 0
    assert files(model) == before


def test_verify_measures_the_claims_again(quick: api.Built) -> None:
    again = api.verify(quick.files[0], "editc:demo")
    assert again.tier == "exact" and not again.failures
    recorded = {(c["name"], c.get("subject", "")): c["value"] for c in again.delta.claims}
    assert again.verified is not None
    for claim in again.verified.report.claims:
        assert claim.value == pytest.approx(recorded[claim.name, claim.subject], rel=1e-6)


def test_a_fine_tune_needs_leave_and_gets_its_own_edit(quick: api.Built, tmp_path: Path) -> None:
    """Other weights under the same text encoder: refused, and with --allow-finetune recomputed from its own W."""
    model = tmp_path / "tuned"
    shutil.copytree(MODEL, model)
    unet = model / "unet" / "diffusion_pytorch_model.safetensors"
    _nudge(unet)
    delta = str(quick.files[0])
    refused = editc("apply", delta, "--to", str(model), "--out", str(tmp_path / "no"))
    assert refused.returncode == 1 and "E622" in refused.stderr and not (tmp_path / "no").exists()
    done = editc("apply", delta, "--to", str(model), "--out", str(tmp_path / "yes"), "--allow-finetune")
    assert done.returncode == 0, done.stderr
    edit = quick.verified.solution.edits["text"]
    left, right = (part[0].astype(np.float32).astype(np.float64) for part in (edit.left, edit.right))
    base, edited = open_model(model).component("unet"), open_model(tmp_path / "yes").component("unet")
    for site in quick.verified.solution.problem.plan.sites:
        W = base.read(site.name)
        wanted = (W + (W @ left) @ right).astype(np.float16).astype(np.float64)
        assert np.mean(edited.read(site.name) != wanted) < 1e-3  # BLAS sums in another order than apply
    again = api.verify(quick.files[0], str(model), allow_finetune=True)
    assert again.tier == "relative" and not again.failures


def _nudge(path: Path) -> None:
    """Every K and V a percent away, as a short fine-tune leaves them."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(path)
    rng = np.random.default_rng(0)
    for name, value in tensors.items():
        if ".attn2.to_" in name:
            noise = 0.01 * value.std() * rng.normal(size=value.shape)
            tensors[name] = (value.astype(np.float64) + noise).astype(value.dtype)
    save_file(tensors, path)


def test_another_text_encoder_is_refused(quick: api.Built, tmp_path: Path) -> None:
    model = tmp_path / "other"
    shutil.copytree(MODEL, model)
    _nudge(model / "unet" / "diffusion_pytorch_model.safetensors")
    from safetensors.numpy import load_file, save_file

    path = model / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if "token_embedding" in name)
    tensors[name] = (tensors[name] * np.float16(1.5)).astype(np.float16)
    save_file(tensors, path)
    done = editc("apply", str(quick.files[0]), "--to", str(model), "--out", str(tmp_path / "no"), "--allow-finetune")
    assert done.returncode == 1 and "E623" in done.stderr


def test_a_broken_bound_fails_underlines_its_line_and_leaves_a_report_but_no_delta(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(QUICK + "constraints:\n  preserve_drift: 0.001\n")
    done = editc("build", str(tmp_path / "m.yaml"), "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "error[E501]: preserve_drift is" in done.stderr and "m.yaml:7:19" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]


def test_strength_auto_finds_the_least_and_names_a_conflict(tmp_path: Path) -> None:
    auto = QUICK + "    strength: auto\nconstraints:\n  erase_residual: 0.9\n"
    (tmp_path / "m.yaml").write_text(auto)
    built = api.build(tmp_path / "m.yaml", tmp_path / "out")
    assert built is not None and not built.failures
    (strength,) = built.verified.solution.strengths
    assert 0 < strength < 1
    found = next(claim.value for claim in built.verified.report.claims if claim.name == "erase_residual")
    assert 0.88 < found <= 0.9
    (tmp_path / "m.yaml").write_text(auto.replace("0.9", "0.8") + "  preserve_drift: 0.01\n")
    done = editc("build", str(tmp_path / "m.yaml"), "-o", str(tmp_path / "no"))
    assert done.returncode == 1 and "erase_residual and preserve_drift conflict" in done.stderr
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(("linear", "family"), [(False, "sd1"), (True, "sd2")])
def test_both_families_from_the_header(linear: bool, family: str, tmp_path: Path) -> None:
    model = tiny.pipeline_folder(tmp_path / "model", linear=linear)
    (tmp_path / "m.yaml").write_text(QUICK.replace("editc:demo", "model"))
    checked = api.check(tmp_path / "m.yaml")
    assert checked.plan is not None and checked.plan.family.name == family
    built = api.build(tmp_path / "m.yaml", tmp_path / "out")
    assert built is not None and built.delta is not None
    _, done = api.apply([built.files[0]], str(model), out=tmp_path / "patched")
    assert len(done.results) == len(checked.plan.sites)


def test_a_delta_for_stable_diffusion_in_its_true_shape_is_under_100_kilobytes(tmp_path: Path) -> None:
    tiny.sd1_true_shape(tmp_path / "model")
    (tmp_path / "m.yaml").write_text(QUICK.replace("editc:demo", "model") + RANK_10)
    built = api.build(tmp_path / "m.yaml", tmp_path / "out")
    assert built is not None and built.delta is not None
    assert len(built.delta.sites) == 32
    assert built.files[0].stat().st_size < 100_000


def test_print_after_shows_what_flows_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(QUICK)
    done = editc("build", str(tmp_path / "m.yaml"), "-o", str(tmp_path / "out"), "--print-after", "locate")
    assert done.returncode == 0 and "after locate:" in done.stdout and "attn2.to_k.weight" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["build", "missing.yaml"], 3),
        (["apply", "missing.safetensors", "--to", "editc:demo", "--out", "x"], 3),
        (["apply", "x", "--to", "editc:demo"], 2),
        (["explain", "E9999"], 2),
        (["build", "missing.yaml", "--print-after", "nothing"], 2),
        (["inspect", "missing"], 3),
        (["nonsense"], 2),
        (["revert", "editc:demo"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_mistakes_end_with_their_code_and_no_traceback(arguments: list[str], code: int, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "editc", *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == code and "Traceback" not in done.stderr and done.stderr
    assert not list(tmp_path.iterdir())


def test_json_is_one_object_whatever_happens(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("editc: 1\nmodle: x\n")
    for arguments in (["check", "m.yaml"], ["build", "m.yaml"], ["inspect", "none"], ["apply", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "editc", *arguments, "--json"], capture_output=True, text=True, cwd=tmp_path
        )
        found: Any = json.loads(done.stdout)
        assert found["status"] in ("failed", "error")
