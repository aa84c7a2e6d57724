"""Edits of SmolLM2-135M-Instruct by the compiler's own passes, from locate to solve; verify is the benchmark itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import smollm2

from editc.backends.networks import CausalNetwork, load
from editc.cache.disk import open_cache
from editc.core.delta import Array
from editc.core.language_edits import Ablation, Fact, Redirect
from editc.core.manifest import Manifest, Preserve, Sites
from editc.core.places import Source
from editc.core.ports import Context
from editc.core.solution import Solution
from editc.formats.models.model import open_model
from editc.opening import target
from editc.passes.language.keys.derive import DeriveLanguage
from editc.passes.language.locate.locate import LocateLanguage
from editc.passes.language.solve.solve import SolveLanguage
from editc.passes.stored import edited_sites

Changed = Mapping[str, Array]


@dataclass(frozen=True)
class Lab:
    """The model as the passes see it, and as it runs."""

    ctx: Context
    network: CausalNetwork

    def weight(self, name: str) -> Array:
        """W as stored."""
        return self.ctx.weights.read(name)


def lab() -> Lab:
    """SmolLM2 with the cache that builds have: values that were learned once are not learned again."""
    folder = smollm2.made()
    network = load(folder)
    return Lab(Context(open_model(folder).component("model"), network=network, cache=open_cache()), network)


def edited(
    lab: Lab,
    edits: Sequence[Fact | Redirect | Ablation],
    method: str,
    layers: Sequence[int] = (),
    roles: Sequence[str] = (),
    keep: Sequence[str] = (),
) -> Changed:
    """What the passes make of these edits; no `layers` and no `roles` are the defaults."""
    manifest = Manifest(
        source=Source("benchmark", ""),
        digest="",
        model=str(smollm2.folder()),
        kind="language",
        edits=tuple(replace(edit, method=method) for edit in edits),
        preserve=Preserve(concepts=tuple(keep)),
        sites=Sites(layers=tuple(layers), roles=tuple(roles)),
    )
    plan = LocateLanguage(target.families())(manifest, lab.ctx)
    found: Solution = SolveLanguage()(DeriveLanguage()(plan, lab.ctx), lab.ctx)
    return {one.site.name: one.after for one in edited_sites(found, lab.ctx.weights)}


def summed(parts: Sequence[Changed], base: Callable[[str], Array]) -> Changed:
    """The deltas of edits that were solved alone, added up."""
    names = sorted({name for part in parts for name in part})
    return {name: base(name) + sum(part[name] - base(name) for part in parts if name in part) for name in names}


def timed(make: Callable[[], Changed]) -> tuple[Changed, float]:
    """What was made, and the seconds it took."""
    begin = time.perf_counter()
    found = make()
    return found, time.perf_counter() - begin
