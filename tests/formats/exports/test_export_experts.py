"""Edits of single experts, which transformers stacks in one tensor a layer, in the formats of language models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_files as tiny
import tiny_language as pico

from editc import api
from editc.core.diagnostics import EditcError
from editc.formats.exports.format import Written
from editc.formats.exports.trials import try_from_pretrained
from editc.formats.models.model import open_model

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
    wrong = try_from_pretrained(swapped, Written((), found.delta))  # type: ignore[arg-type]
    assert not wrong.passed and wrong.matched == 16


@pytest.mark.parametrize("kind", KINDS)
def test_peft_has_no_layer_for_one_expert(kind: str, tmp_path: Path) -> None:
    built(kind, tmp_path)
    with tiny.refused("E677"):
        api.export(tmp_path / "out" / "delta.safetensors", "peft", tmp_path / "adapter", str(tmp_path / "model"))
    assert not (tmp_path / "adapter").exists()
    assert_check_refuses(tmp_path / "m.yaml", "emit=[checkpoint, peft]")


def assert_check_refuses(path: Path, *overrides: str) -> None:
    """E677 under the second format, with formats that a language model has; and the build stops before it solves."""
    (fault,) = api.check(path, overrides).diagnostics
    assert fault.code == "E677" and "`checkpoint`" in fault.help and "diff" not in fault.help
    with pytest.raises(EditcError) as caught:
        api.build(path, path.parent / "stopped", overrides)
    assert [one.message for one in caught.value.diagnostics] == [fault.message]
    assert not (path.parent / "stopped").exists()


def test_a_dense_edit_has_no_adapter(tmp_path: Path) -> None:
    """`norms: true`: check refuses each adapter, and only those; so does `export`, which names no format in vain."""
    path = tmp_path / "m.yaml"
    text = MANIFEST.format(model=pico.saved("llama", tmp_path / "model")).replace("sites: {roles: [mlp]}\n", "")
    path.write_text(text.replace("the next page]}", "the next page]}\n    method: ablate\n    norms: true"))
    assert_check_refuses(path, "emit=[checkpoint, peft]")
    assert_check_refuses(path, "emit=[checkpoint, gguf-lora]")
    assert not api.check(path).diagnostics
    assert not api.check(path, ["emit=[checkpoint, peft]", "edits.0.norms=false"]).diagnostics
    made = api.build(path, tmp_path / "out", ["emit=[]"])
    assert made is not None and made.delta is not None
    with pytest.raises(EditcError) as caught:
        api.export(tmp_path / "out" / "delta.safetensors", "peft", tmp_path / "adapter", str(tmp_path / "model"))
    (fault,) = caught.value.diagnostics
    assert fault.code == "E677" and "`checkpoint`" in fault.help and "diff" not in fault.help
