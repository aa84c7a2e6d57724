"""Solve for language models on pico ones: what the edited weights do at the keys, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import language_pass_cases
import numpy as np
import pytest
from language_pass_cases import FRANCE, JAPAN, LIST, TOWER, columns, located, manifest, network, run_with, solved

from editc.core.diagnostics import EditcError
from editc.core.ports import Context
from editc.core.prompts import PREFIXES, Spot
from editc.passes.language.keys.derive import DeriveLanguage, mean_keys
from editc.passes.language.keys.key_spots import earlier_edits
from editc.passes.language.keys.problem import build_problem
from editc.passes.language.sentences import spot
from editc.passes.language.solve import record
from editc.passes.language.solve.solve import SolveLanguage
from editc.passes.stored import edited_sites

folder = language_pass_cases.folder
ports = language_pass_cases.ports


def test_a_delta_says_where_its_edits_lead_once(folder: Path, tmp_path: Path, ports: Context) -> None:
    """Where a name leads is no option of the method, whose default would say otherwise."""
    edits = ["- redirect: {from: Japan, to: Germany}", "- erase: Rome"]
    found = list(record.record_edits(solved(folder, tmp_path, ports, edits)))
    assert [(one.get("to"), one.get("toward")) for one in found] == [("Germany", None), (None, "noise")]
    assert all(one["options"].keys() == {"energy", "threshold", "l2"} for one in found)


@pytest.mark.parametrize("prompt", ["{} is a list of", "The capital of {} is"])
def test_what_a_preserved_name_reads_stays(prompt: str, folder: Path, tmp_path: Path, ports: Context) -> None:
    edit = [f"- fact: {{prompt: '{prompt}', subject: France, answer: Berlin}}", "    method: alphaedit"]
    edit += ["    energy: 1.0", "    l2: 1.0e-6"]
    spots = [spot(f"{one}{prompt}", "Tower") for one in PREFIXES]
    off = tuple(one for one, place in zip(spots, network(ports).positions(spots), strict=True) if not place.sink)
    moved = []
    for rest in ("", "preserve: {concepts: [Tower]}"):
        found = solved(folder, tmp_path, ports, edit, rest + "\nsites: {layers: [1]}")
        (after,), (column,) = tuple(edited_sites(found, ports.weights)), columns(found)
        step = after.after - ports.weights.read(after.site.name)
        keys = mean_keys(network(ports), after.site, [column, replace(column, contexts=off)], None)
        own, other = np.linalg.norm(step @ keys, axis=0)
        moved.append(other / own)
    free, held = moved
    assert held < 1e-3 < free


def test_a_key_that_is_to_change_is_not_held_for_an_earlier_delta(folder: Path, tmp_path: Path, ports: Context) -> None:
    """`The capital of France` is all that a state at `France` depends on, whatever either prompt says behind it."""
    fact = "- fact: {prompt: The capital of France was never, subject: France, answer: Rome}"
    first, other = (manifest(folder, tmp_path / "m.yaml", [one]) for one in (fact, TOWER))
    earlier = {"first": earlier_edits(first), "other": earlier_edits(other)}
    plan = located(
        folder, tmp_path / "m.yaml", ports, [FRANCE, "    method: alphaedit", "    energy: 1.0", "    l2: 1.0e-6"]
    )
    found = build_problem(plan, replace(ports, earlier=earlier))
    assert found.overwritten == {0: ("first",)} and build_problem(plan, ports).overwritten == {}
    assert list(found.preserved[0]) == [(spot,) for group in earlier["other"].keys for spot in group]
    later = replace(ports, earlier=earlier)
    told = SolveLanguage()(DeriveLanguage()(plan, later), later)
    site = told.problem.plan.sites[-1]
    step = {one.site.name: one.after - ports.weights.read(one.site.name) for one in edited_sites(told, ports.weights)}
    keys = mean_keys(network(ports), site, columns(told), None)
    alone = SolveLanguage()(DeriveLanguage()(plan, ports), ports)
    free = {one.site.name: one.after - ports.weights.read(one.site.name) for one in edited_sites(alone, ports.weights)}
    sizes = [np.linalg.norm(one[site.name] @ keys) for one in (step, free)]
    assert sizes[0] > 0.8 * sizes[1] > 0


@pytest.mark.parametrize("method", ["rome", "emmet"])
def test_one_matrix_says_what_was_wanted_at_the_keys(method: str, folder: Path, tmp_path: Path, ports: Context) -> None:
    options = ", relax: 0" if method == "emmet" else ""
    edits = [f"- {{{FRANCE[2:]}, method: {method}{options}}}", TOWER]
    found = solved(folder, tmp_path, ports, edits)
    (site,) = found.problem.plan.sites
    (after,) = edited_sites(found, ports.weights)
    keys = mean_keys(network(ports), site, columns(found), None)
    moved = (after.after - ports.weights.read(site.name)) @ keys
    wanted = np.stack([one.residual for one in columns(found)], axis=1)
    assert np.abs(moved - wanted).max() < 1e-4 * np.abs(wanted).max() and after.elements
    assert found.edits[site.group].stats.rank == 2


def test_the_stream_comes_near_its_goal_behind_the_last_layer(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = solved(
        folder, tmp_path, ports, [FRANCE, TOWER, "    method: memit", "    lamb: 0.001"], "sites: {layers: 0-2}"
    )
    for one in columns(found):
        before, after = (
            network(ports).states([2], one.contexts, run)[2].mean(axis=1) for run in (None, run_with(found, ports))
        )
        assert np.linalg.norm(after - before - one.residual) < 0.35 * np.linalg.norm(one.residual)


def test_a_transplant_has_the_state_of_the_other_concept(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = solved(folder, tmp_path, ports, [JAPAN, "    method: transplant", "    lamb: 1.0e-6"])
    (column,), run = columns(found), run_with(found, ports)
    here, there = (
        network(ports).states([1], spots, edited_sites)[1].mean(axis=1)
        for spots, edited_sites in ((column.contexts, run), (column.anchor, None))
    )
    assert np.linalg.norm(here - there) < 0.05 * np.linalg.norm(column.residual)


@pytest.mark.parametrize("method", ["rocr", "transplant"])
def test_the_target_and_preserved_names_stay(method: str, folder: Path, tmp_path: Path, ports: Context) -> None:
    options = "    lamb: 0.01" if method == "transplant" else "    energy: 1.0"
    moved = {}
    for rest in ("", "preserve: {concepts: [Rome]}"):
        found = solved(folder, tmp_path, ports, [JAPAN, f"    method: {method}", options], rest)
        (after,), (column,) = tuple(edited_sites(found, ports.weights)), columns(found)
        rome = [replace(spot, prompt=spot.prompt.replace("Japan", "Rome"), subject="Rome") for spot in column.contexts]
        keys = [network(ports).read_keys([after.site.name], spots)[after.site.name] for spots in (column.anchor, rome)]
        step = after.after - ports.weights.read(after.site.name)
        own = mean_keys(network(ports), after.site, [column], None)
        size = np.linalg.norm(step @ own)
        moved[rest] = [float(np.linalg.norm(step @ one, axis=0).mean() / size) for one in keys]
    (target, before), (_, kept) = moved.values()
    assert target < 0.2 and kept < before / 2


def test_strength_scales_what_is_wanted_and_none_is_no_change(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = [
        solved(folder, tmp_path, ports, [JAPAN, "    method: transplant", f"    strength: {strength}"])
        for strength in (0.0, 0.5, 1.0)
    ]
    none, half, whole = (one.edits["layers.1"].left[0] @ one.edits["layers.1"].right[0] for one in found)
    assert not none.any() and np.allclose(2 * half, whole, rtol=1e-9, atol=0)
    assert [one.strengths for one in found] == [(0.0,), (0.5,), (1.0,)]


def test_the_order_of_edits_that_are_solved_together_does_not_matter(
    folder: Path, tmp_path: Path, ports: Context
) -> None:
    one, other = (solved(folder, tmp_path, ports, edits) for edits in ([FRANCE, TOWER], [TOWER, FRANCE]))
    first, second = run_with(one, ports), run_with(other, ports)
    assert first.keys() == second.keys()
    for name, W in first.items():
        move = np.linalg.norm(W - ports.weights.read(name))
        assert np.linalg.norm(W - second[name]) < 1e-4 * move


def test_the_same_build_twice_is_the_same_to_the_last_bit(folder: Path, tmp_path: Path, ports: Context) -> None:
    edits = [FRANCE, JAPAN, LIST]
    one, other = (run_with(solved(folder, tmp_path, ports, edits), ports) for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_later_stages_work_on_what_earlier_ones_left(folder: Path, tmp_path: Path, ports: Context) -> None:
    """A fact and a redirection in one layer are one edit of it; what the fact wants at its key stays wanted."""
    edits = [f"- {{{FRANCE[2:]}, method: rome}}", f"- {{{JAPAN[2:]}, method: rocr, l2: 1.0e-3, energy: 1.0}}"]
    found = solved(folder, tmp_path, ports, edits)
    (site,) = found.problem.plan.sites
    fact, _ = columns(found)
    keys = mean_keys(network(ports), site, [fact], None)
    (after,) = edited_sites(found, ports.weights)
    moved = ((after.after - ports.weights.read(site.name)) @ keys)[:, 0]
    assert np.linalg.norm(moved - fact.residual) < 0.05 * np.linalg.norm(fact.residual)
    assert found.edits[site.group].stats.rank == 2 and [one["method"] for one in found.methods] == ["rome", "rocr"]


def test_nothing_is_written_along_an_ablated_direction(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = solved(
        folder, tmp_path, ports, [LIST, "    method: ablate", "    projected: false"], "sites: {layers: [2]}"
    )
    (after,) = edited_sites(found, ports.weights)
    present, absent = (
        network(ports).states([2], [Spot(text) for text in texts])[2].mean(axis=1)
        for texts in (("a list", "the long list"), ("a page", "the next page"))
    )
    direction = (present - absent) / np.linalg.norm(present - absent)
    before = ports.weights.read(after.site.name)
    assert np.linalg.norm(direction @ after.after) < 1e-6 * np.linalg.norm(direction @ before)


def test_two_ablated_concepts_leave_no_part_of_either(folder: Path, tmp_path: Path, ports: Context) -> None:
    other = LIST.replace("lists", "talk").replace("the long list", "a discussion").replace("[a list", "[the afternoon")
    edits = [LIST, "    method: ablate", "    projected: false", other, "    method: ablate", "    projected: false"]
    found = solved(folder, tmp_path, ports, edits, "sites: {layers: [2]}")
    (after,) = edited_sites(found, ports.weights)
    assert found.edits[after.site.group].stats.rank == 2
    for edit in found.problem.plan.manifest.ablations:
        present, absent = (
            network(ports).states([2], [Spot(text) for text in texts])[2].mean(axis=1)
            for texts in (edit.present, edit.absent)
        )
        direction = (present - absent) / np.linalg.norm(present - absent)
        before = ports.weights.read(after.site.name)
        assert np.linalg.norm(direction @ after.after) < 1e-6 * np.linalg.norm(direction @ before)


def test_row_norms_make_a_layer_dense(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = solved(folder, tmp_path, ports, [LIST, "    method: ablate", "    norms: true"], "sites: {layers: [2]}")
    (after,) = edited_sites(found, ports.weights)
    before = ports.weights.read(after.site.name)
    assert found.edits["layers.2"].form == "dense"
    assert np.allclose(np.linalg.norm(after.after, axis=1), np.linalg.norm(before, axis=1), rtol=1e-5)


def test_one_key_cannot_hold_two_values(folder: Path, tmp_path: Path, ports: Context) -> None:
    """The prompts differ behind the subject alone. `memit` weighs the two; `rome` would hang on rounding."""
    again = FRANCE.replace("The capital of France is", "The capital of France was")
    other = again.replace("answer: Berlin", "answer: list")
    assert other != again != FRANCE
    with pytest.raises(EditcError) as refused:
        solved(folder, tmp_path, ports, [FRANCE, "    method: rome", other, "    method: rome"])
    (one,) = refused.value.diagnostics
    assert one.code == "E401" and one.related and "memit" in one.help
    solved(folder, tmp_path, ports, [FRANCE, "    method: memit", other, "    method: memit"])
