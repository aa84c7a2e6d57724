"""`strength: auto` for a method whose edit is dense, and the weights that a system yields, whichever way they lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import systems
from systems import changes

from editc.cli import cli
from editc.cli.terminal import run_command
from editc.core.delta import Array, Site
from editc.core.manifest import Constraints, Manifest, Request
from editc.core.places import Source
from editc.core.problem import System
from editc.core.solution import Edit
from editc.passes.images.solve.strength import measure_effect, tune
from editc.passes.methods.images.uce import UCE
from editc.passes.stored import SiteWeights
from editc.registry.methods import METHODS


@dataclass(frozen=True)
class Dense:
    """UCE's edit, written out layer by layer.

    lamb: ridge towards the old weights.
    """

    lamb: float | None = None

    def __call__(self, system: System) -> Edit:
        edit = UCE(lamb=self.lamb)(system)
        return Edit("dense", tuple(changes(edit, tuple(map(np.asarray, system.weights)))), (), edit.stats)


def auto(**bounds: Any) -> Manifest:
    edits = (Request(kind="erase", concept="concept 0", to="x", strength="auto"),)
    asked = Constraints(**bounds)
    return Manifest(source=Source("m", ""), digest="0" * 64, model="m", edits=edits, constraints=asked)


@pytest.mark.parametrize("certified", [False, True])
def test_the_effect_of_an_edit_does_not_depend_on_its_form(certified: bool) -> None:
    system = systems.system(3)
    shared, dense = (measure_effect(system, method(system), certified) for method in (UCE(), Dense()))
    assert dense.residuals == pytest.approx(shared.residuals, rel=1e-9)
    assert dense.preserve_drift == pytest.approx(shared.preserve_drift, rel=1e-9)
    assert dense.unconditional_drift == pytest.approx(shared.unconditional_drift, rel=1e-9)


def test_a_dense_edit_is_tuned_to_the_strength_of_the_same_edit_in_factors() -> None:
    system = systems.system(5, concepts=1)
    goal = auto(erase_residual=1.02 * measure_effect(system, UCE()(system)).residuals[0] + 0.05)
    found = [tune(system, method, goal).blocks[0].strength for method in (UCE(), Dense())]
    assert found[0] == found[1] < 1


def test_a_build_with_a_dense_method_and_strength_auto_ends_without_a_bug(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 70 would be a bug of ours; the delta is written dense."""
    monkeypatch.setattr("editc.passes.methods.images.uce.DenseForTest", Dense, raising=False)
    monkeypatch.setattr(METHODS, "own", {"image": {"dense": "editc.passes.methods.images.uce:DenseForTest"}})
    (tmp_path / "m.yaml").write_text(
        "editc: 1\nmodel: editc:demo\nedits:\n  - {erase: circle, to: square, method: dense, strength: auto}\n"
        "contexts: ['{}', 'a {}']\nsites: {include: ['mid_block.*']}\nconstraints: {erase_residual: 0.9}\n"
    )
    assert run_command(cli, ["build", str(tmp_path / "m.yaml"), "-o", str(tmp_path / "out")]) == 0
    assert "erase_residual" in capsys.readouterr().out


def test_a_weight_is_given_upright_whichever_way_the_file_has_it() -> None:
    W = np.arange(6.0).reshape(2, 3)

    class Stored:
        def read(self, name: str) -> Array:
            return {"plain": W, "turned": W.T, "kernel": W.reshape(2, 3, 1, 1)}[name]

    plain = Site("unet", "plain", (2, 3), "F32", "k")
    sites = (plain, replace(plain, name="turned", transposed=True), replace(plain, name="kernel"))
    for given in SiteWeights(Stored(), sites):  # type: ignore[arg-type]
        assert np.array_equal(given, W)
