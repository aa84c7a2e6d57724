"""What detectors share that are a transformers model in a folder: look at its files, then open it with checks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.detectors.kind import DetectorFault, DetectorRequest
from editc.core.diagnostics import fail
from editc.libraries.foreign import quiet
from editc.libraries.loading import load_network

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
"""What transformers calls the configuration and the settings of the image processor."""
BATCH = 16
"""Pictures in one run of a detector. Chosen by hand."""
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""The files of a tokenizer of transformers: all files of one of these lists."""


def read_config(folder: Path) -> Mapping[str, Any]:
    """Return config.json of a folder; empty where there is none or it cannot be read."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def find_faults(
    request: DetectorRequest, what: str, advice: str, with_tokenizer: bool = False
) -> Iterator[DetectorFault]:
    """Yield E134 where the folder lacks a configuration, weights, image settings or, `with_tokenizer`, a tokenizer.

    `what` names what the folder should hold; `advice` says how to get it.
    """
    folder = request.path
    assert folder is not None
    if not folder.is_dir():
        problem = "is a file; name the folder that holds it" if folder.is_file() else "does not exist"
        help_text = f"looked for {folder}: paths are relative to the manifest; {advice}"
        yield DetectorFault("E134", "place", f"the detector's folder `{request.options.place}` {problem}", help_text)
        return
    present = {path.name for path in folder.iterdir()}
    lacking = [name for name in (CONFIG, PROCESSOR) if name not in present]
    if with_tokenizer and not any(present.issuperset(names) for names in TOKENIZERS):
        lacking.append("tokenizer.json")
    if not any(name.endswith(".safetensors") for name in present):
        lacking.append("model.safetensors")
    if lacking:
        named = " and ".join(f"`{name}`" for name in lacking)
        message = f"`{request.options.place}` is not {what}: it has no {named}"
        yield DetectorFault("E134", "place", message, f"{advice}{_pickle_hint(present, lacking)}")


def model_files(folder: Path) -> Sequence[Path]:
    """List the files of a folder that decide what its model answers: weights, configurations, the tokenizer."""
    kept = (".safetensors", ".json", ".txt", ".model")
    return sorted(path for path in folder.iterdir() if path.suffix in kept and path.is_file())


@cache
def processor_options() -> Mapping[str, Any]:
    """Return the options that make transformers prepare pictures with pillow, so that every machine gets the same
    pixels."""
    import transformers

    return {"backend": "pil"} if hasattr(transformers, "CLIPImageProcessorPil") else {"use_fast": False}


def load_processor(folder: Path) -> Any:
    """Load the image processor of a folder. Raises E139 where transformers cannot open it."""
    from transformers.models.auto.image_processing_auto import (
        AutoImageProcessor,
    )  # its short name may ask for torchvision

    return open_quietly(folder, lambda: AutoImageProcessor.from_pretrained(folder, **LOCAL_ONLY, **processor_options()))


LOCAL_ONLY: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""Options of transformers: fetch nothing, and run no code that lies beside a model."""


def open_quietly(folder: Path, make: Any) -> Any:
    """Return the result of `make` and silence the library. Whatever `make` raises becomes E139."""
    with quiet():
        try:
            return make()
        except Exception as error:  # whatever a library makes of a stranger's files
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise _open_error(folder, f"transformers says: {said}") from error


def load_model(folder: Path, kind: Any) -> Any:
    """Load the model of a folder in float32. Raises E205 or E402 where a tensor is missing or not finite."""
    with quiet():
        return load_network(kind, folder, "the detector's model").float().requires_grad_(False)


def pixel_batches(pictures: NDArray[np.uint8], prepare: Any) -> Iterator[Any]:
    """Yield the pixel values that a model reads, for BATCH of the pictures (n, h, w, 3) at a time."""
    for start in range(0, len(pictures), BATCH):
        chunk = list(pictures[start : start + BATCH])
        yield prepare(images=chunk, return_tensors="pt", input_data_format="channels_last")["pixel_values"]


def _pickle_hint(present: set[str], lacking: Sequence[str]) -> str:
    """Say what to do where the folder has its weights as a pickle only."""
    if "model.safetensors" not in lacking or not any(name.endswith((".bin", ".pt", ".pth")) for name in present):
        return ""
    return "; editc opens no pickles (.bin, .pt): load the model with transformers and `save_pretrained` it"


def _open_error(folder: Path, why: str) -> Exception:
    """Make E139: the detector cannot be opened."""
    help_text = "fetch the folder again, or name another that transformers' `save_pretrained` wrote"
    return fail("E139", f"the detector cannot be opened: {why}", place=str(folder), help=help_text)
