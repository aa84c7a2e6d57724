"""`emit:` in a manifest: the formats beside the delta, told in both reports; nothing of the user's is ever removed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import tiny_families
import torch

from editc import api
from editc.cli import cli
from editc.core.diagnostics import EditcError
from editc.formats.apply.plan import plan_apply
from editc.formats.delta.container import write_delta
from editc.formats.exports import read
from editc.formats.exports import write as export_
from editc.formats.exports.format import ConsumerTrial
from editc.formats.models.model import open_model
from editc.registry.formats import FORMATS
from editc.verbs import emit as emitting

EDITS = "edits: [{erase: circle, to: square}]\npreserve: {prompts: [a red square]}\ncontexts: ['{}']\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pipeline_folder(tmp_path_factory.mktemp("base") / "model", dtype=torch.float32)


def manifest(folder: Path, model: Path, emit: str, more: str = "") -> Path:
    path = folder / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {model}\n{EDITS}emit: {emit}\n{more}")
    return path


def build(folder: Path, model: Path, emit: str, more: str = "") -> Any:
    return api.build(manifest(folder, model, emit, more), folder / "out")


def report(folder: Path) -> Any:
    return json.loads((folder / "out" / "report.json").read_text())


def test_formats_lie_beside_the_delta_and_in_the_reports(model: Path, tmp_path: Path) -> None:
    """Named twice is written once; each is read whole, is the built edit, and both reports say so."""
    made = build(tmp_path, model, "[kohya, diff, checkpoint, kohya, safetensors]")
    assert [one.format for one in made.exports] == ["kohya", "diff", "checkpoint"] and not made.failures
    assert [one.code for one in made.warnings] == ["E124"]
    assert all(path.exists() for path in made.files)
    for one in report(tmp_path)["exports"]:
        assert all(
            trial["passed"] and trial["matched"] == trial["total"] == len(made.delta.sites)
            for trial in one["consumers"]
        )
        assert (tmp_path / "out" / one["files"][0]).exists()
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="exports"' in page and "delta.kohya.safetensors" in page and "diffusers" in page
    for name in ("kohya", "diff"):
        back = read.read_delta(tmp_path / "out" / f"delta.{name}.safetensors")
        assert back.extra["from"] == made.delta.delta_id
        assert plan_apply([back], open_model(str(model))).tier == "exact"
    assert api.status(str(tmp_path / "out" / "model"), made.files[:1]).deltas[0].presence == "applied"


@pytest.mark.parametrize("name", ["kohya", "diff"])
def test_an_export_verifies_like_its_delta(name: str, model: Path, tmp_path: Path) -> None:
    """Every claim comes out of the exported file too: padding with zeros is no rank, and a dense change keeps it."""
    made = build(tmp_path, model, f"[{name}]")
    again = api.verify(made.exports[0].written.files[0], str(model))
    assert again.tier == "exact" and not again.failures and again.verified is not None
    padded = made.exports[0].written.delta.factors["text"].right
    claimed = next(claim["value"] for claim in made.delta.claims if claim["name"] == "rank")
    assert all(len(right) >= claimed for right in padded)


def test_a_rounded_export_claims_nothing_that_is_not_true_of_it(model: Path, tmp_path: Path) -> None:
    """verify measures it anew and holds it to the manifest's bounds; control: with the delta's claims it is refused."""
    made = build(tmp_path, model, "[]", "constraints: {preserve_drift: 0.9}\n")
    rounded = api.export(made.files[0], "kohya", tmp_path / "half", str(model), "bf16").written.delta
    assert {claim["name"] for claim in rounded.claims} == {"condition", "solve_residual", "discarded", "rank"}
    again = api.verify(tmp_path / "half", str(model))
    assert again.tier == "exact" and not again.failures and again.verified is not None
    assert any(claim.name == "preserve_drift" and claim.bound == 0.9 for claim in again.verified.report.claims)
    write_delta(replace(rounded, claims=made.delta.claims), tmp_path / "false")
    assert {one.code for one in api.verify(tmp_path / "false", str(model)).failures} == {"E507"}


def test_a_second_build_replaces_what_the_first_listed_and_nothing_else(model: Path, tmp_path: Path) -> None:
    build(tmp_path, model, "[kohya, checkpoint]")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    made = build(tmp_path, model, "[diff]")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"delta.safetensors", "report.json", "report.html", "delta.diff.safetensors", "notes.txt"}
    assert not made.failures and [one["format"] for one in report(tmp_path)["exports"]] == ["diff"]


def test_what_stands_there_and_was_not_emitted_stays(model: Path, tmp_path: Path) -> None:
    """A user's own `model` folder beside the manifest is no export: E679, and the other formats are written."""
    own = tiny.pipeline_folder(tmp_path / "out" / "model", dtype=torch.float32)
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    made = build(tmp_path, own, "[checkpoint, kohya]")
    assert [one.code for one in made.failures] == ["E679"] and [one.format for one in made.exports] == ["kohya"]
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before
    assert report(tmp_path)["status"] == "failed" and made.delta is not None


def test_a_model_that_was_emitted_is_not_removed_when_it_is_built_upon(model: Path, tmp_path: Path) -> None:
    build(tmp_path, model, "[checkpoint]")
    made = build(tmp_path, tmp_path / "out" / "model", "[kohya]")
    assert (tmp_path / "out" / "model" / "unet").is_dir() and not made.failures


@pytest.mark.parametrize("text", ["", "{", "[]", '{"exports": 3}', '{"exports": [{"files": ["../../precious"]}]}'])
def test_a_report_that_is_none_removes_nothing(text: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "precious").write_text("")
    (tmp_path / "a" / "b" / "report.json").write_text(text)
    emitting.remove_last_exports(tmp_path / "a" / "b" / "report.json", open_model(str(model)))
    assert (tmp_path / "precious").exists() and (tmp_path / "a" / "b" / "report.json").exists()


def test_a_model_of_one_file_is_emitted_as_one(model: Path, tmp_path: Path) -> None:
    single = model / "unet" / "diffusion_pytorch_model.safetensors"
    path = manifest(tmp_path, single, "[checkpoint]", f"encoder: {model}\n")
    for _ in range(2):
        made = api.build(path, tmp_path / "out")
        assert made is not None and not made.failures
        assert (tmp_path / "out" / "model.safetensors").is_file()
        assert made.exports[0].trials[0].skipped


def test_a_format_of_another_family_is_underlined_before_any_work(tmp_path: Path) -> None:
    """E680 at its place in `emit`, from check and from build, with the formats that would do."""
    flux = tiny_families.saved("flux", tmp_path / "flux")
    path = manifest(tmp_path, flux, "[diffusers, kohya]")
    found = api.check(path)
    (fault,) = found.diagnostics
    assert fault.span is not None and found.plan is None
    assert (fault.code, fault.span.line, fault.span.column) == ("E680", 6, 19)
    assert "diffusers" in fault.help and "kohya" not in fault.help
    with pytest.raises(EditcError) as caught:
        api.build(path, tmp_path / "out")
    assert [one.code for one in caught.value.diagnostics] == ["E680"] and not (tmp_path / "out").exists()


def test_a_trial_that_fails_is_the_builds_exit_code(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, the delta and the file that is read stay, and the report says which program did not read the other."""
    from editc.cli import terminal

    form = replace(FORMATS.resolve("kohya"), trials=lambda job, written: (ConsumerTrial("it", 3, 4, 0.5),))
    found = export_.find_format
    monkeypatch.setattr(export_, "find_format", lambda name: form if name == "kohya" else found(name))
    path = manifest(tmp_path, model, "[kohya, diff]")
    code = terminal.run_command(cli, ["build", str(path), "-o", str(tmp_path / "out"), "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert code == 1 and shown["status"] == "failed" and [one["code"] for one in shown["diagnostics"]] == ["E682"]
    kept = {path.name for path in (tmp_path / "out").glob("delta*")}
    assert kept == {"delta.safetensors", "delta.diff.safetensors"}
    exports = {one["format"]: one["consumers"][0]["passed"] for one in report(tmp_path)["exports"]}
    assert exports == {"kohya": False, "diff": True} and report(tmp_path)["status"] == "failed"
    assert '">failed</span>' in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("name", FORMATS.names())
def test_every_format_explains_itself(name: str) -> None:
    text = api.explain(name)
    assert FORMATS.resolve(name).says in text and FORMATS.resolve(name).output in text


def test_files_are_told_beside_a_folder_that_was_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint's path comes back absolute, the folder as the user wrote it."""
    monkeypatch.chdir(tmp_path)
    written = SimpleNamespace(
        files=[tmp_path / "out" / "model"], delta=SimpleNamespace(delta_id="d"), rounding=0.0, notes=()
    )
    one: Any = SimpleNamespace(format="checkpoint", written=written, trials=())
    assert (
        emitting.describe_exports([one], Path("out"))[0]["files"]
        == ["model"]
        == emitting.describe_exports([one], tmp_path / "out")[0]["files"]
    )


def test_a_failed_build_loses_nothing_good(model: Path, tmp_path: Path) -> None:
    """The delta, its reports and exports are moved aside; a second failure leaves them there; a good build is new."""
    made = build(tmp_path, model, "[kohya]")
    assert made.delta is not None
    good = {path.name: path.read_bytes() for path in made.files}
    for _ in range(2):
        failed = build(tmp_path, model, "[kohya]", "constraints: {erase_residual: 1.0e-9}\n")
        assert failed.delta is None and not failed.exports and [one.code for one in failed.failures] == ["E501"]
        aside = tmp_path / "out" / "last-good"
        assert {path.name: path.read_bytes() for path in aside.iterdir()} == good
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["last-good", "report.html", "report.json"]
        assert report(tmp_path)["status"] == "failed"
    assert build(tmp_path, model, "[kohya]").delta.delta_id == made.delta.delta_id
