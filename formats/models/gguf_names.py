"""The names that llama.cpp gives to the tensors of a language model, from the names of transformers.

The tables come from the `gguf` package, which llama.cpp's own converters use. The package is loaded only when somebody
asks for a name that the file does not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from editc.core.diagnostics import EditcError, fail
from editc.formats.models.program_names import plain_name
from editc.libraries import extras

T = TypeVar("T")

ROTARY = (".attn_q.", ".attn_k.")
"""Parts of llama.cpp's names of query and key matrices, whose outputs its rotary embedding turns."""
UNPERMUTED = ("qwen2", "qwen2moe", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "phi2", "phi3")
"""Architectures whose query and key matrices llama.cpp stores with rows in the order of transformers. In others the
rows may be permuted, because llama.cpp's rotary embedding pairs neighbours where that of transformers pairs halves."""

_MODEL_TYPES = {
    **{"mistral": "llama", "mixtral": "llama", "gemma3_text": "gemma3", "gpt_neox": "gptneox", "cohere": "command-r"},
    **{"qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "phi": "phi2", "gpt_bigcode": "starcoder"},
}
"""config.json's `model_type` -> llama.cpp's word for the architecture, where the two differ."""

_MAX_BLOCKS = 1 << 10
"""Limit for hostile files, chosen by hand: layers of a model, of which the largest have some 130."""


class AliasedTensors(Mapping[str, T]):
    """The tensors of a GGUF file, found by their own names and by those of transformers. Iteration gives only their own
    names.

    `reordered` marks a tensor whose rows may be in another order than in transformers.
    """

    def __init__(self, own: Mapping[str, T], metadata: Mapping[str, str], reordered: Callable[[T], T]) -> None:
        self._own, self._reordered = own, reordered
        self._architecture, self._blocks = stored_architecture(metadata)

    def __getitem__(self, name: str) -> T:
        if name in self._own:
            return self._own[name]
        found = self._translate(name)
        return self._reordered(self._own[found]) if is_reordered(self._architecture, found) else self._own[found]

    def __contains__(self, name: object) -> bool:
        return name in self._own or (isinstance(name, str) and self._translate(name) in self._own)

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

    def _translate(self, name: str) -> str:
        """The tensor's own name, from that of transformers; '' where there is none."""
        return translate(self._architecture, self._blocks, name) if self._blocks else ""


def stored_architecture(metadata: Mapping[str, str]) -> tuple[str, int]:
    """The architecture that a GGUF file names, and its number of layers; 0 layers where the file says none that makes
    sense."""
    name = metadata.get("general.architecture", "")
    blocks = metadata.get(f"{name}.block_count", "0")
    return name, int(blocks) if blocks.isdecimal() and len(blocks) < 5 and int(blocks) <= _MAX_BLOCKS else 0


def is_reordered(architecture: str, name: str) -> bool:
    """True for a matrix, by llama.cpp's name, whose rows may be in another order than in transformers."""
    return any(part in name for part in ROTARY) and architecture not in UNPERMUTED


def translate(architecture: str, blocks: int, name: str) -> str:
    """llama.cpp's name of a parameter of transformers (`model.layers.1.mlp.down_proj.weight`); '' where it has none."""
    table = _name_map(architecture, blocks)
    return (table.get_name(plain_name(name), try_suffixes=(".weight", ".bias")) or "") if table else ""


def config_architecture(config: Path) -> tuple[str, int]:
    """llama.cpp's word for the architecture of a config.json, and the number of layers. Raises E694 where llama.cpp has
    none."""
    try:
        value: Any = json.loads(config.read_text(encoding="utf-8"))
        value = value.get("text_config", value) if isinstance(value, dict) else {}
        kind, blocks = value["model_type"], value["num_hidden_layers" if "num_hidden_layers" in value else "n_layer"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise no_name_error("there is no config.json with model_type and num_hidden_layers", str(config)) from error
    found = _MODEL_TYPES.get(kind, kind) if isinstance(kind, str) else ""
    if type(blocks) is not int or not 0 < blocks <= _MAX_BLOCKS or _name_map(found, blocks) is None:
        raise no_name_error(f"llama.cpp has no architecture for the model_type {str(kind)[:60]!r}", str(config))
    return found, blocks


def no_name_error(reason: str, place: str = "") -> EditcError:
    """E694: llama.cpp has no name for a parameter."""
    return fail("E694", f"the names of llama.cpp are not known for this: {reason}", place=place, help=_HELP)


_HELP = (
    "give --model the folder of a language model that llama.cpp has, with its config.json; for any other matrix export "
    "as `peft` or `checkpoint`, and convert the result with llama.cpp's own scripts"
)
"""The help of E694."""


@cache
def _name_map(architecture: str, blocks: int) -> Any:
    """The name table of the `gguf` package for an architecture; None where it has none. Raises E694 without the
    package."""
    if extras.missing_packages("gguf"):
        message = "the names of llama.cpp are in the package `gguf`, which is not installed"
        raise fail("E694", message, help=extras.install_command("gguf"))
    from gguf.constants import MODEL_ARCH_NAMES
    from gguf.tensor_mapping import get_tensor_name_map

    kinds = {name: kind for kind, name in MODEL_ARCH_NAMES.items()}
    return get_tensor_name_map(kinds[architecture], blocks) if architecture in kinds else None
