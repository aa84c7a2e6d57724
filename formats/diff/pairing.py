"""Pair the tensors of one component in two models, and leave out what is not a change of a weight.

Scripts load a model with one version of a library and save it with another: prefixes of names come and go, and so do
buffers, copies of a tied embedding, and the dtype. None of these is an edit. A tensor that is then still on one side
only is a fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from editc.core.diagnostics import Diagnostic, fail
from editc.core.text import count, first_rows
from editc.formats.diff import buffers
from editc.formats.diff.changed import CAST_DTYPES, ChangedTensor
from editc.formats.models.model import Checkpoint
from editc.formats.models.prefixes import match_names
from editc.numerics.bits import dtypes

IN_ONE_ONLY = ("is in one of them only", "are in one of them only")
"""A fault of one tensor, and of several, in the words of a message: it is in one of the models only."""
RESHAPED = ("has another shape", "have another shape")
"""The same for tensors of another shape."""
CONVERTED = ("is stored in another dtype", "are stored in another dtype")
"""The same for tensors in another dtype."""
USUAL_HELP = "a delta only changes the values of tensors; it cannot add, remove or reshape one"
"""The help for E645 where nothing more exact is known."""
_ADAPTERS = (".lora_", ".base_layer.", "lora_down", "lora_up", ".hada_", ".lokr_", ".diff", ".alpha")
"""Parts of names that only tensors of an adapter have."""


@dataclass(frozen=True)
class TensorPairs:
    """The tensors of one component that BASE and EDITED both have."""

    tensors: tuple[ChangedTensor, ...]
    """The tensors, under BASE's names, sorted."""
    notes: tuple[str, ...]
    """What was left out, or has another name, a sentence each."""
    faults: tuple[Diagnostic, ...]
    """Why no delta can be made. Empty where one can."""
    missing: int
    """How many tensors of BASE are missing in EDITED, and are taken as unchanged."""


def pair_tensors(component: str, before: Checkpoint, after: Checkpoint, partial: bool, place: str) -> TensorPairs:
    """Pair the tensors of BASE's component with those of EDITED's. `partial`: EDITED may hold only some of the tensors;
    else a missing one is a fault."""
    names = match_names(after.names(), before.names())
    theirs = {mine: name for name, mine in names.items()}
    theirs |= _match_tied(before, after, theirs)
    taken = set(theirs.values())
    missing = [n for n in before.names() if n not in theirs and not buffers.is_buffer(n, before.where(n))]
    fresh = [n for n in after.names() if n not in taken and not buffers.is_buffer(n, after.where(n))]
    copies = {name: other for name in fresh if (other := buffers.tied_copy(after, name))}
    fresh = [name for name in fresh if name not in copies]
    every = [
        ChangedTensor(component, mine, before.where(mine), after.where(name)) for mine, name in sorted(theirs.items())
    ]
    rebuilt = [n for n in before.names() if buffers.is_buffer(n, before.where(n))]
    lost = [] if partial else [f"{name}: in BASE only" for name in missing]
    rows = [*lost, *(f"{name}: in EDITED only" for name in fresh)]
    faults = [] if not rows else [mismatch_error(place, rows, IN_ONE_ONLY, advise(fresh))]
    weights = tuple(one for one in every if one.name not in rebuilt)
    return TensorPairs(
        weights,
        (*_renaming_notes(component, names), *_copy_notes(component, copies), *_buffer_notes(component, before, after)),
        (*faults, *_find_faults(weights, place)),
        len(missing),
    )


def mismatch_error(place: str, rows: Sequence[str], what: tuple[str, str], help_text: str = "") -> Diagnostic:
    """E645 for tensors or components that do not match. Each of `rows` begins with a name and a colon; `what` is said
    of one, and of several."""
    kind = "component" if all(row.startswith("component ") for row in rows) else "tensor"
    text = f"{count(len(rows), kind)} of the two models {what[len(rows) > 1]}"
    message = f"{text}, the first is '{rows[0].split(':')[0].removeprefix('component ')}'"
    error = fail("E645", message, place=place, help=help_text or USUAL_HELP, notes=first_rows(rows))
    return error.diagnostics[0]


def advise(fresh: Iterable[str]) -> str:
    """What to do about tensors that are in EDITED only; '' where nothing more exact than `USUAL_HELP` is known."""
    names = list(fresh)
    if any(part in name for name in names for part in _ADAPTERS):
        return (
            "EDITED holds an adapter, alone or beside the weights: merge it into them first (PEFT: merge_and_unload; "
            "diffusers: fuse_lora, then unload_lora_weights), save again and compare that"
        )
    if any(map(buffers.is_embedding, names)):
        return (
            "EDITED has an output embedding of its own, which BASE shares with its input: a delta cannot untie them. "
            "If nothing was meant to change there, load EDITED with tie_word_embeddings and save it again"
        )
    return ""


def _match_tied(before: Checkpoint, after: Checkpoint, theirs: Mapping[str, str]) -> Mapping[str, str]:
    """Embeddings of BASE that EDITED lacks -> the name of the embedding in EDITED that they are tied to."""
    found = {}
    for name in (n for n in before.names() if n not in theirs and buffers.is_embedding(n)):
        tied = theirs.get(buffers.tied_copy(before, name), "")
        other = [n for n in after.names() if n not in theirs.values() and buffers.is_embedding(n)]
        fitting = [n for n in other if after.shape(n) == before.shape(name)]
        if tied or len(fitting) == 1:
            found[name] = tied or fitting[0]
    return found


def _find_faults(every: Iterable[ChangedTensor], place: str) -> Iterator[Diagnostic]:
    """E645 for tensors of another shape, and for tensors in a dtype that is not just a cast."""
    both = list(every)
    odd = [one for one in both if one.before.shape != one.after.shape]
    if odd:
        shapes = [f"{one.name}: {one.before.shape}, {one.after.shape}" for one in odd]
        yield mismatch_error(place, shapes, RESHAPED, _vocabulary_help(odd))
    kinds = [one for one in both if one.cast and not {one.before.dtype, one.after.dtype} <= set(CAST_DTYPES)]
    if kinds:
        rows = [f"{one.name}: {one.before.dtype}, {one.after.dtype}" for one in kinds]
        yield mismatch_error(place, rows, CONVERTED, _dtype_help(kinds))


def _dtype_help(kinds: Iterable[ChangedTensor]) -> str:
    """What to do about tensors that are stored in another dtype."""
    if all(one.after.dtype in dtypes.EDITABLE for one in kinds):
        return "convert BASE to the dtype of EDITED first (each weight rounded once), and make the delta for that"
    return "EDITED was quantised: compare the model before that step, and quantise the result of the delta"


def _vocabulary_help(odd: Iterable[ChangedTensor]) -> str:
    """What to do where only embeddings changed their number of rows; '' otherwise."""
    if not all(buffers.is_embedding(one.name) and one.before.shape[1:] == one.after.shape[1:] for one in odd):
        return ""
    return (
        "EDITED has another vocabulary, and a delta cannot resize one: resize BASE alike (resize_token_embeddings, "
        "then save_pretrained) and compare with that"
    )


def _renaming_notes(component: str, names: Mapping[str, str]) -> Iterator[str]:
    """A note on tensors that have other prefixes in EDITED."""
    other = [(mine, name) for name, mine in sorted(names.items()) if mine != name]
    if other:
        mine, name = other[0]
        text = f"{count(len(other), 'tensor')}: '{name}' is taken as '{mine}'"
        yield f"{_prefix(component)}other prefixes in EDITED for {text}"


def _copy_notes(component: str, copies: Mapping[str, str]) -> Iterator[str]:
    """Notes on copies of tied embeddings that are in EDITED only."""
    for name, other in copies.items():
        yield f"{_prefix(component)}left out '{name}', which only EDITED has: it is tied to '{other}' and equal to it"


def _buffer_notes(component: str, before: Checkpoint, after: Checkpoint) -> Iterator[str]:
    """A note on buffers that are in one model only, or have other values."""
    names = match_names(after.names(), before.names())
    found = [n for n in after.names() if buffers.is_buffer(n, after.where(n))]
    same = {n for n in found if n in names and not _differs(component, before, after, names[n], n)}
    alone = [n for n in before.names() if n not in names.values() and buffers.is_buffer(n, before.where(n))]
    odd = [*(n for n in found if n not in same), *alone]
    if odd:
        why = "which differ or are in one model only: libraries compute them when they load a model"
        yield f"{_prefix(component)}left out {count(len(odd), 'buffer')} ('{odd[0]}'), {why}"


def _differs(component: str, before: Checkpoint, after: Checkpoint, mine: str, name: str) -> bool:
    """True where the tensor `mine` of BASE and `name` of EDITED differ in shape, dtype or bytes."""
    one = ChangedTensor(component, mine, before.where(mine), after.where(name))
    return one.before.shape != one.after.shape or one.cast or one.differs()


def _prefix(component: str) -> str:
    """The component's name before a note; nothing where it has none."""
    return f"{component}: " if component else ""
