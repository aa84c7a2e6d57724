"""Applying: exactly the right bytes, or none at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_files import (
    KEYS,
    contents,
    delta_for,
    delta_of,
    factors_for,
    pack,
    pipeline,
    random_tensor,
    refused,
    tree,
    unet,
    write_pipeline,
)

from editc.core.delta import Delta, Form, Site
from editc.core.diagnostics import EditcError
from editc.core.site_bytes import edit_bytes
from editc.core.storage import disk
from editc.formats.apply import edited_bytes
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.apply.status import status
from editc.formats.apply.target import ApplyPlan
from editc.formats.inspect import describe_applied, describe_plan, describe_status
from editc.formats.models.model import Model, open_model
from editc.numerics.bits import dtypes

FORMS: tuple[Form, ...] = ("shared", "low-rank", "dense")
DTYPES = ("F32", "F16", "BF16")


def expected(delta: Delta, model: Model) -> dict[str, bytes]:
    """What every edited tensor must be, computed from the model's own bytes."""
    weights, found = model.component("unet"), {}
    for factors in delta.factors.values():
        for k, index in enumerate(factors.sites):
            site = delta.sites[index].site
            found[site.name] = edit_bytes(weights.raw(site.name), weights.dtype(site.name), site, factors, k)
    return found


def recast(source: Path, target: Path, dtype: str) -> Path:
    """The same pipeline with the unet's floats converted to another dtype."""
    shutil.copytree(source, target)
    weights = open_model(source).component("unet")
    parts = {}
    for name in weights.names():
        if weights.dtype(name) in dtypes.EDITABLE:
            parts[name] = (dtype, weights.shape(name), dtypes.encode(weights.read(name), dtype))
    (target / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(pack(parts))
    return target


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shards", [1, 3])
def test_a_copy_differs_in_the_edited_ranges_only(tmp_path: Path, form: Form, dtype: str, shards: int) -> None:
    model = pipeline(tmp_path / "m", dtype=dtype, shards=shards)
    before, delta = tree(tmp_path / "m"), delta_for(model, form)
    plan = plan_apply([delta], model)
    assert (plan.status, plan.tier) == ("ready", "exact")
    assert {t.state for t in plan.targets} == {"exact"}
    done = apply(plan, out=tmp_path / "out")
    assert done.status == "done" and done.bytes_written == plan.bytes_to_write == 4 * 9 * 3 * dtypes.BITS[dtype] // 8
    assert tree(tmp_path / "m") == before
    wanted = {name: raw for name, (raw, _) in before.items()}
    for name, raw in expected(delta, model).items():
        tensor = model.component("unet").where(name)
        file = str(tensor.file.relative_to(tmp_path / "m"))
        wanted[file] = wanted[file][: tensor.offset] + raw + wanted[file][tensor.offset + tensor.nbytes :]
    assert contents(tmp_path / "out") == wanted
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "out"]
    again = plan_apply([delta], open_model(tmp_path / "out"))
    assert again.status == "already" and apply(again, out=tmp_path / "more").status == "already"
    assert contents(tmp_path / "more") == contents(tmp_path / "out"), "a script that goes on with it finds it"


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_the_recorded_dtype_is_exact(tmp_path: Path, dtype: str) -> None:
    base = write_pipeline(tmp_path / "base")
    delta = delta_for(open_model(base))
    other = open_model(recast(base, tmp_path / "other", dtype))
    plan = plan_apply([delta], other)
    assert plan.tier == ("exact" if dtype == "F32" else "cast")
    assert all(target.result == target.record.result[dtype] for target in plan.targets)
    apply(plan, in_place=True)
    shutil.rmtree(tmp_path / "other" / ".editc")
    assert plan_apply([delta], other).status == "already", "known by hashes alone"


def test_a_half_base_that_was_widened_is_a_cast(tmp_path: Path) -> None:
    half = write_pipeline(tmp_path / "half", dtype="F16")
    wide = open_model(recast(half, tmp_path / "wide", "F32"))
    for base in (half, recast(half, tmp_path / "same", "F16")):
        delta = delta_for(open_model(base))
        plan = plan_apply([delta], wide)
        assert plan.tier == "cast"
        apply(plan, out=tmp_path / f"out-{base.name}")
        out = open_model(tmp_path / f"out-{base.name}")
        for name, raw in expected(delta, wide).items():
            assert out.component("unet").raw(name) == raw
        assert plan_apply([delta], out).status == "already"


def test_the_original_of_a_half_base_is_a_cast(tmp_path: Path) -> None:
    wide = write_pipeline(tmp_path / "wide")
    delta = delta_for(open_model(recast(wide, tmp_path / "half", "F16")))
    model = open_model(wide)
    plan = plan_apply([delta], model)
    assert plan.tier == "cast" and not any(target.result for target in plan.targets)
    apply(plan, out=tmp_path / "out")
    assert plan_apply([delta], open_model(tmp_path / "out")).status == "already"


@pytest.mark.parametrize("form", FORMS)
def test_a_fine_tune_is_refused_until_allowed_and_then_recomputed(tmp_path: Path, form: Form) -> None:
    delta = delta_for(pipeline(tmp_path / "base"), form)
    tuned = pipeline(tmp_path / "tuned", drift=0.05)
    before = tree(tmp_path / "tuned")
    with refused("E622") as error:
        plan_apply([delta], tuned)
    assert "--allow-finetune" in error.diagnostics[0].help
    assert any(note.startswith(f"{KEYS[0]}: about ") for note in error.diagnostics[0].notes)
    plan = plan_apply([delta], tuned, allow_finetune=True)
    assert plan.tier == "relative" and plan.notes
    wanted = expected(delta, tuned)
    apply(plan, in_place=True)
    assert {name: tuned.component("unet").raw(name) for name in KEYS} == wanted
    assert plan_apply([delta], tuned, allow_finetune=True).status == "already", "known from the journal's hashes"
    revert(tuned)
    assert tree(tmp_path / "tuned") == before


def test_a_fine_tune_needs_the_same_text_encoder(tmp_path: Path) -> None:
    delta = delta_for(pipeline(tmp_path / "base"))
    other = pipeline(tmp_path / "tuned", drift=0.05, encoder_seed=8)
    with refused("E623"):
        plan_apply([delta], other, allow_finetune=True)
    with refused("E623"):
        plan_apply([delta], other, allow_finetune=True, encoder="0" * 64)
    assert plan_apply([delta], other, allow_finetune=True, encoder=lambda: delta.encoder).tier == "relative"
    with refused("E623"):
        plan_apply([delta], open_model(tmp_path / "tuned" / "unet"), allow_finetune=True)
    (tmp_path / "tuned" / "unet").rename(tmp_path / "alone")
    alone = open_model(tmp_path / "alone")
    assert any("was not compared" in note for note in plan_apply([delta], alone, allow_finetune=True).notes)
    exact = pipeline(tmp_path / "exact", encoder_seed=8)
    assert plan_apply([delta], exact).tier == "exact", "the edited weights are the base's: nothing is recomputed"


def test_targets_that_are_missing_or_of_another_shape(tmp_path: Path) -> None:
    base = pipeline(tmp_path / "base")
    delta = delta_for(base)
    root = write_pipeline(tmp_path / "m")
    parts = unet()
    del parts[KEYS[0]]
    parts[KEYS[1]] = random_tensor(0, "F32", (6, 4))
    parts[KEYS[2]] = ("I8", (5, 6), bytes(30))
    (root / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(pack(parts))
    before = tree(root)
    with refused("E620", "E621", "E616") as error:
        plan_apply([delta], open_model(root), allow_finetune=True)
    assert KEYS[0] in error.diagnostics[0].message and "(6, 4)" in error.diagnostics[1].notes[0]
    shutil.rmtree(root / "unet")
    with refused("E615"):
        plan_apply([delta], open_model(root))
    assert tree(root) == {name: file for name, file in before.items() if not name.startswith("unet")}


def test_a_broken_shard_leaves_everything_untouched(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m", shards=2)
    delta = delta_for(model)
    plan = plan_apply([delta], model)
    shard = model.component("unet").where(KEYS[0]).file
    shard.write_bytes(shard.read_bytes()[:-20])
    before = tree(tmp_path)
    with refused("E612"):
        plan_apply([delta], model)
    for way in ({"out": tmp_path / "out"}, {"in_place": True}):
        with pytest.raises(EditcError, match="E6"):
            apply(plan, **way)
        assert tree(tmp_path) == before


def test_a_model_that_changes_after_the_plan_is_refused(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    plan = plan_apply([delta_for(model)], model)
    tensor = model.component("unet").where(KEYS[3])
    disk.write_at(tensor.file, tensor.offset, b"\1\2\3\4")
    before = tree(tmp_path)
    with refused("E628"):
        apply(plan, out=tmp_path / "out")
    with refused("E628"):
        apply(plan, in_place=True)
    assert tree(tmp_path) == before


def test_a_result_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    delta = delta_for(model)
    records = [replace(r, result={**r.result, "F32": "0" * 64}) for r in delta.sites]
    plan = plan_apply([replace(delta, sites=tuple(records))], model)
    before = tree(tmp_path)
    for way in ({"out": tmp_path / "out"}, {"in_place": True}):
        with refused("E627"):
            apply(plan, **way)
        assert tree(tmp_path) == before


def test_a_result_that_the_dtype_cannot_hold_is_refused(tmp_path: Path) -> None:
    delta = delta_for(pipeline(tmp_path / "base"), "dense", size=1e6)
    half = pipeline(tmp_path / "half", dtype="F16", drift=0.05)
    before = tree(tmp_path)
    for way in ({"out": tmp_path / "out"}, {"in_place": True}):
        with refused("E626"):
            apply(plan_apply([delta], half, allow_finetune=True), **way)
        assert tree(tmp_path) == before


def test_an_edit_that_changes_nothing_is_an_error(tmp_path: Path) -> None:
    base = write_pipeline(tmp_path / "base")
    faint = delta_for(open_model(base), "dense", size=1e-6)
    half = open_model(recast(base, tmp_path / "half", "F16"))
    before = tree(tmp_path)
    with refused("E625"):
        plan_apply([faint], half)
    tuned = pipeline(tmp_path / "tuned", dtype="BF16", drift=0.05)
    before = tree(tmp_path)
    for way in ({"out": tmp_path / "out"}, {"in_place": True}):
        with refused("E625"):
            apply(plan_apply([faint], tuned, allow_finetune=True), **way)
        assert tree(tmp_path) == before


def test_a_mixture_of_base_and_result_is_finished(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    delta = delta_for(model)
    wanted = expected(delta, model)
    for name in KEYS[:2]:
        tensor = model.component("unet").where(name)
        disk.write_at(tensor.file, tensor.offset, wanted[name])
    plan = plan_apply([delta], model)
    assert [target.state for target in plan.targets] == ["already", "already", "exact", "exact"]
    assert status(model, [delta]).deltas[0].presence == "partly"
    apply(plan, in_place=True)
    assert {name: model.component("unet").raw(name) for name in KEYS} == wanted


def test_several_deltas_must_not_meet(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    one, two, both = delta_for(model, names=KEYS[:2]), delta_for(model, "dense", names=KEYS[2:]), delta_for(model)
    with refused("E624") as error:
        plan_apply([one, both], model)
    assert "together" in error.diagnostics[0].help
    plan = plan_apply([one, two], model)
    wanted = expected(one, model) | expected(two, model)
    apply(plan, out=tmp_path / "out")
    out = open_model(tmp_path / "out")
    assert {name: out.component("unet").raw(name) for name in KEYS} == wanted
    assert set(status(out).applied) == {one.delta_id, two.delta_id}


def test_a_transposed_site_is_edited_in_its_own_orientation(tmp_path: Path) -> None:
    parts = {"h.0.c_attn.weight": random_tensor(4, "F32", (6, 4)), "h.0.bias": random_tensor(5, "F32", (4,))}
    (tmp_path / "model.safetensors").write_bytes(pack(parts))
    model = open_model(tmp_path / "model.safetensors")
    site = Site("transformer", "h.0.c_attn.weight", (4, 6), "F32", "out", transposed=True)
    delta = delta_of(model, [site], factors_for("shared", [site]))
    apply(plan_apply([delta], model), out=tmp_path / "out.safetensors")
    W, factors = model.component().read(site.name).T, delta.factors["text"]
    left, right = (part.astype(float) for part in (factors.left[0], factors.right[0]))
    after = open_model(tmp_path / "out.safetensors").component().read(site.name)
    np.testing.assert_allclose(after, (W + W @ left @ right).T, rtol=1e-6)


def test_a_single_file_and_a_component_folder(tmp_path: Path) -> None:
    root = write_pipeline(tmp_path / "m")
    file = root / "unet" / "diffusion_pytorch_model.safetensors"
    delta = delta_for(open_model(root))
    wanted = expected(delta, open_model(root))
    apply(plan_apply([delta], open_model(file)), out=tmp_path / "f.safetensors")
    apply(plan_apply([delta], open_model(root / "unet")), out=tmp_path / "unet")
    for place in (tmp_path / "f.safetensors", tmp_path / "unet"):
        out = open_model(place)
        assert {name: out.component("unet").raw(name) for name in KEYS} == wanted
        assert status(out).applied == (delta.delta_id,)
        assert plan_apply([delta], out).status == "already"
    assert (tmp_path / "f.safetensors").read_bytes() == (tmp_path / "unet" / file.name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.safetensors", "f.safetensors.editc", "m", "unet"]


def test_descriptions_are_plain_json(tmp_path: Path) -> None:
    import json

    model = pipeline(tmp_path / "m")
    delta = delta_for(model)
    plan = plan_apply([delta], model)
    done = apply(plan, in_place=True)
    told = [describe_plan(plan), describe_applied(plan, done), describe_status(status(model, [delta]))]
    assert json.loads(json.dumps(told)) == told
    assert [value["status"] for value in told] == ["ready", "done", "done"]
    assert all(row["result"] == delta.sites[i].result["F32"] for i, row in enumerate(told[1]["tensors"]))


def test_nothing_heavy_is_imported() -> None:
    program = (
        "import sys, editc.formats.inspect, editc.formats.models.fingerprint\n"
        "import editc.formats.apply.apply, editc.formats.apply.status\n"
        "bad = {'torch', 'transformers', 'diffusers', 'scipy', 'safetensors', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("held", [0, 100, 1 << 20])
@pytest.mark.parametrize("form", FORMS)
def test_some_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form, held: int) -> None:
    """The same bytes in pieces of one row and with no memory for results; then no write is larger than a row."""
    model = pipeline(tmp_path / "m")
    plan: ApplyPlan = plan_apply([delta_for(model, form)], model)
    wanted, before, sizes = expected(plan.deltas[0], model), tree(tmp_path), list[int]()
    real = disk.write_at
    monkeypatch.setattr(edited_bytes, "PIECE", 7)
    monkeypatch.setattr(edited_bytes, "CACHE_BYTES", held)

    def writing(file: Any, offset: int, data: bytes) -> None:
        sizes.append(len(data))
        real(file, offset, data)

    def edited(place: Path) -> dict[str, bytes]:
        part = open_model(place).component("unet")
        return {name: part.raw(name) for name in KEYS}

    monkeypatch.setattr(disk, "write_at", writing)
    apply(plan, in_place=True)
    assert edited(tmp_path / "m") == wanted
    revert(model)
    assert tree(tmp_path) == before
    apply(plan, out=tmp_path / "out")
    assert edited(tmp_path / "out") == wanted
    assert max(sizes[: len(sizes) // 3]) == 6 * 4
