"""A delta's sites in a component, whatever its tensors are called there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from editc.core.delta import SiteRecord
from editc.formats.models.model import Checkpoint
from editc.formats.models.model_names import respell


def find_sites(
    checkpoint: Checkpoint, records: Sequence[SiteRecord], raw: Callable[[str], bytes] | None = None
) -> Checkpoint:
    """`checkpoint` with the sites of `records` under their own names. A site that is nowhere is left out, which
    `plan_apply` refuses.

    Outside ONNX only the levels before a name can differ (`model_names.respelled`); in ONNX tensors are found by
    content. `raw` gives a tensor's bytes where those on the disk are not the ones to go by.

    Raises E663 (its numbers are not stored as bytes), E664 (not one tensor), E665 (which way round is not known).
    """
    if checkpoint.graph is None:
        return respell(checkpoint, [record.site.name for record in records])
    from editc.formats.apply.onnx_sites import find_in_graph

    return find_in_graph(checkpoint, checkpoint.graph, records, raw or checkpoint.raw)
