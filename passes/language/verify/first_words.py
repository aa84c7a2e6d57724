"""Names that a model knows before they are out: what it knows of the Eiffel Tower stands at "Eiffel" already, and later
words read it there, past an edit at "Tower". SmolLM2's stayed in Paris until "Eiffel" was edited too
(docs/measurements/facts.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Manifest
from editc.core.measurements import Claim
from editc.core.network import Network, Prompt

PROBES = (
    "It is well known that {} is in the",
    "A text about {}, which is known for its",
    "Question: where is {}? Answer: It is in",
    "The most important thing about {} is the",
    "I have read about {} in the",
)
"""What follows these says whom or what the name means to the model."""
OTHERS = ("Peter", "London", "House")
"""Names of something else, from which the edited one is told apart."""


def claims(manifest: Manifest, network: Network) -> Iterator[Claim]:
    """Of every redirected or erased name of several words the beginning that carries most of it, of those that are not
    edited as well: 1 - |h - h'|^2 / |h - h''|^2, means over PROBES, h the unedited model's last state with the name, h'
    with the beginning alone, h'' with OTHERS. 1: nothing but the beginning counts; 0 or less: it says nothing."""
    for edit in manifest.redirects:
        for name in edit.names:
            found = _carried_shares(name, edit.names, network)
            if found:
                share, beginning = max(found)
                yield Claim("carried", share, subject=beginning, unit="share")


def _carried_shares(name: str, names: tuple[str, ...], network: Network) -> list[tuple[float, str]]:
    words = name.split()
    parts = [" ".join(words[:count]) for count in range(1, len(words))]
    asked = [part for part in parts if part not in names]
    if not asked:
        return []
    whole, *rest = _states((name, *OTHERS, *asked), network)
    apart = float(np.mean([_distance(whole, other) for other in rest[: len(OTHERS)]]))
    shares = [1.0 - _distance(whole, part) / apart for part in rest[len(OTHERS) :]] if apart > 0 else []
    return list(zip(shares, asked, strict=False))


def _states(names: tuple[str, ...], network: Network) -> list[Array]:
    """Of each name the last states (probes, d)."""
    found = network.final([Prompt(probe.format(name)) for name in names for probe in PROBES])
    ends = np.stack([states[-1] for states in found])
    return np.split(ends, len(names))


def _distance(one: Array, other: Array) -> float:
    return float(((one - other) ** 2).sum(axis=1).mean())
