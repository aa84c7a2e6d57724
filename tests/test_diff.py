"""`editc diff`: what another program did to the weights is found again, and applied gives them back."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_files import (
    KEYS,
    contents,
    delta_for,
    pack,
    pipeline,
    quick_disk,
    refused,
    unet,
    write_component,
    write_pipeline,
)

from editc import api, show
from editc.formats.apply import apply, plan_apply, revert
from editc.formats.checkpoint import open_model
from editc.formats.diff import Difference, difference
from editc.formats.inspect import inspect
from editc.formats.safetensors_delta import from_bytes, read_delta, to_bytes, write_delta
from editc.formats.status import status
from editc.numerics import dtypes, planes
from editc.numerics.recover import least_rank, ulp

__all__ = ["quick_disk"]
Array = NDArray[np.float64]
Values = Mapping[str, Array]
GOLDEN = Path(__file__).parent / "golden"
WIDTH = 48
HEIGHTS = {f"down.{i}.attn2.to_{role}.weight": 40 + 16 * i for i in range(3) for role in ("k", "v")}


def weights(seed: int, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) / 7 for name, shape in shapes.items()}


SHAPES = {name: (rows, WIDTH) for name, rows in HEIGHTS.items()}


def file(path: Path, values: Values, dtype: str = "F32") -> Path:
    path.write_bytes(pack({name: (dtype, W.shape, dtypes.encode(W, dtype)) for name, W in values.items()}))
    return path


def stored(path: Path) -> dict[str, tuple[Array, str]]:
    part = open_model(path).component("unet")
    return {name: (part.read(name), part.dtype(name)) for name in part.names() if part.dtype(name)[0] in "FB"}


def found(folder: Path, base: Values, edited: Values, dtype: str = "F32", **options: Any) -> Difference:
    """The difference of two files, after its delta was applied and what came out was compared as the rows say."""
    before, after = file(folder / "base.safetensors", base, dtype), file(folder / "edited.safetensors", edited, dtype)
    return checked(folder, before, after, **options)


def checked(folder: Path, before: Path, after: Path, **options: Any) -> Difference:
    made = difference(open_model(before), open_model(after), "editc 0", **options)
    delta = write_delta(made.delta, folder / "delta.safetensors")
    out = folder / str(len(list(folder.iterdir()))) / "out.safetensors"
    out.parent.mkdir()
    apply(plan_apply([read_delta(folder / "delta.safetensors")], open_model(before)), out=out)
    mine, theirs, rows = stored(out), stored(after), {row.name: row for row in made.rows}
    for name, (W, dtype) in theirs.items():
        off = np.abs(mine[name][0] - W) / ulp(W, dtype)
        assert off.max() == (rows[name].ulps if name in rows else 0)
        assert np.count_nonzero(off) <= (rows[name].differ if name in rows else 0)
    assert plan_apply([delta], open_model(out)).status == "already"
    return replace(made, delta=delta)


def forms(made: Difference) -> list[tuple[str, int]]:
    return [(factors.form, edit["rank"]) for factors, edit in zip(*_pairs(made), strict=True)]


def _pairs(made: Difference) -> tuple[list[Any], list[Any]]:
    return list(made.delta.factors.values()), list(made.delta.edits)


def multiplied(base: Values, rank: int, seed: int, size: float = 0.5) -> dict[str, Array]:
    """Every matrix W (I + U V), U V of that rank and about as large as `size` I."""
    rng = np.random.default_rng(seed)
    U, V = rng.normal(size=(WIDTH, rank)), rng.normal(size=(rank, WIDTH))
    return {name: W + W @ U @ V * (size / WIDTH) for name, W in base.items()}


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 12), st.sampled_from(["F64", "F32", "F16", "BF16"]), st.integers(0, 10**6))
def test_a_shared_edit_is_recovered(tmp_path_factory: pytest.TempPathFactory, rank: int, dtype: str, seed: int) -> None:
    base = {name: dtypes.rounded(W, dtype) for name, W in weights(seed, SHAPES).items()}
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
    base = {name: dtypes.rounded(W, dtype) for name, W in weights(seed, SHAPES).items()}
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
    base = {name: dtypes.rounded(W, "F32") for name, W in weights(13, SHAPES).items()}
    first = {name: dtypes.rounded(W, "F32") for name, W in multiplied(base, 2, 14).items()}
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


def test_a_single_file_and_its_folder(tmp_path: Path) -> None:
    """An LDM file's tensors are named as in diffusers, those of no part as they stand; a UNet edit fits the
    folder too, and the family is known."""
    import torch
    from ldm_files import PICO_SD1, pico_folder, single_file
    from safetensors.torch import load_file, save_file

    base = single_file(pico_folder(tmp_path / "m", PICO_SD1), tmp_path / "base.safetensors")
    parts = load_file(base)
    gone = torch.randn(32, 1, dtype=torch.float64) @ torch.randn(1, 32, dtype=torch.float64) / 32
    for name, W in parts.items():
        if "attn2.to_k" in name or "attn2.to_v" in name:
            parts[name] = (W.double() + W.double() @ gone).half()
    save_file(parts, tmp_path / "unet.safetensors")
    made = checked(tmp_path, base, tmp_path / "unet.safetensors", mend="none")
    assert forms(made) == [("shared", 1)] and made.delta.family == "sd1"
    assert {record.site.role for record in made.delta.sites} == {"k", "v"}
    assert plan_apply([made.delta], open_model(tmp_path / "m")).tier == "exact"
    parts["first_stage_model.decoder.conv_in.weight"] += 1
    save_file(parts, tmp_path / "both.safetensors")
    both = difference(open_model(base), open_model(tmp_path / "both.safetensors"), "editc 0", mend="exact")
    assert {row.component for row in both.rows} == {"", "unet"}
    delta = from_bytes(to_bytes(both.delta))
    apply(plan_apply([delta], open_model(base)), out=tmp_path / "again.safetensors")
    again = load_file(tmp_path / "again.safetensors")
    assert all(torch.equal(again[name], W) for name, W in parts.items())


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


def changed_pipeline(folder: Path, dtype: str = "F16", **options: Any) -> Path:
    """The pico pipeline with K and V multiplied, and a convolution and a bias trained."""
    root = write_pipeline(folder, dtype, **options)
    parts = unet(dtype)
    rng = np.random.default_rng(3)
    U, V = rng.normal(size=(6, 1)) / 5, rng.normal(size=(1, 6))
    for name in KEYS:
        W = dtypes.decode(parts[name][2], dtype, parts[name][1])
        parts[name] = (dtype, parts[name][1], dtypes.encode(W + W @ U @ V, dtype))
    for name in ("conv_in.weight", "out.bias"):
        W = dtypes.decode(parts[name][2], dtype, parts[name][1])
        parts[name] = (dtype, parts[name][1], dtypes.encode(W * 1.25 + rng.normal(size=W.shape), dtype))
    for old in (root / "unet").iterdir():
        old.unlink()
    write_component(root / "unet", parts, options.get("shards", 1))
    return root


def test_a_pipeline_in_other_shards(tmp_path: Path) -> None:
    """Tensors are compared by component and name, wherever they lie; what has no form comes along; revert works."""
    base, after = write_pipeline(tmp_path / "base", "F16"), changed_pipeline(tmp_path / "after", shards=2)
    before = contents(base)
    made = difference(open_model(base), open_model(after), "editc 0")
    assert {row.name for row in made.rows} == {*KEYS, "conv_in.weight", "out.bias"}
    assert made.equal == 3 and {row.form for row in made.rows if "attn2" not in row.name} == {"xor"}
    delta = from_bytes(to_bytes(made.delta))
    apply(plan_apply([delta], open_model(base)), in_place=True)
    mine, theirs = stored(base), stored(after)
    assert all(np.abs(mine[n][0] - theirs[n][0]).max() <= ulp(theirs[n][0], "F16").max() for n in KEYS)
    assert all(mine[name][0].tobytes() == theirs[name][0].tobytes() for name in ("conv_in.weight", "out.bias"))
    assert status(open_model(base), [delta]).applied == (delta.delta_id,)
    revert(open_model(base))
    assert contents(base) == before


def test_bits_fit_their_base_only(tmp_path: Path) -> None:
    """Another dtype, and a fine-tune even when it is allowed, are refused; a form with factors goes on without bits."""
    base, after = write_pipeline(tmp_path / "base", "F16"), changed_pipeline(tmp_path / "after")
    bits = from_bytes(to_bytes(difference(open_model(base), open_model(after), "editc 0", form="xor").delta))
    wide, tuned = write_pipeline(tmp_path / "wide", "F32"), write_pipeline(tmp_path / "tuned", "F16", drift=0.1)
    for model in (wide, tuned):
        for allow in (False, True):
            with refused("E606"):
                plan_apply([bits], open_model(model), allow)
    dense = difference(open_model(base), open_model(after), "editc 0", form="dense", mend="exact").delta
    dense = from_bytes(to_bytes(dense))
    assert plan_apply([dense], open_model(wide)).tier == "cast"
    plan = plan_apply([dense], open_model(tuned), True)
    assert plan.tier == "relative"
    apply(plan, out=tmp_path / "out")
    start, end = stored(tuned), stored(tmp_path / "out")
    for name, left in zip(sorted(end.keys() - {"steps"}), dense.factors["dense"].left, strict=False):
        assert name in start and left.ndim == 2


def test_damaged_bits_write_nothing(tmp_path: Path) -> None:
    """Forged by a writer that gives them a sound hash: a stream that holds more than the tensor, less, or rubbish."""
    model = pipeline(tmp_path / "m")
    good = delta_for(model, "xor", names=KEYS[:1])
    size = 4 * 6 * 4
    for body in (
        zlib.compress(bytes(90 * size)),
        zlib.compress(bytes(size - 1)),
        zlib.compress(bytes(size)) + b"1",
        b"xyz",
    ):
        change = np.frombuffer(b"\1" + body, np.uint8)
        factors = {"text": replace(good.factors["text"], bits=(change,))}
        forged = from_bytes(to_bytes(replace(good, factors=factors, delta_id="")))
        before = contents(tmp_path / "m")
        with refused("E607"):
            apply(plan_apply([forged], model), out=tmp_path / "out")
        assert contents(tmp_path / "m") == before and not (tmp_path / "out").exists()


@given(st.binary(min_size=8, max_size=400), st.sampled_from([1, 2, 4, 8]), st.randoms(use_true_random=False))
def test_bits_turn_one_into_the_other(base: bytes, item: int, random: Any) -> None:
    base = base[: len(base) // 8 * 8]
    result = bytes(byte if random.random() < 0.9 else random.randrange(256) for byte in base)
    change = planes.packed(base, result, item)
    assert planes.unpacked(base, change, item) == result
    assert planes.plausible(change, len(base)) and len(change) <= len(base) + 1


@given(st.binary(max_size=60), st.integers(1, 12))
def test_random_bits_never_give_more_than_the_tensor(data: bytes, size: int) -> None:
    try:
        assert len(planes.unpacked(bytes(4 * size), np.frombuffer(data, np.uint8), 4)) == 4 * size
    except ValueError:
        return


def test_a_signed_zero_is_a_difference_too(tmp_path: Path) -> None:
    base = {"w": np.zeros((4, 6)), "v": np.ones((2, 2))}
    made = found(tmp_path, base, base | {"w": -np.zeros((4, 6))})
    assert forms(made) == [("xor", 0)] and made.equal == 1


def test_models_of_other_tensors_are_refused(tmp_path: Path) -> None:
    base = weights(20, SHAPES)
    first, *rest = base
    with refused("E646"):
        found(tmp_path, base, base)
    with refused("E645") as error:
        found(tmp_path, base, {name: base[name] for name in rest})
    assert first in str(error.diagnostics)
    with refused("E645"):
        found(tmp_path, base, base | {"new": np.ones(3)})
    with refused("E645"):
        found(tmp_path, base, base | {first: base[first].T.copy()})
    half = file(tmp_path / "half.safetensors", base, "F16")
    with refused("E645") as error:
        difference(open_model(file(tmp_path / "b.safetensors", base)), open_model(half), "editc 0")
    assert "dtype" in error.diagnostics[0].message and "convert" in error.diagnostics[0].help
    bare = write_pipeline(tmp_path / "m")
    other = write_pipeline(tmp_path / "n")
    for part in (other / "text_encoder").iterdir():
        part.unlink()
    with refused("E645"):
        difference(open_model(bare), open_model(other), "editc 0")


def test_what_no_delta_can_say_is_refused(tmp_path: Path) -> None:
    base = weights(21, SHAPES)
    first = next(iter(base))
    with refused("E648"):
        found(tmp_path, base, base | {first: np.full(base[first].shape, np.nan)})
    one = tmp_path / "i.safetensors"
    two = tmp_path / "j.safetensors"
    one.write_bytes(pack({"steps": ("I64", (2,), b"\1" * 16)}))
    two.write_bytes(pack({"steps": ("I64", (2,), b"\2" * 16)}))
    with refused("E648"):
        difference(open_model(one), open_model(two), "editc 0")


def test_the_same_pair_gives_the_same_bytes(tmp_path: Path) -> None:
    base = weights(22, SHAPES)
    made = [to_bytes(found(tmp_path, base, multiplied(base, 2, 23)).delta) for _ in range(2)]
    assert made[0] == made[1]


def test_the_verbs_know_such_a_delta(tmp_path: Path) -> None:
    base, after = write_pipeline(tmp_path / "base", "F16"), changed_pipeline(tmp_path / "after")
    made = api.diff(str(base), str(after), tmp_path / "d.safetensors")
    shown = show.differed(made, tmp_path / "d.safetensors")
    assert "6 of 9 tensors differ" in shown.text and json.loads(json.dumps(shown.data)) == shown.data
    told = inspect(str(tmp_path / "d.safetensors"))
    assert told["groups"]["xor"]["bits"] > 0 and told["edits"][0]["kind"] == "diff"
    with refused("E647"):
        api.verify(tmp_path / "d.safetensors", str(base))
    api.apply([tmp_path / "d.safetensors"], str(base), in_place=True)
    assert api.verify(tmp_path / "d.safetensors", str(base)).tier == "already"


@pytest.mark.parametrize(("start", "holds"), [(1, 5), (5, 5), (4, 9), (1, 1), (3, 20)])
def test_the_least_rank_is_found(start: int, holds: int) -> None:
    asked: list[int] = []

    def explains(rank: int) -> bool:
        asked.append(rank)
        return rank >= holds

    assert least_rank(explains, start, 12) == (holds if holds <= 12 else None)
    assert max(asked) <= 12 and len(asked) < 9


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_an_ulp_is_the_distance_to_the_next_number(dtype: str) -> None:
    values = dtypes.rounded(np.concatenate([np.random.default_rng(0).normal(size=200), [0.0, 1e-7, 1.0, -2.0]]), dtype)
    width = dtypes.BITS[dtype] // 8
    raw = np.frombuffer(dtypes.encode(np.abs(values), dtype), f"<u{width}") + np.array(1, f"<u{width}")
    after = dtypes.decode(raw.astype(f"<u{width}").tobytes(), dtype, values.shape)
    np.testing.assert_array_equal(ulp(values, dtype), after - np.abs(values))


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
