"""`editc diff`: what another program did to the weights is found again, and applied gives them back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from diff_cases import SHAPES, WIDTH, checked, forms, found, multiplied, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from places import GOLDEN
from tiny_files import KEYS, refused

from editc.formats.delta.container import to_bytes
from editc.numerics.bits import dtypes


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 12), st.sampled_from(["F64", "F32", "F16", "BF16"]), st.integers(0, 10**6))
def test_a_shared_edit_is_recovered(tmp_path_factory: pytest.TempPathFactory, rank: int, dtype: str, seed: int) -> None:
    base = {name: dtypes.round_to(W, dtype) for name, W in weights(seed, SHAPES).items()}
    made = found(tmp_path_factory.mktemp("d"), base, multiplied(base, rank, seed + 1), dtype)
    if dtype == "F64":  # float32 factors cannot say a float64 edit: the form is found, the bits mend the rest
        assert all(row.ulps <= 1 for row in made.rows)
        return
    assert forms(made) == [("shared", rank)]
    assert all(row.ulps <= 1 for row in made.rows)
    (edit,) = made.delta.edits
    assert edit["decided"] and edit["roundings"] <= 4


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 6), st.sampled_from(["F32", "F16", "BF16"]), st.integers(0, 10**6))
def test_edits_of_their_own_are_recovered(
    tmp_path_factory: pytest.TempPathFactory, rank: int, dtype: str, seed: int
) -> None:
    """Each tensor has an edit of another rank; nothing is shared."""
    rng = np.random.default_rng(seed)
    base = {name: dtypes.round_to(W, dtype) for name, W in weights(seed, SHAPES).items()}
    ranks = {name: 1 + (rank + k) % 3 for k, name in enumerate(base)}
    edited = {
        name: W + rng.normal(size=(len(W), ranks[name])) @ rng.normal(size=(ranks[name], WIDTH)) / 20
        for name, W in base.items()
    }
    made = found(tmp_path_factory.mktemp("d"), base, edited, dtype)
    assert {row.form for row in made.rows} == {"low-rank"}
    assert {row.name: row.rank for row in made.rows} == ranks
    assert all(row.ulps <= 1 for row in made.rows)


def test_one_right_factor_serves_all_where_the_edits_have_it(tmp_path: Path) -> None:
    base, rng = weights(1, SHAPES), np.random.default_rng(2)
    right = rng.normal(size=(2, WIDTH))
    made = found(tmp_path, base, {n: W + rng.normal(size=(len(W), 2)) @ right / 9 for n, W in base.items()})
    (factors,) = made.delta.factors.values()
    assert factors.form == "low-rank" and len(factors.right) == 1 and {row.rank for row in made.rows} == {2}


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_a_change_of_full_rank_is_kept_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    """The control: where there is nothing to find, nothing is found, and nothing is lost."""
    base, other = weights(3, SHAPES), weights(4, SHAPES)
    made = found(tmp_path, base, {name: W + 0.1 * other[name] for name, W in base.items()}, dtype)
    assert forms(made) == [("xor", WIDTH)]
    assert all(row.differ == 0 and row.ulps == 0 for row in made.rows)


def test_one_odd_site_does_not_hide_the_form_of_its_role(tmp_path: Path) -> None:
    """V is edited by one multiplier, K by another, and one matrix of V's kind by nothing known."""
    base = weights(5, {**SHAPES, "other.to_q.weight": (50, WIDTH)})
    keys, values = multiplied(base, 2, 6), multiplied(base, 3, 7)
    edited = {name: (keys if "to_k" in name else values)[name] for name in base}
    edited["other.to_q.weight"] = base["other.to_q.weight"] + weights(8, SHAPES)[KEYS[0]].mean()
    made = found(tmp_path, base, edited)
    assert {row.name: (row.form, row.rank) for row in made.rows} == {
        name: ("low-rank", 1) if "to_q" in name else ("shared", 2 if "to_k" in name else 3) for name in base
    }


def test_mending(tmp_path: Path) -> None:
    """Factors alone, to within an ulp, and bit for bit: nearer and larger each time, and each says what it leaves."""
    base = weights(9, SHAPES)
    edited = multiplied(base, 2, 10)
    sizes, worst, differ = [], [], []
    for mend in ("none", "ulp", "exact"):
        made = found(tmp_path, base, edited, mend=mend)
        sizes.append(len(to_bytes(made.delta)))
        worst.append(max(row.ulps for row in made.rows))
        differ.append(sum(row.differ for row in made.rows))
    assert sizes == sorted(sizes) and worst[0] > 1 and worst[1] <= 1 and worst[2] == 0
    assert differ[0] > differ[1] > differ[2] == 0


def test_what_is_smaller_than_the_rounding_is_not_cut_from_the_rank(tmp_path: Path) -> None:
    """A second direction a hundred times weaker than the first, yet well above the rounding, is there; with a looser
    tolerance it is left to the bits, which give the same weights."""
    base, rng = weights(11, SHAPES), np.random.default_rng(12)
    U, V = rng.normal(size=(WIDTH, 2)) / 10, rng.normal(size=(2, WIDTH))
    V[1] *= 1e-5
    edited = {name: W + W @ U @ V for name, W in base.items()}
    assert forms(found(tmp_path, base, edited)) == [("shared", 2)]
    loose = found(tmp_path, base, edited, tolerance=4000.0)
    assert forms(loose) == [("shared", 1)] and all(row.ulps <= 1 for row in loose.rows)
    left = found(tmp_path, base, edited, tolerance=4000.0, mend="none")
    assert max(row.ulps for row in left.rows) > 10 and all(row.left_over for row in left.rows)


def test_a_script_that_rounds_on_the_way(tmp_path: Path) -> None:
    """Two edits one after the other, stored in float32 between: still one multiplier of the summed rank."""
    base = {name: dtypes.round_to(W, "F32") for name, W in weights(13, SHAPES).items()}
    first = {name: dtypes.round_to(W, "F32") for name, W in multiplied(base, 2, 14).items()}
    assert forms(found(tmp_path, base, multiplied(first, 3, 15))) == [("shared", 5)]


def test_a_script_that_computes_in_float32(tmp_path: Path) -> None:
    """Its sums leave dozens of roundings: found at the second tolerance, mended, and both are said."""
    rng = np.random.default_rng(24)
    base = {f"block.{i}.to_v.weight": rng.normal(size=(96, 512)).astype(np.float32) / 20 for i in range(8)}
    M = np.eye(512) + rng.normal(size=(512, 2)) @ rng.normal(size=(2, 512)) / 400
    edited = {name: (W @ M.astype(np.float32)).astype(np.float64) for name, W in base.items()}
    made = found(tmp_path, {name: W.astype(np.float64) for name, W in base.items()}, edited)
    assert forms(made) == [("shared", 2)] and all(row.ulps <= 1 for row in made.rows)
    assert 4 < made.delta.edits[0]["roundings"] <= 64 and sum(row.left_over for row in made.rows) > 0


@pytest.mark.parametrize("form", ["dense", "xor", "low-rank", "shared"])
def test_a_form_that_is_asked_for(tmp_path: Path, form: str) -> None:
    base = weights(16, SHAPES)
    made = found(tmp_path, base, multiplied(base, 1, 17), form=form)
    assert [factors.form for factors in made.delta.factors.values()] == [form]
    assert all(row.ulps <= 1 for row in made.rows)


def test_a_form_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    base, other = weights(18, SHAPES), weights(19, SHAPES)
    for form in ("shared", "low-rank"):
        with refused("E649"):
            found(tmp_path, base, {name: W + other[name] for name, W in base.items()}, form=form)
    for options in ({"form": "rank"}, {"mend": "all"}, {"tolerance": 0.5}, {"tolerance": float("nan")}):
        with refused("E609"):
            found(tmp_path, base, multiplied(base, 1, 1), **options)


def test_a_signed_zero_is_a_difference_too(tmp_path: Path) -> None:
    base = {"w": np.zeros((4, 6)), "v": np.ones((2, 2))}
    made = found(tmp_path, base, base | {"w": -np.zeros((4, 6))})
    assert forms(made) == [("xor", 0)] and made.equal == 1


def test_the_same_pair_gives_the_same_bytes(tmp_path: Path) -> None:
    base = weights(22, SHAPES)
    made = [to_bytes(found(tmp_path, base, multiplied(base, 2, 23)).delta) for _ in range(2)]
    assert made[0] == made[1]


def test_a_script_that_inverts_in_float32_hides_its_rank_and_a_note_says_how_to_find_it(tmp_path: Path) -> None:
    """UCE's own script leaves errors of some 1e-5 of a weight. In float16 nobody sees them."""
    base = weights(24, SHAPES)
    edited = {
        name: W + 2e-5 * np.std(W) * np.random.default_rng(k).normal(size=W.shape)
        for k, (name, W) in enumerate(multiplied(base, 1, 25).items())
    }
    hidden = found(tmp_path, base, edited)
    assert forms(hidden) != [("shared", 1)] and any("--tolerance 4096" in note for note in hidden.notes)
    shown = found(tmp_path, base, edited, tolerance=4096.0)
    assert forms(shown) == [("shared", 1)] and not any("--tolerance" in note for note in shown.notes)
    half = found(tmp_path, base, edited, dtype="F16")
    assert forms(half) == [("shared", 1)] and not half.notes


CASES = sorted(
    folder for folder in GOLDEN.iterdir() if re.match("uce|rece|mace|speed", folder.name) and "flux" not in folder.name
)
SHARED = {"uce_debias_d64": 1, "uce_last_d64": 3, "uce_span_replace_d64": 63, "mace_cfr_d64": 63}


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_the_edits_of_published_code_come_back(tmp_path: Path, folder: Path) -> None:
    """Within one rounding everywhere; shared where the method's edit is one multiplier (all but UCE's `tensor`)."""
    made = checked(tmp_path, folder / "weights.safetensors", folder / "expected.safetensors")
    assert all(row.ulps <= 1 for row in made.rows)
    ((form, rank),) = forms(made)
    assert form == ("xor" if "tensor" in folder.name else "shared")
    assert rank == SHARED.get(folder.name, rank) and rank >= 1
