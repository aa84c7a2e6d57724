"""Rules over a whole manifest that image and language models share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from editc.core.diagnostics import EditcError
from editc.core.manifest import Scalar
from editc.core.places import Span
from editc.manifests.faults import Faults, tick
from editc.registry.options import construct

NamedList: TypeAlias = tuple[Iterable[str], str, Callable[[str], Span | None], Callable[[str], str]]
"""A list of a manifest: its items, its key, a function that gives the place of `key.0`, and a function that gives the
form in which two items are compared."""


class OptionedEdit(Protocol):
    """An edit with options of a method."""

    @property
    def options(self) -> Mapping[str, Scalar]:
        """Option -> value, as far as the manifest gives them."""

    def at(self, name: str = "") -> Span | None:
        """The place of a key of the edit; that of the edit for ''."""


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
    place = next(iter(edit.options))
    try:
        construct(method, edit.options, seed)
    except EditcError as error:
        for one in error.diagnostics:
            faults.add("E132", f"{tick(method)}: {one.message}", edit.at(place), help=one.help)
    except (ValueError, TypeError) as error:
        named = next((name for name in edit.options if name in str(error)), place)
        message = f"{tick(method)} refuses this: {error}"
        faults.add("E132", message, edit.at(named), help=f"see `editc explain {method}`")
