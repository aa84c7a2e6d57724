"""The matrices that a family's roles name in a model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from editc.core.delta import Site
from editc.core.family import Family
from editc.core.ports import Weights

LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.")


def sites_of(family: Family, weights: Weights, roles: Sequence[str]) -> Iterator[Site]:
    """Every matrix of the model that has one of the roles, in the order of the names; of a language model only those of
    its main stack of layers."""
    for name in _main_stack(family, weights.names()) if family.models == "language" else weights.names():
        for role, pattern in family.patterns.items():
            shape = weights.shape(name)
            if role in roles and fnmatchcase(name, pattern) and len(shape) == 2:
                yield _site(family, name, (shape[0], shape[1]), weights.dtype(name), role)


def layer_of(name: str) -> int:
    """The number of the layer that a language model's matrix is in; ValueError where the name has none."""
    found = LAYER.search(name)
    if found is None:
        raise ValueError(f"`{name}` is in no layer")
    return int(found[1])


def _main_stack(family: Family, names: Sequence[str]) -> list[str]:
    """The names of matrices with a role before whose layer stands what stands before most layers.

    A checkpoint may hold further layers under a name of their own, which predict a token more (`mtp.layers.0`) or see
    pictures: transformers does not run them as this model, and their numbers are not those of its layers.
    """
    patterns = family.patterns.values()
    fitting = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    layers = {name: (name[: found.start(1)], found[1]) for name in fitting if (found := LAYER.search(name))}
    count = Counter(before for before, _ in dict.fromkeys(layers.values()))
    most = max(count, key=count.__getitem__, default="")
    return [name for name, (before, _) in layers.items() if before == most]


def _site(family: Family, name: str, stored: tuple[int, int], dtype: str, role: str) -> Site:
    shape = (stored[1], stored[0]) if family.transposed else stored
    group = f"layers.{layer_of(name)}" if family.models == "language" else family.group_of(role)
    return Site(family.component, name, shape, dtype, role, group, family.transposed)
