"""A link measured again on real pipelines: each part's claims, its bounds, and `verify` of what was written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from command import editc
from safetensors.numpy import load_file, save_file
from tiny_files import refused

from editc import api
from editc.cli import show
from editc.cli.show import link as show_link
from editc.core.measurements import Claim
from editc.formats.delta.container import read_delta, write_delta
from editc.formats.delta.parts import parts
from editc.formats.diff.diff import has_manifest
from editc.formats.models.model import open_model
from editc.passes.emit import round_claim
from editc.passes.stored import StoredWeights
from editc.verbs.recheck import recorded_solution, solution_of_part

THINGS = ("circle", "star", "cat", "tree", "moon on grass", "red fish", "blue house", "boat")
FEW = "preserve: {concepts: [cat], weight: 0.1}\n"
TEXT = """editc: 1
model: {model}
edits:
  - {{erase: {concept}, to: {to}}}
contexts: ["a {{}}", "a photo of a {{}}", "this is a {{}}"]
{more}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("link")
    tiny.pipeline_folder(made / "m")
    (made / "m" / "prompts.txt").write_text("\n".join(f"a {thing}" for thing in THINGS))
    return made


def built(folder: Path, name: str, concept: str, to: str, more: str = "") -> api.Built:
    (folder / f"{name}.yaml").write_text(TEXT.format(model=folder / "m", concept=concept, to=to, more=more))
    done = api.build(folder / f"{name}.yaml", folder / name)
    assert done is not None and done.delta is not None, done and done.failures
    return done


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[api.Built, api.Built]:
    return built(folder, "a", "circle", "square"), built(folder, "b", "star", "heart", FEW)


def linked(folder: Path, those: Sequence[api.Built], name: str, **options: Any) -> Any:
    return api.link([one.files[0] for one in those], folder / f"{name}.safetensors", str(folder / "m"), **options)


@pytest.fixture(scope="module")
def added(folder: Path, pair: Any) -> Any:
    """Both deltas of `pair`, added."""
    return linked(folder, pair, "added")


def values(claims: Sequence[Claim], but: tuple[str, ...] = ()) -> dict[tuple[str, str], float]:
    return {(one.name, one.subject): round_claim(one) for one in claims if one.name not in but}


def test_a_link_of_one_claims_what_the_delta_claims(folder: Path, pair: Any) -> None:
    (part,) = linked(folder, pair[:1], "one").parts
    assert values(part.verified.report.claims) == values(pair[0].verified.report.claims)
    assert all(alone == round_claim(claim) for claim, alone in part.compared_claims())


def test_parts_are_measured_on_the_weights_that_apply_writes(folder: Path, added: Any) -> None:
    found = added
    assert found.measured and not found.failures and len(found.overlaps) == len(found.arrangement.sites)
    api.apply([found.files[0]], str(folder / "m"), out=folder / "patched")
    patched = open_model(folder / "patched").component("unet")
    for part in found.parts:
        solution = part.verified.solution
        names = frozenset(site.name for site in solution.problem.plan.sites)
        stored = StoredWeights(solution, names)
        assert names and all((stored[name] == patched.read(name)).all() for name in names)


def test_measuring_a_part_gathered_is_measuring_it_as_it_was(folder: Path, pair: Any) -> None:
    """A delta of one part, its factors as they stand and site by site: the same weights."""
    delta, problem = read_delta(pair[0].files[0]), pair[0].verified.solution.problem
    plain, gathered = recorded_solution(delta, problem), solution_of_part(delta, delta, problem)
    names = frozenset(site.name for site in problem.plan.sites)
    assert all((StoredWeights(plain, names)[name] == StoredWeights(gathered, names)[name]).all() for name in names)


def test_one_more_edit_moves_what_the_first_one_kept(added: Any) -> None:
    """Else the two figures side by side would say nothing."""
    circle = next(part for part in added.parts if part.delta.edits[0]["concept"] == "circle")
    now = {claim.name: (claim.value, alone) for claim, alone in circle.compared_claims()}
    assert all(alone is not None for _, alone in now.values())
    for name in ("preserve_drift", "unconditional_drift"):
        assert now[name][0] > 1.02 * now[name][1], name
    for name in ("rank", "condition", "solve_residual", "discarded"):
        assert now[name][0] == now[name][1], "a fact of its own solve"


@pytest.mark.parametrize("composed", [False, True])
def test_verify_measures_each_part_again_and_finds_a_lie(folder: Path, pair: Any, added: Any, composed: bool) -> None:
    found = linked(folder, pair, "composed", composed=True) if composed else added
    again = api.verify(found.files[0], str(folder / "m"))
    assert again.tier == "exact" and not again.failures and len(again.parts) == 2
    assert "all claims hold" in show.verify_result(again).text
    lie = [dict(claim) for claim in found.delta.claims]
    lie[0]["value"] /= 2
    write_delta(replace(found.delta, claims=tuple(lie)), folder / "lie.safetensors")
    failures = api.verify(folder / "lie.safetensors", str(folder / "m")).failures
    assert [one.code for one in failures] == ["E507"]
    api.apply([found.files[0]], str(folder / "m"), out=folder / f"out{composed}")
    assert api.verify(found.files[0], str(folder / f"out{composed}")).tier == "already"


def test_a_broken_bound_is_named_and_nothing_is_written(folder: Path, pair: Any) -> None:
    alone = values(pair[0].verified.report.claims)
    drift = next(value for (name, _), value in alone.items() if name == "preserve_drift")
    tight = built(folder, "tight", "circle", "square", f"constraints: {{preserve_drift: {1.01 * drift}, rank: 64}}\n")
    found = linked(folder, (tight, pair[1]), "broken")
    (failure,) = found.failures
    assert failure.code == "E501" and "preserve_drift" in failure.message and failure.source is not None
    assert failure.source.text == tight.delta.manifest and failure.span is not None  # type: ignore[union-attr]
    assert found.delta is None and not found.files and not list(folder.glob("broken.*"))
    assert "no delta was written" in show_link.link_result(found).text


def test_what_the_other_part_erases_is_not_kept_unless_asked_for(folder: Path, pair: Any, added: Any) -> None:
    circle = next(part for part in added.parts if part.delta.edits[0]["concept"] == "circle")
    (system,) = circle.verified.solution.problem.systems.values()
    (own,) = pair[0].verified.solution.problem.systems.values()
    assert set(own.preserved.prompts) - set(system.preserved.prompts) == {"a star"} and circle.conflicts == ()
    asks = built(folder, "asks", "circle", "square", "preserve: {concepts: [star, cat]}\n")
    conflict = linked(folder, (asks, pair[1]), "conflict")
    circle = next(part for part in conflict.parts if part.delta.edits[0]["concept"] == "circle")
    assert circle.conflicts == ("star",) and "preserves `star`" in show_link.link_result(conflict).text


def test_a_part_that_diff_made_is_passed_over_and_the_others_are_measured(folder: Path, pair: Any) -> None:
    shutil.copytree(folder / "m", folder / "edited")
    weights = folder / "edited" / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    name = next(one for one in tensors if one.endswith("attn1.to_q.weight"))
    tensors[name][0] += 0.5
    save_file(tensors, weights, {"format": "pt"})
    api.diff(str(folder / "m"), str(folder / "edited"), folder / "diff.safetensors", form="low-rank")
    api.link([pair[0].files[0], folder / "diff.safetensors"], folder / "both.safetensors", str(folder / "m"))
    again = api.verify(folder / "both.safetensors", str(folder / "m"))
    measured = {str(part.delta.edits[0]["kind"]): part.verified is not None for part in again.parts}
    assert measured == {"erase": True, "diff": False} and not again.failures
    assert "not measured: it was made from two checkpoints" in show.verify_result(again).text
    linked_delta = read_delta(folder / "both.safetensors")
    assert has_manifest(linked_delta)
    assert sorted(has_manifest(part) for part in parts(linked_delta)) == [False, True]
    api.link([folder / "diff.safetensors"], folder / "diff_only.safetensors", str(folder / "m"))
    assert not has_manifest(read_delta(folder / "diff_only.safetensors"))
    with refused("E647"):
        api.verify(folder / "diff_only.safetensors", str(folder / "m"))


@pytest.mark.slow
def test_the_command_line(folder: Path, pair: Any, added: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    files = [str(one.files[0]) for one in pair]
    missing = editc("link", *files, "-o", "cli.safetensors", "--json")
    assert missing.returncode == 2 and json.loads(missing.stdout)["diagnostics"][0]["code"] == "E652"
    done = editc("link", *files[::-1], "-o", "cli.safetensors", "--model", "m", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["measured"] and told["inputs"] == sorted(told["inputs"]) and len(told["overlap"]) == told["sites"]
    drifts = [{claim["name"] for claim in part["claims"] if "drift" in claim["name"]} for part in told["parts"]]
    both = {"preserve_drift", "unconditional_drift", "default_drift", "named_drift"}
    assert both in drifts and {"preserve_drift", "unconditional_drift"} in drifts
    assert (folder / "cli.safetensors").read_bytes() == added.files[0].read_bytes()
    text = show_link.link_result(added).text
    assert " alone " in text and "cosines of the principal angles" in text and "added.lock.json" in text
    assert [part.delta_id for part in parts(added.delta)] == told["inputs"]
    shown = editc("inspect", "cli.safetensors")
    assert shown.returncode == 0 and "linked" in shown.stdout
