"""Finding the matrices of a model that have a role in its family."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from editc.core.delta import Site
from editc.core.family import Family
from editc.core.ports import Weights

LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.")
"""Finds the number of the layer in a parameter name, as transformers names the layers of language models."""
EXPERTS = ".experts."
"""What stands between a layer and the number of an expert."""


def sites_of(family: Family, weights: Weights, roles: Sequence[str]) -> Iterator[Site]:
    """Yield every matrix of the model that has one of the roles, in the order of the names.

    For a language model only matrices of its main stack of layers.
    """
    for name in _main_stack(family, weights.names()) if family.models == "language" else weights.names():
        for role, pattern in family.patterns.items():
            shape = weights.shape(name)
            if role in roles and fnmatchcase(name, pattern) and len(shape) == 2:
                yield _site(family, name, (shape[0], shape[1]), weights.dtype(name), role)


def layer_of(name: str) -> int:
    """Return the number of a language model's layer from a matrix's name. Raises ValueError if it has none."""
    found = LAYER.search(name)
    if found is None:
        raise ValueError(f"`{name}` is in no layer")
    return int(found[1])


def stack_of(name: str) -> str:
    """Return what the names of all experts of a layer begin with, from the name of one of them; a name itself where
    it is no expert's."""
    return name.partition(EXPERTS)[0]


def is_expert(name: str) -> bool:
    """True for the name, or a family's pattern, of the matrix of one expert among those of a layer."""
    return EXPERTS in name


def _main_stack(family: Family, names: Sequence[str]) -> list[str]:
    """Return the names of the matrices with a role that lie in the main stack: the prefix with the most layers.

    A checkpoint may hold more layers under another prefix, which predict further tokens (`mtp.layers.0`) or read
    images. transformers does not run them as this model, and their numbers count other layers.
    """
    patterns = family.patterns.values()
    fitting = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    layers = {name: (name[: found.start(1)], found[1]) for name in fitting if (found := LAYER.search(name))}
    count = Counter(before for before, _ in dict.fromkeys(layers.values()))
    most = max(count, key=count.__getitem__, default="")
    return [name for name, (before, _) in layers.items() if before == most]


def _site(family: Family, name: str, stored: tuple[int, int], dtype: str, role: str) -> Site:
    """Describe one matrix of shape `stored` in the file. The site's shape is (d_out, d_in) in either case."""
    shape = (stored[1], stored[0]) if family.transposed else stored
    group = f"layers.{layer_of(name)}" if family.models == "language" else family.group_of(role)
    return Site(family.component, name, shape, dtype, role, group, family.transposed)
