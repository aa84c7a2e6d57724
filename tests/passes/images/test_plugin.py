"""A method with its algebra and its key rule from another package, in two files: nothing of editc is changed for it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import toy_package

from editc import api
from editc.core.delta import Delta
from editc.core.diagnostics import EditcError
from editc.core.solution import Verified
from editc.registry import table
from editc.verbs.explain import explain

MANIFEST = """\
editc: 1
model: {model}
edits:
  - {{erase: circle, to: square, method: toy, lamb: 2{keys}}}
emit: [kohya]
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pipeline_folder(tmp_path_factory.mktemp("models") / "sd1")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the package installed into it."""
    for name in ("toy_method", "toy_key_rule"):
        shutil.copy(toy_package.SOURCE / f"{name}.py", tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
    groups = "[editc.methods]\ntoy = toy_method:Toy\n[editc.key_rules]\ntoy-ends = toy_key_rule:ENDS\n"
    toy_package.put_beside(tmp_path, "toy", groups)
    monkeypatch.syspath_prepend(str(tmp_path))
    table._entry_points.cache_clear()
    yield tmp_path
    table._entry_points.cache_clear()


def build(toy: Path) -> tuple[Delta, Verified]:
    built = api.build(toy / "manifest.yaml", toy / "out")
    assert built is not None and built.delta is not None
    return built.delta, built.verified


def test_it_builds_verifies_exports_and_is_explained(toy: Path, model: Path) -> None:
    (toy / "manifest.yaml").write_text(MANIFEST.format(model=model, keys=""))
    delta, verified = build(toy)
    recorded = delta.edits[0]
    assert (recorded["method"], recorded["keys"], recorded["options"]) == ("toy", "toy-ends", {"lamb": 2.0})
    block = verified.solution.problem.systems["text"].blocks[0]
    assert set(block.row_kinds) == {"end", "padding"}, "the rows that the rule names and no others"
    assert list((toy / "out").glob("*kohya*"))
    again = api.verify(toy / "out" / "delta.safetensors", model)
    assert again.verified is not None and not again.failures
    assert "lamb = set by the key rule" in explain("toy") and "behind the last word" in explain("toy-ends")


def test_a_manifest_may_name_another_rule_for_it(toy: Path, model: Path) -> None:
    (toy / "manifest.yaml").write_text(MANIFEST.format(model=model, keys=", keys: last"))
    delta, verified = build(toy)
    assert delta.edits[0]["keys"] == "last"
    assert verified.solution.problem.systems["text"].blocks[0].keys.shape[1] == 1


def test_its_rule_serves_methods_of_editc_too(toy: Path, model: Path) -> None:
    text = MANIFEST.format(model=model, keys=", keys: toy-ends").replace("method: toy, lamb: 2", "method: uce")
    (toy / "manifest.yaml").write_text(text)
    delta, _ = build(toy)
    assert delta.edits[0]["keys"] == "toy-ends"


def test_a_rule_that_cannot_be_imported_is_named(toy: Path, model: Path) -> None:
    (toy / "toy_key_rule.py").write_text("import nothing_of_that_name\n")
    (toy / "manifest.yaml").write_text(MANIFEST.format(model=model, keys=""))
    with pytest.raises(EditcError) as caught:
        api.build(toy / "manifest.yaml", toy / "out")
    (found,) = caught.value.diagnostics
    assert found.code == "E139" and "the key rule `toy-ends` of the package toy cannot be imported" in found.message
