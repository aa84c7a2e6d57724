"""`editc list`: the names of one kind, each with what its own source says of it. No text of theirs stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from editc.registry.table import Table
from editc.start.sentences import first_sentence

KINDS = ("methods", "attacks", "families", "formats", "detectors", "examples")
"""What can be listed."""


@dataclass(frozen=True)
class Name:
    """One name of a list."""

    name: str
    """The name, as a manifest or the command line has it; of an example the file's path within the examples."""
    says: str
    """One sentence, from the docstring, the registered thing or the file's header. Empty: its author wrote none."""
    models: str
    """The kind of model that it is for, `image` or `language`; empty: any kind, or its words do not say which."""
    package: str = ""
    """The installed package that adds the name; empty for editc's own."""
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What else a program can use, such as `trained` of a method or `path` of an example."""

    @property
    def group(self) -> str:
        """The heading under which a reader finds it: an example's model; else the kind of model, with `trained` or `in
        closed form` of a method."""
        if "model" in self.facts:
            return f"for {self.facts['model']}"
        solved = {True: ", trained", False: ", in closed form", None: ""}[self.facts.get("trained")]
        return (f"for {self.models} models" if self.models else "for any model") + solved


def list_names(kind: str) -> tuple[Name, ...]:
    """All names of one of `KINDS`: editc's own in the order of their table, then those of installed packages. Those of
    packages that cannot be imported are left out. Loads no model and not torch."""
    return tuple(_LISTS[kind]())


def _names(table: Table, says: Callable[[Any], str], facts: Callable[[Any], Mapping[str, Any]]) -> Iterator[Name]:
    """The names of a table, with what two functions read from each thing."""
    packages = table.plugins()
    for name, thing in table.each():
        package = "" if table.module(name) else packages[name][0].package
        yield Name(name, says(thing), table.models_of(name), package, MappingProxyType(dict(facts(thing))))


def _says(attribute: str) -> Callable[[Any], str]:
    """A function that reads one attribute as a sentence."""
    return lambda thing: first_sentence(str(getattr(thing, attribute, "") or ""))


def _facts(**attributes: str) -> Callable[[Any], Mapping[str, Any]]:
    """A function that reads attributes: key -> name of the attribute. Those that a plugin lacks are left out."""
    return lambda thing: {key: getattr(thing, name) for key, name in attributes.items() if hasattr(thing, name)}


def _list_methods() -> Iterator[Name]:
    """The methods: image models first, closed forms before those that are trained."""
    from editc.passes.images.edit_kind import trains
    from editc.registry.methods import METHODS

    return _names(METHODS, _says("__doc__"), lambda method: {"trained": trains(method)})


def _list_attacks() -> Iterator[Name]:
    from editc.registry.attacks import ATTACKS

    return _names(ATTACKS, _says("summary"), _facts())


def _list_families() -> Iterator[Name]:
    from editc.registry.families import FAMILIES

    return _names(FAMILIES, _says("title"), _facts(component="component", default_method="default_method"))


def _list_formats() -> Iterator[Name]:
    from editc.registry.formats import FORMATS

    return _names(FORMATS, _says("says"), _facts(writes="output"))


def _list_detectors() -> Iterator[Name]:
    from editc.registry.detectors import DETECTORS

    return _names(DETECTORS, _says("says"), _facts(place="place"))


def _list_examples() -> Iterator[Name]:
    """The manifests that are installed with editc, with the model that each names."""
    from editc.manifests import decode
    from editc.start.sentences import example_folder, header_text

    folder = example_folder()
    for path in sorted(folder.glob("**/*.yaml"), key=lambda path: (len(path.parts), path)):
        parsed = decode.parse_file(path)
        facts = {"path": str(path), "model": parsed.model}
        says = first_sentence(header_text(parsed.source.text))
        yield Name(path.relative_to(folder).as_posix(), says, parsed.kind or "", "", MappingProxyType(facts))


_LISTS: Mapping[str, Callable[[], Iterator[Name]]] = {
    "methods": _list_methods,
    "attacks": _list_attacks,
    "families": _list_families,
    "formats": _list_formats,
    "detectors": _list_detectors,
    "examples": _list_examples,
}
"""One of `KINDS` -> the function that lists it. Each imports its table only when it is asked for."""
