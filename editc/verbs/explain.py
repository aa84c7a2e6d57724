"""`editc explain`: the long help for a code, a measurement, a method, a family, a format or a word of the glossary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from editc.core.diagnostics import fail
from editc.core.family import Family
from editc.manifests.attacks import COMMON_TEXTS
from editc.registry.attacks import ATTACKS
from editc.registry.detectors import DETECTORS
from editc.registry.families import FAMILIES
from editc.registry.formats import FORMATS
from editc.registry.key_rules import KEY_RULES
from editc.registry.methods import METHODS
from editc.registry.options import option_texts, options, options_of, without_option_lines
from editc.registry.table import nearest
from editc.report import terms

FIRST_TABLES = (METHODS, FAMILIES, FORMATS, DETECTORS)
"""Tables of names that are searched before the glossary."""
LATER_TABLES = (KEY_RULES, ATTACKS)
"""Tables of names that are searched only if the glossary does not have the word."""

UNEDITED_ROLE = {
    "image": "  (edited only if `sites: {roles: [...]}` names it; otherwise it is a leak)",
    "language": "  (edited by `ablate` and `leace`, or if `sites: {roles: [...]}` names it)",
}
"""Kind of model -> the remark beside a role that is not edited by default."""
COMMON_DEFAULTS = {
    "pictures": " = 20",
    "denoise": ": those of verify.images",
    "guidance": ": that of verify.images",
    "at_most": ": left out",
}
"""Key that every attack has -> what holds where it is left out."""


def explain(name: str) -> str:
    """The long help for a code, a method, a family, a format, or a word that a build prints. Raises E130 for other
    names."""
    from editc import codes

    if codes.lookup(name) is not None:
        return codes.explain(name)
    word = name.lower() in terms.all_words()
    for table in (*FIRST_TABLES, *(() if word else LATER_TABLES)):
        if name.lower() in table.names():
            return "\n".join([*PAGES[table.noun](name.lower()), ""])
    if word:
        return terms.explain(name.lower())
    near = nearest(name, known_names())
    words = "a code (E501), a measurement (recoverable), a method (uce), a family (sd1), a format (diff)"
    help_ = f"did you mean `{near}`?" if near else f"name {words}"
    raise fail("E130", f"editc has no explanation of `{name}`", help=help_)


def known_names() -> tuple[str, ...]:
    """Every name that `explain` knows: codes, words, and the names of every table."""
    from editc import codes

    tables = [name for table in (*FIRST_TABLES, *LATER_TABLES) for name in table.names()]
    return tuple(dict.fromkeys((*codes.catalogue(), *terms.all_words(), *tables)))


def _method_lines(name: str) -> Iterator[str]:
    """The docstring of a method's class, and its options with their defaults and what they do."""
    from inspect import cleandoc

    every = options(name)
    doc = without_option_lines(METHODS.resolve(name).__doc__ or "", [one.name for one in every])
    yield from (f"method {name}", "", cleandoc(doc), "", "options and defaults:")
    yield from _option_lines(METHODS.resolve(name))


def _option_lines(kind: type) -> Iterator[str]:
    """The options of a dataclass, each with its default and what it does."""
    from textwrap import wrap

    texts = option_texts(kind)
    for one in options_of(kind):
        yield f"  {one.name} = {'set by the key rule' if one.default is None else one.default}"
        yield from (f"      {line}" for line in wrap(texts.get(one.name, ""), 100, break_on_hyphens=False))


def _rule_lines(name: str) -> Iterator[str]:
    """The docstring of a key rule's class, for a rule that the glossary does not have."""
    from inspect import cleandoc

    rule = KEY_RULES.resolve(name)
    yield from (f"key rule {name}", "", cleandoc(type(rule).__doc__ or ""))
    if rule.options:
        yield f"keys of an edit that the rule reads: {', '.join(rule.options)}"


def _attack_lines(name: str) -> Iterator[str]:
    """What an attack does, its options, and how a manifest names it."""
    from inspect import cleandoc

    kind = ATTACKS.resolve(name)
    yield from (f"attack {name}: {kind.summary}", "", cleandoc(kind.__doc__ or ""), "", "options and defaults:")
    yield from _option_lines(kind)
    for key, text in COMMON_TEXTS.items():
        yield from (f"  {key}{COMMON_DEFAULTS[key]}", f"      {text}")
    yield from ("", f"verify: {{attacks: {{{name}: {{at_most: 0.1}}}}}}")


def _detector_lines(name: str) -> Iterator[str]:
    """What a detector is, how a manifest names it, and which keys may stand beside its name."""
    from importlib import import_module
    from inspect import cleandoc

    from editc.backends.detectors.lookup import detector_kind

    kind, module = detector_kind(name), DETECTORS.module(name)
    yield from (f"detector {name}: {kind.says}", "")
    if module:
        yield from (cleandoc(import_module(module).__doc__ or ""), "")
    place = f"{name}:{kind.place}" if kind.place else name
    yield f"verify: {{images: {{detector: {place}}}}}"
    if kind.keys:
        yield f"more keys, as in {{{name}: {kind.place}, ...}}: {', '.join(kind.keys)}"


def _format_lines(name: str) -> Iterator[str]:
    """The docstring of a format's module, its name under `emit`, and the families that it suits."""
    from importlib import import_module
    from inspect import cleandoc

    form = FORMATS.resolve(name)
    suited = [family for family in FAMILIES.names("image") if not form.suits(family)]
    doc = import_module(FORMATS.place(name).partition(":")[0]).__doc__ or ""
    yield from (f"format {name}: {form.says}", "", cleandoc(doc), "")
    yield f"`emit` writes: {form.output}"
    yield f"for the families {', '.join(suited)}" if suited else "for language models"


def _family_lines(name: str) -> Iterator[str]:
    """A family's sites, what each role reads, what cannot be edited, and the family's defaults."""
    family: Family = FAMILIES.resolve(name)
    yield from (f"family {family.name}: {family.title}", "", f"component: {family.component}", "sites:")
    for role, pattern in family.patterns.items():
        chosen = "" if role in family.default_roles else UNEDITED_ROLE[family.models]
        yield f"  {role}: {pattern}{chosen}"
        yield f"     reads {family.groups[family.group_of(role)].sees}"
    yield from (f"  {role}: not editable, {reason}" for role, reason in family.refused.items())
    yield from (f"note: {note}" for note in family.notes)
    if family.model_types:
        yield f"`model_type` in config.json: {', '.join(family.model_types)}"
    yield from (f"neutral concept: {family.neutral!r}", f"default method: {family.default_method}")
    yield from ("contexts:", *(f"  {context}" for context in family.contexts))


PAGES: Mapping[str, Callable[[str], Iterator[str]]] = {
    "method": _method_lines,
    "family": _family_lines,
    "format": _format_lines,
    "detector": _detector_lines,
    "key rule": _rule_lines,
    "attack": _attack_lines,
}
"""The noun of a table -> the function that gives the page for one of its names, as lines."""
