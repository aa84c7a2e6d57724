"""The doctor against the real diffusers, PEFT and transformers.

Every file is loaded, and what was added to the weights is compared, module by module, with what the doctor said: which
modules are matched, at which scale, or which kind of error is raised.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matrix_peft
import numpy as np
import pytest
from adapter_cases import ADAPTERS, CASES, FK, FQ, STATED, TEXT_SETS, Tensors, kohya, old, pair, text, unet, write
from loaders import Cell, Measured, assert_agreement, encoders, judged, part, through_diffusers, through_peft, verdict

from editc.formats.doctor import diffusers, peft, rules_diffusers
from editc.formats.doctor.examine import examine
from editc.formats.doctor.verdict import LoaderRule
from editc.formats.exports.kohya_names import flatten

FILES = {
    "sd1": [
        "kohya.safetensors",
        "kohya_noalpha.safetensors",
        *(f"sd15/{p.name}" for p in ADAPTERS.glob("sd15/*.saf*")),
    ],
    "sdxl": [f"sdxl/{path.name}" for path in sorted(ADAPTERS.glob("sdxl/*.safetensors"))],
    "flux": [f"flux/{path.name}" for path in sorted(ADAPTERS.glob("flux/*.safetensors"))],
}
KINDS = {"sd1": "sd", "sdxl": "sdxl", "flux": "flux", "sd3": "sd3"}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Each pico model on disk, as a pipeline's folder."""
    made = {}
    for kind in KINDS:
        home = made[kind] = tmp_path_factory.mktemp(kind)
        for name, model in (part(kind) | encoders(kind)).items():
            model.save_pretrained(home / name)
    return made


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in FILES.items() for name in names])
def test_a_fixture_does_in_diffusers_what_the_doctor_says(kind: str, name: str, folders: Mapping[str, Path]) -> None:
    if name.endswith("expected.safetensors"):
        return
    found = judged(ADAPTERS / name, folders[kind])
    assert found.known.kind == KINDS[kind]
    assert_agreement(verdict(found, "diffusers"), through_diffusers(kind, ADAPTERS / name, part(kind)), found)
    without = verdict(examine(ADAPTERS / name), "diffusers")
    assert (without.outcome, without.count("applied")) == (
        verdict(found, "diffusers").outcome,
        verdict(found, "diffusers").count("applied"),
    )


@pytest.mark.parametrize("case", CASES)
def test_a_trap_does_in_diffusers_what_the_doctor_says(case: str, folders: Mapping[str, Path], tmp_path: Path) -> None:
    kind, tensors = CASES[case]
    path = write(tmp_path / "adapter.safetensors", tensors())
    found = judged(path, folders[kind])
    assert_agreement(verdict(found, "diffusers"), through_diffusers(kind, path, part(kind)), found)


@pytest.mark.parametrize("stated", STATED)
def test_metadata_does_in_diffusers_what_the_doctor_says(
    stated: str, folders: Mapping[str, Path], tmp_path: Path
) -> None:
    kind, tensors, says = STATED[stated]
    path = write(tmp_path / "adapter.safetensors", tensors(), says)
    found = judged(path, folders[kind])
    assert_agreement(verdict(found, "diffusers"), through_diffusers(kind, path, part(kind)), found)


@pytest.mark.parametrize("component", ["text_encoder", "text_encoder_2"])
@pytest.mark.parametrize("style", ["kohya", "peft", "flat", "layer"])
def test_text_encoders_in_diffusers(component: str, style: str, folders: Mapping[str, Path], tmp_path: Path) -> None:
    parts = part("sdxl")
    for leaves in TEXT_SETS:
        path = write(tmp_path / "adapter.safetensors", text(component, style, leaves))
        found = judged(path, folders["sdxl"])
        assert_agreement(verdict(found, "diffusers"), through_diffusers("sdxl", path, parts | encoders("sdxl")), found)


@pytest.mark.parametrize("kind", ["sd1", "flux", "sd3"])
@pytest.mark.parametrize("style", ["kohya", "peft", "flat", "layer"])
def test_a_text_encoder_beside_other_models(kind: str, style: str, folders: Mapping[str, Path], tmp_path: Path) -> None:
    main = {"sd1": old() if style == "kohya" else unet()}
    main["flux"] = pair(kohya(FQ), (48, 16), style="kohya") if style == "kohya" else pair(FK, (16, 16))
    main["sd3"] = pair(FK, (32, 32))
    for leaves in (("out_proj", "fc1"), ("fc2",)):
        path = write(tmp_path / "adapter.safetensors", {**main[kind], **text("text_encoder", style, leaves)})
        found = judged(path, folders[kind])
        assert_agreement(verdict(found, "diffusers"), through_diffusers(kind, path, part(kind) | encoders(kind)), found)


@pytest.mark.parametrize(("kind", "spelling"), [("sd1", "own"), ("sd1", "ldm"), ("sdxl", "own"), ("sdxl", "ldm")])
def test_every_matrix_of_a_unet_in_kohyas_names(
    kind: str, spelling: str, folders: Mapping[str, Path], tmp_path: Path
) -> None:
    """Which of all names the converter places: the doctor's table is no more and no less than that."""
    known = judged(write(tmp_path / "any.safetensors", unet()), folders[kind]).known
    homes = {name.removeprefix("unet."): name for name in known.modules if name.startswith("unet.")}
    names = homes if spelling == "own" else {old: parts[0] for old, parts in known.originals.items()}
    tensors: Tensors = {}
    for name, home in names.items():
        shape = known.modules[home] or ()
        made = pair(kohya(name), shape, rank=1, style="kohya")
        tensors |= made
    path = write(tmp_path / "adapter.safetensors", tensors)
    found = judged(path, folders[kind])
    assert_agreement(verdict(found, "diffusers"), through_diffusers(kind, path, part(kind)), found)
    assert len(names) > 200


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
    )
    return LlamaForCausalLM(config)


CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "as it is": {},
    "rslora": {"use_rslora": True},
    "alpha": {"lora_alpha": 16},
    "another target": {"target_modules": ["q_proj"]},
    "one more target": {"target_modules": ["down_proj", "q_proj"]},
    "no such target": {"target_modules": ["foo"]},
    "a regex": {"target_modules": r".*mlp\.down_proj"},
    "all linear": {"target_modules": "all-linear"},
    "excluded": {"exclude_modules": ["model.layers.0.mlp.down_proj"]},
    "one layer": {"layers_to_transform": [0]},
    "another rank": {"r": 4},
    "rank 0": {"r": 0},
    "half a rank pattern": {"r": 4, "rank_pattern": {"layers.0.mlp.down_proj": 8}},
    "alpha pattern": {"alpha_pattern": {"layers.0.mlp.down_proj": 16}},
    "modules to save": {"modules_to_save": ["lm_head"]},
    "no type": {"peft_type": None},
    "no r": {"r": None},
    "no target": {"target_modules": None},
}


def folder(tmp_path: Path, change: Mapping[str, Any], tensors: Tensors | None = None) -> Path:
    """The llama fixture with another config; a None removes the entry."""
    made = Path(shutil.copytree(ADAPTERS / "llama" / "peft_llama", tmp_path / "adapter"))
    config = json.loads((made / "adapter_config.json").read_text()) | change
    (made / "adapter_config.json").write_text(
        json.dumps({k: v for k, v in config.items() if v is not None or k not in change})
    )
    if tensors is not None:
        write(made / "adapter_model.safetensors", tensors)
    return made


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("llama")
    llama().save_pretrained(home)
    return home


@pytest.mark.parametrize("change", CONFIGS)
def test_a_config_does_in_peft_what_the_doctor_says(change: str, llama_folder: Path, tmp_path: Path) -> None:
    path = folder(tmp_path, CONFIGS[change])
    found = judged(path, llama_folder)
    assert_agreement(verdict(found, "PEFT"), through_peft(path, llama()), found)


DOWN = "base_model.model.model.layers.0.mlp.down_proj"
WEIGHTS: Mapping[str, Tensors] = {
    "no prefix": pair(DOWN.removeprefix("base_model.model."), (32, 48), rank=8),
    "dense": {f"{DOWN}.diff": np.ones((32, 48), np.float32)},
    "a module more": pair(DOWN, (32, 48), rank=8) | pair(DOWN.replace("layers.0", "layers.7"), (32, 48), rank=8),
    "too wide": pair(DOWN, (32, 49), rank=8),
}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_do_in_peft_what_the_doctor_says(weights: str, llama_folder: Path, tmp_path: Path) -> None:
    path = folder(tmp_path, {}, WEIGHTS[weights])
    found = judged(path, llama_folder)
    assert_agreement(verdict(found, "PEFT"), through_peft(path, llama()), found)


def test_a_unets_peft_folder(folders: Mapping[str, Path]) -> None:
    path = ADAPTERS / "sd15" / "peft_dir"
    found = judged(path, folders["sd1"])
    measured = through_peft(path, part("sd1")["unet"])
    assert_agreement(
        verdict(found, "PEFT"), Measured({f"unet.{n}": d for n, d in measured.deltas.items()}, measured.error), found
    )
    assert len(measured.deltas) == 32


def test_a_file_alone_is_none_for_peft(tmp_path: Path) -> None:
    measured = through_peft(write(tmp_path / "adapter.safetensors", unet()), llama())
    assert measured.error.startswith(verdict(examine(tmp_path / "adapter.safetensors"), "PEFT").error.split("'")[0])


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Cell]:
    """A part of the matrix of `python -m benchmarks.doctor`."""
    home = tmp_path_factory.mktemp("matrix")
    return [cell for family, spelling in matrix_peft.FEW if (cell := matrix_peft.cell(family, spelling, home))]


@pytest.mark.slow
def test_peft_never_refutes_the_doctor(cells: Sequence[Cell]) -> None:
    """Adapters that PEFT saved, loaded by PEFT: what the doctor judges is so, and most of it is judged."""
    assert [(cell.family, cell.spelling, cell.contradictions) for cell in cells if cell.contradictions] == []
    judged_ = [cell for cell in cells if cell.outcome != "not judged"]
    assert len(judged_) > 40 and len(judged_) > 0.75 * len(cells)


@pytest.mark.slow
def test_every_rule_that_says_run_was_run(
    folders: Mapping[str, Path], llama_folder: Path, tmp_path: Path, cells: Sequence[Cell]
) -> None:
    """The files above meet every rule of diffusers and PEFT that claims to have been run."""
    met = {rule.name for rule in rules_met(folders, llama_folder, tmp_path)}
    met |= {name for cell in cells for name in cell.rules}
    claimed = {rule.name for rule in (*rules_diffusers.RULES, *peft.RULES) if rule.how == "run"}
    assert claimed - met == set()


def rules_met(folders: Mapping[str, Path], llama_folder: Path, tmp_path: Path) -> Iterator[LoaderRule]:
    def of(path: Path, home: Path) -> Iterator[LoaderRule]:
        for one in judged(path, home).verdicts:
            if one.loader in (diffusers.LOADER, peft.LOADER):
                yield from one.rules

    made = tmp_path / "adapter.safetensors"
    for kind, names in FILES.items():
        for name in names:
            yield from of(ADAPTERS / name, folders[kind]) if "expected" not in name else ()
    for kind, tensors in CASES.values():
        yield from of(write(made, tensors()), folders[kind])
    for kind, tensors, says in STATED.values():
        yield from of(write(made, tensors(), says), folders[kind])
    for style in ("kohya", "peft", "flat"):
        for leaves in TEXT_SETS:
            yield from of(write(made, text("text_encoder_2", style, leaves)), folders["sdxl"])
    changes: list[tuple[Mapping[str, Any], Tensors | None]] = [(change, None) for change in CONFIGS.values()]
    changes += [({}, weights) for weights in WEIGHTS.values()]
    for number, (change, held) in enumerate(changes):
        (tmp_path / str(number)).mkdir()
        yield from of(folder(tmp_path / str(number), change, held), llama_folder)


def test_names_are_unique_when_dots_are_gone(folders: Mapping[str, Path]) -> None:
    """kohya's names are read by taking dots for underscores: no two modules of a model may become one."""
    for home in folders.values():
        modules = judged(ADAPTERS / "kohya.safetensors", home).known.modules
        assert len({flatten(name) for name in modules}) == len(modules)
