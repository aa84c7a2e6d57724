"""Checkpoints of a training, in the cache: a killed training goes on where it was, and ends in the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from editc.core.ports import Cache
from editc.passes.training.loop import Progressed, least_names, resume

VERSION = "training 1"
"""Part of every key. Changes when the same key would stand for another training."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training."""

    cache: Cache
    """Where they are stored."""
    identity: str
    """Everything that decides what is trained: scheme, subjects, model, seed."""

    def save(self, step: int, tensors: Mapping[str, Any]) -> None:
        """Store what `pack` gave. A cache that cannot store it does nothing."""
        arrays = {name: one.cpu().double().numpy() for name, one in tensors.items()}
        self.cache.put(self._key(step), arrays, "checkpoints of a training")

    def resume(self, begun: Progressed, every: int, total: int) -> int:
        """Go on from the latest checkpoint, if there is one; returns the steps done."""
        for step in range(total - total % every, 0, -every) if every else ():
            found = self.cache.get(self._key(step), least_names(begun))
            if found is not None:
                resume(begun, step, found)
                return step
        return 0

    def _key(self, step: int) -> str:
        return f"{VERSION} {sha256(self.identity.encode()).hexdigest()} {step}"
