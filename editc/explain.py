"""Long form help: a diagnostic's code, a method with its equations and options, a family with its sites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from editc.diagnostics import fail
from editc.family import Family


def explain(name: str) -> str:
    """Long form help for a diagnostic's code, a method or a family. Raises EditcError (E130) for anything else."""
    from editc import codes, registry

    if codes.lookup(name) is not None:
        return codes.explain(name)
    for kind in ("method", "family", "language"):
        if name.lower() in registry.names(kind):
            return _described(kind, name.lower())
    known = [*registry.names("method"), *registry.names("family"), *registry.names("language"), *codes.catalogue()]
    near = registry.nearest(name, tuple(known))
    raise fail(
        "E130",
        f"there is nothing named `{name}` to explain",
        help=f"did you mean `{near}`?" if near else "name a code (E501), a method (uce) or a family (sd1)",
    )


def _described(kind: Any, name: str) -> str:
    from inspect import cleandoc

    from editc import registry

    thing = registry.resolve(kind, name)
    if kind == "method":
        given = {o.name: "by the key rule" if o.default is None else o.default for o in registry.options(name)}
        options = [f"  {option} = {default}" for option, default in given.items()]
        doc = cleandoc(thing.__doc__ or "")
        return "\n".join([f"method {name}", "", doc, "", "options and defaults:", *options, ""])
    return "\n".join([*_family_lines(thing), "contexts:", *(f"  {context}" for context in thing.contexts), ""])


def _family_lines(family: Family) -> Iterator[str]:
    """What a family is: sites, what each role's layers see, what leaks, what is not exact."""
    yield from (f"family {family.name}: {family.title}", "", f"component: {family.component}", "sites:")
    for role, pattern in family.patterns.items():
        chosen = "" if role in family.edited else "  (only with `sites: {roles: [...]}`: unedited, it is a leak)"
        yield f"  {role}: {pattern}{chosen}"
        yield f"     sees {family.groups[family.group_of(role)].sees}"
    yield from (f"  {role}: not editable, {reason}" for role, reason in family.refused.items())
    yield from (f"note: {note}" for note in family.notes)
    yield from (f"neutral concept: {family.neutral!r}", f"default method: {family.default_method}")
