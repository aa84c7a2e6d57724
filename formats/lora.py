"""Adapters in kohya's spelling, as SPM writes them: `lora_unet_<module>.lora_down.weight`, `.lora_up.weight`, `.alpha`.

A module's name has `_` for every `.`. It is looked up among the checkpoint's own parameters, never guessed at, and
everything in a file counts: what cannot be read or has no place in the model is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from editc.diagnostics import EditcError, fail
from editc.formats.checkpoint import Checkpoint, open_component
from editc.ir import Adapted, Adapter, Array
from editc.ports import Weights
from editc.records import matrix_shape

PREFIX = "lora_unet_"
DOWN, UP, ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"
TRAINED = {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
"""Modules of SDXL that kohya's trainer names otherwise; diffusers (0.42) loses them under its own names."""
SHOWN = 8


def read_adapter(path: Path, weights: Weights) -> Adapter:
    """The adapter in a file, for the model whose parameters are `weights`: convolutions as matrices (see
    `records.matrix_shape`). No `.alpha` means alpha = rank.

    Raises E610, E612 (not a file of tensors), E616 (a quantised one), E670 (other spelling), E671 (a module that the
    model lacks, or has twice), E672 (a pair that is not whole), E673 (shapes), E674 (a value that is no number).
    """
    if not path.is_file():
        raise fail("E610", "the adapter is not a file", place=str(path))
    file = open_component("adapter", path)
    modules = _modules(file.names(), path)
    names = _resolved(modules, weights, path)
    found = {names[module]: _adapted(file, module, weights.shape(names[module]), path) for module in modules}
    return Adapter(found, sha256(path.read_bytes()).hexdigest())


def module(name: str) -> str:
    """kohya's name of a UNet's parameter."""
    plain = name.removesuffix(".weight")
    return PREFIX + TRAINED.get(plain, plain).replace(".", "_")


def _modules(names: Sequence[str], path: Path) -> list[str]:
    """The modules that the file changes, sorted; every name in it is of one of the three kinds and in a whole pair."""
    split = {name: _split(name) for name in names}
    strangers = [name for name, parts in split.items() if parts is None]
    if strangers or not split:
        help_ = f"fuse files whose tensors are {PREFIX}<module>{DOWN}, {UP} and {ALPHA}; convert other spellings first"
        what = "tensors of another kind than this reads" if strangers else "no tensors"
        raise _listing("E670", f"the adapter has {what}", strangers, path, help_)
    kinds: dict[str, set[str]] = {}
    for parts in split.values():
        if parts is not None:
            kinds.setdefault(parts[0], set()).add(parts[1])
    halves = sorted(module for module, kind in kinds.items() if not {DOWN, UP} <= kind)
    if halves:
        raise _listing("E672", "modules lack their up or their down matrix", halves, path, "fetch the file again")
    return sorted(kinds)


def _split(name: str) -> tuple[str, str] | None:
    end = next((end for end in (DOWN, UP, ALPHA) if name.endswith(end)), None)
    return None if end is None or not name.startswith(PREFIX) else (name.removesuffix(end), end)


def _resolved(modules: Sequence[str], weights: Weights, path: Path) -> Mapping[str, str]:
    """Module -> the one parameter of that name."""
    known: dict[str, list[str]] = {}
    for name in weights.names():
        if name.endswith(".weight") and len(weights.shape(name)) in (2, 4):
            for spelling in sorted({PREFIX + name.removesuffix(".weight").replace(".", "_"), module(name)}):
                known.setdefault(spelling, []).append(name)
    lost = [module for module in modules if module not in known]
    if lost:
        help_ = "is the adapter for this kind of model, and are its names those of diffusers?"
        raise _listing("E671", f"{len(lost)} of {len(modules)} modules are not in the model", lost, path, help_)
    double = [f"{module}: {' or '.join(known[module])}" for module in modules if len(known[module]) > 1]
    if double:
        raise _listing("E671", "modules have more than one meaning in the model", double, path, "rename its modules")
    return {module: known[module][0] for module in modules}


def _adapted(file: Checkpoint, module: str, shape: tuple[int, ...], path: Path) -> Adapted:
    up, down = file.shape(module + UP), file.shape(module + DOWN)
    _check_shapes(module, up, down, shape, path)
    rank = down[0]
    alpha = _alpha(file, module, path) if module + ALPHA in file.tensors else float(rank)
    left, right = (file.read(module + end).reshape(matrix_shape(of)) for end, of in ((UP, up), (DOWN, down)))
    _check_finite(module, (left, right), path)
    return Adapted(left, right, alpha / rank)


def _check_shapes(module: str, up: tuple[int, ...], down: tuple[int, ...], of: tuple[int, ...], path: Path) -> None:
    """Linear: (d_out, r) and (r, d_in). Convolution: (d_out, r, 1, 1) and (r, channels, h, w); a 1x1 may be given as
    matrices, and a matrix as a 1x1."""
    rank = down[0] if down else 0
    wanted = {len(of): (rank, *of[1:])} | ({2: (rank, of[1])} if of[2:] in ((), (1, 1)) else {})
    wanted |= {4: (rank, of[1], 1, 1)} if len(of) == 2 else {}
    if rank < 1 or down != wanted.get(len(down)) or up not in ((of[0], rank), (of[0], rank, 1, 1)):
        message = f"{module}: up {list(up)} and down {list(down)} do not fit the model's {list(of)}"
        raise fail("E673", message, place=str(path), help="the adapter is for a model of another size")


def _alpha(file: Checkpoint, module: str, path: Path) -> float:
    value = file.read(module + ALPHA)
    if value.size != 1 or not np.isfinite(value).all():
        message = f"{module}{ALPHA} is not one finite number"
        raise fail("E674", message, place=str(path), help="fetch the file again")
    return float(value.reshape(()))


def _check_finite(module: str, parts: Sequence[Array], path: Path) -> None:
    if not all(np.isfinite(part).all() for part in parts):
        raise fail("E674", f"{module} holds NaN or infinity", place=str(path), help="train the adapter again")


def _listing(code: str, what: str, names: Sequence[str], path: Path, help_: str) -> EditcError:
    return fail(code, what, place=str(path), help=help_, notes=tuple(_shown(names)))


def _shown(names: Sequence[str]) -> Iterator[str]:
    yield from names[:SHOWN]
    if len(names) > SHOWN:
        yield f"and {len(names) - SHOWN} more"
