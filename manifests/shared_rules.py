"""Rules over a whole manifest that image and language models share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from editc.core.diagnostics import EditcError
from editc.core.language_edits import Ablation, OnRows
from editc.core.manifest import Manifest, ManifestEdit, Preserve
from editc.core.places import Scalar, Span
from editc.core.text import fold_name
from editc.manifests import schema
from editc.manifests.faults import Faults, list_words, tick

NamedList: TypeAlias = tuple[Iterable[str], str, Callable[[str], Span | None], Callable[[str], str]]
"""A list of a manifest: its items, its key, a function that gives the place of `key.0`, and a function that gives the
form in which two items are compared."""


TITLES = {"image": "an image model", "language": "a language model"}
"""Kind of model -> its name in messages."""
_BOUNDS = [field.name for field in schema.CONSTRAINTS.fields if field.only == "language"]
"""The bounds that only language models have."""
ADVICE = {
    "language": {
        schema.PRESERVE: "write texts that must stay under `retain`, and prompts with their answers under "
        "`neighbours` of an edit",
        schema.CONSTRAINTS: f"bounds for a language model: {list_words(_BOUNDS, 'and')}",
    }
}
"""Kind of model -> table of keys -> what to write there instead of a key that is for the other kind."""


@dataclass(frozen=True)
class EditedText:
    """A name or prompt that an edit changes."""

    edit: ManifestEdit
    """The edit."""
    key: Hashable
    """Two texts are the same if their keys are equal."""
    text: str
    """The text as the manifest writes it."""
    span: Span | None
    """Its place."""


class OptionedEdit(Protocol):
    """An edit with options of a method."""

    @property
    def options(self) -> Mapping[str, Scalar]:
        """Option -> value, as far as the manifest gives them."""

    def at(self, name: str = "") -> Span | None:
        """The place of a key of the edit; that of the edit for ''."""


def refuse_second_edits(texts: Iterable[EditedText], faults: Faults) -> None:
    """E120 for a text that two edits change. E124, a warning, for one that an edit has twice."""
    seen: dict[Hashable, EditedText] = {}
    for one in texts:
        first = seen.setdefault(one.key, one)
        related = [(first.span, "first here")]
        if first is not one and first.edit is one.edit:
            message = f"{tick(one.text)} is given twice in one edit"
            faults.warn("E124", message, one.span, help="remove one", related=related)
        elif first is not one:
            faults.add("E120", f"{tick(one.text)} is edited twice", one.span, help="make it one edit", related=related)


def refuse_preserved(edited: Mapping[str, Span | None], preserve: Preserve, faults: Faults) -> None:
    """E121 for each preserved concept that is edited. `edited` is folded name -> place."""
    for i, name in enumerate(preserve.concepts):
        if fold_name(name) in edited:
            message, help = f"{tick(name)} is both edited and preserved", "remove it from one of the two"
            related = [(edited[fold_name(name)], "edited here")]
            faults.add("E121", message, preserve.at(f"concepts.{i}"), help=help, related=related)


def strengths_are_not_zero(manifest: Manifest, faults: Faults) -> None:
    """E144, a warning: an edit with `strength: 0` changes nothing."""
    for edit in manifest.edits:
        if not isinstance(edit, Ablation | OnRows) and edit.strength == 0.0:
            help = "raise it, or remove the edit"
            faults.warn("E144", "`strength: 0` changes nothing", edit.at("strength"), help=help)


def keys_have_meaning(manifest: Manifest, faults: Faults) -> None:
    """E185: every key and role has a meaning for the kind of model that the edits are for."""
    kind, other = TITLES[manifest.kind], "language" if manifest.kind == "image" else "image"
    blocks = (
        (schema.MANIFEST, manifest),
        (schema.PRESERVE, manifest.preserve),
        (schema.SITES, manifest.sites),
        (schema.CONSTRAINTS, manifest.constraints),
        (schema.VERIFY, manifest),
    )
    for table, block in blocks:
        for field in table.fields:
            if field.only == other and f"{field.attribute}:" in block.spans:
                span = block.at(f"{field.attribute}:")
                message = f"{tick(field.name)} has no meaning here: these edits are for {kind}"
                faults.add("E185", message, span, help=_advice(field.name, manifest))
    for i, role in enumerate(manifest.sites.roles):
        if ("language" if role in schema.LANGUAGE_ROLES else "image") != manifest.kind:
            message = f"{tick(role)} is not a role here: these edits are for {kind}"
            faults.add("E185", message, manifest.sites.at(f"roles.{i}"), help="leave `roles` out for the family's own")


def _advice(name: str, manifest: Manifest) -> str:
    """What to write instead of a key that has no meaning."""
    for table, help in ADVICE.get(manifest.kind, {}).items():
        if table.field(name):
            return help
    return "remove it"


def warn_repeats(lists: Iterable[NamedList], faults: Faults) -> None:
    """E124 for each item that its list has already."""
    for items, name, at, fold in lists:
        seen: dict[str, int] = {}
        for i, item in enumerate(items):
            first = seen.setdefault(fold(item), i)
            if first != i:
                message = f"{tick(item)} is given twice in `{name}`"
                related = [(at(f"{name}.{first}"), "first here")]
                faults.warn("E124", message, at(f"{name}.{i}"), help="remove one", related=related)


def refuse_other_value(
    name: str, given: Sequence[tuple[Scalar | None, Span | None]], which: str, faults: Faults
) -> None:
    """E133 for each edit whose value of the key `name` differs from the first one given.

    `given` has the value and its place for each edit; the value is None if the edit has none. `which` says which edits
    are solved together.
    """
    values = [(value, span) for value, span in given if value is not None]
    for value, span in values[1:]:
        first, place = values[0]
        if value != first:
            message = f"{tick(name)} is {tick(str(value))} here and {tick(str(first))} in an edit above"
            help = f"edits of one {which} are solved together: give all the same value, or only one of them a value"
            faults.add("E133", message, span, help=help, related=[(place, "first here")])


def refuse_options(edit: OptionedEdit, method: str | None, seed: int, faults: Faults) -> None:
    """E132 if the method does not accept the options of an edit. Nothing is checked without a method."""
    if method is None or not edit.options:
        return
    from editc.registry.options import construct

    place = next(iter(edit.options))
    try:
        construct(method, edit.options, seed)
    except EditcError as error:
        for one in error.diagnostics:
            faults.add("E132", f"{tick(method)}: {one.message}", edit.at(place), help=one.help)
    except (ValueError, TypeError) as error:
        named = next((name for name in edit.options if name in str(error)), place)
        message = f"{tick(method)} does not accept these options: {error}"
        faults.add("E132", message, edit.at(named), help=f"see `editc explain {method}`")
