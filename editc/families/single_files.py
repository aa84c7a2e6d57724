"""Recognise single files of image transformers that editc does not edit, and say what a user can do with them.

Such a file has the tensor names of the model's authors in place of those of diffusers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "model.diffusion_model."
"""What ComfyUI and Stability put before the tensor names of such a file."""


@dataclass(frozen=True)
class SingleFile:
    """One layout of single files that editc recognises and does not edit."""

    title: str
    """What error messages call such a file."""
    heads: tuple[str, ...]
    """Beginnings of tensor names, after PREFIX is removed. A file is of this layout if it has a name for each."""
    loader: str
    """The class of diffusers that converts such a file into a folder."""

    @property
    def help(self) -> str:
        """What a user can do with such a file, as the help of an E206."""
        return (
            "edit the diffusers folder of the same model and load what `editc export --as diffusers` makes of the "
            "delta beside this file, in ComfyUI or diffusers; or convert the file to a folder: "
            f"{self.loader}.from_single_file, then save_pretrained"
        )


SINGLE_FILE_LAYOUTS = (
    SingleFile(
        "FLUX in one file, under Black Forest Labs' names (`txt_in` is diffusers' `context_embedder`)",
        ("double_blocks.", "txt_in.weight"),
        "FluxTransformer2DModel",
    ),
    SingleFile(
        "Stable Diffusion 3 in one file, under Stability's names",
        ("joint_blocks.", "context_embedder.weight"),
        "SD3Transformer2DModel",
    ),
)
"""The layouts that editc recognises."""


def find_single_file(names: Iterable[str]) -> SingleFile | None:
    """Return the layout of a file with these tensor names, with or without PREFIX; None if it is no known layout."""
    inner = [name.removeprefix(PREFIX) for name in names]
    found = (
        one for one in SINGLE_FILE_LAYOUTS if all(any(name.startswith(head) for name in inner) for head in one.heads)
    )
    return next(found, None)
