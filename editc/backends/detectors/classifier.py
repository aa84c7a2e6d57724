"""`detector: {classifier: FOLDER}`: an image classifier of transformers, whose labels are the concepts.

Of a classifier with one label a picture (softmax) a picture shows a concept where the likeliest label is one of the
concept's; with a `threshold`, where their probabilities add up to it. Of one with several labels a picture (sigmoid)
where one of the concept's has at least the threshold, 0.5 where none is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.detectors import folder
from editc.backends.detectors.kind import Asked, Fault, Kind
from editc.registry.table import nearest

MULTI = "multi_label_classification"
THRESHOLD = 0.5
"""Of a classifier with several labels a picture, where the manifest gives none."""
ADVICE = "name an image classifier as transformers saves it (its config.json says `...ForImageClassification`)"


@dataclass(frozen=True)
class Labels:
    """The labels of a classifier, and which of them a concept's name means: those that the manifest gives for it, else
    those that are called so. A label `tabby, tabby cat` has two names, as ImageNet's have."""

    every: tuple[str, ...]
    """All labels, in the classifier's order."""
    given: Mapping[str, tuple[str, ...]]
    """Concept -> the labels that the manifest gives for it."""

    def of(self, concept: str) -> tuple[int, ...]:
        """The numbers of a concept's labels; empty for one that it does not know."""
        if concept in self.given:
            return tuple(index for label in self.given[concept] for index in self._called(label))
        return self._called(concept)

    def unknown(self) -> Iterator[tuple[str, str]]:
        """Each concept and label of `given` that the classifier does not have."""
        for concept, labels in self.given.items():
            yield from ((concept, label) for label in labels if not self._called(label))

    def concepts(self) -> tuple[str, ...]:
        """The concepts that were given, then the first name of each label that none of them means."""
        taken = {index for concept in self.given for index in self.of(concept)}
        rest = (_names(label)[0] for index, label in enumerate(self.every) if index not in taken)
        return tuple(dict.fromkeys((*self.given, *rest)))

    def _called(self, name: str) -> tuple[int, ...]:
        whole = [index for index, label in enumerate(self.every) if label.casefold() == name.casefold()]
        part = [i for i, label in enumerate(self.every) if name.casefold() in map(str.casefold, _names(label))]
        return tuple(whole or part)


@dataclass(frozen=True)
class ClassifierDetector:
    """Judges the concepts that its labels are."""

    model: Any
    """The classifier of transformers."""
    prepare: Any
    """Its image processor."""
    labels: Labels
    """Its labels."""
    several: bool
    """Whether a picture may have several of them."""
    threshold: float | None = None
    """The probability from which a picture shows a concept. None: the likeliest label decides, or
    THRESHOLD where a picture may have several."""

    def knows(self, concept: str) -> bool:
        """True for a concept that labels were given for, or that is called as a label is."""
        return bool(self.labels.of(concept))

    def concepts(self) -> tuple[str, ...]:
        """See `Labels.concepts`."""
        return self.labels.concepts()

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(n,) for pictures (n, h, w, 3); KeyError for a concept that it does not know."""
        mine = list(self.labels.of(concept))
        if not mine:
            raise KeyError(concept)
        shares = self.probabilities(pictures)
        if self.several:
            return np.asarray(shares[:, mine].max(axis=1) >= (self.threshold or THRESHOLD))
        if self.threshold is None:
            return np.asarray(np.isin(shares.argmax(axis=1), mine))
        return np.asarray(shares[:, mine].sum(axis=1) >= self.threshold)

    def probabilities(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The probability of each label (n, labels) for pictures (n, h, w, 3)."""
        import torch

        with torch.inference_mode():
            parts = [self.model(pixel_values=one).logits for one in folder.in_batches(pictures, self.prepare)]
            logits = torch.cat(parts).double()
            return np.asarray((logits.sigmoid() if self.several else logits.softmax(dim=1)).numpy())


def labels_of(asked: Asked) -> Labels:
    """The labels that the configuration of the folder lists, with what the manifest says of them."""
    assert asked.path is not None
    settings = folder.settings_of(asked.path)
    found = settings.get("id2label")
    given = dict(asked.options.labels)
    if not isinstance(found, dict) or not all(str(key).isdigit() for key in found):
        count = settings.get("num_labels", 2)
        return Labels(tuple(f"LABEL_{index}" for index in range(count if isinstance(count, int) else 2)), given)
    ordered = sorted(found.items(), key=lambda pair: int(pair[0]))
    return Labels(tuple(str(label) for _, label in ordered), given)


def _names(label: str) -> list[str]:
    return [part.strip() for part in label.split(",") if part.strip()] or [label]


def _faults(asked: Asked) -> Iterator[Fault]:
    found = tuple(folder.faults(asked, "an image classifier", ADVICE))
    yield from found
    assert asked.path is not None
    if found:
        return
    made = folder.settings_of(asked.path).get("architectures")
    if not any("ImageClassification" in str(one) for one in (made if isinstance(made, list) else ())):
        what = f"a `{made[0]}`" if isinstance(made, list) and made else "no model that its config.json names"
        message = f"`{asked.options.place}` is not an image classifier: it is {what}"
        yield Fault("E134", "place", message, ADVICE)
        return
    labels = labels_of(asked)
    for concept, label in labels.unknown():
        near = nearest(label, labels.every)
        some = ", ".join(f"`{one}`" for one in labels.every[:8]) + (", ..." if len(labels.every) > 8 else "")
        help_text = f"did you mean `{near}`?" if near else f"its labels: {some}"
        message = f"the classifier has no label `{label}`, which `{concept}` is to be known by"
        yield Fault("E136", "labels", message, help_text)


def _knows(asked: Asked) -> Callable[[str], bool]:
    labels = labels_of(asked)
    return lambda concept: bool(labels.of(concept))


def _open(asked: Asked) -> ClassifierDetector:
    from transformers import AutoModelForImageClassification

    path = asked.path
    assert path is not None
    model, labels = folder.model(path, AutoModelForImageClassification), labels_of(asked)
    several = getattr(model.config, "problem_type", None) == MULTI
    return ClassifierDetector(model, folder.processor(path), labels, several, asked.options.threshold)


def _files(asked: Asked) -> Sequence[Path]:
    return folder.files(asked.path) if asked.path else ()


def _settings(asked: Asked) -> Mapping[str, Any]:
    labels = {name: list(given) for name, given in asked.options.labels.items()}
    threshold = {} if asked.options.threshold is None else {"threshold": asked.options.threshold}
    return {**threshold, **({"labels": labels} if labels else {})}


CLASSIFIER = Kind(
    "an image classifier of transformers: its labels are the concepts",
    _open,
    place="FOLDER",
    keys=("labels", "threshold"),
    faults=_faults,
    knows=_knows,
    files=_files,
    settings=_settings,
)
