"""Open the head of a classifier by its config.json and the headers of its files; read a file of examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from editc.core.delta import Site
from editc.core.diagnostics import EditcError, fail
from editc.families.classifier import CLASSIFIER
from editc.formats.models.model import Checkpoint, Model, open_model
from editc.passes.heads.methods import Examples, Head
from editc.passes.locate import EDITED_DTYPES


@dataclass(frozen=True)
class OpenedHead:
    """The head of a classifier on disk."""

    model: Model
    """The model."""
    weights: Checkpoint
    """Its tensors."""
    labels: tuple[str, ...]
    """The label of each class."""
    sites: tuple[Site, ...]
    """The matrix, and the bias as one column where there is one."""

    def head(self) -> Head:
        """The numbers of the head, in float64."""
        found = [self.weights.read(site.name) for site in self.sites]
        return Head(found[0], found[1] if len(found) > 1 else None)


def open_head(place: Path | str) -> OpenedHead:
    """The head of the classifier in a folder. Raises E659 for a model that has none, or several."""
    model = open_model(place)
    labels = _read_labels(model)
    weights = model.component()
    pattern = CLASSIFIER.patterns["head"]
    named = [name for name in weights.names() if fnmatchcase(name, pattern)]
    found = [name for name in named if len(weights.shape(name)) == 2 and weights.shape(name)[0] == len(labels)]
    if len(found) != 1:
        message = f"{len(found)} matrices are a head of {len(labels)} labels: {', '.join(found) or 'none'}"
        help_ = f"editc edits models of transformers with one matrix `{pattern}`"
        raise fail("E659", message, place=model.place, help=help_)
    names = [found[0], found[0].removesuffix("weight") + "bias"]
    sites = [_site(weights, name) for name in names if name in weights.names()]
    if wrong := next((site for site in sites if site.dtype not in EDITED_DTYPES), None):
        raise fail(
            "E659", f"`{wrong.name}` is stored as {wrong.dtype}", place=model.place, help="edit the unquantised model"
        )
    return OpenedHead(model, weights, labels, tuple(sites))


def _site(weights: Checkpoint, name: str) -> Site:
    """A tensor of the head as a site."""
    shape, role = weights.shape(name), "head" if name.endswith("weight") else "bias"
    return Site(
        CLASSIFIER.component, name, (shape[0], shape[1] if len(shape) > 1 else 1), weights.dtype(name), role, role
    )


def _read_labels(model: Model) -> tuple[str, ...]:
    """The labels by number. Raises E659 for a model without `id2label`."""
    path = model.path / "config.json"
    try:
        named = json.loads(path.read_text(encoding="utf-8"))["id2label"]
        return tuple(str(named[str(i)]) for i in range(len(named)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        help_ = "name the folder of a classifier of transformers"
        raise fail("E659", "the model has no `id2label` in its config.json", place=str(path), help=help_) from error


def read_examples(path: Path, head: OpenedHead) -> Examples:
    """The examples of a file. Raises E659 for one that does not fit the head."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    width, classes = head.sites[0].shape[1], len(head.labels)
    try:
        found = load_file(path)
        features, labels = np.asarray(found["features"], np.float64), np.asarray(found["labels"], np.int64)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _unreadable(path, f"cannot be read: {error}") from error
    if features.ndim != 2 or features.shape[1] != width or labels.shape != features.shape[:1] or not len(labels):
        raise _unreadable(path, f"has features {features.shape} and labels {labels.shape}; the head reads (n, {width})")
    if not np.isfinite(features).all() or labels.min() < -1 or labels.max() >= classes:
        raise _unreadable(path, f"has a feature that is not finite, or a label that is not from -1 to {classes - 1}")
    return Examples(features, labels)


def numbers_of(labels: Sequence[str], head: OpenedHead) -> list[int]:
    """The numbers of labels. Raises LookupError for a label that the model does not have."""
    for one in labels:
        if one not in head.labels:
            raise LookupError(one)
    return [head.labels.index(one) for one in labels]


def _unreadable(path: Path, why: str) -> EditcError:
    """E659 for a file of examples."""
    help_ = "`editc head features MODEL FOLDER -o FILE` writes one"
    return fail("E659", f"the file of examples {why}", place=str(path), help=help_)
