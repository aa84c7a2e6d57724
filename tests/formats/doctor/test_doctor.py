"""`editc doctor`: what was measured in ComfyUI, what A1111's and vLLM's code says, the command and its errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import consumer_models
import numpy as np
import pytest
from adapter_cases import ADAPTERS, K, Tensors, kohya, old, ones, pair, some, unet, write
from places import FIXTURES, ROOT
from safetensors.numpy import load_file

from editc.cli import LOADER, cli, terminal
from editc.core.diagnostics import EditcError
from editc.formats.delta.container import write_delta
from editc.formats.doctor import a1111, comfyui, peft, rules_diffusers, vllm
from editc.formats.doctor.advice import export_as
from editc.formats.doctor.examine import LOADERS, describe, examine, failing, headline, scale_text
from editc.formats.doctor.models import Known, implied, standard
from editc.formats.doctor.spelling import ENDINGS, read_adapter_file, split
from editc.formats.doctor.table import as_text
from editc.formats.doctor.verdict import LoaderVerdict, nearest
from editc.formats.exports import write as export
from editc.formats.exports.kohya_names import flat
from editc.formats.exports.suits import BEST, best_for
from editc.formats.exports.write import suiting
from editc.formats.models.model import open_model
from editc.registry.families import FAMILIES

MODULES = (rules_diffusers, comfyui, a1111, peft, vllm)
DELTA = FIXTURES / "deltas" / "v1" / "shared.safetensors"

MEASURED = {
    "kohya.safetensors": (32, 32),
    "kohya_noalpha.safetensors": (32, 32),
    "sd15/diffusers_processor.safetensors": (32, 32),
    "sd15/diffusers_peft.safetensors": (0, 32),
    "sd15/diffusers_peft_meta.safetensors": (0, 32),
    "sd15/kohya_diff.safetensors": (32, 32),
    "sd15/comfy_generic_lora.safetensors": (32, 32),
    "sd15/comfy_set_weight.safetensors": (32, 32),
    "sd15/bad_bare_peft_prefix.safetensors": (0, 32),
    "sd15/bad_unet_alpha.safetensors": (0, 32),
    "sdxl/kohya_po2_alpha1.safetensors": (56, 56),
    "sdxl/diffusers_peft_uniform.safetensors": (0, 56),
    "sdxl/bad_kohya_mixed_rank_alpha.safetensors": (56, 56),
    "flux/diffusers_peft.safetensors": (12, 12),
    "flux/kohya_fused_qkv.safetensors": (4, 4),
}
"""File -> modules that ComfyUI a125cd84 patched, of how many; it was run on these very files."""


def verdict(path: Path, loader: str) -> LoaderVerdict:
    return next(one for one in examine(path).verdicts if one.loader == loader)


def made(tmp_path: Path, tensors: Tensors) -> Path:
    return write(tmp_path / "adapter.safetensors", tensors)


@pytest.mark.parametrize("name", MEASURED)
def test_comfyui_patches_as_many_modules_as_were_measured(name: str) -> None:
    said = verdict(ADAPTERS / name, "ComfyUI")
    assert (said.count("applied"), len(said.rows)) == MEASURED[name]
    assert said.outcome == ("applies" if MEASURED[name][0] else "nothing")


def test_the_scale_in_comfyui_and_a1111_is_each_modules_own() -> None:
    """Where diffusers gives 42 of 56 modules a part of their delta, these two are exact."""
    path = ADAPTERS / "sdxl" / "bad_kohya_mixed_rank_alpha.safetensors"
    wrong = verdict(path, "diffusers")
    assert (wrong.outcome, wrong.count("applied"), wrong.count("wrong")) == ("partly", 14, 42)
    ranks = {module.name: module.rank for module in read_adapter_file(path)}
    assert all(row.scale == 1 / ranks[row.module] for row in wrong.rows)
    for loader in ("ComfyUI", "A1111"):
        assert scale_text(verdict(path, loader)) == "scale 1"


def test_comfyui_takes_the_unets_modules_that_are_no_attention_matrices(tmp_path: Path) -> None:
    """`unet.*.proj_in` and the feed forward are found, `unet.*.to_k` are not: half an edit."""
    inner = "down_blocks.0.attentions.0."
    said = verdict(made(tmp_path, {**unet(), **pair(f"unet.{inner}proj_in", (16, 16))}), "ComfyUI")
    assert (said.outcome, said.count("applied"), said.count("lost")) == ("partly", 1, 1)


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_a1111_numbers_attention_blocks_as_ldm_does(kind: Any) -> None:
    """Its formula (input block 1 + 3 level + number, output block 3 level + number) gives LDM's names."""
    known = standard(kind)
    homes = {parts[0]: original for original, parts in known.originals.items()}
    checked = 0
    for module, original in homes.items():
        way, _, rest = module.removeprefix("unet.").partition("_blocks.")
        level, kind_, number, *inner = rest.split(".") if way in ("down", "up") else ("", "", "")
        if kind_ != "attentions":
            continue
        block = 3 * int(level) + int(number) + (way == "down")
        assert original == f"{'input' if way == 'down' else 'output'}_blocks.{block}.1.{'.'.join(inner)}"
        checked += 1
    assert checked > 100


def test_a1111_cuts_at_the_first_dot_and_stops_at_endings_it_does_not_know(tmp_path: Path) -> None:
    assert verdict(made(tmp_path, unet()), "A1111").outcome == "nothing"
    assert verdict(made(tmp_path, {kohya(K) + ".diff": ones(16, 24)}), "A1111").outcome == "applies"
    assert (
        verdict(made(tmp_path, {**old(), kohya(K[:-1] + "v") + ".set_weight": ones(16, 24)}), "A1111").outcome
        == "refused"
    )
    assert verdict(made(tmp_path, old()), "A1111").outcome == "applies"


def test_text_encoders_of_sdxl_have_numbers_in_a1111(tmp_path: Path) -> None:
    inner = "text_model.encoder.layers.0.mlp.fc1"
    mixed = pair(kohya("output_blocks.1.1.transformer_blocks.9.ff.net.2"), (16, 64), style="kohya")
    for prefix, outcome in (("lora_te_", "partly"), ("lora_te1_", "applies"), ("lora_te2_", "applies")):
        path = made(tmp_path, mixed | pair(kohya(inner, prefix), (32, 16), style="kohya"))
        assert examine(path).known.kind == "sdxl"
        assert verdict(path, "A1111").outcome == outcome


VLLM: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "as it is": ({}, "applies"),
    "rslora": ({"use_rslora": True}, "applies"),
    "rank": ({"r": 32}, "refused"),
    "dora": ({"use_dora": True}, "refused"),
    "bias": ({"bias": "all"}, "refused"),
    "modules to save": ({"modules_to_save": ["lm_head"]}, "refused"),
    "alpha pattern": ({"alpha_pattern": {"layers.0.mlp.down_proj": 16}}, "partly"),
    "no alpha": ({"lora_alpha": None}, "refused"),
}


@pytest.mark.parametrize("change", VLLM)
def test_what_vllm_takes(change: str, tmp_path: Path) -> None:
    config, outcome = VLLM[change]
    path = Path(shutil.copytree(ADAPTERS / "llama" / "peft_llama", tmp_path / "adapter"))
    told = json.loads((path / "adapter_config.json").read_text()) | config
    (path / "adapter_config.json").write_text(json.dumps({k: v for k, v in told.items() if v is not None}))
    said = verdict(path, "vLLM")
    assert said.outcome == outcome
    if change == "rank":
        assert "--max-lora-rank 32" in said.advice and "32 is greater than max_lora_rank 16" in said.error
    if change == "rslora":
        assert scale_text(said) == f"scale {8 / 8**0.5:g}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kohya.safetensors", "sd"),
        ("sdxl/kohya_po2_alpha1.safetensors", "sdxl"),
        ("flux/diffusers_peft.safetensors", "flux"),
    ],
)
def test_the_names_imply_the_model(name: str, kind: str) -> None:
    assert implied(read_adapter_file(ADAPTERS / name)).kind == kind


def test_names_that_fit_two_models_are_said_to(tmp_path: Path) -> None:
    path = made(tmp_path, pair("transformer.transformer_blocks.0.attn.to_k", (16, 16)))
    assert "Stable Diffusion 3 too" in examine(path).known.why


def test_the_nearest_module_is_named(tmp_path: Path) -> None:
    wrong = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_kk"
    assert nearest(wrong, standard("sd")) == f"unet.{K}"
    found = examine(made(tmp_path, {**old(), **pair(kohya(K) + "k", (16, 24), style="kohya")}))
    assert f"nearest: unet.{K}" in as_text(found, 200)


def test_endings_are_tried_longest_first() -> None:
    assert split("unet.a.processor.to_k_lora.down.weight") == ("unet.a.processor.to_k", "_lora.down.weight")
    assert split("text_encoder.a.lora_linear_layer.up.weight")[1] == ".lora_linear_layer.up.weight"
    assert all(split(f"m{end}") == ("m", end) for end in ENDINGS)


def test_every_rule_has_a_source_a_name_of_its_own_and_advice_that_is_met() -> None:
    rules = [rule for module in MODULES for rule in module.RULES]
    assert len({rule.name for rule in rules}) == len(rules)
    assert all(rule.says and rule.source for rule in rules)
    for module in MODULES:
        assert set(module.ADVICE) <= {rule.name for rule in module.RULES}
    assert tuple(LOADERS) == tuple(LOADER.choices)


def test_rules_that_nobody_ran_say_so() -> None:
    data = describe(examine(ADAPTERS / "kohya.safetensors"))
    sources = {one["loader"]: [rule["source"] for rule in one["rules"]] for one in data["loaders"]}
    assert all("read, not run" in source for source in sources["A1111"])
    assert not any("read, not run" in source for source in sources["diffusers"] + sources["ComfyUI"])


def test_a_delta_is_for_no_loader_and_its_export_is_named() -> None:
    found = examine(DELTA)
    assert not found.sound and found.meant_for == ()
    assert {one.outcome for one in found.verdicts} <= {"refused", "nothing"}
    assert all("editc export" in one.advice for one in found.verdicts)


@pytest.mark.parametrize("family", [*FAMILIES.names("image"), *FAMILIES.names("language"), "pico"])
def test_the_export_that_is_advised_takes_the_family(family: str) -> None:
    """For every family: the format exists, holds its deltas, and is the one that other programs read."""
    form = best_for(family)
    assert not export.refused([form], family) and f"--as {form}" in export_as(family)
    assert form in BEST and form in suiting(family)
    adapters = {"sd1": "kohya", "sd2": "kohya", "sdxl": "kohya", "flux": "diffusers", "sd3": "diffusers"}
    others = {"pixart": "diff", "cascade": "checkpoint", "kandinsky22": "checkpoint"}
    assert form == (adapters | others).get(family, "peft")


def test_no_advice_sends_an_adapter_that_others_made_to_export() -> None:
    """`editc export` takes deltas: an adapter is first made one."""
    for module in MODULES:
        for advice in module.ADVICE.values():
            assert "editc export" not in advice or "editc build" in advice or "editc diff" in advice, advice


def test_an_export_of_editc_is_judged_by_what_it_says_of_itself(tmp_path: Path) -> None:
    """The demo's own modules are few, and the names would fit SDXL as well."""
    from editc import api

    model = open_model("editc:demo")
    sites = [s for s in consumer_models.sites(model, "sd1") if "down_blocks.1" in s.name]
    made = consumer_models.delta(model, "sd1", sites, "low-rank")
    write_delta(made, tmp_path / "delta.safetensors")
    api.export(tmp_path / "delta.safetensors", "kohya", tmp_path / "k.safetensors", "editc:demo", tried=False)
    found = examine(tmp_path / "k.safetensors")
    assert found.sound and found.known.kind == "sd" and "editc for sd1" in found.known.why


def test_what_is_not_known_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither ok nor NO: names of no layout, a model of no known kind, settings that no rule covers."""
    strange = Path(shutil.copytree(ADAPTERS / "llama" / "peft_llama", tmp_path / "strange"))
    tensors = load_file(strange / "adapter_model.safetensors")
    write(
        strange / "adapter_model.safetensors",
        {n.replace("model.model.", "model.trunk."): v for n, v in tensors.items()},
    )
    assert {verdict(strange, loader).outcome for loader in ("PEFT", "vLLM")} == {"not judged"}
    assert run(str(strange)) == 1
    told = capsys.readouterr()
    assert "E639" in told.err and "?? PEFT" in told.out and "NO" not in told.out and "--model" in told.err
    bare = Path(shutil.copytree(ADAPTERS / "llama" / "peft_llama", tmp_path / "bare"))
    write(bare / "adapter_model.safetensors", {n.replace("model.model.", "model."): v for n, v in tensors.items()})
    assert verdict(bare, "PEFT").outcome == "not judged"
    names = ("transformer.transformer_blocks.0.attn.to_k", "transformer.transformer_blocks.0.img_mlp.net.2")
    other = made(tmp_path, {k: v for name in names for k, v in pair(name, (16, 16)).items()})
    assert examine(other).known.kind == "unknown" and verdict(other, "diffusers").outcome == "not judged"


def test_gguf_is_recognised() -> None:
    found = examine(ADAPTERS / "llama" / "edit-lora.gguf")
    assert found.adapter.container == "gguf" and not found.sound
    assert "llama.cpp" in as_text(found, 80)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", [*MEASURED, "llama/peft_llama", "sd15/peft_dir"])
def test_the_table_fits_the_terminal(name: str, width: int) -> None:
    text = as_text(examine(ADAPTERS / name), width)
    assert max(len(line) for line in text.splitlines() if "/" not in line) <= width
    assert all(loader in text for loader in LOADERS)


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


def run(*arguments: str) -> int:
    return terminal.guarded(cli, ["doctor", *arguments])


def test_the_exit_code_is_that_of_the_loaders_that_count(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(ADAPTERS / "sd15" / "diffusers_peft.safetensors")
    assert run(str(ADAPTERS / "kohya.safetensors")) == 0
    assert run(path) == 1
    assert "E688" in capsys.readouterr().err
    assert run(path, "--for", "diffusers") == 0
    assert run(path, "--for", "comfyui") == 1
    assert run(path, "--for", "nobody") == 2
    assert run(str(DELTA)) == 1


def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(ADAPTERS / "sdxl" / "bad_kohya_mixed_rank_alpha.safetensors"), "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert data["status"] == "failed" and data["diagnostics"][0]["code"] == "E688"
    (said,) = [one for one in data["loaders"] if one["loader"] == "diffusers"]
    assert (said["applied"], said["wrong"], said["lost"]) == (14, 42, 0)
    assert {row["fate"] for row in said["modules"]} == {"applied", "wrong"}
    assert all(rule["source"] and rule["how"] == "run" for rule in said["rules"])


def test_half_a_pair_is_never_counted_as_applied(tmp_path: Path) -> None:
    path = made(tmp_path, some(old(), "down.weight"))
    assert all(one.count("applied") == 0 for one in examine(path).verdicts)


def test_no_loader_applies_what_has_no_place(tmp_path: Path) -> None:
    """A whole other model's names: every loader that judges says that it does nothing, or refuses."""
    path = made(tmp_path, pair("transformer.blocks.3.foo", (8, 8)))
    assert all(one.outcome != "applies" for one in examine(path).verdicts)


def test_originals_and_modules_do_not_meet_under_kohyas_names() -> None:
    """A name in kohya's spelling means one thing: LDM's and diffusers' names do not become the same."""
    for kind in ("sd", "sdxl"):
        known: Known = standard(kind)
        own = {flat(name.removeprefix("unet.")) for name in known.modules if name.startswith("unet.")}
        both = own & {flat(name) for name in known.originals}
        assert not both
    assert headline(verdict(ADAPTERS / "kohya.safetensors", "A1111")) == "applies 32 of 32 at scale 1"


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


def test_the_page_says_what_the_doctor_says() -> None:
    """docs/measurements/doctor.md has the command's tables: `python -m benchmarks.doctor --write` after a change."""
    found = subprocess.run([sys.executable, "-m", "benchmarks.doctor"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() in (ROOT / "docs" / "measurements" / "doctor.md").read_text(encoding="utf-8")


def test_an_export_is_judged_as_the_adapter_that_it_is(tmp_path: Path) -> None:
    """It carries a delta's description, and loaders do not care."""
    from dataclasses import replace

    import tiny_files

    from editc.formats.delta.container import sealed
    from editc.formats.exports.format import Job
    from editc.formats.exports.write import export

    model = tiny_files.pipeline(tmp_path / "model")
    delta = sealed(replace(tiny_files.delta_for(model, "shared"), family="sd1"))
    export(Job(delta, model, tmp_path / "k.safetensors"), "kohya", tried=False)
    found = examine(tmp_path / "k.safetensors")
    assert found.adapter.container == "file" and len(found.adapter.modules) == len(delta.sites)


def test_a_loader_that_is_not_judged_is_neither_for_nor_against(tmp_path: Path) -> None:
    """An adapter of GPT-2: PEFT takes it, of vLLM it is not known; asked for vLLM alone there is no verdict."""
    model = open_model(consumer_models.gpt2(tmp_path / "gpt2"))
    made = consumer_models.delta(model, "gpt2", consumer_models.sites(model, "gpt2"), "low-rank")
    write_delta(made, tmp_path / "delta.safetensors")
    from editc import api

    api.export(tmp_path / "delta.safetensors", "peft", tmp_path / "peft", str(tmp_path / "gpt2"), tried=False)
    found = examine(tmp_path / "peft", model)
    assert found.sound and {one.loader: one.outcome for one in found.verdicts}["vLLM"] == "not judged"
    alone = examine(tmp_path / "peft", model, ("vLLM",))
    assert not alone.sound and failing(alone)[0].code == "E639"
