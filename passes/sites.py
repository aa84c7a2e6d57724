"""The matrices that a family's roles name in a model."""

from __future__ import annotations

import re
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
                yield _site(family, name, (shape[0], shape[1]), weights.dtype(name), role)


def layer_of(name: str) -> int:
    """The number of the layer that a language model's matrix is in; ValueError where the name has none."""
    found = re.search(r"(?:^|\.)(?:layers|h)\.(\d+)\.", name)
    if found is None:
        raise ValueError(f"`{name}` is in no layer")
    return int(found[1])


def _site(family: Family, name: str, stored: tuple[int, int], dtype: str, role: str) -> Site:
    shape = (stored[1], stored[0]) if family.transposed else stored
    group = f"layers.{layer_of(name)}" if family.models == "language" else family.group_of(role)
    return Site(family.component, name, shape, dtype, role, group, family.transposed)
