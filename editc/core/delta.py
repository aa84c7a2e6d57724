"""A delta in memory: what each site was and becomes, and the factors of the edit. All values are frozen.

This module imports nothing else of editc, so that `apply`, which needs only this, starts quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
"""A float64 array."""
Form: TypeAlias = Literal["shared", "low-rank", "dense", "xor"]
"""The formula by which factors change a weight: see `editc.core.solution.Edit`. `xor` changes stored bits."""


@dataclass(frozen=True, order=True)
class Site:
    """One matrix that may be edited."""

    component: str
    """The part of the pipeline, such as `unet`."""
    name: str
    """The name of the parameter."""
    shape: tuple[int, int]
    """(d_out, d_in)."""
    dtype: str
    """As stored: `F32`, `F16`, `BF16`."""
    role: str
    """What the matrix does in its layer: `k`, `v`, `mlp` and others (docs/glossary.md)."""
    group: str = "text"
    """The name of its group. Sites of one group see the same input."""
    transposed: bool = False
    """True where the file stores (d_in, d_out)."""


@dataclass(frozen=True)
class SiteRecord:
    """A site as a delta records it. Each mapping leads from a dtype in which a model may store the base (`F32`, `F16`,
    `BF16`) to a sha256."""

    site: Site
    """The site."""
    base: Mapping[str, str]
    """Hashes of the bytes before the edit."""
    base_transposed: Mapping[str, str]
    """Hashes of the transpose of these."""
    result: Mapping[str, str]
    """Hashes of the bytes after the edit."""
    sketch: str
    """`numerics.sketch` of the base, as a matrix (d_out, d_in)."""


@dataclass(frozen=True)
class Factors:
    """The edit of one group, as the delta stores it, in float32. Shapes are those of `editc.core.solution.Edit`."""

    form: Form
    """The formula that the factors go into. `xor` has only `bits`."""
    sites: tuple[int, ...]
    """Positions of the group's sites in `Delta.sites`."""
    left: tuple[NDArray[np.float32], ...]
    """Left factors. Empty for `xor`."""
    right: tuple[NDArray[np.float32], ...]
    """Right factors. Empty for `dense` and `xor`."""
    bits: tuple[NDArray[np.uint8], ...] = ()
    """One packed correction per site (`numerics.bits.planes`). It is applied to the rounded result where the base is
    bit for bit the recorded one. An array of no bytes means no correction. Empty where no site has one."""


@dataclass(frozen=True)
class Delta:
    """A delta in memory: what `apply` writes into a model."""

    family: str
    """The name of the family."""
    sites: tuple[SiteRecord, ...]
    """The edited sites."""
    factors: Mapping[str, Factors]
    """Group -> its edit."""
    encoder: str
    """Fingerprint of the text encoder whose rows the keys are. Empty when none was used."""
    manifest: str
    """The text of the manifest that was built."""
    manifest_digest: str
    """`Manifest.digest` of it."""
    edits: tuple[Mapping[str, Any], ...]
    """JSON: concept, target and method of each edit."""
    claims: tuple[Mapping[str, Any], ...]
    """JSON: what the build measured."""
    tool: str
    """Name and version of the program that wrote it."""
    version: int = 1
    """The version of the file format."""
    delta_id: str = ""
    """sha256 of its bytes. Empty before it is written."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """JSON: entries that only some deltas have, such as overrides and preserved prompts."""

    def __repr__(self) -> str:
        """Short: a delta holds arrays and its whole manifest."""
        names = ", ".join(str(edit.get("concept") or edit.get("group") or "?") for edit in self.edits[:3])
        more = ", ..." if len(self.edits) > 3 else ""
        return f"<Delta {self.delta_id[:12] or 'unwritten'} for {self.family}: {names}{more}; {len(self.sites)} sites>"
