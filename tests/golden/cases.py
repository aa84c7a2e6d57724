"""Numeric cases as systems: read a case folder, build what derive would, run the method, compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.core.problem import Block, PreservedRows, System
from editc.core.solution import Edit
from editc.passes.images.keys.rules.last import LAST
from editc.passes.images.keys.rules.matched import matched_rows
from editc.passes.images.keys.rules.span import SPAN
from editc.passes.images.rows.phrases import Phrase
from editc.passes.methods.images.mace import MACE
from editc.passes.methods.images.rece import RECE
from editc.passes.methods.images.speed import SPEED, Draw
from editc.passes.methods.images.uce import UCE
from tests.golden import language

Tensors = Mapping[str, Array]
TOLERANCE = 1e-6
LOOSER = {"speed": 1e-5}


class Skip(Exception):  # noqa: N818 - not a fault
    """The case's method is not there yet."""


def run(folder: Path) -> tuple[float, float]:
    """The worst relative error over the case's tensors, and the tolerance that holds for it."""
    if folder.name.startswith("llm-"):
        return language.run(folder)
    case = json.loads((folder / "case.json").read_text())
    for kind, runner in RUNNERS.items():
        if _kind(case, folder).startswith(kind):
            found, expected = runner(case, folder)
            return max(_relative(found[name], expected[name]) for name in expected), LOOSER.get(kind, TOLERANCE)
    raise Skip("no such method yet")


def _kind(case: Mapping[str, Any], folder: Path) -> str:
    method = str(case.get("method", folder.name)).lower()
    if "debias" in method:
        return "debias"
    return "flux" if "flux" in method else method


def _relative(found: Array, expected: Array) -> float:
    rounded = found.astype(np.float32).astype(np.float64)
    return float(np.linalg.norm(rounded - expected) / np.linalg.norm(expected))


def _load(path: Path) -> dict[str, Array]:
    return {name: tensor.astype(np.float64) for name, tensor in load_file(path).items()}


class _Texts:
    """Rows (t, d) and last-subject index of every text of a case."""

    def __init__(self, case: Mapping[str, Any], folder: Path) -> None:
        tensors = _load(folder / "embeddings.safetensors")
        self.rows = {entry["text"]: tensors[entry["key"]] for entry in case["embeddings"]}
        self.last = {entry["text"]: int(entry["last_subject_index"]) for entry in case["embeddings"]}

    def row(self, text: str) -> Array:
        return self.rows[text][[self.last[text]]].T


def _block(keys_: Array, targets: Array, name: str = "") -> Block:
    width = keys_.shape[1]
    return Block(Request(kind="erase", concept=name), keys_, targets, np.ones(width), ("",) * width)


def _system(blocks: Iterable[Block], kept: Iterable[Array], weights: Iterable[Array], lamb: float) -> System:
    blocks = tuple(blocks)
    width = blocks[0].keys.shape[0]
    moment = np.zeros((width, width)) + sum((rows @ rows.T for rows in kept), np.zeros((width, width)))
    none: NDArray[np.float64] = np.zeros((width, 0))
    return System(blocks, PreservedRows(moment, none, none, ()), tuple(weights), lamb)


def applied(edit: Edit, weights: Iterable[Array]) -> list[Array]:
    """W' of every site."""
    if edit.form == "shared":
        return [W + (W @ edit.left[0]) @ edit.right[0] for W in weights]
    rights = edit.right if len(edit.right) > 1 else edit.right * len(edit.left)
    return [W + left @ right for W, left, right in zip(weights, edit.left, rights, strict=True)]


def _uce(case: Mapping[str, Any], folder: Path) -> tuple[Tensors, Tensors]:
    texts, weights = _Texts(case, folder), _load(folder / "weights.safetensors")
    last = "span" not in case["method"]
    rule = LAST if last else SPAN
    pairs = []
    for old, new in zip(case["edit"], case["guide"], strict=True):
        target = new if last or new else " "
        keys, targets = texts.rows[old], texts.rows[target]
        here, there = rule.rows(len(keys), texts.last[old], len(targets), texts.last[target])
        pairs.append((keys[here].T, targets[there].T))
    kept = [texts.row(text) if last else texts.rows[text].T for text in case["preserve"]]
    method = UCE(
        erase_scale=case["erase_scale"],
        preserve_scale=case["preserve_scale"],
        technique="tensor" if case.get("technique") == "tensor" else "replace",
    )
    system = _system([_block(*pair) for pair in pairs], kept, weights.values(), case["lamb"])
    return dict(zip(weights, applied(method(system), weights.values()), strict=True)), _load(
        folder / "expected.safetensors"
    )


def _debias(case: Mapping[str, Any], folder: Path) -> tuple[Tensors, Tensors]:
    texts, weights = _Texts(case, folder), _load(folder / "weights.safetensors")
    shares = np.sum(np.asarray(case["ratio_differences"], dtype=np.float64), axis=0)
    blocks = []
    for concept, row in zip(case["edit"], shares, strict=True):
        pull = sum((s * texts.row(a) for s, a in zip(row, case["attributes"], strict=True)), 0 * texts.row(concept))
        blocks.append(_block(texts.row(concept), texts.row(concept) + pull))
    kept = [texts.row(text) for text in case["preserve"]]
    method = UCE(erase_scale=case["edit_scale"], preserve_scale=case["preserve_scale"])
    edit = method(_system(blocks, kept, weights.values(), case["lamb"]))
    return dict(zip(weights, applied(edit, weights.values()), strict=True)), _load(folder / "expected.safetensors")


def _flux(case: Mapping[str, Any], folder: Path) -> tuple[Tensors, Tensors]:
    rows, weights = _load(folder / "embeddings.safetensors"), _load(folder / "weights.safetensors")
    method = UCE(erase_scale=case["erase_scale"], preserve_scale=case["preserve_scale"])
    found = {}
    for name, W in weights.items():
        if not name.endswith(".bias"):
            see = "t5" if name.startswith("context_embedder") else "pooled"
            blocks = [
                _block(rows[f"{see}.{old}"].T, rows[f"{see}.{new}"].T)
                for old, new in zip(case["edit"], case["guide"], strict=True)
            ]
            kept = [rows[f"{see}.{text}"].T for text in case["preserve"]]
            (found[name],) = applied(method(_system(blocks, kept, [W], case["lamb"])), [W])
    expected = _load(folder / "expected.safetensors")
    return found, {name: expected[f"bias_aware.{name}"] for name in found}


def _rece(case: Mapping[str, Any], folder: Path) -> tuple[Tensors, Tensors]:
    texts, weights = _Texts(case, folder), _load(folder / "weights.safetensors")
    start = _load(folder / "weights_init.safetensors")
    blocks = [
        _block(texts.rows[old].T, texts.rows[new].T) for old, new in zip(case["concepts"], case["targets"], strict=True)
    ]
    kept = [texts.rows[text].T for text in case["retain"]]
    method = RECE(
        epochs=case["epochs"],
        regular=case["regular_scale"],
        rule=_rule(case),
        lamb=case["lamb"],
        erase_scale=case["erase_scale"],
        preserve_scale=case["preserve_scale"],
        technique=case["technique"],
    )
    system = _system(blocks, kept, weights.values(), case["lamb"])
    begun, first = [start[name] for name in weights], list(weights.values())
    if method.technique == "tensor":
        edit = method.layered_rounds(system, begun, first)
    else:
        cross = np.sum([W.T @ W0 for W, W0 in zip(begun, first, strict=True)], axis=0)
        edit = method.rounds(system, np.sum([W.T @ W for W in begun], axis=0), cross)
    found = applied(edit, begun)
    return dict(zip(weights, found, strict=True)), _load(folder / "expected.safetensors")


def _mace(case: Mapping[str, Any], folder: Path) -> tuple[Tensors, Tensors]:
    texts, weights = _Texts(case, folder), _load(folder / "weights.safetensors")
    blocks = []
    for old, new in (pair for concept in case["pairs"] for pair in concept):
        at, aim = _differing(*(case["token_ids"][text] for text in (old, new)))
        sources, counterparts = matched_rows(len(texts.rows[old]), at, aim)
        blocks.append(_block(texts.rows[old][sources].T, texts.rows[new][counterparts].T))
    kept = [texts.rows[text].T for text in case["prior"] or ()]
    method = MACE(preserve_scale=case["preserve_scale"])
    edit = method(_system(blocks, kept, weights.values(), case["lamb"]))
    found = dict(zip(weights, applied(edit, weights.values()), strict=True))
    return found, _load(folder / "expected.safetensors")


def _differing(old: list[int], new: list[int]) -> tuple[Phrase, Phrase]:
    """Where two prompts' tokens differ: what is left of each when its common beginning and end are taken off."""
    shorter = min(len(old), len(new))
    first = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    after = next((i for i in range(shorter - first) if old[-1 - i] != new[-1 - i]), shorter - first)
    return Phrase(first, len(old) - after), Phrase(first, len(new) - after)


def _speed(case: Mapping[str, Any], folder: Path) -> tuple[Tensors, Tensors]:
    texts, expected = _Texts(case, folder), _load(folder / "expected.safetensors")
    weights = {name: W for name, W in _load(folder / "weights.safetensors").items() if name in expected}
    blocks = [_block(texts.row(old), texts.row(new)) for old, new in zip(case["targets"], case["anchors"], strict=True)]
    rows = np.hstack([texts.row(text) for text in case["retain"]])
    method = SPEED(
        aug_num=case["aug_num"],
        threshold=case["threshold"],
        retain_scale=case["retain_scale"],
        lamb=case["lamb"],
        filter=False if case["disable_filter"] else None,  # the published code filters where it draws copies
    )
    system = _system(blocks, [rows], weights.values(), 0.0)
    system = replace(system, preserved=replace(system.preserved, keys=rows, weights=np.ones(rows.shape[1])))
    noise = _load(folder / "noise.safetensors") if case["aug_num"] else {}
    invariant = _load(folder / "embeddings.safetensors")["K2"]
    edit = method.solve_with(system, invariant, _drawn(*noise.values()))
    return dict(zip(weights, applied(edit, weights.values()), strict=True)), expected


def _drawn(*noise: Array) -> Draw:
    """The reference's normal rows, drawn in batches of 8 rows and within each by repeats, along a direction."""
    rest = iter(np.vstack(noise)) if noise else iter(())

    def draw(_: int, v: Array, shape: tuple[int, int]) -> Array:
        steps = np.zeros(shape)
        for start in range(0, shape[0], 8):
            for repeat in range(shape[1]):
                for row in range(start, min(start + 8, shape[0])):
                    steps[row, repeat] = next(rest) @ v
        return steps

    return draw


def _rule(case: Mapping[str, Any]) -> Any:
    if case["derivation"] != "surrogate":
        return case["derivation"]
    return {"1st": "surrogate1", "2nd": "surrogate2"}.get(case["reg_item"], "surrogate_both")


RUNNERS: Mapping[str, Callable[[Mapping[str, Any], Path], tuple[Tensors, Tensors]]] = {
    "debias": _debias,
    "flux": _flux,
    "uce": _uce,
    "rece": _rece,
    "mace": _mace,
    "speed": _speed,
}
