"""Loads networks: every tensor comes from the file, has the shape that the network wants, and is finite.

Model libraries fill what a file lacks with random numbers, drop what they do not use, and only warn. Here both are
errors. Every network that editc runs is loaded by `load_network`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.core.text import first_rows

HARMLESS: tuple[str, ...] = (
    r"(^|\.)position_ids$",  # positions, which the network counts itself
    r"(^|\.)rotary_emb\.inv_freq$",  # frequencies, which follow from the configuration
    r"(^|\.)(attn|attention)\.(bias|masked_bias)$",  # GPT-2's, GPT-J's and GPT-NeoX's causal masks
    r"^(v_head|mtp)\.",  # a reward head, and heads that guess further tokens
)
"""Tensors that a network does not use and that change none of its outputs, besides those that the library declares
itself. A matching name is ignored only where the network has no tensor of that name."""
WRAPPED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        r"\.base_layer\.|\.lora_[AB]\.|\.lora_(up|down)\.": (
            "with an adapter attached",
            "merge the adapter first (`merge_and_unload()`) or detach it (`unload()`), and save again",
        ),
        r"^_orig_mod\.": ("as torch.compile wraps it", "save the model that was compiled (`model._orig_mod`)"),
        r"^module\.": ("as DataParallel wraps it", "save the model inside (`model.module`)"),
    }
)
"""Pattern of a name that is not among a model's own names -> how the model was saved, and how to save it right."""
VARIANT = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:\.(?P<file>\w+))?\.safetensors(?:\.index(?:\.(?P<index>\w+))?\.json)?"
)
"""File names of weights in diffusers folders, with their variant, such as `fp16`."""
SHOWN = 4
"""How many names a message lists of each kind. Chosen by hand."""


@dataclass(frozen=True)
class TensorMismatch:
    """How the tensors of a file differ from those of the network that it should fill."""

    missing: tuple[str, ...]
    """Names that the network has and the file lacks."""
    unexpected: tuple[str, ...]
    """Names that the file has and the network lacks, without harmless ones."""
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Name of a tensor -> its shape in the file and in the network, where the two differ."""

    @staticmethod
    def of(
        missing: Iterable[str], unexpected: Iterable[str], shapes: Iterable[Sequence[Any]], harmless: Sequence[str] = ()
    ) -> TensorMismatch:
        """Sorts the names and drops those that match HARMLESS or `harmless`. `shapes` holds (name, shape in the file,
        shape in the network)."""
        ignored = re.compile("|".join((*HARMLESS, *harmless)))
        return TensorMismatch(
            tuple(sorted(missing)),
            tuple(sorted(name for name in unexpected if ignored.search(name) is None)),
            {name: (tuple(stored), tuple(wanted)) for name, stored, wanted in sorted(shapes, key=lambda row: row[0])},
        )

    @property
    def empty(self) -> bool:
        """True where file and network have the same tensors."""
        return not (self.missing or self.unexpected or self.shapes)


def load_network(kind: Any, folder: Path, what: str, harmless: Sequence[str] = (), **given: Any) -> Any:
    """Loads `kind.from_pretrained(folder)`, whole and finite. `what` is what messages call it (`the model's `unet``).
    `harmless` are patterns of further tensors of the file that are left out on purpose. `given` goes to the library.

    It opens no pickle, downloads nothing and runs no code from the folder. Raises E205 for a network that cannot be
    loaded or does not match its files, and E402 for values that are not finite.
    """
    asked = {
        "local_files_only": True,
        "use_safetensors": True,
        "output_loading_info": True,
        "variant": weight_variant(folder),
    }
    with library_errors(f"{what} cannot be loaded", folder):
        network, info = kind.from_pretrained(folder, **asked, ignore_mismatched_sizes=True, **given)
    found = TensorMismatch.of(info["missing_keys"], info["unexpected_keys"], info["mismatched_keys"], harmless)
    require_whole(found, what, type(network).__name__, folder)
    require_finite(network, what, folder)
    return network.eval()


def weight_variant(folder: Path) -> str | None:
    """The variant to load: None where the folder has plain weights, else `fp16` where it has that, else the first of
    its variants."""
    found = [VARIANT.fullmatch(path.name) for path in sorted(folder.iterdir())]
    names = {one["index"] or one["file"] or "" for one in found if one}
    return None if not names or "" in names else "fp16" if "fp16" in names else min(names)


def require_whole(found: TensorMismatch, what: str, network: str, folder: Path) -> None:
    """Raises E205, with the names, where the files do not match the network."""
    if not found.empty:
        message = f"the files of {what} do not fit a {network}: {'; '.join(_mismatch_lines(found))}"
        raise fail("E205", message, place=str(folder), help=_what_to_do(found), notes=_names(found))


def require_finite(network: Any, what: str, folder: Path) -> None:
    """Raises E402, with the names, where parameters or buffers hold NaN or infinity."""
    import torch

    def finite(values: Any) -> bool:
        """True where all values are finite."""
        return all(bool(torch.isfinite(one)) for one in torch.aminmax(values))

    state = network.state_dict()
    refuse_values([n for n, v in state.items() if v.is_floating_point() and v.numel() and not finite(v)], what, folder)


def refuse_values(names: Sequence[str], what: str, folder: Path) -> None:
    """Raises E402 unless `names` is empty. They are the tensors that hold NaN or infinity."""
    if names:
        message = f"{what} holds NaN or infinity, in {_many(names, '', '')}".rstrip()
        help_text = "the checkpoint is damaged, or overflowed when it was converted: fetch it again"
        raise fail("E402", message, place=str(folder), help=help_text, notes=first_rows(names, SHOWN))


@contextmanager
def library_errors(what: str, folder: Path, help_text: str = "") -> Iterator[None]:
    """Turns whatever a model library raises over the files of a folder into E205, whose message begins with `what`."""
    try:
        yield
    except EditcError:
        raise
    except Exception as error:  # a library may raise anything over a damaged file
        help_text = help_text or "fetch the folder again, all of its files from the same version"
        raise fail("E205", f"{what}: {brief(error)}", place=str(folder), help=help_text) from error


def brief(error: Exception) -> str:
    """A library's message in one line, its first 300 characters; the class of the error where it has no message."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def find_wrapper(names: Sequence[str]) -> tuple[str, str] | None:
    """How a model with these names was saved, where it was not saved by itself, and how to save it right. None where it
    was."""
    return next((texts for mark, texts in WRAPPED.items() if any(re.search(mark, name) for name in names)), None)


def _mismatch_lines(found: TensorMismatch) -> Iterator[str]:
    """The mismatch in words, for a message."""
    if found.missing:
        yield f"{_many(found.missing, 'is', 'are')} missing"
    if found.unexpected:
        yield f"{_many(found.unexpected, 'does', 'do')} not belong to it"
    if found.shapes:
        yield f"{_many(found.shapes, 'has', 'have')} the wrong shape"


def _names(found: TensorMismatch) -> Iterator[str]:
    """The names that differ, as notes."""
    yield from first_rows([f"missing: {name}" for name in found.missing], SHOWN)
    yield from first_rows([f"does not belong: {name}" for name in found.unexpected], SHOWN)
    yield from first_rows(
        [f"shape of {name}: {one} in the file, {other} by config.json" for name, (one, other) in found.shapes.items()],
        SHOWN,
    )


def _what_to_do(found: TensorMismatch) -> str:
    """The help for a mismatch."""
    if around := find_wrapper(found.unexpected):
        return f"the model was saved {around[0]}: {around[1]}"
    return "fetch or save it again, with config.json and weights of the same model"


def _many(things: Sequence[str] | Mapping[str, Any], one: str, more: str) -> str:
    """A count of tensors with the words for one or for several."""
    return f"1 tensor {one}" if len(things) == 1 else f"{len(things)} tensors {more}"
