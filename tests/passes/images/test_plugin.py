"""A method with its algebra and its key rule from another package, in two files: nothing of editc is changed for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

from editc import api
from editc.core.diagnostics import EditcError
from editc.core.ir import Delta, Verified
from editc.registry import table
from editc.verbs.explain import explain

TOY_METHOD = '''
"""Each key is sent to its target as far as a ridge lets it, and nothing is preserved."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from editc.core.ir import Edit, Stats
from editc.numerics import ridge


@dataclass(frozen=True)
class Toy:
    """W' = W (I + (T - C) C^T (C C^T + lamb I)^-1).

    lamb: ridge towards the old weights.
    """

    keys: ClassVar[str] = "toy-ends"
    lamb: float = 1.0

    def __call__(self, system):
        """The joint edit of all blocks."""
        keys = np.hstack([block.keys for block in system.blocks])
        targets = np.hstack([ridge.toward(b.keys, b.targets, b.strength) for b in system.blocks])
        weights = np.ones(keys.shape[1])
        solved = ridge.solve(keys, targets, weights, np.zeros_like(system.kept.moment), self.lamb)
        return Edit("shared", (solved.left,), (solved.right,), Stats(solved.factor.condition, 0.0, keys.shape[1]))
'''
TOY_RULE = '''
"""The rows after a sentence's text."""

import numpy as np

from editc.passes.images.keys.rules.in_contexts import InContexts
from editc.passes.images.rows.phrases import last_subject


class Ends(InContexts):
    """Every row behind the last word goes to that of the same sentence with the target."""

    def counterparts(self, encoded, at, other, aim):
        here, there = last_subject(encoded) + 1, last_subject(other) + 1
        count = min(len(encoded.rows) - here, len(other.rows) - there)
        return here + np.arange(count), there + np.arange(count)

    def total(self, weights, prompts):
        return len(weights)

    def ridge(self, square):
        return square

    def preserve_weight(self, edited, preserved):
        return 1.0

    def divisor(self, preserved):
        return preserved.count


ENDS = Ends()
'''
ENTRY_POINTS = """\
[editc.methods]
toy = toy_method:Toy
[editc.key_rules]
toy-ends = toy_rule:ENDS
"""
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
    (tmp_path / "toy_method.py").write_text(TOY_METHOD)
    (tmp_path / "toy_rule.py").write_text(TOY_RULE)
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("toy_method", "toy_rule"):
        monkeypatch.delitem(sys.modules, name, raising=False)
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
    assert set(block.places) == {"end", "padding"}, "the rows that the rule names and no others"
    assert list((toy / "out").glob("*kohya*"))
    again = api.verify(toy / "out" / "delta.safetensors", model)
    assert again.verified is not None and not again.failures
    assert "lamb = 1.0" in explain("toy") and "behind the last word" in explain("toy-ends")


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
    (toy / "toy_rule.py").write_text("import nothing_of_that_name\n")
    (toy / "manifest.yaml").write_text(MANIFEST.format(model=model, keys=""))
    with pytest.raises(EditcError) as caught:
        api.build(toy / "manifest.yaml", toy / "out")
    (found,) = caught.value.diagnostics
    assert found.code == "E139" and "the key rule `toy-ends` of the package toy cannot be imported" in found.message
