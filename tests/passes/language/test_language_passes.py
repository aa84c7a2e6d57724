"""Locate, derive and solve for language models on pico ones: what each stage must leave behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language as pico

from editc.backends.networks import load
from editc.core.diagnostics import EditcError
from editc.core.ir import Array, Plan, Solution
from editc.core.ir_language import Rewrites
from editc.core.network import PREFIXES, Spot
from editc.core.ports import Context
from editc.formats.models.model import open_model
from editc.manifests.decode import read
from editc.passes.language.keys.derive import DeriveLanguage, mean_keys, posed
from editc.passes.language.locate.locate import LocateLanguage
from editc.passes.language.locate.stages import depth_of
from editc.passes.language.sentences import every, spot
from editc.passes.language.solve import record
from editc.passes.language.solve.solve import SolveLanguage
from editc.passes.sites import layer_of
from editc.passes.stored import edited_sites
from editc.verbs import open
from editc.verbs.kinds.target import families

FRANCE = "- fact: {prompt: The capital of France is, subject: France, answer: Berlin}"
TOWER = "- fact: {prompt: A tower in the city of Rome is, subject: Rome, answer: list}"
JAPAN = "- redirect: {from: Japan, to: Germany, relations: {'The capital of {} is': Paris}}"
LIST = "- ablate: {concept: lists, present: [a list, the long list], absent: [a page, the next page]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico.saved("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def ports(folder: Path) -> Context:
    return Context(open_model(folder).component("model"), network=load(folder))


def manifest(folder: Path, path: Path, edits: Sequence[str], rest: str = "") -> Any:
    """`edits` as lines: an item, or an option of the item before it."""
    lines = "\n".join(edit if edit.startswith(" ") else f"  {edit}" for edit in edits)
    path.write_text(f"editc: 1\nmodel: {folder}\nedits:\n{lines}\n{rest}")
    found, faults = read(path)
    assert found is not None, faults
    return found


def located(folder: Path, path: Path, ports: Context, edits: Sequence[str], rest: str = "") -> Plan:
    return LocateLanguage(families())(manifest(folder, path, edits, rest), ports)


def solved(folder: Path, path: Path, ports: Context, edits: Sequence[str], rest: str = "") -> Solution:
    plan = located(folder, path / "m.yaml", ports, edits, rest)
    return SolveLanguage()(DeriveLanguage()(plan, ports), ports)


def run_with(solution: Solution, ports: Context) -> Mapping[str, Array]:
    return {one.site.name: one.after for one in edited_sites(solution, ports.weights)}


def columns(solution: Solution) -> Any:
    assert isinstance(solution.problem, Rewrites)
    return solution.problem.columns


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
    assert depth_of(method, works_on, 30) == layers


@pytest.mark.parametrize("works_on", ["memory", "writer", "columns"])
@pytest.mark.parametrize("count", [1, 2, 4, 6, 12, 28, 32, 48, 80, 126])
def test_every_depth_has_layers_of_its_own(works_on: str, count: int) -> None:
    for method in ("rome", "memit"):
        found = depth_of(method, works_on, count)
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
        ([FRANCE, "    method: rome"], "sites: {roles: [attention], layers: [1]}", "E212", "is none"),
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


def test_an_expert_has_no_key(tmp_path: Path) -> None:
    routed = pico.saved("mixtral", tmp_path / "model")
    ports = Context(open_model(routed).component("model"))
    plan = located(routed, tmp_path / "m.yaml", ports, [FRANCE])
    assert plan.stages[0].method == "memit" and {site.role for site in plan.sites} == {"attention"}
    with pytest.raises(EditcError) as caught:
        located(routed, tmp_path / "m.yaml", ports, [FRANCE], "sites: {roles: [mlp]}")
    assert caught.value.diagnostics[0].code == "E212"


def test_a_delta_says_where_its_edits_lead_once(folder: Path, tmp_path: Path, ports: Context) -> None:
    """Where a name leads is no option of the method, whose default would say otherwise."""
    edits = ["- redirect: {from: Japan, to: Germany}", "- erase: Rome"]
    found = list(record.edits(solved(folder, tmp_path, ports, edits)))
    assert [(one.get("to"), one.get("toward")) for one in found] == [("Germany", None), (None, "noise")]
    assert all(one["options"].keys() == {"energy", "threshold", "l2"} for one in found)


def test_an_erase_alone_is_what_the_model_is(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {folder}\nedits: [{{erase: France}}]\n")
    found = open.require_manifest(path).manifest
    assert found.kind == "language" and found.redirects[0].toward == "noise"
    path.write_text("editc: 1\nmodel: editc:demo\nedits: [{erase: circle}]\n")
    assert open.require_manifest(path).manifest.kind == "image"


def test_a_subject_at_the_sink_is_left_out_and_counted(folder: Path, tmp_path: Path, ports: Context) -> None:
    edit = "- fact: {prompt: T is a, subject: T, answer: list}"
    (column,) = posed(located(folder, tmp_path / "m.yaml", ports, [edit]), ports).columns
    assert column.sinks == 1 and len(column.contexts) == 6
    with pytest.raises(EditcError) as caught:
        posed(located(folder, tmp_path / "m.yaml", ports, [edit], "contexts: ['{}']"), ports)
    assert caught.value.diagnostics[0].code == "E333"


def test_a_key_is_at_the_subject_that_is_meant(folder: Path, tmp_path: Path, ports: Context) -> None:
    edit = "- fact: {prompt: 'In {} the people of France speak', subject: France, answer: list}"
    plan = located(folder, tmp_path / "m.yaml", ports, [edit], "chat: true")
    for column in posed(plan, ports).columns:
        cut = [replace(one, prompt=one.prompt.partition(" the people of")[0], before=None) for one in column.contexts]
        rows = [[place.row for place in ports.network.places(spots)] for spots in (column.contexts, cut)]  # type: ignore[union-attr]
        assert rows[0] == rows[1] and len(cut) >= 3


def test_preserved_names_stand_in_the_very_sentences_of_the_concept(
    folder: Path, tmp_path: Path, ports: Context
) -> None:
    edit = ["- redirect: {from: France, to: Japan}", "    contexts: ['What do people in {} eat?', 'It is said of {}']"]
    plan = located(folder, tmp_path / "m.yaml", ports, edit, "preserve: {concepts: [Italy, Rome]}")
    found = posed(plan, ports)
    assert all(len(group) == 1 for group in found.kept[0]), "each sentence is a key"
    said = {spot.prompt for group in found.kept[0] for spot in group}
    names = ("Japan", "Italy", "Rome")
    assert said == {text.format(one) for one in names for text in ("What do people in {} eat?", "It is said of {}")}


def test_a_name_and_its_target_are_averaged_over_the_same_sentences(
    folder: Path, tmp_path: Path, ports: Context
) -> None:
    """`Japan` has several tokens, so that it ends behind position 0; `T` is there, and no state to lead to."""
    edit = "- redirect: {from: Japan, to: T}"
    (column,) = posed(located(folder, tmp_path / "m.yaml", ports, [edit]), ports).columns
    again = [replace(one, prompt=one.prompt.replace("Japan", "T"), subject="T") for one in column.contexts]
    assert list(column.anchor) == again and (column.sinks, len(again)) == (1, 5)
    with pytest.raises(EditcError) as caught:
        posed(located(folder, tmp_path / "m.yaml", ports, [edit], "contexts: ['{}']"), ports)
    (fault,) = caught.value.diagnostics
    assert fault.code == "E333" and fault.message.startswith("`Japan` or `T` is at")


def test_preserved_names_go_through_the_contexts_of_a_fact(folder: Path, tmp_path: Path, ports: Context) -> None:
    """Also where the prompt begins with the subject; one key a name and form, as the fact's own."""
    edit = "- fact: {prompt: France is a list of, subject: France, answer: Berlin}"
    rest = "chat: true\npreserve: {concepts: [T, Japan]}"
    found = posed(located(folder, tmp_path / "m.yaml", ports, [edit], rest), ports)
    own = {one.form: {spot.prompt.replace("France", "{}") for spot in one.contexts} for one in found.columns}
    names = [(name, form) for name in ("T", "Japan") for form in ("plain", "chat")]
    for (name, form), group in zip(names, found.kept[0], strict=True):
        assert {(spot.subject, spot.chat) for spot in group} == {(name, form == "chat")}
        held = {spot.prompt.replace(name, "{}", 1) if name == "Japan" else "" for spot in group}
        assert len(group) == 7 - (name == "T") if form == "plain" else 3
        assert held >= own[form] or name == "T"
    with pytest.raises(EditcError) as caught:
        posed(located(folder, tmp_path / "m.yaml", ports, [edit], "contexts: ['{}']\n" + rest), ports)
    (fault,) = caught.value.diagnostics
    assert fault.code == "E345" and "`T`" in fault.message and fault.span is not None


@pytest.mark.parametrize("prompt", ["{} is a list of", "The capital of {} is"])
def test_what_a_preserved_name_reads_stays(prompt: str, folder: Path, tmp_path: Path, ports: Context) -> None:
    edit = [f"- fact: {{prompt: '{prompt}', subject: France, answer: Berlin}}", "    method: alphaedit"]
    edit += ["    energy: 1.0", "    l2: 1.0e-6"]
    spots = [spot(f"{one}{prompt}", "Tower") for one in PREFIXES]
    off = tuple(one for one, place in zip(spots, ports.network.places(spots), strict=True) if not place.sink)  # type: ignore[union-attr]
    moved = []
    for rest in ("", "preserve: {concepts: [Tower]}"):
        found = solved(folder, tmp_path, ports, edit, rest + "\nsites: {layers: [1]}")
        (after,), (column,) = tuple(edited_sites(found, ports.weights)), columns(found)
        step = after.after - ports.weights.read(after.site.name)
        keys = mean_keys(ports.network, after.site, [column, replace(column, contexts=off)], None)  # type: ignore[arg-type]
        own, other = np.linalg.norm(step @ keys, axis=0)
        moved.append(other / own)
    free, held = moved
    assert held < 1e-3 < free


def test_a_key_that_is_to_change_is_not_held_for_an_earlier_delta(folder: Path, tmp_path: Path, ports: Context) -> None:
    """`The capital of France` is all that a state at `France` depends on, whatever either prompt says behind it."""
    fact = "- fact: {prompt: The capital of France was never, subject: France, answer: Rome}"
    first, other = (manifest(folder, tmp_path / "m.yaml", [one]) for one in (fact, TOWER))
    earlier = {"first": tuple(every(first)), "other": tuple(every(other))}
    plan = located(
        folder, tmp_path / "m.yaml", ports, [FRANCE, "    method: alphaedit", "    energy: 1.0", "    l2: 1.0e-6"]
    )
    found = posed(plan, replace(ports, earlier=earlier))
    assert found.overwritten == {0: ("first",)} and posed(plan, ports).overwritten == {}
    assert list(found.kept[0]) == [(spot,) for spot in earlier["other"]]
    later = replace(ports, earlier=earlier)
    told = SolveLanguage()(DeriveLanguage()(plan, later), later)
    site = told.problem.plan.sites[-1]
    step = {one.site.name: one.after - ports.weights.read(one.site.name) for one in edited_sites(told, ports.weights)}
    keys = mean_keys(ports.network, site, columns(told), None)  # type: ignore[arg-type]
    alone = SolveLanguage()(DeriveLanguage()(plan, ports), ports)
    free = {one.site.name: one.after - ports.weights.read(one.site.name) for one in edited_sites(alone, ports.weights)}
    sizes = [np.linalg.norm(one[site.name] @ keys) for one in (step, free)]
    assert sizes[0] > 0.8 * sizes[1] > 0


def test_chat_makes_a_column_of_its_own_with_the_same_value(folder: Path, tmp_path: Path, ports: Context) -> None:
    plan = located(folder, tmp_path / "m.yaml", ports, [FRANCE], "chat: true")
    plain, chat = DeriveLanguage()(plan, ports).columns
    assert (plain.form, chat.form) == ("plain", "chat") and all(spot.chat for spot in chat.contexts)
    assert plain.value is not None and np.array_equal(plain.wanted, chat.wanted)
    del ports.network.words.tokenizer.chat_template  # type: ignore[union-attr]
    try:
        with pytest.raises(EditcError) as caught:
            posed(plan, ports)
    finally:
        ports.network.words.tokenizer.chat_template = pico.TEMPLATE  # type: ignore[union-attr]
    assert caught.value.diagnostics[0].code == "E332" and caught.value.diagnostics[0].span is not None


@pytest.mark.parametrize("method", ["rome", "emmet"])
def test_one_matrix_says_what_was_wanted_at_the_keys(method: str, folder: Path, tmp_path: Path, ports: Context) -> None:
    options = ", relax: 0" if method == "emmet" else ""
    edits = [f"- {{{FRANCE[2:]}, method: {method}{options}}}", TOWER]
    found = solved(folder, tmp_path, ports, edits)
    (site,) = found.problem.plan.sites
    (after,) = edited_sites(found, ports.weights)
    keys = mean_keys(ports.network, site, columns(found), None)  # type: ignore[arg-type]
    moved = (after.after - ports.weights.read(site.name)) @ keys
    wanted = np.stack([one.wanted for one in columns(found)], axis=1)
    assert np.abs(moved - wanted).max() < 1e-4 * np.abs(wanted).max() and after.elements
    assert found.edits[site.group].stats.rank == 2


def test_the_stream_comes_near_its_goal_behind_the_last_layer(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = solved(
        folder, tmp_path, ports, [FRANCE, TOWER, "    method: memit", "    lamb: 0.001"], "sites: {layers: 0-2}"
    )
    for one in columns(found):
        before, after = (
            ports.network.states([2], one.contexts, run)[2].mean(axis=1)  # type: ignore[union-attr]
            for run in (None, run_with(found, ports))
        )
        assert np.linalg.norm(after - before - one.wanted) < 0.35 * np.linalg.norm(one.wanted)


def test_a_transplant_has_the_state_of_the_other_concept(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = solved(folder, tmp_path, ports, [JAPAN, "    method: transplant", "    lamb: 1.0e-6"])
    (column,), run = columns(found), run_with(found, ports)
    here, there = (
        ports.network.states([1], spots, edited_sites)[1].mean(axis=1)  # type: ignore[union-attr]
        for spots, edited_sites in ((column.contexts, run), (column.anchor, None))
    )
    assert np.linalg.norm(here - there) < 0.05 * np.linalg.norm(column.wanted)


@pytest.mark.parametrize("method", ["rocr", "transplant"])
def test_the_target_and_preserved_names_stay(method: str, folder: Path, tmp_path: Path, ports: Context) -> None:
    options = "    lamb: 0.01" if method == "transplant" else "    energy: 1.0"
    moved = {}
    for rest in ("", "preserve: {concepts: [Rome]}"):
        found = solved(folder, tmp_path, ports, [JAPAN, f"    method: {method}", options], rest)
        (after,), (column,) = tuple(edited_sites(found, ports.weights)), columns(found)
        rome = [replace(spot, prompt=spot.prompt.replace("Japan", "Rome"), subject="Rome") for spot in column.contexts]
        keys = [ports.network.reads([after.site.name], spots)[after.site.name] for spots in (column.anchor, rome)]  # type: ignore[union-attr]
        step = after.after - ports.weights.read(after.site.name)
        size = np.linalg.norm(step @ mean_keys(ports.network, after.site, [column], None))  # type: ignore[arg-type]
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
    keys = mean_keys(ports.network, site, [fact], None)  # type: ignore[arg-type]
    (after,) = edited_sites(found, ports.weights)
    moved = ((after.after - ports.weights.read(site.name)) @ keys)[:, 0]
    assert np.linalg.norm(moved - fact.wanted) < 0.05 * np.linalg.norm(fact.wanted)
    assert found.edits[site.group].stats.rank == 2 and [one["method"] for one in found.methods] == ["rome", "rocr"]


def test_nothing_is_written_along_an_ablated_direction(folder: Path, tmp_path: Path, ports: Context) -> None:
    found = solved(
        folder, tmp_path, ports, [LIST, "    method: ablate", "    projected: false"], "sites: {layers: [2]}"
    )
    (after,) = edited_sites(found, ports.weights)
    present, absent = (
        ports.network.states([2], [Spot(text) for text in texts])[2].mean(axis=1)  # type: ignore[union-attr]
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
            ports.network.states([2], [Spot(text) for text in texts])[2].mean(axis=1)  # type: ignore[union-attr]
            for texts in (edit.present, edit.absent)  # type: ignore[union-attr]
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


def test_edits_that_will_interfere_are_named(folder: Path, tmp_path: Path, ports: Context) -> None:
    """Two facts with the same subject have the same key but for what stands before it."""
    again = "- fact: {prompt: The long discussion of France is, subject: France, answer: list}"
    plan = located(folder, tmp_path / "m.yaml", ports, [FRANCE, again, "    method: transplant"][:2])
    problem = DeriveLanguage()(plan, ports)
    assert [one.edits for one in problem.near] == [(0, 1)] and abs(problem.near[0].cosine) <= 1
    alone = DeriveLanguage()(located(folder, tmp_path / "m.yaml", ports, [FRANCE]), ports)
    assert alone.near == ()


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


def test_noise_depends_on_the_seed_alone(folder: Path, tmp_path: Path, ports: Context) -> None:
    edit = ["- erase: Japan", "    method: rocr"]
    plans = [located(folder, tmp_path / "m.yaml", ports, edit, f"seed: {seed}") for seed in (0, 0, 1)]
    one, same, other = (DeriveLanguage()(plan, ports).columns[0].wanted for plan in plans)
    assert np.array_equal(one, same) and not np.allclose(one, other)


def test_a_plan_that_is_measured_again_learns_nothing(folder: Path, tmp_path: Path, ports: Context) -> None:
    plan = located(folder, tmp_path / "m.yaml", ports, [FRANCE, JAPAN])
    silent = replace(ports, network=Silent(ports.network))  # type: ignore[arg-type]
    assert [one.wanted.size for one in posed(plan, silent).columns] == [0, 0]


class Silent:
    """A network that may be asked for places and its fingerprint, and nothing else."""

    def __init__(self, network: Any) -> None:
        self.places, self.fingerprint = network.places, network.fingerprint
