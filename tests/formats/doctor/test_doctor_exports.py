"""What the doctor says of editc's own deltas and exports, and which export it advises."""

from __future__ import annotations

from pathlib import Path

import consumer_models
import pytest
from doctor_cases import DELTA, MODULES

from editc.formats.delta.container import write_delta
from editc.formats.doctor.advice import advise_export
from editc.formats.doctor.examine import examine, find_failures
from editc.formats.exports import write as export
from editc.formats.exports.suits import BEST, best_format
from editc.formats.exports.write import suitable_formats
from editc.formats.models.model import open_model
from editc.registry.families import FAMILIES


def test_a_delta_is_for_no_loader_and_its_export_is_named() -> None:
    found = examine(DELTA)
    assert not found.sound and found.meant_for == ()
    assert {one.outcome for one in found.verdicts} <= {"refused", "nothing"}
    assert all("editc export" in one.advice for one in found.verdicts)


@pytest.mark.parametrize("family", [*FAMILIES.names("image"), *FAMILIES.names("language"), "pico"])
def test_the_export_that_is_advised_takes_the_family(family: str) -> None:
    """For every family: the format exists, holds its deltas, and is the one that other programs read."""
    form = best_format(family)
    assert not export.find_refusals([form], family) and f"--as {form}" in advise_export(family)
    assert form in BEST and form in suitable_formats(family)
    adapters = {
        "sd-text": "kohya",
        "sd1": "kohya",
        "sd2": "kohya",
        "sdxl": "kohya",
        "flux": "diffusers",
        "sd3": "diffusers",
    }
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


def test_an_export_is_judged_as_the_adapter_that_it_is(tmp_path: Path) -> None:
    """It carries a delta's description, and loaders do not care."""
    from dataclasses import replace

    import tiny_files

    from editc.formats.delta.container import with_delta_id
    from editc.formats.exports.format import Job
    from editc.formats.exports.write import export

    model = tiny_files.pipeline(tmp_path / "model")
    delta = with_delta_id(replace(tiny_files.delta_for(model, "shared"), family="sd1"))
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
    assert not alone.sound and find_failures(alone)[0].code == "E639"
