"""What verify found: claims against their bounds, certificates with their attacks, pictures before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.request import Span

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Claim:
    """One measurement, the bound that it answers (None: reported only), and the manifest line of that bound."""

    name: str
    value: float
    bound: float | None = None
    subject: str = ""
    span: Span | None = None
    unit: str = ""

    @property
    def holds(self) -> bool:
        """True when there is no bound or the value is finite and at most the bound."""
        return self.bound is None or bool(np.isfinite(self.value) and self.value <= self.bound)


@dataclass(frozen=True)
class Attack:
    """Rows (d, m) to put in place of the `rows` (m,) of `prompt`: what brings its concept back the furthest."""

    prompt: str
    rows: tuple[int, ...]
    points: Array = field(compare=False, repr=False)


@dataclass(frozen=True)
class Certificate:
    """How far any rows whatever can bring one concept back in the edited projections: 1 entirely, 0 no nearer than
    its target is. Every figure is that of the worst sentence, but `median`; definitions in docs/certificate.md.

    `recoverable`, exact, at `sentence`; `own`, the sentence's own rows; `derived`, RECE's embedding moved into the set
    that rows can lie in; `derived_free`, RECE's as published, of which the share `derived_inside` lies in that set.
    `proven`: that set follows from the encoder's architecture; `exact`: it is the set itself and not one around it.
    `gap`: the most by which rounding may be wrong; `residual`: of the optimality conditions, relative.
    """

    concept: str
    recoverable: float
    sentence: str
    median: float
    own: float
    derived: float
    derived_free: float
    derived_inside: float
    proven: bool
    exact: bool
    gap: float
    residual: float
    attacks: tuple[Attack, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Picture:
    """One prompt painted before and after: uint8 (h, w, 3) each, and what the detector said of them.

    `attack`: `after` is painted from the certificate's attack on that prompt and not from the prompt itself.
    """

    concept: str
    prompt: str
    seed: int
    erased: bool
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    shown_before: bool
    shown_after: bool
    attack: bool = False


@dataclass(frozen=True)
class Report:
    """Everything measured: the claims, each site's drift, the pictures where they were asked for, and for each erased
    concept the certificate against every prompt."""

    claims: tuple[Claim, ...]
    sites: tuple[Mapping[str, Any], ...] = ()
    pictures: tuple[Picture, ...] = ()
    certificates: tuple[Certificate, ...] = ()
