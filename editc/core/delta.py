"""A delta in memory, as it is stored: what a site was and becomes, and the factors of the edit. All frozen.

It imports nothing else of editc, so that `apply`, which needs only this, starts quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Form: TypeAlias = Literal["shared", "low-rank", "dense", "xor"]


@dataclass(frozen=True, order=True)
class Site:
    """One matrix that may be edited: parameter `name` in `component` (say `unet`), stored (d_out, d_in) in `dtype`."""

    component: str
    name: str
    shape: tuple[int, int]
    dtype: str
    role: str
    group: str = "text"
    transposed: bool = False


@dataclass(frozen=True)
class SiteRecord:
    """A site as a delta records it: for each dtype in which the base may come (`F32`, `F16`, `BF16`) the sha256 of the
    base bytes, of their transpose, and of the result; and the base's `numerics.sketch`, as a matrix (d_out, d_in)."""

    site: Site
    base: Mapping[str, str]
    base_transposed: Mapping[str, str]
    result: Mapping[str, str]
    sketch: str


@dataclass(frozen=True)
class Factors:
    """An edit as stored, float32: the same shapes as `Edit`; `sites` are indices into the delta's site records.

    `bits` is empty or has one change a site (`numerics.planes`), made to the rounded result where the base is the
    site's own, bit for bit; one of no bytes is no change. The form `xor` has bits only.
    """

    form: Form
    sites: tuple[int, ...]
    left: tuple[NDArray[np.float32], ...]
    right: tuple[NDArray[np.float32], ...]
    bits: tuple[NDArray[np.uint8], ...] = ()


@dataclass(frozen=True)
class Delta:
    """The artefact in memory. `factors` by group; `claims` are JSON values; `edits` say concept, target and method.

    `encoder` is the fingerprint of the text encoder whose embeddings the keys are ('' when none was used).
    """

    family: str
    sites: tuple[SiteRecord, ...]
    factors: Mapping[str, Factors]
    encoder: str
    manifest: str
    manifest_digest: str
    edits: tuple[Mapping[str, Any], ...]
    claims: tuple[Mapping[str, Any], ...]
    tool: str
    version: int = 1
    delta_id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Short: a delta holds arrays and its whole manifest."""
        names = ", ".join(str(edit.get("concept") or edit.get("group") or "?") for edit in self.edits[:3])
        more = ", ..." if len(self.edits) > 3 else ""
        return f"<Delta {self.delta_id[:12] or 'unwritten'} for {self.family}: {names}{more}; {len(self.sites)} sites>"
