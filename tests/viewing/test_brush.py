"""A prompt is answered twice by the same model, without and with the delta, and the model stays what it was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from live_cases import delta_for, saved

from editc.core.diagnostics import EditcError
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model
from editc.viewing.brush import Asked, Brush, Part, open_brush
from editc.viewing.hand import why_absent
from editc.viewing.subject import open_subject

MANIFEST = """editc: 1
model: editc:demo
edits: [{erase: circle, to: square}]
verify: {images: {detector: editc:demo, steps: 4}}
"""


def answers(brush: Brush, asked: Asked, heard: list[tuple[str, int]] | None = None) -> list[Part]:
    def progress(stage: str, items: Iterable[object]) -> Iterable[object]:
        every = list(items)
        if heard is not None:
            heard.append((stage, len(every)))
        return every

    found = list(brush(asked, progress))
    assert [one["part"] for one in found] == ["before", "after"]
    return found


def test_the_demo_model_paints_a_prompt_before_and_after(tmp_path: Path) -> None:
    file = tmp_path / "d.safetensors"
    write_delta(replace(delta_for("sd1", open_model("editc:demo")), manifest=MANIFEST, edits=()), file)
    brush, heard = open_brush(str(file), "editc:demo"), list[tuple[str, int]]()
    before, after = answers(brush, Asked("a red circle", 7), heard)
    assert before["image"] != after["image"] and before["image"].startswith("data:image/png;base64,")
    assert heard == [("painting before the edit", 4), ("painting after the edit", 4)]
    assert answers(brush, Asked("a red circle", 7)) == [before, after], "the same seed, and the weights are back"
    assert answers(brush, Asked("a red circle", 8))[0] != before


def test_a_language_model_continues_a_text_before_and_after(tmp_path: Path) -> None:
    model = saved("qwen2", tmp_path / "model")
    file = tmp_path / "d.safetensors"
    write_delta(replace(delta_for("qwen2", model), family="llama"), file)
    brush = open_brush(str(file), str(model.path))
    before, after = answers(brush, Asked("the dog"))
    assert before["text"] and after["text"] and before["text"] != after["text"]
    assert answers(brush, Asked("the dog")) == [before, after]
    subject = open_subject(file, str(model.path))
    assert subject.language and why_absent(subject) == ""


@pytest.mark.parametrize(("edited", "code"), [(True, "E512"), (False, "E620")])
def test_a_delta_that_shows_nothing_is_refused_first(tmp_path: Path, edited: bool, code: str) -> None:
    from editc import api

    model = saved("qwen2", tmp_path / "model")
    file = tmp_path / "d.safetensors"
    write_delta(replace(delta_for("qwen2", model), family="llama"), file)
    other = tmp_path / "other"
    if edited:
        api.apply(file, model.path, out=other)
    else:
        saved("gpt2", other)
    with pytest.raises(EditcError) as caught:
        open_brush(str(file), str(other))
    assert caught.value.diagnostics[0].code == code


def test_what_is_no_whole_model_is_named(tmp_path: Path) -> None:
    write_delta(delta_for("sd1", open_model("editc:demo")), tmp_path / "d.safetensors")
    said = {"": "which model it is", "editc:demo/x": "not on this computer", str(tmp_path): "is not a whole model"}
    for model, why in said.items():
        assert why in why_absent(open_subject(tmp_path / "d.safetensors", model))
