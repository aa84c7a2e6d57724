"""Find a delta's sites in a component, whatever names the tensors have there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from editc.core.delta import SiteRecord
from editc.formats.models.model import Checkpoint
from editc.formats.models.model_names import respell


def find_sites(
    checkpoint: Checkpoint, records: Sequence[SiteRecord], raw: Callable[[str], bytes] | None = None
) -> Checkpoint:
    """Return `checkpoint` with the sites of `records` under the names that the delta uses. A site that is not found is
    left out; `plan_apply` then refuses it.

    In ONNX files tensors are found by their content. Elsewhere only the levels in front of a name may differ
    (`model_names.respell`). `raw` gives the bytes of a tensor by name, where the bytes on the disk are not the ones to
    compare.

    Raises E663 (the numbers are not stored as bytes), E664 (not exactly one tensor), E665 (a square matrix may be
    transposed).
    """
    if checkpoint.graph is None:
        return respell(checkpoint, [record.site.name for record in records])
    from editc.formats.apply.onnx_sites import find_in_graph

    return find_in_graph(checkpoint, checkpoint.graph, records, raw or checkpoint.raw)
