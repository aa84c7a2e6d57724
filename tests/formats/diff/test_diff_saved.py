"""`editc diff` on what scripts really save: some tensors only, other prefixes, buffers, tied copies, another dtype."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from diff_cases import SHAPES, Array, file, stored, weights, write_model
from tiny_files import pack, refused, write_pipeline

from editc.formats.apply.apply import apply, plan_apply
from editc.formats.delta.container import from_bytes, to_bytes
from editc.formats.diff.diff import Difference, difference
from editc.formats.models.layout import conversion_command
from editc.formats.models.model import open_model
from editc.formats.models.prefixes import bare_name, match_names
from editc.numerics.bits import dtypes
from editc.numerics.recover import ulp

EMBEDDING = "model.embed_tokens.weight"
LAYERS = {f"model.layers.{i}.mlp.down_proj.weight": (40, 48) for i in range(3)}
LANGUAGE = {EMBEDDING: (20, 48), **LAYERS, "model.norm.weight": (48,)}


def compared(base: Path, edited: Path, **options: str) -> Difference:
    return difference(open_model(base), open_model(edited), "editc 0", **options)  # type: ignore[arg-type]


def changed(values: Mapping[str, Array], *names: str) -> dict[str, Array]:
    """A rank of one added to those matrices."""
    rng = np.random.default_rng(5)
    moved = {n: np.outer(rng.normal(size=values[n].shape[0]), rng.normal(size=values[n].shape[1])) / 50 for n in names}
    return {name: W + moved.get(name, 0.0) for name, W in values.items()}


def applied(made: Difference, base: Path, out: Path) -> dict[str, Array]:
    out.parent.mkdir(exist_ok=True)
    apply(plan_apply([from_bytes(to_bytes(made.delta))], open_model(base)), out=out)
    return {name: W for name, (W, _) in stored(out).items()}


def test_a_file_of_edited_tensors_changes_these_and_no_others(tmp_path: Path) -> None:
    """What UCE's own script saves: some tensors of one component. The pipeline's component is found by the names."""
    base, before = write_pipeline(tmp_path / "base"), stored(write_pipeline(tmp_path / "again") / "unet")
    U, V = np.random.default_rng(3).normal(size=(2, 6, 1)) / 4
    new = {name: W + W @ U @ V.T for name, (W, _) in before.items() if "attn2" in name}
    edited = file(tmp_path / "uce_test.safetensors", new)
    for model in (base, base / "unet", base / "unet" / "diffusion_pytorch_model.safetensors"):
        made = compared(model, edited)
        assert {row.name for row in made.rows} == set(new) and {row.form for row in made.rows} == {"shared"}
        assert any("lacks 3 tensors of BASE" in note for note in made.notes)
        after = applied(made, model, tmp_path / f"out{len(list(tmp_path.iterdir()))}" / model.name)
        assert all(np.abs(after[name] - new[name]).max() < 1e-6 for name in new)
        assert all(np.array_equal(after[name], before[name][0]) for name in before.keys() - new.keys())


def test_a_file_that_is_no_part_of_the_model_is_refused(tmp_path: Path) -> None:
    """Other names; the same names and other weights, as of another training; one shard; a pruned model's own file."""
    values = weights(1, SHAPES)
    base, part = file(tmp_path / "base.safetensors", values), dict(list(values.items())[:3])
    with refused("E645"):
        compared(base, file(tmp_path / "names.safetensors", {"a.weight": np.ones((3, 4))}))
    with refused("E645") as error:
        compared(base, file(tmp_path / "other.safetensors", {n: weights(2, SHAPES)[n] for n in part}))
    assert error.diagnostics[0].message.startswith("3 tensors of the two models share names and shapes but not values")
    with refused("E645") as error:
        compared(base, file(tmp_path / "model-00001-of-00002.safetensors", changed(part, *part)))
    assert "folder" in error.diagnostics[0].help
    pruned = write_model(tmp_path / "pruned", changed(part, *part))
    for place in (pruned, pruned / "model.safetensors"):
        with refused("E645"):
            compared(base, place)
    pipeline = write_pipeline(tmp_path / "pipeline")
    with refused("E645") as error:
        compared(pipeline, file(tmp_path / "ema.safetensors", {f"ema.{n}": W for n, W in values.items()}))
    assert error.diagnostics[0].message.startswith("6 tensors of the two models are in one of them only, the first is")
    assert "names that BASE has" in error.diagnostics[0].help
    with refused("E645") as error:
        compared(pipeline, file(tmp_path / "lora.safetensors", {"x.lora_A.weight": np.ones((3, 4))}))
    assert "adapter" in error.diagnostics[0].help


BUFFERS = {
    "text_model.embeddings.position_ids": ("I64", (1, 4)),
    "h.0.attn.bias": ("F32", (1, 1, 4, 4)),
    "h.0.attn.masked_bias": ("F32", ()),
    "gpt_neox.layers.0.attention.bias": ("BOOL", (1, 1, 4, 4)),
    "layers.0.self_attn.rotary_emb.inv_freq": ("F32", (4,)),
}


@pytest.mark.parametrize("name", BUFFERS)
@pytest.mark.parametrize("side", ["base", "edited", "both"])
def test_buffers_that_a_library_computes_are_no_difference(name: str, side: str, tmp_path: Path) -> None:
    dtype, shape = BUFFERS[name]
    values = weights(3, SHAPES)
    first = next(iter(values))
    for i, (which, held) in enumerate((("base", values), ("edited", changed(values, first)))):
        tensors = {n: ("F32", W.shape, dtypes.encode(W, "F32")) for n, W in held.items()}
        size = int(np.prod(shape, dtype=int)) * (8 if dtype == "I64" else 4 if dtype == "F32" else 1)
        extra = {name: (dtype, shape, bytes([i]) * size)} if side in (which, "both") else {}
        (tmp_path / which).mkdir()
        (tmp_path / which / "model.safetensors").write_bytes(pack(tensors | extra))
    made = compared(tmp_path / "base", tmp_path / "edited")
    assert [row.name for row in made.rows] == [first] and any(
        "1 buffer (" in note and name in note for note in made.notes
    )


@pytest.mark.parametrize("name", ["h.0.attn.bias", "layers.0.attention.bias"])
def test_a_bias_of_the_same_name_is_a_weight(name: str, tmp_path: Path) -> None:
    values = weights(3, SHAPES) | {name: np.ones(4)}
    made = compared(
        file(tmp_path / "a.safetensors", values), file(tmp_path / "b.safetensors", values | {name: values[name] * 2})
    )
    assert [row.name for row in made.rows] == [name]


def test_a_copy_of_the_tied_embedding_carries_nothing(tmp_path: Path) -> None:
    values = weights(4, LANGUAGE)
    edited = changed(values, *LAYERS)
    base = write_model(tmp_path / "base", values)
    made = compared(base, write_model(tmp_path / "headed", edited | {"lm_head.weight": edited[EMBEDDING]}))
    assert {row.name for row in made.rows} == set(LAYERS) and any("lm_head.weight" in note for note in made.notes)
    with refused("E645") as error:
        compared(base, write_model(tmp_path / "untied", edited | {"lm_head.weight": edited[EMBEDDING] + 0.01}))
    assert error.diagnostics[0].message.startswith(
        "1 tensor of the two models is in one of them only, the first is 'lm"
    )
    assert "untie" in error.diagnostics[0].help and "lm_head.weight" in error.diagnostics[0].notes[0]
    with refused("E645") as error:
        grown = np.concatenate([edited[EMBEDDING], np.zeros((2, 48))])
        compared(base, write_model(tmp_path / "grown", edited | {EMBEDDING: grown}))
    assert "resize_token_embeddings" in error.diagnostics[0].help


@pytest.mark.parametrize("kept", [EMBEDDING, "lm_head.weight"])
def test_a_tied_embedding_that_changed_is_changed_under_both_names(kept: str, tmp_path: Path) -> None:
    """BASE stores both, EDITED one of them; and BASE one of them, EDITED the other."""
    values = weights(4, LANGUAGE)
    new = changed(values, EMBEDDING)
    rest = {name: W for name, W in new.items() if name != EMBEDDING}
    edited = write_model(tmp_path / "edited", rest | {kept: new[EMBEDDING]})
    both = write_model(tmp_path / "both", values | {"lm_head.weight": values[EMBEDDING]})
    made = compared(both, edited)
    assert {row.name for row in made.rows} == {EMBEDDING, "lm_head.weight"}
    after = applied(made, both, tmp_path / "out")
    assert np.array_equal(after[EMBEDDING], after["lm_head.weight"])
    made = compared(write_model(tmp_path / "one", values), edited)
    assert {row.name for row in made.rows} == {EMBEDDING}


@pytest.mark.parametrize(
    "prefix", ["", "transformer.", "language_model.", "model.language_model.", "module.", "_orig_mod."]
)
def test_prefixes_that_libraries_add_are_no_difference(prefix: str, tmp_path: Path) -> None:
    values = weights(4, LANGUAGE)
    edited = {prefix + name.removeprefix("model."): W for name, W in changed(values, *LAYERS).items()}
    made = compared(write_model(tmp_path / "base", values), write_model(tmp_path / "edited", edited))
    assert {row.name for row in made.rows} == set(LAYERS) and any("prefixes" in note for note in made.notes)


def test_names_that_would_be_one_are_matched_as_they_stand() -> None:
    assert (
        bare_name("model.language_model.layers.0.x.weight") == "layers.0.x.weight" and bare_name("weight") == "weight"
    )
    both = ["text_model.encoder.w", "encoder.w"]
    assert match_names(["transformer.encoder.w"], both) == {}
    assert match_names(both, both) == {name: name for name in both}
    assert match_names(["encoder.w", "vision_model.encoder.w"], ["text_model.encoder.w", "vision_model.encoder.w"]) == {
        "encoder.w": "text_model.encoder.w",
        "vision_model.encoder.w": "vision_model.encoder.w",
    }


@pytest.mark.parametrize(("mine", "theirs"), [("F32", "F16"), ("F32", "BF16"), ("F16", "F32"), ("BF16", "F16")])
def test_another_dtype_is_rounded_away(mine: str, theirs: str, tmp_path: Path) -> None:
    """The delta fits BASE as it is stored, and BASE in EDITED's dtype gives EDITED; a bias comes along."""
    values = weights(6, LANGUAGE)
    base = file(tmp_path / "base.safetensors", values, mine)
    values = {name: W for name, (W, _) in stored(base).items()}
    new = changed(values, *LAYERS) | {"model.norm.weight": values["model.norm.weight"] * 1.5}
    edited = file(tmp_path / "edited.safetensors", new, theirs)
    made = compared(base, edited, mend="exact")
    assert {row.name for row in made.rows} == {*LAYERS, "model.norm.weight"}
    assert {row.form for row in made.rows if row.name in LAYERS} <= {"low-rank", "shared"}
    assert any(mine in note and theirs in note for note in made.notes)
    as_theirs = applied(made, file(tmp_path / "cast.safetensors", values, theirs), tmp_path / "x" / "o.safetensors")
    assert all(np.array_equal(as_theirs[name], W) for name, (W, _) in stored(edited).items())
    after, aim = applied(made, base, tmp_path / "y" / "o.safetensors"), stored(edited)
    coarse = max((mine, theirs), key=("F32", "F16", "BF16").index)
    assert all(np.abs(after[n] - aim[n][0]).max() <= 4 * ulp(aim[n][0], coarse).max() for n in aim)
    with refused("E649"):
        compared(base, edited, form="xor")


def test_components_of_one_side_only(tmp_path: Path) -> None:
    """A script may save a pipeline without its checker; one that it adds, or keeps as a pickle, could hide the edit."""
    base, edited = write_pipeline(tmp_path / "base"), write_pipeline(tmp_path / "edited", drift=0.01)
    shutil.copytree(base / "text_encoder", base / "safety_checker")
    made = compared(base, edited)
    assert {row.component for row in made.rows} == {"unet"}
    assert any("safety_checker is in BASE only" in note for note in made.notes)
    with refused("E645") as error:
        compared(edited, base)
    told = "1 component of the two models is in one of them only, the first is 'safety_checker'"
    assert error.diagnostics[0].message == told
    unets = f"{edited / 'unet'} {base / 'unet'}"
    assert unets in error.diagnostics[0].help and compared(edited / "unet", base / "unet").rows
    (edited / "unet" / "diffusion_pytorch_model.safetensors").rename(edited / "unet" / "diffusion_pytorch_model.bin")
    with refused("E611"):
        compared(base, edited)


def test_the_converter_that_is_named_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of E611, on what torch.save writes of a state dict, bare and as a trainer wraps it."""
    import torch
    from safetensors.torch import load_file

    one = torch.randn(3, 4)
    values = {"w": one, "tied": one}
    every = {"a.pt": values, "b.ckpt": {"state_dict": values, "epoch": 3}, "pytorch_model.bin": values}
    for name, value in every.items():
        torch.save(value, tmp_path / name)
        with refused("E611") as error:
            open_model(tmp_path / name)
        command = conversion_command(tmp_path / name)
        assert command in error.diagnostics[0].help and command.count('"') == 2
        monkeypatch.setattr(sys, "argv", ["-c", *command.rpartition('" ')[2].split()])
        exec(command.split('"')[1], {})
        made = tmp_path / name.replace("pytorch_", "")
        assert torch.equal(load_file(made.with_suffix(".safetensors"))["w"], one)
    with refused("E611") as error:
        (tmp_path / "pytorch_model-00001-of-00002.bin").touch()
        open_model(tmp_path / "pytorch_model-00001-of-00002.bin")
    assert "save_pretrained" in error.diagnostics[0].help


def test_a_diff_for_another_model_is_made_again_and_not_built(tmp_path: Path) -> None:
    """It has no manifest that could be built."""
    values = weights(6, LANGUAGE)
    base = file(tmp_path / "b.safetensors", values)
    edited = file(tmp_path / "e.safetensors", changed(values, *LAYERS))
    other, made = file(tmp_path / "o.safetensors", weights(7, LANGUAGE)), compared(base, edited)
    wide = file(tmp_path / "w.safetensors", {n: np.ones((3, 5)) for n in LANGUAGE})
    for model, code in ((other, "E622"), (wide, "E621")):
        with refused(code) as error:
            plan_apply([made.delta], open_model(model))
        assert "editc diff" in error.diagnostics[0].help and "manifest" not in error.diagnostics[0].help
