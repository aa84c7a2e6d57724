"""The table of tensor containers that editc reads: one row for each kind of file, known by its ending.

The functions of a row import the module of their container only when they are called, so that reading one kind of file
does not load the code of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from editc.formats.containers.safetensors import Header, read_header
from editc.numerics.bits import dtypes

SAFETENSORS, ONNX, GGUF, ONNX_ADAPTER = ".safetensors", ".onnx", ".gguf", ".onnx_adapter"
"""The endings of the containers."""


@dataclass(frozen=True)
class Container:
    """One kind of file that holds tensors."""

    suffix: str
    """The ending of its files, with the dot."""
    header: Callable[[Path], Header]
    """Reads the places of the tensors and the metadata. Raises E610, E618 and the container's own code (E612, E661,
    E692 or E601)."""
    title: str = "file"
    """What `editc inspect` calls a model that is one such file."""
    type_key: str = ""
    """The metadata key that says what the file is (`model`, `adapter`); `inspect` shows its value behind the title.
    Empty: the container has no such key."""
    structure_digest: Callable[[Path], str] | None = None
    """Computes the sha256 of what an edit of a model never changes in such a file. None: no model is stored in one."""
    native: bool = False
    """True for the container of editc's own deltas. A file whose ending has no row is read as this one."""
    no_delta_texts: tuple[str, str] = ("", "")
    """Message and help of E603 for a file without a delta's description. Empty for the native container: such a file is
    read as a delta, and refused there."""
    reproducible: bool = False
    """True where every byte of an export in it follows from the delta: reading one then requires exactly those
    bytes."""
    number_prefix: str = ""
    """The start of metadata names that belong to numbers of an adapter (its alpha, say), stored beside its tensors.
    Empty: there are none."""
    converter: str = ""
    """The program that converted the weights in such a file from another one. They then have that program's names, and
    some are transposed or packed. Empty: the weights are as the program that trained them saved them."""

    @property
    def stores_models(self) -> bool:
        """Whether the weights of a model may be stored in such a file."""
        return self.structure_digest is not None


def container_of(path: Path) -> Container:
    """The container of a file, by its ending."""
    return CONTAINERS.get(path.suffix, CONTAINERS[SAFETENSORS])


def _gguf(path: Path) -> Header:
    from editc.formats.containers.gguf import read_gguf

    return read_gguf(path)


def _onnx(path: Path) -> Header:
    from editc.formats.containers.onnx import read_factors

    return read_factors(path)


def _onnx_adapter(path: Path) -> Header:
    from editc.formats.containers.onnx_adapter import read_onnx_adapter

    return read_onnx_adapter(path)


def _onnx_digest(path: Path) -> str:
    from editc.formats.containers.onnx import structure_digest

    return structure_digest(path)


def _header_digest(header: Callable[[Path], Header]) -> Callable[[Path], str]:
    """A function that hashes everything before the first tensor byte, for containers whose header stands before all
    tensors."""

    def digest(path: Path) -> str:
        from editc.formats.containers.ranges import read_range

        return dtypes.sha256(read_range(path, 0, header(path).data_start))

    return digest


def _no_export_texts(suffix: str) -> tuple[str, str]:
    """Message and help of E603 for a file with this ending that is not an export."""
    return f"the {suffix} file is not an export of editc: it has no description of a delta", ""


CONTAINERS: Mapping[str, Container] = MappingProxyType(
    {
        row.suffix: row
        for row in (
            Container(SAFETENSORS, read_header, structure_digest=_header_digest(read_header), native=True),
            Container(
                ONNX,
                _onnx,
                title="ONNX file",
                structure_digest=_onnx_digest,
                no_delta_texts=(
                    "this ONNX file holds no delta",
                    "give a delta, or an export of one; is this the model itself?",
                ),
                reproducible=True,
            ),
            Container(
                GGUF,
                _gguf,
                title="GGUF",
                type_key="general.type",
                structure_digest=_header_digest(_gguf),
                no_delta_texts=_no_export_texts(GGUF),
                number_prefix="adapter.lora.",
                converter="llama.cpp",
            ),
            Container(ONNX_ADAPTER, _onnx_adapter, no_delta_texts=_no_export_texts(ONNX_ADAPTER)),
        )
    }
)
"""Ending -> container. Only `.gguf`, `.onnx` and `.onnx_adapter` say what a file is; all other endings are read as
safetensors."""
MODEL_FILES: tuple[str, ...] = tuple(row.suffix for row in CONTAINERS.values() if row.stores_models)
"""The endings of files that can be a model."""
MODEL_FILES_TEXT = f"{', '.join(MODEL_FILES[:-1])} or {MODEL_FILES[-1]}"
"""The endings of files that can be a model, as messages list them."""
