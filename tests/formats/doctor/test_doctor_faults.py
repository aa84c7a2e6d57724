"""Files and configurations that the doctor cannot judge: each has a code, and none takes long."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapter_cases import ADAPTERS, K, kohya, old, ones, unet, write
from doctor_cases import made, verdict

from editc.core.diagnostics import EditcError
from editc.formats.doctor.examine import examine


def faulty(tmp_path: Path, fault: str) -> tuple[Path, str | None]:
    if fault == "E685":
        return made(tmp_path, {"weight": ones(2, 2)}), None
    if fault == "E687":
        return made(tmp_path, {**old(), kohya(K) + ".alpha": np.full(1, np.nan, np.float32)}), None
    if fault == "E689":
        model = write(tmp_path / "model.safetensors", {"a.weight": ones(2, 2)})
        return made(tmp_path, old()), str(model)
    if fault == "E686":
        (tmp_path / "adapter_config.json").write_text("[]")
        made(tmp_path, unet()).rename(tmp_path / "adapter_model.safetensors")
    return tmp_path if fault == "E686" else tmp_path / "absent", None


@pytest.mark.parametrize("fault", ["E610", "E685", "E686", "E687", "E689"])
def test_faults_have_codes(fault: str, tmp_path: Path) -> None:
    from editc import api

    path, model = faulty(tmp_path, fault)
    with pytest.raises(EditcError) as stopped:
        api.doctor(path, model)
    assert [one.code for one in stopped.value.diagnostics] == [fault]


def test_a_folder_with_a_pickle_says_how_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(EditcError) as stopped:
        examine(tmp_path)
    (found,) = stopped.value.diagnostics
    assert found.code == "E686" and "torch.load" in found.help and "adapter_model.safetensors" in found.help


HOSTILE: tuple[Mapping[str, Any], ...] = (
    {"target_modules": 3},
    {"target_modules": ["q", 4]},
    {"target_modules": "(a+)+$"},
    {"target_modules": ".*a.*b.*c.*d.*e"},
    {"exclude_modules": {"a": 1}},
    {"modules_to_save": [None]},
    {"rank_pattern": ["a"]},
    {"alpha_pattern": {"a": "b"}},
    {"r": "8"},
    {"lora_alpha": 1e300},
    {"layers_to_transform": ["x"]},
)


@pytest.mark.parametrize("change", HOSTILE, ids=str)
def test_a_config_that_makes_no_sense_has_a_code(change: Mapping[str, Any], tmp_path: Path) -> None:
    path = Path(shutil.copytree(ADAPTERS / "llama" / "peft_llama", tmp_path / "adapter"))
    config = json.loads((path / "adapter_config.json").read_text())
    (path / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(EditcError) as stopped:
        examine(path)
    assert stopped.value.diagnostics[0].code == "E686"


def test_metadata_that_makes_no_sense_is_no_traceback(tmp_path: Path) -> None:
    for stated in (
        {"unet.r": "x"},
        {"unet.r": 0, "unet.target_modules": 3},
        {"unet.rank_pattern": [1]},
        {"unet.r": None},
    ):
        path = write(tmp_path / "adapter.safetensors", unet(), stated)
        assert verdict(path, "diffusers").outcome == "refused"
        verdict(path, "ComfyUI")


def test_ten_thousand_strange_names_are_judged_in_a_second(tmp_path: Path) -> None:
    from time import monotonic

    strange = {f"lora_unet_down_blocks_{i}_attentions_0_proj_in.lora_up.weight": ones(1, 1) for i in range(10_000)}
    path = made(tmp_path, {**old(), **strange})
    begun = monotonic()
    examine(path)
    assert monotonic() - begun < 5
    half = {f"text_encoder.strange.{i}.lora_A.weight": ones(1, 1) for i in range(10_000)}
    begun = monotonic()
    examine(made(tmp_path, {**unet(), **half}))
    assert monotonic() - begun < 5
