"""A table of names: `name -> "module:attribute"`, imported only when used, with what installed packages add to it.

A package that cannot be imported stands in nobody's way: whoever goes through a table passes over its names, and E139
names the package where one of its names is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from editc.core.diagnostics import EditcError, fail


@dataclass(frozen=True)
class Plugin:
    """A name that an installed package adds."""

    place: str
    """`module:attribute`."""
    package: str
    """The package, as its installer knows it."""


@dataclass(eq=False)
class Table:
    """The names of one kind of thing."""

    noun: str
    """What messages call such a thing."""
    own: Mapping[str, Mapping[str, str]]
    """editc's own: kind of model -> name -> `module:attribute`; the kind is '' where things are for models of any."""
    models: Callable[[Any], str] = lambda thing: ""
    """Says for which kind of model a thing of a plugin is."""
    needs: tuple[str, ...] = ()
    """The attributes that each thing has: what a plugin names must have them too."""

    @property
    def group(self) -> str:
        """The entry points by which an installed package adds names: `editc.key_rules` for `key rule`."""
        return f"editc.{self.noun.replace(' ', '_').removesuffix('y') + 'ie' * self.noun.endswith('y')}s"

    def names(self, models: str | None = None) -> tuple[str, ...]:
        """Every name, sorted; with `models`, those for that kind of model alone, without those of broken plugins."""
        own = {name for kind, table in self.own.items() if models in (None, kind) for name in table}
        others = (name for name in self.plugins() if models is None or self.models_of(name) == models)
        return tuple(sorted(own.union(others)))

    def in_order(self, models: str | None = None) -> tuple[str, ...]:
        """`names`, editc's own in the order of the table, then what packages add, sorted."""
        known = self.names(models)
        own = tuple(name for table in self.own.values() for name in table if name in known)
        return (*own, *(name for name in known if name not in own))

    def each(self, models: str | None = None) -> Iterator[tuple[str, Any]]:
        """`in_order` with the thing behind each, imported one by one; those of broken plugins are passed over."""
        for name in self.in_order(models):
            if self.module(name) or self._works(name):
                yield name, self.resolve(name)

    def models_of(self, name: str) -> str:
        """The kind of model that the named thing is for; '' where there is none of that name, or its plugin is
        broken."""
        for kind, table in self.own.items():
            if name in table:
                return kind
        return self.models(self.resolve(name)) if name in self.plugins() and self._works(name) else ""

    def place(self, name: str) -> str:
        """`module:attribute` of a name, editc's own before a plugin's. KeyError for a name that neither has, E139 for
        one that two packages add."""
        return next((table[name] for table in self.own.values() if name in table), "") or self._only(name).place

    def module(self, name: str) -> str:
        """The module of a name of editc's own; '' for others."""
        return next((table[name].partition(":")[0] for table in self.own.values() if name in table), "")

    def resolve(self, name: str) -> Any:
        """The thing behind a name; imports its module. KeyError for an unknown name, E139 for one of a plugin that
        cannot be imported or is no such thing."""
        module, _, attribute = self.place(name).partition(":")
        if self.module(name):  # what fails here is a fault of editc
            return getattr(import_module(module), attribute)
        try:
            thing = getattr(import_module(module), attribute)
        except (Exception, SystemExit) as error:
            raise self.broken(name, f"cannot be imported: {type(error).__name__}: {error}") from error
        lacks = [need for need in self.needs if not hasattr(thing, need)]
        if lacks:
            raise self.broken(name, f"is no {self.noun}: it has no `{lacks[0]}`")
        return thing

    def plugins(self) -> Mapping[str, tuple[Plugin, ...]]:
        """What other packages add, more than one where packages add the same name. A name of editc's own stays so."""
        own = {name for table in self.own.values() for name in table}
        return {name: found for name, found in _entry_points(self.group).items() if name not in own}

    def broken(self, name: str, why: str) -> EditcError:
        """E139: what is wrong with the thing that a plugin names, and which package it is."""
        message = f"the {self.noun} `{name}` of the package {self._only(name).package} {why}"
        help_ = f"mend or remove that package, or name another {self.noun}"
        return fail("E139", message, help=help_)

    def _only(self, name: str) -> Plugin:
        found = self.plugins()[name]
        if len(found) > 1:
            whose = " and ".join(sorted(one.package for one in found))
            message = f"the {self.noun} `{name}` is in {len(found)} packages: {whose}"
            raise fail("E139", message, help=f"remove one of them, or name another {self.noun}")
        return found[0]

    def _works(self, name: str) -> bool:
        try:
            self.resolve(name)
        except EditcError:
            return False
        return True


@cache
def _entry_points(group: str) -> Mapping[str, tuple[Plugin, ...]]:
    from importlib.metadata import entry_points

    found: dict[str, tuple[Plugin, ...]] = {}
    for one in entry_points(group=group):
        plugin = Plugin(one.value, one.dist.name if one.dist else "unknown")
        found[one.name] = (*found.get(one.name, ()), plugin)
    return found


def nearest(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that `name` most likely meant, or None when none is near."""
    folded = {one.casefold().replace("-", "_"): one for one in known}
    near = get_close_matches(name[:100].casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None
