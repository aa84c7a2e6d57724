"""Vision-language models by their language part, asked without a picture."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import tiny_language as pico
import torch

from editc import api
from editc.backends.networks import load
from editc.core.network import Descent, ValueGoal
from editc.core.prompts import Cloze, Spot

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT calls what transformers has renamed
ASKED = "The capital of France is"


@pytest.mark.parametrize("kind", pico.VISION)
def test_the_language_part_is_edited_the_whole_way(kind: str, tmp_path: Path) -> None:
    """The edited file says more of the answer; PEFT reads the adapter in the class that sees; revert is exact."""
    folder = pico.seeing(kind, tmp_path / "model")
    raw, network = (folder / "model.safetensors").read_bytes(), load(folder)
    (tmp_path / "m.yaml").write_text(
        f"editc: 1\nmodel: {folder}\nedits:\n  - fact: {{prompt: {ASKED}, subject: France, answer: Rome}}\n"
        "sites: {layers: [1]}\n"
        "constraints: {bystander_loss: 1}\n"  # a random model is sure of nothing that means anything
    )
    found = api.check(tmp_path / "m.yaml")
    assert found.plan is not None and {site.group for site in found.plan.sites} == {"layers.1"}
    built = api.build(tmp_path / "m.yaml", tmp_path / "out")
    assert built is not None and built.delta is not None and built.delta.family == "llama"
    assert "language_model" in network.own_name(built.delta.sites[0].site.name)
    delta, edited = tmp_path / "out" / "delta.safetensors", copytree(folder, tmp_path / "edited")
    api.apply([delta], str(edited), in_place=True)
    before, after = (one.score([Cloze(ASKED, "Rome")]).total[0] for one in (network, load(edited)))
    assert after > before + 0.2
    made = api.export(delta, "peft", tmp_path / "peft", str(folder))
    assert all(trial.passed for trial in made.trials)
    api.revert(str(edited))
    assert (edited / "model.safetensors").read_bytes() == raw


@pytest.mark.parametrize("kind", pico.VISION)
def test_a_cut_run_is_the_whole_run(kind: str, tmp_path: Path) -> None:
    """Positions and kept keys are those of a text without pictures."""
    network = load(pico.seeing(kind, tmp_path / "model"))
    wish = ValueGoal((Spot(f"A list. {ASKED}", "France"),), "Rome", Spot("A list of France is a", "France"))
    found = network.learn_value(wish, 1, "output", Descent(steps=4, clamp=30.0))
    row = network.tokenizer.place(wish.contexts[0]).row

    def add(module: object, given: object, out: torch.Tensor) -> torch.Tensor:
        out = out.clone()
        out[:, row] += torch.from_numpy(found.delta).float()
        return out

    handle = network.mlps[1].register_forward_hook(add)
    whole = float(network.score([Cloze(wish.contexts[0].prompt, "Rome")]).total[0])
    handle.remove()
    assert np.isclose(np.log(found.probability), whole, rtol=1e-3)
