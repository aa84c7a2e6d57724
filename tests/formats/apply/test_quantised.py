"""Quantised weights: refused until asked for, or edited with the loss reported; never an edit that is not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import llama_files as llama
import numpy as np
import pytest
from quantised_models import BLOCKS, EIGHT, change, quantised_model, values
from tiny_files import refused, tree

from editc.core.delta import Form
from editc.formats.apply import quantised
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.apply.status import status
from editc.formats.inspect import describe_applied, describe_plan
from editc.formats.models.model import open_model

FORMS: tuple[Form, ...] = ("low-rank", "shared", "dense")


@pytest.mark.parametrize("kind", [*BLOCKS, *EIGHT])
def test_refused_until_asked_for(tmp_path: Path, kind: str) -> None:
    model = quantised_model(tmp_path, kind)
    with refused("E690") as error:
        plan_apply([llama.delta()], model)
    (said,) = error.diagnostics
    assert kind in said.notes[0] and "--requantize" in said.help and "before they are quantised" in said.help
    assert ("one scale" in said.notes[0]) == (kind in EIGHT)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "F8_E4M3"])
def test_only_targets_change_and_come_back(tmp_path: Path, kind: str, form: Form) -> None:
    model = quantised_model(tmp_path, kind)
    place = model.path if model.path.is_dir() else tmp_path
    before, delta = tree(place), llama.delta(form)
    untouched = {n: model.component().raw(n) for n in model.component().names() if "down" not in n}
    plan = plan_apply([delta], model, requantize=True)
    assert plan.tier == "requantised"
    done = apply(plan, in_place=True)
    assert done.results == {("model", t.record.site.name): t.result for t in plan.targets}
    after = open_model(model.path).component()
    assert all(after.raw(name) == raw for name, raw in untouched.items())
    assert plan_apply([delta], open_model(model.path), requantize=True).status == "already"
    assert status(open_model(model.path)).applied == (delta.delta_id,)
    assert revert(open_model(model.path)).tensors == len(llama.DOWN)
    assert {n: raw for n, (raw, _) in tree(place).items()} == {n: raw for n, (raw, _) in before.items()}


@pytest.mark.parametrize("kind", ["Q8_0", "F8_E5M2"])
def test_a_copy_is_the_same_as_in_place(tmp_path: Path, kind: str) -> None:
    model, delta = quantised_model(tmp_path, kind), llama.delta()
    out = tmp_path / ("copy" if model.path.is_dir() else "copy.gguf")
    done = apply(plan_apply([delta], model, requantize=True), out)
    again = plan_apply([delta], open_model(out), requantize=True)
    assert again.status == "already" and {t.base for t in again.targets} == set(done.results.values())
    inside = apply(plan_apply([delta], model, requantize=True), in_place=True)
    assert inside.results == done.results


@pytest.mark.parametrize("kind", [*BLOCKS, *EIGHT])
def test_the_loss_is_what_a_reader_of_the_file_finds(tmp_path: Path, kind: str) -> None:
    """Error and survival from the plan, against the files before and after and nothing else."""
    model, delta = quantised_model(tmp_path, kind), llama.delta(size=1.0)
    before = [values(model, name) for name in llama.DOWN]
    plan = plan_apply([delta], model, requantize=True)
    apply(plan, in_place=True)
    for k, target in enumerate(plan.targets):
        moved, wanted = values(model, llama.DOWN[k]) - before[k], change(delta, k)
        assert target.loss is not None
        assert target.loss.error == pytest.approx(np.linalg.norm(moved - wanted) / np.linalg.norm(wanted), rel=1e-9)
        assert target.loss.survival == pytest.approx((moved * wanted).sum() / (wanted**2).sum(), rel=1e-9)
    rows = describe_plan(plan)["tensors"]
    assert [row["survived"] for row in rows] == [t.loss.survival for t in plan.targets if t.loss]
    assert "of the edit is left" in " ".join(plan.notes)


@pytest.mark.parametrize("kind", ["Q4_0", "F8_E4M3"])
def test_an_edit_below_the_steps_is_an_error_and_nothing_is_written(tmp_path: Path, kind: str) -> None:
    model = quantised_model(tmp_path, kind)
    place = model.path if model.path.is_dir() else tmp_path
    before = tree(place)
    with refused("E693") as error:
        plan_apply([llama.delta(size=1e-3)], model, requantize=True)
    assert "%" in error.diagnostics[0].message and tree(place) == before


def test_control_a_large_edit_survives_whole_and_finer_formats_keep_more(tmp_path: Path) -> None:
    found = {}
    for kind in (*BLOCKS, *EIGHT):
        (tmp_path / kind).mkdir()
        plan = plan_apply([llama.delta(size=1.0)], quantised_model(tmp_path / kind, kind), requantize=True)
        found[kind] = quantised.add_losses(t.loss for t in plan.targets if t.loss)
    assert all(0.9 < loss.survival < 1.05 for loss in found.values())
    assert found["Q8_0"].error < found["Q5_0"].error < found["Q4_0"].error


def test_what_lies_past_the_range_is_cut_and_counted(tmp_path: Path) -> None:
    """A tensor's scale stays as it is, and E4M3 ends at 448: never NaN, and the loss says how much is missing."""
    model = llama.eight_bit(tmp_path / "m", "F8_E4M3")
    plan = plan_apply([llama.delta(size=2)], model, requantize=True)
    loss = quantised.add_losses(t.loss for t in plan.targets if t.loss)
    assert loss.clipped > 0 and loss.survival < 0.9 and f"{loss.clipped} weights" in " ".join(plan.notes)
    limits = [np.abs(values(model, name)).max() for name in llama.DOWN]
    apply(plan, in_place=True)
    for name, limit in zip(llama.DOWN, limits, strict=True):
        assert np.abs(values(model, name)).max() == limit
    small = plan_apply([llama.delta(names=llama.OUT, size=0.1)], model, requantize=True)
    assert sum(t.loss.clipped for t in small.targets if t.loss) < loss.clipped


class Crash(BaseException):
    """Like a kill: nothing in editc catches it."""


@pytest.mark.parametrize("kind", ["Q4_0", "F8_E4M3"])
def test_a_crash_at_any_sync_can_be_undone_or_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    model, delta = quantised_model(tmp_path, kind), llama.delta()
    place = model.path if model.path.is_dir() else model.path.parent
    first = tree(place)
    apply(plan_apply([delta], model, requantize=True), in_place=True)
    edited = [model.component().raw(name) for name in llama.DOWN]
    revert(model)
    syncs, real, moment = 0, os.fsync, 0

    def sync(handle: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs == moment:
            raise Crash
        real(handle)

    while syncs >= moment:
        moment, syncs = moment + 1, 0
        with monkeypatch.context() as patch, suppress(Crash):
            patch.setattr(os, "fsync", sync)
            apply(plan_apply([delta], model, requantize=True), in_place=True)
        if moment % 2 and tree(place) != first:
            revert(model)
            assert {n: raw for n, (raw, _) in tree(place).items()} == {n: raw for n, (raw, _) in first.items()}
        apply(plan_apply([delta], model, requantize=True), in_place=True)
        assert [model.component().raw(name) for name in llama.DOWN] == edited
        assert plan_apply([delta], model, requantize=True).status == "already"
        revert(model)
    assert moment > 5


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_library_reads_the_edited_file(tmp_path: Path, kind: str) -> None:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    model = quantised_model(tmp_path, kind)
    before = {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(model.path).tensors}
    apply(plan_apply([llama.delta()], model, requantize=True), tmp_path / "out.gguf")
    after = {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(tmp_path / "out.gguf").tensors}
    for k, name in enumerate(llama.DOWN):
        theirs, wanted = llama.their_name(name), change(llama.delta(), k)
        moved = after.pop(theirs).astype(np.float64) - before.pop(theirs)
        assert np.linalg.norm(moved - wanted) < 0.3 * np.linalg.norm(wanted)
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", EIGHT)
def test_torch_reads_the_edited_file(tmp_path: Path, kind: str) -> None:
    from safetensors.torch import load_file

    def read() -> list[Any]:
        parts = load_file(model.path / "model.safetensors")
        return [(parts[n].double() * parts[f"{n}_scale"].double()).numpy() for n in llama.DOWN]

    model = quantised_model(tmp_path, kind)
    before, delta = read(), llama.delta(size=0.3)
    apply(plan_apply([delta], model, requantize=True), in_place=True)
    for k, (old, new) in enumerate(zip(before, read(), strict=True)):
        wanted = change(delta, k)
        assert np.linalg.norm(new - old - wanted) < 0.25 * np.linalg.norm(wanted)


def test_a_later_delta_goes_on_top_and_both_are_known(tmp_path: Path) -> None:
    model, first, second = quantised_model(tmp_path, "Q8_0"), llama.delta(), llama.delta(names=llama.OUT)
    for delta in (first, second):
        apply(plan_apply([delta], open_model(model.path), requantize=True), in_place=True)
    assert set(status(open_model(model.path)).applied) == {first.delta_id, second.delta_id}
    assert plan_apply([first, second], open_model(model.path), requantize=True).status == "already"


def test_the_command_line_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from editc.cli import cli
    from editc.cli.terminal import run_command
    from editc.formats.delta.container import write_delta

    model = quantised_model(tmp_path, "Q8_0")
    write_delta(llama.delta(), tmp_path / "d.safetensors")
    command = ["apply", str(tmp_path / "d.safetensors"), "--to", str(model.path), "--in-place"]
    assert run_command(cli, command) == 1 and "E690" in capsys.readouterr().err
    assert run_command(cli, [*command, "--requantize"]) == 0
    assert "2 tensors (tier requantised)" in (said := capsys.readouterr().out) and "100.0% of the edit is left" in said
    assert run_command(cli, [*command, "--requantize"]) == 0 and "already applied" in capsys.readouterr().out


def test_nothing_heavy_is_imported_to_requantise(tmp_path: Path) -> None:
    import subprocess
    import sys

    model = quantised_model(tmp_path, "Q8_0")
    (tmp_path / "s.py").write_text(
        "import sys\nimport editc.cli, editc.api\nfrom editc.formats.models.model import open_model\n"
        f"assert 'model.layers.0.mlp.down_proj.weight' in open_model({str(model.path)!r}).component().tensors\n"
        "assert not {'torch', 'transformers', 'diffusers', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, str(tmp_path / "s.py")], check=True)


def test_full_precision_tensors_are_untouched_by_the_flag(tmp_path: Path) -> None:
    model, delta = llama.folder(tmp_path / "m"), llama.delta()
    plan = plan_apply([delta], model, requantize=True)
    assert plan.tier == "exact" and all(t.loss is None for t in plan.targets)
    done = apply(plan, tmp_path / "out")
    assert "survived" not in describe_applied(plan, done)["tensors"][0]
