"""Linking: the same bytes in every order, the float64 sum to the bit, no guess where an order or a base is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_files import KEYS, delta_for, delta_of, factors_for, noise, pipeline, refused, sealed

from editc.core.delta import Delta, Factors, Form, Site
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.delta.container import from_bytes, to_bytes
from editc.formats.delta.parts import parts
from editc.formats.inspect import describe_delta
from editc.formats.link.link import Arrangement, arrange, link
from editc.formats.link.overlap import as_json, measure_overlaps
from editc.formats.models.model import Model, open_model
from editc.numerics.bits import dtypes
from editc.verbs.link import link_files

FORMS: tuple[Form, ...] = ("shared", "low-rank", "dense")
NAMES = st.lists(st.sampled_from(KEYS), min_size=1, max_size=len(KEYS), unique=True)


def linked(deltas: Sequence[Delta], model: Model | None = None, composed: bool = False) -> Delta:
    """The link as it comes back from its own bytes."""
    return sealed(link(arrange(deltas, composed), model, "editc 0"))


def change(delta: Delta, name: str, W: Any) -> Any:
    """dW of one tensor by its definition, in float64 and by numpy."""
    for factors in delta.factors.values():
        for k, index in enumerate(factors.sites):
            if delta.sites[index].site.name == name:
                left = factors.left[0 if factors.form == "shared" else k].astype(np.float64)
                if factors.form == "dense":
                    return left
                right = factors.right[k if len(factors.right) > 1 else 0].astype(np.float64)
                return ((W @ left) if factors.form == "shared" else left) @ right
    return np.zeros_like(W)


def written(delta: Delta, model: Model, out: Path) -> dict[str, bytes]:
    """Every tensor that `apply` writes, its recorded hash checked by apply itself."""
    plan = plan_apply([delta], model)
    assert (plan.status, plan.tier) == ("ready", "exact") and all(t.result for t in plan.targets)
    apply(plan, out=out)
    weights = open_model(out).component("unet")
    return {name: weights.raw(name) for name in KEYS}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return pipeline(tmp_path_factory.mktemp("link") / "base")


# ---------------------------------------------------------------- adding


@given(st.lists(st.tuples(st.sampled_from(FORMS), NAMES), min_size=3, max_size=3))
@settings(max_examples=25, deadline=None)
def test_the_order_in_which_deltas_are_named_changes_no_byte(base: Model, kinds: list[tuple[Form, list[str]]]) -> None:
    deltas = [delta_for(base, form, sorted(names), seed=seed) for seed, (form, names) in enumerate(kinds, 1)]
    found = {to_bytes(link(arrange(order), base, "editc 0")) for order in permutations(deltas)}
    assert len(found) == 1
    back = from_bytes(found.pop())
    assert [part.delta_id for part in parts(back)] == sorted(delta.delta_id for delta in deltas)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("forms", [("shared", "shared"), ("low-rank", "low-rank"), ("shared", "shared", "shared")])
def test_linked_is_the_base_and_every_change_rounded_once(tmp_path: Path, forms: tuple[Form, ...], dtype: str) -> None:
    model = pipeline(tmp_path / "m", dtype=dtype)
    deltas = [delta_for(model, form, seed=seed, rank=seed) for seed, form in enumerate(forms, 1)]
    got = written(linked(deltas, model), model, tmp_path / "out")
    weights, alone = model.component("unet"), 0
    for name in KEYS:
        W = weights.read(name)
        assert got[name] == dtypes.encode(W + sum(change(delta, name, W) for delta in deltas), dtype), name
        once = W
        for delta in deltas:
            once = dtypes.decode(dtypes.encode(once + change(delta, name, W), dtype), dtype, W.shape)
        alone += dtypes.encode(once, dtype) != got[name]
    assert alone, "the control: rounding after each edit comes out otherwise"


@pytest.mark.parametrize("forms", [f for f in permutations(FORMS, 2)] + [("dense", "dense")])
def test_forms_that_differ_are_lowered_and_rounded_to_float32_once_more(
    base: Model, forms: tuple[Form, Form], tmp_path: Path
) -> None:
    deltas = [delta_for(base, form, seed=seed) for seed, form in enumerate(forms, 1)]
    made = linked(deltas, base)
    assert {f.form for f in made.factors.values()} == {"dense" if "dense" in forms else "low-rank"}
    written(made, base, tmp_path / "out")
    for name in KEYS:
        W = base.component("unet").read(name)
        wanted, got = (sum(change(one, name, W) for one in those) for those in (deltas, [made]))
        assert np.abs(got - wanted).max() <= 4 * 2.0**-24 * np.abs(wanted).max() + 1e-7


@pytest.mark.parametrize("form", FORMS)
def test_a_link_of_one_has_the_same_factors_and_hashes(base: Model, form: Form) -> None:
    delta = delta_for(base, form)
    for made in (linked([delta]), linked([delta], base)):
        assert {r.site.name: r for r in made.sites} == {r.site.name: r for r in delta.sites}
        (mine,), (theirs,) = made.factors.values(), delta.factors.values()
        names = [[d.sites[i].site.name for i in f.sites] for d, f in ((made, mine), (delta, theirs))]
        assert sorted(names[0]) == sorted(names[1]) and mine.form == form
        for name in KEYS:
            W = base.component("unet").read(name)
            assert np.array_equal(change(made, name, W), change(delta, name, W))


def test_disjoint_deltas_are_united_without_a_model(base: Model, tmp_path: Path) -> None:
    """And the result is what applying both gives, which is allowed for they do not meet."""
    first, second = delta_for(base, "shared", KEYS[:1]), delta_for(base, "low-rank", KEYS[1:3], seed=5)
    made = linked([first, second])
    assert {r.site.name: r for r in made.sites} == {r.site.name: r for d in (first, second) for r in d.sites}
    apply(plan_apply([first, second], base), out=tmp_path / "both")
    both = open_model(tmp_path / "both").component("unet")
    assert written(made, base, tmp_path / "linked") == {name: both.raw(name) for name in KEYS}


def test_only_the_sites_that_meet_get_new_records_and_groups(base: Model, tmp_path: Path) -> None:
    first, second = delta_for(base, "shared", KEYS[:3]), delta_for(base, "shared", KEYS[2:], seed=5)
    made = linked([first, second], base)
    records = {record.site.name: record for record in made.sites}
    for delta, mine in ((first, KEYS[:2]), (second, KEYS[3:])):
        assert all(records[r.site.name] == r for r in delta.sites if r.site.name in mine)
    ranks = {tuple(made.sites[i].site.name for i in f.sites): len(f.right[0]) for f in made.factors.values()}
    assert sorted(ranks.items()) == sorted({KEYS[:2]: 2, KEYS[2:3]: 4, KEYS[3:]: 2}.items())
    assert all(record.site.group == "text" for record in made.sites)
    W = base.component("unet").read(KEYS[2])
    wanted = dtypes.encode(W + change(first, KEYS[2], W) + change(second, KEYS[2], W), "F32")
    assert written(made, base, tmp_path / "out")[KEYS[2]] == wanted


def test_transposed_sites_are_linked_as_they_are_stored(base: Model, tmp_path: Path) -> None:
    sites = [Site("unet", KEYS[0], (6, 4), "F32", "k", transposed=True)]
    forms: tuple[Form, ...] = ("shared", "low-rank")
    deltas = [delta_of(base, sites, factors_for(form, sites, seed=s)) for s, form in enumerate(forms, 1)]
    made = linked(deltas, base)
    stored = base.component("unet").read(KEYS[0])
    wanted = stored + sum(change(delta, KEYS[0], stored.T) for delta in deltas).T
    got = dtypes.decode(written(made, base, tmp_path / "out")[KEYS[0]], "F32", stored.shape)
    assert np.abs(got - wanted).max() < 1e-6


# ---------------------------------------------------------------- composing


def test_composed_is_one_applied_to_the_result_of_the_other(base: Model, tmp_path: Path) -> None:
    deltas = [delta_for(base, "shared", seed=seed) for seed in (1, 2)]
    made = [linked(order, base, composed=True) for order in (deltas, deltas[::-1])]
    assert made[0].delta_id != made[1].delta_id
    assert {r.site.name: r.result for r in made[0].sites} != {r.site.name: r.result for r in made[1].sites}
    for order, one in zip((deltas, deltas[::-1]), made, strict=True):
        assert [part.delta_id for part in parts(one)] == [delta.delta_id for delta in order]
        got = written(one, base, tmp_path / one.delta_id)
        for name in KEYS:
            W = base.component("unet").read(name)
            once = W + change(order[0], name, W)
            wanted = once + change(order[1], name, once)
            assert np.abs(dtypes.decode(got[name], "F32", W.shape) - wanted).max() < 2e-6


def test_a_delta_built_on_the_result_of_another_follows_it(tmp_path: Path) -> None:
    """Composed, they change the first one's base into the second one's result, but for the rounding between."""
    model = pipeline(tmp_path / "m")
    first = delta_for(model, "shared", seed=1)
    apply(plan_apply([first], model), out=tmp_path / "after")
    second = delta_for(open_model(tmp_path / "after"), "shared", seed=2)
    for order, composed in (((first, second), False), ((second, first), True)):
        with refused("E650") as error:
            arrange(order, composed)
        assert "--compose" in error.diagnostics[0].help and second.sites[0].base["F32"] in str(error.diagnostics)
    made = linked([first, second], model, composed=True)
    assert all(record.base == first.sites[i].base for i, record in enumerate(made.sites))
    apply(plan_apply([second], open_model(tmp_path / "after")), out=tmp_path / "twice")
    got, twice = written(made, model, tmp_path / "out"), open_model(tmp_path / "twice").component("unet")
    for name in KEYS:
        assert np.abs(dtypes.decode(got[name], "F32", twice.shape(name)) - twice.read(name)).max() < 2e-6


# ---------------------------------------------------------------- refusals


def test_other_bases_are_refused_by_name_and_hash(base: Model, tmp_path: Path) -> None:
    other = pipeline(tmp_path / "other", seed=50)
    mine, theirs = delta_for(base), delta_for(other)
    with refused("E650") as error:
        arrange([mine, theirs])
    (found,) = error.diagnostics
    name = found.place
    hashes = [next(r.base["F32"] for r in delta.sites if r.site.name == name) for delta in (mine, theirs)]
    assert name == KEYS[0] and all(any(h in note for note in found.notes) for h in hashes)
    arrange([delta_for(base, names=KEYS[:2]), delta_for(other, names=KEYS[2:])])


def test_another_kind_of_model_is_refused(base: Model) -> None:
    mine, theirs = delta_for(base, names=KEYS[:1]), delta_for(base, names=KEYS[1:])
    part = replace(theirs.sites[0], site=replace(theirs.sites[0].site, component="prior"))
    for other in (
        replace(theirs, family="sdxl"),
        replace(theirs, encoder="e" * 64),
        replace(theirs, sites=(part, *theirs.sites[1:])),
    ):
        with refused("E651"):
            arrange([mine, other])
    arrange([mine, replace(theirs, encoder="")])
    with refused("E651"):
        arrange([replace(mine, encoder=""), theirs, replace(theirs, encoder="e" * 64, delta_id="f")])


def test_the_same_edit_twice_is_refused_even_inside_a_link(base: Model) -> None:
    one, other = delta_for(base, seed=1), delta_for(base, seed=2)
    for twice in ([one, one], [one, linked([one, other], base)]):
        with refused("E655"):
            arrange(twice)


def test_tensors_that_meet_need_the_base_and_no_other_model(base: Model, tmp_path: Path) -> None:
    those = arrange([delta_for(base, seed=1), delta_for(base, seed=2)])
    with refused("E652") as error:
        link(those, None, "editc 0")
    assert "--model" in error.diagnostics[0].help and len(error.diagnostics[0].notes) == len(KEYS)
    apply(plan_apply([those.deltas[0]], base), out=tmp_path / "edited")
    for wrong in (open_model(tmp_path / "edited"), pipeline(tmp_path / "half", dtype="F16")):
        with refused("E653"):
            link(those, wrong, "editc 0")
    with refused("E653"):
        link(arrange([delta_for(base)]), pipeline(tmp_path / "other", seed=50), "editc 0")


def test_forms_that_do_not_add_need_an_order(base: Model) -> None:
    one, other = delta_for(base, seed=1), delta_for(base, seed=2)
    odd = replace(other, factors={"text": replace(other.factors["text"], form="xor")})
    with refused("E654") as error:
        arrange([one, odd])
    assert "editc diff" in error.diagnostics[0].help
    with refused("E654"):
        arrange([one, odd], composed=True)
    arrange([odd])


# ---------------------------------------------------------------- what is told


def test_a_linked_delta_keeps_every_part(base: Model) -> None:
    texts = ("editc: 1\n# caf\u00e9", "---\neditc: 1\n", "")
    deltas = [
        sealed(replace(delta_for(base, names=[key], seed=n), manifest=text, extra={"set": [f"seed={n}"]}))
        for n, (key, text) in enumerate(zip(KEYS, texts, strict=False))
    ]
    inner = linked(deltas[:2])
    made = linked([inner, deltas[2]])
    found = {part.delta_id: part for part in parts(made)}
    assert found.keys() == {delta.delta_id for delta in deltas}
    for delta in deltas:
        part = found[delta.delta_id]
        same = ("manifest", "manifest_digest", "edits", "claims", "sites", "tool", "extra", "encoder", "family")
        assert all(getattr(part, name) == getattr(delta, name) for name in same)
    assert describe_delta(made)["linked"] == sorted(found)
    assert "linked" not in describe_delta(deltas[0])
    assert {edit["part"] for edit in made.edits} == {0, 1, 2}


@pytest.mark.parametrize(
    "entry",
    [None, 3, {}, {"manifest": [0, 10**9]}, {"sites": [99]}, {"sites": [-1]}, {"manifest": "ab"}, {"extra": None}],
)
def test_parts_that_make_no_sense_are_refused(base: Model, entry: Any) -> None:
    made = linked([delta_for(base)])
    sound = dict(made.extra["linked"][0])
    odd = {**sound, **entry} if isinstance(entry, dict) and entry else entry
    with refused("E656"):
        parts(replace(made, extra={"linked": [odd]}))
    with refused("E656"):
        parts(replace(made, edits=({"concept": "circle"},)))


def report(those: Arrangement, model: Model) -> list[Any]:
    return list(measure_overlaps(those, sealed(link(those, model, "editc 0")), model))


def test_the_report_of_an_edit_beside_itself_and_beside_one_across(base: Model) -> None:
    """Row spaces and changes that are equal have cosine one; those on different axes zero."""
    one = delta_for(base, "low-rank", KEYS[:1], rank=2)
    sites = [record.site for record in one.sites]
    factors = one.factors["text"]
    twice = Factors("low-rank", (0,), (2 * factors.left[0],), factors.right)
    (same,) = report(arrange([one, delta_of(base, sites, twice)]), base)
    assert same.pairs[0].angles == pytest.approx((1, 1)) and same.pairs[0].alignment == pytest.approx(1)
    assert max(same.sizes) == pytest.approx(2 * min(same.sizes)) and (same.form, same.rank) == ("low-rank", 4)
    eye = np.eye(6, dtype=np.float32)
    left = noise(9, (4, 2)).astype(np.float32)
    axes = [delta_of(base, sites, Factors("low-rank", (0,), (left,), (eye[i : i + 2],))) for i in (0, 2)]
    (across,) = report(arrange(axes), base)
    assert across.pairs[0].angles == pytest.approx((0, 0)) and across.pairs[0].alignment == pytest.approx(0)
    assert across.exact and across.sizes == pytest.approx((across.sizes[0],) * 2)
    json.dumps(as_json(across))


def test_the_report_measures_a_size_as_it_is_and_says_what_was_rounded(base: Model) -> None:
    deltas = [delta_for(base, form, KEYS[:1], seed=s) for s, form in enumerate(FORMS)]
    (row,) = report(arrange(deltas), base)
    W = base.component("unet").read(KEYS[0])
    ordered = sorted(deltas, key=lambda delta: delta.delta_id)
    wanted = [np.linalg.norm(change(delta, KEYS[0], W)) / np.linalg.norm(W) for delta in ordered]
    assert row.sizes == pytest.approx(wanted) and not row.exact and row.form == "dense"
    assert {bool(pair.angles) for pair in row.pairs} == {True, False}, "a dense edit has no right factor"
    (composed,) = report(arrange([delta_for(base, "shared", KEYS[:1], seed=s) for s in (1, 2)], True), base)
    assert not composed.exact


# ---------------------------------------------------------------- files


def test_the_lock_lists_what_went_in(base: Model, tmp_path: Path) -> None:
    for name, (key, seed) in {"a": (KEYS[0], 1), "b": (KEYS[1], 2)}.items():
        (tmp_path / f"{name}.safetensors").write_bytes(to_bytes(delta_for(base, names=[key], seed=seed)))
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for n in range(2):
        (tmp_path / str(n)).mkdir()
    found = [
        link_files(order, tmp_path / str(n) / "c.safetensors", None, False, "editc 0")
        for n, order in enumerate((files, files[::-1]))
    ]
    kept = [[path.read_bytes() for path in one.files] for one in found]
    assert kept[0] == kept[1] and not any(one.measured or one.failures for one in found)
    lock = json.loads(kept[0][1])
    assert lock["order"] == "added" and lock["result"]["name"] == "c.safetensors"
    assert sorted(one["name"] for one in lock["inputs"]) == ["a.safetensors", "b.safetensors"]
    assert [one["delta_id"] for one in lock["inputs"]] == sorted(one["delta_id"] for one in lock["inputs"])
    claims = found[0].delta.claims if found[0].delta else ()
    assert [(claim["part"], claim["value"]) for claim in claims] == [(0, 0.125), (1, 0.125)], "they are still true"
    with refused("E630"):
        link_files(files, files[0], None, False, "editc 0")
    with refused("E652"):
        (tmp_path / "d.safetensors").write_bytes(to_bytes(delta_for(base, seed=8)))
        link_files([files[0], tmp_path / "d.safetensors"], tmp_path / "e.safetensors", None, False, "editc 0")
    assert not (tmp_path / "e.safetensors").exists() and not (tmp_path / "e.lock.json").exists()


def test_linking_what_does_not_meet_imports_no_torch(base: Model, tmp_path: Path) -> None:
    for name, key in (("a", KEYS[0]), ("b", KEYS[1])):
        (tmp_path / f"{name}.safetensors").write_bytes(to_bytes(delta_for(base, names=[key])))
    command = ["link", "a.safetensors", "b.safetensors", "-o", "c.safetensors"]
    script = f"import sys; from editc.cli import cli, terminal; code = terminal.run_command(cli, {command}); "
    script += "sys.exit(code or any(name in sys.modules for name in ('torch', 'transformers', 'diffusers', 'scipy')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not measured" in done.stdout and (tmp_path / "c.lock.json").is_file()
