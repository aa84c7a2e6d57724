"""Locate for language models on pico ones: layers, stages, matrices, and what cannot be edited."""

from __future__ import annotations

from pathlib import Path

import language_pass_cases
import pytest
import tiny_language as pico
from language_pass_cases import FRANCE, JAPAN, LIST, TOWER, located

from editc.core.diagnostics import EditcError
from editc.core.ports import Context
from editc.formats.models.model import open_model
from editc.passes.language.locate.stages import default_layers
from editc.passes.sites import layer_of
from editc.verbs import open

folder = language_pass_cases.folder
ports = language_pass_cases.ports


@pytest.mark.parametrize(
    ("method", "works_on", "layers"),
    [
        ("rome", "memory", (5,)),
        ("emmet", "memory", (5,)),
        ("memit", "memory", (3, 4, 5)),
        ("rocr", "memory", (3, 4, 5)),
        ("ablate", "writer", tuple(range(30))),
        ("concept-vectors", "columns", tuple(range(30))),
    ],
)
def test_layers_of_a_model_of_thirty(method: str, works_on: str, layers: tuple[int, ...]) -> None:
    assert default_layers(method, works_on, 30) == layers


@pytest.mark.parametrize("works_on", ["memory", "writer", "columns"])
@pytest.mark.parametrize("count", [1, 2, 4, 6, 12, 28, 32, 48, 80, 126])
def test_every_depth_has_layers_of_its_own(works_on: str, count: int) -> None:
    for method in ("rome", "memit"):
        found = default_layers(method, works_on, count)
        assert found and found == tuple(range(found[0], found[-1] + 1)) and found[0] >= 0 and found[-1] < count


def test_each_kind_of_edit_is_a_stage_with_its_own_matrices(folder: Path, tmp_path: Path, ports: Context) -> None:
    plan = located(folder, tmp_path / "m.yaml", ports, [LIST, JAPAN, FRANCE, TOWER])
    assert [(one.kind, one.method, one.edits) for one in plan.stages] == [
        ("fact", "memit", (2, 3)),
        ("redirect", "rocr", (1,)),
        ("ablate", "ablate", (0,)),
    ]
    roles = [{plan.sites[index].role for index in one.sites} for one in plan.stages]
    assert roles == [{"mlp"}, {"mlp"}, {"attention"}]
    for one in plan.stages:
        layers = [layer_of(plan.sites[index].name) for index in one.sites]
        assert layers == sorted(layers)
    assert {index for one in plan.stages for index in one.sites} == set(range(len(plan.sites)))
    assert plan.evidence.keys() == {site.name for site in plan.sites}


@pytest.mark.parametrize(
    ("edits", "rest", "code", "says"),
    [
        ([FRANCE], "sites: {layers: 2-7}", "E211", "no layer 4"),
        ([FRANCE, "    method: rome"], "sites: {layers: 0-2}", "E212", "3 are chosen"),
        ([FRANCE, "    method: rome"], "sites: {roles: [attention], layers: [1]}", "E212", "is not one"),
        ([FRANCE], "sites: {include: ['*layers.3*']}", "E203", "no site is left"),
        ([FRANCE], "sites: {include: ['*nothing*']}", "E202", "matches none"),
        ([FRANCE], "sites: {exclude: ['*']}", "E203", "no site is left"),
    ],
)
def test_what_cannot_be_edited_is_refused_in_its_place(
    folder: Path, tmp_path: Path, ports: Context, edits: list[str], rest: str, code: str, says: str
) -> None:
    with pytest.raises(EditcError) as caught:
        located(folder, tmp_path / "m.yaml", ports, edits, rest)
    (fault,) = caught.value.diagnostics
    assert fault.code == code and says in fault.message and fault.span is not None


def test_one_expert_cannot_hold_what_its_layer_adds(tmp_path: Path) -> None:
    routed = pico.saved("mixtral", tmp_path / "model")
    ports = Context(open_model(routed).component("model"))
    plan = located(routed, tmp_path / "m.yaml", ports, [FRANCE])
    assert plan.stages[0].method == "memit" and {site.role for site in plan.sites} == {"attention"}
    plan = located(routed, tmp_path / "m.yaml", ports, [FRANCE], "sites: {roles: [mlp]}")
    assert {".experts." in site.name for site in plan.sites} == {True}
    for method in ("rome", "emmet", "ultraedit"):
        with pytest.raises(EditcError) as caught:
            located(routed, tmp_path / "m.yaml", ports, [FRANCE, f"    method: {method}"], "sites: {roles: [mlp]}")
        assert caught.value.diagnostics[0].code == "E212"


def test_an_erase_alone_is_what_the_model_is(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {folder}\nedits: [{{erase: France}}]\n")
    found = open.require_manifest(path).manifest
    assert found.kind == "language" and found.redirects[0].toward == "noise"
    path.write_text("editc: 1\nmodel: editc:demo\nedits: [{erase: circle}]\n")
    assert open.require_manifest(path).manifest.kind == "image"
