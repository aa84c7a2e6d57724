"""What the edits of a language model ask of its memories: between derive, solve and verify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from editc.core.ir import Array, Problem
from editc.core.network import Naming, Spot, Value


@dataclass(frozen=True)
class Column:
    """One key of a memory: an edit's subject, under one of its `names`, as several contexts show it.

    `contexts`: where the key is read, as the mean over these; none has its subject, or the target of a redirection, at
    position 0, which is an attention sink, and `sinks` says how many were left out for it. Plain text and chat make
    columns of their own (`form`), for their keys lie far apart. `wanted` (d,): what is to be added at the subject's
    last token, to the output of the matrix or to the residual stream, at strength 1; empty in a plan that is measured
    again. `anchor`: the other concept in the same contexts, for a redirection.
    `value`: how `wanted` was learned, where a gradient did.
    """

    edit: int
    name: str
    form: str
    contexts: tuple[Spot, ...]
    wanted: Array
    anchor: tuple[Spot, ...] = ()
    value: Value | None = None
    sinks: int = 0


@dataclass(frozen=True)
class Near:
    """Two edits whose keys lie close to one another in the metric of ordinary text: the `cosine` under C^-1."""

    edits: tuple[int, int]
    names: tuple[str, str]
    cosine: float


@dataclass(frozen=True)
class Rewrites(Problem):
    """A plan for a language model with what its methods need: `columns` of the edits that write to memories, in the
    order of the edits; `kept`, by edit where the model is to say what it said: at a redirection's target, at names
    that the manifest preserves and where earlier edits wrote, in groups whose mean is one key; `namings`, by site name
    which of its columns name the concepts of a stage that works on columns, where the plan has no site without one;
    `moments`, by site name E[k k^T] (d_in, d_in) over ordinary text, with its ridge; `near`, pairs of edits that will
    interfere, the closest first; `overwritten`, by edit the ids of earlier deltas that wrote at its own keys, which are
    not held there. `encoder` is the fingerprint of the model that was run, `corpus` of the text. `systems` is empty:
    nothing here is a single least-squares problem over all layers.
    """

    columns: tuple[Column, ...] = ()
    kept: Mapping[int, tuple[tuple[Spot, ...], ...]] = field(default_factory=dict)
    spared: Mapping[int, tuple[tuple[Spot, ...], ...]] = field(default_factory=dict)
    """By edit the names that nobody named and that are held all the same, in groups as `kept`; those whose key is the
    edit's own are passed over."""
    namings: Mapping[str, Naming] = field(default_factory=dict)
    moments: Mapping[str, Array] = field(default_factory=dict)
    near: tuple[Near, ...] = ()
    overwritten: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    """Names that other deltas edit in the same weights, of a delta that is linked with them."""
