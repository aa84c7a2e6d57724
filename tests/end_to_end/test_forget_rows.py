"""Forgetting a data set: from a manifest and two files of rows to a delta that is verified, applied and exported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import language_train_cases as cases
import pytest
import tiny_language as pico
import torch

from editc import api
from editc.core.diagnostics import EditcError
from editc.core.measurements import RUN_CLAIMS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pico Llama, the rows and a manifest."""
    torch.set_num_threads(1)
    found = tmp_path_factory.mktemp("forget")
    pico.saved("llama", found / "model")
    cases.written(found)
    cases.written(found, "retain.jsonl", cases.RETAIN)
    text = cases.manifest_text(found / "model", "npo", "steps: 12, rate: 0.02, batch: 3")
    (found / "m.yaml").write_text(f"{text}constraints: {{efficacy: 0.9, bystander_loss: 1}}\nemit: [peft]\n")
    return found


@pytest.fixture(scope="module")
def built(place: Path) -> api.Built:
    found = api.build(place / "m.yaml", place / "out")
    assert found is not None
    return found


def test_what_is_forgotten_becomes_unlikely(built: api.Built) -> None:
    found = {claim.name: claim.value for claim in built.claims}
    assert not built.failures and found["efficacy"] == 1.0
    assert found["forgotten_nll_after"] > found["forgotten_nll_before"] + 1
    assert found["retained_nll_after"] < found["retained_nll_before"]
    assert {name for name in found if name.startswith(("forgotten", "retained"))} <= RUN_CLAIMS


def test_a_delta_holds_the_hash_of_what_it_forgets_and_no_row(built: api.Built, place: Path) -> None:
    delta, data = built.delta, (place / "out" / "delta.safetensors").read_bytes()
    assert delta is not None and sorted(delta.extra["data"]) == ["forget.jsonl", "retain.jsonl"]
    assert b"quiet list" not in data and b"Japan" not in data
    assert dict(delta.edits[0]) | {"options": 0} == {
        "kind": "forget",
        "concept": "forget.jsonl",
        "file": "forget.jsonl",
        "retain": "retain.jsonl",
        "strength": 1.0,
        "method": "npo",
        "options": 0,
        "holds": [],
    }


def test_another_row_is_another_digest(built: api.Built, place: Path, tmp_path: Path) -> None:
    for name in ("m.yaml", "retain.jsonl"):
        shutil.copy(place / name, tmp_path)
    cases.written(tmp_path, rows=cases.FORGET[:2])
    checked = api.check(tmp_path / "m.yaml")
    assert built.delta is not None and checked.manifest is not None
    assert checked.manifest.digest != built.delta.manifest_digest
    cases.written(tmp_path)
    again = api.check(tmp_path / "m.yaml").manifest
    assert again is not None and again.digest == built.delta.manifest_digest


def test_verify_measures_every_row_again_where_the_files_are(built: api.Built, place: Path, tmp_path: Path) -> None:
    again = api.verify(place / "out" / "delta.safetensors", place / "model")
    assert not again.failures
    shutil.copy(place / "out" / "delta.safetensors", tmp_path)
    with pytest.raises(EditcError, match="E352"):
        api.verify(tmp_path / "delta.safetensors", place / "model")


def test_the_report_shows_the_training_and_what_is_said_now(built: api.Built, place: Path) -> None:
    report = json.loads((place / "out" / "report.json").read_text())
    assert report["training"]["terms"] == ["forget", "retain"] and report["training"]["steps"] == 12
    assert {one["purpose"] for one in report["answers"]} == {"efficacy", "retain"}
    assert 'id="training"' in (place / "out" / "report.html").read_text()


def test_peft_answers_as_the_patched_model(built: api.Built, place: Path) -> None:
    import peft
    import transformers

    api.apply(place / "out" / "delta.safetensors", place / "model", out=place / "patched")
    ids = torch.tensor([[5, 9, 12, 7, 30, 2]])
    base, patched = (
        transformers.AutoModelForCausalLM.from_pretrained(place / name, local_files_only=True)
        for name in ("model", "patched")
    )
    with torch.no_grad():
        before, after = base(input_ids=ids).logits, patched(input_ids=ids).logits
        with_adapter = peft.PeftModel.from_pretrained(base, str(place / "out" / "peft"))(input_ids=ids).logits
    torch.testing.assert_close(with_adapter, after, atol=1e-4, rtol=1e-4)
    assert (before - after).abs().max() > 0.01


@pytest.mark.parametrize("method", ["simnpo", "altpo"])
def test_a_killed_training_goes_on_to_the_same_delta(method: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was killed after step 42, and its checkpoint is of step 40. `altpo` also draws other answers and ordinary
    questions before the training, and some of them in each step."""
    text = cases.manifest_text(place / "model", method, "steps: 44, batch: 2, rank: 2")
    (place / "k.yaml").write_text(text + "constraints: {bystander_loss: 1}\n")

    def killing(stage: str, items: Iterable[Any]) -> Iterator[Any]:
        for number, item in enumerate(items):
            if stage == "train" and number == 42:
                raise KeyboardInterrupt
            yield item

    def steps(stage: str, items: Iterable[Any]) -> Iterator[Any]:
        if stage == "train":
            taken.extend(items)
            return iter(taken[:])
        return iter(items)

    taken: list[Any] = []
    monkeypatch.setenv("EDITC_CACHE", str(place / f"cache-{method}"))
    with pytest.raises(KeyboardInterrupt):
        api.build(place / "k.yaml", place / "k1", progress=killing)
    second = api.build(place / "k.yaml", place / "k1", progress=steps)
    assert taken == [40, 41, 42, 43]
    monkeypatch.setenv("EDITC_CACHE", str(place / f"empty-{method}"))
    whole = api.build(place / "k.yaml", place / "k2")
    assert second is not None and second.delta is not None
    assert whole is not None and whole.delta is not None
    assert second.delta.delta_id == whole.delta.delta_id
