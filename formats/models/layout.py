"""Choose the weight files of a component's folder: one file, or the shards of an index; the plain variant first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.core.text import first_names
from editc.formats.containers import placeholders
from editc.formats.containers.canonical import strict_json
from editc.formats.containers.safetensors import read_small
from editc.formats.containers.table import GGUF, ONNX, SAFETENSORS

STEMS = ("diffusion_pytorch_model", "model")
"""The names, without ending, that diffusers and transformers give to weight files."""
MAX_INDEX = 9_000_000
"""Bytes of an index at most, which is room for some 90,000 tensors. A limit for hostile files, like
`safetensors.MAX_HEADER` (docs/explanation/hostile.md)."""
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
"""Endings of weight files that can run code when they are opened. editc never opens them."""

_ADAPTERS = re.compile(r"(adapter_model|pytorch_lora_weights)")
"""Names of adapter files, which are not a model's weights."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
"""What the name of a shard has before its ending."""


@dataclass(frozen=True)
class WeightFiles:
    """The weight files of one component."""

    files: tuple[Path, ...]
    """The files to read."""
    shard_of: dict[str, Path] | None = None
    """Tensor -> its file, as the index says. None without an index."""
    index: Path | None = None
    """The index. None where one file holds everything."""
    notes: tuple[str, ...] = ()
    """A sentence for other weight files of the folder, which are not read."""


def has_weights(folder: Path) -> bool:
    """True when the folder itself, not a subfolder, holds weights in any format, whether editc can read it or not."""
    return any(path.suffix in (SAFETENSORS, ONNX, *PICKLES) or _is_index(path.name) for path in _files(folder))


def has_safetensors(folder: Path) -> bool:
    """True when the folder itself, not a subfolder, holds safetensors weights."""
    return any(path.suffix == SAFETENSORS or _is_index(path.name) for path in _files(folder))


def has_readable_weights(folder: Path) -> bool:
    """True when the folder itself, not a subfolder, holds weights that editc opens: safetensors, or an ONNX model."""
    return has_safetensors(folder) or any(path.suffix == ONNX for path in _files(folder))


def find_onnx(folder: Path) -> Path | None:
    """The ONNX model of a component's folder: `model.onnx`, or the only .onnx file. None where there is none, or where
    there are safetensors weights, which come first.

    Raises E613 when there are several.
    """
    if not folder.is_dir() or has_safetensors(folder):
        return None
    found = [path for path in _files(folder) if path.suffix == ONNX]
    plain = [path for path in found if path.name == f"model{ONNX}"]
    if len(found) > 1 and not plain:
        raise _ambiguity_error(f"there are {len(found)} {ONNX} files and no model{ONNX}", folder)
    return next(iter(plain or found), None)


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones."""
    return [path for path in _children(folder) if path.is_dir()]


def choose_files(folder: Path) -> WeightFiles:
    """The safetensors files of a component to read. Raises E611 (there are none) and E613 (it is not clear which, or
    the index and its shards do not fit)."""
    names = [path.name for path in _files(folder)]
    taken = _choose_name(names, folder)
    choice = _read_shards(folder / taken) if _is_index(taken) else WeightFiles((folder / taken,))
    used = {taken, *(path.name for path in choice.files)}
    return WeightFiles(choice.files, choice.shard_of, choice.index, _folder_notes(folder, taken, used, names))


def _choose_name(names: Sequence[str], folder: Path) -> str:
    """The name of the weight file or index to read. Raises E611 and E613."""
    for stem in STEMS:
        plain, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
        if plain in names and index in names:
            raise _ambiguity_error(
                f"it holds both {plain} and {index}, and loaders differ in which of them they use", folder
            )
        if plain in names or index in names:
            return plain if plain in names else index
    variants = [name for name in names if _variant(name)]
    if variants:
        half = [name for name in variants if _variant(name) == "fp16"]
        return _only_one(half or variants, folder)
    others = [n for n in names if n.endswith(SAFETENSORS) and not _ADAPTERS.search(n) and not _SHARD.search(n)]
    if others:
        return _only_one(others, folder)
    raise _no_weights_error(names, folder)


def _variant(name: str) -> str | None:
    """`fp16` for model.fp16.safetensors and model.safetensors.index.fp16.json; None for a name without a variant."""
    stems = "|".join(STEMS)
    match = re.fullmatch(rf"(?:{stems})\.(?:(\w+)\.safetensors|safetensors\.index\.(\w+)\.json)", name)
    return (match[1] or match[2]) if match else None


def _only_one(names: Sequence[str], folder: Path) -> str:
    """The only one of these names. Raises E613 where there are several."""
    if len(names) > 1:
        raise _ambiguity_error(f"it holds {', '.join(names[:6])}, and none has the usual name", folder)
    return names[0]


def _read_shards(index: Path) -> WeightFiles:
    """The shards that an index lists. Raises E613 where one is missing."""
    table = _read_index(index)
    missing = sorted(set(table.values()) - {path.name for path in _files(index.parent)})
    if missing:
        raise fail(
            "E613",
            f"the index lists {len(missing)} shard(s) that are not there: {', '.join(missing[:4])[:400]}",
            place=str(index),
            help="fetch the model again, all of its shards",
        )
    listed = {name: index.parent / file for name, file in table.items()}
    return WeightFiles(tuple(sorted(set(listed.values()))), listed, index)


def _read_index(index: Path) -> dict[str, str]:
    """Tensor -> file name, from an index. Raises E613."""
    try:
        document: Any = strict_json(read_small(index, MAX_INDEX))
    except ValueError as error:
        raise _index_error(f"their index is not valid JSON: {str(error)[:200]}", index) from error
    table = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(table, dict) or not table:
        raise _index_error("their index has no weight_map", index)
    for name, file in table.items():
        if not isinstance(file, str) or not re.fullmatch(r"[^/\\\0]+\.safetensors", file):
            raise _index_error(
                f"their index has '{name[:200]}' in {str(file)[:200]!r}, which is not a shard's name", index
            )
    return table


def _folder_notes(folder: Path, taken: str, used: set[str], names: Sequence[str]) -> tuple[str, ...]:
    """A note on weights that a loader might read from this folder instead, which an edit therefore would not reach."""
    weights = [n for n in names if n not in used and (n.endswith((SAFETENSORS, *PICKLES)) or _is_index(n))]
    left = [name for name in weights if name not in ("training_args.bin", "scheduler.bin", "optimizer.pt")]
    if not left:
        return ()
    return (f"{folder.name}: editc uses {taken}; it does not read or edit {first_names(left, 4)} beside it",)


def pipeline_notes(pipeline: Path) -> tuple[str, ...]:
    """A note on weights that lie beside the components, in the pipeline's own folder: the same model as one LDM file,
    say. Loaders of single files take those, and an edit of the components does not reach them."""
    files = [p.name for p in _files(pipeline) if p.suffix in (SAFETENSORS, *PICKLES) and not _ADAPTERS.search(p.name)]
    if not files:
        return ()
    return (f"editc does not read or edit {first_names(files, 4)} beside the components",)


def _files(folder: Path) -> list[Path]:
    """The files of a folder. Links to nothing are included: whoever reads one reports it."""
    return [path for path in _children(folder) if path.is_file() or placeholders.is_dead_link(path)]


def _children(folder: Path) -> list[Path]:
    """The visible entries of a folder, sorted. Raises E610."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise fail("E610", f"the folder cannot be read: {error.strerror}", place=str(folder)) from error


def _is_index(name: str) -> bool:
    """True for the name of an index of shards."""
    return re.search(r"\.safetensors\.index(\.\w+)?\.json$", name) is not None


def _no_weights_error(names: Sequence[str], folder: Path) -> EditcError:
    """E611 or E613 for a folder from which no safetensors file can be chosen, with the reason."""
    pickles = [name for name in names if name.endswith(PICKLES)]
    shards = [name for name in names if _SHARD.search(name) and name.endswith(SAFETENSORS)]
    if shards:
        return _index_error(f"the folder has {len(shards)} shards, but no index.json that lists them", folder)
    if pickles:
        return pickle_error(pickles[0], folder)
    quantised = [name for name in names if name.endswith(GGUF)]
    if quantised:
        help_text = f"name the file itself: {folder / quantised[0]}"
        return fail("E611", "the folder has no safetensors weights, only GGUF", place=str(folder), help=help_text)
    return empty_error(folder)


def empty_error(folder: Path) -> EditcError:
    """E611: the folder holds no weights at all."""
    help_text = "name the folder that has them: a pipeline has model_index.json and a folder for each of its components"
    if (folder / "adapter_config.json").is_file():
        help_text = "this is the folder of a PEFT adapter: name the model that the adapter is for"
    return fail("E611", "the folder holds no safetensors weights", place=str(folder), help=help_text)


def pickle_error(name: str, place: Path) -> EditcError:
    """E611: the weights are there only as a pickle. The help has the command that converts it."""
    message = f"the only weights here are in '{name}', a format that can run code when it is opened"
    command = conversion_command(place if place.is_file() else place / name)
    help_text = f"convert to safetensors, with torch's loader that runs no code: {command}"
    if is_shard(name):
        help_text = "convert to safetensors: load the model in a place you trust and save it with save_pretrained"
    return fail("E611", f"{message}; editc never opens it", place=str(place), help=help_text)


def conversion_command(pickle: Path) -> str:
    """The command that writes the tensors of a pickle as safetensors beside it, under the name that loaders look
    for."""
    name = pickle.name.replace("pytorch_model", "model") if pickle.name.startswith("pytorch_model") else pickle.name
    out = pickle.with_name(name).with_suffix(SAFETENSORS)
    code = (
        "import sys, torch, safetensors.torch as s; "
        "d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); d = d.get('state_dict', d); "
        "s.save_file({k: v.clone() for k, v in d.items() if torch.is_tensor(v)}, sys.argv[2], {'format': 'pt'})"
    )
    return f'python -c "{code}" {quote(str(pickle))} {quote(str(out))}'


def is_shard(name: str) -> bool:
    """True for the name of one of several weight files of a model."""
    return _SHARD.search(name) is not None


def _ambiguity_error(reason: str, folder: Path) -> EditcError:
    """E613: it is not clear which files are the weights."""
    help_text = "move the files that you do not use to another folder, or name one file as the model"
    return fail("E613", f"it is not clear which weights this folder means: {reason}", place=str(folder), help=help_text)


def _index_error(reason: str, index: Path) -> EditcError:
    """E613: the index is damaged, or does not fit its shards."""
    return fail(
        "E613", f"the shards of this model cannot be used: {reason}", place=str(index), help="fetch the model again"
    )
