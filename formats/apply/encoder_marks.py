"""Check that a model has the text encoder from which a delta's keys come. Otherwise raise E623, or say what could not
be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.core.family import TEXT_ENCODER
from editc.formats.apply.finetune import remedy
from editc.formats.models.fingerprint import (
    TOKEN_EMBEDDINGS,
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


def compare_encoder(delta: Delta, model: Model, opened: Iterable[Checkpoint], known: KnownMark = None) -> Iterator[str]:
    """Compare the model's text encoder with the delta's, and yield a note for each thing that could not be compared.
    Raises E623 for another encoder.

    `opened`: the edited components, which may project an encoder's rows. `known`: the model's fingerprint, if the
    caller has it. Nothing is compared for language models, which read their own tokens.
    """
    if FAMILIES.models_of(delta.family) == "language":  # it reads its own words
        return
    if FAMILIES.models_of(delta.family) == "image" and FAMILIES.resolve(delta.family).component == TEXT_ENCODER:
        yield "the delta edits the text encoder itself: its matrices were compared, its vocabulary was not"
        return
    if not delta.encoder:
        yield "the delta does not say which text encoder its keys come from, so the model's was not compared with it"
        return
    components = list(opened)
    mark, why = _find_fingerprint(model, known)
    if _matches(delta, mark, components):
        return
    if mark and _matches(delta, without_added_tokens(model), components):
        yield "the text encoder has added tokens; the tokens of the delta's base are unchanged in it"
        return
    inside = None if mark else _matches_inside_file(delta, model)
    if mark or inside is False:
        raise _other_encoder_error(delta, mark, model)
    yield VOCABULARY_NOT_COMPARED if inside else why


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
        name.replace("tokenizer", "text_encoder"): _count_words(p) for name, p in parts.items() if "tokenizer" in name
    }
    added = [
        n for n, p in parts.items() if has_weights(p) and 0 < counts.get(n, 0) < _count_embeddings(open_component(n, p))
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


def _matches(delta: Delta, mark: str, components: Iterable[Checkpoint]) -> bool:
    """True if the fingerprint is the delta's, after the projections in `components` are taken into account."""
    for one in components:
        mark = projected_fingerprint(mark, one)
    return bool(mark) and mark == delta.encoder


def _matches_inside_file(delta: Delta, model: Model) -> bool | None:
    """Say whether every encoder inside an LDM file has the weights of the delta's base. None if the delta or the file
    does not tell."""
    marks, parts = delta.extra.get(PARTS), inner_encoders(model)
    if not isinstance(marks, dict) or not parts or not marks.keys() >= set(parts):
        return None
    return all(weight_mark(model.component(part)) == marks[part] for part in parts)


def _other_encoder_error(delta: Delta, mark: str, model: Model) -> EditcError:
    """Make the error E623. `mark` is the model's fingerprint, '' if only the weights in the file were compared."""
    return fail(
        "E623",
        "the model's text encoder, or the projection of its rows, is not the one that the delta's keys come from",
        place=model.place,
        help=f"the edit would act on the wrong directions; {remedy([delta])}",
        notes=[f"delta: {delta.encoder}", f"model: {mark}" if mark else "model: other weights, in the file itself"],
    )


def _count_words(folder: Path) -> int:
    """The number of words in a tokenizer's own vocabulary, without added ones. 0 if the vocabulary cannot be read."""
    known = read_vocabulary(folder)
    return len(known[0] or ()) if isinstance(known, list) else 0


def _count_embeddings(checkpoint: Checkpoint) -> int:
    """The number of rows in an encoder's token embedding; 0 without one."""
    return max((checkpoint.shape(name)[0] for name in checkpoint.names() if name.endswith(TOKEN_EMBEDDINGS)), default=0)
