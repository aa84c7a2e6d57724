"""An adapter file as its modules: the name of each, its tensors, its rank and its alpha. No model is needed.

A tensor's name is a module's name and an ending such as `.lora_down.weight`. No tensor is dropped: a name without a
known ending counts as a module of its own, because some loaders fail on such names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from editc.core.diagnostics import EditcError, fail
from editc.formats.containers.canonical import DELTA_KEY, strict_json
from editc.formats.containers.ranges import read_range
from editc.formats.containers.safetensors import Header, TensorEntry, read_header
from editc.formats.exports.read import format_of, is_delta, parse_note
from editc.formats.models.layout import conversion_command
from editc.numerics.bits import dtypes

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
"""Files of a PEFT folder: the config, the weights, and weights in the older pickle format."""
METADATA = "lora_adapter_metadata"
"""The metadata key under which diffusers stores an adapter's settings."""
PAIRS = {
    "kohya": (".lora_down.weight", ".lora_up.weight"),
    "peft": (".lora_A.weight", ".lora_B.weight"),
    "layer": (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    "dotted": (".lora.down.weight", ".lora.up.weight"),
    "processor": ("_lora.down.weight", "_lora.up.weight"),
    "embedding": (".lora_embedding_A", ".lora_embedding_B"),
}
"""Style -> the endings of the down and the up matrix. A further style, `named`, has an adapter's name in its
endings."""

_NAMED = re.compile(r"\.lora_([AB])\.([^.]+)\.weight$")
"""The ending of the style `named`."""
PLAIN = (".base_layer.weight", ".base_layer.bias", ".weight", ".bias")
"""Endings of a model's own weights, which PEFT saves beside an adapter: trained heads, embeddings, biases."""

DENSE, SET, MAGNITUDES = (
    ".diff",
    ".set_weight",
    (".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight"),
)
"""Endings of a dense difference, of a replaced weight, and of DoRA's magnitudes."""
ALGEBRAS = {
    "loha": (".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2"),
    "lokr": (".lokr_w1", ".lokr_w2", ".lokr_w1_a", ".lokr_w1_b", ".lokr_w2_a", ".lokr_w2_b", ".lokr_t2"),
    "glora": (".a1.weight", ".a2.weight", ".b1.weight", ".b2.weight"),
    "oft": (".oft_blocks", ".oft_diag"),
}
"""Kind of adapter that is not a pair of matrices -> the endings of its tensors."""
_OTHERS = (".alpha", DENSE, SET, ".diff_b", ".w_norm", ".b_norm", ".lora_mid.weight", ".lora_B.bias", ".reshape_weight")
"""Further endings that loaders know."""
ENDINGS = tuple(
    sorted(
        [*(end for pair in PAIRS.values() for end in pair), *MAGNITUDES, *_OTHERS, *PLAIN]
        + [end for algebra in ALGEBRAS.values() for end in algebra],
        key=len,
        reverse=True,
    )
)
"""All known endings, the longest first, so that the longest match wins."""

INTEGERS = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1"}
"""Integer dtypes in which an alpha may be stored -> numpy's type. diffusers' own converter to kohya's names writes
int64."""

_REPEATS, _NESTED = re.compile(r"(?<!\\)[*+{]"), re.compile(r"\)[*+{]")
"""Repetitions in a pattern. More than a few of them, or one of a group, can make matching take very long."""

FileKind = Literal["file", "folder", "delta", "gguf"]
"""What the adapter is stored in: a single file, a PEFT folder, an editc delta, or a GGUF file."""


@dataclass(frozen=True)
class FileModule:
    """One module of an adapter."""

    name: str
    """Its name in the file."""
    tensors: Mapping[str, TensorEntry]
    """Ending -> dtype and shape of the tensor."""
    alpha: float | None = None
    """Its own alpha. None if the file has none for it."""

    @property
    def style(self) -> str:
        """The key of PAIRS whose endings its two matrices have, or `named`. '' for every other module."""
        found = next((s for s, pair in PAIRS.items() if all(end in self.tensors for end in pair)), "")
        return found or ("named" if self.adapter_name else "")

    @property
    def adapter_name(self) -> str:
        """The adapter's name in the endings of both matrices (`.lora_A.default.weight`), or ''."""
        sides: dict[str, set[str]] = {"A": set(), "B": set()}
        for match in map(_NAMED.search, self.tensors):
            if match is not None:
                sides[match[1]].add(match[2])
        return min(sides["A"] & sides["B"], default="")

    @property
    def ends(self) -> tuple[str, str]:
        """The endings of the down and the up matrix; two empty ones without such a pair."""
        if self.style == "named":
            return f".lora_A.{self.adapter_name}.weight", f".lora_B.{self.adapter_name}.weight"
        return PAIRS.get(self.style, ("", ""))

    @property
    def kind(self) -> str:
        """lora, dora, half (one matrix of a pair), dense, set, loha, lokr, glora, oft, or other."""
        if self.style:
            return "dora" if any(end in self.tensors for end in MAGNITUDES) else "lora"
        if any(end in self.tensors for pair in PAIRS.values() for end in pair) or any(map(_NAMED.search, self.tensors)):
            return "half"
        algebras = [name for name, ends in ALGEBRAS.items() if any(end in self.tensors for end in ends)]
        plain = [name for name, end in (("dense", DENSE), ("set", SET)) if end in self.tensors]
        return (algebras + plain + ["other"])[0]

    @property
    def down(self) -> tuple[int, ...]:
        """The shape of the down matrix, (r, d_in) or (r, channels, h, w); () without one."""
        return self.tensors[self.ends[0]].shape if self.style else ()

    @property
    def up(self) -> tuple[int, ...]:
        """The shape of the up matrix, (d_out, r) or (d_out, r, 1, 1); () without one."""
        return self.tensors[self.ends[1]].shape if self.style else ()

    @property
    def rank(self) -> int:
        """The rows of the down matrix; 0 without one."""
        return self.down[0] if self.down else 0


@dataclass(frozen=True)
class AdapterFile:
    """A whole adapter."""

    path: Path
    """The file or folder."""
    container: FileKind
    """What the adapter is stored in."""
    modules: tuple[FileModule, ...] = ()
    """Its modules, in the order of their first tensor. Empty for a GGUF file."""
    names: tuple[str, ...] = ()
    """The names of its tensors in the order of their bytes, in which loaders read them."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The contents of adapter_config.json. Empty unless it is a folder."""
    diffusers_metadata: Mapping[str, Any] | None = None
    """The settings in `lora_adapter_metadata`. None if diffusers did not write the file."""
    export_description: Mapping[str, Any] | None = None
    """The description of the delta in an export of editc (`family`, `sites` and more). None for other files."""

    def __iter__(self) -> Iterator[FileModule]:
        return iter(self.modules)


def read_adapter_file(path: Path) -> AdapterFile:
    """Read the adapter in a file or folder: the header and the alphas, but no matrices.

    Raises E610, E612 (unreadable), E685 (not an adapter), E686 (an incomplete folder), E687 (an alpha that is not a
    number).
    """
    if path.is_dir():
        return _read_folder(path)
    if _begins_with(path, b"GGUF"):
        return AdapterFile(path, "gguf")
    header = read_header(path)
    adapter = _group_tensors(
        path, "delta" if is_delta(path) and format_of(path) == "safetensors" else "file", header, {}
    )
    if adapter.container == "file" and all(module.kind == "other" for module in adapter):
        message = f"none of the {len(header.entries)} tensors has the name of an adapter's tensor"
        help_text = (
            "for a file of edited tensors run `editc diff BASE FILE -o delta.safetensors`, which makes a delta; "
        )
        help_text += "for a whole model run `editc inspect`"
        raise fail("E685", message, place=str(path), help=help_text, notes=tuple(sorted(header.entries)[:3]))
    return adapter


def split_name(name: str) -> tuple[str, str]:
    """Split a tensor's name into module and ending. The ending is '' if none is known."""
    named = _NAMED.search(name)
    end = named[0] if named else next((end for end in ENDINGS if name.endswith(end)), "")
    return (name.removesuffix(end), end)


def _read_folder(path: Path) -> AdapterFile:
    """Read a PEFT folder. Raises E686."""
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            help_text = f"a PEFT adapter is a folder with {CONFIG} and {WEIGHTS}"
            if name == WEIGHTS and (path / PICKLE).is_file():
                help_text = (
                    f"convert {PICKLE}, with torch's loader that runs no code: {conversion_command(path / PICKLE)}"
                )
            raise fail("E686", f"the folder has no {name}", place=str(path), help=help_text)
    try:
        config = strict_json((path / CONFIG).read_bytes().decode("utf-8"))
    except (OSError, ValueError) as error:
        raise fail("E686", f"{CONFIG} cannot be read: {str(error)[:200]}", place=str(path / CONFIG)) from error
    if not isinstance(config, dict):
        raise fail("E686", f"{CONFIG} is not a JSON object", place=str(path / CONFIG))
    fault = _find_config_fault(config)
    if fault:
        raise fail("E686", f"{CONFIG}: {fault}", place=str(path / CONFIG), help="write the config anew with PEFT")
    return _group_tensors(path, "folder", read_header(path / WEIGHTS), config)


def _find_config_fault(config: Mapping[str, Any]) -> str:
    """Say what is wrong with the config's fields that decide where an adapter goes, or ''. The limits for a pattern,
    1000 characters and 3 repetitions, were chosen by hand: see `_REPEATS`."""
    for name in ("target_modules", "exclude_modules", "modules_to_save"):
        value = config.get(name)
        if not (value is None or isinstance(value, str) or (isinstance(value, list) and _are_texts(value))):
            return f"{name} is neither a text nor a list of texts"
        if isinstance(value, str) and (len(value) > 1000 or len(_REPEATS.findall(value)) > 3 or _NESTED.search(value)):
            return f"{name} is a pattern that the doctor does not understand"
    for name in ("rank_pattern", "alpha_pattern"):
        value = config.get(name) or {}
        if not isinstance(value, dict) or not all(_is_number(number) for number in value.values()):
            return f"{name} is not a map of names to numbers"
    bad = [name for name in ("r", "lora_alpha") if name in config and not _is_number(config[name])]
    layers = config.get("layers_to_transform")
    if layers is not None and not all(type(n) is int for n in (layers if isinstance(layers, list) else [layers])):
        bad.append("layers_to_transform")
    return f"{bad[0]} is not a number" if bad else ""


def _are_texts(value: list[Any]) -> bool:
    """True if every item is a text."""
    return all(isinstance(text, str) for text in value)


def _is_number(value: Any) -> bool:
    """True for a number of reasonable size. Chosen by hand: a rank or an alpha of 1e9 is damage."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _group_tensors(path: Path, container: FileKind, header: Header, config: Mapping[str, Any]) -> AdapterFile:
    """Group the tensors of a file into modules, and read their alphas."""
    names = tuple(sorted(header.entries, key=lambda name: header.entries[name].start))
    found: dict[str, dict[str, TensorEntry]] = {}
    for name in names:
        module, end = split_name(name)
        found.setdefault(module, {})[end] = header.entries[name]
    file = path / WEIGHTS if path.is_dir() else path
    modules = tuple(FileModule(name, ends, _read_alpha(file, name, ends)) for name, ends in found.items())
    stated, about = read_diffusers_metadata(header.metadata), read_description(header.metadata, str(path))
    return AdapterFile(path, container, modules, names, config, stated, about)


def _read_alpha(file: Path, module: str, ends: Mapping[str, TensorEntry]) -> float | None:
    """Read a module's alpha; None without one. Raises E687 unless it is one finite number."""
    entry = ends.get(".alpha")
    if entry is None:
        return None
    value = decode_numbers(read_range(file, entry.start, entry.end - entry.start), entry.dtype, entry.shape)
    if value.size != 1 or not np.isfinite(value).all():
        message = f"{module}.alpha ({entry.dtype} {list(entry.shape)}) is not one finite number"
        raise fail("E687", message, place=str(file), help="fetch the file again, or write it anew")
    return float(value.reshape(()))


def decode_numbers(raw: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Decode a tensor of floats or integers as float64, in its shape or flat; empty for any other dtype."""
    if dtype in dtypes.EDITABLE:
        return dtypes.decode(raw, dtype, shape)
    return np.frombuffer(raw, INTEGERS[dtype]).astype(np.float64) if dtype in INTEGERS else np.zeros(0)


def read_description(metadata: Mapping[str, str], place: str) -> Mapping[str, Any] | None:
    """Read the description of the delta in an export of editc. None for any other file, and for a damaged one."""
    try:
        return parse_note(metadata[DELTA_KEY], place).description
    except (KeyError, EditcError):
        return None


def read_diffusers_metadata(metadata: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Read the settings that diffusers wrote into an adapter's metadata. None if there are none."""
    try:
        stated = strict_json(metadata[METADATA])
    except (KeyError, ValueError):
        return None
    return stated if isinstance(stated, dict) else None


def _begins_with(path: Path, magic: bytes) -> bool:
    """True if the file begins with these bytes. Raises E610."""
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise EditcError(*fail("E610", message, place=str(path)).diagnostics) from error
