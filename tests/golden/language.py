"""Numeric cases of language-model methods: build what derive would, run the method, compare entry by entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from editc.core.delta import Array
from editc.core.language_problem import Memory, Writer
from editc.core.solution import Edit
from editc.numerics import directions
from editc.numerics import memory as memories
from editc.passes.methods.language.ablate import Ablate
from editc.passes.methods.language.alphaedit import AlphaEdit
from editc.passes.methods.language.emmet import EMMET
from editc.passes.methods.language.memit import MEMIT
from editc.passes.methods.language.rocr import ROCR
from editc.passes.methods.language.rome import ROME

Tensors = Mapping[str, Array]
Found = Iterator[tuple[str, Array]]


def run(folder: Path) -> tuple[float, float]:
    """The worst |found - expected| / (atol + rtol |expected|) over all entries, and the bound 1."""
    case = json.loads((folder / "case.json").read_text())
    given, expected = (load_file(folder / f"{name}.safetensors") for name in ("inputs", "expected"))
    limits, worst = case["tolerance"], 0.0
    given = {name: _ridged(name, one, case.get("ridge", 0.0)) for name, one in given.items()}
    compared = dict(RUNNERS[case["method"]](case, given))
    assert compared and compared.keys() <= expected.keys(), compared.keys()
    for name, found in compared.items():
        limit = limits["atol"] + limits["rtol"] * np.abs(expected[name])
        worst = max(worst, float((np.abs(found - expected[name]) / limit).max()))
    return worst, 1.0


def _ridged(name: str, array: Array, ridge: float) -> Array:
    """A case's `ridge` is added to the diagonal of its moments as they stand."""
    return array + ridge * np.eye(len(array)) if ridge and name.rsplit(".", 1)[-1] == "cov" else array


def change(edit: Edit) -> Array:
    """What a single site's edit adds, (d_out, d_in)."""
    return edit.left[0] @ edit.right[0] if edit.right else edit.left[0]


def rome(case: Mapping[str, Any], given: Tensors) -> Found:
    """`denominator: clean` of the case is our `bare`."""
    flipped = case["layout"].startswith("conv1d")
    W, keys = given["weight"].T if flipped else given["weight"], given["keys_context"]
    key, bare = keys.mean(axis=0)[:, None], keys[:1].T
    memory = Memory(key, bare, given["v_star"][:, None] - W @ bare, given["cov"], np.zeros((len(key), 0)))
    edit = ROME("bare" if case["denominator"] == "clean" else "mean", case["cov"] != "identity")(memory)
    D = change(edit)
    yield from _both(W, D, flipped)
    size = np.linalg.norm(edit.right[0])
    yield "u_hat", edit.right[0][0] / size
    yield "right", edit.left[0][:, 0] * size


def memit(case: Mapping[str, Any], given: Tensors) -> Found:
    """The residual is spread over the layers and held fixed between them."""
    layers = case["layers"]
    for j in range(layers):
        keys, moment, W = (given[f"layer{j}.{name}"] for name in ("keys", "cov", "weight"))
        memory = Memory(keys, keys, given["residual"] / (layers - j), moment, np.zeros((len(keys), 0)))
        method = MEMIT(case["mom2_update_weight"]) if case["method"] == "memit" else EMMET(case["emmet_lambda"])
        edit = method(memory)
        yield f"layer{j}.left", edit.left[0]
        yield f"layer{j}.right", edit.right[0]
        yield from ((f"layer{j}.{name}", found) for name, found in _both(W, change(edit)))


def alphaedit(case: Mapping[str, Any], given: Tensors) -> Found:
    energy, threshold = case["nullspace_energy"], case["nullspace_threshold"]
    method = AlphaEdit(energy or 1.0, threshold or 0.0, case["L2"])
    memory = Memory(given["keys"], given["keys"], given["residual"], given["cov"], given["previous_keys"])
    basis = memories.null_space_basis(given["cov"], threshold, energy)
    assert basis.shape[1] == case["null_dim"]
    yield "projector", basis @ basis.T
    yield from _both(given["weight"], change(method(memory)))


def rocr(case: Mapping[str, Any], given: Tensors) -> Found:
    key = given["keys_context"].mean(axis=0)[:, None]
    wanted = (given["h_anchor"] - given["h_subject"])[:, None]
    edit = ROCR(threshold=case["nullspace_threshold"], l2=case["L2"])(
        Memory(key, key, wanted, given["cov"], np.zeros((len(key), 0)))
    )
    yield from _both(given["weight"], change(edit))


def ablate(case: Mapping[str, Any], given: Tensors) -> Found:
    mode, W = case["mode"], given["weight"]
    method = Ablate(mode == "projected", case["k"], case["scale"], mode == "rownorm")
    writer = Writer(W, (given["bad"],), (given["good"],))
    basis = method.basis(writer)
    if mode == "subspace":
        yield "subspace_projector", basis @ basis.T
    else:
        yield "direction", basis[:, 0]
    yield from _both(W, change(method(writer)))


def leace(case: Mapping[str, Any], given: Tensors) -> Found:
    eraser = directions.leace(given["x"], given["z"])
    E = eraser.left @ eraser.right
    yield "projector", np.eye(len(E)) - E  # of what stays
    yield "bias_mean", eraser.mean
    yield "x_erased", given["x"] - (given["x"] - eraser.mean) @ E.T


def _both(W: Array, D: Array, flipped: bool = False) -> Found:
    yield "delta", D.T if flipped else D
    yield "weight", (W + D).T if flipped else W + D


RUNNERS: Mapping[str, Callable[[Mapping[str, Any], Tensors], Found]] = {
    "rome": rome,
    "memit": memit,
    "emmet": memit,
    "alphaedit": alphaedit,
    "rocr_redirect": rocr,
    "directional_ablation": ablate,
    "leace": leace,
}
