"""A trained edit on the real bundled model: the same delta twice, and apply, revert, verify and link like any other."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from editc import api
from editc.demo import MODEL
from editc.formats.containers.safetensors import read_header

pytestmark = pytest.mark.slow

MANIFEST = """\
editc: 1
model: editc:demo
contexts: ["a {{}}", "a red {{}}"]
edits:
  - {{erase: {concept}, to: arrow, method: {method}, steps: 2, sentences: 2, picture_steps: 4, rank: 1}}
preserve: {{corpus: none, prompts: [a boat on sand, a red cat, a star, a house]}}
"""


def files(folder: Path) -> Mapping[str, str]:
    """Relative path -> sha256 of every file."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def build(folder: Path, concept: str, out: str, method: str = "esd, layers: cross+self") -> api.Built:
    (folder / f"{concept}.yaml").write_text(MANIFEST.format(concept=concept, method=method))
    built = api.build(folder / f"{concept}.yaml", folder / out)
    assert built is not None and built.delta is not None
    return built


@pytest.fixture(scope="module")
def fish(tmp_path_factory: pytest.TempPathFactory) -> api.Built:
    return build(tmp_path_factory.mktemp("trained"), "fish", "out")


def test_the_report_says_how_it_was_trained(fish: api.Built) -> None:
    folder = Path(fish.files[0]).parent
    record = json.loads((folder / "report.json").read_text())
    assert record["training"]["terms"] == ["away"] and record["training"]["steps"] == 2
    assert len(record["training"]["losses"]) == 2 and record["edits"][0]["method"] == "esd"
    assert 'id="training"' in (folder / "report.html").read_text()
    roles = {site["role"] for site in record["sites"]}
    assert roles == {"k", "v", "cross", "self"}
    of_a_solve = {"erase_residual", "condition", "solve_residual", "discarded"}
    assert not of_a_solve & {claim["name"] for claim in record["claims"]}
    assert {solve["condition"] for solve in record["solves"]} == {None}
    assert ">Condition<" not in (folder / "report.html").read_text()
    assert all(site["changed"] for site in record["sites"])


def test_its_factors_are_stored_in_half_precision(fish: api.Built) -> None:
    assert fish.delta is not None and fish.delta.version == 2
    entries = read_header(Path(fish.files[0])).entries
    assert {entry.dtype for name, entry in entries.items() if name.startswith("group/")} == {"F16"}


def test_layers_that_read_no_text_keep_prompts_too(tmp_path: Path) -> None:
    """`safegen` trains self-attention alone, and its second term is about preserved prompts."""
    built = build(tmp_path, "fish", "out", "safegen, pictures: 2, batch: 1")
    solution = built.verified.solution
    preserved = {system.preserved.prompts for system in solution.problem.systems.values()}
    assert preserved == {("a boat on sand", "a red cat", "a star", "a house")}
    assert solution.training is not None and solution.training.losses[-1][1] >= 0
    assert {site.role for site in solution.problem.plan.sites} == {"self"}


def test_trained_again_it_is_the_same_delta(fish: api.Built, tmp_path: Path) -> None:
    again = build(tmp_path, "fish", "out")
    assert fish.delta and again.delta and again.delta.delta_id == fish.delta.delta_id


def test_it_is_applied_verified_and_reverted(fish: api.Built, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    before = files(model)
    assert api.apply(str(fish.files[0]), str(model), in_place=True)[1].status == "done"
    assert files(model) != before
    api.revert(str(model))
    assert files(model) == before
    verified = api.verify(fish.files[0], "editc:demo")
    assert verified.tier == "exact" and not verified.failures


def test_two_trained_deltas_are_linked(fish: api.Built, tmp_path: Path) -> None:
    cat = build(tmp_path, "cat", "out")
    linked = tmp_path / "both.safetensors"
    api.link([str(fish.files[0]), str(cat.files[0])], linked, model="editc:demo")
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    before = files(model)
    assert api.apply(str(linked), str(model), in_place=True)[1].status == "done"
    api.revert(str(model))
    assert files(model) == before


@pytest.mark.parametrize(
    ("more", "method", "refused"),
    [
        ("erase_residual: 0.2", "esd", {"E247"}),
        ("recoverable: 0.2, preserve_drift: 0.2", "esd", set()),
        ("recoverable: 0.2", "safegen", {"E247"}),
        ("preserve_drift: 0.2", "safegen", {"E247"}),
        ("unconditional_drift: 0.2", "safegen", {"E247"}),
        ("bystander_loss: 0.2", "safegen", set()),
        ("discarded: 0.05", "esd", {"E247"}),
    ],
)
def test_no_bound_is_ignored(more: str, method: str, refused: set[str], tmp_path: Path) -> None:
    text = f"editc: 1\nmodel: editc:demo\nedits:\n  - {{erase: fish, to: arrow, method: {method}}}\n"
    (tmp_path / "m.yaml").write_text(f"{text}constraints: {{{more}}}\nverify: {{images: {{detector: editc:demo}}}}\n")
    found = api.check(tmp_path / "m.yaml")
    assert {one.code for one in found.diagnostics if one.is_error} == refused
