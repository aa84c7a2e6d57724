"""`fuse` reads what `doctor` reads: one adapter in every spelling is one change, and what is left out is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ldm_files
import numpy as np
import pytest
import tiny
from adapter_cases import FL, FQ, STYLES, K, Tensors, kohya, ones, pair, write
from loaders import part

from editc import api
from editc.core.diagnostics import EditcError
from editc.core.problem import Adapter
from editc.formats.doctor.adapter import read_adapter
from editc.formats.doctor.examine import examine
from editc.formats.models.ldm_names import to_ldm
from editc.formats.models.model import Checkpoint, open_component, open_model

SHAPE = (16, 24)


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    home = tmp_path_factory.mktemp("unet")
    part("sd1")["unet"].save_pretrained(home)
    return open_component("unet", home)


def styled(head: str, style: str, **more: Any) -> Tensors:
    """The one module of these tests, K, in a spelling; the same values in all."""
    made = pair(K, SHAPE, **more)
    down, up = STYLES[style]
    name = kohya(K, head) if head.endswith("_") else head + K
    ends = {K + ".lora_A.weight": name + down, K + ".lora_B.weight": name + up, K + ".alpha": f"{name}.alpha"}
    return {ends[key]: value for key, value in made.items()}


SPELLINGS: Mapping[str, Callable[[], Tensors]] = {
    "kohya": lambda: styled("lora_unet_", "kohya"),
    "lycoris": lambda: styled("lycoris_", "kohya"),
    "peft": lambda: styled("unet.", "peft"),
    "peft, without a prefix": lambda: styled("", "peft"),
    "peft's own": lambda: styled("base_model.model.", "peft"),
    "dotted": lambda: styled("unet.", "dotted"),
    "layers": lambda: styled("unet.", "layer"),
    "processors": lambda: {n.replace(".to_k", ".processor.to_k"): v for n, v in styled("unet.", "processor").items()},
    "an adapter's name": lambda: {
        n.replace(".weight", ".default_0.weight"): v for n, v in styled("unet.", "peft").items()
    },
    "an alpha of whole numbers": lambda: styled("lora_unet_", "kohya") | {kohya(K) + ".alpha": np.array(2)},
}


def read(tensors: Tensors, weights: Checkpoint, folder: Path, stated: Mapping[str, Any] | None = None) -> Adapter:
    return read_adapter(write(folder / "adapter.safetensors", tensors, stated), weights)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_the_same_change(spelling: str, unet: Checkpoint, tmp_path: Path) -> None:
    made = pair(K, SHAPE)
    found = read(SPELLINGS[spelling](), unet, tmp_path)
    (name,) = found.modules
    one = found.modules[name]
    assert name == f"{K}.weight" and one.scale == 1.0 and not found.left_out
    np.testing.assert_array_equal(
        one.up @ one.down, made[K + ".lora_B.weight"].astype(float) @ made[K + ".lora_A.weight"]
    )


def test_the_scale_is_the_one_that_the_file_means(unet: Checkpoint, tmp_path: Path) -> None:
    """An alpha of the module, else what diffusers stated in the metadata."""
    (one,) = read(styled("unet.", "peft", alpha=6.0), unet, tmp_path).modules.values()
    assert one.scale == 3.0
    stated = {"unet.r": 2, "unet.lora_alpha": 8, "unet.target_modules": ["to_k"]}
    (one,) = read(styled("unet.", "peft"), unet, tmp_path, stated).modules.values()
    assert one.scale == 4.0


def test_ldms_block_numbers_are_those_of_the_model(tmp_path: Path) -> None:
    """As kohya's own trainer names the modules of SDXL; the same change as under the names of diffusers."""
    home = ldm_files.pico_folder(tmp_path / "xl", ldm_files.PICO_SDXL)
    weights = open_model(home).component("unet")
    names = [name for name in weights.names() if name.endswith(("attn2.to_k.weight", "conv1.weight", "proj_in.weight"))]
    theirs = to_ldm(weights.names())
    found = {}
    for spelling in (theirs.__getitem__, str):
        tensors: Tensors = {}
        for number, name in enumerate(names):
            made = pair(kohya(spelling(name).removesuffix(".weight")), weights.shape(name), rank=1, style="kohya")
            tensors |= {key: np.full_like(value, number + 1.0) for key, value in made.items()}
        found[spelling] = read(tensors, weights, tmp_path).modules
    first, second = found.values()
    assert first.keys() == second.keys() == set(names) and len(names) > 20
    assert all(np.array_equal(first[name].up, second[name].up) for name in names)


def test_a_module_that_is_three_matrices_is_cut_by_its_rows(tmp_path: Path) -> None:
    """FLUX in the names of its own code, where q, k and v are one."""
    part("flux")["transformer"].save_pretrained(tmp_path / "flux")
    weights = open_component("transformer", tmp_path / "flux")
    tensors = pair(kohya(FQ), (48, 16), style="kohya") | pair(kohya(FL), (112, 16), style="kohya")
    found = read(tensors, weights, tmp_path).modules
    up = tensors[kohya(FQ) + ".lora_up.weight"].astype(float)
    for number, leaf in enumerate(("to_q", "to_k", "to_v")):
        one = found[f"transformer_blocks.0.attn.{leaf}.weight"]
        np.testing.assert_array_equal(one.up, up[16 * number : 16 * number + 16])
    assert {name.partition(".")[0] for name in found} == {"transformer_blocks", "single_transformer_blocks"}
    assert len(found) == 7


TEXT = "lora_te_text_model_encoder_layers_0_mlp_fc1"


def test_a_text_encoders_part_is_left_out_with_a_warning(tmp_path: Path) -> None:
    """From `check` and from `build`, at the adapter's place; alone it is no edit of the model."""
    model = tiny.pipeline_folder(tmp_path / "base")
    weights = open_model(model).component("unet")
    name = next(name for name in weights.names() if name.endswith("attn2.to_k.weight"))
    unets = pair(kohya(name.removesuffix(".weight")), weights.shape(name), style="kohya")
    texts = {f"{TEXT}.lora_down.weight": ones(2, 16), f"{TEXT}.lora_up.weight": ones(32, 2)}
    write(tmp_path / "both.safetensors", unets | texts)
    path = tmp_path / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {model}\nedits:\n  - fuse: both.safetensors\n")
    found = api.check(path)
    (told,) = [one for one in found.diagnostics if one.code == "E657"]
    assert found.plan is not None and told.severity == "warning" and told.span is not None and told.span.line == 4
    assert TEXT in told.notes
    write(tmp_path / "text.safetensors", texts)
    with pytest.raises(EditcError, match="no tensors for this model"):
        read_adapter(tmp_path / "text.safetensors", weights)


def test_two_names_of_one_matrix_are_refused(unet: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(EditcError, match="same matrix"):
        read(styled("lora_unet_", "kohya") | styled("unet.", "peft"), unet, tmp_path)


def test_the_doctors_remedy_works(tmp_path: Path) -> None:
    """An adapter in names that only diffusers reads: fused, built and exported it is read by all three."""
    model = tiny.pipeline_folder(tmp_path / "base")
    weights = open_model(model).component("unet")
    name = next(name for name in weights.names() if name.endswith("attn2.to_k.weight"))
    path = write(tmp_path / "one.safetensors", pair(f"unet.{name.removesuffix('.weight')}", weights.shape(name)))
    said = {one.loader: one for one in examine(path, open_model(model)).verdicts}
    assert "editc build" in said["ComfyUI"].advice and "--as kohya" in said["A1111"].advice
    (tmp_path / "m.yaml").write_text(f"editc: 1\nmodel: {model}\nedits: [{{fuse: one.safetensors}}]\n")
    built = api.build(tmp_path / "m.yaml", tmp_path / "out")
    assert built is not None and built.delta is not None
    api.export(tmp_path / "out" / "delta.safetensors", "kohya", tmp_path / "k.safetensors", str(model), tried=False)
    assert examine(tmp_path / "k.safetensors", open_model(model)).sound
