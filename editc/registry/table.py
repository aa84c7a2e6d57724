"""A table of names: `name -> "module:attribute"`, imported only when used, with what installed packages add to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from editc.core.diagnostics import fail


class Table:
    """The names of one kind of thing, and where each is to be imported from."""

    def __init__(
        self, noun: str, own: Mapping[str, Mapping[str, str]], models: Callable[[Any], str] = lambda thing: ""
    ) -> None:
        """`own`: kind of model -> name -> "module:attribute". `models` says for which kind of model a thing is."""
        self.noun = noun
        """What messages call such a thing; its plural, in the group of its entry points, is made with an s."""
        self.own = own
        self.models = models

    @property
    def group(self) -> str:
        """The entry points by which an installed package adds names."""
        return f"editc.{self.noun.replace(' ', '_').removesuffix('y') + 'ie' * self.noun.endswith('y')}s"

    def names(self, models: str | None = None) -> tuple[str, ...]:
        """Every name, sorted; with `models`, those for that kind of model alone."""
        own = {name for kind, table in self.own.items() if models in (None, kind) for name in table}
        others = (name for name in self.plugins() if models is None or self.models_of(name) == models)
        return tuple(sorted(own.union(others)))

    def in_order(self, models: str | None = None) -> tuple[str, ...]:
        """Every name, as `names`, but editc's own in the order of the table, before what packages add."""
        known = self.names(models)
        own = tuple(name for table in self.own.values() for name in table if name in known)
        return (*own, *(name for name in known if name not in own))

    def models_of(self, name: str) -> str:
        """The kind of model that the named thing is for; '' where there is none of that name."""
        for kind, table in self.own.items():
            if name in table:
                return kind
        return self.models(self.resolve(name)) if name in self.plugins() else ""

    def place(self, name: str) -> str:
        """`module:attribute` of a name, editc's own before a plugin's. KeyError for a name that neither has."""
        return next((table[name] for table in self.own.values() if name in table), "") or self.plugins()[name]

    def module(self, name: str) -> str:
        """The module of a name of editc's own; '' for others."""
        return next((table[name].partition(":")[0] for table in self.own.values() if name in table), "")

    def resolve(self, name: str) -> Any:
        """The thing behind a name; imports its module. KeyError for an unknown name, E139 for a plugin that cannot be
        imported."""
        module, _, attribute = self.place(name).partition(":")
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:
            if self.module(name):  # editc's own: a fault of editc
                raise
            message = f"the {self.noun} `{name}` cannot be imported: {type(error).__name__}: {error}"
            help_ = f"mend or remove the package that adds it, or name another {self.noun}"
            raise fail("E139", message, help=help_) from error

    def plugins(self) -> Mapping[str, str]:
        """What other packages add; a name that editc has stays editc's."""
        own = {name for table in self.own.values() for name in table}
        return {name: place for name, place in _entry_points(self.group).items() if name not in own}


@cache
def _entry_points(group: str) -> Mapping[str, str]:
    from importlib.metadata import entry_points

    return {one.name: one.value for one in entry_points(group=group)}


def nearest(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that `name` most likely meant, or None when none is near."""
    folded = {one.casefold().replace("-", "_"): one for one in known}
    near = get_close_matches(name[:100].casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None
