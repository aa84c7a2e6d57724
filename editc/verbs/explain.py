"""Long form help: a diagnostic's code, a measurement, a method with its equations and options, a family, a format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from editc.core import registry
from editc.core.diagnostics import fail
from editc.core.family import Family
from editc.report import terms

KINDS: tuple[registry.Kind, ...] = ("method", "language", "family", "language-family", "format", "detector")
"""Kinds of names that are explained, besides codes."""


OTHERS = {
    "image": "  (only with `sites: {roles: [...]}`: unedited, it is a leak)",
    "language": "  (what `ablate` and `leace` edit; else with `sites: {roles: [...]}`)",
}
"""Of roles that are not edited by default, by the kind of model."""


def explain(name: str) -> str:
    """Long form help for a diagnostic's code, a method, a family, a format, or a word that a build prints. Raises
    EditcError (E130) for others."""
    from editc import codes

    if codes.lookup(name) is not None:
        return codes.explain(name)
    for kind in KINDS:
        if name.lower() in registry.names(kind):
            return _described(kind, name.lower())
    if name.lower() in terms.every():
        return terms.explain(name.lower())
    known = [name for kind in KINDS for name in registry.names(kind)] + [*codes.catalogue(), *terms.every()]
    near = registry.nearest(name, tuple(known))
    words = "a code (E501), a measurement (recoverable), a method (uce), a family (sd1), a format (diff)"
    help_ = f"did you mean `{near}`?" if near else f"name {words}"
    raise fail("E130", f"there is nothing named `{name}` to explain", help=help_)


def _described(kind: Any, name: str) -> str:
    from inspect import cleandoc

    thing = registry.resolve(kind, name)
    if kind in ("method", "language"):
        given = {o.name: "by the key rule" if o.default is None else o.default for o in registry.options(name)}
        options = [f"  {option} = {default}" for option, default in given.items()]
        doc = cleandoc(thing.__doc__ or "")
        return "\n".join([f"method {name}", "", doc, "", "options and defaults:", *options, ""])
    if kind == "format":
        return "\n".join([*_format_lines(name), ""])
    if kind == "detector":
        return "\n".join([*_detector_lines(name), ""])
    return "\n".join([*_family_lines(thing), "contexts:", *(f"  {context}" for context in thing.contexts), ""])


def _detector_lines(name: str) -> Iterator[str]:
    """What a detector is, how a manifest names it, and what may stand beside its name."""
    from importlib import import_module
    from inspect import cleandoc

    from editc.backends.detectors.kind import kind_of

    kind, module = kind_of(name), registry.TABLES["detector"].get(name, "").partition(":")[0]
    yield from (f"detector {name}: {kind.says}", "")
    if module:
        yield from (cleandoc(import_module(module).__doc__ or ""), "")
    place = f"{name}:{kind.place}" if kind.place else name
    yield f"verify: {{images: {{detector: {place}}}}}"
    if kind.keys:
        yield f"beside it, in {{{name}: {kind.place}, ...}}: {', '.join(kind.keys)}"


def _format_lines(name: str) -> Iterator[str]:
    """What a format is, in the words of its own module, and which families it is for."""
    from importlib import import_module
    from inspect import cleandoc

    form = registry.resolve("format", name)
    suited = [family for family in registry.names("family") if not form.suits(family)]
    doc = import_module(registry.TABLES["format"][name].partition(":")[0]).__doc__ or ""
    yield from (f"format {name}: {form.says}", "", cleandoc(doc), "")
    yield f"under `emit`: {form.output}"
    yield f"for the families {', '.join(suited)}" if suited else "for language models"


def _family_lines(family: Family) -> Iterator[str]:
    """What a family is: sites, what each role's layers see, what leaks, what is not exact."""
    yield from (f"family {family.name}: {family.title}", "", f"component: {family.component}", "sites:")
    for role, pattern in family.patterns.items():
        chosen = "" if role in family.edited else OTHERS[family.models]
        yield f"  {role}: {pattern}{chosen}"
        yield f"     sees {family.groups[family.group_of(role)].sees}"
    yield from (f"  {role}: not editable, {reason}" for role, reason in family.refused.items())
    yield from (f"note: {note}" for note in family.notes)
    if family.kinds:
        yield f"`model_type` in config.json: {', '.join(family.kinds)}"
    yield from (f"neutral concept: {family.neutral!r}", f"default method: {family.default_method}")
