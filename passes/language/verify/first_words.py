"""Find names that a model recognises before their last word. What it knows of the Eiffel Tower stands at "Eiffel"
already, and later words read it there, past an edit at "Tower": SmolLM2's tower stayed in Paris until "Eiffel" was
edited too (docs/measurements/facts.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Manifest
from editc.core.measurements import Claim
from editc.core.network import Network
from editc.core.prompts import Prompt

PROBES = (
    "It is well known that {} is in the",
    "A text about {}, which is known for its",
    "Question: where is {}? Answer: It is in",
    "The most important thing about {} is the",
    "I have read about {} in the",
)
"""Sentences whose next word depends on what the name means to the model. Chosen by hand."""
OTHER_NAMES = ("Peter", "London", "House")
"""Names of other things, against which the distance between two names is measured. Chosen by hand."""


def claims(manifest: Manifest, network: Network) -> Iterator[Claim]:
    """`carried`, for every redirected or erased name of several words: how much of the name its first words carry, and
    which beginning carries the most. Beginnings that are edited themselves are left out.

    The share is 1 - |h - h'|^2 / |h - h''|^2, with h the unedited model's final state at the end of a sentence with the
    name, h' the same with the beginning alone, h'' with OTHER_NAMES; the squares are means over PROBES. 1: only the
    beginning counts; 0 or less: the beginning means nothing.
    """
    for edit in manifest.redirects:
        for name in edit.names:
            found = _carried_shares(name, edit.names, network)
            if found:
                share, beginning = max(found)
                yield Claim("carried", share, subject=beginning, unit="share")


def _carried_shares(name: str, names: tuple[str, ...], network: Network) -> list[tuple[float, str]]:
    """The share that each beginning of a name carries, with the beginning. `names`: the edited names, which are left
    out."""
    words = name.split()
    parts = [" ".join(words[:count]) for count in range(1, len(words))]
    beginnings = [part for part in parts if part not in names]
    if not beginnings:
        return []
    whole, *rest = _states((name, *OTHER_NAMES, *beginnings), network)
    apart = float(np.mean([_distance(whole, other) for other in rest[: len(OTHER_NAMES)]]))
    shares = [1.0 - _distance(whole, part) / apart for part in rest[len(OTHER_NAMES) :]] if apart > 0 else []
    return list(zip(shares, beginnings, strict=False))


def _states(names: tuple[str, ...], network: Network) -> list[Array]:
    """For each name the final states (probes, d) at the ends of PROBES."""
    found = network.final_states([Prompt(probe.format(name)) for name in names for probe in PROBES])
    ends = np.stack([states[-1] for states in found])
    return np.split(ends, len(names))


def _distance(one: Array, other: Array) -> float:
    """The mean squared distance between two sets of states (probes, d)."""
    return float(((one - other) ** 2).sum(axis=1).mean())
