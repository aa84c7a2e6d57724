"""Edits of single experts, which transformers stacks in one tensor a layer, in the formats of language models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_files as tiny
import tiny_language as pico

from editc import api
from editc.formats.checkpoint import open_model
from editc.formats.consumers import from_pretrained
from editc.formats.exporting import Written

MANIFEST = """\
editc: 1
model: {model}
edits:
  - ablate: {{concept: lists, present: [a list, the long list], absent: [a page, the next page]}}
sites: {{roles: [mlp]}}
emit: [checkpoint]
"""
KINDS = ("mixtral", "qwen3_moe")


def built(kind: str, folder: Path) -> api.Built:
    path = folder / "m.yaml"
    path.write_text(MANIFEST.format(model=pico.saved(kind, folder / "model")))
    found = api.build(path, folder / "out")
    assert found is not None and found.delta is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_real_class_holds_each_experts_bytes(kind: str, tmp_path: Path) -> None:
    """All 16 sites are found in the stacks, bit for bit; not so in the base, whose experts are others."""
    found = built(kind, tmp_path)
    (made,) = found.exports
    (trial,) = made.trials
    assert not made.failures and (trial.matched, trial.total, trial.error) == (16, 16, 0.0)
    edited = open_model(str(tmp_path / "out" / "model"))
    swapped = replace(edited, path=tmp_path / "model")  # the program loads the base, the file says the edit
    wrong = from_pretrained(swapped, Written((), found.delta))  # type: ignore[arg-type]
    assert not wrong.passed and wrong.matched == 16


@pytest.mark.parametrize("kind", KINDS)
def test_peft_has_no_layer_for_one_expert(kind: str, tmp_path: Path) -> None:
    built(kind, tmp_path)
    with tiny.refused("E677"):
        api.export(tmp_path / "out" / "delta.safetensors", "peft", tmp_path / "adapter", str(tmp_path / "model"))
    assert not (tmp_path / "adapter").exists()
