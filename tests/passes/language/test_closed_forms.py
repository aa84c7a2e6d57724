"""Closed forms for many facts and for erasures, on a pico model: what the edited weights do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import language_pass_cases
import numpy as np
import pytest
from language_pass_cases import FRANCE, TOWER, columns, located, manifest, network, run_with, solved

from editc.core.diagnostics import EditcError
from editc.core.ports import Context
from editc.core.prompts import Cloze, Spot
from editc.passes.language import sentences
from editc.passes.language.keys.derive import DeriveLanguage, mean_keys
from editc.passes.language.keys.key_spots import earlier_edits
from editc.passes.language.solve.solve import SolveLanguage
from editc.passes.stored import edited_sites

folder = language_pass_cases.folder
ports = language_pass_cases.ports

ERASE = "- erase: Rome\n    relations: {'The city of {} is located in the country of': France, 'A list of {} is': page}"


def steps(solution: Any, ports: Context) -> dict[str, Any]:
    """Name of a matrix -> what the edit adds to it."""
    return {
        one.site.name: one.after - ports.weights.read(one.site.name) for one in edited_sites(solution, ports.weights)
    }


def test_the_gradient_of_an_answer_is_the_slope_of_its_loss(ports: Context) -> None:
    """A small change D that only acts at the tokens before the answer's changes the loss by the sum of g^T D k."""
    asked, name = Cloze("The capital of France is", "Berlin"), "model.layers.2.mlp.down_proj.weight"
    both = network(ports).answer_gradients([name, "model.layers.1.mlp.down_proj.weight"], [asked])
    keys, gradients, answers = both[name]
    assert set(answers) == {0} and keys.shape[1] == len(answers)
    spots = [Spot(asked.prompt, asked.prompt[:end], before="") for end in range(1, len(asked.prompt))]
    other = network(ports).read_keys([name], spots)[name]
    apart = np.abs(other[:, :, None] - keys[:, None]).max(axis=0).min(axis=1) > 1e-4
    used, values, _ = np.linalg.svd(other[:, apart], full_matrices=False)
    used = used[:, values > 1e-3 * values[0]]
    W = ports.weights.read(name)
    D = np.random.default_rng(0).normal(size=W.shape) @ (np.eye(W.shape[1]) - used @ used.T)
    losses = [-network(ports).score([asked], {name: W + side * D}).total.sum() for side in (-1e-2, 1e-2)]
    slope = float(np.einsum("it,ij,jt->", gradients, D, keys))
    assert abs((losses[1] - losses[0]) / 2e-2 - slope) < 2e-2 * abs(slope)


def test_ultraedit_makes_answers_likelier(folder: Path, tmp_path: Path, ports: Context) -> None:
    edits = [FRANCE, "    method: ultraedit", "    rate: 1.0e-3", TOWER]
    found = solved(folder, tmp_path, ports, edits)
    assert [one.name for one in found.problem.plan.sites] == [
        f"model.layers.{i}.mlp.down_proj.weight" for i in (1, 2, 3)
    ]
    asked = [Cloze(one.prompt, one.answer) for one in found.problem.plan.manifest.facts]
    before, after = (network(ports).score(asked, run).total for run in (None, run_with(found, ports)))
    assert after.sum() > before.sum()
    assert [one["options"]["rate"] for one in found.methods] == [1e-3, 1e-3]


def test_ultraedit_normalises_over_earlier_facts_too(folder: Path, tmp_path: Path, ports: Context) -> None:
    """One token alone has no deviation; a delta under `after` brings more."""
    edits = ["- fact: {prompt: The capital of France is, subject: France, answer: a}", "    method: ultraedit"]
    plan = located(folder, tmp_path / "m.yaml", ports, edits)
    with pytest.raises(EditcError) as wrong:
        SolveLanguage()(DeriveLanguage()(plan, ports), ports)
    assert wrong.value.diagnostics[0].code == "E451"
    later = replace(ports, earlier={"first": earlier_edits(manifest(folder, tmp_path / "o.yaml", [TOWER]))})
    found = SolveLanguage()(DeriveLanguage()(plan, later), later)
    assert any(step.any() for step in steps(found, ports).values())


@pytest.mark.parametrize("method", ["evoedit", "joint"])
def test_what_an_earlier_delta_wrote_is_held(method: str, folder: Path, tmp_path: Path, ports: Context) -> None:
    """`evoedit` does not move the earlier key at all, `joint` as little as the facts' own weights allow."""
    options = {"evoedit": ["    energy: 1.0", "    tau: 0"], "joint": ["    lamb: 1.0e-4"]}[method]
    plan = located(
        folder, tmp_path / "m.yaml", ports, [FRANCE, f"    method: {method}", *options], "sites: {layers: [1]}"
    )
    earlier = earlier_edits(manifest(folder, tmp_path / "o.yaml", [TOWER]))
    moved = []
    for given in (ports, replace(ports, earlier={"first": earlier})):
        found = SolveLanguage()(DeriveLanguage()(plan, given), given)
        (site,) = found.problem.plan.sites
        (group,) = (replace(columns(found)[0], contexts=one) for one in earlier.keys)
        keys = mean_keys(network(ports), site, [columns(found)[0], group], None)
        own, other = np.linalg.norm(steps(found, ports)[site.name] @ keys, axis=0)
        moved.append(other / own)
    free, held = moved
    assert held < {"evoedit": 1e-6, "joint": 2e-2}[method] < free


def test_one_request_after_another_equals_both_at_once_in_a_model(folder: Path, tmp_path: Path, ports: Context) -> None:
    """`joint` in one layer: with the same values, the second of two builds ends where one build of both does."""
    rest, options = "sites: {layers: [1]}", ["    method: joint", "    lamb: 0.05"]
    both = solved(folder, tmp_path, ports, [FRANCE, *options, TOWER], rest)
    first = solved(folder, tmp_path, ports, [FRANCE, *options], rest)
    (name,) = steps(both, ports)
    D1 = steps(first, ports)[name]
    plan = located(folder, tmp_path / "m.yaml", ports, [TOWER, *options], rest)
    earlier = {"first": earlier_edits(first.problem.plan.manifest)}
    later = replace(ports, earlier=earlier)
    problem = DeriveLanguage()(plan, later)
    (tower,) = problem.memory_keys
    done = D1 @ mean_keys(network(ports), plan.sites[0], [tower], None)[:, 0]
    left = replace(problem, memory_keys=(replace(tower, residual=tower.residual - done),))
    D2 = steps(SolveLanguage()(left, later), ports)[name]
    once = steps(both, ports)[name]
    assert np.linalg.norm(D1 + D2 - once) < 1e-4 * np.linalg.norm(once) < np.linalg.norm(D1 - once)


def test_lunar_moves_the_end_of_every_sentence_by_one_vector(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = solved(folder, tmp_path, ports, [ERASE, "    method: lunar", "    lamb: 1.0e-6"])
    (site,), every = found.problem.plan.sites, columns(found)
    assert ".layers.3." in site.name and len(every) == 2
    assert [one.contexts[0].prompt for one in every] == [
        "The city of Rome is located in the country of",
        "A list of Rome is",
    ]
    assert all(np.array_equal(one.residual, every[0].residual) for one in every)
    texts = [
        [sentences.fill(one.prompt, name) for one in found.problem.plan.manifest.redirects[0].relations]
        for name in ("Rome", *sentences.INVENTED_NAMES)
    ]
    own, *unknown = ([replace(every[0].contexts[0], prompt=text) for text in some] for some in texts)
    means = [network(ports).states([3], spots)[3].mean(axis=1) for spots in (own, [s for one in unknown for s in one])]
    assert np.allclose(every[0].residual, 2 * (means[1] - means[0]), atol=1e-5)
    keys = mean_keys(network(ports), site, every, None)
    moved = steps(found, ports)[site.name] @ keys
    assert np.allclose(moved, every[0].residual[:, None], atol=1e-2 * np.abs(every[0].residual).max())
    assert found.problem.plan.manifest.redirects[0].toward == "refusal"


def test_rmu_leads_every_word_from_the_name_on_to_one_vector(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = solved(
        folder,
        tmp_path,
        ports,
        [ERASE, "    method: rmu-ridge", "    lamb: 1.0e-6", "    scale: 0.5"],
        "sites: {layers: [1]}",
    )
    every = columns(found)
    ends = [spot.prompt[: spot.begin + len(spot.subject)] for one in every for spot in one.contexts]
    assert ends[:3] == ["The city of Rome", "The city of Rome is", "The city of Rome is located"]
    assert len(ends) == 7 + 2
    after = [network(ports).states([1], one.contexts, run_with(found, ports))[1][:, 0] for one in every]
    target = after[0] / np.linalg.norm(after[0])
    assert all(target @ one / np.linalg.norm(one) > 0.98 for one in after)
    before = [network(ports).states([1], one.contexts)[1][:, 0] for one in every]
    assert min(target @ one / np.linalg.norm(one) for one in before) < 0.5


def test_an_erasure_says_where_its_method_cannot_lead(folder: Path, tmp_path: Path) -> None:
    from editc.manifests.decode import decode_file

    for line, word in (("to: Paris", "another concept"), ("toward: noise", "`toward: refusal` only")):
        path = tmp_path / "m.yaml"
        path.write_text(f"editc: 1\nmodel: {folder}\nedits:\n  - erase: Rome\n    method: lunar\n    {line}\n")
        _, faults = decode_file(path)
        assert [one.code for one in faults] == ["E189"] and word in faults[0].message
