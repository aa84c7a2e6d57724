"""`detector: {clip: FOLDER}`: zero-shot judgement by a CLIP. Radford et al., arXiv 2103.00020, section 3.1.

The probability of a concept is the softmax over the concept and its alternatives of s cos(picture, name). s is the
model's own scale. The vector of a name is the normalised mean of the normalised embeddings of its sentences, the
paper's ensembling. A picture shows the concept if that probability reaches the threshold.
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
from editc.backends.detectors.kind import DetectorFault, DetectorKind, DetectorRequest

Array = NDArray[np.float64]
SENTENCES = ("{}", "a picture of {}", "a photo of {}", "a painting of {}")
"""The sentences for a name where the manifest gives none. Chosen by hand, after the prompts of the CLIP paper."""
EVERYDAY_THINGS = (
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
"""What a picture may show instead, where the manifest does not say. The targets of the edits come before these. Chosen
by hand."""
THRESHOLD = 0.5
"""The threshold where the manifest gives none: from here on the concept is likelier than all alternatives together."""
ADVICE = "name a CLIP as transformers saves it, such as a snapshot of openai/clip-vit-large-patch14"
"""Help for a folder that is not such a model."""


@dataclass(frozen=True)
class ClipDetector:
    """Judges any concept by its name."""

    model: Any
    """The CLIP model of transformers."""
    tokenizer: Any
    """Its tokenizer."""
    processor: Any
    """Its image processor."""
    prompts: Mapping[str, tuple[str, ...]]
    """Concept -> its sentences, for concepts that have their own in the manifest."""
    against: tuple[str, ...]
    """The alternatives to a concept. The concept itself is skipped where it is among them."""
    threshold: float = THRESHOLD
    """The probability from which a picture shows a concept."""
    name_vectors: dict[str, Array] = field(default_factory=dict)
    """Name -> its unit vector (d,), for the names that were asked for."""
    picture_vectors: dict[str, Array] = field(default_factory=dict)
    """Hash of the last pictures -> their unit vectors (n, d). Every concept is asked of the same pictures."""

    def knows(self, concept: str) -> bool:
        """True: any text can be judged."""
        return True

    def concepts(self) -> tuple[str, ...]:
        """Return nothing: any text can be judged, so there is no list."""
        return ()

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return (n,) bools for pictures (n, h, w, 3)."""
        return np.asarray(self.probability(concept, pictures) >= self.threshold)

    def probability(self, concept: str, pictures: NDArray[np.uint8]) -> Array:
        """Return for pictures (n, h, w, 3) the probability (n,) of the concept among itself and its alternatives."""
        names = (concept, *without_concept(concept, self.against))
        logits = self.scale * self._embed_pictures(pictures) @ np.stack([self.name_vector(name) for name in names]).T
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised[:, 0] / raised.sum(axis=1))

    def name_vector(self, name: str) -> Array:
        """Return the unit vector (d,) of a name, the mean over its sentences."""
        if name not in self.name_vectors:
            self.name_vectors[name] = _normalize(
                _normalize(self._embed_texts(sentences_for(name, self.prompts))).mean(axis=0)
            )
        return self.name_vectors[name]

    @cached_property
    def scale(self) -> float:
        """The factor by which CLIP multiplies cosines."""
        return float(self.model.logit_scale.double().exp())

    def _embed_texts(self, texts: Sequence[str]) -> Array:
        """Return the projected embeddings (n, d) of texts."""
        import torch

        told = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            pooled = self.model.text_model(told["input_ids"], attention_mask=told["attention_mask"]).pooler_output
            return np.asarray(self.model.text_projection(pooled).double().numpy())

    def _embed_pictures(self, pictures: NDArray[np.uint8]) -> Array:
        """Return the projected embeddings (n, d) of pictures (n, h, w, 3), each of length 1."""
        import torch

        key = sha256(repr(pictures.shape).encode() + np.ascontiguousarray(pictures).tobytes()).hexdigest()
        if key not in self.picture_vectors:
            self.picture_vectors.clear()
            with torch.inference_mode():
                pooled = [
                    self.model.vision_model(one).pooler_output for one in folder.pixel_batches(pictures, self.processor)
                ]
                vectors = [self.model.visual_projection(one).double().numpy() for one in pooled]
            self.picture_vectors[key] = _normalize(np.concatenate(vectors))
        return self.picture_vectors[key]


def sentences_for(name: str, prompts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the sentences that the manifest gives for a name, else SENTENCES with the name in them."""
    return prompts.get(name) or tuple(sentence.replace("{}", name) for sentence in SENTENCES)


def without_concept(concept: str, against: Sequence[str]) -> tuple[str, ...]:
    """Return the alternatives without the concept itself, in upper or lower case."""
    return tuple(name for name in against if name.casefold() != concept.casefold())


def alternatives(request: DetectorRequest) -> tuple[str, ...]:
    """Return the alternatives of the manifest, else the targets of its edits and EVERYDAY_THINGS."""
    return request.options.against or tuple(dict.fromkeys((*filter(None, request.targets), *EVERYDAY_THINGS)))


def _normalize(vectors: Array) -> Array:
    """Scale vectors (..., d) to length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _find_faults(request: DetectorRequest) -> Iterator[DetectorFault]:
    """Yield E134 where the folder holds no CLIP, and E135 for a concept without alternatives."""
    found = tuple(folder.find_faults(request, "a CLIP", ADVICE, with_tokenizer=True))
    yield from found
    assert request.path is not None
    kind = folder.read_config(request.path).get("model_type")
    if not found and kind != "clip":
        halves = {"clip_text_model": "the text half of a CLIP", "clip_vision_model": "the picture half of a CLIP"}
        what = halves.get(str(kind), f"a model of type `{kind}`")
        yield DetectorFault("E134", "place", f"`{request.options.place}` is not a CLIP: it is {what}", ADVICE)
    for name in request.concepts:
        if request.options.against and not without_concept(name, request.options.against):
            message = f"`against` leaves nothing to compare `{name}` with"
            yield DetectorFault(
                "E135", "against", message, "add something else that a picture may show, or remove `against`"
            )


def _open(request: DetectorRequest) -> ClipDetector:
    """Load the CLIP, its tokenizer and its image processor. Raises E139, E205 or E402 where that fails."""
    from transformers import AutoTokenizer, CLIPModel

    path = request.path
    assert path is not None
    tokenizer = folder.open_quietly(path, lambda: AutoTokenizer.from_pretrained(path, **folder.LOCAL_ONLY))
    threshold = THRESHOLD if request.options.threshold is None else request.options.threshold
    prompts, against = request.options.prompts, alternatives(request)
    return ClipDetector(
        folder.load_model(path, CLIPModel), tokenizer, folder.load_processor(path), prompts, against, threshold
    )


def _files(request: DetectorRequest) -> Sequence[Path]:
    return folder.model_files(request.path) if request.path else ()


def _settings(request: DetectorRequest) -> Mapping[str, Any]:
    """Return sentences, alternatives and threshold, with the defaults filled in."""
    threshold = THRESHOLD if request.options.threshold is None else request.options.threshold
    prompts = {name: list(texts) for name, texts in request.options.prompts.items()}
    made = {"sentences": list(SENTENCES), "against": list(alternatives(request)), "threshold": threshold}
    return {**made, **({"prompts": prompts} if prompts else {})}


CLIP = DetectorKind(
    "a CLIP compares the concept's name with other names (zero-shot)",
    _open,
    place="FOLDER",
    keys=("prompts", "against", "threshold"),
    faults=_find_faults,
    files=_files,
    settings=_settings,
)
