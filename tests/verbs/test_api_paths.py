"""The Python API: paths as text or Path, one delta or several, short names of results; what cannot be written is said
before the work, and nothing good is lost."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from report_cases import built
from report_language_cases import verified
from tiny_files import contents, delta_for, pipeline, refused, write_pipeline

import editc
from editc import api
from editc.cli import cli
from editc.core.storage.disk import check_file, check_folder
from editc.formats.delta.container import write_delta
from editc.formats.exports import write as exporting
from editc.formats.exports.endings import check_ending
from editc.formats.models.model import open_model
from editc.opening import target
from editc.verbs import build, paths
from editc.verbs.paths import delta_at

KINDS: tuple[Callable[[Path], Any], ...] = (str, Path)


@pytest.fixture()
def base(tmp_path: Path) -> Path:
    """A model `m` with a delta for it, `d.safetensors`."""
    write_delta(delta_for(pipeline(tmp_path / "m")), tmp_path / "d.safetensors")
    return tmp_path


# ---------------------------------------------------------------- text or Path


@pytest.mark.parametrize("kind", KINDS)
def test_every_verb_takes_text_and_paths(base: Path, kind: Callable[[Path], Any]) -> None:
    delta, model = kind(base / "d.safetensors"), kind(base / "m")
    assert api.plan_apply(delta, model).status == "ready"
    plan, done = api.apply(delta, model, out=kind(base / "out"))
    assert done.path == base / "out" and len(plan.deltas) == 1
    assert api.status(kind(base / "out"), delta).applied == api.status(kind(base / "out"), [delta]).applied != ()
    assert api.diff(model, kind(base / "out"), kind(base / "new" / "d2.safetensors")).rows
    assert api.inspect(delta) and api.inspect(model)
    api.apply([delta], model, in_place=True)
    assert api.revert(model).tensors == len(plan.targets)
    assert api.verify(delta, kind(base / "out")).tier == "already"


def test_a_text_is_one_path_and_not_its_letters() -> None:
    assert paths.as_paths("ab") == (Path("ab"),) == paths.as_paths(Path("ab")) == paths.as_paths(["ab"])
    assert paths.as_paths(("a", Path("b"))) == (Path("a"), Path("b"))


def test_the_package_has_its_version_and_verbs() -> None:
    assert re.fullmatch(r"\d+\.\d+.*", editc.__version__)
    assert all(getattr(editc, name) is getattr(api, name) for name in editc.VERBS)
    with pytest.raises(AttributeError, match="has no attribute 'biuld'"):
        _ = editc.biuld


def test_results_name_themselves_in_a_line(base: Path) -> None:
    made = api.Built(built(), None, (), (), (Path("out/report.json"),))
    plan = api.plan_apply(base / "d.safetensors", base / "m")
    every = [made, made.verified, made.verified.solution, made.verified.solution.problem, plan, plan.deltas[0]]
    every += [verified(), verified().solution, verified().solution.problem.plan.manifest]
    assert all(len(repr(one)) < 300 and "\n" not in repr(one) for one in every), [repr(one)[:99] for one in every]
    assert "works red" in repr(made) and made.claims == made.verified.claims == made.verified.report.claims
    assert made._repr_html_() == made.verdict._repr_html_() and made._repr_html_().count("<tr>") == 3


# ---------------------------------------------------------------- the folder of a build


def test_the_folder_of_a_build_stands_for_its_delta(base: Path) -> None:
    folder = base / "out"
    folder.mkdir()
    assert delta_at(folder) == folder, "any other folder is left to who reads it"
    (folder / "report.json").write_text("{}")
    with refused("E699") as error:
        delta_at(folder)
    assert "report.html says" in (error.diagnostics[0].help or "")
    (folder / "last-good").mkdir()
    (base / "d.safetensors").rename(folder / "last-good" / "delta.safetensors")
    with refused("E699") as error:
        api.plan_apply(folder, base / "m")
    assert "last-good/delta.safetensors" in (error.diagnostics[0].help or "")
    (folder / "last-good" / "delta.safetensors").rename(folder / "delta.safetensors")
    assert api.plan_apply(str(folder), base / "m").status == "ready"


# ---------------------------------------------------------------- before the work


def test_where_a_result_has_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    for out in ("file", "file/below", "gone"):
        with refused("E697"):
            check_folder(tmp_path / out)
    for out in (".", "file/below"):
        with refused("E697"):
            check_file(tmp_path / out)
    check_file(tmp_path / "file")
    check_file(tmp_path / "new" / "deep" / "file")
    check_folder(tmp_path / "new" / "deep")
    monkeypatch.setattr(os, "access", lambda *_: False)
    for check in (check_file, check_folder):
        with refused("E697") as error:
            check(tmp_path / "new" / "deep")
        assert "may not be written" in error.diagnostics[0].message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "gone"], "looking makes nothing"


@pytest.mark.parametrize("verb", ["build", "suggest", "link", "diff", "export"])
def test_the_place_is_looked_at_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the work began")

    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("kept")
    folder.mkdir()
    monkeypatch.setattr(target, "open_model", never)
    monkeypatch.setattr(build, "require_manifest", lambda *_: SimpleNamespace() if verb == "build" else never())
    monkeypatch.setattr("editc.formats.models.model.open_model", never)
    monkeypatch.setattr("editc.formats.exports.read.read_delta", never)
    calls: dict[str, Callable[[], Any]] = {
        "build": lambda: api.build("m.yaml", file),
        "suggest": lambda: api.suggest("m.yaml", write=folder),
        "link": lambda: api.link(["a", "b"], folder),
        "diff": lambda: api.diff("a", "b", folder),
        "export": lambda: api.export("d", "kohya", file / "k.safetensors"),
    }
    with refused("E697"):
        calls[verb]()


# ---------------------------------------------------------------- nothing is lost


def test_a_copy_of_what_has_the_edit_already_is_written(base: Path) -> None:
    api.apply(base / "d.safetensors", base / "m", out=base / "one")
    _, done = api.apply(base / "d.safetensors", base / "one", out=base / "deep" / "two")
    assert done.status == "already" and done.path == base / "deep" / "two"
    assert contents(base / "deep" / "two") == contents(base / "one")
    assert api.status(base / "deep" / "two").applied == api.status(base / "one").applied, "its history came along"
    said = CliRunner().invoke(
        cli, ["apply", str(base / "d.safetensors"), "--to", str(base / "one"), "-o", str(base / "three")]
    )
    assert "copied the model, which already contained the whole edit" in said.output


def test_an_export_that_is_told_by_its_ending_must_have_it(base: Path) -> None:
    """Reading `g.out` as safetensors would say that the delta is damaged, and nothing is."""
    for name, ending in (("onnx-graph", ".onnx"), ("onnx-adapter", ".onnx_adapter"), ("gguf-lora", ".gguf")):
        form = exporting.find_format(name)
        with refused("E697") as error:
            check_ending(base / "g.out", Path(form.output).suffix, name)
        assert error.diagnostics[0].help == f"name it g.out{ending}"
        check_ending(base / f"g{ending}", Path(form.output).suffix, name)
    check_ending(base / "k", ".safetensors", "kohya")


def test_a_second_delta_over_a_first_is_told_as_that(base: Path) -> None:
    first = open_model(base / "m")
    other = replace(delta_for(first), edits=({"concept": "star", "kind": "erase", "group": "text"},))
    other = replace(
        other, factors={name: replace(one, left=tuple(2 * x for x in one.left)) for name, one in other.factors.items()}
    )
    from tiny_files import delta_of

    sites = [record.site for record in other.sites]
    write_delta(delta_of(first, sites, next(iter(other.factors.values()))), base / "second.safetensors")
    api.apply(base / "d.safetensors", base / "m", out=base / "one")
    with refused("E622") as error:
        api.plan_apply(base / "second.safetensors", base / "one")
    fault, known = error.diagnostics[0], api.plan_apply(base / "d.safetensors", base / "m").deltas[0].delta_id
    assert fault.message.startswith("this model already carries ") and known[:12] in fault.message
    assert "editc link" in fault.help and "one manifest" in fault.help
    write_pipeline(base / "stranger", seed=9)
    with refused("E622") as error:
        api.plan_apply(base / "second.safetensors", base / "stranger")
    assert "carries" not in error.diagnostics[0].message


def test_verify_of_an_edited_model_says_that_nothing_was_measured(base: Path) -> None:
    api.apply(base / "d.safetensors", base / "m", out=base / "one")
    again = api.verify(base / "d.safetensors", base / "one")
    assert [one.code for one in again.failures] == ["E512"] and again.verified is None
    assert "unedited base" in (again.failures[0].help or "")
