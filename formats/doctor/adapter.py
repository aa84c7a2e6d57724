"""Read an adapter of a UNet or transformer, in every spelling that `editc doctor` knows, as changes of the model's
parameters.

Each module's name must be among the names that a parameter of the model can have (`adapter_names.meanings`); nothing is
guessed. Every tensor in the file counts: one that cannot be read, or has no place in the model, is an error that names
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import EditcError, fail
from editc.core.ports import Weights
from editc.core.problem import Adapter, AdapterModule
from editc.core.site_bytes import matrix_shape
from editc.core.text import first_rows
from editc.formats.containers.safetensors import TensorEntry
from editc.formats.doctor.adapter_names import TEXT_ENCODERS, meanings, plain_module
from editc.formats.doctor.advice import MERGE
from editc.formats.doctor.spelling import (
    PAIRS,
    FileModule,
    decode_numbers,
    read_diffusers_metadata,
    split_name,
)
from editc.formats.doctor.verdict import config_scale
from editc.formats.exports.kohya_names import ALPHA
from editc.formats.models.model import Checkpoint, open_component

FUSABLE = {ALPHA, *(end for pair in PAIRS.values() for end in pair)}
"""The endings of tensors that `fuse` can add, in every spelling."""


def read_adapter(path: Path, weights: Weights) -> Adapter:
    """Read the adapter in a file, for the model whose parameters are `weights`. Convolutions become matrices (see
    `site_bytes.matrix_shape`). Without an alpha or a config in the metadata the scale is 1.

    Raises E610, E612 (not a file of tensors), E616 (a quantised one), E670 (other spelling), E671 (a module that the
    model lacks, or has twice), E672 (an incomplete pair), E673 (shapes), E674 (a value that is not a finite number).
    """
    if not path.is_file():
        raise fail("E610", "the adapter is not a file", place=str(path))
    file = open_component("adapter", path)
    modules, texts = _group_modules(file, path)
    named = _find_parameters(modules, weights, path)
    found = dict(one for name in modules for one in _split_module(file, modules[name], named[name], weights, path))
    return Adapter(found, sha256(path.read_bytes()).hexdigest(), texts)


def _group_modules(file: Checkpoint, path: Path) -> tuple[dict[str, FileModule], tuple[str, ...]]:
    """Group the tensors into the modules that the file changes, sorted by name. Also return the names of a text
    encoder's modules, which are left out. Raises E670 and E672."""
    found: dict[str, dict[str, TensorEntry]] = {}
    for name in file.names():
        module, end = split_name(name)
        found.setdefault(module, {})[end] = TensorEntry(file.dtype(name), file.shape(name), 0, 0)
    texts = tuple(name for name in found if name.startswith(TEXT_ENCODERS))
    mine = {name: FileModule(name, ends) for name, ends in sorted(found.items()) if name not in texts}
    strangers = [name + end for name, module in mine.items() for end in module.tensors if not _is_fusable(module, end)]
    if strangers:
        help_ = f"`fuse` adds a down and an up matrix for each module; for an adapter with more, {MERGE}"
        raise _names_error("E670", "the adapter has tensors that `fuse` cannot read", strangers, path, help_)
    if not mine:
        help_ = "`fuse` edits the UNet or the transformer; " + (
            "this file is for a text encoder alone: load it beside the model" if texts else "this file is empty"
        )
        raise _names_error("E670", "the adapter has no tensors for this model", texts, path, help_)
    halves = [name for name, module in mine.items() if not module.style]
    if halves:
        raise _names_error("E672", "modules lack their up or their down matrix", halves, path, "fetch the file again")
    return mine, texts


def _is_fusable(module: FileModule, end: str) -> bool:
    """True if `fuse` can add the module's tensor with this ending."""
    return end in FUSABLE or bool(module.style and end in module.ends)


def _find_parameters(modules: Iterable[str], weights: Weights, path: Path) -> Mapping[str, tuple[str, ...]]:
    """Module -> the parameter that it names, or several that the original code holds as one. Raises E671."""
    known = meanings(weights)
    spelled = {name: name if name in known else plain_module(name) for name in modules}
    lost = [name for name, found in spelled.items() if found not in known]
    if lost:
        help_ = "is the adapter for this kind of model? `editc doctor FILE` says which kind its names are of"
        raise _names_error("E671", f"{len(lost)} of {len(spelled)} modules are not in the model", lost, path, help_)
    double = [
        f"{name}: {' or '.join(' + '.join(one) for one in known[found])}"
        for name, found in spelled.items()
        if len(known[found]) > 1
    ]
    if double:
        raise _names_error("E671", "modules fit more than one matrix of the model", double, path, "rename its modules")
    named = {name: known[found][0] for name, found in spelled.items()}
    counts = Counter(parameter for parts in named.values() for parameter in parts)
    twice = [parameter for parameter, count in counts.items() if count > 1]
    if twice:
        raise _names_error("E671", "two modules of the file are the same matrix", twice, path, "leave one of them out")
    return named


def _split_module(
    file: Checkpoint, module: FileModule, meant: Sequence[str], weights: Weights, path: Path
) -> Iterator[tuple[str, AdapterModule]]:
    """Yield the change of each parameter that a module stands for. If there are several, each gets its own rows of the
    up matrix. `meant`: the parameters in the order of their rows. Raises E673 and E674."""
    shapes = [weights.shape(name) for name in meant]
    whole = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    _check_shapes(module.name, module.up, module.down, whole, path)
    down, up = (file.read(module.name + end) for end in module.ends)
    left, right = up.reshape(matrix_shape(module.up)), down.reshape(matrix_shape(module.down))
    _check_finite(module.name, (left, right), path)
    scale, start = _module_scale(file, module, meant[0], path), 0
    for name, shape in zip(meant, shapes, strict=True):
        yield name, AdapterModule(left[start : start + shape[0]], right, scale)
        start += shape[0]


def _module_scale(file: Checkpoint, module: FileModule, parameter: str, path: Path) -> float:
    """Alpha over rank: by the module's own alpha, else by diffusers' metadata in the file, else 1."""
    if ALPHA in module.tensors:
        return _read_alpha(file, module.name, path) / module.rank
    stated = read_diffusers_metadata(file.metadata) or {}
    for part in ("unet.", "transformer."):
        own = {name.removeprefix(part): value for name, value in stated.items() if name.startswith(part)}
        if own:
            return config_scale(own, parameter.removesuffix(".weight"))
    return 1.0


def _check_shapes(module: str, up: tuple[int, ...], down: tuple[int, ...], of: tuple[int, ...], path: Path) -> None:
    """Raise E673 unless up and down fit the parameter's shape `of`.

    Linear: up (d_out, r) and down (r, d_in). Convolution: up (d_out, r, 1, 1) and down (r, channels, h, w). A 1x1
    convolution may be given as matrices, and a matrix as a 1x1 convolution.
    """
    rank = down[0] if down else 0
    wanted = {len(of): (rank, *of[1:])} | ({2: (rank, of[1])} if of[2:] in ((), (1, 1)) else {})
    wanted |= {4: (rank, of[1], 1, 1)} if len(of) == 2 else {}
    if rank < 1 or down != wanted.get(len(down)) or up not in ((of[0], rank), (of[0], rank, 1, 1)):
        message = f"{module}: up {list(up)} and down {list(down)} do not fit the model's {list(of)}"
        raise fail("E673", message, place=str(path), help="the adapter is for a model of another size")


def _read_alpha(file: Checkpoint, module: str, path: Path) -> float:
    """Read a module's alpha. Raises E674 unless it is one finite number."""
    entry = file.where(module + ALPHA)
    value = decode_numbers(file.raw(module + ALPHA), entry.dtype, entry.shape)
    if value.size != 1 or not np.isfinite(value).all():
        message = f"{module}{ALPHA} is not one finite number"
        raise fail("E674", message, place=str(path), help="fetch the file again")
    return float(value.reshape(()))


def _check_finite(module: str, parts: Sequence[Array], path: Path) -> None:
    """Raise E674 if a matrix holds NaN or infinity."""
    if not all(np.isfinite(part).all() for part in parts):
        raise fail("E674", f"{module} holds NaN or infinity", place=str(path), help="train the adapter again")


def _names_error(code: str, what: str, names: Sequence[str], path: Path, help_: str) -> EditcError:
    """Make an error that lists the first eight of `names` as notes."""
    return fail(code, what, place=str(path), help=help_, notes=first_rows(names, 8))
