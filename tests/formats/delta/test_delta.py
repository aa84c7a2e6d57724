"""The delta file: deterministic, read as it was written, and what it records is what apply computes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import delta_cases
import numpy as np
import pytest
from delta_cases import f32, same
from format_fixtures import DELTAS, FORMS, write_fixtures
from places import SUPPORT
from tiny_files import KEYS, contents, delta_for, factors_for, pipeline

import editc
from editc.core.delta import Delta, Factors, Form, Site
from editc.core.site_bytes import RECORDED, patch_as_stored, site_record
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.containers.canonical import DELTA_KEY, canonical_json
from editc.formats.delta.container import read_delta, to_bytes, write_delta
from editc.formats.inspect import inspect
from editc.formats.models.model import open_model
from editc.numerics.bits import dtypes

delta = delta_cases.delta
EDITC = Path(editc.__file__).parent


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read(tmp_path: Path, form: Form) -> None:
    made = delta_for(pipeline(tmp_path / "m"), form)
    written = write_delta(made, tmp_path / "d.safetensors")
    back = read_delta(tmp_path / "d.safetensors")
    assert same(made, back) and same(written, back)
    assert len(back.delta_id) == 64
    first = (tmp_path / "d.safetensors").read_bytes()
    write_delta(back, tmp_path / "d.safetensors")
    assert (tmp_path / "d.safetensors").read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.safetensors", "m"]


def test_other_programs_can_read_the_tensors(tmp_path: Path) -> None:
    from safetensors import safe_open

    made = delta_for(pipeline(tmp_path / "m"))
    write_delta(made, tmp_path / "d.safetensors")
    with safe_open(tmp_path / "d.safetensors", "np") as file:
        assert sorted(file.keys()) == ["group/text/left.0", "group/text/right.0"]
        assert list(file.metadata()) == [DELTA_KEY]
        described = json.loads(file.metadata()[DELTA_KEY])
        np.testing.assert_array_equal(file.get_tensor("group/text/left.0"), made.factors["text"].left[0])
    assert described["version"] == 1
    assert json.dumps(described, sort_keys=True, separators=(",", ":")) == canonical_json(described)


def test_the_bytes_are_the_same_in_another_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tiny_files import *\n"
        "model = pipeline(Path(sys.argv[1]) / 'm')\n"
        "sys.stdout.buffer.write(to_bytes(delta_for(model, 'low-rank')))"
    )
    found = set()
    for seed in ("0", "1", "77"):
        folder = tmp_path / seed
        folder.mkdir()
        command = [sys.executable, "-c", program, str(folder)]
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(SUPPORT)}
        found.add(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    found.add(to_bytes(delta_for(pipeline(tmp_path / "m"), "low-rank")))
    assert len(found) == 1


def test_the_order_of_maps_does_not_matter(delta: Delta) -> None:
    def turned(values: Mapping[str, Any]) -> dict[str, Any]:
        return dict(reversed(list(values.items())))

    records = tuple(replace(r, base=turned(r.base), result=turned(r.result)) for r in delta.sites)
    other = replace(delta, sites=records, edits=tuple(turned(edit) for edit in delta.edits), delta_id="")
    assert to_bytes(other) == to_bytes(delta)


def test_records_hold_what_apply_will_compute(tmp_path: Path) -> None:
    weights = pipeline(tmp_path / "m").component("unet")
    site = Site("unet", KEYS[0], (4, 6), "F32", "k")
    factors = factors_for("shared", [site])
    record = site_record(site, weights.read(KEYS[0]), factors, 0)
    assert list(record.base) == list(record.result) == list(RECORDED)
    assert record.base["F32"] == dtypes.sha256(weights.raw(KEYS[0]))
    half = dtypes.decode(dtypes.encode(weights.read(KEYS[0]), "F16"), "F16", (4, 6))
    result = dtypes.encode(patch_as_stored(half, False, factors, 0), "F16")
    assert record.result["F16"] == dtypes.sha256(result)
    assert record.base_transposed["F16"] == dtypes.sha256(dtypes.encode(half.T.copy(), "F16"))


def test_a_transposed_site_is_the_same_edit_the_other_way_round() -> None:
    W = np.random.default_rng(0).normal(size=(4, 6))
    site = Site("unet", "w", (4, 6), "F64", "k")
    factors = factors_for("shared", [site])
    upright = site_record(site, W, factors, 0)
    lying = site_record(replace(site, transposed=True), W.T.copy(), factors, 0)
    assert lying.base == upright.base_transposed and lying.base_transposed == upright.base
    flat = patch_as_stored(W.T.copy(), True, factors, 0)
    assert flat.tobytes() == patch_as_stored(W, False, factors, 0).T.tobytes()
    assert lying.result["F64"] == dtypes.sha256(flat.tobytes())


def test_dtypes_that_cannot_hold_a_weight_are_not_recorded() -> None:
    site = Site("unet", "w", (2, 2), "F32", "k")
    record = site_record(site, np.full((2, 2), 1e6), Factors("dense", (0,), (f32(2, 2),), ()), 0)
    assert set(record.base) == set(record.base_transposed) == set(record.result) == {"F32", "BF16"}


def test_inspect_tells_deltas_from_models(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    made = write_delta(delta_for(model, "low-rank"), tmp_path / "d.safetensors")
    told = inspect(str(tmp_path / "d.safetensors"))
    assert (told["kind"], told["delta_id"], told["groups"]["text"]["rank"]) == ("delta", made.delta_id, 2)
    told_model = inspect(str(tmp_path / "m"))
    assert told_model["kind"] == "model" and told_model["components"]["unet"]["tensors"] == 7
    assert json.loads(json.dumps(told)) == told and json.loads(json.dumps(told_model)) == told_model


@pytest.mark.parametrize("form", FORMS)
def test_deltas_of_version_1_still_read_and_apply(tmp_path: Path, form: Form) -> None:
    old = read_delta(DELTAS / f"{form}.safetensors")
    assert old.version == 1 and [f.form for f in old.factors.values()] == [form]
    assert to_bytes(old) == (DELTAS / f"{form}.safetensors").read_bytes()
    before = contents(DELTAS / "base")
    plan = plan_apply([old], open_model(DELTAS / "base"))
    assert plan.tier == "exact"
    apply(plan, out=tmp_path / "out")  # the recorded result hashes are checked on the way
    assert contents(DELTAS / "base") == before
    assert plan_apply([old], open_model(tmp_path / "out")).status == "already"
    edited = open_model(tmp_path / "out").component("unet")
    for record in old.sites:
        assert dtypes.sha256(edited.raw(record.site.name)) == record.result["F32"]


def test_the_fixtures_are_what_this_code_would_make_today(tmp_path: Path) -> None:
    write_fixtures(tmp_path / "v1")
    assert contents(tmp_path / "v1") == contents(DELTAS)


def test_every_code_of_this_stage_is_explained() -> None:
    sources = [path for root in (EDITC, EDITC.parent / "formats") for path in root.rglob("*.py")]
    raised = {code for path in sources for code in re.findall(r'"(E6\d\d)"', path.read_text())}
    page = (EDITC / "codes" / "formats.md").read_text()
    assert re.findall(r"^## (E\d+):", page, re.M) == sorted(raised)
