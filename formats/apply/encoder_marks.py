"""Check that a model has the text encoder from which a delta's keys come. Otherwise raise E623, or say what could not
be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.core.family import TEXT_ENCODER
from editc.formats.apply.finetune import remedy
from editc.formats.models.fingerprint import (
    TOKEN_EMBEDDINGS,
    StoredTensors,
    TensorReader,
    describe_encoder,
    encoder_fingerprint,
    encoder_folders,
    hash_json,
    pipeline_of,
    projected_fingerprint,
    read_vocabulary,
)
from editc.formats.models.layout import has_weights
from editc.formats.models.ldm_encoder import fingerprint_encoder, inner_encoders
from editc.formats.models.model import Checkpoint, Model, open_component
from editc.registry.families import FAMILIES

PARTS = "encoder_parts"
"""The key of a delta's `extra` that holds `weight_marks` of its base."""
VOCABULARY_NOT_COMPARED = (
    "no tokenizer is beside the file: its text encoder's weights were compared with those of the delta's base, but its "
    "vocabulary was not"
)
KnownMark: TypeAlias = Callable[[], str] | str | None
"""The model's encoder fingerprint: itself, a function that computes it, or None if the caller does not know it."""


@dataclass(frozen=True)
class Marks:
    """The fingerprint of a model's text encoder."""

    marks: tuple[str, ...]
    """Each spelling of it that the delta may have; empty where it is unknown."""
    why: str
    """A note on why it is unknown, or on what is `rounded`; '' otherwise."""
    rounded: bool = False
    """True where the weights are in a dtype that holds fewer digits than the fingerprint, so that another fingerprint
    tells nothing."""


class Encoders(Protocol):
    """The text encoders of a model, on the disk or in memory, as far as they can be compared."""

    @property
    def place(self) -> str:
        """What messages call the model."""

    def marks(self) -> Marks:
        """Its fingerprint, in each spelling that its base may have had; or none, and a note on why it is unknown."""

    def marks_without_added_tokens(self) -> tuple[str, ...]:
        """The same as it was before tokens were added, for example by a textual inversion. Empty if none were."""

    def parts_match(self, delta: Delta) -> bool | None:
        """Say whether every encoder has the weights of the delta's base, where no fingerprint is known. None if nobody
        can tell."""


def compare_encoder(delta: Delta, encoders: Encoders, opened: Iterable[TensorReader]) -> Iterator[str]:
    """Compare the model's text encoder with the delta's, and yield a note for each thing that could not be compared.
    Raises E623 for another encoder.

    `opened`: the edited components, which may project an encoder's rows. Nothing is compared for language models, which
    read their own tokens, and for classifiers, which read none.
    """
    if FAMILIES.models_of(delta.family) in ("language", "classifier"):
        return
    if FAMILIES.models_of(delta.family) == "image" and FAMILIES.resolve(delta.family).component == TEXT_ENCODER:
        yield "the delta edits the text encoder itself: its matrices were compared, its vocabulary was not"
        return
    if not delta.encoder:
        yield "the delta does not say which text encoder its keys come from, so the model's was not compared with it"
        return
    components = list(opened)
    found = encoders.marks()
    if _matches(delta, found.marks, components):
        return
    if found.marks and _matches(delta, encoders.marks_without_added_tokens(), components):
        yield "the text encoder has added tokens; the tokens of the delta's base are unchanged in it"
        return
    inside = None if found.marks else encoders.parts_match(delta)
    if inside is False or (found.marks and not found.rounded):
        raise _other_encoder_error(delta, found.marks, encoders.place)
    yield VOCABULARY_NOT_COMPARED if inside else found.why


@dataclass(frozen=True)
class FileEncoders:
    """The text encoders of a model on the disk."""

    model: Model
    """The model."""
    known: KnownMark = None
    """Its fingerprint, if the caller has it."""

    @property
    def place(self) -> str:
        """What messages call the model."""
        return self.model.place

    def marks(self) -> Marks:
        """The model's fingerprint, or none and why."""
        mark, why = _find_fingerprint(self.model, self.known)
        return Marks((mark,) if mark else (), why)

    def marks_without_added_tokens(self) -> tuple[str, ...]:
        """See `Encoders`."""
        mark = without_added_tokens(self.model)
        return (mark,) if mark else ()

    def parts_match(self, delta: Delta) -> bool | None:
        """See `Encoders`: the encoders inside an LDM file."""
        return _matches_inside_file(delta, self.model)


def weight_marks(account: tuple[Any, Any]) -> Mapping[str, str]:
    """Text encoder -> the sha256 of its weights alone, from a pipeline's `encoder_account`."""
    return {name: _weight_mark(rows) for name, (rows, _) in account[0].items()}


def weight_mark(checkpoint: Checkpoint) -> str:
    """The sha256 of one encoder's weights alone. The encoder may be in a folder or in an LDM file."""
    return _weight_mark(describe_encoder(checkpoint, {})[0])


def _weight_mark(rows: Iterable[Any]) -> str:
    """Hash the rows of an encoder's description, without the projection: an LDM file stores that in another form."""
    return hash_json(["editc-encoder-weights-1", [row for row in rows if not row[0].startswith("text_projection")]])


def without_added_tokens(model: Model) -> str:
    """The encoder fingerprint of the model as it was before tokens were added, for example by a textual inversion. ''
    if none were added."""
    parts = encoder_folders(pipeline_of(model))
    counts = {
        name.replace("tokenizer", "text_encoder"): count_words(p) for name, p in parts.items() if "tokenizer" in name
    }
    added = [
        n for n, p in parts.items() if has_weights(p) and 0 < counts.get(n, 0) < count_embeddings(open_component(n, p))
    ]
    return encoder_fingerprint(model, {name: counts[name] for name in added}) if added else ""


def _find_fingerprint(model: Model, known: KnownMark) -> tuple[str, str]:
    """The model's fingerprint, or '' and a note on why it is unknown."""
    if known is not None:
        mark = known if isinstance(known, str) else known()
        return mark, "" if mark else "no text encoder is beside these weights, so it was not compared with the delta's"
    try:
        mark = fingerprint_encoder(model)
    except EditcError as error:
        why = "; ".join(one.message for one in error.diagnostics)
        return "", f"the model's text encoder was not compared with the delta's: {why}"
    if mark:
        return mark, ""
    if inner_encoders(model):
        where = "the file holds its text encoder, but the delta does not record the weights of its base's"
        return "", f"{where} and no tokenizer is beside it: it was not compared with the delta's"
    return "", "no text encoder is beside these weights, so it was not compared with the delta's"


def _matches(delta: Delta, marks: Iterable[str], components: Sequence[TensorReader]) -> bool:
    """True if a fingerprint is the delta's, after the projections in `components` are taken into account."""
    for mark in marks:
        for one in components:
            mark = projected_fingerprint(mark, one)
        if mark == delta.encoder:
            return True
    return False


def _matches_inside_file(delta: Delta, model: Model) -> bool | None:
    """Say whether every encoder inside an LDM file has the weights of the delta's base. None if the delta or the file
    does not tell."""
    marks, parts = delta.extra.get(PARTS), inner_encoders(model)
    if not isinstance(marks, dict) or not parts or not marks.keys() >= set(parts):
        return None
    return all(weight_mark(model.component(part)) == marks[part] for part in parts)


def _other_encoder_error(delta: Delta, marks: Sequence[str], place: str) -> EditcError:
    """Make the error E623. `marks` are the model's fingerprints, none if only the weights in the file were compared."""
    return fail(
        "E623",
        "the model's text encoder, or the projection of its rows, is not the one that the delta's keys come from",
        place=place,
        help=f"the edit would act on the wrong directions; {remedy([delta])}",
        notes=[
            f"delta: {delta.encoder}",
            f"model: {marks[0]}" if marks else "model: other weights, in the file itself",
        ],
    )


def count_words(folder: Path) -> int:
    """The number of words in a tokenizer's own vocabulary, without added ones. 0 if the vocabulary cannot be read."""
    return count_vocabulary(read_vocabulary(folder))


def count_vocabulary(known: Any) -> int:
    """The same of what `read_vocabulary` returned."""
    return len(known[0] or ()) if isinstance(known, list) else 0


def count_embeddings(checkpoint: StoredTensors) -> int:
    """The number of rows in an encoder's token embedding; 0 without one."""
    return max((checkpoint.shape(name)[0] for name in checkpoint.names() if name.endswith(TOKEN_EMBEDDINGS)), default=0)
