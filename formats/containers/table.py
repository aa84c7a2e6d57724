"""The containers of tensors that editc reads: a row for each, told by the ending of its files.

The functions of a row import the container's own module when they are called, so reading one kind of file loads no
other kind's code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from editc.formats.containers.ranges import read_range
from editc.formats.containers.safetensors import Header, read_header
from editc.numerics.bits import dtypes

SAFETENSORS, ONNX, GGUF, ONNX_ADAPTER = ".safetensors", ".onnx", ".gguf", ".onnx_adapter"


@dataclass(frozen=True)
class Container:
    """One kind of file that holds tensors."""

    suffix: str
    """The ending of its files."""
    header: Callable[[Path], Header]
    """Reads the tensors' places and the metadata. Raises E610, E618 and the container's own code (E612, E661, E692,
    E601)."""
    title: str = "file"
    """What `editc inspect` calls a model of one such file."""
    type_key: str = ""
    """The key of its metadata that says what the file is (`model`, `adapter`), which stands behind the title. Empty:
    no such key."""
    structure_digest: Callable[[Path], str] | None = None
    """The sha256 of what an edit of a model leaves alone in such a file. None: no model is stored in one."""
    native: bool = False
    """Whether editc's own deltas are such files. An ending that no row has is read as this one."""
    no_delta_texts: tuple[str, str] = ("", "")
    """Message and help of E603 for a file without a delta's description. Empty for editc's own, which is read as a
    delta of editc and refused there."""
    reproducible: bool = False
    """Whether every byte of an export in it follows from the delta, so that reading one asks for those bytes."""
    number_prefix: str = ""
    """What the names of metadata begin with that are numbers of an adapter, beside its tensors. Empty: none are."""
    converter: str = ""
    """The program that converted the weights in it from another file: they have its names, some are transposed, some
    packed. Empty: weights are stored as the program that trained them saved them."""

    @property
    def stores_models(self) -> bool:
        """Whether the weights of a model may be stored in such a file."""
        return self.structure_digest is not None


def container_of(path: Path) -> Container:
    """The container that the ending of a file tells."""
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
    """The outline of a file whose header stands before all tensors."""
    return lambda path: dtypes.sha256(read_range(path, 0, header(path).data_start))


def _no_export_texts(suffix: str) -> tuple[str, str]:
    return f"the {suffix} file is not an export of editc: it describes no delta", ""


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
"""By ending. `.gguf`, `.onnx` and `.onnx_adapter` alone tell what a file is; all other endings are read as
safetensors."""
MODEL_FILES: tuple[str, ...] = tuple(row.suffix for row in CONTAINERS.values() if row.stores_models)
"""The endings of files that can be a model."""
MODEL_FILES_TEXT = f"{', '.join(MODEL_FILES[:-1])} or {MODEL_FILES[-1]}"
"""The same for messages."""
