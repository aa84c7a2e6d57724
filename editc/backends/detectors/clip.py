"""`detector: {clip: FOLDER}`: zero-shot, by a CLIP. Radford et al., arXiv 2103.00020, section 3.1.

The probability of a concept is softmax over (concept, alternatives) of s cos(picture, name), s being the model's own
scale, and a name's vector the normalised mean of the normalised embeddings of its sentences (the paper's ensembling). A
picture shows the concept where that is at least the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.detectors import folder
from editc.backends.detectors.kind import Asked, Fault, Kind

Array = NDArray[np.float64]
SENTENCES = ("{}", "a picture of {}", "a photo of {}", "a painting of {}")
"""What is made of a name for which the manifest gives no sentences."""
EVERYDAY = (
    "a person",
    "an animal",
    "a plant",
    "food",
    "a vehicle",
    "a building",
    "furniture",
    "a landscape",
    "the sky",
    "a piece of writing",
    "an abstract pattern",
    "an empty background",
)
"""What a picture may show instead, where the manifest does not say; the targets of the edits come before it."""
THRESHOLD = 0.5
"""Where the manifest gives none: from here on the concept is likelier than all alternatives together."""
ADVICE = "name a CLIP as transformers saves it, such as a snapshot of openai/clip-vit-large-patch14"


@dataclass(frozen=True)
class ClipDetector:
    """Judges any concept by its name."""

    model: Any
    """The CLIP model of transformers."""
    tokenizer: Any
    """Its tokenizer."""
    prepare: Any
    """Its image processor."""
    prompts: Mapping[str, tuple[str, ...]]
    """Concept -> the sentences that stand for it, for those that have their own."""
    against: tuple[str, ...]
    """The alternatives, of which the concept itself is none."""
    threshold: float = THRESHOLD
    """The probability from which a picture shows a concept."""
    named: dict[str, Array] = field(default_factory=dict)
    """The vectors of names that were asked for."""
    looked: dict[str, Array] = field(default_factory=dict)
    """The vectors of the last pictures, by their hash: every concept is asked of the same ones."""

    def knows(self, concept: str) -> bool:
        """True: any text is a name."""
        return True

    def concepts(self) -> tuple[str, ...]:
        """Empty: any text is a name."""
        return ()

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether each of the pictures (n, h, w, 3) shows the concept, (n,)."""
        return np.asarray(self.probability(concept, pictures) >= self.threshold)

    def probability(self, concept: str, pictures: NDArray[np.uint8]) -> Array:
        """(n,) the share of the concept among itself and its alternatives."""
        names = (concept, *others(concept, self.against))
        logits = self.scale * self._seen(pictures) @ np.stack([self.vector(name) for name in names]).T
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised[:, 0] / raised.sum(axis=1))

    def vector(self, name: str) -> Array:
        """The unit vector (d,) that a name's sentences have in common."""
        if name not in self.named:
            self.named[name] = _unit(_unit(self._texts(sentences(name, self.prompts))).mean(axis=0))
        return self.named[name]

    @cached_property
    def scale(self) -> float:
        """The factor by which CLIP multiplies cosines."""
        return float(self.model.logit_scale.double().exp())

    def _texts(self, texts: Sequence[str]) -> Array:
        import torch

        told = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            pooled = self.model.text_model(told["input_ids"], attention_mask=told["attention_mask"]).pooler_output
            return np.asarray(self.model.text_projection(pooled).double().numpy())

    def _seen(self, pictures: NDArray[np.uint8]) -> Array:
        """(n, d) of the pictures, each of length 1."""
        import torch

        key = sha256(repr(pictures.shape).encode() + np.ascontiguousarray(pictures).tobytes()).hexdigest()
        if key not in self.looked:
            self.looked.clear()
            with torch.inference_mode():
                pooled = [
                    self.model.vision_model(one).pooler_output for one in folder.in_batches(pictures, self.prepare)
                ]
                vectors = [self.model.visual_projection(one).double().numpy() for one in pooled]
            self.looked[key] = _unit(np.concatenate(vectors))
        return self.looked[key]


def sentences(name: str, prompts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Those that the manifest gives for a name, else those that are made of it."""
    return prompts.get(name) or tuple(sentence.replace("{}", name) for sentence in SENTENCES)


def others(concept: str, against: Sequence[str]) -> tuple[str, ...]:
    """The alternatives of a concept: all but itself, whatever its case."""
    return tuple(name for name in against if name.casefold() != concept.casefold())


def alternatives(asked: Asked) -> tuple[str, ...]:
    """Those of the manifest, else the targets of its edits and everyday things."""
    return asked.options.against or tuple(dict.fromkeys((*filter(None, asked.targets), *EVERYDAY)))


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _faults(asked: Asked) -> Iterator[Fault]:
    found = tuple(folder.faults(asked, "a CLIP", ADVICE, worded=True))
    yield from found
    assert asked.path is not None
    kind = folder.settings_of(asked.path).get("model_type")
    if not found and kind != "clip":
        halves = {"clip_text_model": "the text half of a CLIP", "clip_vision_model": "the picture half of a CLIP"}
        what = halves.get(str(kind), f"a model of type `{kind}`")
        yield Fault("E134", "place", f"`{asked.options.place}` is not a CLIP: it is {what}", ADVICE)
    for name in asked.concepts:
        if asked.options.against and not others(name, asked.options.against):
            message = f"`against` leaves nothing to compare `{name}` with"
            yield Fault("E135", "against", message, "name something else that a picture may show, or leave it out")


def _open(asked: Asked) -> ClipDetector:
    from transformers import AutoTokenizer, CLIPModel

    path = asked.path
    assert path is not None
    tokenizer = folder.open_quietly(path, lambda: AutoTokenizer.from_pretrained(path, **folder.OWN))
    threshold = THRESHOLD if asked.options.threshold is None else asked.options.threshold
    prompts, against = asked.options.prompts, alternatives(asked)
    return ClipDetector(folder.model(path, CLIPModel), tokenizer, folder.processor(path), prompts, against, threshold)


def _files(asked: Asked) -> Sequence[Path]:
    return folder.files(asked.path) if asked.path else ()


def _settings(asked: Asked) -> Mapping[str, Any]:
    threshold = THRESHOLD if asked.options.threshold is None else asked.options.threshold
    prompts = {name: list(texts) for name, texts in asked.options.prompts.items()}
    made = {"sentences": list(SENTENCES), "against": list(alternatives(asked)), "threshold": threshold}
    return {**made, **({"prompts": prompts} if prompts else {})}


CLIP = Kind(
    "zero-shot by a CLIP: the concept's name against other names",
    _open,
    place="FOLDER",
    keys=("prompts", "against", "threshold"),
    faults=_faults,
    files=_files,
    settings=_settings,
)
