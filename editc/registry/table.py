"""A table of names: `name -> "module:attribute"`, with what installed packages add. A module is imported only when its
name is used.

A plugin that cannot be imported disturbs nothing else: its names are left out of lists, and E139 names its package when
one of its names is asked for.
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
    """The name of the package."""


@dataclass(eq=False)
class Table:
    """The names of one kind of thing, such as methods."""

    noun: str
    """What messages call one of them."""
    own: Mapping[str, Mapping[str, str]]
    """editc's own names: kind of model -> name -> `module:attribute`. The kind is '' where things are for any model."""
    models: Callable[[Any], str] = lambda thing: ""
    """Says for which kind of model a thing of a plugin is."""
    needs: tuple[str, ...] = ()
    """The attributes that every thing of this table must have. A thing of a plugin is checked for them."""

    @property
    def group(self) -> str:
        """The group of entry points by which an installed package adds names: `editc.key_rules` for `key rule`."""
        return f"editc.{self.noun.replace(' ', '_').removesuffix('y') + 'ie' * self.noun.endswith('y')}s"

    def names(self, models: str | None = None) -> tuple[str, ...]:
        """All names, sorted. With `models`, only those for that kind of model, without names of broken plugins."""
        own = {name for kind, table in self.own.items() if models in (None, kind) for name in table}
        others = (name for name in self.plugins() if models is None or self.models_of(name) == models)
        return tuple(sorted(own.union(others)))

    def in_order(self, models: str | None = None) -> tuple[str, ...]:
        """As `names`, but editc's own first, in the order of the table, then those of packages, sorted."""
        known = self.names(models)
        own = tuple(name for table in self.own.values() for name in table if name in known)
        return (*own, *(name for name in known if name not in own))

    def each(self, models: str | None = None) -> Iterator[tuple[str, Any]]:
        """The names of `in_order`, each with its thing, imported one by one. Names of broken plugins are left out."""
        for name in self.in_order(models):
            if self.module(name) or self._works(name):
                yield name, self.resolve(name)

    def models_of(self, name: str) -> str:
        """The kind of model that the named thing is for. '' where the name is unknown or its plugin is broken."""
        for kind, table in self.own.items():
            if name in table:
                return kind
        return self.models(self.resolve(name)) if name in self.plugins() and self._works(name) else ""

    def place(self, name: str) -> str:
        """`module:attribute` of a name; editc's own goes before a plugin's. Raises KeyError for an unknown name, E139
        for a name that two packages add."""
        return next((table[name] for table in self.own.values() if name in table), "") or self._plugin(name).place

    def module(self, name: str) -> str:
        """The module of one of editc's own names; '' for other names."""
        return next((table[name].partition(":")[0] for table in self.own.values() if name in table), "")

    def resolve(self, name: str) -> Any:
        """Imports the module of a name and returns its thing. Raises KeyError for an unknown name, and E139 for a
        plugin that cannot be imported or lacks one of `needs`."""
        module, _, attribute = self.place(name).partition(":")
        if self.module(name):  # a failure here is a bug in editc
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
        """Name -> the packages that add it, without editc's own names."""
        own = {name for table in self.own.values() for name in table}
        return {name: found for name, found in _entry_points(self.group).items() if name not in own}

    def broken(self, name: str, why: str) -> EditcError:
        """E139: says what is wrong with the thing of a plugin, and which package it is from."""
        message = f"the {self.noun} `{name}` of the package {self._plugin(name).package} {why}"
        help_ = f"repair or remove that package, or name another {self.noun}"
        return fail("E139", message, help=help_)

    def _plugin(self, name: str) -> Plugin:
        """The plugin that adds a name. Raises E139 where two packages add it."""
        found = self.plugins()[name]
        if len(found) > 1:
            whose = " and ".join(sorted(one.package for one in found))
            message = f"the {self.noun} `{name}` is in {len(found)} packages: {whose}"
            raise fail("E139", message, help=f"remove one of them, or name another {self.noun}")
        return found[0]

    def _works(self, name: str) -> bool:
        """True if a plugin's name can be resolved."""
        try:
            self.resolve(name)
        except EditcError:
            return False
        return True


@cache
def _entry_points(group: str) -> Mapping[str, tuple[Plugin, ...]]:
    """Name -> the plugins of a group of entry points."""
    from importlib.metadata import entry_points

    found: dict[str, tuple[Plugin, ...]] = {}
    for one in entry_points(group=group):
        plugin = Plugin(one.value, one.dist.name if one.dist else "unknown")
        found[one.name] = (*found.get(one.name, ()), plugin)
    return found


def nearest(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that `name` most likely means. None when none is near."""
    folded = {one.casefold().replace("-", "_"): one for one in known}
    near = get_close_matches(name[:100].casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None
