"""`detector: {classifier: FOLDER}`: an image classifier of transformers, whose labels are the concepts.

A classifier with one label for each picture (softmax) finds a concept if the likeliest label is one of the concept's.
With a `threshold`, it finds the concept if the probabilities of the concept's labels add up to the threshold.

A classifier with several labels for each picture (sigmoid) finds a concept if one of the concept's labels has at least
the threshold, 0.5 where the manifest gives none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.detectors import folder
from editc.backends.detectors.kind import DetectorFault, DetectorKind, DetectorRequest
from editc.registry.table import nearest

MULTI = "multi_label_classification"
"""What `problem_type` in config.json says of a classifier with several labels for each picture."""
MULTI_LABEL_THRESHOLD = 0.5
"""The threshold of a classifier with several labels where the manifest gives none: from here on the label is likelier
than not."""
ADVICE = "name an image classifier as transformers saves it (its config.json says `...ForImageClassification`)"
"""Help for a folder that is not such a model."""


@dataclass(frozen=True)
class Labels:
    """The labels of a classifier, and which of them a concept means.

    A concept means the labels that the manifest gives for it, else those of its own name. A label such as ImageNet's
    `tabby, tabby cat` has two names.
    """

    names: tuple[str, ...]
    """All labels, in the order of the classifier's outputs."""
    by_concept: Mapping[str, tuple[str, ...]]
    """Concept -> the labels that the manifest gives for it."""

    def numbers_of(self, concept: str) -> tuple[int, ...]:
        """Return the numbers of a concept's labels; empty for an unknown concept."""
        if concept in self.by_concept:
            return tuple(index for label in self.by_concept[concept] for index in self._numbers_named(label))
        return self._numbers_named(concept)

    def missing_labels(self) -> Iterator[tuple[str, str]]:
        """Yield each concept and label of the manifest where the classifier lacks the label."""
        for concept, labels in self.by_concept.items():
            yield from ((concept, label) for label in labels if not self._numbers_named(label))

    def concepts(self) -> tuple[str, ...]:
        """Return the concepts of the manifest, then the first name of each label that none of them means."""
        taken = {index for concept in self.by_concept for index in self.numbers_of(concept)}
        rest = (_label_names(label)[0] for index, label in enumerate(self.names) if index not in taken)
        return tuple(dict.fromkeys((*self.by_concept, *rest)))

    def _numbers_named(self, name: str) -> tuple[int, ...]:
        """Return the numbers of the labels with this name: a whole label first, else one of a label's names."""
        whole = [index for index, label in enumerate(self.names) if label.casefold() == name.casefold()]
        part = [i for i, label in enumerate(self.names) if name.casefold() in map(str.casefold, _label_names(label))]
        return tuple(whole or part)


@dataclass(frozen=True)
class ClassifierDetector:
    """Judges the concepts that its labels name."""

    model: Any
    """The classifier of transformers."""
    processor: Any
    """Its image processor."""
    labels: Labels
    """Its labels."""
    multi_label: bool
    """True where a picture may have several labels."""
    threshold: float | None = None
    """The probability from which a picture shows a concept. None: the likeliest label decides, or MULTI_LABEL_THRESHOLD
    where a picture may have several."""

    def knows(self, concept: str) -> bool:
        """True for a concept that has labels in the manifest, or the name of a label."""
        return bool(self.labels.numbers_of(concept))

    def concepts(self) -> tuple[str, ...]:
        """Return the concepts that it can judge, as `Labels.concepts` lists them."""
        return self.labels.concepts()

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return (n,) bools for pictures (n, h, w, 3). Raises KeyError for an unknown concept."""
        mine = list(self.labels.numbers_of(concept))
        if not mine:
            raise KeyError(concept)
        shares = self.probabilities(pictures)
        if self.multi_label:
            return np.asarray(shares[:, mine].max(axis=1) >= (self.threshold or MULTI_LABEL_THRESHOLD))
        if self.threshold is None:
            return np.asarray(np.isin(shares.argmax(axis=1), mine))
        return np.asarray(shares[:, mine].sum(axis=1) >= self.threshold)

    def probabilities(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the probability of each label (n, labels) for pictures (n, h, w, 3)."""
        import torch

        with torch.inference_mode():
            parts = [self.model(pixel_values=one).logits for one in folder.pixel_batches(pictures, self.processor)]
            logits = torch.cat(parts).double()
            return np.asarray((logits.sigmoid() if self.multi_label else logits.softmax(dim=1)).numpy())


def read_labels(request: DetectorRequest) -> Labels:
    """Read the labels from config.json, and add those that the manifest gives for concepts."""
    assert request.path is not None
    settings = folder.read_config(request.path)
    found = settings.get("id2label")
    given = dict(request.options.labels)
    if not isinstance(found, dict) or not all(str(key).isdigit() for key in found):
        count = settings.get("num_labels", 2)
        return Labels(tuple(f"LABEL_{index}" for index in range(count if isinstance(count, int) else 2)), given)
    ordered = sorted(found.items(), key=lambda pair: int(pair[0]))
    return Labels(tuple(str(label) for _, label in ordered), given)


def _label_names(label: str) -> list[str]:
    """Split a label such as `tabby, tabby cat` into its names."""
    return [part.strip() for part in label.split(",") if part.strip()] or [label]


def _find_faults(request: DetectorRequest) -> Iterator[DetectorFault]:
    """Yield E134 where the folder holds no image classifier, and E136 for labels that it lacks."""
    found = tuple(folder.find_faults(request, "an image classifier", ADVICE))
    yield from found
    assert request.path is not None
    if found:
        return
    made = folder.read_config(request.path).get("architectures")
    if not any("ImageClassification" in str(one) for one in (made if isinstance(made, list) else ())):
        what = f"it is a `{made[0]}`" if isinstance(made, list) and made else "its config.json names no class"
        message = f"`{request.options.place}` is not an image classifier: {what}"
        yield DetectorFault("E134", "place", message, ADVICE)
        return
    labels = read_labels(request)
    for concept, label in labels.missing_labels():
        near = nearest(label, labels.names)
        some = ", ".join(f"`{one}`" for one in labels.names[:8]) + (", ..." if len(labels.names) > 8 else "")
        help_text = f"did you mean `{near}`?" if near else f"its labels: {some}"
        message = f"the classifier has no label `{label}`, which the manifest gives for `{concept}`"
        yield DetectorFault("E136", "labels", message, help_text)


def _concept_test(request: DetectorRequest) -> Callable[[str], bool]:
    """Return a test of which concepts the labels name."""
    labels = read_labels(request)
    return lambda concept: bool(labels.numbers_of(concept))


def _open(request: DetectorRequest) -> ClassifierDetector:
    """Load the classifier and its image processor. Raises E139, E205 or E402 where that fails."""
    from transformers import AutoModelForImageClassification

    path = request.path
    assert path is not None
    model, labels = folder.load_model(path, AutoModelForImageClassification), read_labels(request)
    several = getattr(model.config, "problem_type", None) == MULTI
    return ClassifierDetector(model, folder.load_processor(path), labels, several, request.options.threshold)


def _files(request: DetectorRequest) -> Sequence[Path]:
    return folder.model_files(request.path) if request.path else ()


def _settings(request: DetectorRequest) -> Mapping[str, Any]:
    """Return the labels and the threshold of the manifest; without them, the model alone decides."""
    labels = {name: list(given) for name, given in request.options.labels.items()}
    threshold = {} if request.options.threshold is None else {"threshold": request.options.threshold}
    return {**threshold, **({"labels": labels} if labels else {})}


CLASSIFIER = DetectorKind(
    "an image classifier of transformers: its labels are the concepts",
    _open,
    place="FOLDER",
    keys=("labels", "threshold"),
    faults=_find_faults,
    knows=_concept_test,
    files=_files,
    settings=_settings,
)
