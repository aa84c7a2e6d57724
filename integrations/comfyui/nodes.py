"""The nodes as ComfyUI knows them: what each takes, what it gives, and which function does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError

from .about import describe_delta, describe_error, describe_signature
from .edit import apply_delta, match_delta, revert_deltas
from .files import digest, find_beside, find_delta, list_deltas

CATEGORY = "editc"
"""Where the nodes are in ComfyUI's menu."""
REFUSE, FINETUNE = "refuse", "edit a fine-tune"
"""What is done with weights that are not those which the delta records."""
KEY = ("STRING", {"default": "", "tooltip": "A public key (PEM): a delta that it did not sign is refused."})
"""The field for a key. A name is looked for beside the delta."""
POLICY = ("STRING", {"default": "", "tooltip": "A policy file: a delta that it does not admit is refused."})
"""The field for a policy."""

T = TypeVar("T")


class RefusedError(Exception):
    """What ComfyUI shows when a delta cannot be used: what is wrong and what to do."""


def ask(verb: Callable[[], T]) -> T:
    """What `verb` gives. Raises RefusedError for what the user can mend."""
    try:
        return verb()
    except EditcError as error:
        raise RefusedError(describe_error(error)) from None


def read_delta(name: str, public_key: str, policy: str) -> tuple[Delta, str]:
    """The delta in a file of the list, and a sentence about its signature. It is refused before it is read if a key or
    a policy is named that does not admit it."""
    from editc.formats.exports import read

    file = find_delta(name)
    signature = describe_signature(file, find_beside(public_key, file), find_beside(policy, file))
    return read.read_delta(file), signature


def files_of(name: str, public_key: str, policy: str) -> tuple[Path | None, ...]:
    """The files on which a node's result depends."""
    file = find_delta(name)
    return file, find_beside(public_key, file), find_beside(policy, file)


class ApplyDelta:
    """Adds a delta to a MODEL, and to a CLIP if it edits the text encoder."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Edits a model with a delta of editc. Weights that the delta was not made for are refused."
    RETURN_TYPES = ("MODEL", "CLIP", "STRING")
    RETURN_NAMES = ("model", "clip", "about")
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 (ComfyUI's name)
        """The fields of the node."""
        return {
            "required": {
                "model": ("MODEL",),
                "delta": (list_deltas(), {"tooltip": "A file in models/editc."}),
                "other_weights": ([REFUSE, FINETUNE], {"default": REFUSE}),
            },
            "optional": {"clip": ("CLIP",), "public_key": KEY, "policy": POLICY},
        }

    @classmethod
    def IS_CHANGED(cls, delta: str, public_key: str = "", policy: str = "", **_: Any) -> str:  # noqa: N802
        """Changes when a file does, so that ComfyUI runs the node again."""
        return digest(*files_of(delta, public_key, policy))

    def apply(
        self, model: Any, delta: str, other_weights: str, clip: Any = None, public_key: str = "", policy: str = ""
    ) -> tuple[Any, Any, str]:
        """The edited MODEL and CLIP, and what is in them."""
        found, signature = ask(lambda: read_delta(delta, public_key, policy))
        edited = ask(lambda: apply_delta(found, model, clip, other_weights == FINETUNE))
        return edited.model, edited.clip, "\n".join((describe_delta(found), signature, *edited.notes))


class InspectDelta:
    """Says what is in a delta, and what a MODEL is for it."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Says what a delta does, what was measured, who signed it, and whether a model is the one it is for."
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("about",)
    FUNCTION = "inspect"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """The fields of the node."""
        optional = {"model": ("MODEL",), "clip": ("CLIP",), "public_key": KEY, "policy": POLICY}
        return {"required": {"delta": (list_deltas(),)}, "optional": optional}

    @classmethod
    def IS_CHANGED(cls, delta: str, public_key: str = "", policy: str = "", **_: Any) -> str:  # noqa: N802
        """Changes when a file does, so that ComfyUI runs the node again."""
        return digest(*files_of(delta, public_key, policy))

    def inspect(
        self, delta: str, model: Any = None, clip: Any = None, public_key: str = "", policy: str = ""
    ) -> dict[str, Any]:
        """The text, for the node itself and for the next one. A model that the delta is not for is no error here."""
        found, signature = ask(lambda: read_delta(delta, public_key, policy))
        lines = [describe_delta(found), signature]
        if model is not None:
            try:
                lines.append(f"this model: {match_delta(found, model, clip)}")
            except EditcError as error:
                lines.append(f"this model: refused\n{describe_error(error)}")
        text = "\n".join(lines)
        return {"ui": {"text": [text]}, "result": (text,)}


class RevertDelta:
    """Takes a delta out of a MODEL and a CLIP again."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Takes out what `Apply editc delta` added. LoRAs and other patches stay."
    RETURN_TYPES = ("MODEL", "CLIP", "STRING")
    RETURN_NAMES = ("model", "clip", "about")
    FUNCTION = "revert"
    WHICH: ClassVar[list[str]] = ["last", "all"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """The fields of the node."""
        return {"required": {"model": ("MODEL",), "which": (cls.WHICH,)}, "optional": {"clip": ("CLIP",)}}

    def revert(self, model: Any, which: str, clip: Any = None) -> tuple[Any, Any, str]:
        """The MODEL and CLIP without the delta, and what was taken out."""
        edited = ask(lambda: revert_deltas(model, clip, which))
        return edited.model, edited.clip, "\n".join(edited.notes)


NODE_CLASS_MAPPINGS = {"EditcApply": ApplyDelta, "EditcInspect": InspectDelta, "EditcRevert": RevertDelta}
"""Name in a workflow -> class."""
NODE_DISPLAY_NAME_MAPPINGS = {
    "EditcApply": "Apply editc delta",
    "EditcInspect": "Inspect editc delta",
    "EditcRevert": "Take editc delta out",
}
"""Name in a workflow -> name in the menu."""
