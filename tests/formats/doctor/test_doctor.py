"""`editc doctor`: the model that names imply, the rules and their sources, the table, the command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from adapter_cases import ADAPTERS, K, kohya, old, pair, some, write
from doctor_cases import DELTA, MEASURED, MODULES, made, verdict
from places import ROOT
from safetensors.numpy import load_file

from editc.cli import LOADER, cli, terminal
from editc.formats.doctor.examine import LOADERS, describe, examine, headline
from editc.formats.doctor.models import KnownModules, infer_model, published_modules
from editc.formats.doctor.spelling import ENDINGS, read_adapter_file, split_name
from editc.formats.doctor.table import as_text
from editc.formats.doctor.verdict import nearest
from editc.formats.exports.kohya_names import flatten


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kohya.safetensors", "sd"),
        ("sdxl/kohya_po2_alpha1.safetensors", "sdxl"),
        ("flux/diffusers_peft.safetensors", "flux"),
    ],
)
def test_the_names_imply_the_model(name: str, kind: str) -> None:
    assert infer_model(read_adapter_file(ADAPTERS / name)).kind == kind


def test_names_that_fit_two_models_are_said_to(tmp_path: Path) -> None:
    path = made(tmp_path, pair("transformer.transformer_blocks.0.attn.to_k", (16, 16)))
    assert "Stable Diffusion 3 too" in examine(path).known.why


def test_the_nearest_module_is_named(tmp_path: Path) -> None:
    wrong = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_kk"
    assert nearest(wrong, published_modules("sd")) == f"unet.{K}"
    found = examine(made(tmp_path, {**old(), **pair(kohya(K) + "k", (16, 24), style="kohya")}))
    assert f"nearest: unet.{K}" in as_text(found, 200)


def test_endings_are_tried_longest_first() -> None:
    assert split_name("unet.a.processor.to_k_lora.down.weight") == ("unet.a.processor.to_k", "_lora.down.weight")
    assert split_name("text_encoder.a.lora_linear_layer.up.weight")[1] == ".lora_linear_layer.up.weight"
    assert all(split_name(f"m{end}") == ("m", end) for end in ENDINGS)


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


def run(*arguments: str) -> int:
    return terminal.run_command(cli, ["doctor", *arguments])


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
        known: KnownModules = published_modules(kind)
        own = {flatten(name.removeprefix("unet.")) for name in known.modules if name.startswith("unet.")}
        both = own & {flatten(name) for name in known.originals}
        assert not both
    assert headline(verdict(ADAPTERS / "kohya.safetensors", "A1111")) == "applies 32 of 32 at scale 1"


def test_the_page_says_what_the_doctor_says() -> None:
    """docs/measurements/doctor.md has the command's tables: `python -m benchmarks.doctor --write` after a change."""
    found = subprocess.run([sys.executable, "-m", "benchmarks.doctor"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() in (ROOT / "docs" / "measurements" / "doctor.md").read_text(encoding="utf-8")
