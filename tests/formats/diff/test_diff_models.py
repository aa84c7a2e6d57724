"""`editc diff` of whole models: pipelines, shards, single files; what does not compare is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diff_cases import SHAPES, checked, file, forms, found, stored, weights, write_model
from tiny_files import KEYS, contents, pack, refused, unet, write_component, write_pipeline

from editc import api
from editc.cli import show
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.apply.status import status
from editc.formats.delta.container import from_bytes, to_bytes
from editc.formats.diff.diff import difference
from editc.formats.inspect import inspect
from editc.formats.models.model import open_model
from editc.numerics.bits import dtypes
from editc.numerics.recover import ulp


@pytest.mark.slow
def test_a_single_file_and_its_folder(tmp_path: Path) -> None:
    """An LDM file's tensors are named as in diffusers, those of no part as they stand; a UNet edit fits the
    folder too, and the family is known."""
    import torch
    from ldm_files import PICO_SD1, pico_folder, single_file
    from safetensors.torch import load_file, save_file

    base = single_file(pico_folder(tmp_path / "m", PICO_SD1), tmp_path / "base.safetensors")
    parts = load_file(base)
    gone = torch.randn(32, 1, dtype=torch.float64) @ torch.randn(1, 32, dtype=torch.float64) / 32
    for name, W in parts.items():
        if "attn2.to_k" in name or "attn2.to_v" in name:
            parts[name] = (W.double() + W.double() @ gone).half()
    save_file(parts, tmp_path / "unet.safetensors")
    made = checked(tmp_path, base, tmp_path / "unet.safetensors", mend="none")
    assert forms(made) == [("shared", 1)] and made.delta.family == "sd1"
    assert {record.site.role for record in made.delta.sites} == {"k", "v"}
    assert plan_apply([made.delta], open_model(tmp_path / "m")).tier == "exact"
    parts["first_stage_model.decoder.conv_in.weight"] += 1
    save_file(parts, tmp_path / "both.safetensors")
    both = difference(open_model(base), open_model(tmp_path / "both.safetensors"), "editc 0", mend="exact")
    assert {row.component for row in both.rows} == {"", "unet"}
    delta = from_bytes(to_bytes(both.delta))
    apply(plan_apply([delta], open_model(base)), out=tmp_path / "again.safetensors")
    again = load_file(tmp_path / "again.safetensors")
    assert all(torch.equal(again[name], W) for name, W in parts.items())


def changed_pipeline(folder: Path, dtype: str = "F16", **options: Any) -> Path:
    """The pico pipeline with K and V multiplied, and a convolution and a bias trained."""
    root = write_pipeline(folder, dtype, **options)
    parts = unet(dtype)
    rng = np.random.default_rng(3)
    U, V = rng.normal(size=(6, 1)) / 5, rng.normal(size=(1, 6))
    for name in KEYS:
        W = dtypes.decode(parts[name][2], dtype, parts[name][1])
        parts[name] = (dtype, parts[name][1], dtypes.encode(W + W @ U @ V, dtype))
    for name in ("conv_in.weight", "out.bias"):
        W = dtypes.decode(parts[name][2], dtype, parts[name][1])
        parts[name] = (dtype, parts[name][1], dtypes.encode(W * 1.25 + rng.normal(size=W.shape), dtype))
    for old in (root / "unet").iterdir():
        old.unlink()
    write_component(root / "unet", parts, options.get("shards", 1))
    return root


def test_a_pipeline_in_other_shards(tmp_path: Path) -> None:
    """Tensors are compared by component and name, wherever they lie; what has no form comes along; revert works."""
    base, after = write_pipeline(tmp_path / "base", "F16"), changed_pipeline(tmp_path / "after", shards=2)
    before = contents(base)
    made = difference(open_model(base), open_model(after), "editc 0")
    assert {row.name for row in made.rows} == {*KEYS, "conv_in.weight", "out.bias"}
    assert made.equal == 3 and {row.form for row in made.rows if "attn2" not in row.name} == {"xor"}
    delta = from_bytes(to_bytes(made.delta))
    apply(plan_apply([delta], open_model(base)), in_place=True)
    mine, theirs = stored(base), stored(after)
    assert all(np.abs(mine[n][0] - theirs[n][0]).max() <= ulp(theirs[n][0], "F16").max() for n in KEYS)
    assert all(mine[name][0].tobytes() == theirs[name][0].tobytes() for name in ("conv_in.weight", "out.bias"))
    assert status(open_model(base), [delta]).applied == (delta.delta_id,)
    revert(open_model(base))
    assert contents(base) == before


def test_bits_fit_their_base_only(tmp_path: Path) -> None:
    """Another dtype, and a fine-tune even when it is allowed, are refused; a form with factors goes on without bits."""
    base, after = write_pipeline(tmp_path / "base", "F16"), changed_pipeline(tmp_path / "after")
    bits = from_bytes(to_bytes(difference(open_model(base), open_model(after), "editc 0", form="xor").delta))
    wide, tuned = write_pipeline(tmp_path / "wide", "F32"), write_pipeline(tmp_path / "tuned", "F16", drift=0.1)
    for model in (wide, tuned):
        for allow in (False, True):
            with refused("E606"):
                plan_apply([bits], open_model(model), allow)
    dense = difference(open_model(base), open_model(after), "editc 0", form="dense", mend="exact").delta
    dense = from_bytes(to_bytes(dense))
    assert plan_apply([dense], open_model(wide)).tier == "cast"
    plan = plan_apply([dense], open_model(tuned), True)
    assert plan.tier == "relative"
    apply(plan, out=tmp_path / "out")
    start, end = stored(tuned), stored(tmp_path / "out")
    for name, left in zip(sorted(end.keys() - {"steps"}), dense.factors["dense"].left, strict=False):
        assert name in start and left.ndim == 2


def test_models_of_other_tensors_are_refused(tmp_path: Path) -> None:
    base = weights(20, SHAPES)
    first, *rest = base
    with refused("E646"):
        found(tmp_path, base, base)
    for name in ("m", "n"):
        write_model(tmp_path / name, base if name == "m" else {n: base[n] * 2 for n in rest})
    with refused("E645") as error:
        difference(open_model(tmp_path / "m"), open_model(tmp_path / "n"), "editc 0")
    assert first in str(error.diagnostics)
    with refused("E645"):
        found(tmp_path, base, base | {"new": np.ones(3)})
    with refused("E645"):
        found(tmp_path, base, base | {first: base[first].T.copy()})
    double = file(tmp_path / "double.safetensors", base, "F64")
    with refused("E645") as error:
        difference(open_model(file(tmp_path / "b.safetensors", base)), open_model(double), "editc 0")
    assert "dtype" in error.diagnostics[0].message and "convert" in error.diagnostics[0].help


def test_what_no_delta_can_say_is_refused(tmp_path: Path) -> None:
    base = weights(21, SHAPES)
    first = next(iter(base))
    with refused("E648"):
        found(tmp_path, base, base | {first: np.full(base[first].shape, np.nan)})
    one = tmp_path / "i.safetensors"
    two = tmp_path / "j.safetensors"
    one.write_bytes(pack({"steps": ("I64", (2,), b"\1" * 16)}))
    two.write_bytes(pack({"steps": ("I64", (2,), b"\2" * 16)}))
    with refused("E648"):
        difference(open_model(one), open_model(two), "editc 0")


def test_the_verbs_know_such_a_delta(tmp_path: Path) -> None:
    base, after = write_pipeline(tmp_path / "base", "F16"), changed_pipeline(tmp_path / "after")
    made = api.diff(str(base), str(after), tmp_path / "d.safetensors")
    shown = show.diff_result(made, tmp_path / "d.safetensors")
    assert "6 of 9 tensors differ" in shown.text and json.loads(json.dumps(shown.data)) == shown.data
    told = inspect(str(tmp_path / "d.safetensors"))
    assert told["groups"]["xor"]["bits"] > 0 and told["edits"][0]["kind"] == "diff"
    with refused("E647"):
        api.verify(tmp_path / "d.safetensors", str(base))
    api.apply([tmp_path / "d.safetensors"], str(base), in_place=True)
    assert api.verify(tmp_path / "d.safetensors", str(base)).tier == "already"
