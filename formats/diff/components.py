"""Pair the components of two models: pipelines, single files, one component, or a file of edited tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from editc.core.diagnostics import EditcError, fail
from editc.core.text import count
from editc.formats.diff.pairing import IN_ONE_ONLY, advise, mismatch_error
from editc.formats.models import layout
from editc.formats.models.model import Checkpoint, Model
from editc.formats.models.prefixes import match_names

Components = Mapping[str, Checkpoint]
"""Component -> its tensors. The name is '' for the only component of a bare folder or file."""


@dataclass(frozen=True)
class ComponentPairs:
    """The components that two models have in common."""

    pairs: Mapping[str, tuple[Checkpoint, Checkpoint]]
    """BASE's name of a component -> its tensors in BASE and in EDITED."""
    partial: bool
    """True where EDITED may lack tensors, which are then unchanged: it is one file, and not the weights of a whole
    model."""
    notes: tuple[str, ...]
    """Notes on components, a sentence each: which were compared with which, and which were not."""
    unread: tuple[str, ...]
    """Components that both models hold only as pickles."""


def pair_components(base: Model, edited: Model) -> ComponentPairs:
    """Pair the components of two models.

    Raises E645 where they have no component in common, or EDITED has one that BASE lacks; E611 where one of them holds
    a component only as a pickle that the other holds as safetensors.
    """
    _refuse_shards(base, edited)
    _refuse_pickles(base, edited)
    before, after = _open_components(base), _open_components(edited)
    notes: list[str] = []
    if before.keys() != after.keys() and "" in (*before, *after) and 1 in (len(before), len(after)):
        before, after = _match_lone(before, after, edited)
        notes += [f"EDITED is compared with the component '{name}' of BASE" for name in before if name]
    both = {name: (before[name], after[name]) for name in before if name in after}
    fresh = sorted(after.keys() - before.keys() - {""})
    if fresh or not both:
        rows = [f"component {name}: in EDITED only" for name in fresh] or [
            f"component {_first_name(edited)}: in EDITED only"
        ]
        raise EditcError(mismatch_error(edited.place, rows, IN_ONE_ONLY, _components_help(base, edited, fresh)))
    notes += [_uncompared_note("BASE", name, before[name]) for name in sorted(before.keys() - after.keys())]
    notes += [_uncompared_note("EDITED", name, after[name]) for name in sorted(after.keys() - before.keys())]
    partial = edited.layout == "file" and not _is_whole(edited.path)
    return ComponentPairs(both, partial, tuple(notes), _pickled_components(base))


def _open_components(model: Model) -> Components:
    """The components by name, without those that are pickles.

    An LDM file has the components that it holds, and under '' the tensors that are in none. The only component of a
    bare folder or file is '' too, because its name says nothing.
    """
    if model.layout == "pipeline":
        return {
            name: model.component(name) for name in sorted(model.components.keys() - set(_pickled_components(model)))
        }
    ldm, whole = model.ldm_components(), model.component()
    taken = {piece.name for part in ldm.values() for piece in part.values()}
    rest = {name: tensor for name, tensor in whole.tensors.items() if name not in taken}
    parts = {name: model.component(name) for name in sorted(ldm)}
    return ({"": Checkpoint("", rest)} if rest else {}) | parts


def _match_lone(before: Components, after: Components, edited: Model) -> tuple[Components, Components]:
    """Both models, where one of them is a single component without a name: it is compared with the component of the
    other that has most of its names. Raises E645 where none has more than half of them, or two have equally many."""
    lone, many = (before, after) if len(before) == 1 and "" in before else (after, before)
    (part,) = lone.values()
    known = {name: len(match_names(part.names(), one.names())) for name, one in many.items()}
    best = max(known, key=known.__getitem__)
    alone = sum(number == known[best] for number in known.values()) == 1
    if not alone or 2 * known[best] <= len(part.names()):
        strange = "its names belong to no component of BASE: give its tensors the names that BASE has"
        several = "name the part that was edited, as `editc diff BASE/unet EDITED`"
        help_text = advise(part.names()) or (several if known[best] else strange)
        rows = [f"{name}: in EDITED only" for name in part.names()]
        raise EditcError(mismatch_error(edited.place, rows, IN_ONE_ONLY, help_text))
    if lone is before:
        return before, {"": many[best]}
    return {best: many[best]}, {best: part}


def _components_help(base: Model, edited: Model, fresh: Sequence[str]) -> str:
    """What to do where components do not match."""
    shared = sorted(base.components.keys() & edited.components.keys())
    part = next((name for name in ("unet", "transformer", "prior") if name in shared), next(iter(shared), "unet"))
    return (
        f"compare the part that was edited: `editc diff {base.path / part} {edited.path / part} -o delta.safetensors`"
        if fresh
        else "name the part of BASE that was edited, as `editc diff BASE/unet EDITED`"
    )


def _uncompared_note(which: str, name: str, part: Checkpoint) -> str:
    """A note on a component that is in one model only."""
    other = "EDITED" if which == "BASE" else "BASE"
    if name:
        return f"component {name} is in {which} only and was not compared: the delta leaves it as it is"
    rest = count(len(part.names()), "tensor")
    return f"not compared: {rest} of {which}'s file, in no component of {other} (its VAE, say)"


def _first_name(model: Model) -> str:
    """A name for a model's component in a message."""
    return next(iter(sorted(model.components)), model.place)


def _pickled_components(model: Model) -> tuple[str, ...]:
    """The names of components that a pipeline holds only as pickles."""
    if model.layout != "pipeline":
        return ()
    return tuple(sorted(name for name, path in model.components.items() if not layout.has_safetensors(path)))


def _refuse_pickles(base: Model, edited: Model) -> None:
    """Raises E611 for a component that only one model holds as a pickle: it could hide the edit."""
    for model, other in ((base, edited), (edited, base)):
        for name in _pickled_components(model):
            if name in other.components and name not in _pickled_components(other):
                layout.choose_files(model.components[name])


def _is_whole(path: Path) -> bool:
    """True for the weight file of a model's folder: a tensor that it lacks, the model lacks too."""
    return path.stem.split(".")[0] in layout.STEMS and (path.parent / "config.json").is_file()


def _refuse_shards(*models: Model) -> None:
    """Raises E645 for one of several files of a model."""
    for model in models:
        if model.layout == "file" and layout.is_shard(model.path.name):
            help_text = f"name the folder, which holds all of them: {model.path.parent}"
            message = f"'{model.path.name}' is one of several files of a model"
            raise fail("E645", message, place=model.place, help=help_text)
