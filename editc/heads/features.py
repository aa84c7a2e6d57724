"""`editc head features`: what the head of a classifier reads of the images in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from editc.core.diagnostics import fail
from editc.core.ports import Progress
from editc.heads.model import OpenedHead, open_head
from editc.libraries.extras import require_build
from editc.libraries.foreign import quiet
from editc.libraries.loading import library_errors

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Endings of the files that are read."""


def write_features(model: str, folder: Path, out: Path, progress: Progress | None = None) -> int:
    """Write a file of examples from a folder of images; returns how many there are.

    Images in a subfolder with the name of a label have this label; all others have -1. Raises E659 for a folder without
    images and for an image that cannot be read, and E205 for a model that cannot be loaded.
    """
    require_build("torch", "transformers")
    from safetensors.numpy import save_file

    head = open_head(model)
    found = sorted(_labelled(folder, head))
    if not found:
        raise fail("E659", "the folder has no images", place=str(folder), help=f"put files {', '.join(IMAGES)} there")
    watched = progress("features", found) if progress else found
    run = _open_network(head)
    rows = [run(path) for path, _ in _pairs(watched)]
    labels = np.array([label for _, label in found], np.int64)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({"features": np.stack(rows).astype(np.float32), "labels": labels}, out)
    return len(rows)


def _pairs(watched: Any) -> Iterator[tuple[Path, int]]:
    """The images and labels of an iterable that shows progress."""
    yield from watched


def _labelled(folder: Path, head: OpenedHead) -> Iterator[tuple[Path, int]]:
    """Each image with the number of its label."""
    for path in folder.rglob("*"):
        if path.suffix.lower() in IMAGES:
            name = path.parent.name
            yield path, head.labels.index(name) if path.parent != folder and name in head.labels else -1


def _open_network(head: OpenedHead) -> Any:
    """A function from an image's path to what the head reads of it (d,)."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    place = head.model.path
    with quiet(), library_errors("the classifier cannot be loaded", place):
        processor = AutoImageProcessor.from_pretrained(place, local_files_only=True)
        network = AutoModelForImageClassification.from_pretrained(place, dtype=torch.float32, local_files_only=True)
    network.eval()
    seen: list[Any] = []
    name = head.sites[0].name.removesuffix(".weight")
    network.get_submodule(name).register_forward_pre_hook(lambda module, given: seen.append(given[0]))

    def run(path: Path) -> Any:
        seen.clear()
        try:
            with Image.open(path) as image:
                given = image.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            help_ = "replace the file, or remove it"
            raise fail("E659", "this image cannot be read", place=str(path), help=help_) from error
        with torch.no_grad():
            network(**processor(images=given, return_tensors="pt"))
        return seen[0].reshape(-1, seen[0].shape[-1])[0].numpy()

    return run
