"""Adapters fused: what is read is what the file says, what is stored is the sum, and MACE's fusion is the optimum."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from places import FIXTURES
from safetensors.torch import load_file, save_file

from editc import api
from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.formats.doctor.adapter import read_adapter
from editc.formats.models.model import Checkpoint, open_component, open_model
from editc.numerics import fusion, ridge

ADAPTERS = FIXTURES / "adapters"
BLOCK = "down_blocks.0.attentions.0"
TEXT = f"{BLOCK}.transformer_blocks.0.attn2.to_k"
ATTENTION = ("attn2.to_k", "attn2.to_v")
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pipeline_folder(tmp_path_factory.mktemp("base"), dtype=torch.float32)


def unet(model: Path) -> Checkpoint:
    return open_model(model).component("unet")


def spm(model: Path, seed: int, only: tuple[str, ...] = (), rank: int = 1, alpha: float | None = 1.0) -> Tensors:
    """As SPM writes it: every Linear and Conv2d of every Transformer2DModel (or those that end with one of `only`)."""
    draw = torch.Generator().manual_seed(seed)
    weights, found = unet(model), {}
    for name in weights.names():
        module, shape = name.removesuffix(".weight"), weights.shape(name)
        if "attentions" in name and module != name and len(shape) > 1 and module.endswith(only or ("",)):
            key = "lora_unet_" + module.replace(".", "_")
            ends = (1, 1) if len(shape) == 4 else ()
            found[f"{key}.lora_down.weight"] = torch.randn(rank, *shape[1:], generator=draw) / 4
            found[f"{key}.lora_up.weight"] = torch.randn(shape[0], rank, *ends, generator=draw) / 4
            if alpha is not None:
                found[f"{key}.alpha"] = torch.tensor(alpha)
    return found


def change(model: Path, tensors: Tensors, gain: float = 1.0) -> dict[str, Array]:
    """Parameter -> gain alpha / r up down, straight from the file's tensors, shaped as the parameter."""
    weights, found = unet(model), {}
    for name in weights.names():
        key = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
        if f"{key}.lora_up.weight" in tensors:
            up, down = (tensors[f"{key}.lora_{part}.weight"].double().numpy() for part in ("up", "down"))
            alpha = float(tensors.get(f"{key}.alpha", torch.tensor(float(len(down)))))
            delta = np.einsum("or,rk->ok", up.reshape(len(up), -1), down.reshape(len(down), -1))
            found[name] = gain * alpha / len(down) * delta.reshape(weights.shape(name))
    return found


def manifest(folder: Path, model: Path, edits: str, more: str = "") -> Path:
    path = folder / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {model}\nedits:\n{edits}\n{more}")
    return path


def built(folder: Path, model: Path, edits: str, more: str = "") -> api.Built:
    found = api.build(manifest(folder, model, edits, more), folder / "out")
    assert found is not None and found.delta is not None, found and found.failures
    return found


def refused(folder: Path, model: Path, edits: str, more: str = "") -> Any:
    with pytest.raises(EditcError) as caught:
        api.build(manifest(folder, model, edits, more), folder / "out")
    return caught.value.diagnostics[0]


def claims(found: api.Built) -> Mapping[str, float]:
    return {claim.name: claim.value for claim in found.verified.report.claims}


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("name", ["kohya", "kohya_noalpha"])
def test_a_file_that_diffusers_loads_reads_as_the_change_that_diffusers_makes(name: str, tmp_path: Path) -> None:
    """expected.safetensors has the weights before and after diffusers' own load_lora_weights (fixtures/README.md)."""
    expected = load_file(ADAPTERS / "expected.safetensors")
    base = {k.removeprefix("base/"): v for k, v in expected.items() if k.startswith("base/")}
    save_file(base, tmp_path / "unet.safetensors")
    found = read_adapter(ADAPTERS / f"{name}.safetensors", open_component("unet", tmp_path / "unet.safetensors"))
    assert found.modules.keys() == base.keys()
    for parameter, one in found.modules.items():
        after = base[parameter].double().numpy() + one.scale * one.up @ one.down
        assert np.abs(after - expected[f"target/{parameter}"].double().numpy()).max() < 1e-6
        assert np.abs(one.up @ one.down).max() > 1e-3


def read(tensors: Tensors, model: Path, folder: Path) -> Any:
    save_file({name: value.clone() for name, value in tensors.items()}, folder / "one.safetensors")
    with pytest.raises(EditcError) as caught:
        read_adapter(folder / "one.safetensors", unet(model))
    return caught.value.diagnostics[0]


KEY = "lora_unet_" + TEXT.replace(".", "_")


@pytest.mark.parametrize(
    ("code", "spoil", "named"),
    [
        ("E670", lambda t: {f"lora_te_text_model_x.{k.partition('.')[2]}": v for k, v in t.items()}, "lora_te_text"),
        ("E670", lambda t: t | {f"{KEY}.dora_scale": torch.ones(2)}, "dora_scale"),
        ("E670", lambda t: t | {"bundle_emb.tok.string_to_param.*": torch.ones(2, 2)}, "bundle_emb.tok"),
        ("E670", lambda t: t | {f"{KEY}.something_new": torch.ones(2, 2)}, "something_new"),
        ("E670", lambda t: {}, "no tensors"),
        ("E671", lambda t: t | {k.replace("_to_k", "_to_z"): v for k, v in t.items()}, "attn2_to_z"),
        ("E672", lambda t: {k: v for k, v in t.items() if not k.endswith("up.weight")}, KEY),
        ("E673", lambda t: t | {f"{KEY}.lora_down.weight": torch.ones(1, 7)}, "[1, 7]"),
        ("E673", lambda t: t | {f"{KEY}.lora_up.weight": torch.ones(32, 2)}, "[32, 2]"),
        ("E674", lambda t: t | {f"{KEY}.lora_down.weight": torch.full((1, 32), torch.nan)}, KEY),
        ("E674", lambda t: t | {f"{KEY}.alpha": torch.ones(3)}, KEY),
    ],
)
def test_what_is_wrong_in_a_file_is_named(code: str, spoil: Any, named: str, model: Path, tmp_path: Path) -> None:
    found = read(spoil(spm(model, 1, (TEXT,))), model, tmp_path)
    assert found.code == code and named in " ".join((found.message, *found.notes))


def test_what_cannot_be_fused_comes_with_a_way(model: Path, tmp_path: Path) -> None:
    plain = spm(model, 1, (TEXT,))
    assert "editc diff BASE MERGED" in read(plain | {f"{KEY}.dora_scale": torch.ones(2)}, model, tmp_path).help
    texts = {f"lora_te_text_model_x.{name.partition('.')[2]}": value for name, value in plain.items()}
    assert "text encoder alone" in read(texts, model, tmp_path).help


def test_a_module_with_two_meanings_is_refused(tmp_path: Path) -> None:
    save_file({"a.b_c.weight": torch.ones(2, 2), "a_b.c.weight": torch.ones(2, 2)}, tmp_path / "unet.safetensors")
    key = "lora_unet_a_b_c"
    pair = {f"{key}.lora_up.weight": torch.ones(2, 1), f"{key}.lora_down.weight": torch.ones(1, 2)}
    save_file(pair, tmp_path / "l.safetensors")
    with pytest.raises(EditcError) as caught:
        read_adapter(tmp_path / "l.safetensors", open_component("unet", tmp_path / "unet.safetensors"))
    assert caught.value.diagnostics[0].code == "E671"
    assert "a.b_c.weight or a_b.c.weight" in caught.value.diagnostics[0].notes[0]


def test_a_broken_file_underlines_its_edit(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"not tensors at all")
    found = refused(tmp_path, model, "  - fuse: bad.safetensors")
    assert found.code == "E612" and found.span.line == 4
    checked = api.check(tmp_path / "m.yaml")
    assert [one.code for one in checked.diagnostics] == ["E612"]


# ---------------------------------------------------------------- plain fusion


def test_several_adapters_build_to_their_sum_and_apply_and_revert(model: Path, tmp_path: Path) -> None:
    """The convolutions too: every matrix that either file changes, and no other."""
    first, second = spm(model, 1), spm(model, 2, (*ATTENTION, "proj_in"), rank=3, alpha=2.0)
    save_file(first, tmp_path / "cat.safetensors")
    save_file(second, tmp_path / "dog.safetensors")
    done = built(tmp_path, model, "  - fuse: cat.safetensors\n  - fuse: dog.safetensors\n    strength: 0.5\n")
    both = [change(model, first), change(model, second, 0.5)]
    base, copy = unet(model), tmp_path / "copy"
    shutil.copytree(model, copy)
    api.apply(list(done.files[:1]), str(copy), in_place=True)
    after = unet(copy)
    for name in base.names():
        wanted = base.read(name) + sum(one[name] for one in both if name in one)
        assert np.abs(after.read(name) - wanted).max() < 1e-6
    assert any(len(base.shape(name)) == 4 for name in both[0])
    assert claims(done)["changed"] == len(both[0]) and claims(done)["rank"] == 4
    assert all(row["relative_change"] > 0 for row in done.verified.report.sites)
    api.revert(str(copy))
    assert all(np.array_equal(unet(copy).read(name), base.read(name)) for name in base.names())


def test_the_delta_verifies_without_the_adapters(model: Path, tmp_path: Path) -> None:
    save_file(spm(model, 1), tmp_path / "cat.safetensors")
    done = built(tmp_path, model, "  - fuse: cat.safetensors\n")
    (tmp_path / "cat.safetensors").unlink()
    again = api.verify(done.files[0], str(model))
    assert again.tier == "exact" and not again.failures


def test_drift_is_measured_where_the_text_is_read(model: Path, tmp_path: Path) -> None:
    save_file(spm(model, 1), tmp_path / "cat.safetensors")
    done = built(tmp_path, model, "  - fuse: cat.safetensors\n", 'preserve: {prompts: ["a red square"]}\n')
    assert claims(done)["preserve_drift"] > 0
    worst = next(c for c in done.verified.report.claims if c.name == "preserve_drift").subject
    assert "attn2" in worst
    save_file(spm(model, 1, ("attn1.to_q",)), tmp_path / "self.safetensors")
    assert "preserve_drift" not in claims(built(tmp_path, model, "  - fuse: self.safetensors\n"))
    bound = "constraints: {preserve_drift: 0.1}\n"
    assert refused(tmp_path, model, "  - fuse: self.safetensors", bound).code == "E240"


@pytest.mark.parametrize("method", ["spm", "mace"])
def test_strength_zero_changes_nothing_and_says_so(method: str, model: Path, tmp_path: Path) -> None:
    save_file(spm(model, 1, ATTENTION), tmp_path / "cat.safetensors")
    edit = f"  - fuse: cat.safetensors\n    concept: circle\n    method: {method}\n    strength: 0"
    assert refused(tmp_path, model, edit).code == "E502"


def test_the_sum_does_not_depend_on_the_order(model: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        save_file(spm(model, seed, ATTENTION), tmp_path / f"{name}.safetensors")
    found = []
    for order in (("a", "b"), ("b", "a")):
        edit = built(tmp_path, model, "".join(f"  - fuse: {n}.safetensors\n" for n in order)).verified.solution.edits
        found.append([left @ right for left, right in zip(edit["text"].left, edit["text"].right, strict=True)])
    assert all(np.allclose(one, other, atol=1e-12) for one, other in zip(*found, strict=True))


# ---------------------------------------------------------------- MACE's fusion


@pytest.mark.parametrize("rank", [1, 3])
def test_fusion_is_the_least_squares_solution(rank: int) -> None:
    """Against the dense problem stacked and handed to lstsq, and its rank is at most the sum."""
    rng = np.random.default_rng(5)
    d, out, lamb = 12, 20, 0.3
    W = rng.normal(size=(out, d))
    parts = [(rng.normal(size=(out, rank)), rng.normal(size=(rank, d))) for _ in range(3)]
    keys = [rng.normal(size=(d, n)) for n in (4, 5, 6)]
    kept = rng.normal(size=(d, 7))
    factor = fusion.normal_factor([K @ K.T for K in keys], kept @ kept.T, lamb)
    downs = [fusion.fuse_down(down, K @ K.T, factor) for (_, down), K in zip(parts, keys, strict=True)]
    delta = sum(up @ down for (up, _), (down, _) in zip(parts, downs, strict=True))
    X = np.hstack([*keys, kept, np.sqrt(lamb) * np.eye(d)])
    aims = [(W + up @ down) @ K for (up, down), K in zip(parts, keys, strict=True)]
    Y = np.hstack([*aims, W @ kept, np.sqrt(lamb) * W])
    dense = np.linalg.lstsq(X.T, Y.T, rcond=None)[0].T
    assert np.abs(W + delta - dense).max() < 1e-9
    assert np.linalg.matrix_rank(np.asarray(delta)) <= 3 * rank
    assert max(residual for _, residual in downs) < 1e-12


def test_one_adapter_without_anything_kept_is_itself_on_its_own_prompts() -> None:
    rng = np.random.default_rng(6)
    down, K = rng.normal(size=(1, 8)), rng.normal(size=(8, 3))
    fused, _ = fusion.fuse_down(down, K @ K.T, fusion.normal_factor([K @ K.T], np.zeros((8, 8)), 1e-10))
    assert np.abs(fused @ K - down @ K).max() < 1e-8
    assert np.abs(fused - down).max() > 1e-2  # and elsewhere it is not


def test_singular_and_damaged_moments_are_told_apart() -> None:
    K = np.eye(4)[:, :2]
    with pytest.raises(ridge.SingularError):
        fusion.normal_factor([K @ K.T], np.zeros((4, 4)), 0.0)
    with pytest.raises(ridge.NonFiniteError):
        fusion.normal_factor([np.full((4, 4), np.nan)], np.eye(4), 1.0)


def test_mace_keeps_prompts_better_than_the_sum(model: Path, tmp_path: Path) -> None:
    """Control: the plain sum of the same files moves what is kept further."""
    for seed, name in enumerate(("circle", "star")):
        save_file(spm(model, seed, ATTENTION), tmp_path / f"{name}.safetensors")
    edits = "".join(f"  - fuse: {n}.safetensors\n    concept: {n}\n    method: METHOD\n" for n in ("circle", "star"))
    more = "preserve: {concepts: [square, triangle, house]}\n"
    plain = built(tmp_path, model, edits.replace("METHOD", "spm"), more)
    fused = built(tmp_path, model, edits.replace("METHOD", "mace"), more)
    assert claims(fused)["preserve_drift"] < claims(plain)["preserve_drift"]
    assert claims(fused)["rank"] == 2 and claims(fused)["solve_residual"] < 1e-10
    assert fused.delta is not None and plain.delta is not None
    assert fused.delta.encoder and not plain.delta.encoder
    assert fused.delta.edits[0]["options"]["adapter"] == "circle.safetensors"
    assert not api.verify(fused.files[0], str(model)).failures


def test_mace_refuses_adapters_of_layers_whose_input_it_does_not_know(model: Path, tmp_path: Path) -> None:
    save_file(spm(model, 1), tmp_path / "cat.safetensors")
    found = refused(tmp_path, model, "  - fuse: cat.safetensors\n    concept: circle\n    method: mace")
    assert found.code == "E241" and found.span.line == 6
