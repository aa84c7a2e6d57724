"""A transformers model in a folder, as detectors need one: what it is by its configuration, and opened with checks."""

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
BATCH = 16
"""Pictures that a detector looks at at once."""
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""The files that a tokenizer of transformers is: all of one of these."""


def read_config(folder: Path) -> Mapping[str, Any]:
    """The configuration of the model in a folder; empty where there is none that can be read."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def find_faults(
    request: DetectorRequest, what: str, advice: str, with_tokenizer: bool = False
) -> Iterator[DetectorFault]:
    """E134 for a folder that holds no model with a configuration, weights and a way to prepare pictures, or, if it is
    to be `with_tokenizer`, without a tokenizer. `what` it should be, and `advice` how to come by it."""
    folder = request.path
    assert folder is not None
    if not folder.is_dir():
        problem = "is a file: name the folder it lies in" if folder.is_file() else "does not exist"
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
        message = f"`{request.options.place}` is not {what}: {named} {'is' if len(lacking) == 1 else 'are'} not there"
        yield DetectorFault("E134", "place", message, f"{advice}{_pickle_hint(present, lacking)}")


def model_files(folder: Path) -> Sequence[Path]:
    """The files of a folder that decide what its model says: weights, configurations, the tokenizer."""
    kept = (".safetensors", ".json", ".txt", ".model")
    return sorted(path for path in folder.iterdir() if path.suffix in kept and path.is_file())


@cache
def processor_options() -> Mapping[str, Any]:
    """What makes transformers prepare pictures with pillow, whatever else is installed: the same pixels everywhere."""
    import transformers

    return {"backend": "pil"} if hasattr(transformers, "CLIPImageProcessorPil") else {"use_fast": False}


def load_processor(folder: Path) -> Any:
    """What prepares pictures for the model in a folder. E139 where transformers cannot open it."""
    from transformers.models.auto.image_processing_auto import (
        AutoImageProcessor,
    )  # its short name may ask for torchvision

    return open_quietly(folder, lambda: AutoImageProcessor.from_pretrained(folder, **LOCAL_ONLY, **processor_options()))


LOCAL_ONLY: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""Nothing is fetched, and no code that lies present a model is run."""


def open_quietly(folder: Path, make: Any) -> Any:
    """What `make` gives, the library kept quiet; what it raises is E139."""
    with quiet():
        try:
            return make()
        except Exception as error:  # whatever a library makes of a stranger's files
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise _open_error(folder, f"transformers says: {said}") from error


def load_model(folder: Path, kind: Any) -> Any:
    """The model of a folder in float32. E205 or E402 where it is not what is in its files."""
    with quiet():
        return load_network(kind, folder, "the detector's model").float().requires_grad_(False)


def pixel_batches(pictures: NDArray[np.uint8], prepare: Any) -> Iterator[Any]:
    """The pixel values that a model sees, BATCH pictures (n, h, w, 3) at a time."""
    for start in range(0, len(pictures), BATCH):
        chunk = list(pictures[start : start + BATCH])
        yield prepare(images=chunk, return_tensors="pt", input_data_format="channels_last")["pixel_values"]


def _pickle_hint(present: set[str], lacking: Sequence[str]) -> str:
    if "model.safetensors" not in lacking or not any(name.endswith((".bin", ".pt", ".pth")) for name in present):
        return ""
    return "; weights in a pickle (.bin, .pt) are not opened: load them with transformers once and `save_pretrained`"


def _open_error(folder: Path, why: str) -> Exception:
    help_text = "fetch the folder again, or name another; it must be as transformers' `save_pretrained` writes it"
    return fail("E139", f"the detector cannot be opened: {why}", place=str(folder), help=help_text)
