"""The matrices that a family's roles name in a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from editc.family import Family
from editc.ir import Site
from editc.ports import Weights


def sites_of(family: Family, weights: Weights, roles: Sequence[str]) -> Iterator[Site]:
    """Every matrix of the model that has one of the roles, in the order of the names."""
    for name in weights.names():
        for role, pattern in family.patterns.items():
            shape = weights.shape(name)
            if role in roles and fnmatchcase(name, pattern) and len(shape) == 2:
                place, dtype = (shape[0], shape[1]), weights.dtype(name)
                yield Site(family.component, name, place, dtype, role, family.group_of(role))
